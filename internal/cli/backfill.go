package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/server/work"
	"github.com/tutti-dev/tutti/internal/triggers"
)

// backfillOptions are the flags of backfill.
type backfillOptions struct {
	project.VariableOptions
	environment string
	from, to    string
	parallelism int
	dryRun      bool
	again       bool
}

func backfillCommand() *command {
	return &command{
		name: "backfill", args: "TRIGGER", summary: "Run the workflow of a schedule for instants of the past", minArgs: 1, maxArgs: 1,
		about: `Runs the workflow of a trigger for every instant of its schedule from a time on (-from, included) up to another (-to, not included) that has no run yet, the oldest first. The run sees the instant as event.time, and is listed with those that the schedule started by itself.

Interrupting it (Ctrl-C) begins nothing more. The same command goes on where it was interrupted or killed.

TIME is an instant (2026-01-02T15:04:05Z), or a date or a time in the time zone of the schedule (2026-01-02, 2026-01-02T15:04). The exit code is 1 where a run did not succeed, or has not ended.`,
		example: "tutti backfill nightly -from 2026-01-01 -to 2026-02-01 -parallelism 4",
		setup: func(f *flagSet) action {
			o := &backfillOptions{parallelism: 1}
			f.text(&o.from, "from", "TIME", "The first instant comes here or later.")
			f.text(&o.to, "to", "TIME", "All instants come before.")
			f.number(&o.parallelism, "parallelism", "N", "How many runs are at work at once; 1 unless given.")
			f.toggle(&o.dryRun, "dry-run", "Only say what would be done.")
			f.toggle(&o.again, "again", "Run those again that have a run already.")
			f.text(&o.environment, "env", "NAME", "The environment to work in, where the trigger names none.")
			registerValues(f, &o.VariableOptions)
			return o.run
		},
		complete: completeTriggers,
	}
}

func (o *backfillOptions) run(ctx context.Context, app *App, args []string) int {
	p, list, diags := work.ReadTriggers(app.Session)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	b := &triggers.Backfill{Again: o.again, Parallelism: o.parallelism, Actor: app.Actor(), Authority: app.Authority()}
	for _, t := range list {
		if t.Name == args[0] {
			b.Trigger = t
		}
	}
	if b.Trigger == nil {
		return app.failf("No such schedule", "This project declares no trigger %q with a schedule. \"tutti schedules\" lists those there are.", args[0])
	}
	if diags = append(o.window(b, time.Now()), work.CheckSchedules(p, []*projects.Trigger{b.Trigger.Declared})...); diags.HasErrors() {
		return app.fail(diags)
	}
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	workflows, diags := work.TriggerRuns(ctx, op.Operation, p, []*projects.Trigger{b.Trigger.Declared}, o.environment, &o.VariableOptions)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	b.Watch = app.showTriggered(false, b.Trigger.Schedule.Location())
	b.Store, b.Runs = op.Opened, workflows
	if o.dryRun {
		return app.showBackfill(ctx, b)
	}
	result, err := b.Run(ctx)
	workflows.Runner.Wait()
	if err != nil {
		return app.failf("Backfill interrupted", "It did not get to its end: %s. The same command goes on with it.", err)
	}
	fmt.Fprintf(app.Out, "%d succeeded, %d failed, %d had a run already.\n", result.Succeeded, result.Failed, result.Had)
	if result.Left > 0 {
		fmt.Fprintf(app.Out, "%s not done: the same command goes on with what nobody else works on.\n", diag.CountOf(result.Left, "instant"))
	}
	if result.Failed+result.Left > 0 {
		return exitFailed
	}
	return exitOK
}

// window reads the times of a backfill.
func (o *backfillOptions) window(b *triggers.Backfill, now time.Time) diag.List {
	var diags diag.List
	read := func(option, given string, into *time.Time) {
		if given == "" {
			diags = append(diags, diag.Errorf("Time needed", "Give option -%s, for example -%[1]s 2026-01-02.", option)...)
			return
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
			if t, err := time.ParseInLocation(layout, given, b.Trigger.Schedule.Location()); err == nil {
				*into = t
				return
			}
		}
		diags = append(diags, diag.Errorf("Invalid time", "Option -%s: %q is neither an instant (2026-01-02T15:04:05Z) nor a date or a time in the time zone of the schedule (2026-01-02, 2026-01-02T15:04).", option, given)...)
	}
	read("from", o.from, &b.From)
	read("to", o.to, &b.To)
	switch {
	case diags.HasErrors():
	case !b.From.Before(b.To):
		diags = append(diags, diag.Errorf("Invalid time", "Option -from must be before -to.")...)
	case b.To.After(now):
		diags = append(diags, diag.Errorf("Invalid time", "Option -to must not be in the future: the schedule sees to those instants when they come.")...)
	}
	if o.parallelism < 1 {
		diags = append(diags, diag.Errorf("Invalid parallelism", "Option -parallelism must be at least 1, not %d.", o.parallelism)...)
	}
	return diags
}

// showBackfill says what a backfill would do.
func (a *App) showBackfill(ctx context.Context, b *triggers.Backfill) int {
	list, err := b.Plan(ctx)
	if err != nil {
		return a.failf("Cannot plan the backfill", "It cannot be said what would be done: %s.", err)
	}
	for _, one := range list {
		text := map[triggers.Intention]string{
			triggers.ToRun: "would run", triggers.ToResume: "would go on with run " + one.Run,
			triggers.ToLeave: "has run " + one.Run + ", which has not ended", triggers.IsDone: "has run " + one.Run,
		}[one.Do]
		fmt.Fprintf(a.Out, "%s  %s\n", one.At.Format(instantLayout), text)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Out, "The schedule has no instants in this time.")
	}
	return exitOK
}
