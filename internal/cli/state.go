package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/states"
)

func stateCommand() *command {
	return &command{
		name: "state", summary: "Look at and change what is recorded about real objects",
		about: "State lives in Tutti's own store, a row per resource instance, with its history. These commands read and change it, and exchange it with other tools as tfstate files (version 4).",
		sub: []*command{
			stateHistoryCommand(), stateIdentitiesCommand(), stateListCommand(), stateMoveCommand(), statePullCommand(),
			statePushCommand(), stateReplaceProviderCommand(), stateRemoveCommand(), stateShowCommand(),
		},
	}
}

// stateEdit opens the state for a command that reads or changes it.
type stateEdit struct {
	*project.Directory
	app *App
	st  *states.State
}

func (a *App) openState(ctx context.Context, o *stateOptions) (*stateEdit, diag.List) {
	p, diags := a.OpenProject()
	if diags.HasErrors() {
		return nil, diags
	}
	p.UseStateFile(o.state, o.stateOut, o.backup)
	o.gate.hold(a)
	st, diags := p.State(ctx)
	if diags.HasErrors() {
		p.Close()
		return nil, diags
	}
	a.Show(diags)
	return &stateEdit{Directory: p, app: a, st: st}, nil
}

// write records changes and brings an exported file up to date.
func (e *stateEdit) write(ctx context.Context, cause string, changes []states.Change) int {
	return e.writeMoved(ctx, cause, changes, nil)
}

// writeMoved is write for changes by which objects get another address; moved says
// where they were before.
func (e *stateEdit) writeMoved(ctx context.Context, cause string, changes []states.Change, moved map[addrs.Object]addrs.Object) int {
	if diags := e.May(access.State); diags.HasErrors() {
		return e.app.fail(diags)
	}
	if len(e.st.Problems) > 0 && slices.ContainsFunc(changes, func(c states.Change) bool { return c.After != nil }) {
		return e.app.fail(project.Unreadable(e.st, diag.Error, "Nothing was changed, because they would be lost."))
	}
	if len(changes) > 0 {
		told, diags := gate.PassState(ctx, e.Directory, e.app.operationView(false), cause, e.st, changes, moved)
		if diags.HasErrors() {
			return e.app.fail(diags)
		}
		e.app.Show(diags)
		err := e.Opened.Write(ctx, e.Key(), states.Write{Cause: cause, Changes: changes, Events: append(told, project.StateEvents(e.app.Actor(), e.Key(), cause, changes)...)})
		if err != nil {
			return e.app.fail(stateWriteProblem(err))
		}
	}
	if diags := e.Export(ctx); len(diags) > 0 {
		e.app.Show(diags)
	}
	return exitOK
}

// stateWriteProblem explains why a change of the state was refused.
func stateWriteProblem(err error) diag.List {
	return diag.Errorf("Cannot change the state", "%s. Nothing was changed; look at the state again and repeat the command.", err)
}

func parseAddresses(args []string) ([]addrs.Target, diag.List) {
	var diags diag.List
	var out []addrs.Target
	for _, arg := range args {
		t, err := addrs.ParseTarget(arg)
		if err != nil {
			diags = append(diags, diag.Errorf("Invalid address", "%s.", err)...)
			continue
		}
		out = append(out, t)
	}
	return out, diags
}

func stateListCommand() *command {
	return &command{
		name: "list", args: "[ADDRESS...]", summary: "List the objects in the state", maxArgs: -1, complete: completeAddresses,
		about: "Lists the addresses of all objects, or of those in the modules and resources given.",
		setup: func(f *flagSet) action {
			var o stateOptions
			var id string
			o.registerRead(f)
			f.text(&id, "id", "ID", "Only objects whose id is this.")
			return func(ctx context.Context, app *App, args []string) int {
				targets, diags := parseAddresses(args)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if app.remote != nil {
					return app.listObjectsThere(ctx, args, targets)
				}
				several, diags := app.openSeveral()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if several != nil {
					defer several.Close()
					return app.listObjects(ctx, several, args, id)
				}
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				list, diags := matching(e.st, targets)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				printAddresses(app.Out, "", withID(list, id))
				return exitOK
			}
		},
	}
}

