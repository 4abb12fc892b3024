package tributary

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// SealingKey is a key that tokens and credentials are sealed under. All nodes
// share these keys; a new one takes over from time to time, so that one that
// leaked opens no more than what was sealed in its time.
//
// A key whose id has the signing bit is one that OpenID tokens are signed with.
// Nothing is sealed under it, but by programs that do not know the bit yet.
type SealingKey struct {
	ID       uint32 // rises; 0 stands for the master key
	Revision int64
	Sealed   []byte // the key, with the master key: 32 bytes, or PKCS #8
	Created  Millis
}

// SealingKeys keeps the sealing keys.
type SealingKeys interface {
	// SealingKeys lists all keys.
	SealingKeys(ctx context.Context) ([]SealingKey, error)
	// PutSealingKey writes a key. Stale.
	PutSealingKey(ctx context.Context, k SealingKey) error
	// DeleteSealingKey forgets a key. NotFound.
	DeleteSealingKey(ctx context.Context, id uint32) error
}

// signingBit is set in the id of a key that OpenID tokens are signed with.
const signingBit = 1 << 31

// Rotation keeps a Sealer's keys as the store has them, makes a new one when
// the newest is old, and drops those that nothing open is sealed under. Every
// node runs it. Keys and Sealer are required.
type Rotation struct {
	Keys   SealingKeys
	Sealer *Sealer
	Every  time.Duration    // age at which a key is replaced; 0: 30 days
	Log    *slog.Logger     // nil: no log
	Now    func() time.Time // nil: time.Now
	// Signing makes it the rotation of the keys that OpenID tokens are signed
	// with: it hears of all of them, and of the one to sign with. The Sealer's are
	// another Rotation's then.
	Signing func(keys map[uint32]*rsa.PrivateKey, current uint32)

	mu   sync.Mutex           // held by Look; guards what follows
	seen map[uint32]time.Time // when a key was seen first; long ago if it was made long before
	met  map[uint32]time.Time // when this process saw a key first
}

const (
	rotationLook = 15 * time.Second
	// A new key is sealed under when every node has had the time to learn of it.
	rotationWait = time.Minute
	// rotationSkew is how far the clocks of two nodes may be apart.
	rotationSkew = 24 * time.Hour
	// An old key is dropped so long after it was replaced: longer than any
	// token or credential is good.
	rotationKeep = 48 * time.Hour
)

// Run looks after the keys until ctx is done, from the first Look on.
func (r *Rotation) Run(ctx context.Context) error {
	tick := time.NewTicker(rotationLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.lookAgain(ctx); err != nil && ctx.Err() == nil && r.Log != nil {
			kind := "sealing"
			if r.Signing != nil {
				kind = "signing"
			}
			r.Log.Error("keys cannot be read, will try again", "kind", kind, "err", err)
		}
	}
}

// Look takes over the store's keys, after making the first one, or the next. A
// key that was sealed with another master key, which is lost, is left alone.
func (r *Rotation) Look(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look(ctx)
}

// lookAgain is Look, but for keys that nobody has asked for yet.
func (r *Rotation) lookAgain(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		return nil
	}
	return r.look(ctx)
}

func (r *Rotation) look(ctx context.Context) error {
	now := time.Now()
	if r.Now != nil {
		now = r.Now()
	}
	all, keys, err := r.list(ctx)
	if err != nil {
		return err
	}
	secrets := r.open(keys)
	if n := len(keys); len(secrets) == 0 || now.Sub(keys[n-1].Created.Time()) >= cmp.Or(r.Every, 30*24*time.Hour) {
		if err := r.make(ctx, keys, now); err != nil {
			return err
		}
		if all, keys, err = r.list(ctx); err != nil {
			return err
		}
		if secrets = r.open(keys); len(secrets) == 0 {
			return Errorf(Invalid, "open sealing keys", "The master key does not open the sealing keys of the store: every node needs the one that the store began with")
		}
	}
	if err := r.use(all, secrets, r.current(keys, secrets, now)); err != nil {
		return err
	}
	return r.drop(ctx, keys, now)
}

