package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"tributary"
)

// Device implements [tributary.Devices].
func (m *Model) Device(_ context.Context, identity tributary.IdentityID, id tributary.DeviceID) (tributary.Device, error) {
	return do(m, func() (tributary.Device, error) {
		d, ok := m.devices[deviceKey{identity, id}]
		if !ok {
			return d, failed(tributary.NotFound, "device")
		}
		return d.Clone(), nil
	})
}

// Devices implements [tributary.Devices].
func (m *Model) Devices(_ context.Context, identity tributary.IdentityID) ([]tributary.Device, error) {
	return do(m, func() ([]tributary.Device, error) {
		var list []tributary.Device
		for _, d := range m.devices {
			if d.Identity == identity {
				list = append(list, d.Clone())
			}
		}
		slices.SortFunc(list, func(a, b tributary.Device) int { return cmp.Compare(a.ID, b.ID) })
		return list, nil
	})
}

// PutDevice implements [tributary.Devices].
func (m *Model) PutDevice(_ context.Context, d tributary.Device) error {
	return m.write(func() error {
		if _, ok := m.identities[d.Identity]; !ok {
			return failed(tributary.NotFound, "identity")
		}
		key := deviceKey{d.Identity, d.ID}
		if m.devices[key].Revision != d.Revision {
			return failed(tributary.Stale, "device")
		}
		d = d.Clone()
		d.Revision++
		m.devices[key] = d
		return nil
	})
}

// DeleteDevice implements [tributary.Devices].
func (m *Model) DeleteDevice(_ context.Context, identity tributary.IdentityID, id tributary.DeviceID) error {
	return m.write(func() error {
		if _, ok := m.devices[deviceKey{identity, id}]; !ok {
			return failed(tributary.NotFound, "device")
		}
		delete(m.devices, deviceKey{identity, id})
		return nil
	})
}

// Snapshots implements [tributary.Datasets].
func (m *Model) Snapshots(_ context.Context, pool tributary.PoolID, after tributary.DatasetKey, maxBytes int) ([]tributary.Snapshot, error) {
	return do(m, func() ([]tributary.Snapshot, error) {
		var list []tributary.Snapshot
		for _, key := range slices.SortedFunc(maps.Keys(m.datasets), compareDatasets) {
			d := m.datasets[key]
			if key.Pool != pool || !d.head.Exists || compareDatasets(key, after) <= 0 {
				continue
			}
			live := slices.DeleteFunc(slices.Clone(d.records), func(r tributary.Record) bool { return r.Removed })
			list = append(list, tributary.Snapshot{Dataset: d.head, Records: live})
			if maxBytes -= int(d.head.Bytes); maxBytes <= 0 {
				break
			}
		}
		return list, nil
	})
}

// compareDatasets puts keys in the order of their identities' and names' bytes.
func compareDatasets(a, b tributary.DatasetKey) int {
	return cmp.Or(cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Dataset, b.Dataset))
}
