package tributary_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary"
)

func (k *kit) stream(name tributary.StreamName) tributary.Stream {
	k.t.Helper()
	s, err := k.CreateStream(k.ctx, developer, name, 2, 0)
	k.ok(err)
	return s
}

// route sets a pool's stream.
func (k *kit) route(pool tributary.PoolID, name tributary.StreamName, role string, enabled bool) (tributary.Pool, error) {
	return k.ChangePool(k.ctx, developer, pool, func(p *tributary.Pool) error {
		return k.SetStream(k.ctx, p, name, role, enabled)
	})
}

func TestCreateStream(t *testing.T) {
	k := newKit(t)
	s, err := k.CreateStream(k.ctx, developer, "s", 3, 0)
	k.ok(err)
	if s.ID <= tributary.DefaultStream || s.Kind != tributary.Embedded || len(s.Shards) != 3 || s.Retention != 24*time.Hour || s.Created != startOfTime || s.Revision != 1 {
		t.Errorf("the stream is %+v", s)
	}
	_, err = k.CreateStream(k.ctx, developer, "s", 1, 0)
	k.text(err, tributary.Exists, "Stream s under account 123456789012 already exists.")
	for _, tt := range []struct {
		name      tributary.StreamName
		shards    int
		retention time.Duration
		ok        bool
	}{
		{"most shards", 1024, 0, false}, // a space in the name
		{"most-shards", 1024, 0, true},
		{"too-many", 1025, 0, false},
		{"none", 0, 0, false},
		{"shortest", 1, time.Hour, true},
		{"too-short", 1, time.Hour - 1, false},
		{"longest", 1, 365 * 24 * time.Hour, true},
		{"too-long", 1, 365*24*time.Hour + 1, false},
		{"", 1, 0, false},
	} {
		_, err := k.CreateStream(k.ctx, developer, tt.name, tt.shards, tt.retention)
		if tt.ok {
			k.ok(err)
		} else {
			k.kind(err, tributary.Invalid)
		}
	}
	_, err = k.CreateStream(k.ctx, asIdentity(poolA, ann), "x", 1, 0)
	k.kind(err, tributary.Denied)
	_, err = k.Stream(k.ctx, asIdentity(poolA, ann), "s")
	k.kind(err, tributary.Denied)
	_, err = k.Stream(k.ctx, developer, "none")
	k.text(err, tributary.NotFound, "Stream none under account 123456789012 not found.")
	list, err := k.Streams(k.ctx, developer, "longest", 2)
	k.ok(err)
	want(t, "streams above longest", fmt.Sprint(list[0].Name, list[1].Name), "most-shardss")
	_, err = k.Streams(k.ctx, tributary.Principal{}, "", 2)
	k.kind(err, tributary.Denied)
}

func TestSetStream(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	one, two := k.stream("one"), k.stream("two")
	p, err := k.route(poolA, "one", "arn:role", true)
	k.ok(err)
	want(t, "set", p.Stream, tributary.StreamConfig{Name: "one", ID: one.ID, RoleARN: "arn:role", Enabled: true})
	want(t, "the route", p.Route(), one.ID)
	p, err = k.route(poolA, "", "", false)
	k.ok(err)
	want(t, "turned off, name and role kept", p.Stream, tributary.StreamConfig{Name: "one", ID: one.ID, RoleARN: "arn:role", Off: tributary.MillisOf(k.clock.Now())})
	want(t, "the route", p.Route(), tributary.DefaultStream)
	p, err = k.route(poolA, "two", "arn:other", true)
	k.ok(err)
	want(t, "another", p.Stream, tributary.StreamConfig{Name: "two", ID: two.ID, RoleARN: "arn:other", Enabled: true})
	_, err = k.route(poolA, "none", "", true)
	k.kind(err, tributary.Invalid)
	if text := tributary.Message(err); !strings.Contains(text, "none") {
		t.Errorf("the message %q does not name the stream", text)
	}
	_, err = k.route(poolB, "", "", true)
	k.kind(err, tributary.Invalid) // nothing to keep
	_, err = k.route(poolB, "a b", "", true)
	k.kind(err, tributary.Invalid)
	p, err = k.Pool(k.ctx, developer, poolA)
	k.ok(err)
	want(t, "after the refusals", p.Stream.Name, "two")
}

