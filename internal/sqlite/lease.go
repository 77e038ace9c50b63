package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tutti-dev/tutti/internal/runs"
	"golang.org/x/sys/unix"
)

// locksFolder holds one file per run being worked on. Whoever drives a run has
// the file locked; the operating system lets go of the lock the moment the
// process is gone, however it ended.
const locksFolder = "locks"

func (s *Store) lockPath(run string) (string, error) {
	if run == "" || strings.ContainsAny(run, `/\`) || strings.HasPrefix(run, ".") {
		return "", runs.ErrNotFound
	}
	return filepath.Join(s.dir, locksFolder, run+".lock"), nil
}

// lock takes the lock of a run; runs.ErrHeld where somebody has it.
func (s *Store) lock(run string) (release func(), err error) {
	path, err := s.lockPath(run)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, runs.ErrHeld
		}
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	var once sync.Once
	return func() { once.Do(func() { _ = f.Close() }) }, nil
}

// alive reports whether somebody works on a run. It takes the lock shared, so
// that asking does not look like working to others who ask.
func (s *Store) alive(run string) bool {
	path, err := s.lockPath(run)
	if err != nil {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// dropLock removes the lock file of a run that has ended. Nobody takes the lock
// of such a run again, so the file cannot be one that somebody just made.
func (s *Store) dropLock(run string) {
	if path, err := s.lockPath(run); err == nil {
		_ = os.Remove(path)
	}
}
