package operations

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/secrets"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Operation is one command that plans or applies: plan, apply, destroy, refresh
// and import share it.
type Operation struct {
	gate.Case
	view View // the same as that of the case
}

// New is an operation in a directory, for who runs the program.
func New(p *project.Directory, view View) *Operation {
	return &Operation{gate.NewCase(p, view), view}
}

// View shows people what happens.
func (o *Operation) View() View { return o.view }

// newBy is New on behalf of somebody else.
func newBy(p *project.Directory, view View, actor string, authority *access.Authority, overrides []runs.Override) *Operation {
	o := New(p, view)
	o.As(actor, authority, overrides)
	return o
}

// On is the operation on the state of a run: on the stack it is about, where
// there is such a one.
func (o *Operation) On(key states.Key) *Operation {
	if e := o.Ensemble; e != nil && e.Declared.Stacks[key.Stack] != nil {
		e.Environment = key.Environment
		return New(e.Member(key.Stack), o.view)
	}
	o.UseKey(key)
	return o
}

// PlanInput gathers what a plan is made from.
func (o *Operation) PlanInput(ctx context.Context, po *PlanOptions) (engine.PlanInput, diag.List) {
	who, _ := o.Who()
	if diags := o.Session.MayBe(who, access.Plan, o.Environment, o.Stack, ""); diags.HasErrors() {
		return engine.PlanInput{}, diags
	}
	req, diags := withoutStack(o.Directory, po).Request()
	if diags.HasErrors() {
		return engine.PlanInput{}, diags
	}
	cfg, diags := o.Config(ctx)
	if diags.HasErrors() {
		return engine.PlanInput{}, diags
	}
	values, d := o.Variables(ctx, cfg, &po.VariableOptions, req.mode)
	diags = append(diags, d...)
	if d.HasErrors() {
		return engine.PlanInput{}, diags
	}
	prior, d := o.Prior(ctx, req.mode)
	diags = append(diags, d...)
	if d.HasErrors() {
		return engine.PlanInput{}, diags
	}
	if o.IsStack() && req.mode == plans.Normal {
		if d := pendingMoves(ctx, o.Ensemble, o.Declared); d.HasErrors() {
			return engine.PlanInput{}, append(diags, d...)
		}
	}
	return o.inputFrom(cfg, values, prior, req, po), diags
}

// withoutStack takes the name of the stack that is worked on off addresses that
// begin with it.
func withoutStack(p *project.Directory, po *PlanOptions) *PlanOptions {
	if !p.IsStack() {
		return po
	}
	out := *po
	for _, list := range []*[]string{&out.Targets, &out.Excludes, &out.Replaces} {
		*list = slices.Clone(*list)
		for i, s := range *list {
			(*list)[i] = strings.TrimPrefix(s, "stack."+p.Stack+".")
		}
	}
	return &out
}

func (o *Operation) inputFrom(cfg *configs.Config, values map[string]configs.InputValue, prior *states.State, req PlanRequest, po *PlanOptions) engine.PlanInput {
	return engine.PlanInput{
		Config: cfg, Variables: values, Prior: prior, StateKey: o.Key(), Providers: o.Factory(),
		Mode: req.mode, Targets: req.targets, Excludes: req.excludes, ForceReplace: req.replaces,
		SkipRefresh: !po.Refresh, GenerateConfig: po.GenerateConfigOut != "",
		RootDir: ".", WorkDir: o.WorkDir, Parallelism: po.Parallelism, Now: time.Now().UTC(),
		Program: project.ProgramVersion(), Progress: o.view.Progress,
	}
}

// MakePlan plans and completes the plan with what pins it: provider versions
// and the list of installed modules. A plan with errors is returned as well.
func (o *Operation) MakePlan(ctx context.Context, in engine.PlanInput) (*gate.Plan, diag.List) {
	plan, diags := engine.Plan(ctx, in)
	if plan == nil {
		return nil, diags
	}
	out := &gate.Plan{Plan: plan, Config: in.Config, Ephemeral: map[string]cty.Value{}}
	o.completePlan(ctx, out, in)
	for name, v := range in.Config.Root.Variables {
		if given, ok := in.Variables[name]; ok && v.Ephemeral {
			if val, d := configs.PrepareVariable(v, given); !d.HasErrors() {
				out.Ephemeral[name] = val
			}
		}
	}
	return out, diags
}

