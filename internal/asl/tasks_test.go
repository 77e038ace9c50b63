package asl

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// one is a machine of one task with further fields.
func one(resource, fields string) string {
	return fmt.Sprintf(`{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": %q, "End": true%s}}}`, resource, fields)
}

func TestLambda(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:hello:prod"
	s := tell(t, one(arn, `, "TimeoutSeconds": 7, "Parameters": {"who.$": "$.name"}`), `{"name": "Ada"}`, func(_ int, e Effect) *answer {
		if e.Kind != Call || e.Target.Function != "hello" || e.Target.Qualifier != "prod" || string(e.Payload) != `{"who":"Ada"}` || e.Timeout != 7*time.Second {
			t.Errorf("%+v", e)
		}
		return succeeds(`{"greeting": "Hello"}`)
	})
	s.expect(
		`LambdaFunctionScheduled {"input":{"who":"Ada"},"inputDetails":{"truncated":false},"resource":"`+arn+`","timeoutInSeconds":7}`,
		`LambdaFunctionStarted`,
		`LambdaFunctionSucceeded {"output":{"greeting":"Hello"}}`,
		`ExecutionSucceeded {"output":{"greeting":"Hello"}}`)

	s = tell(t, one(arn, ""), `{}`, func(int, Effect) *answer { return fails("Oops", "no") })
	s.expect(
		`LambdaFunctionScheduled {"input":{},"inputDetails":{"truncated":false},"resource":"`+arn+`"}`,
		`LambdaFunctionStarted`,
		`LambdaFunctionFailed {"cause":"no","error":"Oops"}`,
		`ExecutionFailed {"cause":"no","error":"Oops"}`)

	s = tell(t, one(arn, `, "Credentials": {"RoleArn.$": "$.role"}`), `{"role": "r"}`, func(int, Effect) *answer { return fails(TimedOut, "") })
	s.expect(
		`LambdaFunctionScheduled {"input":{"role":"r"},"inputDetails":{"truncated":false},"resource":"`+arn+`","taskCredentials":{"roleArn":"r"}}`,
		`LambdaFunctionStarted`,
		`LambdaFunctionTimedOut {"error":"States.Timeout"}`,
		`ExecutionFailed {"error":"States.Timeout"}`)
}

func TestLambdaInvoke(t *testing.T) {
	s := tell(t, one("arn:aws:states:::lambda:invoke", `, "Parameters": {"FunctionName": "hello:2", "Payload.$": "$"}, "OutputPath": "$.Payload"`), `{"a": 1}`, func(_ int, e Effect) *answer {
		if e.Target.Function != "hello" || e.Target.Qualifier != "2" || string(e.Payload) != `{"a":1}` {
			t.Errorf("%+v", e)
		}
		return succeeds(`"done"`)
	})
	s.expect(
		`TaskScheduled {"parameters":{"FunctionName":"hello:2","Payload":{"a":1}},"region":"local","resource":"invoke","resourceType":"lambda"}`,
		`TaskStarted {"resource":"invoke","resourceType":"lambda"}`,
		`TaskSucceeded {"output":{"ExecutedVersion":"$LATEST","Payload":"done","StatusCode":200},"resource":"invoke","resourceType":"lambda"}`,
		`ExecutionSucceeded {"output":"done"}`)

	for arguments, want := range map[string]string{
		`{"Payload": 1}`:      `[The field "FunctionName" is required but was missing]`,
		`{"FunctionName": 1}`: `[The value for the field 'FunctionName' must be a STRING]`,
		`"no object"`:         `[The field "FunctionName" is required but was missing]`,
	} {
		s := tell(t, one("arn:aws:states:::lambda:invoke", `, "Parameters": `+arguments), `{}`, nil)
		if r := s.m.Result(); r.Error != "States.Runtime" || !strings.HasSuffix(r.Cause, want) {
			t.Errorf("%s: %+v", arguments, r)
		}
	}
}

