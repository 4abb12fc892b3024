package kinesisapi_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tributary"
	"tributary/awswire"
	"tributary/front/kinesisapi"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// exchange is a request, as it is written in a golden file.
type exchange struct{ op, in string }

// TestExchanges has the wire of what is said about streams, byte for byte.
func TestExchanges(t *testing.T) {
	newKit(t).golden("testdata/streams.http", []exchange{
		{"CreateStream", `{"StreamName":"one","ShardCount":2}`},
		{"CreateStream", `{"StreamName":"two","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"Tags":{"a":"b"}}`},
		{"CreateStream", `{"StreamName":"two"}`},
		{"ListStreams", `{}`},
		{"DescribeStream", `{"StreamName":"one"}`},
		{"DescribeStreamSummary", `{"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/two"}`},
		{"ListShards", `{"StreamName":"one","StreamARN":"arn:aws-cn:kinesis:cn-north-1:123456789012:stream/one"}`},
		{"DeleteStream", `{"StreamName":"one","EnforceConsumerDeletion":true}`},
		{"DescribeStream", `{"StreamName":"one"}`},
		{"StartStreamEncryption", `{}`},
		{"MakeCoffee", `{}`},
	})
}

// golden makes requests and compares what was said with a file.
func (k *kit) golden(path string, list []exchange) {
	k.Helper()
	var out strings.Builder
	for _, x := range list {
		w := k.send(x.op, x.in)
		fmt.Fprintf(&out, "> %s %s\n< %d %s\n", x.op, x.in, w.Code, w.Header().Get("Content-Type"))
		body := jsontext.Value(w.Body.Bytes())
		k.ok(body.Indent())
		fmt.Fprintf(&out, "%s\n\n", body)
	}
	if *update {
		k.ok(os.WriteFile(path, []byte(out.String()), 0o666))
	}
	want, err := os.ReadFile(path)
	k.ok(err)
	if out.String() != string(want) {
		k.Errorf("%s\nwant\n%s", &out, want)
	}
}

func TestFaults(t *testing.T) {
	for _, kind := range tributary.Kinds() {
		f := kinesisapi.FaultOf("x", tributary.Errorf(kind, "x", "text"))
		if f.Code == "" || f.Status < 400 || f.Message != "text" {
			t.Errorf("%s: %+v", kind, f)
		}
		known := kind == tributary.Internal || kind == tributary.Trigger
		if (f.Code == "InternalFailure") != known {
			t.Errorf("%s: %s", kind, f.Code)
		}
		if bare := kinesisapi.FaultOf("x", &tributary.Error{Kind: kind, Err: fmt.Errorf("secret")}); bare.Message == "" || strings.Contains(bare.Message, "secret") {
			t.Errorf("%s: %s", kind, bare.Message)
		}
	}
	for kind, want := range map[tributary.Kind]awswire.Fault{
		tributary.Invalid:     {Code: "InvalidArgumentException", Status: 400},
		tributary.NotFound:    {Code: "ResourceNotFoundException", Status: 400},
		tributary.Exists:      {Code: "ResourceInUseException", Status: 400},
		tributary.Denied:      {Code: "AccessDeniedException", Status: 400},
		tributary.Limit:       {Code: "LimitExceededException", Status: 400},
		tributary.Throttled:   {Code: "ProvisionedThroughputExceededException", Status: 400},
		tributary.Unavailable: {Code: "ServiceUnavailable", Status: 503},
		tributary.Internal:    {Code: "InternalFailure", Status: 500},
	} {
		if f := kinesisapi.FaultOf("x", tributary.Errorf(kind, "x", "")); f.Code != want.Code || f.Status != want.Status {
			t.Errorf("%s: %+v", kind, f)
		}
	}
}

func TestDevelopersOnly(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	k.signer = &awswire.Signer{Credentials: identity, Region: region, Service: "kinesis"}
	for _, op := range modelled(t) {
		if op != notYet {
			k.refused(op, obj{"StreamName": "s"}, "AccessDeniedException", "kinesis:"+op)
		}
	}
	k.signer = &awswire.Signer{Credentials: developer, Region: region, Service: "kinesis"}
	k.signer.SecretKey = "wrong"
	k.refused("ListStreams", obj{}, "InvalidSignatureException", "")
}

