package move

import (
	"testing"

	"tributary"
)

// TestJournal: what is being written stays noted when the rest is taken out.
func TestJournal(t *testing.T) {
	j := newJournal()
	key := tributary.DatasetItemKey("a:1", "d")
	n := note{identity: "a:1", dataset: key}
	j.begin(n)
	if items, _ := j.take(); len(items[tributary.ItemDataset]) != 1 || !j.has(tributary.ItemDataset, key) || !j.has(tributary.ItemIdentity, "a:1") {
		t.Error("what is being written was forgotten")
	}
	j.end(n)
	if items, _ := j.take(); len(items[tributary.ItemDataset]) != 1 || j.has(tributary.ItemDataset, key) {
		t.Error("what was written is not taken once")
	}
	j.restore(written{tributary.ItemIdentity: {"a:1"}}, []string{"a:2"})
	if !j.has(tributary.ItemIdentity, "a:1") || !j.has(tributary.ItemDataset, tributary.DatasetItemKey("a:2", "e")) || j.size() != 1 {
		t.Error("what was put back is not noted")
	}
}
