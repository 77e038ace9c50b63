package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// childFolder tells a test that it runs in a child process, on which store.
const childFolder = "TUTTI_TEST_STORE"

// child is this test again in a process of its own.
type child struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

// spawn starts a test again in a process of its own, on a store.
func spawn(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return &child{cmd: cmd, out: bufio.NewScanner(out)}
}

// number reads a number the child says; false where it says no more.
func (c *child) number() (n int, ok bool) {
	if !c.out.Scan() {
		return 0, false
	}
	_, err := fmt.Sscan(c.out.Text(), &n)
	return n, err == nil
}

// kill ends the child at once and returns the last number it said, or last.
func (c *child) kill(last int) int {
	_ = c.cmd.Process.Kill()
	for {
		n, ok := c.number()
		if !ok {
			break
		}
		last = n
	}
	_ = c.cmd.Wait()
	return last
}

// drive carries on with the run until it is killed, a batch of commits at a
// time, saying how many entries were acknowledged.
func drive(t *testing.T, dir string) {
	ctx := context.Background()
	s := open(t, dir)
	lease, err := s.Acquire(ctx, "run")
	if errors.Is(err, runs.ErrNotFound) {
		lease, err = start(t, s, "run"), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Read(ctx, "run", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(len(entries)) + 1; ; {
		var batch []runs.Commit
		for range 3 {
			name := fmt.Sprint("x", i)
			batch = append(batch, commit(lease, i, states.Change{Object: object(name), After: instance(name, "v")}))
			i++
		}
		if err := s.Commit(ctx, batch); err != nil {
			t.Fatal(err)
		}
		fmt.Println(i - 1)
	}
}

// TestOwnerDies kills a process that drives a run: the run must be interrupted
// at once, free to be taken over, and everything acknowledged must be there.
func TestOwnerDies(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		drive(t, dir)
		return
	}
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, dir)
	c := spawn(t, dir)
	acknowledged := 0
	for acknowledged < 50 {
		n, ok := c.number()
		if !ok {
			t.Fatal("the owner ended early")
		}
		acknowledged = n
	}
	if run, err := s.Run(ctx, "run"); err != nil || run.Status != runs.Running {
		t.Errorf("while its owner lives: %v, %v", run.Status, err)
	}
	if _, err := s.Acquire(ctx, "run"); !errors.Is(err, runs.ErrHeld) {
		t.Errorf("taking over from a living owner: %v", err)
	}
	if err := s.Abandon(ctx, "run"); !errors.Is(err, runs.ErrHeld) {
		t.Errorf("giving up a run with a living owner: %v", err)
	}
	acknowledged = c.kill(acknowledged)
	if run, _ := s.Run(ctx, "run"); run.Status != runs.Interrupted {
		t.Errorf("after its owner's death: %v", run.Status)
	}
	lease, err := s.Acquire(ctx, "run")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	if lease.Token != 2 {
		t.Errorf("token is %d", lease.Token)
	}
	last := checkConsistent(t, s, acknowledged)
	old := runs.Lease{Run: "run", Token: 1}
	if err := s.Commit(ctx, []runs.Commit{commit(old, int64(last+1))}); !errors.Is(err, runs.ErrFenced) {
		t.Errorf("an outdated lease wrote: %v", err)
	}
}

