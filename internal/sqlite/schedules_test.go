package sqlite

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

func TestScheduleStore(t *testing.T) {
	t.Parallel()
	runstest.CheckScheduleStore(t, open(t, t.TempDir()))
}

// TestFiresOfABlankStore reads where nothing was ever written: there must be no
// file after it.
func TestFiresOfABlankStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, ok, err := s.LastFire(context.Background(), "a"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("reading made %v", files)
	}
}

// fireAll takes one instant after the other, saying which it got, until it is
// killed.
func fireAll(t *testing.T, dir string) {
	s := open(t, dir)
	for i := 0; ; i++ {
		fresh, err := s.Fire(context.Background(), "s", time.Unix(int64(i), 0), fmt.Sprint(os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		if fresh {
			fmt.Println(i)
		}
	}
}

// TestInstantsAreTakenOnce has processes race for the same instants, killing
// and replacing them while they do. Each must be taken by one of them; what a
// process was told it has, it must have, and only what it was writing when it
// died may be its own without it having been told.
func TestInstantsAreTakenOnce(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		fireAll(t, dir)
		return
	}
	t.Parallel()
	const processes, rounds = 2, 3
	dir := t.TempDir()
	owners := map[int]string{}
	dead := 0
	for range rounds {
		var children []*child
		told := make(chan [2]int)
		var readers sync.WaitGroup
		for range processes {
			c := spawn(t, dir)
			children = append(children, c)
			readers.Go(func() {
				for n, ok := c.number(); ok; n, ok = c.number() {
					told <- [2]int{n, c.cmd.Process.Pid}
				}
			})
		}
		go func() {
			readers.Wait()
			close(told)
		}()
		count := 0
		for n := range told {
			if count++; count == 40 {
				for _, c := range children {
					_ = c.cmd.Process.Kill()
				}
			}
			if other := owners[n[0]]; other != "" {
				t.Errorf("instant %d was taken by %s and %d", n[0], other, n[1])
			}
			owners[n[0]] = fmt.Sprint(n[1])
		}
		for _, c := range children {
			_ = c.cmd.Wait()
		}
		if dead += processes; count < 40 {
			t.Fatal("the processes ended early")
		}
	}
	list, err := open(t, dir).Fires(context.Background(), "s", 0)
	if err != nil || len(list) < len(owners) || len(list) > len(owners)+dead {
		t.Errorf("%d instants are stored, %d were taken, %d processes died (%v)", len(list), len(owners), dead, err)
	}
	for _, f := range list {
		if owner := owners[int(f.At.Unix())]; owner != "" && owner != f.Run {
			t.Errorf("instant %v was taken by %s, stored is %s", f.At, owner, f.Run)
		}
	}
}
