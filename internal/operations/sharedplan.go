package operations

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// SharedPlan is a plan of stacks with the project it was made in.
type SharedPlan struct {
	Plan     *stacks.Plan
	Ensemble *project.Ensemble
	scope    *stacks.Scope         // for applying
	Made     map[string]*gate.Plan // the parts, where they were made here
	err      error

	beginning sync.Mutex
	begun     bool // see [StackRunner.begin]
}

// Open makes the project that the plan was made in, with its variables.
func (s *SharedPlan) Open(ctx context.Context, root *project.Directory, vars *project.VariableOptions) error {
	declared, diags := s.Plan.Project(root.RootDir())
	if diags.HasErrors() {
		return diags.Err()
	}
	if s.Ensemble, diags = project.NewEnsemble(root, declared); diags.HasErrors() {
		return diags.Err()
	}
	s.Ensemble.Environment = s.Plan.Environment
	s.Ensemble.Variables = maps.Clone(s.Plan.Variables)
	if len(s.Plan.Ephemeral) > 0 && vars != nil {
		silent := *vars
		silent.Input = false // of the others nothing is missing
		given, d := root.Given(ctx, configs.WholeProject, &configs.Module{Variables: declared.Variables}, &silent, declared.Files, nil)
		diags = append(diags, d...)
		for _, name := range s.Plan.Ephemeral {
			raw, ok := given[name]
			if !ok {
				if v := declared.Variables[name]; v.Default != cty.NilVal {
					raw, ok = configs.InputValue{Value: v.Default, Source: configs.FromCaller}, true
				}
			}
			if !ok {
				diags = append(diags, diag.Errorf("Ephemeral variable must be given again", "The plan was made with a value for the project's ephemeral variable %q. Such values are not kept in plans: give the same again, for example with -var.", name)...)
				continue
			}
			val, d := configs.PrepareVariable(declared.Variables[name], raw)
			diags = append(diags, d...)
			if declared.Variables[name].Sensitive {
				val = val.Mark(marks.Sensitive)
			}
			s.Ensemble.Variables[name] = val.Mark(marks.Ephemeral)
		}
		if diags.HasErrors() {
			return diags.Err()
		}
	}
	s.Evaluate(ctx)
	return nil
}

// Evaluate makes the scope in which inputs are evaluated when stacks are applied.
func (s *SharedPlan) Evaluate(ctx context.Context) {
	s.scope = stacks.NewScope(s.Ensemble.Declared, stacks.Context{
		Environment: s.Plan.Environment, Variables: s.Ensemble.Variables, BaseDir: s.Ensemble.Root.WorkDir, Now: s.Plan.Created,
		Secret: s.Ensemble.Secrets().ForScope(ctx),
	})
}

// outputs is what the stacks of the plan see of each other when they are
// applied: what the states have by then.
func (s *SharedPlan) outputs(ctx context.Context, store *sqlite.Store) func(string) (cty.Value, diag.List) {
	return func(name string) (cty.Value, diag.List) {
		st, err := store.State(ctx, states.Key{Stack: name, Environment: s.Plan.Environment})
		if err != nil {
			return cty.DynamicVal, diag.FromError(err)
		}
		values, err := plans.StateOutputs(st)
		if err != nil {
			return cty.DynamicVal, diag.FromError(err)
		}
		return plans.OutputsObject(values, s.Plan.Outputs[name]), nil
	}
}

