package observer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// memory is a store.
type memory struct {
	mu        sync.Mutex
	documents map[states.Key]json.RawMessage
	told      []events.Event
	// fails has the next changes fail.
	fails bool
	// onWrite, where not nil, says of a change whether it takes effect, and what its
	// caller is told.
	onWrite func() (bool, error)
	made    func(runs.NewRun) // is called for every run that is made
}

func (m *memory) Observation(_ context.Context, key states.Key) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.documents[key], nil
}

func (m *memory) Observations(context.Context) (map[states.Key]json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.documents), nil
}

func (m *memory) Observe(_ context.Context, key states.Key, change func(json.RawMessage) (json.RawMessage, []events.Event, error), made ...runs.NewRun) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails {
		return errors.New("the disk is full")
	}
	document, told, err := change(m.documents[key])
	if err != nil {
		return err
	}
	if m.onWrite != nil {
		var done bool
		if done, err = m.onWrite(); !done {
			return err
		}
	}
	m.documents[key] = document
	m.told = append(m.told, told...)
	for _, n := range made {
		m.made(n)
	}
	return err
}

// known is what is known of a stack.
func (m *memory) known(key states.Key) Record {
	document, _ := m.Observation(context.Background(), key)
	r, _ := Read(document)
	return r
}

func (m *memory) failing(fails bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = fails
}

// count is how many events of a type were told.
func (m *memory) count(kind string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.told {
		if e.Type == kind {
			n++
		}
	}
	return n
}

// looked is a look that was made.
type looked struct {
	key          states.Key
	began, ended time.Time
	asked        *Asked
}

// world is what is looked at.
type world struct {
	mu      sync.Mutex
	takes   time.Duration // a look
	drift   map[states.Key][]Change
	problem error
	busy    map[states.Key]bool
	open    map[string]bool // runs of repairs that were made
	made    []string        // runs of repairs, in order
	tried   int             // repairs that were to be made
	refuse  error           // why none can be
	looks   []looked
	now     map[states.Key]int // looks at work
	most    int                // of all stacks
	twice   bool               // some stack was looked at twice at a time
}

func (w *world) Look(ctx context.Context, t Target, asked *Asked) (Look, error) {
	w.mu.Lock()
	w.now[t.Key]++
	w.twice = w.twice || w.now[t.Key] > 1
	all := 0
	for _, n := range w.now {
		all += n
	}
	w.most = max(w.most, all)
	began := time.Now()
	w.mu.Unlock()
	timer := time.NewTimer(w.takes)
	defer timer.Stop()
	var err error
	select {
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now[t.Key]--
	if err == nil {
		err = w.problem
	}
	w.looks = append(w.looks, looked{t.Key, began, time.Now(), asked})
	return Look{Changes: w.drift[t.Key]}, err
}

func (w *world) Busy(_ context.Context, key states.Key) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy[key], nil
}

func (w *world) Repair(_ context.Context, t Target, r Repair) (runs.NewRun, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tried++
	return runs.NewRun{Run: runs.Run{ID: r.Run, Key: t.Key}}, w.refuse
}

// begin takes a run that was made: it is open from then on.
func (w *world) begin(n runs.NewRun) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[n.Run.ID] = true
	w.made = append(w.made, n.Run.ID)
}

func (w *world) Open(_ context.Context, run string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open, made := w.open[run]
	if !made {
		return false, fmt.Errorf("run %q: %w", run, runs.ErrNotFound)
	}
	return open, nil
}

func (w *world) set(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// count is how often a stack was looked at.
func (w *world) count(key states.Key) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.looks {
		if l.key == key {
			n++
		}
	}
	return n
}

// all are the looks and the repairs that were made.
func (w *world) all() ([]looked, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.looks), slices.Clone(w.made)
}

