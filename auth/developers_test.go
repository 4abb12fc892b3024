package auth_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
)

const (
	onePool   = `{"Statement": {"Effect": "Allow", "Action": "cognito-sync:*", "Resource": "arn:aws:cognito-sync:*:*:identitypool/us-east-1:1"}}`
	otherPool = `{"Statement": {"Effect": "Allow", "Action": "cognito-sync:*", "Resource": "arn:aws:cognito-sync:*:*:identitypool/us-east-1:2"}}`
)

// create makes a key that it must be possible to make.
func (k *kit) create(d *auth.Developers, name, policy string) (tributary.AccessKey, awswire.Credentials) {
	k.Helper()
	key, secret, err := d.Create(k.Context(), name, policy)
	k.ok(err)
	return key, awswire.Credentials{AccessKeyID: key.ID, SecretKey: secret}
}

// over is the kit's auth over another view of its store.
func (k *kit) over(s tributary.Store) *auth.Auth {
	return &auth.Auth{Keys: s, Sealer: k.auth.Sealer, Now: k.auth.Now}
}

// refused wants an error of a kind, whose text has a part.
func (k *kit) refused(err error, kind tributary.Kind, text string) {
	k.Helper()
	if err == nil || tributary.KindOf(err) != kind || !strings.Contains(tributary.Message(err), text) {
		k.Errorf("%v, want %s with %q", err, kind, text)
	}
}

// wait lets a key be read again.
func (k *kit) wait() { k.clock = k.clock.Add(time.Second) }

func (k *kit) good(c awswire.Credentials, want bool) {
	k.Helper()
	if _, code := k.who(k.auth, c); (code == "") != want || !want && code != "UnrecognizedClientException" {
		k.Errorf("the answer is %q, want it to be good: %t", code, want)
	}
}

// allows tells whether who has a key may list a pool's datasets.
func (k *kit) allows(c awswire.Credentials, pool string) bool {
	k.Helper()
	p, code := k.who(k.auth, c)
	if code != "" {
		k.Fatal(code)
	}
	p.Call = &tributary.Call{Action: "cognito-sync:ListIdentityPoolUsage"}
	service := &tributary.Service{Account: "123456789012"}
	return service.Allow(p, "test", "arn:aws:cognito-sync:us-east-1:123456789012:identitypool/"+pool) == nil
}

func (k *kit) change(d *auth.Developers, id string, c tributary.AccessKeyChange) {
	k.Helper()
	_, err := d.Change(k.Context(), id, c)
	k.ok(err)
}

func disabled(yes bool) tributary.AccessKeyChange { return tributary.AccessKeyChange{Disabled: &yes} }

func policy(document string) tributary.AccessKeyChange {
	return tributary.AccessKeyChange{Policy: &document}
}

// TestKeyPolicy: what a key may do follows its policy, at most a second later.
func TestKeyPolicy(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	k.create(d, "stays", "")
	key, c := k.create(d, "one pool", onePool)
	if !k.allows(c, "us-east-1:1") || k.allows(c, "us-east-1:2") {
		t.Error("the key does not do what its policy says")
	}
	k.change(d, key.ID, policy(otherPool))
	k.wait()
	if k.allows(c, "us-east-1:1") || !k.allows(c, "us-east-1:2") {
		t.Error("the key does not do what its new policy says")
	}
	k.change(d, key.ID, policy(""))
	k.wait()
	if !k.allows(c, "us-east-1:1") {
		t.Error("a key without a policy may not do everything")
	}
	stored, err := k.store.AccessKey(t.Context(), key.ID)
	k.ok(err)
	stored.Policy = "{}"
	k.ok(k.store.PutAccessKey(t.Context(), stored))
	k.wait()
	r := httptest.NewRequest("GET", "http://auth.test/", nil)
	awswire.Sign(r, nil, c, "us-east-1", "test", k.clock)
	if p, err := k.auth.Authenticate(r, noBody); tributary.KindOf(err) != tributary.Internal || err == nil {
		t.Errorf("a stored policy that cannot be read: %+v, %v", p, err)
	}
}

