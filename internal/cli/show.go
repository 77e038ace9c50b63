package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/runs"
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
						return app.failf("Cannot read file", "%s.", fileReason(err))
					}
				}
				if len(args) == 1 && startsWith(args[0], stacks.IsPlan) {
					return app.showPlanOfStacks(ctx, args[0], o.json)
				}
				if len(args) == 1 {
					app.selectStackOf(args[0])
				} else if e, diags := app.openSeveral(); e != nil || diags.HasErrors() {
					if e == nil {
						return app.fail(diags)
					}
					defer e.Close()
					return e.showStates(ctx, o.json)
				}
				p, diags := app.openProject()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				if len(args) == 1 {
					return p.showFile(ctx, args[0], o.json)
				}
				st, diags := p.state(ctx)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if !o.json {
					app.show(diags)
				}
				return p.showState(ctx, st, o.json)
			}
		},
	}
}

// showFile shows a saved plan or a tfstate file.
func (p *project) showFile(ctx context.Context, name string, asJSON bool) int {
	data, err := os.ReadFile(name)
	if err != nil {
		return p.app.failf("Cannot read file", "%s.", fileReason(err))
	}
	if !plans.IsEncoded(data) {
		if st, err := states.Decode(data); err == nil {
			return p.showState(ctx, st, asJSON)
		}
	}
	loaded, diags := p.loadPlanFile(name)
	if diags.HasErrors() {
		return p.app.fail(diags)
	}
	if asJSON {
		err := jsonplan.WritePlan(p.app.Out, loaded.plan, loaded.config, p.jsonOptions(ctx))
		fmt.Fprintln(p.app.Out)
		if err != nil {
			return p.app.failf("Cannot write JSON", "%s.", err)
		}
		return exitOK
	}
	p.app.terminals().out.Plan(loaded.plan, p.schemas(ctx))
	op := &operation{project: p, view: p.app.operationView(false)}
	op.showCost(ctx, loaded)
	p.app.show(op.judge(ctx, loaded).advice())
	return exitOK
}

func (p *project) jsonOptions(ctx context.Context) jsonplan.Options {
	return jsonplan.Options{Schemas: p.schemas(ctx), Version: terraformVersion}
}

func (p *project) showState(ctx context.Context, st *states.State, asJSON bool) int {
	if asJSON {
		err := jsonplan.WriteState(p.app.Out, st, storedChecks(st.CheckResults), p.jsonOptions(ctx))
		fmt.Fprintln(p.app.Out)
		if err != nil {
			return p.app.failf("Cannot write JSON", "%s.", err)
		}
		return exitOK
	}
	if st.Empty() {
		fmt.Fprintln(p.app.Out, "The state file is empty. No resources are represented.")
		return exitOK
	}
	for _, inst := range st.Sorted() {
		p.showInstance(ctx, inst)
	}
	var outputs []views.NamedValue
	for _, name := range sortedKeys(st.Outputs) {
		v, err := outputValue(st.Outputs[name])
		if err != nil {
			return p.app.failf("Invalid output in the state", "The value of output %q cannot be read: %s.", name, err)
		}
		outputs = append(outputs, views.NamedValue{Name: name, Value: v, Sensitive: st.Outputs[name].Sensitive})
	}
	views.StateOutputs(p.app.Out, outputs)
	return exitOK
}

// showInstance shows one object of the state.
func (p *project) showInstance(ctx context.Context, inst *states.Instance) {
	var b strings.Builder
	schema := jsonplan.SchemaFor(p.schemas(ctx)(inst.Provider.Provider), inst.Object.Instance.Resource)
	views.Instance(&b, inst, schema)
	fmt.Fprintln(p.app.Out, b.String())
}

// storedChecks reads the outcomes of checks that the state keeps.
func storedChecks(raw json.RawMessage) []plans.CheckResult {
	if len(raw) == 0 {
		return nil
	}
	list, err := runs.ReadCheckResults(raw)
	if err != nil {
		return nil
	}
	return list
}
