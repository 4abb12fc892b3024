package kinesisapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary"
)

// split closes a shard of a stream with one shard and makes two children.
func (k *kit) split(name tributary.StreamName) {
	k.Helper()
	st, err := k.store.Stream(k.Context(), name)
	k.ok(err)
	st.Shards[0].Closed = true
	for i, half := range tributary.EvenShards(2) {
		half.Number, half.Parents = uint32(i+1), []uint32{0}
		st.Shards = append(st.Shards, half)
	}
	_, err = k.store.PutStream(k.Context(), st)
	k.ok(err)
}

// merge closes the children of split and makes one child of them.
func (k *kit) merge(name tributary.StreamName) {
	k.Helper()
	st, err := k.store.Stream(k.Context(), name)
	k.ok(err)
	st.Shards[1].Closed, st.Shards[2].Closed = true, true
	st.Shards = append(st.Shards, tributary.ShardRange{Number: 3, Parents: []uint32{1, 2}, Start: st.Shards[1].Start, End: st.Shards[2].End})
	_, err = k.store.PutStream(k.Context(), st)
	k.ok(err)
}

// trim forgets all of a shard that was read or not.
func (k *kit) trim(st tributary.Stream, number uint32, n uint64) {
	k.Helper()
	id := tributary.Shard{Stream: st.ID, Number: number}
	k.ok(k.store.Trim(k.Context(), id, tributary.PositionOf(id, n)))
}

// numbers names the shards of an answer by their last digit.
func numbers(s shards) string {
	var out strings.Builder
	for _, one := range s.Shards {
		out.WriteString(one.ShardID[len(one.ShardID)-1:])
	}
	return out.String()
}

func TestShardsOnTheWire(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	k.split("s")
	k.merge("s")
	list := call[shards](k, "ListShards", obj{"StreamName": "s"}).Shards
	for i, want := range []struct{ parent, adjacent, from, to string }{
		{"", "", "0", "340282366920938463463374607431768211455"},
		{"shardId-000000000000", "", "0", "170141183460469231731687303715884105727"},
		{"shardId-000000000000", "", "170141183460469231731687303715884105728", "340282366920938463463374607431768211455"},
		{"shardId-000000000001", "shardId-000000000002", "0", "340282366920938463463374607431768211455"},
	} {
		got := list[i]
		id := tributary.Shard{Stream: st.ID, Number: uint32(i)}
		if got.ShardID != fmt.Sprintf("shardId-%012d", i) || got.Parent != want.parent || got.Adjacent != want.adjacent ||
			got.HashKeyRange.StartingHashKey != want.from || got.HashKeyRange.EndingHashKey != want.to ||
			got.Numbers.StartingSequenceNumber != string(tributary.PositionOf(id, 0)) {
			t.Errorf("%+v", got)
		}
		ending := ""
		if i < 3 {
			ending = string(tributary.PositionOf(id, map[int]uint64{0: 1}[i]))
		}
		if got.Numbers.EndingSequenceNumber != ending {
			t.Errorf("%d: ends at %s, want %s", i, got.Numbers.EndingSequenceNumber, ending)
		}
	}
}

// TestShardPages pages through both listings of shards.
func TestShardPages(t *testing.T) {
	k := newKit(t)
	k.stream("s", 5)
	var got string
	page := call[shards](k, "ListShards", obj{"StreamName": "s", "MaxResults": 2})
	for {
		got += numbers(page) + " "
		if page.NextToken == nil {
			break
		}
		page = call[shards](k, "ListShards", obj{"NextToken": *page.NextToken, "MaxResults": 2})
	}
	if got != "01 23 4 " {
		t.Errorf("ListShards: %s", got)
	}
	if page = call[shards](k, "ListShards", obj{"StreamName": "s", "ExclusiveStartShardId": "shardId-000000000002"}); numbers(page) != "34" {
		t.Errorf("ListShards: %s", numbers(page))
	}
	type description struct {
		StreamDescription struct {
			Shards        []shard
			HasMoreShards bool
		}
	}
	got = ""
	for in := (obj{"StreamName": "s", "Limit": 2}); ; {
		page := call[description](k, "DescribeStream", in).StreamDescription
		got += numbers(shards{Shards: page.Shards}) + " "
		if !page.HasMoreShards {
			break
		}
		in["ExclusiveStartShardId"] = page.Shards[len(page.Shards)-1].ShardID
	}
	if got != "01 23 4 " {
		t.Errorf("DescribeStream: %s", got)
	}
	for _, op := range []string{"ListShards", "DescribeStream"} {
		limit := map[string]string{"ListShards": "MaxResults", "DescribeStream": "Limit"}[op]
		k.refused(op, obj{"StreamName": "s", limit: 0}, "InvalidArgumentException", "greater than or equal to 1")
		k.refused(op, obj{"StreamName": "s", limit: 10_001}, "InvalidArgumentException", "less than or equal to 10000")
		for _, id := range []string{"x", "shardId-", "shardId--1", "shardId-0000000000000", "shardId-99999999999"} {
			k.refused(op, obj{"StreamName": "s", "ExclusiveStartShardId": id}, "InvalidArgumentException", "is no id of a shard")
		}
	}
}