// TestKinesisStreams: pools share a stream at Kinesis if they agree on all of
// it, and a failure of it is theirs together.
func TestKinesisStreams(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	const role = "arn:aws:iam::123456789012:role/stream"
	_, err := k.route(poolA, "far", role, true)
	k.kind(err, tributary.Invalid)
	k.Kinesis = true
	_, err = k.route(poolA, "far", "", true)
	k.kind(err, tributary.Invalid)
	a, err := k.route(poolA, "far", role, true)
	k.ok(err)
	b, err := k.route(poolB, "far", role, true)
	k.ok(err)
	other, err := k.route(poolB, "far", role+"-2", true)
	k.ok(err)
	if a.Route() != b.Route() || a.Route() == other.Route() || a.Route() == tributary.DefaultStream {
		t.Errorf("the routes are %d, %d and with another role %d", a.Route(), b.Route(), other.Route())
	}
	_, err = k.route(poolB, "far", role, true)
	k.ok(err)
	list, err := k.Streams(k.ctx, developer, "", 1)
	k.ok(err)
	want(t, "embedded streams", len(list), 0)

	name := tributary.Target{Name: "far", Region: "eu-west-1", RoleARN: role}.StreamName()
	st, err := k.Store.Stream(k.ctx, name)
	k.ok(err)
	k.ok(k.FailStream(k.ctx, st, "it is gone"))
	for _, id := range []tributary.PoolID{poolA, poolB} {
		p, err := k.Pool(k.ctx, developer, id)
		k.ok(err)
		if p.Stream.Enabled || p.Stream.DisabledReason != "it is gone" || p.Route() != a.Route() {
			t.Errorf("after the failure %+v", p.Stream)
		}
	}
	k.set(key("d"), "a", "kept")
	want(t, "changes that are kept", k.changesOf(a.Route()), 1)
	// Who turns streaming on again does so for all who share it; what a person
	// turned off stays off.
	_, err = k.route(poolB, "", "", false)
	k.ok(err)
	p, err := k.route(poolA, "", "", true)
	k.ok(err)
	want(t, "on again", p.Stream, tributary.StreamConfig{Name: "far", ID: a.Route(), RoleARN: role, Enabled: true})
	st, err = k.Store.Stream(k.ctx, name)
	k.ok(err)
	want(t, "the stream's failure", st.Failure, "")
	p, err = k.Pool(k.ctx, developer, poolB)
	k.ok(err)
	if p.Stream.Enabled || p.Route() != tributary.DefaultStream {
		t.Errorf("the other pool is %+v", p.Stream)
	}
	off := p.Stream.Off
	p, err = k.route(poolB, "", "", true)
	k.ok(err)
	want(t, "the gap begins", p.Stream.GapFrom, off)
	if p.Stream.Off != 0 || p.Stream.GapUntil < off {
		t.Errorf("on again it is %+v", p.Stream)
	}
}

// atKinesis makes the log of a stream there, that pools A and B share.
func (k *kit) atKinesis() tributary.Stream {
	k.t.Helper()
	const role = "arn:aws:iam::123456789012:role/stream"
	k.Kinesis = true
	for _, pool := range []tributary.PoolID{poolA, poolB} {
		_, err := k.route(pool, "far", role, true)
		k.ok(err)
	}
	st, err := k.Store.Stream(k.ctx, tributary.Target{Name: "far", Region: "eu-west-1", RoleARN: role}.StreamName())
	k.ok(err)
	return st
}

func (k *kit) streamConfig(pool tributary.PoolID) tributary.StreamConfig {
	k.t.Helper()
	p, err := k.Pool(k.ctx, developer, pool)
	k.ok(err)
	return p.Stream
}

