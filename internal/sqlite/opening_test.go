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
