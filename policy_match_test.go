package tributary_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary"
)

// like is what a wildcard means, in the fewest words.
func like(pattern, text []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(text) == 0
	case pattern[0] == '*':
		return like(pattern[1:], text) || len(text) > 0 && like(pattern, text[1:])
	case len(text) == 0:
		return false
	}
	return (pattern[0] == '?' || pattern[0] == text[0]) && like(pattern[1:], text[1:])
}

// TestPolicyMatches compares resources, actions and StringLike with a matcher
// that is obviously right, over short texts of few characters. A part of a
// pattern may come from a variable, where wildcards mean themselves.
func TestPolicyMatches(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 8))
	word := func(alphabet []rune, most int) []rune {
		out := make([]rune, rng.IntN(most+1))
		for i := range out {
			out[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return out
	}
	met := map[bool]int{}
	for range 2_000 * soak(t) {
		before, after, value := word([]rune("ab*?é"), 4), word([]rune("ab**?:"), 4), append(word([]rune("ab*?é"), 2), 'a')
		written := string(before) + "${k:k}" + string(after)
		// In the reference's pattern the value's wildcards are characters of
		// their own, and so are the text's.
		other := strings.NewReplacer("*", "★", "?", "¿")
		pattern := []rune(string(before) + other.Replace(string(value)) + string(after))
		text := word([]rune("abé:*?"), 8)
		if rng.IntN(2) == 0 { // one that is likely to match
			text = nil
			for _, r := range string(before) + string(value) + string(after) {
				if r == '*' || r == '?' {
					text = append(text, word([]rune("abé:*?"), 2)...)
				} else {
					text = append(text, r)
				}
			}
		}
		keys := map[string]string{"k:k": string(value), "k:text": string(text)}
		expected := like(pattern, []rune(other.Replace(string(text))))
		met[expected]++
		wantMatch(t, "'Action': '*', 'Resource': 'arn:a:b:c:d:"+written+"'", "arn:a:b:c:d:"+string(text), keys, expected)
		wantMatch(t, "'Action': '*', 'Resource': '*', 'Condition': {'StringLike': {'k:text': '"+written+"'}}", "*", keys, expected)
		wantMatch(t, "'Action': '*', 'NotResource': 'arn:a:b:c:d:"+written+"'", "arn:a:b:c:d:"+string(text), keys, !expected)
	}
	if met[true] < 300 || met[false] < 300 {
		t.Errorf("%v: too few of one kind", met)
	}
}

func wantMatch(t *testing.T, statement, resource string, keys map[string]string, expected bool) {
	t.Helper()
	p := parsePolicy(t, policy2012("{'Effect': 'Allow', "+statement+"}"))
	if got := p.Decide(&tributary.Access{Action: "a:b", Resource: resource, Keys: keys}) == tributary.Allowed; got != expected {
		t.Fatalf("%s, %s, %q: match %t, want %t", statement, resource, keys, got, expected)
	}
}

// TestPolicyMatchesActions does the same for actions, which have no case.
func TestPolicyMatchesActions(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 9))
	word := func(alphabet string) string {
		out := make([]byte, 1+rng.IntN(7))
		for i := range out {
			out[i] = alphabet[rng.IntN(len(alphabet))]
		}
		return string(out)
	}
	for range 5_000 * soak(t) {
		pattern, name := word("abAB*?"), word("abAB")
		p := parsePolicy(t, policy2012("{'Effect': 'Allow', 'Action': 's:"+pattern+"', 'Resource': '*'}"))
		got := p.Decide(&tributary.Access{Action: "S:" + name, Resource: "*"}) == tributary.Allowed
		want(t, pattern+" on "+name, got, like([]rune(strings.ToLower(pattern)), []rune(strings.ToLower(name))))
	}
}

// TestPolicyMatchesFast has patterns that a matcher which tries every way would
// not be done with before the test ends.
func TestPolicyMatchesFast(t *testing.T) {
	for _, part := range []string{"*a", "*a?", "*${k:k}", "*a*"} {
		p := parsePolicy(t, policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': 'arn:a:b:c:d:"+strings.Repeat(part, 60)+"b'}"))
		a := tributary.Access{Action: "a:b", Resource: "arn:a:b:c:d:" + strings.Repeat("a", 2048), Keys: map[string]string{"k:k": "aaa"}}
		want(t, part, p.Decide(&a), tributary.ImplicitDeny)
	}
}

// FuzzPolicy reads any document and asks it about any access. What it can read
// it decides on, and an explicit deny stays one whatever else is allowed.
func FuzzPolicy(f *testing.F) {
	f.Add(ownData, "cognito-sync:ListRecords", annsOwn+"/dataset/d", "*")
	f.Add(annsPolicy, "cognito-sync:ListRecords", annsOwn+"/dataset/d", "")
	f.Add(policy2012("{'Effect': 'Deny', 'NotAction': ['a:b', 'c:*?'], 'NotResource': 'arn:a:b:c:d:${x, `y}`}${*}${"+subKey+"}*', 'Condition': {'ForAnyValue:StringNotLike': {'"+subKey+"': [1, '*${$}']}, 'Null': {'z': true}}}"), "a:b", "arn:", "${*}")
	f.Add(`{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}`, "a:b", "*", "\xff")
	f.Add(policy2012("{'Effect': 'Allow', 'Action': '*', 'Resource': '*', 'Condition': {'StringEqualsIgnoreCaseIfExists': {'x': '${"+subKey+"}'}, 'BoolIfExists': {'b': false}}}"), "", "", "\u212a")
	f.Fuzz(func(t *testing.T, document, action, resource, value string) {
		p, err := tributary.ParsePolicy(document)
		if err != nil {
			if tributary.KindOf(err) != tributary.Invalid || len(tributary.Message(err)) > 1500 || !utf8.ValidString(tributary.Message(err)) {
				t.Fatalf("%q: %v", document, err)
			}
			return
		}
		a := tributary.Access{Action: action, Resource: resource, Keys: map[string]string{subKey: value, "x": value}}
		verdict := p.Decide(&a)
		if verdict > tributary.ExplicitDeny {
			t.Fatalf("%q: %d", document, verdict)
		}
		wider := withAnything(t, document)
		if len(wider) > tributary.MaxPolicyLength {
			return
		}
		both := parsePolicy(t, wider)
		if got := both.Decide(&a); (got == tributary.ExplicitDeny) != (verdict == tributary.ExplicitDeny) || got == tributary.ImplicitDeny {
			t.Fatalf("%q: %v, and %v with all allowed", document, verdict, got)
		}
	})
}

// withAnything adds a statement that allows all to a document.
func withAnything(t *testing.T, document string) string {
	t.Helper()
	var d map[string]json.RawMessage
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		t.Fatal(err)
	}
	statements := strings.TrimSuffix(strings.TrimPrefix(string(d["Statement"]), "["), "]")
	d["Statement"] = fmt.Appendf(nil, `[{"Effect": "Allow", "Action": "*", "Resource": "*"}, %s]`, statements)
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
