package streamrec

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"tributary"
)

// DefaultInlineLimit is the most bytes of JSON that a record carries itself:
// what a Kinesis record could hold when Cognito Streams began.
const DefaultInlineLimit = 50 << 10

// Append appends the record of a change or a snapshot. With a link it is a
// S3Url record, whose records the reader gets from there; without one it
// carries them itself.
//
// The output is JSON whatever the strings hold: bytes that are no UTF-8 become
// U+FFFD.
func Append(dst []byte, c *tributary.Change, link string) []byte {
	dst = appendQuoted(append(dst, `{"identityPoolId":`...), string(c.Key.Pool))
	dst = appendQuoted(append(dst, `,"identityId":`...), string(c.Key.Identity))
	dst = appendQuoted(append(dst, `,"dataSetName":`...), string(c.Key.Dataset))
	dst = appendQuoted(append(dst, `,"datasetName":`...), string(c.Key.Dataset))
	dst = append(dst, `,"operation":"`...)
	dst = append(dst, c.Op.String()...)
	dst = append(dst, `","kinesisSyncRecords":`...)
	if link == "" {
		dst = AppendRecords(dst, c.Records)
	} else {
		dst = append(dst, "null"...)
	}
	dst = strconv.AppendInt(append(dst, `,"lastModifiedDate":`...), int64(c.At), 10)
	dst = append(dst, `,"kinesisSyncRecordsURL":`...)
	if link == "" {
		dst = append(dst, `null,"payloadType":"Inline","syncCount":`...)
	} else {
		dst = append(appendQuoted(dst, link), `,"payloadType":"S3Url","syncCount":`...)
	}
	return append(strconv.AppendInt(dst, c.SyncCount, 10), '}')
}

// AppendRecords appends the bare array that a link leads to.
func AppendRecords(dst []byte, records []tributary.Record) []byte {
	dst = append(dst, '[')
	for i := range records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRecord(dst, &records[i])
	}
	return append(dst, ']')
}

func appendRecord(dst []byte, r *tributary.Record) []byte {
	dst = appendQuoted(append(dst, `{"key":`...), r.Key)
	op := tributary.Replace
	if r.Removed {
		op = tributary.Remove
		dst = append(dst, `,"value":null`...)
	} else {
		dst = appendQuoted(append(dst, `,"value":`...), r.Value)
	}
	dst = strconv.AppendInt(append(dst, `,"syncCount":`...), r.SyncCount, 10)
	dst = strconv.AppendInt(append(dst, `,"lastModifiedDate":`...), int64(r.LastModified), 10)
	dst = strconv.AppendInt(append(dst, `,"deviceLastModifiedDate":`...), int64(r.DeviceLastModified), 10)
	dst = append(dst, `,"op":"`...)
	dst = append(dst, op.String()...)
	return append(dst, `"}`...)
}

// AppendInline appends the record as Inline if it has at most limit bytes.
// Otherwise dst comes back as it was, and false.
func AppendInline(dst []byte, c *tributary.Change, limit int) ([]byte, bool) {
	least := 0
	for i := range c.Records {
		least += len(c.Records[i].Key) + len(c.Records[i].Value)
	}
	if least > limit {
		return dst, false // known without encoding what may be a megabyte
	}
	out := Append(dst, c, "")
	if len(out)-len(dst) > limit {
		return out[:len(dst)], false
	}
	return out, true
}

// appendQuoted appends a JSON string. Most keys and values are plain ASCII and
// are copied as they are; the rest is left to the library.
func appendQuoted(dst []byte, s string) []byte {
	if plain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	dst, _ = jsontext.AppendQuote(dst, s) // its error only tells of replaced bytes
	return dst
}

// plain tells whether a string is its own JSON: ASCII from the space on,
// without quote and backslash. It looks at eight bytes at a time.
func plain(s string) bool {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56 // one load, the compiler sees
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// A byte below n borrows into its high bit when n is taken off it. A
		// borrow can spill upwards only from a byte that is refused anyway.
		if (w|(w-ones*0x20)|(quote-ones)|(slash-ones))&high != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x80 || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}
