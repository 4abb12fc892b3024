package audit

import (
	"context"
	"slices"
	"strings"
	"time"
)

const (
	flushEvery = time.Second
	// mostCounted is how many groups are counted between two flushes before acts
	// on the data of a pool become one. Beyond twice as many all acts of a key
	// become one that are the same action with the same outcome.
	mostCounted = 100
)

// group is acts that are counted together.
type group struct {
	Act
	below bool // Resource is what those of the acts begin with
}

func (g *group) entry() Entry {
	e := g.Act.entry()
	if g.below {
		e.Resource += "*"
	}
	return e
}

// ofPool is the group of what is done with the data of a pool. It shares the
// memory of the resource's name.
func (g group) ofPool() group {
	const part = "/identity/"
	if n := strings.Index(g.Resource, part); n >= 0 {
		g.Resource, g.below = g.Resource[:n+1], true
	}
	return g
}

// ofAction is the group of all that has the key, the action and the outcome.
func (g group) ofAction() group {
	return group{Act: Act{AccessKey: g.AccessKey, Action: g.Action, Outcome: g.Outcome}}
}

// sum is how often something was done, and when it last was.
type sum struct {
	at    time.Time
	times int64
}

// counts are the sums of groups.
type counts map[group]*sum

// add counts for a group, or for one that it is part of: no count is lost,
// however many groups there are.
func (c counts) add(g group, s sum) {
	have := c[g]
	if have == nil && len(c) >= mostCounted {
		g = g.ofPool()
		have = c[g]
	}
	if have == nil && len(c) >= 2*mostCounted {
		g = g.ofAction()
		have = c[g]
	}
	if have == nil {
		have = new(sum)
		c[g] = have
	}
	if have.at.Before(s.at) {
		have.at = s.at
	}
	have.times += s.times
}

// Note counts something that is done often, such as a read or a sync. It is
// written within a second, and lost if the process is killed before.
func (l *Log) Note(a Act) {
	a.shorten()
	at := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = counts{}
	}
	l.counts.add(group{Act: a}, sum{at, 1})
}

// Run writes what was counted until ctx is done.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Flush(context.WithoutCancel(ctx)) // the store is still open
		case <-tick.C:
			if err := l.Flush(ctx); err != nil && ctx.Err() == nil && l.Log != nil {
				l.Log.Error("the audit log cannot be written, will try again", "err", err)
			}
		}
	}
}

// Flush writes what was counted. What cannot be written is kept, and counted
// together with what comes later.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	counted := l.counts
	l.counts = nil
	l.mu.Unlock()
	if len(counted) == 0 {
		return nil
	}
	list := make([]Entry, 0, len(counted))
	for g, s := range counted {
		e := g.entry()
		e.At, e.Count = s.at, s.times
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return a.At.Compare(b.At) })
	err := l.append(ctx, list)
	if err != nil {
		l.giveBack(counted)
	}
	return err
}

// giveBack puts together what was counted before and since.
func (l *Log) giveBack(counted counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g, s := range l.counts {
		counted.add(g, *s)
	}
	l.counts = counted
}
