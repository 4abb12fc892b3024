package kinesis

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"tributary"
	"tributary/streamrec"
)

// delivery is the delivery of one batch. One goroutine has its queue.
type delivery struct {
	*Sink
	stream   tributary.Stream
	client   Client
	progress *progress
	queue    *queue
}

// result is what became of a call.
type result struct {
	call  []*line
	codes []string // by record: why it was refused, "" if it was not
	err   error    // of the whole call, or of the last record that was refused
	began time.Time
}

func (r *result) confirmed(i int) bool { return r.codes[i] == "" }

// run sends until all is confirmed, or gives up.
func (d *delivery) run(ctx context.Context) error {
	results, most := make(chan result), cmp.Or(d.Calls, 4)
	flying, failed := 0, error(nil)
	for d.queue.left > 0 || flying > 0 {
		for failed == nil && flying < most {
			call := d.queue.take(time.Now())
			if len(call) == 0 {
				break
			}
			flying++
			go func() { results <- d.send(ctx, call) }()
		}
		if flying == 0 && failed != nil {
			return failed
		}
		select {
		case r := <-results:
			flying--
			if err := d.settle(&r); failed == nil {
				failed = err
			}
		case <-d.rested(failed == nil && flying < most):
		}
	}
	return failed
}

// rested is when a record can be sent again that was refused. Until then all
// that is not on its way rests, if there may be a further call.
func (d *delivery) rested(further bool) <-chan time.Time {
	at := d.queue.next()
	if !further || at.IsZero() {
		return nil
	}
	return time.After(time.Until(at))
}

// settle takes in what became of a call. It gives an error when it is time to
// give up: a person is needed, or nothing was confirmed for too long.
func (d *delivery) settle(r *result) error {
	done := d.queue.settle(r.call, r.confirmed, time.Now())
	for _, record := range done {
		d.progress.confirmed[record.position] = true
	}
	d.tell(r, len(done))
	p := d.progress
	if len(done) > 0 {
		p.stuck, p.refused = time.Time{}, time.Time{}
	}
	switch {
	case r.err == nil:
		return nil
	case reason(d.stream.Target, r.err) != "":
		return r.err
	case len(done) > 0:
		return nil
	case p.stuck.IsZero():
		p.stuck = r.began
	}
	if time.Since(p.stuck) < mostStuck {
		return nil
	}
	return r.err
}

// tell counts what became of a call.
func (d *delivery) tell(r *result, done int) {
	if done > 0 && d.Sent != nil {
		d.Sent(d.stream.Target, done)
	}
	codes := map[string]int{}
	for _, code := range r.codes {
		if code != "" {
			codes[code]++
		}
	}
	for code, n := range codes {
		d.count(d.stream.Target, code, n)
	}
}

// send makes one call.
func (d *delivery) send(ctx context.Context, call []*line) result {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, 10*time.Second))
	defer cancel()
	r := result{call: call, codes: make([]string, len(call)), began: time.Now()}
	entries := make([]types.PutRecordsRequestEntry, len(call))
	for i, l := range call {
		if entries[i], r.err = d.entry(ctx, l.waiting[0]); r.err != nil {
			return r.refuse()
		}
	}
	out, err := d.client.PutRecords(ctx, &api.PutRecordsInput{StreamName: aws.String(string(d.stream.Target.Name)), Records: entries})
	if err == nil && len(out.Records) != len(call) {
		err = fmt.Errorf("PutRecords of %d records answered for %d", len(call), len(out.Records))
	}
	if r.err = err; err != nil {
		return r.refuse()
	}
	for i := range out.Records {
		if code := aws.ToString(out.Records[i].ErrorCode); code != "" {
			r.codes[i], r.err = code, fmt.Errorf("a record was refused: %s: %s", code, aws.ToString(out.Records[i].ErrorMessage))
		}
	}
	return r
}

// refuse is a call that failed whole.
func (r *result) refuse() result {
	for i := range r.codes {
		r.codes[i] = codeOf(r.err)
	}
	return *r
}

// entry is a record as it is sent; what is large goes to the bucket first.
func (d *delivery) entry(ctx context.Context, r *record) (types.PutRecordsRequestEntry, error) {
	e := types.PutRecordsRequestEntry{PartitionKey: &r.key, Data: r.data}
	if r.hash != "" {
		e.ExplicitHashKey = &r.hash
	}
	if r.large == nil {
		return e, nil
	}
	link, err := d.Bucket.Put(ctx, r.large.Key, streamrec.AppendRecords(nil, r.large.Records))
	if err != nil {
		return e, &notKept{err}
	}
	e.Data = streamrec.Append(nil, r.large, link)
	return e, nil
}
