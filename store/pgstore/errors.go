package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary"
)

// SQLSTATE codes that mean something here.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	divisionByZero       = "22012" // how a statement here says that its condition does not hold
	uniqueViolation      = "23505"
	duplicateTable       = "42P07"
	undefinedTable       = "42P01"
	duplicateObject      = "42710"
)

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isRace tells whether another node made the same thing first.
func isRace(err error) bool {
	c := code(err)
	return c == uniqueViolation || c == duplicateTable || c == duplicateObject
}

// wrap gives an error of the database a Kind: it cannot answer, unless it
// complains of what we asked.
func wrap(op string, err error) error {
	var ours *tributary.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	kind := tributary.Unavailable
	switch c := code(err); {
	case c == "":
	case c == serializationFailure, c == deadlockDetected:
	case c[:2] == "53", c[:2] == "57", c[:2] == "25", c[:2] == "08", c[:2] == "55": // resources, shutdown, read only, connection, locks
	default:
		kind = tributary.Internal
	}
	if kind == tributary.Internal {
		return &tributary.Error{Kind: kind, Op: op, Err: err}
	}
	return &tributary.Error{Kind: kind, Op: op, Msg: "The database does not answer", Err: err}
}

// retry runs f again, with growing pauses, while the database asks for it.
func retry(ctx context.Context, op string, f func() error) error {
	const most = 8
	pause := 2 * time.Millisecond
	for try := 1; ; try++ {
		err := f()
		if c := code(err); c != serializationFailure && c != deadlockDetected || try == most {
			return wrap(op, err)
		}
		select {
		case <-ctx.Done():
			return wrap(op, ctx.Err())
		case <-time.After(rand.N(pause)):
		}
		pause *= 2
	}
}

// wrapStored is for stored data that cannot be read.
func wrapStored(op string, err error) error {
	if err == nil {
		return nil
	}
	return &tributary.Error{Kind: tributary.Internal, Op: op, Err: err}
}

// above makes a text that ids can be compared with out of whatever a caller
// lists from. No id holds what a database's text cannot.
func above(from string) string {
	for i, c := range from {
		if c == 0 {
			return from[:i]
		}
		if _, size := utf8.DecodeRuneInString(from[i:]); c == utf8.RuneError && size == 1 {
			return from[:i] + "\x7f"
		}
	}
	return from
}

// isNone tells whether a query for one row gave none.
func isNone(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// exists tells whether a query gives a row.
func exists(ctx context.Context, tx pgx.Tx, query string, args ...any) (bool, error) {
	var one int
	err := tx.QueryRow(ctx, query, args...).Scan(&one)
	if isNone(err) {
		return false, nil
	}
	return err == nil, err
}

// oneRow makes a write that touched no row Stale.
func oneRow(op string) func(pgconn.CommandTag, error) error {
	return func(tag pgconn.CommandTag, err error) error {
		if err == nil && tag.RowsAffected() == 0 {
			err = stale(op)
		}
		return err
	}
}

func stale(op string) error {
	return tributary.Errorf(tributary.Stale, op, "It was changed at the same time")
}
