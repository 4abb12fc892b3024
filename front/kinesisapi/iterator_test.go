package kinesisapi_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/front/kinesisapi"
)

const first = "shardId-000000000000"

// TestIteratorTypes reads a shard whose entries arrived at 1, 3 and 5 seconds.
func TestIteratorTypes(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	at := func(seconds float64) obj {
		return obj{"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": float64(epoch)/1000 + seconds}
	}
	number := func(kind string, n uint64) obj {
		return obj{"ShardIteratorType": kind, "StartingSequenceNumber": string(tributary.PositionOf(tributary.Shard{Stream: st.ID}, n))}
	}
	const at_, after = "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"
	latest := obj{"ShardIteratorType": "LATEST"}
	for name, in := range map[string]obj{"horizon": horizon(), "latest": latest, "time": at(0), "at": number(at_, 0), "after": number(after, 0)} {
		if r := k.records(k.iterator("s", first, in), 0); len(r.Records) != 0 || r.Next == nil || r.Behind != 0 {
			t.Errorf("empty shard, %s: %+v", name, r)
		}
	}
	k.refused("GetShardIterator", merge(obj{"StreamName": "s", "ShardId": first}, number(at_, 1)), "InvalidArgumentException", "did not come from this stream")
	early := k.iterator("s", first, latest)
	for i := range 3 {
		k.clock.move(time.Second)
		k.write(ann, "d", "a", fmt.Sprint(i))
		k.clock.move(time.Second)
	}
	check := func(name string, want ...uint64) func(obj) {
		return func(in obj) {
			t.Helper()
			if got := k.counts(k.records(k.iterator("s", first, in), 0)); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	}
	check("horizon", 1, 2, 3)(horizon())
	check("latest")(latest)
	check("time before", 1, 2, 3)(at(-1e9))
	check("time of the first", 1, 2, 3)(at(1))
	check("time between", 2, 3)(at(1.001))
	check("time of the last", 3)(at(5))
	check("time after")(at(5.5))
	check("time now")(at(6))
	check("whole shard", 1, 2, 3)(number(at_, 0))
	check("whole shard", 1, 2, 3)(number(after, 0))
	check("at", 2, 3)(number(at_, 2))
	check("after", 3)(number(after, 2))
	check("after the last")(number(after, 3))
	if got := k.counts(k.records(early, 0)); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("an iterator at the tip gave %v", got)
	}

	old := k.iterator("s", first, horizon())
	k.trim(st, 0, 2)
	for name, in := range map[string]obj{"horizon": horizon(), "time": at(1), "at": number(at_, 1), "start": number(at_, 0), "after": number(after, 1)} {
		check("trimmed, "+name, 3)(in)
	}
	if got := k.counts(k.records(old, 0)); !slices.Equal(got, []uint64{3}) {
		t.Errorf("an iterator from before the trim gave %v", got)
	}
	k.trim(st, 0, 3)
	check("all trimmed")(horizon())
}

func merge(a, b obj) obj {
	out := obj{}
	for _, m := range []obj{a, b} {
		for key, v := range m {
			out[key] = v
		}
	}
	return out
}

