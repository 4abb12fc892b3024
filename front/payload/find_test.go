package payload_test

import (
	"net/http"
	"testing"
	"time"

	"tributary"
)

// TestFind: a link leads to its entry when it is good no more, and under another
// name of the server; what is not there any more is said to be gone.
func TestFind(t *testing.T) {
	k := newKit(t)
	for _, link := range []string{k.links.Link(k.shard, k.pos, time.Second), k.linksOf(k.sealer(8), "http://other").Link(k.shard, k.pos, time.Hour)} {
		found, ours, err := k.handler.Find(t.Context(), link)
		if err != nil || !ours || found.Shard != k.shard || found.Position != k.pos || found.Pool != pool || found.Arrived == 0 {
			t.Errorf("%s: %+v, %v, %v", link, found, ours, err)
		}
	}
	for _, link := range []string{"", "://", "https://bucket.s3.amazonaws.com/large/x", "https://sync.example.com/_tributary/v1/query"} {
		if _, ours, err := k.handler.Find(t.Context(), link); ours || err != nil {
			t.Errorf("%s: %v, %v", link, ours, err)
		}
	}
	k.ok(k.store.Trim(t.Context(), k.shard, k.pos))
	for _, link := range []string{k.links.Link(k.shard, k.pos, time.Hour), "/_tributary/payload/x"} {
		if _, ours, err := k.handler.Find(t.Context(), link); !ours || tributary.KindOf(err) != tributary.NotFound {
			t.Errorf("%s: %v, %v", link, ours, err)
		}
	}
	k.refused("trimmed", http.MethodGet, k.links.Link(k.shard, k.pos, time.Hour), http.StatusNotFound, "NoSuchKey", "")
}