// use gives the keys to who works with them.
func (r *Rotation) use(all []SealingKey, secrets map[uint32][]byte, current uint32) error {
	if r.Signing == nil {
		return r.Sealer.use(r.open(all), current)
	}
	keys := map[uint32]*rsa.PrivateKey{}
	for id, secret := range secrets {
		key, err := x509.ParsePKCS8PrivateKey(secret)
		private, ok := key.(*rsa.PrivateKey)
		if err != nil || !ok {
			return &Error{Kind: Internal, Op: "read signing key", Err: fmt.Errorf("key %d is none: %w", id, err)}
		}
		keys[id] = private
	}
	r.Signing(keys, current)
	return nil
}

// open gives the keys' secrets, by their ids.
func (r *Rotation) open(keys []SealingKey) map[uint32][]byte {
	secrets := map[uint32][]byte{}
	for _, k := range keys {
		if secret, err := r.Sealer.Open(sealingKeyContext(k.ID), string(k.Sealed)); err == nil {
			secrets[k.ID] = secret
		}
	}
	return secrets
}

// list gives all keys, and those of this rotation in the order of their ids.
func (r *Rotation) list(ctx context.Context) (all, own []SealingKey, err error) {
	all, err = r.Keys.SealingKeys(ctx)
	for _, k := range all {
		if (k.ID&signingBit != 0) == (r.Signing != nil) {
			own = append(own, k)
		}
	}
	slices.SortFunc(own, func(a, b SealingKey) int { return cmp.Compare(a.ID, b.ID) })
	return all, own, err
}

// make makes the next key, unless another node is faster.
func (r *Rotation) make(ctx context.Context, have []SealingKey, now time.Time) error {
	k := SealingKey{ID: 1, Created: MillisOf(now)}
	if r.Signing != nil {
		k.ID |= signingBit
	}
	if n := len(have); n > 0 {
		k.ID = have[n-1].ID + 1
	}
	secret, err := r.secret()
	if err != nil {
		return err
	}
	k.Sealed = []byte(r.Sealer.SealForGood(sealingKeyContext(k.ID), secret))
	if err = r.Keys.PutSealingKey(ctx, k); KindOf(err) == Stale {
		return nil
	}
	return err
}

// secret makes what a new key consists of.
func (r *Rotation) secret() ([]byte, error) {
	if r.Signing == nil {
		secret := make([]byte, MasterKeyLength)
		_, _ = rand.Read(secret) // never fails
		return secret, nil
	}
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, &Error{Kind: Internal, Op: "make signing key", Err: err}
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

func sealingKeyContext(id uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte("sealing key\x00"), id))
}

// current is the key to seal under: the newest that all nodes must know by now,
// or the oldest.
func (r *Rotation) current(keys []SealingKey, secrets map[uint32][]byte, now time.Time) uint32 {
	if r.seen == nil {
		r.seen = map[uint32]time.Time{}
		for _, k := range keys {
			// A process that starts cannot tell how long the others have known a
			// key: the clock of the one that made it may be wrong.
			if at := k.Created.Time(); now.Sub(at) >= rotationSkew {
				r.seen[k.ID] = at
			}
		}
	}
	var current uint32
	for _, k := range keys {
		since, known := r.seen[k.ID]
		if !known {
			since, r.seen[k.ID] = now, now
		}
		if secrets[k.ID] != nil && (current == 0 || now.Sub(since) >= rotationWait) {
			current = k.ID
		}
	}
	return current
}

// drop forgets keys whose successor has been in use for long enough.
func (r *Rotation) drop(ctx context.Context, keys []SealingKey, now time.Time) error {
	if r.met == nil {
		r.met = map[uint32]time.Time{}
	}
	for _, k := range keys {
		if _, known := r.met[k.ID]; !known {
			r.met[k.ID] = now
		}
	}
	for i := 0; i+1 < len(keys); i++ {
		// By this process' own time alone: another's clock may be wrong.
		if now.Sub(r.met[keys[i+1].ID]) < rotationWait+rotationKeep {
			break
		}
		if err := r.Keys.DeleteSealingKey(ctx, keys[i].ID); err != nil && KindOf(err) != NotFound {
			return err
		}
	}
	return nil
}
