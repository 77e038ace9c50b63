package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

func outputCommand() *command {
	return &command{
		name: "output", args: "[NAME]", summary: "Show output values", maxArgs: 1, main: true, complete: completeOutputs,
		about: "Shows the output values of the root module as the last apply left them, or one of them. Sensitive ones are hidden unless named, or shown with -json.",
		setup: func(f *flagSet) action {
			var o outputOptions
			var st stateOptions
			var raw bool
			o.registerJSON(f, "Print as JSON, sensitive values in clear.")
			f.toggle(&raw, "raw", "Print one value as text for use in scripts: strings, numbers and booleans only.")
			st.registerRead(f)
			return func(ctx context.Context, app *App, args []string) int {
				if raw && (o.json || len(args) == 0) {
					return app.failf("Invalid command line", "Option -raw needs the name of one output, and excludes -json.")
				}
				if app.remote != nil {
					return app.outputThere(ctx, strings.Join(args, ""), o.json, raw)
				}
				several, diags := app.openSeveral()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if several != nil {
					defer several.Close()
					return app.outputsOfSeveral(ctx, several, strings.Join(args, ""), o.json)
				}
				e, diags := app.openState(ctx, &st)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				if len(args) == 0 {
					return app.showOutputs(e.st, o.json)
				}
				out := e.st.Outputs[args[0]]
				if out == nil {
					return app.failf("Output not found", "There is no output %q in the state. An output that was just added to the configuration, or whose value is null, appears after the next apply with a value.", args[0])
				}
				return app.showOutput(args[0], out, o.json, raw)
			}
		},
	}
}

func completeOutputs(app *App, args []string) []string {
	e, diags := app.openState(context.Background(), &stateOptions{})
	if diags.HasErrors() {
		return nil
	}
	defer e.Close()
	return sortedKeys(e.st.Outputs)
}

// outputJSON is one entry of "output -json".
type outputJSON struct {
	Sensitive bool            `json:"sensitive"`
	Type      json.RawMessage `json:"type"`
	Value     json.RawMessage `json:"value"`
}

func describeOutputs(st *states.State) map[string]outputJSON {
	doc := make(map[string]outputJSON, len(st.Outputs))
	for name, o := range st.Outputs {
		doc[name] = outputJSON{Sensitive: o.Sensitive, Type: o.Type, Value: o.Value}
	}
	return doc
}

func (a *App) showOutputs(st *states.State, asJSON bool) int {
	if asJSON {
		return a.printJSONIndented(describeOutputs(st))
	}
	if len(st.Outputs) == 0 {
		a.Show(diag.Warningf("No outputs found", "The state has no output values. Outputs appear after an apply of a configuration that declares some."))
		return exitOK
	}
	for _, name := range sortedKeys(st.Outputs) {
		o := st.Outputs[name]
		if o.Sensitive {
			fmt.Fprintf(a.Out, "%s = <sensitive>\n", name)
			continue
		}
		v, err := project.OutputValue(o)
		if err != nil {
			return a.failf("Invalid output in the state", "The value of output %q cannot be read: %s.", name, err)
		}
		fmt.Fprintf(a.Out, "%s = %s\n", name, views.ConsoleValue(v))
	}
	return exitOK
}

func (a *App) showOutput(name string, o *states.Output, asJSON, raw bool) int {
	if asJSON {
		fmt.Fprintf(a.Out, "%s\n", o.Value)
		return exitOK
	}
	v, err := project.OutputValue(o)
	if err != nil {
		return a.failf("Invalid output in the state", "The value of output %q cannot be read: %s.", name, err)
	}
	if !raw {
		fmt.Fprintln(a.Out, views.ConsoleValue(v))
		return exitOK
	}
	text, err := convert.Convert(v, cty.String)
	if err != nil || text.IsNull() {
		return a.failf("Unsupported value for raw output", "The output %q is %s, and -raw prints only strings, numbers and booleans. Use -json for other values.", name, v.Type().FriendlyName())
	}
	fmt.Fprint(a.Out, text.AsString())
	return exitOK
}
