package tributary

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"
)

// Service is what the system does, whatever the wire: the operations on
// records and datasets here, those on pools, identities and streams in
// admin.go. Store and Sealer are required.
type Service struct {
	Store  Store
	Sealer *Sealer
	Logins Logins       // nil: no provider is taken
	Tokens OpenIDTokens // nil: no OpenID tokens are issued
	// Functions calls those of pools; nil: none can be set.
	Functions Functions
	Region    string // of pools created without one; "" is us-east-1
	// Account is the developers' account: 12 digits.
	Account string
	// StrictSyncCount answers AWS's 400 to a LastSyncCount above the dataset's,
	// instead of a full list.
	StrictSyncCount bool
	// Kinesis says that a stream that is not embedded is one at Amazon Kinesis.
	Kinesis bool
	Log     *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now

	policies policies

	sessionsMu sync.Mutex
	sessions   map[PoolID]int64 // begun, not yet in the store

	wakeSweeper chan struct{} // by sweepOnce
	sweepOnce   sync.Once
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Service) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// commitTries bounds how often a sync is computed anew because another one of
// the same identity came first.
const commitTries = 8

// ListQuery asks for the records of a dataset.
type ListQuery struct {
	LastSyncCount int64  // what the client has seen; 0: nothing
	NextToken     string // of the page before
	MaxResults    int    // 0: the whole dataset
}

// Listing is what ListRecords gives.
type Listing struct {
	Records          []Record
	NextToken        string // "" on the last page
	SyncCount        int64
	LastModifiedBy   string
	Exists           bool
	DeletedMeanwhile bool // deleted, perhaps made again, since LastSyncCount
	SessionToken     string
	MergedNames      []string // datasets of that name of identities that were merged into this one
}

// ListRecords lists what has changed in a dataset, and begins a sync session.
//
// Errors: Denied, NotFound if the identity does not exist, Invalid.
func (s *Service) ListRecords(ctx context.Context, p Principal, k DatasetKey, q ListQuery) (Listing, error) {
	const op = "list records"
	if err := s.checkCall(p, op, k); err != nil {
		return Listing{}, err
	}
	if q.LastSyncCount < 0 {
		return Listing{}, Errorf(Invalid, op, "LastSyncCount is %d, it must not be negative", q.LastSyncCount)
	}
	for range commitTries {
		l, err := s.list(ctx, &p, op, k, q)
		if KindOf(err) != Stale {
			if err == nil && q.NextToken == "" {
				s.countSession(k.Pool)
			}
			return l, err
		}
		if q.NextToken != "" {
			// The client has shown some of the changes already: it must begin
			// anew, and will be told that it has missed too much.
			return Listing{}, Errorf(Invalid, op, "NextToken has expired: list the records again")
		}
	}
	return Listing{}, busy(op)
}

// list lists one page. Stale if tombstones were forgotten that it should show.
func (s *Service) list(ctx context.Context, p *Principal, op string, k DatasetKey, q ListQuery) (Listing, error) {
	v, err := s.view(ctx, p, op, k, nil)
	if err != nil {
		return Listing{}, err
	}
	head := &v.Dataset
	pg, err := s.firstPage(head, q)
	if q.NextToken != "" {
		pg, err = s.nextPage(k, q.NextToken)
	}
	if err != nil {
		return Listing{}, err
	}
	out := Listing{SyncCount: pg.pinned, LastModifiedBy: head.LastModifiedBy, Exists: head.Exists, DeletedMeanwhile: pg.told, SessionToken: s.newSession(k, pg.since)}
	if v.Identity.Merged {
		if out.MergedNames, err = s.mergedNames(ctx, k); err != nil {
			return Listing{}, err
		}
	}
	if head.Exists && pg.after.SyncCount < pg.pinned || pg.after.Key != "" {
		err = s.fill(ctx, &out, k, pg, q.MaxResults)
	}
	return out, err
}

