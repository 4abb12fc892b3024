package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tributary"
)

func mergeCases() []testCase {
	return []testCase{
		{"Killed", mergeKilled},
		{"KilledAndDeleted", mergeKilledAndDeleted},
		{"Chain", mergeChain},
		{"NameTaken", mergeNameTaken},
		{"DeletedIdentity", deletedIdentity},
	}
}

// saysSo takes every token for the user's name.
type saysSo struct{}

func (saysSo) VerifyLogin(_ context.Context, _ *tributary.Pool, provider, token string) (tributary.VerifiedLogin, error) {
	return tributary.VerifiedLogin{Login: tributary.Login{Provider: provider, User: token}}, nil
}

func (k *kit) service(s tributary.Store) *tributary.Service {
	k.Helper()
	sealer := got(tributary.NewSealer(make([]byte, tributary.MasterKeyLength)))(k)
	return &tributary.Service{Store: s, Sealer: sealer, Logins: saysSo{}, Region: "eu-west-1", Account: "123456789012"}
}

var developer = tributary.Principal{Account: "123456789012", AccessKey: "AKIA"}

// meeting is a guest who turns out to be a user that there is already.
type meeting struct {
	*kit
	pool        tributary.PoolID
	stream      tributary.Stream
	guest, user tributary.IdentityID
}

func (k *kit) meeting(n, shards int) *meeting {
	k.Helper()
	id := func(kind int) string { return fmt.Sprintf("eu-west-1:%08x-%04x", n, kind) }
	m := &meeting{kit: k, pool: tributary.PoolID(id(1)), guest: tributary.IdentityID(id(2)), user: tributary.IdentityID(id(3))}
	m.stream = k.stream(tributary.StreamName(fmt.Sprint("s", n)), shards)
	k.pool(m.pool)
	k.route(m.pool, m.stream)
	p := got(k.s.Pool(k.Context(), m.pool))(k)
	p.AllowUnauthenticated = true
	k.ok(k.s.PutPool(k.Context(), p))
	k.identity(m.guest, m.pool)
	k.identity(m.user, m.pool, google)
	k.sync(m.key(m.guest, "small"), put("a", "1"), put("b", "2"))
	k.sync(m.key(m.guest, "small"), remove("a"), put("b", "3"))
	k.sync(m.key(m.guest, "large"), put("a", big), put("b", big))
	k.sync(m.key(m.guest, "gone"), put("a", "1"))
	k.drop(m.key(m.guest, "gone"))
	k.sync(m.key(m.user, "small"), put("a", "mine"))
	return m
}

func (m *meeting) key(i tributary.IdentityID, name tributary.DatasetName) tributary.DatasetKey {
	return tributary.DatasetKey{Pool: m.pool, Identity: i, Dataset: name}
}

func (m *meeting) signIn(s *tributary.Service) (tributary.Grant, error) {
	return s.SignIn(m.Context(), tributary.SignIn{Identity: m.guest, Logins: map[string]string{google.Provider: google.User}})
}

// killAt makes a store that is gone for good from a write on, which is itself
// applied or not.
func (k *kit) killAt(write int, applied bool) *Faulty {
	writes := 0
	return &Faulty{Store: k.s, Hook: func(string) (bool, error) {
		writes++
		if writes < write {
			return true, nil
		}
		return writes == write && applied, &tributary.Error{Kind: tributary.Unavailable, Op: "killed", Err: errors.New("killed")}
	}}
}

// killed runs f with every write of a sign-in as the last one that a process
// did, or did not, and at the end with none.
func (k *kit) killed(f func(m *meeting)) {
	n := 0
	for _, shards := range []int{1, 4} {
		for _, applied := range []bool{false, true} {
			for write, died := 1, true; died; write++ {
				n++
				m := k.meeting(n, shards)
				_, err := m.signIn(k.service(k.killAt(write, applied)))
				if died = err != nil; died {
					k.kind(err, tributary.Unavailable)
				} else if write < 5 {
					k.Fatalf("the merge took %d writes only", write-1)
				}
				f(m)
			}
		}
	}
}

// mergeKilled: whenever a process dies in a merge, another one finishes it, and
// nothing is lost or doubled.
func mergeKilled(k *kit) {
	k.killed(func(m *meeting) {
		s := k.service(k.s)
		k.ok(s.Sweep(k.Context()))
		g := got(m.signIn(s))(k)
		if g.Identity.ID != m.user {
			k.Fatalf("the sign-in gives %s, want the user %s", g.Identity.ID, m.user)
		}
		m.check(s, "small", "large")
		m.checkLog()
	})
}

// mergeKilledAndDeleted: a copy that was deleted before the merge was finished
// does not come again.
func mergeKilledAndDeleted(k *kit) {
	k.killed(func(m *meeting) {
		s := k.service(k.s)
		var left []string
		for _, name := range []string{"small", "large"} {
			_, err := s.DeleteDataset(k.Context(), developer, m.key(m.user, m.copyOf(name)))
			if err != nil {
				k.kind(err, tributary.NotFound)
				left = append(left, name)
			}
		}
		k.ok(s.Sweep(k.Context()))
		got(m.signIn(s))(k)
		m.check(s, left...)
		m.checkLog()
	})
}

func (m *meeting) copyOf(name string) tributary.DatasetName {
	return tributary.DatasetName(name + "." + string(m.guest))
}

