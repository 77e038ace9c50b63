package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

func workspaceCommand() *command {
	return &command{
		name: "workspace", summary: "List, make and select environments",
		about: "An environment is one state of this configuration: Terraform calls it a workspace, and terraform.workspace is its name. The environment variable TF_WORKSPACE selects one for a single command.",
		sub: []*command{
			{
				name: "delete", args: "NAME", summary: "Delete an environment", minArgs: 1, maxArgs: 1, complete: completeEnvironments,
				about: "Deletes an environment and its state. One that still has objects is kept unless -force is given: the objects would stay behind, unmanaged.",
				setup: func(f *flagSet) action {
					var o stateOptions
					var force bool
					o.registerLock(f)
					o.gate.register(f)
					f.toggle(&force, "force", "Delete even if the state still has objects.")
					return func(ctx context.Context, app *App, args []string) int {
						o.gate.hold(app)
						return deleteEnvironment(ctx, app, args[0], force)
					}
				},
			},
			{
				name: "list", summary: "List environments",
				setup: func(*flagSet) action { return listEnvironments },
			},
			{
				name: "new", args: "NAME", summary: "Make an environment and select it", minArgs: 1, maxArgs: 1,
				setup: func(f *flagSet) action {
					var o stateOptions
					o.registerLock(f)
					o.gate.register(f)
					f.text(&o.state, "state", "FILE", "Start with the state in this tfstate file.")
					return func(ctx context.Context, app *App, args []string) int {
						o.gate.hold(app)
						return newEnvironment(ctx, app, args[0], o.state)
					}
				},
			},
			{
				name: "select", args: "NAME", summary: "Select an environment", minArgs: 1, maxArgs: 1, complete: completeEnvironments,
				setup: func(f *flagSet) action {
					var create bool
					f.toggle(&create, "or-create", "Make the environment if there is none of that name.")
					return func(ctx context.Context, app *App, args []string) int {
						return selectEnvironment(ctx, app, args[0], create)
					}
				},
			},
			{
				name: "show", summary: "Print the name of the selected environment",
				setup: func(*flagSet) action {
					return func(_ context.Context, app *App, _ []string) int {
						p, diags := app.OpenRoot()
						if diags.HasErrors() {
							return app.fail(diags)
						}
						fmt.Fprintln(app.Out, p.Environment)
						return exitOK
					}
				},
			},
		},
	}
}

// environments opens the project and lists its environments: those of the store
// and those that other tools left as folders.
func (a *App) environments(ctx context.Context) (*project.Directory, []string, diag.List) {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, nil, diags
	}
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		p.Close()
		return nil, nil, diags
	}
	names, err := p.KnownEnvironments(ctx, store)
	if err != nil {
		p.Close()
		return nil, nil, diag.FromError(err)
	}
	if p.Ensemble != nil {
		return p, names, nil
	}
	entries, _ := os.ReadDir("terraform.tfstate.d")
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(names, e.Name()) {
			names = append(names, e.Name())
		}
	}
	if !slices.Contains(names, p.Environment) && len(p.DeclaredEnvironments()) == 0 {
		names = append(names, p.Environment)
	}
	slices.Sort(names)
	return p, names, nil
}

func completeEnvironments(app *App, _ []string) []string {
	p, names, diags := app.environments(context.Background())
	if diags.HasErrors() {
		return nil
	}
	p.Close()
	return names
}

