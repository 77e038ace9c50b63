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

const (
	// locksFolder holds one file per run being worked on. Whoever drives a run
	// has the file locked; the operating system lets go of the lock the moment
	// the process is gone, however it ended.
	locksFolder = "locks"
	// gateName is locked for the moment in which a lock is taken, removed or
	// looked at. Looking at a lock means taking it: without the gate, somebody
	// who only looks would keep away who wants to work, and a file could be
	// removed between being opened and being locked.
	gateName = ".gate"
)

func (s *Store) lockPath(run string) (string, error) {
	if run == "" || strings.ContainsAny(run, `/\`) || strings.HasPrefix(run, ".") {
		return "", fmt.Errorf("run %q: %w", run, runs.ErrNotFound)
	}
	return filepath.Join(s.dir, locksFolder, run+".lock"), nil
}

// gate waits for the gate; unlocking what it returns opens it to others.
func (s *Store) gate(how int) (*os.File, error) {
	path := filepath.Join(s.dir, locksFolder, gateName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, how); err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// unlock gives a lock back and closes its file. Closing alone is not enough: a
// child process that another goroutine is just starting has the open file as
// well until it runs its own program, and with the file it has the lock.
func unlock(f *os.File) {
	_ = flock(f, unix.LOCK_UN)
	_ = f.Close()
}

// lock takes the lock of a run; runs.ErrHeld where somebody has it, in this
// process or another.
func (s *Store) lock(run string) (release func(), err error) {
	path, err := s.lockPath(run)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	gate, err := s.gate(unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	defer unlock(gate)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, runs.ErrHeld
		}
		return nil, fmt.Errorf("cannot lock run %s: %w", run, err)
	}
	s.held.Store(run, true)
	return sync.OnceFunc(func() {
		s.held.Delete(run)
		unlock(f)
	}), nil
}

// alive reports whether somebody works on a run.
func (s *Store) alive(run string) bool {
	if _, here := s.held.Load(run); here {
		return true
	}
	path, err := s.lockPath(run)
	if err != nil {
		return false
	}
	gate, err := s.gate(unix.LOCK_SH)
	if err != nil {
		return false
	}
	defer unlock(gate)
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer unlock(f)
	return errors.Is(flock(f, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// dropLock removes the lock file of a run that has ended or never came to be.
// The caller has the lock: nobody else can have this file, and who makes it
// again finds out that the run has ended.
func (s *Store) dropLock(run string) {
	path, err := s.lockPath(run)
	if err != nil {
		return
	}
	gate, err := s.gate(unix.LOCK_EX)
	if err != nil {
		return // it only lies there
	}
	defer unlock(gate)
	_ = os.Remove(path)
}
