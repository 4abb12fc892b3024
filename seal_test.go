package tributary_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"tributary"
)

func mustOpen(t *testing.T, s *tributary.Sealer, context, token, want string) {
	t.Helper()
	plain, err := s.Open(context, token)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if string(plain) != want {
		t.Fatalf("opened to %q, want %q", plain, want)
	}
}

func TestNewSealerWantsAWholeKey(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := tributary.NewSealer(make([]byte, n)); tributary.KindOf(err) != tributary.Invalid {
			t.Errorf("a master key of %d bytes: error %v, want Invalid", n, err)
		}
	}
}

func TestSealOpensInItsContextOnly(t *testing.T) {
	s := newSealer(t, 1)
	for _, plain := range []string{"", "x", strings.Repeat("long ", 1000)} {
		token := s.Seal("context", []byte(plain))
		mustOpen(t, s, "context", token, plain)
		mustOpen(t, s, "context", token, plain) // again
		for _, other := range []string{"", "Context", "context ", "contex", "context\x00"} {
			if _, err := s.Open(other, token); err == nil {
				t.Errorf("opened in the context %q", other)
			}
		}
	}
	mustOpen(t, s, "", s.Seal("", []byte("no context")), "no context")
}

// TestSealIsClosedToTampering changes every bit of tokens, cuts them, and
// makes them longer.
func TestSealIsClosedToTampering(t *testing.T) {
	s := newSealer(t, 1)
	for _, plain := range []string{"", "a", "ab", "abc"} {
		b, err := base64.RawURLEncoding.DecodeString(s.Seal("c", []byte(plain)))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range len(b) * 8 {
			c := bytes.Clone(b)
			c[bit/8] ^= 1 << (bit % 8)
			if _, err := s.Open("c", base64.RawURLEncoding.EncodeToString(c)); err == nil {
				t.Errorf("opened %q with bit %d changed", plain, bit)
			}
		}
		for n := range b {
			if _, err := s.Open("c", base64.RawURLEncoding.EncodeToString(b[:n])); err == nil {
				t.Errorf("opened the first %d bytes of %d", n, len(b))
			}
		}
		if _, err := s.Open("c", base64.RawURLEncoding.EncodeToString(append(b, 0))); err == nil {
			t.Error("opened with a byte added")
		}
	}
}

// TestSealHasOneText wants exactly one text for each token: whoever compares
// or counts tokens by their text must not be fooled by another spelling.
func TestSealHasOneText(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=\n\r \x00é"
	s := newSealer(t, 1)
	for _, plain := range []string{"", "a", "ab"} { // each of the three lengths of base64's last group
		token := s.Seal("c", []byte(plain))
		var opened []string
		try := func(text string) {
			if _, err := s.Open("c", text); err == nil && text != token {
				opened = append(opened, fmt.Sprintf("%q", text))
			}
		}
		for i := range len(token) + 1 {
			for _, c := range alphabet {
				try(token[:i] + string(c) + token[i:])
				if i < len(token) {
					try(token[:i] + string(c) + token[i+1:])
				}
			}
		}
		if len(opened) > 0 {
			t.Errorf("the token %q of %d bytes opens in %d other spellings as well, such as %s", token, len(plain), len(opened), opened[0])
		}
	}
}

func TestSealBetweenProcesses(t *testing.T) {
	one, two, stranger := newSealer(t, 1), newSealer(t, 1), newSealer(t, 2)
	token := one.Seal("c", []byte("hello"))
	mustOpen(t, two, "c", token, "hello")
	mustOpen(t, two, "c", token, "hello") // by the key it remembers
	if _, err := stranger.Open("c", token); err == nil {
		t.Error("another master key opened the token")
	}
	mustOpen(t, one, "c", two.Seal("c", []byte("back")), "back")
}

func TestSealRemembersAFewOtherProcesses(t *testing.T) {
	s := newSealer(t, 1)
	var tokens []string
	for i := range 200 {
		tokens = append(tokens, newSealer(t, 1).Seal("c", fmt.Append(nil, i)))
	}
	for range 2 {
		for i, token := range tokens {
			mustOpen(t, s, "c", token, fmt.Sprint(i))
		}
	}
}

// publicPart is the salt and the nonce of a token.
func publicPart(t *testing.T, token string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatalf("token %q: %v", token, err)
	}
	const version, salt, count = 1, 16, 8
	if len(b) < version+salt+count {
		t.Fatalf("token %q has no public part", token)
	}
	return string(b[version : version+salt+count])
}

// TestSealNeverRepeatsANonce seals the same text again and again, from many
// goroutines and several processes' worth of Sealers, which open each other's
// tokens meanwhile.
func TestSealNeverRepeatsANonce(t *testing.T) {
	const workers, each = 8, 500
	sealers := []*tributary.Sealer{newSealer(t, 1), newSealer(t, 1)}
	tokens := make([][]string, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			mine, other := sealers[i%2], sealers[1-i%2]
			for range each {
				token := mine.Seal("c", []byte("the same"))
				tokens[i] = append(tokens[i], token)
				if plain, err := other.Open("c", token); err != nil || string(plain) != "the same" {
					t.Errorf("opened by the other: %q, %v", plain, err)
				}
			}
		})
	}
	all.Wait()
	seen, nonces := map[string]bool{}, map[string]bool{}
	for _, list := range tokens {
		for _, token := range list {
			if nonce := publicPart(t, token); nonces[nonce] {
				t.Fatalf("the nonce %x was used twice", nonce)
			} else {
				nonces[nonce] = true
			}
			if seen[token] {
				t.Fatal("two tokens are equal")
			}
			seen[token] = true
		}
	}
	want(t, "the number of nonces", len(nonces), workers*each)
}

func TestSealKeysByPurpose(t *testing.T) {
	s := newSealer(t, 1)
	seen := map[string]string{}
	for _, purpose := range []string{"seal", "jwt", "jwt2"} {
		for _, salt := range []string{"", "salt"} {
			key, err := s.Key(purpose, []byte(salt))
			if err != nil || len(key) != 32 {
				t.Fatalf("key of %s: %d bytes, %v", purpose, len(key), err)
			}
			again, _ := newSealer(t, 1).Key(purpose, []byte(salt))
			if !bytes.Equal(key, again) {
				t.Errorf("%s/%s: another process has another key", purpose, salt)
			}
			if other, used := seen[string(key)]; used {
				t.Errorf("%s/%s has the key of %s", purpose, salt, other)
			}
			seen[string(key)] = purpose + "/" + salt
		}
	}
}

func FuzzOpen(f *testing.F) {
	master := make([]byte, tributary.MasterKeyLength)
	s, err := tributary.NewSealer(master)
	if err != nil {
		f.Fatal(err)
	}
	real := s.Seal("context", []byte("plain"))
	f.Add("")
	f.Add(real)
	f.Add(real[:len(real)-1])
	f.Add(real[:34])
	f.Add(strings.Repeat("A", len(real)))
	f.Add("AQ" + strings.Repeat("A", 80))
	f.Fuzz(func(t *testing.T, text string) {
		for _, context := range []string{"context", ""} {
			if plain, err := s.Open(context, text); err == nil && (context != "context" || string(plain) != "plain") {
				t.Fatalf("%q opened to %q in the context %q", text, plain, context)
			}
		}
	})
}