func TestShardTokens(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 5)
	token := *call[shards](k, "ListShards", obj{"StreamName": "s", "MaxResults": 2}).NextToken
	for text, more := range map[string]obj{
		"NextToken and StreamName cannot": {"StreamName": "s"},
		"NextToken and StreamARN cannot":  {"StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"},
		"together with ExclusiveStart":    {"ExclusiveStartShardId": "shardId-000000000000"},
		"StreamCreationTimestamp or":      {"StreamCreationTimestamp": 1},
		"or ShardFilter":                  {"ShardFilter": obj{"Type": "AT_LATEST"}},
	} {
		more["NextToken"] = token
		k.refused("ListShards", more, "InvalidArgumentException", text)
	}
	k.refused("ListShards", obj{"NextToken": token[:len(token)-1]}, "InvalidArgumentException", "NextToken is not valid")
	k.refused("ListStreams", obj{"NextToken": token}, "InvalidArgumentException", "NextToken is not valid")
	created := float64(st.Created) / 1000
	for _, at := range []float64{created, float64(int64(created)), created + 0.2} {
		if got := call[shards](k, "ListShards", obj{"StreamName": "s", "StreamCreationTimestamp": at}); numbers(got) != "01234" {
			t.Errorf("%f: %s", at, numbers(got))
		}
	}
	k.refused("ListShards", obj{"StreamName": "s", "StreamCreationTimestamp": created - 10}, "ResourceNotFoundException", "Stream s under")
	k.clock.move(5*time.Minute + time.Millisecond)
	k.refused("ListShards", obj{"NextToken": token}, "ExpiredNextTokenException", "has expired")
	token = *call[shards](k, "ListShards", obj{"StreamName": "s", "MaxResults": 2}).NextToken
	call[obj](k, "DeleteStream", obj{"StreamName": "s"})
	k.refused("ListShards", obj{"NextToken": token}, "ResourceNotFoundException", "Stream s under")
	k.stream("s", 5)
	k.refused("ListShards", obj{"NextToken": token}, "ResourceNotFoundException", "Stream s under")
}

// filtered lists shards by a filter, over pages of one.
func (k *kit) filtered(kind string, at tributary.Millis) string {
	k.Helper()
	filter := obj{"Type": kind}
	if strings.HasSuffix(kind, "TIMESTAMP") {
		filter["Timestamp"] = float64(at) / 1000
	}
	if kind == "AFTER_SHARD_ID" {
		filter["ShardId"] = "shardId-000000000001"
	}
	page := call[shards](k, "ListShards", obj{"StreamName": "s", "ShardFilter": filter, "MaxResults": 1})
	out := numbers(page)
	for page.NextToken != nil {
		page = call[shards](k, "ListShards", obj{"NextToken": *page.NextToken, "MaxResults": 1})
		out += numbers(page)
	}
	return out
}

