package asl

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// FuzzPath looks for paths that panic, or that do not mean the same when they
// are read from what they say they are.
func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"$", "$.a", "$$.b[0]", "$x.y", "$['a b']['c']", "$.a[1:3]", "$.a[-1]", "$..b", "$.*", "$[?(@.a > 1 && @.b == 'x' || !@.c)]", "$.a[0,1]", "$['a','b']", "$.a.length()", "$[::2]", "$[?(@)]", "$.a[?(@.b < $.c)]",
	} {
		f.Add(p, `{"a": [{"b": 1, "c": "x"}, 2], "b": null}`)
	}
	f.Fuzz(func(t *testing.T, source, input string) {
		p, err := parsePath(source)
		if err != nil {
			return
		}
		v, err := Decode([]byte(input))
		if err != nil {
			return
		}
		_, _ = p.from(v)
		if !p.definite {
			return
		}
		if out, err := p.put(v, "x"); err == nil {
			if got, err := p.from(out); err != nil || got != "x" {
				t.Errorf("%s of %s: put and not found: %s %v", source, input, text(out), err)
			}
		}
	})
}

// FuzzIntrinsic looks for calls that panic.
func FuzzIntrinsic(f *testing.F) {
	for _, name := range intrinsicNames {
		for _, args := range []string{"", "$.a", "'x', 1", "$.l, 2, 3", "$.o, $.o, false", "'{}', States.UUID()", "'a\\'b', ','"} {
			f.Add(name+"("+args+")", `{"a": 1, "l": [1, "x", null], "o": {"k": "v"}}`)
		}
	}
	f.Fuzz(func(t *testing.T, source, input string) {
		v, err := Decode([]byte(input))
		if err != nil {
			return
		}
		s := &scope{input: v, context: NewObject(), parsed: newParsed(), random: seeded(1)}
		if out, err := s.expression(source, "x.$"); err == nil {
			if _, err := Decode([]byte(text(out))); err != nil {
				t.Errorf("%s makes %s, which is no JSON: %s", source, text(out), err)
			}
		}
	})
}

// FuzzTask runs machines with tasks and answers them with whatever is found.
func FuzzTask(f *testing.F) {
	for _, r := range []string{
		"arn:aws:lambda:r:1:function:f", "arn:aws:states:::lambda:invoke", "arn:aws:states:r:1:activity:a", "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
		"arn:aws:states:::states:startExecution.sync:2", "arn:aws:states:::states:startExecution", "arn:aws:states:::aws-sdk:sfn:startSyncExecution", "tutti:exec",
	} {
		f.Add(r, `{"StateMachineArn": "m", "FunctionName": "f"}`, []byte(`{"output": 1}`), true)
		f.Add(r, `{"StateMachineArn": "m", "FunctionName": "f", "Input": "{"}`, []byte(`{"error": "States.Timeout", "status": "FAILED"}`), false)
	}
	f.Fuzz(func(t *testing.T, resource, input string, outcome []byte, ok bool) {
		definition := `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": ` + text(resource) + `, "Retry": [{"ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 1}], "End": true}}}`
		d, err := Parse([]byte(definition))
		if err != nil || !json.Valid([]byte(input)) {
			return
		}
		start, _ := json.Marshal(Start{Name: "x", Input: json.RawMessage(input)})
		m := NewMachine(d)
		e := workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: start}
		open := []int{}
		for range 10 {
			commands, err := m.Apply(e)
			if err != nil {
				if e.Sequence > 1 {
					return // the outcome is none
				}
				t.Fatal(err)
			}
			for _, c := range commands {
				if c.Kind == workflow.FinishRun {
					_ = text(m.History())
					return
				}
				open = append(open, c.Step)
			}
			open = slices.DeleteFunc(open, func(step int) bool { return !m.Waits(step) })
			if len(open) == 0 {
				t.Fatal("it waits for nothing")
			}
			step := open[len(open)-1]
			e = workflow.Entry{Sequence: e.Sequence + 1, Kind: workflow.StepFailed, Step: step, Data: outcome}
			if ok || m.Effect(step).Kind == Timer {
				e.Kind = workflow.StepSucceeded
			}
			open = open[:len(open)-1]
		}
	})
}

