package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// WriteJSON writes everything, for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	if err := json.MarshalWrite(w, r, jsontext.Multiline(true), json.Deterministic(true)); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.writeHead(&b)
	r.writePhases(&b)
	r.writeNodes(&b)
	r.writeArrivals(&b)
	r.writeBars(&b)
	for _, text := range r.Remarks {
		fmt.Fprintf(&b, "note: %s\n", text)
	}
	for _, text := range r.Wrong {
		fmt.Fprintf(&b, "WRONG: %s\n", text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeHead(w io.Writer) {
	fmt.Fprintf(w, "tributary %s, %s, %s, %d cores", r.Version, r.Go, r.Platform, r.Cores)
	if r.FileSystem != "" {
		fmt.Fprintf(w, ", stores on %s", r.FileSystem)
	}
	fmt.Fprintf(w, "\n%s, %.0f s, seed %d\n", r.Began.UTC().Format(time.RFC3339), r.Seconds, r.Seed)
	l := &r.Workload
	signer := "a developer key"
	if l.AsIdentities {
		signer = "the identities' credentials, whose role has a policy"
	}
	fmt.Fprintf(w, "load: %d keep-alive connections in a closed loop, SigV4 with %s; %d identities x %d datasets drawn at random;\n", l.Connections, signer, l.Identities, l.Datasets)
	fmt.Fprintf(w, "  a sync is an UpdateRecords of %d records, keys of %d bytes, values of %d bytes of base64 of fresh random bytes, session token fetched before;\n", l.RecordsPerSync, l.KeyBytes, l.ValueBytes)
	if l.Stream {
		fmt.Fprintf(w, "  the pool's changes go to an embedded stream of %d shards\n", streamShards)
	} else {
		fmt.Fprintln(w, "  the pool has no stream: its changes go to the default log")
	}
	fmt.Fprintln(w, "ceiling: net/http and encoding/json, decoding and echoing the same UpdateRecords, storing nothing, with serve's GC setting; same client, unsigned")
	if r.Server != "" {
		fmt.Fprintf(w, "server: %s, as it is\n", r.Server)
	} else {
		fmt.Fprintf(w, "server: a process of its own on a fresh folder for each column; serve %s\n", strings.Join(r.ServeFlags, " "))
	}
}

func (r *Report) writePhases(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nper second\tp50 ms\tp99 ms\tp99.9 ms\tmax ms\tserver us\tclient us\tother CPU\twarehouse\t  phase")
	for _, p := range r.Phases {
		server, client, other := "-", "-", "-"
		if us, ok := p.serverMicros(); ok {
			server = fmt.Sprintf("%.1f", us)
		}
		if p.Ops > 0 {
			client = fmt.Sprintf("%.1f", p.ClientCPU*1e6/float64(p.Ops))
		}
		if p.OtherCPU != nil {
			other = fmt.Sprintf("%.0f %%", 100**p.OtherCPU)
		}
		fmt.Fprintf(t, "%.0f\t%.2f\t%.2f\t%.2f\t%.1f\t%s\t%s\t%s\t%s\t  %s, %.1f s\n", p.PerSecond, p.Millis.P50, p.Millis.P99, p.Millis.P999, p.Millis.Max, server, client, other, p.Warehouse, p.Name, p.Seconds)
	}
	_ = t.Flush() // w cannot fail
}

func (r *Report) writeArrivals(w io.Writer) {
	fmt.Fprintln(w)
	for _, a := range []struct {
		name string
		f    *Followed
	}{{"a reader of the stream", r.Visible}, {"a reader of the stream at one of three nodes", r.Spread}, {"a query of the warehouse", r.Queryable}} {
		if a.f != nil {
			m := &a.f.Millis
			fmt.Fprintf(w, "from the answer to %s: p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.1f ms; %d changes, %d missing, %d twice\n",
				a.name, m.P50, m.P90, m.P99, m.P999, m.Max, a.f.Events, a.f.Missing, a.f.Twice)
		}
	}
	if d := r.Drained; d != nil {
		fmt.Fprintf(w, "the warehouse had all %d rows of %d datasets, each once, %.1f s after the load\n", d.RawRows, d.Datasets, d.Seconds)
	}
	if f := r.Ceiling; f > 0 {
		fmt.Fprintf(w, "ceiling: %.0f/s, the mean of all measured\n", f)
	}
}

func (r *Report) writeBars(w io.Writer) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	bars := slices.Clone(r.Bars)
	slices.SortStableFunc(bars, func(a, b Bar) int { return barOrder(a.ID) - barOrder(b.ID) })
	for _, b := range bars {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", b.ID, b.figure(b.Figure), b.limit(), r.verdict(&b), b.What)
	}
	_ = t.Flush() // w cannot fail
}

// barOrder puts P11 after P9, and the second column last.
func barOrder(id string) int {
	n := 0
	_, _ = fmt.Sscanf(id, "P%d", &n)
	if strings.HasSuffix(id, "'") {
		const last = 100
		n += last
	}
	return n
}

func (b *Bar) figure(f float64) string {
	switch {
	case b.Unit == "":
		return fmt.Sprintf("%.3f", f)
	case b.Unit == "%" || b.Unit == "x":
		return fmt.Sprintf("%.2f %s", f, b.Unit)
	case b.Unit == "s" && f < 1:
		return fmt.Sprintf("%.4f s", f)
	}
	return fmt.Sprintf("%.1f %s", f, b.Unit)
}

func (b *Bar) limit() string {
	sign := ">="
	if b.AtMost {
		sign = "<="
	}
	if b.Stretch == 0 {
		return fmt.Sprintf("%s %g", sign, b.Bar)
	}
	return fmt.Sprintf("%s %g (%g)", sign, b.Bar, b.Stretch)
}

func (r *Report) verdict(b *Bar) string {
	switch {
	case r.Quick:
		return "-"
	case b.MetMore:
		return "met, stretch too"
	case b.Met:
		return "met"
	}
	return "MISSED"
}
