package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

func runsCommand() *command {
	list := runsListCommand()
	return &command{
		name: "runs", summary: "List what was carried out here, and how it ended", main: true,
		about: "Every apply is a run: a durable record of what was planned, what was begun and what came of it. Without a word, lists the runs of this project; with -env only those in that environment.",
		setup: list.setup,
		sub:   []*command{runsArtifactsCommand(), cancelCommand(), list, resumeCommand(), runsRetryCommand(), runsShowCommand(), runsUpgradeCommand(), runsWatchCommand()},
	}
}

func runsListCommand() *command {
	return &command{
		name: "list", summary: "List runs, newest first",
		about: "Lists the runs of this project, newest first; with -env only those in that environment.",
		setup: func(f *flagSet) action {
			var o outputOptions
			limit := 20
			o.registerJSON(f, "Print as JSON.")
			f.number(&limit, "limit", "N", "Only the newest N; 0 for all.")
			return func(ctx context.Context, app *App, _ []string) int {
				if limit < 0 {
					return app.fail(negativeLimit(limit))
				}
				if app.remote != nil {
					list, err := app.runsThere(ctx, limit, app.Environment)
					if err != nil {
						return app.fail(app.remote.diagnose(err))
					}
					return app.listRuns(list, o.json)
				}
				p, list, diags := app.runs(ctx, runs.RunQuery{Environment: app.Environment, Limit: limit})
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				if len(list) == 0 && app.Environment != "" {
					if diags := p.CheckEnvironment(ctx, app.Environment); diags.HasErrors() {
						return app.fail(diags)
					}
				}
				return app.listRuns(list, o.json)
			}
		},
	}
}

func (a *App) listRuns(list []runs.Run, asJSON bool) int {
	if asJSON {
		docs := make([]runJSON, len(list))
		for i, run := range list {
			docs[i] = describeRun(run)
		}
		return a.printJSONIndented(docs)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Out, "No runs yet.")
	}
	for _, run := range list {
		fmt.Fprintln(a.Out, runLine(run, time.Now()))
	}
	return exitOK
}

// runLine is a run in a line of 80 columns: name, status, steps, beginning, what.
func runLine(run runs.Run, now time.Time) string {
	created := run.Created.Local()
	when := created.Format("2006-01-02")
	if created.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		when = created.Format("15:04:05")
	}
	what := run.Kind
	if run.Summary != "" && run.Kind == runs.WorkflowKind {
		what = run.Summary
	} else if run.Summary != "" {
		what += ": " + run.Summary
	}
	if env := environmentOf(run); env != "" {
		what = env + ": " + what
	}
	status := string(run.Status)
	if run.Status == runs.Running && run.Waits != "" {
		status, what = "waiting", "for "+string(run.Waits)+": "+what
	}
	line := fmt.Sprintf("%-14s %-11s %11s  %-10s  %s", run.ID, status, fmt.Sprintf("%d/%d", run.Done, run.Steps), when, what)
	if r := []rune(line); len(r) > 80 {
		line = string(r[:79]) + "…"
	}
	return line
}

// environmentOf names a run's stack, and its environment where it is not the
// default.
func environmentOf(run runs.Run) string {
	name := run.Key.Environment
	if name == project.DefaultEnvironment {
		name = ""
	}
	if run.Key.Stack == "" || strings.HasPrefix(run.Key.Stack, "file:") {
		return name
	}
	return strings.TrimSpace(run.Key.Stack + " " + name)
}

// negativeLimit refuses a limit that is none.
func negativeLimit(limit int) diag.List {
	return diag.Errorf("Invalid limit", "Option -limit says how many to show, 0 for all: %d is less than none.", limit)
}

// runs opens the store and lists the newest runs of those that are asked for.
func (a *App) runs(ctx context.Context, q runs.RunQuery) (*project.Directory, []runs.Run, diag.List) {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, nil, diags
	}
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		p.Close()
		return nil, nil, diags
	}
	list, err := store.Runs(ctx, q)
	if err != nil {
		p.Close()
		return nil, nil, diag.FromError(err)
	}
	return p, list, nil
}

