package actions

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// scratchFolders has a private folder for each step that needs one, all in one
// folder of this process. A lock in it tells whether the process still lives, in
// whatever container it does so: those of dead ones are removed when this one makes
// its own.
type scratchFolders struct {
	mu    sync.Mutex
	dir   string // of this process; empty while no step has a folder
	lock  *os.File
	taken int
}

const (
	scratchPrefix = "tutti-steps-"
	scratchLock   = ".lock"
)

var scratch scratchFolders

// TakeScratch makes a folder that only this user may look into, to be given back with
// [GiveBackScratch]. If this process dies before, the next one that makes such folders
// removes it.
func TakeScratch() (string, error) { return scratch.take() }

// GiveBackScratch removes a folder that [TakeScratch] made, with all that is in it.
func GiveBackScratch(path string) { scratch.giveBack(path) }

// SweepScratch removes what this user's processes that are gone have left.
func SweepScratch() { sweepScratch(os.TempDir()) }

// take makes a folder that only this user may look into, to be given back.
func (s *scratchFolders) take() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		sweepScratch(os.TempDir())
		if err := s.make(); err != nil {
			return "", err
		}
	}
	path, err := os.MkdirTemp(s.dir, "step-")
	if err == nil {
		s.taken++
		return path, nil
	}
	if s.taken == 0 {
		s.remove()
	}
	return "", err
}

func (s *scratchFolders) giveBack(path string) {
	_ = os.RemoveAll(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken--; s.taken == 0 {
		s.remove()
	}
}

// make makes the folder of this process. The lock gets its name once it is held:
// nobody finds one that seems to be left.
func (s *scratchFolders) make() (err error) {
	if s.dir, err = os.MkdirTemp("", scratchPrefix); err != nil {
		return err
	}
	path := filepath.Join(s.dir, scratchLock)
	if s.lock, err = os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err == nil {
		if err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		s.remove()
	}
	return err
}

func (s *scratchFolders) remove() {
	_ = os.RemoveAll(s.dir)
	if s.lock != nil {
		_ = s.lock.Close()
	}
	s.dir, s.lock = "", nil
}

// sweepScratch removes the folders of this user's processes that are gone. What
// cannot be removed stays.
func sweepScratch(temporary string) {
	found, _ := filepath.Glob(filepath.Join(temporary, scratchPrefix+"*"))
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Getuid() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, scratchLock), os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // it is just being made, or removed
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}
