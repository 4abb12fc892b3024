package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tributary"
	"tributary/store/codec"
)

// A program of schema version 3 deletes identities and leaves their devices
// behind. So devices are read beside their identity, and forgotten again when
// another identity of its id is made.

// forgetDevices forgets all devices of an identity.
const forgetDevices = `DELETE FROM devices WHERE identity_id = $1`

// devicesQuery begins what reads devices.
const devicesQuery = `SELECT d.identity_id, d.device_id, d.body FROM devices d JOIN identities i ON i.identity_id = d.identity_id `

// deviceRow reads a row of devicesQuery. JSON keeps valid text only: the columns
// tell which device it is.
func deviceRow(row pgx.CollectableRow) (tributary.Device, error) {
	item, err := deviceItem(row)
	if err != nil {
		return tributary.Device{}, err
	}
	d, err := decodeJSON[tributary.Device]("read device", string(item.Value))
	d.Identity, d.ID, _ = codec.DeviceOfKey(item.Key)
	return d, err
}

func deviceItem(row pgx.CollectableRow) (tributary.Item, error) {
	var identity tributary.IdentityID
	var id []byte
	var body string
	err := row.Scan(&identity, &id, &body)
	return tributary.Item{Kind: tributary.ItemDevice, Key: tributary.DeviceItemKey(identity, tributary.DeviceID(id)), Value: []byte(body)}, err
}

func (s *Store) listDevices(ctx context.Context, op, query string, args ...any) ([]tributary.Device, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, wrap(op, err)
	}
	out, err := pgx.CollectRows(rows, deviceRow)
	return out, wrap(op, err)
}

// Device reads a device.
func (s *Store) Device(ctx context.Context, identity tributary.IdentityID, id tributary.DeviceID) (tributary.Device, error) {
	const op = "read device"
	list, err := s.listDevices(ctx, op, devicesQuery+`WHERE d.identity_id = $1 AND d.device_id = $2`, string(identity), []byte(id))
	if err != nil {
		return tributary.Device{}, err
	}
	if len(list) == 0 {
		return tributary.Device{}, tributary.Errorf(tributary.NotFound, op, "The device does not exist")
	}
	return list[0], nil
}

// Devices lists an identity's devices by id.
func (s *Store) Devices(ctx context.Context, identity tributary.IdentityID) ([]tributary.Device, error) {
	return s.listDevices(ctx, "list devices", devicesQuery+`WHERE d.identity_id = $1 ORDER BY d.device_id`, string(identity))
}

// PutDevice writes a device if its revision is the stored one.
func (s *Store) PutDevice(ctx context.Context, d tributary.Device) error {
	const op = "put device"
	return s.tx(ctx, op, func(tx pgx.Tx) error {
		// Whoever deletes the identity waits, or has deleted it.
		found, err := exists(ctx, tx, `SELECT 1 FROM identities WHERE identity_id = $1 FOR KEY SHARE`, string(d.Identity))
		if err != nil {
			return err
		}
		if !found {
			return noIdentity(d.Identity)
		}
		next := d
		next.Revision++
		return swap(ctx, tx, op, next, d.Revision,
			`INSERT INTO devices (revision, body, identity_id, device_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			`UPDATE devices SET revision = $1, body = $2 WHERE revision = $1 - 1 AND identity_id = $3 AND device_id = $4`,
			next.Revision, string(d.Identity), []byte(d.ID))
	})
}

// DeleteDevice forgets a device.
func (s *Store) DeleteDevice(ctx context.Context, identity tributary.IdentityID, id tributary.DeviceID) error {
	return s.deleteRow(ctx, "delete device", "The device does not exist", `DELETE FROM devices WHERE identity_id = $1 AND device_id = $2`, string(identity), []byte(id))
}

// scanDevices reads devices above a key.
func scanDevices(ctx context.Context, tx pgx.Tx, after string, maxBytes int) ([]tributary.Item, error) {
	var identity tributary.IdentityID
	var id tributary.DeviceID
	if after != "" {
		var err error
		if identity, id, err = codec.DeviceOfKey(after); err != nil {
			return nil, wrapStored("scan devices", err)
		}
	}
	return readDevices(ctx, tx, devicesQuery+`WHERE (d.identity_id, d.device_id) > ($1, $2) ORDER BY d.identity_id, d.device_id LIMIT $3`,
		string(identity), []byte(id), pageRows(maxBytes, 500))
}

func fetchDevices(ctx context.Context, tx pgx.Tx, keys []string) ([]tributary.Item, error) {
	var identities []string
	var ids [][]byte
	for _, key := range keys {
		identity, id, err := codec.DeviceOfKey(key)
		if err != nil {
			return nil, wrapStored("fetch devices", err)
		}
		identities, ids = append(identities, string(identity)), append(ids, []byte(id))
	}
	return readDevices(ctx, tx, `SELECT d.identity_id, d.device_id, d.body FROM unnest($1::text[], $2::bytea[]) AS x (identity_id, device_id),
		LATERAL (SELECT * FROM devices d WHERE d.identity_id = x.identity_id AND d.device_id = x.device_id LIMIT 1) AS d,
		LATERAL (SELECT 1 FROM identities i WHERE i.identity_id = x.identity_id LIMIT 1) AS i`, identities, ids)
}

func readDevices(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]tributary.Item, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, deviceItem)
}
