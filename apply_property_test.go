package tributary_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary"
)

// sequence is a random life of one dataset, with its records kept as plainly
// as can be.
type sequence struct {
	rng     *rand.Rand
	limits  tributary.Limits
	head    tributary.Dataset
	records map[string]tributary.Record
	pool    int64 // sum of what the changes added to the pool
}

func newSequence(seed uint64) *sequence {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &sequence{
		rng:     rng,
		limits:  tributary.Limits{Records: 1 + rng.Int64N(3), DatasetBytes: 10 + rng.Int64N(200)},
		head:    tributary.Dataset{Key: someKey},
		records: map[string]tributary.Record{},
	}
}

// sorted gives all records in the order of their keys.
func (s *sequence) sorted() []tributary.Record {
	var out []tributary.Record
	for _, r := range s.records {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b tributary.Record) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// patches are distinct, some of them conflict, some break a limit.
func (s *sequence) patches() []tributary.Patch {
	var out []tributary.Patch
	for _, i := range s.rng.Perm(60)[:1+s.rng.IntN(20)] {
		p := tributary.Patch{Key: fmt.Sprintf("k%d", i), SyncCount: s.head.SyncCount, Remove: s.rng.IntN(3) > 0}
		if !p.Remove {
			p.Value = strings.Repeat("v", s.rng.IntN(30))
		}
		if s.rng.IntN(100) == 0 {
			p.SyncCount = s.rng.Int64N(s.head.SyncCount + 3)
		}
		out = append(out, p)
	}
	return out
}

// step computes one change and checks it against what the rules say.
func (s *sequence) step() error {
	w := tributary.Writer{ID: tributary.ChangeID(s.rng.Uint64()), By: "w", Now: startOfTime + tributary.Millis(s.head.SyncCount)}
	v := tributary.View{
		Pool:     tributary.Pool{Limits: s.limits},
		Identity: tributary.Identity{ID: ann}, Dataset: s.head, Records: s.sorted(),
	}
	if s.head.Exists && s.rng.IntN(25) == 0 {
		return s.take(v.Delete(w))
	}
	patches := s.patches()
	conflict := slices.ContainsFunc(patches, func(p tributary.Patch) bool {
		r, held := s.records[p.Key]
		return held && (p.SyncCount < r.SyncCount || p.SyncCount > s.head.SyncCount)
	})
	c, err := v.Apply(patches, w)
	switch kind := tributary.KindOf(err); {
	case err != nil && kind == tributary.Limit && !conflict:
		return nil
	case (err != nil) != conflict, err != nil && kind != tributary.Stale:
		return fmt.Errorf("patches %v: error %v, want a conflict: %t", patches, err, conflict)
	case err != nil:
		return nil
	}
	s.forget(c)
	return s.take(c)
}

// forget does what the service does: it offers the oldest tombstones.
func (s *sequence) forget(c *tributary.Change) {
	var oldest []tributary.Record
	for _, r := range s.records {
		if r.Removed {
			oldest = append(oldest, r)
		}
	}
	slices.SortFunc(oldest, func(a, b tributary.Record) int {
		return int(a.SyncCount-b.SyncCount)*1000 + strings.Compare(a.Key, b.Key)
	})
	for i := 0; i < len(oldest) && c.Crowded(s.limits); i++ {
		c.Forget(oldest[i])
	}
}

// take applies a change in the plain way and compares.
func (s *sequence) take(c *tributary.Change) error {
	if c.SyncCount != s.head.SyncCount+1 || c.Next.SyncCount != c.SyncCount || c.Next.Change != c.ID {
		return fmt.Errorf("count %d of a change of count %d, next head %+v", s.head.SyncCount, c.SyncCount, c.Next.Version)
	}
	updated := c.Updated(s.sorted())
	naive(s.records, c)
	if got, want := show(updated), show(s.sorted()); !slices.Equal(got, want) {
		return fmt.Errorf("Updated gives %v, want %v", got, want)
	}
	s.head = c.Next
	s.pool += c.PoolBytes
	return s.recount(c)
}

// naive is what a change does to a dataset's records.
func naive(records map[string]tributary.Record, c *tributary.Change) {
	if c.Op == tributary.Remove {
		clear(records)
	}
	for _, f := range c.Forgotten {
		delete(records, f.Key)
	}
	for _, r := range c.Records {
		records[r.Key] = r
	}
}

// recount compares the head's figures with the records.
func (s *sequence) recount(c *tributary.Change) error {
	var live, tombstones, tombstoneBytes, bytes int64
	for _, r := range s.records {
		if r.Removed {
			tombstones++
			tombstoneBytes += int64(len(r.Key))
			if r.SyncCount < s.head.Floor {
				return fmt.Errorf("tombstone %s@%d is kept though a younger one is forgotten (floor %d)", r.Key, r.SyncCount, s.head.Floor)
			}
			continue
		}
		live++
		bytes += int64(len(r.Key) + len(r.Value))
	}
	if d := s.head; d.Records != live || d.Tombstones != tombstones || d.TombstoneBytes != tombstoneBytes || d.Bytes != bytes {
		return fmt.Errorf("the head says %d records, %d tombstones of %d bytes, %d bytes; there are %d, %d of %d, %d",
			d.Records, d.Tombstones, d.TombstoneBytes, d.Bytes, live, tombstones, tombstoneBytes, bytes)
	}
	if s.pool != bytes {
		return fmt.Errorf("the changes added %d bytes, there are %d", s.pool, bytes)
	}
	// A change never forgets what it touches itself, however much that is.
	if most := max(s.limits.Tombstones(), int64(len(c.Records))); tombstones > most {
		return fmt.Errorf("%d tombstones are kept, at most %d may be", tombstones, most)
	}
	return nil
}

func TestAnySequenceKeepsTheBooks(t *testing.T) {
	for i := range 200 * soak(t) {
		seed := uint64(i)
		s := newSequence(seed)
		for step := range 60 {
			if err := s.step(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
		}
	}
}

func TestForget(t *testing.T) {
	tombstone := func(key string, count int64) tributary.Record {
		return tributary.Record{Key: key, Removed: true, SyncCount: count}
	}
	oldest := []tributary.Record{tombstone("a", 1), tombstone("b", 2), tombstone("c", 2), tombstone("d", 5)}
	tests := []struct {
		name    string
		oldest  []tributary.Record
		touched []string
		n       int64
		want    []string
		floor   int64
	}{
		{"Nothing", oldest, nil, 0, nil, 0},
		{"TheOldest", oldest, nil, 1, []string{"a-@1"}, 1},
		{"InTheirOrder", oldest, nil, 3, []string{"a-@1", "b-@2", "c-@2"}, 2},
		{"TouchedOnesStay", oldest, []string{"a", "c"}, 2, []string{"b-@2", "d-@5"}, 5},
		{"NoMoreThanThereAre", oldest, nil, 9, []string{"a-@1", "b-@2", "c-@2", "d-@5"}, 5},
		{"LiveRecordsStay", []tributary.Record{{Key: "l", Value: "v", SyncCount: 1}, oldest[3]}, nil, 1, []string{"d-@5"}, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &tributary.Change{SyncCount: 9, Next: tributary.Dataset{Tombstones: 10}}
			for _, key := range tt.touched {
				c.Records = append(c.Records, tributary.Record{Key: key, SyncCount: 9})
			}
			for i := 0; i < len(tt.oldest) && int64(len(c.Forgotten)) < tt.n; i++ {
				c.Forget(tt.oldest[i])
			}
			wantRecords(t, "forgotten", c.Forgotten, tt.want...)
			want(t, "the floor", c.Next.Floor, tt.floor)
			want(t, "tombstones", c.Next.Tombstones, 10-int64(len(tt.want)))
		})
	}
	t.Run("TheFloorNeverSinks", func(t *testing.T) {
		c := &tributary.Change{Next: tributary.Dataset{Tombstones: 10, Floor: 7}}
		c.Forget(oldest[0])
		want(t, "the floor", c.Next.Floor, 7)
	})
}

func TestCrowded(t *testing.T) {
	for _, tt := range []struct {
		tombstones, bytes int64
		limits            tributary.Limits
		want              bool
	}{
		{0, 0, tributary.Limits{Records: 2}, false},
		{32, 32, tributary.Limits{Records: 2}, false},
		{33, 33, tributary.Limits{Records: 2}, true},
		{1, 1 << 20, tributary.Limits{}, false},
		{1, 1<<20 + 1, tributary.Limits{}, true},
		{1 << 40, 0, tributary.Limits{Records: math.MaxInt64}, false},
	} {
		c := &tributary.Change{Next: tributary.Dataset{Tombstones: tt.tombstones, TombstoneBytes: tt.bytes}}
		want(t, fmt.Sprintf("crowded by %d tombstones of %d bytes", tt.tombstones, tt.bytes), c.Crowded(tt.limits), tt.want)
	}
}

// TestUpdatedIsTheNaiveMap gives Updated records and changes that no sequence
// of syncs need ever make: unsorted touched records, forgotten ones that are
// touched as well or live by now.
func TestUpdatedIsTheNaiveMap(t *testing.T) {
	for i := range 2000 * soak(t) {
		seed := uint64(i)
		rng := rand.New(rand.NewPCG(seed, 2))
		have := map[string]tributary.Record{}
		for range rng.IntN(12) {
			key := string(rune('a' + rng.IntN(12)))
			have[key] = tributary.Record{Key: key, Removed: rng.IntN(2) == 0, SyncCount: 1}
		}
		c := &tributary.Change{SyncCount: 2}
		if rng.IntN(20) == 0 {
			c.Op = tributary.Remove
		} else {
			for _, n := range rng.Perm(12)[:rng.IntN(12)] {
				c.Records = append(c.Records, tributary.Record{Key: string(rune('a' + n)), Removed: rng.IntN(2) == 0, SyncCount: 2})
			}
			for key, r := range have {
				if r.Removed && rng.IntN(3) == 0 {
					c.Forgotten = append(c.Forgotten, tributary.Record{Key: key, Removed: true, SyncCount: 1})
				}
			}
		}
		s := sequence{records: have}
		before, touched := s.sorted(), slices.Clone(c.Records)
		kept := slices.Clone(before)
		got := c.Updated(before)
		naive(have, c)
		if want := s.sorted(); !slices.Equal(show(got), show(want)) {
			t.Fatalf("seed %d: Updated gives %v, want %v", seed, show(got), show(want))
		}
		if !slices.Equal(show(before), show(kept)) || !slices.Equal(show(c.Records), show(touched)) {
			t.Fatalf("seed %d: Updated changed what it was given", seed)
		}
	}
}
