package bench

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The phases' names, by which bars find their figures.
const (
	phaseCeiling   = "ceiling"
	phaseSyncs     = "syncs"
	phaseWritten   = "syncs up to the number for bytes written"
	phasePull      = "pull, 5 changed of 5"
	phaseNothing   = "pull, nothing new"
	phaseOne       = "pull, 1 changed of 1"
	phaseLarge     = "pull, 1 changed of 1,024"
	phaseVisible   = "syncs at half load, stream being read"
	phaseQueryable = "syncs at half load, warehouse being queried"
	phaseIdle      = "idle"
	phaseSmall     = "list and sync, few records stored"
	phaseGrown     = "list and sync, many records stored"
)

const (
	keyBytes    = 12
	base64Bytes = 80
)

// drive puts a load on a server with fresh connections, and meters it. each,
// if not nil, sees every worker afterwards.
func (r *runner) drive(ctx context.Context, t *target, name string, l load, op func(*worker) error, each func(*worker)) (Phase, error) {
	ws, closeAll, err := workers(ctx, t.endpoints(), syncService, r.plan.connections, t.seed+uint64(t.made.Add(1)))
	if err != nil {
		return Phase{}, err
	}
	defer closeAll()
	before := t.usage()
	err = l.drive(ctx, ws, op)
	after := t.usage()
	if each != nil {
		for _, w := range ws {
			each(w)
		}
	}
	took := samples(ws)
	p := phase(name, before, after, int64(len(took)), took)
	p.Warehouse = t.warehouse
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return p, err
}

// measure is drive, for the report.
func (r *runner) measure(ctx context.Context, t *target, name string, l load, op func(*worker) error, each func(*worker)) (Phase, error) {
	r.say("%s", name)
	p, err := r.drive(ctx, t, name, l, op, each)
	return p, r.record(p, err)
}

func (r *runner) record(p Phase, err error) error {
	if err == nil {
		r.report.Phases = append(r.report.Phases, p)
	}
	return err
}

// ceiling measures a server that does nothing, with the client of all other
// phases, unsigned.
func (r *runner) ceiling(ctx context.Context) error {
	child, err := startChild(r.cfg.Executable, r.cfg.Env, nil, "bench", "--null-server")
	if err != nil {
		return err
	}
	e, err := newEndpoint(child.url, r.cfg.Region)
	t := &target{endpoint: e, pid: child.pid(), child: child, seed: r.report.Seed}
	if err == nil {
		p := r.imagined()
		_, err = r.measure(ctx, t, phaseCeiling, load{time: r.plan.ceiling}, func(w *worker) error {
			d := p.lock(w.draw)
			defer d.unlock()
			w.writeSync(d, 0, patchesPerSync)
			answer, err := w.do(call{method: "POST", target: d.path, body: w.body})
			if err != nil {
				return err
			}
			return w.checkRecords(answer, d.count, patchesPerSync)
		}, nil)
	}
	if stopErr := child.stop(); err == nil {
		err = stopErr
	}
	return err
}

// imagined is a population of datasets that no server has, with tokens as long
// as real ones.
func (r *runner) imagined() *population {
	p := &population{}
	var token [48]byte
	source := randomSource(r.report.Seed, -2)
	for range r.plan.identities {
		id := r.cfg.Region + ":" + randomUUID(r.random)
		for _, name := range datasetNames(r.plan.datasets) {
			_, _ = source.Read(token[:]) // never fails
			p.datasets = append(p.datasets, &dataset{
				path:  "/identitypools/" + id + "/identities/" + id + "/datasets/" + name,
				token: base64.StdEncoding.EncodeToString(token[:]), count: 1,
			})
		}
	}
	return p
}

// prepare makes the pool and the datasets, and warms everything up.
func (r *runner) prepare(ctx context.Context, t *target) (*population, error) {
	r.say("%d identities with %d datasets each (warehouse: %s)", r.plan.identities, r.plan.datasets, t.warehouse)
	if err := t.createPool(ctx, r.random, r.plan.datasets, !r.cfg.NoStream); err != nil {
		return nil, err
	}
	p, err := r.populate(ctx, t, recipe{identities: r.plan.identities, names: datasetNames(r.plan.datasets), fill: func(w *worker, d *dataset) error {
		if err := w.rewrite(d); err != nil {
			return err
		}
		return w.rewrite(d) // what is pulled later has changed since an earlier sync
	}})
	if err == nil {
		err = r.warm(ctx, t, p)
	}
	return p, err
}

func (r *runner) warm(ctx context.Context, t *target, p *population) error {
	_, err := r.drive(ctx, t, "warm-up", load{time: r.plan.warmup}, rewriteAny(p), nil)
	return err
}

