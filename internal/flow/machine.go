package flow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// Start is the data of the entry that starts a run.
type Start struct {
	Run         string          `json:"run"`                   // id; also the seed of what is random
	Actor       string          `json:"actor,omitempty"`       // who started it
	Environment string          `json:"environment,omitempty"` // name; empty for none
	Inputs      json.RawMessage `json:"inputs,omitempty"`      // values of variables: an object with its type
	// Hidden are the names of inputs that are sensitive, whatever their variables
	// say.
	Hidden []string `json:"hidden,omitempty"`
	// Reuse are outcomes of an earlier run by key of the step: such a step is not
	// done again.
	Reuse map[string]Outcome `json:"reuse,omitempty"`
}

// Outcome is the data of the entry that ends a step.
type Outcome struct {
	Outputs json.RawMessage `json:"outputs,omitempty"` // a value with its type; none is null
	// Hidden are the names of outputs that are sensitive; "*" stands for all.
	Hidden []string `json:"hidden,omitempty"`
	Run    string   `json:"run,omitempty"` // the run of its own that the step was
	Error  string   `json:"error,omitempty"`
	Cause  string   `json:"cause,omitempty"`
	Cached bool     `json:"cached,omitempty"`
	// Key names the step, for people and programs that read the journal.
	Key string `json:"step,omitempty"`
	// Secrets are the versions of the secrets that it was given, by name.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// Status is where a step stands or how it ended.
type Status string

// The statuses of steps, as expressions see them.
const (
	Waiting   Status = "waiting"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Caught    Status = "caught"  // failed, and a catch block took it
	Skipped   Status = "skipped" // its condition was false
	Halted    Status = "halted"  // something it needs failed
	Cancelled Status = "cancelled"
)

// Error is why a step failed.
type Error struct{ Name, Cause string }

func (e *Error) Error() string { return e.Name + ": " + e.Cause }

// The names of errors that the machine itself gives.
const (
	EvaluationError = "Tutti.Evaluation"
	TimeoutError    = "Tutti.Timeout"
	ExpiredError    = "Tutti.ApprovalExpired"
	RejectedError   = "Tutti.Rejected"
	UnknownOutcome  = "Tutti.OutcomeUnknown"
	ToleranceError  = "Tutti.TooManyFailures"
)

// Result is how a run ended.
type Result struct {
	Status  Status // Running until then; Succeeded, Failed or Cancelled
	Outputs cty.Value
	Error   *Error // of the first step that failed
	Step    string // that step
	// NotUndone are the steps whose undoing failed.
	NotUndone []string
}

// Machine interprets a definition. It is not safe for concurrent use.
type Machine struct {
	d    *Definition
	last int64
	now  time.Time

	start  Start
	scope  scope
	nodes  []nodeState
	phase  phase
	active int // effects that hold up the end of the phase

	effects   effects
	opened    []int32 // nodes that may start
	undo      []target
	events    map[string][]workflow.Signal // that no step has waited for yet
	waits     map[string][]int32           // effects waiting for an event
	approvals map[int32]*approval          // effects waiting for people
	limits    map[int32]int32              // the deadline of what waits for a signal

	cancelled bool
	failed    bool
	result    Result
	follow    bool
	changes   []Change
	commands  []workflow.Command
}

// target is one item of a node.
type target struct{ node, item int32 }

type effectKind byte

const (
	taskEffect     effectKind = iota
	undoEffect                // a task as well
	readEffect                // outputs of a stack
	backoffEffect             // timer: then the next attempt
	waitEffect                // timer: the step itself
	deadlineEffect            // timer: holds up nothing
	eventEffect               // ends by a signal
	approvalEffect            // ends by signals
)

// effect is a step as the journal counts them: something that begins and ends.
type effect struct {
	kind    effectKind
	ended   bool
	begun   bool
	attempt int32
	target
	stack  int32 // of a read: which of the node's stacks
	limits int32 // of a deadline: the effect that fails then
	until  int64 // of a timer: nanoseconds
	at     int64 // when it was wanted, in nanoseconds: what timestamp() says
}

// nodeState is how a node stands.
type nodeState struct {
	status  Status
	begun   time.Time // zero where it has not
	ended   time.Time
	waiting int32 // needs that have not ended
	halted  bool
	scope   *hcl.EvalContext // while it runs
	marked  bool             // something in its scope is sensitive
	items   items
	err     *Error
	value   *cty.Value // as others see it, once asked for
	stacks  []cty.Value
	reading int
}

// NewMachine makes a machine for a definition.
func NewMachine(d *Definition) *Machine {
	m := &Machine{
		d: d, nodes: make([]nodeState, len(d.nodes)), result: Result{Status: Running, Outputs: cty.EmptyObjectVal},
		events: map[string][]workflow.Signal{}, waits: map[string][]int32{},
		approvals: map[int32]*approval{}, limits: map[int32]int32{},
	}
	for i := range m.nodes {
		m.nodes[i] = nodeState{status: Waiting, waiting: int32(len(d.nodes[i].needs))}
	}
	return m
}

// Change is that a step of the definition, or what undoes one, began or ended.
type Change struct {
	Step   string // NAME; NAME.undo and NAME["key"].undo for what undoes it
	Status Status
	Items  int // of a for_each; 0 for others
	Undo   bool
	Error  *Error
}

// Follow lets the machine note what becomes of steps, for [Machine.Changes].
func (m *Machine) Follow() { m.follow = true }

// Changes returns what became of steps since it was called last.
func (m *Machine) Changes() []Change {
	out := m.changes
	m.changes = nil
	return out
}

func (m *Machine) changed(n int32) {
	if !m.follow {
		return
	}
	s := &m.nodes[n]
	c := Change{Step: m.d.nodes[n].step.Name, Status: s.status, Error: s.err}
	if s.items.kind != single {
		c.Items = len(s.items.list)
	}
	m.changes = append(m.changes, c)
}

// Result says how the run stands or ended.
func (m *Machine) Result() Result { return m.result }

// Apply takes the next entry of the journal. Outcomes of steps that nobody
// waits for any more are taken and mean nothing.
func (m *Machine) Apply(e workflow.Entry) ([]workflow.Command, error) {
	if e.Sequence != m.last+1 {
		return nil, fmt.Errorf("entry %d cannot follow entry %d of the journal", e.Sequence, m.last)
	}
	if (m.last == 0) != (e.Kind == workflow.RunStarted) {
		return nil, fmt.Errorf("entry %d (%s) is not where a run starts", e.Sequence, e.Kind)
	}
	m.last = e.Sequence
	m.commands = m.commands[:0]
	if e.Time.After(m.now) {
		m.now = e.Time
	}
	var err error
	switch e.Kind {
	case workflow.RunStarted:
		err = m.begin(e)
	case workflow.RunResumed:
		m.again()
	case workflow.CancelRequested:
		err = m.cancel(e)
	case workflow.SignalReceived:
		err = m.signal(e)
	case workflow.StepStarted:
		if p, bad := m.effect(e); bad == nil {
			p.begun = true
		}
		return nil, nil
	case workflow.StepWithdrawn:
		var p *effect
		if p, err = m.effect(e); err == nil && !p.ended {
			p.begun = false
			m.want(e.Step)
		}
	case workflow.StepSucceeded, workflow.StepFailed, workflow.StepLost:
		err = m.outcome(e)
	case workflow.RunFinished:
		return nil, nil
	default:
		err = fmt.Errorf("entry %d is of the unknown kind %q", e.Sequence, e.Kind)
	}
	if err != nil {
		return nil, err
	}
	m.proceed()
	return m.commands, nil
}

func (m *Machine) effect(e workflow.Entry) (*effect, error) {
	if e.Step < 0 || e.Step >= m.effects.count {
		return nil, fmt.Errorf("entry %d (%s) is about step %d, which the run does not have", e.Sequence, e.Kind, e.Step)
	}
	return m.effects.at(e.Step), nil
}

func (m *Machine) want(step int) {
	m.commands = append(m.commands, workflow.Command{Kind: workflow.StartStep, Step: step})
}

// add makes a new effect and asks for it.
func (m *Machine) add(p effect) int32 {
	p.at = m.now.UnixNano()
	n := m.effects.add(p)
	if p.kind != deadlineEffect {
		m.active++
	}
	m.want(n)
	return int32(n)
}

// end takes an effect out of what is waited for.
func (m *Machine) end(step int, p effect) {
	m.effects.end(step)
	if p.kind != deadlineEffect {
		m.active--
	}
}

// drop ends an effect that nobody waits for any more.
func (m *Machine) drop(step int32) {
	if p := m.effects.at(int(step)); !p.ended {
		m.end(int(step), *p)
		m.commands = append(m.commands, workflow.Command{Kind: workflow.StopStep, Step: int(step)})
	}
}

func (m *Machine) begin(e workflow.Entry) error {
	if err := json.Unmarshal(e.Data, &m.start); err != nil {
		return fmt.Errorf("entry %d has no start of a workflow: %w", e.Sequence, err)
	}
	if err := m.scope.open(m); err != nil {
		return err
	}
	m.enter(phaseMain)
	return nil
}

// again asks for everything that has not ended.
func (m *Machine) again() {
	m.effects.open(func(step int, _ *effect) { m.want(step) })
}

// cancel ends what has not begun; what is at work ends by itself. The steps of
// finally are still wanted: who drives the run has forgotten them.
func (m *Machine) cancel(e workflow.Entry) error {
	var in workflow.Interruption
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &in); err != nil {
			return fmt.Errorf("entry %d has no list of what was running: %w", e.Sequence, err)
		}
	}
	if m.phase == phaseDone {
		return nil
	}
	goesOn := m.cancelled || m.phase == phaseFinally
	m.cancelled = true
	running := make(map[int]bool, len(in.Running))
	for _, step := range in.Running {
		running[step] = true
	}
	m.effects.open(func(step int, p *effect) {
		switch {
		case running[step]:
		case goesOn: // finally comes always
			m.want(step)
		default:
			node := p.node
			m.end(step, *p)
			m.nodes[node].status, m.nodes[node].ended = Cancelled, m.now
		}
	})
	return nil
}

