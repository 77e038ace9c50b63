package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
)

// initOptions are the flags of init.
type initOptions struct {
	outputOptions
	project.VariableOptions
	project.Installation
	lockfile   string
	fromModule string // given to other programs, which copy a module from there
	backend    bool
}

func initCommand() *command {
	return &command{
		name: "init", summary: "Prepare a directory: modules, providers, lock file", main: true,
		about: "Downloads or links the modules and providers that the configuration needs, and writes the provider versions chosen to " + project.LockFileName + ", which belongs into version control. Safe to run again and again.\n\nState needs no preparation: it lives in Tutti's own store. A terraform.tfstate beside the configuration is adopted on first use.",
		setup: func(f *flagSet) action {
			o := &initOptions{Installation: project.Installation{Modules: true}, backend: true}
			f.toggle(&o.Upgrade, "upgrade", "Choose the newest versions that the configuration allows, whatever the lock file says.")
			f.toggle(&o.Modules, "get", "Whether to install modules.")
			f.text(&o.lockfile, "lockfile", "MODE", "With readonly, fail instead of changing the lock file.")
			f.list(&o.Mirrors, "plugin-dir", "DIR", "Take providers only from this mirror. May be given several times.")
			o.registerJSON(f, "Print what happens as a stream of JSON objects, one per line.")
			registerVariables(f, &o.VariableOptions)
			// How other programs move state between backends has no meaning here.
			f.toggle(&o.backend, "backend", "")
			f.accept("reconfigure", "migrate-state", "force-copy", "ignore-remote-version", "lock")
			f.acceptText("backend-config", "lock-timeout", "test-directory")
			f.text(&o.fromModule, "from-module", "ADDRESS", "")
			return o.run
		},
	}
}

func (o *initOptions) run(ctx context.Context, app *App, _ []string) int {
	app.jsonOut, app.prose = o.json, true
	if o.fromModule != "" {
		return app.failf("Modules are not copied", "Option -from-module asks to begin with a copy of a module, which Tutti does not make. Copy its files here, with git clone for one, and run \"tutti init\" without the option; or call the module from a module block.")
	}
	e, diags := app.FindEnsemble()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if e != nil {
		defer e.Close()
		return o.runStacks(ctx, app, e)
	}
	p, diags := app.OpenDirectory("")
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	if has, err := configs.HasConfig("."); err != nil {
		return app.fail(diag.FromError(err))
	} else if !has {
		o.say(app, "Tutti initialized in an empty directory!\n\nThe directory has no configuration files yet. Write some, then run \"tutti init\" again.")
		return exitOK
	}
	diags = o.prepare(ctx, app, p)
	app.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	return o.done(app)
}

// runStacks prepares the directories of stacks, one after the other.
func (o *initOptions) runStacks(ctx context.Context, app *App, e *project.Ensemble) int {
	app.Show(e.Stray())
	failed := false
	for i, name := range e.Names {
		if len(e.Names) > 1 {
			text := "Stack " + name
			if i > 0 {
				text = "\n" + text
			}
			o.say(app, text)
		}
		_, diags := e.Module(name)
		if !diags.HasErrors() {
			diags = append(diags, o.prepare(ctx, app, e.Member(name))...)
		}
		app.Show(diags)
		failed = failed || diags.HasErrors()
	}
	if failed {
		return exitFailed
	}
	return o.done(app)
}

// prepare brings what a directory needs.
func (o *initOptions) prepare(ctx context.Context, app *App, p *project.Directory) diag.List {
	o.Readonly = o.lockfile == "readonly"
	return p.Install(ctx, &o.Installation, func(text string) { o.say(app, text) })
}

func (o *initOptions) done(app *App) int {
	o.say(app, "\nTutti has been successfully initialized!")
	if !inAutomation() && !o.json {
		o.say(app, "\nNext, see what would be done with \"tutti plan\". Run \"tutti init\" again whenever\nmodules or providers change.")
	}
	return exitOK
}

// say tells what init does, as a line of text or of JSON.
func (o *initOptions) say(app *App, text string) {
	if !o.json {
		fmt.Fprintln(app.Out, text)
		return
	}
	if text = strings.TrimSpace(text); text != "" {
		views.NewStream(app.Out, time.Now).Log(text)
	}
}

func getCommand() *command {
	return &command{
		name: "get", summary: "Install the modules that the configuration calls",
		setup: func(f *flagSet) action {
			var update bool
			f.toggle(&update, "update", "Look for newer versions of modules that are installed already.")
			f.acceptText("test-directory")
			return func(ctx context.Context, app *App, _ []string) int {
				p, diags := app.OpenProject()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				diags = p.InstallModules(ctx, update, func(text string) { fmt.Fprintln(app.Out, text) })
				app.Show(diags)
				if diags.HasErrors() {
					return exitFailed
				}
				return exitOK
			}
		},
	}
}
