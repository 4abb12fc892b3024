package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"tributary"
)

// Acked keeps the books of what a store was asked for and what it
// acknowledged. They outlive the store: after a crash, [Acked.Check] holds the
// reopened one against them. The zero value is an empty book, and its methods
// are safe for concurrent use.
type Acked struct {
	mu       sync.Mutex // guards all that follows
	clock    uint64     // rises with every question and answer
	changes  map[changeName]*asked
	appended map[tributary.Position]string // acknowledged, by where they are
	offered  map[string]int                // how often an entry may have been appended
	trimmed  map[tributary.Shard]tributary.Position
	marks    map[markName][]*marked
	gone     map[any]int // how often a stream or identity, by its id, may have been deleted
}

// changeName tells changes apart: the base is in the count.
type changeName struct {
	key   tributary.DatasetKey
	count int64
	id    tributary.ChangeID
}

// asked is what is known of one change. It may have been asked for again.
type asked struct {
	text   string
	stream tributary.StreamID
	since  uint64 // when it was first asked for
	acked  uint64 // when it was first acknowledged; 0: never
	acks   int
	open   int  // questions without an answer
	unsure bool // an answer left open whether it was applied
}

// Watch gives the store with every commit and append in the books. A question
// that was not answered, because the store crashed, may have been heard.
func (a *Acked) Watch(s tributary.Store) tributary.Store { return &watched{s, a} }

type watched struct {
	tributary.Store
	books *Acked
}

// refusal tells whether an error says that nothing was written.
func refusal(err error) bool {
	return isKind(err, tributary.Stale) || isKind(err, tributary.NotFound) || isKind(err, tributary.Invalid)
}

func (w *watched) Commit(ctx context.Context, c *tributary.Change) error {
	entry := w.books.ask(c)
	err := w.Store.Commit(ctx, c)
	w.books.answer(entry, err)
	return err
}

func (a *Acked) ask(c *tributary.Change) *asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changes == nil {
		a.changes = map[changeName]*asked{}
	}
	a.clock++
	name := changeName{c.Key, c.SyncCount, c.ID}
	if a.changes[name] == nil {
		a.changes[name] = &asked{text: storedChange(c), stream: c.Condition.Stream, since: a.clock}
	}
	a.changes[name].open++
	return a.changes[name]
}

func (a *Acked) answer(e *asked, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	e.open--
	if err != nil {
		e.unsure = e.unsure || !refusal(err)
		return
	}
	e.acks++
	if e.acked == 0 {
		e.acked = a.clock
	}
}

func (w *watched) Append(ctx context.Context, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	w.books.offer(entries, +1)
	forget := w.books.mark(stream, entries, marks)
	positions, err := w.Store.Append(ctx, stream, entries, marks...)
	switch {
	case err == nil:
		w.books.keep(entries, positions)
	case refusal(err):
		w.books.offer(entries, -1)
		forget()
	}
	return positions, err
}

func (a *Acked) offer(entries []tributary.Entry, times int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.offered == nil {
		a.offered = map[string]int{}
	}
	for i := range entries {
		a.offered[entryText(&entries[i])] += times
	}
}

func (a *Acked) keep(entries []tributary.Entry, positions []tributary.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.appended == nil {
		a.appended = map[tributary.Position]string{}
	}
	for i := range entries {
		a.appended[positions[i]] = entryText(&entries[i])
	}
}

func (w *watched) Trim(ctx context.Context, s tributary.Shard, through tributary.Position) error {
	w.books.mu.Lock()
	if w.books.trimmed == nil {
		w.books.trimmed = map[tributary.Shard]tributary.Position{}
	}
	w.books.trimmed[s] = max(w.books.trimmed[s], through)
	w.books.mu.Unlock()
	return w.Store.Trim(ctx, s, through)
}

func (w *watched) DeleteStream(ctx context.Context, name tributary.StreamName) error {
	s, err := w.Store.Stream(ctx, name)
	if err != nil {
		return err
	}
	return w.books.removal(s.ID, func() error { return w.Store.DeleteStream(ctx, name) })
}

func (w *watched) DeleteIdentity(ctx context.Context, id tributary.IdentityID) error {
	return w.books.removal(id, func() error { return w.Store.DeleteIdentity(ctx, id) })
}

// removal notes that something may be gone, unless removing it is refused.
func (a *Acked) removal(id any, remove func() error) error {
	note := func(times int) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.gone == nil {
			a.gone = map[any]int{}
		}
		a.gone[id] += times
	}
	note(+1)
	err := remove()
	if err != nil && (refusal(err) || isKind(err, tributary.Exists)) {
		note(-1)
	}
	return err
}

