package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/observer"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/server/work"
	"github.com/tutti-dev/tutti/internal/states"
)

func driftCommand() *command {
	return &command{
		name: "drift", summary: "Show what is not as it was left", main: true,
		about: `Shows what the last look at each stack found: objects that are not as they were left, what of them differs, and what changes again and again. Looks are made by "tutti server", where the project has an observe block, and with -now. They change nothing.

Without -env, all environments are shown that somebody has looked at.`,
		example: "tutti drift\ntutti drift -env=prod -stack=shop -now",
		setup: func(f *flagSet) action {
			o := &driftOptions{}
			f.toggle(&o.now, "now", "Look now, at the stacks selected.")
			f.toggle(&o.reset, "reset", "Forget what changed again and again: it is put back again, where that is wished.")
			f.toggle(&o.detailedExit, "detailed-exitcode", "Exit with 2 if something is not as it was left, 0 if everything is, 1 on errors.")
			o.registerJSON(f, "Print as JSON, as the API of a server has it.")
			return o.show
		},
	}
}

type driftOptions struct {
	outputOptions
	now, reset, detailedExit bool
}

func (o *driftOptions) show(ctx context.Context, app *App, _ []string) int {
	if app.remote != nil {
		return o.showThere(ctx, app)
	}
	op, diags := app.openRootOperation(false)
	app.jsonOut, app.prose = o.json, !o.json
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	store, diags := op.Store(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	p, err := operations.LoadedProject(op.RootDir())
	if p != nil {
		app.Quote(p.Files)
	}
	if err != nil {
		return app.fail(diag.FromError(err))
	}
	w := work.NewObserver(op.Operation, store)
	targets, _, err := w.Targets(ctx)
	if err != nil {
		return app.fail(diag.FromError(err))
	}
	targets, diags = o.selected(op, p, targets)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	for _, t := range targets {
		diags = append(diags, o.act(ctx, app, w, t)...)
	}
	docs := []*api.Drift{}
	for _, t := range targets {
		r, err := w.Observed(ctx, t.Key)
		if err != nil {
			return app.fail(diag.FromError(err))
		}
		if doc := work.DriftOf(p, t.Key, r); doc.Looked != nil || doc.Problem != "" || doc.Observed {
			docs = append(docs, doc)
		}
	}
	return o.report(app, docs, diags)
}

// selected are the targets that the command is about: of all environments, unless
// one is chosen or something is done.
func (o *driftOptions) selected(op *operation, p *projects.Project, targets []observer.Target) ([]observer.Target, diag.List) {
	environment := op.app.Environment
	if environment == "" {
		environment = os.Getenv("TF_WORKSPACE")
	}
	if environment != "" || o.now || o.reset {
		var diags diag.List
		if environment, diags = op.ChooseEnvironment(p, environment); diags.HasErrors() {
			return nil, diags
		}
	}
	return slices.DeleteFunc(targets, func(t observer.Target) bool {
		return environment != "" && t.Key.Environment != environment ||
			op.Ensemble != nil && !slices.Contains(op.Ensemble.Names, t.Key.Stack)
	}), nil
}

// act does what the options ask for about one stack.
func (o *driftOptions) act(ctx context.Context, app *App, w *work.Observer, t observer.Target) diag.List {
	if o.reset {
		if diags := app.May(access.Apply, t.Key.Environment, t.Key.Stack); diags.HasErrors() {
			return diags
		}
		if err := w.Reset(ctx, t.Key, app.Actor()); err != nil {
			return diag.FromError(err)
		}
	}
	if !o.now {
		return nil
	}
	if diags := app.May(access.Plan, t.Key.Environment, t.Key.Stack); diags.HasErrors() {
		return diags
	}
	if t.Block != nil {
		block := *t.Block
		block.Repair = false // that is for a server, which is there to make the run
		t.Block = &block
	}
	err := w.Loop.Look(ctx, t, &observer.Asked{By: app.Actor(), Authority: app.Authority(), At: time.Now().UTC()})
	switch {
	case errors.Is(err, observer.ErrUnsteady):
		return diag.Errorf("Stack is being changed", "A run, or somebody who has locked the state, is changing %s: look again when that has ended.", project.PlaceOf(t.Key))
	case err != nil:
		return diag.FromError(err)
	}
	if r, err := w.Observed(ctx, t.Key); err == nil && r.Problem != "" {
		return diag.Errorf("Cannot look at the stack", "%s: %s.", project.PlaceOf(t.Key), strings.TrimSuffix(r.Problem, "."))
	}
	return nil
}

func (o *driftOptions) report(app *App, docs []*api.Drift, diags diag.List) int {
	code, drifted := exitOK, false
	for i, doc := range docs {
		drifted = drifted || doc.Drifted > 0
		if !o.json {
			if i > 0 {
				fmt.Fprintln(app.Out)
			}
			app.showDrift(doc)
		}
	}
	switch {
	case o.json:
		code = app.printJSONIndented(docs)
	case len(docs) == 0 && !diags.HasErrors():
		fmt.Fprintln(app.Out, views.Said("Nobody has looked yet. \"tutti drift -now\" does; with an observe block in the project's files, \"tutti server\" does again and again.", 0))
	}
	app.Show(diags)
	switch {
	case diags.HasErrors():
		return exitFailed
	case drifted && o.detailedExit:
		return exitChanges
	}
	return code
}

// showDrift tells what is known of one stack.
func (a *App) showDrift(d *api.Drift) {
	name := project.PlaceOf(states.Key{Stack: d.Stack, Environment: d.Environment})
	if d.Looked == nil {
		fmt.Fprintf(a.Out, "%s: nobody has looked yet.\n", name)
	} else {
		what := "everything is as it was left"
		if d.Drifted > 0 {
			what = diag.CountOf(d.Drifted, "object") + " not as it was left"
			if d.Drifted > 1 {
				what = diag.CountOf(d.Drifted, "object") + " not as they were left"
			}
		}
		fmt.Fprintf(a.Out, "%s: %s, %s ago.\n", name, what, age(*d.Looked, time.Now()))
	}
	if d.Problem != "" {
		fmt.Fprintln(a.Out, views.Said(fmt.Sprintf("  The last look failed %s ago: %s", age(*d.Failed, time.Now()), printable(d.Problem)), 4))
	}
	for _, c := range d.Changes {
		since := "since " + c.Since.Local().Format(time.DateTime)
		if c.Action == observer.Deleted {
			fmt.Fprintln(a.Out, views.Listed(fmt.Sprintf("  - %s is gone", c.Address), 6, ", ", since))
			continue
		}
		fmt.Fprintln(a.Out, views.Listed(fmt.Sprintf("  ~ %s has changed", c.Address), 6, ", ", since))
		for _, attr := range c.Attributes {
			if attr.Sensitive {
				fmt.Fprintf(a.Out, "      %s: (sensitive value)\n", attr.Path)
				continue
			}
			fmt.Fprintln(a.Out, views.Listed(fmt.Sprintf("      %s: %s", attr.Path, oneLine(attr.Before)), 8, " ", "-> "+oneLine(attr.After)))
		}
	}
	for _, f := range d.Flaps {
		fmt.Fprintln(a.Out, views.Said(fmt.Sprintf("  Left alone since %s: %s", f.Since.Local().Format(time.DateTime), printable(f.Because)), 4))
	}
	if r := d.Repair; r != nil {
		text := "  Last repair: run " + r.Run
		if r.Problem != "" {
			text += " could not be made: " + printable(r.Problem)
		}
		fmt.Fprintln(a.Out, views.Said(text, 4))
	}
}

// oneLine is a JSON value as it is shown.
func oneLine(value json.RawMessage) string {
	const most = 120
	text := []rune(printable(string(value)))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
