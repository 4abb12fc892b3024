package bench

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"tributary/awswire"
)

// Config says what to measure, and how. Executable, ReadKey and Region are
// required; Key too if Server is set.
type Config struct {
	// Executable runs the servers: serve with its flags, and bench
	// --null-server.
	Executable string
	Env        []string // of the servers; nil: this process's
	Serve      []string // more flags of serve
	// ReadKey reads the developer key that a new server has left in a file.
	ReadKey func(path string) (awswire.Credentials, error)
	// Compact flushes and compacts the store in a folder that no server uses,
	// and gives the bytes of its SSTs; nil: the size at rest is not measured.
	Compact func(ctx context.Context, dir string) (int64, error)

	// Server is the address of a server that runs already; "": one is started
	// for each column, on a fresh folder below Dir, and removed afterwards.
	Server    string
	ServerPID int // for its CPU time; 0: not known
	Key       awswire.Credentials
	Region    string
	Dir       string // "": the system's for temporary files

	Run                               []string // names of Parts; none: all but p9 and p10
	Quick                             bool     // sizes at which only correctness counts
	Seconds                           int      // of P1; 0: the plan's
	Connections, Identities, Datasets int      // 0: the workload of the bars
	Poll                              time.Duration
	Warehouse                         string // of the second column; none: there is no second column
	NoStream                          bool   // the pool has no stream of its own
	AsIdentities                      bool   // syncs are signed by identities, whose role has a policy
	Seed                              uint64 // of ids and values; 0: a random one
	Profile                           string // file for a CPU profile of the server during P1
	// Database is the URL of a PostgreSQL for P10, in which schemas are made
	// and dropped again; "": one is started below Dir.
	Database string

	Version  string
	Progress io.Writer // nil: nobody is told
}

// Parts are what can be measured, by the names of the bars. p9 is growth,
// which takes minutes; p10 is one node and three over PostgreSQL, which must
// be there; warehouse is the second column of P1 to P3; ceiling is
// the machine alone.
func Parts() []string {
	return []string{"ceiling", "p1", "p2", "p3", "p4", "p5", "p6", "p9", "p10", "p11", "warehouse"}
}

// plan is the sizes of a run.
type plan struct {
	connections, identities, datasets int

	ceiling, warmup, syncs, pulls, slice, visible, queryable, idle, grown time.Duration
	slices                                                                int // of each size of dataset, in turn
	sized                                                                 int // datasets of each size
	written                                                               int64
	rest, growFrom, growTo                                                int // identities
	markers                                                               int
	markerPause, poll, pollQuery                                          time.Duration
	patience, settle                                                      time.Duration // at most, for what must arrive; for compactions
}

func fullPlan() plan {
	return plan{
		connections: 64, identities: 256, datasets: 40,
		ceiling: 5 * time.Second, warmup: 4 * time.Second, syncs: 25 * time.Second, pulls: 6 * time.Second,
		slice: 2 * time.Second, slices: 3, sized: 64,
		visible: 15 * time.Second, queryable: 20 * time.Second, idle: 20 * time.Second,
		written: 300_000,
		rest:    2_500, growFrom: 500, growTo: 50_000, grown: 10 * time.Second,
		markers: 8, markerPause: 30 * time.Millisecond, poll: time.Millisecond, pollQuery: 50 * time.Millisecond,
		patience: 3 * time.Minute, settle: 5 * time.Minute,
	}
}

// quickPlan keeps the shape of everything and makes it small.
func quickPlan() plan {
	p := fullPlan()
	p.identities, p.datasets = 16, 10
	p.ceiling, p.warmup, p.syncs, p.pulls, p.slice = 400*time.Millisecond, 200*time.Millisecond, time.Second, 400*time.Millisecond, 200*time.Millisecond
	p.slices, p.sized = 1, 4
	p.visible, p.queryable, p.idle, p.grown = time.Second, 1500*time.Millisecond, time.Second, 300*time.Millisecond
	p.written, p.rest, p.growFrom, p.growTo = 2_000, 25, 20, 80
	p.patience, p.settle = time.Minute, 5*time.Second
	return p
}

func (c *Config) plan() plan {
	p := fullPlan()
	if c.Quick {
		p = quickPlan()
	}
	if c.Seconds > 0 {
		p.syncs = time.Duration(c.Seconds) * time.Second
	}
	set := func(at *int, n int) {
		if n > 0 {
			*at = n
		}
	}
	set(&p.connections, c.Connections)
	set(&p.identities, c.Identities)
	set(&p.datasets, c.Datasets)
	if c.Poll > 0 {
		p.poll = c.Poll
	}
	return p
}

// runner is a run under way.
type runner struct {
	cfg     Config
	plan    plan
	report  *Report
	temp    string
	started int // servers
	random  *rand.Rand
}

