package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary"
)

// RestoreReport is what a restore did.
type RestoreReport struct {
	Manifest  Manifest
	Restored  tributary.Restored
	Tally     Tally
	MasterKey []byte        // of the backup, nil if it has none
	Unpacked  time.Duration // for reading and writing the files
	Renewed   time.Duration // for raising the counts of the datasets
}

// Unpack writes the store of a backup to a folder, which must be empty, and
// gives the backup's master key, nil if it has none. The folder holds a store
// only if there is no error. fs nil is the disk.
//
// Errors as of [ReadBackup].
func Unpack(ctx context.Context, fs vfs.FS, dir string, r io.Reader) (m Manifest, masterKey []byte, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	m, err = ReadBackup(r, func(name string, size int64, content io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		inStore, ok := strings.CutPrefix(name, storeFolder)
		if !ok {
			var key bytes.Buffer
			_, err := io.Copy(&key, content)
			masterKey = key.Bytes()
			return err
		}
		return writeFile(fs, fs.PathJoin(dir, inStore), content)
	})
	if err != nil {
		return m, nil, err
	}
	return m, masterKey, syncDir(fs, dir)
}

// writeFile writes a new file, durably.
func writeFile(fs vfs.FS, path string, content io.Reader) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, content, make([]byte, 256<<10))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Restore makes a store of a backup, in a folder that must not be there: a new
// incarnation, whose positions and counts go on above all that may have been
// given out since the backup (see [tributary.Restored]). The folder appears when all of
// it is there and on disk; before that, everything is in a folder beside it,
// which the next Restore removes. prepare, if not nil, is called just before,
// with what is known by then; an error of it ends the restore.
//
// Errors: Exists if the folder is there, Unavailable if another restore to it
// is under way; those of [ReadBackup] and [Open].
func Restore(ctx context.Context, cfg Config, r io.Reader, prepare func(*RestoreReport) error) (RestoreReport, error) {
	const op = "restore"
	fs := cfg.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := notThere(fs, cfg.Dir); err != nil {
		return RestoreReport{}, err
	}
	work := fs.PathJoin(fs.PathDir(cfg.Dir), fs.PathBase(cfg.Dir)+".restore")
	if err := mkdirAll(fs, work); err != nil {
		return RestoreReport{}, internal(op, err)
	}
	lock, err := pebble.LockDirectory(work, fs)
	if err != nil {
		return RestoreReport{}, &tributary.Error{Kind: tributary.Unavailable, Op: op, Msg: notLocked(work, "let its restore end first", err), Err: err}
	}
	j := restoring{cfg: cfg, fs: fs, dir: fs.PathJoin(work, "store")}
	err = j.run(ctx, r, prepare)
	// What is left of a restore that failed is of no use to anybody.
	return j.report, errors.Join(internal(op, err), fs.RemoveAll(work), lock.Close(), syncDir(fs, fs.PathDir(work)))
}

func notThere(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return tributary.Errorf(tributary.Exists, "restore", "there is a store in %s already: restore to another folder, or move this one away", dir)
	}
	return nil
}

// restoring is a restore under way.
type restoring struct {
	cfg    Config
	fs     vfs.FS
	dir    string // where the store is made
	report RestoreReport
}

func (j *restoring) run(ctx context.Context, r io.Reader, prepare func(*RestoreReport) error) (err error) {
	fs := j.fs
	if err := fs.RemoveAll(j.dir); err != nil { // of a restore that was cut short
		return err
	}
	if err := mkdirAll(fs, j.dir); err != nil {
		return err
	}
	began := time.Now()
	if j.report.Manifest, j.report.MasterKey, err = Unpack(ctx, fs, j.dir, r); err != nil {
		return err
	}
	j.report.Unpacked = time.Since(began)
	if err := j.guarded(ctx); err != nil {
		return err
	}
	if err := notThere(fs, j.cfg.Dir); err != nil { // made meanwhile
		return err
	}
	if prepare != nil {
		if err := prepare(&j.report); err != nil {
			return err
		}
	}
	if err := syncDir(fs, j.dir); err != nil {
		return err
	}
	if err := fs.Rename(j.dir, j.cfg.Dir); err != nil {
		return err
	}
	return errors.Join(syncDir(fs, fs.PathDir(j.dir)), syncDir(fs, fs.PathDir(j.cfg.Dir)))
}

// guarded is renew, which never returns when the disk fails in a way that
// Pebble cannot bear: it is left alone then, as of a process that ends.
func (j *restoring) guarded(ctx context.Context) error {
	failed, done := make(chan error, 1), make(chan error, 1)
	inner := *j
	inner.cfg.Failed = func(cause error) {
		failed <- &tributary.Error{Kind: tributary.Unavailable, Op: "restore", Msg: "the disk failed", Err: cause}
	}
	go func() { done <- inner.renew(ctx) }()
	select {
	case err := <-failed:
		return err
	case err := <-done:
		j.report = inner.report
		return err
	}
}

// renew makes what was unpacked a new incarnation.
func (j *restoring) renew(ctx context.Context) (err error) {
	began := time.Now()
	cfg := j.cfg
	cfg.Dir, cfg.MinFree = j.dir, 0
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if s.id != j.report.Manifest.Store {
		return tributary.Errorf(tributary.Invalid, "restore", "the store in the backup is %q, its manifest says %q", s.id, j.report.Manifest.Store)
	}
	j.report.Restored, j.report.Tally, err = s.renew(ctx, tributary.MillisOf(j.report.Manifest.Taken))
	j.report.Renewed = time.Since(began)
	return err
}
