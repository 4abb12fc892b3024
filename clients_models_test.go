package tributary_test

import (
	"errors"

	"tributary"
)

// The models follow the four clients' own algorithms as far as the server can
// tell: what they ask, what they store, how they count and when they give up.
// Merged datasets are left out.

var (
	errRetries = errors.New("out of retries")
	// errContinue is the JavaScript client's TypeError: to go on after a
	// deletion it calls a method that does not exist. It has purged by then,
	// and the app opens the dataset anew.
	errContinue = errors.New("undefined is not a function")
)

// deleteRemote is synchronize() of a dataset that the app has deleted. That
// the server has none either is fine with Android and iOS; the others report
// it, so that the app must drop its copy itself.
func (d *device) deleteRemote() error {
	_, err := d.service.DeleteDataset(d.t.Context(), d.principal(), d.key)
	d.note("%s deletes the server's dataset: %v", d.name, err)
	if err != nil && tributary.KindOf(err) != tributary.NotFound {
		d.fail("%s cannot delete: %v", d.name, err)
	}
	d.purge()
	return nil
}

// jsClient is amazon-cognito-js 1.1.0. It stores removed records as empty ones.
type jsClient struct{}

func (jsClient) live(e entry) (string, bool) { return e.value, e.value != "" }

func (c jsClient) synchronize(d *device) error {
	for retry := 3; retry >= 0; retry-- {
		if d.last == -1 {
			return d.deleteRemote()
		}
		u, err := d.list()
		if err != nil {
			return err
		}
		if u.deleted {
			d.purge()
			return errContinue
		}
		if len(u.records) == 0 {
			d.between()
			if c.push(d, u) == nil {
				return nil
			}
			continue
		}
		var conflicts []tributary.Record
		for _, r := range u.records {
			if local, ok := d.records[r.Key]; ok && local.dirty && local.value != r.Value {
				conflicts = append(conflicts, r)
			}
		}
		if len(conflicts) > 0 {
			// The other records of the list are not stored, and what becomes of
			// the push is not looked at.
			d.resolve(conflicts)
			d.between()
			_ = c.push(d, u)
			continue
		}
		for _, r := range u.records {
			d.store(r)
		}
		d.last = u.count
	}
	return errRetries
}

// push takes the highest count of the answer for its own, whatever happened
// before it.
func (jsClient) push(d *device, u updates) error {
	_, got, err := d.push(u.token)
	if err != nil || len(got) == 0 {
		return err
	}
	for _, r := range got {
		d.store(r)
	}
	d.last = highest(got)
	if d.last == u.count+1 && len(u.records) == 0 {
		return nil
	}
	// What it has not stored by now it will never ask for.
	d.told = max(d.told, d.last)
	held := d.held()
	for key, r := range held {
		if r.SyncCount <= d.last && d.records[key] != entryOf(r) {
			d.blind[key] = true
		}
	}
	for key := range d.records {
		if _, ok := held[key]; !ok {
			d.blind[key] = true
		}
	}
	return nil
}

// androidClient is the last Android sync manager.
type androidClient struct{}

func (androidClient) live(e entry) (string, bool) { return e.value, !e.removed }

func (androidClient) synchronize(d *device) error {
	for retry := 3; retry >= 0; retry-- {
		if d.last == -1 {
			return d.deleteRemote()
		}
		u, err := d.list()
		if err != nil {
			return err
		}
		if d.last != 0 && !u.exists || u.deleted {
			d.purge()
			return nil
		}
		d.pull(u, func(local entry, r tributary.Record) bool {
			// An edit of a record at the very count of the server's is no
			// conflict: it is overwritten.
			return local.dirty && local.count != r.SyncCount && !local.same(entryOf(r))
		})
		d.between()
		sent, got, err := d.push(u.token)
		if err != nil {
			if most := countOf(d.records, func(a, b int64) int64 { return max(a, b) }, 0); u.count > most {
				d.last = most
			}
			continue
		}
		for _, r := range got {
			was, mine := sent[r.Key]
			if !mine || d.records[r.Key] == was { // else edited meanwhile
				d.store(r)
			}
		}
		if len(got) > 0 && highest(got) == u.count+1 {
			d.last = u.count + 1
		}
		return nil
	}
	return errRetries
}

