package kinesisapi

import (
	"time"

	"github.com/go-json-experiment/json"

	"tributary"
)

// tokenLife is how long an iterator or a page token is good, as on AWS.
const tokenLife = 5 * time.Minute

// page is where a listing goes on.
type page struct {
	Created tributary.Millis
	After   tributary.StreamName `json:",omitzero"` // ListStreams: the last one shown

	// ListShards
	Stream tributary.StreamName `json:",omitzero"`
	ID     tributary.StreamID   `json:",omitzero"`
	From   uint64               `json:",omitzero"` // the first shard number to be shown
	Filter string               `json:",omitzero"`
	At     tributary.Millis     `json:",omitzero"` // of the filter

	Consumer string `json:",omitzero"` // ListStreamConsumers: the last one shown, of the stream ID
}

// seal makes the NextToken of an operation.
func (s *server) seal(op string, pg page) string {
	pg.Created = s.now()
	plain, err := json.Marshal(pg)
	if err != nil {
		panic(err) // it holds nothing that cannot be encoded: the name was found in the store
	}
	return s.Sealer.Seal("kinesis "+op, plain)
}

// open reads a NextToken of an operation.
//
// Errors: Invalid, or the fault ExpiredNextTokenException.
func (s *server) open(op, token string) (page, error) {
	var pg page
	plain, err := s.Sealer.Open("kinesis "+op, token)
	if err == nil {
		err = json.Unmarshal(plain, &pg)
	}
	if err != nil {
		return page{}, &tributary.Error{Kind: tributary.Invalid, Op: op, Msg: "NextToken is not valid.", Err: err}
	}
	if tooOld(pg.Created, s.now()) {
		return page{}, expired("ExpiredNextTokenException", "NextToken has expired. Begin the listing again.")
	}
	return pg, nil
}

func tooOld(created, now tributary.Millis) bool {
	return now-created > tributary.Millis(tokenLife.Milliseconds())
}