// TestCallback waits for a token: which comes back after the call, before it,
// with an error, too late, or never because the call fails.
func TestCallback(t *testing.T) {
	const scheduled = `TaskScheduled {"parameters":{"MessageBody":{"token":"%s"}},"region":"local","heartbeatInSeconds":5,"resource":"sendMessage.waitForTaskToken","resourceType":"sqs"}`
	const where = `,"resource":"sendMessage.waitForTaskToken","resourceType":"sqs"}`
	definition := one("arn:aws:states:::sqs:sendMessage.waitForTaskToken",
		`, "HeartbeatSeconds": 5, "Parameters": {"MessageBody": {"token.$": "$$.Task.Token"}}, "ResultPath": "$.answer"`)
	begin := func(definition string) (s *story, wait, call int, opening []string) {
		t.Helper()
		s = tell(t, definition, `{}`, nil)
		wait, w := s.only(Callback)
		call, c := s.only(Call)
		if w.Token == "" || c.Token != w.Token || !strings.Contains(string(c.Input), w.Token) || w.Heartbeat != 5*time.Second || !w.Since.Equal(s.now) {
			t.Errorf("%+v %+v", w, c)
		}
		if execution, step, ok := ParseToken(w.Token); execution != "story" || step != wait || !ok {
			t.Errorf("the token is of %q %d %t", execution, step, ok)
		}
		return s, wait, call, []string{
			fmt.Sprintf(scheduled, w.Token),
			`TaskStarted {"resource":"sendMessage.waitForTaskToken","resourceType":"sqs"}`,
		}
	}

	s, wait, call, opening := begin(definition)
	s.end(call, *succeeds(`{"MessageId": "m"}`))
	s.end(wait, *succeeds(`42`))
	s.expect(append(opening, `TaskSubmitted {"output":{"MessageId":"m"}`+where, `TaskSucceeded {"output":42`+where, `ExecutionSucceeded {"output":{"answer":42}}`)...)

	s, wait, call, opening = begin(definition)
	s.end(wait, *succeeds(`42`))
	if s.m.Waits(call) {
		t.Error("the call is still waited for")
	}
	s.expect(append(opening, `TaskSubmitted {`+where[1:], `TaskSucceeded {"output":42`+where, `ExecutionSucceeded {"output":{"answer":42}}`)...)

	s, wait, call, opening = begin(definition)
	s.end(call, *succeeds(`{}`))
	s.end(wait, *fails("Refused", "not today"))
	s.expect(append(opening, `TaskSubmitted {"output":{}`+where, `TaskFailed {"cause":"not today","error":"Refused"`+where, `ExecutionFailed {"cause":"not today","error":"Refused"}`)...)

	s, wait, call, opening = begin(definition)
	s.end(call, *succeeds(`{}`))
	s.end(wait, *fails("", ""))
	s.expect(append(opening, `TaskSubmitted {"output":{}`+where, `TaskFailed {"error":"States.TaskFailed"`+where, `ExecutionFailed {"error":"States.TaskFailed"}`)...)

	s, wait, call, opening = begin(definition)
	s.end(call, *succeeds(`{}`))
	s.end(wait, *fails(HeartbeatMissed, ""))
	s.expect(append(opening, `TaskSubmitted {"output":{}`+where, `TaskTimedOut {"error":"States.HeartbeatTimeout"`+where, `ExecutionFailed {"error":"States.HeartbeatTimeout"}`)...)

	s, wait, call, opening = begin(definition)
	s.end(call, *fails("SQS.QueueDoesNotExistException", "no queue"))
	if s.m.Waits(wait) {
		t.Error("the token is still waited for")
	}
	s.expect(append(opening, `TaskSubmitFailed {"cause":"no queue","error":"SQS.QueueDoesNotExistException"`+where, `ExecutionFailed {"cause":"no queue","error":"SQS.QueueDoesNotExistException"}`)...)

	// A retry has a token of its own, and an old one ends nothing.
	retrying := strings.Replace(definition, `"End"`, `"Retry": [{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1}], "End"`, 1)
	s, wait, call, _ = begin(retrying)
	old := s.m.Effect(wait).Token
	s.end(call, *succeeds(`{}`))
	s.end(wait, *fails(HeartbeatMissed, ""))
	s.settle()
	second, e := s.only(Callback)
	if e.Token == old || second == wait {
		t.Errorf("the second attempt has the token of the first")
	}
	s.end(wait, *succeeds(`"late"`))
	if s.ended {
		t.Error("an old token ended the task")
	}
	s.end(second, *succeeds(`1`))
	s.result(`{"answer":1}`)
	s.replays()
}

// TestTokenInQueries uses the token in JSONata, in the arguments and behind the
// task.
func TestTokenInQueries(t *testing.T) {
	s := tell(t, `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "tutti:exec.waitForTaskToken",
		"Arguments": {"command": ["mail", "{% $states.context.Task.Token %}"]}, "Output": "{% $states.context.Task.Token %}", "Next": "B"},
		"B": {"Type": "Pass", "Output": "{% {'before': $states.input, 'now': $exists($states.context.Task)} %}", "End": true}}}`, `{}`, nil)
	step, e := s.only(Callback)
	if want := `{"command":["mail","` + e.Token + `"]}`; string(e.Input) != want || e.Target.Service != "tutti" || e.Target.Action != "exec" {
		t.Errorf("%+v", e)
	}
	s.end(step, *succeeds(`null`))
	s.result(`{"before":"` + e.Token + `","now":false}`)
	s.replays()

	if _, _, ok := ParseToken("no token"); ok {
		t.Error("nonsense is taken for a token")
	}
	if _, _, ok := ParseToken("MS9hYmM"); ok {
		t.Error("a short token is taken")
	}
}

