package awswire

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"
)

// format is how the body of a request and that of its answer are written.
type format uint8

// The formats. CBOR is what AWS's SDKs for Java speak to Kinesis.
const (
	formatJSON format = iota
	formatCBOR
)

const cborType = "application/x-amz-cbor-1.1"

// formatOf tells which format a request chose. Types that nobody knows are
// whatever the client likes to call its JSON.
func (s *Service[P]) formatOf(r *http.Request) format {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if s.Protocol == JSON11 && strings.EqualFold(strings.TrimSpace(mediaType), cborType) {
		return formatCBOR
	}
	return formatJSON
}

// contentType is what bodies in the format are called in a protocol.
func (f format) contentType(p Protocol) []string {
	if f == formatCBOR {
		return []string{cborType}
	}
	return contentTypes[p]
}

// marshal writes an operation's output.
func (f format) marshal(out any) ([]byte, error) {
	a, own := out.(Appender)
	switch {
	case f == formatCBOR && own && !encodesCBOR(out):
		return nil, jsonOnly()
	case f == formatCBOR:
		return cborEncoding.Marshal(out)
	case own:
		return a.AppendJSON(make([]byte, 0, 1024)), nil
	}
	return json.Marshal(out)
}

// unmarshal reads an operation's input, which has members of other names only
// if it is not strict.
func (f format) unmarshal(body []byte, in any, strict bool) error {
	d, own := in.(Decoder)
	switch {
	case f == formatCBOR && own && !decodesCBOR(in):
		return jsonOnly()
	case f == formatCBOR && strict:
		return cborStrict.Unmarshal(body, in)
	case f == formatCBOR:
		return cborDecoding.Unmarshal(body, in)
	case own:
		return d.DecodeBody(body)
	}
	return json.Unmarshal(body, in, json.RejectUnknownMembers(strict))
}

func encodesCBOR(v any) bool { _, ok := v.(cbor.Marshaler); return ok }
func decodesCBOR(v any) bool { _, ok := v.(cbor.Unmarshaler); return ok }

// jsonOnly is the fault of an operation whose input or output is written by
// hand, in JSON alone.
func jsonOnly() *Fault {
	return &Fault{"UnsupportedMediaTypeException", http.StatusUnsupportedMediaType,
		"The content type " + cborType + " is not supported by this operation: send application/x-amz-json-1.1 (SDKs for Java: set AWS_CBOR_DISABLE=1)"}
}

// mostMembers bounds each list and map of a CBOR body: an item may be a single
// byte there and take hundreds once it is decoded. AWS's longest list, that of
// PutRecords, has 500.
const mostMembers = 10_000

// CBOR follows the rules of JSON here: the names of `json` tags and no others,
// no name twice, a nil list is an empty one.
var (
	cborDecoding = decoding(cbor.ExtraDecErrorNone)
	cborStrict   = decoding(cbor.ExtraDecErrorUnknownField)
	cborEncoding = must(cbor.EncOptions{
		NilContainers:   cbor.NilContainerAsEmpty,
		BinaryMarshaler: cbor.BinaryMarshalerNone,
		TextMarshaler:   cbor.TextMarshalerTextString,
	}.EncMode())
)

func decoding(refuse cbor.ExtraDecErrorCond) cbor.DecMode {
	return must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxArrayElements:  mostMembers,
		MaxMapPairs:       mostMembers,
		MaxNestedLevels:   32,
		BignumTag:         cbor.BignumTagForbidden, // a large one would be put in decimal digits, for its error, in quadratic time
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
		TextUnmarshaler:   cbor.TextUnmarshalerTextString,
		ExtraReturnErrors: refuse,
	}.DecMode())
}

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err) // the options above contradict each other
	}
	return mode
}

// cborEpoch is the tag of a time since 1970.
const cborEpoch = 1

// MarshalCBOR writes a time: whole milliseconds under tag 1, where RFC 8949
// has seconds, because that is what AWS's SDKs for Java read and write. They
// fail on a fraction.
func (t Timestamp) MarshalCBOR() ([]byte, error) {
	return cborEncoding.Marshal(cbor.Tag{Number: cborEpoch, Content: int64(t)})
}

// UnmarshalCBOR reads a number of milliseconds, whole or not, under tag 1 or
// under none. null is 0.
func (t *Timestamp) UnmarshalCBOR(b []byte) error {
	const tag = 6 // the major type
	if len(b) > 0 && b[0]>>5 == tag {
		var tagged cbor.RawTag
		if err := cborDecoding.Unmarshal(b, &tagged); err != nil {
			return err
		}
		if tagged.Number != cborEpoch {
			return fmt.Errorf("tag %d is not that of a time, which is %d", tagged.Number, cborEpoch)
		}
		b = tagged.Content
	}
	var ms float64
	if err := cborDecoding.Unmarshal(b, &ms); err != nil {
		return errors.New("a time is a number of milliseconds since 1970")
	}
	at, ok := timestamp(ms)
	if !ok {
		return fmt.Errorf("%g is not a time in milliseconds since 1970", ms)
	}
	*t = at
	return nil
}
