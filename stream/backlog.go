package stream

import (
	"context"
	"math"
	"slices"

	"tributary"
)

// overfull is up to where the logs that only sinks read are to be
// cut, so that all of them together take at most BacklogBytes. The largest
// are cut first: a sink that is away costs the others nothing.
func (w *sweep) overfull(ctx context.Context, shards []tributary.Shard) (map[tributary.Shard]tributary.Position, error) {
	if w.BacklogBytes == 0 || w.Size == nil {
		return nil, nil
	}
	sizes := map[tributary.Shard]int64{}
	var all []int64
	for _, s := range shards {
		if !w.rules[s.Stream].outbox {
			continue
		}
		n, err := w.Size(ctx, s)
		if tributary.KindOf(err) == tributary.NotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		sizes[s], all = n, append(all, n)
	}
	most := level(all, w.BacklogBytes)
	cuts := map[tributary.Shard]tributary.Position{}
	for s, n := range sizes {
		if n <= most {
			continue
		}
		at, err := w.cut(ctx, s, n-most)
		if about(s, err) != nil {
			return nil, err
		}
		cuts[s] = at
	}
	return cuts, nil
}

// level is the most that one may take, so that all take at most limit.
func level(sizes []int64, limit int64) int64 {
	slices.Sort(sizes)
	for i, n := range sizes {
		share := limit / int64(len(sizes)-i)
		if n > share {
			return share
		}
		limit -= n
	}
	return math.MaxInt64
}

// cut finds the position up to which a log's oldest entries take so many bytes.
func (w *sweep) cut(ctx context.Context, s tributary.Shard, bytes int64) (at tributary.Position, err error) {
	const chunk = 1 << 20
	for bytes > 0 {
		entries, err := w.Store.Read(ctx, s, at, chunk)
		if err != nil || len(entries) == 0 {
			return at, err
		}
		for i := range entries {
			if bytes <= 0 {
				break
			}
			bytes -= sizeOf(&entries[i])
			at = entries[i].Position
		}
	}
	return at, nil
}

// sizeOf is about what an entry takes in a log.
func sizeOf(e *tributary.Entry) int64 {
	const head, perRecord = 96, 16
	n := head
	switch {
	case e.Foreign != nil:
		n += len(e.Foreign.PartitionKey) + len(e.Foreign.Data)
	case e.Change != nil:
		for i := range e.Change.Records {
			n += perRecord + len(e.Change.Records[i].Key) + len(e.Change.Records[i].Value)
		}
	}
	return int64(n)
}
