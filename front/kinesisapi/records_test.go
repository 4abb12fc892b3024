package kinesisapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/front/kinesisapi"
	"tributary/front/payload"
	"tributary/streamrec"
)

func TestGetRecords(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	k.clock.move(1500 * time.Millisecond)
	k.write(bob, "d", "né", "\"\x00€")
	k.clock.move(time.Second)
	r := k.records(k.iterator("s", first, horizon()), 0)
	if len(r.Records) != 2 || r.Behind != 0 || r.Children != nil || r.Next == nil {
		t.Fatalf("%+v", r)
	}
	for i, id := range []tributary.IdentityID{ann, bob} {
		got := r.Records[i]
		c, link, err := streamrec.Decode(got.Data)
		entries, readErr := k.store.Read(t.Context(), tributary.Shard{Stream: st.ID}, tributary.PositionOf(tributary.Shard{Stream: st.ID}, uint64(i)), 1)
		if err != nil || readErr != nil || link != "" {
			t.Fatal(err, readErr, link)
		}
		want := streamrec.Append(nil, entries[0].Change, "")
		if got.SequenceNumber != entries[0].Position || got.PartitionKey != string(id) || !bytes.Equal(got.Data, want) ||
			tributary.Millis(got.Arrived) != epoch+tributary.Millis(i*1500) || c.Key.Identity != id {
			t.Errorf("%+v, %s", got, got.Data)
		}
	}
	if end := k.records(*r.Next, 0); len(end.Records) != 0 || end.Next == nil || end.Behind != 0 {
		t.Errorf("%+v", end)
	}
}

// TestRecordKinds has a snapshot, a foreign record, a removed record and a
// removed dataset.
func TestRecordKinds(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	st := k.stream("s", 1)
	at := tributary.DatasetKey{Pool: pool, Identity: ann, Dataset: "d"}
	k.write(ann, "d", "a", "b")
	v, err := k.store.View(ctx, at, []string{"a"})
	k.ok(err)
	snapshot := &tributary.Change{Key: at, SyncCount: 1, At: epoch, Records: v.Records, Condition: tributary.Condition{Base: v.Dataset.Version}}
	data := []byte{0, 1, 2, 0xff}
	_, err = k.store.Append(ctx, st.ID, []tributary.Entry{
		{Kind: tributary.EntrySnapshot, Change: snapshot},
		{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "né\"\x01", Data: data}},
	})
	k.ok(err)
	list, err := k.svc.ListRecords(ctx, dev(), at, tributary.ListQuery{})
	k.ok(err)
	_, err = k.svc.UpdateRecords(ctx, dev(), at, tributary.Update{SessionToken: list.SessionToken, Patches: []tributary.Patch{{Key: "a", Remove: true, SyncCount: 1}}})
	k.ok(err)
	_, err = k.svc.DeleteDataset(ctx, dev(), at)
	k.ok(err)

	got := k.records(k.iterator("s", first, horizon()), 0).Records
	if len(got) != 5 {
		t.Fatalf("%d records", len(got))
	}
	if !bytes.Equal(got[0].Data, got[1].Data) || got[1].PartitionKey != string(ann) {
		t.Errorf("the snapshot is %s, the change %s", got[1].Data, got[0].Data)
	}
	if got[2].PartitionKey != "né\"\x01" || !bytes.Equal(got[2].Data, data) {
		t.Errorf("%+v", got[2])
	}
	for i, want := range map[int]string{3: `"value":null,"syncCount":2`, 4: `"operation":"remove","kinesisSyncRecords":[],`} {
		if !strings.Contains(string(got[i].Data), want) {
			t.Errorf("%s, want %s", got[i].Data, want)
		}
	}
}

