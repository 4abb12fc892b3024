package main

import (
	"context"
	"math"
	"time"

	"tributary"
	"tributary/front/api"
	"tributary/front/payload"
	"tributary/sink/s3"
)

// payloads are what links of stream records lead to: entries of the log, and
// objects of the payload bucket.
type payloads struct {
	handler *payload.Handler
	links   *payload.Links
	streams tributary.Streams
	bucket  *s3.Bucket // nil: there is none
}

// Payload tells what a link leads to. Invalid, NotFound.
func (p *payloads) Payload(ctx context.Context, link string) (api.Payload, error) {
	found, ours, err := p.handler.Find(ctx, link)
	if err != nil {
		return api.Payload{}, err
	}
	if ours {
		return api.Payload{Pool: found.Pool, Link: func(ctx context.Context) (string, time.Time, error) { return p.link(ctx, &found) }}, nil
	}
	if p.bucket != nil {
		if name, pool, ok := p.bucket.Find(link); ok {
			return api.Payload{Pool: pool, Link: func(ctx context.Context) (string, time.Time, error) { return p.bucket.Link(ctx, name) }}, nil
		}
	}
	return api.Payload{}, tributary.Errorf(tributary.Invalid, "find payload",
		"Link must be the kinesisSyncRecordsURL of a stream record of this server, or the name of an object that it put into its payload bucket")
}

// link makes a link to an entry of the log, good for as long as it is there.
func (p *payloads) link(ctx context.Context, f *payload.Found) (string, time.Time, error) {
	const longest, shortest = 7 * 24 * time.Hour, time.Minute
	all, err := p.streams.Streams(ctx, "", math.MaxInt)
	if err != nil {
		return "", time.Time{}, err
	}
	life := shortest
	for i := range all {
		if all[i].ID == f.Shard.Stream {
			life = max(shortest, min(longest, time.Until(f.Arrived.Time().Add(all[i].Retention))))
		}
	}
	return p.links.Link(f.Shard, f.Position, life), time.Now().Add(life), nil
}
