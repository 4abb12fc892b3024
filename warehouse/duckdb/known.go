//go:build cgo

package duckdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"

	"tributary"
	"tributary/warehouse"
)

// hash stands for a dataset or a key. It must not be possible to find two of
// one hash, since users choose the names: 128 bits of SHA-256.
type hash struct{ high, low uint64 }

func hashOf(text []byte) hash {
	sum := sha256.Sum256(text)
	return hash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])}
}

// hasher has room for the text to be hashed.
type hasher struct{ room []byte }

func (h *hasher) dataset(k tributary.DatasetKey) hash {
	h.room = binary.AppendUvarint(h.room[:0], uint64(len(k.Identity)))
	h.room = append(h.room, k.Identity...)
	h.room = append(h.room, k.Dataset...)
	return hashOf(h.room)
}

func (h *hasher) key(dataset hash, key string) hash {
	h.room = binary.BigEndian.AppendUint64(h.room[:0], dataset.high)
	h.room = binary.BigEndian.AppendUint64(h.room, dataset.low)
	h.room = append(h.room, key...)
	return hashOf(h.room)
}

// known is what the loader remembers of the database between deliveries.
// Deliveries change it before they commit; one that fails throws it away.
type known struct {
	hasher
	next     int64 // number of the next raw row
	folded   int64 // warehouse_meta.folded
	tailRows int   // raw rows above it
	tail     map[hash]place
	heads    map[hash]warehouse.Stamp // joins the stamps of everything a dataset ever had
	dirty    map[hash]struct{}        // heads that warehouse_heads has not heard of
	shards   map[tributary.Shard]checkpoint
}

// place is where the newest tail row of a key is.
type place struct {
	dataset hash
	row     int64
}

type checkpoint struct {
	epoch    int64
	position tributary.Position
}

// maxHeads is how many heads are remembered beyond a fold: about 30 MB.
const maxHeads = 1 << 18

// load reads what must be known for a delivery.
func (w *Warehouse) load(ctx context.Context) (*known, error) {
	k := &known{
		tail: make(map[hash]place), heads: make(map[hash]warehouse.Stamp),
		dirty: make(map[hash]struct{}), shards: make(map[tributary.Shard]checkpoint),
	}
	err := w.loader.QueryRowContext(ctx,
		`SELECT folded, coalesce((SELECT max(rowNumber) FROM cognito_raw_data), 0) + 1 FROM warehouse_meta`).Scan(&k.folded, &k.next)
	if err != nil {
		return nil, err
	}
	err = w.each(ctx, func(rows *sql.Rows) error {
		var s tributary.Shard
		var c checkpoint
		if err := rows.Scan(&s.Stream, &s.Number, &c.epoch, &c.position); err != nil {
			return err
		}
		k.shards[s] = c
		return nil
	}, `SELECT stream, shard, epoch, position FROM warehouse_checkpoint`)
	if err != nil {
		return nil, err
	}
	return k, w.loadTail(ctx, k)
}

func (w *Warehouse) loadTail(ctx context.Context, k *known) error {
	return w.each(ctx, func(rows *sql.Rows) error {
		var d tributary.DatasetKey
		var key string
		var row int64
		var s warehouse.Stamp
		if err := rows.Scan(&row, &d.Identity, &d.Dataset, &key, &s.SyncCount, &s.At); err != nil {
			return err
		}
		h := k.dataset(d)
		k.noteRow(h, key, row)
		k.noteHead(h, s)
		return nil
	}, `SELECT rowNumber, identityId, datasetName, key, syncCount, epoch_ms(lastModifiedDate)
		FROM cognito_raw_data WHERE rowNumber > ? ORDER BY rowNumber`, k.folded)
}

// noteRow remembers a tail row, which is newer than all that its key had.
func (k *known) noteRow(dataset hash, key string, row int64) {
	k.tail[k.key(dataset, key)] = place{dataset, row}
	k.tailRows++
}

// noteHead remembers that a dataset had something of this stamp.
func (k *known) noteHead(dataset hash, s warehouse.Stamp) {
	k.heads[dataset] = k.heads[dataset].Join(s)
	k.dirty[dataset] = struct{}{}
}

// each runs a query of the loader's and hands its rows over.
func (w *Warehouse) each(ctx context.Context, row func(*sql.Rows) error, query string, args ...any) error {
	rows, err := w.loader.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// findHeads reads the heads of datasets that are not remembered. A dataset that
// was never seen has the zero head.
func (w *Warehouse) findHeads(ctx context.Context, datasets []hash) error {
	k := w.known
	var missing []hash
	for _, d := range datasets {
		if _, found := k.heads[d]; !found {
			k.heads[d] = warehouse.Stamp{}
			missing = append(missing, d)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := w.ask(ctx, missing); err != nil {
		return err
	}
	return w.each(ctx, func(rows *sql.Rows) error {
		var d hash
		var s warehouse.Stamp
		if err := rows.Scan(&d.high, &d.low, &s.SyncCount, &s.At); err != nil {
			return err
		}
		k.heads[d] = s
		return nil
	}, `SELECT h.dh, h.dl, h.syncCount, h.atMillis FROM asked AS a JOIN warehouse_heads AS h ON h.dh = a.dh AND h.dl = a.dl`)
}

// ask fills the table asked, for a join with it.
func (w *Warehouse) ask(ctx context.Context, datasets []hash) error {
	if err := w.execAll(ctx, `DELETE FROM asked`); err != nil {
		return err
	}
	return w.appendRows(ctx, temporary, "asked", func(a *appending) error {
		for _, d := range datasets {
			if err := a.add(0, d.high, d.low); err != nil {
				return err
			}
		}
		return nil
	})
}
