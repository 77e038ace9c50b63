package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// startThere has the server run a workflow.
func (o *workflowOptions) startThere(ctx context.Context, app *App, name string) int {
	environment := o.environment
	if environment == "" {
		environment = app.Environment
	}
	environment, diags := app.environmentThere(environment)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	// Values are sent as text: the server reads them as a command does.
	inputs := map[string]json.RawMessage{}
	for _, v := range o.VariableOptions.Given {
		variable, value, _ := strings.Cut(v.Text, "=")
		inputs[variable], _ = json.Marshal(value) // a text
	}
	var input json.RawMessage
	if o.aslOptions.input != "" {
		start, diags := o.aslOptions.start(app)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		input = start.Input
	}
	overrides, diags := app.overridesThere()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) {
		return app.remote.StartRun(ctx, client.StartRequest{Workflow: name, Environment: environment, Inputs: inputs, Input: input, Overrides: overrides, Source: app.sourceThere()})
	})
	if err != nil {
		return app.fail(app.remote.diagnose(err))
	}
	if o.detach {
		fmt.Fprintln(app.Out, run.ID)
		return exitOK
	}
	return app.watchThere(ctx, run, o.cancel, o.json)
}

// pagesOf reads a list to its end, or as far as most of it; 0 for all.
func pagesOf[T any](ctx context.Context, most int, page func(ctx context.Context, cursor string) (items []T, next string, err error)) ([]T, error) {
	var out []T
	for cursor := ""; ; {
		next, err := persist(ctx, func(ctx context.Context) (string, error) {
			items, next, err := page(ctx, cursor)
			if err == nil {
				out = append(out, items...)
			}
			return next, err
		})
		if err != nil {
			return nil, err
		}
		if most > 0 && len(out) >= most {
			return out[:most], nil
		}
		if next == "" {
			return out, nil
		}
		cursor = next
	}
}

// runsThere are the newest runs, 0 for all, in an environment, in all where none is named.
func (a *App) runsThere(ctx context.Context, most int, environment string) ([]runs.Run, error) {
	list, err := a.findRunsThere(ctx, most, client.ListRunsQuery{Environment: environment})
	if err != nil {
		return nil, err
	}
	out := make([]runs.Run, len(list))
	for i := range list {
		out[i] = runFromThere(&list[i])
	}
	return out, nil
}

func (a *App) findRunsThere(ctx context.Context, most int, query client.ListRunsQuery) ([]client.Run, error) {
	query.Limit = 500
	if most > 0 && most < 500 {
		query.Limit = int64(most)
	}
	return pagesOf(ctx, most, func(ctx context.Context, cursor string) ([]client.Run, string, error) {
		query.Cursor = cursor
		page, err := a.remote.ListRuns(ctx, query)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// childrenThere are the steps of a run that are runs of their own.
func (a *App) childrenThere(ctx context.Context, run string) ([]client.Run, error) {
	return a.findRunsThere(ctx, 0, client.ListRunsQuery{Parent: run})
}

func (a *App) showRunThere(ctx context.Context, id string, asJSON bool) int {
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return a.remote.GetRun(ctx, id) })
	if err != nil {
		return a.aboutRun(id, err)
	}
	steps, err := a.stepsThere(ctx, id)
	if err != nil {
		return a.aboutRun(id, err)
	}
	if run.Kind != runs.WorkflowKind {
		steps = nil // its operations, which the journal tells of
	}
	entries, err := a.journalThere(ctx, id)
	if err != nil {
		return a.aboutRun(id, err)
	}
	return a.reportRun(runFromThere(run), stepsFromThere(steps), entries, asJSON)
}

// journalThere is the journal of a run on the server, without what is sensitive.
func (a *App) journalThere(ctx context.Context, id string) ([]workflow.Entry, error) {
	sent, err := pagesOf(ctx, 0, func(ctx context.Context, cursor string) ([]client.Entry, string, error) {
		page, err := a.remote.ListJournal(ctx, id, client.ListJournalQuery{After: numberOf(cursor), Limit: 5000})
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	entries := make([]workflow.Entry, len(sent))
	for i, e := range sent {
		entries[i] = workflow.Entry{Sequence: e.Sequence, Time: e.Time, Kind: workflow.Kind(e.Kind), Step: int(e.Step), Data: e.Data}
	}
	return entries, err
}

func (a *App) stepsThere(ctx context.Context, run string) ([]client.Step, error) {
	page, err := persist(ctx, func(ctx context.Context) (*client.PageStep, error) { return a.remote.ListSteps(ctx, run) })
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// numberOf is a cursor that is a number; 0 for the beginning.
func numberOf(cursor string) (n int64) {
	_, _ = fmt.Sscan(cursor, &n)
	return n
}

func (a *App) cancelRunThere(ctx context.Context, id string) int {
	before, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return a.remote.GetRun(ctx, id) })
	if err != nil {
		return a.aboutRun(id, err)
	}
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return a.remote.CancelRun(ctx, id) })
	if err != nil {
		return a.aboutRun(id, err)
	}
	switch {
	case runs.Status(run.Status).Ended():
		fmt.Fprintf(a.Out, "Run %s is %s.\n", run.ID, run.Status)
	case before.Cancelling:
		fmt.Fprintf(a.Out, "Run %s was asked to cut off what it is doing.\n", run.ID)
	default:
		fmt.Fprintf(a.Out, "Run %s was asked to stop after what it is doing. Asked again, it is cut off.\n", run.ID)
	}
	return exitOK
}

