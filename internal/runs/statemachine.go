package runs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// The resources that tasks of state machines can call without a binding. Their
// arguments are those of the actions of the same name.
const (
	ExecResource = "tutti:exec"
	HTTPResource = "tutti:http"
)

// StateMachine does the steps of a machine in Amazon States Language.
type StateMachine struct {
	Machine *asl.Machine
	// Dir is where commands work and relative paths start; buckets are folders
	// in it. Empty means the current one.
	Dir string
	// Bindings say what resources mean that do not exist here.
	Bindings []*projects.Binding
	// Definition finds the definition of another state machine by its name; nil
	// where there are none.
	Definition func(name string) ([]byte, error)
	// Runner starts child executions; Run has what their runs take from this one.
	Runner *Runner
	Run    Run
	Hard   <-chan struct{}
	// Project and Options are what bindings need to run workflows of the project
	// and actions of its providers; Project is nil where there is none.
	Project *flow.Definition
	Options WorkflowOptions
}

var _ Steps = (*StateMachine)(nil)

// About implements [Steps].
func (s *StateMachine) About(step int) About {
	e := s.Machine.Effect(step)
	out := About{Ended: !s.Machine.Waits(step), Until: e.Until, Token: e.Kind == asl.Callback || e.Kind == asl.Activity}
	if e.Kind == asl.Callback {
		out.Waits = ForSignal
	}
	return out
}

// Step implements [Steps]. Repeatable are calls that say so themselves, and
// those that only read.
func (s *StateMachine) Step(step int) Step {
	e := s.Machine.Effect(step)
	out := Step{Name: e.State, Action: e.Resource, Timeout: e.Timeout, Heartbeat: e.Heartbeat, Since: e.Since, Repeatable: true}
	switch e.Kind {
	case asl.Callback, asl.Activity:
		out.Token = e.Token
		return out
	case asl.Call:
		out.Repeatable = s.repeatable(e)
	}
	out.Job = func(ctx context.Context, t *Task) Ended { return s.do(ctx, t, e) }
	return out
}

func (s *StateMachine) repeatable(e asl.Effect) bool {
	var arguments struct {
		Idempotent bool   `json:"idempotent"`
		Method     string `json:"method"`
	}
	if b := s.binding(e); b != nil {
		return projects.Actions[b.Action.Kind].Idempotent
	}
	if json.Unmarshal(e.Input, &arguments) != nil {
		return false
	}
	reads := arguments.Method == "" || arguments.Method == http.MethodGet || arguments.Method == http.MethodHead
	return arguments.Idempotent || e.Resource == HTTPResource && reads
}

// Failure implements [Steps].
func (s *StateMachine) Failure(step int, name, cause string) json.RawMessage {
	switch name {
	case LostError:
		name = flow.UnknownOutcome
		cause = fmt.Sprintf("The process that ran this task (%s) died, and what became of it is not known. Set \"idempotent\": true in its arguments if it may be done again.", s.Machine.Effect(step).Resource)
	case TimeoutError:
		name = asl.TimedOut
	case HeartbeatError:
		name = asl.HeartbeatMissed
	}
	return encode(asl.Outcome{Error: name, Cause: cause})
}

// Success implements [Steps].
func (s *StateMachine) Success(_ int, data json.RawMessage) json.RawMessage {
	return encode(asl.Outcome{Output: data})
}

// Verdict implements [Steps].
func (s *StateMachine) Verdict() (Status, string) {
	result := s.Machine.Result()
	switch result.Status {
	case "SUCCEEDED":
		return Succeeded, ""
	case "ABORTED":
		return Cancelled, ""
	case "TIMED_OUT":
		return Failed, "States.Timeout"
	}
	return Failed, strings.TrimSuffix(result.Error+": "+result.Cause, ": ")
}

// do carries an effect out.
func (s *StateMachine) do(ctx context.Context, t *Task, e asl.Effect) Ended {
	var out asl.Outcome
	var err error
	switch e.Kind {
	case asl.Run:
		var detached bool
		if out, detached, err = s.child(ctx, t, e.Child); detached {
			return Ended{Detached: true}
		}
	case asl.Read:
		out.Output, err = s.read(e.Reading)
	case asl.Write:
		err = s.write(e.Writing)
	default:
		out.Output, err = s.call(ctx, t, e)
	}
	switch {
	case err == nil:
		return Ended{Kind: workflow.StepSucceeded, Data: encode(out)}
	case errors.Is(err, ErrDetached):
		return Ended{Detached: true}
	}
	out.Error, out.Cause = "States.TaskFailed", err.Error()
	var known *actions.Error
	if errors.As(err, &known) {
		out.Error, out.Cause = known.Name, known.Cause
	}
	return Ended{Kind: workflow.StepFailed, Data: encode(out)}
}