func TestKeyChanges(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	stays, _ := k.create(d, "stays", "")
	key, c := k.create(d, strings.Repeat("é", tributary.MaxAccessKeyName), "")
	stored, err := k.store.AccessKey(t.Context(), key.ID)
	k.ok(err)
	if fmt.Sprint(stored) != fmt.Sprint(key) || stored.Created != tributary.MillisOf(k.clock) || bytes.Contains(stored.Sealed, []byte(c.SecretKey)) {
		t.Errorf("stored is %+v, given was %+v", stored, key)
	}
	for name, text := range map[string]string{strings.Repeat("é", tributary.MaxAccessKeyName+1): "has 129 characters, it must have at most 128", "a\nb": "at byte 1", "a\xff": "at byte 1", "\x1b[m": "at byte 0"} {
		_, _, err := d.Create(t.Context(), name, "")
		k.refused(err, tributary.Invalid, text)
		_, err = d.Change(t.Context(), key.ID, tributary.AccessKeyChange{Name: &name})
		k.refused(err, tributary.Invalid, text)
	}
	_, _, err = d.Create(t.Context(), "", `{"Statement": {}}`)
	k.refused(err, tributary.Invalid, "The policy is not valid: statement 1")
	_, err = d.Change(t.Context(), key.ID, policy("no JSON"))
	k.refused(err, tributary.Invalid, "it is not JSON")
	_, err = d.Change(t.Context(), "AKIANOBODY", policy(""))
	k.refused(err, tributary.NotFound, "")
	k.refused(d.Delete(t.Context(), "AKIANOBODY"), tributary.NotFound, "")

	k.refused(d.Delete(t.Context(), key.ID), tributary.Invalid, "is enabled: disable it first")
	k.change(d, key.ID, disabled(true))
	k.wait()
	k.good(c, false)
	k.change(d, key.ID, disabled(false))
	k.wait()
	k.good(c, true)
	k.change(d, key.ID, disabled(true))
	k.ok(d.Delete(t.Context(), key.ID))
	k.wait()
	k.good(c, false)
	list, err := d.Keys(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != stays.ID {
		t.Errorf("left are %+v, %v", list, err)
	}
}

// TestKeyRotation: the old key is good for as long as it is kept, to the moment.
func TestKeyRotation(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	k.create(d, "stays", "")
	old, c := k.create(d, "ci", onePool)
	next, secret, err := d.Rotate(t.Context(), old.ID, time.Hour)
	k.ok(err)
	n := awswire.Credentials{AccessKeyID: next.ID, SecretKey: secret}
	if next.ID == old.ID || next.Name != "ci" || next.Policy != onePool || !next.Good(tributary.MillisOf(k.clock)) || next.Until != 0 || k.allows(n, "us-east-1:2") {
		t.Errorf("the new key is %+v", next)
	}
	began := k.clock
	k.clock = began.Add(30 * time.Minute)
	for _, keep := range []time.Duration{time.Hour, 0} { // the next one would outlive it
		_, _, err = d.Rotate(t.Context(), old.ID, keep)
		k.refused(err, tributary.Invalid, old.ID+" is to end at 2026-09-21T15:13:20Z, since it was rotated: rotate the one that took its place")
	}
	list, err := d.Keys(t.Context())
	if err != nil || len(list) != 3 {
		t.Errorf("after a refused rotation there are %d keys, %v", len(list), err)
	}
	for _, keep := range []time.Duration{-1, tributary.MaxAccessKeyOverlap + 1} {
		_, _, err = d.Rotate(t.Context(), old.ID, keep)
		k.refused(err, tributary.Invalid, "it must be between 0 and 2160h")
	}
	k.clock = began.Add(time.Hour - 1)
	k.good(c, true)
	k.clock = began.Add(time.Hour)
	k.good(c, false) // also where it is remembered
	k.wait()
	k.good(c, false)
	k.good(n, true)
	_, _, err = d.Rotate(t.Context(), old.ID, time.Hour)
	k.refused(err, tributary.Invalid, "is disabled or expired")
	_, err = d.Change(t.Context(), old.ID, disabled(false))
	k.refused(err, tributary.Invalid, "expired at 2026-09-21T")
	k.ok(d.Delete(t.Context(), old.ID))
	_, _, err = d.Rotate(t.Context(), old.ID, time.Hour)
	k.refused(err, tributary.NotFound, "")

	_, _, err = d.Rotate(t.Context(), next.ID, 0)
	k.ok(err)
	k.wait()
	k.good(n, false)
	_, _, err = d.Rotate(t.Context(), next.ID, 0)
	k.refused(err, tributary.Invalid, "is disabled or expired")
	k.change(d, next.ID, disabled(false)) // it was not the one that leaked
	k.wait()
	k.good(n, true)
}

// TestRotationsRace: of two rotations of a key at the same time one makes a key.
func TestRotationsRace(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	k.create(d, "stays", "")
	old, _ := k.create(d, "ci", onePool)
	store := &reading{Store: k.store, both: make(chan struct{})}
	store.left.Add(2)
	go func() { store.left.Wait(); close(store.both) }()
	var errs [2]error
	var racing sync.WaitGroup
	for i := range errs {
		racing.Go(func() {
			other := &auth.Developers{Auth: k.over(store)}
			_, _, errs[i] = other.Rotate(t.Context(), old.ID, time.Hour)
		})
	}
	racing.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("%v, %v", errs[0], errs[1])
	}
	for _, err := range errs {
		if err != nil {
			k.refused(err, tributary.Invalid, "since it was rotated")
		}
	}
	list, err := d.Keys(t.Context())
	if err != nil || len(list) != 3 {
		t.Errorf("there are %d keys, want 3: %v", len(list), err)
	}
}

