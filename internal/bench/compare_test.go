package bench

import (
	"slices"
	"testing"
	"time"
)

func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

func TestCompare(t *testing.T) {
	wrote := []event{{0, 1, at(10)}, {1, 1, at(20)}, {0, 2, at(30)}, {0, 3, at(40)}}
	for _, c := range []struct {
		name string
		seen [][]event
		want Followed
	}{
		{"All", [][]event{{{0, 1, at(11)}, {0, 2, at(32)}, {0, 3, at(44)}}, {{1, 1, at(15)}}}, Followed{Millis: Latency{P50: 1, P90: 4, P99: 4, P999: 4, Max: 4}}},
		{"Missing", [][]event{{{0, 1, at(10)}, {0, 3, at(40)}}, nil}, Followed{Missing: 2}},
		{"Twice", [][]event{{{0, 1, at(10)}, {0, 1, at(90)}, {0, 2, at(30)}, {0, 3, at(40)}, {1, 1, at(20)}}}, Followed{Twice: 1}},
		{"Disordered", [][]event{{{0, 2, at(30)}, {0, 1, at(10)}, {0, 3, at(40)}, {1, 1, at(20)}}}, Followed{Disordered: 1}},
		{"Unknown", [][]event{{{0, 1, at(10)}, {0, 2, at(30)}, {0, 3, at(40)}, {1, 1, at(20)}, {1, 2, at(9)}}}, Followed{Unknown: 1}},
		{"Nothing", nil, Followed{Missing: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Events = len(wrote)
			if got := compare(wrote, c.seen); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestQueried(t *testing.T) {
	markers := &population{datasets: []*dataset{{index: 0, identity: "a"}, {index: 1, identity: "b"}}}
	sights := []sight{
		{at(100), map[string]int64{"a": 1}},
		{at(200), map[string]int64{"a": 3, "b": 1}},
		{at(300), map[string]int64{"a": 3, "b": 2}},
	}
	wrote := []event{{0, 1, at(90)}, {1, 1, at(95)}, {0, 2, at(110)}, {0, 3, at(120)}, {1, 2, at(290)}, {0, 4, at(295)}}
	r := &runner{report: &Report{}}
	r.queried(markers, wrote, sights)
	want := Followed{Events: 6, Missing: 1, Millis: Latency{P50: 80, P90: 105, P99: 105, P999: 105, Max: 105}}
	if got := *r.report.Queryable; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(r.report.Wrong) != 1 {
		t.Errorf("wrong is %q", r.report.Wrong)
	}
}

func TestPhaseAdd(t *testing.T) {
	half := func(f float64) *float64 { return &f }
	a := Phase{Name: "x", Ops: 100, Seconds: 1, PerSecond: 100, ClientCPU: 1, ServerCPU: half(2), OtherCPU: half(.5), Millis: Latency{P50: 1, Max: 9}}
	b := Phase{Name: "x", Ops: 300, Seconds: 3, PerSecond: 100, ClientCPU: 2, ServerCPU: half(4), OtherCPU: half(.1), Millis: Latency{P50: 2, Max: 3}}
	got := Phase{}.add(a).add(b)
	if got.Ops != 400 || got.PerSecond != 100 || got.ClientCPU != 3 || *got.ServerCPU != 6 || *got.OtherCPU != .2 || got.Millis != (Latency{P50: 2, Max: 9}) {
		t.Errorf("got %+v", got)
	}
	if us, ok := got.serverMicros(); !ok || us != 15_000 {
		t.Errorf("server: %v us", us)
	}
	b.ServerCPU = nil
	if sum := a.add(b); sum.ServerCPU != nil {
		t.Error("an unknown CPU time was added up")
	}
}

func TestJudge(t *testing.T) {
	cpu := func(f float64) *float64 { return &f }
	p99 := func(ms float64) Latency { return Latency{P99: ms} }
	r := &Report{
		Phases: []Phase{
			{Name: phaseCeiling, PerSecond: 40_000},
			{Name: phaseSyncs, Warehouse: "none", Ops: 1000, PerSecond: 15_000, ServerCPU: cpu(.06), Millis: p99(12)},
			{Name: phaseOne, Warehouse: "none", Ops: 1000, PerSecond: 12_000, ServerCPU: cpu(.02)},
			{Name: phaseLarge, Warehouse: "none", Ops: 1000, PerSecond: 10_000, ServerCPU: cpu(.03)},
			{Name: phaseSyncs, Warehouse: "duckdb", Ops: 1000, PerSecond: 7_500, ServerCPU: cpu(.12)},
			{Name: phaseIdle, Warehouse: "duckdb", Seconds: 20, ServerCPU: cpu(.3)},
			{Name: phaseCeiling, PerSecond: 50_000, OtherCPU: cpu(.5)},
		},
		Rest: &Rest{Records: 1000, SSTBytes: 150_000}, Visible: &Followed{Millis: p99(20)},
		Memory: map[string]Memory{"none": {Peak: 600 << 20}},
	}
	r.judge()
	want := []struct {
		id          string
		figure      float64
		met, metAll bool
	}{
		{"P1", 15. / 45, false, false},
		{"P1", 12, true, false},
		{"P3", .06, true, false},
		{"P2", 1.5, true, false},
		{"P4", 150, true, false},
		{"P5", 20, false, false},
		{"P1'", .5, false, false},
		{"P3'", .5, false, false},
		{"P9", 600, false, false},
		{"P11", 1.5, false, false},
	}
	if len(r.Bars) != len(want) {
		t.Fatalf("got %d bars: %+v", len(r.Bars), r.Bars)
	}
	for i, w := range want {
		b := r.Bars[i]
		if diff := b.Figure - w.figure; b.ID != w.id || diff > 1e-9 || diff < -1e-9 || b.Met != w.met || b.MetMore != w.metAll {
			t.Errorf("got %+v, want %+v", b, w)
		}
	}
	// The ceilings lie a fifth apart, and half of the machine was another's.
	if len(r.Remarks) != 2 {
		t.Errorf("remarks: %q", r.Remarks)
	}
}

func TestMeters(t *testing.T) {
	if kind := fileSystem("/proc/self"); kind != "proc" && kind != "" {
		t.Errorf("/proc is on %q", kind)
	}
	if m := machineCPU(); m == 0 {
		t.Error("the machine has used no time")
	}
	if n := procNumber("/proc/self/status", "no such name"); n != -1 {
		t.Errorf("a line that is not there says %d", n)
	}
	if u := usageNow(0); u.server != -1 || u.written != -1 {
		t.Errorf("the usage of no process is %+v", u)
	}
}

func TestKeys(t *testing.T) {
	var keys []string
	for _, n := range []int{0, 7, 1023, 99_999} {
		keys = append(keys, string(appendKey(nil, n)))
	}
	if want := []string{"record-00000", "record-00007", "record-01023", "record-99999"}; !slices.Equal(keys, want) || len(keys[0]) != keyBytes {
		t.Errorf("got %q", keys)
	}
}
