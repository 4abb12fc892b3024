package pebblestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// notLocked says why a folder could not be locked, and what to do if another
// process has it.
func notLocked(dir, advice string, err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Sprintf("the data folder %s cannot be used: %v", dir, path)
	}
	var code syscall.Errno
	if errors.As(err, &code) && code != syscall.EAGAIN && code != syscall.EACCES {
		return fmt.Sprintf("the data folder %s cannot be locked: %v", dir, code)
	}
	by := "another tributary"
	if pid := lockHolder(filepath.Join(dir, "LOCK")); pid > 0 {
		by += fmt.Sprintf(" (process %d)", pid)
	}
	return fmt.Sprintf("the data folder %s is in use by %s: %s", dir, by, advice)
}

// lockHolder is the process that has a file locked, 0 if it is not known. To
// ask by a file of our own would take the lock from this process if it is the
// one: closing any file gives up all locks on it.
func lockHolder(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0 // not Linux
	}
	device := uint64(file.Dev)
	major, minor := device>>8&0xfff|device>>32&^0xfff, device&0xff|device>>12&^0xff
	name := fmt.Sprintf("%02x:%02x:%d", major, minor, file.Ino)
	for line := range strings.Lines(string(locks)) {
		// Such as "1: POSIX  ADVISORY  WRITE 4711 fe:00:10027311 0 EOF".
		if f := strings.Fields(line); len(f) > 5 && f[5] == name {
			pid, _ := strconv.Atoi(f[4])
			return pid
		}
	}
	return 0
}
