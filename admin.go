package tributary

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// newID makes the id of a pool or an identity: region, colon, random UUID.
func newID(region string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%s:%x-%x-%x-%x-%x", region, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var poolNamePattern = regexp.MustCompile(`^[\w\s+=,.@-]+$`)

func checkPoolName(name string) error {
	if len(name) == 0 || len(name) > 128 || !poolNamePattern.MatchString(name) {
		return Errorf(Invalid, "check identityPoolName",
			"1 validation error detected: Value '%s' at 'identityPoolName' failed to satisfy constraint: Member must have length between 1 and 128 and satisfy regular expression pattern: [\\w\\s+=,.@-]+", clip(name))
	}
	return nil
}

// CreatePool stores a new pool and gives it as stored. It gets an id if it has
// none: apps in the field have theirs built in, so that one may be given.
//
// Errors: Denied, Invalid, Exists.
func (s *Service) CreatePool(ctx context.Context, p Principal, pool Pool) (Pool, error) {
	const op = "create pool"
	if err := s.Allow(p, op, allResources); err != nil {
		return Pool{}, err
	}
	if err := checkPoolName(pool.Name); err != nil {
		return Pool{}, err
	}
	if pool.ID == "" {
		pool.ID = PoolID(newID(s.region()))
	}
	if err := CheckPoolID(pool.ID); err != nil {
		return Pool{}, err
	}
	pool.Revision, pool.Created = 0, MillisOf(s.now())
	if err := s.Store.PutPool(ctx, pool); KindOf(err) == Stale {
		return Pool{}, Errorf(Exists, op, "IdentityPool '%s' exists already.", pool.ID)
	} else if err != nil {
		return Pool{}, err
	}
	pool.Revision++
	p.Call.Detail("PoolID", string(pool.ID))
	p.Call.noteChanges(&Pool{}, &pool)
	return pool, nil
}

func (s *Service) region() string {
	if s.Region != "" {
		return s.Region
	}
	return "us-east-1"
}

// Pool reads a pool for a developer. NotFound if it is being deleted.
func (s *Service) Pool(ctx context.Context, p Principal, id PoolID) (Pool, error) {
	const op = "describe pool"
	if err := s.Allow(p, op, s.poolARN(&p, id)); err != nil {
		return Pool{}, err
	}
	return s.livePool(ctx, op, id)
}

func (s *Service) livePool(ctx context.Context, op string, id PoolID) (Pool, error) {
	if err := CheckPoolID(id); err != nil {
		return Pool{}, err
	}
	pool, err := s.Store.Pool(ctx, id)
	if err == nil && pool.Deleted {
		err = Errorf(NotFound, op, "IdentityPool '%s' not found.", id)
	}
	return pool, err
}

// Pools lists up to most pools by id, at least one. The token is "" on the
// last page.
func (s *Service) Pools(ctx context.Context, p Principal, token string, most int) ([]Pool, string, error) {
	if err := s.Allow(p, "list pools", allResources); err != nil {
		return nil, "", err
	}
	read := func(above string, limit int) ([]Pool, error) { return s.Store.Pools(ctx, PoolID(above), limit) }
	return listPage(read, token, most, func(pool *Pool) (id string, hidden bool) { return string(pool.ID), pool.Deleted })
}

// listPage reads up to most things by id, at least one, those that are hidden left
// out. The token is "" on the last page.
func listPage[T any](read func(above string, limit int) ([]T, error), token string, most int, look func(*T) (id string, hidden bool)) ([]T, string, error) {
	above, err := decodeName(token)
	if err != nil {
		return nil, "", err
	}
	most = max(most, 1)
	var out []T
	for {
		more, err := read(above, most+1)
		if err != nil {
			return nil, "", err
		}
		for i := range more {
			id, hidden := look(&more[i])
			if hidden {
				above = id
				continue
			}
			if len(out) == most {
				return out, encodeName(above), nil
			}
			above, out = id, append(out, more[i])
		}
		if len(more) <= most {
			return out, "", nil
		}
	}
}

// ChangePool reads a pool, lets edit change it, and stores it. The pool's id
// and dates stay.
//
// Errors: Denied, NotFound, Invalid; Stale if it was changed at the same time.
func (s *Service) ChangePool(ctx context.Context, p Principal, id PoolID, edit func(*Pool) error) (Pool, error) {
	pool, err := s.Pool(ctx, p, id)
	if err != nil {
		return Pool{}, err
	}
	next := pool.Clone() // an edit may write to its maps
	if err := edit(&next); err != nil {
		return Pool{}, err
	}
	next.ID, next.Revision, next.Created = pool.ID, pool.Revision, pool.Created
	if err := checkPoolName(next.Name); err != nil {
		return Pool{}, err
	}
	if err := s.Store.PutPool(ctx, next); KindOf(err) == Stale {
		return Pool{}, Errorf(Stale, "change pool", "IdentityPool '%s' was changed at the same time. Try again", id)
	} else if err != nil {
		return Pool{}, err
	}
	next.Revision++
	p.Call.noteChanges(&pool, &next)
	return next, nil
}

// DeletePool marks a pool as deleted. From then on it is refused to all; its
// data is removed by [Service.Sweep].
func (s *Service) DeletePool(ctx context.Context, p Principal, id PoolID) error {
	_, err := s.ChangePool(ctx, p, id, func(pool *Pool) error {
		pool.Deleted = true
		return nil
	})
	if err == nil {
		s.wakeSweep()
	}
	return err
}

// PoolUsage gives a pool's figures to a developer.
func (s *Service) PoolUsage(ctx context.Context, p Principal, id PoolID) (Usage, error) {
	pool, err := s.Pool(ctx, p, id)
	if err != nil {
		return Usage{}, err
	}
	u, err := s.Store.PoolUsage(ctx, id)
	u.LastModified = max(u.LastModified, pool.Created)
	return u, err
}

// NewGuest makes an identity without a login.
//
// Errors: NotFound if the pool is, Denied if it has no guests.
func (s *Service) NewGuest(ctx context.Context, pool PoolID) (Identity, error) {
	const op = "get id"
	of, err := s.livePool(ctx, op, pool)
	if err != nil {
		return Identity{}, err
	}
	if !of.AllowUnauthenticated {
		return Identity{}, Errorf(Denied, op, "Unauthenticated access is not supported for this identity pool.")
	}
	return s.putIdentity(ctx, Identity{ID: IdentityID(newID(pool.Region())), Pool: pool})
}

// CreateIdentity stores an identity with a given id, for a developer who moves
// one here.
//
// Errors: Denied, Invalid, NotFound if the pool is, Exists.
func (s *Service) CreateIdentity(ctx context.Context, p Principal, i Identity) (Identity, error) {
	const op = "create identity"
	if _, err := s.Pool(ctx, p, i.Pool); err != nil {
		return Identity{}, err
	}
	if err := CheckIdentityID(i.ID); err != nil {
		return Identity{}, err
	}
	out, err := s.putIdentity(ctx, Identity{ID: i.ID, Pool: i.Pool, Logins: i.Logins})
	if KindOf(err) == Stale {
		err = Errorf(Exists, op, "Identity '%s' exists already.", i.ID)
	}
	p.Call.Detail("IdentityID", string(i.ID))
	return out, err
}

func (s *Service) putIdentity(ctx context.Context, i Identity) (Identity, error) {
	i.Created = MillisOf(s.now())
	i.Modified = i.Created
	if err := s.Store.PutIdentity(ctx, i); err != nil {
		return Identity{}, err
	}
	i.Revision++
	return i, nil
}

// guest gives an identity and its pool to whoever knows the identity's id, which
// is all that a guest has.
//
// Errors: NotFound; Denied if it is linked to a login, disabled, or its pool
// has no guests any more.
func (s *Service) guest(ctx context.Context, id IdentityID) (Identity, Pool, error) {
	const op = "get credentials"
	if err := CheckIdentityID(id); err != nil {
		return Identity{}, Pool{}, err
	}
	i, err := s.Store.Identity(ctx, id)
	if err != nil {
		return Identity{}, Pool{}, err
	}
	pool, err := s.livePool(ctx, op, i.Pool)
	if err != nil {
		return Identity{}, Pool{}, err
	}
	if !pool.AllowUnauthenticated {
		return Identity{}, Pool{}, Errorf(Denied, op, "Unauthenticated access is not supported for this identity pool.")
	}
	if len(i.Logins) > 0 || i.Disabled {
		return Identity{}, Pool{}, Errorf(Denied, op, "Access to Identity '%s' is forbidden.", id)
	}
	return i, pool, nil
}

// Identity reads an identity for a developer. NotFound if it is being deleted.
func (s *Service) Identity(ctx context.Context, p Principal, id IdentityID) (Identity, error) {
	const op = "describe identity"
	if err := s.Allow(p, op, allResources); err != nil {
		return Identity{}, err
	}
	if err := CheckIdentityID(id); err != nil {
		return Identity{}, err
	}
	i, err := s.Store.Identity(ctx, id)
	if err == nil && i.Deleted() {
		err = noIdentity(op, id)
	}
	return i, err
}

// IdentityUsage gives an identity's figures to the identity or a developer.
func (s *Service) IdentityUsage(ctx context.Context, p Principal, pool PoolID, id IdentityID) (Identity, error) {
	const op = "describe identity usage"
	k := DatasetKey{Pool: pool, Identity: id}
	if err := s.checkIdentityCall(p, op, k); err != nil {
		return Identity{}, err
	}
	if _, err := s.view(ctx, &p, op, k, nil); err != nil {
		return Identity{}, err
	}
	return s.Store.Identity(ctx, id)
}

// Identities lists up to most of a pool's identities by id, at least one. Those
// that are being deleted are left out, other disabled ones if so asked. The
// token is "" on the last page.
func (s *Service) Identities(ctx context.Context, p Principal, pool PoolID, token string, most int, hideDisabled bool) ([]Identity, string, error) {
	if _, err := s.Pool(ctx, p, pool); err != nil {
		return nil, "", err
	}
	read := func(above string, limit int) ([]Identity, error) {
		return s.Store.Identities(ctx, pool, IdentityID(above), limit)
	}
	return listPage(read, token, most, func(i *Identity) (id string, hidden bool) {
		return string(i.ID), i.Deleted() || i.Disabled && hideDisabled
	})
}

const (
	maxShards    = 1024
	maxRetention = 365 * 24 * time.Hour
)

// CreateStream makes an embedded stream. Retention 0 is the default.
//
// Errors: Denied, Invalid, Limit, Exists.
func (s *Service) CreateStream(ctx context.Context, p Principal, name StreamName, shards int, retention time.Duration) (Stream, error) {
	return s.NewStream(ctx, p, shards, Stream{Name: name, Retention: retention})
}

// NewStream makes an embedded stream of a name, with a retention, tags and a
// size of records if they are given.
//
// Errors: Denied, Invalid, Limit, Exists.
func (s *Service) NewStream(ctx context.Context, p Principal, shards int, as Stream) (Stream, error) {
	const op = "create stream"
	if err := s.Allow(p, op, s.streamARN(as.Name)); err != nil {
		return Stream{}, err
	}
	if err := s.checkNewStream(op, shards, &as); err != nil {
		return Stream{}, err
	}
	st, err := s.Store.PutStream(ctx, Stream{Name: as.Name, Kind: Embedded, Shards: EvenShards(shards), Retention: cmp.Or(as.Retention, DefaultRetention),
		Tags: as.Tags, MaxRecord: as.MaxRecord, Created: MillisOf(s.now())})
	if KindOf(err) == Stale {
		err = Errorf(Exists, op, "Stream %s under account %s already exists.", as.Name, s.Account)
	}
	if err == nil {
		p.Call.Detail("Shards", strconv.Itoa(shards))
		p.Call.Detail("Retention", st.Retention.String())
	}
	return st, err
}

func (s *Service) checkNewStream(op string, shards int, as *Stream) error {
	if err := CheckStreamName(as.Name); err != nil {
		return err
	}
	if as.Name == AuditStream {
		return errAuditStream(op)
	}
	if shards < 1 || shards > maxShards {
		return Errorf(Invalid, op, "ShardCount is %d, it must be between 1 and %d", shards, maxShards)
	}
	if as.Retention != 0 && (as.Retention < time.Hour || as.Retention > maxRetention) {
		return Errorf(Invalid, op, "Retention is %s, it must be between an hour and 365 days", as.Retention)
	}
	if as.MaxRecord != 0 {
		if err := checkMaxRecord(op, as.MaxRecord); err != nil {
			return err
		}
	}
	return checkTags(op, as.Tags)
}

// AuditStream is the stream of the audit log, which the server makes and
// nobody else writes or deletes.
const AuditStream StreamName = "tributary-audit"

func errAuditStream(op string) error {
	return Errorf(Invalid, op, "%s is the server's audit log, which can be read only", AuditStream)
}

// Stream reads a stream for a developer.
func (s *Service) Stream(ctx context.Context, p Principal, name StreamName) (Stream, error) {
	if err := s.Allow(p, "describe stream", s.streamARN(name)); err != nil {
		return Stream{}, err
	}
	st, err := s.Store.Stream(ctx, name)
	if KindOf(err) == NotFound {
		err = Errorf(NotFound, "describe stream", "Stream %s under account %s not found.", name, s.Account)
	}
	return st, err
}

// Streams lists up to most embedded streams above a name.
func (s *Service) Streams(ctx context.Context, p Principal, above StreamName, most int) ([]Stream, error) {
	if err := s.Allow(p, "list streams", allResources); err != nil {
		return nil, err
	}
	var out []Stream
	for {
		page, err := s.Store.Streams(ctx, above, most)
		if err != nil {
			return nil, err
		}
		for i := range page {
			above = page[i].Name
			if page[i].Kind == Embedded && len(out) < most {
				out = append(out, page[i])
			}
		}
		if len(page) < most || len(out) == most {
			return out, nil
		}
	}
}

// DeleteStream deletes a stream with its entries. Streaming of the pools that
// use it turns itself off.
func (s *Service) DeleteStream(ctx context.Context, p Principal, name StreamName) error {
	const op = "delete stream"
	stream, err := s.Stream(ctx, p, name)
	if err != nil {
		return err
	}
	if name == AuditStream {
		return errAuditStream(op)
	}
	for range commitTries {
		err = s.Store.DeleteStream(ctx, name)
		if err == nil || KindOf(err) != Exists {
			return err
		}
		if err := s.turnOff(ctx, stream); err != nil && KindOf(err) != Stale {
			return err
		}
	}
	return busy(op)
}
