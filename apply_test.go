package tributary_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"tributary"
)

const someTime = startOfTime + 5000

var (
	someWriter = tributary.Writer{ID: 77, By: "someone", Now: someTime}
	someKey    = tributary.DatasetKey{Pool: poolA, Identity: ann, Dataset: "d"}
)

// someView is a dataset at count 9 with a live record a@4, a tombstone b@6 and
// a record c@9 whose value is the empty string.
func someView() *tributary.View {
	return &tributary.View{
		Pool:     tributary.Pool{ID: poolA},
		Identity: tributary.Identity{ID: ann, Pool: poolA, Revision: 3, Datasets: 1},
		Dataset: tributary.Dataset{
			Key: someKey, Exists: true, Version: tributary.Version{SyncCount: 9, Change: 55},
			Created: startOfTime, LastModified: startOfTime + 9, LastModifiedBy: "before",
			Records: 2, Tombstones: 1, TombstoneBytes: 1, Bytes: 5,
		},
		Records: []tributary.Record{
			{Key: "a", Value: "old", SyncCount: 4, LastModified: startOfTime + 4},
			{Key: "b", Removed: true, SyncCount: 6, LastModified: startOfTime + 6},
			{Key: "c", SyncCount: 9, LastModified: startOfTime + 9},
		},
	}
}

func TestApplyConflicts(t *testing.T) {
	set := func(key string, count int64) tributary.Patch {
		return tributary.Patch{Key: key, Value: "new", SyncCount: count}
	}
	remove := func(key string, count int64) tributary.Patch {
		return tributary.Patch{Key: key, Remove: true, SyncCount: count}
	}
	tests := []struct {
		name    string
		patches []tributary.Patch
		text    string // "": applied
	}{
		{"LiveAtItsCount", []tributary.Patch{set("a", 4)}, ""},
		{"LiveAboveItsCount", []tributary.Patch{set("a", 5)}, ""},
		{"LiveAtTheDatasetsCount", []tributary.Patch{set("a", 9)}, ""},
		{"LiveBelowItsCount", []tributary.Patch{set("a", 3)}, "Current SyncCount for: a is: 4 not: 3"},
		{"LiveAtZero", []tributary.Patch{set("a", 0)}, "Current SyncCount for: a is: 4 not: 0"},
		{"LiveAboveTheDatasetsCount", []tributary.Patch{set("a", 10)}, "Current SyncCount for: a is: 4 not: 10"},
		{"SameValueAtAStaleCount", []tributary.Patch{{Key: "a", Value: "old", SyncCount: 3}}, "Current SyncCount for: a is: 4 not: 3"},
		{"RemoveBelowItsCount", []tributary.Patch{remove("a", 3)}, "Current SyncCount for: a is: 4 not: 3"},
		{"RemoveAtItsCount", []tributary.Patch{remove("a", 4)}, ""},
		{"TombstoneBelowItsCount", []tributary.Patch{set("b", 5)}, "Current SyncCount for: b is: 6 not: 5"},
		{"TombstoneAtItsCount", []tributary.Patch{set("b", 6)}, ""},
		{"TombstoneAboveTheDatasetsCount", []tributary.Patch{set("b", 10)}, "Current SyncCount for: b is: 6 not: 10"},
		{"RemoveOfATombstoneBelowItsCount", []tributary.Patch{remove("b", 5)}, "Current SyncCount for: b is: 6 not: 5"},
		{"UnknownKeyAtZero", []tributary.Patch{set("x", 0)}, ""},
		{"UnknownKeyAtTheDatasetsCount", []tributary.Patch{set("x", 9)}, ""},
		{"UnknownKeyAboveTheDatasetsCount", []tributary.Patch{set("x", 1000)}, ""},
		{"RemoveOfAnUnknownKey", []tributary.Patch{remove("x", 1000)}, ""},
		{"OneOfThreeConflicts", []tributary.Patch{set("x", 0), set("b", 1), set("c", 9)}, "Current SyncCount for: b is: 6 not: 1"},
		{"TheFirstConflictIsNamed", []tributary.Patch{set("c", 1), set("a", 1)}, "Current SyncCount for: c is: 9 not: 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := someView()
			c, err := v.Apply(tt.patches, someWriter)
			if tt.text == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			wantKind(t, err, tributary.Stale)
			want(t, "the message", tributary.Message(err), tt.text)
			if c != nil {
				t.Fatalf("a conflict gave the change %v, want none: one conflict rejects all", c)
			}
			want(t, "the view after a conflict", fmt.Sprint(*v), fmt.Sprint(*someView()))
		})
	}
}

