package streamrec

import (
	"github.com/go-json-experiment/json"

	"tributary"
)

// event spells the record as AWS does.
type event struct {
	IdentityPoolID        string   `json:"identityPoolId"`
	IdentityID            string   `json:"identityId"`
	DatasetName           string   `json:"datasetName"`
	DocumentedName        string   `json:"dataSetName"`
	Operation             string   `json:"operation"`
	KinesisSyncRecords    []record `json:"kinesisSyncRecords"`
	LastModifiedDate      int64    `json:"lastModifiedDate"`
	KinesisSyncRecordsURL string   `json:"kinesisSyncRecordsURL"`
	PayloadType           string   `json:"payloadType"`
	SyncCount             int64    `json:"syncCount"`
}

type record struct {
	Key                    string  `json:"key"`
	Value                  *string `json:"value"`
	SyncCount              int64   `json:"syncCount"`
	LastModifiedDate       int64   `json:"lastModifiedDate"`
	DeviceLastModifiedDate int64   `json:"deviceLastModifiedDate"`
	Op                     string  `json:"op"`
}

// Decode reads a record. If it is S3Url the link is given, and the change has
// no records: [DecodeRecords] reads what the link leads to.
//
// Fields that it does not know are skipped, and dates that are missing are 0.
// AWS writes some events with neither records nor link nor operation: they are
// dataset removals. What a record does not say, such as who wrote it, is empty
// in the change.
//
// Errors: Invalid.
func Decode(data []byte) (c tributary.Change, link string, err error) {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return tributary.Change{}, "", &tributary.Error{Kind: tributary.Invalid, Op: "decode record", Msg: "it is no Cognito Streams record", Err: err}
	}
	if c.Op, err = e.operation(); err != nil {
		return tributary.Change{}, "", err
	}
	if link, err = e.link(); err != nil {
		return tributary.Change{}, "", err
	}
	c.Key = tributary.DatasetKey{Pool: tributary.PoolID(e.IdentityPoolID), Identity: tributary.IdentityID(e.IdentityID), Dataset: tributary.DatasetName(e.DatasetName)}
	if c.Key.Dataset == "" {
		c.Key.Dataset = tributary.DatasetName(e.DocumentedName)
	}
	if c.Key.Pool == "" || c.Key.Identity == "" || c.Key.Dataset == "" {
		return tributary.Change{}, "", invalid("identityPoolId, identityId or datasetName is missing")
	}
	c.SyncCount, c.At = e.SyncCount, tributary.Millis(e.LastModifiedDate)
	if link == "" {
		if c.Records, err = records(e.KinesisSyncRecords); err != nil {
			return tributary.Change{}, "", err
		}
	}
	return c, link, nil
}

// link tells where the records are, "" if they are in the event.
func (e *event) link() (string, error) {
	switch {
	case e.PayloadType == "S3Url" && e.KinesisSyncRecordsURL == "":
		return "", invalid("payloadType is S3Url, but there is no kinesisSyncRecordsURL")
	case e.PayloadType == "S3Url", e.PayloadType == "" && e.KinesisSyncRecords == nil:
		return e.KinesisSyncRecordsURL, nil
	case e.PayloadType != "" && e.PayloadType != "Inline":
		return "", invalid("unknown payloadType %.32q", e.PayloadType)
	}
	return "", nil
}

func (e *event) operation() (tributary.Op, error) {
	switch {
	case e.Operation == "replace":
		return tributary.Replace, nil
	case e.Operation == "remove":
		return tributary.Remove, nil
	case e.Operation != "":
		return 0, invalid("unknown operation %.32q", e.Operation)
	case e.KinesisSyncRecords == nil && e.KinesisSyncRecordsURL == "":
		return tributary.Remove, nil
	}
	return tributary.Replace, nil
}

// DecodeRecords reads the array that a link leads to. Errors: Invalid.
func DecodeRecords(data []byte) ([]tributary.Record, error) {
	var in []record
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, &tributary.Error{Kind: tributary.Invalid, Op: "decode records", Msg: "it is no array of records", Err: err}
	}
	return records(in)
}

func records(in []record) ([]tributary.Record, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out := make([]tributary.Record, len(in))
	for i := range in {
		if err := in[i].to(&out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *record) to(out *tributary.Record) error {
	*out = tributary.Record{
		Key: r.Key, SyncCount: r.SyncCount,
		LastModified: tributary.Millis(r.LastModifiedDate), DeviceLastModified: tributary.Millis(r.DeviceLastModifiedDate),
	}
	switch {
	case r.Op == "remove" || r.Op == "" && r.Value == nil:
		out.Removed = true
	case r.Op != "" && r.Op != "replace":
		return invalid("unknown op %.32q", r.Op)
	case r.Value != nil:
		out.Value = *r.Value
	}
	return nil
}

func invalid(format string, args ...any) error {
	return tributary.Errorf(tributary.Invalid, "decode record", format, args...)
}
