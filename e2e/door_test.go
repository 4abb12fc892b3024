package e2e

import (
	"fmt"
	"testing"
)

// TestNoLimitForSyncLoops: what a client sends at once that synchronizes all
// datasets an identity may have, in the most rounds that any needs, is within
// the limits that a server has by default.
func TestNoLimitForSyncLoops(t *testing.T) {
	t.Parallel()
	const datasets, rounds = 20, 5
	dev := startServer(t, "--warehouse", "none").developer()
	g := dev.newGuest(t, dev.newPool(t, "loops"))
	for round := range int64(rounds) {
		for n := range datasets {
			g.sync(t, g.dataset(fmt.Sprintf("data-%d", n)), replace("k", "v", round))
		}
	}
}
