package cli

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
)

// applyOptions are the flags of apply, destroy and refresh.
type applyOptions struct {
	operations.PlanOptions
	stateOptions
	outputOptions
	policyOptions
	sourceOptions
	autoApprove bool
	cancel      bool
	overrides   []string
	kind        string
}

func applyCommand() *command {
	return &command{
		name: "apply", args: "[PLAN]", summary: "Create, change and destroy what the configuration says", maxArgs: 1, main: true,
		about: "Plans, shows the plan, asks, and carries it out as a durable run. With a plan saved by \"tutti plan -out\", carries out precisely that, without asking.\n\nAn apply that dies halfway, for whatever reason, loses nothing: \"tutti resume\" finds out what was being done and goes on from there.",
		setup: func(f *flagSet) action {
			o := &applyOptions{kind: "apply"}
			o.register(f)
			return o.run
		},
	}
}

func destroyCommand() *command {
	return &command{
		name: "destroy", summary: "Destroy everything that is managed here", main: true,
		about: "Plans to destroy every object in the state, shows the plan, asks, and carries it out. The same as \"tutti apply -destroy\".",
		setup: func(f *flagSet) action {
			o := &applyOptions{kind: "destroy"}
			o.register(f)
			return func(ctx context.Context, app *App, args []string) int {
				o.Destroy = true
				return o.run(ctx, app, args)
			}
		},
	}
}

func refreshCommand() *command {
	return &command{
		name: "refresh", summary: "Record how real objects are now",
		about: "Reads every object and records what is different. The same as \"tutti apply -refresh-only -auto-approve\"; \"tutti plan -refresh-only\" shows the differences without recording them.",
		setup: func(f *flagSet) action {
			o := &applyOptions{kind: "refresh"}
			o.register(f)
			return func(ctx context.Context, app *App, args []string) int {
				o.RefreshOnly, o.autoApprove = true, true
				return o.run(ctx, app, args)
			}
		},
	}
}

func (o *applyOptions) register(f *flagSet) {
	registerPlan(f, &o.PlanOptions)
	o.policyOptions.register(f)
	f.toggle(&o.autoApprove, "auto-approve", "Do not ask before carrying out the plan.")
	registerOverride(f, &o.overrides)
	o.registerJSON(f, "Print what happens as a stream of JSON objects, one per line. Needs -auto-approve or a saved plan.")
	cancelOnInterrupt(f, &o.cancel)
	o.registerChange(f)
	f.toggle(&o.compactWarnings, "compact-warnings", "Show warnings as one line each when there are no errors.")
	o.sourceOptions.register(f)
}

func (o *applyOptions) run(ctx context.Context, app *App, args []string) int {
	if diags := o.sourceOptions.use(app); diags.HasErrors() {
		return app.fail(diags)
	}
	if app.remote != nil {
		return o.runThere(ctx, app, args)
	}
	ctx = project.WithNewRun(ctx)
	app.compactWarnings, app.Overrides, app.MorePolicies = o.compactWarnings, o.overrides, o.policyOptions.dirs
	if len(args) == 1 {
		if _, err := os.Stat(args[0]); err != nil {
			return app.failf("Cannot read plan file", "%s. \"tutti plan -out=FILE\" saves a plan.", files.Reason(err))
		}
		if startsWith(args[0], stacks.IsPlan) {
			return o.applyStacks(ctx, app, args[0])
		}
		app.SelectStackOf(args[0])
		op, diags := app.openOperation(&o.stateOptions, o.json)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		defer op.Close()
		if diags := gate.CheckOverrides(&op.Case); diags.HasErrors() {
			return app.fail(diags)
		}
		return o.applyFile(ctx, op, args[0])
	}
	app.jsonOut = o.json
	if diags := o.askable(); diags.HasErrors() {
		return app.fail(diags)
	}
	several, diags := app.openEnsembleOperation(o.json)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if several != nil {
		defer several.Close()
		return o.runStacks(ctx, several)
	}
	op, diags := app.openOperation(&o.stateOptions, o.json)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	return o.planAndApply(ctx, op, maxPlans)
}

// askable refuses what would have to ask somebody where nobody can be asked.
func (o *applyOptions) askable() diag.List {
	switch {
	case o.autoApprove:
		return nil
	case o.json:
		return diag.Errorf("Plan file or auto-approve required", "With -json nobody can be asked: give a saved plan, or -auto-approve.")
	case !o.Input:
		return diag.Errorf("Auto-approve required", "With -input=false nobody can be asked whether to carry out the plan: give a saved plan, or -auto-approve.")
	}
	return nil
}

// startsWith reports whether the beginning of a file looks like something.
func startsWith(name string, like func([]byte) bool) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head)
	return like(head[:n])
}

// maxPlans is how often is planned anew when others change the same objects
// between the plan and the run.
const maxPlans = 5

