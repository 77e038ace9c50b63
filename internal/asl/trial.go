package asl

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// trial watches a state that is tested alone. A nil trial watches nothing.
type trial struct {
	context     *Object // given for the context object; nil: the machine's
	data        *Object // what is told of the state's inside
	details     *Object // of an error
	status      string
	output      any
	hasOutput   bool
	next        string
	mock        *mock
	retries     int   // made before, by retrier
	failedItems int   // of a Map
	items       []any // what its reader reads
	failure     *stateError
	refused     error // the call cannot be carried out after all
}

// mock stands for what a state calls.
type mock struct {
	result  any
	failure *stateError
}

func (t *trial) inspect(name string, v any) {
	if t != nil {
		t.data.Set(name, v)
	}
}

func (t *trial) mocked() bool { return t != nil && t.mock != nil }

func (t *trial) left(output any, next string) {
	t.output, t.hasOutput, t.next = output, true, next
	if t.status == "" {
		t.status = "SUCCEEDED"
	}
}

func (t *trial) caught(index int) {
	if t != nil {
		t.status = "CAUGHT_ERROR"
		t.details.Set("catchIndex", number(int64(index)))
	}
}

func (t *trial) retried(index int, delay float64) {
	t.status = "RETRIABLE"
	t.details.Set("retryIndex", number(int64(index))).
		Set("retryBackoffIntervalSeconds", number(int64(math.Ceil(delay))))
}

// mockedBranches ends a Parallel as the mock says.
func (t *thread) mockedBranches() error {
	if f := t.trial.mock.failure; f != nil {
		return f
	}
	for _, name := range []string{"afterInputPath", "afterParameters"} {
		t.trial.data.remove(name) // not told of what has branches
	}
	return t.finish(t.trial.mock.result)
}

// mocked ends a Map as the mock says.
func (g *mapping) mocked() error {
	t := g.t
	if f := t.trial.mock.failure; f != nil {
		return f
	}
	if t.trial.failedItems > len(g.items) {
		return invalid("Map iteration failure count must be less than or equal to the number of Map iterations")
	}
	if t.trial.failedItems > g.tolerated && g.tolerates {
		return exceeded()
	}
	return t.finish(t.trial.mock.result)
}

// testRequest is a call of TestState.
type testRequest struct {
	Definition  json.RawMessage `json:"definition"`
	StateName   *string         `json:"stateName"`
	Input       json.RawMessage `json:"input"`
	InputText   *string         `json:"inputText"`
	Context     json.RawMessage `json:"context"`
	ContextText *string         `json:"contextText"`
	Variables   json.RawMessage `json:"variables"`
	RoleArn     string          `json:"roleArn"`
	Level       string          `json:"inspectionLevel"`
	Mock        *struct {
		Result *string `json:"result"`
		Error  *struct {
			Error *string `json:"error"`
			Cause *string `json:"cause"`
		} `json:"errorOutput"`
		Mode string `json:"fieldValidationMode"`
	} `json:"mock"`
	Configuration *struct {
		Retries  int    `json:"retrierRetryCount"`
		Failures *int   `json:"mapIterationFailureCount"`
		Items    string `json:"mapItemReaderData"`
	} `json:"stateConfiguration"`
}

// refusal is a call that cannot be carried out.
type refusal struct{ code, message string }

func (r refusal) Error() string { return r.code + ": " + r.message }

func invalid(format string, args ...any) error {
	return refusal{"ValidationException", fmt.Sprintf(format, args...)}
}

// TestState runs one state alone, with what it calls mocked: the TestState call
// of Step Functions. The request has its members; definition, input, context and
// variables may be values instead of text. The answer has the members of the
// response, or apiError and message where the call is refused.
func TestState(request []byte, now time.Time) (*Object, error) {
	var r testRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, fmt.Errorf("the request is not as TestState takes it: %w", err)
	}
	answer, err := r.run(now)
	if refused, ok := err.(refusal); ok { //nolint:errorlint // never wrapped
		return NewObject().Set("apiError", refused.code).Set("message", refused.message), nil
	}
	return answer, err
}

// value decodes a member that may be text or a value.
func value(member json.RawMessage, asText *string, otherwise any) (any, error) {
	if asText != nil {
		return Decode([]byte(*asText))
	}
	if len(member) == 0 {
		return otherwise, nil
	}
	return Decode(member)
}