// stopped reports whether nothing more is begun: the run was cancelled, and its
// finally steps are not reached yet.
func (m *Machine) stopped() bool { return m.cancelled && m.phase != phaseFinally }

// outcome takes the end of an effect.
func (m *Machine) outcome(e workflow.Entry) error {
	p, err := m.effect(e)
	if err != nil {
		return err
	}
	if p.ended {
		return nil
	}
	done := *p
	m.end(e.Step, done)
	var out Outcome
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &out); err != nil {
			return fmt.Errorf("entry %d has no outcome: %w", e.Sequence, err)
		}
	}
	failure := failureOf(e.Kind, out)
	switch done.kind {
	case taskEffect, waitEffect:
		m.itemEnds(done, out, failure)
	case undoEffect:
		m.undone(done, failure)
	case readEffect:
		m.read(done, out, failure)
	case backoffEffect:
		if !m.stopped() {
			m.attempt(done.target, done.attempt+1)
			m.startItems(done.node)
		}
	case deadlineEffect:
		m.late(done)
	}
	return nil
}

func failureOf(kind workflow.Kind, out Outcome) *Error {
	switch {
	case kind == workflow.StepSucceeded:
		return nil
	case kind == workflow.StepLost && out.Error == "":
		return &Error{UnknownOutcome, out.Cause}
	case out.Error == "":
		return &Error{"Tutti.Failed", out.Cause}
	}
	return &Error{out.Error, out.Cause}
}