// TestShardFilter splits a shard and merges the two again, and looks from
// several points in time.
func TestShardFilter(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	step := func() tributary.Millis {
		k.clock.move(time.Second)
		return k.clock.millis()
	}
	beforeAll := step()
	step()
	k.write(ann, "d", "a", "0")
	inFirst := step()
	step()
	k.write(ann, "d", "a", "1")
	k.split("s")
	step()
	k.write(ann, "d", "a", "2") // one of the children stays empty
	inChildren := step()
	step()
	k.write(ann, "d", "a", "3")
	k.merge("s")
	step()
	k.write(ann, "d", "a", "4")
	after := step()

	check := func(when, kind string, at tributary.Millis, want string) {
		t.Helper()
		if got := k.filtered(kind, at); got != want {
			t.Errorf("%s, %s: %s, want %s", when, kind, got, want)
		}
	}
	for _, c := range []struct {
		at       tributary.Millis
		now, all string
	}{{0, "0", "0123"}, {beforeAll, "0", "0123"}, {inFirst, "0", "0123"}, {inChildren, "12", "123"}, {after, "3", "3"}} {
		check("untrimmed", "AT_TIMESTAMP", c.at, c.now)
		check("untrimmed", "FROM_TIMESTAMP", c.at, c.all)
	}
	check("untrimmed", "AT_TRIM_HORIZON", 0, "0")
	check("untrimmed", "FROM_TRIM_HORIZON", 0, "0123")
	check("untrimmed", "AT_LATEST", 0, "3")
	check("untrimmed", "AFTER_SHARD_ID", 0, "23")

	k.trim(st, 0, 2)
	check("first trimmed", "AT_TRIM_HORIZON", 0, "12")
	check("first trimmed", "FROM_TRIM_HORIZON", 0, "123")
	check("first trimmed", "AT_TIMESTAMP", beforeAll, "12")
	for _, n := range []uint32{1, 2} {
		id := tributary.Shard{Stream: st.ID, Number: n}
		if tip, err := k.store.Find(t.Context(), id, after); err == nil {
			k.ok(k.store.Trim(t.Context(), id, tip))
		}
	}
	check("children trimmed", "AT_TRIM_HORIZON", 0, "3")
	check("children trimmed", "FROM_TRIM_HORIZON", 0, "3")
	check("children trimmed", "AT_TIMESTAMP", inChildren, "3")

	for text, filter := range map[string]obj{
		"shardFilter.type":           {"Type": "x"},
		"must have a ShardId":        {"Type": "AFTER_SHARD_ID"},
		"is no id of a shard":        {"Type": "AFTER_SHARD_ID", "ShardId": "x"},
		"AT_TIMESTAMP must have a":   {"Type": "AT_TIMESTAMP"},
		"FROM_TIMESTAMP must have a": {"Type": "FROM_TIMESTAMP"},
	} {
		k.refused("ListShards", obj{"StreamName": "s", "ShardFilter": filter}, "InvalidArgumentException", text)
	}
}

// TestShardEnd reads a closed shard to its end and goes on with its children.
func TestShardEnd(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	for i := range 3 {
		k.write(ann, "d", "a", fmt.Sprint(i))
	}
	open := k.records(k.iterator("s", "shardId-0", horizon()), 0)
	if open.Next == nil || open.Children != nil || len(open.Records) != 3 {
		t.Fatalf("%+v", open)
	}
	k.split("s")
	k.write(ann, "d", "a", "in a child")

	part := k.records(k.iterator("s", "shardId-0", horizon()), 2)
	if part.Next == nil || part.Children != nil || len(part.Records) != 2 || part.Behind < 1 {
		t.Fatalf("%+v", part)
	}
	last := k.records(*part.Next, 0)
	again := k.records(*open.Next, 0)
	if last.Next != nil || len(last.Records) != 1 || last.Behind != 0 || again.Next != nil || len(again.Records) != 0 {
		t.Fatalf("%+v, %+v", last, again)
	}
	for _, r := range []records{last, again} {
		if len(r.Children) != 2 || r.Children[0].ShardID != "shardId-000000000001" || !slices.Equal(r.Children[1].ParentShards, []string{"shardId-000000000000"}) ||
			r.Children[0].HashKeyRange.StartingHashKey != "0" {
			t.Fatalf("%+v", r.Children)
		}
	}
	total := 0
	for _, child := range last.Children {
		r := k.records(k.iterator("s", child.ShardID, horizon()), 0)
		if r.Next == nil || r.Children != nil {
			t.Errorf("%+v", r)
		}
		total += len(r.Records)
	}
	if total != 1 {
		t.Errorf("%d records in the children", total)
	}

	// LATEST of a closed shard, and one that was trimmed to its end.
	old := k.iterator("s", "shardId-0", horizon())
	k.trim(st, 0, 3)
	for _, it := range []string{old, k.iterator("s", "shardId-0", obj{"ShardIteratorType": "LATEST"}), k.iterator("s", "shardId-0", horizon())} {
		if r := k.records(it, 0); r.Next != nil || len(r.Records) != 0 || len(r.Children) != 2 {
			t.Errorf("%+v", r)
		}
	}
	k.merge("s")
	for _, n := range []string{"shardId-1", "shardId-2"} { // one of them was always empty
		r := k.records(k.iterator("s", n, horizon()), 0)
		if r.Next != nil || len(r.Children) != 1 || !slices.Equal(r.Children[0].ParentShards, []string{"shardId-000000000001", "shardId-000000000002"}) {
			t.Errorf("%+v", r)
		}
	}
}