// FuzzReader looks for contents that panic.
func FuzzReader(f *testing.F) {
	for _, kind := range []string{"CSV", "JSON", "JSONL"} {
		f.Add(kind, "a,b\n1,\"x\n\"\n", "", 0)
		f.Add(kind, `{"a": [1, {"b": 2}]}`, "/a", 1)
	}
	f.Fuzz(func(_ *testing.T, kind, content, pointer string, most int) {
		r := &reader{input: kind, delimiter: ',', pointer: pointer, max: max(most, 0)}
		data, _ := json.Marshal(content)
		_, _ = r.items(data)
	})
}

// FuzzField puts any value into any field of any state: what is valid must run
// without a panic, and what is not must be refused without one.
func FuzzField(f *testing.F) {
	for kind, fields := range fieldsOf {
		for i := range 4 {
			f.Add(kind, fields, i, `{"a": 1}`, i%2 == 0)
		}
	}
	for _, field := range []string{"Seconds", "Retry", "Catch", "Choices", "Branches", "ItemProcessor", "ItemsPath", "Assign", "Next", "Timestamp", "ItemBatcher", "ItemReader", "ResultWriter"} {
		for _, value := range []string{`null`, `[]`, `[{}]`, `[null]`, `-1`, `1e9`, `"$.a"`, `"{% 1 %}"`, `{"a.$": "$"}`, `[{"ErrorEquals": [1], "MaxAttempts": -1}]`} {
			for kind := range fieldsOf {
				f.Add(kind, field, 0, value, false)
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind, field string, _ int, value string, jsonata bool) {
		v, err := Decode([]byte(value))
		if err != nil {
			return
		}
		language := "JSONPath"
		if jsonata {
			language = "JSONata"
		}
		state := NewObject().Set("Type", kind).Set("End", true)
		inner := NewObject().Set("StartAt", "P").Set("States", NewObject().Set("P", NewObject().Set("Type", "Succeed")))
		switch kind {
		case "Task":
			state.Set("Resource", "tutti:exec")
		case "Map":
			state.Set("ItemProcessor", inner)
		case "Parallel":
			state.Set("Branches", []any{inner})
		case "Wait":
			state.Set("Seconds", number(1))
			state.remove("Seconds")
		case "Choice":
			state.Set("Default", "B")
		}
		state.Set(field, v)
		definition := text(NewObject().Set("QueryLanguage", language).Set("StartAt", "A").Set("States", NewObject().Set("A", state).Set("B", NewObject().Set("Type", "Succeed"))))
		valid := len(Validate([]byte(definition), Options{})) == 0
		d, err := Parse([]byte(definition))
		if err != nil {
			if valid {
				t.Errorf("valid and not parsed: %s: %s", definition, err)
			}
			return
		}
		for _, input := range []string{`{}`, `[1]`, `{"a": "2026-01-02T03:04:05Z"}`, `null`} {
			m := NewMachine(d)
			start := fmt.Appendf(nil, `{"name": "x", "input": %s}`, input)
			if _, err := m.Apply(workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: start}); err != nil {
				t.Fatalf("%s: %s", definition, err)
			}
		}
	})
}

// FuzzTestState looks for calls of TestState that panic.
func FuzzTestState(f *testing.F) {
	data, err := os.ReadFile("testdata/teststate.json")
	if err != nil {
		f.Fatal(err)
	}
	var cases []struct {
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add([]byte(c.Request))
	}
	for _, resource := range []string{"arn:aws:states:::sqs:sendMessage.waitForTaskToken", "arn:aws:states:::states:startExecution.sync:2", "arn:aws:states:r:1:activity:a", "arn:aws:lambda:r:1:function:f", "tutti:exec"} {
		f.Add(fmt.Appendf(nil, `{"definition": {"Type": "Task", "Resource": %q, "Parameters": {"t.$": "$$.Task.Token"}, "End": true}, "mock": {"result": "{}"}, "roleArn": "r", "inspectionLevel": "TRACE"}`, resource))
	}
	f.Fuzz(func(_ *testing.T, request []byte) {
		answer, err := TestState(request, time.Unix(0, 0))
		if err == nil {
			_ = text(answer)
		}
	})
}
