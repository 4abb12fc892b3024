package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// secondColumn measures with the default warehouse on.
func (r *runner) secondColumn(ctx context.Context) error {
	t, err := r.startServer(ctx, r.cfg.Warehouse)
	if err != nil {
		return err
	}
	return r.with(t, func() error {
		p, err := r.prepare(ctx, t)
		if err == nil && r.wants("warehouse") {
			err = r.syncsWithWarehouse(ctx, t, p)
		}
		if err == nil {
			err = r.warehouseParts(ctx, t, p)
		}
		return err
	})
}

func (r *runner) syncsWithWarehouse(ctx context.Context, t *target, p *population) error {
	if _, err := r.measure(ctx, t, phaseSyncs, load{time: r.plan.syncs}, rewriteAny(p), nil); err != nil {
		return err
	}
	if err := r.drain(ctx, t, now(), &r.report.Drained); err != nil {
		return err
	}
	return r.pulls(ctx, t, p)
}

// warehouseParts are P6 and P11.
func (r *runner) warehouseParts(ctx context.Context, t *target, p *population) error {
	if r.wants("p6") {
		var none *fault
		if _, err := r.query(ctx, t, "SELECT 1"); errors.As(err, &none) {
			r.remark("P6 was not measured: %s", none.message)
		} else if err != nil {
			return err
		} else if err := r.atHalfLoad(ctx, t, p, r.queryable); err != nil {
			return err
		}
	}
	if r.wants("p11") {
		return r.idle(ctx, t)
	}
	return nil
}

// query runs a SELECT on a connection of its own.
func (r *runner) query(ctx context.Context, t *target, sql string) ([][]any, error) {
	c, err := dial(ctx, t.endpoint, ownService)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return selectRows(c, sql)
}

const mostRows = 1_000_000

func selectRows(c *client, sql string) ([][]any, error) {
	var out struct {
		Rows [][]any
		Cut  bool
	}
	err := c.exchange(call{method: "POST", target: ownPrefix + "query"}, map[string]any{"SQL": sql, "MaxRows": mostRows}, &out)
	if err == nil && out.Cut {
		err = errors.New("the server has cut off the result")
	}
	return out.Rows, err
}

// number reads a number of a result.
func number(v any) int64 {
	f, _ := v.(float64)
	return int64(f)
}

// mark writes a sync to every marker in turn, until ctx is done or each has
// had n, and notes when it was answered. There is a marker in many identities,
// so that all shards have some.
func mark(ctx context.Context, w *worker, markers *population, pause time.Duration, until time.Time) error {
	for i := 0; ; i++ {
		d := markers.datasets[i%len(markers.datasets)]
		if err := w.rewrite(d); err != nil {
			return err
		}
		w.wrote = append(w.wrote, event{dataset: d.index, count: d.count, at: now()})
		if !now().Before(until) && i+1 >= len(markers.datasets) || !sleepUntil(ctx, now().Add(pause)) {
			return nil
		}
	}
}

// watch polls the warehouse's current state for the counts of markers until
// stop says that all it is to see has come. It gives what it saw, when.
func (r *runner) watch(ctx context.Context, t *target, markers *population, stop func(seen map[string]int64) bool) ([]sight, error) {
	c, err := dial(ctx, t.endpoint, ownService)
	if err != nil {
		return nil, err
	}
	defer c.close()
	sql := fmt.Sprintf("SELECT identityId, max(syncCount) FROM cognito_current_state WHERE identityPoolId = '%s' AND datasetName = '%s' GROUP BY identityId",
		t.pool, markers.datasets[0].name)
	var list []sight
	for ctx.Err() == nil {
		next := now().Add(r.plan.pollQuery)
		rows, err := selectRows(c, sql)
		if err != nil {
			return list, err
		}
		s := sight{at: now(), counts: map[string]int64{}}
		for _, row := range rows {
			id, _ := row[0].(string)
			s.counts[id] = number(row[1])
		}
		list = append(list, s)
		if stop(s.counts) || !sleepUntil(ctx, next) {
			break
		}
	}
	return list, nil
}

// sight is what a query showed: the count of each identity's marker.
type sight struct {
	at     time.Time
	counts map[string]int64
}

