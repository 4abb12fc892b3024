package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"tributary/store/pebblestore"
)

type checkCmd struct {
	Data string `default:"data" help:"Data folder of a stopped server." placeholder:"DIR"`
	Temp string `help:"Folder for unpacking a backup, which needs its size there. Default: that of the system." placeholder:"DIR"`
	JSON bool   `name:"json" help:"Print one JSON object."`
	File string `arg:"" optional:"" help:"Backup to check, instead of the store of --data."`
}

// Validate refuses what cannot work.
func (c *checkCmd) Validate() error { return checkData(c.Data) }

// Help says what is looked at.
func (*checkCmd) Help() string {
	return `Reads every block of every table against its checksum, and every value against
the rules by which it was written: heads and records, figures and their sums,
indexes, logs and their ends, leases, keys. A backup is first compared with its
manifest, byte by byte, and then unpacked.

Nothing is changed. The exit code is 1 if anything is wrong.`
}

// checked is what is printed as JSON.
type checked struct {
	Of          string
	Taken       *time.Time `json:",omitempty"` // of a backup
	Files       int        `json:",omitzero"`  // of a backup
	Tables      int
	TableBytes  int64
	Keys        int64
	Pools       int64
	Streams     int64
	Identities  int64
	Datasets    int64
	Records     int64
	Entries     int64
	Restores    int
	Seconds     float64
	FaultsFound int
	Faults      []string
}

// Run checks, prints what was walked, and fails if something is wrong.
func (c *checkCmd) Run(e *env) error {
	cfg := pebblestore.Config{Dir: filepath.Join(c.Data, "store"), Log: commandLog(e)}
	out := checked{Of: cfg.Dir}
	began := time.Now()
	var r pebblestore.CheckReport
	var err error
	if c.File != "" {
		out.Of = c.File
		r, err = c.checkBackup(e.ctx, cfg, &out)
	} else {
		r, err = pebblestore.Check(e.ctx, cfg)
		err = plain(err)
	}
	if err != nil {
		return err
	}
	out.Tables, out.TableBytes, out.Keys, out.Records, out.Restores = r.Tables, r.TableBytes, r.Keys, r.Records, r.Restores
	out.Pools, out.Streams, out.Identities, out.Datasets, out.Entries = r.Pools, r.Streams, r.Identities, r.Datasets, r.Entries
	out.Seconds, out.FaultsFound, out.Faults = time.Since(began).Seconds(), r.Found, append([]string{}, r.Faults...)
	if err := c.print(e.stdout, &out); err != nil {
		return err
	}
	if r.Found > 0 {
		return fmt.Errorf("%s is damaged: %d faults", out.Of, r.Found)
	}
	return nil
}

// checkBackup compares a backup with its manifest, and checks the store in it.
func (c *checkCmd) checkBackup(ctx context.Context, cfg pebblestore.Config, out *checked) (r pebblestore.CheckReport, err error) {
	f, err := openBackup(c.File)
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	dir, err := os.MkdirTemp(c.Temp, "tributary-check-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m, _, err := pebblestore.Unpack(ctx, nil, dir, f)
	if err != nil {
		return r, ofBackup(c.File, err)
	}
	out.Taken, out.Files = &m.Taken, len(m.Files)
	cfg.Dir = dir
	r, err = pebblestore.Check(ctx, cfg)
	return r, ofBackup(c.File, err)
}

func (c *checkCmd) print(w io.Writer, out *checked) error {
	if c.JSON {
		return json.MarshalWrite(w, out, jsontext.Multiline(true))
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	say("%s: %d faults in %.1f s", out.Of, out.FaultsFound, out.Seconds)
	if out.Taken != nil {
		say("  backup      of %s, %d files as in its manifest", out.Taken.Format(time.RFC3339), out.Files)
	}
	say("  tables      %d of %d bytes, every block", out.Tables, out.TableBytes)
	say("  keys        %d", out.Keys)
	say("  pools       %d, streams %d, restores %d", out.Pools, out.Streams, out.Restores)
	say("  identities  %d, datasets %d, records %d", out.Identities, out.Datasets, out.Records)
	say("  entries     %d of the logs", out.Entries)
	for _, fault := range out.Faults {
		say("fault: %s", fault)
	}
	if more := out.FaultsFound - len(out.Faults); more > 0 {
		say("and %d more", more)
	}
	return nil
}
