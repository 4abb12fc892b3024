package kinesisapi

import (
	"context"
	"strconv"
	"strings"

	"tributary"
	"tributary/awswire"
)

// consumerRef is how a request names a consumer: by its ARN, by its name and the
// ARN of its stream, or by all three.
type consumerRef struct {
	StreamARN    string
	ConsumerName string
	ConsumerARN  string
}

// consumerKey gives the consumer that a request means.
//
// Errors: Invalid; NotFound if it is one of another account.
func (s *server) consumerKey(op string, ref consumerRef) (tributary.ConsumerKey, error) {
	if ref.ConsumerARN == "" {
		if ref.StreamARN == "" || ref.ConsumerName == "" {
			return tributary.ConsumerKey{}, invalid(op, "Either ConsumerARN, or StreamARN and ConsumerName must be provided.")
		}
		stream, err := s.name(op, streamRef{StreamARN: ref.StreamARN})
		return tributary.ConsumerKey{Stream: stream, Name: ref.ConsumerName}, err
	}
	account, k, ok := splitConsumerARN(ref.ConsumerARN)
	if !ok {
		return tributary.ConsumerKey{}, invalid(op, "1 validation error detected: Value '%.256s' at 'consumerARN' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+", ref.ConsumerARN)
	}
	if ref.ConsumerName != "" && ref.ConsumerName != k.Name {
		return tributary.ConsumerKey{}, invalid(op, "ConsumerName %.128s and ConsumerARN %.256s are of different consumers.", ref.ConsumerName, ref.ConsumerARN)
	}
	if ref.StreamARN != "" {
		stream, err := s.name(op, streamRef{StreamARN: ref.StreamARN})
		if err != nil {
			return tributary.ConsumerKey{}, err
		}
		if stream != k.Stream {
			return tributary.ConsumerKey{}, invalid(op, "StreamARN %.256s and ConsumerARN %.256s are of different streams.", ref.StreamARN, ref.ConsumerARN)
		}
	}
	if account != s.Account {
		return tributary.ConsumerKey{}, tributary.Errorf(tributary.NotFound, op, "Consumer %.256s, account %.12s not found.", ref.ConsumerARN, account)
	}
	return k, nil
}

// splitConsumerARN takes arn:…:stream/name/consumer/name:second apart.
func splitConsumerARN(arn string) (account string, k tributary.ConsumerKey, ok bool) {
	account, rest, ok := splitARN(arn)
	if !ok {
		return "", k, false
	}
	stream, rest, ok := strings.Cut(rest, "/consumer/")
	if !ok {
		return "", k, false
	}
	name, second, ok := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(second, 10, 64)
	if !ok || err != nil || n < 1 || name == "" || tributary.CheckStreamName(tributary.StreamName(stream)) != nil {
		return "", k, false
	}
	return account, tributary.ConsumerKey{Stream: tributary.StreamName(stream), Name: name, Second: n}, true
}

// consumer is a consumer as it is written on the wire.
type consumer struct {
	ConsumerName              string
	ConsumerARN               string
	ConsumerStatus            string
	ConsumerCreationTimestamp awswire.Timestamp
}

func (s *server) consumerOf(stream tributary.StreamName, c *tributary.Consumer) consumer {
	return consumer{
		ConsumerName: c.Name, ConsumerARN: s.arnOf(c.Key(stream).Resource()), ConsumerStatus: "ACTIVE",
		ConsumerCreationTimestamp: awswire.Timestamp(c.Created),
	}
}

type registerConsumerInput struct {
	StreamARN    string
	ConsumerName string
	Tags         map[string]string
}

type registerConsumerOutput struct{ Consumer consumer }

func (s *server) registerConsumer(ctx context.Context, p tributary.Principal, in *registerConsumerInput) (*registerConsumerOutput, error) {
	const op = "RegisterStreamConsumer"
	if in.ConsumerName == "" {
		return nil, required(op, "consumerName")
	}
	stream, err := s.byARN(op, in.StreamARN)
	if err != nil {
		return nil, err
	}
	c, err := s.Service.RegisterConsumer(ctx, p, stream, in.ConsumerName, in.Tags)
	if err != nil {
		return nil, err
	}
	return &registerConsumerOutput{s.consumerOf(stream, &c)}, nil
}

// byARN gives the name of the stream of an ARN that must be there.
func (s *server) byARN(op, arn string) (tributary.StreamName, error) {
	if arn == "" {
		return "", required(op, "streamARN")
	}
	return s.name(op, streamRef{StreamARN: arn})
}

type describeConsumerOutput struct {
	ConsumerDescription struct {
		consumer
		StreamARN string
	}
}

func (s *server) describeConsumer(ctx context.Context, p tributary.Principal, in *consumerRef) (*describeConsumerOutput, error) {
	k, err := s.consumerKey("DescribeStreamConsumer", *in)
	if err != nil {
		return nil, err
	}
	c, err := s.Service.Consumer(ctx, p, k)
	if err != nil {
		return nil, err
	}
	var out describeConsumerOutput
	out.ConsumerDescription.consumer, out.ConsumerDescription.StreamARN = s.consumerOf(k.Stream, &c), s.arn(k.Stream)
	return &out, nil
}

func (s *server) deregisterConsumer(ctx context.Context, p tributary.Principal, in *consumerRef) (*empty, error) {
	k, err := s.consumerKey("DeregisterStreamConsumer", *in)
	if err != nil {
		return nil, err
	}
	return &empty{}, s.Service.DeregisterConsumer(ctx, p, k)
}

type listConsumersInput struct {
	StreamARN               string
	NextToken               string
	MaxResults              *int
	StreamCreationTimestamp *awswire.Timestamp
}

type listConsumersOutput struct {
	Consumers []consumer
	NextToken string `json:",omitzero"`
}

func (s *server) listConsumers(ctx context.Context, p tributary.Principal, in *listConsumersInput) (*listConsumersOutput, error) {
	const op = "ListStreamConsumers"
	most, err := bounded(op, "maxResults", in.MaxResults, defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	name, err := s.byARN(op, in.StreamARN)
	if err != nil {
		return nil, err
	}
	var pg page
	if in.NextToken != "" {
		if in.StreamCreationTimestamp != nil {
			return nil, invalid(op, "NextToken and StreamCreationTimestamp cannot be provided together.")
		}
		if pg, err = s.open(op, in.NextToken); err != nil {
			return nil, err
		}
	}
	st, err := s.Service.Stream(ctx, p, name)
	if err != nil {
		return nil, err
	}
	if in.NextToken != "" && pg.ID != st.ID {
		return nil, invalid(op, "NextToken is not of stream %s.", name)
	}
	if err := s.sameCreation(op, &st, in.StreamCreationTimestamp); err != nil {
		return nil, err
	}
	return s.consumersAfter(op, &st, pg.Consumer, most), nil
}

// consumersAfter is a page of a stream's consumers above a name.
func (s *server) consumersAfter(op string, st *tributary.Stream, above string, most int) *listConsumersOutput {
	out := &listConsumersOutput{Consumers: []consumer{}}
	for i := range st.Consumers {
		c := &st.Consumers[i]
		if c.Name <= above {
			continue
		}
		if len(out.Consumers) == most {
			out.NextToken = s.seal(op, page{ID: st.ID, Consumer: out.Consumers[most-1].ConsumerName})
			break
		}
		out.Consumers = append(out.Consumers, s.consumerOf(st.Name, c))
	}
	return out
}
