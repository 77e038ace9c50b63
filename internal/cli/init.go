package cli

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/install"
	"github.com/tutti-dev/tutti/internal/states"
)

// initOptions are the flags of init.
type initOptions struct {
	outputOptions
	variableOptions
	upgrade   bool
	get       bool
	lockfile  string
	pluginDir []string
	backend   bool
}

func initCommand() *command {
	return &command{
		name: "init", summary: "Prepare a directory: modules, providers, lock file", main: true,
		about: "Downloads or links the modules and providers that the configuration needs, and writes the provider versions chosen to " + lockFileName + ", which belongs into version control. Safe to run again and again.\n\nState needs no preparation: it lives in Tutti's own store. A terraform.tfstate beside the configuration is adopted on first use.",
		setup: func(f *flagSet) action {
			o := &initOptions{get: true, backend: true}
			f.toggle(&o.upgrade, "upgrade", "Choose the newest versions that the configuration allows, whatever the lock file says.")
			f.toggle(&o.get, "get", "Whether to install modules.")
			f.text(&o.lockfile, "lockfile", "MODE", "With readonly, fail instead of changing the lock file.")
			f.list(&o.pluginDir, "plugin-dir", "DIR", "Take providers only from this mirror. May be given several times.")
			o.registerJSON(f, "Print what happens as a stream of JSON objects, one per line.")
			o.variableOptions.register(f)
			// How other programs move state between backends has no meaning here.
			f.toggle(&o.backend, "backend", "")
			f.accept("reconfigure", "migrate-state", "force-copy", "ignore-remote-version", "lock")
			f.acceptText("backend-config", "lock-timeout", "test-directory", "from-module")
			return o.run
		},
	}
}

func (o *initOptions) run(ctx context.Context, app *App, _ []string) int {
	app.jsonOut, app.prose = o.json, true
	e, diags := app.findEnsemble()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if e != nil {
		defer e.Close()
		return o.runStacks(ctx, e)
	}
	p, diags := app.openDirectory("")
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
	diags = o.prepare(ctx, p)
	app.show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	return o.done(app)
}

// runStacks prepares the directories of stacks, one after the other.
func (o *initOptions) runStacks(ctx context.Context, e *ensemble) int {
	app := e.root.app
	app.show(e.stray())
	failed := false
	for i, name := range e.names {
		if len(e.names) > 1 {
			text := "Stack " + name
			if i > 0 {
				text = "\n" + text
			}
			o.say(app, text)
		}
		_, diags := e.module(name)
		if !diags.HasErrors() {
			diags = append(diags, o.prepare(ctx, e.member(name))...)
		}
		app.show(diags)
		failed = failed || diags.HasErrors()
	}
	if failed {
		return exitFailed
	}
	return o.done(app)
}

// prepare brings what a directory needs.
func (o *initOptions) prepare(ctx context.Context, p *project) diag.List {
	return o.prepareWith(ctx, p, func(text string) { o.say(p.app, text) })
}

// prepareWith is prepare for whoever shows in another way what it does.
func (o *initOptions) prepareWith(ctx context.Context, p *project, say func(string)) diag.List {
	if o.get {
		if diags := p.installModules(ctx, o.upgrade, say); diags.HasErrors() {
			return diags
		}
	}
	cfg, diags := p.config(ctx)
	if diags.HasErrors() {
		return diags
	}
	st, d := p.state(ctx)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	return append(diags, p.installProviders(ctx, cfg, st, o, say)...)
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

// installModules brings the modules that the configuration calls.
func (p *project) installModules(ctx context.Context, upgrade bool, say func(string)) diag.List {
	said := false
	installer := modules.Installer{Services: p.services(), Environ: nil}
	if p.app.sources == nil {
		p.app.sources = map[string][]byte{}
	}
	return installer.Install(ctx, p.rootDir(), modules.Options{
		Upgrade: upgrade, DataDir: p.dataDir, Files: p.app.sources,
		Progress: func(e modules.Progress) {
			if !said {
				say("Initializing modules...")
				said = true
			}
			say("- " + e.String())
		},
	})
}

// requirements lists every provider needed, with all constraints on it.
func requirements(cfg *configs.Config, st *states.State) []install.Request {
	byProvider := map[addrs.Provider]*install.Request{}
	add := func(p addrs.Provider) *install.Request {
		r := byProvider[p.Canonical()]
		if r == nil {
			r = &install.Request{Provider: p}
			byProvider[p.Canonical()] = r
		}
		return r
	}
	for _, m := range cfg.Modules {
		for _, rp := range m.RequiredProviders {
			r := add(rp.Source)
			if r.Range == nil || earlier(rp.Range, *r.Range) {
				r.Range = &rp.Range
			}
			for _, c := range rp.Constraints {
				r.Constraints = append(r.Constraints, c.Constraint)
			}
		}
	}
	if st != nil {
		for _, inst := range st.Instances {
			add(inst.Provider.Provider)
		}
	}
	out := make([]install.Request, 0, len(byProvider))
	for _, r := range byProvider {
		if r.Provider.IsBuiltIn() {
			continue
		}
		sort.Strings(r.Constraints)
		out = append(out, *r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Provider.String() < out[j].Provider.String() })
	return out
}

// earlier orders places: the one to show of several.
func earlier(a, b hcl.Range) bool {
	if a.Filename != b.Filename {
		return a.Filename < b.Filename
	}
	return a.Start.Byte < b.Start.Byte
}

// installProviders brings the providers that configuration and state need.
func (p *project) installProviders(ctx context.Context, cfg *configs.Config, st *states.State, o *initOptions, say func(string)) diag.List {
	needed := requirements(cfg, st)
	if len(needed) == 0 {
		return nil
	}
	attached, err := providers.Attached(os.Environ())
	if err != nil {
		return diag.FromError(err)
	}
	say("Initializing provider plugins...")
	return p.installer(o.pluginDir).Install(ctx, needed, install.Options{
		Upgrade: o.upgrade, Readonly: o.lockfile == "readonly", DataDir: p.dataDir, LockFile: p.place(lockFileName),
		Attached: attached,
		Progress: func(e install.Event) { say("- " + e.String()) },
	})
}

func getCommand() *command {
	return &command{
		name: "get", summary: "Install the modules that the configuration calls",
		setup: func(f *flagSet) action {
			var update bool
			f.toggle(&update, "update", "Look for newer versions of modules that are installed already.")
			f.acceptText("test-directory")
			return func(ctx context.Context, app *App, _ []string) int {
				p, diags := app.openProject()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				diags = p.installModules(ctx, update, func(text string) { fmt.Fprintln(app.Out, text) })
				app.show(diags)
				if diags.HasErrors() {
					return exitFailed
				}
				return exitOK
			}
		},
	}
}