// Run measures what c asks for. The report holds what was measured before an
// error, too.
func Run(ctx context.Context, c Config) (*Report, error) {
	r, err := newRunner(c)
	if err != nil {
		return nil, err
	}
	err = r.run(ctx)
	if removeErr := os.RemoveAll(r.temp); err == nil {
		err = removeErr
	}
	r.report.Seconds = now().Sub(r.report.Began).Seconds()
	r.report.judge()
	return r.report, err
}

func newRunner(c Config) (*runner, error) {
	for _, name := range c.Run {
		if !slices.Contains(Parts(), name) {
			return nil, fmt.Errorf("there is no %q to run, there are %s", name, strings.Join(Parts(), ", "))
		}
	}
	if c.Server == "" && c.Warehouse == "none" {
		for _, name := range []string{"p6", "warehouse"} {
			if slices.Contains(c.Run, name) {
				return nil, fmt.Errorf("%s cannot be measured without a warehouse", name)
			}
		}
	}
	p := c.plan()
	if p.identities*p.datasets < 2*p.connections {
		// No two work on one dataset at once, and all would wait for another.
		return nil, fmt.Errorf("%d connections need at least %d datasets, not %d", p.connections, 2*p.connections, p.identities*p.datasets)
	}
	if c.Server != "" && slices.Contains(c.Run, "p10") {
		return nil, errors.New("p10 measures servers of the benchmark's own only")
	}
	if c.Profile != "" && c.Server != "" {
		return nil, errors.New("a profile is taken of a server of the benchmark's own only")
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if c.Seed == 0 {
		var b [8]byte
		_, _ = cryptorand.Read(b[:]) // never fails
		c.Seed = binary.LittleEndian.Uint64(b[:]) >> 1
	}
	temp, err := os.MkdirTemp(c.Dir, "tributary-bench-")
	if err != nil {
		return nil, err
	}
	r := &runner{cfg: c, plan: p, temp: temp, random: rand.New(randomSource(c.Seed, -1))}
	if absolute, err := filepath.Abs(temp); err == nil {
		temp = absolute
	}
	r.report = &Report{
		Version: c.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), FileSystem: fileSystem(temp),
		Began: now(), Seed: c.Seed, Quick: c.Quick, Run: c.Run, Server: c.Server, ServeFlags: c.Serve,
		Workload: Workload{Connections: p.connections, Identities: p.identities, Datasets: p.datasets, RecordsPerSync: patchesPerSync, KeyBytes: keyBytes, ValueBytes: base64Bytes, Stream: !c.NoStream, AsIdentities: c.AsIdentities},
		Memory:   map[string]Memory{},
	}
	return r, nil
}

// wants tells whether one of some parts is to be run.
func (r *runner) wants(names ...string) bool {
	for _, name := range names {
		if slices.Contains(r.cfg.Run, name) || len(r.cfg.Run) == 0 && name != "p10" && (name != "p9" || r.cfg.Quick) {
			return true
		}
	}
	return false
}

func (r *runner) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.cfg.Progress, "tributary: "+format+"\n", args...)
}

func (r *runner) wrong(format string, args ...any) {
	r.report.Wrong = append(r.report.Wrong, fmt.Sprintf(format, args...))
}

func (r *runner) remark(format string, args ...any) {
	r.report.Remarks = append(r.report.Remarks, fmt.Sprintf(format, args...))
}

// run takes the steps that are wanted, in the order that keeps the two
// ceilings around everything.
func (r *runner) run(ctx context.Context) error {
	ours, second := r.cfg.Server == "", r.second()
	for _, step := range []struct {
		wanted bool
		do     func(context.Context) error
	}{
		{r.wants("ceiling", "p1", "p2", "warehouse"), r.ceiling},
		// What the warehouse costs is a share of the first column.
		{r.wants("p1", "p2", "p3", "p4", "p5", "warehouse") || r.wants("p11") && !second || !ours, r.firstColumn},
		{ours && r.wants("p4") && r.cfg.Compact != nil, r.atRest},
		{second && r.wants("p6", "p11", "warehouse"), r.secondColumn},
		{ours && r.wants("p9"), r.growth},
		{ours && r.wants("p10"), r.manyNodes},
		{r.wants("ceiling", "p1", "p2", "warehouse"), r.ceiling},
	} {
		if !step.wanted {
			continue
		}
		if err := step.do(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// second tells whether there is a second column.
func (r *runner) second() bool { return r.cfg.Server == "" && r.cfg.Warehouse != "none" }

// with runs a part on a server, and stops the server.
func (r *runner) with(t *target, part func() error) error {
	err := part()
	if err == nil && t.pid != 0 {
		r.report.Memory[t.warehouse] = memoryOf(t.pid)
	}
	return errors.Join(err, t.stop())
}
