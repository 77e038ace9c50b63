package workflowtests

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// flowRun plays the steps of a run of a workflow with steps of its own.
type flowRun struct {
	t       *trial
	r       *run
	id      string
	d       *flow.Definition
	machine *flow.Machine
	inputs  map[string]cty.Value
	done    func() // told when it has ended; nil for the run under test

	told  map[string]bool // waits in the record that no effect has come of yet
	lines map[string]int  // of waits, by key
	spans map[string]*span
}

// span is when a step began and ended.
type span struct{ began, ended time.Time }

// newFlowRun makes a run that begins with [flowRun.start].
func (t *trial) newFlowRun(d *flow.Definition, id, prefix string, inputs map[string]cty.Value, done func()) *flowRun {
	f := &flowRun{
		t: t, id: id, d: d, machine: flow.NewMachine(d), inputs: inputs, done: done,
		told: map[string]bool{}, lines: map[string]int{}, spans: map[string]*span{},
	}
	f.machine.Follow()
	f.r = t.w.newRun(prefix, f.machine, f, d.Workflow.Parallelism)
	t.flows = append(t.flows, f)
	return f
}

func (f *flowRun) start() {
	start := flow.Start{Run: f.id, Actor: f.t.test.Actor, Environment: f.t.test.Environment}
	if len(f.inputs) > 0 {
		start.Inputs = flow.EncodeValue(cty.ObjectVal(f.inputs))
	}
	f.r.enter(workflow.RunStarted, -1, encode(start))
}

// enters implements performer.
func (f *flowRun) enters(step int) entrance {
	a := f.machine.About(step)
	if a.Ended {
		return entrance{gone: true}
	}
	if a.Wait {
		key := f.machine.Key(step)
		if !f.told[key] { // an item, or another attempt
			f.wait(key)
		}
		delete(f.told, key)
		if a.Signal {
			f.t.asked(f, key)
		}
	}
	e := entrance{until: a.Until, signal: a.Signal}
	if p := f.d.Project.Pools[a.Pool]; p != nil {
		e.pool = &ticket{pool: a.Pool, def: p, priority: a.Priority}
	}
	return e
}

// wait records that a wait or an approval begins.
func (f *flowRun) wait(key string) {
	name, _, _ := strings.Cut(key, "[")
	f.lines[key] = f.t.w.seen.add(line{key: f.r.prefix + key, action: f.d.Step(name).Action.Kind, attempt: 1, at: f.t.w.now})
}

// applied implements performer.
func (f *flowRun) applied() {
	for _, c := range f.machine.Changes() {
		if c.Undo {
			continue
		}
		s := f.spans[c.Step]
		if s == nil {
			s = &span{}
			f.spans[c.Step] = s
		}
		if c.Status != flow.Running {
			if s.ended = f.t.w.now; s.began.IsZero() {
				s.ended = time.Time{} // skipped, or halted
			}
			if n, waited := f.lines[c.Step]; waited {
				text := ""
				if c.Error != nil {
					text = "failed: " + c.Error.Name
				}
				f.t.w.seen.end(n, f.t.w.now, text)
			}
			continue
		}
		s.began = f.t.w.now
		// A wait may end at once, by an event that has come already: then nothing
		// else tells of it.
		if kind := f.d.Step(c.Step).Action.Kind; c.Items == 0 && f.d.Step(c.Step).ForEach == nil && (kind == "wait" || kind == "approval") {
			f.wait(c.Step)
			f.told[c.Step] = true
		}
	}
}

// finished implements performer.
func (f *flowRun) finished() {
	if f.done != nil {
		f.done()
	}
}

// failure implements performer.
func (f *flowRun) failure(_ int, why failure) (json.RawMessage, string) {
	name := map[failureKind]string{timedOut: flow.TimeoutError, unheard: "Tutti.HeartbeatTimeout", interrupted: "Tutti.Cancelled"}[why.kind]
	return encode(flow.Outcome{Error: name, Cause: why.cause}), name
}

func failed(name, cause, run string) performance {
	return performance{kind: workflow.StepFailed, data: encode(flow.Outcome{Error: name, Cause: cause, Run: run}), text: "failed: " + name, line: -1}
}

func succeeded(out flow.Outcome) performance {
	return performance{kind: workflow.StepSucceeded, data: encode(out), line: -1}
}

// perform implements performer.
func (f *flowRun) perform(step int) performance {
	e := f.machine.Effect(step)
	if e.Action == flow.StackOutputs {
		return succeeded(flow.NewOutcome(f.t.stackOutputs(e.References["stack"].Name)))
	}
	if len(e.Needs) > 0 {
		stand := map[string]string{} // tests read no secrets
		for _, name := range e.Needs {
			stand[name] = "(secret " + name + ")"
		}
		e = e.WithSecrets(stand)
	}
	key := f.r.prefix + e.Key
	if e.Cache != nil && e.Problem == nil {
		if out, ok := f.t.cached(f.cacheKey(e)); ok {
			p := succeeded(out)
			p.line = f.t.w.seen.add(line{key: key, action: e.Action, attempt: e.Attempt, at: f.t.w.now})
			p.text = "cached"
			return p
		}
	}
	at := f.t.w.seen.add(line{key: key, action: e.Action, attempt: e.Attempt, at: f.t.w.now, call: true, args: e.Arguments})
	p := f.play(step, key, e)
	p.line, p.timeout, p.heartbeat = at, e.Timeout, e.Heartbeat
	return p
}