// withID leaves those that have this id; all where it is empty.
func withID(list []*states.Instance, id string) []*states.Instance {
	return slices.DeleteFunc(list, func(inst *states.Instance) bool { return id != "" && project.ObjectID(inst) != id })
}

// printAddresses prints the address of each instance once, whatever it has deposed.
func printAddresses(out io.Writer, prefix string, list []*states.Instance) {
	var b strings.Builder
	last := addrs.ResourceInstance{}
	for _, inst := range list {
		if inst.Object.Instance != last {
			b.WriteString(prefix + inst.Object.Instance.String() + "\n")
		}
		last = inst.Object.Instance
	}
	fmt.Fprint(out, b.String())
}

func stateShowCommand() *command {
	return &command{
		name: "show", args: "ADDRESS", summary: "Show one object in the state", minArgs: 1, maxArgs: 1, complete: completeAddresses,
		about: "Shows all attributes of one resource instance. Sensitive values are hidden.",
		setup: func(f *flagSet) action {
			var o stateOptions
			o.registerRead(f)
			return func(ctx context.Context, app *App, args []string) int {
				addr, err := addrs.ParseResourceInstance(args[0])
				if err != nil {
					return app.failf("Invalid address", "%s.", err)
				}
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				found := false
				for _, inst := range e.st.Sorted() {
					if inst.Object.Instance == addr {
						found = true
						app.showInstance(ctx, e.Directory, inst)
					}
				}
				if !found {
					return app.failf("No instance found for the given address", "The state contains no %s. Addresses are listed by \"tutti state list\"; an instance of a resource with count or for_each needs its key, as in %[1]s[0].", addr)
				}
				return exitOK
			}
		},
	}
}

func stateMoveCommand() *command {
	return &command{
		name: "mv", args: "SOURCE DESTINATION", summary: "Give objects in the state another address", minArgs: 2, maxArgs: 2, complete: completeAddresses,
		about: "Moves an instance, a resource with all its instances, or a module with everything in it. Real objects are not touched. To have the same move happen for everybody who uses a configuration, write a moved block instead.",
		setup: func(f *flagSet) action {
			var o stateOptions
			var dryRun bool
			o.registerChange(f)
			o.gate.register(f)
			f.toggle(&dryRun, "dry-run", "Only show what would be moved.")
			return func(ctx context.Context, app *App, args []string) int {
				targets, diags := parseAddresses(args)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				list, diags := planMove(e.st, targets[0], targets[1])
				if diags.HasErrors() {
					return app.fail(diags)
				}
				word := "Move"
				if dryRun {
					word = "Would move"
				}
				for _, m := range list {
					fmt.Fprintf(app.Out, "%s \"%s\" to \"%s\"\n", word, m.from.Object, m.to)
				}
				if dryRun {
					return exitOK
				}
				from := map[addrs.Object]addrs.Object{}
				for _, m := range list {
					from[m.to] = m.from.Object
				}
				if code := e.writeMoved(ctx, "move", moveChanges(e.st, list), from); code != exitOK {
					return code
				}
				fmt.Fprintf(app.Out, "Successfully moved %s.\n", diag.CountOf(len(list), "object"))
				return exitOK
			}
		},
	}
}

func stateRemoveCommand() *command {
	return &command{
		name: "rm", args: "ADDRESS...", summary: "Forget objects without destroying them", minArgs: 1, maxArgs: -1, complete: completeAddresses,
		about: "Removes instances, resources or modules from the state. The real objects stay as they are, unmanaged. To do the same for everybody who uses a configuration, write a removed block with destroy = false.",
		setup: func(f *flagSet) action {
			var o stateOptions
			var dryRun bool
			o.registerChange(f)
			o.gate.register(f)
			f.toggle(&dryRun, "dry-run", "Only show what would be removed.")
			return func(ctx context.Context, app *App, args []string) int {
				targets, diags := parseAddresses(args)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				list, diags := matching(e.st, targets)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				word := "Removed"
				if dryRun {
					word = "Would remove"
				}
				for _, inst := range list {
					fmt.Fprintf(app.Out, "%s %s\n", word, inst.Object)
				}
				if dryRun {
					return exitOK
				}
				if code := e.write(ctx, "remove", removal(list)); code != exitOK {
					return code
				}
				fmt.Fprintf(app.Out, "Successfully removed %s.\n", diag.CountOf(len(list), "object"))
				return exitOK
			}
		},
	}
}

