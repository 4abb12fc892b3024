package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tributary"
)

// Dump is all that a store shows of pools, identities, devices, datasets, streams and
// logs, as lines that do not depend on ids and shards that engines choose: the
// entries of the default log are given by identity. The figures of pools,
// which may be behind, are left out, and so are leases and access keys.
func Dump(ctx context.Context, s tributary.Store) ([]string, error) {
	d := &dumper{ctx: ctx, s: s}
	err := cmp.Or(d.pools(), d.streams(), d.defaultLog())
	return d.lines, err
}

type dumper struct {
	ctx   context.Context
	s     tributary.Store
	lines []string
}

func (d *dumper) line(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *dumper) pools() error {
	pools, err := d.s.Pools(d.ctx, "", 1000)
	if err != nil {
		return err
	}
	for i := range pools {
		d.line("pool %s", poolText(&pools[i]))
		identities, err := d.s.Identities(d.ctx, pools[i].ID, "", 1000)
		if err != nil {
			return err
		}
		for j := range identities {
			if err := d.identity(&identities[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dumper) identity(i *tributary.Identity) error {
	d.line("identity %s", identityText(i))
	devices, err := d.s.Devices(d.ctx, i.ID)
	if err != nil {
		return err
	}
	for j := range devices {
		d.line("device %s", deviceText(&devices[j]))
	}
	datasets, err := d.s.Datasets(d.ctx, i.ID, "", 1000)
	for j := range datasets {
		key := datasets[j].Key
		records, err := d.s.Records(d.ctx, key, tributary.Range{Through: all})
		if err != nil {
			return err
		}
		d.line("dataset %s\n%s", headText(&datasets[j]), recordsText(records))
	}
	return err
}

func (d *dumper) streams() error {
	streams, err := d.s.Streams(d.ctx, "", 1000)
	if err != nil {
		return err
	}
	for i := range streams {
		s := &streams[i]
		d.line("stream %s", streamText(s))
		for _, r := range s.Shards {
			shard := tributary.Shard{Stream: s.ID, Number: r.Number}
			entries, err := readAll(d.ctx, d.s, shard)
			if err != nil {
				return err
			}
			for j := range entries {
				_, n, err := entries[j].Position.Split()
				d.line("%s/%d#%d %v %s", s.Name, r.Number, n, err, entryText(&entries[j]))
			}
		}
	}
	return nil
}

func (d *dumper) defaultLog() error {
	shards, err := d.s.Shards(d.ctx)
	if err != nil {
		return err
	}
	var entries []tributary.Entry
	for _, shard := range shards {
		if shard.Stream != tributary.DefaultStream {
			continue
		}
		list, err := readAll(d.ctx, d.s, shard)
		if err != nil {
			return err
		}
		entries = append(entries, list...)
	}
	// Stable: within one identity the order is the log's.
	slices.SortStableFunc(entries, func(a, b tributary.Entry) int {
		return cmp.Compare(a.PartitionKey(), b.PartitionKey())
	})
	for i := range entries {
		d.line("default log %s", entryText(&entries[i]))
	}
	return nil
}
