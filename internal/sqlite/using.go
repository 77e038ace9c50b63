package sqlite

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// usingName is locked, shared, by everybody who has the file open, and by whoever
// puts another in its place, alone: who went on writing to the former one would
// write for nobody.
const usingName = ".using"

// ErrInUse says that another process has the store open.
var ErrInUse = errors.New("another process uses the store")

// errReplaced says that another store is being put in the place of this one.
var errReplaced = errors.New("a backup is being restored: try again when that is done")

// use takes the lock that says that the store in a folder is in use, or, alone,
// that nobody may use it. Closing what it returns with unlock gives it back.
func use(dir string, alone bool) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, usingName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	how, taken := unix.LOCK_SH, errReplaced
	if alone {
		how, taken = unix.LOCK_EX, ErrInUse
	}
	if err := flock(f, how|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, taken
		}
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return f, nil
}