func statePullCommand() *command {
	return &command{
		name: "pull", summary: "Print the state as a tfstate file",
		about: "Prints the whole state of the environment in the format all tools around Terraform read (tfstate version 4), sensitive values in clear.",
		setup: func(f *flagSet) action {
			var o stateOptions
			return func(ctx context.Context, app *App, _ []string) int {
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				data, err := states.Encode(e.st)
				if err != nil {
					return app.failf("Cannot write the state", "%s.", err)
				}
				if _, err := app.Out.Write(data); err != nil {
					return app.failf("Cannot write the state", "%s.", err)
				}
				return exitOK
			}
		},
	}
}

func statePushCommand() *command {
	return &command{
		name: "push", args: "FILE", summary: "Replace the state by that of a tfstate file", minArgs: 1, maxArgs: 1,
		about: "Reads a tfstate file (- for standard input) and makes the state of the environment be exactly that. A file of another lineage, or older than the state, is refused unless -force is given. What was there before stays in the history.",
		setup: func(f *flagSet) action {
			var o stateOptions
			var force bool
			o.registerLock(f)
			o.gate.register(f)
			f.toggle(&force, "force", "Push even if the file has another lineage or is older.")
			return func(ctx context.Context, app *App, args []string) int {
				pushed, diags := app.readPushed(args[0])
				if diags.HasErrors() {
					return app.fail(diags)
				}
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				if diags := e.May(access.State); diags.HasErrors() {
					return app.fail(diags)
				}
				if !force && e.st.Serial > 0 {
					if e.st.Lineage != pushed.Lineage && !e.st.Empty() {
						return app.failf("Other lineage", "The file has lineage %q, the state has %q: they do not come from each other. If the file is to replace the state nevertheless, use -force.", pushed.Lineage, e.st.Lineage)
					}
					if e.st.Lineage == pushed.Lineage && pushed.Serial < e.st.Serial {
						return app.failf("Older state", "The file has serial %d, the state has %d: the file is older. If it is to replace the state nevertheless, use -force.", pushed.Serial, e.st.Serial)
					}
				}
				if pushed.Lineage == "" {
					pushed.Lineage = uuid.NewString()
				}
				pushed.Serial = max(pushed.Serial, e.st.Serial+1)
				write := project.WholeState(e.app.Actor(), e.Key(), e.st, pushed, "push")
				told, diags := gate.PassState(ctx, e.Directory, e.app.operationView(false), "push", e.st, write.Changes, nil)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				app.Show(diags)
				write.Events = append(told, write.Events...)
				if err := e.Opened.Write(ctx, e.Key(), write); err != nil {
					return app.fail(stateWriteProblem(err))
				}
				app.Show(e.Export(ctx))
				return exitOK
			}
		},
	}
}

func (a *App) readPushed(name string) (*states.State, diag.List) {
	if name != "-" {
		return readStateFile(name)
	}
	data, err := io.ReadAll(a.In)
	if err != nil {
		return nil, diag.Errorf("Cannot read standard input", "%s.", err)
	}
	st, err := states.Decode(data)
	if err != nil {
		return nil, diag.InFile("Standard input", diag.FromError(err))
	}
	return st, nil
}

// readStateFile reads a tfstate file.
func readStateFile(name string) (*states.State, diag.List) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, diag.Errorf("Cannot read state file", "%s.", files.Reason(err))
	}
	st, err := states.Decode(data)
	if err != nil {
		return nil, diag.InFile(name, diag.FromError(err))
	}
	return st, nil
}

