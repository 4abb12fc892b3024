package tributary

// PageState is a page token's inside, for tests.
type PageState struct {
	Pinned, Since int64
	After         Cursor
	Told          bool
}

// Encode writes the state as a page token holds it.
func (s PageState) Encode() []byte {
	p := page{pinned: s.Pinned, after: s.After, since: s.Since, told: s.Told}
	return p.encode()
}

// DecodePage reads a page token's inside.
func DecodePage(b []byte) (PageState, bool) {
	p, ok := decodePage(b)
	return PageState{Pinned: p.pinned, After: p.after, Since: p.since, Told: p.told}, ok
}

// BindTo makes the context of a token of a purpose and a dataset.
func BindTo(purpose string, k DatasetKey) string { return bindTo(purpose, k) }

// ChangesOf is what the audit log tells of a pool that was changed.
func ChangesOf(before, after *Pool) []string {
	var c Call
	c.noteChanges(before, after)
	return c.Details
}

// Split, Merge and Scale reshard a stream that is not stored.

func (s *Stream) Split(number uint32, at HashKey) { s.split(s.shard(number), at) }

func (s *Stream) Merge(low, high uint32) { s.merge(s.shard(low), s.shard(high)) }

func (s *Stream) Scale(n int) { s.scale(n) }
