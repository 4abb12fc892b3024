package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tributary"
	"tributary/store/pebblestore"
)

type restoreCmd struct {
	Data string `default:"data" help:"Data folder to make. It may be there, but must hold no store." placeholder:"DIR"`
	File string `arg:"" help:"Backup to restore; - for the standard input."`
}

// Validate refuses what cannot work.
func (c *restoreCmd) Validate() error { return checkData(c.Data) }

// Help says what becomes of the time since the backup.
func (*restoreCmd) Help() string {
	return `Checks the whole backup before anything of it can be seen. What was written
after the backup is lost; what was given out then, sequence numbers and sync
counts, never comes again: readers go on with what comes after the restore, and
clients get the whole of each dataset once.

Needs the master key of the store: in the backup, or as master.key in DIR.`
}

// Run restores.
func (c *restoreCmd) Run(e *env) (err error) {
	f := os.Stdin
	if c.File != "-" {
		if f, err = openBackup(c.File); err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
	}
	cfg := pebblestore.Config{Dir: filepath.Join(c.Data, "store"), Log: commandLog(e)}
	report, err := pebblestore.Restore(e.ctx, cfg, f, c.putMasterKey)
	if err != nil {
		return fmt.Errorf("nothing was restored: %w", ofBackup(c.File, err))
	}
	c.print(e.stdout, &report)
	if _, err := os.Stat(filepath.Join(c.Data, pebblestore.MasterKeyName)); errors.Is(err, os.ErrNotExist) {
		_, _ = fmt.Fprintf(e.stderr, "the master key is not in the backup: put it at %s before the server starts\n", filepath.Join(c.Data, pebblestore.MasterKeyName))
	}
	return nil
}

// openBackup opens the file of a backup.
func openBackup(path string) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s: name one that \"tributary backup\" wrote", path)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name a file that \"tributary backup\" wrote, or a data folder by --data", path)
	}
	return os.Open(path)
}

// ofBackup says of an error about a backup's content which backup it is.
func ofBackup(path string, err error) error {
	if tributary.KindOf(err) != tributary.Invalid {
		return plain(err)
	}
	if path == "-" {
		path = "the standard input"
	}
	return fmt.Errorf("%s: %w", path, plain(err))
}

// putMasterKey writes the backup's master key, just before the store appears.
func (c *restoreCmd) putMasterKey(r *pebblestore.RestoreReport) error {
	if r.MasterKey == nil {
		return nil
	}
	path := filepath.Join(c.Data, pebblestore.MasterKeyName)
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return writeSecret(path, keyText(r.MasterKey)+"\n")
	case err != nil:
		return err
	case keyText(have) != keyText(r.MasterKey):
		return tributary.Errorf(tributary.Exists, "restore", "%s is there already, and is not the master key of the backup: restore to another folder, or move it away", path)
	}
	return nil
}

func (c *restoreCmd) print(w io.Writer, r *pebblestore.RestoreReport) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	taken, at := r.Manifest.Taken, r.Restored.At.Time()
	say("%s is restored", filepath.Join(c.Data, "store"))
	say("  backup  of store %s, taken %s by tributary %s", r.Manifest.Store, taken.Format(time.RFC3339), r.Manifest.Program)
	say("  lost    what was written from %s to the end of the run that it was taken of, at most until now: %s", taken.Format(time.RFC3339), at.Sub(taken).Round(time.Second))
	say("  holds   %d pools, %d identities, %d datasets, %d streams, %d entries of the logs", r.Tally.Pools, r.Tally.Identities, r.Tally.Datasets, r.Tally.Streams, r.Tally.Entries)
	say("  counts  of all datasets go on above %d: raised in %s, %.0f datasets a second", r.Restored.Count, r.Renewed.Round(time.Millisecond), float64(r.Tally.Datasets)/max(r.Renewed.Seconds(), 1e-3))
	for _, s := range r.Restored.Shards {
		if s.Base == 0 {
			say("  shard   %s is closed, its last entry is %d", s.Shard, s.Last)
			continue
		}
		say("  shard   %s goes on above %d, its last entry is %d", s.Shard, s.Base, s.Last)
	}
	say("  files   %d bytes in %s", r.Manifest.Size(), r.Unpacked.Round(time.Millisecond))
}
