package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/states"
)

func showCommand() *command {
	return &command{
		name: "show", args: "[FILE]", summary: "Show the state, or a saved plan", maxArgs: 1, main: true,
		about: "Without an argument, shows the state of the environment. With one, shows a saved plan or a tfstate file. -json prints the plan (format 1.2) or state (format 1.0) for other programs, sensitive values in clear.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, args []string) int {
				if len(args) == 1 {
					if _, err := os.Stat(args[0]); err != nil {
						return app.failf("Cannot read file", "%s.", files.Reason(err))
					}
				}
				if len(args) == 1 && startsWith(args[0], stacks.IsPlan) {
					return app.showPlanOfStacks(ctx, args[0], o.json)
				}
				if len(args) == 1 {
					app.SelectStackOf(args[0])
				} else if e, diags := app.openSeveral(); e != nil || diags.HasErrors() {
					if e == nil {
						return app.fail(diags)
					}
					defer e.Close()
					return app.showStates(ctx, e, o.json)
				}
				p, diags := app.OpenProject()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				if len(args) == 1 {
					return app.showFile(ctx, p, args[0], o.json)
				}
				st, diags := p.State(ctx)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if !o.json {
					app.Show(diags)
				}
				return app.showState(ctx, p, st, o.json)
			}
		},
	}
}

// showFile shows a saved plan or a tfstate file.
func (a *App) showFile(ctx context.Context, p *project.Directory, name string, asJSON bool) int {
	data, err := os.ReadFile(name)
	if err != nil {
		return a.failf("Cannot read file", "%s.", files.Reason(err))
	}
	if !plans.IsEncoded(data) {
		if st, err := states.Decode(data); err == nil {
			return a.showState(ctx, p, st, asJSON)
		}
	}
	loaded, diags := operations.LoadPlanFile(p, name)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if asJSON {
		err := jsonplan.WritePlan(a.Out, loaded.Plan, loaded.Config, p.JSONOptions(ctx))
		fmt.Fprintln(a.Out)
		if err != nil {
			return a.failf("Cannot write JSON", "%s.", err)
		}
		return exitOK
	}
	a.terminals().out.Plan(loaded.Plan, p.Schemas(ctx))
	op := operations.New(p, a.operationView(false))
	op.ShowCost(ctx, loaded)
	a.Show(op.Judge(ctx, loaded).Advice())
	return exitOK
}

func (a *App) showState(ctx context.Context, p *project.Directory, st *states.State, asJSON bool) int {
	if asJSON {
		err := jsonplan.WriteState(a.Out, st, project.StoredChecks(st.CheckResults), p.JSONOptions(ctx))
		fmt.Fprintln(a.Out)
		if err != nil {
			return a.failf("Cannot write JSON", "%s.", err)
		}
		return exitOK
	}
	if st.Empty() {
		fmt.Fprintln(a.Out, "The state file is empty. No resources are represented.")
		return exitOK
	}
	for _, inst := range st.Sorted() {
		a.showInstance(ctx, p, inst)
	}
	var outputs []views.NamedValue
	for _, name := range sortedKeys(st.Outputs) {
		v, err := project.OutputValue(st.Outputs[name])
		if err != nil {
			return a.failf("Invalid output in the state", "The value of output %q cannot be read: %s.", name, err)
		}
		outputs = append(outputs, views.NamedValue{Name: name, Value: v, Sensitive: st.Outputs[name].Sensitive})
	}
	views.StateOutputs(a.Out, outputs)
	return exitOK
}

// showInstance shows one object of the state.
func (a *App) showInstance(ctx context.Context, p *project.Directory, inst *states.Instance) {
	var b strings.Builder
	schema := jsonplan.SchemaFor(p.Schemas(ctx)(inst.Provider.Provider), inst.Object.Instance.Resource)
	views.Instance(&b, inst, schema)
	fmt.Fprintln(a.Out, b.String())
}
