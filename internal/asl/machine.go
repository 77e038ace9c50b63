package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// Result is how an execution ended.
type Result struct {
	Status   string // SUCCEEDED, FAILED, TIMED_OUT or ABORTED; RUNNING until then
	Output   any    // where it succeeded
	Error    string // empty for none
	Cause    string
	HasCause bool // it may be there and empty
}

// Machine interprets a definition. Steps are numbered as they come up; what
// they do is asked with [Machine.Effect]. It is not safe for concurrent use.
type Machine struct {
	definition *Definition
	last       int64
	now        time.Time
	random     *rand.Rand
	parsed     *parsed
	started    string

	ready   []*thread
	steps   int              // started so far
	pending map[int]*pending // those that are waited for
	main    *history
	result  Result
	name    string // of the execution
	secret  string // mixed into tokens

	commands []workflow.Command
}

// NewMachine makes a machine for a definition.
func NewMachine(d *Definition) *Machine {
	return &Machine{
		definition: d, parsed: newParsed(), main: &history{}, result: Result{Status: "RUNNING"},
		pending: map[int]*pending{},
	}
}

// Result says how the execution stands or ended.
func (m *Machine) Result() Result { return m.result }

// Forget lets the machine keep no history, neither what it told so far nor what
// it tells from now on: what a long execution holds is then bounded by what is
// going on in it. Events keep their numbers, which are part of some causes.
func (m *Machine) Forget() { m.main.forget() }

// History returns what happened so far. The caller must not change it.
func (m *Machine) History() []Event { return m.main.events }

// Recorded returns the history as the service's recordings have it: without
// ParallelStateSucceeded, whose number stays free.
func (m *Machine) Recorded() []Event {
	var out []Event
	for _, e := range m.main.events {
		if e.Type != "ParallelStateSucceeded" {
			out = append(out, e)
		}
	}
	return out
}

// Apply takes the next entry of the journal.
func (m *Machine) Apply(e workflow.Entry) ([]workflow.Command, error) {
	if e.Sequence != m.last+1 {
		return nil, fmt.Errorf("entry %d cannot follow entry %d of the journal", e.Sequence, m.last)
	}
	if (m.last == 0) != (e.Kind == workflow.RunStarted) {
		return nil, fmt.Errorf("entry %d (%s) is not where a run starts", e.Sequence, e.Kind)
	}
	m.commands = m.commands[:0]
	switch e.Kind {
	case workflow.RunStarted, workflow.StepSucceeded, workflow.StepFailed, workflow.StepLost, workflow.CancelRequested:
		m.now = e.Time
	}
	switch e.Kind {
	case workflow.RunStarted:
		if err := m.start(e); err != nil {
			return nil, err
		}
	case workflow.RunResumed:
		for _, step := range slices.Sorted(maps.Keys(m.pending)) {
			m.commands = append(m.commands, workflow.Command{Kind: workflow.StartStep, Step: step})
		}
	case workflow.StepSucceeded, workflow.StepFailed, workflow.StepLost:
		if err := m.outcome(e); err != nil {
			return nil, err
		}
	case workflow.CancelRequested:
		if m.result.Status == "RUNNING" {
			m.main.tell(m.main.last, "ExecutionAborted", "executionAbortedEventDetails", NewObject())
			m.result.Status = "ABORTED"
			m.ready = nil
			clear(m.pending)
		}
	case workflow.StepStarted:
		if err := m.begun(e); err != nil {
			return nil, err
		}
		m.last = e.Sequence
		return nil, nil
	case workflow.StepWithdrawn, workflow.SignalReceived, workflow.RunFinished:
		m.last = e.Sequence
		return nil, nil
	default:
		return nil, fmt.Errorf("entry %d is of the unknown kind %q", e.Sequence, e.Kind)
	}
	m.last = e.Sequence
	m.run()
	if m.result.Status != "RUNNING" {
		m.commands = append(m.commands[:0], workflow.Command{Kind: workflow.FinishRun, Step: -1})
	}
	return m.commands, nil
}

