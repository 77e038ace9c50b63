package asl

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestChildren starts executions of another state machine, in all ways of
// waiting for them.
func TestChildren(t *testing.T) {
	const machine = `"StateMachineArn": "arn:aws:states:local:0:stateMachine:m"`
	const began, ended = `1767323045000`, `1767323050000`
	const child = `"ExecutionArn":"arn:aws:states:local:0:execution:m:n"`
	known := func(status string) string {
		return `"StartDate":` + began + `,"StateMachineArn":"arn:aws:states:local:0:stateMachine:m","Status":"` + status + `","StopDate":` + ended + `}`
	}
	quote := func(s string) string { return text(any(s)) }
	for _, c := range []struct {
		name, resource string
		outcome        *answer
		want           string
	}{
		{
			"started", "states:startExecution", succeeds(`null`),
			`{` + child + `,"StartDate":` + began + `}`,
		},
		{
			"waited for", "states:startExecution.sync", &answer{outcome: Outcome{Output: json.RawMessage(`{"x": 1}`), Status: "SUCCEEDED"}},
			`{` + child + `,"Input":"{\"a\":1}","InputDetails":{"Included":true},"Name":"n","Output":"{\"x\":1}","OutputDetails":{"Included":true},` +
				`"RedriveCount":0,"RedriveStatus":"NOT_REDRIVABLE","RedriveStatusReason":"Execution is SUCCEEDED and cannot be redriven",` + known("SUCCEEDED"),
		},
		{
			"waited for, parsed", "states:startExecution.sync:2", succeeds(`{"x": 1}`),
			`{` + child + `,"Input":{"a":1},"InputDetails":{"Included":true},"Name":"n","Output":{"x":1},"OutputDetails":{"Included":true},` +
				`"RedriveCount":0,"RedriveStatus":"NOT_REDRIVABLE","RedriveStatusReason":"Execution is SUCCEEDED and cannot be redriven",` + known("SUCCEEDED"),
		},
		{
			"failed", "states:startExecution.sync:2", &answer{outcome: Outcome{Error: "E", Cause: "C", Status: "FAILED"}, failed: true},
			`FAILED States.TaskFailed: {"Cause":"C","Error":"E",` + child + `,"Input":"{\"a\":1}","InputDetails":{"Included":true},"Name":"n",` +
				`"RedriveCount":0,"RedriveStatus":"REDRIVABLE",` + known("FAILED"),
		},
		{
			"never started", "states:startExecution.sync", fails("StepFunctions.StateMachineDoesNotExistException", "none"),
			`FAILED StepFunctions.StateMachineDoesNotExistException: none`,
		},
		{
			"express, failed", "aws-sdk:sfn:startSyncExecution", &answer{outcome: Outcome{Error: "E", Status: "FAILED"}, failed: true},
			`{"Error":"E",` + child + `,"Input":"{\"a\":1}","InputDetails":{"Included":true},"Name":"n",` +
				`"StartDate":"2026-01-02T03:04:05.000Z","StateMachineArn":"arn:aws:states:local:0:stateMachine:m","Status":"FAILED","StopDate":"2026-01-02T03:04:10.000Z"}`,
		},
	} {
		input := `{"a": 1}`
		if strings.HasPrefix(c.resource, "aws-sdk") {
			input = quote(`{"a":1}`)
		}
		s := tell(t, one("arn:aws:states:::"+c.resource, `, "Parameters": {`+machine+`, "Name": "n", "Input": `+input+`}`), `{}`, nil)
		step, e := s.only(Run)
		if e.Child.Name != "n" || string(e.Child.Input) != `{"a":1}` || e.Child.Wait != (c.name != "started") || e.Child.StateMachine != "arn:aws:states:local:0:stateMachine:m" {
			t.Errorf("%s: %+v", c.name, e.Child)
		}
		s.now = s.now.Add(5e9)
		s.end(step, *c.outcome)
		s.result(c.want)
		s.replays()
	}
}

// TestChildHistory tells of starting and ending apart, and of a child that gets
// the token of its parent.
func TestChildHistory(t *testing.T) {
	s := tell(t, one("arn:aws:states:::states:startExecution.sync:2", `, "Parameters": {"StateMachineArn": "m"}, "OutputPath": "$.Output"`), `{}`, nil)
	step, e := s.only(Run)
	if e.Child.Name == "" || string(e.Child.Input) != `{}` {
		t.Errorf("%+v", e.Child)
	}
	s.end(step, *succeeds(`7`))
	const where = `"resource":"startExecution.sync:2","resourceType":"states"}`
	arn := "arn:aws:states:local:000000000000:execution:m:" + e.Child.Name
	got := text(s.m.History())
	for _, part := range []string{
		`"type":"TaskSubmitted","detailsKey":"taskSubmittedEventDetails","details":{"output":{"ExecutionArn":"` + arn + `","StartDate":1767323045000},"outputDetails":{"truncated":false},` + where,
		`"type":"TaskSucceeded","detailsKey":"taskSucceededEventDetails","details":{"output":{"ExecutionArn":"` + arn,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is missing in\n%s", part, got)
		}
	}
	s.result(`7`)

	s = tell(t, one("arn:aws:states:::states:startExecution.waitForTaskToken",
		`, "Parameters": {"StateMachineArn": "m", "Input": {"token.$": "$$.Task.Token", "id.$": "$$.Execution.Id"}}`), `{}`, nil)
	run, e := s.only(Run)
	wait, w := s.only(Callback)
	if e.Child.Wait || !strings.Contains(string(e.Child.Input), w.Token) || w.Child != nil {
		t.Errorf("%+v %+v", e.Child, w)
	}
	s.end(run, *succeeds(`null`))
	s.end(wait, *succeeds(`"from the child"`))
	s.result(`"from the child"`)
	s.replays()
}

func TestWrongChildren(t *testing.T) {
	for parameters, want := range map[string]string{
		`{}`:                                   `[The field "StateMachineArn" is required but was missing]`,
		`[]`:                                   `[The field "StateMachineArn" is required but was missing]`,
		`{"StateMachineArn": 1}`:               `[The value for the field 'StateMachineArn' must be a STRING]`,
		`{"StateMachineArn": "m", "Name": {}}`: `[The value for the field 'Name' must be a STRING]`,
		`{"StateMachineArn": "m", "Foo": 1}`:   `[The field "Foo" is not supported by Step Functions]`,
	} {
		s := tell(t, one("arn:aws:states:::states:startExecution", `, "Parameters": `+parameters), `{}`, nil)
		if r := s.m.Result(); r.Error != "States.Runtime" || !strings.HasSuffix(r.Cause, want) {
			t.Errorf("%s: %+v", parameters, r)
		}
	}
	s := tell(t, one("arn:aws:states:::aws-sdk:sfn:startExecution", `, "Parameters": {"StateMachineArn": "m", "Input": "{"}`), `{}`, nil)
	if r := s.m.Result(); r.Error != "Sfn.InvalidExecutionInputException" {
		t.Errorf("%+v", r)
	}
}
