package work

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Work does what the API of a server asks for. Requests come side by side:
// each works with a session of its own, so that none sees another's files.
type Work struct {
	// Observer looks at the stacks of the project, and makes the runs of repairs.
	Observer *Observer

	op     *operations.Operation // of the project's root
	runner *runs.Runner
	// speculative says that clients may send configurations to be planned.
	speculative bool
}

var _ api.Work = (*Work)(nil)

// New is the work of a server on a project, which op is an operation on the root of.
// Speculative says that clients may send configurations to be planned.
func New(op *operations.Operation, runner *runs.Runner, store *sqlite.Store, speculative bool) *Work {
	w := &Work{op: op, runner: runner, Observer: NewObserver(op, store), speculative: speculative}
	w.Observer.work = w
	return w
}

// root is the project's root for one request.
func (w *Work) root() *operations.Operation {
	p := w.op.Aside(w.op.Key())
	p.Session = w.op.Session.Fresh()
	return operations.New(p, operations.Silent{})
}

// Project implements [api.Work].
func (w *Work) Project(context.Context) (*projects.Project, error) {
	return operations.LoadedProject(w.op.RootDir())
}

// Environment implements [api.Work].
func (w *Work) Environment(ctx context.Context) (string, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return "", err
	}
	name, _ := w.root().ChooseEnvironment(p, "") // where there is none to choose, one has to be named
	return name, nil
}

// Authorize implements [api.Work].
func (w *Work) Authorize(ctx context.Context, who access.Identity, verb access.Verb, environment, resource string) error {
	if diags := w.root().Session.MayBe(who, verb, environment, resource, api.RouteOf(ctx)); diags.HasErrors() {
		return fmt.Errorf("%w: %w", api.ErrForbidden, diags.Err())
	}
	return nil
}

// Sight implements [api.Work].
func (w *Work) Sight(ctx context.Context, who access.Identity) (api.Sight, error) {
	policy, diags := w.root().Session.Policy()
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
		return append(list, project.DefaultEnvironment)
	})
	somewhere := func(resource string) bool {
		return slices.ContainsFunc(environments(), func(environment string) bool { return place(environment, resource) })
	}
	return api.Sight{Place: place, Somewhere: somewhere, Everything: policy.ReadsEverything(who), Audit: policy.Decide(who, access.Audit, "", "").Allowed}, nil
}

// Resources implements [api.Work].
func (w *Work) Resources(ctx context.Context, run runs.Run) ([]string, error) {
	names, diags := w.root().Session.ResourcesOf(ctx, w.runner.Store, run)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	// A change of a stack is a run of a workflow that nobody declares: it is about
	// the stack.
	if len(names) == 1 && names[0] == project.ChangeName && run.Machine() {
		return w.changedStacks(ctx, run)
	}
	return names, nil
}