// Check tells where a store, to which nobody writes, is not what was asked of
// it: a change that was acknowledged is in its dataset, and in the log once, as it was asked for;
// what is in the log was asked for and not refused; and of two changes of an
// identity, in one stream, the one acknowledged before the other was asked for
// comes first. What was trimmed or deleted is not missed.
func (a *Acked) Check(ctx context.Context, s tributary.Store) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	shards, err := s.Shards(ctx)
	if err != nil {
		return err
	}
	c := &reckoning{
		books: a, found: map[changeName]tributary.Position{}, offered: maps.Clone(a.offered),
		appended: maps.Clone(a.appended), order: map[sequence][]placed{}, texts: map[string]bool{},
	}
	for _, shard := range shards {
		horizon, err := s.Find(ctx, shard, 0)
		if err != nil {
			return err
		}
		if _, gone, _ := horizon.Split(); gone > 0 && horizon > a.trimmed[shard] {
			c.report("entries up to %s are gone, trimmed was through %q", horizon, a.trimmed[shard])
		}
		entries, err := readAll(ctx, s, shard)
		if err != nil {
			return err
		}
		for i := range entries {
			c.entry(shard, &entries[i])
		}
	}
	c.missing()
	if err := c.checkMarks(ctx, s); err != nil {
		return err
	}
	c.checkOrder()
	if err := c.checkHeads(ctx, s); err != nil {
		return err
	}
	return errors.Join(c.findings...)
}

// sequence is where order is promised.
type sequence struct {
	stream   tributary.StreamID
	identity tributary.IdentityID
}

type placed struct {
	at tributary.Position
	*asked
}

// reckoning holds a store's log against the books.
type reckoning struct {
	books    *Acked
	found    map[changeName]tributary.Position
	offered  map[string]int                // not found yet
	appended map[tributary.Position]string // not found yet
	order    map[sequence][]placed
	texts    map[string]bool // of all entries that were appended
	findings []error
}

func (c *reckoning) report(format string, args ...any) {
	const most = 20 // more would only hide the first
	if len(c.findings) < most {
		c.findings = append(c.findings, fmt.Errorf(format, args...))
	}
}

func (c *reckoning) entry(shard tributary.Shard, e *tributary.Entry) {
	text := entryText(e)
	if e.Kind != tributary.EntryChange {
		c.texts[text] = true
		if want, known := c.appended[e.Position]; known && want != text {
			c.report("at %s is\n%s\nacknowledged was\n%s", e.Position, text, want)
		}
		delete(c.appended, e.Position)
		if c.offered[text]--; c.offered[text] < 0 {
			c.report("at %s is, more often than it was appended,\n%s", e.Position, text)
		}
		return
	}
	name := changeName{e.Change.Key, e.Change.SyncCount, e.Change.ID}
	asked := c.books.changes[name]
	switch first, again := c.found[name]; {
	case asked == nil:
		c.report("at %s is a change that was never asked for:\n%s", e.Position, text)
		return
	case again:
		c.report("at %s is again what is at %s:\n%s", e.Position, first, text)
	case asked.text != text:
		c.report("at %s is\n%s\nasked for was\n%s", e.Position, text, asked.text)
	case asked.acks == 0 && asked.open == 0 && !asked.unsure:
		c.report("at %s is a change that was refused:\n%s", e.Position, text)
	}
	c.found[name] = e.Position
	in := sequence{shard.Stream, e.Change.Key.Identity}
	c.order[in] = append(c.order[in], placed{e.Position, asked})
}

func (c *reckoning) missing() {
	for name, asked := range c.books.changes {
		if asked.acks > 1 {
			c.report("change %d of %s was acknowledged %d times", name.count, name.key, asked.acks)
		}
		_, found := c.found[name]
		if asked.acks > 0 && !found && !c.books.forgot(asked.stream) {
			c.report("acknowledged and not in the log:\n%s", asked.text)
		}
	}
	for p, text := range c.appended {
		shard, _, _ := p.Split()
		if p > c.books.trimmed[shard] && c.books.gone[shard.Stream] == 0 {
			c.report("acknowledged at %s and not in the log:\n%s", p, text)
		}
	}
}

// forgot tells whether entries of a stream may be gone.
func (a *Acked) forgot(id tributary.StreamID) bool {
	for shard := range a.trimmed {
		if shard.Stream == id {
			return true
		}
	}
	return a.gone[id] > 0
}

// checkHeads holds the datasets against the books, which holds whatever was
// trimmed: a head never stands below what was acknowledged.
func (c *reckoning) checkHeads(ctx context.Context, s tributary.Store) error {
	heads := map[tributary.DatasetKey]int64{}
	for name, asked := range c.books.changes {
		if asked.acks > 0 && c.books.gone[name.key.Identity] == 0 {
			heads[name.key] = max(heads[name.key], name.count)
		}
	}
	for key, count := range heads {
		v, err := s.View(ctx, key, nil)
		if err != nil {
			return err
		}
		if v.Dataset.SyncCount < count {
			c.report("dataset %s is at count %d, acknowledged was %d", key, v.Dataset.SyncCount, count)
		}
	}
	return nil
}

func (c *reckoning) checkOrder() {
	for in, list := range c.order {
		slices.SortFunc(list, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
		latest := uint64(0) // when the latest of those before was asked for
		for _, p := range list {
			if p.acked != 0 && p.acked < latest {
				c.report("identity %s: before %s lies what was asked for after it was acknowledged:\n%s", in.identity, p.at, p.text)
			}
			latest = max(latest, p.since)
		}
	}
}
