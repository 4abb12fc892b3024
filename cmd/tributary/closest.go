package main

import (
	"fmt"

	"tributary"
)

// didYouMean is the end of a sentence about an unknown name: the known one that
// is most alike, if one is. format is for that name.
func didYouMean(name string, known []string, format string) string {
	best := tributary.Nearest(name, known)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean "+format+"?", best)
}
