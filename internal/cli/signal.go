package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/stacks"
	"github.com/tutti-dev/tutti/internal/workflow"
)

func approveCommand() *command {
	return decisionCommand("approve", "Approve a step of a run that waits for it", workflow.SignalApprove,
		"Approves a step of a run that waits for an approval; STEP may be left out where only one does. Where the step is about a plan, what the plan does, its digest, what policy says of it and what it costs are shown, and you are asked; the approval is for this plan and no other. The run goes on by itself where a process works on it, and when it is resumed otherwise.")
}

func rejectCommand() *command {
	return decisionCommand("reject", "Reject a step of a run that waits for an approval", workflow.SignalReject,
		"Rejects a step of a run that waits for an approval: the step fails with Tutti.Rejected.")
}

// decision is what somebody decides about a step.
type decision struct {
	kind            workflow.SignalKind
	step            string
	comment, digest string
}

func decisionCommand(name, summary string, kind workflow.SignalKind, about string) *command {
	return &command{
		name: name, args: "RUN [STEP]", summary: summary, about: about, minArgs: 1, maxArgs: 2, complete: completeRuns,
		setup: func(f *flagSet) action {
			d := decision{kind: kind}
			f.text(&d.comment, "comment", "TEXT", "Kept with the decision.")
			f.text(&d.digest, "digest", "DIGEST", "The digest of the plan that is meant; nobody is asked then, and the command fails where the step is about another one.")
			return func(ctx context.Context, app *App, args []string) int {
				d := d
				if len(args) > 1 {
					d.step = args[1]
				}
				if app.remote != nil {
					return app.decideThere(ctx, args[0], d)
				}
				have, people := 0, 0
				about := &verdict{}
				return app.signalRun(ctx, args[0], access.Approve, func(p *project.Directory, r *runs.Runner, run runs.Run) (s workflow.Signal, diags diag.List) {
					s, have, people, diags = app.decide(ctx, p, r, run, d, about)
					return s, diags
				}, func(s workflow.Signal) string {
					return decided(kind, s.Name, args[0], have, people) + about.summary()
				})
			}
		},
	}
}

// decided tells of a decision that was made, and whoever approves that they do not
// decide alone, where so many people must.
func decided(kind workflow.SignalKind, step, run string, have, people int) string {
	if kind == workflow.SignalReject {
		return fmt.Sprintf("Rejected step %s (run %s).\n", step, run)
	}
	text := fmt.Sprintf("Approved step %s (run %s).\n", step, run)
	switch {
	case people < 2:
	case have < people:
		text += fmt.Sprintf("%d of %d people have approved it.\n", have, people)
	default:
		text += fmt.Sprintf("%d of %d people have approved it: that is enough.\n", have, people)
	}
	return text
}

// decide makes the signal of a decision, after showing the plan it is about. It says
// how many people have approved with it, and how many must, and sets what is to be said
// about the plan that is approved.
func (a *App) decide(ctx context.Context, p *project.Directory, r *runs.Runner, run runs.Run, d decision, about *verdict) (s workflow.Signal, have, people int, diags diag.List) {
	s = workflow.Signal{Kind: d.kind, By: a.Actor(), Name: d.step}
	m, diags := r.HearWorkflow(ctx, run)
	if diags.HasErrors() {
		return s, 0, 0, diags
	}
	policy, diags := a.Policy()
	if diags.HasErrors() {
		return s, 0, 0, diags
	}
	out := workflow.Decision{Comment: d.comment, Digest: d.digest, Roles: policy.RolesOf(a.Identity())}
	if !policy.Declared() {
		out.Roles = []string{workflow.AnyRole}
	}
	step, err := m.FindApproval(d.step)
	asks := err == nil && d.digest == "" && d.kind == workflow.SignalApprove
	if asks {
		// What cannot be approved is refused before anybody reads a plan.
		out.Digest = m.PlanAsked(d.step)
	}
	if err == nil {
		step, err = m.Approval(s.Kind, d.step, s.By, out)
	}
	if err != nil {
		return s, 0, 0, diag.Errorf("Cannot "+string(d.kind), "Run %s: %s.", run.ID, err)
	}
	s.Name = m.Key(step)
	for _, w := range m.Waiting() {
		if w.Key == s.Name {
			have, people = len(w.By)+1, w.Count
		}
	}
	if d.kind == workflow.SignalApprove && out.Digest != "" {
		judged, diags := verdictOn(ctx, p, out.Digest, run)
		a.Show(diags)
		*about = *judged
		if !asks {
			about.showApart(a)
		} else if diags := a.confirmPlan(ctx, p, m, s.Name, out.Digest, about); diags.HasErrors() {
			return s, 0, 0, diags
		}
	}
	s.Data, err = json.Marshal(out)
	return s, have, people, diag.FromError(err)
}

// confirmPlan shows what a plan does, and asks whether it is approved.
func (a *App) confirmPlan(ctx context.Context, p *project.Directory, m *flow.Machine, step, digest string, about *verdict) diag.List {
	text, diags := describePlan(ctx, p, digest)
	if diags.HasErrors() {
		return diags
	}
	message := ""
	for _, w := range m.Waiting() {
		if w.Key == step {
			message = w.Message
		}
	}
	return a.confirmText(ctx, text, about, message, step, digest)
}

