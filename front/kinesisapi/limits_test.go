package kinesisapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tributary/front/kinesisapi"
)

func limited(c *kinesisapi.Config) { c.Limits = true }

const tooFast = "ProvisionedThroughputExceededException"

// passes counts how many calls in a row are let through, of at most 100.
func (k *kit) passes(op string, in any, code string) int {
	k.Helper()
	for n := range 100 {
		w := k.send(op, in)
		if w.Code == http.StatusOK {
			continue
		}
		if !strings.Contains(w.Body.String(), code) {
			k.Errorf("%s: %d %s", op, w.Code, w.Body)
		}
		return n
	}
	return 100
}

// TestCallLimits: each operation has its number of calls a second, at once and
// on the long run.
func TestCallLimits(t *testing.T) {
	k := newKit(t, limited)
	k.stream("s", 2)
	at := func(shard string) obj { return obj{"StreamName": "s", "ShardId": shard, "ShardIteratorType": "LATEST"} }
	it := k.iterator("s", "shardId-1", horizon())
	k.clock.move(time.Second)
	for _, c := range []struct {
		op   string
		in   any
		code string
		most int
	}{
		{"GetRecords", obj{"ShardIterator": it}, tooFast, 5},
		{"GetShardIterator", at("shardId-0"), tooFast, 5},
		{"GetShardIterator", at("shardId-1"), tooFast, 5}, // another shard
		{"DescribeStream", obj{"StreamName": "s"}, "LimitExceededException", 10},
		{"DescribeStreamSummary", obj{"StreamName": "s"}, "LimitExceededException", 20},
		{"ListStreams", obj{}, "LimitExceededException", 5},
		{"ListShards", obj{"StreamName": "s"}, "", 100},
	} {
		if n := k.passes(c.op, c.in, c.code); n != c.most {
			t.Errorf("%s: %d calls pass, want %d", c.op, n, c.most)
		}
		k.clock.move(400 * time.Millisecond)
		if n, want := k.passes(c.op, c.in, c.code), c.most*2/5; n != want && c.most < 100 {
			t.Errorf("%s: %d calls pass after 0.4 s, want %d", c.op, n, want)
		}
	}
}

// TestLimitTexts has what is said to who is too fast.
func TestLimitTexts(t *testing.T) {
	k := newKit(t, limited)
	k.stream("s", 1)
	in := obj{"StreamName": "s", "ShardId": first, "ShardIteratorType": "LATEST"}
	k.passes("GetShardIterator", in, tooFast)
	k.refused("GetShardIterator", in, tooFast, "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.")
	k.passes("DescribeStream", obj{"StreamName": "s"}, "LimitExceededException")
	k.refused("DescribeStream", obj{"StreamName": "s"}, "LimitExceededException", "Rate exceeded for account 123456789012: DescribeStream may be called 10 times a second.")
}

// TestReadLimit: 10 MiB that were read keep the shard's readers away for
// seconds, and nobody else.
func TestReadLimit(t *testing.T) {
	k := newKit(t)
	k.stream("s", 2)
	for range 10 {
		call[putOutput](k, "PutRecord", obj{"StreamName": "s", "PartitionKey": "k", "ExplicitHashKey": "0", "Data": make([]byte, 1<<20-1)})
	}
	k.cfg.Limits = true
	k.front = kinesisapi.New(k.cfg)
	it, other := k.iterator("s", first, horizon()), k.iterator("s", "shardId-1", horizon())
	r := k.records(it, 0)
	if len(r.Records) != 10 {
		t.Fatalf("%d records", len(r.Records))
	}
	for _, step := range []time.Duration{0, time.Second, 2999 * time.Millisecond} {
		k.clock.move(step)
		k.refused("GetRecords", obj{"ShardIterator": *r.Next}, tooFast, "Rate exceeded for shard shardId-000000000000")
	}
	k.records(other, 0)
	k.clock.move(2 * time.Millisecond)
	k.records(*r.Next, 0)
}

// TestWriteLimit: 1,000 records or 1 MiB a second go to a shard. Of PutRecords
// the rest is refused, record by record.
func TestWriteLimit(t *testing.T) {
	k := newKit(t, limited)
	k.stream("s", 2)
	put := func(n, size int, shards ...string) (passed map[string]int) {
		t.Helper()
		list := make([]obj, n)
		for i := range list {
			list[i] = obj{"PartitionKey": "k", "ExplicitHashKey": shards[i%len(shards)], "Data": make([]byte, size-1)}
		}
		out := call[putsOutput](k, "PutRecords", obj{"StreamName": "s", "Records": list})
		passed = map[string]int{}
		failed := 0
		for i, r := range out.Records {
			switch {
			case r.ErrorCode == "" && r.SequenceNumber != "":
				passed[shards[i%len(shards)]]++
			case r.ErrorCode == tooFast && r.SequenceNumber == "" && strings.HasPrefix(r.ErrorMessage, "Rate exceeded for shard shardId-00000000000"):
				failed++
			default:
				t.Fatalf("%+v", r)
			}
		}
		if out.FailedRecordCount != failed {
			t.Errorf("FailedRecordCount is %d, want %d", out.FailedRecordCount, failed)
		}
		return passed
	}
	const low, high = "0", "340282366920938463463374607431768211455"
	check := func(got map[string]int, wantLow, wantHigh int) {
		t.Helper()
		if got[low] != wantLow || got[high] != wantHigh {
			t.Errorf("%v, want %d and %d", got, wantLow, wantHigh)
		}
	}
	check(put(500, 1, low), 500, 0)
	check(put(400, 1, low), 400, 0)
	check(put(400, 1, low, high), 100, 200)
	k.refused("PutRecord", obj{"StreamName": "s", "PartitionKey": "k", "ExplicitHashKey": low, "Data": ""}, tooFast, "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.")
	k.clock.move(100 * time.Millisecond)
	check(put(200, 1, low), 100, 0)
	k.clock.move(time.Second)
	check(put(10, 1<<18, low), 4, 0) // 1 MiB
	k.clock.move(500 * time.Millisecond)
	check(put(10, 1<<18, low), 2, 0)

	// What is larger than a second's share passes when the share is whole, and
	// takes as much time.
	call[obj](k, "UpdateMaxRecordSize", obj{"StreamARN": arn("s"), "MaxRecordSizeInKiB": 10240})
	k.clock.move(time.Second)
	check(put(1, 3<<20, low), 1, 0)
	k.clock.move(1999 * time.Millisecond)
	check(put(1, 100, low), 0, 0)
	k.clock.move(2 * time.Millisecond)
	check(put(1, 100, low), 1, 0)
	if r := k.records(k.iterator("s", first, horizon()), 0); len(r.Records) != 1108 {
		t.Errorf("%d records are there", len(r.Records))
	}
}

// TestNoLimits: nobody is refused who did not ask for it.
func TestNoLimits(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	for op, in := range map[string]obj{
		"GetRecords": {"ShardIterator": it}, "DescribeStream": {"StreamName": "s"}, "ListStreams": {}, "DescribeStreamSummary": {"StreamName": "s"},
		"GetShardIterator": {"StreamName": "s", "ShardId": first, "ShardIteratorType": "LATEST"},
	} {
		if n := k.passes(op, in, ""); n != 100 {
			t.Errorf("%s: %d calls pass", op, n)
		}
	}
}

// TestLimitsForget: full buckets are forgotten, others are not.
func TestLimitsForget(t *testing.T) {
	const n = 25_000
	if before, after := kinesisapi.CountBuckets(n); before != n || after >= 2*n || after < n {
		t.Errorf("%d buckets, then %d", before, after)
	}
}