// resumeThere goes on with a run: the one named, or the only one that was
// interrupted.
func (a *App) resumeThere(ctx context.Context, args []string, cancel, asJSON bool) int {
	id := strings.Join(args, "")
	if id == "" {
		list, err := a.findRunsThere(ctx, 0, client.ListRunsQuery{Status: string(runs.Interrupted)})
		if err != nil {
			return a.fail(a.remote.diagnose(err))
		}
		open := map[string]bool{}
		for _, run := range list {
			open[run.ID] = true
		}
		list = slices.DeleteFunc(list, func(r client.Run) bool { return open[r.Parent] }) // it is resumed with its parent
		switch len(list) {
		case 0:
			return a.failf("Nothing to resume", "No run on the server was interrupted.")
		case 1:
			id = list[0].ID
		default:
			return a.failf("Several runs were interrupted", "Say which one to resume; \"tutti runs\" lists them.")
		}
	}
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return a.remote.ResumeRun(ctx, id) })
	if err != nil {
		return a.aboutRun(id, err)
	}
	return a.watchThere(ctx, run, cancel, asJSON)
}

func (a *App) retryThere(ctx context.Context, id, from string, cancel, asJSON bool) int {
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) {
		return a.remote.RetryRun(ctx, id, client.RetryRequest{From: from})
	})
	if err != nil {
		return a.aboutRun(id, err)
	}
	return a.watchThere(ctx, run, cancel, asJSON)
}

func (a *App) showLogsThere(ctx context.Context, args []string, follow, asJSON bool) int {
	id, wanted := args[0], strings.Join(args[1:], "")
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return a.remote.GetRun(ctx, id) })
	if err != nil {
		return a.aboutRun(id, err)
	}
	if wanted != "" {
		steps, err := a.stepsThere(ctx, id)
		if err != nil {
			return a.aboutRun(id, err)
		}
		if run.Kind == runs.WorkflowKind && !hasStep(stepsFromThere(steps), wanted) {
			return a.failf("No such step", "The workflow of run %s has no step %q.", id, wanted)
		}
	}
	printer := &logPrinter{app: a, json: asJSON, wanted: wanted}
	defer printer.end()
	if follow {
		err := a.remote.StreamRun(ctx, id, client.StreamRunQuery{}, client.StreamRunHearer{Log: func(l client.Log) error {
			printer.print(logFromThere(l))
			return nil
		}})
		if err != nil && ctx.Err() == nil {
			return a.aboutRun(id, err)
		}
		return exitOK
	}
	list, err := pagesOf(ctx, 0, func(ctx context.Context, cursor string) ([]client.Log, string, error) {
		page, err := a.remote.ListLogs(ctx, id, client.ListLogsQuery{After: numberOf(cursor), Limit: 5000})
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	if err != nil {
		return a.aboutRun(id, err)
	}
	for _, l := range list {
		printer.print(logFromThere(l))
	}
	if strings.Contains(wanted, "[") && !printer.heard {
		entries, err := a.journalThere(ctx, id)
		if err != nil {
			return a.aboutRun(id, err)
		}
		if diags := notBegun(id, wanted, nil, entries); diags.HasErrors() {
			return a.fail(diags)
		}
	}
	return exitOK
}

func (a *App) signalThere(ctx context.Context, id string, s workflow.Signal) int {
	_, err := persist(ctx, func(ctx context.Context) (*client.Run, error) {
		return a.remote.SignalRun(ctx, id, client.SignalRequest{Event: s.Name, Data: s.Data})
	})
	if err != nil {
		return a.aboutRun(id, err)
	}
	fmt.Fprintf(a.Out, "Told of %s (run %s).\n", s.Name, id)
	return exitOK
}

// decideThere approves or rejects a step, after showing the plan that it is about.
// The decision is sent with the digest of the plan that was shown.
func (a *App) decideThere(ctx context.Context, id string, d decision) int {
	steps, err := a.stepsThere(ctx, id)
	if err != nil {
		return a.aboutRun(id, err)
	}
	asked, about := askedFor(steps, d.step), &verdict{}
	if asked != nil && asked.Plan != "" && d.kind == workflow.SignalApprove {
		about = a.verdictThere(ctx, asked.Plan, id)
	}
	if asked != nil && asked.Plan != "" && d.digest == "" && d.kind == workflow.SignalApprove {
		c := &remoteChange{app: a}
		if diags := c.read(ctx, asked.Plan, id); diags.HasErrors() {
			return a.fail(diags)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "Plan %s\n", asked.Plan)
		for _, part := range c.parts {
			describePart(&b, cmp.Or(part.stack, project.DirectoryName), c.plan.Environment, part.plan)
		}
		if diags := a.confirmText(ctx, b.String(), about, asked.Message, asked.Step, asked.Plan); diags.HasErrors() {
			return a.fail(diags)
		}
		d.digest = asked.Plan
	} else {
		about.showApart(a)
	}
	request := client.DecisionRequest{Step: d.step, Decision: string(d.kind), Plan: d.digest, Comment: d.comment}
	if _, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return a.remote.DecideStep(ctx, id, request) }); err != nil {
		return a.aboutRun(id, err)
	}
	step, have, people := d.step, 0, 0
	if asked != nil {
		step, have, people = asked.Step, len(asked.By)+1, int(asked.Count)
	}
	fmt.Fprint(a.Out, decided(d.kind, step, id, have, people)+about.summary())
	return exitOK
}

