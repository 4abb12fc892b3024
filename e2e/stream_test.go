package e2e

import (
	"encoding/json"
	"sync"
	"testing"
)

// event is a record of a stream.
type event struct {
	shard, sequence, partitionKey string

	IdentityPoolID        string        `json:"identityPoolId"`
	IdentityID            string        `json:"identityId"`
	DocumentedName        string        `json:"dataSetName"`
	DatasetName           string        `json:"datasetName"`
	Operation             string        `json:"operation"`
	KinesisSyncRecords    []eventRecord `json:"kinesisSyncRecords"`
	LastModifiedDate      int64         `json:"lastModifiedDate"`
	KinesisSyncRecordsURL string        `json:"kinesisSyncRecordsURL"`
	PayloadType           string        `json:"payloadType"`
	SyncCount             int64         `json:"syncCount"`
}

type eventRecord struct {
	Key                    string  `json:"key"`
	Value                  *string `json:"value"`
	SyncCount              int64   `json:"syncCount"`
	LastModifiedDate       int64   `json:"lastModifiedDate"`
	DeviceLastModifiedDate int64   `json:"deviceLastModifiedDate"`
	Op                     string  `json:"op"`
}

// readStream reads a stream through the Kinesis API, from the beginning to the
// tip, shard by shard.
func (c *caller) readStream(t *testing.T, stream string) []event {
	t.Helper()
	var shards struct{ Shards []struct{ ShardId string } }
	c.call(t, kinesisService, "ListShards", object{"StreamName": stream}, &shards)
	parts := make([][]event, len(shards.Shards))
	errs := make([]error, len(shards.Shards))
	var reading sync.WaitGroup
	for i, shard := range shards.Shards {
		var out struct{ ShardIterator string }
		c.call(t, kinesisService, "GetShardIterator", object{"StreamName": stream, "ShardId": shard.ShardId, "ShardIteratorType": "TRIM_HORIZON"}, &out)
		reading.Go(func() { parts[i], errs[i] = c.readShard(shard.ShardId, out.ShardIterator) })
	}
	reading.Wait()
	var all []event
	for i := range parts {
		if errs[i] != nil {
			t.Fatalf("%s: %v", shards.Shards[i].ShardId, errs[i])
		}
		all = append(all, parts[i]...)
	}
	return all
}

type streamPage struct {
	Records []struct {
		SequenceNumber, PartitionKey string
		Data                         []byte
	}
	NextShardIterator  string
	MillisBehindLatest int64
}

func (c *caller) readShard(shard, iterator string) ([]event, error) {
	var events []event
	for {
		body, err := json.Marshal(object{"ShardIterator": iterator})
		if err != nil {
			return nil, err
		}
		a, err := c.rpc(kinesisService, "GetRecords", body)
		if err != nil {
			return nil, err
		}
		more, page, err := readPage(shard, a)
		if err != nil {
			return nil, err
		}
		events = append(events, more...)
		if page.MillisBehindLatest == 0 {
			return events, nil
		}
		iterator = page.NextShardIterator
	}
}

// readPage takes an answer of GetRecords apart.
func readPage(shard string, a answer) (events []event, page streamPage, err error) {
	if err := json.Unmarshal(a.body, &page); err != nil || a.status != 200 {
		return nil, page, errorOf("GetRecords", a, err)
	}
	for _, r := range page.Records {
		e := event{shard: shard, sequence: r.SequenceNumber, partitionKey: r.PartitionKey}
		if err := json.Unmarshal(r.Data, &e); err != nil {
			return nil, page, err
		}
		events = append(events, e)
	}
	return events, page, nil
}