// TestFailStream: who turns a stream off that another one has turned on again
// meanwhile does nothing; and what an end of the process left half done is done.
func TestFailStream(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	st := k.atKinesis()
	k.ok(k.FailStream(k.ctx, st, "gone"))
	_, err := k.route(poolA, "", "", true)
	k.ok(err)
	k.ok(k.FailStream(k.ctx, st, "gone"))
	now, err := k.Store.Stream(k.ctx, st.Name)
	k.ok(err)
	want(t, "the failure of a stream that is on again", now.Failure, "")
	want(t, "its pool", k.streamConfig(poolB).Enabled, true)

	now.Failure = "gone for good"
	now, err = k.Store.PutStream(k.ctx, now) // and the process ends
	k.ok(err)
	k.ok(k.ShowFailures(k.ctx))
	for _, pool := range []tributary.PoolID{poolA, poolB} {
		c := k.streamConfig(pool)
		if c.Enabled || !c.Kept || c.DisabledReason != "gone for good" {
			t.Errorf("after the failure %+v", c)
		}
	}
	now.Failure = ""
	_, err = k.Store.PutStream(k.ctx, now)
	k.ok(err)
	k.ok(k.ShowFailures(k.ctx))
	for _, pool := range []tributary.PoolID{poolA, poolB} {
		if c := k.streamConfig(pool); !c.Enabled || c.Kept || c.DisabledReason != "" {
			t.Errorf("on again %+v", c)
		}
	}
}

// TestNoteGap: pools tell what their stream never gets, and why, for as long as
// it is so.
func TestNoteGap(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	st := k.atKinesis()
	const minute tributary.Millis = 60_000
	at := startOfTime
	k.ok(k.FailStream(k.ctx, st, "It is gone."))
	note := func(from, until tributary.Millis, continues bool) {
		t.Helper()
		k.ok(k.NoteGap(k.ctx, tributary.Gap{Stream: st.ID, Entries: 3, From: from, Until: until, Continues: continues}))
	}
	note(at, at+minute, false)
	note(at+2*minute, at+3*minute, true)
	k.ok(k.ShowFailures(k.ctx)) // keeps it
	for _, pool := range []tributary.PoolID{poolA, poolB} {
		c := k.streamConfig(pool)
		want(t, "the gap", fmt.Sprint(c.GapFrom, c.GapUntil), fmt.Sprint(at, at+3*minute))
		want(t, "the reason", c.DisabledReason, "It is gone. Changes that were made between 2023-11-14T22:13:20Z and 2023-11-14T22:16:20Z were dropped: the backlog was over its limit")
	}
	_, err := k.route(poolA, "", "", true)
	k.ok(err)
	for _, pool := range []tributary.PoolID{poolA, poolB} {
		c := k.streamConfig(pool)
		if c.GapFrom != at || c.GapUntil != at+3*minute || c.DisabledReason != "" || !c.Enabled {
			t.Errorf("on again %+v", c)
		}
	}
	// A stream that only lags tells too, and a later gap is another one.
	note(at+9*minute, at+10*minute, false)
	c := k.streamConfig(poolB)
	want(t, "the gap", fmt.Sprint(c.GapFrom, c.GapUntil), fmt.Sprint(at+9*minute, at+10*minute))
	if !c.Enabled || !strings.HasPrefix(c.DisabledReason, "Changes that were made between 2023-11-14T22:22:20Z") {
		t.Errorf("of a stream that lags %+v", c)
	}
	note(at+10*minute, at+11*minute, true)
	if c := k.streamConfig(poolB); strings.Count(c.DisabledReason, "Changes") != 1 || c.GapFrom != at+9*minute {
		t.Errorf("it is %+v", c)
	}
}

// changesOf counts the changes in a stream's logs.
func (k *kit) changesOf(id tributary.StreamID) int {
	k.t.Helper()
	shards, err := k.Store.Shards(k.ctx)
	k.ok(err)
	n := 0
	for _, s := range shards {
		if s.Stream == id {
			batch, err := k.Store.Read(k.ctx, s, "", 1<<20)
			k.ok(err)
			n += len(batch)
		}
	}
	return n
}

