package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tutti-dev/tutti/internal/events"
	"golang.org/x/sys/unix"
)

// Processes that make one store at the same time wait for each other: switching a new
// file to its log needs it alone, and SQLite does not wait for that in all cases.
func TestManyMakeOneStore(t *testing.T) {
	const processes, stores = 20, 60
	ctx := context.Background()
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Println(0)
		barrier(t, dir, unix.LOCK_SH) // until all are there
		for i := range stores {
			s, err := Open(ctx, filepath.Join(dir, fmt.Sprint(i)), Options{})
			if err == nil {
				err = s.Record(ctx, events.Event{Source: "/test", Type: "test"})
			}
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println(1)
		return
	}
	dir := t.TempDir()
	start := barrier(t, dir, unix.LOCK_EX)
	var children []*child
	for range processes {
		c := spawn(t, dir)
		c.number()
		children = append(children, c)
	}
	unlock(start)
	for _, c := range children {
		if done, _ := c.number(); done != 1 {
			t.Error("a process could not write to a store that others made at the same time")
		}
		_ = c.cmd.Wait()
	}
	for i := range stores {
		told, _, err := open(t, filepath.Join(dir, fmt.Sprint(i))).Events(ctx, 0, 0)
		if err != nil || len(told) != processes {
			t.Error(i, len(told), err)
		}
	}
}

// Opening a store again takes nothing away from those in the process that have it open:
// whoever closes any descriptor of a file drops all locks of the process on it, those of
// SQLite included, which keep others from removing the log that is still written to.
func TestOpeningAgainKeepsLocks(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		// The bytes that who reads has locked: https://www.sqlite.org/src/file/src/os.h
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 0x40000002, Len: 510}
		if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
			t.Fatal(err)
		}
		fmt.Println(lock.Pid)
		return
	}
	dir := t.TempDir()
	check := func(when string) {
		t.Helper()
		if holder, ok := spawn(t, dir).number(); !ok || holder != os.Getpid() {
			t.Errorf("%s: the file is locked by process %d, not by this one", when, holder)
		}
	}
	first := open(t, dir)
	if err := first.Record(t.Context(), events.Event{Source: "/test", Type: "test"}); err != nil {
		t.Fatal(err)
	}
	check("made")
	second := open(t, dir)
	check("opened again")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed once")
}

// barrier takes a lock of a folder once it is free.
func barrier(t *testing.T, dir string, how int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "barrier"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = flock(f, how)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}
