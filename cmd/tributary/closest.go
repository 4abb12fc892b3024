package main

import "fmt"

// didYouMean is the end of a sentence about an unknown name: the known one that
// is most alike, if one is. format is for that name.
func didYouMean(name string, known []string, format string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean "+format+"?", best)
}

// distance is how many bytes have to be put in, left out or changed to make one
// text of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of the table of all beginnings
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