func TestChangesFollowTheRoute(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	one := k.stream("one")
	k.set(key("d"), "a", "1")
	_, err := k.route(poolA, "one", "", true)
	k.ok(err)
	k.set(key("d"), "a", "2")
	k.set(key("d"), "a", "3")
	_, err = k.route(poolA, "", "", false)
	k.ok(err)
	k.set(key("d"), "a", "4")
	want(t, "changes in the stream", k.changesOf(one.ID), 2)
	want(t, "changes in the default log", k.changesOf(tributary.DefaultStream), 2)
}

func TestDeleteStreamTurnsStreamingOff(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.stream("one")
	two := k.stream("two")
	for pool, name := range map[tributary.PoolID]tributary.StreamName{poolA: "one", poolB: "one"} {
		_, err := k.route(pool, name, "arn:role", true)
		k.ok(err)
	}
	other := k.pool(tributary.Pool{Name: "on the other"})
	_, err := k.route(other.ID, "two", "", true)
	k.ok(err)
	k.set(key("d"), "a", "1")
	k.kind(k.DeleteStream(k.ctx, asIdentity(poolA, ann), "one"), tributary.Denied)
	k.ok(k.DeleteStream(k.ctx, developer, "one"))
	_, err = k.route(other.ID, "one", "", false)
	k.kind(err, tributary.Invalid) // another name must exist
	for _, id := range []tributary.PoolID{poolA, poolB} {
		p, err := k.Pool(k.ctx, developer, id)
		k.ok(err)
		want(t, "enabled", p.Stream.Enabled, false)
		want(t, "the reason", p.Stream.DisabledReason, "Stream one was deleted at 2023-11-14T22:13:20Z")
		want(t, "the name and role", string(p.Stream.Name)+" "+p.Stream.RoleARN, "one arn:role")
	}
	p, err := k.Pool(k.ctx, developer, other.ID)
	k.ok(err)
	want(t, "the other pool's route", p.Route(), two.ID)
	k.set(key("d"), "a", "2") // syncs go on
	want(t, "changes in the default log", k.changesOf(tributary.DefaultStream), 1)
	k.kind(k.DeleteStream(k.ctx, developer, "one"), tributary.NotFound)
	t.Run("DisabledByAPersonToo", func(t *testing.T) {
		k := k.in(t)
		p, err := k.route(poolB, "", "", false)
		k.ok(err)
		want(t, "the reason", p.Stream.DisabledReason, "")
		want(t, "the name", p.Stream.Name, "one")
	})
	t.Run("EnabledAgainWithoutTheStream", func(t *testing.T) {
		k := k.in(t)
		_, err := k.route(poolA, "", "", true)
		k.kind(err, tributary.Invalid)
	})
	t.Run("EnabledAgainWithANewOne", func(t *testing.T) {
		k := k.in(t)
		again := k.stream("one")
		p, err := k.Pool(k.ctx, developer, poolA)
		k.ok(err)
		want(t, "a new stream of the name turns nothing on", p.Route(), tributary.DefaultStream)
		p, err = k.route(poolA, "", "", true)
		k.ok(err)
		want(t, "the reason", p.Stream.DisabledReason, "")
		want(t, "the route", p.Route(), again.ID)
		k.set(key("d"), "a", "3")
		want(t, "changes in the stream", k.changesOf(again.ID), 1)
	})
}

// turnedOn is a store in which a pool is turned on again whenever a stream is
// to be deleted.
type turnedOn struct {
	tributary.Store
	again func()
}

func (o *turnedOn) DeleteStream(ctx context.Context, name tributary.StreamName) error {
	if o.again != nil {
		o.again()
	}
	return o.Store.DeleteStream(ctx, name)
}

func TestDeleteStreamGivesUp(t *testing.T) {
	k := newFilledKit(t, tributary.Limits{})
	k.stream("one")
	k.Store = &turnedOn{Store: k.Store, again: func() {
		_, err := k.route(poolA, "one", "", true)
		k.ok(err)
	}}
	k.kind(k.DeleteStream(k.ctx, developer, "one"), tributary.Busy)
}
