package ops_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/front/ops"
	"tributary/internal/enginetest"
)

func get(h *ops.Ops, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestOps(t *testing.T) {
	var ready error
	o := ops.New(func(context.Context) error { return ready })
	o.Observe("cognito-sync", "ListRecords", 200, 3*time.Millisecond)
	o.Delivered("warehouse")(tributary.Shard{Stream: 1}, 7)
	o.Failed("warehouse")(tributary.Shard{Stream: 1}, nil)
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": `tributary_delivered_entries_total{group="warehouse"} 7`} {
		if code, body := get(o, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	if _, body := get(o, "/metrics"); !strings.Contains(body, `tributary_request_seconds_count{operation="ListRecords",service="cognito-sync",status="200"} 1`) ||
		!strings.Contains(body, `tributary_delivery_failures_total{group="warehouse",shard="1/0"} 1`) {
		t.Errorf("metrics: %s", body)
	}
	ready = tributary.Errorf(tributary.Unavailable, "check disk", "the disk is full")
	if code, body := get(o, "/readyz"); code != 503 || !strings.Contains(body, "the disk is full") {
		t.Errorf("not ready: %d %s", code, body)
	}
	if code, _ := get(o, "/other"); code != 404 {
		t.Errorf("another page: %d", code)
	}
}

// TestMain runs the tests on one engine or the other.
func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }

// TestLag: the lag is the age of what a group has not got, whether or not
// anything was ever delivered, and 0 when it has all.
func TestLag(t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store := enginetest.Open(t, enginetest.Config{Shards: 1, Now: func() time.Time { return time.Now().Add(-5 * time.Minute) }})
	s, err := store.PutStream(t.Context(), tributary.Stream{Name: "s", Kind: tributary.Embedded, Shards: tributary.EvenShards(1)})
	check(err)
	shard := tributary.Shard{Stream: s.ID}
	at, err := store.Append(t.Context(), s.ID, []tributary.Entry{{Kind: tributary.EntryForeign, Foreign: &tributary.ForeignRecord{PartitionKey: "p"}}})
	check(err)
	o := ops.New(store.Ready)
	o.WatchLag(store, "warehouse", "push")
	lag := func(group string, s tributary.Shard) float64 {
		t.Helper()
		_, body := get(o, "/metrics")
		found := regexp.MustCompile(fmt.Sprintf(`(?m)^tributary_delivery_lag_seconds\{group="%s",shard="%s"\} (.*)$`, group, s)).FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("group %s has no lag of shard %s: %s", group, s, body)
		}
		v, err := strconv.ParseFloat(found[1], 64)
		check(err)
		return v
	}
	if v := lag("warehouse", shard); v < 300 || v > 400 {
		t.Errorf("the lag of an entry of 5 minutes ago is %v s", v)
	}
	if v := lag("warehouse", tributary.Shard{Stream: tributary.DefaultStream}); v != 0 {
		t.Errorf("the lag of an empty shard is %v s", v)
	}
	_, err = store.SwapLease(t.Context(), tributary.Lease{Group: "warehouse", Shard: shard, Checkpoint: at[0]})
	check(err)
	if got, other := lag("warehouse", shard), lag("push", shard); got != 0 || other < 300 {
		t.Errorf("the lag is %v s of a group that has all, %v s of another", got, other)
	}
}

// TestTriggers: the calls of functions are counted by how they ended.
func TestTriggers(t *testing.T) {
	o := ops.New(func(context.Context) error { return nil })
	called := o.WatchTriggers()
	called("webhook", "ok", 20*time.Millisecond)
	called("lambda", "timeout", 5*time.Second)
	_, body := get(o, "/metrics")
	for _, want := range []string{
		`tributary_trigger_seconds_bucket{kind="webhook",outcome="ok",le="0.025"} 1`,
		`tributary_trigger_seconds_count{kind="lambda",outcome="timeout"} 1`,
		`tributary_trigger_seconds_sum{kind="lambda",outcome="timeout"} 5`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in\n%s", want, body)
		}
	}
}
