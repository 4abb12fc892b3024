package tributary

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

const (
	// maxLogins is how many logins an identity may be linked to.
	maxLogins = 20
	// mergedTimes is how many times its pool's limit an identity may have of
	// datasets after a merge.
	mergedTimes = 10
)

// merge makes one identity of two: the winner takes over the loser's logins at
// once, and then its datasets, under names of their own. When the first write
// is done any node can do the rest.
//
// Errors: Stale if one of them was changed at the same time.
func (s *Service) merge(ctx context.Context, call *Call, winner, loser Identity) (Identity, error) {
	logins := slices.Concat(winner.Logins, loser.Logins)
	now := MillisOf(s.now())
	winner.Logins, winner.Merged, winner.Modified = logins, true, now
	winner.Disabled = winner.Disabled && len(logins) == 0
	loser.Logins, loser.Modified = nil, now
	loser.Disabled, loser.MergedInto, loser.Unfinished = true, winner.ID, true
	if err := s.Store.PutIdentity(ctx, winner, loser); err != nil {
		return Identity{}, err
	}
	call.Detail("Merged", string(loser.ID)+" into "+string(winner.ID))
	if err := s.finish(ctx, loser.ID, false); err != nil {
		s.wakeSweep()
		return Identity{}, err
	}
	return s.current(ctx, winner.ID)
}

// checkJoin refuses to make one of identities and logins that do not go
// together, or have too much.
//
// Errors: Exists, Limit.
func checkJoin(pool *Pool, winner *Identity, others []Identity, fresh []Login) error {
	logins, gained := slices.Clone(winner.Logins), int64(0)
	for i := range others {
		logins, gained = append(logins, others[i].Logins...), gained+others[i].Datasets
	}
	if most := mergedTimes * pool.Limits.Effective().Datasets; gained > 0 && winner.Datasets+gained > most {
		return Errorf(Limit, "merge identities", "Identity '%s' would have %d datasets with those of the identities that are merged into it, the limit is %d: delete some", winner.ID, winner.Datasets+gained, most)
	}
	return checkLogins(pool, winner.ID, append(logins, fresh...))
}

// checkLogins refuses logins that one identity may not have together: two
// users of one public provider, or too many.
func checkLogins(pool *Pool, id IdentityID, logins []Login) error {
	const op = "link logins"
	if len(logins) > maxLogins {
		return Errorf(Limit, op, "Identity '%s' would be linked to %d logins, the limit is %d", id, len(logins), maxLogins)
	}
	for i, l := range logins {
		for _, other := range logins[:i] {
			if l.Provider == other.Provider && l != other && l.Provider != pool.DeveloperProvider {
				return Errorf(Exists, op, "Identity '%s' is linked to another user of %s already.", id, clip(l.Provider))
			}
		}
	}
	return nil
}

// finish does what is left to do for a disabled identity: its datasets go to
// the identity that it was merged into, or if there is none they go, and the
// identity with them. It may be done by several at once, and again. goes is for
// an identity whose pool is deleted: it goes, whatever it is.
func (s *Service) finish(ctx context.Context, id IdentityID, goes bool) error {
	for range commitTries {
		i, err := s.Store.Identity(ctx, id)
		if KindOf(err) == NotFound || err == nil && !goes && !i.Unfinished {
			return nil // another did it
		}
		if err != nil {
			return err
		}
		if goes {
			i.MergedInto = ""
		}
		heir, err := s.heir(ctx, i)
		if err != nil {
			return err
		}
		list, err := s.Store.Datasets(ctx, i.ID, "", 1<<30)
		if err != nil {
			return err
		}
		for n := range list {
			if err := s.handOver(ctx, &list[n], heir); KindOf(err) == Stale {
				break // the heir was changed: look again
			} else if err != nil {
				return err
			}
		}
		if err := s.settle(ctx, id, goes); err == nil || KindOf(err) != Stale && KindOf(err) != Exists {
			return err
		}
	}
	return busy("merge identities")
}