// binding is what a resource means here; nil where nothing says so.
func (s *StateMachine) binding(e asl.Effect) *projects.Binding {
	list := make([]asl.Binding, len(s.Bindings))
	for i, b := range s.Bindings {
		list[i] = asl.Binding{Pattern: b.Resource, Target: fmt.Sprint(i)}
	}
	found, ok := asl.Bound(list, e.Target)
	if !ok {
		return nil
	}
	for i, b := range list {
		if b == found {
			return s.Bindings[i]
		}
	}
	return nil
}

// call carries out a task: what is bound to its resource, or an action of ours.
func (s *StateMachine) call(ctx context.Context, t *Task, e asl.Effect) (json.RawMessage, error) {
	if b := s.binding(e); b != nil {
		return s.bound(ctx, t, e, b)
	}
	kind, ours := strings.CutPrefix(e.Resource, "tutti:")
	action := actions.Builtin()[kind]
	if !ours || action == nil {
		return nil, actions.Errorf("States.TaskFailed", "Nothing is bound to the resource %q: a bindings block of a workflow can say what it means.", e.Resource)
	}
	args, err := argumentsOf(kind, e.Input)
	if err != nil {
		return nil, err
	}
	v, err := action(ctx, s.actionCall(ctx, t, args))
	if err != nil {
		return nil, err
	}
	return resultOf(kind, v, false)
}

func (s *StateMachine) actionCall(ctx context.Context, t *Task, args cty.Value) actions.Call {
	var guard *egress.Guard
	if s.Runner != nil {
		guard = s.Runner.Egress
	}
	return actions.Call{
		Egress:    guard,
		Arguments: args, Key: t.Key, Dir: s.Dir, Logs: t.Log, Beat: t.Beat, Asked: t.Asked(),
		Artifact: func(path string, data []byte) error { return t.Artifact(ctx, newArtifact(path, data), data) },
	}
}

// argumentsOf reads the arguments of an action from JSON, and refuses those that
// mean nothing.
func argumentsOf(kind string, input json.RawMessage) (cty.Value, error) {
	wrong := func(format string, args ...any) (cty.Value, error) {
		return cty.NilVal, actions.Errorf("States.Runtime", "The arguments of tutti:"+kind+" are wrong: "+format, args...)
	}
	schema := projects.Actions[kind].Arguments
	var given map[string]json.RawMessage
	if err := json.Unmarshal(input, &given); err != nil {
		return wrong("they are no object.")
	}
	for _, name := range sortedNames(given) {
		if _, known := schema[name]; !known {
			return wrong("unknown field %q.", name)
		}
	}
	attrs := map[string]cty.Value{}
	for name, a := range schema {
		raw, ok := given[name]
		if !ok && a.Required {
			return wrong("%q is missing.", name)
		}
		v, err := valueOf(raw)
		if err == nil {
			v, err = convert.Convert(v, a.Type)
		}
		if err != nil {
			return wrong("%q: %s.", name, err)
		}
		attrs[name] = v
	}
	return cty.ObjectVal(attrs), nil
}

// valueOf reads a JSON value with the type it implies.
func valueOf(raw json.RawMessage) (cty.Value, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return cty.NullVal(cty.DynamicPseudoType), nil
	}
	ty, err := ctyjson.ImpliedType(raw)
	if err != nil {
		return cty.NilVal, err
	}
	return ctyjson.Unmarshal(raw, ty)
}

// resultOf is what a state machine gets of an action: the answer of a request
// with its body as a value where it is one; of a command that stands for a
// function, what the function returned.
func resultOf(kind string, v cty.Value, function bool) (json.RawMessage, error) {
	if v == cty.NilVal {
		return json.RawMessage("null"), nil
	}
	if v.Type().IsObjectType() && !v.IsNull() {
		attrs := v.AsValueMap()
		switch kind {
		case "http":
			body := attrs["body"]
			if !attrs["json"].IsNull() {
				body = attrs["json"]
			}
			if function {
				v = body
				break
			}
			v = cty.ObjectVal(map[string]cty.Value{"status": attrs["status"], "body": body})
		case "exec":
			if !function {
				break
			}
			if v = attrs["result"]; !v.IsNull() {
				break
			}
			var err error
			if v, err = valueOf(json.RawMessage(attrs["stdout"].AsString())); err != nil {
				v = attrs["stdout"]
			}
		}
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return nil, fmt.Errorf("the result cannot be written as JSON: %w", err)
	}
	return data, nil
}

