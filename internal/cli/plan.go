package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
)

// planCommandOptions are the flags of plan.
type planCommandOptions struct {
	operations.PlanOptions
	stateOptions
	outputOptions
	policyOptions
	sourceOptions
	out          string
	detailedExit bool
	cancel       bool
	upload       bool
}

func planCommand() *command {
	return &command{
		name: "plan", summary: "Show what apply would do", main: true,
		about: "Reads the real objects, compares them with the configuration, and shows what would have to be done. Nothing is changed.\n\nWith -out the plan is saved; \"tutti apply FILE\" then does precisely what was shown, or refuses if anything it rests on has changed since.",
		setup: func(f *flagSet) action {
			o := &planCommandOptions{}
			registerPlan(f, &o.PlanOptions)
			o.policyOptions.register(f)
			f.text(&o.out, "out", "FILE", "Save the plan for \"tutti apply FILE\".")
			f.toggle(&o.detailedExit, "detailed-exitcode", "Exit with 2 if there are changes, 0 if there are none, 1 on errors.")
			o.registerJSON(f, "Print what happens as a stream of JSON objects, one per line.")
			f.toggle(&o.upload, "upload", "Against a server ("+addressVariable+"): plan the project as the files here have it, which are sent there, instead of as it is there. Such a plan cannot be applied.")
			cancelOnInterrupt(f, &o.cancel)
			o.registerChange(f)
			f.toggle(&o.compactWarnings, "compact-warnings", "Show warnings as one line each when there are no errors.")
			o.sourceOptions.register(f)
			return o.run
		},
	}
}

func (o *planCommandOptions) run(ctx context.Context, app *App, args []string) int {
	app.compactWarnings, app.MorePolicies = o.compactWarnings, o.policyOptions.dirs
	if diags := o.sourceOptions.use(app); diags.HasErrors() {
		return app.fail(diags)
	}
	if app.remote != nil {
		return o.runThere(ctx, app)
	}
	if o.upload {
		return app.failf("No server", "Option -upload sends the files here to a server to be planned, and %s says of none.", addressVariable)
	}
	if o.sourceOptions.named() {
		return app.failf("No server", "Options -commit, -repository and -pull-request have a host of code told of the plan, which a server does (%s): a plan that is made here is no run.", addressVariable)
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
	_, denied := op.Decide(ctx, loaded, gate.Request{Kind: o.Kind()})
	app.Show(op.Judge(ctx, loaded).Advice())
	if o.GenerateConfigOut != "" {
		if diags := op.writeGenerated(o.GenerateConfigOut, loaded.Plan); len(diags) > 0 {
			app.Show(diags)
			if diags.HasErrors() {
				return exitFailed
			}
		}
	}
	if o.out != "" {
		if diags := op.savePlan(loaded, o.out); diags.HasErrors() {
			return app.fail(diags)
		}
	}
	op.View().Saved(loaded.Plan.HasChanges(), o.out)
	if app.Show(denied); denied.HasErrors() {
		return exitFailed
	}
	if o.detailedExit && loaded.Plan.HasChanges() {
		return exitChanges
	}
	return exitOK
}

// runStacks plans several stacks of a project.
func (o *planCommandOptions) runStacks(ctx context.Context, e *ensembleOperation) int {
	if diags := o.ofOneStack(); diags.HasErrors() {
		return e.app.fail(diags)
	}
	mode := o.Mode()
	diags := e.Plan(ctx, &o.PlanOptions, o.Kind())
	if e.Shared != nil {
		e.Show(ctx, mode, diags)
	}
	e.app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	denied := e.Decide(ctx, mode, o.Kind())
	e.app.Show(e.Judge(ctx).Advice())
	if o.out != "" {
		diags := e.Finish(mode)
		if !diags.HasErrors() {
			data, d := e.Encode()
			if diags = append(diags, d...); !diags.HasErrors() {
				diags = append(diags, written(o.out, files.Replace(o.out, data, 0o600))...)
			}
		}
		if diags.HasErrors() {
			return e.app.fail(diags)
		}
	}
	e.View.Saved(e.Changes(), o.out)
	if e.app.Show(denied); denied.HasErrors() {
		return exitFailed
	}
	if o.detailedExit && e.Changes() {
		return exitChanges
	}
	return exitOK
}

// showPlan shows a plan, also an incomplete one: what was planned before an
// error helps to understand it.
func (o *operation) showPlan(ctx context.Context, l *gate.Plan, diags diag.List) {
	if diags.HasErrors() && len(l.Plan.Changes) == 0 {
		return
	}
	o.View().Plan(ctx, o.Operation, l)
	if !diags.HasErrors() {
		o.ShowCost(ctx, l)
	}
}

// writeGenerated writes configuration that the plan made up for imports.
func (o *operation) writeGenerated(name string, plan *plans.Plan) diag.List {
	var text []byte
	for _, c := range plan.Changes {
		if c.GeneratedConfig != "" {
			text = append(text, c.GeneratedConfig...)
			text = append(text, '\n')
		}
	}
	if len(text) == 0 {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return diag.Errorf("Cannot write generated configuration", "%s. Give -generate-config-out the name of a file that does not exist yet.", err)
	}
	_, err = fmt.Fprintf(f, "# Generated by Tutti for imported objects. Review and adapt before committing.\n\n%s", text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(name) // half of it would only be in the way
		return diag.Errorf("Cannot write generated configuration", "%s.", err)
	}
	return nil
}
