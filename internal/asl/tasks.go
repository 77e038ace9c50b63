package asl

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const taskFailed = "States.TaskFailed"

// region is where all this happens, as history tells it.
const region = "local"

// calling is a task under way: what it calls and what history tells of it.
type calling struct {
	t         *thread
	r         Resource
	input     any
	child     *Child
	since     time.Time
	begun     bool // an activity was taken by a worker
	submitted bool
}

func (t *thread) task() error {
	c := &calling{t: t, r: t.state.resource, since: t.m.now}
	if c.r.Kind == Worker || c.r.Pattern == WaitForTaskToken {
		t.token = t.m.token(t.m.steps)
	}
	var err error
	if c.input, err = t.arguments(); err != nil {
		return err
	}
	e := Effect{Kind: Call, Resource: c.r.Text, Input: json.RawMessage(text(c.input)), Token: t.token}
	if e.Timeout, err = t.limit("TimeoutSeconds"); err != nil {
		return err
	}
	if e.Heartbeat, err = t.limit("HeartbeatSeconds"); err != nil {
		return err
	}
	role, err := t.credentials()
	if err != nil {
		return err
	}
	if err := c.target(&e); err != nil {
		return err
	}
	e.Target = c.r
	c.scheduled(e, role)
	c.start(e)
	return nil
}

// arguments are what a task calls with.
func (t *thread) arguments() (any, error) {
	if !t.state.jsonata {
		return t.effective()
	}
	args := t.input
	if template, ok := t.state.fields.Get("Arguments"); ok {
		var err error
		if args, err = t.scope(t.input).query(template, "Arguments"); err != nil {
			return nil, err
		}
	}
	t.trial.inspect("afterArguments", args)
	return args, nil
}

// credentials returns the role a task is carried out as, nil for none.
func (t *thread) credentials() (any, error) {
	template, ok := t.state.fields.Get("Credentials")
	if !ok {
		return nil, nil
	}
	var v any
	var err error
	if t.state.jsonata {
		v, err = t.scope(t.input).query(template, "Credentials")
	} else {
		v, err = t.scope(t.input).template(template)
	}
	if err != nil {
		return nil, err
	}
	o, _ := v.(*Object)
	role, _ := o.Get("RoleArn")
	return role, nil
}

// target fills in what kind of effect it is.
func (c *calling) target(e *Effect) error {
	o, _ := c.input.(*Object)
	switch {
	case c.t.trial != nil: // a mock stands for whatever it is
	case c.r.Kind == Worker:
		e.Kind = Activity
	case c.r.Kind == Function:
		e.Payload = e.Input
	case c.r.Service == "lambda" && c.r.Action == "invoke":
		name, ok := o.Get("FunctionName")
		words, isText := name.(string)
		switch {
		case !ok:
			return c.cannotStart(`The field "FunctionName" is required but was missing`)
		case !isText:
			return c.cannotStart("The value for the field 'FunctionName' must be a STRING")
		}
		c.r.calledFunction(words)
		if q, ok := o.at("Qualifier").(string); ok {
			c.r.Qualifier = q
		}
		payload, ok := o.Get("Payload")
		if !ok {
			payload = NewObject()
		}
		e.Payload = json.RawMessage(text(payload))
	default:
		return c.childTarget(e, o)
	}
	return nil
}

// cannotStart is the error of arguments that are none.
func (c *calling) cannotStart(problem string) error {
	field := "Parameters"
	if c.t.state.jsonata {
		field = "Arguments"
	}
	return runtimeError("The %s '%s' could not be used to start the Task: [%s]", field, text(c.input), problem)
}

// start makes the effects. Who waits for a token waits before the token is
// given away.
func (c *calling) start(e Effect) {
	t := c.t
	if c.r.Pattern == WaitForTaskToken {
		wait := e
		wait.Kind, wait.Payload, wait.Child = Callback, nil, nil
		t.m.effect(t, wait, c.ended)
		t.m.effect(t, e, c.answered)
		return
	}
	p := t.m.effect(t, e, c.ended)
	if c.r.Kind == Worker {
		p.begun = func(b Begun) { c.taken(b.Worker) }
	}
}

// taken tells that a worker has an activity.
func (c *calling) taken(worker string) {
	if c.begun {
		return
	}
	c.begun = true
	details := NewObject()
	if worker != "" {
		details.Set("workerName", worker)
	}
	c.tell("Started", details)
}

// answered takes the answer to a call that gave a token away.
func (c *calling) answered(out Outcome, ok bool) {
	if !ok {
		c.failed(out)
		return
	}
	result, err := c.shaped(out)
	if err != nil {
		c.t.check(err)
		return
	}
	c.submit(result, len(out.Output) > 0 || c.child != nil)
}

// submit tells that the call was made. A token may come back before the answer
// to the call that gave it away.
func (c *calling) submit(answer any, known bool) {
	if c.submitted {
		return
	}
	c.submitted = true
	details := NewObject()
	if known {
		withValue(details, "output", answer)
	}
	c.tell("Submitted", details)
}