// bound carries out what a resource is bound to. Expressions of the binding see
// the arguments of the task as input, and its token as token.
func (s *StateMachine) bound(ctx context.Context, t *Task, e asl.Effect, b *projects.Binding) (json.RawMessage, error) {
	raw := e.Input
	if e.Payload != nil {
		raw = e.Payload
	}
	input, err := valueOf(raw)
	if err != nil {
		return nil, fmt.Errorf("the arguments of the task are not JSON: %w", err)
	}
	scope := &hcl.EvalContext{
		Functions: functions.Table(functions.Options{BaseDir: s.Dir}),
		Variables: map[string]cty.Value{
			"input": input, "token": cty.StringVal(e.Token),
			"resource": cty.ObjectVal(map[string]cty.Value{
				"arn": cty.StringVal(e.Resource), "function": cty.StringVal(e.Target.Function), "action": cty.StringVal(e.Target.Action),
			}),
		},
	}
	secrets, texts, err := s.boundSecrets(ctx, t, b)
	if err != nil {
		return nil, err
	}
	scope.Variables["secret"] = secrets
	mask := actions.NewMask(texts)
	args, problem := flow.Arguments(b.Action, scope)
	if problem != nil {
		if len(texts) > 0 {
			problem = problem.Withheld()
		}
		return nil, actions.Errorf("States.Runtime", "%s", problem.Cause)
	}
	kind := b.Action.Kind
	if len(texts) > 0 && secretsRefused[kind] {
		return nil, actions.Errorf("States.Runtime", "The arguments of %s are kept in clear or in a journal: they must not have secrets.", kind)
	}
	action := builtinActions(s.Runner, s.Project, s.Options)[kind]
	if action == nil {
		return nil, fmt.Errorf("the action %q cannot be carried out here", kind)
	}
	if attrs := args.AsValueMap(); kind == "exec" && attrs["stdin"].IsNull() {
		attrs["stdin"] = cty.StringVal(string(raw)) // the event, as functions get it
		args = cty.ObjectVal(attrs)
	}
	call := s.actionCall(ctx, t, args)
	call.Secrets = texts
	result, err := action(ctx, WorkflowCall{
		Call: call, Task: t,
		Effect: flow.Effect{Key: e.State, Action: kind, Arguments: args, References: b.Action.References},
	})
	switch {
	case result.Detached:
		return nil, ErrDetached
	case err != nil:
		return nil, err
	}
	raw, err = resultOf(kind, result.Outputs, true)
	if len(texts) > 0 && err == nil {
		// The machine knows of no secrets: what comes back must not have them.
		raw = json.RawMessage(mask.Text(string(raw)))
	}
	return raw, err
}

// child carries out another state machine as a run of its own, or goes on with
// it.
func (s *StateMachine) child(ctx context.Context, t *Task, c *asl.Child) (asl.Outcome, bool, error) {
	name := c.StateMachine[strings.LastIndexByte(c.StateMachine, ':')+1:]
	o := s.Options
	o.Environment = t.Run().Key.Environment
	if err := o.may(WorkflowCall{Task: t}, access.Run, name); err != nil {
		return asl.Outcome{}, false, err
	}
	source, err := s.definitionOf(ctx, childRun(t), name)
	if err != nil {
		return asl.Outcome{}, false, actions.Errorf("StepFunctions.StateMachineDoesNotExistException", "State Machine Does Not Exist: '%s': %s", c.StateMachine, err)
	}
	definition, err := asl.Parse(source)
	if err != nil {
		return asl.Outcome{}, false, fmt.Errorf("the state machine %q: %w", name, err)
	}
	machine := asl.NewMachine(definition)
	steps := *s
	steps.Machine = machine
	e := Execution{Definition: source, Machine: machine, Steps: &steps, Hard: s.Hard}
	e.Run = s.Run
	e.Run.Parent = ""
	e.Run.ID, e.Run.Kind, e.Run.Summary = childRun(t), WorkflowKind, "state machine "+name+" of run "+t.Run().ID
	if c.Wait {
		e.Run.Parent = t.Run().ID
	}
	steps.Run = e.Run
	e.Admit = o.Admits(name, nil)
	e.Start, e.Sensitive = encode(asl.Start{Name: c.Name, Input: c.Input, Secret: t.Key}), true
	if !c.Wait {
		return asl.Outcome{Output: json.RawMessage("null")}, false, s.Runner.background(ctx, e)
	}
	e.Hard, e.Drain = t.Left(), t.Drained()
	ctx, cancel := t.childContext(ctx)
	defer cancel()
	run, diags := s.Runner.executeOnce(ctx, e)
	if !run.Status.Ended() {
		switch run.Status {
		case Interrupted:
			return asl.Outcome{}, true, nil
		case "":
			return asl.Outcome{}, false, actions.Errorf(DeniedError, "%s", diags.Err())
		}
		return asl.Outcome{}, false, diags.Err()
	}
	result := machine.Result()
	out := asl.Outcome{Status: result.Status}
	if result.Status == "SUCCEEDED" {
		out.Output = encode(result.Output)
		return out, false, nil
	}
	return out, false, &actions.Error{Name: result.Error, Cause: result.Cause}
}

