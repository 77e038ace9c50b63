package workflowtests

import (
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/tests"
	"github.com/zclconf/go-cty/cty"
)

// verdict is how the run ended.
type verdict struct {
	status flow.Status
	err    *flow.Error
	step   string
	output cty.Value // of a state machine
}

func (t *trial) verdict() verdict {
	if t.machine == nil {
		result := t.flows[0].machine.Result()
		return verdict{status: result.Status, err: result.Error, step: result.Step}
	}
	result := t.machine.machine.Result()
	v := verdict{status: flow.Failed, output: cty.NullVal(cty.DynamicPseudoType)}
	switch result.Status {
	case "RUNNING":
		v.status = flow.Running
	case "SUCCEEDED":
		v.status, v.output = flow.Succeeded, jsonValue(encode(result.Output))
	case "ABORTED":
		v.status = flow.Cancelled
	case "TIMED_OUT":
		v.err = &flow.Error{Name: asl.TimedOut}
	default:
		v.err = &flow.Error{Name: result.Error, Cause: result.Cause}
	}
	return v
}

// judge evaluates the conditions of the test. A test without any is about the
// run succeeding.
func (t *trial) judge(root *run) {
	v := t.verdict()
	if len(t.test.Asserts) == 0 && v.status != flow.Succeeded {
		t.result.Status = tests.Fail
		t.add(diag.ErrorAt(t.test.DeclRange, "Run did not succeed", "A test without assert blocks passes when the run succeeds. %s", t.sentence(root)))
		return
	}
	ctx := t.context()
	ctx.Variables["run"] = t.runValue(root, v)
	ctx.Variables["step"] = t.stepValues()
	ctx.Variables["output"] = t.outputValues(v)
	ctx.Variables["path"], ctx.Variables["calls"], ctx.Variables["events"] = t.pathValue(), t.callsValue(), t.eventsValue()
	for _, rule := range t.test.Asserts {
		status, diags := engine.Judge(ctx, rule, "Test assertion failed")
		t.add(diags)
		switch status {
		case plans.CheckPass:
		case plans.CheckFail:
			if t.result.Status != tests.Error {
				t.result.Status = tests.Fail
			}
		case plans.CheckUnknown:
			t.result.Status = tests.Error
			t.add(diag.ErrorAt(rule.Condition.Range(), "Unknown condition value", "The condition rests on values that are not known in a test."))
		default:
			t.result.Status = tests.Error
		}
	}
}

func moment(at time.Time) cty.Value {
	if at.IsZero() {
		return cty.NullVal(cty.String)
	}
	return cty.StringVal(at.UTC().Format(time.RFC3339))
}

func seconds(d time.Duration) cty.Value { return cty.NumberFloatVal(d.Seconds()) }

func errorOf(e *flow.Error, step string) cty.Value {
	ty := map[string]cty.Type{"name": cty.String, "cause": cty.String, "step": cty.String}
	if e == nil {
		return cty.NullVal(cty.Object(ty))
	}
	where := cty.NullVal(cty.String)
	if step != "" {
		where = cty.StringVal(step)
	}
	return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(e.Name), "cause": cty.StringVal(e.Cause), "step": where})
}

func (t *trial) runValue(root *run, v verdict) cty.Value {
	end := root.ended
	if !root.finished {
		end = t.w.now
	}
	attrs := map[string]cty.Value{
		"id": cty.StringVal(runID), "workflow": cty.StringVal(t.workflow.Name), "status": cty.StringVal(string(v.status)),
		"started": moment(root.began), "ended": moment(root.ended), "duration": seconds(end.Sub(root.began)), "error": errorOf(v.err, v.step),
	}
	if t.machine != nil {
		attrs["output"] = v.output
	}
	return cty.ObjectVal(attrs)
}

// outputValues are those of the workflow; null where it did not come to them.
func (t *trial) outputValues(v verdict) cty.Value {
	attrs := map[string]cty.Value{}
	if t.machine == nil {
		for name := range t.workflow.Outputs {
			attrs[name] = cty.NullVal(cty.DynamicPseudoType)
		}
		if v.status == flow.Succeeded {
			for name, value := range t.flows[0].machine.Result().Outputs.AsValueMap() {
				attrs[name] = value
			}
		}
	}
	return object(attrs)
}

func object(attrs map[string]cty.Value) cty.Value {
	if len(attrs) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(attrs)
}

func tuple(list []cty.Value) cty.Value {
	if len(list) == 0 {
		return cty.EmptyTupleVal
	}
	return cty.TupleVal(list)
}

// stepValues are the steps as the workflow's own expressions see them, with
// when they were carried out and how often.
func (t *trial) stepValues() cty.Value {
	if t.machine != nil {
		return t.stateValues()
	}
	attempts := map[string]int{}
	for _, l := range t.w.seen.lines {
		name, _, _ := strings.Cut(l.key, "[")
		attempts[name]++
	}
	f := t.flows[0]
	out := map[string]cty.Value{}
	for name, v := range f.machine.StepValues() {
		attrs := v.AsValueMap()
		s := f.spans[name]
		if s == nil {
			s = &span{}
		}
		attrs["attempts"], attrs["started"], attrs["ended"] = cty.NumberIntVal(int64(attempts[name])), moment(s.began), moment(s.ended)
		out[name] = cty.ObjectVal(attrs)
	}
	return object(out)
}

