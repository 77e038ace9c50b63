package triggers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

const eventProject = `
variable "least" { default = 5 }

workflow "w" {
  variable "text" { type = string }
  step "s" {
    emit { type = "x" }
  }
}

trigger "push" {
  on     = { type = ["push"] }
  when   = event.data.size > var.least
  run    = workflow.w
  inputs = { text = "${event.data.ref} in ${environment.name}" }
}

trigger "flapping" {
  on  = { type = [{ prefix = "alert." }] }
  key = event.subject
  window {
    count  = 3
    within = "10m"
  }
  run    = workflow.w
  inputs = { text = "${window.key}: ${join(" ", events[*].id)}" }
}

trigger "silent" {
  on  = { type = "beat" }
  key = event.subject
  window {
    absent = { type = "beat" }
    within = "5m"
  }
  run    = workflow.w
  inputs = { text = "no ${event.subject}" }
}

trigger "again" {
  on     = { type = "run.failed" }
  run    = workflow.w
  inputs = { text = event.subject }
  loop {
    depth = 2
  }
}
`

// house is a store with the processes that come and go.
type house struct {
	t       *testing.T
	store   *runstest.Store
	project *projects.Project
	refuse  map[string]bool // triggers whose runs are not allowed
	ahead   time.Duration   // how far the clock was ahead of that of the next process
	stop    func()          // ends the process that is at work
	ended   chan struct{}
}

func newHouse(t *testing.T, text string) *house {
	t.Helper()
	p, diags := projects.Parse(t.TempDir(), map[string][]byte{"p.tutti.hcl": []byte(text)})
	if diags = append(diags, Check(p)...); diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return &house{t: t, store: runstest.NewStore(), project: p, refuse: map[string]bool{}}
}

// live starts a process that serves the triggers of the project.
func (h *house) live() {
	w := &Workflows{
		Runner: &runs.Runner{Store: h.store}, Environment: "prod",
		Key: func(environment string) states.Key { return states.Key{Environment: environment} },
		Values: func(*projects.Project, string) (map[string]cty.Value, diag.List) {
			return map[string]cty.Value{"least": cty.NumberIntVal(5)}, nil
		},
	}
	set, diags := ReadEvents(h.project)
	if diags.HasErrors() {
		h.t.Fatal(diags.Err())
	}
	ahead := h.ahead
	d := &Dispatcher{
		Now:   func() time.Time { return time.Now().Add(-ahead) },
		Store: h.store, Values: w.Values, Environment: func() string { return w.Environment },
		Start: func(ctx context.Context, t *EventTrigger, f runs.Firing, list []runs.Fed) error {
			if h.refuse[t.Name] {
				return &InvalidError{errors.New("not allowed")}
			}
			return w.Enqueue(ctx, t, f, list)
		},
		Changed: func() <-chan struct{} {
			c := make(chan struct{})
			time.AfterFunc(20*time.Millisecond, func() { close(c) })
			return c
		},
	}
	ctx, stop := context.WithCancel(h.t.Context())
	ended := make(chan struct{})
	sets := make(chan *EventTriggers, 1)
	sets <- set
	go func() {
		defer close(ended)
		d.Run(ctx, sets)
	}()
	h.stop, h.ended = stop, ended
}

func (h *house) die() {
	h.stop()
	<-h.ended
}

// send has an event accepted; who does not hear that it was sends it again.
func (h *house) send(kind, id, subject, data string) {
	h.t.Helper()
	one := runs.Inbound{Event: events.Event{ID: id, Source: "/test", Type: kind, Subject: subject, Time: time.Now(), Data: json.RawMessage(data)}}
	for range 3 {
		if _, err := h.store.Accept(h.t.Context(), []runs.Inbound{one}); err == nil {
			return
		}
	}
	h.t.Fatal("an event is not accepted")
}

// started are the runs with what they were started with.
func (h *house) started() map[string]string {
	out := map[string]string{}
	for run, inputs := range h.inputs() {
		out[run] = inputs.GetAttr("text").AsString()
	}
	return out
}

