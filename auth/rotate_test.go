package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
)

// watched is a store whose writes of keys are seen before and after.
type watched struct {
	tributary.Store
	before, after func(tributary.AccessKey) error
	deleting      func()
}

func (w *watched) PutAccessKey(ctx context.Context, k tributary.AccessKey) error {
	if w.before != nil {
		if err := w.before(k); err != nil {
			return err
		}
	}
	if err := w.Store.PutAccessKey(ctx, k); err != nil || w.after == nil {
		return err
	}
	return w.after(k)
}

func (w *watched) DeleteAccessKey(ctx context.Context, id string) error {
	if w.deleting != nil {
		w.deleting()
	}
	return w.Store.DeleteAccessKey(ctx, id)
}

// rotated has the only key that may do everything rotated in a store, and gives
// the key, whether it is as it was, and the new key, if one is left.
func (k *kit) rotated(w *watched, old tributary.AccessKey, keep time.Duration) (same bool, left []tributary.AccessKey, err error) {
	k.Helper()
	w.Store = k.store
	d := &auth.Developers{Auth: k.over(w)}
	made, secret, err := d.Rotate(k.Context(), old.ID, keep)
	if err != nil && (made.ID != "" || secret != "") {
		k.Errorf("a rotation that failed gave %+v", made)
	}
	all, listErr := d.Keys(k.Context())
	k.ok(listErr)
	for _, a := range all {
		if a.ID == old.ID {
			same = a.Good(tributary.MillisOf(k.clock)) && a.Until == 0
		} else {
			left = append(left, a)
		}
	}
	return same, left, err
}

// TestRotationFails: whatever becomes of the write that ends the old key, one of
// the two is good afterwards, and a new one that nobody knows stays only where
// the old one may have ended.
func TestRotationFails(t *testing.T) {
	down := tributary.Errorf(tributary.Unavailable, "put access key", "The store is down")
	for name, keep := range map[string]time.Duration{"Disabled": 0, "Kept": time.Hour} {
		t.Run(name+"/AnswerLost", func(t *testing.T) {
			k := newKit(t)
			old, _ := k.create(&auth.Developers{Auth: k.auth}, "only", "")
			same, left, err := k.rotated(&watched{after: func(n tributary.AccessKey) error {
				if n.ID == old.ID {
					return down
				}
				return nil
			}}, old, keep)
			if same || len(left) != 1 || !left[0].Full() {
				t.Fatalf("the old key is as it was: %t; others: %+v", same, left)
			}
			k.refused(err, tributary.Unavailable, "of the access key "+old.ID+" failed")
			k.refused(err, tributary.Unavailable, "the new one, "+left[0].ID+", was left")
		})
		t.Run(name+"/NotApplied", func(t *testing.T) {
			k := newKit(t)
			old, _ := k.create(&auth.Developers{Auth: k.auth}, "only", "")
			var late []tributary.AccessKey
			same, left, err := k.rotated(&watched{
				before: func(n tributary.AccessKey) error {
					if n.ID == old.ID && len(late) == 0 {
						late = append(late, n)
						return down
					}
					return nil
				},
				deleting: func() { // what was thought lost arrives
					k.refused(k.store.PutAccessKey(k.Context(), late[0]), tributary.Stale, "")
				},
			}, old, keep)
			if !same || len(left) != 0 || !errors.Is(err, down) {
				t.Errorf("the old key is as it was: %t; others: %+v; %v", same, left, err)
			}
		})
		t.Run(name+"/StaysDown", func(t *testing.T) {
			k := newKit(t)
			old, _ := k.create(&auth.Developers{Auth: k.auth}, "only", "")
			same, left, err := k.rotated(&watched{before: func(n tributary.AccessKey) error {
				if n.ID == old.ID {
					return down
				}
				return nil
			}}, old, keep)
			if !same || len(left) != 1 || !strings.Contains(tributary.Message(err), left[0].ID) {
				t.Errorf("the old key is as it was: %t; others: %+v; %v", same, left, err)
			}
		})
	}
}

// TestRotationOfChanged: what others change of a key while it is rotated is not
// undone by the new one, and not lost.
func TestRotationOfChanged(t *testing.T) {
	name, narrow := "another", onePool
	for text, c := range map[string]struct {
		change tributary.AccessKeyChange
		kind   tributary.Kind
		says   string
	}{
		"Policy":   {tributary.AccessKeyChange{Policy: &narrow}, tributary.Busy, "was changed while it was rotated. Try again"},
		"Name":     {tributary.AccessKeyChange{Name: &name}, tributary.Busy, "was changed while it was rotated. Try again"},
		"Disabled": {disabled(true), tributary.Invalid, "is disabled or expired"},
	} {
		t.Run(text, func(t *testing.T) {
			k := newKit(t)
			d := &auth.Developers{Auth: k.auth, AllowLockout: true}
			old, _ := k.create(d, "ci", "")
			_, left, err := k.rotated(&watched{after: func(n tributary.AccessKey) error {
				if n.ID != old.ID {
					k.change(d, old.ID, c.change)
				}
				return nil
			}}, old, time.Hour)
			k.refused(err, c.kind, c.says)
			if len(left) != 0 {
				t.Errorf("left is %+v", left)
			}
			now, err := k.store.AccessKey(t.Context(), old.ID)
			k.ok(err)
			want := old
			want.Revision++
			k.ok(c.change.Apply(&want, 0, "123456789012"))
			if now.Name != want.Name || now.Policy != want.Policy || now.Disabled != want.Disabled || now.Until != 0 || now.Revision != want.Revision {
				t.Errorf("the key is %+v, want %+v", now, want)
			}
		})
	}
	t.Run("Deleted", func(t *testing.T) {
		k := newKit(t)
		d := &auth.Developers{Auth: k.auth, AllowLockout: true}
		old, _ := k.create(d, "ci", "")
		_, left, err := k.rotated(&watched{after: func(n tributary.AccessKey) error {
			k.change(d, old.ID, disabled(true))
			return d.Delete(k.Context(), old.ID)
		}}, old, time.Hour)
		k.refused(err, tributary.NotFound, "")
		if len(left) != 0 {
			t.Errorf("left is %+v", left)
		}
	})
}