// planAndApply plans, asks and carries out. A plan that is out of date by then,
// because another run was faster, is made again.
func (o *applyOptions) planAndApply(ctx context.Context, op *operation, attempts int) int {
	app := op.app
	if diags := op.May(project.VerbOf(o.PlanOptions.Kind())); diags.HasErrors() {
		return app.fail(diags) // rather than after planning and asking
	}
	if diags := gate.CheckOverrides(&op.Case); diags.HasErrors() {
		return app.fail(diags)
	}
	in, diags := op.PlanInput(ctx, &o.PlanOptions)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	loaded, d := op.MakePlan(ctx, in)
	op.View().Settle()
	diags = append(diags, d...)
	if loaded != nil {
		op.showPlan(ctx, loaded, diags)
	}
	app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	opts := operations.RunOptions{Request: gate.Request{Kind: o.kindOf(loaded.Plan)}, Parallelism: o.Parallelism, Patience: o.lockTimeout}
	if j, diags := op.Decide(ctx, loaded, opts.Request); diags.HasErrors() {
		app.Show(diags)
		if j != nil {
			op.Refused(ctx, loaded) // what else there is against it, budgets, is told too
		}
		return exitFailed
	}
	if op.Refused(ctx, loaded) || !o.confirm(ctx, op, loaded.Plan) {
		return exitFailed
	}
	var again func(*states.StaleError) int
	if attempts > 1 {
		again = func(stale *states.StaleError) int {
			app.Tell("Planning again: " + stale.Error() + ".\n")
			return o.planAndApply(ctx, op, attempts-1)
		}
	}
	return op.execute(ctx, loaded, opts, again)
}

func (o *applyOptions) kindOf(p *plans.Plan) string {
	switch p.Mode {
	case plans.Destroy:
		return "destroy"
	case plans.RefreshOnly:
		return "refresh"
	}
	return o.kind
}

// confirm asks whether to carry out the plan, where there is something to ask.
func (o *applyOptions) confirm(ctx context.Context, op *operation, plan *plans.Plan) bool {
	return !plan.HasChanges() || o.approved(ctx, op.app, plan.Mode)
}

// applyFile carries out a saved plan.
func (o *applyOptions) applyFile(ctx context.Context, op *operation, name string) int {
	if len(o.Targets)+len(o.Excludes)+len(o.Replaces) > 0 || o.Destroy || o.RefreshOnly {
		return op.app.failf("Options cannot change a saved plan", "A saved plan is carried out exactly as it is: options such as -target, -replace or -destroy belong to \"tutti plan\".")
	}
	loaded, diags := operations.LoadPlanFile(op.Directory, name)
	if diags.HasErrors() {
		return op.app.fail(diags)
	}
	diags = append(diags, madeFor(op.Operation, loaded.Plan.StateKey, o.backup)...)
	diags = append(diags, op.CheckLocks(ctx, loaded.Plan)...)
	if loaded.Plan.Errored {
		diags = append(diags, diag.Errorf("Plan has errors", "The plan is incomplete, because there were errors when it was made: it cannot be carried out.")...)
	}
	diags = append(diags, op.GiveEphemeral(ctx, loaded, &o.VariableOptions)...)
	if diags.HasErrors() {
		return op.app.fail(diags)
	}
	op.app.Show(diags)
	if o.json {
		op.View().Plan(ctx, op.Operation, loaded)
		op.ShowCost(ctx, loaded)
	}
	return op.execute(ctx, loaded, operations.RunOptions{Request: gate.Request{Kind: o.kindOf(loaded.Plan)}, Parallelism: o.Parallelism, Patience: o.lockTimeout}, nil)
}

// madeFor has a command work on the state file that a plan names, with its backup, and
// refuses a plan that is for another state: what holds there need not hold here.
func madeFor(op *operations.Operation, plan states.Key, backup string) (diags diag.List) {
	if file, ok := strings.CutPrefix(plan.Stack, "file:"); ok && op.File == nil {
		op.UseStateFile(file, "", backup)
	}
	here := op.Key()
	if plan.Environment == "" {
		return nil // a program of before did not write that down
	}
	if plan.Environment != here.Environment {
		diags = append(diags, otherEnvironment(plan.Environment, here.Environment)...)
	}
	if plan.Stack == here.Stack {
		return diags
	}
	name := func(stack string) string {
		if file, ok := strings.CutPrefix(stack, "file:"); ok {
			return "the state file " + file
		}
		if stack == "" {
			return "the state of this directory"
		}
		return "the stack " + strconv.Quote(stack)
	}
	return append(diags, diag.Errorf("Plan is for another state", "The plan was made for %s, but this command works on %s.", name(plan.Stack), name(here.Stack))...)
}

func otherEnvironment(planned, here string) diag.List {
	return diag.Errorf("Plan is for another environment", "The plan was made for the environment %q, but %q is selected: give -env=%s.", planned, here, planned)
}