// checkCall is what every operation on one dataset checks first.
func (s *Service) checkCall(p Principal, op string, k DatasetKey) error {
	if err := s.checkIdentityCall(p, op, k); err != nil {
		return err
	}
	return CheckDatasetName(k.Dataset)
}

func (s *Service) checkIdentityCall(p Principal, op string, k DatasetKey) error {
	if err := CheckPoolID(k.Pool); err != nil {
		return err
	}
	if err := CheckIdentityID(k.Identity); err != nil {
		return err
	}
	return s.allowData(p, op, k)
}

// view reads what a call is about, and refuses what is being deleted, and what
// the role of an identity does not allow.
func (s *Service) view(ctx context.Context, p *Principal, op string, k DatasetKey, keys []string) (View, error) {
	v, err := s.Store.View(ctx, k, keys)
	if err != nil {
		return v, err
	}
	if v.Pool.Deleted {
		return v, Errorf(NotFound, op, "IdentityPool '%s' not found.", k.Pool)
	}
	if v.Identity.Deleted() {
		return v, noIdentity(op, k.Identity)
	}
	// What belongs to nobody since its last login was taken off is the developers'
	// to look after.
	if v.Identity.Disabled && (v.Identity.MergedInto != "" || !p.Developer()) {
		return v, Errorf(Denied, op, "Identity '%s' is disabled.", k.Identity)
	}
	if !p.Developer() {
		err = s.allowRole(p, op, &v.Pool, k)
	}
	return v, err
}

func noIdentity(op string, id IdentityID) error {
	return Errorf(NotFound, op, "Identity '%s' not found.", id)
}

// firstPage decides what a listing shows to a client that has seen a count. A
// list of everything shows the tombstones too: clients go back to 0 after a
// conflict, with data in hand, and would keep what was removed meanwhile.
func (s *Service) firstPage(head *Dataset, q ListQuery) (page, error) {
	last := q.LastSyncCount
	pg := page{pinned: head.SyncCount, since: last, after: AfterCount(last)}
	switch {
	case last > head.SyncCount && head.Exists && s.StrictSyncCount:
		return pg, Errorf(Invalid, "list records", "No such SyncCount: %d exists for this Dataset", last)
	case last > 0 && (last < head.Marker || head.Exists && last < head.Floor):
		pg.told, pg.since, pg.after = true, 0, AfterCount(0)
	case last == 0 || last > head.SyncCount:
		// A client that knows more than we do has met a restored server: it
		// gets everything, with the true count.
		pg.since, pg.after = 0, AfterCount(0)
	}
	return pg, nil
}

func (s *Service) nextPage(k DatasetKey, token string) (page, error) {
	plain, err := s.Sealer.Open(bindTo("page", k), token)
	if err != nil {
		return page{}, &Error{Kind: Invalid, Op: "list records", Msg: "NextToken is not valid for this dataset", Err: err}
	}
	pg, ok := decodePage(plain)
	if !ok {
		return page{}, Errorf(Invalid, "list records", "NextToken is not valid for this dataset")
	}
	return pg, nil
}

// fill reads one page of records.
func (s *Service) fill(ctx context.Context, out *Listing, k DatasetKey, pg page, most int) error {
	if most <= 0 {
		most = math.MaxInt - 1
	}
	records, err := s.Store.Records(ctx, k, Range{After: pg.after, Through: pg.pinned, Complete: pg.since > 0, Limit: most + 1})
	if err != nil {
		return err
	}
	if len(records) > most {
		records = records[:most]
		last := &records[most-1]
		pg.after = Cursor{SyncCount: last.SyncCount, Key: last.Key}
		out.NextToken = s.Sealer.Seal(bindTo("page", k), pg.encode())
	}
	out.Records = records
	return nil
}

// Update is what UpdateRecords takes.
type Update struct {
	SessionToken string
	DeviceID     string // of the writing device; "" if it never registered
	Patches      []Patch
}

// triggerTries is commitTries for a sync that a function is called for each time.
const triggerTries = 3