// TestLimits reads in small pieces, and what is more than one answer may hold.
func TestLimits(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	const n, size = 13, 1 << 20
	entries := make([]tributary.Entry, n)
	for i := range entries {
		entries[i] = foreign("k", bytes.Repeat([]byte{byte(i)}, size))
	}
	_, err := k.store.Append(t.Context(), st.ID, entries)
	k.ok(err)
	k.clock.move(time.Minute)
	big := k.records(it, 0)
	rest := k.records(*big.Next, 0)
	if len(big.Records) != 9 || big.Behind != 60_000 || len(rest.Records) != 4 || rest.Behind != 0 {
		t.Errorf("%d records, %d ms behind; %d, %d", len(big.Records), big.Behind, len(rest.Records), rest.Behind)
	}
	var got []uint64
	for next := &it; len(got) < n; {
		r := k.records(*next, 3)
		if want := min(3, n-len(got)); len(r.Records) != want || (r.Behind == 0) != (len(got)+want == n) {
			t.Fatalf("%d records, %d ms behind", len(r.Records), r.Behind)
		}
		got, next = append(got, k.counts(r)...), r.Next
	}
	for i := range got {
		if got[i] != uint64(i+1) {
			t.Fatalf("%v", got)
		}
	}
	for _, limit := range []int{0, -1, 10_001} {
		k.refused("GetRecords", obj{"ShardIterator": it, "Limit": limit}, "InvalidArgumentException", "at 'limit'")
	}
	k.refused("GetRecords", obj{}, "InvalidArgumentException", "Value null at 'shardIterator'")
	k.refused("GetRecords", obj{"ShardIterator": it, "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/t"}, "InvalidArgumentException", "different streams")
	call[records](k, "GetRecords", obj{"ShardIterator": it, "Limit": 1, "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"})
}

// TestBehind: a reader is behind by the age of what it is given next.
func TestBehind(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	for range 3 {
		_, err := k.store.Append(t.Context(), st.ID, []tributary.Entry{foreign("k", nil)})
		k.ok(err)
		k.clock.move(time.Second)
	}
	for _, want := range []int64{2000, 1000, 0} {
		r := k.records(it, 1)
		if it = *r.Next; len(r.Records) != 1 || r.Behind != want {
			t.Errorf("%d records, %d ms behind, want %d", len(r.Records), r.Behind, want)
		}
	}
	k.clock.move(4 * time.Minute)
	if r := k.records(it, 1); r.Behind != 0 {
		t.Errorf("%d ms behind at the tip", r.Behind)
	}
}

func foreign(key string, data []byte) tributary.Entry {
	return tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: key, HashKey: tributary.HashOf(key), Data: data}}
}

// TestDryRun asks whether reading would succeed.
func TestDryRun(t *testing.T) {
	k := newKit(t)
	k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	k.refused("GetRecords", obj{"ShardIterator": it, "DryRun": true}, "DryRunOperationException", "would have succeeded")
	k.refused("GetRecords", obj{"ShardIterator": "x", "DryRun": true}, "InvalidArgumentException", "Invalid ShardIterator")
	k.refused("GetShardIterator", obj{"StreamName": "s", "ShardId": first, "ShardIteratorType": "LATEST", "DryRun": true}, "DryRunOperationException", "would have succeeded")
	k.refused("GetShardIterator", obj{"StreamName": "s", "ShardId": "shardId-1", "ShardIteratorType": "LATEST", "DryRun": true}, "ResourceNotFoundException", "does not exist")
}

// TestOversized has one record that is alone more than an answer should hold.
func TestOversized(t *testing.T) {
	k := newKit(t)
	st := k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	huge := tributary.Entry{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "k", Data: make([]byte, 11<<20)}}
	_, err := k.store.Append(t.Context(), st.ID, []tributary.Entry{huge})
	k.ok(err)
	k.write(ann, "d", "a", "b")
	r := k.records(it, 0)
	if len(r.Records) != 1 || r.Behind < 1 || len(k.records(*r.Next, 0).Records) != 1 {
		t.Errorf("%d records, %d ms behind", len(r.Records), r.Behind)
	}
}

