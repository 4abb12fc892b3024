package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tributary/internal/postgres"
)

// byHandSchema is what somebody would write who needs the same of PostgreSQL
// and has no server: a sync is one call of one function.
const byHandSchema = `
CREATE TABLE heads (
	identity text NOT NULL,
	dataset text NOT NULL,
	sync_count bigint NOT NULL,
	modified timestamptz NOT NULL,
	PRIMARY KEY (identity, dataset)
);
CREATE TABLE records (
	identity text NOT NULL,
	dataset text NOT NULL,
	key text NOT NULL,
	value text NOT NULL,
	sync_count bigint NOT NULL,
	modified timestamptz NOT NULL,
	PRIMARY KEY (identity, dataset, key)
);
CREATE TABLE outbox (
	id bigserial PRIMARY KEY,
	identity text NOT NULL,
	dataset text NOT NULL,
	sync_count bigint NOT NULL,
	records json NOT NULL
);
CREATE FUNCTION sync(i text, d text, keys text[], vals text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	base bigint;
BEGIN
	LOOP
		SELECT sync_count INTO base FROM heads WHERE identity = i AND dataset = d;
		UPDATE heads SET sync_count = base + 1, modified = now() WHERE identity = i AND dataset = d AND sync_count = base;
		EXIT WHEN FOUND;
		IF base IS NULL THEN
			RAISE 'there is no dataset % of %', d, i;
		END IF;
	END LOOP;
	INSERT INTO records SELECT i, d, x.key, x.value, base + 1, now() FROM unnest(keys, vals) AS x (key, value)
	ON CONFLICT (identity, dataset, key) DO UPDATE SET value = excluded.value, sync_count = excluded.sync_count, modified = excluded.modified;
	INSERT INTO outbox (identity, dataset, sync_count, records) VALUES (i, d, base + 1, json_object(keys, vals));
	RETURN base + 1;
END
$$;
`

const byHandID = `'us-east-1:00000000-0000-4000-8000-' || lpad(%s::text, 12, '0'), 'd' || lpad(%s::text, 3, '0')`

// hand is PostgreSQL by hand: where, and how many syncs it must have.
type hand struct {
	database *database
	script   string // of pgbench
	syncs    int64
}

// prepareByHand makes the schema and one sync of every dataset.
func (r *runner) prepareByHand(ctx context.Context, db *database) (*hand, error) {
	r.say("PostgreSQL by hand")
	h := &hand{database: db, script: filepath.Join(r.temp, "sync.sql"), syncs: int64(r.plan.identities * r.plan.datasets)}
	keys, values := make([]string, patchesPerSync), make([]string, patchesPerSync)
	var script strings.Builder
	fmt.Fprintf(&script, "\\set i random(1, %d)\n\\set d random(1, %d)\n", r.plan.identities, r.plan.datasets)
	for i := range patchesPerSync {
		keys[i] = fmt.Sprintf("'%s'", appendKey(nil, i))
		values[i] = fmt.Sprintf("rpad(:v%d::text, %d, '%064x')", i, base64Bytes, i)
		fmt.Fprintf(&script, "\\set v%d random(1000000000000000, 9000000000000000)\n", i)
	}
	arrays := fmt.Sprintf("ARRAY[%s], ARRAY[%s]", strings.Join(keys, ", "), strings.Join(values, ", "))
	fmt.Fprintf(&script, "SELECT sync("+byHandID+", %s);\n", ":i", ":d", arrays)
	const mode = 0o600
	if err := os.WriteFile(h.script, []byte(script.String()), mode); err != nil {
		return nil, err
	}
	first := regexp.MustCompile(`:v\d`).ReplaceAllString(arrays, "0")
	fill := byHandSchema + fmt.Sprintf(`
INSERT INTO heads SELECT `+byHandID+`, 0, now() FROM generate_series(1, %d) AS x (i), generate_series(1, %d) AS y (d);
SELECT count(sync(identity, dataset, %s)) FROM heads;
VACUUM ANALYZE heads; VACUUM ANALYZE records;`, "i", "d", r.plan.identities, r.plan.datasets, first)
	_, err := postgres.SQL(ctx, db.hand, fill)
	return h, err
}