// completePlan adds what pins a plan: the providers and modules it was made
// with.
func (o *Operation) completePlan(ctx context.Context, l *gate.Plan, in engine.PlanInput) {
	for _, p := range UsedProviders(in.Config, in.Prior) {
		if p.IsBuiltIn() {
			continue
		}
		if lock, ok := o.ProviderLock(ctx, p); ok {
			l.Plan.Providers[p] = lock
		}
	}
	l.Plan.ModulesManifest, _ = os.ReadFile(modules.ManifestFile(o.DataDir))
	if o.Dir == "" {
		return
	}
	// A plan knows its files as the stack's own directory does.
	files := make(map[string][]byte, len(l.Plan.Files))
	for name, src := range l.Plan.Files {
		if rel, err := filepath.Rel(o.Dir, name); err == nil {
			name = rel
		}
		files[name] = src
	}
	l.Plan.Files = files
}

// LoadPlanFile reads a saved plan.
func LoadPlanFile(p *project.Directory, name string) (*gate.Plan, diag.List) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, diag.Errorf("Cannot read plan file", "%s.", files.Reason(err))
	}
	loaded, diags := LoadPlan(p, SealedNow(p, data))
	if diags.HasErrors() {
		for i := range diags {
			if diags[i].Summary == "Cannot read plan" {
				diags[i].Detail = name + ": " + diags[i].Detail
			}
		}
		return nil, diags
	}
	loaded.File = name
	return loaded, diags
}

// SealedNow is a plan file as the store takes it: sealed with the key in use, also
// where that was changed since. Where it cannot be, reading the plan says why.
func SealedNow(p *project.Directory, data []byte) []byte {
	anew := func(sealed []byte) ([]byte, error) { return p.Keyring.Reseal(sealed, nil) }
	reseal := func() ([]byte, error) { return plans.Reseal(data, anew) }
	if stacks.IsPlan(data) {
		reseal = func() ([]byte, error) { return stacks.Reseal(data, p.Keyring.Open, anew) }
	}
	if out, err := reseal(); err == nil {
		return out
	}
	return data
}

// LoadPlan reads a plan and its configuration from the plan's bytes.
func LoadPlan(p *project.Directory, data []byte) (*gate.Plan, diag.List) {
	plan, err := plans.Decode(data, p.Keyring)
	switch {
	case errors.Is(err, plans.ErrNotPlan) && len(data) > 1 && data[0] == 'P' && data[1] == 'K':
		return nil, diag.Errorf("Cannot read plan", "this looks like a plan of Terraform or OpenTofu, which only they can read. Make one with \"tutti plan -out=FILE\".")
	case errors.Is(err, plans.ErrNotPlan):
		return nil, diag.Errorf("Cannot read plan", "this is not a plan file. Make one with \"tutti plan -out=FILE\"; to work in another directory, use -chdir=DIR.")
	case errors.Is(err, secrets.ErrDamaged):
		return nil, diag.Errorf("Cannot read plan", "the plan is damaged or was changed: it is not what was saved. Plan again.")
	case errors.Is(err, plans.ErrSealed):
		return nil, diag.Errorf("Cannot read plan", "%s. Or plan again: that needs no former key.", err)
	case err != nil:
		return nil, diag.Errorf("Cannot read plan", "%s.", err)
	}
	manifest, err := modules.ParseManifest(plan.ModulesManifest)
	if err != nil {
		return nil, diag.FromError(err)
	}
	cfg, diags := configs.Load(plan.RootDir, configs.LoadOptions{
		Snapshot: plan.Files, Resolve: manifest.Resolve("."), TerraformVersion: project.TerraformVersion, Base: p.Dir,
	})
	if diags.HasErrors() {
		return nil, diags
	}
	p.Quote(cfg.Files)
	return &gate.Plan{Plan: plan, Encoded: data, Config: cfg}, nil
}

