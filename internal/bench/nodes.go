package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"

	"tributary/internal/postgres"
)

const (
	phaseByHand     = "PostgreSQL by hand, pgbench"
	phaseOneNode    = "syncs, 1 node on PostgreSQL"
	phaseThreeNodes = "syncs, 3 nodes on PostgreSQL"
	phaseSpread     = "syncs at half load, 3 nodes on PostgreSQL, stream being read"
	columnNodes     = "none, PostgreSQL"
	storeVariable   = "TRIBUTARY_STORE" // a flag would show the password to all users
)

// database is the PostgreSQL below the nodes, and two places in it: one for
// them, one for PostgreSQL by hand.
type database struct {
	url         string
	server      *postgres.Server // nil: not ours
	pid         int              // 0: not known
	schemas     []string
	nodes, hand string // URLs
}

// openDatabase uses the database that was given, or starts one.
func (r *runner) openDatabase(ctx context.Context) (db *database, err error) {
	db = &database{url: r.cfg.Database}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close(context.WithoutCancel(ctx)))
		}
	}()
	if db.url == "" {
		r.say("starting PostgreSQL")
		if db.server, err = postgres.Start(r.cfg.Dir); err != nil {
			return nil, err
		}
		if db.pid, err = db.server.PID(); err != nil {
			return nil, err
		}
		db.url = db.server.URL()
	}
	for name, url := range map[string]*string{"nodes": &db.nodes, "hand": &db.hand} {
		schema := fmt.Sprintf("tributary_bench_%s_%x", name, r.random.Uint32())
		if *url, err = postgres.CreateSchema(ctx, db.url, schema); err != nil {
			return nil, err
		}
		db.schemas = append(db.schemas, schema)
	}
	return db, r.describe(ctx, db)
}

// describe puts into the report what the database is, and how durable.
func (r *runner) describe(ctx context.Context, db *database) error {
	const query = `SELECT 'PostgreSQL ' || current_setting('server_version');
SELECT name || ' ' || current_setting(name) FROM unnest(ARRAY['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size']) AS x (name)`
	text, err := postgres.SQL(ctx, db.url, query)
	r.report.Database = strings.ReplaceAll(text, "\n", ", ")
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if strings.Contains(text, name+" off") {
			r.remark("%s is off in the database: it is not durable, and its figures are not to be compared", name)
		}
	}
	return err
}

// close leaves the database as it was.
func (db *database) close(ctx context.Context) error {
	if db.server != nil {
		return db.server.Close()
	}
	var err error
	for _, schema := range db.schemas {
		err = errors.Join(err, postgres.DropSchema(ctx, db.url, schema))
	}
	return err
}

// meter adds what the database has used.
func (db *database) meter(u *usage) {
	switch {
	case db == nil:
	case db.pid == 0:
		u.machine = -1 // the database cannot be told from others
	default:
		u.database = familyCPU(db.pid)
	}
}

// manyNodes is P10. Its measurements lie around each other, so that a machine
// that grows slower meets all of them alike.
func (r *runner) manyNodes(ctx context.Context) (err error) {
	db, err := r.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(context.WithoutCancel(ctx))) }()
	hand, err := r.prepareByHand(ctx, db)
	if err != nil {
		return err
	}
	t, err := r.startNode(ctx, db, nil)
	if err != nil {
		return err
	}
	return r.with(t, func() error {
		p, err := r.prepare(ctx, t)
		if err != nil {
			return err
		}
		for i, step := range []func() error{
			func() error { return r.byHand(ctx, hand) },
			func() error { return r.oneNode(ctx, t, p, r.cfg.Profile) },
			func() error { return r.threeNodes(ctx, t, p) },
			func() error { return r.oneNode(ctx, t, p, "") },
			func() error { return r.byHand(ctx, hand) },
			func() error { return r.checkByHand(ctx, hand) },
			func() error { return r.checkNodes(ctx, t, p) },
		} {
			if err := step(); err != nil {
				return fmt.Errorf("p10, step %d: %w", i+1, err)
			}
		}
		return nil
	})
}

// startNode starts a server over the database, beside another or as the first.
func (r *runner) startNode(ctx context.Context, db *database, beside *target) (*target, error) {
	t := &target{warehouse: columnNodes, database: db}
	flags := []string{"--warehouse", "none"}
	if beside != nil { // all need the key file of the first
		flags = append(flags, "--master-key-file", filepath.Join(beside.dir, "master.key"))
		t.key = beside.key
	}
	return r.startWith(ctx, t, []string{storeVariable + "=" + db.nodes}, flags...)
}

