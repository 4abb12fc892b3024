package tributary

import (
	"context"
	"fmt"
	"time"
)

// ItemKind tells what an [Item] is a copy of.
type ItemKind uint8

// The kinds of item, in the order in which a store is copied. Values that are
// JSON are so in every engine, and are copied byte by byte.
const (
	// ItemStore is a figure of the store as a whole, by its name: StoreID,
	// LastStream and Restores.
	ItemStore ItemKind = iota
	// ItemStream is a stream with its shard map, by [StreamItemKey]: JSON.
	ItemStream
	// ItemShard is where a shard's log begins and ends, by [ShardItemKey]. The
	// end may lie above the last entry after a restore. Importing it forgets the entries that were trimmed; importing its absence
	// forgets the shard's log.
	ItemShard
	// ItemPool is a pool, by its id: JSON.
	ItemPool
	// ItemUsage is a pool's figures by shard, and its sessions, by its id.
	ItemUsage
	// ItemLease is a lease, by [LeaseItemKey]: JSON.
	ItemLease
	// ItemAccessKey is an access key, by its id: JSON.
	ItemAccessKey
	// ItemSealingKey is a sealing key, by [SealingItemKey]: JSON.
	ItemSealingKey
	// ItemIdentity is an identity with its figures, by its id. Importing it
	// links its logins.
	ItemIdentity
	// ItemDevice is a device, by [DeviceItemKey]: JSON.
	ItemDevice
	// ItemDataset is a dataset by [DatasetItemKey], a deleted one's marker too:
	// its head and all of its records, tombstones among them.
	ItemDataset
	// ItemEntry is an entry of the log, by its [Position].
	ItemEntry
)

var itemKindNames = [...]string{"store", "stream", "shard", "pool", "usage", "lease", "access key", "sealing key", "identity", "device", "dataset", "entry"}

// ItemKinds lists every kind in the order in which a store is copied.
func ItemKinds() []ItemKind {
	all := make([]ItemKind, len(itemKindNames))
	for i := range all {
		all[i] = ItemKind(i)
	}
	return all
}

