package codec_test

import (
	"fmt"
	"testing"

	"tributary"
	"tributary/store/codec"
)

var key = tributary.DatasetKey{Pool: "us-east-1:1", Identity: "us-east-1:2", Dataset: "d"}

func someDataset() *codec.Dataset {
	return &codec.Dataset{
		Head: tributary.Dataset{
			Key: key, Exists: true, Version: tributary.Version{SyncCount: 9, Change: 1 << 63}, Marker: 3, Floor: 2,
			Created: 1_700_000_000_000, LastModified: 1_700_000_000_009, LastModifiedBy: "us-east-1:2",
			Records: 1, Tombstones: 1, TombstoneBytes: 1, Bytes: 4,
		},
		Records: []tributary.Record{
			{Key: "a", Value: "\x00é", SyncCount: 4, LastModified: 1_700_000_000_004, LastModifiedBy: "device", DeviceLastModified: -5},
			{Key: "b", Removed: true, SyncCount: 9, LastModified: 1_700_000_000_009, LastModifiedBy: "us-east-1:2", DeviceLastModified: 1_700_000_000_009},
		},
	}
}

// TestRoundTrip reads what was written, and refuses every value cut short.
func TestRoundTrip(t *testing.T) {
	d := someDataset()
	value := string(codec.AppendDataset(nil, d))
	got, err := codec.DecodeDataset(key, value)
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", *d) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, *d)
	}
	for n := range value {
		if _, err := codec.DecodeDataset(key, value[:n]); err == nil {
			t.Errorf("%d of %d bytes were read as a dataset", n, len(value))
		}
	}
	split := codec.Dataset{Head: d.Head, Split: true}
	if got, err := codec.DecodeDataset(key, string(codec.AppendDataset(nil, &split))); err != nil || !got.Split || got.Head != d.Head || len(got.Records) > 0 {
		t.Errorf("split: %+v, %v", got, err)
	}
	for i := range d.Records {
		if got, err := codec.DecodeRecord(string(codec.AppendRecord(nil, &d.Records[i]))); err != nil || got != d.Records[i] {
			t.Errorf("got %+v, %v, want %+v", got, err, d.Records[i])
		}
	}
}

// FuzzEntry reads any bytes as a log entry: without a panic, and what can be
// read is written and read as the same.
func FuzzEntry(f *testing.F) {
	d := someDataset()
	f.Add(string(codec.AppendEntry(nil, &tributary.Entry{Arrived: 5, Change: &tributary.Change{
		ID: 7, Key: key, SyncCount: 9, At: 4, By: "device", Records: d.Records, PoolBytes: -3}})))
	f.Add(string(codec.AppendEntry(nil, &tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{
		PartitionKey: "p", HashKey: tributary.HashOf("p"), Data: []byte("data")}})))
	f.Fuzz(func(t *testing.T, value string) {
		e, err := codec.DecodeEntry(value)
		if err != nil {
			return
		}
		again, err := codec.DecodeEntry(string(codec.AppendEntry(nil, &e)))
		if err != nil || show(&again) != show(&e) {
			t.Errorf("read as\n%s\nthen, %v, as\n%s", show(&e), err, show(&again))
		}
	})
}

func show(e *tributary.Entry) string {
	if e.Foreign != nil {
		return fmt.Sprintf("%d %d %+v", e.Kind, e.Arrived, *e.Foreign)
	}
	return fmt.Sprintf("%d %d %+v", e.Kind, e.Arrived, *e.Change)
}

// FuzzDataset reads any bytes as a dataset.
func FuzzDataset(f *testing.F) {
	f.Add(string(codec.AppendDataset(nil, someDataset())))
	f.Fuzz(func(t *testing.T, value string) {
		d, err := codec.DecodeDataset(key, value)
		if err != nil {
			return
		}
		again, err := codec.DecodeDataset(key, string(codec.AppendDataset(nil, &d)))
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", d) {
			t.Errorf("read as\n%+v\nthen, %v, as\n%+v", d, err, again)
		}
	})
}