// TestLink has a change of 200 KB, whose link leads to all of it.
func TestLink(t *testing.T) {
	type asked struct {
		shard   tributary.Shard
		pos     tributary.Position
		expires time.Duration
	}
	var links []asked
	var give func(tributary.Shard, tributary.Position, time.Duration) string
	k := newKit(t, func(c *kinesisapi.Config) {
		c.Link = func(s tributary.Shard, p tributary.Position, d time.Duration) string {
			links = append(links, asked{s, p, d})
			return give(s, p, d)
		}
	})
	handler := &payload.Handler{Log: k.store, Sealer: k.cfg.Sealer, Now: k.clock.now}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	give = (&payload.Links{Sealer: k.cfg.Sealer, PublicURL: server.URL, Region: region, Now: k.clock.now}).Link

	st := k.stream("s", 1)
	k.write(ann, "d", "small", "x")
	k.write(ann, "d", "large", strings.Repeat("0123456789", 20<<10))
	read := func() []record { return k.records(k.iterator("s", first, horizon()), 0).Records }
	got := read()
	pos := tributary.PositionOf(tributary.Shard{Stream: st.ID}, 2)
	if len(got) != 2 || len(links) != 1 || links[0] != (asked{tributary.Shard{Stream: st.ID}, pos, 24 * time.Hour}) {
		t.Fatalf("%d records, %+v", len(got), links)
	}
	c, link, err := streamrec.Decode(got[1].Data)
	if err != nil || link == "" || c.Records != nil || c.SyncCount != 2 {
		t.Fatalf("%+v, %q, %v", c, link, err)
	}
	res, err := http.Get(link)
	k.ok(err)
	body, err := io.ReadAll(res.Body)
	k.ok(err)
	k.ok(res.Body.Close())
	whole, err := streamrec.DecodeRecords(body)
	if err != nil || res.StatusCode != http.StatusOK || len(whole) != 1 || whole[0].Key != "large" || len(whole[0].Value) != 200<<10 || whole[0].SyncCount != 2 {
		t.Errorf("%d, %d records, %v", res.StatusCode, len(whole), err)
	}

	// The link is good for as long as the entry is, within bounds.
	k.clock.move(23*time.Hour + 30*time.Minute)
	read()
	k.clock.move(time.Hour)
	read()
	stored, err := k.store.Stream(t.Context(), "s")
	k.ok(err)
	stored.Retention = 300 * 24 * time.Hour
	_, err = k.store.PutStream(t.Context(), stored)
	k.ok(err)
	read()
	for i, want := range []time.Duration{24 * time.Hour, 30 * time.Minute, time.Minute, 7 * 24 * time.Hour} {
		if links[i].expires != want {
			t.Errorf("a link for %s, want %s", links[i].expires, want)
		}
	}
}

func TestInlineLimit(t *testing.T) {
	fixed := func(tributary.Shard, tributary.Position, time.Duration) string { return "https://x/" }
	nowhere := func(tributary.Shard, tributary.Position, time.Duration) string { return "" }
	for _, c := range []struct {
		name string
		edit func(*kinesisapi.Config)
		want string
	}{
		{"Lower", func(c *kinesisapi.Config) { c.InlineLimit, c.Link = 100, fixed }, "https://x/"},
		{"Higher", func(c *kinesisapi.Config) { c.InlineLimit, c.Link = 1<<20, fixed }, ""},
		{"NoLinks", func(c *kinesisapi.Config) { c.InlineLimit = 100 }, ""},
		{"NoLink", func(c *kinesisapi.Config) { c.InlineLimit, c.Link = 100, nowhere }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKit(t, c.edit)
			k.stream("s", 1)
			k.write(ann, "d", "large", strings.Repeat("x", 100<<10))
			got, link, err := streamrec.Decode(k.records(k.iterator("s", first, horizon()), 0).Records[0].Data)
			if err != nil || link != c.want || (link == "") != (len(got.Records) == 1) {
				t.Errorf("%q, %d records, %v", link, len(got.Records), err)
			}
		})
	}
}