// loaded reads a stack's plan, with the values that it was made without.
func (s *SharedPlan) loaded(ctx context.Context, store *sqlite.Store, stack string) (*Operation, *gate.Plan, diag.List) {
	part := s.Plan.Stack(stack)
	if part == nil {
		return nil, nil, diag.Errorf("Plan is for other stacks", "The plan %s has no part for the stack %q.", s.Plan.Digest, stack)
	}
	op := New(s.Ensemble.Member(stack), Silent{})
	var diags diag.List
	l := s.Made[stack]
	if l == nil {
		if l, diags = LoadPlan(op.Directory, part.Encoded); diags.HasErrors() {
			return nil, nil, diags
		}
	}
	if l.Plan.Digest != part.Digest {
		return nil, nil, append(diags, diag.FromError(plans.ErrTampered)...)
	}
	diags = append(diags, op.CheckLocks(ctx, l.Plan)...)
	l.Late, l.Ephemeral = map[string]cty.Value{}, map[string]cty.Value{}
	if l.Plan.Mode != plans.Normal || diags.HasErrors() {
		return op, l, diags
	}
	inputs, d := s.scope.Inputs(stack, s.outputs(ctx, store))
	diags = append(diags, d...)
	for name, v := range inputs {
		planned, ok := l.Plan.Variables[name]
		switch {
		case !ok || !planned.Given || slices.Contains(part.Own, name):
		case planned.Ephemeral:
			val, d := configs.PrepareVariable(l.Config.Root.Variables[name], v)
			diags = append(diags, d...)
			l.Ephemeral[name] = val
		default:
			l.Late[name] = v.Value
		}
	}
	return op, l, diags
}

// Board is what the budgets are held against when a run of the plan is gone on
// with: stacks that it has applied count as they are recorded.
func (s *SharedPlan) Board(ctx context.Context, store runs.Store, run runs.Run) (*gate.Board, error) {
	ended, err := endedStacks(ctx, store, run)
	if err != nil {
		return nil, err
	}
	planned := map[string]*gate.Plan{}
	var o *Operation
	for _, part := range s.Plan.Stacks {
		if ended[part.Name] {
			continue
		}
		o = New(s.Ensemble.Member(part.Name), Silent{})
		l, diags := LoadPlan(o.Directory, part.Encoded)
		if diags.HasErrors() {
			return nil, diags.Err()
		}
		planned[part.Name] = l
	}
	if o == nil {
		return nil, nil
	}
	return o.BoardOf(ctx, run, planned), nil
}

// endedStacks names the stacks of a run that were applied already.
func endedStacks(ctx context.Context, store runs.Store, run runs.Run) (map[string]bool, error) {
	list, err := store.Runs(ctx, runs.RunQuery{Parent: run.ID, Status: runs.Succeeded})
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, r := range list {
		out[r.Key.Stack] = true
	}
	return out, nil
}

// Kept opens a plan of stacks that was kept, to be looked at as the run that waits for
// its approval would be judged: for whom that is by, with the overrides it was given.
// Whoever asked closes the members.
func Kept(ctx context.Context, p *project.Directory, digest string, run runs.Run) (*EnsembleOperation, diag.List) {
	r := NewStackRunner(p, nil)
	r.Vars = nil // it is only looked at
	shared, err := r.Planned(ctx, digest)
	if err != nil {
		return nil, diag.FromError(err)
	}
	o := &EnsembleOperation{
		Ensemble: shared.Ensemble, Session: p.Session, View: Silent{}, Shared: shared.Plan, Plans: map[string]*gate.Plan{}, looks: true,
		by: runs.StackRequest{Parent: run.ID, Actor: run.Actor, Authority: run.Authority, Overrides: append([]runs.Override{}, run.Overrides...)},
	}
	o.Names = nil
	for _, part := range shared.Plan.Stacks {
		l, diags := LoadPlan(o.Member(part.Name), part.Encoded)
		if diags.HasErrors() {
			o.CloseMembers()
			return nil, diags
		}
		o.Names, o.Plans[part.Name] = append(o.Names, part.Name), l
	}
	return o, nil
}

// Decisions are what policy says about the plans, where policies are for them.
func (o *EnsembleOperation) Decisions(ctx context.Context) ([]*policy.Decision, diag.List) {
	var out []*policy.Decision
	var diags diag.List
	for _, name := range o.Names {
		j, d := o.Operation(name).HoldToPolicy(ctx, o.Plans[name], gate.Request{Kind: o.Shared.Kind, Parent: o.by.Parent})
		if diags = append(diags, project.InStack(name, d)...); j != nil {
			out = append(out, j.Decision)
		}
	}
	return out, diags
}