// play decides what becomes of an attempt at a step.
func (f *flowRun) play(step int, key string, e flow.Effect) performance {
	if e.Problem != nil {
		p := failed(e.Problem.Name, e.Problem.Cause, "")
		p.text += ": " + e.Problem.Cause
		return p
	}
	bare, _ := e.Arguments.UnmarkDeep()
	if !bare.IsWhollyKnown() {
		return failed(flow.EvaluationError, "Its arguments are not known.", "")
	}
	own := "" // the run of its own that it is
	switch e.Action {
	case "apply", "destroy", "rollback", "workflow":
		own = f.id + "." + strconv.Itoa(step)
	}
	if e.Action == "rollback" && bare.GetAttr("run").IsNull() && e.Run == "" {
		return failed(flow.EvaluationError, "There is no run to roll back: say which, or use rollback to undo a step that applies something.", "")
	}
	m := f.t.mocks.take(key)
	if m == nil && e.Action == "workflow" {
		return f.child(key, own, e)
	}
	if m != nil && m.Error != nil {
		p := failed(m.Error.Name, m.Error.Cause, own)
		p.text = strings.TrimSuffix(p.text+": "+m.Error.Cause, ": ")
		p.after, p.silent = m.Duration, m.Silent
		return p
	}
	out := f.success(m, e, mockScope{key: key, attempt: e.Attempt, arguments: bare})
	out.Run = own
	p := succeeded(out)
	if m != nil {
		p.after, p.silent = m.Duration, m.Silent
	}
	if e.Action == "emit" {
		if v := bare.GetAttr("data"); !v.IsNull() && len(e.Secrets) > 0 {
			return failed(flow.EvaluationError, "The data of an event must not be sensitive: everybody may read the feed.", "")
		}
		p.before = func() { f.emit(key, bare) }
	}
	if e.Cache != nil {
		keep := p.before
		p.before = func() {
			if keep != nil {
				keep()
			}
			f.t.keep(f.cacheKey(e), out, e.CacheTTL)
		}
	}
	return p
}

// sameOutputs is what the outputs of steps depend on, as long as they do not
// depend on the step itself.
type sameOutputs struct {
	mock          *projects.TestMock
	action, stack string
}

// success is the outcome of a step that succeeds.
func (f *flowRun) success(m *projects.TestMock, e flow.Effect, scope mockScope) flow.Outcome {
	same := sameOutputs{m, e.Action, e.References["stack"].Name}
	hidden := e.Marked && e.Arguments.HasMarkDeep(marks.Sensitive)
	if out, known := f.t.outcomes[same]; known && !hidden {
		return out
	}
	v := f.t.outputs(m, e.Action, same.stack, scope)
	if hidden && v != cty.NilVal {
		v = v.Mark(marks.Sensitive)
	}
	out := flow.NewOutcome(v)
	if !hidden && f.t.w.wrong == nil && (m == nil || m.Outputs == nil || len(m.Outputs.Variables()) == 0) {
		f.t.outcomes[same] = out
	}
	return out
}

func (f *flowRun) cacheKey(e flow.Effect) string {
	key, _ := e.Cache.UnmarkDeep()
	return f.d.Workflow.Name + "/" + e.Key + "/" + string(flow.EncodeValue(key))
}

// emit puts an event into the record.
func (f *flowRun) emit(key string, args cty.Value) {
	e := event{kind: args.GetAttr("type").AsString(), subject: f.id, step: key, data: args.GetAttr("data"), at: f.t.w.now}
	if v := args.GetAttr("subject"); !v.IsNull() {
		e.subject = v.AsString()
	}
	f.t.w.seen.events = append(f.t.w.seen.events, e)
}

// child plays another workflow of the project as a run of its own.
func (f *flowRun) child(key, id string, e flow.Effect) performance {
	w := f.d.Project.Workflows[e.References["run"].Name]
	if w.Definition != "" {
		f.t.problem("The step %q runs the state machine %q, which is not played as part of another workflow: give the step a mock.", key, w.Name)
		return failed(flow.EvaluationError, "", "")
	}
	d := flow.Compile(f.d.Project, w)
	inputs, problem := d.InputsOfChild(e.Arguments.GetAttr("inputs"), f.inputs)
	if problem != nil {
		p := failed(problem.Name, problem.Cause, id)
		p.text += ": " + problem.Cause
		return p
	}
	return performance{child: func(end func(performance)) *run {
		var inner *flowRun
		inner = f.t.newFlowRun(d, id, key+".", inputs, func() { end(inner.outcome(id)) })
		f.t.w.at(f.t.w.now, endings, inner.start)
		return inner.r
	}}
}

// outcome is that of the step that is this run.
func (f *flowRun) outcome(id string) performance {
	result := f.machine.Result()
	if result.Status == flow.Succeeded {
		out := flow.NewOutcome(result.Outputs)
		out.Run = id
		return succeeded(out)
	}
	name, problem := "Tutti.WorkflowFailed", ""
	if result.Status == flow.Cancelled {
		name = "Tutti.Cancelled"
	}
	if result.Error != nil {
		problem = result.Error.Name
		if result.Step != "" {
			problem = "step " + result.Step + ": " + problem
		}
	}
	return failed(name, fmt.Sprintf("The workflow %q (run %s) has %s: %s", f.d.Workflow.Name, id, result.Status, problem), id)
}

var _ performer = (*flowRun)(nil)

// waitsFor tells what a run still waits for, for people.
func (f *flowRun) waitsFor() []string {
	var out []string
	for _, w := range f.machine.Waiting() {
		what := fmt.Sprintf("the event %q", w.Event)
		if w.Approval {
			what = "an approval"
		}
		out = append(out, fmt.Sprintf("%s waits for %s", f.r.prefix+w.Key, what))
	}
	return out
}

// needsMock reports whether an action has effects: what becomes of it is made up
// where no mock says so.
func needsMock(kind string) bool {
	switch kind {
	case "emit", "workflow", "wait", "approval":
		return false
	}
	_, known := projects.Actions[kind]
	return known
}