func (k ItemKind) String() string {
	if int(k) < len(itemKindNames) {
		return itemKindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// The keys of the items of ItemStore, the first two of which every store has.
const (
	StoreID    = "id"          // Store.ID, as it is
	LastStream = "last stream" // the highest stream id ever given, as a decimal number
	Restores   = "restores"    // a list of [Restored], oldest first: JSON
)

// Item is a part of a store as bytes that mean the same to every engine: equal
// items are equal bytes, whichever engine they come from.
type Item struct {
	Kind  ItemKind
	Key   string // unique within its kind
	Value []byte // nil: there is no such item
}

// StreamItemKey is the key of a stream's item.
func StreamItemKey(id StreamID) string { return fmt.Sprintf("%020d", uint64(id)) }

// SealingItemKey is the key of a sealing key's item.
func SealingItemKey(id uint32) string { return fmt.Sprintf("%010d", id) }

// ShardItemKey is the key of a shard's item.
func ShardItemKey(s Shard) string { return fmt.Sprintf("%020d/%010d", uint64(s.Stream), s.Number) }

// LeaseItemKey is the key of a lease's item.
func LeaseItemKey(group string, s Shard) string { return group + "\x00" + ShardItemKey(s) }

// DeviceItemKey is the key of a device's item.
func DeviceItemKey(identity IdentityID, id DeviceID) string {
	return string(identity) + "\x00" + string(id)
}

// DatasetItemKey is the key of a dataset's item.
func DatasetItemKey(identity IdentityID, name DatasetName) string {
	return string(identity) + "\x00" + string(name)
}

// StorePhase is where a store stands in a move.
type StorePhase uint8

// The phases of a store. At the end of a move the target is filled, then the
// source moved, then the target ordinary: at no moment do both take writes.
const (
	// Ordinary is a store that nobody moves, or the source while it is copied.
	Ordinary StorePhase = iota
	// Filling is the target while it is copied to. It takes imports alone.
	Filling
	// Filled is the target when it holds everything and the source is about to
	// be given up.
	Filled
	// Moved is the source once it was given up. It takes no writes any more.
	Moved
)

func (p StorePhase) String() string {
	return [...]string{"ordinary", "filling", "filled", "moved"}[p&3]
}

// TransferState is a store's place in a move. The zero value is an ordinary
// store.
type TransferState struct {
	Phase StorePhase
	Move  string // a random name of the move; "" in an ordinary store
	Peer  string // the other store, for people: no secrets
	Since Millis
}

// Refusal is the error of whoever opens a store in this state to serve it, nil
// if it may: Invalid. name is the store's, for people.
func (t *TransferState) Refusal(name string) error {
	const op = "open store"
	at := t.Since.Time().Format(time.RFC3339)
	switch t.Phase {
	case Ordinary:
		return nil
	case Moved:
		return Errorf(Invalid, op, "the store %s was moved to %s at %s: start the server with that one. If the move was cut short, run `tributary migrate-store` again with the same stores", name, t.Peer, at)
	}
	return Errorf(Invalid, op, "the store %s is being filled from %s, since %s: run `tributary migrate-store` again to finish the move, or start the server with the other store", name, t.Peer, at)
}

// Transfer is how a store is copied to another engine. Engines implement it
// beside Store. All methods are safe for concurrent use, and work in every
// phase of a store that was opened for it.
//
// Kinds that every method may return: Unavailable and Internal, as of [Store].
type Transfer interface {
	// Scan gives items of a kind above a key in the order of their keys' bytes,
	// at least one if there are any, until about maxBytes are reached. Each item
	// is of one moment. An item that is written meanwhile may be given as it was
	// before or as it is afterwards, even if that is not durable yet.
	Scan(ctx context.Context, kind ItemKind, after string, maxBytes int) ([]Item, error)
	// Fetch gives the items of these keys as they are now, in the order of the
	// keys, with a nil Value for those that do not exist.
	Fetch(ctx context.Context, kind ItemKind, keys []string) ([]Item, error)
	// Import writes items, whatever was there before, and deletes those whose
	// Value is nil. It is durable when the store is Filled. Invalid if the store
	// is not Filling, or an item cannot be read.
	Import(ctx context.Context, items []Item) error
	// State tells the store's state as it is stored.
	State(ctx context.Context) (TransferState, error)
	// SetState moves a store from one state to the next, durably. Stale if it is
	// in another than from; after Unavailable, State tells which it is in. The
	// steps, all others being Invalid:
	//
	//   - Ordinary, if nothing was ever written to the store (Exists else), or
	//     Filling, Filled or Moved of another move, to Filling: everything in
	//     the store is deleted.
	//   - Filling to Filled and back, of one move.
	//   - Filled to Ordinary: the store serves from now on.
	//   - Ordinary to Moved: every write that has not been answered, on whichever
	//     node, is refused from now on; reads go on.
	//   - Moved to Ordinary, for a move that is known never to have ended.
	SetState(ctx context.Context, from, to TransferState) error
}

// CheckStep tells why a store cannot go from one state to another: Invalid.
func (t *TransferState) CheckStep(to *TransferState) error {
	from, same := t.Phase, t.Move == to.Move
	var allowed bool
	switch to.Phase {
	case Ordinary:
		allowed = from == Filled || from == Moved
	case Filling:
		allowed = !same || from == Filled
	case Filled:
		allowed = same && from == Filling
	case Moved:
		allowed = from == Ordinary
	}
	if !allowed || (to.Phase == Ordinary) != (to.Move == "") {
		return Errorf(Invalid, "set state", "a store cannot go from %s to %s", from, to.Phase)
	}
	return nil
}

// Clears tells whether a step that CheckStep allows deletes everything.
func (t *TransferState) Clears(to *TransferState) bool {
	return to.Phase == Filling && t.Move != to.Move
}
