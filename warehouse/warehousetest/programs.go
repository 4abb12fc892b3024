package warehousetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tributary"
)

// testPrograms: random histories, delivered with repeats, delays and reopened
// in between, end as the model says.
func testPrograms(t *testing.T, o Options) {
	for n := range o.Programs {
		seed := o.Seed + uint64(n)
		t.Run(fmt.Sprintf("Seed%d", seed), func(t *testing.T) {
			p := &program{Rand: rand.New(rand.NewPCG(seed, 0)), heads: make(map[int]*story)}
			p.run(t, o)
		})
	}
}

// program makes up histories of a few datasets.
type program struct {
	*rand.Rand
	heads map[int]*story
	clock int64
}

// story is a dataset as its server sees it.
type story struct {
	count int64
	live  map[string]rec
}

func (p *program) run(t *testing.T, o Options) {
	opened := o.Open(t)
	f, m := newFeed(t, opened, 0), newModel()
	steps := 20 + p.IntN(40)
	var past []tributary.Entry
	for step := range steps {
		batch := f.number(p.batch(past)...)
		past = append(past, batch...)
		f.deliver(batch)
		m.apply(batch...)
		if p.IntN(3) == 0 { // again, from somewhere before
			f.deliver(past[len(past)-1-p.IntN(len(past)):])
		}
		if opened.Reopen != nil && p.IntN(10) == 0 {
			f.w = opened.Reopen()
		}
		if p.IntN(8) == 0 || step == steps-1 {
			m.compare(t, f.w)
		}
		if t.Failed() {
			t.Fatalf("failed at step %d of %d", step, steps)
		}
	}
}

// batch makes up the next events. Some are old ones again, some are kept back
// for a while by putting them in a random place.
func (p *program) batch(past []tributary.Entry) []tributary.Entry {
	var batch []tributary.Entry
	for range 1 + p.IntN(12) {
		var e tributary.Entry
		switch {
		case len(past) > 0 && p.IntN(10) == 0:
			e = past[p.IntN(len(past))]
		case p.IntN(20) == 0:
			e = foreign("x")
		default:
			e = p.event()
		}
		at := len(batch)
		if p.IntN(5) == 0 {
			at = p.IntN(len(batch) + 1)
		}
		batch = append(batch, tributary.Entry{})
		copy(batch[at+1:], batch[at:])
		batch[at] = e
	}
	return batch
}

func (p *program) event() tributary.Entry {
	who := p.IntN(4)
	s := p.heads[who]
	if s == nil {
		s = &story{live: make(map[string]rec)}
		p.heads[who] = s
	}
	p.clock += 1 + p.Int64N(3)
	switch n := p.IntN(20); {
	case n < 2 && s.count > 0:
		s.count++
		s.live = make(map[string]rec)
		e := remove(who, s.count, p.clock)
		if p.IntN(3) == 0 {
			s.count = 0 // as on AWS, perhaps
		}
		return e
	case n < 4 && len(s.live) > 0:
		return snapshot(who, s.count, p.clock, p.shuffled(s.live)...)
	}
	s.count++
	return update(who, s.count, p.clock, p.records(s)...)
}

func (p *program) shuffled(live map[string]rec) []rec {
	var all []rec
	for _, key := range keys() {
		if r, found := live[key]; found {
			all = append(all, r)
		}
	}
	p.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func keys() []string { return []string{"a", "b", "c", "d", "e", "f"} }

// records changes some keys of a dataset.
func (p *program) records(s *story) []rec {
	var all []rec
	for _, key := range keys() {
		if p.IntN(3) > 0 {
			continue
		}
		r := set(key, fmt.Sprintf("%s%d.%d", key, s.count, p.clock))
		if p.IntN(4) == 0 {
			r = unset(key)
		}
		all = append(all, r)
		r.count, r.at = s.count, p.clock
		if r.removed {
			delete(s.live, key)
		} else {
			s.live[key] = r
		}
	}
	return all
}
