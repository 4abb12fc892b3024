package storetest

import (
	"fmt"
	"strings"

	"tributary"
)

func viewCases() []testCase {
	return []testCase{
		{"NeverWritten", viewNeverWritten},
		{"NotFound", viewNotFound},
		{"View", viewRecords},
		{"Order", datasetOrder},
		{"Deleted", datasetDeleted},
		{"OfOneIdentity", datasetsApart},
	}
}

func viewNeverWritten(k *kit) {
	key := k.world()
	k.sync(keyOf(ann, "notes2"), put("a", "1"))
	k.sync(keyOf(ann, "note"), put("a", "1"))
	v := k.view(key, "a", "b")
	k.same("head", headText(&v.Dataset), headText(&tributary.Dataset{Key: key}))
	if len(v.Records) != 0 || v.Identity.ID != ann || v.Pool.ID != poolA {
		k.Fatalf("the view is %s", viewText(&v))
	}
	if list := k.everything(key); len(list) != 0 {
		k.Fatalf("records: %s", recordsText(list))
	}
}

func viewNotFound(k *kit) {
	key := k.world()
	k.pool(poolB)
	k.sync(key, put("a", "1"))
	for _, wrong := range []tributary.DatasetKey{
		{Pool: poolA, Identity: bob, Dataset: "notes"},
		{Pool: poolB, Identity: ann, Dataset: "notes"},
		{Pool: "nowhere:0", Identity: ann, Dataset: "notes"},
		{Identity: ann, Dataset: "notes"},
	} {
		_, err := k.s.View(k.Context(), wrong, []string{"a"})
		k.kind(err, tributary.NotFound)
		if list := k.everything(wrong); len(list) != 0 {
			k.Fatalf("%s lists records: %s", wrong, recordsText(list))
		}
	}
	if list := got(k.s.Datasets(k.Context(), bob, "", 10))(k); len(list) != 0 {
		k.Fatalf("an identity that is not there lists %d datasets", len(list))
	}
}

func viewRecords(k *kit) {
	key := k.world()
	for _, value := range []string{"small", strings.Repeat(big, 20)} {
		k.sync(key, put("b", value), put("B", value), put("é", value), put("a", value), put("e", value))
		k.sync(key, remove("e"), put("_", value))
		held := k.sync(key, put("b", "new"))
		v := k.view(key, "é", "missing", "b", "e", "_", "B", "b")
		var keys []string
		for _, r := range v.Records {
			keys = append(keys, fmt.Sprintf("%s %t n%d", r.Key, r.Removed, held.SyncCount-r.SyncCount))
		}
		k.same("viewed records", strings.Join(keys, ", "), "B false n2, _ false n1, b false n0, e true n1, é false n2")
		k.same("head", headText(&v.Dataset), headText(&held.Next))
		for _, asked := range [][]string{nil, {"missing"}, {""}, {"A", "É", "E"}, {"b\x00"}} {
			if v := k.view(key, asked...); len(v.Records) != 0 {
				k.Fatalf("asked for %q the view has %s", asked, recordsText(v.Records))
			}
		}
	}
}

// hostileNames have the form of dataset names, sort differently by a
// collation, and are as long as merged ones may be.
func hostileNames() []string {
	return []string{"a", "A", "aa", "a-", "a.", "a_", "a:", "a0", "aA", "a:b", "a-b", "a.b", "a_b", "B", "b", "-", ".", "_", ":",
		"0", "a-1", "a1", "a.1", "Ab", "aB", "AB", "ab", strings.Repeat("x", 128), strings.Repeat("x", 129), strings.Repeat("x", 300)}
}

func datasetOrder(k *kit) {
	k.world()
	names := hostileNames()
	for _, name := range names {
		k.sync(keyOf(ann, tributary.DatasetName(name)), put("a", name))
	}
	pages(k, names, func(after tributary.DatasetName, limit int) []tributary.DatasetName {
		var list []tributary.DatasetName
		for _, d := range got(k.s.Datasets(k.Context(), ann, after, limit))(k) {
			list = append(list, d.Key.Dataset)
			if v := k.view(d.Key); headText(&v.Dataset) != headText(&d) {
				k.Fatalf("listed as\n%s\nviewed as\n%s", headText(&d), headText(&v.Dataset))
			}
		}
		return list
	})
	for _, name := range names {
		list := k.everything(keyOf(ann, tributary.DatasetName(name)))
		if len(list) != 1 || list[0].Value != name {
			k.Fatalf("dataset %q holds %s", name, recordsText(list))
		}
	}
}

func datasetDeleted(k *kit) {
	key := k.world()
	k.sync(keyOf(ann, "other"), put("a", "1"))
	k.sync(key, put("a", "1"), put("b", "2"))
	k.sync(key, remove("a"))
	c := k.drop(key)
	v := k.view(key, "a", "b")
	k.same("head", headText(&v.Dataset), headText(&c.Next))
	if v.Dataset.Exists || v.Dataset.Marker != 3 || v.Dataset.SyncCount != 3 || len(v.Records) != 0 {
		k.Fatalf("the deleted dataset is viewed as %s", viewText(&v))
	}
	list := got(k.s.Datasets(k.Context(), ann, "", 10))(k)
	if len(list) != 1 || list[0].Key.Dataset != "other" || len(k.everything(key)) != 0 {
		k.Fatalf("after the deletion there are %s", texts(list, headText))
	}
}

// datasetsApart: identities and datasets whose names run into one another.
func datasetsApart(k *kit) {
	k.pool(poolA)
	var keys []tributary.DatasetKey
	for _, id := range []tributary.IdentityID{"a:0", "a:00", "a:0-", "a:0a"} {
		k.identity(id, poolA)
		for _, name := range []tributary.DatasetName{"d", "dd", "0d", "-d", "ad", "0"} {
			keys = append(keys, keyOf(id, name))
		}
	}
	for n, key := range keys {
		for range n%3 + 1 {
			k.sync(key, put("a", key.String()), put("d", "1"), put("0", big))
		}
	}
	for n, key := range keys {
		if n%2 == 0 {
			k.drop(key)
		}
	}
	for n, key := range keys {
		v := k.view(key, "a")
		exists := n%2 == 1
		if v.Dataset.Exists != exists || exists && (v.Dataset.SyncCount != int64(n%3+1) || v.Records[0].Value != key.String()) {
			k.Fatalf("%s is %s", key, viewText(&v))
		}
		if n%6 == 0 {
			if list := got(k.s.Datasets(k.Context(), key.Identity, "", 10))(k); len(list) != 3 {
				k.Fatalf("%s has %d datasets, want 3", key.Identity, len(list))
			}
		}
	}
}
