package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// serverWork does what the API of a server asks for. Requests come side by side:
// each works with a program of its own, so that none sees another's files.
type serverWork struct {
	op       *operation // of the project's root
	runner   *runs.Runner
	observer *stackObserver
}

var _ api.Work = (*serverWork)(nil)

// fresh is the program for one request or run: it has read nothing yet.
func (a *App) fresh() *App {
	return &App{In: strings.NewReader(""), Out: a.Out, Err: a.Err, OriginalDir: a.OriginalDir, noColor: a.noColor, acting: a.acting, egress: a.egress, command: a.command, refusals: a.refusals}
}

// root is the project's root for one request.
func (w *serverWork) root() *operation {
	p := w.op.aside(w.op.key())
	p.app = w.op.app.fresh()
	return &operation{project: p, view: silentView{}}
}

// Project implements [api.Work].
func (w *serverWork) Project(context.Context) (*projects.Project, error) {
	return loadedProject(w.op.rootDir())
}

// Authorize implements [api.Work].
func (w *serverWork) Authorize(ctx context.Context, who access.Identity, verb access.Verb, environment, resource string) error {
	if diags := w.root().app.mayBe(who, verb, environment, resource, api.RouteOf(ctx)); diags.HasErrors() {
		return fmt.Errorf("%w: %w", api.ErrForbidden, diags.Err())
	}
	return nil
}

// Sight implements [api.Work].
func (w *serverWork) Sight(ctx context.Context, who access.Identity) (api.Sight, error) {
	policy, diags := w.root().app.policy()
	if diags.HasErrors() {
		return api.Sight{}, diags.Err()
	}
	place := func(environment, resource string) bool {
		return policy.Decide(who, access.Read, environment, resource).Allowed
	}
	environments := sync.OnceValue(func() []string {
		list, _ := w.runner.Store.Environments(ctx, "") // without them there is less to see
		if p, err := w.Project(ctx); err == nil {
			list = append(list, sortedKeys(p.Environments)...)
		}
		return append(list, defaultEnv)
	})
	somewhere := func(resource string) bool {
		return slices.ContainsFunc(environments(), func(environment string) bool { return place(environment, resource) })
	}
	return api.Sight{Place: place, Somewhere: somewhere, Audit: policy.Decide(who, access.Audit, "", "").Allowed}, nil
}

// Resources implements [api.Work].
func (w *serverWork) Resources(ctx context.Context, run runs.Run) ([]string, error) {
	names, diags := w.root().app.resourcesOf(ctx, w.runner.Store, run)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	// A change of a stack is a run of a workflow that nobody declares: it is about
	// the stack.
	if len(names) == 1 && names[0] == changeName && run.Machine() {
		return w.changedStacks(ctx, run)
	}
	return names, nil
}

// changedStacks names the stack that a change is of.
func (w *serverWork) changedStacks(ctx context.Context, run runs.Run) ([]string, error) {
	source, err := w.runner.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, err
	}
	d, diags := runs.DecodeDefinition(source)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	for _, s := range d.Workflow.Steps {
		for _, r := range s.Action.References {
			switch {
			case r.Kind != "stack":
			case d.Project.Stacks[r.Name] != nil && isDirectory(d.Project.Stacks[r.Name]):
				return []string{""}, nil
			default:
				return []string{r.Name}, nil
			}
		}
	}
	return []string{changeName}, nil
}

// AuthorizeRun implements [api.Work].
func (w *serverWork) AuthorizeRun(ctx context.Context, who access.Identity, verb access.Verb, run runs.Run) error {
	names, diags := w.root().app.resourcesOf(ctx, w.runner.Store, run)
	if diags.HasErrors() {
		return diags.Err()
	}
	for _, name := range names {
		if err := w.Authorize(ctx, who, verb, run.Key.Environment, name); err != nil {
			return err
		}
	}
	return nil
}

