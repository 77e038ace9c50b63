package asl

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/workflow"
)

// query runs a machine of one expression.
func query(t *testing.T, expression, input string) Result {
	t.Helper()
	m, err := execute(fmt.Appendf(nil, `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Pass", "Output": %s, "End": true}}}`, text("{% "+expression+" %}")), []byte(input), false)
	if err != nil {
		t.Fatal(err)
	}
	return m.Result()
}

// TestQueries evaluates what Step Functions adds to JSONata, changes of it or
// leaves out, and what has no JSON form.
func TestQueries(t *testing.T) {
	for expression, want := range map[string]string{
		"$partition([1,2,3], 2)":              `[[1,2],[3]]`,
		"$range(1, 5, 2)":                     `[1,3,5]`,
		"$range(1, 1, 1)":                     `1`,
		"$hash('a', 'MD5')":                   `"0cc175b9c0f1b6a831c399e269772661"`,
		"$parse('{\"a\": [1]}').a":            `[1]`,
		"$random(7) = $random(7)":             `true`,
		"$now()":                              `"2026-01-02T03:04:05.000Z"`,
		"$now('[Y]/[M01]')":                   `"2026/01"`,
		"$now('[H01]', '+0200')":              `"05"`,
		"$millis()":                           `1767323045000`,
		"$count($shuffle([1..50]))":           `50`,
		"$sort($shuffle([3, 1, 2]))":          `[1,2,3]`,
		"-0":                                  `0`,
		"null":                                `null`,
		"[[]]":                                `[[]]`,
		"$states.input":                       `{"b":{"z":1,"a":null},"list":[]}`,
		"$merge([$states.input.b, {'n': 1}])": `{"z":1,"a":null,"n":1}`,
		"$states.input.b ~> |$|{'z': 2}|":     `{"z":2,"a":null}`,
		"$append($states.input.list, 1)":      `[1]`,
		"$partition([1,2,3], 0)":              "threw an error during evaluation. argument 2 must be a positive integer",
		"$range(1, 5, 0)":                     "threw an error during evaluation. argument 3 must not be 0",
		"$range(0, 5000, 1)":                  "threw an error during evaluation. the range has more than 1000 elements",
		"$hash('a', 'CRC')":                   "threw an error during evaluation. there is no algorithm \"CRC\"; there are MD5, SHA-1, SHA-256, SHA-384 and SHA-512",
		"$parse('{')":                         "threw an error during evaluation. it ends too early",
		"$eval('1')":                          "threw an error during evaluation. $eval is not supported; use $parse",
		"$nothing()":                          "threw an error during evaluation. T1006: Attempted to invoke a non-function",
		"$number('x')":                        "threw an error during evaluation. D3030: Unable to cast value to a number: \"x\"",
		"'a' + 1":                             "threw an error during evaluation. T2001: The left side of the \"+\" operator must evaluate to a number",
		"1 - null":                            "threw an error during evaluation. T2002: The right side of the \"-\" operator must evaluate to a number",
		"$length(1)":                          "threw an error during evaluation. T0410: Argument 1 of function \"length\" does not match function signature",
		"$substring('a', 'b')":                "threw an error during evaluation. T0410: Argument 2 of function \"substring\" does not match function signature",
		"$error('boom')":                      "threw an error during evaluation. D3137: boom",
		"$nothing":                            "returned nothing (undefined).",
		"$sum":                                "returned an unsupported result type.",
		"{'f': function($x){$x}}":             "returned an unsupported result type.",
		"1/0":                                 "returned an unsupported result type.",
		"($f := function($n){1 + $f($n)}; $f(1))":    "threw an error during evaluation. U1001: stack overflow error: evaluation exceeded stack depth 100",
		"$string($states.result)":                    "returned nothing (undefined).",
		"$exists($states.errorOutput)":               `false`,
		"$states.context.State":                      `{"EnteredTime":"2026-01-02T03:04:05.000Z","Name":"A"}`,
		"$type($states.context.Execution.StartTime)": `"string"`,
	} {
		r := query(t, expression, `{"b": {"z": 1, "a": null}, "list": []}`)
		switch {
		case r.Status == "SUCCEEDED" && text(r.Output) != want, r.Status != "SUCCEEDED" && (r.Error != "States.QueryEvaluationError" || !strings.HasSuffix(r.Cause, want)):
			t.Errorf("%s: want %s\n\tgot %s %+v", expression, want, text(r.Output), r)
		}
	}
}

// TestChanceIsReplayed uses all that is not certain; a replay later gives the
// same.
func TestChanceIsReplayed(t *testing.T) {
	s := tell(t, `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 5, "Next": "B"},
		"B": {"Type": "Pass", "Output": "{% [$now(), $millis(), $uuid(), $random(), $shuffle([1..9])] %}", "End": true}}}`, `{}`, nil)
	if got := text(s.m.Result().Output); !strings.HasPrefix(got, `["2026-01-02T03:04:10.000Z",1767323050000,"`) {
		t.Error(got)
	}
	// A clock that is asked would tell another time.
	for asked := time.Now(); time.Since(asked) < 2*time.Millisecond; {
		continue
	}
	s.replays()

	s = tell(t, one("tutti:exec", `, "Parameters": {"a.$": "States.UUID()", "b.$": "States.MathRandom(1, 1000000)"}, "Retry": [{"ErrorEquals": ["E"], "JitterStrategy": "FULL", "MaxDelaySeconds": 3}]`), `{}`,
		func(step int, _ Effect) *answer {
			if step < 4 {
				return fails("E", "")
			}
			return succeeds(`1`)
		})
	s.result(`1`)
	s.replays()
}

// TestValuesAreNotChanged evaluates expressions that change what they get: the
// values of the machine stay.
func TestValuesAreNotChanged(t *testing.T) {
	large := `{"list": [` + strings.Repeat(`{"n": 1},`, 50) + `{"n": 2}]}`
	s := tell(t, `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {
		"A": {"Type": "Pass", "Output": "{% $states.input ~> |list|{'n': n + 1}, []| %}", "Assign": {"all": "{% $states.input %}", "more": "{% $append($states.input.list, [1]) %}"}, "Next": "B"},
		"B": {"Type": "Pass", "Output": "{% [$sum($all.list.n), $sum($states.input.list.n), $count($more), $count($append($all.list, [2, 3])), $count($all.list), $sort($all.list, function($a, $b){$a.n < $b.n})[0].n, $reverse($all.list)[0].n] %}", "End": true}}}`, large, nil)
	s.result(`[52,103,52,53,51,2,2]`)
}

// FuzzQuery looks for expressions that panic.
func FuzzQuery(f *testing.F) {
	for _, e := range []string{"$partition([1,2,3], 2)", "$states.input.a[b > 1].{'x': c}", "($f := function($x){$x + 1}; $f(1))", "$now('[Y]')", "$ ~> |$|{'a': 1}|", "$parse('[1')", "$sort([2,1])", "a.%.b", "$match('ab', /b/)"} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if strings.Contains(expression, "..") || len(expression) > 200 {
			return // ranges of millions only take time
		}
		definition := `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Pass", "Output": ` + text("{% "+expression+" %}") + `, "End": true}}}`
		d, err := Parse([]byte(definition))
		if err != nil {
			return // no text
		}
		if _, err := NewMachine(d).Apply(workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Step: -1, Data: []byte(`{"name": "x", "input": {"a": [{"b": 2, "c": null}]}}`)}); err != nil {
			t.Fatal(err)
		}
	})
}
