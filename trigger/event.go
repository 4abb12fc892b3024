package trigger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"tributary"
)

const version = 2 // of the event, as AWS has it

// event is the JSON of Cognito Events, which is also that of the answer.
type event struct {
	Version        int64             `json:"version"`
	EventType      string            `json:"eventType"`
	Region         string            `json:"region"`
	IdentityPoolID string            `json:"identityPoolId"`
	IdentityID     string            `json:"identityId"`
	DatasetName    string            `json:"datasetName"`
	DatasetRecords map[string]record `json:"datasetRecords"`
}

type record struct {
	OldValue *string `json:"oldValue"`
	NewValue *string `json:"newValue"`
	Op       string  `json:"op"`
}

func eventOf(e *tributary.SyncEvent) *event {
	out := &event{
		Version: version, EventType: tributary.SyncTrigger, Region: e.Key.Pool.Region(),
		IdentityPoolID: string(e.Key.Pool), IdentityID: string(e.Key.Identity), DatasetName: string(e.Key.Dataset),
		DatasetRecords: make(map[string]record, len(e.Records)),
	}
	for i := range e.Records {
		r := &e.Records[i]
		out.DatasetRecords[r.Key] = record{OldValue: r.Old, NewValue: r.New, Op: r.Op.String()}
	}
	return out
}

func encode(e *tributary.SyncEvent) ([]byte, error) {
	return json.Marshal(eventOf(e), json.Deterministic(true))
}

// answer is an event in which anything may be missing.
type answer struct {
	Version        *int64                   `json:"version"`
	EventType      *string                  `json:"eventType"`
	Region         *string                  `json:"region"`
	IdentityPoolID *string                  `json:"identityPoolId"`
	IdentityID     *string                  `json:"identityId"`
	DatasetName    *string                  `json:"datasetName"`
	DatasetRecords map[string]*answerRecord `json:"datasetRecords"`
}

type answerRecord struct {
	NewValue *string `json:"newValue"`
	Op       *string `json:"op"`
}

// decode reads an answer to an event, and gives its records in the order of their
// keys. A member that the answer leaves out is unchanged, apart from
// datasetRecords: a function that returns something else altogether must not have
// every sync ignored.
func decode(body []byte, e *tributary.SyncEvent) ([]tributary.EventRecord, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	if a.DatasetRecords == nil {
		return nil, errors.New("it has no datasetRecords: return the event")
	}
	if err := a.unchanged(eventOf(&tributary.SyncEvent{Key: e.Key})); err != nil {
		return nil, err
	}
	out := make([]tributary.EventRecord, 0, len(a.DatasetRecords))
	for key, r := range a.DatasetRecords {
		if r == nil {
			return nil, fmt.Errorf("the record %.64q is null: to ignore it leave it out, to remove it set its op", key)
		}
		op, err := r.op()
		if err != nil {
			return nil, fmt.Errorf("the record %.64q %w", key, err)
		}
		out = append(out, tributary.EventRecord{Key: key, New: r.NewValue, Op: op})
	}
	slices.SortFunc(out, func(a, b tributary.EventRecord) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

func (r *answerRecord) op() (tributary.Op, error) {
	switch {
	case r.Op == nil, *r.Op == tributary.Replace.String():
		return tributary.Replace, nil
	case *r.Op == tributary.Remove.String():
		return tributary.Remove, nil
	}
	return 0, fmt.Errorf("has the op %.64q, it must be replace or remove", *r.Op)
}

// unchanged refuses an answer with another member changed than the records.
func (a *answer) unchanged(sent *event) error {
	if a.Version != nil && *a.Version != sent.Version {
		return fmt.Errorf("it has changed version to %d: only datasetRecords may be changed", *a.Version)
	}
	for _, m := range []struct {
		name string
		got  *string
		sent string
	}{
		{"eventType", a.EventType, sent.EventType},
		{"region", a.Region, sent.Region},
		{"identityPoolId", a.IdentityPoolID, sent.IdentityPoolID},
		{"identityId", a.IdentityID, sent.IdentityID},
		{"datasetName", a.DatasetName, sent.DatasetName},
	} {
		if m.got != nil && *m.got != m.sent {
			return fmt.Errorf("it has changed %s to %.128q: only datasetRecords may be changed", m.name, *m.got)
		}
	}
	return nil
}