func TestApplyStampsWhatItTouches(t *testing.T) {
	v := someView()
	c, err := v.Apply([]tributary.Patch{
		{Key: "c", Value: "v", SyncCount: 9, DeviceLastModified: 123},
		{Key: "x", Value: "w", SyncCount: 5},
		{Key: "a", Remove: true, Value: "ignored", SyncCount: 4},
	}, someWriter)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, "in the order of the patches", c.Records, "c=v@10", "x=w@10", "a-@10")
	for _, r := range c.Records {
		want(t, "LastModified of "+r.Key, r.LastModified, someTime)
		want(t, "LastModifiedBy of "+r.Key, r.LastModifiedBy, "someone")
	}
	want(t, "DeviceLastModified as given", c.Records[0].DeviceLastModified, 123)
	want(t, "DeviceLastModified by default", c.Records[1].DeviceLastModified, someTime)
	want(t, "the change's count", c.SyncCount, 10)
	want(t, "the change's id", c.ID, 77)
	want(t, "the change's author", c.By, "someone")
	want(t, "the change's time", c.At, someTime)
	want(t, "the change's dataset", c.Key, someKey)
	want(t, "the operation", c.Op, tributary.Replace)
	want(t, "the condition", c.Condition, tributary.Condition{
		Base: tributary.Version{SyncCount: 9, Change: 55}, Identity: 3, Stream: tributary.DefaultStream})
	// a (1+3 bytes) goes, c grows by v, x comes with 2.
	want(t, "the growth of the pool", c.PoolBytes, -4+1+2)
	want(t, "the head", c.Next, tributary.Dataset{
		Key: someKey, Exists: true, Version: tributary.Version{SyncCount: 10, Change: 77},
		Created: startOfTime, LastModified: someTime, LastModifiedBy: "someone",
		Records: 2, Tombstones: 2, TombstoneBytes: 2, Bytes: 4,
	})
}

func TestApplyGoesToTheLogThatThePoolRoutesTo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stream tributary.StreamConfig
		want   tributary.StreamID
	}{
		{"None", tributary.StreamConfig{}, tributary.DefaultStream},
		{"Enabled", tributary.StreamConfig{Name: "s", ID: 42, Enabled: true}, 42},
		{"Disabled", tributary.StreamConfig{Name: "s", ID: 42}, tributary.DefaultStream},
		{"EnabledWithoutAStream", tributary.StreamConfig{Enabled: true}, tributary.DefaultStream},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := someView()
			v.Pool.Stream = tt.stream
			c, err := v.Apply([]tributary.Patch{{Key: "x", Value: "y"}}, someWriter)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "the change's log", c.Condition.Stream, tt.want)
			want(t, "the removal's log", v.Delete(someWriter).Condition.Stream, tt.want)
		})
	}
}

func TestApplyMakesADataset(t *testing.T) {
	t.Run("NeverWritten", func(t *testing.T) {
		v := &tributary.View{Identity: tributary.Identity{ID: ann}, Dataset: tributary.Dataset{Key: someKey}}
		c, err := v.Apply([]tributary.Patch{{Key: "a", Value: "1"}}, someWriter)
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, "the first write", c.Records, "a=1@1")
		want(t, "Created", c.Next.Created, someTime)
		want(t, "Exists", c.Next.Exists, true)
	})
	t.Run("AfterADeletion", func(t *testing.T) {
		v := someView()
		v.Dataset = v.Delete(someWriter).Next
		v.Records = nil
		c, err := v.Apply([]tributary.Patch{{Key: "a", Value: "1", SyncCount: 4}}, tributary.Writer{ID: 78, Now: someTime + 1})
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, "counting goes on above the marker", c.Records, "a=1@11")
		want(t, "Created", c.Next.Created, someTime+1)
		want(t, "Marker", c.Next.Marker, 10)
		want(t, "PoolBytes", c.PoolBytes, 2)
	})
}

func TestEmptyValueIsNotATombstone(t *testing.T) {
	v := someView()
	c, err := v.Apply([]tributary.Patch{{Key: "a", Value: "", SyncCount: 4}}, someWriter)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, "a replaced by nothing", c.Records, "a=@10")
	want(t, "live records", c.Next.Records, 2)
	want(t, "tombstones", c.Next.Tombstones, 1)
	want(t, "bytes", c.Next.Bytes, 2)
}

func TestRemoveOfAnUnknownKeyGivesATombstone(t *testing.T) {
	v := someView()
	c, err := v.Apply([]tributary.Patch{{Key: "x", Remove: true}}, someWriter)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, "the tombstone", c.Records, "x-@10")
	want(t, "tombstones", c.Next.Tombstones, 2)
	want(t, "live records", c.Next.Records, 2)
	want(t, "bytes", c.Next.Bytes, 5)
	want(t, "growth", c.PoolBytes, 0)
}