// watched is a log that tells when somebody begins to wait.
type watched struct {
	tributary.Log
	waits chan struct{}
}

func (w watched) Wait(ctx context.Context, s tributary.Shard, p tributary.Position) error {
	w.waits <- struct{}{}
	return w.Log.Wait(ctx, s, p)
}

// TestHold has a reader at the tip who is answered when something comes, and
// one who is answered although nothing does.
func TestHold(t *testing.T) {
	waits := make(chan struct{}, 1)
	k := newKit(t, func(c *kinesisapi.Config) { c.Hold, c.Log = time.Hour, watched{c.Log, waits} })
	k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- k.send("GetRecords", obj{"ShardIterator": it}) }()
	<-waits
	k.write(ann, "d", "a", "b")
	var r records
	k.ok(json.Unmarshal((<-answer).Body.Bytes(), &r))
	if len(r.Records) != 1 || r.Behind != 0 {
		t.Errorf("%+v", r)
	}
	k.records(it, 0) // there is something: no wait
	if len(waits) != 0 {
		t.Error("GetRecords waits although there is a record")
	}

	k.cfg.Hold = time.Millisecond
	k.front = kinesisapi.New(k.cfg)
	if r := k.records(*r.Next, 0); len(r.Records) != 0 || r.Next == nil {
		t.Errorf("%+v", r)
	}
	<-waits

	// A deleted stream and a caller who has gone end the wait.
	k.cfg.Hold = time.Hour
	k.front = kinesisapi.New(k.cfg)
	go func() { answer <- k.send("GetRecords", obj{"ShardIterator": *r.Next}) }()
	<-waits
	call[obj](k, "DeleteStream", obj{"StreamName": "s"})
	if w := <-answer; !strings.Contains(w.Body.String(), "ResourceNotFoundException") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	k.stream("s", 1)
	it = k.iterator("s", first, horizon())
	ctx, cancel := context.WithCancel(t.Context())
	body, err := json.Marshal(obj{"ShardIterator": it})
	k.ok(err)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.GetRecords")
	k.signer.Sign(req, body, k.clock.now())
	gone := httptest.NewRecorder()
	cancel()
	k.front.ServeHTTP(gone, req)
	if gone.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", gone.Code, gone.Body)
	}
}

// slow is a log that tells of every read, and answers when it is let.
type slow struct {
	tributary.Log
	reads, answer chan struct{}
}

func (l slow) Read(ctx context.Context, s tributary.Shard, p tributary.Position, most int) ([]tributary.Entry, error) {
	l.reads <- struct{}{}
	select {
	case <-l.answer:
	case <-ctx.Done():
	}
	return l.Log.Read(ctx, s, p, most)
}

// TestManyReaders has eight answers grow at once, and no ninth.
func TestManyReaders(t *testing.T) {
	const most = 8
	log := slow{reads: make(chan struct{}, 100), answer: make(chan struct{})}
	k := newKit(t, func(c *kinesisapi.Config) { log.Log = c.Log; c.Log = log })
	k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	it := k.iterator("s", first, horizon())
	answers := make(chan int, 100)
	ask := func(ctx context.Context) {
		answers <- k.sendCtx(ctx, "GetRecords", obj{"ShardIterator": it}).Code
	}
	for range most {
		go ask(t.Context())
		<-log.reads
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // one alone might be answered before it reads
		ask(gone)
		if got := <-answers; got != http.StatusServiceUnavailable || len(log.reads) != 0 {
			t.Fatalf("the ninth reads, or is answered %d", got)
		}
	}
	go ask(t.Context()) // waits for its turn
	close(log.answer)
	for range most + 1 {
		if got := <-answers; got != http.StatusOK {
			t.Errorf("a reader is answered %d", got)
		}
	}
}