func (m *Machine) start(e workflow.Entry) error {
	var start Start
	if err := json.Unmarshal(e.Data, &start); err != nil {
		return fmt.Errorf("entry %d has no start of an execution: %w", e.Sequence, err)
	}
	if len(start.Input) == 0 {
		start.Input = json.RawMessage("{}")
	}
	input, err := Decode(start.Input)
	if err != nil {
		return fmt.Errorf("the input is not JSON: %w", err)
	}
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(start.Name)) // a hash takes everything
	m.random = seeded(seed.Sum64())
	m.name, m.secret = start.Name, start.Secret
	m.started = instant(m.now)
	id := executionARN + start.Name
	if start.Express {
		id = expressID(start.Name, m.random)
	}
	m.main.tell(0, "ExecutionStarted", "executionStartedEventDetails",
		withValue(NewObject(), "input", input).Set("roleArn", roleARN))
	execution := m.execution(id, start.Name, input)
	if start.Express {
		about, _ := execution.at("Execution").(*Object)
		about.remove("RedriveCount")
	}
	t := &thread{
		m: m, history: m.main, level: m.definition.level, variables: &variables{values: NewObject()},
		execution: execution,
	}
	t.done = func(output any) {
		m.main.tell(t.last, "ExecutionSucceeded", "executionSucceededEventDetails", withValue(NewObject(), "output", output))
		m.result.Status, m.result.Output = "SUCCEEDED", output
	}
	t.failed = func(err *stateError) {
		m.main.tell(t.last, "ExecutionFailed", "executionFailedEventDetails", failure(err))
		m.result = Result{Status: "FAILED", Error: err.name, Cause: err.cause, HasCause: err.hasCause}
	}
	t.enter(m.definition.level.startAt, input)
	if n, ok := integer(m.definition.timeout); ok && n > 0 {
		// It ends the main branch and is not given up with a state of it.
		m.effect(&thread{}, Effect{Kind: Timer, Until: m.now.Add(seconds(n))}, func(Outcome, bool) {
			t.stop()
			m.main.tell(m.main.last, "ExecutionTimedOut", "executionTimedOutEventDetails", NewObject())
			m.result.Status = "TIMED_OUT"
		})
	}
	return nil
}

// What an execution is called in the context object and in history, in the
// form that expressions written for Step Functions take apart.
const (
	roleARN      = "arn:aws:iam::000000000000:role/tutti"
	machineARN   = "arn:aws:states:local:000000000000:stateMachine:tutti"
	executionARN = "arn:aws:states:local:000000000000:execution:tutti:"
	mapRunARN    = "arn:aws:states:local:000000000000:mapRun:tutti/"
)

// expressID is the ARN of an execution of the type EXPRESS.
func expressID(name string, random *rand.Rand) string {
	return strings.Replace(executionARN, ":execution:", ":express:", 1) + name + ":" + (&scope{random: random}).uuid()
}

