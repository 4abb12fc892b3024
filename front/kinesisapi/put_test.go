package kinesisapi_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tributary"
)

type putOutput struct {
	ShardID        string `json:"ShardId"`
	SequenceNumber tributary.Position
	ErrorCode      string
	ErrorMessage   string
}

type putsOutput struct {
	FailedRecordCount int
	Records           []putOutput
}

// TestPutRecords puts records among changes, and reads both in their order.
func TestPutRecords(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	one := call[putOutput](k, "PutRecord", obj{"StreamName": "s", "PartitionKey": "né", "Data": []byte{0, 0xff}})
	k.write(ann, "d", "a", "c")
	many := call[putsOutput](k, "PutRecords", obj{"StreamARN": arn("s"), "Records": []obj{{"PartitionKey": "x", "Data": []byte("1")}, {"PartitionKey": "y", "Data": []byte{}}}})
	if many.FailedRecordCount != 0 || one.ShardID != first {
		t.Errorf("%+v, %+v", one, many)
	}
	got := k.records(k.iterator("s", first, horizon()), 0).Records
	if len(got) != 5 || got[0].PartitionKey != string(ann) || got[2].PartitionKey != string(ann) {
		t.Fatalf("%+v", got)
	}
	for i, want := range map[int]record{
		1: {SequenceNumber: one.SequenceNumber, PartitionKey: "né", Data: []byte{0, 0xff}},
		3: {SequenceNumber: many.Records[0].SequenceNumber, PartitionKey: "x", Data: []byte("1")},
		4: {SequenceNumber: many.Records[1].SequenceNumber, PartitionKey: "y"},
	} {
		if r := got[i]; r.SequenceNumber != want.SequenceNumber || r.PartitionKey != want.PartitionKey || !bytes.Equal(r.Data, want.Data) || tributary.Millis(r.Arrived) != epoch {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

// TestPutPlaces: a record goes to the shard of its key's hash, or of the hash
// that is given.
func TestPutPlaces(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 3)
	var in []obj
	var want []uint32
	add := func(key, explicit string, hash tributary.HashKey) {
		shard, _ := st.ShardFor(hash)
		one := obj{"PartitionKey": key, "Data": ""}
		if explicit != "" {
			one["ExplicitHashKey"] = explicit
		}
		in, want = append(in, one), append(want, shard.Number)
	}
	for i := range 40 {
		key := fmt.Sprint("key", i)
		add(key, "", tributary.HashOf(key))
	}
	for _, r := range st.Shards {
		add("k", r.Start.String(), r.Start)
		add("k", r.End.String(), r.End)
	}
	for i, r := range call[putsOutput](k, "PutRecords", obj{"StreamName": "s", "Records": in}).Records {
		one := in[i]
		one["StreamName"] = "s"
		alone := call[putOutput](k, "PutRecord", one)
		if id := tributary.ShardID(want[i]); r.ShardID != id || alone.ShardID != id || alone.SequenceNumber <= r.SequenceNumber {
			t.Errorf("%v: %s, alone %s, want %s", one, r.ShardID, alone.ShardID, id)
		}
	}
}

// TestPutBounds has the largest that may be put, and what is larger by one.
func TestPutBounds(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	record := func(key, data int) obj {
		return obj{"PartitionKey": strings.Repeat("é", key), "Data": make([]byte, data)}
	}
	many := func(n int, one obj) obj {
		list := make([]obj, n)
		for i := range list {
			list[i] = one
		}
		return obj{"StreamName": "s", "Records": list}
	}
	single := func(one obj) obj {
		one["StreamName"] = "s"
		return one
	}
	good := func(op string, in obj) {
		t.Helper()
		if w := k.send(op, in); w.Code != http.StatusOK {
			t.Errorf("%d %.300s", w.Code, w.Body)
		}
	}
	bad := func(op string, in obj, text string) {
		t.Helper()
		if w := k.send(op, in); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "InvalidArgumentException") || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%d %.300s, want %s", w.Code, w.Body, text)
		}
	}
	const mib = 1 << 20
	good("PutRecord", single(record(256, mib-512)))
	bad("PutRecord", single(record(256, mib-511)), "at 'data' failed to satisfy constraint: Member must have length less than or equal to 1048576, the partition key included. It has 1048577 bytes")
	bad("PutRecord", single(record(257, 0)), "at 'partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256")
	bad("PutRecord", single(record(0, 0)), "at 'partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1")
	bad("PutRecord", obj{"StreamName": "s", "PartitionKey": "k"}, "Value null at 'data'")
	for _, key := range []string{"-1", "01", "x", "340282366920938463463374607431768211456"} {
		bad("PutRecord", obj{"StreamName": "s", "PartitionKey": "k", "Data": "", "ExplicitHashKey": key}, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was "+key)
	}
	good("PutRecords", many(500, record(1, 1)))
	bad("PutRecords", many(501, record(1, 1)), "less than or equal to 500")
	bad("PutRecords", many(0, nil), "greater than or equal to 1")
	bad("PutRecords", obj{"StreamName": "s", "Records": []obj{record(1, 1), record(1, mib-1)}}, "at 'records.2.member.data'")
	bad("PutRecords", obj{"StreamName": "s", "Records": []obj{record(1, 1), record(0, 1)}}, "at 'records.2.member.partitionKey'")
	good("PutRecords", many(10, record(1, mib-2)))
	bad("PutRecords", many(11, record(1, mib-2)), "Records size exceeds 10 MB limit")

	call[obj](k, "UpdateMaxRecordSize", obj{"StreamARN": arn("s"), "MaxRecordSizeInKiB": 10240})
	good("PutRecord", single(record(1, 10*mib-2)))
	bad("PutRecord", single(record(1, 10*mib-1)), "less than or equal to 10485760")
	good("PutRecords", many(1, record(1, 10*mib-2)))
}

func TestPutOrdering(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	put := func(after tributary.Position) obj {
		return obj{"StreamName": "s", "PartitionKey": "k", "Data": "", "SequenceNumberForOrdering": after}
	}
	last := call[putOutput](k, "PutRecord", put("")).SequenceNumber
	for range 3 {
		next := call[putOutput](k, "PutRecord", put(last)).SequenceNumber
		if next <= last {
			t.Errorf("%s after %s", next, last)
		}
		last = next
	}
	for _, bad := range []tributary.Position{"1", "x", tributary.PositionOf(tributary.Shard{Stream: st.ID, Number: 1}, 1), tributary.PositionOf(tributary.Shard{Stream: st.ID + 1}, 1)} {
		k.refused("PutRecord", put(bad), "InvalidArgumentException", "ExclusiveMinimumSequenceNumber "+string(bad)+" used in PutRecord on stream s under account 123456789012 is invalid.")
	}
}

// TestPutRefused: nothing is written by what is refused or only asked.
func TestPutRefused(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	_, err := k.store.PutStream(t.Context(), tributary.Stream{Name: tributary.AuditStream, Kind: tributary.Embedded, Shards: tributary.EvenShards(1)})
	k.ok(err)
	one := obj{"PartitionKey": "k", "Data": ""}
	for _, in := range []obj{{"PartitionKey": "k", "Data": ""}, {"Records": []obj{one}}} {
		op := "PutRecord"
		if in["Records"] != nil {
			op = "PutRecords"
		}
		in["StreamName"], in["DryRun"] = "s", true
		k.refused(op, in, "DryRunOperationException", "would have succeeded")
		in["StreamName"] = tributary.AuditStream
		k.refused(op, in, "InvalidArgumentException", "tributary-audit is the server's audit log, which can be read only")
		in["DryRun"] = false
		k.refused(op, in, "InvalidArgumentException", "which can be read only")
	}
	for _, name := range []tributary.StreamName{"s", tributary.AuditStream} {
		if r := k.records(k.iterator(name, first, horizon()), 0); len(r.Records) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