// runJSON is a run as other programs read it.
type runJSON struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"`
	Status      string     `json:"status"`
	Waits       string     `json:"waits,omitempty"`
	Stack       string     `json:"stack,omitempty"`
	Environment string     `json:"environment"`
	Actor       string     `json:"actor"`
	PlanDigest  string     `json:"plan_digest"`
	Steps       int        `json:"steps"`
	Done        int        `json:"done"`
	Failed      int        `json:"failed"`
	Summary     string     `json:"summary"`
	Problem     string     `json:"problem,omitempty"`
	Created     time.Time  `json:"created"`
	Ended       *time.Time `json:"ended,omitempty"`
	Pruned      *time.Time `json:"pruned,omitempty"`

	Overrides []overrideJSON `json:"overrides,omitempty"`
}

// overrideJSON says why a rule was not followed.
type overrideJSON struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

func describeRun(run runs.Run) runJSON {
	doc := runJSON{
		ID: run.ID, Kind: run.Kind, Status: string(run.Status), Waits: string(run.Waits), Stack: run.Key.Stack, Environment: run.Key.Environment, Actor: run.Actor,
		PlanDigest: run.PlanHash, Steps: run.Steps, Done: run.Done, Failed: run.Failed, Summary: run.Summary,
		Problem: run.Problem, Created: run.Created,
	}
	if !run.Ended.IsZero() {
		doc.Ended = &run.Ended
	}
	if !run.Pruned.IsZero() {
		doc.Pruned = &run.Pruned
	}
	for _, o := range run.Overrides {
		doc.Overrides = append(doc.Overrides, overrideJSON(o))
	}
	return doc
}

func runsShowCommand() *command {
	return &command{
		name: "show", args: "RUN", summary: "Show one run and its journal", minArgs: 1, maxArgs: 1, complete: completeRuns,
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, args []string) int {
				if app.remote != nil {
					return app.showRunThere(ctx, args[0], o.json)
				}
				p, diags := app.OpenRoot()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				store, diags := p.Store(ctx)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				run, err := store.Run(ctx, args[0])
				if err != nil {
					return app.fail(operations.NoRun(args[0], err))
				}
				entries, err := store.Read(ctx, run.ID, 0)
				if err != nil {
					return app.fail(diag.FromError(err))
				}
				hideSensitive(entries)
				var steps []flow.StepState
				if run.Machine() {
					if m := app.stepsOf(ctx, store, run); m != nil {
						steps = m.Steps()
					}
				}
				return app.reportRun(run, steps, entries, o.json)
			}
		},
	}
}

func (a *App) reportRun(run runs.Run, steps []flow.StepState, entries []workflow.Entry, asJSON bool) int {
	if asJSON {
		return a.printJSONIndented(struct {
			runJSON
			Journal []workflow.Entry `json:"journal"`
		}{describeRun(run), entries})
	}
	a.showRun(run, steps, entries)
	return exitOK
}

// hideSensitive leaves of sensitive entries only what names the step.
func hideSensitive(entries []workflow.Entry) {
	for i := range entries {
		if !entries[i].Sensitive {
			continue
		}
		data := runs.ReadStepData(entries[i])
		entries[i].Data = nil
		if data.Step != "" {
			entries[i].Data, _ = json.Marshal(runs.StepData{Step: data.Step, Error: data.Error}) // two strings
		}
	}
}

// stepsOf is the machine of a run of a workflow with steps; nil for others.
func (a *App) stepsOf(ctx context.Context, store runs.Store, run runs.Run) *flow.Machine {
	source, err := store.Blob(ctx, run.Blob)
	if err != nil || !runs.IsWorkflow(source) {
		return nil
	}
	m, diags := (&runs.Runner{Store: store}).HearWorkflow(ctx, run)
	if diags.HasErrors() {
		return nil
	}
	return m
}

