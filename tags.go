package tributary

import (
	"context"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxTags     = 50 // of a stream or a consumer
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags tells why there cannot be such tags.
func checkTags(op string, tags map[string]string) error {
	if len(tags) > maxTags {
		return Errorf(Invalid, op, "%d tags are too many: there can be %d.", len(tags), maxTags)
	}
	for key, value := range tags {
		if n := utf8.RuneCountInString(key); n < 1 || n > maxTagKey {
			return Errorf(Invalid, op, "The key of a tag has %d characters, it must have 1 to %d.", n, maxTagKey)
		}
		if n := utf8.RuneCountInString(value); n > maxTagValue {
			return Errorf(Invalid, op, "The value of tag %s has %d characters, it may have %d.", key, n, maxTagValue)
		}
		if !isTag(key) || !isTag(value) {
			return Errorf(Invalid, op, "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - %% @ :.")
		}
		if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
			return Errorf(Invalid, op, "The tag %s begins with aws:, which is reserved.", key)
		}
	}
	return nil
}

func isTag(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_./=+-%@:", r) {
			return false
		}
	}
	return true
}

// addTags gives tags with others over them.
func addTags(op string, have, more map[string]string) (map[string]string, error) {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	if err := checkTags(op, more); err != nil {
		return nil, err
	}
	return out, checkTags(op, out)
}

// dropTags gives tags without those of some keys. A key that is not there is
// none to be removed.
func dropTags(have map[string]string, keys []string) map[string]string {
	out := maps.Clone(have)
	for _, key := range keys {
		delete(out, key)
	}
	return out
}

// TagStream adds tags to a stream, over those of the same keys.
//
// Errors: Denied, NotFound; Invalid, also beyond 50 tags.
func (s *Service) TagStream(ctx context.Context, p Principal, name StreamName, tags map[string]string) error {
	const op = "tag stream"
	_, err := s.changeStream(ctx, p, op, name, func(st *Stream) (err error) {
		st.Tags, err = addTags(op, st.Tags, tags)
		return err
	})
	return err
}

// UntagStream removes the tags of some keys from a stream.
//
// Errors: Denied, NotFound.
func (s *Service) UntagStream(ctx context.Context, p Principal, name StreamName, keys []string) error {
	_, err := s.changeStream(ctx, p, "untag stream", name, func(st *Stream) error {
		st.Tags = dropTags(st.Tags, keys)
		return nil
	})
	return err
}

// TagConsumer is TagStream for a consumer.
func (s *Service) TagConsumer(ctx context.Context, p Principal, k ConsumerKey, tags map[string]string) error {
	const op = "tag consumer"
	return s.changeConsumer(ctx, p, op, k, func(_ *Stream, c *Consumer) (err error) {
		c.Tags, err = addTags(op, c.Tags, tags)
		return err
	})
}

// UntagConsumer is UntagStream for a consumer.
func (s *Service) UntagConsumer(ctx context.Context, p Principal, k ConsumerKey, keys []string) error {
	return s.changeConsumer(ctx, p, "untag consumer", k, func(_ *Stream, c *Consumer) error {
		c.Tags = dropTags(c.Tags, keys)
		return nil
	})
}