func listEnvironments(ctx context.Context, app *App, _ []string) int {
	p, names, diags := app.environments(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	for _, name := range names {
		mark := " "
		if name == p.Environment {
			mark = "*"
		}
		fmt.Fprintf(app.Out, "%s %s\n", mark, name)
	}
	fmt.Fprintln(app.Out)
	return exitOK
}

// validEnvironment says whether a name can be used in file names and addresses.
func validEnvironment(name string) bool { return name != "" && url.PathEscape(name) == name }

func newEnvironment(ctx context.Context, app *App, name, stateFile string) int {
	if !validEnvironment(name) {
		return app.failf("Invalid environment name", "%q is not allowed as a name: use letters, digits, dashes and underscores.", name)
	}
	p, names, diags := app.environments(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	if p.Ensemble != nil {
		if stateFile != "" {
			return app.failf("Which stack?", "Option -state brings in the state of one stack: make the environment, then use \"tutti state push -stack=NAME\".")
		}
	}
	if declared := p.DeclaredEnvironments(); len(declared) > 0 && !slices.Contains(declared, name) {
		return app.fail(p.NoEnvironment(name, names))
	}
	for _, key := range p.StateKeys(name) {
		if diags := app.May(access.State, name, key.Stack); diags.HasErrors() {
			return app.fail(diags)
		}
	}
	key := p.KeyIn(name)
	var write states.Write
	if stateFile != "" {
		st, diags := readStateFile(stateFile)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		none := states.New()
		write = project.WholeState(p.Session.Actor(), key, none, st, "push")
		told, diags := gate.PassState(ctx, p.Aside(key), app.operationView(false), "push", none, write.Changes, nil)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		app.Show(diags)
		write.Events = append(told, write.Events...)
	}
	err := p.Opened.CreateEnvironment(ctx, key, runs.AuditEvent(key, "environment.created", name, app.Actor(), nil))
	if errors.Is(err, states.ErrExists) || slices.Contains(names, name) && name != p.Environment {
		return app.failf("Environment exists", "There is an environment %q already. Select it with \"tutti workspace select %[1]s\".", name)
	}
	if err != nil {
		return app.fail(diag.FromError(err))
	}
	if stateFile != "" {
		if err := p.Opened.Write(ctx, key, write); err != nil {
			return app.fail(stateWriteProblem(err))
		}
	}
	if err := p.Remember(name); err != nil {
		return app.failf("Cannot select the environment", "%s.", err)
	}
	fmt.Fprintf(app.Out, "Created and switched to environment \"%s\".\n\nIts state is empty: \"tutti plan\" will show everything as new.\n", name)
	return exitOK
}

func selectEnvironment(ctx context.Context, app *App, name string, create bool) int {
	if os.Getenv("TF_WORKSPACE") != "" {
		return app.failf("Environment is fixed", "The environment variable TF_WORKSPACE selects %q, and overrides what is selected here. Unset it first.", os.Getenv("TF_WORKSPACE"))
	}
	p, names, diags := app.environments(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if !slices.Contains(names, name) && create {
		p.Close()
		return newEnvironment(ctx, app, name, "")
	}
	defer p.Close()
	if !slices.Contains(names, name) {
		return app.fail(p.NoEnvironment(name, names))
	}
	if name == p.Environment {
		return exitOK
	}
	if err := p.Remember(name); err != nil {
		return app.failf("Cannot select the environment", "%s.", err)
	}
	fmt.Fprintf(app.Out, "Switched to environment \"%s\".\n", name)
	return exitOK
}

func deleteEnvironment(ctx context.Context, app *App, name string, force bool) int {
	p, names, diags := app.environments(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	switch {
	case name == project.DefaultEnvironment:
		return app.failf("Cannot delete the default environment", "The environment %q always exists.", name)
	case !slices.Contains(names, name):
		return app.failf("No such environment", "There is no environment %q.%s There are: %s.", name, diag.DidYouMean(name, names), strings.Join(names, ", "))
	case name == p.Environment:
		return app.failf("Environment is selected", "The environment %q is the selected one: select another first.", name)
	}
	objects := 0
	told := map[states.Key][]events.Event{}
	for _, key := range p.StateKeys(name) {
		if diags := app.May(access.State, name, key.Stack); diags.HasErrors() {
			return app.fail(diags)
		}
		st, err := p.Opened.State(ctx, key)
		if err != nil {
			return app.fail(diag.FromError(err))
		}
		if objects += len(st.Instances); len(st.Instances) == 0 || !force {
			continue
		}
		var diags diag.List
		if told[key], diags = gate.PassState(ctx, p.Aside(key), app.operationView(false), "workspace delete", st, removal(st.Sorted()), nil); diags.HasErrors() {
			return app.fail(diags)
		}
		app.Show(diags)
	}
	if objects > 0 && !force {
		return app.failf("Environment is not empty", "The state of environment %q still has %s. Destroy them first, or give -force to leave them behind unmanaged.", name, diag.CountOf(objects, "object"))
	}
	for _, key := range p.StateKeys(name) {
		deleted := runs.AuditEvent(key, "environment.deleted", name, app.Actor(), map[string]int{"objects": objects})
		if err := p.Opened.DeleteEnvironment(ctx, key, append(told[key], deleted)...); err != nil {
			return app.fail(diag.FromError(err))
		}
	}
	fmt.Fprintf(app.Out, "Deleted environment \"%s\".\n", name)
	if objects > 0 {
		app.Show(diag.Warningf("Objects left behind", "%s that the environment managed still exist, but are no longer managed by Tutti.", diag.CountOf(objects, "object")))
	}
	return exitOK
}