func (a *App) showRun(run runs.Run, steps []flow.StepState, entries []workflow.Entry) {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			b.WriteString(views.Listed(fmt.Sprintf("%-12s", name), 13, " ", strings.Fields(text)...) + "\n")
		}
	}
	line("Run", run.ID)
	line("Kind", run.Kind)
	status := string(run.Status)
	if run.Waits != "" && !run.Status.Ended() {
		status += ", waiting for " + string(run.Waits)
	}
	line("Status", status)
	line("Stack", run.Key.Stack)
	line("Environment", run.Key.Environment)
	line("Started by", run.Actor)
	if run.Kind == runs.WorkflowKind {
		line("Definition", run.PlanHash)
	} else {
		line("Plan", run.PlanHash)
	}
	line("What", run.Summary)
	line("Operations", fmt.Sprintf("%d of %d ended, %d failed", run.Done, run.Steps, run.Failed))
	line("Problem", run.Problem)
	for _, o := range run.Overrides {
		line("Overridden", o.Rule+": "+o.Reason)
	}
	line("Created", run.Created.Local().Format(time.DateTime))
	if !run.Ended.IsZero() {
		line("Ended", fmt.Sprintf("%s (after %s)", run.Ended.Local().Format(time.DateTime), run.Ended.Sub(run.Started).Round(time.Millisecond)))
	}
	if text := decisionLine(entries); text != "" {
		line("Policy", text)
	}
	if steps != nil {
		showSteps(&b, steps)
	}
	if !run.Pruned.IsZero() {
		line("Journal", "removed "+run.Pruned.Local().Format(time.DateTime)+" (tutti store prune)")
		fmt.Fprint(a.Out, b.String())
		return
	}
	b.WriteString("\nJournal\n")
	names := map[int]string{} // of states, which only their beginning tells
	for _, e := range entries {
		data := runs.ReadStepData(e)
		text := strings.ReplaceAll(string(e.Kind), "_", " ")
		switch {
		case e.Kind == workflow.SignalReceived:
			text = strings.TrimRight(fmt.Sprintf("%-16s %s", "signal", signalText(e.Data)), " ")
		case e.Step >= 0 && data.Step != "":
			text = strings.TrimRight(fmt.Sprintf("%-16s %s  %s", strings.TrimPrefix(text, "step "), data.Step, data.Error), " ")
		case e.Step >= 0 && data.Address == "" && names[e.Step] != "":
			text = fmt.Sprintf("%-16s %s", strings.TrimPrefix(text, "step "), names[e.Step])
		case e.Step >= 0 && data.Address == "":
			text = fmt.Sprintf("%-16s step %d", strings.TrimPrefix(text, "step "), e.Step)
		case e.Step >= 0:
			names[e.Step] = data.Address
			text = fmt.Sprintf("%-16s %s %s", strings.TrimPrefix(text, "step "), data.Operation, data.Address)
		}
		fmt.Fprintf(&b, "  %s  %s\n", e.Time.Local().Format("15:04:05.000"), strings.TrimRight(text, " "))
		for _, problem := range data.Problems {
			fmt.Fprintf(&b, "                %s: %s\n", problem.Summary, diag.FirstLine(problem.Detail))
		}
	}
	if run.Status == runs.Interrupted {
		fmt.Fprintf(&b, "\nThe process that worked on this run is gone. To go on:\n    tutti resume %s\nTo give it up:\n    tutti cancel %[1]s\n", run.ID)
	}
	fmt.Fprint(a.Out, b.String())
}

// decisionLine says what policy said when the run began, and who overrode it.
func decisionLine(entries []workflow.Entry) string {
	raw, err := runs.DecisionIn(entries)
	var d policy.Decision
	if err != nil || len(raw) == 0 || json.Unmarshal(raw, &d) != nil {
		return ""
	}
	text := string(d.Status)
	for _, o := range d.Overrides {
		text += fmt.Sprintf("; %s overridden by %s: %s", o.Policy, o.Actor, o.Reason)
	}
	return text
}

// signalText says who told a run what: what comes with an event may be secret.
func signalText(data []byte) string {
	var s workflow.Signal
	if json.Unmarshal(data, &s) != nil {
		return ""
	}
	text := string(s.Kind)
	if s.Kind == workflow.SignalEvent || s.Kind == workflow.SignalApprove || s.Kind == workflow.SignalReject {
		text += " " + s.Name // others name a token
	}
	if s.By != "" {
		text += " by " + s.By
	}
	return text
}

func completeRuns(app *App, _ []string) []string {
	p, list, diags := app.runs(context.Background(), runs.RunQuery{Limit: 20})
	if diags.HasErrors() {
		return nil
	}
	defer p.Close()
	var out []string
	for _, run := range list {
		out = append(out, run.ID)
	}
	return out
}