// TestManyWaiters has readers wait at the tip, which must not keep others from
// reading.
func TestManyWaiters(t *testing.T) {
	const n = 20
	waits := make(chan struct{}, n)
	k := newKit(t, func(c *kinesisapi.Config) { c.Hold, c.Log = time.Hour, watched{c.Log, waits} })
	k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	answers := make(chan *httptest.ResponseRecorder, n)
	for range n {
		go func() { answers <- k.send("GetRecords", obj{"ShardIterator": it}) }()
	}
	for i := range n {
		select {
		case <-waits:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d readers wait at the tip, the next cannot read", i)
		}
	}
	k.write(ann, "d", "a", "b")
	for range n {
		if w := <-answers; w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "SequenceNumber") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestReaderBesideWriters has a reader in a loop while others write: it sees
// every position once, in order.
func TestReaderBesideWriters(t *testing.T) {
	k := newKit(t, func(c *kinesisapi.Config) { c.Hold = time.Minute })
	k.stream("s", 1)
	it := k.iterator("s", first, horizon())
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				k.write([]tributary.IdentityID{ann, bob}[w%2], tributary.DatasetName(fmt.Sprint("d", w)), "a", fmt.Sprint(i))
			}
		})
	}
	var got []uint64
	counts := map[tributary.DatasetKey]int64{}
	for limit := 1; len(got) < writers*each; limit = limit%7 + 1 {
		r := k.records(it, limit)
		got = append(got, k.counts(r)...)
		it = *r.Next
		for i := range r.Records {
			c, _, err := streamrec.Decode(r.Records[i].Data)
			k.ok(err)
			if c.SyncCount != counts[c.Key]+1 {
				t.Fatalf("%s: sync count %d after %d", c.Key, c.SyncCount, counts[c.Key])
			}
			counts[c.Key] = c.SyncCount
		}
	}
	wg.Wait()
	for i := range got {
		if got[i] != uint64(i+1) {
			t.Fatalf("%v", got)
		}
	}
}

// TestBroken has a store that cannot answer.
func TestBroken(t *testing.T) {
	var seen []string
	k := newKit(t, func(c *kinesisapi.Config) {
		c.Observe = func(service, op string, status int, _ time.Duration) {
			seen = append(seen, fmt.Sprint(service, " ", op, " ", status))
		}
	})
	k.stream("s", 1)
	k.iterator("s", first, horizon())
	closed := newKit(t)
	k.ok(closed.store.Close())
	k.cfg.Log = closed.store
	k.front = kinesisapi.New(k.cfg)
	w := k.send("GetShardIterator", obj{"StreamName": "s", "ShardId": first, "ShardIteratorType": "LATEST"})
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"__type":"ServiceUnavailable"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if want := []string{"kinesis GetShardIterator 200", "kinesis GetShardIterator 503"}; !slices.Equal(seen, want) {
		t.Errorf("%v", seen)
	}
}

