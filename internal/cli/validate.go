package cli

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/stacks"
)

// validateJSON is the document of "validate -json", format 1.0.
type validateJSON struct {
	FormatVersion string                 `json:"format_version"`
	Valid         bool                   `json:"valid"`
	ErrorCount    int                    `json:"error_count"`
	WarningCount  int                    `json:"warning_count"`
	Diagnostics   []views.DiagnosticJSON `json:"diagnostics"`
}

func validateCommand() *command {
	return &command{
		name: "validate", summary: "Check whether the configuration is sound", main: true,
		about: "Checks syntax, references, types and the arguments of every block, as the providers see them. Needs no credentials, variables or state, and looks at no real object. Modules and providers must be installed (\"tutti init\").",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			f.accept("no-tests")
			f.acceptText("test-directory")
			f.list(new([]string), "var", "", "")
			f.list(new([]string), "var-file", "", "")
			return func(ctx context.Context, app *App, _ []string) int {
				app.prose = !o.json
				diags := app.validate(ctx)
				if o.json {
					return app.validated(diags)
				}
				app.Show(diags)
				if diags.HasErrors() {
					return exitFailed
				}
				if len(diags) > 0 {
					fmt.Fprintln(app.Out, "Success! The configuration is valid, but there were some validation warnings as shown above.")
				} else {
					fmt.Fprintln(app.Out, "Success! The configuration is valid.")
				}
				return exitOK
			}
		},
	}
}

// validated prints findings in the form of validate -json.
func (a *App) validated(diags diag.List) int {
	doc := validateJSON{FormatVersion: "1.0", Valid: !diags.HasErrors(), Diagnostics: views.DiagnosticsJSON(diags, a.Quoted())}
	if doc.Diagnostics == nil {
		doc.Diagnostics = []views.DiagnosticJSON{}
	}
	for _, d := range diags {
		if d.Severity == diag.Warning {
			doc.WarningCount++
		} else {
			doc.ErrorCount++
		}
	}
	if code := a.printJSONIndented(doc); code != exitOK || !doc.Valid {
		return exitFailed
	}
	return exitOK
}

func (a *App) validate(ctx context.Context) diag.List {
	e, diags := a.FindEnsemble()
	if diags.HasErrors() {
		return diags
	}
	if e != nil {
		defer e.Close()
		return append(diags, validateStacks(ctx, e)...)
	}
	p, diags := a.OpenDirectory("")
	if diags.HasErrors() {
		return diags
	}
	defer p.Close()
	return validateDirectory(ctx, p)
}

func validateDirectory(ctx context.Context, p *project.Directory) diag.List {
	cfg, diags := p.Config(ctx)
	if cfg == nil || diags.HasErrors() {
		return diags
	}
	return append(diags, engine.Validate(ctx, cfg, p.Factory(), p.WorkDir)...)
}

// validate checks the project, and the stacks selected.
func validateStacks(ctx context.Context, e *project.Ensemble) diag.List {
	diags := stacks.Validate(e.Declared)
	if e.Environment != project.DefaultEnvironment {
		diags = append(diags, stacks.CheckEnvironment(e.Declared, e.Environment)...)
	}
	diags = append(diags, e.Check(stacks.UnknownScope(e.Declared, e.Root.WorkDir))...)
	diags = append(diags, e.Stray()...)
	for _, name := range e.Names {
		if _, d := e.Module(name); !d.HasErrors() { // else reported already
			diags = append(diags, validateDirectory(ctx, e.Member(name))...)
		}
	}
	return diags
}