// definitionOf is the definition of a child execution: what its run is pinned to
// where there is one already, or that of the name.
func (s *StateMachine) definitionOf(ctx context.Context, id, name string) ([]byte, error) {
	if run, err := s.Runner.Store.Run(ctx, id); err == nil {
		return s.Runner.Store.Blob(ctx, run.Blob)
	}
	if s.Definition == nil {
		return nil, fmt.Errorf("there are no other state machines here")
	}
	return s.Definition(name)
}

// background carries out a run beside the one that started it. It is on disk
// when background returns.
func (r *Runner) background(ctx context.Context, e Execution) error {
	carryOut := r.Execute
	if run, err := r.Store.Run(ctx, e.Run.ID); err == nil {
		if run.Status.Ended() || run.Status == Running {
			return nil
		}
		carryOut = r.Continue // it was started before a crash, and maybe did not begin
	}
	began := make(chan struct{})
	e.Began = func(Run) { close(began) }
	failed := make(chan error, 1)
	r.others.Add(1)
	go func() {
		defer r.others.Done()
		_, diags := carryOut(context.WithoutCancel(ctx), e)
		failed <- diags.Err()
	}()
	select {
	case <-began:
		return nil
	case err := <-failed:
		return err
	}
}

// Wait returns when all runs have ended that others started and did not wait
// for.
func (r *Runner) Wait() { r.others.Wait() }

// object is the file that stands for an object of a bucket. Keys cannot lead out
// of the bucket, nor the bucket out of the directory.
func (s *StateMachine) object(bucket, key string) (string, error) {
	clean := path.Clean("/" + key)
	if bucket == "" || strings.ContainsAny(bucket, `/\`) || strings.HasPrefix(bucket, ".") {
		return "", fmt.Errorf("the bucket %q is not the name of a folder", bucket)
	}
	return filepath.Join(s.Dir, bucket, filepath.FromSlash(clean)), nil
}

// read gets what the items of a Map are read from.
func (s *StateMachine) read(r *asl.Reading) (json.RawMessage, error) {
	failed := func(err error) (json.RawMessage, error) {
		return nil, actions.Errorf("States.ItemReaderFailed", "%s", err)
	}
	if !r.List {
		name, err := s.object(r.Bucket, r.Key)
		if err != nil {
			return failed(err)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return failed(err)
		}
		return encode(string(data)), nil
	}
	root, err := s.object(r.Bucket, "")
	if err != nil {
		return failed(err)
	}
	type object struct {
		Key, Etag, StorageClass string
		Size, LastModified      int64
	}
	list := []object{}
	err = filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if key = filepath.ToSlash(key); !strings.HasPrefix(key, r.Prefix) {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			list = append(list, object{Key: key, StorageClass: "STANDARD", Size: info.Size(), LastModified: info.ModTime().Unix()})
		}
		return err
	})
	if err != nil {
		return failed(err)
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Key < list[b].Key })
	if r.Max > 0 && len(list) > r.Max {
		list = list[:r.Max]
	}
	return encode(list), nil
}

// write stores the results of a Map.
func (s *StateMachine) write(w *asl.Writing) error {
	for _, name := range sortedNames(w.Files) {
		file, err := s.object(w.Bucket, path.Join(w.Prefix, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o755)
		}
		if err == nil {
			err = os.WriteFile(file, []byte(w.Files[name]), 0o644)
		}
		if err != nil {
			return actions.Errorf("States.ResultWriterFailed", "%s", err)
		}
	}
	return nil
}

func sortedNames[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// MachineStart is the start of an execution of a state machine that nobody can
// guess the tokens of.
func MachineStart(name string, input json.RawMessage, secret string) json.RawMessage {
	return encode(asl.Start{Name: name, Input: input, Secret: secret})
}
