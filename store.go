package tributary

import (
	"context"
	"slices"
)

// Store is what an engine implements. All methods are safe for concurrent use.
//
// Reads show only what is durable: a read that meets a change whose log write
// is still under way waits for it (invariant I3). Writes return when durable.
//
// Every conditional write names the revision it was computed from in the value
// it puts, 0 for a value that must not exist yet; if another revision is
// stored the error's Kind is Stale and nothing is written. The stored value
// then has the next revision.
//
// Kinds that every method may return: Unavailable when the engine cannot
// answer (closed, poisoned by a failed write, out of disk, database gone),
// Internal when stored data cannot be read. Whatever else a method returns is
// said with it.
type Store interface {
	Pools
	Identities
	Unfinished
	Datasets
	Devices
	Streams
	Log
	Leases
	AccessKeys
	SealingKeys
	Usages
	// ID is a random name that the store got when it was made: what was taken
	// from another store's log does not continue from this one's.
	ID() string
	// Ready tells why the store would refuse a write now, nil if it would not.
	Ready(ctx context.Context) error
	Close() error
}

// Pools keeps the identity pools.
type Pools interface {
	// Pool reads a pool. NotFound.
	Pool(ctx context.Context, id PoolID) (Pool, error)
	// Pools lists up to limit pools above after, in the order of their ids' bytes.
	Pools(ctx context.Context, after PoolID, limit int) ([]Pool, error)
	// PutPool writes a pool. Stale. A change committed after it returns goes to
	// the log that the pool now routes to; NotFound if there is no such stream.
	PutPool(ctx context.Context, p Pool) error
	// DeletePool forgets a pool. NotFound; Exists while it has identities.
	DeletePool(ctx context.Context, id PoolID) error
}

// Identities keeps the identities and which logins they are linked to.
type Identities interface {
	// Identity reads an identity. NotFound.
	Identity(ctx context.Context, id IdentityID) (Identity, error)
	// Identities lists up to limit identities of a pool above after, in the
	// order of their ids' bytes.
	Identities(ctx context.Context, pool PoolID, after IdentityID, limit int) ([]Identity, error)
	// FindLogin tells which identity of the pool a login is linked to. NotFound.
	FindLogin(ctx context.Context, pool PoolID, login Login) (IdentityID, error)
	// PutIdentity writes an identity and links its logins, or several, each once,
	// in one atomic step: a login may go from one to another. Stale; Exists if
	// one of the logins is linked to another identity of the pool; NotFound if a
	// pool is not there.
	PutIdentity(ctx context.Context, all ...Identity) error
	// DeleteIdentity forgets an identity, the markers of its datasets and its
	// devices. NotFound; Exists while it has datasets.
	DeleteIdentity(ctx context.Context, id IdentityID) error
}

// Unfinished finds the identities whose merge or deletion is still under way.
type Unfinished interface {
	// UnfinishedIdentities lists up to limit unfinished identities above after,
	// in the order of their ids' bytes.
	UnfinishedIdentities(ctx context.Context, after IdentityID, limit int) ([]Identity, error)
}

// Datasets keeps the datasets. Commit is the only way to write one.
type Datasets interface {
	// View reads what a sync is computed from, as of one moment. A dataset that
	// was never written is a head with nothing but its key. NotFound if the
	// identity does not exist or is of another pool.
	View(ctx context.Context, key DatasetKey, records []string) (View, error)
	// Datasets lists up to limit existing datasets of an identity above after,
	// in the order of their names' bytes; none if there is no such identity.
	Datasets(ctx context.Context, identity IdentityID, after DatasetName, limit int) ([]Dataset, error)
	// Records lists a dataset's records in (sync count, key) order. None for a
	// dataset that does not exist. Stale if the range must be complete and is not.
	Records(ctx context.Context, key DatasetKey, r Range) ([]Record, error)
	// Snapshots reads the existing datasets of a pool above after, in the order
	// of their identities' and names' bytes, at least one if there are any, until
	// about maxBytes are reached. None for a pool that does not exist.
	Snapshots(ctx context.Context, pool PoolID, after DatasetKey, maxBytes int) ([]Snapshot, error)
	// Commit applies a change iff its Condition holds: records, head and log
	// entry in one atomic step. Stale otherwise. It returns when the change is
	// durable; the position is the log's affair and may be given later.
	//
	// After Unavailable the change may have been applied or not: the head's
	// ChangeID tells.
	Commit(ctx context.Context, c *Change) error
}

// Snapshot is a dataset and its live records in the order of their keys, both
// of one moment.
type Snapshot struct {
	Dataset Dataset
	Records []Record
}

// DeviceID names an installation of an app: any text of 1 to 256 characters.
type DeviceID string

// Device is an installation of an app, which is told when a dataset was changed
// by another one.
type Device struct {
	ID       DeviceID
	Revision int64 // 0 in a device that is not stored yet
	Identity IdentityID
	Platform string // APNS, APNS_SANDBOX, GCM or ADM
	Token    string // of the platform
	Endpoint string // ARN at SNS
	Datasets []DatasetName
	Created  Millis
}

// Clone is a copy that shares nothing.
func (d Device) Clone() Device {
	d.Datasets = slices.Clone(d.Datasets)
	return d
}