// UpdateRecords applies patches to a dataset and gives the records that they
// made, in the order of the patches. If an identity asks and its pool has a
// function, that is called once the patches are known to be good, and what it
// answers is applied instead: what it adds comes behind, and of patches that it
// ignores the records as the dataset has them.
//
// Errors: Denied, NotFound, Invalid, Limit; Stale with AWS's text if a patch
// conflicts; Trigger if the function failed; Busy if others changed the identity
// again and again meanwhile.
func (s *Service) UpdateRecords(ctx context.Context, p Principal, k DatasetKey, u Update) ([]Record, error) {
	const op = "update records"
	if err := s.checkCall(p, op, k); err != nil {
		return nil, err
	}
	since, err := s.checkSession(k, u.SessionToken)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(u.Patches))
	for i := range u.Patches {
		keys[i] = u.Patches[i].Key
	}
	for try := range commitTries {
		v, err := s.view(ctx, &p, op, k, keys)
		if err != nil {
			return nil, err
		}
		if err := CheckPatches(u.Patches, v.Pool.Limits); err != nil {
			return nil, err
		}
		if len(u.Patches) == 0 {
			return nil, nil
		}
		if n := len(k.Dataset); n > maxDatasetNameLength && !v.Dataset.Exists { // only merges make such names
			return nil, Errorf(Limit, op, "The name of a new dataset has %d characters, the limit is %d", n, maxDatasetNameLength)
		}
		w := s.writer(p, u.DeviceID)
		c, err := v.Apply(u.Patches, w)
		if KindOf(err) == Stale {
			return nil, s.refuse(ctx, &v, u.Patches, since, err)
		}
		if err != nil {
			return nil, err
		}
		out := c.Records
		if function := s.function(&p, &v.Pool); function != "" {
			if try == triggerTries {
				break
			}
			if c, out, err = s.trigger(ctx, &p, function, &v, u.Patches, w); KindOf(err) == Stale {
				continue
			}
			if err != nil || c == nil {
				return out, err
			}
		}
		if err := s.forget(ctx, c, v.Pool.Limits); err != nil {
			return nil, err
		}
		if err = s.Store.Commit(ctx, c); err == nil {
			return out, nil
		} else if KindOf(err) != Stale {
			return nil, err
		}
	}
	return nil, busy(op)
}

// refuse answers a conflict. Records that the client was not shown by the list
// before, because it claims to have seen them, are written again with a count
// of their own, so that its next list shows them: it could not know what to
// present, and would meet the same conflict for ever. If that fails, or
// somebody else comes first, the next try mends it.
func (s *Service) refuse(ctx context.Context, v *View, patches []Patch, since int64, conflict error) error {
	c := v.Repeat(patches, since, Writer{ID: newChangeID(), By: v.Dataset.LastModifiedBy, Now: MillisOf(s.now())})
	if c == nil {
		return conflict
	}
	if err := s.Store.Commit(ctx, c); err != nil && KindOf(err) != Stale {
		return err
	}
	return conflict
}

func busy(op string) error {
	return Errorf(Busy, op, "The same is being changed by many at once. Try again")
}

// writer says who makes a change, and when.
func (s *Service) writer(p Principal, device string) Writer {
	w := Writer{ID: newChangeID(), Now: MillisOf(s.now())}
	switch {
	case p.Developer():
		w.By = p.Account
	case device != "":
		w.By = device
	default:
		w.By = string(p.Identity)
	}
	return w
}

func newChangeID() ChangeID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return ChangeID(binary.LittleEndian.Uint64(b[:]) | 1)
}

// forget drops the oldest tombstones of a dataset that has too many.
func (s *Service) forget(ctx context.Context, c *Change, l Limits) error {
	const batch = 100
	for from := (Cursor{}); c.Crowded(l); {
		oldest, err := s.Store.Records(ctx, c.Key, Range{After: from, Through: c.SyncCount, TombstonesOnly: true, Limit: batch})
		if err != nil || len(oldest) == 0 {
			return err // one change may bring more than are kept
		}
		for i := 0; i < len(oldest) && c.Crowded(l); i++ {
			c.Forget(oldest[i])
		}
		last := &oldest[len(oldest)-1]
		from = Cursor{SyncCount: last.SyncCount, Key: last.Key}
	}
	return nil
}

