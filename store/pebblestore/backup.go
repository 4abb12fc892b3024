package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
)

// backupFolder is where the checkpoint of a backup is, beside the store: on its
// disk, so that its tables are links.
func backupFolder(fs vfs.FS, dir string) string {
	return fs.PathJoin(fs.PathDir(dir), fs.PathBase(dir)+".backup")
}

// sweepBackup removes what a backup has left that was cut short. The store's
// folder is locked.
func sweepBackup(fs vfs.FS, dir string) error {
	left := backupFolder(fs, dir)
	if _, err := fs.Stat(left); err != nil {
		return nil // most often there is none
	}
	return internal("open store", fs.RemoveAll(left))
}

// Backup is the store as it was at one moment, with all that was acknowledged
// before [Store.Backup] was called. The store serves on. It is to be closed.
type Backup struct {
	s *Store
	m Manifest
}

// Backup begins a backup, for which a version names the program.
//
// Errors: Busy while another one is under way, Unavailable.
func (s *Store) Backup(program string) (*Backup, error) {
	const op = "backup"
	if err := s.alive(); err != nil {
		return nil, err
	}
	if !s.backup.TryLock() {
		return nil, tributary.Errorf(tributary.Busy, op, "Another backup is being taken: try again when it is done")
	}
	b := &Backup{s, Manifest{Program: program, Store: s.id, Taken: s.cfg.Now().UTC().Round(time.Millisecond)}}
	if err := b.begin(); err != nil {
		return nil, errors.Join(internal(op, err), b.Close())
	}
	return b, nil
}

// begin takes the checkpoint.
func (b *Backup) begin() error {
	s, fs := b.s, b.s.room.fs
	// Whoever was answered has his data on disk; but the store's log is also to
	// be copied as far as it is on disk, and not by Checkpoint's own wait, which
	// never returns when the log cannot be written.
	mark := s.db.NewBatch()
	defer func() { _ = mark.Close() }()
	if err := mark.LogData(nil, nil); err != nil {
		return err
	}
	if err := s.write(mark); err != nil {
		return err
	}
	if err := sweepBackup(fs, s.cfg.Dir); err != nil {
		return err
	}
	return s.db.Checkpoint(backupFolder(fs, s.cfg.Dir))
}

// Write writes the backup. What was written is none if there is an error.
func (b *Backup) Write(ctx context.Context, w io.Writer) (Manifest, error) {
	const op = "backup"
	fs := b.s.room.fs
	dir := backupFolder(fs, b.s.cfg.Dir)
	names, err := fs.List(dir)
	if err != nil {
		return b.m, internal(op, err)
	}
	slices.Sort(names)
	a := newArchiver(w, b.m)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return b.m, err
		}
		if err := addFile(a, fs, storeFolder+name, fs.PathJoin(dir, name)); err != nil {
			return b.m, fmt.Errorf("%s: %w", op, err)
		}
	}
	return a.finish()
}

func addFile(a *archiver, fs vfs.FS, name, path string) (err error) {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(name, info.Size(), f)
}

// Close removes the checkpoint.
func (b *Backup) Close() error {
	defer b.s.backup.Unlock()
	return internal("backup", b.s.room.fs.RemoveAll(backupFolder(b.s.room.fs, b.s.cfg.Dir)))
}