func newWorld() (*world, *memory) {
	w := &world{takes: time.Second, drift: map[states.Key][]Change{}, busy: map[states.Key]bool{}, open: map[string]bool{}, now: map[states.Key]int{}}
	return w, &memory{documents: map[states.Key]json.RawMessage{}, made: w.begin}
}

// observe has an observer at work until the function returned is called, which
// waits until it has let go.
func observe(t *testing.T, w *world, m *memory, targets ...Target) (o *Observer, stop func()) {
	t.Helper()
	o = &Observer{Store: m, Work: w}
	ctx, cancel := context.WithCancel(t.Context())
	lists := make(chan []Target, 1)
	lists <- targets
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Run(ctx, lists)
	}()
	return o, func() {
		cancel()
		<-done
	}
}

func keyed(stack string) states.Key { return states.Key{Stack: stack, Environment: "prod"} }

func every(stack string, length time.Duration) Target {
	return Target{Key: keyed(stack), Block: &projects.Observe{Every: length, Flapping: 3, Within: 24 * time.Hour, As: "service:observer"}}
}

// TestLooksAreEven: each stack is looked at as often as its block says, give or take
// what is left to chance, never twice at a time, and few at once.
func TestLooksAreEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		w.takes = 20 * time.Second
		var targets []Target
		for i := range 20 {
			targets = append(targets, every(fmt.Sprint("s", i), 15*time.Minute))
		}
		targets = append(targets, Target{Key: keyed("unobserved")})
		_, stop := observe(t, w, m, targets...)
		time.Sleep(24 * time.Hour)
		stop()
		if w.twice || w.most > atOnce {
			t.Errorf("a stack was looked at twice at a time: %t; %d at once", w.twice, w.most)
		}
		if n := w.count(keyed("unobserved")); n != 0 {
			t.Errorf("a stack that nobody asked about was looked at %d times", n)
		}
		last := map[states.Key]time.Time{}
		differ := map[time.Duration]bool{}
		for _, l := range w.looks {
			if before, ok := last[l.key]; ok {
				between := l.began.Sub(before)
				differ[between] = true
				// Those that are due at the same time wait for each other.
				if between < 13*time.Minute+30*time.Second || between > 16*time.Minute+30*time.Second+2*time.Minute {
					t.Errorf("%s was looked at after %s", l.key.Stack, between)
				}
			}
			last[l.key] = l.ended
		}
		if len(differ) < 100 {
			t.Errorf("nothing is left to chance: %d different times between looks", len(differ))
		}
		for _, target := range targets[:20] {
			if n := w.count(target.Key); n < 80 || n > 105 {
				t.Errorf("%s was looked at %d times in a day", target.Key.Stack, n)
			}
		}
	})
}

// TestRestartLooksWhenDue: who comes after a crash goes on where the one before was,
// and does a look again that had not ended.
func TestRestartLooksWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		shop := every("shop", time.Hour)
		_, stop := observe(t, w, m, shop)
		time.Sleep(10 * time.Minute)
		stop()
		_, stop = observe(t, w, m, shop)
		time.Sleep(10 * time.Minute)
		if n := w.count(shop.Key); n != 1 {
			t.Errorf("after a restart it was looked at %d times in 20 minutes", n)
		}
		w.set(func() { w.takes = 24 * time.Hour })
		time.Sleep(2 * time.Hour) // in the middle of a look
		stop()
		w.set(func() { w.takes = time.Second; w.drift[shop.Key] = []Change{changed("a", "x", "1")} })
		before := w.count(shop.Key)
		_, stop = observe(t, w, m, shop)
		defer stop()
		time.Sleep(2 * time.Second)
		if n := w.count(shop.Key) - before; n != 1 {
			t.Errorf("a look that was cut off is done again %d times", n)
		}
		if r := m.known(shop.Key); r.Failures != 0 || len(r.Drift) != 1 {
			t.Errorf("known is %+v", r)
		}
	})
}

