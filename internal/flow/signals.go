package flow

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// wait begins a wait step: a timer, or until a signal comes.
func (m *Machine) wait(t target, attempt int32) {
	args, err := m.arguments(t, m.d.nodes[t.node].step.Action)
	if err != nil {
		m.itemFails(t, attempt, err)
		return
	}
	p := effect{kind: waitEffect, target: t, attempt: attempt}
	switch {
	case !args["duration"].IsNull():
		d, err := projects.ParseDuration(args["duration"].AsString())
		if err != nil {
			m.itemFails(t, attempt, m.unfit(t, "duration", err.Error()))
			return
		}
		p.until = m.now.Add(d).UnixNano()
	case !args["until"].IsNull():
		until, err := time.Parse(time.RFC3339, args["until"].AsString())
		if err != nil {
			m.itemFails(t, attempt, m.unfit(t, "until", fmt.Sprintf("%q is not an instant such as 2026-01-02T15:04:05Z", args["until"].AsString())))
			return
		}
		p.until = until.UnixNano()
	case !args["event"].IsNull():
		m.waitForEvent(t, attempt, args["event"].AsString())
		return
	default:
		m.itemFails(t, attempt, &Error{EvaluationError, "One of duration, until and event must not be null."})
		return
	}
	m.add(p)
}

// waitForEvent takes a signal that has come already, or waits for one.
func (m *Machine) waitForEvent(t target, attempt int32, name string) {
	for i, sig := range m.events[name] {
		if m.fits(t, sig) {
			m.events[name] = slices.Delete(m.events[name], i, i+1)
			m.itemSucceeds(t, eventOutcome(sig))
			return
		}
	}
	step := m.add(effect{kind: eventEffect, target: t, attempt: attempt})
	m.waits[name] = append(m.waits[name], step)
	m.limit(step, m.d.nodes[t.node].step.Timeout)
}

// limit lets an effect that waits for a signal fail after a while.
func (m *Machine) limit(step int32, after time.Duration) {
	if after > 0 {
		m.limits[step] = m.add(effect{kind: deadlineEffect, target: m.effects.at(int(step)).target, limits: step, until: m.now.Add(after).UnixNano()})
	}
}

// fits reports whether a signal is one an item waits for.
func (m *Machine) fits(t target, sig workflow.Signal) bool {
	expr := m.d.nodes[t.node].step.Action.Arguments["match"]
	if expr == nil {
		return true
	}
	inner := m.itemScope(t).NewChild()
	inner.Variables = map[string]cty.Value{"event": eventValue(sig)}
	v, err := m.evaluate(m.keyOf(t)+" match", expr, inner)
	if err != nil {
		return false
	}
	v, _ = v.Unmark()
	return v.Type() == cty.Bool && v.IsKnown() && !v.IsNull() && v.True()
}

func eventValue(sig workflow.Signal) cty.Value {
	data := cty.NullVal(cty.DynamicPseudoType)
	if ty, err := ctyjson.ImpliedType(sig.Data); err == nil {
		if v, err := ctyjson.Unmarshal(sig.Data, ty); err == nil {
			data = v
		}
	}
	return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(sig.Name), "by": cty.StringVal(sig.By), "data": data})
}

func eventOutcome(sig workflow.Signal) Outcome {
	return Outcome{Outputs: EncodeValue(cty.ObjectVal(map[string]cty.Value{"data": eventValue(sig).GetAttr("data")}))}
}

// signal takes what somebody outside says.
func (m *Machine) signal(e workflow.Entry) error {
	var sig workflow.Signal
	if err := json.Unmarshal(e.Data, &sig); err != nil {
		return fmt.Errorf("entry %d has no signal: %w", e.Sequence, err)
	}
	if m.stopped() {
		return nil
	}
	switch sig.Kind {
	case workflow.SignalEvent:
		list := m.waits[sig.Name]
		for i, step := range list {
			p := *m.effects.at(int(step))
			if !p.ended && m.fits(p.target, sig) {
				m.waits[sig.Name] = slices.Delete(list, i, i+1)
				m.signalled(step, eventOutcome(sig), nil)
				return nil
			}
		}
		m.events[sig.Name] = append(m.events[sig.Name], sig)
	case workflow.SignalApprove, workflow.SignalReject:
		if step, err := m.Approval(sig.Kind, sig.Name, sig.By, workflow.ReadDecision(sig.Data)); err == nil {
			m.decide(step, sig)
		}
	}
	return nil
}

