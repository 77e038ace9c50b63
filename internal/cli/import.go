package cli

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

func importCommand() *command {
	return &command{
		name: "import", args: "ADDRESS ID", summary: "Bring an existing object under management", minArgs: 2, maxArgs: 2,
		about: "Reads the object with that id through the provider and records it at ADDRESS, which the configuration must declare. Nothing is changed about the object. To import many, or to see the effect first, write import blocks and use \"tutti plan\".",
		setup: func(f *flagSet) action {
			f.anyID = true
			var vars project.VariableOptions
			var st stateOptions
			parallelism := operations.DefaultParallelism
			registerVariables(f, &vars)
			st.registerChange(f)
			st.gate.register(f)
			f.number(&parallelism, "parallelism", "N", "Bound on concurrent operations; 10 unless given.")
			f.acceptText("config")
			return func(ctx context.Context, app *App, args []string) int {
				st.gate.hold(app)
				return runImport(ctx, app, args[0], args[1], &vars, &st, parallelism)
			}
		},
	}
}

func runImport(ctx context.Context, app *App, address, id string, vars *project.VariableOptions, st *stateOptions, parallelism int) int {
	addr, err := addrs.ParseResourceInstance(address)
	if err != nil || addr.Resource.Mode != addrs.Managed {
		return app.failf("Invalid address", "%q is not the address of a managed resource instance.", address)
	}
	op, diags := app.openOperation(st, false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	in, diags := op.PlanInput(ctx, &operations.PlanOptions{VariableOptions: *vars, Refresh: true, Parallelism: parallelism})
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if in.Prior.Current(addr) != nil {
		return app.failf("Resource already managed", "The state has %s already. To import another object there, remove it first with \"tutti state rm\".", addr)
	}
	if d := addImport(in.Config, addr, id); d.HasErrors() {
		return app.fail(append(diags, d...))
	}
	in.Targets = []addrs.Target{addrs.Target(addr)}
	loaded, d := op.MakePlan(ctx, in)
	op.View().Settle()
	diags = append(diags, withoutTargetNote(d)...)
	app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	opts := operations.RunOptions{Request: gate.Request{Kind: "import"}, Parallelism: parallelism, Patience: st.lockTimeout}
	// Judged as it would be managed: what is recorded alone has no attributes.
	if _, diags := op.Decide(ctx, loaded, opts.Request); diags.HasErrors() {
		return app.fail(diags)
	}
	loaded.Encoded = nil
	onlyImport(loaded.Plan, addr)
	if len(loaded.Plan.Adjust) == 0 {
		return app.failf("Nothing was imported", "The provider found no object with the id %q for %s.", id, addr)
	}
	fmt.Fprintf(app.Out, "%s: Importing from ID %q...\n", addr, id)
	code := op.execute(ctx, loaded, opts, nil)
	if code == exitOK {
		fmt.Fprint(app.Out, "\nImport successful! The object is in the state and managed from now on.\n")
	}
	return code
}

// addImport puts an import block for one object into the configuration.
func addImport(cfg *configs.Config, addr addrs.ResourceInstance, id string) diag.List {
	if cfg.Resource(addr.Config()) == nil {
		return diag.Errorf("Resource is not declared", "The configuration has no resource %s. Write one first, with at least its required arguments:\n\n    resource %q %q {\n      # ...\n    }", addr.Config(), addr.Resource.Type, addr.Resource.Name)
	}
	expr, diags := hclsyntax.ParseExpression([]byte(addr.String()), "<command line>", hcl.InitialPos)
	if diags.HasErrors() {
		return diag.FromHCL(diags)
	}
	cfg.Root.Imports = append(cfg.Root.Imports, &configs.Import{
		Module: cfg.Root, To: expr, StaticTo: addr.Config(), ID: hcl.StaticExpr(cty.StringVal(id), hcl.Range{Filename: "<command line>"}),
		DeclRange: hcl.Range{Filename: "<command line>"},
	})
	return nil
}

// onlyImport takes everything out of a plan but the recording of one object.
func onlyImport(plan *plans.Plan, addr addrs.ResourceInstance) {
	var adjust []states.Change
	for _, row := range plan.Adjust {
		if row.Object.Instance == addr {
			adjust = append(adjust, row)
		}
	}
	plan.Adjust, plan.Operations, plan.Changes, plan.Outputs, plan.Checks = adjust, nil, nil, nil, nil
}

// withoutTargetNote drops the warning about -target, which nobody gave.
func withoutTargetNote(list diag.List) diag.List {
	var out diag.List
	for _, d := range list {
		if d.Summary != engine.TargetingSummary {
			out = append(out, d)
		}
	}
	return out
}