// queryable is P6: writers at a rate, some syncs among theirs that are looked
// for, and the time from the answer to a sync until a query shows it.
func (r *runner) queryable(ctx context.Context, t *target, p *population, rate float64) error {
	markers, err := r.populate(ctx, t, recipe{identities: r.plan.markers, names: []string{"marker"}})
	if err != nil {
		return err
	}
	// What came before must not be measured.
	if err := r.drain(ctx, t, now(), nil); err != nil {
		return err
	}
	ws, closeAll, err := workers(ctx, t.endpoints(), syncService, 1, t.seed+uint64(t.made.Add(1)))
	if err != nil {
		return err
	}
	defer closeAll()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	end := now().Add(r.plan.queryable)
	done := make(chan struct{})
	running.Go(func() {
		defer close(done)
		if err := mark(ctx, ws[0], markers, r.plan.markerPause, end); err != nil {
			stop(err)
		}
	})
	var sights []sight
	running.Go(func() {
		late := end.Add(r.plan.patience)
		var err error
		sights, err = r.watch(ctx, t, markers, func(seen map[string]int64) bool {
			select {
			case <-done:
				return !now().Before(late) || allSeen(markers, seen)
			default:
				return false
			}
		})
		if err != nil {
			stop(err)
		}
	})
	_, err = r.measure(ctx, t, phaseQueryable, load{rate: rate, time: r.plan.queryable}, rewriteAny(p), nil)
	if err != nil {
		stop(err)
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.queried(markers, ws[0].wrote, sights)
	return nil
}

// allSeen tells whether the warehouse shows the last count of each marker.
func allSeen(markers *population, seen map[string]int64) bool {
	for _, d := range markers.datasets {
		if seen[d.identity] < d.count {
			return false
		}
	}
	return true
}

// queried turns what was written and what queries showed into P6's figures. A
// marker is visible as soon as its count, or a later one, is shown.
func (r *runner) queried(markers *population, wrote []event, sights []sight) {
	f := Followed{Events: len(wrote)}
	var took []time.Duration
	next := make([]int, len(markers.datasets)) // per marker: the sights before are too early
	for _, e := range wrote {
		id, i := markers.datasets[e.dataset].identity, next[e.dataset]
		for i < len(sights) && sights[i].counts[id] < e.count {
			i++
		}
		next[e.dataset] = i
		if i == len(sights) {
			f.Missing++
			continue
		}
		took = append(took, max(0, sights[i].at.Sub(e.at)))
	}
	f.Millis = latencyOf(took)
	r.report.Queryable = &f
	if f.Missing > 0 {
		r.wrong("of %d syncs that were looked for in the warehouse, %d never came", f.Events, f.Missing)
	}
}

// Drained is what it took the warehouse to have everything, and what it had.
type Drained struct {
	Seconds  float64
	Datasets int
	RawRows  int64
}

// drain waits until the warehouse has everything that was written, and checks
// that it has it exactly once.
func (r *runner) drain(ctx context.Context, t *target, since time.Time, into **Drained) error {
	r.say("waiting for the warehouse")
	var want int64
	for _, d := range t.datasets {
		want += d.patches
	}
	have := func() (int64, error) {
		rows, err := r.query(ctx, t, fmt.Sprintf("SELECT count(*) FROM cognito_raw_data WHERE identityPoolId = '%s'", t.pool))
		if err != nil || len(rows) != 1 {
			return 0, err
		}
		return number(rows[0][0]), nil
	}
	rows, err := have()
	for late := since.Add(r.plan.patience); err == nil && rows < want && now().Before(late); rows, err = have() {
		if !sleepUntil(ctx, now().Add(4*r.plan.pollQuery)) {
			return context.Cause(ctx)
		}
	}
	if err != nil {
		return err
	}
	took := now().Sub(since)
	if rows != want {
		r.wrong("the warehouse has %d raw rows %.0f s after the load, not %d", rows, took.Seconds(), want)
		return nil
	}
	if into != nil {
		*into = &Drained{Seconds: took.Seconds(), Datasets: len(t.datasets), RawRows: rows}
	}
	return r.checkCurrent(ctx, t)
}

// checkCurrent compares the warehouse's current state with what the server has
// confirmed, for every dataset.
func (r *runner) checkCurrent(ctx context.Context, t *target) error {
	rows, err := r.query(ctx, t, fmt.Sprintf(
		"SELECT identityId, datasetName, max(syncCount), count(*) FROM cognito_current_state WHERE identityPoolId = '%s' GROUP BY identityId, datasetName", t.pool))
	if err != nil {
		return err
	}
	type state struct{ count, records int64 }
	have := make(map[string]state, len(rows))
	for _, row := range rows {
		id, _ := row[0].(string)
		name, _ := row[1].(string)
		have[id+"/"+name] = state{number(row[2]), number(row[3])}
	}
	bad := 0
	for _, d := range t.datasets {
		if have[d.identity+"/"+d.name] != (state{d.count, int64(d.records)}) {
			bad++
		}
	}
	if bad > 0 || len(have) != len(t.datasets) {
		r.wrong("the warehouse's current state is wrong for %d of %d datasets; it has %d", bad, len(t.datasets), len(have))
	}
	return nil
}
