package asl

import (
	"encoding/json"
	"strings"
)

// childTarget recognises the actions that start executions of other state
// machines.
func (c *calling) childTarget(e *Effect, o *Object) error {
	sdk := c.r.Service == "aws-sdk:sfn"
	switch {
	case c.r.Service == "states" && c.r.Action == "startExecution":
	case sdk && (c.r.Action == "startExecution" || c.r.Action == "startSyncExecution"):
	default:
		return nil
	}
	machine, ok := o.Get("StateMachineArn")
	words, isText := machine.(string)
	switch {
	case !ok:
		return c.cannotStart(`The field "StateMachineArn" is required but was missing`)
	case !isText:
		return c.cannotStart("The value for the field 'StateMachineArn' must be a STRING")
	}
	for _, key := range o.Keys() {
		switch key {
		case "StateMachineArn", "Name", "Input", "TraceHeader":
		default:
			return c.cannotStart(`The field "` + key + `" is not supported by Step Functions`)
		}
	}
	child := &Child{StateMachine: words, Wait: c.r.Pattern == RunJob || c.r.Pattern == RunJob2 || c.r.Action == "startSyncExecution"}
	if name, given := o.Get("Name"); given {
		if child.Name, ok = name.(string); !ok {
			return c.cannotStart("The value for the field 'Name' must be a STRING")
		}
	} else {
		child.Name = c.t.scope(nil).uuid()
	}
	child.Input = json.RawMessage("{}")
	if input, given := o.Get("Input"); given {
		inner, isText := input.(string)
		_, err := Decode([]byte(inner))
		switch {
		case isText && err == nil:
			child.Input = json.RawMessage(inner) // JSON as text, as the API takes it
		case isText && sdk:
			return failed("Sfn.InvalidExecutionInputException", "Invalid State Machine Execution Input: 'the text is not JSON'")
		default:
			child.Input = json.RawMessage(text(input))
		}
	}
	c.child = child
	e.Kind, e.Child = Run, child
	return nil
}

// arn is what the child execution is called.
func (c *Child) arn() string {
	machine := c.StateMachine
	if !strings.HasPrefix(machine, "arn:") {
		machine = strings.TrimSuffix(machineARN, "tutti") + machine
	}
	return strings.Replace(machine, ":stateMachine:", ":execution:", 1) + ":" + c.Name
}

// childStarted is the answer to starting an execution.
func (c *calling) childStarted() *Object {
	return NewObject().Set("ExecutionArn", c.child.arn()).Set("StartDate", c.date(c.since.UnixMilli(), instant(c.since)))
}

// date is an instant as the integration writes it: the optimised ones as a
// number of milliseconds, the others as text.
func (c *calling) date(millis int64, words string) any {
	if strings.HasPrefix(c.r.Service, "aws-sdk") {
		return words
	}
	return number(millis)
}

// childResult is the result of a task that ran a child execution.
func (c *calling) childResult(out Outcome, output any) any {
	switch {
	case !c.child.Wait:
		return c.childStarted()
	case c.r.Pattern == RunJob2:
		input, _ := Decode(c.child.Input)
		return c.described("SUCCEEDED", input, output, nil)
	case out.Status != "" && out.Status != "SUCCEEDED":
		return c.described(out.Status, string(c.child.Input), nil, childError(out))
	}
	return c.described("SUCCEEDED", string(c.child.Input), text(output), nil)
}

// childFailure is the error of a task whose child execution failed. Its cause is
// the description of the child.
func (c *calling) childFailure(out Outcome) *stateError {
	return failed(taskFailed, text(c.described(out.Status, string(c.child.Input), nil, childError(out))))
}

func childError(out Outcome) *stateError {
	return &stateError{name: out.Error, cause: out.Cause, hasCause: out.Cause != ""}
}

// described is what DescribeExecution says of the child.
func (c *calling) described(status string, input, output any, e *stateError) *Object {
	now := c.t.m.now
	o := NewObject()
	if e != nil && e.hasCause {
		o.Set("Cause", e.cause)
	}
	if e != nil && e.name != "" {
		o.Set("Error", e.name)
	}
	included := NewObject().Set("Included", true)
	o.Set("ExecutionArn", c.child.arn()).Set("Input", input).Set("InputDetails", included).Set("Name", c.child.Name)
	if e == nil {
		o.Set("Output", output).Set("OutputDetails", included)
	}
	if c.r.Action == "startExecution" {
		o.Set("RedriveCount", number(0))
		if e == nil {
			o.Set("RedriveStatus", "NOT_REDRIVABLE").Set("RedriveStatusReason", "Execution is SUCCEEDED and cannot be redriven")
		} else {
			o.Set("RedriveStatus", "REDRIVABLE")
		}
	}
	return o.Set("StartDate", c.date(c.since.UnixMilli(), instant(c.since))).Set("StateMachineArn", c.child.StateMachine).
		Set("Status", status).Set("StopDate", c.date(now.UnixMilli(), instant(now)))
}