func TestActivity(t *testing.T) {
	const arn = "arn:aws:states:eu-west-1:123456789012:activity:pack"
	definition := one(arn, `, "TimeoutSecondsPath": "$.limit", "HeartbeatSecondsPath": "$.beat"`)
	const input = `{"beat":2,"limit":9}`
	const scheduled = `ActivityScheduled {"input":` + input + `,"inputDetails":{"truncated":false},"resource":"` + arn + `","heartbeatInSeconds":2,"timeoutInSeconds":9}`

	s := tell(t, definition, input, nil)
	step, e := s.only(Activity)
	if e.Target.Name != "pack" || string(e.Input) != input || e.Token == "" || e.Timeout != 9*time.Second || e.Heartbeat != 2*time.Second {
		t.Errorf("%+v", e)
	}
	s.add(workflow.Entry{Kind: workflow.StepStarted, Step: step, Data: json.RawMessage(`{"worker": "w1"}`)})
	s.end(step, *succeeds(`"packed"`))
	s.expect(scheduled, `ActivityStarted {"workerName":"w1"}`, `ActivitySucceeded {"output":"packed"}`, `ExecutionSucceeded {"output":"packed"}`)

	s = tell(t, definition, input, nil)
	s.end(step, *fails("Broken", "it fell"))
	s.expect(scheduled, `ActivityStarted {}`, `ActivityFailed {"cause":"it fell","error":"Broken"}`, `ExecutionFailed {"cause":"it fell","error":"Broken"}`)

	s = tell(t, definition, input, nil)
	s.end(step, *fails(TimedOut, ""))
	s.expect(scheduled, `ActivityTimedOut {"error":"States.Timeout"}`, `ExecutionFailed {"error":"States.Timeout"}`)
}

func TestIntegrations(t *testing.T) {
	s := tell(t, one("arn:aws:states:::aws-sdk:s3:getObject", ""), `{"Bucket": "b"}`, func(int, Effect) *answer { return succeeds(`{"Body": "x"}`) })
	s.expect(
		`TaskScheduled {"parameters":{"Bucket":"b"},"region":"local","resource":"getObject","resourceType":"aws-sdk:s3"}`,
		`TaskStarted {"resource":"getObject","resourceType":"aws-sdk:s3"}`,
		`TaskSucceeded {"output":{"Body":"x"},"resource":"getObject","resourceType":"aws-sdk:s3"}`,
		`ExecutionSucceeded {"output":{"Body":"x"}}`)

	s = tell(t, one("arn:aws:states:::ecs:runTask.sync", ""), `{}`, func(int, Effect) *answer {
		return &answer{outcome: Outcome{Output: json.RawMessage(`2`), Submitted: json.RawMessage(`1`)}}
	})
	s.expect(
		`TaskScheduled {"parameters":{},"region":"local","resource":"runTask.sync","resourceType":"ecs"}`,
		`TaskStarted {"resource":"runTask.sync","resourceType":"ecs"}`,
		`TaskSubmitted {"output":1,"resource":"runTask.sync","resourceType":"ecs"}`,
		`TaskSucceeded {"output":2,"resource":"runTask.sync","resourceType":"ecs"}`,
		`ExecutionSucceeded {"output":2}`)

	s = tell(t, one("arn:aws:states:::http:invoke", ""), `{}`, func(int, Effect) *answer { return fails("States.Http.StatusCode.404", "no page") })
	s.expect(
		`TaskScheduled {"parameters":{},"region":"local","resource":"invoke","resourceType":"http"}`,
		`TaskStarted {"resource":"invoke","resourceType":"http"}`,
		`TaskFailed {"cause":"no page","error":"States.Http.StatusCode.404","resource":"invoke","resourceType":"http"}`,
		`ExecutionFailed {"cause":"no page","error":"States.Http.StatusCode.404"}`)

	s = tell(t, one("tutti:exec", ""), `{}`, func(int, Effect) *answer { return succeeds(`"` + strings.Repeat("x", maxData) + `"`) })
	s.result(`FAILED States.DataLimitExceeded: The state/task 'tutti:exec' returned a result with a size exceeding the maximum number of bytes service limit.`)
	s = tell(t, one("tutti:exec", ""), `{}`, func(int, Effect) *answer { return &answer{} })
	s.result(`null`)
}

// TestWhoTakesWhich says which names of ErrorEquals take which errors.
func TestWhoTakesWhich(t *testing.T) {
	for _, c := range []struct {
		name, takes string
		want        bool
	}{
		{"States.Timeout", "States.Timeout", true},
		{"States.Timeout", "States.HeartbeatTimeout", false},
		{"States.HeartbeatTimeout", "States.HeartbeatTimeout", true},
		{"States.HeartbeatTimeout", "States.Timeout", true},
		{"States.Timeout", "States.TaskFailed", false},
		{"States.HeartbeatTimeout", "States.TaskFailed", true},
		{"Custom", "States.TaskFailed", true},
		{"States.Timeout", "States.ALL", true},
		{"States.DataLimitExceeded", "States.ALL", false},
		{"States.DataLimitExceeded", "States.DataLimitExceeded", true},
		{"States.Runtime", "States.ALL", false},
		{"States.Runtime", "States.TaskFailed", false},
		{"Custom", "Other", false},
	} {
		s := tell(t, one("tutti:exec", fmt.Sprintf(`, "Catch": [{"ErrorEquals": [%q], "Next": "B"}]`, c.takes)+`}, "B": {"Type": "Pass", "End": true`), `{}`,
			func(int, Effect) *answer { return fails(c.name, "") })
		if got := s.m.Result().Status == "SUCCEEDED"; got != c.want {
			t.Errorf("%s takes %s: %t", c.takes, c.name, got)
		}
	}
}
