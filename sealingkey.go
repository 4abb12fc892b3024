package tributary

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"slices"
	"time"
)

// SealingKey is a key that tokens and credentials are sealed under. All nodes
// share these keys; a new one takes over from time to time, so that one that
// leaked opens no more than what was sealed in its time.
type SealingKey struct {
	ID       uint32 // rises; 0 stands for the master key
	Revision int64
	Sealed   []byte // the key's 32 bytes, with the master key
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

// Rotation keeps a Sealer's keys as the store has them, makes a new one when
// the newest is old, and drops those that nothing open is sealed under. Every
// node runs it. Keys and Sealer are required.
type Rotation struct {
	Keys   SealingKeys
	Sealer *Sealer
	Every  time.Duration    // age at which a key is replaced; 0: 30 days
	Log    *slog.Logger     // nil: no log
	Now    func() time.Time // nil: time.Now

	seen map[uint32]time.Time // since when this process knows a key
}

const (
	rotationLook = 15 * time.Second
	// A new key is sealed under when every node has had the time to learn of it.
	rotationWait = time.Minute
	// An old key is dropped so long after it was replaced: longer than any
	// token or credential is good.
	rotationKeep = 48 * time.Hour
)

// Run looks after the keys until ctx is done. Look must have been called once.
func (r *Rotation) Run(ctx context.Context) error {
	tick := time.NewTicker(rotationLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.Look(ctx); err != nil && ctx.Err() == nil && r.Log != nil {
			r.Log.Error("sealing keys cannot be read, will try again", "err", err)
		}
	}
}

// Look takes over the store's keys, after making the first one, or the next.
// It is not to be called concurrently.
//
// Errors: Invalid if a key was sealed with another master key.
func (r *Rotation) Look(ctx context.Context) error {
	now := time.Now()
	if r.Now != nil {
		now = r.Now()
	}
	keys, err := r.list(ctx)
	if err != nil {
		return err
	}
	if n := len(keys); n == 0 || now.Sub(keys[n-1].Created.Time()) >= cmp.Or(r.Every, 30*24*time.Hour) {
		if err := r.make(ctx, keys, now); err != nil {
			return err
		}
		if keys, err = r.list(ctx); err != nil {
			return err
		}
	}
	if err := r.use(keys, now); err != nil {
		return err
	}
	return r.drop(ctx, keys, now)
}

// list gives the keys in the order of their ids.
func (r *Rotation) list(ctx context.Context) ([]SealingKey, error) {
	keys, err := r.Keys.SealingKeys(ctx)
	slices.SortFunc(keys, func(a, b SealingKey) int { return cmp.Compare(a.ID, b.ID) })
	return keys, err
}

// make makes the next key, unless another node is faster.
func (r *Rotation) make(ctx context.Context, have []SealingKey, now time.Time) error {
	k := SealingKey{ID: 1, Created: MillisOf(now)}
	if n := len(have); n > 0 {
		k.ID = have[n-1].ID + 1
	}
	secret := make([]byte, MasterKeyLength)
	_, _ = rand.Read(secret) // never fails
	k.Sealed = []byte(r.Sealer.SealForGood(sealingKeyContext(k.ID), secret))
	err := r.Keys.PutSealingKey(ctx, k)
	if KindOf(err) == Stale {
		return nil
	}
	return err
}

func sealingKeyContext(id uint32) string {
	return string(binary.BigEndian.AppendUint32([]byte("sealing key\x00"), id))
}

// use gives the Sealer the keys, and the one to seal under: the newest that all
// nodes must know by now.
func (r *Rotation) use(keys []SealingKey, now time.Time) error {
	if r.seen == nil {
		r.seen = map[uint32]time.Time{}
		for _, k := range keys { // known before, for all that can be told
			r.seen[k.ID] = k.Created.Time()
		}
	}
	secrets := map[uint32][]byte{}
	current := keys[0].ID
	for _, k := range keys {
		secret, err := r.Sealer.Open(sealingKeyContext(k.ID), string(k.Sealed))
		if err != nil {
			return Errorf(Invalid, "open sealing key", "The master key does not open sealing key %d of the store: every node needs the one that the store began with", k.ID)
		}
		secrets[k.ID] = secret
		since, known := r.seen[k.ID]
		if !known {
			since, r.seen[k.ID] = now, now
		}
		if now.Sub(since) >= rotationWait {
			current = k.ID
		}
	}
	return r.Sealer.use(secrets, current)
}

// drop forgets keys whose successor has been in use for long enough.
func (r *Rotation) drop(ctx context.Context, keys []SealingKey, now time.Time) error {
	for i := 0; i+1 < len(keys); i++ {
		if now.Sub(keys[i+1].Created.Time()) < rotationWait+rotationKeep {
			break
		}
		if err := r.Keys.DeleteSealingKey(ctx, keys[i].ID); err != nil && KindOf(err) != NotFound {
			return err
		}
	}
	return nil
}