// AuthorizeNotify implements [api.Work].
func (w *serverWork) AuthorizeNotify(ctx context.Context, who access.Identity, verb access.Verb, name string) error {
	environment, diags := w.root().environmentOfNotify(name)
	if diags.HasErrors() {
		return diags.Err()
	}
	return w.Authorize(ctx, who, verb, environment, name)
}

// Roles implements [api.Work].
func (w *serverWork) Roles(who access.Identity) ([]string, bool, error) {
	policy, diags := w.root().app.policy()
	if diags.HasErrors() || !policy.Declared() {
		return nil, false, diags.Err()
	}
	return policy.RolesOf(who), true, nil
}

// Start implements [api.Work].
func (w *serverWork) Start(ctx context.Context, who access.Identity, s api.Start) (runs.Run, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return runs.Run{}, err
	}
	declared := p.Workflows[s.Workflow]
	if declared == nil {
		return runs.Run{}, fmt.Errorf("%w: the project declares no workflow %q", api.ErrNotFound, s.Workflow)
	}
	op := w.root()
	environment, diags := op.chooseEnvironment(p, s.Environment)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	if err := w.Authorize(ctx, who, access.Run, environment, s.Workflow); err != nil {
		return runs.Run{}, err
	}
	op.environment = environment
	run := runs.Run{ID: s.ID, Kind: runs.WorkflowKind, Key: op.key(), Actor: who.Subject, Authority: who.Authority(), Program: programVersion(), Summary: "workflow " + s.Workflow, Source: s.Source}
	if declared.Definition != "" {
		if diags := checkWorkflows(p, []string{s.Workflow}); diags.HasErrors() {
			return runs.Run{}, diags.Err()
		}
		input, err := json.Marshal(s.Inputs)
		if err != nil || s.Inputs == nil {
			input = []byte("{}")
		}
		_, e, done, diags := op.machineExecution(w.runner, runs.EncodeDefinition(p, s.Workflow))
		if diags.HasErrors() {
			return runs.Run{}, diags.Err()
		}
		defer done()
		e.Run = run
		e.Admit = (&runs.WorkflowOptions{Admit: op.admit}).Admits(s.Workflow, nil)
		e.Start, e.Sensitive = runs.MachineStart("", input, runs.NewID(time.Now())), true
		return admitted(w.runner.Enqueue(ctx, e))
	}
	d, diags := flow.New(p, s.Workflow, stackOutputNames(p))
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	vars := &variableOptions{}
	for _, name := range sortedKeys(s.Inputs) {
		vars.given = append(vars.given, variableFlag{text: name + "=" + expressionOf(s.Inputs[name])})
	}
	inputs, diags := workflowInputs(p, d, environment, vars)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	return admitted(w.runner.EnqueueWorkflow(ctx, d, runs.WorkflowOptions{Run: run, Environment: environment, Inputs: inputs, Admit: op.admit}))
}

// admitted tells what a policy forbids from what went wrong.
func admitted(made runs.Run, diags diag.List) (runs.Run, error) {
	if made.Status == "" && diags.HasErrors() {
		return made, fmt.Errorf("%w: %w", api.ErrForbidden, diags.Err())
	}
	return made, diags.Err()
}

// expressionOf is a JSON value as -var takes it: texts as they are, everything
// else as an expression, in which nothing of a text is evaluated.
func expressionOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(value))
}