// inputs are those of all runs.
func (h *house) inputs() map[string]cty.Value {
	h.t.Helper()
	list, err := h.store.Runs(h.t.Context(), runs.RunQuery{})
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]cty.Value{}
	for _, r := range list {
		entries, err := h.store.Read(h.t.Context(), r.ID, 0)
		if err != nil || len(entries) == 0 {
			h.t.Fatalf("run %s begins with nothing: %v", r.ID, err)
		}
		var start flow.Start
		if err := json.Unmarshal(entries[0].Data, &start); err != nil {
			h.t.Fatal(err)
		}
		inputs, err := flow.DecodeValue(start.Inputs)
		if err != nil {
			h.t.Fatal(err)
		}
		out[r.ID] = inputs
	}
	return out
}

func (h *house) wantRuns(want map[string]string) {
	h.t.Helper()
	if d := cmp.Diff(want, h.started()); d != "" {
		h.t.Errorf("runs (-want +got):\n%s", d)
	}
}

// told are the types of the events about triggers, with their data.
func (h *house) told() []string {
	list, _, err := h.store.Events(h.t.Context(), 0, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if strings.HasPrefix(e.Type, "trigger.") {
			out = append(out, fmt.Sprintf("%s %s %s", e.Type, e.Subject, e.Data))
		}
	}
	return out
}

// TestDispatch: events start runs with what their triggers say; what cannot be
// started is kept and can be tried again.
func TestDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, eventProject)
		h.send("push", "before", "", `{"ref":"early","size":9}`) // nobody knew of the trigger
		h.live()
		synctest.Wait()
		time.Sleep(time.Second)
		h.send("push", "p1", "", `{"ref":"main","size":6}`)
		h.send("push", "p1", "", `{"ref":"main","size":6}`)
		h.send("push", "small", "", `{"ref":"main","size":5}`)
		h.send("push", "blind", "", `{"ref":"main"}`)
		h.send("alert.firing", "a1", "db", `{}`)
		h.send("alert.firing", "b1", "web", `{}`)
		h.send("alert.resolved", "a2", "db", `{}`)
		time.Sleep(9 * time.Minute)
		h.send("alert.firing", "a3", "db", `{}`)
		h.send("beat", "beat1", "lab", `{}`)
		time.Sleep(time.Second)
		want := map[string]string{"push-e2": "main in prod", fmt.Sprintf("flapping-e%d", h.at("a3")): "db: a1 a2 a3"}
		h.wantRuns(want)
		// What windows know outlives a process, and so does what they wait for.
		h.die()
		time.Sleep(4 * time.Minute)
		h.send("beat", "beat2", "lab", `{}`)
		time.Sleep(3 * time.Minute)
		h.live()
		time.Sleep(time.Second)
		h.wantRuns(want)
		time.Sleep(2 * time.Minute)
		last := h.at("beat2")
		want[fmt.Sprintf("silent-e%d", last)] = "no lab"
		h.wantRuns(want)
		h.die()

		dead, err := h.store.Firings(t.Context(), runs.FiringQuery{Status: runs.FiringDead})
		if err != nil || len(dead) != 1 || !dead[0].Unmatched || !strings.Contains(dead[0].Problem, "size") {
			t.Errorf("dead letters: %+v, %v", dead, err)
		}
		if told := h.told(); len(told) != 1 || !strings.HasPrefix(told[0], `trigger.failed push {"event":4,`) {
			t.Errorf("told: %v", told)
		}
	})
}

// at is the number of the event of an id.
func (h *house) at(id string) int64 {
	list, err := h.store.Fed(h.t.Context(), 0, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(e runs.Fed) bool { return e.ID == id })
	if i < 0 {
		h.t.Fatalf("there is no event %s", id)
	}
	return list[i].Sequence
}

