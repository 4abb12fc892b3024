package ops_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary"
	"tributary/front/ops"
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
	o.Delivered("warehouse")(tributary.Shard{Stream: 1}, 7, tributary.MillisOf(time.Now()))
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