func stateReplaceProviderCommand() *command {
	return &command{
		name: "replace-provider", args: "FROM TO", summary: "Let objects in the state belong to another provider", minArgs: 2, maxArgs: 2,
		about: "Changes the provider of every object that belongs to FROM to TO, for example when a provider has moved to another namespace. The public registries of Terraform and OpenTofu name the same providers, so moving between them needs no such change.",
		setup: func(f *flagSet) action {
			var o stateOptions
			var autoApprove bool
			o.registerChange(f)
			o.gate.register(f)
			f.toggle(&autoApprove, "auto-approve", "Do not ask.")
			return func(ctx context.Context, app *App, args []string) int {
				from, err := addrs.ParseProvider(args[0])
				if err != nil {
					return app.failf("Invalid provider", "%q: %s.", args[0], err)
				}
				to, err := addrs.ParseProvider(args[1])
				if err != nil {
					return app.failf("Invalid provider", "%q: %s.", args[1], err)
				}
				e, diags := app.openState(ctx, &o)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				changes := replaceProvider(e.st, from, to)
				if len(changes) == 0 {
					fmt.Fprintln(app.Out, "No matching resources found.")
					return exitOK
				}
				fmt.Fprintf(app.Out, "Objects of provider %s that will belong to %s:\n\n", from.ForDisplay(), to.ForDisplay())
				for _, c := range changes {
					fmt.Fprintf(app.Out, "  %s\n", c.Object)
				}
				if !autoApprove {
					yes, err := app.prompter().confirm(ctx, "Do you want to make these changes?", "Real objects are not touched.")
					if err != nil || !yes {
						fmt.Fprintln(app.Out, "Nothing was changed.")
						return exitOK
					}
				}
				if code := e.write(ctx, "replace-provider", changes); code != exitOK {
					return code
				}
				fmt.Fprintf(app.Out, "\nSuccessfully replaced the provider of %s.\n", diag.CountOf(len(changes), "object"))
				return exitOK
			}
		},
	}
}

func stateHistoryCommand() *command {
	return &command{
		name: "history", args: "[ADDRESS]", summary: "List what changed in the state, when and why", maxArgs: 1, complete: completeAddresses,
		about: "Lists every recorded change of one resource instance, or of all, newest first: when, by which run, and why.",
		setup: func(f *flagSet) action {
			var limit int
			f.number(&limit, "limit", "N", "Only the newest N changes.")
			return func(ctx context.Context, app *App, args []string) int {
				if limit < 0 {
					return app.fail(negativeLimit(limit))
				}
				var object *addrs.Object
				if len(args) == 1 {
					addr, err := addrs.ParseResourceInstance(args[0])
					if err != nil {
						return app.failf("Invalid address", "%s.", err)
					}
					object = &addrs.Object{Instance: addr}
				}
				e, diags := app.openState(ctx, &stateOptions{})
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				list, err := e.Opened.History(ctx, e.Key(), object)
				if err != nil {
					return app.fail(diag.FromError(err))
				}
				switch {
				case len(list) == 0 && object != nil:
					return app.failf("No such object", "Nothing is recorded about %s: it never was in this state. \"tutti state list\" lists what is.", object)
				case len(list) == 0:
					fmt.Fprintln(app.Out, "No changes are recorded.")
					return exitOK
				}
				if limit > 0 && len(list) > limit {
					list = list[:limit]
				}
				var b strings.Builder
				for _, r := range list {
					run := r.Run
					if run == "" {
						run = "-"
					}
					head := fmt.Sprintf("%s  %-10s  %-16s", r.At.Local().Format(time.DateTime), r.Cause, run)
					b.WriteString(views.Listed(head, 21, "  ", r.Object.String()) + "\n")
				}
				fmt.Fprint(app.Out, b.String())
				return exitOK
			}
		},
	}
}

func stateIdentitiesCommand() *command {
	return &command{
		name: "identities", args: "[ADDRESS...]", summary: "List the identities of objects in the state", maxArgs: -1, complete: completeAddresses,
		about: "Prints, as JSON, the identity that providers gave to objects, for those that have one.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON, which is the only form.")
			return func(ctx context.Context, app *App, args []string) int {
				targets, diags := parseAddresses(args)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				e, diags := app.openState(ctx, &stateOptions{})
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer e.Close()
				list, diags := matching(e.st, targets)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				doc := map[string]any{}
				for _, inst := range list {
					if len(inst.Identity) > 0 {
						doc[inst.Object.String()] = inst.Identity
					}
				}
				return app.printJSONIndented(doc)
			}
		},
	}
}

// completeAddresses proposes addresses from the state.
func completeAddresses(app *App, args []string) []string {
	e, diags := app.openState(context.Background(), &stateOptions{})
	if diags.HasErrors() {
		return nil
	}
	defer e.Close()
	var out []string
	for _, inst := range e.st.Sorted() {
		out = append(out, inst.Object.Instance.String())
	}
	return out
}
