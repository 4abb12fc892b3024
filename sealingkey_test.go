package tributary_test

import (
	"testing"
	"time"

	"tributary"
)

// rotating is a process that shares its sealing keys with others.
type rotating struct {
	*tributary.Rotation
	*testing.T
}

func newRotating(t *testing.T, keys tributary.SealingKeys, master byte, c *clock) *rotating {
	return &rotating{T: t, Rotation: &tributary.Rotation{Keys: keys, Sealer: newSealer(t, master), Every: 10 * 24 * time.Hour, Now: c.Now}}
}

func (r *rotating) look() {
	r.Helper()
	if err := r.Look(r.Context()); err != nil {
		r.Fatal(err)
	}
}

func (r *rotating) ids() (ids []uint32) {
	r.Helper()
	keys, err := r.Keys.SealingKeys(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// TestRotation has two processes that look after the keys of one store, each
// every 15 seconds, over two years: what one seals the other opens, until it is
// older than any token is good; and the keys stay few.
func TestRotation(t *testing.T) {
	c := newClock()
	store := openStore(t, c)
	one, two := newRotating(t, store, 1, c), newRotating(t, store, 1, c)
	one.look()
	two.look()
	if got := len(two.ids()); got != 1 {
		t.Fatalf("two processes made %d keys", got)
	}
	type sealed struct {
		token string
		at    time.Time
	}
	var tokens []sealed
	kept := map[string]bool{}
	for step := range 4000 {
		c.Add(15 * time.Second)
		if step%8 == 7 {
			c.Add(6 * time.Hour)
		}
		first, second := one, two
		if step%2 == 1 {
			first, second = two, one
		}
		first.look()
		token := first.Sealer.Seal("c", []byte("plain"))
		mustOpen(t, second.Sealer, "c", token, "plain") // which has not looked yet
		second.look()
		tokens = append(tokens, sealed{token, c.Now()})
		for len(tokens) > 0 && c.Now().Sub(tokens[0].at) > 24*time.Hour {
			tokens = tokens[1:]
		}
		mustOpen(t, second.Sealer, "c", tokens[0].token, "plain")
		if n := len(one.ids()); n > 2 {
			t.Fatalf("there are %d keys: %v", n, one.ids())
		}
		kept[token[:8]] = true // version and id of the key
	}
	if ids := one.ids(); ids[0] < 5 {
		t.Errorf("after %v the keys are %v", c.Now(), ids)
	}
	if len(kept) < 5 {
		t.Errorf("tokens were sealed under %d keys", len(kept))
	}
	late := newRotating(t, store, 1, c)
	late.look()
	mustOpen(t, late.Sealer, "c", tokens[len(tokens)-1].token, "plain")
	mustOpen(t, one.Sealer, "c", late.Sealer.Seal("c", []byte("of a new process")), "of a new process")
}

// TestRotationDropsOldKeys: what was sealed under a key that is gone is closed,
// but for what is sealed for good.
func TestRotationDropsOldKeys(t *testing.T) {
	c := newClock()
	r := newRotating(t, openStore(t, c), 1, c)
	before := r.Sealer.Seal("c", []byte("under the master key"))
	r.look()
	token, good := r.Sealer.Seal("c", []byte("plain")), r.Sealer.SealForGood("c", []byte("secret"))
	for range 3 {
		c.Add(10*24*time.Hour + time.Minute)
		r.look()
		c.Add(time.Minute)
		r.look()
	}
	if _, err := r.Sealer.Open("c", token); err == nil {
		t.Error("a token was opened whose key is dropped")
	}
	mustOpen(t, r.Sealer, "c", good, "secret")
	mustOpen(t, r.Sealer, "c", before, "under the master key")
}

// TestRotationWithAnotherMasterKey: whoever lost the master key goes on with
// another one; what was sealed before is closed.
func TestRotationWithAnotherMasterKey(t *testing.T) {
	c := newClock()
	store := openStore(t, c)
	lost := newRotating(t, store, 1, c)
	lost.look()
	token := lost.Sealer.Seal("c", []byte("plain"))
	c.Add(time.Hour)
	r := newRotating(t, store, 2, c)
	r.look()
	if _, err := r.Sealer.Open("c", token); err == nil {
		t.Error("opened under another master key")
	}
	mustOpen(t, r.Sealer, "c", r.Sealer.Seal("c", []byte("new")), "new")
	if ids := r.ids(); len(ids) != 2 {
		t.Errorf("the keys are %v", ids)
	}
}

// TestRotationByWrongClocks starts a process just after another has made a key,
// by a clock that is far behind or ahead: what it seals the others open, also
// before they look again, and it takes the key when all must know it.
func TestRotationByWrongClocks(t *testing.T) {
	for _, wrong := range []time.Duration{-2 * time.Hour, 0, 2 * time.Hour} {
		c := newClock()
		store := openStore(t, c)
		one := newRotating(t, store, 1, c)
		one.look()
		c.Add(10*24*time.Hour + max(0, -wrong))
		theirs := newClock()
		theirs.Add(c.Now().Sub(theirs.Now()) + wrong)
		maker := newRotating(t, store, 1, theirs)
		maker.look()
		if n := len(maker.ids()); n != 2 {
			t.Fatalf("with a clock that is wrong by %v there are %d keys", wrong, n)
		}
		late := newRotating(t, store, 1, c)
		late.look()
		old := late.Sealer.Seal("c", []byte("plain"))
		mustOpen(t, one.Sealer, "c", old, "plain")
		one.look()
		c.Add(time.Minute)
		late.look()
		token := late.Sealer.Seal("c", []byte("plain"))
		mustOpen(t, one.Sealer, "c", token, "plain")
		if token[:8] == old[:8] { // version and id of the key
			t.Errorf("a minute later, with a clock that is wrong by %v, it seals under the old key", wrong)
		}
		// One that starts when the old key is about to go does not seal under it.
		c.Add(48 * time.Hour)
		last := newRotating(t, store, 1, c)
		last.look()
		token = last.Sealer.Seal("c", []byte("plain"))
		c.Add(time.Minute)
		one.look()
		if ids := one.ids(); len(ids) != 1 {
			t.Fatalf("the keys are %v", ids)
		}
		mustOpen(t, one.Sealer, "c", token, "plain")
	}
}