// proceed starts nodes that may start and ends the phase when nothing is left.
func (m *Machine) proceed() {
	for m.phase != phaseDone {
		for len(m.opened) > 0 {
			n := m.opened[len(m.opened)-1]
			m.opened = m.opened[:len(m.opened)-1]
			m.ready(n)
		}
		if m.active > 0 {
			return
		}
		m.endPhase()
	}
	m.commands = append(m.commands, workflow.Command{Kind: workflow.FinishRun, Step: -1})
}

// enter begins a phase with its steps that need nothing.
func (m *Machine) enter(p phase) {
	m.phase = p
	// Taken from the end: the first declared comes first.
	for i := len(m.nodes) - 1; i >= 0; i-- {
		if m.d.nodes[i].phase == p && m.nodes[i].waiting == 0 && m.nodes[i].status == Waiting {
			m.opened = append(m.opened, int32(i))
		}
	}
}

// endPhase goes on to what follows: undoing and on_failure only where the
// workflow failed, finally always.
func (m *Machine) endPhase() {
	switch m.phase {
	case phaseMain:
		if !m.cancelled && !m.failed {
			// A workflow whose outputs cannot be had has failed: what it did is undone.
			if _, err := m.outputs(true); err != nil {
				m.fail("", err)
			}
		}
		if m.cancelled || !m.failed {
			m.enter(phaseFinally)
			return
		}
		m.phase = phaseUndo
		m.undoNext()
	case phaseUndo:
		if len(m.undo) > 0 && !m.cancelled {
			m.undoNext()
			return
		}
		if m.cancelled {
			m.enter(phaseFinally)
			return
		}
		m.enter(phaseFailure)
	case phaseFailure:
		m.enter(phaseFinally)
	case phaseFinally:
		m.finish()
	}
}

