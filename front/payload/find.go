package payload

import (
	"context"
	"net/url"
	"strings"

	"tributary"
)

// Found is the entry that a link leads to.
type Found struct {
	Shard    tributary.Shard
	Position tributary.Position
	Arrived  tributary.Millis
	Pool     tributary.PoolID
}

// Find gives the entry that a link leads to, good or not, under whatever name of
// the server. It says false if the link is none of this front's.
//
// Errors: NotFound if the entry is not in the log any more.
func (h *Handler) Find(ctx context.Context, link string) (Found, bool, error) {
	u, err := url.Parse(link)
	if err != nil || !strings.HasPrefix(u.Path, Prefix) {
		return Found{}, false, nil
	}
	gone := tributary.Errorf(tributary.NotFound, "find payload", "The entry is not in the log any more")
	shard, pos, n, ok := parse(u.Path)
	if !ok {
		return Found{}, true, gone
	}
	e, err := h.entry(ctx, shard, pos, n)
	if err == nil && (e == nil || e.Change == nil) {
		err = gone
	}
	if err != nil {
		return Found{}, true, err
	}
	return Found{Shard: shard, Position: pos, Arrived: e.Arrived, Pool: e.Change.Key.Pool}, true, nil
}
