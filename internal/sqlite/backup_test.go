package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/runs"
)

func backUp(t *testing.T, s *Store, path string) Contents {
	t.Helper()
	c, err := s.Backup(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Events.Problem != "" {
		t.Fatalf("the chain in the backup: %s", c.Events.Problem)
	}
	return c
}

func restore(t *testing.T, dir, backup string, o RestoreOptions) Restored {
	t.Helper()
	out, err := Restore(context.Background(), dir, backup, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Another process commits all the while; whatever it had been told was written before
// a backup began is in that backup, and it is never kept waiting for long.
func TestBackupWhileOthersWrite(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		drive(t, dir)
		return
	}
	dir, out := t.TempDir(), t.TempDir()
	c := spawn(t, dir)
	said := 0
	s := open(t, dir)
	for i := range 4 {
		for range 20 {
			n, ok := c.number()
			if !ok {
				t.Fatal("the child has ended")
			}
			said = n
		}
		path := filepath.Join(out, fmt.Sprintf("%d.db", i))
		if i > 0 { // the run is there by then
			backUp(t, s, path)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("mode %v, %v", info.Mode(), err)
			}
			to := t.TempDir()
			restore(t, to, path, RestoreOptions{})
			entries, err := open(t, to).Read(context.Background(), "run", 0)
			if err != nil || len(entries) < said {
				t.Fatalf("the backup has %d entries of %d, %v", len(entries), said, err)
			}
		}
	}
	c.kill(0)
	if left, _ := filepath.Glob(filepath.Join(out, "*"+partly)); len(left) > 0 {
		t.Error("left behind:", left)
	}
}

func TestBackupReplacesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "backup.db")
	if _, err := s.Backup(context.Background(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("of a store that was never written:", err)
	}
	record(t, s, 0, 3)
	if got := backUp(t, s, path).Events.Events; got != 3 {
		t.Errorf("%d events", got)
	}
	before, _ := os.ReadFile(path)
	if _, err := s.Backup(context.Background(), path); !errors.Is(err, fs.ErrExist) {
		t.Error("over another file:", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the other file was changed")
	}
	// Cut off by a kill: what it left is written over.
	if err := os.WriteFile(path+"2"+partly, bytes.Repeat([]byte("x"), 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	backUp(t, s, path+"2")
	if info, err := os.Stat(path + "2"); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("mode", info.Mode(), err)
	}
}

// What is wrong with a backup is found before anything is replaced.
func TestDamagedBackupsAreRefused(t *testing.T) {
	from := open(t, t.TempDir())
	start(t, from, "run", "a").Release()
	record(t, from, 0, 2000)
	good := filepath.Join(t.TempDir(), "good.db")
	backUp(t, from, good)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(data)
	for i := 4096; i < len(damaged); i += 4096 {
		copy(damaged[i:], bytes.Repeat([]byte{0xa5}, 64))
	}
	altering, err := sql.Open("sqlite", dataSource(good, false))
	if err == nil {
		_, err = altering.Exec("UPDATE events SET actor = 'user:bob' WHERE sequence = 7")
	}
	if err := errors.Join(err, altering.Close()); err != nil {
		t.Fatal(err)
	}
	altered, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := open(t, dir)
	record(t, s, 0, 1)
	_ = s.Close()
	for name, bad := range map[string][]byte{"damaged": damaged, "cut off": data[:len(data)/2], "text": []byte("resource \"a\" \"b\" {}\n"), "empty": {}, "altered": altered} {
		path := filepath.Join(t.TempDir(), "bad.db")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Restore(context.Background(), dir, path, RestoreOptions{})
		if err == nil {
			t.Errorf("%s: restored", name)
		}
		if name == "altered" != errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
		if _, made, _ := s.Events(context.Background(), 0, 0); made != 1 {
			t.Errorf("%s: the store was touched", name)
		}
		_ = s.Close()
	}
}

func TestRestoreReplacesNothingNewer(t *testing.T) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	s := open(t, dir)
	start(t, s, "open", "a").Release() // its owner is gone
	record(t, s, 0, 3)
	backUp(t, s, backup)
	if _, err := Restore(context.Background(), dir, backup, RestoreOptions{}); !errors.Is(err, ErrInUse) {
		t.Fatal("while it is used:", err)
	}
	_ = s.Close()

	// As it was then: nothing is lost. The run that had not ended ends.
	out := restore(t, dir, backup, RestoreOptions{By: "user:ann"})
	if out.Former != "" || !cmp.Equal(out.Ended, []string{"open"}) || out.Events.Events != 3 {
		t.Errorf("%+v", out)
	}
	s = open(t, dir)
	if r, err := s.Run(context.Background(), "open"); err != nil || r.Status != runs.Cancelled {
		t.Errorf("%v, %v", r.Status, err)
	}
	list, _, err := s.Events(context.Background(), 3, 0)
	if err != nil || len(list) != 2 || list[1].Type != "store.restored" || list[1].Actor != "user:ann" || list[1].Subject != "backup.db" {
		t.Errorf("%v, %v", list, err)
	}
	if chain, broken := verify(t, s); broken != nil || chain.Last != 5 {
		t.Error(chain, broken)
	}
	_ = s.Close()

	// Now it has two events more.
	if _, err := Restore(context.Background(), dir, backup, RestoreOptions{}); !errors.Is(err, ErrNewer) {
		t.Fatal("over a newer one:", err)
	}
	out = restore(t, dir, backup, RestoreOptions{Force: true, KeepRuns: true})
	if len(out.Ended) > 0 || out.Former == "" {
		t.Errorf("%+v", out)
	}
	if c := countEvents(t, out.Former); c != 5 {
		t.Errorf("the former store has %d events", c)
	}
	s = open(t, dir)
	if r, err := s.Run(context.Background(), "open"); err != nil || r.Status != runs.Interrupted {
		t.Errorf("%v, %v", r.Status, err)
	}
	_ = s.Close()

	// Another store of the same length is not an older one.
	other := t.TempDir()
	o := open(t, other)
	record(t, o, 7, 2)
	_ = o.Close()
	if _, err := Restore(context.Background(), other, backup, RestoreOptions{}); !errors.Is(err, ErrNewer) {
		t.Error("over another one:", err)
	}

	// One that cannot be read any more is kept, with its log.
	for name, text := range map[string]string{fileName: "rubbish", fileName + "-wal": "its log"} {
		if err := os.WriteFile(filepath.Join(other, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Restore(context.Background(), other, backup, RestoreOptions{}); !errors.Is(err, ErrNewer) {
		t.Error("over a damaged one:", err)
	}
	out = restore(t, other, backup, RestoreOptions{Force: true})
	if text, err := os.ReadFile(out.Former); err != nil || string(text) != "rubbish" {
		t.Errorf("%q, %v", text, err)
	}
	if chain, broken := verify(t, open(t, other)); broken != nil || chain.Last != 5 {
		t.Error(chain, broken)
	}
}

func countEvents(t *testing.T, path string) (n int64) {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, fileName), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	chain, broken := verify(t, open(t, dir))
	if broken != nil {
		t.Error(broken)
	}
	return chain.Last
}

// Killed at any moment, restoring has either happened or not.
func TestRestoreIsWhole(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Println(1)
		for {
			if _, err := Restore(context.Background(), filepath.Join(dir, "store"), filepath.Join(dir, "backup.db"), RestoreOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
			fmt.Println(1)
		}
	}
	top := t.TempDir()
	dir := filepath.Join(top, "store")
	s := open(t, dir)
	start(t, s, "open", "a").Release()
	record(t, s, 0, 500)
	backUp(t, s, filepath.Join(top, "backup.db"))
	record(t, s, 500, 10)
	_ = s.Close()
	for range 15 {
		c := spawn(t, top)
		c.number()
		for range rand.IntN(3) {
			c.number()
		}
		<-time.After(rand.N(20 * time.Millisecond))
		c.kill(0)
		s := open(t, dir)
		chain, broken := verify(t, s)
		if broken != nil || chain.Last != 510 && chain.Last != 502 {
			t.Fatalf("the store has %d events, %v", chain.Last, broken)
		}
		_ = s.Close()
	}
}

// One big enough that the time can be seen: what writers wait for beside a backup.
func TestBackupHoldsNobodyUp(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 64 MB")
	}
	dir := t.TempDir()
	s := open(t, dir)
	lease := start(t, s, "run")
	block := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	var chunks []runs.LogChunk
	for range 1000 {
		chunks = append(chunks, runs.LogChunk{Run: "run", Stream: "stdout", Data: block, Time: time.Now()})
	}
	if err := s.AppendLogs(context.Background(), chunks); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Backup(context.Background(), filepath.Join(dir, "backup.db"))
		done <- err
	}()
	commits := int64(0)
	for running := true; running; {
		commits++
		if err := s.Commit(context.Background(), []runs.Commit{commit(lease, commits)}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
	}
	if commits < 5 {
		t.Errorf("only %d commits beside the backup", commits)
	}
}
