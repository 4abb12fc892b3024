package main

import (
	"fmt"
	"strconv"
	"strings"
)

// byteSize is a size on the command line: 512MiB, 1GiB, or a plain number of bytes.
type byteSize int64

var byteUnits = []struct {
	suffix string
	size   int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"", 1}}

// UnmarshalText reads a size.
func (b *byteSize) UnmarshalText(text []byte) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.size {
			return fmt.Errorf("%q is no size: say 512MiB, 1GiB or a number of bytes", text)
		}
		*b = byteSize(n * u.size)
		return nil
	}
	return nil
}

// String is the size in the largest unit that it is a whole number of.
func (b byteSize) String() string {
	text := strconv.FormatInt(int64(b), 10)
	for _, u := range byteUnits[:len(byteUnits)-1] {
		if n := int64(b); n >= u.size && n%u.size == 0 {
			text = strconv.FormatInt(n/u.size, 10) + u.suffix
		}
	}
	return text
}
