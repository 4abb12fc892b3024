package tributary

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// maxConsumers is how many consumers a stream may have.
const maxConsumers = 20

// ConsumerKey names a consumer of a stream.
type ConsumerKey struct {
	Stream StreamName
	Name   string
	Second int64 // of its creation, from 1970 on; 0: whichever has the name
}

// Key is the consumer's key in its stream.
func (c *Consumer) Key(stream StreamName) ConsumerKey {
	return ConsumerKey{Stream: stream, Name: c.Name, Second: int64(c.Created) / 1000}
}

// Resource is the end of the consumer's ARN.
func (k ConsumerKey) Resource() string {
	return fmt.Sprintf("stream/%s/consumer/%s:%d", k.Stream, k.Name, k.Second)
}

func (s *Service) consumerARN(k ConsumerKey) string {
	return s.arn("kinesis", s.region(), k.Resource())
}

func checkConsumerName(op, name string) error {
	if len(name) == 0 || len(name) > 128 || !streamNamePattern.MatchString(name) {
		return Errorf(Invalid, op, "1 validation error detected: Value '%s' at 'consumerName' failed to satisfy constraint: Member must have length between 1 and 128 and satisfy regular expression pattern: [a-zA-Z0-9_.-]+", clip(name))
	}
	return nil
}

// consumerAt is where a consumer of a name is, or belongs.
func (s *Stream) consumerAt(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Consumers, name, func(c Consumer, name string) int { return strings.Compare(c.Name, name) })
}

// consumer finds a consumer, nil if there is none.
func (s *Stream) consumer(k ConsumerKey) *Consumer {
	i, found := s.consumerAt(k.Name)
	if !found || k.Second != 0 && s.Consumers[i].Key(s.Name) != k {
		return nil
	}
	return &s.Consumers[i]
}

// RegisterConsumer adds a consumer to a stream: the audit log too, which it only
// reads.
//
// Errors: Denied, NotFound, Invalid; Exists if there is one of the name; Limit
// beyond 20.
func (s *Service) RegisterConsumer(ctx context.Context, p Principal, stream StreamName, name string, tags map[string]string) (Consumer, error) {
	const op = "register consumer"
	if err := s.Allow(p, op, s.streamARN(stream)); err != nil {
		return Consumer{}, err
	}
	if err := checkConsumerName(op, name); err != nil {
		return Consumer{}, err
	}
	if err := checkTags(op, tags); err != nil {
		return Consumer{}, err
	}
	c := Consumer{Name: name, Created: MillisOf(s.now()), Tags: tags}
	_, err := s.putEdited(ctx, p.Call, op, stream, func(st *Stream) error {
		i, found := st.consumerAt(name)
		if found {
			return Errorf(Exists, op, "Consumer %s under stream %s already exists for account %s.", name, stream, s.Account)
		}
		if len(st.Consumers) >= maxConsumers {
			return Errorf(Limit, op, "Stream %s under account %s has %d consumers, which is the limit.", stream, s.Account, maxConsumers)
		}
		st.Consumers = slices.Insert(st.Consumers, i, c)
		return nil
	})
	return c, err
}

// Consumer reads a consumer.
//
// Errors: Denied, NotFound.
func (s *Service) Consumer(ctx context.Context, p Principal, k ConsumerKey) (Consumer, error) {
	const op = "describe consumer"
	st, err := s.ofConsumer(ctx, p, op, k)
	if err != nil {
		return Consumer{}, err
	}
	if c := st.consumer(k); c != nil {
		return *c, nil
	}
	return Consumer{}, s.noConsumer(op, k)
}

// DeregisterConsumer takes a consumer away.
//
// Errors: Denied, NotFound.
func (s *Service) DeregisterConsumer(ctx context.Context, p Principal, k ConsumerKey) error {
	return s.changeConsumer(ctx, p, "deregister consumer", k, func(st *Stream, c *Consumer) error {
		i, _ := st.consumerAt(c.Name)
		st.Consumers = slices.Delete(st.Consumers, i, i+1)
		return nil
	})
}

// changeConsumer lets edit change a consumer in its stream.
func (s *Service) changeConsumer(ctx context.Context, p Principal, op string, k ConsumerKey, edit func(*Stream, *Consumer) error) error {
	if _, err := s.ofConsumer(ctx, p, op, k); err != nil {
		return err
	}
	_, err := s.putEdited(ctx, p.Call, op, k.Stream, func(st *Stream) error {
		c := st.consumer(k)
		if c == nil {
			return s.noConsumer(op, k)
		}
		return edit(st, c)
	})
	return err
}

// ofConsumer reads the stream of a consumer. Access is to the consumer's own
// ARN, which takes a look at the stream if the second is not known; whether
// there is a consumer is told only to who may ask for one of the name.
func (s *Service) ofConsumer(ctx context.Context, p Principal, op string, k ConsumerKey) (Stream, error) {
	st, err := s.embedded(ctx, op, k.Stream)
	if err == nil && k.Second == 0 {
		if c := st.consumer(k); c != nil {
			k = c.Key(k.Stream)
		}
	}
	if denied := s.Allow(p, op, s.consumerARN(k)); denied != nil {
		return Stream{}, denied
	}
	return st, err
}

func (s *Service) noConsumer(op string, k ConsumerKey) error {
	return Errorf(NotFound, op, "Consumer %s of stream %s, account %s not found.", clip(k.Name), k.Stream, s.Account)
}
