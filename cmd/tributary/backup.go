package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tributary"
	"tributary/awswire"
	"tributary/store/pebblestore"
)

type backupCmd struct {
	serverFlags
	Offline       bool   `help:"Back up the store in the --data folder of a stopped server, without asking one."`
	WithMasterKey bool   `help:"Put the master key into the backup, which then opens whatever it holds. Needs --data or --master-key-file."`
	MasterKeyFile string `help:"File with the master key. Default: master.key in the --data folder." placeholder:"FILE"`
	Force         bool   `help:"Write over a file that is there."`
	File          string `arg:"" help:"File to write, a tar archive; - for the standard output."`
}

// Help says what is in it.
func (*backupCmd) Help() string {
	return `A backup is the store as it was when the backup began: all that was answered
before is in it, and the server serves on. The master key is left out unless
asked for, and so is the warehouse. "tributary check FILE" looks through a
backup, "tributary restore FILE" makes a data folder of it.

A server over a database (--store) is backed up with the database's own tools.`
}

// Validate refuses what cannot work.
func (c *backupCmd) Validate() error {
	if c.Offline && c.Data == "" {
		return errors.New("--offline needs --data DIR of the stopped server")
	}
	if c.WithMasterKey && c.Data == "" && c.MasterKeyFile == "" {
		return errors.New("--with-master-key needs --data DIR or --master-key-file FILE: a server does not send its master key")
	}
	return c.serverFlags.Validate()
}

// Run writes the backup.
func (c *backupCmd) Run(e *env) error {
	var key []byte
	if c.WithMasterKey {
		path := c.MasterKeyFile
		if path == "" {
			path = filepath.Join(c.Data, pebblestore.MasterKeyName)
		}
		plain, err := masterKey(path, "", 0, false)
		if err != nil {
			return err
		}
		key = []byte(hex.EncodeToString(plain) + "\n")
	}
	var m pebblestore.Manifest
	err := writeWhole(c.File, c.Force, e.stdout, func(w io.Writer) (err error) {
		m, err = c.write(e, w, key)
		return err
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(e.stderr, "the backup of store %s as of %s is written: %d files of %d bytes\n", m.Store, m.Taken.Format(time.RFC3339), len(m.Files), m.Size())
	return nil
}

func (c *backupCmd) write(e *env, w io.Writer, key []byte) (pebblestore.Manifest, error) {
	if c.Offline {
		return c.offline(e, w, key)
	}
	answer, err := c.open(e.ctx, e.lookup, "POST", "backup", nil)
	if err != nil {
		return pebblestore.Manifest{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	m, err := pebblestore.CopyBackup(w, answer.Body, key)
	if tributary.KindOf(err) == tributary.Invalid {
		err = errors.New("the backup did not arrive whole: see the server's log, and try again")
	}
	return m, err
}

// offline writes the backup of a stopped server's store.
func (c *backupCmd) offline(e *env, w io.Writer, key []byte) (m pebblestore.Manifest, err error) {
	dir := filepath.Join(c.Data, "store")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("there is no store to back up; say --data DIR of the server: %w", err)
	}
	s, err := pebblestore.Open(pebblestore.Config{Dir: dir, Log: commandLog(e), Failed: dieOf(e)})
	if err != nil {
		return m, plain(err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b, err := s.Backup(version)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if key == nil {
		return b.Write(e.ctx, w)
	}
	r, piped := io.Pipe()
	go func() {
		_, err := b.Write(e.ctx, piped)
		_ = piped.CloseWithError(err)
	}()
	m, err = pebblestore.CopyBackup(w, r, key)
	_ = r.CloseWithError(err) // lets the writer end
	return m, err
}

// commandLog is for the store of a command: what it has to say is an error.
func commandLog(e *env) *slog.Logger {
	return slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// dieOf ends a command whose store has failed: nothing can be waited for.
func dieOf(e *env) func(error) {
	return func(cause error) {
		_, _ = fmt.Fprintf(e.stderr, "tributary: the store has failed: %v\n", cause)
		os.Exit(1)
	}
}

// writeWhole writes a file that only its owner may read, all of it or none,
// durably. "-" is the standard output.
func writeWhole(path string, over bool, stdout io.Writer, write func(io.Writer) error) (err error) {
	if path == "-" {
		return write(stdout)
	}
	if err := mayWrite(path, over); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := mayWrite(path, over); err != nil { // it took its time
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func mayWrite(path string, over bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case !over:
		return fmt.Errorf("%s is there already: choose another file, or say --force", path)
	}
	return nil
}

// backup begins a backup for the own API.
func (s *server) backup(context.Context) (*awswire.Stream, error) {
	db, ok := s.movable.Engine().(*pebblestore.Store)
	if !ok {
		return nil, tributary.Errorf(tributary.Unavailable, "backup", "The store is a database of many nodes: back it up with the database's own tools")
	}
	b, err := db.Backup(version)
	if err != nil {
		return nil, err
	}
	s.log.Info("backup begun")
	write := func(ctx context.Context, w io.Writer) error {
		m, err := b.Write(ctx, w)
		if err == nil {
			s.log.Info("backup sent", "files", len(m.Files), "bytes", m.Size())
		}
		return err
	}
	return &awswire.Stream{ContentType: "application/x-tar", Write: write, Close: b.Close}, nil
}

// tellLost says in which shards the warehouse has what a restore lost. Nothing
// else would: its entries go on above.
func (s *server) tellLost(ctx context.Context) error {
	db, ok := s.movable.Engine().(*pebblestore.Store)
	w, _ := s.warehouse.get()
	if !ok || w == nil {
		return nil
	}
	shards, err := db.Shards(ctx)
	if err != nil {
		return err
	}
	log, err := db.Stream(ctx, tributary.AuditStream)
	if err != nil && tributary.KindOf(err) != tributary.NotFound {
		return err
	}
	for _, shard := range shards {
		if shard.Stream == log.ID && log.ID != 0 {
			continue // what developers did is in no warehouse
		}
		at, err := w.Checkpoint(ctx, shard)
		if err != nil {
			return err
		}
		for _, r := range db.Restores() {
			if at != "" && r.Lost(at) {
				s.log.Warn("the warehouse holds entries that the restored store has lost; their rows stay until the same records are written again",
					"shard", shard.String(), "checkpoint", at, "backup", r.Backup.Time(), "restored", r.At.Time())
				break
			}
		}
	}
	return nil
}

// keyText is a master key as it stands in a file.
func keyText(text []byte) string { return string(bytes.TrimSpace(text)) }
