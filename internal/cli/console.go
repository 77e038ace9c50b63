package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/states"
	"golang.org/x/term"
)

func consoleCommand() *command {
	return &command{
		name: "console", summary: "Evaluate expressions interactively",
		about: "Reads expressions, one per line, and prints their values as the root module would see them: with variables, locals, functions and the resources in the state. Ends with exit or the end of the input. Expressions can also be piped in:\n\n    echo 'cidrsubnet(\"10.0.0.0/8\", 8, 1)' | tutti console",
		setup: func(f *flagSet) action {
			var vars project.VariableOptions
			var st stateOptions
			registerVariables(f, &vars)
			f.text(&st.state, "state", "FILE", "Read this tfstate file instead of the state of the environment.")
			f.accept("plan")
			return func(ctx context.Context, app *App, _ []string) int { return runConsole(ctx, app, &vars, &st) }
		},
	}
}

func runConsole(ctx context.Context, app *App, vars *project.VariableOptions, st *stateOptions) int {
	p, diags := app.OpenProject()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.ConfigOrEmpty(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	vars.Input = false
	values, diags := p.Variables(ctx, cfg, vars, plans.RefreshOnly) // where outputs of other stacks need not be there
	if diags.HasErrors() {
		return app.fail(diags)
	}
	var prior *states.State
	if st.state != "" {
		prior, diags = readStateFile(st.state)
	} else {
		prior, diags = p.State(ctx)
	}
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	console, diags := engine.NewConsole(ctx, engine.PlanInput{
		Config: cfg, Variables: values, Prior: prior, StateKey: p.Key(), Providers: p.Factory(),
		RootDir: ".", WorkDir: p.WorkDir, Now: time.Now(),
	})
	defer console.Close()
	app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	return readExpressions(app, console)
}

// readExpressions evaluates line by line. Lines with open brackets continue on
// the next.
func readExpressions(app *App, console *engine.Console) int {
	interactive := false
	if f, ok := app.In.(*os.File); ok {
		interactive = term.IsTerminal(int(f.Fd()))
	}
	lines := bufio.NewScanner(app.In)
	lines.Buffer(nil, 1<<20)
	code, pending := exitOK, ""
	prompt := func() {
		if interactive {
			if pending == "" {
				fmt.Fprint(app.Out, "> ")
			} else {
				fmt.Fprint(app.Out, ": ")
			}
		}
	}
	for prompt(); lines.Scan(); prompt() {
		pending += lines.Text()
		if openBrackets(pending) > 0 {
			pending += "\n"
			continue
		}
		line := strings.TrimSpace(pending)
		pending = ""
		switch line {
		case "":
			continue
		case "exit":
			return code
		case "help":
			fmt.Fprint(app.Out, "Type an expression to see its value, for example a function call or the address\nof a resource. Type exit, or press Ctrl-D, to leave.\n\n")
			continue
		}
		value, diags := console.Eval(line)
		if diags.HasErrors() {
			app.Diagnostics(diags, map[string][]byte{"<console-input>": []byte(line)})
			if !interactive {
				code = exitFailed
			}
			continue
		}
		fmt.Fprintln(app.Out, views.ConsoleValue(value))
	}
	if interactive {
		fmt.Fprintln(app.Out)
	}
	return code
}

// openBrackets counts brackets that are not closed, outside of strings.
func openBrackets(src string) int {
	open, quoted := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case strings.IndexByte("([{", c) >= 0:
			open++
		case strings.IndexByte(")]}", c) >= 0:
			open--
		}
	}
	return open
}
