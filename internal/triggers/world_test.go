package triggers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

// world is what outlives processes: the store of schedules and the runs.
type world struct {
	store runstest.ScheduleStore
	start time.Time // what the clock said in the beginning
	real  time.Time
	leap  time.Duration // how much the machine has slept

	mu     sync.Mutex
	runs   map[string]runs.Run
	owned  map[string]bool
	begun  map[string]int
	asked  map[string]chan struct{}
	log    []string
	active map[string]int // by trigger
	most   int            // runs of one trigger at once

	takes  time.Duration // each run, from its beginning or resumption on
	ending time.Duration // a run that is cancelled
}

func newWorld(start string) *world {
	at, err := time.Parse(time.RFC3339, start)
	if err != nil {
		panic(err)
	}
	return &world{
		start: at.UTC(), real: time.Now(), runs: map[string]runs.Run{}, owned: map[string]bool{}, begun: map[string]int{},
		asked: map[string]chan struct{}{}, active: map[string]int{},
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.start.Add(time.Since(w.real) + w.leap)
}

func (w *world) note(format string, args ...any) {
	line := w.now().Format("15:04:05 ") + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, line)
}

// process is a scheduler with what it has of its own.
type process struct {
	w        *world
	stop     context.CancelFunc
	gone     chan struct{} // its runs are left
	ended    chan struct{}
	once     sync.Once
	triggers chan []*Trigger
	events   []Event
}

// boot starts a process. calls, where not 0, is after how many calls of the store
// it dies; whether that one takes effect, written says.
func (w *world) boot(calls int, written bool, list []*Trigger) *process {
	p := &process{w: w, gone: make(chan struct{}), ended: make(chan struct{}), triggers: make(chan []*Trigger, 1)}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	s := &Scheduler{Store: &mortal{ScheduleStore: &w.store, p: p, calls: calls, written: written}, Runs: p, Now: w.now, Watch: func(e Event) { p.events = append(p.events, e) }}
	p.triggers <- list
	go func() {
		s.Run(ctx, p.triggers)
		close(p.ended)
	}()
	return p
}

// kill ends a process on the spot: what it carries out is interrupted.
func (p *process) kill() {
	p.once.Do(func() { close(p.gone) })
	p.stop()
	<-p.ended
}

// mortal is the store as a process sees it that dies.
type mortal struct {
	runs.ScheduleStore
	p       *process
	mu      sync.Mutex
	calls   int
	written bool
}

var errDead = errors.New("the process is dead")

// dies counts a call. In the last one it may be that the call takes effect.
func (m *mortal) dies() (before, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.p.gone:
		return true, true
	default:
	}
	if m.calls == 0 {
		return false, false
	}
	m.calls--
	if m.calls > 0 {
		return false, false
	}
	m.p.once.Do(func() { close(m.p.gone) })
	return !m.written, true
}

func call[T any](m *mortal, do func() (T, error)) (T, error) {
	var none T
	before, after := m.dies()
	if before {
		return none, errDead
	}
	out, err := do()
	if after {
		return none, errDead
	}
	return out, err
}

func (m *mortal) Sightings(ctx context.Context) ([]runs.Sighting, error) {
	return call(m, func() ([]runs.Sighting, error) { return m.ScheduleStore.Sightings(ctx) })
}

func (m *mortal) See(ctx context.Context, list []runs.Sighting) error {
	_, err := call(m, func() (bool, error) { return true, m.ScheduleStore.See(ctx, list) })
	return err
}

func (m *mortal) Pass(ctx context.Context, list []runs.Sighting) error {
	_, err := call(m, func() (bool, error) { return true, m.ScheduleStore.Pass(ctx, list) })
	return err
}

func (m *mortal) Take(ctx context.Context, fires []runs.Fire) ([]runs.Fire, error) {
	return call(m, func() ([]runs.Fire, error) { return m.ScheduleStore.Take(ctx, fires) })
}

func (m *mortal) OpenFires(ctx context.Context, schedule string) ([]runs.Fire, error) {
	return call(m, func() ([]runs.Fire, error) { return m.ScheduleStore.OpenFires(ctx, schedule) })
}

func (m *mortal) RecordFire(ctx context.Context, f runs.Fire, was runs.FireStatus) (bool, error) {
	return call(m, func() (bool, error) { return m.ScheduleStore.RecordFire(ctx, f, was) })
}

