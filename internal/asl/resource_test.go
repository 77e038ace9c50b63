package asl

import (
	"strings"
	"testing"
)

func TestParseResource(t *testing.T) {
	for source, want := range map[string]Resource{
		"tutti:exec":                                             {Kind: Integration, Service: "tutti", Action: "exec"},
		"tutti:http.waitForTaskToken":                            {Kind: Integration, Service: "tutti", Action: "http", Pattern: WaitForTaskToken},
		"anything":                                               {Kind: Integration, Action: "anything"},
		"arn:aws:lambda:eu-west-1:1:function:f":                  {Kind: Function, Service: "lambda", Function: "f", Region: "eu-west-1", place: "arn:aws:lambda:eu-west-1:1"},
		"arn:aws-cn:lambda:x:1:function:f:v":                     {Kind: Function, Service: "lambda", Function: "f", Qualifier: "v", Region: "x", place: "arn:aws-cn:lambda:x:1"},
		"arn:aws:states:us-east-1:1:activity:a":                  {Kind: Worker, Name: "a", Region: "us-east-1"},
		"arn:aws:states:::sqs:sendMessage.waitForTaskToken":      {Kind: Integration, Service: "sqs", Action: "sendMessage", Pattern: WaitForTaskToken},
		"arn:aws:states:::states:startExecution.sync:2":          {Kind: Integration, Service: "states", Action: "startExecution", Pattern: RunJob2},
		"arn:aws:states:::states:startExecution.sync":            {Kind: Integration, Service: "states", Action: "startExecution", Pattern: RunJob},
		"arn:aws:states:::aws-sdk:sfn:startExecution":            {Kind: Integration, Service: "aws-sdk:sfn", Action: "startExecution"},
		"arn:aws:states:::aws-sdk:s3:putObject.waitForTaskToken": {Kind: Integration, Service: "aws-sdk:s3", Action: "putObject", Pattern: WaitForTaskToken},
	} {
		want.Text = source
		if got, err := ParseResource(source); got != want || err != nil {
			t.Errorf("%s: %+v %v", source, got, err)
		}
	}
	for _, source := range []string{
		"arn:", "arn:aws:lambda", "arn:aws:lambda:r:1:function", "arn:aws:lambda:r:1:function:", "arn:aws:lambda:r:1:layer:f",
		"arn:aws:states:r:1:activity:", "arn:aws:states:::sqs", "arn:aws:states:::sqs:", "arn:aws:states:::sqs:send.nonsense",
		"arn:aws:states:::aws-sdk:sfn", "arn:aws:states:::aws-sdk:sfn:a:b",
	} {
		if r, err := ParseResource(source); err == nil {
			t.Errorf("%s is taken as %+v", source, r)
		} else if !strings.Contains(err.Error(), "it should be arn:aws:") {
			t.Errorf("%s: %s", source, err)
		}
	}
}

func TestBindings(t *testing.T) {
	bindings := []Binding{
		{"*", "all"}, {"arn:aws:states:::*", "service"}, {"arn:aws:states:::sqs:*", "queues"}, {"arn:aws:states:::sqs:sendMessage", "send"},
		{"arn:aws:states:::sqs:sendMessage*", "sends"}, {"arn:aws:states:::lambda:invoke", "invoke"},
		{"arn:aws:lambda:*:function:hello", "hello"}, {"arn:aws:lambda:*:function:hello:prod", "prod"}, {"arn:aws:lambda:*:function:he*", "he"},
		{"arn:aws:lambda:eu-west-1:*:function:hello", "european"}, {"arn:aws:states:*:activity:pack", "pack"},
	}
	for _, c := range []struct{ resource, function, want string }{
		{"arn:aws:states:::sqs:sendMessage", "", "send"},
		{"arn:aws:states:::sqs:sendMessage.waitForTaskToken", "", "sends"},
		{"arn:aws:states:::sqs:purge", "", "queues"},
		{"arn:aws:states:::sns:publish", "", "service"},
		{"tutti:exec", "", "all"},
		{"arn:aws:lambda:us-east-1:1:function:hello", "", "hello"},
		{"arn:aws:lambda:eu-west-1:1:function:hello", "", "european"},
		{"arn:aws:lambda:us-east-1:1:function:hello:prod", "", "prod"},
		{"arn:aws:lambda:us-east-1:1:function:hello:test", "", "hello"},
		{"arn:aws:lambda:us-east-1:1:function:hey", "", "he"},
		{"arn:aws:lambda:us-east-1:1:function:bye", "", "all"},
		{"arn:aws:states:::lambda:invoke", "hello", "european"},
		{"arn:aws:states:::lambda:invoke", "arn:aws:lambda:us-east-1:1:function:hello", "hello"},
		{"arn:aws:states:::lambda:invoke", "bye", "invoke"},
		{"arn:aws:states:r:1:activity:pack", "", "pack"},
	} {
		r, err := ParseResource(c.resource)
		if err != nil {
			t.Fatal(err)
		}
		if c.function != "" {
			r.calledFunction(c.function)
		}
		if got, ok := Bound(bindings, r); got.Target != c.want || !ok {
			t.Errorf("%s %s: %q", c.resource, c.function, got.Target)
		}
	}
	if _, ok := Bound(bindings[1:], Resource{Text: "tutti:exec"}); ok {
		t.Error("something is bound that nothing names")
	}
}