func TestIteratorRefusals(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 2)
	k.write(ann, "d", "a", "b")
	other := k.stream("other", 1)
	pos := func(id tributary.StreamID, shard uint32, n uint64) string {
		return string(tributary.PositionOf(tributary.Shard{Stream: id, Number: shard}, n))
	}
	const foreign = "used in GetShardIterator on shard shardId-000000000000 in stream s under account 123456789012 is invalid because"
	for _, c := range []struct {
		in         obj
		code, text string
	}{
		{obj{"ShardId": nil, "ShardIteratorType": "LATEST"}, "InvalidArgumentException", "Value null at 'shardId'"},
		{obj{}, "InvalidArgumentException", "Value null at 'shardIteratorType'"},
		{obj{"ShardIteratorType": "EARLIEST"}, "InvalidArgumentException", "at 'shardIteratorType' failed"},
		{obj{"ShardIteratorType": "AT_SEQUENCE_NUMBER"}, "InvalidArgumentException", "Request specified AT_SEQUENCE_NUMBER and no StartingSequenceNumber"},
		{obj{"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}, "InvalidArgumentException", "and no StartingSequenceNumber"},
		{obj{"ShardIteratorType": "LATEST", "StartingSequenceNumber": "5"}, "InvalidArgumentException", "Request specified LATEST and also a StartingSequenceNumber"},
		{obj{"ShardIteratorType": "TRIM_HORIZON", "StartingSequenceNumber": "5"}, "InvalidArgumentException", "and also a"},
		{obj{"ShardIteratorType": "AT_TIMESTAMP"}, "InvalidArgumentException", "Current request has no timestamp parameter"},
		{obj{"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": float64(epoch)/1000 + 1}, "InvalidArgumentException", "cannot be greater than the currentTimestampInMillis. timestampInMillis: 1790000001000, currentTimestampInMillis: 1790000000000"},
		{obj{"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": "now"}, "SerializationException", ""},
		{obj{"ShardIteratorType": "LATEST", "ShardId": "x"}, "ResourceNotFoundException", "Could not find shard x in stream s under account 123456789012."},
		{obj{"ShardIteratorType": "LATEST", "ShardId": "shardId-000000000002"}, "ResourceNotFoundException", "Shard shardId-000000000002 in stream s under account 123456789012 does not exist"},
		{obj{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "5"}, "InvalidArgumentException", "StartingSequenceNumber 5 " + foreign},
		{obj{"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": strings.Repeat("9", 999)}, "InvalidArgumentException", foreign},
		{obj{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": pos(other.ID, 0, 1)}, "InvalidArgumentException", foreign},
		{obj{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": pos(st.ID, 0, 99)}, "InvalidArgumentException", foreign},
		{obj{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": pos(st.ID, 1, 1)}, "InvalidArgumentException", "It encodes shardId-000000000001, while it was used in a call to a shard with shardId-000000000000"},
	} {
		k.refused("GetShardIterator", merge(obj{"StreamName": "s", "ShardId": first}, c.in), c.code, c.text)
	}
}

// TestIncarnation has what was given out for a stream that was deleted and
// made again.
func TestIncarnation(t *testing.T) {
	k := newKit(t)
	old := k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	it := k.iterator("s", first, horizon())
	number := k.records(it, 0).Records[0].SequenceNumber
	call[obj](k, "DeleteStream", obj{"StreamName": "s"})
	k.refused("GetRecords", obj{"ShardIterator": it}, "ResourceNotFoundException", "Stream s under account 123456789012 not found.")
	if made := k.stream("s", 1); made.ID <= old.ID {
		t.Fatalf("incarnation %d after %d", made.ID, old.ID)
	}
	k.refused("GetRecords", obj{"ShardIterator": it}, "ResourceNotFoundException", "Stream s under account 123456789012 not found.")
	for _, kind := range []string{"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"} {
		k.refused("GetShardIterator", obj{"StreamName": "s", "ShardId": first, "ShardIteratorType": kind, "StartingSequenceNumber": string(number)},
			"InvalidArgumentException", "because it did not come from this stream")
	}
}

func TestIteratorLife(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	k.clock.move(5 * time.Minute)
	next := *k.records(it, 0).Next
	k.clock.move(time.Millisecond)
	k.refused("GetRecords", obj{"ShardIterator": it}, "ExpiredIteratorException",
		"Iterator expired. The iterator was created at time Mon Sep 21 14:13:20 UTC 2026 while right now it is Mon Sep 21 14:18:20 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds.")
	k.records(next, 0)
	if it == next {
		t.Error("the next iterator is not renewed")
	}

	token := *call[shards](k, "ListShards", obj{"StreamName": string(k.stream("t", 2).Name), "MaxResults": 1}).NextToken
	for _, forged := range []string{"x", "AAAAAAAAAAGq9NKI", token, next[:len(next)-1], next + "A", strings.Replace(next, next[30:31], "_", 1) + "A"} {
		k.refused("GetRecords", obj{"ShardIterator": forged}, "InvalidArgumentException", "Invalid ShardIterator.")
	}
	elsewhere, err := tributary.NewSealer(bytes.Repeat([]byte{8}, tributary.MasterKeyLength))
	k.ok(err)
	cfg := k.cfg
	cfg.Sealer = elsewhere
	k.refused("GetRecords", obj{"ShardIterator": kinesisapi.LongestIterator(cfg, "s")}, "InvalidArgumentException", "Invalid ShardIterator.")
	if n := len(kinesisapi.LongestIterator(k.cfg, tributary.StreamName(strings.Repeat("s", 128)))); n > 512 {
		t.Errorf("an iterator of %d characters", n)
	}
}

func FuzzIterator(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2, 2, 1, 9, 's'})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	sealer, err := tributary.NewSealer(bytes.Repeat([]byte{7}, tributary.MasterKeyLength))
	if err != nil {
		f.Fatal(err)
	}
	cfg := kinesisapi.Config{Service: &tributary.Service{}, Sealer: sealer}
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := kinesisapi.OpenIterator(cfg, string(in)); err == nil {
			t.Errorf("%q was opened", in)
		}
		out, ok := kinesisapi.DecodeIterator(in)
		if again, same := kinesisapi.DecodeIterator(out); ok && (!same || !bytes.Equal(out, again)) {
			t.Errorf("%x is read as %x, and that as %x", in, out, again)
		}
	})
}
