package ops_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/front/ops"
	"tributary/internal/enginetest"
)

// TestKinesis: what went to streams at Kinesis and what did not is counted, and
// how far each is behind is measured.
func TestKinesis(t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store := enginetest.Open(t, enginetest.Config{Shards: 1, Now: func() time.Time { return time.Now().Add(-5 * time.Minute) }})
	to := tributary.Target{Name: "far", Region: "eu-west-1", RoleARN: "arn:r"}
	s, err := store.PutStream(t.Context(), tributary.Stream{Name: to.StreamName(), Kind: tributary.Kinesis, Target: to, Shards: tributary.EvenShards(2)})
	check(err)
	_, err = store.PutStream(t.Context(), tributary.Stream{Name: "near", Kind: tributary.Embedded, Shards: tributary.EvenShards(1)})
	check(err)
	o := ops.New(store.Ready)
	o.WatchLag(store)
	o.WatchKinesis(store, "kinesis")
	o.Sent(to, 7)
	o.Refused(to, "ProvisionedThroughputExceededException", 3)
	o.Dropped(tributary.Gap{Stream: s.ID, Group: "kinesis", Entries: 5})
	const of = `region="eu-west-1",role="arn:r",stream="far"} `
	wants := func(lines ...string) (body string) {
		t.Helper()
		_, body = get(o, "/metrics")
		for _, line := range lines {
			if !strings.Contains(body, line) {
				t.Errorf("the metrics lack %s", line)
			}
		}
		return body
	}
	body := wants(`tributary_kinesis_records_total{`+of+"7\n", `tributary_kinesis_errors_total{code="ProvisionedThroughputExceededException",`+of+"3\n",
		fmt.Sprintf(`tributary_dropped_entries_total{group="kinesis",stream="%d"} 5`, s.ID), `tributary_kinesis_lag_seconds{`+of+"0\n", `tributary_kinesis_off{`+of+"0\n")
	if strings.Contains(body, `stream="near"`) {
		t.Error("an embedded stream is among those at Kinesis")
	}
	_, err = store.Append(t.Context(), s.ID, []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}})
	check(err)
	s.Failure = "gone"
	_, err = store.PutStream(t.Context(), s)
	check(err)
	wants(`tributary_kinesis_lag_seconds{`+of+"30", `tributary_kinesis_off{`+of+"1\n") // 300 s and a bit
}