// DescribeDataset gives a dataset's head. NotFound if it does not exist.
func (s *Service) DescribeDataset(ctx context.Context, p Principal, k DatasetKey) (Dataset, error) {
	const op = "describe dataset"
	if err := s.checkCall(p, op, k); err != nil {
		return Dataset{}, err
	}
	v, err := s.view(ctx, &p, op, k, nil)
	if err == nil && !v.Dataset.Exists {
		err = noDataset(op, k)
	}
	return v.Dataset, err
}

func noDataset(op string, k DatasetKey) error {
	return Errorf(NotFound, op, "Dataset '%s' not found.", k.Dataset)
}

// DeleteDataset deletes a dataset and gives its head as it was.
//
// Errors: NotFound if it does not exist, else as UpdateRecords.
func (s *Service) DeleteDataset(ctx context.Context, p Principal, k DatasetKey) (Dataset, error) {
	const op = "delete dataset"
	if err := s.checkCall(p, op, k); err != nil {
		return Dataset{}, err
	}
	for range commitTries {
		v, err := s.view(ctx, &p, op, k, nil)
		if err != nil {
			return Dataset{}, err
		}
		if !v.Dataset.Exists {
			return Dataset{}, noDataset(op, k)
		}
		err = s.Store.Commit(ctx, v.Delete(s.writer(p, "")))
		if KindOf(err) != Stale {
			return v.Dataset, err
		}
	}
	return Dataset{}, busy(op)
}

// ListDatasets lists an identity's datasets by name. The token is "" on the
// last page.
func (s *Service) ListDatasets(ctx context.Context, p Principal, pool PoolID, id IdentityID, token string, most int) ([]Dataset, string, error) {
	const op = "list datasets"
	k := DatasetKey{Pool: pool, Identity: id}
	if err := s.checkIdentityCall(p, op, k); err != nil {
		return nil, "", err
	}
	above, err := decodeName(token)
	if err != nil {
		return nil, "", err
	}
	// The view tells whether the identity is there, of this pool and enabled.
	if _, err := s.view(ctx, &p, op, k, nil); err != nil {
		return nil, "", err
	}
	if most <= 0 {
		most = math.MaxInt - 1
	}
	list, err := s.Store.Datasets(ctx, id, DatasetName(above), most+1)
	if err != nil || len(list) <= most {
		return list, "", err
	}
	return list[:most], encodeName(string(list[most-1].Key.Dataset)), nil
}

// Tokens of listings by name are the last name shown, so that they never
// expire. They prove nothing: what may be listed is checked on every page.

func encodeName(name string) string {
	return base64.StdEncoding.EncodeToString([]byte(name))
}

func decodeName(token string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) > 1024 {
		return "", Errorf(Invalid, "decode token", "NextToken is not valid")
	}
	return string(b), nil
}

// countSession notes that a sync session of a pool has begun.
func (s *Service) countSession(p PoolID) {
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	if s.sessions == nil {
		s.sessions = map[PoolID]int64{}
	}
	s.sessions[p]++
}

// FlushSessions adds the sessions counted since the last call to the store.
// What cannot be added is kept for the next call.
func (s *Service) FlushSessions(ctx context.Context) error {
	s.sessionsMu.Lock()
	counted := s.sessions
	s.sessions = nil
	s.sessionsMu.Unlock()
	if len(counted) == 0 {
		return nil
	}
	err := s.Store.CountSessions(ctx, counted)
	if err != nil {
		s.sessionsMu.Lock()
		defer s.sessionsMu.Unlock()
		if s.sessions == nil {
			s.sessions = map[PoolID]int64{}
		}
		for p, n := range counted {
			s.sessions[p] += n
		}
		return fmt.Errorf("flush sessions: %w", err)
	}
	return nil
}