// pull is how Android and .NET take a list.
func (d *device) pull(u updates, conflict func(local entry, r tributary.Record) bool) {
	var conflicts, others []tributary.Record
	for _, r := range u.records {
		if local, ok := d.records[r.Key]; ok && conflict(local, r) {
			conflicts = append(conflicts, r)
		} else {
			others = append(others, r)
		}
	}
	d.resolve(conflicts)
	for _, r := range others {
		d.store(r)
	}
	if len(u.records) > 0 {
		d.last = u.count
	}
}

// countOf folds the counts of the dirty records.
func countOf(records map[string]entry, f func(a, b int64) int64, start int64) int64 {
	for _, e := range records {
		if e.dirty {
			start = f(start, e.count)
		}
	}
	return start
}

// dotnetClient is the .NET sync manager.
type dotnetClient struct{}

func (dotnetClient) live(e entry) (string, bool) { return e.value, !e.removed }

func (dotnetClient) synchronize(d *device) error {
	for retry := 3; retry >= 0; retry-- {
		if d.last == -1 {
			return d.deleteRemote()
		}
		u, err := d.list()
		if err != nil {
			return err
		}
		if d.last != 0 && !u.exists || u.deleted {
			d.purge()
			return nil
		}
		d.pull(u, func(local entry, r tributary.Record) bool { return local.dirty && !local.same(entryOf(r)) })
		d.between()
		sent, got, err := d.push(u.token)
		if err != nil {
			if retry == 0 {
				return err
			}
			if least := countOf(d.records, func(a, b int64) int64 { return min(a, b) }, u.count); least < u.count {
				d.last = least
			}
			continue
		}
		for _, r := range got {
			was, mine := sent[r.Key]
			switch now := d.records[r.Key]; {
			case !mine, now == was:
				d.store(r)
			case now.count == was.count: // edited meanwhile
				d.records[r.Key] = entry{value: now.value, removed: now.removed, count: r.SyncCount, dirty: true}
			}
		}
		if len(got) > 0 && highest(got) == u.count+1 {
			d.last = u.count + 1
		}
		return nil
	}
	return errRetries
}

// iosClient is aws-sdk-ios AWSCognito. It compares counts by the addresses of
// their objects, so that the result is anything.
type iosClient struct {
	// purges is an app whose handler has the dataset dropped when the server
	// says that it is deleted. Without a handler all of it is pushed again.
	purges bool
}

func (iosClient) live(e entry) (string, bool) { return e.value, !e.removed }

func (c iosClient) synchronize(d *device) error {
	less := func(int64, int64) bool { return d.rng.IntN(2) == 0 }
	for range 5 {
		if d.last == -1 {
			return d.deleteRemote()
		}
		d.most = 0
		u, err := d.list()
		if err != nil {
			return err
		}
		current := d.last
		if !u.exists || u.deleted { // "last count is not 0" is true of any object
			if c.purges {
				d.purge()
				if !u.exists {
					return nil
				}
			}
			for key, e := range d.records {
				e.count, e.dirty = 0, true
				d.records[key] = e
			}
			d.last, current = 0, 0
		}
		c.pull(d, u)
		if less(current, u.count) {
			d.last = u.count
		}
		d.between()
		sent, got, err := d.push(u.token)
		if err != nil {
			most := countOf(d.records, func(a, b int64) int64 { return max(a, b) }, 0)
			if less(most, u.count) {
				d.last = most
			}
			continue
		}
		for _, r := range got {
			was, mine := sent[r.Key]
			if now := d.records[r.Key]; !mine || now == was {
				d.store(r)
			} else { // edited meanwhile
				now.count = r.SyncCount
				d.records[r.Key] = now
			}
		}
		if len(got) > 0 && highest(got) <= u.count+1 {
			d.last = u.count + 1
		}
		return nil
	}
	return errRetries
}

func (iosClient) pull(d *device, u updates) {
	var conflicts, others []tributary.Record
	for _, r := range u.records {
		local, ok := d.records[r.Key]
		if ok && local.dirty && (local.removed || r.Removed || local.value != r.Value) {
			conflicts = append(conflicts, r)
		} else {
			others = append(others, r)
		}
	}
	d.resolve(conflicts)
	for _, r := range others {
		d.store(r)
	}
}
