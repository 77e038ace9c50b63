package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// builtinActions is the table of what steps do.
func builtinActions(r *Runner, d *flow.Definition, o WorkflowOptions) map[string]WorkflowAction {
	out := map[string]WorkflowAction{}
	for kind, a := range actions.Builtin() {
		out[kind] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
			// What the run was allowed when it began, it may not be allowed now.
			if err := o.may(c, access.Run, d.Workflow.Name); err != nil {
				return WorkflowResult{}, err
			}
			v, err := a(ctx, c.Call)
			return WorkflowResult{Outputs: v}, err
		}
	}
	out["emit"] = emit
	out["workflow"] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) { return runChild(ctx, r, d, o, c) }
	if o.Stacks != nil {
		stackActions(d, o, out)
	}
	if secret := d.Workflow.Rotates; secret != "" {
		out["rotation"] = rotating(o, secret)
	}
	return out
}

// emit puts an event into the feed, in the transaction of the outcome.
func emit(_ context.Context, c WorkflowCall) (WorkflowResult, error) {
	if c.Effect.Arguments.HasMarkDeep(marks.Sensitive) {
		return WorkflowResult{}, actions.Errorf(flow.EvaluationError, "An event must not be sensitive: everybody may read the feed.")
	}
	e := events.Event{Type: c.Arguments.GetAttr("type").AsString(), Subject: c.Task.Run().ID}
	if reserved(e.Type) {
		return WorkflowResult{}, actions.Errorf(flow.EvaluationError, "An event of a workflow must not have the type %q: what begins with %s is written by Tutti alone.", e.Type, strings.Join(reservedTypes, ", "))
	}
	if v := c.Arguments.GetAttr("subject"); !v.IsNull() {
		e.Subject = v.AsString()
	}
	if v := c.Arguments.GetAttr("data"); !v.IsNull() {
		data, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			return WorkflowResult{}, fmt.Errorf("the data of the event cannot be written as JSON: %w", err)
		}
		e.Data = data
	}
	return WorkflowResult{Outputs: cty.EmptyObjectVal, Events: []events.Event{e}}, nil
}

// runChild carries out another workflow of the project as a run of its own, or
// goes on with it.
func runChild(ctx context.Context, r *Runner, d *flow.Definition, o WorkflowOptions, c WorkflowCall) (WorkflowResult, error) {
	o.Run.Parent, o.Run.Source = c.Task.Run().ID, nil
	t, name, given := c.Task, c.Effect.References["run"].Name, c.Effect.Arguments.GetAttr("inputs")
	result := WorkflowResult{Run: childRun(t)}
	w := d.Project.Workflows[name]
	if w == nil {
		return result, fmt.Errorf("there is no workflow %q", name)
	}
	if err := o.may(c, access.Run, name); err != nil {
		return result, err
	}
	child := flow.Compile(d.Project, w)
	inputs, problem := child.InputsOfChild(given, o.Inputs)
	if problem != nil {
		return result, &actions.Error{Name: problem.Name, Cause: problem.Cause}
	}
	o.Run.ID, o.Inputs, o.Reuse, o.Began, o.Watch = result.Run, inputs, nil, nil, nil
	o.Hard, o.Drain = t.Left(), t.Drained()
	o.Run.Summary = "workflow " + w.Name + " of run " + o.Run.Parent
	ctx, cancel := t.childContext(ctx)
	defer cancel()
	steps, e := r.newWorkflow(child, o)
	run, diags := r.executeOnce(ctx, e)
	if run.Status == Interrupted {
		result.Detached = true
		return result, nil
	}
	if diags.HasErrors() && run.Status == "" {
		return WorkflowResult{}, actions.Errorf(DeniedError, "%s", diags.Err())
	}
	if diags.HasErrors() {
		return result, diags.Err()
	}
	if run.Status != Succeeded {
		failure := "Tutti.WorkflowFailed"
		if run.Status == Cancelled {
			failure = "Tutti.Cancelled"
		}
		return result, actions.Errorf(failure, "The workflow %q (run %s) has %s: %s", w.Name, run.ID, run.Status, run.Problem)
	}
	result.Outputs = steps.machine.Result().Outputs
	return result, nil
}

func asError[T error](err error, into *T) bool { return errors.As(err, into) }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func newArtifact(path string, data []byte) Artifact {
	return Artifact{Path: path, Digest: digestOf(data), Size: int64(len(data))}
}

