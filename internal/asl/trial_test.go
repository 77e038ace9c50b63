package asl

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRecordedTestStates compares answers of TestState with the recordings.
func TestRecordedTestStates(t *testing.T) {
	data, err := os.ReadFile("testdata/teststate.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID       string          `json:"id"`
		Request  json.RawMessage `json:"request"`
		Expected json.RawMessage `json:"expected"`
		Effects  string          `json:"effects"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, c := range cases {
		_, name, _ := strings.Cut(c.ID, "::")
		got, err := TestState(c.Request, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		if err != nil {
			t.Errorf("%s: %s", name, err)
			continue
		}
		if d := same(decoded(t, c.Expected), got, ""); d != "" {
			if c.Effects != "service" {
				t.Errorf("%s\n\t%s", name, d)
			}
			continue
		}
		good++
	}
	t.Logf("%d of %d", good, len(cases))
}

// TestTasksAlone tests tasks that wait for something alone: a mock stands for
// what they would get, in the shape of the service.
func TestTasksAlone(t *testing.T) {
	for resource, want := range map[string]string{
		"arn:aws:states:::sqs:sendMessage.waitForTaskToken": `{"output":{"a":1},"inspectionData":{"input":{},"afterInputPath":{},"afterParameters":{"token":"given"},"result":{"a":1},"afterResultSelector":{"a":1},"afterResultPath":{"a":1}},"status":"SUCCEEDED"}`,
		"arn:aws:states:::ecs:runTask.sync":                 `{"output":{"a":1},"inspectionData":{"input":{},"afterInputPath":{},"afterParameters":{"token":"given"},"result":{"a":1},"afterResultSelector":{"a":1},"afterResultPath":{"a":1}},"status":"SUCCEEDED"}`,
	} {
		got, err := TestState([]byte(`{"definition": {"Type": "Task", "Resource": "`+resource+`", "Parameters": {"token.$": "$$.Task.Token"}, "End": true},
			"input": {}, "context": {"Task": {"Token": "given"}}, "mock": {"result": "{\"a\": 1}"}, "roleArn": "r", "inspectionLevel": "TRACE"}`), time.Unix(0, 0))
		if err != nil || text(got) != want {
			t.Errorf("%s: %v\n\t got %s\n\twant %s", resource, err, text(got), want)
		}
	}
}
