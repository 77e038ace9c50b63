package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/stacks"
)

// costOptions are the flags of cost.
type costOptions struct {
	project.VariableOptions
	outputOptions
	usage    []string
	planJSON string
	recorded bool
	refresh  bool
}

func costCommand() *command {
	return &command{
		name: "cost", args: "[PLAN|DIR]", summary: "Show what resources cost a month", maxArgs: 1,
		about: `Plans, and shows what every resource costs a month before and after, by component: of a saved plan with PLAN, of the configuration in DIR or here without. Nothing is changed, and nothing is asked of any cloud: prices come from a price book, which is ours (list prices, to be verified) and the files prices/*.csv and prices/*.json of the project, which win.

What is not known is said with its reason, and never taken as zero.`,
		example: "tutti cost\ntutti cost -usage=usage.hcl tfplan\nterraform show -json tfplan | tutti cost -plan-json=-",
		setup: func(f *flagSet) action {
			o := &costOptions{refresh: true}
			o.registerJSON(f, "Print as JSON.")
			f.list(&o.usage, "usage", "FILE", "Read what resources are expected to be used from this file as well: HCL, or JSON. May be given several times.")
			f.text(&o.planJSON, "plan-json", "FILE", "Price a plan in its JSON form, as \"terraform show -json\" prints it; - for standard input.")
			f.toggle(&o.recorded, "recorded", "Price what is recorded in the state, without planning.")
			f.toggle(&o.refresh, "refresh", "Whether to read every object before planning.")
			registerVariables(f, &o.VariableOptions)
			return o.run
		},
	}
}

func (o *costOptions) run(ctx context.Context, app *App, args []string) int {
	app.jsonOut = o.json
	if o.planJSON != "" {
		if len(args) > 0 || o.recorded {
			return app.failf("Options that exclude each other", "Option -plan-json names all there is to price.")
		}
		return o.ofPlanJSON(app)
	}
	if len(args) == 1 {
		info, err := os.Stat(args[0])
		if err != nil {
			return app.failf("Neither a plan nor a directory", "%s.", files.Reason(err))
		}
		if info.IsDir() {
			if err := os.Chdir(args[0]); err != nil {
				return app.failf("Cannot change to another directory", "%s.", files.Reason(err))
			}
			args = nil
		}
	}
	if len(args) == 1 {
		return o.ofPlan(ctx, app, args[0])
	}
	e, diags := app.OpenEnsemble()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if e != nil && len(e.Names) > 1 {
		several := &ensembleOperation{&operations.EnsembleOperation{Ensemble: e, Session: app.Session, View: operations.Silent{}, Plans: map[string]*gate.Plan{}}, app}
		defer several.Close()
		return o.ofStacks(ctx, several)
	}
	app.Found = e
	p, d := app.OpenProject()
	if diags = append(diags, d...); diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	return o.ofDirectory(ctx, app.operation(operations.New(p, operations.Silent{})))
}

// read adds the usage files of the options to what a project is priced by.
func (o *costOptions) read(p *project.Directory) diag.List {
	prices, diags := gate.PricingOf(p)
	if diags.HasErrors() {
		return diags
	}
	prices.All = true
	for _, name := range o.usage {
		src, err := os.ReadFile(name)
		if err != nil {
			diags = append(diags, diag.Errorf("Cannot read file", "%s.", files.Reason(err))...)
			continue
		}
		diags = append(diags, prices.AddUsage(p.Session, name, src)...)
	}
	return diags
}

// ofPlanJSON prices a plan in its JSON form.
func (o *costOptions) ofPlanJSON(app *App) int {
	src, diags := readPlanJSON(app, o.planJSON)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	list, err := pricedIn(src)
	if err != nil {
		return app.failf("Cannot read plan JSON", "%s: %s.", nameOfInput(o.planJSON), err)
	}
	p, diags := app.OpenDirectory("")
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	if diags := o.read(p); diags.HasErrors() {
		return app.fail(diags)
	}
	prices, diags := gate.PricingOf(p)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	e, diags := prices.Estimate(list)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	return o.show(app, &gate.Costs{Estimate: e})
}