func (m *Machine) finish() {
	m.phase = phaseDone
	switch {
	case m.failed:
		m.result.Status = Failed
	case m.cancelled:
		m.result.Status = Cancelled
	default:
		outputs, err := m.outputs(false)
		if err != nil {
			m.result.Status, m.result.Error = Failed, err
			return
		}
		m.result.Status, m.result.Outputs = Succeeded, outputs
	}
}

// fail notes that the workflow failed, and why at first.
func (m *Machine) fail(step string, err *Error) {
	if m.cancelled {
		return // it was asked to end
	}
	m.failed = true
	if m.result.Error == nil {
		m.result.Error, m.result.Step = err, step
	}
}

// ready starts a node all of whose needs have ended.
func (m *Machine) ready(n int32) {
	s, def := &m.nodes[n], &m.d.nodes[n]
	if s.status != Waiting {
		return
	}
	if s.halted {
		m.endNode(n, Halted)
		return
	}
	s.status, s.begun = Running, m.now
	if len(def.stacks) == 0 {
		m.open(n)
		return
	}
	s.stacks, s.reading = make([]cty.Value, len(def.stacks)), len(def.stacks)
	for i := range def.stacks {
		m.add(effect{kind: readEffect, target: target{node: n}, stack: int32(i)})
	}
}

// read takes the outputs of a stack.
func (m *Machine) read(p effect, out Outcome, failure *Error) {
	s := &m.nodes[p.node]
	if s.status != Running {
		return
	}
	if failure == nil {
		var err error
		if s.stacks[p.stack], err = out.value(); err != nil {
			failure = &Error{EvaluationError, err.Error()}
		}
	}
	if failure != nil && s.err == nil {
		s.err = failure
	}
	s.reading--
	switch {
	case s.reading > 0:
	case m.stopped():
		m.endNode(p.node, Cancelled)
	case s.err != nil:
		m.endNode(p.node, Failed)
	default:
		m.open(p.node)
	}
}

// open evaluates what decides about a node and starts its items.
func (m *Machine) open(n int32) {
	s, def := &m.nodes[n], &m.d.nodes[n]
	s.scope = m.scope.of(m, n, m.now)
	if def.step.When != nil && !def.whenEach {
		yes, err := m.condition(n, def.step.Name, s.scope)
		if err != nil {
			s.err = err
			m.endNode(n, Failed)
			return
		}
		if !yes {
			m.endNode(n, Skipped)
			return
		}
	}
	if err := m.expand(n); err != nil {
		s.err = err
		m.endNode(n, Failed)
		return
	}
	m.changed(n)
	m.startItems(n)
}

// endNode gives a node its end and opens what waited for it.
func (m *Machine) endNode(n int32, status Status) {
	s, def := &m.nodes[n], &m.d.nodes[n]
	s.status, s.scope, s.ended = status, nil, m.now
	if def.step.Undo == nil {
		s.stacks = nil
	}
	m.changed(n)
	if status == Failed {
		m.fail(def.step.Name, s.err)
	}
	bad := status == Failed || status == Halted || status == Cancelled
	for i := len(def.dependents) - 1; i >= 0; i-- {
		next := def.dependents[i]
		d := &m.nodes[next]
		if bad && !contains(m.d.nodes[next].asks, n) {
			d.halted = true
		}
		if d.waiting--; d.waiting == 0 && !m.stopped() && m.d.nodes[next].phase == m.phase {
			m.opened = append(m.opened, next)
		}
	}
}

func contains(sorted []int32, n int32) bool {
	for _, v := range sorted {
		if v == n {
			return true
		}
	}
	return false
}

// undoNext undoes the newest of what succeeded.
func (m *Machine) undoNext() {
	if len(m.undo) == 0 {
		return
	}
	t := m.undo[len(m.undo)-1]
	m.undo = m.undo[:len(m.undo)-1]
	m.nodes[t.node].items.list[t.item].undone = true
	m.add(effect{kind: undoEffect, target: t})
	m.undoing(t, Running, nil)
}

// undoing notes what becomes of undoing a step.
func (m *Machine) undoing(t target, status Status, failure *Error) {
	if m.follow {
		m.changes = append(m.changes, Change{Step: m.keyOf(t) + ".undo", Status: status, Undo: true, Error: failure})
	}
}

// undone goes on undoing, whatever came of it: one that failed must not keep
// the others from being undone. What failed is told in the journal.
func (m *Machine) undone(p effect, failure *Error) {
	if failure != nil {
		m.result.NotUndone = append(m.result.NotUndone, m.keyOf(p.target))
		m.undoing(p.target, Failed, failure)
		return
	}
	m.undoing(p.target, Succeeded, nil)
}
