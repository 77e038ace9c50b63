package flow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// world plays the outside for a machine: it does every effect at once unless
// told otherwise, skips waiting, and notes what happened.
type world struct {
	t       *testing.T
	m       *Machine
	now     time.Time
	seq     int64
	queue   []int
	timers  map[int]time.Time
	did     []string
	answers map[string]func(Effect) (cty.Value, *Error) // by key
	journal []workflow.Entry
}

func definition(t *testing.T, source, name string) *Definition {
	t.Helper()
	p, diags := projects.Parse(".", map[string][]byte{"w.tutti.hcl": []byte(source)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	d, diags := New(p, name, nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return d
}

func play(t *testing.T, source string, inputs map[string]cty.Value) *world {
	t.Helper()
	w := &world{
		t: t, m: NewMachine(definition(t, source, "w")), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		timers: map[int]time.Time{}, answers: map[string]func(Effect) (cty.Value, *Error){},
	}
	start := Start{Run: "r1", Actor: "ann"}
	if inputs != nil {
		start.Inputs = EncodeValue(cty.ObjectVal(inputs))
	}
	data, _ := json.Marshal(start)
	w.enter(workflow.Entry{Kind: workflow.RunStarted, Step: -1, Data: data})
	return w
}

func (w *world) enter(e workflow.Entry) {
	w.t.Helper()
	w.seq++
	e.Sequence, e.Time = w.seq, w.now
	w.journal = append(w.journal, e)
	commands, err := w.m.Apply(e)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range commands {
		switch c.Kind {
		case workflow.StartStep:
			w.queue = append(w.queue, c.Step)
		case workflow.StopStep:
			delete(w.timers, c.Step)
		}
	}
}

func (w *world) signal(kind workflow.SignalKind, name, by string, data any) {
	raw, _ := json.Marshal(data)
	sig, _ := json.Marshal(workflow.Signal{Kind: kind, Name: name, By: by, Data: raw})
	w.enter(workflow.Entry{Kind: workflow.SignalReceived, Step: -1, Data: sig})
}

// run goes on until only signals can.
func (w *world) run() *world {
	w.t.Helper()
	for n := 0; ; n++ {
		if n > 100_000 {
			w.t.Fatal("the workflow does not end")
		}
		if len(w.queue) > 0 {
			step := w.queue[0]
			w.queue = w.queue[1:]
			w.launch(step)
			continue
		}
		next := -1
		for step, until := range w.timers {
			if next < 0 || until.Before(w.timers[next]) || until.Equal(w.timers[next]) && step < next {
				next = step
			}
		}
		if next < 0 || w.m.Result().Status != Running {
			return w
		}
		if w.timers[next].After(w.now) {
			w.now = w.timers[next]
		}
		delete(w.timers, next)
		w.enter(workflow.Entry{Kind: workflow.StepSucceeded, Step: next})
	}
}

func (w *world) do(step int, e Effect) {
	w.did = append(w.did, e.Key)
	out, failure := cty.NilVal, e.Problem
	if answer := w.answers[e.Key]; answer != nil && failure == nil {
		out, failure = answer(e)
	}
	kind, outcome := workflow.StepSucceeded, NewOutcome(out)
	if failure != nil {
		kind, outcome = workflow.StepFailed, Outcome{Error: failure.Name, Cause: failure.Cause}
	}
	data, _ := json.Marshal(outcome)
	w.enter(workflow.Entry{Kind: kind, Step: step, Data: data})
}

func (w *world) fails(key, name string, times int) {
	w.answers[key] = func(Effect) (cty.Value, *Error) {
		if times--; times >= 0 {
			return cty.NilVal, &Error{name, "broken"}
		}
		return cty.NilVal, nil
	}
}

func (w *world) check(status Status, did string) {
	w.t.Helper()
	if got := w.m.Result(); got.Status != status {
		w.t.Errorf("status is %s (%v), not %s", got.Status, got.Error, status)
	}
	if got := strings.Join(w.did, " "); got != did {
		w.t.Errorf("did %s\nnot %s", got, did)
	}
	w.replays()
}

// replays checks that replaying the journal gives the same machine.
func (w *world) replays() {
	again := NewMachine(w.m.d)
	for _, e := range w.journal {
		if _, err := again.Apply(e); err != nil {
			w.t.Fatalf("replaying: %s", err)
		}
	}
	if a, b := fmt.Sprint(again.Steps()), fmt.Sprint(w.m.Steps()); a != b {
		w.t.Errorf("replayed, the steps stand like this:\n%s\nnot like this:\n%s", a, b)
	}
}

func steps(inside string) string { return "workflow \"w\" {\n" + inside + "\n}" }

func TestStepsFollowTheirReferences(t *testing.T) {
	w := play(t, steps(`
		variable "who" { type = string }
		step "c" {
			needs = [step.b]
			exec { command = ["echo", step.a.outputs.stdout] }
		}
		step "b" {
			exec { command = ["echo", upper(var.who)] }
		}
		step "a" {
			exec { command = ["date", timestamp()] }
		}
		output "said" { value = step.c.outputs.stdout }`), map[string]cty.Value{"who": cty.StringVal("you")})
	echo := func(e Effect) (cty.Value, *Error) {
		return cty.ObjectVal(map[string]cty.Value{"stdout": e.Arguments.GetAttr("command").Index(cty.NumberIntVal(1))}), nil
	}
	w.answers = map[string]func(Effect) (cty.Value, *Error){"a": echo, "b": echo, "c": echo}
	w.run().check(Succeeded, "b a c")
	if got := w.m.Result().Outputs.GetAttr("said").AsString(); got != "2026-01-02T03:04:05Z" {
		t.Errorf("said %q", got)
	}
}

func TestAFailureHaltsWhatDependsOnItAndIsUndone(t *testing.T) {
	w := play(t, steps(`
		step "one" {
			exec { command = ["1"] }
			undo {
				exec { command = ["undo", self.outputs.stdout] }
			}
		}
		step "two" {
			needs = [step.one]
			exec { command = ["2"] }
			undo {
				exec { command = ["undo"] }
			}
		}
		step "bad" {
			needs = [step.two]
			exec { command = ["3"] }
		}
		step "never" {
			needs = [step.bad]
			exec { command = ["4"] }
		}
		step "mourner" {
			when = step.bad.status == "failed" && step.bad.error.name == "Oops"
			exec { command = ["5"] }
		}
		step "beside" {
			exec { command = ["6"] }
		}
		on_failure {
			step "page" {
				exec { command = ["page", run.error.cause] }
			}
		}
		finally {
			step "clean" {
				exec { command = ["7"] }
			}
		}`), nil)
	w.fails("bad", "Oops", 1)
	w.answers["one"] = func(Effect) (cty.Value, *Error) {
		return cty.ObjectVal(map[string]cty.Value{"stdout": cty.StringVal("x")}), nil
	}
	w.answers["one.undo"] = func(e Effect) (cty.Value, *Error) {
		if got := e.Arguments.GetAttr("command").LengthInt(); got != 2 {
			t.Errorf("undo has %d arguments", got)
		}
		return cty.NilVal, nil
	}
	w.run().check(Failed, "one beside two bad mourner two.undo one.undo page clean")
}

func TestRetriesWaitLongerAndLonger(t *testing.T) {
	w := play(t, steps(`
		step "flaky" {
			exec { command = ["1"] }
			retry {
				attempts    = 5
				backoff     = "10s"
				max_backoff = "30s"
			}
		}`), nil)
	w.fails("flaky", "Tutti.CommandFailed", 4)
	began := w.now
	w.run().check(Succeeded, "flaky flaky flaky flaky flaky")
	if got := w.now.Sub(began); got != 90*time.Second {
		t.Errorf("waited %s, not 10s+20s+30s+30s", got)
	}
}

func TestItemsOfForEach(t *testing.T) {
	source := steps(`
		step "list" {
			exec { command = ["list"] }
		}
		step "each" {
			for_each           = toset(jsondecode(step.list.outputs.stdout))
			when               = each.value != "c"
			concurrency        = 2
			tolerated_failures = 1
			exec { command = ["do", each.key] }
		}
		step "last" {
			for_each = [step.each.items["a"].status, step.each.items["b"].status, step.each.items["c"].status, step.each.status]
			exec { command = [each.value] }
		}`)
	w := play(t, source, nil)
	w.answers["list"] = func(Effect) (cty.Value, *Error) {
		return cty.ObjectVal(map[string]cty.Value{"stdout": cty.StringVal(`["d", "c", "b", "a"]`)}), nil
	}
	w.fails(`each["b"]`, "X", 1)
	said := []string{}
	for i := range 4 {
		w.answers[fmt.Sprintf("last[%d]", i)] = func(e Effect) (cty.Value, *Error) {
			said = append(said, e.Arguments.GetAttr("command").Index(cty.NumberIntVal(0)).AsString())
			return cty.NilVal, nil
		}
	}
	w.run().check(Succeeded, `list each["a"] each["b"] each["d"] last[0] last[1] last[2] last[3]`)
	if got := strings.Join(said, " "); got != "succeeded failed skipped succeeded" {
		t.Errorf("statuses are %s", got)
	}
	w = play(t, source, nil)
	w.answers["list"] = func(Effect) (cty.Value, *Error) {
		return cty.ObjectVal(map[string]cty.Value{"stdout": cty.StringVal(`["d", "e", "f", "b", "a"]`)}), nil
	}
	w.fails(`each["a"]`, "X", 1)
	w.fails(`each["b"]`, "X", 1)
	w.run().check(Failed, `list each["a"] each["b"] each["d"]`)
}

func TestItemsAreToldOneByOne(t *testing.T) {
	w := play(t, steps(`
		step "each" {
			for_each           = toset(["a", "b", "c", "d"])
			concurrency        = 2
			tolerated_failures = 1
			retry {
				attempts = 2
				backoff  = "1s"
			}
			exec { command = ["do", each.key] }
		}
		step "one" {
			exec { command = ["do"] }
		}`), nil)
	told := func(want string) {
		t.Helper()
		items, ok := w.m.Items("each")
		var got []string
		for _, it := range items {
			text := fmt.Sprintf("%s %s %d", it.Key, it.Status, it.Attempt)
			if it.Error != nil {
				text += " " + it.Error.Name
			}
			if it.Waits != "" {
				text += " " + it.Waits
			}
			got = append(got, text)
		}
		if list := strings.Join(got, "; "); !ok || list != want {
			t.Errorf("told are\n%s, not\n%s", list, want)
		}
	}
	told(`each["a"] running 1; each["b"] running 1; each["c"] waiting 0; each["d"] waiting 0`)
	w.fails(`each["a"]`, "X", 2)
	if key, attempt, wanted := w.m.Attempt(w.queue[0]); key != `each["a"]` || attempt != 1 || !wanted.Equal(w.now) {
		t.Errorf("the first effect is attempt %d at %s, wanted at %s", attempt, key, wanted)
	}
	w.run()
	if each := w.m.Steps()[0]; each.Ended.Sub(each.Begun) != time.Second {
		t.Errorf("the step began at %s and ended at %s: it waits a second between its attempts", each.Begun, each.Ended)
	}
	told(`each["a"] failed 0 X; each["b"] succeeded 0; each["c"] succeeded 0; each["d"] succeeded 0`)
	if items, ok := w.m.Items("one"); !ok || len(items) != 0 {
		t.Errorf("a step without for_each has items: %v", items)
	}
	if _, ok := w.m.Items("none"); ok {
		t.Error("a step that is not there has items")
	}
}

func TestCatchEndsAStepAsCaught(t *testing.T) {
	w := play(t, steps(`
		step "bad" {
			exec { command = ["1"] }
			catch {
				errors  = ["Tutti.StatusCode.*", "Oops"]
				outputs = { stdout = "instead: ${error.cause}" }
			}
		}
		step "next" {
			when = step.bad.status == "caught"
			exec { command = [step.bad.outputs.stdout] }
		}`), nil)
	w.fails("bad", "Oops", 1)
	w.answers["next"] = func(e Effect) (cty.Value, *Error) {
		if got := e.Arguments.GetAttr("command").Index(cty.NumberIntVal(0)).AsString(); got != "instead: broken" {
			t.Errorf("outputs are %q", got)
		}
		return cty.NilVal, nil
	}
	w.run().check(Succeeded, "bad next")
}

func TestWaitsAndApprovals(t *testing.T) {
	source := steps(`
		step "month" {
			wait { duration = "30d" }
		}
		step "signal" {
			timeout = "1h"
			wait {
				event = "built"
				match = event.data.version == 2
			}
		}
		step "sign_off" {
			needs = [step.month, step.signal]
			approval {
				count   = 2
				expires = "24h"
				forbid_self = true
			}
		}
		step "go" {
			exec { command = [step.signal.outputs.data.name, step.sign_off.outputs.by[1]] }
		}`)
	w := play(t, source, nil)
	w.signal(workflow.SignalEvent, "built", "ci", map[string]any{"version": 1})
	w.signal(workflow.SignalEvent, "built", "ci", map[string]any{"version": 2, "name": "x"})
	w.run()
	if _, err := w.m.Approval(workflow.SignalApprove, "", "ann", workflow.Decision{}); err == nil {
		t.Error("who started the run may approve")
	}
	w.check(Failed, "") // the approval expired: time passes when nothing else does
	w = play(t, source, nil)
	w.signal(workflow.SignalEvent, "built", "ci", map[string]any{"version": 2, "name": "x"})
	for w.m.Steps()[2].Waits == "" {
		w.step()
	}
	w.signal(workflow.SignalApprove, "", "bob", "fine")
	w.signal(workflow.SignalApprove, "", "bob", "fine")
	w.signal(workflow.SignalApprove, "sign_off", "cem", nil)
	w.run().check(Succeeded, "go")
}

// step does one thing.
func (w *world) step() {
	if len(w.queue) == 0 {
		for step := range w.timers {
			w.now = w.timers[step]
			delete(w.timers, step)
			w.enter(workflow.Entry{Kind: workflow.StepSucceeded, Step: step})
			return
		}
		w.t.Fatal("nothing happens")
	}
	step := w.queue[0]
	w.queue = w.queue[1:]
	w.launch(step)
}

func (w *world) launch(step int) {
	if a := w.m.About(step); a.Ended {
		return
	} else if !a.Until.IsZero() {
		w.timers[step] = a.Until
	} else if !a.Signal {
		w.do(step, w.m.Effect(step))
	}
}
