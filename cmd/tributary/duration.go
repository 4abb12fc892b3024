package main

import (
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads a length of time such as 90m, 24h or 7d, which is not
// negative.
func parseDuration(text string) (time.Duration, bool) {
	if digits, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.ParseUint(digits, 10, 16)
		return time.Duration(days) * day, err == nil
	}
	length, err := time.ParseDuration(text)
	return length, err == nil && length >= 0
}
