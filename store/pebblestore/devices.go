package pebblestore

import (
	"context"
	"encoding/json"

	"tributary"
)

func deviceKey(identity tributary.IdentityID, id tributary.DeviceID) []byte {
	return textKey(tableDevice, string(identity), string(id))
}

func noDevice(op string) error {
	return tributary.Errorf(tributary.NotFound, op, "The device does not exist")
}

// decodeDevice reads a stored device. JSON keeps valid text only: its key tells
// which one it is.
func decodeDevice(identity tributary.IdentityID, id tributary.DeviceID, value []byte) (tributary.Device, error) {
	var d tributary.Device
	err := json.Unmarshal(value, &d)
	d.Identity, d.ID = identity, id
	return d, err
}

// lockDevices locks an identity's devices, and gives what unlocks them. What was
// written is durable then, or the store has failed, which is to be asked after.
func (s *Store) lockDevices(identity tributary.IdentityID) (unlock func()) {
	st := s.stripe(identity)
	st.mu.Lock()
	return st.mu.Unlock
}

// storedDevice reads a device, the zero value if there is none. The identity's
// devices are locked.
func (s *Store) storedDevice(op string, identity tributary.IdentityID, id tributary.DeviceID) (tributary.Device, error) {
	if err := s.alive(); err != nil {
		return tributary.Device{}, err
	}
	value, err := s.get(deviceKey(identity, id))
	if err != nil || value == "" {
		return tributary.Device{}, internal(op, err)
	}
	d, err := decodeDevice(identity, id, []byte(value))
	return d, internal(op, err)
}

// Device reads a device.
func (s *Store) Device(_ context.Context, identity tributary.IdentityID, id tributary.DeviceID) (tributary.Device, error) {
	const op = "read device"
	defer s.lockDevices(identity)()
	d, err := s.storedDevice(op, identity, id)
	if err == nil && d.Revision == 0 {
		err = noDevice(op)
	}
	return d, err
}

// Devices lists an identity's devices by id.
func (s *Store) Devices(_ context.Context, identity tributary.IdentityID) ([]tributary.Device, error) {
	defer s.lockDevices(identity)()
	if err := s.alive(); err != nil {
		return nil, err
	}
	var out []tributary.Device
	prefix := textKey(tableDevice, string(identity), "")
	err := scan(s.db, prefix, func(key, value []byte) error {
		d, err := decodeDevice(identity, tributary.DeviceID(key[len(prefix):]), value)
		out = append(out, d)
		return err
	})
	return out, internal("list devices", err)
}

// PutDevice writes a device if its revision is the stored one.
func (s *Store) PutDevice(_ context.Context, d tributary.Device) error {
	const op = "put device"
	if err := s.writable(); err != nil {
		return err
	}
	st := s.stripe(d.Identity)
	st.mu.Lock()
	defer st.mu.Unlock()
	who, err := s.identity(st, d.Identity)
	if err != nil {
		return err
	}
	if who == nil {
		return noIdentity(d.Identity)
	}
	have, err := s.storedDevice(op, d.Identity, d.ID)
	if err != nil {
		return err
	}
	if have.Revision != d.Revision {
		return stale(op)
	}
	d.Revision++
	b := s.db.NewBatch()
	defer b.Close()
	if err := setJSON(b, deviceKey(d.Identity, d.ID), d); err != nil {
		return err
	}
	return s.write(b)
}

// DeleteDevice forgets a device.
func (s *Store) DeleteDevice(_ context.Context, identity tributary.IdentityID, id tributary.DeviceID) error {
	const op = "delete device"
	defer s.lockDevices(identity)()
	d, err := s.storedDevice(op, identity, id)
	if err != nil {
		return err
	}
	if d.Revision == 0 {
		return noDevice(op)
	}
	b := s.db.NewBatch()
	defer b.Close()
	remove(b, deviceKey(identity, id))
	return s.write(b)
}