func (r *testRequest) run(now time.Time) (*Object, error) {
	s, l, err := r.state()
	if err != nil {
		return nil, err
	}
	t := &trial{data: NewObject(), details: NewObject()}
	if err := r.configure(t, s); err != nil {
		return nil, err
	}
	input, err := value(r.Input, r.InputText, NewObject())
	if err != nil {
		return nil, invalid("Invalid State Input: '%s'", err)
	}
	given, err := value(r.Variables, nil, NewObject())
	if err != nil {
		return nil, invalid("Invalid variables: '%s'", err)
	}
	values, _ := given.(*Object)
	const name = "test"
	m := NewMachine(&Definition{level: l})
	m.now, m.started, m.random = now, instant(now), seeded(0)
	execution := m.execution(expressID(name, m.random), name, input)
	about, _ := execution.at("Execution").(*Object)
	about.remove("RedriveCount")
	th := &thread{
		m: m, history: m.main, level: l, variables: &variables{values: values}, execution: execution,
		state: s, input: input, trial: t, attempts: map[int]int{},
	}
	th.failed = func(e *stateError) { t.status, t.failure = "FAILED", e }
	if retriers, ok := s.fields.at("Retry").([]any); ok {
		for i := range retriers {
			th.attempts[i] = t.retries
		}
	}
	t.data.Set("input", input)
	th.execute()
	if err := t.effects(th); err != nil {
		return nil, err
	}
	if t.refused != nil {
		return nil, t.refused
	}
	return r.answer(t), nil
}

// state finds the state that is tested and the level it lies in.
func (r *testRequest) state() (*state, *level, error) {
	definition := r.Definition
	var quoted string
	if json.Unmarshal(definition, &quoted) == nil {
		definition = json.RawMessage(quoted)
	}
	v, err := Decode(definition)
	o, ok := v.(*Object)
	if err != nil || !ok {
		return nil, nil, refusal{"InvalidDefinition", "Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: The definition is not a JSON object'"}
	}
	if r.StateName == nil {
		fields := NewObject().Set("StartAt", alone).Set("States", NewObject().Set(alone, o))
		if _, machine := o.Get("States"); machine {
			return nil, nil, invalid("StateName must be specified when a state machine definition is provided")
		}
		l, err := judged(fields, true)
		if err != nil {
			return nil, nil, err
		}
		return l.states[alone], l, nil
	}
	if *r.StateName == "" {
		return nil, nil, refusal{"ParamValidationError", "Parameter validation failed:\nInvalid length for parameter stateName, value: 0, valid min length: 1"}
	}
	l, err := judged(o, false)
	if err != nil {
		return nil, nil, err
	}
	if l = l.find(*r.StateName); l == nil {
		return nil, nil, invalid("State not found in definition")
	}
	return l.states[*r.StateName], l, nil
}

// alone is the name of a state that is tested without its machine.
const alone = "StateName"

// judged validates and parses; a state alone may name others.
func judged(o *Object, single bool) (*level, error) {
	v := &validator{alone: single}
	jsonata := o.at("QueryLanguage") == "JSONata"
	v.level(o, "", jsonata)
	for _, d := range v.found {
		return nil, refusal{"InvalidDefinition", fmt.Sprintf("Invalid State Machine Definition: '%s: %s at %s'", d.Code, d.Message, d.Location)}
	}
	return parseLevel(o, jsonata, "/")
}

// find returns the level that has a state, at any depth.
func (l *level) find(name string) *level {
	if l.states[name] != nil {
		return l
	}
	for _, s := range l.states {
		for _, inner := range s.branches {
			if found := inner.find(name); found != nil {
				return found
			}
		}
	}
	return nil
}

// configure takes over what the request says besides the state.
func (r *testRequest) configure(t *trial, s *state) error {
	if r.Mock != nil {
		if err := r.takeMock(t, s); err != nil {
			return err
		}
	}
	if c := r.Configuration; c != nil {
		t.retries = c.Retries
		if c.Failures != nil {
			if r.Mock == nil {
				return invalid("TestState does not support MapIterationFailureCount when a mock is not specified.")
			}
			t.failedItems = *c.Failures
		}
		if c.Items != "" {
			v, err := Decode([]byte(c.Items))
			list, ok := v.([]any)
			if err != nil || !ok {
				return invalid("MapItemReaderData must be a JSON array")
			}
			t.items = list
		}
	}
	switch {
	case r.Mock != nil:
	case s.kind == "Map", s.kind == "Parallel":
		return invalid("A mock must be specified when testing a state of the type '%s'", s.kind)
	case s.kind == "Task" && r.RoleArn == "":
		return invalid("RoleArn must be specified when testing a Task state")
	}
	given, err := value(r.Context, r.ContextText, nil)
	if err != nil {
		return invalid("Invalid Context object provided: %s", err)
	}
	if given == nil {
		return nil
	}
	o, ok := given.(*Object)
	if !ok {
		return invalid("Invalid Context object provided: it must be a JSON object")
	}
	t.context = o
	return contextAllowed(o, s)
}

