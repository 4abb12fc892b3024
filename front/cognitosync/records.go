package cognitosync

import (
	"context"
	"strconv"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/awswire"
)

type updateRecordsIn struct {
	datasetKey       `json:"-"`
	SyncSessionToken string
	RecordPatches    []recordPatch
	DeviceID         string `json:"DeviceId"`
}

type recordPatch struct {
	Op                     string
	Key                    string
	Value                  *string
	SyncCount              *int64
	DeviceLastModifiedDate awswire.Timestamp
}

// updateRecordsBody is updateRecordsIn for the library, without the method.
type updateRecordsBody updateRecordsIn

// DecodeBody reads the plain shape by hand and everything else by the library.
func (in *updateRecordsIn) DecodeBody(body []byte) error {
	if in.decodePlain(body) {
		return nil
	}
	*in = updateRecordsIn{}
	return json.Unmarshal(body, (*updateRecordsBody)(in))
}

type updateRecordsOut struct{ records []tributary.Record }

func (o *updateRecordsOut) AppendJSON(b []byte) []byte {
	b = append(b, `{"Records":`...)
	return append(appendRecords(b, o.records), '}')
}

func (f *front) updateRecords(ctx context.Context, p principal, in *updateRecordsIn) (*updateRecordsOut, error) {
	const op = "read recordPatches"
	if len(in.DeviceID) > 256 {
		return nil, tributary.Errorf(tributary.Invalid, op, "1 validation error detected: Value at 'deviceId' failed to satisfy constraint: Member must have length between 1 and 256")
	}
	patches := make([]tributary.Patch, len(in.RecordPatches))
	for i := range in.RecordPatches {
		if err := in.RecordPatches[i].read(&patches[i]); err != nil {
			return nil, err
		}
	}
	records, err := f.service.UpdateRecords(ctx, p, in.DatasetKey, tributary.Update{SessionToken: in.SyncSessionToken, DeviceID: in.DeviceID, Patches: patches})
	if err != nil {
		return nil, err
	}
	return &updateRecordsOut{records}, nil
}

func (r *recordPatch) read(p *tributary.Patch) error {
	const op = "read recordPatches"
	switch {
	case r.Op != "replace" && r.Op != "remove":
		return tributary.Errorf(tributary.Invalid, op, "1 validation error detected: Value '%.64s' at 'recordPatches.op' failed to satisfy constraint: Member must satisfy enum value set: [remove, replace]", r.Op)
	case r.SyncCount == nil:
		return tributary.Errorf(tributary.Invalid, op, "1 validation error detected: Value null at 'recordPatches.syncCount' failed to satisfy constraint: Member must not be null")
	}
	p.Key, p.SyncCount, p.Remove = r.Key, *r.SyncCount, r.Op == "remove"
	p.DeviceLastModified = tributary.Millis(r.DeviceLastModifiedDate)
	if r.Value != nil {
		p.Value = *r.Value
	}
	return nil
}

type listRecordsIn struct {
	datasetKey `json:"-"`
	query      tributary.ListQuery
}

func (in *listRecordsIn) Bind(p awswire.Params) (err error) {
	if err = in.datasetKey.Bind(p); err != nil {
		return err
	}
	if in.query.LastSyncCount, err = count(p, "lastSyncCount"); err != nil {
		return err
	}
	in.query.NextToken, _ = p.Query("nextToken")
	in.query.MaxResults, err = maxResults(p)
	return err
}

type listRecordsOut struct{ tributary.Listing }

func (f *front) listRecords(ctx context.Context, p principal, in *listRecordsIn) (*listRecordsOut, error) {
	l, err := f.service.ListRecords(ctx, p, in.DatasetKey, in.query)
	if err != nil {
		return nil, err
	}
	return &listRecordsOut{l}, nil
}

func (o *listRecordsOut) AppendJSON(b []byte) []byte {
	b = append(b, `{"Records":`...)
	b = appendRecords(b, o.Records)
	b = append(b, `,"NextToken":`...)
	b = appendNullable(b, o.NextToken)
	b = append(b, `,"Count":`...)
	b = strconv.AppendInt(b, int64(len(o.Records)), 10)
	b = append(b, `,"DatasetSyncCount":`...)
	b = strconv.AppendInt(b, o.SyncCount, 10)
	b = append(b, `,"LastModifiedBy":`...)
	b = appendNullable(b, o.LastModifiedBy)
	b = append(b, `,"MergedDatasetNames":`...)
	b = appendNames(b, o.MergedNames)
	b = append(b, `,"DatasetExists":`...)
	b = strconv.AppendBool(b, o.Exists)
	b = append(b, `,"DatasetDeletedAfterRequestedSyncCount":`...)
	b = strconv.AppendBool(b, o.DeletedMeanwhile)
	b = append(b, `,"SyncSessionToken":`...)
	b = awswire.AppendString(b, o.SessionToken)
	return append(b, '}')
}

func appendNames(b []byte, names []string) []byte {
	if len(names) == 0 {
		return append(b, "null"...)
	}
	for i, name := range names {
		b = awswire.AppendString(append(b, "[,"[min(i, 1)]), name)
	}
	return append(b, ']')
}

func appendRecords(b []byte, records []tributary.Record) []byte {
	b = append(b, '[')
	for i := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRecord(b, &records[i])
	}
	return append(b, ']')
}

func appendRecord(b []byte, r *tributary.Record) []byte {
	b = append(b, `{"Key":`...)
	b = awswire.AppendString(b, r.Key)
	b = append(b, `,"Value":`...)
	if r.Removed {
		b = append(b, "null"...)
	} else {
		b = awswire.AppendString(b, r.Value)
	}
	b = append(b, `,"SyncCount":`...)
	b = strconv.AppendInt(b, r.SyncCount, 10)
	b = append(b, `,"LastModifiedDate":`...)
	b = timestamp(r.LastModified).AppendJSON(b)
	b = append(b, `,"LastModifiedBy":`...)
	b = appendNullable(b, r.LastModifiedBy)
	b = append(b, `,"DeviceLastModifiedDate":`...)
	b = timestamp(r.DeviceLastModified).AppendJSON(b)
	return append(b, '}')
}

func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return awswire.AppendString(b, s)
}