// reading is a store whose first two reads of a key wait for each other.
type reading struct {
	tributary.Store
	both chan struct{}
	left sync.WaitGroup
	n    atomic.Int32
}

func (r *reading) AccessKey(ctx context.Context, id string) (tributary.AccessKey, error) {
	k, err := r.Store.AccessKey(ctx, id)
	if r.n.Add(1) <= 2 {
		r.left.Done()
		<-r.both
	}
	return k, err
}

// TestStoredPolicyStays: a policy that would be refused today, since a part of
// it matches nothing, goes on to count where it is stored.
func TestStoredPolicyStays(t *testing.T) {
	const stale = `{"Statement": [{"Effect": "Allow", "Action": ["cognito-sync:*", "cognito-sync:ListRecord"], "Resource": ["arn:aws:cognito-sync:*:*:identitypool/us-east-1:1", "arn:aws:cognito-sync:*:999999999999:*"]}]}`
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	k.create(d, "stays", "")
	key, c := k.create(d, "ci", onePool)
	_, _, err := d.Create(t.Context(), "", stale)
	k.refused(err, tributary.Invalid, "cognito-sync:ListRecord matches no action")
	_, err = d.Change(t.Context(), key.ID, policy(stale))
	k.refused(err, tributary.Invalid, "cognito-sync:ListRecord matches no action")

	stored, err := k.store.AccessKey(t.Context(), key.ID)
	k.ok(err)
	stored.Policy = stale
	k.ok(k.store.PutAccessKey(t.Context(), stored))
	k.wait()
	if !k.allows(c, "us-east-1:1") || k.allows(c, "us-east-1:2") {
		t.Error("the key does not do what its stored policy says")
	}
	k.change(d, key.ID, disabled(true))
	k.change(d, key.ID, disabled(false))
	next, secret, err := d.Rotate(t.Context(), key.ID, time.Hour)
	k.ok(err)
	if n := (awswire.Credentials{AccessKeyID: next.ID, SecretKey: secret}); !k.allows(n, "us-east-1:1") || k.allows(n, "us-east-1:2") {
		t.Error("the next key does not do what the stored policy says")
	}
}

// TestLastKey: nobody locks everybody out.
func TestLastKey(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	last, _ := k.create(d, "last", "")
	k.create(d, "one pool", onePool)
	off, _ := k.create(d, "disabled", "")
	k.change(d, off.ID, disabled(true))
	rotated, _ := k.create(d, "rotated", "")
	next, _, err := d.Rotate(t.Context(), rotated.ID, time.Hour)
	k.ok(err)
	k.change(d, next.ID, disabled(true))
	other := &auth.Developers{Auth: &auth.Auth{Keys: k.store, Sealer: anotherSealer(k), Now: k.auth.Now}}
	k.create(other, "of a master key that is lost", "")

	const text = "is the last one that is enabled, does not expire and has no policy"
	for _, c := range []tributary.AccessKeyChange{disabled(true), policy(onePool)} {
		_, err := d.Change(t.Context(), last.ID, c)
		k.refused(err, tributary.Invalid, last.ID+" "+text)
	}
	name := "still the last"
	k.change(d, last.ID, tributary.AccessKeyChange{Name: &name})
	again, _, err := d.Rotate(t.Context(), last.ID, 0) // another takes its place
	k.ok(err)
	_, err = d.Change(t.Context(), again.ID, disabled(true))
	k.refused(err, tributary.Invalid, text)
	k.change(d, off.ID, disabled(false))
	k.change(d, again.ID, policy(onePool))
	_, err = d.Change(t.Context(), off.ID, disabled(true))
	k.refused(err, tributary.Invalid, text)
	k.change(&auth.Developers{Auth: k.auth, AllowLockout: true}, off.ID, disabled(true))
}

// TestOnlyKey: a store is never left without a key, for it would be taken for
// a new one.
func TestOnlyKey(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth, AllowLockout: true}
	only, _ := k.create(d, "", "")
	k.change(d, only.ID, disabled(true))
	k.refused(d.Delete(t.Context(), only.ID), tributary.Invalid, "is the only one")
	k.create(d, "", onePool)
	k.ok(d.Delete(t.Context(), only.ID))
}

func anotherSealer(k *kit) *tributary.Sealer {
	s, err := tributary.NewSealer(make([]byte, tributary.MasterKeyLength))
	k.ok(err)
	return s
}