// stackActions are the steps that are about stacks.
func stackActions(d *flow.Definition, o WorkflowOptions, into map[string]WorkflowAction) {
	s := o.Stacks
	request := func(c WorkflowCall) StackRequest {
		req := StackRequest{
			Stack: c.Effect.References["stack"].Name, Inputs: cty.NullVal(cty.DynamicPseudoType), Refresh: true,
			Run: childRun(c.Task), Parent: c.Task.Run().ID, Step: c.Effect.Key, Actor: c.Task.Run().Actor, Authority: c.Task.Run().Authority,
			Overrides: c.Task.Run().Overrides, Variables: o.Inputs, Log: c.Logs("stdout"), Asked: c.Asked,
		}
		if version := c.Effect.Versions.New; version != 0 {
			req.Secrets = map[string]int{d.Workflow.Rotates: version}
		}
		if c.Arguments == cty.NilVal {
			return req
		}
		for name, v := range c.Arguments.AsValueMap() {
			if v.IsNull() {
				continue
			}
			switch name {
			case "inputs":
				req.Inputs = c.Effect.Arguments.GetAttr("inputs") // with its marks
			case "targets":
				req.Targets = textsOf(v)
			case "excludes":
				req.Excludes = textsOf(v)
			case "replaces":
				req.Replaces = textsOf(v)
			case "stacks":
				req.Stacks = textsOf(v)
			case "destroy":
				req.Destroy = v.True()
			case "refresh":
				req.Refresh = v.True()
			case "refresh_only":
				req.RefreshOnly = v.True()
			case "given":
				req.Given = v.AsString()
			case "configuration":
				req.Configuration = v.AsString()
			case "directory":
				req.Directory = v.AsString()
			case "plan":
				req.Plan = v.AsString()
			case "rollback":
				req.Rollback = v.AsString()
			}
		}
		return req
	}
	into[flow.StackOutputs] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		v, err := s.Outputs(ctx, c.Effect.References["stack"].Name)
		return WorkflowResult{Outputs: v}, err
	}
	into["plan"] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		req := request(c)
		planned := []string{req.Stack}
		if req.Stack == "" {
			// Which stacks another project has, [Stacks.Plan] finds out, and asks.
			if len(req.Stacks) == 0 && !req.Elsewhere() {
				req.Stacks = slices.Sorted(maps.Keys(d.Project.Stacks))
			}
			planned = req.Stacks
		}
		for _, stack := range planned {
			if err := o.may(c, access.Plan, stack); err != nil {
				return WorkflowResult{}, err
			}
		}
		p, err := s.Plan(ctx, req)
		if err != nil {
			return WorkflowResult{}, err
		}
		stacks := cty.ListValEmpty(cty.String)
		if len(p.Stacks) > 0 {
			names := make([]cty.Value, len(p.Stacks))
			for i, name := range p.Stacks {
				names[i] = cty.StringVal(name)
			}
			stacks = cty.ListVal(names)
		}
		return WorkflowResult{Outputs: cty.ObjectVal(map[string]cty.Value{
			"digest": cty.StringVal(p.Digest), "add": cty.NumberIntVal(int64(p.Add)), "change": cty.NumberIntVal(int64(p.Change)),
			"destroy": cty.NumberIntVal(int64(p.Destroy)), "changes": cty.BoolVal(p.Changes), "stacks": stacks,
		})}, nil
	}
	into["apply"] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		req := request(c)
		if err := o.may(c, access.Apply, req.Stack); err != nil {
			return WorkflowResult{}, err
		}
		v, err := s.Apply(ctx, req)
		return stackResult(v, req, err)
	}
	into["destroy"] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		req := request(c)
		req.Destroy = true
		if err := o.may(c, access.Destroy, req.Stack); err != nil {
			return WorkflowResult{}, err
		}
		_, err := s.Apply(ctx, req)
		return stackResult(cty.EmptyObjectVal, req, err)
	}
	into["rollback"] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		of := c.Effect.Run
		if v := c.Arguments.GetAttr("run"); !v.IsNull() {
			of = v.AsString()
		}
		if of == "" {
			return WorkflowResult{}, actions.Errorf(flow.EvaluationError, "There is no run to roll back: say which, or use rollback to undo a step that applies something.")
		}
		req := request(c)
		return stackResult(cty.EmptyObjectVal, req, s.Rollback(ctx, req, of))
	}
	into["invoke"] = func(ctx context.Context, c WorkflowCall) (WorkflowResult, error) {
		if err := o.may(c, access.Apply, c.Effect.References["stack"].Name); err != nil {
			return WorkflowResult{}, err
		}
		err := s.Invoke(ctx, request(c), c.Arguments.GetAttr("action").AsString(), c.Effect.Arguments.GetAttr("config"))
		return WorkflowResult{Outputs: cty.EmptyObjectVal}, err
	}
}

// textsOf is a list of texts; null is an empty one.
func textsOf(list cty.Value) (out []string) {
	for _, v := range list.AsValueSlice() {
		if v.IsNull() {
			v = cty.StringVal("")
		}
		out = append(out, v.AsString())
	}
	return out
}

// may asks whether whom the run is by may do something to a stack or a workflow.
func (o *WorkflowOptions) may(c WorkflowCall, verb access.Verb, resource string) error {
	if o.Authorize == nil {
		return nil
	}
	if err := o.Authorize(c.Task.Run(), verb, o.Environment, resource); err != nil {
		return actions.Errorf(ForbiddenError, "%s", err)
	}
	return nil
}

// The errors of steps that must not be done: ForbiddenError where whom the run is
// by may not do it, DeniedError where a policy is against it, StaleError where objects
// have changed since the plan was made.
const (
	StaleError     = "Tutti.StalePlan"
	ForbiddenError = "Tutti.Forbidden"
	DeniedError    = "Tutti.Denied"
)

func stackResult(v cty.Value, req StackRequest, err error) (WorkflowResult, error) {
	if errors.Is(err, ErrDetached) {
		return WorkflowResult{Detached: true}, nil
	}
	return WorkflowResult{Outputs: v, Run: req.Run}, err
}
