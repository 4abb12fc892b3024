//go:build cgo

package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"tributary"
	"tributary/warehouse"
)

// Catalogs that the loader appends to.
const (
	stored    = ""
	temporary = "temp"
)

// flushBytes bounds what an appender holds: it would keep 2,048 rows whatever
// their size.
const flushBytes = 8 << 20

// appending adds rows to one table.
type appending struct {
	ctx   context.Context
	to    *duckdb.Appender
	bytes int
}

// appendRows adds rows to a table as part of the loader's transaction.
func (w *Warehouse) appendRows(ctx context.Context, catalog, table string, fill func(*appending) error) error {
	return w.loader.Raw(func(c any) error {
		to, err := duckdb.NewAppender(c.(driver.Conn), catalog, "main", table)
		if err != nil {
			return err
		}
		err = fill(&appending{ctx: ctx, to: to})
		if closing := to.CloseWithCancel(ctx); err == nil {
			err = closing
		}
		// A bad connection would be dropped by database/sql, and with it the transaction.
		if errors.Is(err, driver.ErrBadConn) {
			return errors.New("append: " + err.Error())
		}
		return err
	})
}

// add appends a row that holds about so many bytes of text.
func (a *appending) add(bytes int, values ...driver.Value) error {
	if err := a.to.AppendRow(values...); err != nil {
		return err
	}
	if a.bytes += bytes; a.bytes < flushBytes {
		return nil
	}
	a.bytes = 0
	return a.to.FlushWithCancel(a.ctx)
}

// rawRows appends raw rows. Values that neighbouring rows share are boxed once.
type rawRows struct {
	*appending
	dataset  tributary.DatasetKey
	position tributary.Position
	event    warehouse.Stamp
	stamp    warehouse.Stamp
	values   [15]driver.Value
}

// Places of the raw table's columns.
const (
	colPool = iota
	colIdentity
	colDataset
	colOperation
	colKey
	colValue
	colOp
	colSyncCount
	colDevice
	colLastModified
	colPosition
	colShard
	colEventSyncCount
	colEventLastModified
	colRowNumber
)

func newRawRows(a *appending, s tributary.Shard) *rawRows {
	r := &rawRows{appending: a}
	r.values[colShard] = s.String()
	return r
}

func (r *rawRows) row(row *warehouse.Row, number int64) error {
	r.head(row)
	v := &r.values
	v[colOperation], v[colOp] = opName(row.Operation), opName(row.Op)
	v[colKey], v[colValue] = nil, nil
	if !row.NoKey {
		v[colKey] = row.Key
	}
	if row.Op == tributary.Replace {
		v[colValue] = row.Value
	}
	v[colDevice] = nil
	if !row.NoDevice {
		v[colDevice] = row.DeviceLastModified.Time()
	}
	v[colRowNumber] = number
	return r.add(len(row.Key)+len(row.Value)+100, v[:]...)
}

// head sets the columns that rows of one event have in common.
func (r *rawRows) head(row *warehouse.Row) {
	v := &r.values
	if v[colPool] == nil || r.dataset != row.Dataset {
		r.dataset = row.Dataset
		v[colPool], v[colIdentity] = string(row.Dataset.Pool), string(row.Dataset.Identity)
		v[colDataset] = string(row.Dataset.Dataset)
	}
	if v[colPosition] == nil || r.position != row.Position || r.event != row.Event {
		r.position, r.event = row.Position, row.Event
		v[colPosition] = string(row.Position)
		v[colEventSyncCount], v[colEventLastModified] = row.Event.SyncCount, row.Event.At.Time()
	}
	if v[colSyncCount] == nil || r.stamp != row.Stamp {
		r.stamp = row.Stamp
		v[colSyncCount], v[colLastModified] = row.SyncCount, row.At.Time()
	}
}

// opName boxes without allocating.
func opName(op tributary.Op) driver.Value {
	if op == tributary.Remove {
		return "remove"
	}
	return "replace"
}

// deviceTime is a version's device date as a column holds it.
func deviceTime(v *warehouse.Version) driver.Value {
	if v.NoDevice {
		return nil
	}
	return v.DeviceLastModified.Time()
}