// heir is the identity that takes over a disabled one's datasets, "" if they go.
func (s *Service) heir(ctx context.Context, i Identity) (IdentityID, error) {
	for i.MergedInto != "" {
		next, err := s.Store.Identity(ctx, i.MergedInto)
		if KindOf(err) == NotFound {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if next.MergedInto == "" && !next.Deleted() {
			return next.ID, nil
		}
		if next.Unfinished && next.MergedInto != "" {
			if err := s.finish(ctx, next.ID, false); err != nil {
				return "", err
			}
		}
		i = next
	}
	return "", nil
}

// settle notes that nothing is left to do for an identity, or deletes it. Stale
// or Exists if there is.
func (s *Service) settle(ctx context.Context, id IdentityID, goes bool) error {
	i, err := s.Store.Identity(ctx, id)
	switch {
	case KindOf(err) == NotFound:
		return nil // another did
	case err != nil:
		return err
	case goes || i.Deleted():
		if err := s.Store.DeleteIdentity(ctx, id); KindOf(err) != NotFound {
			return err
		}
		return nil
	case i.Datasets > 0:
		return Errorf(Stale, "merge identities", "Identity %s still has datasets", id)
	case !i.Unfinished:
		return nil
	}
	i.Unfinished = false
	return s.Store.PutIdentity(ctx, i)
}

// handOver copies a dataset to its heir, if there is one, and then removes it.
func (s *Service) handOver(ctx context.Context, d *Dataset, heir IdentityID) error {
	if heir != "" {
		if err := s.adopt(ctx, d, heir); err != nil {
			return err
		}
	}
	return s.remove(ctx, d.Key)
}

// adopt copies a dataset to an identity, once: the copy keeps its origin for
// ever, so that it is known again even if it was changed or deleted since.
func (s *Service) adopt(ctx context.Context, d *Dataset, heir IdentityID) error {
	key, origin := DatasetKey{Pool: d.Key.Pool, Identity: heir, Dataset: d.Key.Dataset}, d.Origin
	suffix := DatasetName("." + d.Key.Identity)
	if origin == "" {
		key.Dataset, origin = key.Dataset+suffix, originOf(d.Key)
	}
	for ctx.Err() == nil {
		v, err := s.Store.View(ctx, key, nil)
		if err != nil {
			return err
		}
		if v.Dataset.Origin == origin {
			return nil
		}
		if v.Identity.MergedInto != "" || v.Identity.Deleted() {
			return Errorf(Stale, "merge identities", "Identity %s was merged or deleted meanwhile", heir)
		}
		if v.Dataset.Change != 0 { // a dataset of the heir's own has the name
			key.Dataset += suffix
			continue
		}
		live, err := s.Store.Records(ctx, d.Key, Range{Through: d.SyncCount, LiveOnly: true})
		if err != nil {
			return err
		}
		w := Writer{ID: plannedID(d.Key), By: d.LastModifiedBy, Now: MillisOf(s.now())}
		return s.Store.Commit(ctx, v.Adopt(d, live, origin, w))
	}
	return ctx.Err()
}

// originOf names the dataset that a copy is made of, for ever.
func originOf(k DatasetKey) string { return string(k.Identity) + "/" + string(k.Dataset) }

// plannedID is the id of the change that copies a dataset, whoever makes it.
func plannedID(from DatasetKey) ChangeID {
	sum := sha256.Sum256([]byte("merge\x00" + from.String()))
	return ChangeID(binary.LittleEndian.Uint64(sum[:]) | 1)
}

// mergedNames lists the datasets that came to a dataset's identity by merges
// from one of the same name, until they are deleted.
func (s *Service) mergedNames(ctx context.Context, k DatasetKey) ([]string, error) {
	const batch = 64
	prefix := k.Dataset + "."
	var names []string
	for after := prefix; ; {
		list, err := s.Store.Datasets(ctx, k.Identity, after, batch)
		if err != nil {
			return nil, err
		}
		for i := range list {
			after = list[i].Key.Dataset
			rest, found := strings.CutPrefix(string(after), string(prefix))
			if !found {
				return names, nil
			}
			if origin, _, _ := strings.Cut(list[i].Origin, "/"); origin != "" && (rest == origin || len(rest) > len(origin) && rest[:len(origin)+1] == origin+".") {
				names = append(names, string(after))
			}
		}
		if len(list) < batch {
			return names, nil
		}
	}
}