// GiveEphemeral asks again for the values that a saved plan does not keep.
func (o *Operation) GiveEphemeral(ctx context.Context, l *gate.Plan, vars *project.VariableOptions) diag.List {
	wanted := false
	for name, v := range l.Plan.Variables {
		if v.Ephemeral && v.Given {
			wanted = true
			if l.Config.Root.Variables[name] == nil {
				return diag.Errorf("Plan does not fit its configuration", "The plan was given the variable %q, which its configuration does not declare.", name)
			}
		}
	}
	if !wanted {
		return nil
	}
	values, diags := o.Variables(ctx, l.Config, vars, l.Plan.Mode)
	l.Ephemeral = map[string]cty.Value{}
	for name, v := range l.Plan.Variables {
		given, ok := values[name]
		if !v.Ephemeral || !v.Given {
			continue
		}
		if !ok {
			diags = append(diags, diag.Errorf("Ephemeral variable must be given again", "The plan was made with a value for the ephemeral variable %q. Such values are not kept in plans: give the same again, for example with -var.", name)...)
			continue
		}
		val, d := configs.PrepareVariable(l.Config.Root.Variables[name], given)
		diags = append(diags, d...)
		l.Ephemeral[name] = val
	}
	return diags
}

// UsedProviders lists the providers a configuration and a state need.
func UsedProviders(cfg *configs.Config, st *states.State) []addrs.Provider {
	seen := map[addrs.Provider]bool{}
	var out []addrs.Provider
	add := func(p addrs.Provider) {
		if !seen[p.Canonical()] {
			seen[p.Canonical()] = true
			out = append(out, p)
		}
	}
	for _, m := range cfg.Modules {
		for _, rp := range m.RequiredProviders {
			add(rp.Source)
		}
	}
	if st != nil {
		for _, inst := range st.Instances {
			add(inst.Provider.Provider)
		}
	}
	return out
}

// CheckLocks refuses a saved plan whose providers have changed meanwhile.
func (o *Operation) CheckLocks(ctx context.Context, plan *plans.Plan) diag.List {
	var diags diag.List
	for p, want := range plan.Providers {
		have, ok := o.ProviderLock(ctx, p)
		if ok && (have.Version != want.Version || have.Digest != want.Digest) {
			diags = append(diags, diag.Errorf("Provider has changed since the plan",
				"The plan was made with %s %s; installed now is %s. A plan runs only with exactly what it was made with: plan again.", p.ForDisplay(), want.Version, have.Version)...)
		}
	}
	return diags
}

// RunOptions shape the execution of a plan.
type RunOptions struct {
	gate.Request
	Parallelism int
	id          string        // of a new run; may be empty
	Patience    time.Duration // how long to wait for what another run is changing
	// Repeats says that a plan that is out of date before anything was done is made
	// again: that is no error.
	Repeats bool
	// budgeted says that the plan was held against the budgets with others that it
	// is applied with, on this board.
	budgeted bool
	board    *gate.Board
	// hard, once closed, cuts off what is running; nil: as the person typing says.
	hard <-chan struct{}
}

// MayCarryOut refuses what the roles do not allow of what carrying out a plan is.
func (o *Operation) MayCarryOut(l *gate.Plan, kind string) diag.List {
	who, _ := o.Who()
	for _, verb := range project.VerbsOf(kind, l.Plan) {
		if diags := o.Session.MayBe(who, verb, o.Environment, o.Stack, ""); diags.HasErrors() {
			return diags
		}
	}
	return nil
}