// TestRetried: what was not allowed is started when it is asked for again, and an event
// that is replayed is a new one for the trigger it is meant for.
func TestRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, eventProject)
		h.refuse["push"] = true
		h.live()
		time.Sleep(time.Second)
		h.send("push", "p1", "", `{"ref":"main","size":6}`)
		time.Sleep(time.Second)
		h.wantRuns(map[string]string{})
		dead, err := h.store.Firings(t.Context(), runs.FiringQuery{Status: runs.FiringDead})
		if err != nil || len(dead) != 1 || dead[0].Unmatched || dead[0].Problem != "not allowed" {
			t.Fatalf("dead letters: %+v, %v", dead, err)
		}
		h.die()
		h.refuse["push"] = false
		h.live()
		if _, err := Retry(t.Context(), h.store, dead[0], "x", "user:ann", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := Retry(t.Context(), h.store, dead[0], "x", "user:ann", time.Now()); !errors.Is(err, ErrNotDead) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		want := map[string]string{"push-e1": "main in prod"}
		h.wantRuns(want)
		for range 2 { // the answer to the first one was lost
			if _, err := h.store.Accept(t.Context(), []runs.Inbound{runs.NewReplay(1, "push", "r1", "user:ann", time.Now())}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.store.Accept(t.Context(), []runs.Inbound{runs.NewReplay(1, "silent", "r2", "user:ann", time.Now())}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want[fmt.Sprintf("push-e%d", h.at("r1"))] = "main in prod"
		if _, err := h.store.Accept(t.Context(), []runs.Inbound{runs.NewReplay(h.at("r1"), "", "r3", "user:ann", time.Now())}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want[fmt.Sprintf("push-e%d", h.at("r3"))] = "main in prod"
		h.wantRuns(want)
		h.die()
	})
}

// TestAbout: the run of an event that a step emitted is about the code that the run of
// the step is about, and that of an event about a run is not.
func TestAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, eventProject)
		h.live()
		time.Sleep(time.Second)
		source := &runs.Source{Repository: "org/shop", Commit: "0123456789abcdef0123456789abcdef01234567", PullRequest: 7}
		for _, run := range []runs.Run{{ID: "first", Status: runs.Pending, Source: source}, {ID: "step", Parent: "first", Status: runs.Pending}} {
			if err := h.store.Enqueue(t.Context(), runs.NewRun{Run: run}); err != nil {
				t.Fatal(err)
			}
		}
		for id, e := range map[string]events.Event{
			"step-3": {Type: "push", Data: json.RawMessage(`{"ref":"main","size":6}`)},
			"step-4": {Type: "run.failed", Subject: "step"},
		} {
			e.ID, e.Source, e.Time = id, "/state//prod", time.Now()
			if err := h.store.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if run, err := h.store.Run(t.Context(), fmt.Sprintf("push-e%d", h.at("step-3"))); err != nil || run.Source == nil || *run.Source != *source {
			t.Errorf("%+v, %v", run, err)
		}
		if run, err := h.store.Run(t.Context(), fmt.Sprintf("again-e%d", h.at("step-4"))); err != nil || run.Source != nil {
			t.Errorf("%+v, %v", run, err)
		}
		h.die()
	})
}

// TestLoops: what runs led to triggers as deep as it may, and no deeper.
func TestLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, eventProject)
		h.live()
		time.Sleep(time.Second)
		fail := func(run string) {
			t.Helper()
			if err := h.store.Record(t.Context(), events.Event{ID: run + "-3", Source: "/state//prod", Type: "run.failed", Subject: run, Time: time.Now()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if err := h.store.Enqueue(t.Context(), runs.NewRun{Run: runs.Run{ID: "first", Key: states.Key{Environment: "prod"}, Status: runs.Pending}}); err != nil {
			t.Fatal(err)
		}
		if err := h.store.Enqueue(t.Context(), runs.NewRun{Run: runs.Run{ID: "step", Parent: "first", Status: runs.Pending}}); err != nil {
			t.Fatal(err)
		}
		fail("step")
		second := fmt.Sprintf("again-e%d", h.at("step-3"))
		run, err := h.store.Run(t.Context(), second)
		if err != nil || run.Cause.Depth != 1 {
			t.Fatal(run, err)
		}
		fail(second)
		third := fmt.Sprintf("again-e%d", h.at(second+"-3"))
		if run, err = h.store.Run(t.Context(), third); err != nil || run.Cause.Depth != 2 {
			t.Fatal(run, err)
		}
		fail(third)
		if told := h.told(); len(told) != 1 || told[0] != fmt.Sprintf(`trigger.stopped again {"reason":"too deep","depth":3,"events":1,"last":%d}`, h.at(third+"-3")) {
			t.Errorf("told: %v", told)
		}
		h.die()
	})
}