// FuzzRequest sends anything to every operation: the answer is never a fault
// of ours.
func FuzzRequest(f *testing.F) {
	ops := []string{"ListStreams", "DescribeStream", "DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords",
		"PutRecord", "PutRecords", "SplitShard", "MergeShards", "UpdateShardCount", "IncreaseStreamRetentionPeriod", "AddTagsToStream", "RemoveTagsFromStream", "ListTagsForStream",
		"RegisterStreamConsumer", "DescribeStreamConsumer", "ListStreamConsumers", "DeregisterStreamConsumer", "TagResource", "UntagResource", "ListTagsForResource", "UpdateMaxRecordSize"}
	for i, in := range []string{
		`{"Limit":3,"NextToken":"x"}`, `{"StreamName":"s","ExclusiveStartShardId":"shardId-0"}`, `{"StreamARN":"arn:aws:kinesis:r:123456789012:stream/s"}`,
		`{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1e9}}`, `{"StreamName":"s","ShardId":"shardId-0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":-1.5}`, `{"ShardIterator":"x"}`,
		`{"StreamName":"s","Data":"AA==","PartitionKey":"k","ExplicitHashKey":"7"}`, `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"é"}]}`,
		`{"StreamName":"s","ShardToSplit":"shardId-0","NewStartingHashKey":"99"}`, `{"StreamName":"s","ShardToMerge":"shardId-1","AdjacentShardToMerge":"shardId-2"}`,
		`{"StreamName":"s","TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"}`, `{"StreamName":"s","RetentionPeriodHours":25}`, `{"StreamName":"s","Tags":{"a":"b"}}`,
		`{"StreamName":"s","TagKeys":["a"]}`, `{"StreamName":"s","Limit":1,"ExclusiveStartTagKey":"a"}`, `{"StreamARN":"arn:aws:kinesis:r:123456789012:stream/s","ConsumerName":"c","Tags":{}}`,
		`{"ConsumerARN":"arn:aws:kinesis:r:123456789012:stream/s/consumer/c:1"}`, `{"StreamARN":"arn:aws:kinesis:r:123456789012:stream/s","MaxResults":1}`,
	} {
		f.Add(i, in)
	}
	k := newKit(f)
	k.stream("s", 1)
	k.write(ann, "d", "a", "b")
	it := k.iterator("s", first, horizon())
	f.Add(5, `{"ShardIterator":"`+it+`","Limit":1}`)
	f.Add(4, `{"StreamName":"s","ShardId":"shardId-0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"`+string(k.records(it, 0).Records[0].SequenceNumber)+`"}`)
	f.Fuzz(func(t *testing.T, op int, in string) {
		k := k.in(t)
		w := k.send(ops[uint(op)%uint(len(ops))], in)
		var out any
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code >= 500 {
			t.Errorf("%d %s: %v", w.Code, w.Body, err)
		}
	})
}

// FuzzRecord has GetRecords write what anybody may put on a stream.
func FuzzRecord(f *testing.F) {
	k := newKit(f)
	st := k.stream("s", 1)
	f.Add("key", []byte("data"))
	f.Add("\"\\\u2028\x00", []byte{0xff})
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		k := k.in(t)
		it := k.iterator("s", first, obj{"ShardIteratorType": "LATEST"})
		_, err := k.store.Append(t.Context(), st.ID, []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: key, Data: data}}})
		k.ok(err)
		var out struct {
			Records []struct{ PartitionKey, Data string }
		}
		k.ok(json.Unmarshal(k.send("GetRecords", obj{"ShardIterator": it}).Body.Bytes(), &out))
		want := struct{ PartitionKey, Data string }{strings.ToValidUTF8(key, "\uFFFD"), base64.StdEncoding.EncodeToString(data)}
		if got := out.Records[0]; got.Data != want.Data || utf8Same(key) && !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func utf8Same(s string) bool { return strings.ToValidUTF8(s, "") == s }

func BenchmarkGetRecords(b *testing.B) {
	k := newKit(b)
	k.stream("s", 1)
	for i := range 2000 {
		k.write(ann, "d", fmt.Sprint("key-", i%5), strings.Repeat("abcdefgh", 10))
	}
	it := k.iterator("s", first, horizon())
	body, err := json.Marshal(obj{"ShardIterator": it})
	k.ok(err)
	size := 0
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("X-Amz-Target", "Kinesis_20131202.GetRecords")
		k.signer.Sign(r, body, k.clock.now())
		w := httptest.NewRecorder()
		w.Body = nil
		k.front.ServeHTTP(w, r)
		fmt.Sscan(w.Header().Get("Content-Length"), &size)
	}
	b.SetBytes(int64(size))
	b.ReportMetric(2000, "records/op")
}