// together runs a part with more nodes beside the first.
func (r *runner) together(ctx context.Context, t *target, more int, part func() error) (err error) {
	defer func() {
		for _, n := range t.others {
			err = errors.Join(err, n.stop())
		}
		t.others = nil
	}()
	for range more {
		n, err := r.startNode(ctx, t.database, t)
		if err != nil {
			return err
		}
		t.others = append(t.others, n)
	}
	return part()
}

const moreNodes = 2 // beside the first

func (r *runner) oneNode(ctx context.Context, t *target, p *population, profile string) error {
	if err := r.warm(ctx, t, p); err != nil {
		return err
	}
	_, err := r.profiled(ctx, t, p, phaseOneNode, profile)
	return err
}

func (r *runner) threeNodes(ctx context.Context, t *target, p *population) error {
	return r.together(ctx, t, moreNodes, func() error {
		if err := r.warm(ctx, t, p); err != nil {
			return err
		}
		file := r.cfg.Profile
		if file != "" {
			file += ".3"
		}
		_, err := r.profiled(ctx, t, p, phaseThreeNodes, file)
		return err
	})
}

// checkNodes demands that every node shows the last sync of every dataset,
// whichever node it went to, and that a reader at one of them gets each change
// of all once, in order.
func (r *runner) checkNodes(ctx context.Context, t *target, p *population) error {
	return r.together(ctx, t, moreNodes, func() error {
		if !r.cfg.NoStream {
			three, _ := r.report.phase(phaseThreeNodes, t.warehouse)
			f, err := r.follow(ctx, t, p, phaseSpread, three.PerSecond/2)
			if r.report.Spread = f; err != nil {
				return err
			}
		}
		r.say("reading all datasets from each node")
		for i, n := range t.nodes() {
			if err := r.checkNode(ctx, i+1, n, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkNode reads all datasets from a node.
func (r *runner) checkNode(ctx context.Context, number int, n *target, p *population) error {
	alone := &target{endpoint: n.endpoint, pid: n.pid, database: n.database, warehouse: n.warehouse, seed: n.seed}
	var next, wrong atomic.Int64
	_, err := r.drive(ctx, alone, "read from each node", load{ops: int64(len(p.datasets))}, func(w *worker) error {
		d := p.datasets[next.Add(1)-1]
		var differs *mismatch
		err := w.pull(d, 0, patchesPerSync)
		if !errors.As(err, &differs) {
			return err
		}
		wrong.Add(1)
		return nil
	}, nil)
	if k := wrong.Load(); k > 0 {
		r.wrong("node %d shows %d of %d datasets otherwise than they were confirmed", number, k, len(p.datasets))
	}
	return err
}

// mean is the mean speed of all phases of a name, and these.
func (r *Report) mean(name string) (mean float64, of []Phase) {
	for _, p := range r.Phases {
		if p.Name == name {
			mean += p.PerSecond
			of = append(of, p)
		}
	}
	return mean / float64(max(1, len(of))), of
}

func (r *Report) judgeNodes() {
	hand, _ := r.mean(phaseByHand)
	one, _ := r.mean(phaseOneNode)
	three, _ := r.mean(phaseThreeNodes)
	if hand > 0 && one > 0 {
		r.atLeast(Bar{ID: "P10", What: "syncs per second of 1 node over PostgreSQL, share of PostgreSQL by hand", Figure: one / hand, Bar: .7})
	}
	if one > 0 && three > 0 {
		r.atLeast(Bar{ID: "P10", What: "syncs per second of 3 nodes over PostgreSQL, share of 1 node", Figure: three / one, Bar: .85})
	}
}

// writeNodes says what PostgreSQL and its users took for a sync.
func (r *Report) writeNodes(w io.Writer) {
	if r.Database == "" {
		return
	}
	_, _ = fmt.Fprintf(w, "\n%s\nby hand: %d clients of pgbench, a call of one function for each sync: upserts, conditional update of the head, outbox row\n", r.Database, r.Workload.Connections)
	for _, name := range []string{phaseByHand, phaseOneNode, phaseThreeNodes} {
		mean, of := r.mean(name)
		if len(of) == 0 {
			continue
		}
		var each []string
		var all Phase
		for _, p := range of {
			each = append(each, fmt.Sprintf("%.0f", p.PerSecond))
			all = all.add(p)
		}
		_, _ = fmt.Fprintf(w, "%s: %.0f/s, the mean of %s", name, mean, strings.Join(each, ", "))
		if all.DatabaseCPU != nil {
			_, _ = fmt.Fprintf(w, "; CPU of PostgreSQL per sync %.0f us", *all.DatabaseCPU*1e6/float64(all.Ops))
		}
		_, _ = fmt.Fprintln(w)
	}
}
