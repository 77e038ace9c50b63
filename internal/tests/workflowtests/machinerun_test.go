package workflowtests

import (
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/tests"
)

const machine = `{
  "StartAt": "Prepare",
  "States": {
    "Prepare": {"Type": "Pass", "Next": "Charge"},
    "Charge": {"Type": "Task", "Resource": "arn:aws:lambda:eu-west-1:1:function:charge", "TimeoutSeconds": 60, "ResultPath": "$.charge",
      "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 10, "MaxAttempts": 3, "BackoffRate": 2}],
      "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "GiveUp"}], "Next": "Cool"},
    "Cool": {"Type": "Wait", "Seconds": 2592000, "Next": "Each"},
    "Each": {"Type": "Map", "ItemsPath": "$.items", "End": true, "ItemProcessor": {"StartAt": "Ship", "States": {
      "Ship": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}}, "End": true}}}},
    "GiveUp": {"Type": "Fail", "Error": "Gone"}
  }
}`

func TestStateMachines(t *testing.T) {
	files := map[string][]byte{
		"m.asl.json":  []byte(machine),
		"w.tutti.hcl": []byte(`workflow "w" { definition = "./m.asl.json" }`),
	}
	passed(t, playFiles(t, files, `workflow = workflow.w
input = { items = [1, 2] }
test "well" {
  mock "Charge" {
    error {
      name = "Busy"
    }
    times = 2
  }
  mock "Charge" {
    outputs = { id = arguments.items[1] }
  }
  mock "Ship" {
    outputs  = { shipped = true }
    duration = "1d"
  }
`+holds(`run.status == "succeeded" && run.duration == 30 + 2592000 + 86400`, `run.output[1].shipped`,
		`path == ["Prepare", "Charge", "Charge", "Charge", "Cool", "Each", "Ship", "Ship"]`,
		`step.Charge.attempts == 3 && step.Charge.outputs.id == 2 && step.GiveUp.status == "skipped"`,
		`calls[0].arguments.items[0] == 1`)+`}
test "late" {
  mock "Charge" { duration = "61s" }
`+holds(`run.error.name == "Gone" && run.duration == 60`, `step.Charge.error.name == "States.Timeout"`)+`}
test "cancelled" {
  cancel { at = "7d" }
`+holds(`run.status == "cancelled" && run.duration == 604800`)+"}"))
	for source, summary := range map[string]string{
		test(`mock "Nothing" {}`):     "Mock of what cannot be mocked",
		test(`mock "Cool" {}`):        "Mock of what cannot be mocked",
		test(`approve {}`):            "Nothing takes this",
		test(`mocks = "required"`):    "Test cannot be carried out",
		test(`variables = { x = 1 }`): "Not a workflow with variables",
	} {
		f := playFiles(t, files, source)
		if r := f.Runs[0]; r.Status != tests.Error || r.Diags[0].Summary != summary {
			t.Errorf("%s\n%s: %v", source, r.Status, r.Diags)
		}
	}
	files["m.asl.json"] = []byte(`{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}}`)
	if r := playFiles(t, files, test("")).Runs[0]; r.Status != tests.Error || !strings.Contains(r.Diags[0].Detail, "does not end") {
		t.Errorf("%s: %v", r.Status, r.Diags)
	}
}
