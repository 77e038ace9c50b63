package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/triggers"
)

func workflowCommand() *command {
	return &command{
		name: "workflow", summary: "Check, draw and test the workflows of a project",
		about: "Workflows are declared in *.tutti.hcl files, by workflow blocks. \"tutti run\" runs them.",
		sub:   []*command{workflowGraphCommand(), workflowListCommand(), workflowTestCommand(), workflowValidateCommand()},
	}
}

func completeProjectWorkflows(app *App, _ []string) []string {
	p, _ := app.OpenWorkflows()
	if p == nil {
		return nil
	}
	return sortedKeys(p.Workflows)
}

func workflowListCommand() *command {
	return &command{
		name: "list", summary: "List the workflows of the project",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				if app.remote != nil {
					return app.listWorkflowsThere(ctx, o.json)
				}
				p, diags := app.OpenWorkflows()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				rows := []workflowRow{}
				for _, name := range sortedKeys(p.Workflows) {
					w := p.Workflows[name]
					rows = append(rows, workflowRow{name, w.Description, len(w.Steps) + len(w.OnFailure) + len(w.Finally), w.Definition})
				}
				return app.listWorkflows(rows, o.json)
			}
		},
	}
}

// workflowRow is a workflow in a list.
type workflowRow struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Steps       int    `json:"steps"`
	Definition  string `json:"definition,omitempty"`
}

func (a *App) listWorkflows(rows []workflowRow, asJSON bool) int {
	if asJSON {
		return a.printJSONIndented(rows)
	}
	for _, r := range rows {
		what := diag.CountOf(r.Steps, "step")
		if r.Definition != "" {
			what = r.Definition
		}
		head := fmt.Sprintf("%-20s %-14s", r.Name, what)
		fmt.Fprintln(a.Out, views.Listed(head, 36, " ", strings.Fields(r.Description)...))
	}
	return exitOK
}

func workflowValidateCommand() *command {
	return &command{
		name: "validate", args: "[WORKFLOW]", summary: "Check workflows without running them", maxArgs: 1, complete: completeProjectWorkflows,
		about: "Checks the project files and all workflows and triggers, or one workflow: references to what is not declared, values of wrong types, steps that need each other, steps that can never be reached. The exit code is 1 where something is wrong.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print the findings as JSON, as validate does.")
			return func(_ context.Context, app *App, args []string) int {
				app.jsonOut = o.json
				p, diags := app.OpenWorkflows()
				if p != nil && (len(args) == 0 || p.Workflows[args[0]] != nil || !diags.HasErrors()) { // errors may hide it
					diags = append(diags, operations.CheckWorkflows(p, args)...)
					if len(args) == 0 {
						diags = append(diags, triggers.Check(p)...)
					}
				}
				if o.json {
					return app.validated(diags)
				}
				app.Show(diags)
				if diags.HasErrors() {
					return exitFailed
				}
				fmt.Fprintln(app.Out, "Success! The workflows are valid.")
				return exitOK
			}
		},
	}
}

func workflowGraphCommand() *command {
	return &command{
		name: "graph", args: "WORKFLOW", summary: "Draw a workflow in the DOT language of Graphviz", minArgs: 1, maxArgs: 1, complete: completeProjectWorkflows,
		example: "tutti workflow graph release | dot -Tsvg > release.svg",
		setup: func(*flagSet) action {
			return func(_ context.Context, app *App, args []string) int {
				p, diags := app.OpenWorkflows()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				w := p.Workflows[args[0]]
				switch {
				case w == nil:
					return app.fail(operations.NoWorkflow(p, args[0]))
				case w.Definition != "":
					return app.failf("Nothing to draw", "The workflow %q is a state machine: only workflows with steps can be drawn.", args[0])
				}
				d, diags := flow.New(p, args[0], nil)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				fmt.Fprint(app.Out, d.Graph())
				return exitOK
			}
		},
	}
}
