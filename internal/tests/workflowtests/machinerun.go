package workflowtests

import (
	"encoding/json"
	"strings"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// machineRun plays the effects of a state machine in Amazon States Language.
// What a task calls does not matter: mocks name its state.
type machineRun struct {
	t       *trial
	r       *run
	machine *asl.Machine
	states  map[string]string // types by name
	read    int               // of the history
	open    map[string]int    // the last line of each state
	tries   map[string]int    // attempts at tasks, by state, since it was entered
}

func (t *trial) newMachineRun(d *asl.Definition) *machineRun {
	m := &machineRun{t: t, machine: asl.NewMachine(d), states: d.States(), open: map[string]int{}, tries: map[string]int{}}
	m.r = t.w.newRun("", m.machine, m, 0)
	return m
}

func (m *machineRun) start(input json.RawMessage) {
	m.r.enter(workflow.RunStarted, -1, encode(asl.Start{Name: runID, Input: input, Secret: runID}))
}

// enters implements performer.
func (m *machineRun) enters(step int) entrance {
	e := m.machine.Effect(step)
	return entrance{until: e.Until, token: e.Kind == asl.Callback || e.Kind == asl.Activity}
}

// maxHistory bounds the states that a machine goes through: what goes through
// more goes round in circles.
const maxHistory = 200_000

// applied implements performer. States that do nothing outside are known by the
// history only.
func (m *machineRun) applied() {
	history := m.machine.History()
	if len(history) > maxHistory {
		m.t.problem("The state machine does not end: it has gone through %d events.", maxHistory)
		return
	}
	for _, e := range history[m.read:] {
		details, _ := e.Details.(*asl.Object)
		if details == nil {
			continue
		}
		value, _ := details.Get("name")
		name, _ := value.(string)
		if kind, entered := strings.CutSuffix(e.Type, "StateEntered"); entered {
			m.tries[name] = 0
			if kind != "Task" {
				m.open[name] = m.t.w.seen.add(line{key: name, action: kind, attempt: 1, at: m.t.w.now})
			}
		} else if strings.HasSuffix(e.Type, "StateExited") {
			if n, ok := m.open[name]; ok {
				if l := &m.t.w.seen.lines[n]; l.ended.IsZero() {
					l.ended = m.t.w.now
				}
			}
		}
	}
	m.read = len(history)
}

// finished implements performer.
func (m *machineRun) finished() {}

// failure implements performer.
func (m *machineRun) failure(_ int, why failure) (json.RawMessage, string) {
	name := map[failureKind]string{timedOut: asl.TimedOut, unheard: asl.HeartbeatMissed, interrupted: "Tutti.Cancelled"}[why.kind]
	return encode(asl.Outcome{Error: name, Cause: why.cause}), name
}

// perform implements performer.
func (m *machineRun) perform(step int) performance {
	e := m.machine.Effect(step)
	p := performance{kind: workflow.StepSucceeded, line: -1, timeout: e.Timeout, heartbeat: e.Heartbeat, since: e.Since}
	null := encode(asl.Outcome{Output: json.RawMessage("null")})
	if e.Kind == asl.Write || e.Kind == asl.Call && e.Token != "" {
		p.data = null // who gets the token ends it: that is a step of its own
		return p
	}
	m.tries[e.State]++
	arguments := jsonValue(e.Input)
	if e.Payload != nil {
		arguments = jsonValue(e.Payload)
	}
	about := line{key: e.State, action: e.Resource, attempt: m.tries[e.State], at: m.t.w.now, call: true, args: arguments}
	if about.action == "" {
		about.action = string(e.Kind)
	}
	p.line = m.t.w.seen.add(about)
	m.open[e.State] = p.line
	mock := m.t.mocks.take(e.State)
	if mock != nil {
		p.after, p.silent = mock.Duration, mock.Silent
		if mock.Error != nil {
			p.kind, p.text = workflow.StepFailed, strings.TrimSuffix("failed: "+mock.Error.Name+": "+mock.Error.Cause, ": ")
			out := asl.Outcome{Error: mock.Error.Name, Cause: mock.Error.Cause}
			if e.Kind == asl.Run && e.Child.Wait {
				out.Status = "FAILED"
			}
			p.data = encode(out)
			return p
		}
	}
	p.data = encode(m.outcome(mock, e, mockScope{key: e.State, attempt: about.attempt, arguments: arguments}, p.line))
	return p
}

// outcome is what a task that succeeds gives.
func (m *machineRun) outcome(mock *projects.TestMock, e asl.Effect, scope mockScope, n int) asl.Outcome {
	v := cty.EmptyObjectVal
	if e.Kind == asl.Read {
		v = cty.EmptyTupleVal
	}
	switch {
	case mock != nil && mock.Outputs != nil:
		if given, ok := m.t.evaluateOutputs(mock.Outputs, scope); ok {
			v = given
		}
	case mock == nil && m.t.test.Required:
		m.t.problem("The state %q has no mock for its attempt %d, and mocks are required.", scope.key, scope.attempt)
	}
	data := jsonOf(v)
	m.t.w.seen.lines[n].outputs = jsonValue(data)
	out := asl.Outcome{Output: data}
	switch {
	case e.Kind == asl.Run && e.Child.Wait:
		out.Status = "SUCCEEDED"
	case e.Kind == asl.Run:
		out.Output = json.RawMessage("null")
	case e.Kind == asl.Read && !e.Reading.List && v.Type() != cty.String:
		out.Output = encode(string(data)) // the content of the object
	}
	return out
}

// jsonValue reads JSON; null for what is none.
func jsonValue(data json.RawMessage) cty.Value {
	if len(data) > 0 {
		if ty, err := ctyjson.ImpliedType(data); err == nil {
			if v, err := ctyjson.Unmarshal(data, ty); err == nil {
				return v
			}
		}
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// jsonOf writes a value as JSON; what cannot be known is null.
func jsonOf(v cty.Value) json.RawMessage {
	v, _ = v.UnmarkDeep()
	if v == cty.NilVal || !v.IsWhollyKnown() {
		return json.RawMessage("null")
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return json.RawMessage("null")
	}
	return data
}

var _ performer = (*machineRun)(nil)
