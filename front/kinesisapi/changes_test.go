package kinesisapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"tributary"
	"tributary/stream"
)

// arn is a stream's in the account of the tests.
func arn(name string) string { return "arn:aws:kinesis:eu-west-1:123456789012:stream/" + name }

// TestChangeExchanges has the wire of what changes streams, byte for byte.
func TestChangeExchanges(t *testing.T) {
	const consumer = "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1790000000"
	newKit(t).golden("testdata/changes.http", []exchange{
		{"CreateStream", `{"StreamName":"s","ShardCount":1}`},
		{"UpdateShardCount", `{"StreamName":"s","TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"}`},
		{"SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000001","NewStartingHashKey":"1000"}`},
		{"MergeShards", `{"StreamARN":"` + arn("s") + `","ShardToMerge":"shardId-000000000004","AdjacentShardToMerge":"shardId-000000000002"}`},
		{"PutRecord", `{"StreamName":"s","Data":"AAE=","PartitionKey":"k","ExplicitHashKey":"7"}`},
		{"PutRecords", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k","ExplicitHashKey":"7"},{"Data":"AAE=","PartitionKey":"k"}]}`},
		{"ListShards", `{"StreamName":"s"}`},
		{"IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":8760}`},
		{"DecreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`},
		{"AddTagsToStream", `{"StreamName":"s","Tags":{"b":"2","a":"1"}}`},
		{"ListTagsForStream", `{"StreamName":"s"}`},
		{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":["a"]}`},
		{"TagResource", `{"ResourceARN":"` + arn("s") + `","Tags":{"c":""}}`},
		{"ListTagsForResource", `{"ResourceARN":"` + arn("s") + `"}`},
		{"RegisterStreamConsumer", `{"StreamARN":"` + arn("s") + `","ConsumerName":"c","Tags":{"d":"4"}}`},
		{"DescribeStreamConsumer", `{"StreamARN":"` + arn("s") + `","ConsumerName":"c"}`},
		{"ListTagsForResource", `{"ResourceARN":"` + consumer + `"}`},
		{"ListStreamConsumers", `{"StreamARN":"` + arn("s") + `"}`},
		{"UpdateMaxRecordSize", `{"StreamARN":"` + arn("s") + `","MaxRecordSizeInKiB":2048}`},
		{"DescribeStreamSummary", `{"StreamName":"s"}`},
		{"DeleteStream", `{"StreamName":"s"}`},
		{"DeregisterStreamConsumer", `{"ConsumerARN":"` + consumer + `"}`},
		{"DescribeStreamConsumer", `{"ConsumerARN":"` + consumer + `"}`},
		{"ListStreamConsumers", `{"StreamARN":"` + arn("s") + `"}`},
		{"DeleteStream", `{"StreamName":"s"}`},
	})
}

