package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// unfinished is a file that is there while a new store is being created.
const unfinished = "UNFINISHED"

// begin tells whether the folder holds no store yet, and marks it. What a
// creation left behind that was cut short is removed: nobody was answered.
func begin(fs vfs.FS, dir string) (fresh bool, err error) {
	const lock = "LOCK" // Pebble's, and ours already
	names, err := fs.List(dir)
	if err != nil {
		return false, err
	}
	_, missing := fs.Stat(fs.PathJoin(dir, unfinished))
	for _, name := range names {
		if name == lock || name == unfinished {
			continue
		}
		if missing != nil {
			return false, nil // a store
		}
		if err := fs.RemoveAll(fs.PathJoin(dir, name)); err != nil {
			return false, err
		}
	}
	mark, err := fs.Create(fs.PathJoin(dir, unfinished), vfs.WriteCategoryUnspecified)
	if err != nil {
		return false, err
	}
	return true, errors.Join(mark.Close(), syncDir(fs, dir))
}

// finish takes the mark away, before the first write is answered.
func finish(fs vfs.FS, dir string) error {
	if err := fs.Remove(fs.PathJoin(dir, unfinished)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mkdirAll makes a folder and those above it, durably: after a power cut the
// whole store would be missing else.
func mkdirAll(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(dir); err == nil || parent == dir {
		return nil
	}
	if err := mkdirAll(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}