func (r *testRequest) takeMock(t *trial, s *state) error {
	switch s.kind {
	case "Task", "Map", "Parallel":
	default:
		return invalid("State type '%s' is not supported when a mock is specified", s.kind)
	}
	if r.Mock.Result != nil && r.Mock.Error != nil {
		return invalid("A test mock should have only one of the following fields: [result, errorOutput].")
	}
	t.mock = &mock{}
	if e := r.Mock.Error; e != nil {
		f := &stateError{}
		if e.Error != nil {
			f.name = *e.Error
		}
		if e.Cause != nil {
			f.cause, f.hasCause = *e.Cause, true
		}
		t.mock.failure = f
		return nil
	}
	if r.Mock.Result == nil {
		return nil
	}
	result, err := Decode([]byte(*r.Mock.Result))
	if err != nil {
		return invalid("Mocked result must be valid JSON")
	}
	_, isList := result.([]any)
	_, isObject := result.(*Object)
	switch {
	case s.has("ResultWriter"):
		if !isObject {
			return invalid("Mocked result must be a JSON object.")
		}
	case s.kind != "Task" && !isList:
		return invalid("Mocked result must be an array.")
	case s.kind == "Task" && !isObject && strings.HasPrefix(fmt.Sprint(s.fields.at("Resource")), "arn:aws:states:::"):
		return invalid("Mocked result must be a JSON object.")
	}
	t.mock.result = result
	if wanted, ok := shapes[fmt.Sprint(s.fields.at("Resource"))]; ok && s.kind == "Task" && r.Mock.Mode != "NONE" {
		return wanted.check(result, "", r.Mock.Mode != "PRESENT")
	}
	return nil
}

// contextFields are what a context object may have, and of which type.
var contextFields = map[string]map[string]string{
	"Execution":    {"Id": "string", "Input": "", "Name": "string", "RoleArn": "string", "StartTime": "string", "RedriveCount": "number", "RedriveTime": "string"},
	"State":        {"EnteredTime": "string", "Name": "string", "RetryCount": "number"},
	"StateMachine": {"Id": "string", "Name": "string"},
	"Task":         {"Token": "string"},
}

func contextAllowed(o *Object, s *state) error {
	const start = "Invalid Context object provided: "
	for _, section := range o.Keys() {
		fields, ok := contextFields[section]
		switch {
		case section == "Map":
			return invalid(start + "'Map' field is not supported when mocking a Context object")
		case !ok:
			return invalid(start+"Field '%s' is not allowed", section)
		}
		resource, _ := s.text("Resource")
		if section == "Task" && !strings.HasSuffix(resource, ".waitForTaskToken") && !strings.Contains(resource, ".sync") {
			return invalid(start + "Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service integration pattern")
		}
		inner, ok := o.at(section).(*Object)
		if !ok {
			return invalid(start+"%s must be an object", section)
		}
		for _, name := range inner.Keys() {
			kind, ok := fields[name]
			if !ok {
				return invalid(start+"Field '%s' is not allowed", name)
			}
			if kind != "" && kindOf(inner.at(name)) != kind {
				return invalid(start+"%s.%s must be a %s", section, name, kind)
			}
		}
	}
	return nil
}

// effects ends what the state waits for: timers at once, tasks as mocked.
func (t *trial) effects(th *thread) error {
	for len(th.m.pending) > 0 && t.status == "" {
		step := slices.Min(slices.Collect(maps.Keys(th.m.pending)))
		p := th.m.pending[step]
		th.m.drop(step)
		switch {
		case p.effect.Kind == Timer:
			p.then(Outcome{}, true)
		case t.mock == nil:
			return invalid("Nothing is bound to the resource '%s': mock its result", p.effect.Resource)
		case t.mock.failure != nil:
			th.fails(t.mock.failure)
		default:
			p.then(Outcome{Output: json.RawMessage(text(t.mock.result))}, true)
		}
	}
	return nil
}

// answer is the response to the call.
func (r *testRequest) answer(t *trial) *Object {
	o := NewObject()
	if t.hasOutput {
		o.Set("output", t.output)
	}
	if e := t.failure; e != nil {
		if e.name != "" {
			o.Set("error", e.name)
		}
		if e.hasCause {
			o.Set("cause", e.cause)
		}
	}
	if r.Level == "DEBUG" || r.Level == "TRACE" {
		if len(t.details.Keys()) > 0 {
			t.data.Set("errorDetails", t.details)
		}
		o.Set("inspectionData", t.data)
	}
	if t.next != "" {
		o.Set("nextState", t.next)
	}
	return o.Set("status", t.status)
}