// TestClockThatWasAhead: a stack that was looked at while the clock was a year ahead, with
// or without success, is looked at again at once when it is right, and then in time.
func TestClockThatWasAhead(t *testing.T) {
	for _, problem := range []error{nil, errors.New("no network")} {
		synctest.Test(t, func(t *testing.T) {
			w, m := newWorld()
			shop := every("shop", time.Hour)
			ahead := time.Now().AddDate(1, 0, 0)
			l := Look{Began: ahead, Ended: ahead}
			if problem != nil {
				l.Problem = problem.Error()
			}
			r, _ := Record{}.After(l, Settings{Every: time.Hour})
			m.documents[shop.Key], _ = json.Marshal(r)
			_, stop := observe(t, w, m, shop)
			time.Sleep(time.Minute)
			if n := w.count(shop.Key); n != 1 {
				t.Errorf("it was looked at %d times", n)
			}
			time.Sleep(5 * time.Hour)
			if n := w.count(shop.Key); n < 5 || n > 7 {
				t.Errorf("in five hours it was looked at %d times", n)
			}
			stop()
			r.Failures, w.problem = 0, errors.New("no network") // and now it fails
			m.documents[shop.Key], _ = json.Marshal(r)
			before := w.count(shop.Key)
			_, stop = observe(t, w, m, shop)
			time.Sleep(time.Hour)
			stop()
			if n := w.count(shop.Key) - before; n < 2 || n > 10 {
				t.Errorf("in an hour of failures it was looked at %d times", n)
			}
		})
	}
}

// TestPausedWhileChanged: nobody looks while a run is at work, and a look that a run
// comes in between counts for nothing.
func TestPausedWhileChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		shop := every("shop", time.Minute)
		w.drift[shop.Key] = []Change{changed("a", "x", "1")}
		w.busy[shop.Key] = true
		_, stop := observe(t, w, m, shop, every("other", time.Minute))
		defer stop()
		time.Sleep(time.Hour)
		if n := w.count(shop.Key); n != 0 {
			t.Errorf("it was looked at %d times while a run was at work", n)
		}
		if n := w.count(keyed("other")); n < 50 {
			t.Errorf("others were looked at %d times meanwhile", n)
		}
		w.set(func() { w.busy[shop.Key] = false; w.takes = 10 * time.Minute })
		time.Sleep(7 * time.Second) // a look has begun
		w.set(func() { w.busy[shop.Key] = true })
		time.Sleep(time.Minute)
		w.set(func() { w.busy[shop.Key] = false; w.takes = time.Second })
		if m.count(Found) != 0 || w.count(shop.Key) != 1 {
			t.Errorf("a look in between was not given up: %d looks", w.count(shop.Key))
		}
		time.Sleep(10 * time.Second)
		if m.count(Found) != 1 {
			t.Error("nobody looked when the run had ended")
		}
	})
}

func TestAskedLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		key := keyed("shop")
		o, stop := observe(t, w, m, Target{Key: key})
		defer stop()
		time.Sleep(time.Hour)
		ask := func() {
			if err := m.Observe(t.Context(), key, func(document json.RawMessage) (json.RawMessage, []events.Event, error) {
				r, err := Read(document)
				if err != nil {
					return nil, nil, err
				}
				r.Asked = &Asked{By: "user:ann", At: time.Now()}
				document, err = json.Marshal(r)
				return document, nil, err
			}); err != nil {
				t.Fatal(err)
			}
		}
		ask() // in another process: found out by looking around
		time.Sleep(lookAround + 2*time.Second)
		looks, _ := w.all()
		if len(looks) != 1 || looks[0].asked == nil || looks[0].asked.By != "user:ann" {
			t.Fatalf("the looks are %+v", looks)
		}
		ask()
		o.Wake()
		time.Sleep(100 * time.Millisecond)
		ask() // while it is being looked at: what was asked later is seen later
		time.Sleep(3 * time.Second)
		if n := w.count(key); n != 3 || m.count("drift.looked") != 3 {
			t.Errorf("there were %d looks, and %d were told", n, m.count("drift.looked"))
		}
		time.Sleep(time.Hour)
		if n := w.count(key); n != 3 {
			t.Errorf("nobody asked, and there were %d looks", n)
		}
	})
}

