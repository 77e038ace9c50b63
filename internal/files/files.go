// Package files writes files so that nobody ever finds half of one: whatever cuts it off,
// a kill, a power cut or a full disk, there is the old content or the new one.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Replace puts content in the place of a file, or makes one: it is written beside it, to
// the disk, and renamed. A symbolic link stays one, what it leads to is replaced; the owner
// stays, where that is allowed, and who may not write to the file may not replace it. A new
// file has the mode that the process lets it have, another one loses what mode does not
// have and gains nothing. What is no regular file, as a terminal or a pipe, is written to.
func Replace(path string, content []byte, mode fs.FileMode) error {
	path, err := behindLinks(path)
	if err != nil {
		return err
	}
	former, err := os.Stat(path)
	switch {
	case err != nil: // there is none yet, or what is wrong shows at once
	case !former.Mode().IsRegular():
		return os.WriteFile(path, content, mode)
	default:
		if err := unix.Access(path, unix.W_OK); err != nil {
			return &os.PathError{Op: "open", Path: path, Err: err}
		}
		mode &= former.Mode().Perm()
	}
	draft, err := create(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)), mode)
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(content)
	if former != nil && err == nil {
		if err = draft.Chmod(mode); err == nil {
			keepOwner(draft, former)
		}
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

// behindLinks is the file that a path leads to by symbolic links, whether it exists or not.
func behindLinks(path string) (string, error) {
	if there, err := filepath.EvalSymlinks(path); err == nil {
		return there, nil
	}
	for range 40 { // as many as Linux follows
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // it is no link
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
}

// create makes a new file whose name begins as given.
func create(name string, mode fs.FileMode) (*os.File, error) {
	for {
		f, err := os.OpenFile(fmt.Sprintf("%s.%d", name, rand.Uint64()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
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