// byHand puts the load of the bars on PostgreSQL by hand.
func (r *runner) byHand(ctx context.Context, h *hand) error {
	if _, err := r.pgbench(ctx, h, r.plan.warmup); err != nil {
		return err
	}
	r.say("%s", phaseByHand)
	p, err := r.pgbench(ctx, h, r.plan.syncs)
	return r.record(p, err)
}

// pgbench runs the script for a time, in whole seconds.
func (r *runner) pgbench(ctx context.Context, h *hand, length time.Duration) (Phase, error) {
	const threads, sampled = "2", "0.1" // of the syncs
	prefix := filepath.Join(r.temp, "pgbench")
	c, err := postgres.Command(ctx, h.database.hand, "pgbench", "-n", "-f", h.script, "-M", "prepared", "-c", strconv.Itoa(r.plan.connections), "-j", threads,
		"-T", strconv.Itoa(int(max(time.Second, length).Seconds())), "--log", "--log-prefix="+prefix, "--sampling-rate="+sampled)
	if err != nil {
		return Phase{}, err
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	before := usageNow()
	h.database.meter(&before)
	out, err := c.Output()
	after := usageNow()
	h.database.meter(&after)
	if err != nil {
		return Phase{}, fmt.Errorf("pgbench: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	ops, perSecond, err := readPgbench(string(out))
	if err != nil {
		return Phase{}, err
	}
	h.syncs += ops
	took, err := readLatencies(prefix)
	after.client = before.client + (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	p := phase(phaseByHand, before, after, ops, took)
	p.Warehouse, p.ServerCPU = "-", nil
	p.PerSecond, p.Seconds = perSecond, float64(ops)/perSecond // without the time to connect
	return p, err
}

var pgbenchFigures = []*regexp.Regexp{
	regexp.MustCompile(`number of transactions actually processed: (\d+)`),
	regexp.MustCompile(`tps = (\d+\.\d+)`),
}

// readPgbench reads how many transactions there were, and per second.
func readPgbench(out string) (ops int64, perSecond float64, err error) {
	var figures [2]float64
	for i, r := range pgbenchFigures {
		m := r.FindStringSubmatch(out)
		if m == nil {
			return 0, 0, fmt.Errorf("pgbench said nothing like %q: %s", r, out)
		}
		if figures[i], err = strconv.ParseFloat(m[1], 64); err != nil {
			return 0, 0, err
		}
	}
	if figures[0] == 0 {
		return 0, 0, errors.New("pgbench has done no transaction")
	}
	return int64(figures[0]), figures[1], nil
}

// readLatencies reads the logs that pgbench's threads have left, and removes
// them.
func readLatencies(prefix string) ([]time.Duration, error) {
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() { // client, transaction, microseconds, …
			fields := strings.Fields(lines.Text())
			if len(fields) < 3 {
				return nil, fmt.Errorf("%q is no line of pgbench's log", lines.Text())
			}
			us, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%q is no line of pgbench's log", lines.Text())
			}
			took = append(took, time.Duration(us)*time.Microsecond)
		}
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// checkByHand demands that PostgreSQL by hand has done what it was measured
// for: every sync counted and in the outbox, and all records there.
func (r *runner) checkByHand(ctx context.Context, h *hand) error {
	out, err := postgres.SQL(ctx, h.database.hand, `SELECT (SELECT sum(sync_count) FROM heads), (SELECT count(*) FROM outbox), (SELECT count(*) FROM records)`)
	records := r.plan.identities * r.plan.datasets * patchesPerSync
	if want := fmt.Sprintf("%d|%d|%d", h.syncs, h.syncs, records); err == nil && out != want {
		r.wrong("PostgreSQL by hand has counts|outbox rows|records %s, not %s", out, want)
	}
	return err
}
