package asl

import (
	"encoding/json"
	"os"
	"testing"
)

// TestRecordedValidations compares what is refused, and of the API that tells
// them the diagnostics, with the recordings.
func TestRecordedValidations(t *testing.T) {
	data, err := os.ReadFile("testdata/validation.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID             string          `json:"id"`
		Type           string          `json:"type"`
		Definition     json.RawMessage `json:"definition"`
		DefinitionText *string         `json:"definitionText"`
		Expected       struct {
			Error       string       `json:"error"`
			Result      string       `json:"result"`
			Diagnostics []Diagnostic `json:"diagnostics"`
		} `json:"expected"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, c := range cases {
		definition := []byte(c.Definition)
		if c.DefinitionText != nil {
			definition = []byte(*c.DefinitionText)
		}
		got := Validate(definition, Options{Express: c.Type == "EXPRESS"})
		refused := c.Expected.Error != "" || c.Expected.Result == "FAIL"
		a, _ := json.Marshal(c.Expected.Diagnostics)
		b, _ := json.Marshal(got)
		switch {
		case refused != (len(got) > 0):
			t.Logf("%s: refused is %t: %s", c.ID, len(got) > 0, b)
		case c.Expected.Diagnostics != nil && string(a) != string(b):
			t.Logf("%s: want %s, got %s", c.ID, a, b)
		default:
			good++
		}
	}
	t.Logf("%d of %d", good, len(cases))
	if good != len(cases) {
		t.Fail()
	}
}

// TestRecordedDefinitionsAreValid holds the validator against definitions that
// the service took.
func TestRecordedDefinitionsAreValid(t *testing.T) {
	for _, r := range recordings(t) {
		if got := Validate(r.Definition, Options{Express: r.Type == "EXPRESS"}); len(got) > 0 {
			t.Errorf("%s: %v", r.ID, got)
		}
	}
}

// TestRefusals says where definitions are refused, and why.
func TestRefusals(t *testing.T) {
	for state, want := range map[string]string{
		`{"Type": "Wait", "Seconds": -1, "End": true}`:                                                                                `/Seconds: Value must not be less than 0`,
		`{"Type": "Wait", "Seconds": 1.5, "End": true}`:                                                                               `/Seconds: Expected value of type Integer`,
		`{"Type": "Wait", "Seconds": "{% 1 %}", "End": true}`:                                                                         `/Seconds: Expected value of type Integer`,
		`{"QueryLanguage": "JSONata", "Type": "Wait", "Seconds": "{% 1 %}", "End": true}`:                                             ``,
		`{"Type": "Wait", "Seconds": 100000000, "End": true}`:                                                                         `/Seconds: Value must not be greater than 99999999`,
		`{"Type": "Wait", "Timestamp": "2016-03-14", "End": true}`:                                                                    `/Timestamp: Value is not a valid ISO-8601 extended offset date-time: 2016-03-14`,
		`{"Type": "Wait", "Timestamp": "2016-03-14T01:59:00+01:00", "End": true}`:                                                     ``,
		`{"Type": "Fail", "Error": 1}`:                                                                                                `/Error: Expected value of type String`,
		`{"Type": "Fail", "Cause": "a", "CausePath": "$.a"}`:                                                                          `: 'Cause' and 'CausePath' can not be used together`,
		`{"Type": "Task", "Resource": "nothing", "End": true}`:                                                                        `/Resource: Value is not a valid resource ARN`,
		`{"Type": "Task", "Resource": "arn:aws:lambda:x", "End": true}`:                                                               `/Resource: Value is not a valid resource ARN`,
		`{"Type": "Task", "Resource": "tutti:exec", "TimeoutSeconds": 0, "End": true}`:                                                `/TimeoutSeconds: Value must not be less than 1`,
		`{"Type": "Task", "Resource": "tutti:exec", "TimeoutSeconds": 5, "HeartbeatSeconds": 5, "End": true}`:                         `/HeartbeatSeconds: HeartbeatSeconds must be smaller than TimeoutSeconds`,
		`{"Type": "Task", "Resource": "tutti:exec", "Retry": [{"ErrorEquals": ["a"], "MaxAttempts": -1}], "End": true}`:               `/Retry[0]/MaxAttempts: Value must not be less than 0`,
		`{"Type": "Task", "Resource": "tutti:exec", "Retry": [{"ErrorEquals": ["a"], "BackoffRate": 0.5}], "End": true}`:              `/Retry[0]/BackoffRate: Value must be a number that is not less than 1`,
		`{"Type": "Task", "Resource": "tutti:exec", "Retry": [{"ErrorEquals": ["a"], "JitterStrategy": "X"}], "End": true}`:           `/Retry[0]/JitterStrategy: Value is not one of the allowed values: [FULL, NONE]`,
		`{"Type": "Task", "Resource": "tutti:exec", "Retry": [{"ErrorEquals": [1]}], "End": true}`:                                    `/Retry[0]/ErrorEquals: Expected values of type String`,
		`{"Type": "Task", "Resource": "tutti:exec", "Catch": [{"ErrorEquals": ["States.ALL", "a"], "Next": "A"}], "End": true}`:       `/Catch[0]/ErrorEquals: States.ALL must appear alone, and in the last entry`,
		`{"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": "1", "Next": "A"}]}`:                                     `/Choices[0]/NumericEquals: Expected value of type Number`,
		`{"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": "true", "Next": "A"}]}`:                                         `/Choices[0]/IsNull: Expected value of type Boolean`,
		`{"Type": "Choice", "Choices": [{"Variable": "$.a", "TimestampEquals": "now", "Next": "A"}]}`:                                 `/Choices[0]/TimestampEquals: Value is not a valid ISO-8601 extended offset date-time: now`,
		`{"Type": "Choice", "Choices": [{"Variable": "$.a", "StringEqualsPath": "a", "Next": "A"}]}`:                                  `/Choices[0]/StringEqualsPath: Value is not a valid JSONPath: a`,
		`{"Type": "Choice", "Choices": [{"And": [], "Next": "A"}]}`:                                                                   `/Choices[0]/And: Expected a non-empty value of type Array`,
		`{"Type": "Choice", "Choices": [{"Not": 1, "Next": "A"}]}`:                                                                    `/Choices[0]/Not: Expected value of type Object`,
		`{"Type": "Choice", "Choices": [{"Not": {"Variable": "$.a", "IsNull": true, "Next": "A"}, "Next": "A"}]}`:                     `/Choices[0]/Not: Field 'Next' is not supported`,
		`{"Type": "Pass", "Assign": [], "End": true}`:                                                                                 `/Assign: Expected value of type Object`,
		`{"Type": "Pass", "Assign": {"states": 1}, "End": true}`:                                                                      `/Assign: A variable must not be called 'states'`,
		`{"QueryLanguage": "JSONata", "Type": "Pass", "Output": {"a": ["{% 1 + %}"]}, "End": true}`:                                   `/Output/a[0]: Value is not a valid JSONata expression: JSONata error S0201 at token "EOF": unexpected end of expression`,
		`{"Type": "Map", "MaxConcurrency": -1, "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Succeed"}}}, "End": true}`: `/MaxConcurrency: Value must not be less than 0`,
	} {
		found := Validate([]byte(`{"StartAt": "A", "States": {"A": `+state+`}}`), Options{})
		switch {
		case want == "" && len(found) > 0, want != "" && len(found) == 0:
			t.Errorf("%s\n\t%v", state, found)
		case want != "" && found[0].Location+": "+found[0].Message != "/States/A"+want:
			t.Errorf("%s\n\t%s: %s", state, found[0].Location, found[0].Message)
		}
	}
}