// TestRepairsAreMadeOnce: and looked after when they have ended.
func TestRepairsAreMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		shop := every("shop", time.Hour)
		shop.Block.Repair = true
		w.drift[shop.Key] = []Change{changed("a", "x", "1")}
		_, stop := observe(t, w, m, shop)
		time.Sleep(10 * time.Second)
		_, made := w.all()
		if len(made) != 1 {
			t.Fatalf("made were %+v", made)
		}
		time.Sleep(10 * time.Minute)
		if n := w.count(shop.Key); n != 1 {
			t.Errorf("it was looked at %d times while the repair is at work", n)
		}
		w.set(func() { w.open[made[0]] = false; delete(w.drift, shop.Key) })
		time.Sleep(10 * time.Second)
		if m.count(Resolved) != 1 {
			t.Error("nobody looked after the repair")
		}
		stop()
	})
}

// TestKilledAnywhere has a process die at every write, before it takes effect and
// after, and another one go on: each drift is told once and put back by one run, which
// is there when it is told of.
func TestKilledAnywhere(t *testing.T) {
	scenario := func(t *testing.T, killAt int, done bool) (writes int, story []string) {
		synctest.Test(t, func(t *testing.T) {
			w, m := newWorld()
			shop := every("shop", time.Hour)
			shop.Block.Repair = true
			killed := make(chan struct{})
			m.onWrite = func() (bool, error) {
				if writes++; writes != killAt {
					return true, nil
				}
				close(killed)
				return done, errors.New("killed")
			}
			_, stop := observe(t, w, m, shop)
			pass := func(length time.Duration) {
				time.Sleep(length)
				select {
				case <-killed:
					stop()
					killed = make(chan struct{})
					_, stop = observe(t, w, m, shop)
				default:
				}
			}
			for i := range 2 {
				w.set(func() { w.drift[shop.Key] = []Change{changed(fmt.Sprint("a", i), "x", "1")} })
				pass(10 * time.Second)
				pass(2 * time.Hour)
				w.set(func() {
					for run := range w.open {
						w.open[run] = false
					}
					delete(w.drift, shop.Key)
				})
				pass(10 * time.Second)
				pass(2 * time.Hour)
			}
			stop()
			made := slices.Clone(w.made)
			for _, e := range m.told {
				var n Notice
				if err := json.Unmarshal(e.Data, &n); err != nil {
					t.Fatal(err)
				}
				at := slices.Index(w.made, n.Repair)
				story = append(story, fmt.Sprint(e.Type, " ", n.Changes[0].Address, " run ", at))
				made = slices.DeleteFunc(made, func(run string) bool { return run == n.Repair })
			}
			if len(made) > 0 {
				t.Errorf("of the runs %v nobody was told", made)
			}
		})
		return writes, story
	}
	most, want := scenario(t, 0, true)
	if fmt.Sprint(want) != "[drift.found a0 run 0 drift.resolved a0 run 0 drift.found a1 run 1 drift.resolved a1 run 1]" || most < 6 {
		t.Fatalf("%d writes: %q", most, want)
	}
	for n := 1; n <= most; n++ {
		for _, done := range []bool{false, true} {
			if _, got := scenario(t, n, done); !slices.Equal(got, want) {
				t.Errorf("killed at write %d (done %t): %q", n, done, got)
			}
		}
	}
}