// TestCrashLoop kills the owner of a run again and again while it commits.
func TestCrashLoop(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		drive(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	last := 0
	for range 10 {
		c := spawn(t, dir)
		for range 1 + random.IntN(20) {
			n, ok := c.number()
			if !ok {
				t.Fatal("the owner ended early")
			}
			last = n
		}
		last = c.kill(last)
		s := open(t, dir)
		last = checkConsistent(t, s, last)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkConsistent checks the store after a crash, and returns how many entries
// the journal has.
func checkConsistent(t *testing.T, s *Store, acknowledged int) int {
	t.Helper()
	ctx := context.Background()
	db, err := s.reading(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the file is damaged: %s, %v", verdict, err)
	}
	recorded, err := s.Recorded(ctx, "run")
	if err != nil {
		t.Fatal(err)
	}
	if len(recorded) < acknowledged || len(recorded)%3 != 0 {
		t.Errorf("%d entries in batches of 3, %d were acknowledged", len(recorded), acknowledged)
	}
	for i, r := range recorded {
		if r.Sequence != int64(i+1) || len(r.Rows) != 1 || r.Rows[0].Object != object(fmt.Sprint("x", i+1)) {
			t.Fatalf("entry %d is %+v", i+1, r)
		}
	}
	st, err := s.State(ctx, defaultKey)
	if err != nil || len(st.Instances) != len(recorded) {
		t.Errorf("%d rows for %d entries (%v)", len(st.Instances), len(recorded), err)
	}
	feed, _, err := s.Events(ctx, 0, 0)
	if err != nil || len(feed) != len(recorded) {
		t.Errorf("%d events for %d entries (%v)", len(feed), len(recorded), err)
	}
	return len(recorded)
}

// TestProcessesTakeTurns lets processes count up the same row in runs of their
// own: nothing may be lost, whoever is refused plans again.
func TestProcessesTakeTurns(t *testing.T) {
	const processes, turns = 3, 15
	if dir := os.Getenv(childFolder); dir != "" {
		takeTurns(t, dir, turns)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	var children []*child
	for range processes {
		children = append(children, spawn(t, dir))
	}
	for _, c := range children {
		for c.out.Scan() {
		}
		if err := c.cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	st, err := s.State(context.Background(), defaultKey)
	if err != nil {
		t.Fatal(err)
	}
	if n := counter(t, st); n != processes*turns || st.Serial != processes*turns {
		t.Errorf("counted to %d, serial %d, want %d", n, st.Serial, processes*turns)
	}
	list, err := s.Runs(context.Background(), runs.RunQuery{})
	if err != nil || len(list) != processes*turns {
		t.Errorf("%d runs, %v", len(list), err)
	}
	for _, run := range list {
		if run.Status != runs.Succeeded {
			t.Errorf("run %s is %s", run.ID, run.Status)
		}
	}
	locks, _ := os.ReadDir(dir + "/locks")
	for _, lock := range locks {
		if lock.Name() != gateName {
			t.Errorf("lock %s was left behind", lock.Name())
		}
	}
}

func counter(t *testing.T, st *states.State) int {
	var v struct{ Count int }
	if inst := st.Instances[object("counter")]; inst != nil {
		if err := json.Unmarshal(inst.Attributes, &v); err != nil {
			t.Fatal(err)
		}
	}
	return v.Count
}

func takeTurns(t *testing.T, dir string, turns int) {
	ctx := context.Background()
	s := open(t, dir)
	for turn := 0; turn < turns; {
		st, err := s.State(ctx, defaultKey)
		if err != nil {
			t.Fatal(err)
		}
		before, obj := st.Instances[object("counter")], object("counter")
		claim := runs.Claim{Objects: []addrs.Object{obj}, Expect: map[addrs.Object]int64{obj: 0}}
		if before != nil {
			claim.Expect[obj] = before.Version
		}
		run := runs.Run{ID: fmt.Sprintf("p%dt%d", os.Getpid(), turn), Key: defaultKey, Status: runs.Running}
		lease, err := s.Start(ctx, run, nil, claim, nil)
		var stale *states.StaleError
		var claimed *states.ClaimError
		if errors.As(err, &stale) || errors.As(err, &claimed) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		after := instance("counter", "")
		after.Attributes = json.RawMessage(fmt.Sprintf(`{"count":%d}`, counter(t, st)+1))
		end := run
		end.Status = runs.Succeeded
		c := commit(lease, 1, states.Change{Object: obj, Before: before, After: after})
		if err := s.Commit(ctx, []runs.Commit{c, {Lease: lease, Run: &end}}); err != nil {
			t.Fatal(err)
		}
		lease.Release()
		turn++
	}
}

// TestLookingDoesNotHold asks for a run's status as fast as it can while others
// take it over: who only looks must keep nobody away.
func TestLookingDoesNotHold(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	start(t, s, "run").Release()
	stop, stopped := make(chan struct{}), make(chan struct{})
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					stopped <- struct{}{}
					return
				default:
					s.alive("run")
				}
			}
		}()
	}
	for range 100 {
		lease, err := s.Acquire(ctx, "run")
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := s.Acquire(ctx, "run"); !errors.Is(err, runs.ErrHeld) {
			t.Errorf("a second owner in the same process: %v", err)
		}
		lease.Release()
	}
	close(stop)
	for range 2 {
		<-stopped
	}
}

// TestTransferIsWhole kills a process that moves objects to and fro between two
// stacks: each is always in exactly one of them.
func TestTransferIsWhole(t *testing.T) {
	const objects = 20
	one, two := states.Key{Stack: "one", Environment: "e"}, states.Key{Stack: "two", Environment: "e"}
	ctx := context.Background()
	if dir := os.Getenv(childFolder); dir != "" {
		s := open(t, dir)
		for n := 1; ; n++ {
			var moves []states.Transfer
			for from, to := range map[states.Key]states.Key{one: two, two: one} {
				st, err := s.State(ctx, from)
				if err != nil {
					t.Fatal(err)
				}
				for obj, inst := range st.Instances {
					moves = append(moves, states.Transfer{From: from, Object: obj, To: to, As: obj, Version: inst.Version})
				}
			}
			if err := s.Transfer(ctx, moves); err != nil {
				t.Fatal(err)
			}
			fmt.Println(n)
		}
	}
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range objects {
		name, key := fmt.Sprint("x", i), one
		if i%2 == 0 {
			key = two
		}
		if err := s.Write(ctx, key, states.Write{Changes: []states.Change{{Object: object(name), After: instance(name, name)}}}); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		c := spawn(t, dir)
		for range 1 + random.IntN(10) {
			if _, ok := c.number(); !ok {
				t.Fatal("it ended early")
			}
		}
		c.kill(0)
		var got [2]*states.State
		for i, key := range []states.Key{one, two} {
			var err error
			if got[i], err = s.State(ctx, key); err != nil {
				t.Fatal(err)
			}
			for obj, inst := range got[i].Instances {
				past, err := s.History(ctx, key, &obj)
				if err != nil || len(past) == 0 || past[0].After == nil || past[0].After.Version != inst.Version {
					t.Fatalf("history of %s: %+v, %v", obj, past, err)
				}
			}
		}
		for i := range objects {
			obj := object(fmt.Sprint("x", i))
			if (got[0].Instances[obj] != nil) == (got[1].Instances[obj] != nil) || len(got[0].Instances) != objects/2 {
				t.Fatalf("%s is in %d of %d and %d", obj, i, len(got[0].Instances), len(got[1].Instances))
			}
		}
	}
}

// stayInPool waits for a place in a pool of one, says 0 as long as it has none
// and numbers from 1 while it is in, until it is killed.
func stayInPool(t *testing.T, dir string) {
	ctx := context.Background()
	s := open(t, dir)
	id := fmt.Sprint("p", os.Getpid())
	lease := start(t, s, id)
	if err := s.EnterPools(ctx, lease, []runs.Ticket{{Pool: "pool", Step: 7, Limit: 1}}); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; {
		granted, err := s.GrantPools(ctx, id, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(granted.Steps) == 1 {
			i++
		}
		fmt.Println(i)
	}
}

// TestOwnerDiesInPool lets processes compete for the only place of a pool and
// kills the one that is in: the others get in, one after the other.
func TestOwnerDiesInPool(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		stayInPool(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	// Who comes is killed only after the next one waits.
	await := func(c *child, least int) {
		t.Helper()
		for {
			n, ok := c.number()
			if !ok {
				t.Fatal("a process ended early")
			}
			if least == 0 && n > 0 {
				t.Fatal("two are in a pool of one")
			}
			if n >= least {
				return
			}
		}
	}
	in := spawn(t, dir)
	await(in, 1)
	for range 3 {
		waits := spawn(t, dir)
		await(waits, 0)
		list, err := s.Pools(context.Background())
		if err != nil || len(list) != 2 || list[0].Run != fmt.Sprint("p", in.cmd.Process.Pid) || list[0].Granted.IsZero() || !list[1].Granted.IsZero() {
			t.Errorf("pools: %+v, %v", list, err)
		}
		in.kill(0)
		await(waits, 1)
		in = waits
	}
	in.kill(0)
	if list, err := s.Pools(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("the dead are still in: %+v, %v", list, err)
	}
}