// ended takes the outcome of the task.
func (c *calling) ended(out Outcome, ok bool) {
	t := c.t
	if c.child != nil && c.r.Action == "startSyncExecution" && out.Status != "" {
		ok = true // how the child ended is what the call tells
	}
	if c.wasSubmitted(out, ok) {
		c.submittedBefore(out)
	}
	if !ok {
		c.failed(out)
		return
	}
	if len(out.Output) > maxData && t.trial == nil {
		c.failed(Outcome{
			Error: "States.DataLimitExceeded",
			Cause: fmt.Sprintf("The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", c.r.Text),
		})
		return
	}
	var result any
	var err error
	if c.r.Pattern == WaitForTaskToken {
		result, err = c.decoded(out.Output)
	} else {
		result, err = c.shaped(out)
	}
	if err != nil {
		t.check(err)
		return
	}
	t.drop()
	if c.r.Kind == Worker {
		c.taken("")
	}
	c.tell("Succeeded", withValue(NewObject(), "output", result))
	t.trial.inspect("result", result)
	t.check(t.finish(result))
}

func (c *calling) decoded(output json.RawMessage) (any, error) {
	if len(output) == 0 {
		return nil, nil
	}
	result, err := Decode(output)
	if err != nil {
		return nil, runtimeError("The task returned a result that is not JSON: %s", err)
	}
	return result, nil
}

// wasSubmitted reports whether the call succeeded that an outcome ends the wait
// for.
func (c *calling) wasSubmitted(out Outcome, ok bool) bool {
	late := out.Error == TimedOut || out.Error == HeartbeatMissed
	switch c.r.Pattern {
	case RunJob, RunJob2:
		return ok || late || out.Status != "" || len(out.Submitted) > 0 || c.child == nil
	case WaitForTaskToken:
		return !late
	}
	return false
}

// submittedBefore tells of the call whose job has ended.
func (c *calling) submittedBefore(out Outcome) {
	if c.child != nil {
		c.submit(c.childStarted(), true)
		return
	}
	answer, err := Decode(out.Submitted)
	c.submit(answer, err == nil)
}

// shaped is the result of the call as the service gives it.
func (c *calling) shaped(out Outcome) (any, error) {
	result, err := c.decoded(out.Output)
	switch {
	case err != nil, c.t.trial != nil: // a mock has the shape already
		return result, err
	case c.child != nil:
		return c.childResult(out, result), nil
	case c.r.Function != "" && c.r.Kind == Integration:
		return NewObject().Set("ExecutedVersion", "$LATEST").Set("Payload", result).Set("StatusCode", number(200)), nil
	}
	return result, nil
}

// failed ends the task with an error.
func (c *calling) failed(out Outcome) {
	t := c.t
	t.drop()
	e := &stateError{name: out.Error, cause: out.Cause, hasCause: out.Cause != ""}
	if e.name == "" {
		e.name = taskFailed
	}
	if c.child != nil && out.Status != "" {
		e = c.childFailure(out)
	}
	what := "Failed"
	switch {
	case e.name == TimedOut, e.name == HeartbeatMissed:
		what = "TimedOut"
	case c.r.Kind == Worker:
		c.taken("")
	case c.r.jobs() && !c.submitted:
		what = "SubmitFailed"
	}
	c.tell(what, failure(e))
	t.fails(e)
}

// scheduled tells that the task is about to begin.
func (c *calling) scheduled(e Effect, role any) {
	o := NewObject()
	if c.r.Kind == Integration {
		o.Set("parameters", c.input).Set("region", region)
	} else {
		withValue(o, "input", c.input).Set("resource", c.r.Text)
	}
	if e.Heartbeat > 0 && c.r.Kind != Function {
		o.Set("heartbeatInSeconds", number(int64(e.Heartbeat/time.Second)))
	}
	if e.Timeout > 0 {
		o.Set("timeoutInSeconds", number(int64(e.Timeout/time.Second)))
	}
	if role != nil {
		o.Set("taskCredentials", NewObject().Set("roleArn", role))
	}
	c.tell("Scheduled", o)
	switch c.r.Kind {
	case Function:
		c.tell("Started", nil)
	case Integration:
		c.tell("Started", NewObject())
	}
}

// tell adds an event of the task's kind; nil details are none.
func (c *calling) tell(what string, details *Object) {
	t, kind := c.t, "Task"
	switch c.r.Kind {
	case Function:
		kind = "LambdaFunction"
	case Worker:
		kind = "Activity"
	default:
		details.Set("resource", c.r.label()).Set("resourceType", c.r.Service)
	}
	key := ""
	if details != nil {
		key = strings.ToLower(kind[:1]) + kind[1:] + what + "EventDetails"
	}
	t.last = t.history.tell(t.last, kind+what, key, details)
}
