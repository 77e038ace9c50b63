package sqlite

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
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
	if list, err := s.OpenFires(context.Background(), ""); len(list) > 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := s.Sightings(context.Background()); len(list) > 0 || err != nil {
		t.Errorf("%v, %v", list, err)
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
		taken, err := s.Take(context.Background(), []runs.Fire{{Schedule: "s", At: time.Unix(int64(i), 0), Run: fmt.Sprint(os.Getpid()), Status: runs.FireQueued}})
		if err != nil {
			t.Fatal(err)
		}
		if len(taken) > 0 {
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

// TestOldInstantsAreDropped has more instants than are kept, and one that is
// open: that one stays.
func TestOldInstantsAreDropped(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := open(t, t.TempDir())
	var fires []runs.Fire
	for i := range runs.FiresKept + 2*dropEvery {
		fires = append(fires, runs.Fire{Schedule: "s", At: time.Unix(int64(i), 0), Run: fmt.Sprint(i), Status: runs.FireSkipped})
	}
	if _, err := s.Take(ctx, fires); err != nil {
		t.Fatal(err)
	}
	check := func(when string, least, most int) {
		t.Helper()
		list, err := s.Fires(ctx, "s", 0)
		if err != nil || len(list) < least || len(list) > most || list[len(list)-1].Run != "0" {
			t.Errorf("%s: %d instants are kept, the oldest is %+v (%v)", when, len(list), list[len(list)-1], err)
		}
	}
	check("many", runs.FiresKept, runs.FiresKept+dropEvery+1)
	for i := range dropEvery {
		at := time.Unix(0, 0).Add(runs.FireAge + 24*time.Hour + time.Duration(i)*time.Second)
		if _, err := s.Take(ctx, []runs.Fire{{Schedule: "s", At: at, Status: runs.FireSkipped}}); err != nil {
			t.Fatal(err)
		}
	}
	check("late", 2, dropEvery+2)
}