// Change implements [api.Work]: a change is a run of a workflow that is made for
// it.
func (w *serverWork) Change(ctx context.Context, who access.Identity, c api.Change) (runs.Run, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return runs.Run{}, err
	}
	plain := c.Stack == "" && len(p.Stacks) == 0
	if !plain && p.Stacks[c.Stack] == nil {
		return runs.Run{}, fmt.Errorf("%w: the project declares no stack %q", api.ErrNotFound, c.Stack)
	}
	op := w.root()
	environment, diags := op.chooseEnvironment(p, c.Environment)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	verb := access.Plan
	if c.Apply {
		verb = access.Apply
		if c.Destroy {
			verb = access.Destroy
		}
	}
	if err := w.Authorize(ctx, who, verb, environment, c.Stack); err != nil {
		return runs.Run{}, err
	}
	if c.Rollback != "" {
		undone, err := w.runner.Store.Run(ctx, c.Rollback)
		if err != nil {
			return runs.Run{}, err
		}
		if undone.Machine() || undone.Key != (states.Key{Stack: c.Stack, Environment: environment}) {
			return runs.Run{}, fmt.Errorf("%w: run %s changed nothing of this stack itself: roll back the run of its step that did", api.ErrConflict, undone.ID)
		}
		if !undone.Status.Ended() {
			return runs.Run{}, fmt.Errorf("%w: run %s is %s: cancel it or let it end first", api.ErrConflict, undone.ID, undone.Status)
		}
	}
	made, summary, diags := changeWorkflow(p, c)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	d := flow.Compile(made, made.Workflows[changeName])
	inputs, diags := workflowInputs(made, d, environment, &variableOptions{})
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	op.environment = environment
	run := runs.Run{ID: c.ID, Kind: runs.WorkflowKind, Key: op.key(), Actor: who.Subject, Authority: who.Authority(), Program: programVersion(), Summary: summary, Source: c.Source}
	started, diags := w.runner.EnqueueWorkflow(ctx, d, runs.WorkflowOptions{Run: run, Environment: environment, Inputs: inputs})
	return started, diags.Err()
}

// changeName is what the workflow of a change is called. It is no name that a
// project could give one of its own in a file of the name below.
const (
	changeName = "change"
	// directoryName is the stack that stands for a plain directory there.
	directoryName = "directory"
	changeFile    = ".change" + projects.Suffix
)

// isDirectory reports whether a stack stands for a plain directory, in a project
// that was made for a change of it. Its state is the directory's own.
func isDirectory(s *projects.Stack) bool {
	return s.Name == directoryName && filepath.Base(s.DeclRange.Filename) == changeFile
}

// literal is text as an expression in which nothing is evaluated: who asks for a
// change may say what, and not what the project's files would do.
func literal(text string) string {
	return strconv.Quote(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text))
}

// changeWorkflow adds the workflow of a change to a project's files.
func changeWorkflow(p *projects.Project, c api.Change) (*projects.Project, string, diag.List) {
	if p.Workflows[changeName] != nil {
		return nil, "", diag.ErrorAt(p.Workflows[changeName].DeclRange, "Name is taken", "Changes of stacks are workflows called %q: give this one another name.", changeName)
	}
	var b strings.Builder
	if c.Stack == "" {
		c.Stack = directoryName
		fmt.Fprintf(&b, "stack %q {\n  source = \"./\"\n}\n", c.Stack)
	}
	stack, kind := "stack."+c.Stack, "apply"
	if c.Destroy {
		kind = "destroy"
	}
	fmt.Fprintf(&b, "workflow %q {\n", changeName)
	plan := literal(c.Plan)
	if c.Plan == "" {
		fmt.Fprintf(&b, "  step \"plan\" {\n    plan {\n      stack   = %s\n      destroy = %t\n      refresh = %t\n", stack, c.Destroy, c.Refresh)
		if len(c.Targets) > 0 {
			quoted := make([]string, len(c.Targets))
			for i, t := range c.Targets {
				quoted[i] = literal(t)
			}
			fmt.Fprintf(&b, "      targets = [%s]\n", strings.Join(quoted, ", "))
		}
		if c.Rollback != "" {
			fmt.Fprintf(&b, "      rollback = %s\n", literal(c.Rollback))
		}
		b.WriteString("    }\n  }\n")
		plan = "step.plan.outputs.digest"
	}
	switch {
	case !c.Apply:
		kind = "plan"
	case c.Repair:
		kind = "repair"
	}
	if c.Apply && c.Approve {
		fmt.Fprintf(&b, "  step \"approval\" {\n    approval {\n      plan = %s\n    }\n  }\n", plan)
		plan = "step.approval.outputs.plan"
	}
	if c.Apply {
		fmt.Fprintf(&b, "  step \"apply\" {\n    apply {\n      stack = %s\n      plan  = %s\n    }\n  }\n", stack, plan)
	}
	b.WriteString("}\n")
	if c.Rollback != "" {
		return parsedChange(p, b.String(), "roll back run "+c.Rollback)
	}
	return parsedChange(p, b.String(), kind+" "+strings.TrimPrefix(c.Stack, directoryName))
}

