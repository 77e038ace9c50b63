// Package files writes files so that nobody ever finds half of one: whatever cuts it off,
// a kill, a power cut or a full disk, there is the old content or the new one.
package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Replace puts content in the place of a file, or makes one: it is written beside it, to
// the disk, and renamed. A symbolic link stays one, what it leads to is replaced; the owner
// stays, where that is allowed. What is no regular file, as a terminal or a pipe, is written
// to.
func Replace(path string, content []byte, mode fs.FileMode) error {
	if leadsTo, err := filepath.EvalSymlinks(path); err == nil {
		path = leadsTo
	}
	former, err := os.Stat(path)
	if err == nil && !former.Mode().IsRegular() {
		return os.WriteFile(path, content, mode)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	if _, err = draft.Write(content); err == nil {
		err = draft.Chmod(mode)
	}
	if former != nil && err == nil {
		keepOwner(draft, former)
	}
	if err == nil {
		err = draft.Sync()
	}
	if closed := draft.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}

// keepOwner gives a file the owner and the group of another. Only root may do so in
// general; to whoever else can replace a file it belongs then.
func keepOwner(f *os.File, former fs.FileInfo) {
	was, ok := former.Sys().(*syscall.Stat_t)
	if info, err := f.Stat(); err == nil && ok {
		if is, ok := info.Sys().(*syscall.Stat_t); ok && (is.Uid != was.Uid || is.Gid != was.Gid) {
			_ = f.Chown(int(was.Uid), int(was.Gid))
		}
	}
}

// InStore reports whether a path below some folder, with slashes, leads into the folder of
// a store (.tutti). Nobody but the store opens what is there: whoever closes a file of it
// takes away all locks that the process has on that file, those of SQLite included; and it
// changes with everything that is done.
func InStore(path string) bool {
	return slices.Contains(strings.Split(path, "/"), ".tutti")
}

// Locked does something while no other process, and nobody else in this one, does it with
// the same file, which is made and stays.
func Locked(path string, do func() error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // which unlocks it
	if err := lock(f); err != nil {
		return &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return do()
}

// LockedFolder does something while nobody else does it with the same folder, where its
// file system can lock folders; elsewhere it is only done.
func LockedFolder(path string, do func() error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // which unlocks it
	_ = lock(f)
	return do()
}

// lock waits until nobody else has locked a file or folder.
func lock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
