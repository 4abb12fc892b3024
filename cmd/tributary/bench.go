package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"tributary/internal/bench"
	"tributary/store/pebblestore"
)

type benchCmd struct {
	Parts []string `name:"run" help:"What to measure: ceiling, p1, p2, p3, p4, p5, p6, p9, p10, p11, warehouse (P1 to P3 with the warehouse on, and without it to compare). Default: all but p9, the growth to 10 million records, and p10, one node and three over PostgreSQL, which must be installed." placeholder:"PART"`

	Quick       bool `help:"Small sizes, about 20 s: only the correctness of the answers counts."`
	Seconds     int  `help:"Length of P1. Default: 25." placeholder:"N"`
	Connections int  `help:"Keep-alive connections. Default: 64." placeholder:"N"`
	Identities  int  `help:"Identities of the load. Default: 256." placeholder:"N"`
	Datasets    int  `help:"Datasets of each identity. Default: 40." placeholder:"N"`

	Poll      time.Duration `help:"Least time between the begins of two GetRecords of a shard, in P5. Default: 1ms."`
	Warehouse string        `enum:"duckdb,none" default:"duckdb" help:"Warehouse of the second column, P6 and P11: duckdb or none. With none there is no P6, and P11 is that of the first column."`
	NoStream  bool          `help:"Leave the pool without a stream of its own, and P5 out."`
	Identity  bool          `name:"as-identities" help:"Let each identity sync its own data, with credentials of a role that has a policy. Default: the developer syncs all."`
	Seed      uint64        `help:"Seed of ids and values. Default: a random one." placeholder:"N"`

	Dir     string   `help:"Folder for the stores, on the disk that is to be measured. Default: the system's for temporary files." type:"existingdir" placeholder:"DIR"`
	Serve   []string `help:"A further flag for the servers, such as --serve=--mem-table=32MiB. May be given again." sep:"none" placeholder:"FLAG"`
	Profile string   `help:"File for a CPU profile of the server during P1. In P10 with one node; with three, that of the first is in FILE.3." placeholder:"FILE"`

	Store string `help:"PostgreSQL for P10, in which two schemas are made and dropped again. Default: one is started for it, from this machine's packages. Set it by the environment: it holds a password." placeholder:"postgres://…"`

	Server      string `help:"Address of a server to measure as it is. Default: one is started for each column, on a fresh folder, and removed." placeholder:"URL"`
	ServerPID   int    `name:"server-pid" help:"Process of that server, for its CPU time." placeholder:"PID"`
	Data        string `help:"Data folder of that server, for its developer key. Default: data." placeholder:"DIR"`
	Credentials string `help:"File with its developer key, in the format of AWS shared credentials." placeholder:"FILE"`
	Region      string `default:"us-east-1" help:"Region to sign for."`

	JSON       bool `name:"json" help:"Print one JSON object with all figures."`
	NullServer bool `hidden:"" help:"Be the server that does nothing, for the ceiling."`
}

// Help says what is measured.
func (*benchCmd) Help() string {
	return `Measures the speed bars P1 to P6 and P9 to P11 and says which are met. Shares of
the ceiling compare with a server that decodes and echoes the same requests and
stores nothing, driven by the same client before and after everything else. P10 compares nodes
over PostgreSQL with PostgreSQL by hand, which pgbench drives on the same server.
A run takes about 4 minutes. The exit code is 1 if a result was wrong, 0 if a
bar was missed: a benchmark is no test.`
}

// gcPercent lets the load generator, which shares the machine with the server,
// collect its small heap less often. The server that does nothing gets what
// serve sets, or the ceiling would be too low.
const gcPercent = 400

// Run measures, and prints the report.
func (c *benchCmd) Run(e *env) error {
	debug.SetGCPercent(gcPercent)
	if c.NullServer {
		return bench.NullServer(e.ctx, e.stdout)
	}
	cfg, err := c.config(e)
	if err != nil {
		return err
	}
	report, err := bench.Run(e.ctx, cfg)
	if report == nil {
		return err
	}
	write := report.WriteText
	if c.JSON {
		write = report.WriteJSON
	}
	if writeErr := write(e.stdout); err == nil {
		err = writeErr
	}
	if err == nil && len(report.Wrong) > 0 {
		err = fmt.Errorf("%d results were wrong: %s", len(report.Wrong), strings.Join(report.Wrong, "; "))
	}
	return err
}

func (c *benchCmd) config(e *env) (bench.Config, error) {
	cfg := bench.Config{
		Env: withoutSettings(os.Environ()), Serve: c.Serve, ReadKey: readCredentials, Compact: compactStore,
		Server: c.Server, ServerPID: c.ServerPID, Region: c.Region, Dir: c.Dir,
		Run: c.Parts, Quick: c.Quick, Seconds: c.Seconds, Connections: c.Connections, Identities: c.Identities, Datasets: c.Datasets,
		Poll: c.Poll, Warehouse: c.Warehouse, NoStream: c.NoStream, AsIdentities: c.Identity, Seed: c.Seed, Profile: c.Profile,
		Database: c.Store, Version: version + commit(), Progress: e.stderr,
	}
	var err error
	if cfg.Executable, err = os.Executable(); err != nil {
		return cfg, err
	}
	if c.Server != "" {
		from := serverFlags{Data: c.Data, Credentials: c.Credentials}
		cfg.Key, err = from.key(e.lookup)
	}
	return cfg, err
}

// compactStore flushes and compacts a store that no server uses any more.
func compactStore(ctx context.Context, dir string) (int64, error) {
	return pebblestore.Compact(ctx, dir)
}

// withoutSettings drops what would change the servers that are measured.
func withoutSettings(environ []string) []string {
	var out []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "TRIBUTARY_") {
			out = append(out, v)
		}
	}
	return out
}