func resumeCommand() *command {
	return &command{
		name: "resume", args: "[RUN]", summary: "Go on with a run that was interrupted", maxArgs: 1, main: true, complete: completeRuns,
		about: "Takes over a run whose process died. Of an apply, what had ended stays as it is; what was being done is looked up and, where it did not happen, done; the rest follows. A state machine goes on where its journal ends; a task whose outcome is not known fails with Tutti.OutcomeUnknown, unless it is idempotent. Without an argument, the one interrupted run of this project.",
		setup: func(f *flagSet) action {
			var o outputOptions
			var vars project.VariableOptions
			var autoApprove, cancel bool
			parallelism := operations.DefaultParallelism
			registerVariables(f, &vars)
			f.toggle(&autoApprove, "auto-approve", "Do not ask.")
			f.number(&parallelism, "parallelism", "N", "Bound on concurrent operations; 10 unless given.")
			o.registerJSON(f, "Print what happens as a stream of JSON objects, one per line. Needs -auto-approve.")
			cancelOnInterrupt(f, &cancel)
			return func(ctx context.Context, app *App, args []string) int {
				if app.remote != nil {
					return app.resumeThere(ctx, args, cancel, o.json)
				}
				if o.json && !autoApprove {
					return app.failf("Auto-approve required", "With -json nobody can be asked: give -auto-approve.")
				}
				op, diags := app.openRootOperation(o.json)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer op.Close()
				run, diags := op.interrupted(ctx, args)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if project.IsStacksRun(run) {
					if diags := app.MayRun(ctx, op.Opened, run, project.VerbOf(run.Kind)); diags.HasErrors() {
						return app.fail(diags)
					}
					if !autoApprove && !app.approvedResume(ctx, run) {
						return exitFailed
					}
					op.UseKey(run.Key)
					return op.continueStacks(ctx, run, &vars, parallelism)
				}
				if run.Kind == runs.WorkflowKind {
					return op.continueWorkflow(ctx, run, o.json)
				}
				op = app.operation(op.On(run.Key))
				loaded, diags := op.PlanOf(ctx, run)
				if !diags.HasErrors() {
					diags = append(diags, op.CheckLocks(ctx, loaded.Plan)...)
					diags = append(diags, op.GiveEphemeral(ctx, loaded, &vars)...)
				}
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if !autoApprove && !app.approvedResume(ctx, run) {
					return exitFailed
				}
				return op.execute(ctx, loaded, operations.RunOptions{Request: gate.Request{Kind: run.Kind, Resume: run.ID}, Parallelism: parallelism}, nil)
			}
		},
	}
}

// approvedResume asks whether to go on with a run.
func (a *App) approvedResume(ctx context.Context, run runs.Run) bool {
	what := "operations"
	if run.Machine() {
		what = "stacks"
	}
	question := fmt.Sprintf("Do you want to resume run %s (%s: %s; %d of %d %s have ended)?", run.ID, run.Kind, run.Summary, run.Done, run.Steps, what)
	yes, err := a.prompter().confirm(ctx, question, "Tutti will carry out what remains of the plan that was approved.")
	if err != nil || !yes {
		fmt.Fprintln(a.Out, "\nNothing was done.")
		return false
	}
	fmt.Fprintln(a.Out)
	return true
}

// interrupted finds the run to resume: the one named, or the only one there is.
func (o *operation) interrupted(ctx context.Context, args []string) (runs.Run, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return runs.Run{}, diags
	}
	if len(args) == 1 {
		run, err := store.Run(ctx, args[0])
		if err != nil {
			return runs.Run{}, operations.NoRun(args[0], err)
		}
		return run, nil
	}
	all, err := store.Unended(ctx)
	if err != nil {
		return runs.Run{}, diag.FromError(err)
	}
	var found []runs.Run
	open := map[string]bool{}
	for _, run := range all {
		open[run.ID] = run.Status == runs.Interrupted || run.Status == runs.Pending
	}
	for _, run := range all {
		if open[run.ID] && !open[run.Parent] { // else it is resumed with its parent
			found = append(found, run)
		}
	}
	switch len(found) {
	case 0:
		return runs.Run{}, diag.Errorf("Nothing to resume", "No run of this project was interrupted.")
	case 1:
		return found[0], nil
	}
	var names []string
	for _, run := range found {
		names = append(names, run.ID)
	}
	return runs.Run{}, diag.Errorf("Several runs were interrupted", "Say which one to resume: %s.", strings.Join(names, ", "))
}

