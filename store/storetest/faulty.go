package storetest

import (
	"context"

	"tributary"
)

// Faulty is a store whose writes fail as Hook says. Reads are not touched.
type Faulty struct {
	tributary.Store
	// Hook is asked before every write, which it knows by the method's name. It
	// says whether the write is applied and which error is reported: failed,
	// failed but applied, even lost without an error are cases of their own. An
	// applied write that the store itself refuses reports the store's error.
	Hook func(op string) (apply bool, err error)
}

var _ tributary.Store = (*Faulty)(nil)

func (f *Faulty) try(op string, write func() error) error {
	apply, reported := true, error(nil)
	if f.Hook != nil {
		apply, reported = f.Hook(op)
	}
	if apply {
		if err := write(); err != nil {
			return err
		}
	}
	return reported
}

// tryFor is try for writes that give a value, which a failure withholds.
func tryFor[T any](f *Faulty, op string, write func() (T, error)) (T, error) {
	var v, none T
	err := f.try(op, func() (err error) {
		v, err = write()
		return err
	})
	if err != nil {
		return none, err
	}
	return v, nil
}

// PutPool implements [tributary.Pools].
func (f *Faulty) PutPool(ctx context.Context, p tributary.Pool) error {
	return f.try("PutPool", func() error { return f.Store.PutPool(ctx, p) })
}

// DeletePool implements [tributary.Pools].
func (f *Faulty) DeletePool(ctx context.Context, id tributary.PoolID) error {
	return f.try("DeletePool", func() error { return f.Store.DeletePool(ctx, id) })
}

// PutIdentity implements [tributary.Identities].
func (f *Faulty) PutIdentity(ctx context.Context, all ...tributary.Identity) error {
	return f.try("PutIdentity", func() error { return f.Store.PutIdentity(ctx, all...) })
}

// DeleteIdentity implements [tributary.Identities].
func (f *Faulty) DeleteIdentity(ctx context.Context, id tributary.IdentityID) error {
	return f.try("DeleteIdentity", func() error { return f.Store.DeleteIdentity(ctx, id) })
}

// Commit implements [tributary.Datasets].
func (f *Faulty) Commit(ctx context.Context, c *tributary.Change) error {
	return f.try("Commit", func() error { return f.Store.Commit(ctx, c) })
}

// PutDevice implements [tributary.Devices].
func (f *Faulty) PutDevice(ctx context.Context, d tributary.Device) error {
	return f.try("PutDevice", func() error { return f.Store.PutDevice(ctx, d) })
}

// DeleteDevice implements [tributary.Devices].
func (f *Faulty) DeleteDevice(ctx context.Context, identity tributary.IdentityID, id tributary.DeviceID) error {
	return f.try("DeleteDevice", func() error { return f.Store.DeleteDevice(ctx, identity, id) })
}

// PutStream implements [tributary.Streams].
func (f *Faulty) PutStream(ctx context.Context, s tributary.Stream) (tributary.Stream, error) {
	return tryFor(f, "PutStream", func() (tributary.Stream, error) { return f.Store.PutStream(ctx, s) })
}

// DeleteStream implements [tributary.Streams].
func (f *Faulty) DeleteStream(ctx context.Context, name tributary.StreamName) error {
	return f.try("DeleteStream", func() error { return f.Store.DeleteStream(ctx, name) })
}

// Trim implements [tributary.Log].
func (f *Faulty) Trim(ctx context.Context, s tributary.Shard, through tributary.Position) error {
	return f.try("Trim", func() error { return f.Store.Trim(ctx, s, through) })
}

// Append implements [tributary.Log].
func (f *Faulty) Append(ctx context.Context, stream tributary.StreamID, entries []tributary.Entry, marks ...tributary.Lease) ([]tributary.Position, error) {
	return tryFor(f, "Append", func() ([]tributary.Position, error) { return f.Store.Append(ctx, stream, entries, marks...) })
}

// SwapLease implements [tributary.Leases].
func (f *Faulty) SwapLease(ctx context.Context, l tributary.Lease) (tributary.Lease, error) {
	return tryFor(f, "SwapLease", func() (tributary.Lease, error) { return f.Store.SwapLease(ctx, l) })
}

// PutAccessKey implements [tributary.AccessKeys].
func (f *Faulty) PutAccessKey(ctx context.Context, a tributary.AccessKey) error {
	return f.try("PutAccessKey", func() error { return f.Store.PutAccessKey(ctx, a) })
}

// DeleteAccessKey implements [tributary.AccessKeys].
func (f *Faulty) DeleteAccessKey(ctx context.Context, id string) error {
	return f.try("DeleteAccessKey", func() error { return f.Store.DeleteAccessKey(ctx, id) })
}

// PutSealingKey implements [tributary.SealingKeys].
func (f *Faulty) PutSealingKey(ctx context.Context, k tributary.SealingKey) error {
	return f.try("PutSealingKey", func() error { return f.Store.PutSealingKey(ctx, k) })
}

// DeleteSealingKey implements [tributary.SealingKeys].
func (f *Faulty) DeleteSealingKey(ctx context.Context, id uint32) error {
	return f.try("DeleteSealingKey", func() error { return f.Store.DeleteSealingKey(ctx, id) })
}

// CountSessions implements [tributary.Usages].
func (f *Faulty) CountSessions(ctx context.Context, sessions map[tributary.PoolID]int64) error {
	return f.try("CountSessions", func() error { return f.Store.CountSessions(ctx, sessions) })
}