// rewriteAny is the sync of the bars, on a dataset drawn at random.
func rewriteAny(p *population) func(*worker) error {
	return func(w *worker) error {
		d := p.lock(w.draw)
		defer d.unlock()
		return w.rewrite(d)
	}
}

// firstColumn measures without a warehouse, or the server that was given.
func (r *runner) firstColumn(ctx context.Context) error {
	var t *target
	var err error
	if r.cfg.Server != "" {
		t, err = r.givenServer()
	} else {
		t, err = r.startServer(ctx, "none")
	}
	if err != nil {
		return err
	}
	return r.with(t, func() error {
		p, err := r.prepare(ctx, t)
		if err == nil {
			err = r.syncsAndPulls(ctx, t, p)
		}
		if err == nil && r.wants("p5") && !r.cfg.NoStream {
			err = r.atHalfLoad(ctx, t, p, r.visible)
		}
		if err == nil && !r.second() {
			err = r.warehouseParts(ctx, t, p)
		}
		return err
	})
}

func (r *runner) syncsAndPulls(ctx context.Context, t *target, p *population) error {
	if r.wants("p1", "p3", "p4", "warehouse") {
		if err := r.syncs(ctx, t, p); err != nil {
			return err
		}
	}
	if r.wants("p2", "warehouse") {
		if err := r.pulls(ctx, t, p); err != nil {
			return err
		}
	}
	if r.wants("p2") {
		return r.pullsBySize(ctx, t)
	}
	return nil
}

// syncs is P1 and P3, and goes on for P4's bytes written.
func (r *runner) syncs(ctx context.Context, t *target, p *population) error {
	main, err := r.profiled(ctx, t, p, phaseSyncs, r.cfg.Profile)
	if err != nil || !r.wants("p4") || t.pid == 0 {
		return err
	}
	if more := r.plan.written - main.Ops; more > 0 {
		_, err = r.measure(ctx, t, phaseWritten, load{ops: more}, rewriteAny(p), nil)
	}
	return err
}

// profiled measures full load, and takes a CPU profile of the server to a
// file; "": none.
func (r *runner) profiled(ctx context.Context, t *target, p *population, name, file string) (Phase, error) {
	var profiling sync.WaitGroup
	var profileErr error
	if file != "" && t.debug != "" {
		profiling.Go(func() { profileErr = r.profile(ctx, t, file) })
	}
	main, err := r.measure(ctx, t, name, load{time: r.plan.syncs}, rewriteAny(p), nil)
	profiling.Wait()
	return main, errors.Join(err, profileErr)
}

// profile fetches a CPU profile of the server, of the middle of full load.
func (r *runner) profile(ctx context.Context, t *target, file string) error {
	const edge = 2 * time.Second
	length := max(time.Second, r.plan.syncs-2*edge)
	if r.plan.syncs > 2*edge && !sleepUntil(ctx, now().Add(edge)) {
		return nil
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", t.debug, int(length.Seconds())), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: answered %s", answer.Status)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	const mode = 0o600
	return os.WriteFile(file, text, mode)
}

// pulls is P2 on the datasets of the bars.
func (r *runner) pulls(ctx context.Context, t *target, p *population) error {
	pick := func(w *worker) *dataset { return p.datasets[w.draw.IntN(len(p.datasets))] }
	_, err := r.measure(ctx, t, phasePull, load{time: r.plan.pulls}, func(w *worker) error {
		d := pick(w)
		return w.pull(d, d.count-1, patchesPerSync)
	}, nil)
	if err != nil {
		return err
	}
	_, err = r.measure(ctx, t, phaseNothing, load{time: r.plan.pulls / 2}, func(w *worker) error {
		d := pick(w)
		return w.pull(d, d.count, 0)
	}, nil)
	return err
}

// pullsBySize compares pulls of one changed record from small and large
// datasets, in turn, so that a host that grows slower meets both.
func (r *runner) pullsBySize(ctx context.Context, t *target) error {
	one, err := r.populate(ctx, t, recipe{identities: r.plan.sized, names: []string{"one"}, fill: fillSized(1)})
	if err != nil {
		return err
	}
	large, err := r.populate(ctx, t, recipe{identities: r.plan.sized, names: []string{"large"}, fill: fillSized(leastRecords)})
	if err != nil {
		return err
	}
	r.say("%s; %s", phaseOne, phaseLarge)
	var small, big Phase
	for range r.plan.slices {
		for _, turn := range []struct {
			name string
			of   *population
			sum  *Phase
		}{{phaseOne, one, &small}, {phaseLarge, large, &big}} {
			p, err := r.drive(ctx, t, turn.name, load{time: r.plan.slice}, func(w *worker) error {
				d := turn.of.datasets[w.draw.IntN(len(turn.of.datasets))]
				return w.pull(d, d.count-1, 1)
			}, nil)
			if err != nil {
				return err
			}
			*turn.sum = turn.sum.add(p)
		}
	}
	r.report.Phases = append(r.report.Phases, small, big)
	return nil
}

