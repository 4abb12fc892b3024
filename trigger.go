package tributary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
)

// SyncTrigger is the event of Cognito Events that a function can be set for: an
// identity is about to change a dataset.
const SyncTrigger = "SyncTrigger"

// Functions calls the functions that pools have set for [SyncTrigger].
type Functions interface {
	// Check tells why a function cannot be called from here. Invalid.
	Check(function string) error
	// BeforeSync calls a function, and gives the records of its answer in the
	// order of their keys.
	//
	// Errors: Trigger, with [ErrTriggerTimeout] or [ErrTriggerThrottled] in the
	// chain if that is why.
	BeforeSync(ctx context.Context, function string, e *SyncEvent) ([]EventRecord, error)
}

// Why a call of a function failed, if it is not the function's answer.
var (
	ErrTriggerTimeout   = errors.New("the function did not answer in time")
	ErrTriggerThrottled = errors.New("the function is called too often")
)

// SyncEvent is what a function is told: the whole dataset, as it is and as the
// client wants it.
type SyncEvent struct {
	Key     DatasetKey
	Records []EventRecord // in the order of their keys
}

// EventRecord is a record before and after a sync. In one that the client does
// not touch both values are the same.
type EventRecord struct {
	Key string
	Old *string // nil: the dataset does not have it; not in answers
	New *string // nil: it is removed
	Op  Op
}

// Event gives what a function is told of patches to the dataset in v, whose live
// records are live. All of the patches can be applied.
func (v *View) Event(live []Record, patches []Patch) *SyncEvent {
	records := make(map[string]EventRecord, len(live)+len(patches))
	for i := range live {
		value := &live[i].Value
		records[live[i].Key] = EventRecord{Key: live[i].Key, Old: value, New: value}
	}
	for i := range patches {
		p := &patches[i]
		r := EventRecord{Key: p.Key, Old: records[p.Key].Old, New: &p.Value}
		if p.Remove {
			r.New, r.Op = nil, Remove
		}
		records[p.Key] = r
	}
	inOrder := slices.SortedFunc(maps.Values(records), func(a, b EventRecord) int { return cmp.Compare(a.Key, b.Key) })
	return &SyncEvent{Key: v.Dataset.Key, Records: inOrder}
}

// Patches gives what is to be written by a function's answer to the event of a
// client's patches: of these, in their order, what the answer makes of them, and
// those that it leaves out not at all; then what it changes besides, with the
// dataset's sync count, so that nothing conflicts with it.
func (e *SyncEvent) Patches(client []Patch, answer []EventRecord, count int64) []Patch {
	answered := make(map[string]*EventRecord, len(answer))
	for i := range answer {
		answered[answer[i].Key] = &answer[i]
	}
	out := make([]Patch, 0, len(client))
	for _, p := range client {
		if r := answered[p.Key]; r != nil {
			out = append(out, r.patch(p))
			delete(answered, p.Key)
		}
	}
	for i := range answer {
		r := &answer[i]
		if answered[r.Key] != nil && !r.sameAs(e.old(r.Key)) {
			out = append(out, r.patch(Patch{Key: r.Key, SyncCount: count}))
		}
	}
	return out
}

// removed tells whether an answer has the record removed: by its op, or by
// giving it no value.
func (r *EventRecord) removed() bool { return r.Op == Remove || r.New == nil }

// patch is a patch with the answer's value.
func (r *EventRecord) patch(p Patch) Patch {
	p.Remove, p.Value = r.removed(), ""
	if !p.Remove {
		p.Value = *r.New
	}
	return p
}

// sameAs tells whether the answer leaves a value, nil if there is none, as it is.
func (r *EventRecord) sameAs(old *string) bool {
	if old == nil || r.removed() {
		return old == nil && r.removed()
	}
	return *old == *r.New
}

func (e *SyncEvent) old(key string) *string {
	i, found := slices.BinarySearchFunc(e.Records, key, func(r EventRecord, key string) int { return cmp.Compare(r.Key, key) })
	if !found {
		return nil
	}
	return e.Records[i].Old
}

// function is what is called before a principal's update of a pool's data, "" if
// nothing is. Developers know what they write.
func (s *Service) function(p *Principal, pool *Pool) string {
	if p.Developer() {
		return ""
	}
	return pool.Events[SyncTrigger]
}

// trigger calls a function before patches are applied to the dataset in v. It
// gives the change that is to be committed, nil if the function leaves nothing
// to write, and what the client is told.
//
// Errors: Trigger; Stale if the dataset was changed meanwhile: view it again.
func (s *Service) trigger(ctx context.Context, p *Principal, function string, v *View, patches []Patch, w Writer) (*Change, []Record, error) {
	const op = "update records"
	if s.Functions == nil {
		return nil, nil, Errorf(Trigger, op, "The function of this identity pool cannot be called by this server")
	}
	var live []Record
	if v.Dataset.Exists {
		var err error
		if live, err = s.Store.Records(ctx, v.Dataset.Key, Range{Through: v.Dataset.SyncCount, LiveOnly: true}); err != nil {
			return nil, nil, err
		}
	}
	if int64(len(live)) != v.Dataset.Records {
		return nil, nil, Errorf(Stale, op, "the dataset has changed since it was viewed")
	}
	e := v.Event(live, patches)
	answer, err := s.Functions.BeforeSync(ctx, function, e)
	if err != nil {
		return nil, nil, err
	}
	next := e.Patches(patches, answer, v.Dataset.SyncCount)
	return s.applyAnswer(ctx, p, v, patches, next, w)
}