// TestWaitsOfAClockThatWasAhead: what is waited for since the clock was a year ahead
// does not take a year.
func TestWaitsOfAClockThatWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, eventProject)
		h.live()
		time.Sleep(time.Second)
		h.send("beat", "b", "lab", `{}`)
		time.Sleep(time.Minute)
		h.die()
		h.ahead = 365 * 24 * time.Hour
		h.live()
		defer h.die()
		time.Sleep(3 * time.Minute)
		if got := h.started(); len(got) > 0 {
			t.Errorf("before its time was started %q", got)
		}
		time.Sleep(3 * time.Minute)
		if got := slices.Collect(maps.Values(h.started())); !slices.Equal(got, []string{"no lab"}) {
			t.Errorf("started were %q", got)
		}
	})
}

// TestKnownBeforeTheFirstLook: what comes once triggers are known is for them, also
// where nobody looks yet.
func TestKnownBeforeTheFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, eventProject)
		set, _ := ReadEvents(h.project)
		h.send("push", "early", "", `{"ref":"early","size":6}`)
		if _, _, err := set.Follow(t.Context(), h.store); err != nil {
			t.Fatal(err)
		}
		h.send("push", "right", "", `{"ref":"right","size":6}`)
		h.live()
		defer h.die()
		time.Sleep(time.Second)
		if got := slices.Collect(maps.Values(h.started())); !slices.Equal(got, []string{"right in prod"}) {
			t.Errorf("started were %q", got)
		}
	})
}

// TestKilledAnywhere has a process die at every write, before it has an effect and
// after, and another one go on: what comes of the events is the same each time.
func TestKilledAnywhere(t *testing.T) {
	scenario := func(t *testing.T, killAt int, done bool) (calls int, runsMade map[string]string, firings int) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, eventProject)
			var counts atomic.Bool
			var made atomic.Int64
			h.store.OnCall = func() (bool, error) {
				if !counts.Load() || made.Add(1) != int64(killAt) {
					return true, nil
				}
				h.stop()
				return done, errors.New("killed")
			}
			h.live()
			time.Sleep(time.Second)
			counts.Store(true)
			again := func() {
				time.Sleep(time.Second)
				select {
				case <-h.ended:
					h.live()
				default:
				}
			}
			for i := range 3 {
				h.send("push", fmt.Sprint("p", i), "", fmt.Sprintf(`{"ref":"r%d","size":6}`, i))
				h.send("alert.firing", fmt.Sprint("a", i), "db", `{}`)
				again()
			}
			h.send("beat", "b", "lab", `{}`)
			again()
			time.Sleep(5 * time.Minute)
			again()
			time.Sleep(time.Minute)
			h.die()
			h.store.OnCall = nil
			calls = int(made.Load())
			list, err := h.store.Firings(t.Context(), runs.FiringQuery{Status: runs.FiringStarted})
			if err != nil {
				t.Fatal(err)
			}
			// Numbers depend on what was told of runs in between.
			runsMade = map[string]string{}
			for id, text := range h.started() {
				name, _, _ := strings.Cut(id, "-")
				if before, twice := runsMade[text]; twice {
					t.Errorf("%s and %s were started for the same", before, id)
				}
				runsMade[text] = name
			}
			firings = len(list)
		})
		return calls, runsMade, firings
	}
	most, want, firings := scenario(t, 0, true)
	if len(want) != 5 || firings != 5 || most < 10 {
		t.Fatalf("%d writes, %d firings: %v", most, firings, want)
	}
	for n := 1; n <= most; n++ {
		for _, done := range []bool{false, true} {
			_, got, made := scenario(t, n, done)
			if !maps.Equal(want, got) || made != firings {
				t.Errorf("killed at write %d (done %t): %d firings, %v", n, done, made, got)
			}
		}
	}
}
