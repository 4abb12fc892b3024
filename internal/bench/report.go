package bench

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Report is all that a run has found.
type Report struct {
	Version    string
	Go         string
	Platform   string
	Cores      int
	FileSystem string `json:",omitzero"` // of the stores
	Began      time.Time
	Seconds    float64 // that the run took
	Seed       uint64
	Quick      bool
	Run        []string `json:",omitzero"` // parts; none: all but p9 and p10
	Server     string   `json:",omitzero"` // given; "": of our own
	ServeFlags []string `json:",omitzero"`
	Workload   Workload

	Phases    []Phase
	Ceiling   float64   `json:",omitzero"` // per second: the mean before and after
	Rest      *Rest     `json:",omitzero"`
	Visible   *Followed `json:",omitzero"` // to a reader of the stream
	Queryable *Followed `json:",omitzero"` // to a query of the warehouse
	Drained   *Drained  `json:",omitzero"`
	Database  string    `json:",omitzero"` // under the nodes: its version, and how durable it is
	Spread    *Followed `json:",omitzero"` // from a sync on one of three nodes to a reader at the first
	// Memory is what servers had resident, by what warehouse they had.
	Memory map[string]Memory

	Bars    []Bar
	Remarks []string `json:",omitzero"`
	Wrong   []string `json:",omitzero"` // results that must not be
}

// Workload is the load of the bars.
type Workload struct {
	Connections    int
	Identities     int
	Datasets       int // of each identity
	RecordsPerSync int
	KeyBytes       int
	ValueBytes     int
	Stream         bool // the pool has an embedded stream
	AsIdentities   bool // signed with identities' credentials, whose role has a policy
}

// Bar is a figure, and what it should be.
type Bar struct {
	ID      string // of the bar; with a ' in the second column
	What    string
	Figure  float64
	Unit    string `json:",omitzero"`
	AtMost  bool   // else at least
	Bar     float64
	Stretch float64 `json:",omitzero"` // 0: there is none
	Met     bool
	MetMore bool `json:",omitzero"` // the stretch, too
}

// phase finds the last phase of a name and a warehouse.
func (r *Report) phase(name, warehouse string) (*Phase, bool) {
	for i := len(r.Phases) - 1; i >= 0; i-- {
		if p := &r.Phases[i]; p.Name == name && p.Warehouse == warehouse {
			return p, true
		}
	}
	return nil, false
}

// atLeast and atMost add a bar.
func (r *Report) atLeast(b Bar) {
	b.Met = b.Figure >= b.Bar
	b.MetMore = b.Stretch != 0 && b.Figure >= b.Stretch
	r.Bars = append(r.Bars, b)
}

func (r *Report) atMost(b Bar) {
	b.AtMost = true
	b.Met = b.Figure <= b.Bar
	b.MetMore = b.Stretch != 0 && b.Figure <= b.Stretch
	r.Bars = append(r.Bars, b)
}

// judge holds the figures against the bars.
func (r *Report) judge() {
	if r.Quick {
		r.remark("the sizes were for a test of correctness: the figures mean nothing")
	}
	r.judgeCeiling()
	first := "none"
	if r.Server != "" {
		first = "as it is"
	}
	r.judgeSyncs(first)
	r.judgePulls(first)
	r.judgeDisk(first)
	r.judgeArrival()
	r.judgeSecond(first)
	r.judgeGrowth()
	r.judgeNodes()
	r.judgeIdle()
	r.remarkOthers()
}

const (
	leastCeiling = 30_000
	mostApart    = .15
)

func (r *Report) remark(format string, args ...any) {
	r.Remarks = append(r.Remarks, fmt.Sprintf(format, args...))
}

func (r *Report) judgeCeiling() {
	var all []float64
	for _, p := range r.Phases {
		if p.Name == phaseCeiling {
			all = append(all, p.PerSecond)
		}
	}
	if len(all) == 0 {
		return
	}
	sum, low, high := 0.0, math.Inf(1), 0.0
	for _, c := range all {
		sum, low, high = sum+c, min(low, c), max(high, c)
	}
	r.Ceiling = sum / float64(len(all))
	if r.Quick {
		return
	}
	if high-low > mostApart*high {
		r.remark("the ceilings differ by %.0f %%: the machine was not quiet, and the shares of the ceiling are not to be trusted", 100*(high-low)/high)
	}
	if low < leastCeiling {
		r.remark("the ceiling is below %d/s: it is itself broken, or the machine is busy or slow", leastCeiling)
	}
}

func (r *Report) judgeSyncs(column string) {
	p, ok := r.phase(phaseSyncs, column)
	if !ok {
		return
	}
	if r.Ceiling > 0 {
		r.atLeast(Bar{ID: "P1", What: "syncs per second, share of the ceiling", Figure: p.PerSecond / r.Ceiling, Bar: .35, Stretch: .40})
	}
	r.atMost(Bar{ID: "P1", What: "answer to a sync, p99", Figure: p.Millis.P99, Unit: "ms", Bar: 15})
	if cost, ok := p.serverMicros(); ok {
		r.atMost(Bar{ID: "P3", What: "server CPU per 1,000 syncs", Figure: cost / 1e3, Unit: "s", Bar: .065, Stretch: .05})
	}
}

