package cli

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
)

func graphCommand() *command {
	return &command{
		name: "graph", summary: "Draw the resources and what they depend on, for Graphviz",
		about: "Prints a picture of the resources of the configuration in the DOT language. At the root of a project it draws the stacks; -stack=NAME draws the resources of one. Turn it into an image with, for example:\n\n    tutti graph | dot -Tsvg > graph.svg",
		setup: func(f *flagSet) action {
			var planFile string
			f.text(&planFile, "plan", "FILE", "Draw the configuration that this saved plan was made from.")
			f.accept("draw-cycles", "verbose")
			f.acceptText("type", "module-depth")
			return func(ctx context.Context, app *App, _ []string) int {
				if planFile == "" {
					several, diags := app.FindEnsemble()
					if diags.HasErrors() {
						return app.fail(diags)
					}
					if several != nil && len(several.Names) > 1 {
						defer several.Close()
						fmt.Fprint(app.Out, several.Graph.Graph())
						return exitOK
					}
					app.Found = several
				}
				p, diags := app.OpenProject()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				cfg := p.Loaded
				if planFile != "" {
					var loaded *gate.Plan
					if loaded, diags = operations.LoadPlanFile(p, planFile); loaded != nil {
						cfg = loaded.Config
					}
				} else {
					cfg, diags = p.Config(ctx)
				}
				if diags.HasErrors() {
					return app.fail(diags)
				}
				app.Show(diags)
				edges, diags := engine.ResourceGraph(ctx, cfg, p.Factory())
				if diags.HasErrors() {
					return app.fail(diags)
				}
				app.Show(diags)
				if err := writeDot(app.Out, cfg, resourceEdges(edges).reduced()); err != nil {
					return app.failf("Cannot write the graph", "%s.", err)
				}
				return exitOK
			}
		},
	}
}