func (m *Machine) execution(id, name string, input any) *Object {
	return NewObject().
		Set("Execution", NewObject().
			Set("Id", id).Set("Input", input).
			Set("Name", name).Set("RoleArn", roleARN).Set("StartTime", m.started).Set("RedriveCount", number(0))).
		Set("StateMachine", NewObject().Set("Id", machineARN).Set("Name", "tutti"))
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// breath is how many states are entered within one entry. Then a timer that is
// due at once lets a cancel in: a machine may loop without ever waiting.
const breath = 1000

// run goes on with every branch that can, in order, until all wait or end.
func (m *Machine) run() {
	for n := 0; len(m.ready) > 0 && m.result.Status == "RUNNING"; n++ {
		if n == breath {
			m.effect(&thread{}, Effect{Kind: Timer, Until: m.now}, func(Outcome, bool) {})
			return
		}
		t := m.ready[0]
		m.ready = m.ready[1:]
		if !t.stopped {
			t.execute()
		}
	}
}

// thread is one branch of an execution: where it stands and what it knows.
type thread struct {
	m         *Machine
	history   *history
	level     *level
	variables *variables
	execution *Object // the context object without the state
	item      *Object // Map.Item of it, if any
	done      func(output any)
	failed    func(*stateError)
	stopped   bool
	outer     *thread
	inner     []*thread // branches that were started and may run
	place     int       // in the inner ones of the outer
	steps     []int     // that the state waits for
	token     string    // of the task, where it has one

	state    *state
	input    any
	last     int64 // id of its last event
	entered  int64 // id of the event that entered the state
	before   int64 // what that event followed
	since    string
	attempts map[int]int // retries so far, by retrier
	trial    *trial      // where the state is tested alone
	retries  int
}

// enter makes a state the next one.
func (t *thread) enter(name string, input any) {
	t.state, t.input = t.level.states[name], input
	t.attempts, t.retries, t.token = nil, 0, ""
	t.m.ready = append(t.m.ready, t)
}

// stop gives a branch and all inside it up.
func (t *thread) stop() {
	t.stopped = true
	t.drop()
	t.stopInner()
}

func (t *thread) stopInner() {
	for _, inner := range t.inner {
		inner.stop()
	}
	t.inner = nil
}

// ended takes a branch that is through out of those that may run.
func (t *thread) ended() {
	list := t.outer.inner
	last := list[len(list)-1]
	list[t.place], last.place = last, t.place
	list[len(list)-1] = nil
	t.outer.inner = list[:len(list)-1]
}

func (t *thread) scope(input any) *scope {
	return &scope{input: input, context: t.context(), variables: t.variables, random: t.m.random, now: t.m.now, parsed: t.m.parsed}
}

func (t *thread) context() *Object {
	if t.trial != nil && t.trial.context != nil {
		return t.trial.context
	}
	o := t.execution.clone()
	at := NewObject().Set("EnteredTime", t.since).Set("Name", t.state.name)
	switch t.state.kind {
	case "Task", "Parallel", "Map":
		at.Set("RetryCount", number(int64(t.retries)))
	}
	o.Set("State", at)
	if t.token != "" && t.state.resource.Pattern == WaitForTaskToken {
		o.Set("Task", NewObject().Set("Token", t.token))
	}
	if t.item != nil {
		o.Set("Map", NewObject().Set("Item", t.item))
	}
	return o
}

// execute enters the state and does what it does.
func (t *thread) execute() {
	t.before = t.last
	t.since = instant(t.m.now)
	t.last = t.history.tell(t.before, t.state.kind+"StateEntered", "stateEnteredEventDetails",
		withValue(NewObject(), "input", t.input).Set("name", t.state.name))
	t.entered = t.last
	t.perform()
}

// perform does what the state does; again for every retry.
func (t *thread) perform() {
	var err error
	switch t.state.kind {
	case "Pass":
		err = t.pass()
	case "Succeed":
		err = t.succeed()
	case "Fail":
		err = t.fail()
	case "Choice":
		err = t.choose()
	case "Wait":
		err = t.wait()
	case "Task":
		err = t.task()
	case "Parallel":
		err = t.parallel()
	case "Map":
		err = t.mapItems()
	}
	t.check(err)
}

// check lets the state fail if there is an error.
func (t *thread) check(err error) {
	if refused, ok := err.(refusal); ok && t.trial != nil { //nolint:errorlint // never wrapped
		t.trial.refused, t.trial.status = refused, "FAILED"
		return
	}
	if err != nil {
		t.fails(asStateError(err))
	}
}

func asStateError(err error) *stateError {
	var e *stateError
	if errors.As(err, &e) {
		return e
	}
	return runtimeError("%s", err)
}

// fails ends the state with an error: a retrier or catcher takes it, or the
// branch ends.
func (t *thread) fails(e *stateError) {
	// A state that cannot be run at all ends without an event of its own.
	fatal := e.name == "States.Runtime" && e.inside
	e = t.told(e)
	t.drop()
	t.stopInner()
	if t.trial != nil {
		t.trial.failure = e
	}
	if t.retry(e) {
		return
	}
	if (t.state.kind == "Map" || t.state.kind == "Parallel") && !fatal {
		t.last = t.history.tell(t.last, t.state.kind+"StateFailed", "", nil)
	}
	caught, err := t.catch(e)
	if err != nil {
		e, caught = t.told(asStateError(err)), false
	}
	if caught {
		return
	}
	t.stopped = true
	t.failed(e)
}

// told is an error as it leaves the state: with the state in its cause, and an
// event where a query failed.
func (t *thread) told(e *stateError) *stateError {
	if !e.inside {
		return e
	}
	out := *e
	out.inside = false
	if e.query || e.name == "States.Runtime" {
		out.cause = fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s", t.state.name, t.entered, e.cause)
	}
	if e.query {
		details := failure(&out)
		if e.location != "" {
			details.Set("location", e.location)
		}
		t.last = t.history.tell(t.before, "EvaluationFailed", "evaluationFailedEventDetails", details.Set("state", t.state.name))
	}
	return &out
}

// leave ends the state: its output goes to the next one, or is the branch's.
func (t *thread) leave(output any, assigned *Object, next string) error {
	if limit := len(text(output)); limit > maxData {
		return failed("States.DataLimitExceeded", fmt.Sprintf("The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", t.state.name))
	}
	details := NewObject()
	if assigned != nil && len(assigned.Keys()) > 0 {
		if len(text(assigned)) > maxData {
			return failed("States.DataLimitExceeded", fmt.Sprintf("The state/task '%s' assigned variables with a size exceeding the maximum number of bytes service limit.", t.state.name))
		}
		withValue(details, "assignedVariables", assigned)
		values := t.variables.values.clone()
		for _, k := range assigned.Keys() {
			values.Set(k, assigned.at(k))
		}
		t.variables = &variables{outer: t.variables.outer, values: values}
	}
	details.Set("name", t.state.name)
	t.last = t.history.tell(t.last, t.state.kind+"StateExited", "stateExitedEventDetails", withValue(details, "output", output))
	if t.trial != nil {
		t.trial.left(output, next)
		return nil
	}
	if next == "" {
		t.stopped = true
		t.done(output)
		return nil
	}
	if t.level.states[next] == nil {
		return runtimeError("There is no state '%s' to go on with", next)
	}
	t.enter(next, output)
	return nil
}

// maxData is how many bytes the output of a state may have, and likewise what it
// assigns.
const maxData = 256 << 10

func (t *thread) next() string {
	next, _ := t.state.text("Next")
	return next
}