// confirmText shows what a plan does and what is said about it, below what the step
// says, and asks whether it is approved.
func (a *App) confirmText(ctx context.Context, text string, about *verdict, message, step, digest string) diag.List {
	if message != "" {
		// Whoever started the run may have had a hand in the text: it must not be able
		// to pretend to be the plan.
		for line := range strings.SplitSeq(message, "\n") {
			fmt.Fprintf(a.Out, "> %s\n", printable(line))
		}
		fmt.Fprintln(a.Out)
	}
	fmt.Fprint(a.Out, text)
	about.show(a.terminals().out)
	yes, err := a.prompter().confirm(ctx, "Do you approve this plan?", "The approval of step "+step+" is for the plan "+digest+" and no other.")
	if err != nil {
		return diag.Errorf("Nobody can be asked", "Step %s is about the plan %s. To approve it without being asked, give -digest=%[2]s.", step, digest)
	}
	if !yes {
		return diag.Errorf("Not approved", "Nothing was done: the step still waits.")
	}
	fmt.Fprintln(a.Out)
	return nil
}

// maxShownChanges is how many changes of a plan are listed one by one.
const maxShownChanges = 50

// describePlan says what a plan that was kept does.
func describePlan(ctx context.Context, p *project.Directory, digest string) (string, diag.List) {
	cannot := func(err error) (string, diag.List) {
		return "", diag.Errorf("Cannot show the plan", "The plan %s cannot be read: %s. Nobody should approve what cannot be seen; somebody who knows what it is can give -digest.", digest, err)
	}
	data, err := p.Opened.Blob(ctx, operations.SharedPrefix+digest)
	if err != nil {
		return cannot(err)
	}
	shared, err := stacks.DecodePlan(data, p.Keyring)
	if err != nil {
		return cannot(err)
	}
	if shared.Digest != digest {
		return cannot(plans.ErrTampered)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Plan %s\n", digest)
	for _, part := range shared.Stacks {
		plan, err := plans.Decode(part.Encoded, p.Keyring)
		if err != nil {
			return cannot(err)
		}
		if plan.Digest != part.Digest {
			return cannot(plans.ErrTampered)
		}
		describePart(&b, part.Name, shared.Environment, plan)
	}
	return b.String(), nil
}

// describePart says what a plan does to one stack.
func describePart(b *strings.Builder, stack, environment string, plan *plans.Plan) {
	fmt.Fprintf(b, "  Stack %s in environment %s: %s\n", stack, environment, operations.SummaryLine(plan))
	shown := 0
	for _, c := range plan.Changes {
		if c.Action == plans.NoOp {
			continue
		}
		if shown++; shown > maxShownChanges {
			b.WriteString("    … and more\n")
			break
		}
		fmt.Fprintf(b, "    %-8s %s\n", actionWord(c.Action), c.Object)
	}
	for _, name := range changedOutputs(plan) {
		fmt.Fprintf(b, "    %-8s output %s\n", "set", name)
	}
}

func actionWord(a plans.Action) string {
	switch {
	case a == plans.Create:
		return "create"
	case a == plans.Read:
		return "read"
	case a == plans.Update:
		return "update"
	case a == plans.Delete:
		return "destroy"
	case a == plans.Forget:
		return "forget"
	case a.IsReplace():
		return "replace"
	}
	return string(a)
}

// changedOutputs names the outputs that a plan changes.
func changedOutputs(plan *plans.Plan) []string {
	var names []string
	for _, o := range plan.Outputs {
		if o.Action != plans.NoOp {
			names = append(names, o.Name)
		}
	}
	slices.Sort(names)
	return names
}
func signalCommand() *command {
	return &command{
		name: "signal", args: "RUN EVENT", summary: "Tell a run that something happened", minArgs: 2, maxArgs: 2, complete: completeRuns,
		about:   "Tells a run that an event happened. A step that waits for it (wait with event) goes on; where none does yet, the event is kept for the first that will.",
		example: "tutti signal 7f3k2m build-finished -data '{\"version\": \"1.4.2\"}'",
		setup: func(f *flagSet) action {
			var data string
			f.text(&data, "data", "JSON", "What comes with it, as step.NAME.outputs.data; null without.")
			return func(ctx context.Context, app *App, args []string) int {
				s := workflow.Signal{Kind: workflow.SignalEvent, Name: args[1], By: app.Actor(), Data: json.RawMessage("null")}
				if data != "" {
					if !json.Valid([]byte(data)) {
						return app.failf("Invalid data", "The value of -data is not JSON: %s.", data)
					}
					s.Data = json.RawMessage(data)
				}
				if app.remote != nil {
					return app.signalThere(ctx, args[0], s)
				}
				return app.signalRun(ctx, args[0], access.Signal, func(*project.Directory, *runs.Runner, runs.Run) (workflow.Signal, diag.List) { return s, nil },
					func(s workflow.Signal) string { return fmt.Sprintf("Told of %s (run %s).\n", s.Name, args[0]) })
			}
		},
	}
}

// signalRun finds a run, makes a signal for it and sends it.
func (a *App) signalRun(ctx context.Context, id string, verb access.Verb, make func(*project.Directory, *runs.Runner, runs.Run) (workflow.Signal, diag.List), done func(workflow.Signal) string) int {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	run, err := store.Run(ctx, id)
	if err != nil {
		return a.fail(operations.NoRun(id, err))
	}
	if diags := a.MayRun(ctx, store, run, verb); diags.HasErrors() {
		return a.fail(diags)
	}
	if run.Status.Ended() {
		return a.failf("Run has ended", "Run %s %s already: nobody listens any more.", id, run.Status.Happened())
	}
	if run.Kind != runs.WorkflowKind {
		return a.failf("Not a workflow", "Run %s is no run of a workflow: it waits for nothing.", id)
	}
	r := &runs.Runner{Store: store}
	s, diags := make(p, r, run)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if diags := r.Signal(ctx, id, s); diags.HasErrors() {
		return a.fail(diags)
	}
	fmt.Fprint(a.Out, done(s))
	if run.Status == runs.Interrupted {
		fmt.Fprintf(a.Out, "No process works on this run: it goes on with \"tutti resume %s\".\n", id)
	}
	return exitOK
}