// stateValues are the states of a machine: of each the last time it was entered,
// and how often it was.
func (t *trial) stateValues() cty.Value {
	type state struct {
		first, last *line
		count       int
	}
	states := map[string]*state{}
	for name := range t.machine.states {
		states[name] = &state{}
	}
	for i := range t.w.seen.lines {
		l := &t.w.seen.lines[i]
		s := states[l.key]
		if s.first == nil {
			s.first = l
		}
		s.last = l
		s.count++
	}
	out := map[string]cty.Value{}
	for name, s := range states {
		attrs := map[string]cty.Value{
			"status": cty.StringVal(string(flow.Skipped)), "outputs": cty.NullVal(cty.DynamicPseudoType), "error": errorOf(nil, ""),
			"attempts": cty.NumberIntVal(int64(s.count)), "started": moment(time.Time{}), "ended": moment(time.Time{}),
		}
		if l := s.last; l != nil {
			attrs["started"], attrs["ended"] = moment(s.first.at), moment(l.ended)
			status := flow.Succeeded
			if l.outputs != cty.NilVal {
				attrs["outputs"] = l.outputs
			}
			if rest, failed := strings.CutPrefix(l.text, "failed: "); failed {
				status = flow.Failed
				errName, cause, _ := strings.Cut(rest, ": ")
				attrs["error"] = errorOf(&flow.Error{Name: errName, Cause: cause}, name)
			} else if l.ended.IsZero() && !t.machine.r.finished {
				status = flow.Running
			}
			attrs["status"] = cty.StringVal(string(status))
		}
		out[name] = cty.ObjectVal(attrs)
	}
	return object(out)
}

// pathValue is a tuple and no list: so it is equal to one that is written out.
func (t *trial) pathValue() cty.Value {
	list := make([]cty.Value, 0, len(t.w.seen.lines))
	for _, l := range t.w.seen.lines {
		list = append(list, cty.StringVal(l.key))
	}
	return tuple(list)
}

func (t *trial) callsValue() cty.Value {
	var list []cty.Value
	for _, l := range t.w.seen.lines {
		if !l.call {
			continue
		}
		args := l.args
		if args == cty.NilVal {
			args = cty.NullVal(cty.DynamicPseudoType)
		}
		list = append(list, cty.ObjectVal(map[string]cty.Value{
			"step": cty.StringVal(l.key), "action": cty.StringVal(l.action), "attempt": cty.NumberIntVal(int64(l.attempt)),
			"arguments": args, "at": moment(l.at), "after": seconds(l.at.Sub(t.test.Start)),
		}))
	}
	return tuple(list)
}

func (t *trial) eventsValue() cty.Value {
	var list []cty.Value
	for _, e := range t.w.seen.events {
		list = append(list, cty.ObjectVal(map[string]cty.Value{
			"type": cty.StringVal(e.kind), "subject": cty.StringVal(e.subject), "step": cty.StringVal(e.step), "data": e.data,
			"at": moment(e.at), "after": seconds(e.at.Sub(t.test.Start)),
		}))
	}
	return tuple(list)
}

// trace is the path for people.
func (t *trial) trace(root *run) *tests.Trace {
	out := &tests.Trace{}
	for _, l := range t.w.seen.lines {
		one := tests.TraceLine{At: l.at.Sub(t.test.Start), Step: l.key, Action: l.action, Attempt: l.attempt, Outcome: l.text}
		if !l.ended.IsZero() {
			one.Took = l.ended.Sub(l.at)
		}
		out.Lines = append(out.Lines, one)
	}
	out.End = t.sentence(root)
	return out
}

// sentence says how the run ended, or what it waits for.
func (t *trial) sentence(root *run) string {
	v := t.verdict()
	if v.status == flow.Running {
		var waits []string
		for _, f := range t.flows {
			if !f.r.finished {
				waits = append(waits, f.waitsFor()...)
			}
		}
		if len(waits) == 0 {
			return fmt.Sprintf("The run has not ended after %s.", tests.Lapse(t.w.now.Sub(root.began)))
		}
		return fmt.Sprintf("The run has not ended: after %s, nothing happens any more, and %s.", tests.Lapse(t.w.now.Sub(root.began)), strings.Join(waits, ", "))
	}
	text := fmt.Sprintf("The run %s after %s", map[flow.Status]string{
		flow.Succeeded: "succeeded", flow.Failed: "failed", flow.Cancelled: "was cancelled",
	}[v.status], tests.Lapse(root.ended.Sub(root.began)))
	if v.err != nil {
		text += ": "
		if v.step != "" {
			text += "step " + v.step + ": "
		}
		text += strings.TrimSuffix(v.err.Name+": "+strings.TrimSpace(v.err.Cause), ": ")
	}
	return strings.TrimRight(text, ".: ") + "."
}
