package asl

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// looping counts down in a Choice and a Pass.
const looping = `{"StartAt": "C", "States": {
	"C": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericEquals": 0, "Next": "End"}], "Default": "P"},
	"P": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, -1)"}, "Next": "C"},
	"End": {"Type": "Succeed"}}}`

// steps runs a machine that has only timers to its end and counts entries.
func steps(tb testing.TB, m *Machine, input string) {
	tb.Helper()
	data, _ := json.Marshal(Start{Name: "x", Input: json.RawMessage(input)})
	e := workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: data}
	for {
		commands, err := m.Apply(e)
		if err != nil {
			tb.Fatal(err)
		}
		if len(commands) == 0 {
			tb.Fatal("it waits for nothing")
		}
		if commands[0].Kind == workflow.FinishRun {
			return
		}
		e = workflow.Entry{Sequence: e.Sequence + 1, Kind: workflow.StepSucceeded, Step: commands[0].Step}
	}
}

func machine(tb testing.TB, definition string) *Machine {
	tb.Helper()
	d, err := Parse([]byte(definition))
	if err != nil {
		tb.Fatal(err)
	}
	return NewMachine(d)
}

func itemsOf(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"i": %d}`, i)
	}
	return `{"items": [` + strings.Join(items, ",") + `], "x": 1}`
}

var wide = map[string]string{
	"path":     `{"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "ItemSelector": {"v.$": "$$.Map.Item.Value", "x.$": "$.x"}, "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "Parameters": {"i.$": "$.v.i", "n.$": "$$.Execution.Name"}, "End": true}}}, "ResultPath": "$.out", "OutputPath": "$.x", "End": true}}}`,
	"query":    `{"QueryLanguage": "JSONata", "StartAt": "M", "States": {"M": {"Type": "Map", "Items": "{% $states.input.items %}", "ItemSelector": {"v": "{% $states.context.Map.Item.Value %}", "x": "{% $states.input.x %}"}, "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "Output": "{% $states.input.v.i %}", "End": true}}}, "Output": 1, "End": true}}}`,
	"apart":    `{"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}, "ResultPath": null, "OutputPath": "$.x", "End": true}}}`,
	"variable": `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Pass", "Assign": {"all": "{% $states.input.items %}"}, "Next": "M"}, "M": {"Type": "Map", "Items": "{% $all %}", "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "Output": "{% $states.input.i %}", "End": true}}}, "Output": 1, "End": true}}}`,
}

// mallocs counts what running a machine allocates.
func mallocs(t *testing.T, definition, input string) uint64 {
	t.Helper()
	m := machine(t, definition)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	steps(t, m, input)
	runtime.ReadMemStats(&after)
	if r := m.Result(); r.Status != "SUCCEEDED" {
		t.Fatalf("%+v", r)
	}
	return after.Mallocs - before.Mallocs
}

// TestWideIsLinear lets Maps and a Parallel grow: four times as much may not
// cost more than five times as much.
func TestWideIsLinear(t *testing.T) {
	for name, d := range wide {
		few, many := mallocs(t, d, itemsOf(500)), mallocs(t, d, itemsOf(2000))
		if many > 5*few {
			t.Errorf("%s: %d allocations become %d", name, few, many)
		}
	}
	branches := func(n int) string {
		list := strings.Repeat(`{"StartAt": "P", "States": {"P": {"Type": "Pass", "Parameters": {"a.$": "$.x"}, "End": true}}},`, n)
		return `{"StartAt": "L", "States": {"L": {"Type": "Parallel", "Branches": [` + strings.TrimSuffix(list, ",") + `], "End": true}}}`
	}
	few, many := mallocs(t, branches(500), itemsOf(1)), mallocs(t, branches(2000), itemsOf(1))
	if many > 5*few {
		t.Errorf("branches: %d allocations become %d", few, many)
	}
}

// TestForgetting runs a long loop: without a history it needs no more memory
// than a short one, and its events keep their numbers.
func TestForgetting(t *testing.T) {
	heap := func(n int) uint64 {
		m := machine(t, looping)
		m.Forget()
		steps(t, m, fmt.Sprintf(`{"n": %d}`, n))
		if len(m.History()) > 0 || len(m.pending) > 0 || m.Result().Status != "SUCCEEDED" {
			t.Errorf("%d events, %d steps, %+v", len(m.History()), len(m.pending), m.Result())
		}
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		runtime.KeepAlive(m)
		return s.HeapAlloc
	}
	heap(10)
	few, many := heap(1000), heap(20000)
	if many > few+100<<10 {
		t.Errorf("the heap grows from %d to %d", few, many)
	}

	broken := `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "InputPath": "$.no", "End": true}}}`
	kept, forgot := machine(t, broken), machine(t, broken)
	forgot.Forget()
	steps(t, kept, `{}`)
	steps(t, forgot, `{}`)
	if a, b := kept.Result(), forgot.Result(); a != b || !strings.Contains(a.Cause, "event id #4") {
		t.Errorf("%+v\n%+v", a, b)
	}
}

// TestVariablesAreBounded lets a variable take itself in again and again.
func TestVariablesAreBounded(t *testing.T) {
	m := machine(t, `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Assign": {"x": 1}, "Next": "B"}, "B": {"Type": "Pass", "Assign": {"x": {"a.$": "$x", "b.$": "$x"}}, "Next": "B"}}}`)
	steps(t, m, `{}`)
	if r := m.Result(); r.Error != "States.DataLimitExceeded" {
		t.Errorf("%+v", r)
	}
}

// TestEndedStepsAreForgotten runs more tasks than are ever open at once.
func TestEndedStepsAreForgotten(t *testing.T) {
	s := tell(t, `{"StartAt": "M", "States": {"M": {"Type": "Map", "MaxConcurrency": 2, "ItemProcessor": {
		"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "tutti:exec", "End": true}}}, "End": true}}}`, `[1, 2, 3, 4, 5]`, nil)
	for i := range 5 {
		if n := len(s.m.pending); n > 2 {
			t.Errorf("%d steps are waited for", n)
		}
		if s.m.Effect(i).Resource != "tutti:exec" {
			t.Errorf("step %d: %+v", i, s.m.Effect(i))
		}
		s.end(i, *succeeds(`1`))
		if s.m.Waits(i) || s.m.Effect(i).Resource != "" {
			t.Errorf("step %d is still there", i)
		}
	}
	s.result(`[1,1,1,1,1]`)
	if s.m.Steps() != 5 {
		t.Errorf("%d steps", s.m.Steps())
	}
}

// TestGivenUp fails one branch of two: the other is not waited for any more, and
// a resumed run does not begin it again.
func TestGivenUp(t *testing.T) {
	s := tell(t, `{"StartAt": "L", "States": {"L": {"Type": "Parallel", "Branches": [
		{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "tutti:a", "End": true}}},
		{"StartAt": "B", "States": {"B": {"Type": "Task", "Resource": "tutti:b", "End": true}}}],
		"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "W"}], "End": true}, "W": {"Type": "Task", "Resource": "tutti:w", "End": true}}}`, `{}`, nil)
	s.end(0, *fails("E", ""))
	if s.m.Waits(1) || !s.m.Waits(2) {
		t.Error("the other branch is still waited for")
	}
	clear(s.open)
	s.add(workflow.Entry{Kind: workflow.RunResumed, Step: -1})
	if len(s.open) != 1 || s.open[2].Resource != "tutti:w" {
		t.Errorf("%+v", s.open)
	}
	s.end(1, *succeeds(`1`)) // too late to matter
	s.end(2, *succeeds(`2`))
	s.result(`2`)
	s.replays()
}

func BenchmarkMap(b *testing.B) {
	for name, d := range wide {
		b.Run(name, func(b *testing.B) {
			input := itemsOf(10000)
			for b.Loop() {
				steps(b, machine(b, d), input)
			}
		})
	}
}

func BenchmarkLoop(b *testing.B) {
	for b.Loop() {
		m := machine(b, looping)
		m.Forget()
		steps(b, m, `{"n": 10000}`)
	}
}
