package api

import (
	"context"
	"time"

	"tributary"
	"tributary/awswire"
)

// Payloads finds the records of updates that were too large for their stream
// record.
type Payloads interface {
	// Payload tells what a link leads to. Invalid, NotFound.
	Payload(ctx context.Context, link string) (Payload, error)
}

// Payload is the records of one update.
type Payload struct {
	Pool tributary.PoolID
	// Link makes a link to them, good until a time. NotFound, Unavailable.
	Link func(ctx context.Context) (link string, until time.Time, err error)
}

func (f *front) payloadOperations() []op {
	return []op{{Name: "RenewPayloadLink", Method: "POST", Path: Prefix + "payload-links", Handle: awswire.StrictHandler(f.renewPayloadLink)}}
}

type renewPayloadLinkIn struct {
	Link string // as a stream record has it, good or not, or the name of an object
}

type payloadLink struct {
	Link    string
	Expires time.Time
}

// renewPayloadLink gives a reader that comes late a link that is good. Who may
// read the pool may read what its stream records lead to.
func (f *front) renewPayloadLink(ctx context.Context, p principal, in *renewPayloadLinkIn) (*payloadLink, error) {
	const op = "renew payload link"
	if !p.Developer() {
		return nil, tributary.Errorf(tributary.Denied, op, "These credentials are not valid for accessing this resource")
	}
	found, err := f.Payloads.Payload(ctx, in.Link)
	if err != nil {
		return nil, err
	}
	if _, err := f.Service.Pool(ctx, p, found.Pool); err != nil {
		return nil, err
	}
	link, until, err := found.Link(ctx)
	if err != nil {
		return nil, err
	}
	return &payloadLink{Link: link, Expires: until.UTC().Truncate(time.Second)}, nil
}