// TestLastKeys: developers who disable each other's keys at the same time leave
// one, by one process or by several.
func TestLastKeys(t *testing.T) {
	const rounds = 20
	for name, processes := range map[string]int{"OneProcess": 1, "TwoProcesses": 2} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			store := &slow{Store: k.store}
			a := k.over(store)
			one := &auth.Developers{Auth: a}
			all := [2]*auth.Developers{one, one}
			if processes == 2 {
				all[1] = &auth.Developers{Auth: a}
			}
			for range rounds {
				raceForLast(k, all, processes == 1)
			}
			if processes == 1 && store.none.Load() {
				t.Error("no key was left for a moment")
			}
		})
	}
	t.Run("BothLookFirst", func(t *testing.T) {
		k := newKit(t)
		store := &meeting{Store: k.store, both: make(chan struct{})}
		store.left.Add(2)
		go func() { store.left.Wait(); close(store.both) }()
		a := k.over(store)
		raceForLast(k, [2]*auth.Developers{{Auth: a}, {Auth: a}}, false)
		if !store.met() {
			t.Error("they did not meet")
		}
	})
}

// raceForLast has two keys disabled, and wants one to be left.
func raceForLast(k *kit, d [2]*auth.Developers, exactly bool) {
	k.Helper()
	admin := &auth.Developers{Auth: k.auth, AllowLockout: true}
	before, err := admin.Keys(k.Context())
	k.ok(err)
	for _, key := range before {
		k.change(admin, key.ID, disabled(true))
	}
	var keys [2]tributary.AccessKey
	for i := range keys {
		keys[i], _ = k.create(admin, fmt.Sprint(i), "")
	}
	var errs [2]error
	var racing sync.WaitGroup
	for i := range d {
		racing.Go(func() { _, errs[i] = d[i].Change(k.Context(), keys[i].ID, disabled(true)) })
	}
	racing.Wait()
	left := 0
	for i := range keys {
		key, err := k.store.AccessKey(k.Context(), keys[i].ID)
		k.ok(err)
		if key.Full() {
			left++
		}
		if key.Full() != (errs[i] != nil) {
			k.Errorf("key %d is %+v after %v", i, key, errs[i])
		}
		if errs[i] != nil {
			k.refused(errs[i], tributary.Invalid, "is the last one")
		}
	}
	if left == 0 || exactly && left != 1 {
		k.Errorf("%d keys are left: %v", left, errs)
	}
}

// slow is a store whose lists of keys let others go first. It notes when no key
// is left that may do everything.
type slow struct {
	tributary.Store
	none atomic.Bool
}

func (s *slow) AccessKeys(ctx context.Context) ([]tributary.AccessKey, error) {
	list, err := s.Store.AccessKeys(ctx)
	for range 1000 {
		runtime.Gosched()
	}
	return list, err
}

func (s *slow) PutAccessKey(ctx context.Context, k tributary.AccessKey) error {
	err := s.Store.PutAccessKey(ctx, k)
	if list, _ := s.Store.AccessKeys(ctx); !slices.ContainsFunc(list, func(k tributary.AccessKey) bool { return k.Full() }) {
		s.none.Store(true)
	}
	return err
}

// meeting is a store whose first two lists of keys wait for each other.
type meeting struct {
	tributary.Store
	both chan struct{}

	left sync.WaitGroup
	mu   sync.Mutex
	n    int // lists so far
}

func (m *meeting) AccessKeys(ctx context.Context) ([]tributary.AccessKey, error) {
	list, err := m.Store.AccessKeys(ctx)
	m.mu.Lock()
	m.n++
	first := m.n <= 2
	m.mu.Unlock()
	if first {
		m.left.Done()
		<-m.both
	}
	return list, err
}

func (m *meeting) met() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n == 4
}

// TestBusyKey: a key that others change all the time is read again, a few times.
func TestBusyKey(t *testing.T) {
	k := newKit(t)
	d := &auth.Developers{Auth: k.auth}
	key, _ := k.create(d, "busy", onePool)
	store := &contended{Store: k.store, times: 2}
	d = &auth.Developers{Auth: k.over(store)}
	name := "changed"
	changed, err := d.Change(t.Context(), key.ID, tributary.AccessKeyChange{Name: &name})
	if err != nil || changed.Name != name || changed.Policy != otherPool || changed.Revision != 4 {
		t.Errorf("%+v, %v", changed, err)
	}
	store.times = 100
	_, err = d.Change(t.Context(), key.ID, disabled(true))
	k.refused(err, tributary.Busy, "Try again")
}

// contended is a store whose keys are written by others first.
type contended struct {
	tributary.Store
	times int
}

func (c *contended) PutAccessKey(ctx context.Context, k tributary.AccessKey) error {
	if c.times--; c.times >= 0 {
		now, err := c.Store.AccessKey(ctx, k.ID)
		if err != nil {
			return err
		}
		now.Policy = otherPool
		if err := c.Store.PutAccessKey(ctx, now); err != nil {
			return err
		}
	}
	return c.Store.PutAccessKey(ctx, k)
}
