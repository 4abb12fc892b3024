package tributary

import (
	"context"
	"time"
)

const (
	// MinMaxRecord and MaxMaxRecord bound what a stream may be told to take as the
	// largest record, in bytes.
	MinMaxRecord = 1 << 20
	MaxMaxRecord = 10 << 20

	minRetentionHours = 24
	maxRetentionHours = int(maxRetention / time.Hour)
)

// changeStream lets edit change an embedded stream, and stores it: again if
// another was faster.
//
// Errors: Denied, NotFound, Invalid for the audit log, Busy, and edit's.
func (s *Service) changeStream(ctx context.Context, p Principal, op string, name StreamName, edit func(*Stream) error) (Stream, error) {
	if err := s.Allow(p, op, s.streamARN(name)); err != nil {
		return Stream{}, err
	}
	if name == AuditStream {
		return Stream{}, errAuditStream(op)
	}
	return s.putEdited(ctx, p.Call, op, name, edit)
}

// putEdited is changeStream for whoever may do it.
func (s *Service) putEdited(ctx context.Context, call *Call, op string, name StreamName, edit func(*Stream) error) (Stream, error) {
	for range commitTries {
		st, err := s.embedded(ctx, op, name)
		if err != nil {
			return Stream{}, err
		}
		next := st.Clone()
		if err := edit(&next); err != nil {
			return Stream{}, err
		}
		if next, err = s.Store.PutStream(ctx, next); err == nil {
			call.noteChanges(&st, &next)
		}
		if KindOf(err) != Stale {
			return next, err
		}
	}
	return Stream{}, busy(op)
}

// embedded reads an embedded stream.
func (s *Service) embedded(ctx context.Context, op string, name StreamName) (Stream, error) {
	st, err := s.Store.Stream(ctx, name)
	if KindOf(err) == NotFound || err == nil && st.Kind != Embedded {
		return Stream{}, Errorf(NotFound, op, "Stream %s under account %s not found.", name, s.Account)
	}
	return st, err
}

// IncreaseRetention has a stream keep its entries longer, for 24 to 8,760 hours.
// What was trimmed does not come back.
//
// Errors: Denied, NotFound, Invalid.
func (s *Service) IncreaseRetention(ctx context.Context, p Principal, name StreamName, hours int) error {
	const op = "increase retention"
	_, err := s.changeStream(ctx, p, op, name, func(st *Stream) error {
		return s.setRetention(op, st, hours, hours < int(st.Retention/time.Hour), "shorter", "Use DecreaseRetentionPeriod API.")
	})
	return err
}

// DecreaseRetention has a stream keep its entries for a shorter time, down to 24
// hours. Older ones go within minutes.
//
// Errors: Denied, NotFound, Invalid.
func (s *Service) DecreaseRetention(ctx context.Context, p Principal, name StreamName, hours int) error {
	const op = "decrease retention"
	_, err := s.changeStream(ctx, p, op, name, func(st *Stream) error {
		return s.setRetention(op, st, hours, hours > int(st.Retention/time.Hour), "longer", "Use IncreaseRetentionPeriod API.")
	})
	return err
}

func (s *Service) setRetention(op string, st *Stream, hours int, wrong bool, how, instead string) error {
	switch {
	case hours < minRetentionHours:
		return Errorf(Invalid, op, "Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.", minRetentionHours, hours)
	case hours > maxRetentionHours:
		return Errorf(Invalid, op, "Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.", maxRetentionHours, hours)
	case wrong:
		return Errorf(Invalid, op, "Requested retention period (%d hours) for stream %s can not be %s than existing retention period (%d hours). %s",
			hours, st.Name, how, int(st.Retention/time.Hour), instead)
	}
	st.Retention = time.Duration(hours) * time.Hour
	return nil
}

// SetMaxRecord sets how large a foreign record of a stream may be, in bytes.
//
// Errors: Denied, NotFound, Invalid.
func (s *Service) SetMaxRecord(ctx context.Context, p Principal, name StreamName, most int) error {
	const op = "set record size"
	_, err := s.changeStream(ctx, p, op, name, func(st *Stream) error {
		st.MaxRecord = most
		return checkMaxRecord(op, most)
	})
	return err
}

func checkMaxRecord(op string, most int) error {
	if most < MinMaxRecord || most > MaxMaxRecord {
		return Errorf(Invalid, op, "The record size is %d KiB, it must be between %d and %d KiB", most>>10, MinMaxRecord>>10, MaxMaxRecord>>10)
	}
	return nil
}

// AppendRecords puts records of a developer on an embedded stream as it was read,
// ordered among its changes, all of them or none, and gives their positions. The
// caller has checked their sizes.
//
// Errors: Denied, NotFound, Invalid for the audit log; Busy.
func (s *Service) AppendRecords(ctx context.Context, p Principal, st *Stream, records []ForeignRecord) ([]Position, error) {
	const op = "put records"
	if err := s.Allow(p, op, s.streamARN(st.Name)); err != nil {
		return nil, err
	}
	if st.Name == AuditStream {
		return nil, errAuditStream(op)
	}
	entries := make([]Entry, len(records))
	for i := range records {
		entries[i] = Entry{Kind: EntryForeign, Foreign: &records[i]}
	}
	for range commitTries {
		out, err := s.Store.Append(ctx, st.ID, entries)
		if KindOf(err) == NotFound {
			err = Errorf(NotFound, op, "Stream %s under account %s not found.", st.Name, s.Account)
		}
		if KindOf(err) != Stale {
			return out, err
		}
	}
	return nil, busy(op)
}