func (r *Report) judgePulls(column string) {
	if p, ok := r.phase(phasePull, column); ok && r.Ceiling > 0 {
		r.atLeast(Bar{ID: "P2", What: "pulls of 5 changed per second, share of the ceiling", Figure: p.PerSecond / r.Ceiling, Bar: .70, Stretch: .80})
	}
	one, ok1 := r.phase(phaseOne, column)
	large, ok2 := r.phase(phaseLarge, column)
	if !ok1 || !ok2 || large.PerSecond == 0 {
		return
	}
	cost, what := one.PerSecond/large.PerSecond, "throughput"
	a, known1 := one.serverMicros()
	b, known2 := large.serverMicros()
	if known1 && known2 && a > 0 && b/a > cost {
		cost, what = b/a, "server CPU"
	}
	r.atMost(Bar{ID: "P2", What: "pull of 1 changed of 1,024 against 1 of 1, by " + what, Figure: cost, Unit: "x", Bar: 1.5, Stretch: 1.3})
}

func (r *Report) judgeDisk(column string) {
	if r.Rest != nil {
		r.atMost(Bar{ID: "P4", What: "SST bytes per record at rest, log entry included", Figure: float64(r.Rest.SSTBytes) / float64(r.Rest.Records), Unit: "B", Bar: 160, Stretch: 135})
	}
	p, ok := r.phase(phaseSyncs, column)
	if !ok || len(r.Run) > 0 && !slices.Contains(r.Run, "p4") {
		return // or too few syncs would be judged
	}
	all := *p
	if more, ok := r.phase(phaseWritten, column); ok {
		all = all.add(*more)
	}
	if all.BytesWritten == nil {
		return
	}
	r.atMost(Bar{ID: "P4", What: fmt.Sprintf("bytes written per sync, over %d syncs", all.Ops), Figure: float64(*all.BytesWritten) / float64(all.Ops), Unit: "B", Bar: 4000})
}

func (r *Report) judgeArrival() {
	if f := r.Visible; f != nil {
		r.atMost(Bar{ID: "P5", What: "answer to visible for a reader of the stream, p99", Figure: f.Millis.P99, Unit: "ms", Bar: 15, Stretch: 8})
	}
	if f := r.Queryable; f != nil {
		r.atMost(Bar{ID: "P6", What: "answer to queryable row in the warehouse, p99", Figure: f.Millis.P99, Unit: "ms", Bar: 1500})
	}
}

// judgeSecond holds the column with a warehouse against the one without.
func (r *Report) judgeSecond(column string) {
	for i := range r.Phases {
		p := &r.Phases[i]
		first, ok := r.phase(p.Name, column)
		if !ok || p.Warehouse == column {
			continue
		}
		const share = .6
		switch p.Name {
		case phaseSyncs:
			r.atLeast(Bar{ID: "P1'", What: "syncs per second with the warehouse, share of those without", Figure: p.PerSecond / first.PerSecond, Bar: share})
			a, ok1 := first.serverMicros()
			b, ok2 := p.serverMicros()
			if ok1 && ok2 && b > 0 {
				r.atLeast(Bar{ID: "P3'", What: "server CPU per sync without the warehouse, share of that with it", Figure: a / b, Bar: share})
			}
		case phasePull:
			r.atLeast(Bar{ID: "P2'", What: "pulls per second with the warehouse, share of those without", Figure: p.PerSecond / first.PerSecond, Bar: share})
		}
	}
	if r.Drained != nil {
		r.atMost(Bar{ID: "P1'", What: "until the warehouse had all syncs, after the load", Figure: r.Drained.Seconds, Unit: "s", Bar: 60})
	}
}

func (r *Report) judgeGrowth() {
	few, ok1 := r.phase(phaseSmall, "none, grown")
	many, ok2 := r.phase(phaseGrown, "none, grown")
	if ok1 && ok2 {
		a, known1 := few.serverMicros()
		b, known2 := many.serverMicros()
		if known1 && known2 && a > 0 {
			r.atMost(Bar{ID: "P9", What: "server CPU per list and sync, many records against few", Figure: b / a, Unit: "x", Bar: 1.3})
		}
	}
	const mebi = 1 << 20
	for _, column := range []string{"none", "none, grown", "duckdb"} {
		m, ok := r.Memory[column]
		if !ok || m.Peak < 0 {
			continue
		}
		most := 512.0
		if column == "duckdb" {
			most = 1024
		}
		r.atMost(Bar{ID: "P9", What: "resident memory at its peak, warehouse: " + column, Figure: float64(m.Peak) / mebi, Unit: "MiB", Bar: most})
	}
}

func (r *Report) judgeIdle() {
	for _, p := range r.Phases {
		if p.Name == phaseIdle && p.ServerCPU != nil {
			r.atMost(Bar{ID: "P11", What: "CPU of an idle server, of one core", Figure: 100 * *p.ServerCPU / p.Seconds, Unit: "%", Bar: 1})
		}
	}
}

// mostOther is the share of the machine that others may take before a phase's
// figures are doubtful.
const mostOther = .15

func (r *Report) remarkOthers() {
	switch r.FileSystem {
	case "tmpfs", "ramfs":
		r.remark("the stores were on %s, where fsync costs nothing: use --dir", r.FileSystem)
	}
	if r.Quick {
		return
	}
	disturbed, most := 0, 0.0
	for _, p := range r.Phases {
		if p.OtherCPU != nil && *p.OtherCPU > mostOther {
			disturbed++
			most = max(most, *p.OtherCPU)
		}
	}
	if disturbed > 0 {
		r.remark("in %d of %d phases something else took more than %.0f %% of the machine, up to %.0f %%: their figures are doubtful",
			disturbed, len(r.Phases), 100*mostOther, 100*most)
	}
}