// Run tells how a run stands.
func (p *process) Run(_ context.Context, id string) (runs.Run, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	run, ok := p.w.runs[id]
	if !ok {
		return run, runs.ErrNotFound
	}
	return run, nil
}

// Cancel asks a run to end.
func (p *process) Cancel(_ context.Context, id string) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	run := p.w.runs[id]
	if !p.w.owned[id] && !run.Status.Ended() {
		run.Status = runs.Cancelled
		p.w.runs[id] = run
		return nil
	}
	select {
	case <-p.w.asked[id]:
		return errors.New("it was asked twice")
	default:
		close(p.w.asked[id])
	}
	return nil
}

// Do carries out a run.
func (p *process) Do(ctx context.Context, s Start) (runs.Run, error) {
	w := p.w
	select {
	case <-p.gone:
		return runs.Run{}, errDead
	default:
	}
	name, _, _ := strings.Cut(s.Run, "-")
	w.mu.Lock()
	run, exists := w.runs[s.Run]
	if run.Status.Ended() || w.owned[s.Run] {
		w.mu.Unlock()
		return run, nil
	}
	if !exists {
		w.begun[s.Run]++
	}
	w.owned[s.Run] = true
	w.active[name]++
	w.most = max(w.most, w.active[name])
	asked := make(chan struct{})
	w.asked[s.Run] = asked
	run = runs.Run{ID: s.Run, Status: runs.Running}
	w.runs[s.Run] = run
	w.mu.Unlock()
	if exists {
		w.note("resume %s", s.Run)
	} else {
		w.note("begin %s", s.Run)
	}
	run.Status = runs.Succeeded
	select {
	case <-time.After(w.takes):
	case <-p.gone:
		run.Status = runs.Interrupted
	case <-ctx.Done():
		run.Status = runs.Cancelled
		time.Sleep(w.ending)
	case <-asked:
		run.Status = runs.Cancelled
		time.Sleep(w.ending)
	}
	w.mu.Lock()
	w.runs[s.Run], w.owned[s.Run] = run, false
	w.active[name]--
	w.mu.Unlock()
	if run.Status != runs.Succeeded {
		w.note("%s %s", run.Status, s.Run)
	}
	return run, nil
}

// read makes triggers from the text of a project.
func project(t *testing.T, text string) []*Trigger {
	t.Helper()
	p, diags := projects.Parse(".", map[string][]byte{"p.tutti.hcl": []byte("workflow \"w\" {\n  step \"s\" {\n    emit { type = \"x\" }\n  }\n}\n" + text)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	list, diags := Read(p)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return list
}

// triggerOf makes a trigger "s".
func triggerOf(t *testing.T, schedule string, arguments ...string) []*Trigger {
	t.Helper()
	return project(t, "trigger \"s\" {\n  run = workflow.w\n  schedule = \""+schedule+"\"\n"+strings.Join(arguments, "\n")+"\n}\n")
}

// story compares what has happened with what was to.
func (w *world) story(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := strings.Join(w.log, "\n")
	want = strings.ReplaceAll(strings.TrimSpace(want), "\t", "")
	if got != want {
		t.Errorf("got:\n%s\n\nwant:\n%s", got, want)
	}
}

// once checks that every instant taken has exactly one run, that has ended, and
// that no run was begun twice.
func (w *world) once(t *testing.T, schedule string) (instants []string) {
	t.Helper()
	fires, err := w.store.Fires(context.Background(), schedule, 0)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(fires)
	for _, f := range fires {
		if f.Status == runs.FireSkipped {
			continue
		}
		instants = append(instants, f.At.Format("15:04"))
		if f.Status != runs.FireEnded || !w.runs[f.Run].Status.Ended() || w.begun[f.Run] != 1 {
			t.Errorf("%v is %s, its run %s, begun %d times", f.At, f.Status, w.runs[f.Run].Status, w.begun[f.Run])
		}
	}
	for id, n := range w.begun {
		if n != 1 || !slices.ContainsFunc(fires, func(f runs.Fire) bool { return f.Run == id }) {
			t.Errorf("run %s was begun %d times", id, n)
		}
	}
	return instants
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}