// TestRepairWithoutRun: programs of before decided on a repair first and made its run
// then. Where one died in between there is no such run: nothing was put back, and it is
// not that one which has put back what is well again.
func TestRepairWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		shop := every("shop", time.Hour)
		shop.Block.Repair = true
		drift := []Change{changed("a", "x", "1")}
		found := time.Now()
		document, err := json.Marshal(Record{
			Looked: found, Next: found.Add(time.Hour), Drift: []Drift{{drift[0], found}},
			Fields: map[string]*Field{keyOf("a", "x"): {Address: "a", Path: "x", Found: []time.Time{found}}},
			Repair: &Repair{Run: "never-made", At: found, Targets: []string{drift[0].Target}, Of: printOf(drift)},
		})
		if err != nil {
			t.Fatal(err)
		}
		m.documents[shop.Key], w.drift[shop.Key] = document, drift
		_, stop := observe(t, w, m, shop)
		time.Sleep(10 * time.Second)
		_, made := w.all()
		if len(made) != 1 {
			t.Fatalf("made were %q", made)
		}
		if r := m.known(shop.Key); r.Repair.Run != made[0] || r.Fields[keyOf("a", "x")].Repairs != 1 {
			t.Errorf("known is %+v", r.Repair)
		}
		w.set(func() { w.open[made[0]] = false; delete(w.drift, shop.Key) })
		time.Sleep(10 * time.Second)
		stop()
		var told Notice
		if err := json.Unmarshal(m.told[len(m.told)-1].Data, &told); err != nil || len(m.told) != 1 || told.Repair != made[0] {
			t.Errorf("told was %+v: %v", m.told, err)
		}
	})
}

func TestRefusedRepairIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		shop := every("shop", time.Hour)
		shop.Block.Repair = true
		w.drift[shop.Key], w.refuse = []Change{changed("a", "x", "1")}, errors.New("service:observer may not do this")
		_, stop := observe(t, w, m, shop)
		time.Sleep(20 * time.Hour)
		stop()
		r := m.known(shop.Key)
		if n := w.count(shop.Key); w.tried != n || len(w.made) != 0 || r.Repair.Problem != "service:observer may not do this" {
			t.Errorf("it was tried %d times, and known is %+v", w.tried, r.Repair)
		}
		for _, e := range m.told {
			if bytes.Contains(e.Data, []byte(`"repair"`)) {
				t.Errorf("told is a run that there is not: %s", e.Data)
			}
		}
		if n := w.count(shop.Key); n < 18 || n > 24 {
			t.Errorf("it was looked at %d times", n)
		}
	})
}

// TestTroubleEnds: looks that fail are tried again, later and later, and so is a
// store that cannot be written.
func TestTroubleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		shop := every("shop", 10*time.Minute)
		w.problem = errors.New("no network")
		_, stop := observe(t, w, m, shop)
		defer stop()
		time.Sleep(24 * time.Hour)
		if n := w.count(shop.Key); n < 20 || n > 35 {
			t.Errorf("what failed was tried %d times in a day", n)
		}
		w.set(func() { w.problem = nil })
		time.Sleep(2 * time.Hour)
		if r := m.known(shop.Key); r.Problem != "" || time.Since(r.Looked) > 15*time.Minute {
			t.Errorf("known is %+v", r)
		}
		m.failing(true)
		time.Sleep(time.Hour)
		m.failing(false)
		time.Sleep(firstRetry + lookAround + w.takes)
		if r := m.known(shop.Key); time.Since(r.Looked) > 2*time.Minute {
			t.Errorf("when the store was well again the last look was %s ago", time.Since(r.Looked))
		}
	})
}

// TestShorterTimesCountAtOnce: a block that is changed is heeded before the look
// that was due by what it said before.
func TestShorterTimesCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld()
		_, stop := observe(t, w, m, every("shop", 24*time.Hour))
		time.Sleep(time.Minute)
		stop()
		_, stop = observe(t, w, m, every("shop", 10*time.Minute))
		defer stop()
		time.Sleep(time.Hour)
		if n := w.count(keyed("shop")); n < 5 {
			t.Errorf("it was looked at %d times in an hour", n)
		}
	})
}