func TestDelete(t *testing.T) {
	v := someView()
	v.Dataset.Floor = 2
	c := v.Delete(someWriter)
	want(t, "the operation", c.Op, tributary.Remove)
	want(t, "the count", c.SyncCount, 10)
	want(t, "records", len(c.Records), 0)
	want(t, "growth", c.PoolBytes, -5)
	want(t, "the base", c.Condition.Base, tributary.Version{SyncCount: 9, Change: 55})
	want(t, "the head", c.Next, tributary.Dataset{
		Key: someKey, Version: tributary.Version{SyncCount: 10, Change: 77}, Marker: 10,
		Created: startOfTime, LastModified: someTime, LastModifiedBy: "someone",
	})
	want(t, "records left", len(c.Updated(v.Records)), 0)
	if len(v.Records) != 3 || !v.Dataset.Exists {
		t.Fatal("Delete changed its view")
	}
}

func TestCheckPatches(t *testing.T) {
	long := func(n int) string { return strings.Repeat("k", n) }
	tests := []struct {
		name   string
		limits tributary.Limits
		patch  tributary.Patch
		kind   tributary.Kind // Internal: allowed
	}{
		{"KeyOf1024Bytes", tributary.Limits{}, tributary.Patch{Key: long(1024)}, 0},
		{"KeyOf1025Bytes", tributary.Limits{}, tributary.Patch{Key: long(1025)}, tributary.Invalid},
		{"KeyOf1024RunesOfFourBytes", tributary.Limits{}, tributary.Patch{Key: strings.Repeat("😀", 1024)}, 0},
		{"KeyOf1025RunesOfFourBytes", tributary.Limits{}, tributary.Patch{Key: strings.Repeat("😀", 1025)}, tributary.Invalid},
		{"KeyOf1025RunesInAll", tributary.Limits{}, tributary.Patch{Key: strings.Repeat("😀", 1024) + "k"}, tributary.Invalid},
		{"NoKey", tributary.Limits{}, tributary.Patch{}, tributary.Invalid},
		{"CountBelowZero", tributary.Limits{}, tributary.Patch{Key: "k", SyncCount: -1}, tributary.Invalid},
		{"HighestCount", tributary.Limits{}, tributary.Patch{Key: "k", SyncCount: 1<<63 - 1}, 0},
		{"ValueOf1MiB", tributary.Limits{}, tributary.Patch{Key: "k", Value: long(1 << 20)}, 0},
		{"ValueAbove1MiB", tributary.Limits{}, tributary.Patch{Key: "k", Value: long(1<<20 + 1)}, tributary.Limit},
		{"ValueAtThePoolsLimit", tributary.Limits{ValueBytes: 3}, tributary.Patch{Key: "k", Value: "abc"}, 0},
		{"ValueAboveThePoolsLimit", tributary.Limits{ValueBytes: 3}, tributary.Patch{Key: "k", Value: "abcd"}, tributary.Limit},
		{"ValueInBytesNotRunes", tributary.Limits{ValueBytes: 3}, tributary.Patch{Key: "k", Value: "éé"}, tributary.Limit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tributary.CheckPatches([]tributary.Patch{{Key: "before"}, tt.patch}, tt.limits)
			if tt.kind == 0 {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			wantKind(t, err, tt.kind)
			if text := tributary.Message(err); text == "" || len(text) > 400 {
				t.Errorf("the message is %q", text)
			}
		})
	}
}

func TestCheckPatchesNumber(t *testing.T) {
	if err := tributary.CheckPatches(nil, tributary.Limits{}); err != nil {
		t.Fatalf("no patches: %v", err)
	}
	for _, tt := range []struct{ limit, most int }{{0, 1024}, {10, 1024}, {2000, 2000}} {
		l := tributary.Limits{Records: int64(tt.limit)}
		patches := make([]tributary.Patch, tt.most+1)
		for i := range patches {
			patches[i].Key = fmt.Sprint(i)
		}
		if err := tributary.CheckPatches(patches[:tt.most], l); err != nil {
			t.Errorf("%d patches under a limit of %d records: %v", tt.most, tt.limit, err)
		}
		wantKind(t, tributary.CheckPatches(patches, l), tributary.Limit)
	}
}