func cancelCommand() *command {
	return &command{
		name: "cancel", args: "RUN", summary: "Stop a run", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "Asks the process that works on a run to stop: what is being done is finished and recorded, nothing more is begun. Asked a second time, running operations are cut off; the run can then be resumed, which a server or a runner does at once, to end it. A run that was interrupted is given up.",
		setup: func(*flagSet) action {
			return func(ctx context.Context, app *App, args []string) int {
				if app.remote != nil {
					return app.cancelRunThere(ctx, args[0])
				}
				p, diags := app.OpenRoot()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				store, diags := p.Store(ctx)
				if diags.HasErrors() {
					return app.fail(diags)
				}
				run, err := store.Run(ctx, args[0])
				if err == nil {
					if diags := app.MayRun(ctx, store, run, access.Cancel); diags.HasErrors() {
						return app.fail(diags)
					}
				}
				run, diags = (&runs.Runner{Store: store, Actor: app.Actor()}).Cancel(ctx, args[0])
				app.Show(diags)
				if diags.HasErrors() {
					return exitFailed
				}
				switch {
				case run.Status.Ended():
					fmt.Fprintf(app.Out, "Run %s is %s.\n", run.ID, run.Status)
				case run.Cancelling > 1:
					fmt.Fprintf(app.Out, "Run %s was asked to cut off what it is doing.\n", run.ID)
				default:
					fmt.Fprintf(app.Out, "Run %s was asked to stop after what it is doing.\n", run.ID)
				}
				return exitOK
			}
		},
	}
}

func forceUnlockCommand() *command {
	return &command{
		name: "force-unlock", args: "ID", summary: "Release what an interrupted run holds, or the lock of another tool", minArgs: 1, maxArgs: 1, complete: completeRuns,
		about: "State is not locked as a whole here: a run claims the objects it changes, and a run whose process is gone keeps its claim until it is resumed or given up. This command gives it up, like \"tutti cancel\". A state that is used through the backend of a server (docs/server.md) is locked by other tools as a whole: ID is then that of the lock.",
		setup: func(f *flagSet) action {
			var force bool
			f.toggle(&force, "force", "Do not ask.")
			return func(ctx context.Context, app *App, args []string) int {
				if done, code := app.unlocked(ctx, args[0], force); done {
					return code
				}
				if !force {
					yes, err := app.prompter().confirm(ctx, "Do you really want to give up run "+args[0]+"?", "What it had not done yet will not be done.")
					if err != nil || !yes {
						fmt.Fprintln(app.Out, "\nNothing was done.")
						return exitFailed
					}
				}
				return cancelCommand().setup(nil)(ctx, app, args)
			}
		},
	}
}

// unlocked takes the lock of that id away from the state that is worked on, where
// it is such a one.
func (a *App) unlocked(ctx context.Context, id string, force bool) (done bool, code int) {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return true, a.fail(diags)
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return true, a.fail(diags)
	}
	key, lock, err := findLock(ctx, store, p, id)
	if err != nil {
		return true, a.failf("Cannot read the locks", "%s.", err)
	}
	if lock == nil {
		if _, err := store.Run(ctx, id); errors.Is(err, runs.ErrNotFound) {
			return true, a.failf("Nothing to release", "There is neither a run nor a lock %q. \"tutti runs\" lists the runs there are.", id)
		}
		return false, exitOK
	}
	if diags := a.May(access.State, key.Environment, key.Stack); diags.HasErrors() {
		return true, a.fail(diags)
	}
	if !force {
		yes, err := a.prompter().confirm(ctx, "Do you really want to take this lock away?", (&states.LockError{Lock: *lock}).Error()+". Whoever holds it may still be at work.")
		if err != nil || !yes {
			fmt.Fprintln(a.Out, "\nNothing was done.")
			return true, exitFailed
		}
	}
	if err := store.Unlock(ctx, key, id); err != nil {
		return true, a.failf("Cannot unlock the state", "%s.", err)
	}
	fmt.Fprintf(a.Out, "The lock %s is gone.\n", id)
	return true, exitOK
}

// findLock looks for a lock in all states of the project.
func findLock(ctx context.Context, store *sqlite.Store, p *project.Directory, id string) (states.Key, *states.Lock, error) {
	stacks := []string{p.Stack}
	if p.Ensemble != nil {
		stacks = p.Ensemble.Graph.Order
	}
	for _, stack := range stacks {
		environments, err := store.Environments(ctx, stack)
		if err != nil {
			return states.Key{}, nil, err
		}
		for _, environment := range environments {
			key := states.Key{Stack: stack, Environment: environment}
			lock, err := store.Locked(ctx, key)
			if err != nil || lock != nil && lock.ID == id {
				return key, lock, err
			}
		}
	}
	return states.Key{}, nil, nil
}