// parsedChange is a project with the file of a change.
func parsedChange(p *projects.Project, text, summary string) (*projects.Project, string, diag.List) {
	files := map[string][]byte{filepath.Join(p.Dir, changeFile): []byte(text)}
	for name, src := range p.Files {
		files[name] = src
	}
	made, diags := projects.Parse(p.Dir, files)
	return made, summary, diags
}

// Retry implements [api.Work].
func (w *serverWork) Retry(ctx context.Context, who access.Identity, r api.Retry) (runs.Run, error) {
	op := w.root()
	op.opened = w.runner.Store.(*sqlite.Store)
	p, diags := op.past(ctx, r.Run.ID)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	if err := w.Authorize(ctx, who, access.Run, r.Run.Key.Environment, p.definition.Workflow.Name); err != nil {
		return runs.Run{}, err
	}
	reuse, diags := p.reusable(r.From)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	run := runs.Run{ID: r.ID, Kind: runs.WorkflowKind, Key: r.Run.Key, Actor: who.Subject, Authority: who.Authority(), Program: programVersion(), Summary: "workflow " + p.definition.Workflow.Name + ", again after run " + r.Run.ID, Source: r.Run.Source}
	started, diags := w.runner.EnqueueWorkflow(ctx, p.definition, runs.WorkflowOptions{Run: run, Environment: p.environment, Inputs: p.inputs, Reuse: reuse, Admit: op.admit})
	return admitted(started, diags)
}

// Resume implements [api.Work]: the driver of the server finds it.
func (w *serverWork) Resume(context.Context, runs.Run) error { return nil }

// Machine implements [api.Work].
func (w *serverWork) Machine(ctx context.Context, run runs.Run) (*flow.Machine, error) {
	if !run.Machine() || run.Kept() != nil {
		return nil, nil
	}
	source, err := w.runner.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, err
	}
	d, diags := w.root().definitionOf(source)
	if diags.HasErrors() || d == nil || d.Workflow.Definition != "" {
		return nil, diags.Err()
	}
	return flow.NewMachine(d), nil
}

// Decide implements [api.Work].
func (w *serverWork) Decide(ctx context.Context, who access.Identity, run runs.Run, d api.StepDecision) error {
	if run.Status.Ended() {
		return runs.ErrEnded
	}
	m, diags := w.runner.ReplayWorkflow(ctx, run)
	if diags.HasErrors() {
		return diags.Err()
	}
	roles, declared, err := w.Roles(who)
	if err != nil {
		return err
	}
	if !declared {
		roles = []string{workflow.AnyRole}
	}
	out := workflow.Decision{Comment: d.Comment, Digest: d.Digest, Roles: roles}
	s := workflow.Signal{Kind: workflow.SignalReject, By: who.Subject}
	if d.Approve {
		s.Kind = workflow.SignalApprove
	}
	step, err := m.Approval(s.Kind, d.Step, s.By, out)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrConflict, err)
	}
	s.Name = m.Key(step)
	if s.Data, err = json.Marshal(out); err != nil {
		return err
	}
	return w.runner.Signal(ctx, run.ID, s).Err()
}