func TestCheckPatchesDuplicates(t *testing.T) {
	for _, n := range []int{2, 3, 15, 16, 17, 18, 100, 1024} {
		patches := make([]tributary.Patch, n)
		for i := range patches {
			patches[i].Key = fmt.Sprintf("key %d", i)
		}
		if err := tributary.CheckPatches(patches, tributary.Limits{}); err != nil {
			t.Fatalf("%d patches, all different: %v", n, err)
		}
		for _, pair := range [][2]int{{0, n - 1}, {0, 1}, {n - 2, n - 1}} {
			again := slices.Clone(patches)
			again[pair[1]].Key = again[pair[0]].Key
			err := tributary.CheckPatches(again, tributary.Limits{})
			wantKind(t, err, tributary.Invalid)
			if name := again[pair[0]].Key; !strings.Contains(tributary.Message(err), name) {
				t.Errorf("%d patches: the message %q does not name %q", n, tributary.Message(err), name)
			}
		}
	}
}

// limitCase is a dataset before a write, the write, and whether a limit
// refuses it.
type limitCase struct {
	name     string
	limits   tributary.Limits
	had      tributary.Dataset
	datasets int64 // of the identity
	records  []tributary.Record
	patch    tributary.Patch
	refused  bool
}

func limitCases() []limitCase {
	old := []tributary.Record{{Key: "old", Value: "123", SyncCount: 1}}
	full := tributary.Dataset{Exists: true, Version: tributary.Version{SyncCount: 1}, Records: 3, Bytes: 12}
	bytes, records := tributary.Limits{DatasetBytes: 12}, tributary.Limits{Records: 3}
	lowBytes, lowRecords := tributary.Limits{DatasetBytes: 5}, tributary.Limits{Records: 1}
	grow := tributary.Patch{Key: "old", Value: "1234", SyncCount: 1}
	same := tributary.Patch{Key: "old", Value: "321", SyncCount: 1}
	shrink := tributary.Patch{Key: "old", Value: "1", SyncCount: 1}
	gone := tributary.Patch{Key: "old", Remove: true, SyncCount: 1}
	more := tributary.Patch{Key: "new"}
	missing := tributary.Dataset{}
	return []limitCase{
		{"BytesAtTheLimit", bytes, full, 1, old, same, false},
		{"BytesAboveTheLimit", bytes, full, 1, old, grow, true},
		{"BytesInAKeyAlone", bytes, full, 1, old, more, true},
		{"BytesShrinkingTowardsALoweredLimit", lowBytes, full, 1, old, shrink, false},
		{"BytesStayingAboveALoweredLimit", lowBytes, full, 1, old, same, false},
		{"BytesGrowingAboveALoweredLimit", lowBytes, full, 1, old, grow, true},
		{"RecordsAtTheLimit", records, full, 1, old, grow, false},
		{"RecordsAboveTheLimit", records, full, 1, nil, more, true},
		{"RecordsShrinkingTowardsALoweredLimit", lowRecords, full, 1, old, gone, false},
		{"RecordsStayingAboveALoweredLimit", lowRecords, full, 1, old, grow, false},
		{"RecordsGrowingAboveALoweredLimit", lowRecords, full, 1, nil, more, true},
		{"TombstonesDoNotCount", records, full, 1, nil, tributary.Patch{Key: "new", Remove: true}, false},
		{"DatasetsBelowTheLimit", tributary.Limits{}, missing, 19, nil, more, false},
		{"DatasetsAtTheLimit", tributary.Limits{}, missing, 20, nil, more, true},
		{"DatasetsAtThePoolsLimit", tributary.Limits{Datasets: 2}, missing, 2, nil, more, true},
		{"DatasetsAboveALoweredLimit", tributary.Limits{Datasets: 2}, full, 7, old, grow, false},
	}
}

func TestApplyLimits(t *testing.T) {
	for _, tt := range limitCases() {
		t.Run(tt.name, func(t *testing.T) {
			v := &tributary.View{
				Pool: tributary.Pool{Limits: tt.limits}, Identity: tributary.Identity{ID: ann, Datasets: tt.datasets},
				Dataset: tt.had, Records: tt.records,
			}
			v.Dataset.Key = someKey
			_, err := v.Apply([]tributary.Patch{tt.patch}, someWriter)
			if !tt.refused && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if tt.refused {
				wantKind(t, err, tributary.Limit)
			}
		})
	}
}

func TestEffectiveLimits(t *testing.T) {
	want(t, "the default", tributary.Limits{}.Effective(), tributary.Limits{ValueBytes: 1 << 20, DatasetBytes: 1 << 20, Records: 1024, Datasets: 20})
	set := tributary.Limits{ValueBytes: 1, DatasetBytes: 2, Records: 3, Datasets: 4}
	want(t, "what is set", set.Effective(), set)
	want(t, "tombstones by default", tributary.Limits{}.Tombstones(), 16*1024)
	want(t, "tombstones of a small dataset", set.Tombstones(), 48)
	want(t, "tombstones without bound", tributary.Limits{Records: math.MaxInt64}.Tombstones(), math.MaxInt64)
}
