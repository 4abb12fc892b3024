package tributary

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// Sealer makes opaque tokens that only this service can make and read:
// session tokens, paging tokens, credentials. It is AES-256-GCM under keys
// derived from the master key.
//
// Every Sealer seals under a key of its own, derived from the master key and a
// random salt that travels in the token, and counts its nonces. So no nonce
// ever repeats, however many processes seal under one master key.
type Sealer struct {
	master []byte
	salt   [saltLength]byte
	own    cipher.AEAD
	sealed atomic.Uint64

	mu     sync.Mutex
	others map[[saltLength]byte]cipher.AEAD
}

const (
	saltLength   = 16
	tokenVersion = 1
	tokenHead    = 1 + saltLength + 8 // version, salt, count
	mostOthers   = 64                 // keys of other processes remembered
	// MasterKeyLength is the length of a master key, in bytes.
	MasterKeyLength = 32
)

// NewSealer makes a Sealer under a master key of MasterKeyLength bytes.
func NewSealer(master []byte) (*Sealer, error) {
	if len(master) != MasterKeyLength {
		return nil, Errorf(Invalid, "new sealer", "the master key has %d bytes, it must have %d", len(master), MasterKeyLength)
	}
	s := &Sealer{master: master, others: map[[saltLength]byte]cipher.AEAD{}}
	if _, err := io.ReadFull(rand.Reader, s.salt[:]); err != nil {
		return nil, &Error{Kind: Internal, Op: "new sealer", Err: err}
	}
	own, err := s.derive(s.salt)
	s.own = own
	return s, err
}

func (s *Sealer) derive(salt [saltLength]byte) (cipher.AEAD, error) {
	key, err := s.Key("seal", salt[:])
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Key derives a key of 32 bytes for a purpose of its own.
func (s *Sealer) Key(purpose string, salt []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, s.master, salt, "tributary/"+purpose, 32)
}

// Seal makes a token of plain text. It opens for the same context only, which
// says what the token is for and to what it is bound.
func (s *Sealer) Seal(context string, plain []byte) string {
	b := make([]byte, tokenHead, tokenHead+len(plain)+s.own.Overhead())
	b[0] = tokenVersion
	copy(b[1:], s.salt[:])
	n := s.sealed.Add(1)
	binary.BigEndian.PutUint64(b[1+saltLength:], n)
	b = s.own.Seal(b, nonce(n), plain, []byte(context))
	return base64.RawURLEncoding.EncodeToString(b)
}

func nonce(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), n) }

// errToken says nothing about what was wrong with a token, on purpose.
var errToken = errors.New("token is forged, damaged or meant for something else")

// Open gives the plain text of a token that was sealed in the same context.
func (s *Sealer) Open(context, token string) ([]byte, error) {
	// One token has one spelling: no stray bits at its end, no line breaks,
	// which the decoder would skip.
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) < tokenHead || b[0] != tokenVersion {
		return nil, errToken
	}
	salt := [saltLength]byte(b[1:])
	aead, known, err := s.keyOf(salt)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(b[1+saltLength:])
	plain, err := aead.Open(nil, nonce(n), b[tokenHead:], []byte(context))
	if err != nil {
		return nil, errToken
	}
	if !known {
		s.remember(salt, aead) // only now: a forger must not fill the table
	}
	return plain, nil
}

func (s *Sealer) keyOf(salt [saltLength]byte) (aead cipher.AEAD, known bool, err error) {
	if salt == s.salt {
		return s.own, true, nil
	}
	s.mu.Lock()
	aead = s.others[salt]
	s.mu.Unlock()
	if aead != nil {
		return aead, true, nil
	}
	aead, err = s.derive(salt)
	return aead, false, err
}

func (s *Sealer) remember(salt [saltLength]byte, aead cipher.AEAD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.others) >= mostOthers {
		clear(s.others)
	}
	s.others[salt] = aead
}