// Devices keeps the devices of identities.
type Devices interface {
	// Device reads a device. NotFound.
	Device(ctx context.Context, identity IdentityID, id DeviceID) (Device, error)
	// Devices lists an identity's devices in the order of their ids' bytes; none
	// if there is no such identity.
	Devices(ctx context.Context, identity IdentityID) ([]Device, error)
	// PutDevice writes a device. Stale; NotFound if its identity is not there.
	PutDevice(ctx context.Context, d Device) error
	// DeleteDevice forgets a device. NotFound.
	DeleteDevice(ctx context.Context, identity IdentityID, id DeviceID) error
}

// Streams keeps the streams and their shard maps.
type Streams interface {
	// Stream reads a stream by name. NotFound.
	Stream(ctx context.Context, name StreamName) (Stream, error)
	// Streams lists up to limit streams above after, in the order of their
	// names' bytes. The default log is not among them.
	Streams(ctx context.Context, after StreamName, limit int) ([]Stream, error)
	// PutStream writes a stream and gives it as stored: a new one with its id
	// and empty logs. Stale; Invalid as of [Stream.CheckNext]. Once it returns,
	// a closed shard takes nothing more.
	PutStream(ctx context.Context, s Stream) (Stream, error)
	// DeleteStream forgets a stream, its log and its leases. NotFound; Exists while a pool
	// routes to it.
	DeleteStream(ctx context.Context, name StreamName) error
}

// Source is where a pump takes entries from.
type Source interface {
	// Shards lists all shards that have entries or may get some.
	Shards(ctx context.Context) ([]Shard, error)
	// Read gives entries above a position in their order, at least one if there
	// are any, until about maxBytes are reached. It never skips an entry; after
	// a crash a source may repeat some.
	//
	// NotFound if the shard does not exist; Invalid if after is no position of
	// this shard. A position below the horizon reads from the horizon.
	Read(ctx context.Context, s Shard, after Position, maxBytes int) ([]Entry, error)
}

// Log is the store's own source: every Change in the order of its commit.
type Log interface {
	Source
	// Find gives the position below the first durable entry that arrived at or
	// after the time: 0 finds the horizon, a time to come the last entry. A
	// shard that never had an entry gives the position of its beginning.
	Find(ctx context.Context, s Shard, at Millis) (Position, error)
	// Wait returns when the shard has a durable entry above the position, or is
	// gone. Unavailable when ctx is done; NotFound, Invalid as for Read.
	Wait(ctx context.Context, s Shard, after Position) error
	// Trim forgets the entries up to and including a position. NotFound,
	// Invalid as for Read.
	Trim(ctx context.Context, s Shard, through Position) error
	// Append adds snapshots (of bulk publish) and foreign records (of PutRecord)
	// to a stream, all or none, each to the shard of its hash key, and gives
	// their positions. NotFound; Stale if a dataset is not at its snapshot's
	// Condition.Base, or no shard is open.
	//
	// marks are leases, each once, that are written in the same atomic step, as
	// SwapLease does: Stale, and no entry is added, unless each names the stored
	// revision; the stored ones have the next. Without entries the stream is not
	// looked at. After Unavailable they tell whether the entries were added.
	Append(ctx context.Context, stream StreamID, entries []Entry, marks ...Lease) ([]Position, error)
	// LogBytes estimates the bytes of the entries that a shard holds: their
	// number, times the mean size of some of them as the engine encodes entries.
	// It does not read them all. NotFound as for Read.
	LogBytes(ctx context.Context, s Shard) (int64, error)
}

// Leases keeps who carries what, and how far they got.
type Leases interface {
	// Leases lists a group's leases.
	Leases(ctx context.Context, group string) ([]Lease, error)
	// SwapLease writes a lease and gives it as stored. Stale.
	SwapLease(ctx context.Context, l Lease) (Lease, error)
}

// AccessKey is a developer's access key. Its secret is sealed with the master key.
type AccessKey struct {
	ID       string
	Revision int64
	Sealed   []byte
	Created  Millis
	Disabled bool
	Name     string // whose it is, a person's or a program's; "" if nobody said
	Policy   string // IAM policy document; "": everything is allowed
	Until    Millis // it is good before; 0: for ever
}

// AccessKeys keeps the developers' access keys.
type AccessKeys interface {
	// AccessKey reads a key. NotFound.
	AccessKey(ctx context.Context, id string) (AccessKey, error)
	// AccessKeys lists all keys.
	AccessKeys(ctx context.Context) ([]AccessKey, error)
	// PutAccessKey writes a key. Stale.
	PutAccessKey(ctx context.Context, k AccessKey) error
	// DeleteAccessKey forgets a key. NotFound.
	DeleteAccessKey(ctx context.Context, id string) error
}

// Usages keeps the figures of whole pools, which are never computed by
// scanning. They may be a second behind.
type Usages interface {
	// PoolUsage is NotFound if the pool is.
	PoolUsage(ctx context.Context, pool PoolID) (Usage, error)
	// CountSessions adds sync sessions to pools' figures; those of pools that
	// do not exist are dropped.
	CountSessions(ctx context.Context, sessions map[PoolID]int64) error
}