// CarryOut carries out a plan as a durable run. What it returns besides the
// result is why the run could not start, where the plan is out of date.
func (o *Operation) CarryOut(ctx context.Context, l *gate.Plan, opts RunOptions) (runs.Result, *states.StaleError, diag.List) {
	_, authority := o.Who()
	if diags := o.MayCarryOut(l, opts.Kind); diags.HasErrors() {
		l.Forbidden = true
		return runs.Result{}, nil, diags
	}
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return runs.Result{}, nil, diags
	}
	var costs gate.Costs
	switch {
	case opts.budgeted:
	case opts.Resume != "":
		run, err := store.Run(ctx, opts.Resume)
		if err != nil {
			return runs.Result{}, nil, diag.FromError(err)
		}
		opts.board = o.BoardOf(ctx, run, map[string]*gate.Plan{o.Stack: l})
	default:
		costs = *o.Judge(ctx, l)
		opts.board = costs.Board
		diags = append(diags, l.Costs.Take()...)
		if costs.Denied {
			l.Refused = true
			return runs.Result{}, nil, diags
		}
	}
	told := diags
	if diags := l.Encode(o.Keyring); diags.HasErrors() {
		return runs.Result{}, nil, diags
	}
	late, diags := l.EncodeLate(o.Keyring)
	if diags.HasErrors() {
		return runs.Result{}, nil, diags
	}
	decided, guard, policed := o.Gate(ctx, l, opts.Request)
	if policed.HasErrors() {
		l.Refused = true
		return runs.Result{}, nil, policed
	}
	if opts.hard == nil {
		opts.hard = Hard(ctx).Done()
	}
	id := opts.id
	switch {
	case opts.Resume != "":
		id = opts.Resume
	case id == "":
		id = project.TakeNewRun(ctx)
	}
	waiting := &waitingStore{Store: store, patience: opts.Patience, tell: o.Session.Tell}
	runner := &runs.Runner{Store: waiting}
	request := runs.Request{
		Run: runs.Run{
			ID: id, Parent: opts.Parent, Kind: opts.Kind, Key: o.Key(), Actor: o.By(), Authority: authority, Program: project.ProgramVersion(), Summary: SummaryLine(l.Plan),
		},
		Plan: l.Plan, Encoded: l.Encoded, Late: late, Parallelism: opts.Parallelism,
		Watch: o.view.Event, Hard: opts.hard,
	}
	if opts.Parent == "" {
		request.Run.Source = o.Session.Source()
	}
	input := engine.ApplyInput{
		Plan: l.Plan, Config: l.Config, Ephemeral: l.Ephemeral, Late: l.Late, Providers: o.Factory(), WorkDir: o.WorkDir, Progress: o.view.Progress,
	}
	if all := gate.GuardsOf(guard, gate.NewBudgetGuard(&o.Case, l, opts.board)); len(all) > 0 {
		input.Guard, request.Closing = all, all.Closing
	}
	request.Events, request.Run.Overrides = costs.Record(o.Subject())
	if decided != nil {
		request.Decision = decided.Encode()
		request.Events = append(request.Events, gate.OverrideEvents(decided)...)
		request.Run.Overrides = append(request.Run.Overrides, gate.RuleOverrides(decided)...)
	}
	open := func(ctx context.Context) (runs.Executor, diag.List) {
		ex, diags := engine.NewApply(ctx, input)
		if diags.HasErrors() {
			return nil, diags
		}
		return ex, diags
	}
	var result runs.Result
	if opts.Resume != "" {
		result, diags = runner.Resume(ctx, request, open)
	} else {
		result, diags = runner.Apply(ctx, request, open)
	}
	diags = append(policed, append(told, diags...)...)
	if waiting.stale != nil && opts.Repeats {
		return result, waiting.stale, diags
	}
	diags = append(diags, keepUnrecorded(o.Directory, result.Unrecorded)...)
	return result, waiting.stale, append(diags, o.Export(context.WithoutCancel(ctx))...)
}

// keepUnrecorded saves what the store did not take, so that nothing is lost.
func keepUnrecorded(p *project.Directory, rows []states.Change) diag.List {
	if len(rows) == 0 {
		return nil
	}
	st := states.New()
	for _, row := range rows {
		if row.After != nil {
			st.Instances[row.Object] = row.After
		}
	}
	name := p.Place("errored.tfstate")
	if err := project.WriteState(name, st); err != nil {
		data, _ := states.Encode(st)
		p.Session.Tell(string(data))
		return diag.Errorf("State could not be stored", "Neither the store nor the file %s could be written (%s). The objects concerned are printed above: keep that text, it is the only record of them.", name, err)
	}
	return diag.Errorf("State could not be stored", "The store did not take %s. They are in the file %s: when the store can be written again, bring each in with \"tutti import\", or merge the file by hand into the output of \"tutti state pull\" and push it.", diag.CountOf(len(rows), "changed object"), name)
}

// SummaryLine says in a line what a plan does.
func SummaryLine(p *plans.Plan) string {
	n := p.Count()
	return fmt.Sprintf("%d to add, %d to change, %d to destroy", n.Add, n.Change, n.Destroy)
}

// PlanOf reads the plan a run carries out, and the values it was given besides.
func (o *Operation) PlanOf(ctx context.Context, run runs.Run) (*gate.Plan, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	data, err := store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, diag.Errorf("Cannot read the run's plan", "%s.", err)
	}
	o.UseKey(run.Key)
	loaded, diags := LoadPlan(o.Directory, data)
	if diags.HasErrors() {
		return nil, diags
	}
	late, err := runs.Late(ctx, o.Opened, run.ID)
	if err == nil && late != nil {
		loaded.Late, err = plans.DecodeValues(late, o.Keyring)
	}
	if err != nil {
		return nil, append(diags, diag.Errorf("Cannot read the run's inputs", "%s.", err)...)
	}
	return loaded, diags
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
