package awswire

import (
	"fmt"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Timestamp is a point in time in milliseconds since 1970. On the wire it is a
// JSON number of seconds with a fraction, or milliseconds in CBOR.
type Timestamp int64

// maxSeconds bounds timestamps from the wire: the year 9999.
const maxSeconds = 253402300799

// AppendJSON writes the number: 1412974057.151, 1412974057 without a fraction.
func (t Timestamp) AppendJSON(dst []byte) []byte {
	if t < 0 {
		dst, t = append(dst, '-'), -t
	}
	dst = strconv.AppendInt(dst, int64(t)/1000, 10)
	if ms := int64(t) % 1000; ms != 0 {
		dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return dst
}

// MarshalJSONTo writes the number.
func (t Timestamp) MarshalJSONTo(e *jsontext.Encoder) error {
	return e.WriteValue(t.AppendJSON(nil))
}

// UnmarshalJSONFrom reads a number: whole, with a fraction or an exponent. null
// is 0.
func (t *Timestamp) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() == 'n' {
		*t = 0
		return nil
	}
	parsed, err := ParseTimestamp(string(v))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// ParseTimestamp reads a JSON number of seconds.
func ParseTimestamp(s string) (Timestamp, error) {
	f, err := strconv.ParseFloat(s, 64)
	t, ok := timestamp(f * 1000)
	if err != nil || !ok {
		return 0, fmt.Errorf("%.64q is not a time in seconds since 1970", s)
	}
	return t, nil
}

// timestamp reads a number of milliseconds from the wire.
func timestamp(ms float64) (Timestamp, bool) {
	if !(math.Abs(ms) <= maxSeconds*1000) { // NaN is not
		return 0, false
	}
	return Timestamp(math.Round(ms)), true
}