// Plan implements [api.Work].
func (w *serverWork) Plan(ctx context.Context, digest string) (*api.Plan, error) {
	store, ok := w.runner.Store.(*sqlite.Store)
	if !ok {
		return nil, fmt.Errorf("%w: no store of plans", api.ErrNotFound)
	}
	r := newStackRunner(w.root().project, nil)
	defer r.Close()
	r.root.opened = store
	shared, err := r.planned(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrNotFound, err)
	}
	out := &api.Plan{Digest: digest, Environment: shared.plan.Environment, Kind: shared.plan.Kind}
	for _, part := range shared.plan.Stacks {
		op := &operation{project: shared.ensemble.member(part.Name), view: silentView{}}
		l, diags := op.loadPlan(part.Encoded)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		one := api.PlanPart{Stack: part.Name, Resource: op.stack, Plan: l.plan}
		if one.Document, err = jsonplan.Plan(l.plan, nil, op.jsonOptions(ctx)); err != nil {
			return nil, err
		}
		if one.Document, err = api.MaskPlan(one.Document); err != nil {
			return nil, err
		}
		if j, d := op.holdToPolicy(ctx, l, runOptions{kind: shared.plan.Kind}); j != nil && !d.HasErrors() {
			one.Decision = j.decision
		}
		if j := op.judge(ctx, l); j != nil {
			one.Cost = j.estimate
		}
		out.Parts = append(out.Parts, one)
	}
	return out, nil
}

// Stacks implements [api.Work].
func (w *serverWork) Stacks(ctx context.Context) ([]api.StackState, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return nil, err
	}
	graph, diags := stacks.NewGraph(p)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	drift, err := w.Drifts(ctx)
	if err != nil {
		return nil, err
	}
	var out []api.StackState
	add := func(key states.Key, source string) error {
		st, err := w.runner.Store.State(ctx, key)
		if err != nil {
			return err
		}
		out = append(out, api.StackState{Stack: key.Stack, Source: source, Environment: key.Environment, Needs: graph.Needs[key.Stack], Serial: int64(st.Serial), Objects: len(st.Instances), Observed: p.Observed(key.Stack, key.Environment) != nil, Drift: drift[key]})
		return nil
	}
	environments := sortedKeys(p.Environments)
	if len(environments) == 0 {
		if environments, err = w.runner.Store.Environments(ctx, ""); err != nil {
			return nil, err
		}
	}
	for _, environment := range environments {
		for _, name := range graph.Order {
			if err := add(states.Key{Stack: name, Environment: environment}, p.Stacks[name].Source); err != nil {
				return nil, err
			}
		}
		if len(graph.Order) == 0 {
			if err := add(states.Key{Environment: environment}, "."); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// State implements [api.Work].
func (w *serverWork) State(ctx context.Context, key states.Key) (*states.State, error) {
	return w.runner.Store.State(ctx, key)
}

// PushState implements [api.Work].
func (w *serverWork) PushState(ctx context.Context, who access.Identity, key states.Key, st *states.State, lock string) error {
	have, err := w.runner.Store.State(ctx, key)
	if err != nil {
		return err
	}
	if have.Serial > 0 && !have.Empty() {
		if st.Lineage != have.Lineage && st.Lineage != "" {
			return fmt.Errorf("%w: the state has the lineage %q, what is pushed %q", api.ErrConflict, have.Lineage, st.Lineage)
		}
		if st.Lineage == have.Lineage && st.Serial < have.Serial {
			return fmt.Errorf("%w: the state has the serial %d, what is pushed is older (%d)", api.ErrConflict, have.Serial, st.Serial)
		}
	}
	if st.Lineage == "" {
		st.Lineage = have.Lineage
	}
	st.Serial = max(st.Serial, have.Serial)
	write := wholeState(who.Subject, key, have, st, "push")
	write.Lock = lock
	return w.runner.Store.Write(ctx, key, write)
}