// askedFor is what the step of that name asks people for, or the only one where
// none is named; nil where that cannot be told, which the server says better.
func askedFor(steps []client.Step, name string) *client.Ask {
	var found []*client.Ask
	for _, s := range steps {
		for i, ask := range s.Asks {
			if ask.Event == "" && (name == "" || name == ask.Step) {
				found = append(found, &s.Asks[i])
			}
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// outputThere shows the outputs of stacks on the server.
func (a *App) outputThere(ctx context.Context, name string, asJSON, raw bool) int {
	environment, diags := a.environmentThere(a.Environment)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	list, diags := a.stacksThere(ctx, environment)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		names = []string{""} // a plain directory without a state
	}
	found := map[string]*states.State{}
	for _, stack := range names {
		var err error
		if found[stack], err = a.outputsThere(ctx, environment, stack); err != nil {
			return a.fail(a.remote.diagnose(err))
		}
	}
	if len(names) == 1 {
		return a.showOutputsThere(found[names[0]], name, asJSON, raw)
	}
	if name != "" {
		return a.failf("Which stack?", "The outputs of several stacks have names of their own: choose the stack with -stack=NAME.")
	}
	doc := map[string]map[string]outputJSON{}
	for _, stack := range names {
		if doc[stack] = describeOutputs(found[stack]); asJSON || len(found[stack].Outputs) == 0 {
			continue
		}
		fmt.Fprintf(a.Out, "# Stack %s\n", stack)
		if code := a.showOutputs(found[stack], false); code != exitOK {
			return code
		}
		fmt.Fprintln(a.Out)
	}
	if asJSON {
		return a.printJSONIndented(doc)
	}
	return exitOK
}

func (a *App) showOutputsThere(st *states.State, name string, asJSON, raw bool) int {
	if name == "" {
		return a.showOutputs(st, asJSON)
	}
	switch o := st.Outputs[name]; {
	case o == nil:
		return a.failf("Output not found", "There is no output %q in the state on the server.", name)
	case o.Sensitive:
		return a.failf("Output is sensitive", "The output %q is sensitive: a server tells nobody such values. Read it where the server's files are.", name)
	default:
		return a.showOutput(name, o, asJSON, raw)
	}
}

func (a *App) whoamiThere(asJSON bool) int {
	s := a.remote.session
	doc := whoamiAnswer{Subject: s.Subject, Groups: append([]string{}, s.Groups...), Roles: append([]string{}, s.Roles...), Source: "server", Issuer: a.remote.URL}
	return a.tellWhoami(doc, s.Guarded, asJSON)
}

func (a *App) listWorkflowsThere(ctx context.Context, asJSON bool) int {
	page, err := persist(ctx, func(ctx context.Context) (*client.PageWorkflow, error) { return a.remote.ListWorkflows(ctx) })
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	rows := []workflowRow{}
	for _, w := range page.Items {
		row := workflowRow{Name: w.Name, Description: w.Description, Steps: len(w.Steps)}
		if w.StateMachine {
			row.Definition = "state machine"
		}
		rows = append(rows, row)
	}
	return a.listWorkflows(rows, asJSON)
}