// pricedIn are the resources in plan JSON, of one stack or of several.
func pricedIn(src []byte) ([]cost.Instance, error) {
	doc := readPlanOfStacks(src)
	if doc == nil {
		return cost.FromPlanJSON(src)
	}
	var all []cost.Instance
	for _, part := range doc.Stacks {
		list, err := cost.FromPlanJSON(part.Plan)
		if err != nil {
			return nil, fmt.Errorf("stack %q: %w", part.Name, err)
		}
		for i := range list {
			list[i].Stack = part.Name
		}
		all = append(all, list...)
	}
	return all, nil
}

// ofPlan prices a saved plan.
func (o *costOptions) ofPlan(ctx context.Context, app *App, name string) int {
	if startsWith(name, stacks.IsPlan) {
		e, diags := app.openPlanOfStacks(ctx, name, false, nil)
		app.jsonOut = o.json
		if diags.HasErrors() {
			return app.fail(diags)
		}
		defer e.Close()
		if diags := o.read(e.Member(e.Names[0])); diags.HasErrors() {
			return app.fail(diags)
		}
		return o.show(app, e.Judge(ctx))
	}
	app.SelectStackOf(name)
	p, diags := app.OpenProject()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	l, diags := operations.LoadPlanFile(p, name)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if diags := o.read(p); diags.HasErrors() {
		return app.fail(diags)
	}
	return o.show(app, operations.New(p, operations.Silent{}).Judge(ctx, l))
}

// ofDirectory prices the configuration of a directory, or what is recorded of it.
func (o *costOptions) ofDirectory(ctx context.Context, op *operation) int {
	if diags := o.read(op.Directory); diags.HasErrors() {
		return op.app.fail(diags)
	}
	if o.recorded {
		return o.ofStates(ctx, op.app, op.Directory, []string{op.Stack})
	}
	in, diags := op.PlanInput(ctx, o.plan())
	if diags.HasErrors() {
		return op.app.fail(diags)
	}
	l, d := op.MakePlan(ctx, in)
	if diags = append(diags, d...); diags.HasErrors() {
		return op.app.fail(diags)
	}
	op.app.Show(diags)
	return o.show(op.app, op.Judge(ctx, l))
}

func (o *costOptions) plan() *operations.PlanOptions {
	return &operations.PlanOptions{VariableOptions: o.VariableOptions, Refresh: o.refresh, Parallelism: operations.DefaultParallelism}
}

// ofStacks prices several stacks.
func (o *costOptions) ofStacks(ctx context.Context, e *ensembleOperation) int {
	if diags := o.read(e.Member(e.Names[0])); diags.HasErrors() {
		return e.app.fail(diags)
	}
	if o.recorded {
		return o.ofStates(ctx, e.app, e.Member(e.Names[0]), e.Names)
	}
	diags := e.Plan(ctx, o.plan(), "apply")
	if diags.HasErrors() {
		return e.app.fail(diags)
	}
	e.app.Show(diags)
	return o.show(e.app, e.Judge(ctx))
}

// ofStates prices what is recorded in states.
func (o *costOptions) ofStates(ctx context.Context, app *App, p *project.Directory, names []string) int {
	var all []cost.Instance
	for _, name := range names {
		list, diags := gate.Recorded(ctx, p, name)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		if len(names) == 1 {
			for i := range list {
				list[i].Stack = ""
			}
		}
		all = append(all, list...)
	}
	prices, diags := gate.PricingOf(p)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	e, diags := prices.Estimate(all)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	return o.show(app, &gate.Costs{Estimate: e})
}

// costJSON is the document that -json prints.
type costJSON struct {
	FormatVersion string `json:"format_version"`
	*cost.Estimate
	Budgets []cost.Verdict `json:"budgets,omitempty"`
}

func (o *costOptions) show(app *App, j *gate.Costs) int {
	if j.Estimate == nil {
		return app.fail(j.Take())
	}
	if o.json {
		return app.printJSONIndented(costJSON{"1.0", j.Estimate, j.Verdicts})
	}
	app.terminals().out.CostTable(j.Estimate, j.Verdicts)
	app.Show(j.Advice())
	return exitOK
}