// TestChangesRefused has what the wire itself refuses.
func TestChangesRefused(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	for _, c := range []struct {
		op   string
		in   obj
		code string
		text string
	}{
		{"UpdateShardCount", obj{"StreamName": "s", "ScalingType": "UNIFORM_SCALING"}, "InvalidArgumentException", "Value null at 'targetShardCount'"},
		{"UpdateShardCount", obj{"StreamName": "s", "TargetShardCount": 1}, "InvalidArgumentException", "Value null at 'scalingType'"},
		{"UpdateShardCount", obj{"StreamName": "s", "TargetShardCount": 1, "ScalingType": "X"}, "InvalidArgumentException", "enum value set: [UNIFORM_SCALING]"},
		{"UpdateShardCount", obj{"StreamName": "s", "TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"}, "InvalidArgumentException", "more than double"},
		{"SplitShard", obj{"StreamName": "s", "NewStartingHashKey": "9"}, "InvalidArgumentException", "Value null at 'shardToSplit'"},
		{"SplitShard", obj{"StreamName": "s", "ShardToSplit": "shardId-0"}, "InvalidArgumentException", "Value null at 'newStartingHashKey'"},
		{"SplitShard", obj{"StreamName": "s", "ShardToSplit": "x", "NewStartingHashKey": "9"}, "ResourceNotFoundException", "Could not find shard x in stream s under account 123456789012."},
		{"SplitShard", obj{"StreamName": "s", "ShardToSplit": "shardId-0", "NewStartingHashKey": "-9"}, "InvalidArgumentException", "Invalid NewStartingHashKey"},
		{"MergeShards", obj{"StreamName": "s", "AdjacentShardToMerge": "shardId-1"}, "InvalidArgumentException", "Value null at 'shardToMerge'"},
		{"MergeShards", obj{"StreamName": "s", "ShardToMerge": "shardId-1"}, "InvalidArgumentException", "Value null at 'adjacentShardToMerge'"},
		{"MergeShards", obj{"StreamName": "s", "ShardToMerge": "shardId-0", "AdjacentShardToMerge": "shardId-1"}, "ResourceNotFoundException", "Could not find shard shardId-000000000001"},
		{"IncreaseStreamRetentionPeriod", obj{"StreamName": "s"}, "InvalidArgumentException", "Value null at 'retentionPeriodHours'"},
		{"DecreaseStreamRetentionPeriod", obj{"StreamName": "s", "RetentionPeriodHours": 23}, "InvalidArgumentException", "too short"},
		{"UpdateMaxRecordSize", obj{"StreamARN": arn("s")}, "InvalidArgumentException", "Value null at 'maxRecordSizeInKiB'"},
		{"UpdateMaxRecordSize", obj{"StreamARN": arn("s"), "MaxRecordSizeInKiB": 10241}, "InvalidArgumentException", "less than or equal to 10240"},
		{"AddTagsToStream", obj{"StreamName": "s"}, "InvalidArgumentException", "at 'tags'"},
		{"RemoveTagsFromStream", obj{"StreamName": "s"}, "InvalidArgumentException", "at 'tagKeys'"},
		{"RemoveTagsFromStream", obj{"StreamName": "s", "TagKeys": make([]string, 51)}, "InvalidArgumentException", "less than or equal to 50"},
		{"ListTagsForStream", obj{"StreamName": "s", "Limit": 51}, "InvalidArgumentException", "less than or equal to 50"},
		{"TagResource", obj{"Tags": obj{"a": "b"}}, "InvalidArgumentException", "Value null at 'resourceARN'"},
		{"TagResource", obj{"ResourceARN": arn("s"), "Tags": obj{"a": "!"}}, "InvalidArgumentException", "invalid characters"},
		{"UntagResource", obj{"ResourceARN": arn("s") + "/consumer/c", "TagKeys": []string{"a"}}, "InvalidArgumentException", "at 'consumerARN'"},
		{"ListTagsForResource", obj{"ResourceARN": "arn:aws:kinesis:eu-west-1:123456789012:queue/q"}, "InvalidArgumentException", "at 'streamARN'"},
		{"ListTagsForResource", obj{"ResourceARN": arn("s") + "/consumer/c:1"}, "ResourceNotFoundException", "Consumer c of stream s"},
		{"RegisterStreamConsumer", obj{"ConsumerName": "c"}, "InvalidArgumentException", "Value null at 'streamARN'"},
		{"RegisterStreamConsumer", obj{"StreamARN": arn("s")}, "InvalidArgumentException", "Value null at 'consumerName'"},
		{"RegisterStreamConsumer", obj{"StreamARN": arn("none"), "ConsumerName": "c"}, "ResourceNotFoundException", "Stream none under account"},
	} {
		k.refused(c.op, c.in, c.code, c.text)
	}
}

