package tributary

// Op is what happened to a record or a dataset.
type Op uint8

// The operations, as the stream names them.
const (
	Replace Op = iota
	Remove
)

func (op Op) String() string {
	if op == Remove {
		return "remove"
	}
	return "replace"
}

// Change is one synchronization: the only way to write a dataset, and what the
// log, the stream and the warehouse are told of it.
type Change struct {
	ID        ChangeID
	Key       DatasetKey
	Op        Op // Remove: the dataset was deleted
	SyncCount int64
	At        Millis // server's time
	By        string // who made it, as in LastModifiedBy
	// Records are the records it touched, as they are afterwards: tombstones
	// for the removed ones. Empty when the dataset was deleted.
	Records []Record
	// PoolBytes is by how much the pool's data grew.
	PoolBytes int64

	// What follows is for the store alone; a Change read from a log has none of it.

	// Condition is what must still hold when the change is committed.
	Condition Condition
	// Next is the head afterwards.
	Next Dataset
	// Forgotten are tombstones to be dropped for good, oldest first.
	Forgotten []Record
}

// Condition is the state that a Change was computed from. The change applies
// iff all of it still holds.
type Condition struct {
	Base     Version  // of the dataset's head
	Identity int64    // the identity's revision
	Stream   StreamID // the log that the pool routes to
}

// EntryKind tells what an entry of the log is.
type EntryKind uint8

// The kinds of entry.
const (
	EntryChange   EntryKind = iota // a Change, as it was committed
	EntrySnapshot                  // the live records of a dataset, of a bulk publish
	EntryForeign                   // a record that a developer put on the stream
)

// Entry is what the log holds.
type Entry struct {
	Position Position
	Arrived  Millis
	Kind     EntryKind
	Change   *Change        // of a change or a snapshot
	Foreign  *ForeignRecord // of a foreign record
}

// ForeignRecord is a record that did not come from a sync.
type ForeignRecord struct {
	PartitionKey string
	HashKey      HashKey // where it went, given or computed
	Data         []byte
}

// PartitionKey is what decides the entry's shard: the identity's id, or the
// key of a foreign record.
func (e *Entry) PartitionKey() string {
	if e.Kind == EntryForeign {
		return e.Foreign.PartitionKey
	}
	return string(e.Change.Key.Identity)
}