func TestUnreadable(t *testing.T) {
	k := newKit(t)
	for _, in := range []string{`{"StreamName":1}`, `{"StreamName":"a"`, `[]`, `{"StreamName":"a","StreamName":"b"}`, "{\"StreamName\":\"\xff\"}"} {
		k.refused("DescribeStream", in, "SerializationException", "")
	}
	if w := k.send("ListStreams", strings.Repeat(" ", 16<<20+1)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// notYet is the operation that is still to come.
const notYet = "SubscribeToShard"

// modelled are the operations of Kinesis' model.
func modelled(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Fields(string(text[strings.Index(string(text), "\n"):])), func(s string) bool { return s == "" })
}

// TestTable holds the table against the model: each operation is served, or
// refused with a reason, and there are no others.
func TestTable(t *testing.T) {
	k := newKit(t)
	served, refused := kinesisapi.Table(k.cfg)
	table := slices.Concat(served, refused, []string{notYet})
	slices.Sort(table)
	if model := modelled(t); !slices.Equal(table, model) {
		t.Errorf("the table has %v\nthe model %v", table, model)
	}
	for _, op := range refused {
		k.refused(op, obj{}, "InvalidArgumentException", op+" is not offered: ")
	}
	k.refused(notYet, obj{}, "UnsupportedOperationException", notYet)
}

// TestNames has every way of naming a stream, on every operation that does.
func TestNames(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	const arn = "arn:aws:kinesis:us-east-1:123456789012:stream/"
	once := map[string]bool{"SplitShard": true, "MergeShards": true, "DeleteStream": true}
	for _, op := range []string{"DescribeStream", "DescribeStreamSummary", "ListShards", "GetShardIterator", "UpdateShardCount", "IncreaseStreamRetentionPeriod",
		"DecreaseStreamRetentionPeriod", "AddTagsToStream", "RemoveTagsFromStream", "ListTagsForStream", "PutRecord", "PutRecords", "SplitShard", "MergeShards", "DeleteStream"} {
		with := func(more obj) obj {
			in := maps.Clone(map[string]obj{
				"GetShardIterator":              {"ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"},
				"UpdateShardCount":              {"TargetShardCount": 1, "ScalingType": "UNIFORM_SCALING"},
				"IncreaseStreamRetentionPeriod": {"RetentionPeriodHours": 24},
				"DecreaseStreamRetentionPeriod": {"RetentionPeriodHours": 24},
				"AddTagsToStream":               {"Tags": obj{"a": "b"}},
				"RemoveTagsFromStream":          {"TagKeys": []string{"a"}},
				"PutRecord":                     {"Data": "", "PartitionKey": "k"},
				"PutRecords":                    {"Records": []obj{{"Data": "", "PartitionKey": "k"}}},
				"SplitShard":                    {"ShardToSplit": "shardId-0", "NewStartingHashKey": "1000"},
				"MergeShards":                   {"ShardToMerge": "shardId-1", "AdjacentShardToMerge": "shardId-2"},
			}[op])
			if in == nil {
				in = obj{}
			}
			for key, v := range more {
				in[key] = v
			}
			return in
		}
		k.refused(op, with(nil), "InvalidArgumentException", "Either StreamName or StreamARN must be provided.")
		k.refused(op, with(obj{"StreamName": "s", "StreamARN": arn + "t"}), "InvalidArgumentException", "are of different streams")
		k.refused(op, with(obj{"StreamName": "no/name"}), "InvalidArgumentException", "at 'streamName'")
		k.refused(op, with(obj{"StreamName": "none"}), "ResourceNotFoundException", "Stream none under account 123456789012 not found.")
		k.refused(op, with(obj{"StreamARN": arn + "none"}), "ResourceNotFoundException", "Stream none under account 123456789012 not found.")
		k.refused(op, with(obj{"StreamARN": "arn:aws:kinesis:us-east-1:999999999999:stream/s"}), "ResourceNotFoundException", "Stream s under account 999999999999 not found.")
		for _, bad := range []string{"s", "arn:aws:kinesis:us-east-1:123456789012:stream/", "arn:aws:s3:us-east-1:123456789012:stream/s", "arn:aws:kinesis:us-east-1:123456789012:topic/s", "arn:x:kinesis:us-east-1:123456789012:stream/s"} {
			k.refused(op, with(obj{"StreamARN": bad}), "InvalidArgumentException", "at 'streamARN'")
		}
		for _, good := range []obj{{"StreamARN": arn + "s"}, {"StreamName": "s", "StreamARN": arn + "s"}, {"StreamName": "s"}} {
			if once[op] && len(good) == 1 && good["StreamName"] == nil {
				continue // it would be gone for the next
			}
			if w := k.send(op, with(good)); w.Code != http.StatusOK {
				t.Errorf("%s %v: %s", op, good, w.Body)
			}
			if once[op] {
				break
			}
		}
	}
}

func TestCreateStream(t *testing.T) {
	k := newKit(t)
	open := func(name string) int {
		return call[struct {
			StreamDescriptionSummary struct{ OpenShardCount int }
		}](k, "DescribeStreamSummary", obj{"StreamName": name}).StreamDescriptionSummary.OpenShardCount
	}
	for name, c := range map[string]struct {
		in   obj
		want int
	}{
		"default":     {obj{}, 1},
		"given":       {obj{"ShardCount": 3}, 3},
		"ondemand":    {obj{"StreamModeDetails": obj{"StreamMode": "ON_DEMAND"}}, 4},
		"provisioned": {obj{"StreamModeDetails": obj{"StreamMode": "PROVISIONED"}, "ShardCount": 2}, 2},
	} {
		c.in["StreamName"] = name
		if w := k.send("CreateStream", c.in); w.Code != http.StatusOK || open(name) != c.want {
			t.Errorf("%s: %s, %d shards", name, w.Body, open(name))
		}
	}
	k.refused("CreateStream", obj{"StreamName": "given"}, "ResourceInUseException", "Stream given under account 123456789012 already exists.")
	k.refused("CreateStream", obj{"StreamName": "x", "ShardCount": 0}, "InvalidArgumentException", "ShardCount is 0")
	k.refused("CreateStream", obj{"StreamName": "x", "ShardCount": 1 << 20}, "InvalidArgumentException", "ShardCount is")
	k.refused("CreateStream", obj{}, "InvalidArgumentException", "streamName")
	k.refused("CreateStream", obj{"StreamName": "x", "StreamModeDetails": obj{"StreamMode": "y"}}, "InvalidArgumentException", "streamMode")
	k.refused("CreateStream", obj{"StreamName": "x", "RecordDistributionStrategy": "AUTO"}, "InvalidArgumentException", "must be USER_PARTITION_KEY")
	k.refused("CreateStream", obj{"StreamName": "x", "MaxRecordSizeInKiB": 1023}, "InvalidArgumentException", "greater than or equal to 1024")
	k.refused("CreateStream", obj{"StreamName": "x", "MaxRecordSizeInKiB": 10241}, "InvalidArgumentException", "less than or equal to 10240")
	k.refused("CreateStream", obj{"StreamName": "x", "Tags": obj{"": ""}}, "InvalidArgumentException", "The key of a tag")
	call[obj](k, "CreateStream", obj{"StreamName": "x", "Tags": obj{"a": "b"}, "MaxRecordSizeInKiB": 10240, "RecordDistributionStrategy": "USER_PARTITION_KEY"})
	if st, err := k.store.Stream(t.Context(), "x"); err != nil || st.Tags["a"] != "b" || st.MaxRecord != 10<<20 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestDeleteStream deletes a stream that a pool writes to.
func TestDeleteStream(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	call[obj](k, "DeleteStream", obj{"StreamName": "s"})
	k.refused("DeleteStream", obj{"StreamName": "s"}, "ResourceNotFoundException", "Stream s")
	p, err := k.svc.Pool(t.Context(), dev(), pool)
	if err != nil || p.Stream.Enabled || p.Stream.DisabledReason == "" {
		t.Errorf("%+v, %v", p.Stream, err)
	}
}

type streamList struct {
	StreamNames     []string
	HasMoreStreams  bool
	StreamSummaries []struct{ StreamName string }
	NextToken       string
}

func TestListStreams(t *testing.T) {
	k := newKit(t)
	if none := call[streamList](k, "ListStreams", obj{}); none.StreamNames == nil || len(none.StreamNames) != 0 || none.HasMoreStreams {
		t.Errorf("%+v", none)
	}
	var want []string
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		want = append(want, name)
		k.send("CreateStream", obj{"StreamName": name})
	}
	var got []string
	in := obj{"Limit": 2}
	for pages := 1; ; pages++ {
		page := call[streamList](k, "ListStreams", in)
		got = append(got, page.StreamNames...)
		if len(page.StreamNames) > 2 || len(page.StreamNames) != len(page.StreamSummaries) || page.HasMoreStreams != (page.NextToken != "") {
			t.Fatalf("%+v", page)
		}
		if !page.HasMoreStreams {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		in = obj{"Limit": 2, "NextToken": page.NextToken}
		if pages == 2 { // the older way
			in = obj{"Limit": 2, "ExclusiveStartStreamName": page.StreamNames[1]}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for _, n := range []int{0, -1, 10_001} {
		k.refused("ListStreams", obj{"Limit": n}, "InvalidArgumentException", "at 'limit'")
	}
	k.refused("ListStreams", obj{"NextToken": "AAAA"}, "InvalidArgumentException", "NextToken is not valid")
	token := call[streamList](k, "ListStreams", obj{"Limit": 1}).NextToken
	k.clock.move(5 * time.Minute)
	call[streamList](k, "ListStreams", obj{"NextToken": token})
	k.clock.move(time.Millisecond)
	k.refused("ListStreams", obj{"NextToken": token}, "ExpiredNextTokenException", "has expired")
}
