package pgstore

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"tributary"
)

// latest gives the last of the restores that a store went through, as they are
// stored; nil if there was none.
func latest(restores []byte) (*tributary.Restored, error) {
	list, err := decodeRestores(restores)
	if len(list) == 0 {
		return nil, err
	}
	return &list[len(list)-1], err
}

// decodeRestores reads the restores that a store went through, oldest first.
func decodeRestores(stored []byte) (list []tributary.Restored, err error) {
	if stored != nil {
		err = json.Unmarshal(stored, &list)
	}
	return list, wrapStored("read restores", err)
}

// lastRestore reads the last restore that the store went through.
func lastRestore(ctx context.Context, tx pgx.Tx) (*tributary.Restored, error) {
	var text []byte
	err := tx.QueryRow(ctx, `SELECT value FROM meta WHERE name = 'restores'`).Scan(&text)
	if isNone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return latest(text)
}
