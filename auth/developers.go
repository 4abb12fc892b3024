package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tributary"
)

// Developers manages the developers' access keys. Auth is required.
//
// A key that is enabled, for ever, and without a policy must be left: what would
// take the last one away is refused. Changes by one process come one after the
// other. Those by several, each of which leaves the others' key, are found out
// by another look after the write, and taken back, maybe all of them. So none may
// be left where a process dies, or its store fails, between the two, and where
// one process deletes a key while another enables it.
type Developers struct {
	Auth *Auth
	// AllowLockout allows to take away the last key that may do everything. Who
	// can reach the store itself can make another.
	AllowLockout bool

	mu sync.Mutex // held while a key is changed or deleted
}

// keyTries is how often a key is read again because others changed it.
const keyTries = 5

// Keys lists all keys, in the order of their ids.
func (d *Developers) Keys(ctx context.Context) ([]tributary.AccessKey, error) {
	all, err := d.Auth.Keys.AccessKeys(ctx)
	slices.SortFunc(all, func(a, b tributary.AccessKey) int { return cmp.Compare(a.ID, b.ID) })
	return all, err
}

// Create makes a key, with a policy document or "", and gives its secret, this
// once.
//
// Errors: Invalid.
func (d *Developers) Create(ctx context.Context, name, policy string) (k tributary.AccessKey, secret string, err error) {
	if err := tributary.CheckPolicy(policy, d.Auth.Account, tributary.HeldByKey); err != nil {
		return k, "", err
	}
	return d.create(ctx, name, policy)
}

func (d *Developers) create(ctx context.Context, name, policy string) (k tributary.AccessKey, secret string, err error) {
	c := GenerateAccessKey()
	k = d.Auth.seal(c)
	k.Name, k.Policy = name, policy
	if err := tributary.CheckAccessKey(&k); err != nil {
		return k, "", err
	}
	if err := d.Auth.Keys.PutAccessKey(ctx, k); err != nil {
		return k, "", err
	}
	k.Revision++
	return k, c.SecretKey, nil
}

// Rotate makes a key of another's name and policy, as Create does. The old one
// is good for keep more; with 0 it is disabled. A key that is to end is not
// rotated: the new one would have no end.
//
// Errors: NotFound; Invalid if the old key is not good, or is to end, or keep is
// not between 0 and [tributary.MaxAccessKeyOverlap]; Busy if its name or policy
// is changed meanwhile. After these no new key is left. Unavailable, with both
// keys' ids, if the old one may have ended: then the new one is left, whose
// secret nobody knows.
func (d *Developers) Rotate(ctx context.Context, id string, keep time.Duration) (k tributary.AccessKey, secret string, err error) {
	const op = "rotate access key"
	if keep < 0 || keep > tributary.MaxAccessKeyOverlap {
		return k, "", tributary.Errorf(tributary.Invalid, op, "The old key is to be kept for %s, it must be between 0 and %s", keep, tributary.MaxAccessKeyOverlap)
	}
	old, err := d.Auth.Keys.AccessKey(ctx, id)
	if err != nil {
		return k, "", err
	}
	if err := d.mayRotate(&old); err != nil {
		return k, "", err
	}
	if k, secret, err = d.create(ctx, old.Name, old.Policy); err != nil {
		return k, "", err
	}
	refused := false
	_, err = d.change(ctx, id, func(now *tributary.AccessKey) error {
		err := d.mayRotate(now)
		if err == nil && (now.Name != old.Name || now.Policy != old.Policy) { // the new key has the old ones
			err = tributary.Errorf(tributary.Busy, op, "The access key %s was changed while it was rotated. Try again", id)
		}
		if refused = err != nil; refused {
			return err
		}
		if now.Disabled = keep == 0; !now.Disabled {
			now.Until = d.now() + tributary.Millis(keep.Milliseconds())
		}
		return nil
	})
	if err != nil {
		refused = refused || tributary.KindOf(err) == tributary.NotFound // another has deleted it
		return tributary.AccessKey{}, "", d.withdraw(context.WithoutCancel(ctx), &k, &old, refused, err)
	}
	return k, secret, nil
}

// withdraw deletes the key of a rotation that failed, for nobody knows it,
// unless it may be the only good one of the two. Where the rotation was not
// refused, a store that failed may have ended the old key, or do so yet: it is
// written as it was, which a late write does not survive.
func (d *Developers) withdraw(ctx context.Context, k, old *tributary.AccessKey, refused bool, cause error) error {
	if !refused {
		if _, err := d.write(ctx, old.ID, d.mayRotate); err != nil {
			return &tributary.Error{
				Kind: tributary.Unavailable, Op: "rotate access key", Err: errors.Join(cause, err),
				Msg: fmt.Sprintf("The rotation of the access key %s failed, and may have ended it all the same. So the new one, %s, was left, whose secret nobody knows: look at both in the list, and disable that one", old.ID, k.ID),
			}
		}
	}
	return errors.Join(cause, d.Auth.Keys.DeleteAccessKey(ctx, k.ID))
}