// changedStacks names the stacks that a change is of.
func (w *Work) changedStacks(ctx context.Context, run runs.Run) ([]string, error) {
	source, err := w.runner.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, err
	}
	d, diags := runs.DecodeDefinition(source)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	var out []string
	add := func(name string) {
		if s := d.Project.Stacks[name]; s != nil && project.IsDirectory(s) {
			name = ""
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, s := range d.Workflow.Steps {
		for _, r := range s.Action.References {
			if r.Kind == "stack" {
				add(r.Name)
			}
		}
		if several := s.Action.Arguments["stacks"]; several != nil {
			var names []string
			_ = gohcl.DecodeExpression(several, nil, &names) // literals, which the change was made of
			for _, name := range names {
				add(name)
			}
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return []string{project.ChangeName}, nil
}

// AuthorizeRun implements [api.Work].
func (w *Work) AuthorizeRun(ctx context.Context, who access.Identity, verb access.Verb, run runs.Run) error {
	names, diags := w.root().Session.ResourcesOf(ctx, w.runner.Store, run)
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
func (w *Work) AuthorizeNotify(ctx context.Context, who access.Identity, verb access.Verb, name string) error {
	environment, diags := w.root().EnvironmentOfNotify(name)
	if diags.HasErrors() {
		return diags.Err()
	}
	return w.Authorize(ctx, who, verb, environment, name)
}

// Roles implements [api.Work].
func (w *Work) Roles(who access.Identity) ([]string, bool, error) {
	policy, diags := w.root().Session.Policy()
	if diags.HasErrors() || !policy.Declared() {
		return nil, false, diags.Err()
	}
	return policy.RolesOf(who), true, nil
}

// Start implements [api.Work].
func (w *Work) Start(ctx context.Context, who access.Identity, s api.Start) (runs.Run, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return runs.Run{}, err
	}
	declared := p.Workflows[s.Workflow]
	if declared == nil {
		return runs.Run{}, fmt.Errorf("%w: the project declares no workflow %q", api.ErrNotFound, s.Workflow)
	}
	op := w.root()
	environment, diags := op.ChooseEnvironment(p, s.Environment)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	if err := w.Authorize(ctx, who, access.Run, environment, s.Workflow); err != nil {
		return runs.Run{}, err
	}
	op.Environment = environment
	overrides, diags := op.OverridesOf(p, s.Overrides)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	run := runs.Run{ID: s.ID, Kind: runs.WorkflowKind, Key: op.Key(), Actor: who.Subject, Authority: who.Authority(), Program: project.ProgramVersion(), Summary: "workflow " + s.Workflow, Overrides: overrides, Source: s.Source}
	if declared.Definition != "" {
		if diags := operations.CheckWorkflows(p, []string{s.Workflow}); diags.HasErrors() {
			return runs.Run{}, diags.Err()
		}
		input := s.Input
		if len(input) == 0 {
			if input, err = json.Marshal(s.Inputs); err != nil || s.Inputs == nil {
				input = []byte("{}")
			}
		}
		_, e, done, diags := op.MachineExecution(w.runner, runs.EncodeDefinition(p, s.Workflow))
		if diags.HasErrors() {
			return runs.Run{}, diags.Err()
		}
		defer done()
		e.Run = run
		e.Admit = (&runs.WorkflowOptions{Admit: op.Admit}).Admits(s.Workflow, nil)
		e.Start, e.Sensitive = runs.MachineStart("", input, runs.NewID(time.Now())), true
		return admitted(w.runner.Enqueue(ctx, e))
	}
	if len(s.Input) > 0 {
		return runs.Run{}, fmt.Errorf("%w: the workflow %q takes variables, not an input", api.ErrConflict, s.Workflow)
	}
	d, diags := flow.New(p, s.Workflow, operations.StackOutputNames(p))
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	vars := &project.VariableOptions{}
	for _, name := range sortedKeys(s.Inputs) {
		vars.Given = append(vars.Given, configs.GivenVariable{Text: name + "=" + expressionOf(s.Inputs[name])})
	}
	inputs, diags := operations.WorkflowInputs(p, d, environment, vars)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	return admitted(w.runner.EnqueueWorkflow(ctx, d, runs.WorkflowOptions{Run: run, Environment: environment, Inputs: inputs, Admit: op.Admit}))
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

// Retry implements [api.Work].
func (w *Work) Retry(ctx context.Context, who access.Identity, r api.Retry) (runs.Run, error) {
	op := w.root()
	op.Opened = w.runner.Store.(*sqlite.Store)
	p, diags := op.Past(ctx, r.Run.ID)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	if err := w.Authorize(ctx, who, access.Run, r.Run.Key.Environment, p.Definition.Workflow.Name); err != nil {
		return runs.Run{}, err
	}
	reuse, diags := p.Reusable(r.From)
	if diags.HasErrors() {
		return runs.Run{}, diags.Err()
	}
	run := runs.Run{ID: r.ID, Kind: runs.WorkflowKind, Key: r.Run.Key, Actor: who.Subject, Authority: who.Authority(), Program: project.ProgramVersion(), Summary: "workflow " + p.Definition.Workflow.Name + ", again after run " + r.Run.ID, Source: r.Run.Source}
	started, diags := w.runner.EnqueueWorkflow(ctx, p.Definition, runs.WorkflowOptions{Run: run, Environment: p.Environment, Inputs: p.Inputs, Reuse: reuse, Admit: op.Admit})
	return admitted(started, diags)
}

// Resume implements [api.Work]: the driver of the server finds it.
func (w *Work) Resume(context.Context, runs.Run) error { return nil }

// Machine implements [api.Work].
func (w *Work) Machine(ctx context.Context, run runs.Run) (*flow.Machine, error) {
	if !run.Machine() || run.Kept() != nil {
		return nil, nil
	}
	source, err := w.runner.Store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, err
	}
	d, diags := operations.DefinitionOf(w.root().Directory, source)
	if diags.HasErrors() || d == nil || d.Workflow.Definition != "" {
		return nil, diags.Err()
	}
	return flow.NewMachine(d), nil
}

// Decide implements [api.Work].
func (w *Work) Decide(ctx context.Context, who access.Identity, run runs.Run, d api.StepDecision) error {
	if run.Status.Ended() {
		return runs.ErrEnded
	}
	m, diags := w.runner.HearWorkflow(ctx, run)
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
func (w *Work) Plan(ctx context.Context, digest, run string, sees func(environment, resource string) bool) (*api.Plan, error) {
	unseen := fmt.Errorf("%w: there is no plan with the digest %s", api.ErrNotFound, digest)
	store, ok := w.runner.Store.(*sqlite.Store)
	if !ok {
		return nil, fmt.Errorf("%w: no store of plans", api.ErrNotFound)
	}
	r := operations.NewStackRunner(w.root().Directory, nil)
	defer r.Close()
	r.Root.Opened = store
	shared, err := r.Planned(ctx, digest)
	if err != nil {
		if looked, found := speculated(ctx, store, digest); found {
			if slices.ContainsFunc(looked.Parts, func(p api.PlanPart) bool { return !sees(looked.Environment, p.Resource) }) {
				return nil, unseen
			}
			return looked, nil
		}
		return nil, fmt.Errorf("%w: %w", api.ErrNotFound, err)
	}
	for _, part := range shared.Plan.Stacks {
		if !sees(shared.Plan.Environment, shared.Ensemble.Member(part.Name).Stack) {
			return nil, unseen
		}
	}
	var waits runs.Run
	parent := run
	if run != "" {
		if waits, err = store.Run(ctx, run); err != nil {
			return nil, err
		}
		if !waits.Machine() { // it is the one that carries the plan out
			parent = waits.Parent
		}
	}
	out := &api.Plan{Digest: digest, Environment: shared.Plan.Environment, Kind: shared.Plan.Kind}
	for _, part := range shared.Plan.Stacks {
		op := operations.New(shared.Ensemble.Member(part.Name), operations.Silent{})
		if run != "" {
			op.As(waits.Actor, waits.Authority, append([]runs.Override{}, waits.Overrides...))
		}
		l, diags := operations.LoadPlan(op.Directory, part.Encoded)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		one, err := op.Part(ctx, l, gate.Request{Kind: shared.Plan.Kind, Parent: parent})
		if err != nil {
			return nil, err
		}
		out.Parts = append(out.Parts, one)
	}
	return out, nil
}

// Stacks implements [api.Work].
func (w *Work) Stacks(ctx context.Context) ([]api.StackState, error) {
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
func (w *Work) State(ctx context.Context, key states.Key) (*states.State, error) {
	return w.runner.Store.State(ctx, key)
}

// PushState implements [api.Work].
func (w *Work) PushState(ctx context.Context, who access.Identity, key states.Key, st *states.State, lock string) error {
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
	write := project.WholeState(who.Subject, key, have, st, "push")
	write.Lock = lock
	return w.runner.Store.Write(ctx, key, write)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
