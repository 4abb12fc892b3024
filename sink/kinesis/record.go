package kinesis

import (
	"fmt"

	"tributary"
	"tributary/streamrec"
)

// tooLarge is a record that Kinesis never takes.
type tooLarge struct{ of tributary.DatasetKey }

func (e *tooLarge) Error() string {
	return fmt.Sprintf("An update of dataset %s of identity %s is larger than the %d bytes that a record at Kinesis may have. Start the server with --payload-bucket, so that the records of such updates go to S3",
		e.of.Dataset, e.of.Identity, maxRecord)
}

// records makes the records of a batch, those left out that were confirmed
// already. It ends with the first that is too large, for which nothing behind it
// is sent.
func (s *Sink) records(batch []tributary.Entry, confirmed map[tributary.Position]bool) ([]*record, error) {
	records := make([]*record, 0, len(batch))
	for i := range batch {
		if confirmed[batch[i].Position] {
			continue
		}
		r, err := s.record(&batch[i])
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func (s *Sink) record(e *tributary.Entry) (*record, error) {
	r := &record{position: e.Position, key: e.PartitionKey()}
	if e.Kind == tributary.EntryForeign {
		r.hash, r.data = e.Foreign.HashKey.String(), e.Foreign.Data
		return r, nil
	}
	limit := maxRecord - len(r.key)
	if s.Bucket != nil {
		limit = min(limit, s.InlineLimit)
	}
	inline := false
	if r.data, inline = streamrec.AppendInline(nil, e.Change, limit); inline {
		return r, nil
	}
	if s.Bucket == nil {
		return nil, &tooLarge{e.Change.Key}
	}
	r.large = e.Change
	return r, nil
}