func (d *Developers) mayRotate(k *tributary.AccessKey) error {
	const op = "rotate access key"
	switch {
	case !k.Good(d.now()):
		return tributary.Errorf(tributary.Invalid, op, "The access key %s is disabled or expired: create another one", k.ID)
	case k.Until != 0:
		return tributary.Errorf(tributary.Invalid, op, "The access key %s is to end at %s, since it was rotated: rotate the one that took its place, or create another one; to end it now, disable it",
			k.ID, k.Until.Time().UTC().Format(time.RFC3339))
	}
	return nil
}

// Change changes a key and gives it as it is then.
//
// Errors: NotFound; Invalid, also if no other key may do everything; Busy.
func (d *Developers) Change(ctx context.Context, id string, c tributary.AccessKeyChange) (tributary.AccessKey, error) {
	return d.change(ctx, id, func(k *tributary.AccessKey) error { return c.Apply(k, d.now(), d.Auth.Account) })
}

// Delete forgets a key that is disabled or expired.
//
// Errors: NotFound; Invalid if the key is good, or the only one.
func (d *Developers) Delete(ctx context.Context, id string) error {
	const op = "delete access key"
	d.mu.Lock()
	defer d.mu.Unlock()
	k, err := d.Auth.Keys.AccessKey(ctx, id)
	if err != nil {
		return err
	}
	if k.Good(d.now()) {
		return tributary.Errorf(tributary.Invalid, op, "The access key %s is enabled: disable it first", id)
	}
	all, err := d.Auth.Keys.AccessKeys(ctx)
	if err != nil {
		return err
	}
	if len(all) < 2 {
		// A store without a key is taken for a new one, and gets the one of the
		// credentials file: maybe this one again.
		return tributary.Errorf(tributary.Invalid, op, "The access key %s is the only one: create another one first", id)
	}
	return d.Auth.Keys.DeleteAccessKey(ctx, id)
}

func (d *Developers) now() tributary.Millis { return tributary.MillisOf(d.Auth.now()) }

// change writes a key as edit makes it, unless nobody could do everything then.
func (d *Developers) change(ctx context.Context, id string, edit func(*tributary.AccessKey) error) (tributary.AccessKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var before tributary.AccessKey
	loses := func(after *tributary.AccessKey) bool { return before.Full() && !after.Full() && !d.AllowLockout }
	after, err := d.write(ctx, id, func(k *tributary.AccessKey) error {
		before = *k
		if err := edit(k); err != nil {
			return err
		}
		if loses(k) {
			return d.wantAnother(ctx, id)
		}
		return nil
	})
	if err != nil || !loses(&after) {
		return after, err
	}
	// From here on a caller that goes away must not matter.
	ctx = context.WithoutCancel(ctx)
	if err := d.wantAnother(ctx, id); err != nil {
		_, undone := d.write(ctx, id, func(k *tributary.AccessKey) error {
			k.Disabled, k.Policy, k.Until = before.Disabled, before.Policy, before.Until
			return nil
		})
		return after, cmp.Or(undone, err)
	}
	return after, nil
}

// write reads a key, has it edited, and writes it.
func (d *Developers) write(ctx context.Context, id string, edit func(*tributary.AccessKey) error) (tributary.AccessKey, error) {
	for range keyTries {
		k, err := d.Auth.Keys.AccessKey(ctx, id)
		if err != nil {
			return k, err
		}
		if err := edit(&k); err != nil {
			return k, err
		}
		if err = d.Auth.Keys.PutAccessKey(ctx, k); tributary.KindOf(err) != tributary.Stale {
			k.Revision++
			return k, err
		}
	}
	return tributary.AccessKey{}, tributary.Errorf(tributary.Busy, "change access key", "The access key is being changed by many at once. Try again")
}

// wantAnother refuses if no key but one may do everything. A key that another
// master key sealed opens nothing.
func (d *Developers) wantAnother(ctx context.Context, than string) error {
	all, err := d.Auth.Keys.AccessKeys(ctx)
	if err != nil || slices.ContainsFunc(all, func(k tributary.AccessKey) bool { return k.ID != than && k.Full() && d.Auth.Check(k) == nil }) {
		return err
	}
	return tributary.Errorf(tributary.Invalid, "change access key", "The access key %s is the last one that is enabled, does not expire and has no policy: create another such key first", than)
}