// TestConsumerNames has every way of naming a consumer.
func TestConsumerNames(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	call[obj](k, "RegisterStreamConsumer", obj{"StreamARN": arn("s"), "ConsumerName": "c"})
	whole := fmt.Sprintf("%s/consumer/c:%d", arn("s"), k.clock.millis()/1000)
	for _, good := range []obj{
		{"ConsumerARN": whole}, {"StreamARN": arn("s"), "ConsumerName": "c"},
		{"ConsumerARN": whole, "StreamARN": arn("s"), "ConsumerName": "c"},
		{"ConsumerARN": "arn:aws-cn:kinesis:cn-north-1:" + whole[len("arn:aws:kinesis:eu-west-1:"):]},
	} {
		if w := k.send("DescribeStreamConsumer", good); w.Code != http.StatusOK {
			t.Errorf("%v: %s", good, w.Body)
		}
	}
	for text, bad := range map[string]obj{
		"must be provided":              {"StreamARN": arn("s")},
		"Either ConsumerARN, or Stream": {"ConsumerName": "c"},
		"are of different consumers":    {"ConsumerARN": whole, "ConsumerName": "d"},
		"are of different streams":      {"ConsumerARN": whole, "StreamARN": arn("t")},
		"at 'streamARN'":                {"ConsumerName": "c", "StreamARN": "s"},
	} {
		k.refused("DescribeStreamConsumer", bad, "InvalidArgumentException", text)
		k.refused("DeregisterStreamConsumer", bad, "InvalidArgumentException", text)
	}
	for _, bad := range []string{"c", arn("s"), arn("s") + "/consumer/", arn("s") + "/consumer/c", arn("s") + "/consumer/c:x", arn("s") + "/consumer/c:0", arn("s") + "/consumer/c:-1", arn("no/name") + "/consumer/c:1"} {
		k.refused("DescribeStreamConsumer", obj{"ConsumerARN": bad}, "InvalidArgumentException", "at 'consumerARN'")
	}
	k.refused("DescribeStreamConsumer", obj{"ConsumerARN": "arn:aws:kinesis:eu-west-1:999999999999:stream/s/consumer/c:1"}, "ResourceNotFoundException", "account 999999999999 not found")
	k.refused("DescribeStreamConsumer", obj{"ConsumerARN": arn("s") + "/consumer/c:1"}, "ResourceNotFoundException", "Consumer c of stream s")
	call[obj](k, "DeregisterStreamConsumer", obj{"ConsumerARN": whole})
	k.refused("DeregisterStreamConsumer", obj{"ConsumerARN": whole}, "ResourceNotFoundException", "Consumer c of stream s")
}

type consumerList struct {
	Consumers []struct{ ConsumerName string }
	NextToken *string
}

func TestConsumerPages(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		call[obj](k, "RegisterStreamConsumer", obj{"StreamARN": arn("s"), "ConsumerName": name})
	}
	got := ""
	in := obj{"StreamARN": arn("s"), "MaxResults": 2}
	var token *string
	for {
		page := call[consumerList](k, "ListStreamConsumers", in)
		for _, c := range page.Consumers {
			got += c.ConsumerName
		}
		if page.NextToken == nil {
			break
		}
		token = page.NextToken
		in["NextToken"] = *token
		got += " "
	}
	if got != "ab cd e" {
		t.Errorf("%s", got)
	}
	created := float64(st.Created) / 1000
	call[consumerList](k, "ListStreamConsumers", obj{"StreamARN": arn("s"), "StreamCreationTimestamp": created})
	k.refused("ListStreamConsumers", obj{"StreamARN": arn("s"), "StreamCreationTimestamp": created - 10}, "ResourceNotFoundException", "Stream s")
	k.refused("ListStreamConsumers", obj{"StreamARN": arn("s"), "NextToken": *token, "StreamCreationTimestamp": created}, "InvalidArgumentException", "cannot be provided together")
	k.refused("ListStreamConsumers", obj{"StreamARN": arn("s"), "MaxResults": 0}, "InvalidArgumentException", "at 'maxResults'")
	k.refused("ListStreamConsumers", obj{"StreamARN": arn("s"), "NextToken": "x"}, "InvalidArgumentException", "NextToken is not valid")
	k.stream("t", 1)
	k.refused("ListStreamConsumers", obj{"StreamARN": arn("t"), "NextToken": *token}, "InvalidArgumentException", "NextToken is not of stream t.")
	k.clock.move(5*time.Minute + time.Millisecond)
	k.refused("ListStreamConsumers", obj{"StreamARN": arn("s"), "NextToken": *token}, "ExpiredNextTokenException", "has expired")
}

