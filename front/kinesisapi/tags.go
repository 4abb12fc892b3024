package kinesisapi

import (
	"context"
	"maps"
	"slices"
	"strings"

	"tributary"
)

const (
	maxTagPage = 50
	mostKeys   = 50 // of tags to be removed at once
)

type tag struct{ Key, Value string }

// tagList gives tags in the order of their keys' bytes.
func tagList(tags map[string]string) []tag {
	out := make([]tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tag{key, tags[key]})
	}
	return out
}

func checkTags(op string, tags map[string]string) error {
	if len(tags) == 0 {
		return invalid(op, "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	return nil
}

func checkTagKeys(op string, keys []string) error {
	switch {
	case len(keys) == 0:
		return invalid(op, "1 validation error detected: Value at 'tagKeys' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(keys) > mostKeys:
		return invalid(op, "1 validation error detected: Value at 'tagKeys' failed to satisfy constraint: Member must have length less than or equal to %d", mostKeys)
	}
	return nil
}

type addTagsInput struct {
	streamRef
	Tags map[string]string
}

func (s *server) addTags(ctx context.Context, p tributary.Principal, in *addTagsInput) (*empty, error) {
	const op = "AddTagsToStream"
	if err := checkTags(op, in.Tags); err != nil {
		return nil, err
	}
	name, err := s.name(op, in.streamRef)
	if err != nil {
		return nil, err
	}
	return &empty{}, s.Service.TagStream(ctx, p, name, in.Tags)
}

type removeTagsInput struct {
	streamRef
	TagKeys []string
}

func (s *server) removeTags(ctx context.Context, p tributary.Principal, in *removeTagsInput) (*empty, error) {
	const op = "RemoveTagsFromStream"
	if err := checkTagKeys(op, in.TagKeys); err != nil {
		return nil, err
	}
	name, err := s.name(op, in.streamRef)
	if err != nil {
		return nil, err
	}
	return &empty{}, s.Service.UntagStream(ctx, p, name, in.TagKeys)
}

type listTagsInput struct {
	streamRef
	ExclusiveStartTagKey string
	Limit                *int
}

type listTagsOutput struct {
	Tags        []tag
	HasMoreTags bool
}

func (s *server) listTags(ctx context.Context, p tributary.Principal, in *listTagsInput) (*listTagsOutput, error) {
	const op = "ListTagsForStream"
	most, err := bounded(op, "limit", in.Limit, maxTagPage, maxTagPage)
	if err != nil {
		return nil, err
	}
	st, err := s.stream(ctx, p, op, in.streamRef)
	if err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(tagList(st.Tags), func(t tag) bool { return t.Key <= in.ExclusiveStartTagKey })
	return &listTagsOutput{Tags: list[:min(most, len(list))], HasMoreTags: len(list) > most}, nil
}

// resource is what has tags: a stream, or a consumer of one.
type resource struct {
	stream   tributary.StreamName // "" for a consumer
	consumer tributary.ConsumerKey
}

func (s *server) resource(op, arn string) (r resource, err error) {
	switch {
	case arn == "":
		return r, required(op, "resourceARN")
	case strings.Contains(arn, "/consumer/"):
		r.consumer, err = s.consumerKey(op, consumerRef{ConsumerARN: arn})
	default:
		r.stream, err = s.name(op, streamRef{StreamARN: arn})
	}
	return r, err
}

type tagResourceInput struct {
	ResourceARN string
	Tags        map[string]string
}

func (s *server) tagResource(ctx context.Context, p tributary.Principal, in *tagResourceInput) (*empty, error) {
	const op = "TagResource"
	if err := checkTags(op, in.Tags); err != nil {
		return nil, err
	}
	r, err := s.resource(op, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if r.stream == "" {
		return &empty{}, s.Service.TagConsumer(ctx, p, r.consumer, in.Tags)
	}
	return &empty{}, s.Service.TagStream(ctx, p, r.stream, in.Tags)
}

type untagResourceInput struct {
	ResourceARN string
	TagKeys     []string
}

func (s *server) untagResource(ctx context.Context, p tributary.Principal, in *untagResourceInput) (*empty, error) {
	const op = "UntagResource"
	if err := checkTagKeys(op, in.TagKeys); err != nil {
		return nil, err
	}
	r, err := s.resource(op, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if r.stream == "" {
		return &empty{}, s.Service.UntagConsumer(ctx, p, r.consumer, in.TagKeys)
	}
	return &empty{}, s.Service.UntagStream(ctx, p, r.stream, in.TagKeys)
}

type listResourceTagsInput struct{ ResourceARN string }

type listResourceTagsOutput struct{ Tags []tag }

func (s *server) listResourceTags(ctx context.Context, p tributary.Principal, in *listResourceTagsInput) (*listResourceTagsOutput, error) {
	r, err := s.resource("ListTagsForResource", in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if r.stream == "" {
		c, err := s.Service.Consumer(ctx, p, r.consumer)
		return &listResourceTagsOutput{tagList(c.Tags)}, err
	}
	st, err := s.Service.Stream(ctx, p, r.stream)
	return &listResourceTagsOutput{tagList(st.Tags)}, err
}