// fillSized writes n records in several syncs, then one of them again.
func fillSized(n int) func(*worker, *dataset) error {
	const most = 256
	return func(w *worker, d *dataset) error {
		for from := 0; from < n; from += most {
			if err := w.sync(d, from, min(most, n-from)); err != nil {
				return err
			}
		}
		return w.sync(d, n/2, 1)
	}
}

// atHalfLoad runs a part at half the rate of syncs that the server has shown,
// in this run or now.
func (r *runner) atHalfLoad(ctx context.Context, t *target, p *population, part func(context.Context, *target, *population, float64) error) error {
	full, ok := r.report.phase(phaseSyncs, t.warehouse)
	if !ok {
		r.say("how many syncs are full load")
		short, err := r.drive(ctx, t, phaseSyncs, load{time: max(r.plan.warmup, r.plan.syncs/5)}, rewriteAny(p), nil)
		if err != nil {
			return err
		}
		full = &short
	}
	return part(ctx, t, p, full.PerSecond/2)
}

// Rest is a store at rest, flushed and compacted.
type Rest struct{ Records, SSTBytes int64 }

// atRest is P4's size: a store in which every record was written once.
func (r *runner) atRest(ctx context.Context) error {
	t, err := r.startServer(ctx, "none")
	if err != nil {
		return err
	}
	t.warehouse = "none, at rest"
	records := int64(r.plan.rest) * int64(r.plan.datasets) * patchesPerSync
	r.say("%d records, written once, for their size", records)
	err = r.with(t, func() error {
		if err := t.createPool(ctx, r.random, r.plan.datasets, !r.cfg.NoStream); err != nil {
			return err
		}
		_, err := r.populate(ctx, t, recipe{identities: r.plan.rest, names: datasetNames(r.plan.datasets), forget: true})
		return err
	})
	if err != nil {
		return err
	}
	size, err := r.cfg.Compact(ctx, filepath.Join(t.dir, "store"))
	if err != nil {
		return fmt.Errorf("compact the store: %w", err)
	}
	r.report.Rest = &Rest{Records: records, SSTBytes: size}
	return nil
}

// idle is P11: what a server does when nobody asks for anything.
func (r *runner) idle(ctx context.Context, t *target) error {
	if t.pid == 0 {
		r.remark("the server's process is not known, so its CPU time was not measured")
		return nil
	}
	r.settle(ctx, t)
	r.say("idle for %v", r.plan.idle)
	before := usageNow(t.pid)
	if !sleepUntil(ctx, now().Add(r.plan.idle)) {
		return context.Cause(ctx)
	}
	p := phase(phaseIdle, before, usageNow(t.pid), 0, nil)
	p.Warehouse = t.warehouse
	return r.record(p, nil)
}

// settle waits until a server has nothing left to compact.
func (r *runner) settle(ctx context.Context, t *target) {
	const look, quiet = 2 * time.Second, 256 << 10
	until := now().Add(r.plan.settle)
	last := usageNow(t.pid)
	for now().Before(until) && sleepUntil(ctx, now().Add(min(look, r.plan.settle/2))) {
		u := usageNow(t.pid)
		if u.written-last.written < quiet {
			return
		}
		last = u
	}
}

// growth is the first half of P9: the same syncs on a store of few and of many
// records.
func (r *runner) growth(ctx context.Context) error {
	t, err := r.startServer(ctx, "none")
	if err != nil {
		return err
	}
	t.warehouse = "none, grown"
	return r.with(t, func() error {
		if err := t.createPool(ctx, r.random, r.plan.datasets, !r.cfg.NoStream); err != nil {
			return err
		}
		few := recipe{identities: r.plan.growFrom, names: datasetNames(r.plan.datasets)}
		p, err := r.populate(ctx, t, few)
		if err == nil {
			err = r.listAndSync(ctx, t, p, phaseSmall)
		}
		if err != nil {
			return err
		}
		r.say("%d identities more", r.plan.growTo-r.plan.growFrom)
		many := recipe{identities: r.plan.growTo - r.plan.growFrom, names: few.names, forget: true}
		if _, err := r.populate(ctx, t, many); err != nil {
			return err
		}
		return r.listAndSync(ctx, t, p, phaseGrown)
	})
}

func (r *runner) listAndSync(ctx context.Context, t *target, p *population, name string) error {
	r.settle(ctx, t)
	_, err := r.measure(ctx, t, name, load{time: r.plan.grown}, func(w *worker) error {
		d := p.lock(w.draw)
		defer d.unlock()
		if err := w.open(d); err != nil {
			return err
		}
		return w.rewrite(d)
	}, nil)
	return err
}