// applyAnswer computes the change that a function has made of a client's patches
// to the dataset in v. It views the dataset again, with all records that the
// function names.
func (s *Service) applyAnswer(ctx context.Context, p *Principal, v *View, client, next []Patch, w Writer) (*Change, []Record, error) {
	const op = "update records"
	if err := CheckPatches(next, v.Pool.Limits); err != nil {
		return nil, nil, badAnswer(err)
	}
	keys := make([]string, 0, len(client)+len(next))
	for _, patches := range [][]Patch{client, next} {
		for i := range patches {
			keys = append(keys, patches[i].Key)
		}
	}
	slices.Sort(keys)
	now, err := s.view(ctx, p, op, v.Dataset.Key, slices.Compact(keys))
	if err != nil {
		return nil, nil, err
	}
	if now.Dataset.Version != v.Dataset.Version {
		return nil, nil, Errorf(Stale, op, "the dataset was changed while the function was called")
	}
	c, err := now.Apply(next, w)
	if err != nil {
		return nil, nil, badAnswer(err)
	}
	told := now.told(client, c)
	if len(next) == 0 {
		c = nil
	}
	return c, told, nil
}

// badAnswer is a rule that a function has broken.
func badAnswer(err error) error {
	return &Error{Kind: Trigger, Op: "apply answer", Msg: "The function's answer cannot be stored: " + Message(err), Err: err}
}

// told is what a client learns of its patches after a function was called: the
// records of the change c, and of what the function left out what the dataset
// holds, or a tombstone if it holds nothing. Clients take an answer that says
// nothing of a record they sent for none: JavaScript's would wait for ever.
func (v *View) told(client []Patch, c *Change) []Record {
	written := make(map[string]bool, len(c.Records))
	for i := range c.Records {
		written[c.Records[i].Key] = true
	}
	out := slices.Clone(c.Records)
	for i := range client {
		p := &client[i]
		if written[p.Key] {
			continue
		}
		if had := v.record(p.Key); had != nil {
			out = append(out, *had)
			continue
		}
		out = append(out, Record{Key: p.Key, Removed: true, SyncCount: v.Dataset.SyncCount, LastModified: c.At, DeviceLastModified: c.At})
	}
	return out
}

// Events gives the functions of a pool by event.
//
// Errors: Denied, NotFound, Invalid.
func (s *Service) Events(ctx context.Context, p Principal, id PoolID) (map[string]string, error) {
	pool, err := s.Pool(ctx, p, id)
	return pool.Events, err
}

// SetEvents sets functions of a pool by event; those that it does not name stay,
// and "" removes one. A function is an ARN of AWS Lambda, or an address of a
// webhook.
//
// Errors: Denied, NotFound, Invalid; Busy if the pool was changed by others again
// and again meanwhile.
func (s *Service) SetEvents(ctx context.Context, p Principal, id PoolID, events map[string]string) error {
	const op = "set cognito events"
	for range commitTries {
		_, err := s.ChangePool(ctx, p, id, func(pool *Pool) error {
			pool.Events = maps.Clone(pool.Events) // the store may show its own to others
			return s.mergeEvents(pool, events)
		})
		if KindOf(err) != Stale {
			return err
		}
	}
	return busy(op)
}

func (s *Service) mergeEvents(pool *Pool, events map[string]string) error {
	const op = "set cognito events"
	if len(events) > 1 {
		return Errorf(Invalid, op, "1 validation error detected: Value at 'events' failed to satisfy constraint: Map must have a length of at most 1, this one has %d", len(events))
	}
	for event, function := range events {
		if event != SyncTrigger {
			return Errorf(Invalid, op, "Events names '%s': the only event is %s", clip(event), SyncTrigger)
		}
		if function == "" {
			delete(pool.Events, event)
			continue
		}
		if s.Functions == nil {
			return Errorf(Invalid, op, "This server calls no functions")
		}
		if err := s.Functions.Check(function); err != nil {
			return err
		}
		if pool.Events == nil {
			pool.Events = map[string]string{}
		}
		pool.Events[event] = function
	}
	return nil
}

// WebhookKey gives the key that signs what is sent to a webhook of a pool, 32
// bytes. It is derived from the master key, and depends on the address.
func (s *Sealer) WebhookKey(pool PoolID, address string) ([]byte, error) {
	return s.Key("webhook", []byte(string(pool)+"\x00"+address))
}

// WebhookKey gives a developer the key that signs what is sent to a webhook,
// whose address may be set later; "" is the one that is set.
//
// Errors: Denied, NotFound, Invalid.
func (s *Service) WebhookKey(ctx context.Context, p Principal, id PoolID, address string) (string, []byte, error) {
	const op = "describe webhook"
	pool, err := s.Pool(ctx, p, id)
	if err != nil {
		return "", nil, err
	}
	if address == "" {
		address = pool.Events[SyncTrigger]
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		return "", nil, Errorf(Invalid, op, "The identity pool has no webhook: its %s is %q", SyncTrigger, clip(address))
	}
	key, err := s.Sealer.WebhookKey(id, address)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", op, err)
	}
	return address, key, nil
}