// check wants the user to have the guest's datasets of these names beside its
// own, and the guest to have nothing.
func (m *meeting) check(s *tributary.Service, names ...string) {
	m.Helper()
	ctx := m.Context()
	guest := got(m.s.Identity(ctx, m.guest))(m.kit)
	if !guest.Disabled || guest.Unfinished || guest.MergedInto != m.user || guest.Datasets != 0 {
		m.Fatalf("the guest is %s", identityText(&guest))
	}
	var have, want []string
	for _, d := range got(m.s.Datasets(ctx, m.user, "", all))(m.kit) {
		have = append(have, string(d.Key.Dataset))
	}
	want = append(want, "small")
	for _, name := range names {
		want = append(want, string(m.copyOf(name)))
	}
	slices.Sort(want)
	m.same("the user's datasets", strings.Join(have, " "), strings.Join(want, " "))
	for _, name := range []string{"small", "large", "gone"} {
		l := got(s.ListRecords(ctx, developer, m.key(m.user, tributary.DatasetName(name)), tributary.ListQuery{}))(m.kit)
		reported := ""
		if slices.Contains(names, name) {
			reported = string(m.copyOf(name))
		}
		m.same("merged names of "+name, strings.Join(l.MergedNames, " "), reported)
	}
	for _, name := range names {
		v := m.view(m.key(m.user, m.copyOf(name)), "a", "b")
		shown := map[string]string{}
		for _, r := range v.Records {
			shown[r.Key] = r.Value
			if r.SyncCount != 1 {
				m.Errorf("%s: %s has count %d", v.Dataset.Key, r.Key, r.SyncCount)
			}
		}
		m.same("records of "+name, fmt.Sprint(shown), fmt.Sprint(map[string]map[string]string{"small": {"b": "3"}, "large": {"a": big, "b": big}}[name]))
	}
}

// checkLog wants each step once in the stream: first the copy, then the removal
// of the guest's.
func (m *meeting) checkLog() {
	m.Helper()
	times := map[string]int{}
	for n := range m.stream.Shards {
		for _, e := range m.entries(tributary.Shard{Stream: m.stream.ID, Number: uint32(n)}) {
			if c := e.Change; c.Key.Identity == m.guest && c.Op == tributary.Remove || strings.HasSuffix(string(c.Key.Dataset), string(m.guest)) {
				times[fmt.Sprint(c.Op, " ", c.Key.Dataset)]++
			}
		}
	}
	for _, name := range []string{"small", "large"} {
		for _, step := range []string{"replace " + string(m.copyOf(name)), "remove " + name} {
			if times[step] != 1 {
				m.Errorf("%q is %d times in the stream", step, times[step])
			}
		}
	}
}

// mergeChain: what came by a merge goes on with the next one, under its name.
func mergeChain(k *kit) {
	m := k.meeting(1, 2)
	s := k.service(k.s)
	got(m.signIn(s))(k)
	last := k.identity(ann, m.pool, tributary.Login{Provider: "p", User: "u"})
	out := got(s.SignIn(k.Context(), tributary.SignIn{Identity: last.ID, Logins: map[string]string{"p": "u", google.Provider: google.User}}))(k)
	if out.Identity.ID != ann || len(out.Identity.Logins) != 2 {
		k.Fatalf("the sign-in gives %s", identityText(&out.Identity))
	}
	var have []string
	for _, d := range got(k.s.Datasets(k.Context(), ann, "", all))(k) {
		have = append(have, string(d.Key.Dataset))
	}
	want := []string{string(m.copyOf("large")), string(m.copyOf("small")), "small." + string(m.user)}
	slices.Sort(want)
	k.same("datasets", strings.Join(have, " "), strings.Join(want, " "))
	l := got(s.ListRecords(k.Context(), developer, m.key(ann, "small"), tributary.ListQuery{}))(k)
	slices.Sort(l.MergedNames)
	k.same("merged names", strings.Join(l.MergedNames, " "), strings.Join(want[1:], " "))
	// The first identity leads to the last.
	g := got(m.signIn(s))(k)
	k.same("who the guest is now", string(g.Identity.ID), string(ann))
}

// mergeNameTaken: a dataset of the winner's own that has the copy's name stays
// as it is.
func mergeNameTaken(k *kit) {
	m := k.meeting(1, 1)
	own := k.sync(m.key(m.user, m.copyOf("small")), put("a", "own"))
	s := k.service(k.s)
	got(m.signIn(s))(k)
	v := k.view(m.key(m.user, m.copyOf("small")), "a")
	k.same("the winner's own", recordsText(v.Records), recordsText(own.Records))
	l := got(s.ListRecords(k.Context(), developer, m.key(m.user, "small"), tributary.ListQuery{}))(k)
	k.same("merged names", strings.Join(l.MergedNames, " "), string(m.copyOf("small"))+"."+string(m.guest))
}

// deletedIdentity: whenever a process dies in deleting an identity, another one
// finishes it, and from the first moment on the identity is refused.
func deletedIdentity(k *kit) {
	for n, died := 1, true; died; n++ {
		m := k.meeting(n, 2)
		dying := k.service(k.killAt(n, n%2 == 0))
		failed, err := dying.DeleteIdentities(k.Context(), developer, []tributary.IdentityID{m.guest})
		k.ok(err)
		if len(failed) == 0 {
			err = dying.Sweep(k.Context())
		}
		died = err != nil || len(failed) > 0
		s := k.service(k.s)
		i, err := k.s.Identity(k.Context(), m.guest)
		if err == nil && !i.Disabled {
			if n > 1 {
				k.Errorf("died at write %d, and the identity is as before", n)
			}
			continue
		}
		_, err = s.ListRecords(k.Context(), developer, m.key(m.guest, "small"), tributary.ListQuery{})
		k.kind(err, tributary.NotFound)
		k.ok(s.Sweep(k.Context()))
		_, err = k.s.Identity(k.Context(), m.guest)
		k.kind(err, tributary.NotFound)
		if list := got(k.s.Datasets(k.Context(), m.guest, "", all))(k); len(list) > 0 {
			k.Errorf("%d datasets are left", len(list))
		}
	}
}
