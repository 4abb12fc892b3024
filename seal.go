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
// derived from the shared sealing keys, which [Rotation] looks after, or from
// the master key.
//
// Every process seals under a key of its own, derived from a shared one and a
// random salt that travels in the token, and counts its nonces. So no nonce
// ever repeats, however many processes seal under one shared key.
type Sealer struct {
	master *sealing
	shared atomic.Pointer[sharedKeys] // nil: the master key alone
}

// sharedKeys is the sealing keys, and the one that is sealed under.
type sharedKeys struct {
	all     map[uint32]*sealing
	current *sealing
}

// sealing is one shared key as this process uses it.
type sealing struct {
	id     uint32 // 0: the master key
	secret []byte
	salt   [saltLength]byte
	own    cipher.AEAD
	sealed atomic.Uint64

	mu     sync.Mutex
	others map[[saltLength]byte]cipher.AEAD
}

const (
	saltLength   = 16
	countLength  = 8
	masterToken  = 1  // version, salt, count: under the master key
	sharedToken  = 2  // version, key's id, salt, count
	keyIDLength  = 4  // big endian
	mostOthers   = 64 // keys of other processes remembered
	masterPrefix = 1
	sharedPrefix = 1 + keyIDLength
	// MasterKeyLength is the length of a master key, in bytes.
	MasterKeyLength = 32
)

// NewSealer makes a Sealer under a master key of MasterKeyLength bytes.
func NewSealer(master []byte) (*Sealer, error) {
	if len(master) != MasterKeyLength {
		return nil, Errorf(Invalid, "new sealer", "the master key has %d bytes, it must have %d", len(master), MasterKeyLength)
	}
	k, err := newSealing(0, master)
	return &Sealer{master: k}, err
}

func newSealing(id uint32, secret []byte) (*sealing, error) {
	k := &sealing{id: id, secret: secret, others: map[[saltLength]byte]cipher.AEAD{}}
	if _, err := io.ReadFull(rand.Reader, k.salt[:]); err != nil {
		return nil, &Error{Kind: Internal, Op: "new sealer", Err: err}
	}
	own, err := k.derive(k.salt)
	k.own = own
	return k, err
}

func (k *sealing) derive(salt [saltLength]byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.secret, salt[:], "tributary/seal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// use takes over the shared keys. Those that it has already it keeps.
func (s *Sealer) use(secrets map[uint32][]byte, current uint32) error {
	have := s.shared.Load()
	next := &sharedKeys{all: map[uint32]*sealing{}}
	for id, secret := range secrets {
		var k *sealing
		if have != nil {
			k = have.all[id]
		}
		if k == nil {
			var err error
			if k, err = newSealing(id, secret); err != nil {
				return err
			}
		}
		next.all[id] = k
	}
	next.current = next.all[current]
	s.shared.Store(next)
	return nil
}

// Key derives a key of 32 bytes from the master key, for a purpose of its own.
func (s *Sealer) Key(purpose string, salt []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, s.master.secret, salt, "tributary/"+purpose, 32)
}

// Seal makes a token of plain text. It opens for the same context only, which
// says what the token is for and to what it is bound, and for [rotationKeep]
// at least.
func (s *Sealer) Seal(context string, plain []byte) string {
	if keys := s.shared.Load(); keys != nil {
		return keys.current.seal(context, plain)
	}
	return s.master.seal(context, plain)
}

// SealForGood makes a token that opens as long as the master key is the same.
func (s *Sealer) SealForGood(context string, plain []byte) string {
	return s.master.seal(context, plain)
}

// prefix is how many bytes of a token come before the salt.
func (k *sealing) prefix() int {
	if k.id == 0 {
		return masterPrefix
	}
	return sharedPrefix
}

func (k *sealing) seal(context string, plain []byte) string {
	head := k.prefix() + saltLength + countLength
	b := make([]byte, 0, head+len(plain)+k.own.Overhead())
	if k.id == 0 {
		b = append(b, masterToken)
	} else {
		b = binary.BigEndian.AppendUint32(append(b, sharedToken), k.id)
	}
	b = append(b, k.salt[:]...)
	n := k.sealed.Add(1)
	b = binary.BigEndian.AppendUint64(b, n)
	b = k.own.Seal(b, nonce(n), plain, []byte(context))
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
	if err != nil || strings.ContainsAny(token, "\r\n") {
		return nil, errToken
	}
	k := s.keyOf(b)
	if k == nil {
		return nil, errToken
	}
	plain, err := k.open(context, b[k.prefix():])
	if err != nil {
		return nil, errToken
	}
	return plain, nil
}

// keyOf is the shared key that a token was sealed under, nil if it is not known.
func (s *Sealer) keyOf(token []byte) *sealing {
	switch {
	case len(token) < masterPrefix:
		return nil
	case token[0] == masterToken:
		return s.master
	case token[0] != sharedToken || len(token) < sharedPrefix:
		return nil
	}
	keys := s.shared.Load()
	if keys == nil {
		return nil
	}
	return keys.all[binary.BigEndian.Uint32(token[1:])]
}

// open opens what comes after a token's prefix.
func (k *sealing) open(context string, b []byte) ([]byte, error) {
	if len(b) < saltLength+countLength {
		return nil, errToken
	}
	salt := [saltLength]byte(b)
	aead, known, err := k.find(salt)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(b[saltLength:])
	plain, err := aead.Open(nil, nonce(n), b[saltLength+countLength:], []byte(context))
	if err == nil && !known {
		k.remember(salt, aead) // only now: a forger must not fill the table
	}
	return plain, err
}

func (k *sealing) find(salt [saltLength]byte) (aead cipher.AEAD, known bool, err error) {
	if salt == k.salt {
		return k.own, true, nil
	}
	k.mu.Lock()
	aead = k.others[salt]
	k.mu.Unlock()
	if aead != nil {
		return aead, true, nil
	}
	aead, err = k.derive(salt)
	return aead, false, err
}

func (k *sealing) remember(salt [saltLength]byte, aead cipher.AEAD) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.others) >= mostOthers {
		clear(k.others)
	}
	k.others[salt] = aead
}
