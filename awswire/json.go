package awswire

import "github.com/go-json-experiment/json/jsontext"

// AppendString appends a JSON string. Bytes that are no UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // its error only tells of replaced bytes
	return dst
}

// Nullable is a text that the wire shows as null when it is empty: clients take
// an empty token for a token.
func Nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
