package pebblestore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tributary"
)

// metaTransfer holds the state of a store that is not ordinary, as JSON.
var metaTransfer = []byte("mtransfer")

// inTransfer marks the format of a store that is not ordinary, so that a
// program that knows nothing of moves does not open it either.
const inTransfer = 1 << 31

// enter puts a store that is opened into the state that is stored. It tells
// whether the store serves.
func (s *Store) enter() (serves bool, err error) {
	if err := s.checkFormat(); err != nil {
		return false, err
	}
	if s.state, err = readState(s.db); err != nil {
		return false, err
	}
	if err := s.state.Refusal(s.cfg.Dir); err != nil && !s.cfg.Transfer {
		return false, err
	}
	s.stand()
	return s.standby.Load() == nil, nil
}

var (
	errFilling = tributary.Errorf(tributary.Unavailable, "store", "The store is being filled")
	errMoved   = tributary.Errorf(tributary.Unavailable, "store", "The store was moved")
)

// stand refuses what the state does not allow.
func (s *Store) stand() {
	switch s.state.Phase {
	case tributary.Filling, tributary.Filled:
		s.standby.Store(errFilling)
	case tributary.Moved:
		s.retired.Store(errMoved)
		s.standby.Store(nil)
	default:
		s.retired.Store(nil)
		s.standby.Store(nil)
	}
}

// refusal tells why the store does not take writes, nil if it does.
func (s *Store) refusal() error {
	if e := s.retired.Load(); e != nil {
		return e
	}
	return s.alive()
}

func readState(from pebble.Reader) (tributary.TransferState, error) {
	var t tributary.TransferState
	value, err := getFrom(from, metaTransfer)
	if err == nil && value != "" {
		err = json.Unmarshal([]byte(value), &t)
	}
	return t, internal("read state", err)
}

// State tells where the store stands in a move.
func (s *Store) State(context.Context) (tributary.TransferState, error) {
	s.stateMu.RLock()
	defer s.stateMu.RUnlock()
	return s.state, s.failed()
}

// SetState moves the store to its next state.
func (s *Store) SetState(_ context.Context, from, to tributary.TransferState) error {
	const op = "set state"
	if err := s.failed(); err != nil {
		return err
	}
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	if s.state != from {
		return tributary.Errorf(tributary.Stale, op, "the store is %s", s.state.Phase)
	}
	if err := from.CheckStep(&to); err != nil {
		return err
	}
	if from.Phase == tributary.Ordinary {
		if err := s.leaveOrdinary(to); err != nil {
			return err
		}
	}
	if from.Phase == tributary.Filled && to.Phase == tributary.Ordinary {
		if err := s.loadAll(); err != nil {
			return err
		}
	}
	b := s.db.NewBatch()
	defer b.Close()
	if from.Clears(&to) {
		s.standby.Store(errFilling)
		s.clearMemory()
		if err := b.DeleteRange([]byte{0}, []byte{0xff}, nil); err != nil {
			return internal(op, err)
		}
	}
	if err := setState(b, to); err != nil {
		return internal(op, err)
	}
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		s.fail(err)
		return s.failed()
	}
	if err := s.syncWait(b); err != nil {
		return err
	}
	s.state = to
	s.stand()
	return nil
}

// setState writes a state, and the format that goes with it.
func setState(b *pebble.Batch, t tributary.TransferState) error {
	if t.Phase == tributary.Ordinary {
		remove(b, metaTransfer)
		set(b, metaFormat, binary.BigEndian.AppendUint32(nil, Format))
		return nil
	}
	set(b, metaFormat, binary.BigEndian.AppendUint32(nil, Format|inTransfer))
	return setJSON(b, metaTransfer, t)
}

// leaveOrdinary ends the service of writes, and of a store that is to be filled
// that of reads too, once what was written meanwhile is applied.
func (s *Store) leaveOrdinary(to tributary.TransferState) error {
	if to.Phase == tributary.Filling {
		if err := s.checkEmpty(); err != nil {
			return err
		}
		s.standby.Store(errFilling)
		return nil
	}
	if err := s.foldAll(); err != nil {
		return err
	}
	s.retired.Store(errMoved)
	s.settleWrites()
	return nil
}

// settleWrites returns when every write that was not refused is applied: each
// holds one of these locks until then.
func (s *Store) settleWrites() {
	for i := range s.stripes {
		s.stripes[i].mu.Lock()
		//lint:ignore SA2001 to have waited is all
		s.stripes[i].mu.Unlock()
	}
	s.routing.Lock()
	//lint:ignore SA2001 as above
	s.routing.Unlock()
	for _, mu := range []*sync.Mutex{&s.leases, &s.records} {
		mu.Lock()
		//lint:ignore SA2001 as above
		mu.Unlock()
	}
}

// foldAll writes the pools' figures that are in memory alone.
func (s *Store) foldAll() error {
	s.routing.RLock()
	defer s.routing.RUnlock()
	return s.flushUsage()
}

// checkEmpty refuses a store in which something was written.
func (s *Store) checkEmpty() error {
	for letter, most := range map[byte]int{tablePool: 0, tableIdentity: 0, tableHead: 0, tableStream: 1, tableLog: 0, tableHorizon: 0, tableLease: 0, tableKey: 0, tableSealing: 0, tableDevice: 0, tableRestored: 0} {
		n := 0
		err := scan(s.db, []byte{letter}, func(_, _ []byte) error {
			if n++; n > most {
				return fmt.Errorf("table %c: %w", letter, errNotEmpty)
			}
			return nil
		})
		if err != nil {
			return internal("set state", err)
		}
	}
	return nil
}

var errNotEmpty = tributary.Errorf(tributary.Exists, "set state", "the store holds data already: name an empty one")

// holdAll takes the locks of all that is kept in memory, in the order of a
// commit.
func (s *Store) holdAll() (release func()) {
	for i := range s.stripes {
		s.stripes[i].mu.Lock()
	}
	s.routing.Lock()
	return func() {
		s.routing.Unlock()
		for i := range s.stripes {
			s.stripes[i].mu.Unlock()
		}
	}
}

func (s *Store) clearMemory() {
	defer s.holdAll()()
	s.forgetMemory()
}

// forgetMemory empties what is kept in memory of what the store held. All of it
// is locked.
func (s *Store) forgetMemory() {
	clear(s.pools)
	clear(s.streams)
	clear(s.shards)
	s.restores = nil
	for i := range s.stripes {
		s.stripes[i].forgetAll()
	}
}

// loadAll makes a store that was filled ready to serve.
func (s *Store) loadAll() error {
	defer s.holdAll()()
	s.forgetMemory()
	if err := s.load(); err != nil {
		return err
	}
	if s.id == "" {
		return tributary.Errorf(tributary.Invalid, "set state", "the store has no id: it was not filled")
	}
	return nil
}
