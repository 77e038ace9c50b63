package asl

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// Start is the data of the entry that starts a run.
type Start struct {
	Name  string          `json:"name"`  // of the execution; also the seed of its random numbers
	Input json.RawMessage `json:"input"` // a JSON value; none is {}
	// Express says that the execution is of the type EXPRESS.
	Express bool `json:"express,omitempty"`
	// Secret goes into the tokens of tasks, so that who knows the name of an
	// execution cannot guess them. It stays the same for the whole run.
	Secret string `json:"secret,omitempty"`
}

// EffectKind says what somebody outside has to do for a step.
type EffectKind string

// The kinds of effects.
const (
	// Timer ends with success at the instant Until.
	Timer EffectKind = "timer"
	// Call is a task to carry out: Target says which. It ends with its result.
	Call EffectKind = "call"
	// Callback has nothing to carry out: whoever presents the Token ends it. It
	// is started together with the [Call] that gives the token away, and may end
	// before that does.
	Callback EffectKind = "callback"
	// Activity is work for a worker that asks for it by the name of the
	// activity, Target.Name, gets Input and Token, and ends it with the token.
	Activity EffectKind = "activity"
	// Run starts a child execution; see [Child].
	Run EffectKind = "child"
	// Read gets an object, or lists some; see [Reading].
	Read EffectKind = "read"
	// Write stores objects; see [Writing].
	Write EffectKind = "write"
)

// Effect is something outside the machine that a step does or waits for.
type Effect struct {
	Kind  EffectKind
	State string // the state it belongs to
	// Until is the instant a [Timer] ends; zero for all others.
	Until time.Time
	// Resource is what a task calls, as in the definition, Target the same taken
	// apart; Input are its arguments as JSON.
	Resource string
	Target   Resource
	Input    json.RawMessage
	// Payload is what the Lambda function Target.Function gets; its outcome is
	// what the function returned. Nil for all that is no Lambda function.
	Payload json.RawMessage
	// Token lets somebody else end the step. A [Call] that waits for its token
	// does not end with it: see [Callback].
	Token string
	// Timeout and Heartbeat limit what is no timer, from Since on; 0 for none.
	// What exceeds them ends as failed with [TimedOut] or [HeartbeatMissed].
	Since              time.Time
	Timeout, Heartbeat time.Duration

	Child   *Child
	Reading *Reading
	Writing *Writing
}

// The errors of effects that are ended because of their limits.
const (
	TimedOut        = "States.Timeout"
	HeartbeatMissed = "States.HeartbeatTimeout"
)

// Child is an execution of another state machine to start.
type Child struct {
	StateMachine string          // its ARN, or a name of ours
	Name         string          // of the execution; starting it twice under one name must start one
	Input        json.RawMessage // a JSON value
	// Wait says that the step ends with the execution: the outcome succeeds with
	// its output, or fails with its error and cause, and has its Status.
	// Otherwise the step ends when it has been started, with Output null.
	Wait bool
}

// Outcome is the data of the entry that ends an effect.
type Outcome struct {
	Output json.RawMessage `json:"output,omitempty"` // of a task that succeeded
	Error  string          `json:"error,omitempty"`  // of one that failed
	Cause  string          `json:"cause,omitempty"`
	// Status is how a child execution that was waited for ended: SUCCEEDED,
	// FAILED, TIMED_OUT or ABORTED. A failure without it means that the child
	// could not be started.
	Status string `json:"status,omitempty"`
	// Submitted is the answer to the call of a .sync integration, before the
	// job that it began ended. Without it there was none to tell.
	Submitted json.RawMessage `json:"submitted,omitempty"`
}

// Begun is what the entry of an intent may tell: which worker took an activity.
type Begun struct {
	Worker string `json:"worker,omitempty"`
}

// pending is a step that is waited for, and the branch that waits.
type pending struct {
	effect Effect
	thread *thread
	then   func(Outcome, bool)
	begun  func(Begun) // may be nil
}

// Effect says what a step does, as long as the machine waits for it.
func (m *Machine) Effect(step int) Effect {
	if p := m.pending[step]; p != nil {
		return p.effect
	}
	return Effect{}
}

// Waits reports whether the machine waits for a step. It does not any more for
// those of branches that were given up: they need not be begun, may be stopped,
// and their outcomes change nothing.
func (m *Machine) Waits(step int) bool { return m.pending[step] != nil }

// Steps is how many steps the execution has started so far.
func (m *Machine) Steps() int { return m.steps }

// effect starts a step for a branch.
func (m *Machine) effect(t *thread, e Effect, then func(Outcome, bool)) *pending {
	step := m.steps
	m.steps++
	m.commands = append(m.commands, workflow.Command{Kind: workflow.StartStep, Step: step})
	if t.state != nil {
		e.State = t.state.name
	}
	if e.Kind != Timer {
		e.Since = m.now
	}
	p := &pending{effect: e, thread: t, then: then}
	m.pending[step] = p
	t.steps = append(t.steps, step)
	return p
}

// drop forgets a step.
func (m *Machine) drop(step int) {
	if p := m.pending[step]; p != nil {
		delete(m.pending, step)
		p.thread.steps = slices.DeleteFunc(p.thread.steps, func(s int) bool { return s == step })
	}
}

// drop gives up all steps the state waits for.
func (t *thread) drop() {
	for _, step := range t.steps {
		delete(t.m.pending, step)
		t.m.commands = append(t.m.commands, workflow.Command{Kind: workflow.StopStep, Step: step})
	}
	t.steps = t.steps[:0]
}

// pendingOf returns the step an entry is about; nil if nobody waits for it.
func (m *Machine) pendingOf(e workflow.Entry) (*pending, error) {
	if e.Step < 0 || e.Step >= m.steps {
		return nil, fmt.Errorf("entry %d (%s) is about step %d, which the run does not have", e.Sequence, e.Kind, e.Step)
	}
	return m.pending[e.Step], nil
}

func (m *Machine) outcome(e workflow.Entry) error {
	p, err := m.pendingOf(e)
	if err != nil || p == nil { // nil: of a branch that was given up meanwhile
		return err
	}
	var out Outcome
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &out); err != nil {
			return fmt.Errorf("entry %d has no outcome: %w", e.Sequence, err)
		}
	}
	m.drop(e.Step)
	p.then(out, e.Kind == workflow.StepSucceeded)
	return nil
}

// begun takes an intent, which only the history of activities tells.
func (m *Machine) begun(e workflow.Entry) error {
	p, err := m.pendingOf(e)
	if err != nil || p == nil || p.begun == nil {
		return err
	}
	var b Begun
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &b); err != nil {
			return fmt.Errorf("entry %d has no intent: %w", e.Sequence, err)
		}
	}
	p.begun(b)
	return nil
}

// token makes the token of a step. It follows from the run, so that replaying
// the journal gives the same one.
func (m *Machine) token(step int) string {
	mac := hmac.New(sha256.New, []byte(m.secret))
	_, _ = mac.Write([]byte(m.name)) // a hash takes everything
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, m.random.Uint64()))
	return base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%d/%s/%s", step, mac.Sum(nil)[:16], m.name)))
}

// ParseToken tells which execution and step a token is of. Whether it is the
// step's own remains to be compared with [Effect.Token].
func ParseToken(token string) (execution string, step int, ok bool) {
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, false
	}
	number, rest, found := strings.Cut(string(data), "/")
	if !found || len(rest) < 17 || rest[16] != '/' {
		return "", 0, false
	}
	step, err = strconv.Atoi(number)
	return rest[17:], step, err == nil && step >= 0
}