func TestTagPages(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	call[obj](k, "AddTagsToStream", obj{"StreamName": "s", "Tags": obj{"c": "", "a": "", "b": ""}})
	got := ""
	for in := (obj{"StreamName": "s", "Limit": 2}); ; {
		page := call[struct {
			Tags        []struct{ Key string }
			HasMoreTags bool
		}](k, "ListTagsForStream", in)
		for _, tag := range page.Tags {
			got += tag.Key
			in["ExclusiveStartTagKey"] = tag.Key
		}
		if !page.HasMoreTags {
			break
		}
		got += " "
	}
	if got != "ab c" {
		t.Errorf("%s", got)
	}
}

// TestDeleteWithConsumers: readers are not cut off by accident.
func TestDeleteWithConsumers(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	call[obj](k, "RegisterStreamConsumer", obj{"StreamARN": arn("s"), "ConsumerName": "c"})
	for _, in := range []obj{{"StreamName": "s"}, {"StreamName": "s", "EnforceConsumerDeletion": false}} {
		k.refused("DeleteStream", in, "ResourceInUseException", "Stream s under account 123456789012 has registered consumers (1).")
	}
	call[obj](k, "DeleteStream", obj{"StreamName": "s", "EnforceConsumerDeletion": true})
}

// TestRetentionIsKept: entries go when the stream's retention says so, whatever
// it was when they came.
func TestRetentionIsKept(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	retention := &stream.Retention{Store: k.store, Now: k.clock.now}
	left := func() int {
		k.ok(retention.Trim(t.Context()))
		return len(k.records(k.iterator("s", first, horizon()), 0).Records)
	}
	call[obj](k, "IncreaseStreamRetentionPeriod", obj{"StreamName": "s", "RetentionPeriodHours": 48})
	k.clock.move(47 * time.Hour)
	if n := left(); n != 1 {
		t.Errorf("%d records after 47 of 48 hours", n)
	}
	call[obj](k, "DecreaseStreamRetentionPeriod", obj{"StreamName": "s", "RetentionPeriodHours": 24})
	if n := left(); n != 0 {
		t.Errorf("%d records after 47 of 24 hours", n)
	}
}

// follower reads a stream as a consumer does: children when all their parents
// are read to the end.
type follower struct {
	*kit
	stream tributary.StreamName
	at     map[string]string // iterators of the shards that are being read
	ended  map[string]bool
	waits  map[string][]string // children that wait for their parents
	see    func(record)
}

// newFollower begins at the horizon.
func newFollower(k *kit, name tributary.StreamName, see func(record)) *follower {
	f := &follower{kit: k, stream: name, at: map[string]string{}, ended: map[string]bool{}, waits: map[string][]string{}, see: see}
	for _, s := range call[shards](k, "ListShards", obj{"StreamName": name, "ShardFilter": obj{"Type": "AT_TRIM_HORIZON"}}).Shards {
		f.at[s.ShardID] = k.iterator(name, s.ShardID, horizon())
	}
	return f
}

// read reads each shard once, and tells whether it came further.
func (f *follower) read(limit int) (further bool) {
	f.Helper()
	for _, id := range slices.Sorted(maps.Keys(f.at)) {
		r := f.records(f.at[id], limit)
		for _, one := range r.Records {
			f.see(one)
		}
		further = further || len(r.Records) > 0 || r.Next == nil
		if r.Next != nil {
			f.at[id] = *r.Next
			continue
		}
		delete(f.at, id)
		f.ended[id] = true
		if len(r.Children) == 0 {
			f.Fatalf("shard %s ended without children", id)
		}
		for _, c := range r.Children {
			f.waits[c.ShardID] = c.ParentShards
		}
		f.start()
	}
	return further
}

// start begins with the children whose parents have all ended.
func (f *follower) start() {
	f.Helper()
	for child, parents := range f.waits {
		if !slices.ContainsFunc(parents, func(id string) bool { return !f.ended[id] }) {
			delete(f.waits, child)
			f.at[child] = f.iterator(f.stream, child, horizon())
		}
	}
}
