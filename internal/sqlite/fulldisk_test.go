//go:build linux

package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"golang.org/x/sys/unix"
)

// smallDisk is a file system of its own of so many bytes. Only root may make one.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Skipf("a small disk cannot be made: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fillUp takes all the room that is left on a disk, but for some bytes; free gives it
// back.
func fillUp(t *testing.T, dir string, but int) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for block := bytes.Repeat([]byte("x"), 4096); err == nil; {
		var n int
		n, err = f.Write(block)
		size += int64(n)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, size-int64(but))); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(path) }
}

// laden is a store with many runs, each with a log.
func laden(t *testing.T, dir string, count int) *Store {
	t.Helper()
	s := open(t, dir)
	for i := range count {
		id := fmt.Sprintf("run%02d", i)
		leave(t, s, id, "", "plan/"+id, 1)
		if err := s.AppendLogs(context.Background(), []runs.LogChunk{{Run: id, Data: bytes.Repeat([]byte("x"), 20_000), Time: pruneEpoch}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func wantFull(t *testing.T, what string, err error) {
	t.Helper()
	wantCannot(t, what, err)
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, ErrFull) {
		t.Errorf("%s: it does not say that the disk is full: %v", what, err)
	}
}

// TestPruneOnAFullDisk: with no room, or little, nothing is half removed, and it goes on
// when there is some again.
func TestPruneOnAFullDisk(t *testing.T) {
	ctx := context.Background()
	before := pruneEpoch.AddDate(0, 0, 30)
	disk := smallDisk(t, 16<<20)
	s := laden(t, filepath.Join(disk, "store"), 40)
	if _, err := s.writer.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 8 << 10, 64 << 10} {
		free := fillUp(t, disk, room)
		_, err := s.Prune(ctx, before, "user:ann", false)
		wantFull(t, fmt.Sprintf("pruning with room for %d bytes", room), err)
		for i := range 40 {
			id := fmt.Sprintf("run%02d", i)
			run, err := s.Run(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if kept := keptOf(t, s, id); run.Pruned.IsZero() && len(kept) != len(everything) {
				t.Errorf("of %s, which is not marked, is left %s", id, kept)
			}
		}
		if err := s.Record(ctx, events.Event{Source: "/test", Type: "test"}); err == nil && room == 0 {
			t.Error("something was written to a full disk")
		}
		free()
	}
	if _, err := s.Prune(ctx, before, "user:ann", false); err != nil {
		t.Error(err)
	}
	for i := range 40 {
		if kept := keptOf(t, s, fmt.Sprintf("run%02d", i)); len(kept) > 0 {
			t.Error(kept)
		}
	}
	if _, err := verify(t, s); err != nil {
		t.Error(err)
	}
}

// TestBackupOnAFullDisk leaves nothing there.
func TestBackupOnAFullDisk(t *testing.T) {
	ctx := context.Background()
	s := laden(t, t.TempDir(), 40)
	disk := smallDisk(t, 1<<20)
	for _, room := range []int{0, 8 << 10, 256 << 10, 1 << 20} {
		free := fillUp(t, disk, room)
		path := filepath.Join(disk, "backup.db")
		_, err := s.Backup(ctx, path)
		wantFull(t, fmt.Sprintf("a backup with room for %d bytes", room), err)
		free()
		if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
			t.Errorf("left is %v, %v", left, err)
		}
	}
}

// TestRestoreOnAFullDisk changes nothing.
func TestRestoreOnAFullDisk(t *testing.T) {
	ctx := context.Background()
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := laden(t, t.TempDir(), 40).Backup(ctx, backup); err != nil {
		t.Fatal(err)
	}
	disk := smallDisk(t, 4<<20)
	dir := filepath.Join(disk, "store")
	s := laden(t, dir, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 8 << 10, 512 << 10} {
		free := fillUp(t, disk, room)
		_, err := Restore(ctx, dir, backup, RestoreOptions{Force: true, By: "user:ann"})
		wantFull(t, fmt.Sprintf("restoring with room for %d bytes", room), err)
		free()
		s := open(t, dir)
		if list, err := s.storedRuns(ctx, ""); err != nil || len(list) != 3 {
			t.Errorf("the store has %d runs, %v", len(list), err)
		}
		if _, err := verify(t, s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
