package stream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tributary"
	"tributary/stream"
)

// atKinesis makes the pool's stream one at Kinesis.
func (w *world) atKinesis() tributary.Stream {
	w.Helper()
	const role = "arn:aws:iam::123456789012:role/stream"
	w.service.Kinesis = true
	_, err := w.service.ChangePool(w.Context(), developer, pool, func(p *tributary.Pool) error {
		return w.service.SetStream(w.Context(), p, "far", role, true)
	})
	w.check(err)
	s, err := w.store.Stream(w.Context(), tributary.Target{Name: "far", Region: "us-east-1", RoleARN: role}.StreamName())
	w.check(err)
	return s
}

func (w *world) ofKind() *stream.OfKind {
	return &stream.OfKind{Source: w.store, Streams: w.store, Kind: tributary.Kinesis}
}

// TestOfKind: a pump for streams at Kinesis gets their entries and no others,
// none while the stream is off, and all of them when it is on again.
func TestOfKind(t *testing.T) {
	w, r := newWorld(t), newRecorder()
	w.write(2, 1) // to the default log
	_, err := w.service.CreateStream(t.Context(), developer, "near", 2, 0)
	w.check(err)
	st := w.atKinesis()
	p := w.pump(r)
	p.Source = w.ofKind()
	start(t, p)
	w.write(8, 1)
	r.await(t, 8)
	w.check(w.service.FailStream(t.Context(), st, "gone"))
	source := w.ofKind() // has not looked yet
	w.write(8, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, s := range st.Shards {
		shard := tributary.Shard{Stream: st.ID, Number: s.Number}
		if err := source.Wait(ctx, shard, tributary.PositionOf(shard, 0)); tributary.KindOf(err) != tributary.Unavailable {
			t.Errorf("shard %s of a stream that is off: %v", shard, err)
		}
	}
	_, err = w.service.ChangePool(t.Context(), developer, pool, func(p *tributary.Pool) error {
		return w.service.SetStream(t.Context(), p, "", "", true)
	})
	w.check(err)
	r.await(t, 24)
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.got {
		if s.Stream != st.ID {
			t.Errorf("entries of shard %s were delivered", s)
		}
	}
}

// TestRetentionOfKinds: the log of a stream at Kinesis goes as soon as its own
// sink and the others have it, which others need not wait for; what is over the
// backlog limit goes too, and is told of first.
func TestRetentionOfKinds(t *testing.T) {
	const far, all = "far", "test"
	setup := func(t *testing.T) (*world, tributary.Stream, *stream.Retention, *[]tributary.Gap) {
		w := newWorld(t)
		told := &[]tributary.Gap{}
		r := &stream.Retention{Store: w.store, Groups: []string{all}, KindGroups: map[tributary.StreamKind][]string{tributary.Kinesis: {far}}, Now: w.now, Backlog: time.Hour,
			Dropped: func(_ context.Context, g tributary.Gap) error {
				*told = append(*told, g)
				return nil
			}}
		return w, w.atKinesis(), r, told
	}
	left := func(w *world, id tributary.StreamID) (n int) {
		shards, err := w.store.Shards(w.Context())
		w.check(err)
		for _, s := range shards {
			if s.Stream == id {
				entries, err := w.store.Read(w.Context(), s, "", 1<<20)
				w.check(err)
				n += len(entries)
			}
		}
		return n
	}
	carry := func(w *world, group string, n int) {
		sink := newRecorder()
		p := w.pump(sink)
		p.Group = group
		if group == far {
			p.Source = w.ofKind()
		}
		stop := start(w.T, p)
		sink.await(w.T, n)
		stop()
	}
	expect := func(w *world, r *stream.Retention, id tributary.StreamID, want int) {
		w.Helper()
		w.pass(time.Second)
		w.check(r.Trim(w.Context()))
		if n := left(w, id); n != want {
			w.Errorf("%d entries are left of stream %d, want %d", n, id, want)
		}
	}
	t.Run("AllGroups", func(t *testing.T) {
		w, st, r, told := setup(t)
		w.write(4, 2)
		expect(w, r, st.ID, 8)
		carry(w, far, 8)
		expect(w, r, st.ID, 8)
		carry(w, all, 8)
		expect(w, r, st.ID, 0)
		if len(*told) > 0 {
			t.Errorf("a loss is told: %+v", *told)
		}
	})
	t.Run("OthersDoNotWait", func(t *testing.T) {
		w := newWorld(t)
		w.write(4, 1)
		carry(w, all, 4)
		r := &stream.Retention{Store: w.store, Groups: []string{all}, KindGroups: map[tributary.StreamKind][]string{tributary.Kinesis: {far}}, Now: w.now}
		expect(w, r, tributary.DefaultStream, 0)
	})
	t.Run("Backlog", func(t *testing.T) {
		w, st, r, told := setup(t)
		from := tributary.MillisOf(w.now())
		w.write(4, 1)
		w.pass(30 * time.Minute)
		until := tributary.MillisOf(w.now())
		w.write(4, 1)
		carry(w, all, 8)
		expect(w, r, st.ID, 8)
		w.pass(31 * time.Minute)
		expect(w, r, st.ID, 4) // the first half is over the limit
		w.pass(31 * time.Minute)
		expect(w, r, st.ID, 0)
		want := []tributary.Gap{{Stream: st.ID, Group: far, Entries: 4, From: from, Until: from}, {Stream: st.ID, Group: far, Entries: 4, From: until, Until: until, Continues: true}}
		if fmt.Sprint(*told) != fmt.Sprint(want) {
			t.Errorf("told of %+v, want %+v", *told, want)
		}
		w.write(4, 1)
		carry(w, far, 4) // it goes on behind the gap
		carry(w, all, 4)
		expect(w, r, st.ID, 0)
		if len(*told) != 2 {
			t.Errorf("a further loss is told: %+v", (*told)[2:])
		}
	})
	t.Run("WarehouseBehind", func(t *testing.T) {
		w, st, r, told := setup(t)
		w.write(4, 1)
		carry(w, far, 4)
		w.pass(2 * time.Hour)
		expect(w, r, st.ID, 0)
		if len(*told) != 1 || (*told)[0].Group != all {
			t.Errorf("told of %+v: Kinesis has it all", *told)
		}
	})
	t.Run("BacklogBytes", func(t *testing.T) {
		w, st, r, told := setup(t)
		_, err := w.service.CreateStream(t.Context(), developer, "near", 1, 0)
		w.check(err)
		for name, rounds := range map[tributary.StreamName]int{"near": 3, "far": 5} {
			_, err := w.service.ChangePool(t.Context(), developer, pool, func(p *tributary.Pool) error {
				return w.service.SetStream(t.Context(), p, name, st.Target.RoleARN, true)
			})
			w.check(err)
			w.write(20, rounds)
		}
		carry(w, all, 160)
		const each = 100 // bytes that the fake measure says of an entry
		r.Size = func(ctx context.Context, s tributary.Shard) (int64, error) {
			entries, err := w.store.Read(ctx, s, "", 1<<20)
			return each * int64(len(entries)), err
		}
		r.BacklogBytes = 100 * each
		expect(w, r, st.ID, 100)
		r.BacklogBytes = 40 * each
		w.pass(time.Second)
		w.check(r.Trim(t.Context()))
		if n := left(w, st.ID); n > 50 || n < 40 { // by sizeOf an entry has a little more than each
			t.Errorf("%d entries are left of a backlog that may have 40", n)
		}
		if len(*told) != 1 || (*told)[0].Group != far || (*told)[0].Entries != uint64(100-left(w, st.ID)) {
			t.Errorf("told of %+v", *told)
		}
		// The oldest have gone, of each shard.
		for _, s := range st.Shards {
			shard := tributary.Shard{Stream: st.ID, Number: s.Number}
			entries, err := w.store.Read(t.Context(), shard, "", 1<<20)
			w.check(err)
			end, err := w.store.Find(t.Context(), shard, 1<<60)
			w.check(err)
			if len(entries) == 0 || entries[len(entries)-1].Position != end {
				t.Errorf("of shard %s %d entries are left, not the newest", shard, len(entries))
			}
		}
	})
	t.Run("NotTold", func(t *testing.T) {
		w, st, r, _ := setup(t)
		w.write(4, 1)
		w.pass(2 * time.Hour)
		r.Dropped = func(context.Context, tributary.Gap) error { return errShard }
		if err := r.Trim(t.Context()); err == nil {
			t.Error("no error")
		}
		if n := left(w, st.ID); n != 4 {
			t.Errorf("%d entries are left of which it could not be told that they go", n)
		}
	})
}