// signalled ends an effect that waited for a signal.
func (m *Machine) signalled(step int32, out Outcome, failure *Error) {
	p := *m.effects.at(int(step))
	m.drop(step)
	if limit, ok := m.limits[step]; ok {
		delete(m.limits, step)
		m.drop(limit)
	}
	m.itemEnds(p, out, failure)
}

// late lets what waited for a signal fail.
func (m *Machine) late(p effect) {
	w := *m.effects.at(int(p.limits))
	if w.ended {
		return
	}
	failure := &Error{TimeoutError, "Nothing came in time."}
	if w.kind == approvalEffect {
		failure = &Error{ExpiredError, "Nobody decided in time."}
		delete(m.approvals, p.limits)
	}
	m.signalled(p.limits, Outcome{}, failure)
}

// Wait is a step that waits for somebody outside.
type Wait struct {
	Key      string
	Approval bool
	Message  string // of an approval
	// Plan is the digest of the plan that an approval is about; empty for none.
	Plan  string
	Roles []string // one of which whoever decides must hold; empty for anybody
	Count int      // how many have to approve, and who has
	By    []string
	Event string // what is waited for otherwise
}

// Waiting tells which steps wait for somebody outside, in the order they began
// to.
func (m *Machine) Waiting() []Wait {
	var steps []int32
	events := map[int32]string{}
	for step := range m.approvals {
		steps = append(steps, step)
	}
	for name, list := range m.waits {
		for _, step := range list {
			if !m.effects.at(int(step)).ended {
				steps, events[step] = append(steps, step), name
			}
		}
	}
	slices.Sort(steps)
	var out []Wait
	for _, step := range steps {
		p := *m.effects.at(int(step))
		if p.ended {
			continue
		}
		w := Wait{Key: m.keyOf(p.target), Approval: p.kind == approvalEffect, Event: events[step]}
		if w.Approval {
			w.Message = m.message(p.target)
			if asked, err := m.asked(p.target); err == nil {
				w.Plan, w.Roles, w.Count = asked.plan, asked.roles, asked.count
			}
			w.By = slices.Clone(m.approvals[step].by)
		}
		out = append(out, w)
	}
	return out
}

// WaitingAfter is [Machine.Waiting] with decisions that were made and that nobody who
// drives the run has taken yet. The machine stays as it is.
func (m *Machine) WaitingAfter(decisions []workflow.Signal) []Wait {
	now := m.approvals
	defer func() { m.approvals = now }()
	m.approvals = make(map[int32]*approval, len(now))
	for step, a := range now {
		m.approvals[step] = &approval{by: slices.Clone(a.by)}
	}
	for _, sig := range decisions {
		if sig.Kind != workflow.SignalApprove && sig.Kind != workflow.SignalReject {
			continue
		}
		step, err := m.Approval(sig.Kind, sig.Name, sig.By, workflow.ReadDecision(sig.Data))
		if err != nil {
			continue // it will not count then either
		}
		a := m.approvals[int32(step)]
		a.by = append(a.by, sig.By)
		want, bad := m.asked(m.effects.at(step).target)
		if sig.Kind == workflow.SignalReject || bad == nil && len(a.by) >= want.count {
			delete(m.approvals, int32(step))
		}
	}
	return m.Waiting()
}

// message is what people are asked to approve; nothing sensitive is shown.
func (m *Machine) message(t target) string {
	expr := m.d.nodes[t.node].step.Action.Arguments["message"]
	if expr == nil {
		return ""
	}
	v, err := m.evaluate(m.keyOf(t), expr, m.itemScope(t))
	if err != nil {
		return ""
	}
	if v.HasMarkDeep(sensitive) {
		return "(sensitive)"
	}
	if v, bad := convert.Convert(v, cty.String); bad == nil && v.IsKnown() && !v.IsNull() {
		return v.AsString()
	}
	return ""
}
