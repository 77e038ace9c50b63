package runs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// carryOut does a run from where its journal stands to its end, or as far as
// it gets. recorded is nil for a new run.
func (d *drive) carryOut(ctx context.Context, open Open, recorded []Recorded) (result Result, _ diag.List) {
	ctx, span := beginRun(ctx, d.run)
	defer func() { endRun(span, result.Run) }()
	resuming := len(recorded) > 0
	d.tell(Event{Kind: Began, Operation: -1})
	exec, diags := open(ctx)
	d.report(diags)
	if diags.HasErrors() {
		return d.notOpened(ctx, resuming)
	}
	d.exec, d.ops = exec, exec.Operations()
	d.machine = newMachine(d.ops)
	if err := d.replay(recorded); err != nil {
		exec.Finish(context.WithoutCancel(ctx))
		d.report(diag.Errorf("Journal does not fit the plan", "The journal of run %s cannot be followed: %s.", d.run.ID, err))
		return d.interrupted(nil), d.diags
	}
	d.countImports()
	now := d.r.now()
	if len(recorded) == 0 {
		d.pending = append(d.pending, note{
			entry:  workflow.Entry{Time: now, Kind: workflow.RunStarted, Step: -1, Data: startData(d.req)},
			events: append(startEvents(d.run, now, d.req.Events), decidedEvents(d.run, now, d.req.Decision)...),
		})
	} else {
		d.pending = append(d.pending, note{
			entry:  workflow.Entry{Time: now, Kind: workflow.RunResumed, Step: -1},
			events: []events.Event{runEvent(d.run, now, "run.resumed")},
		})
	}
	d.opCtx, d.opCancel = context.WithCancel(context.WithoutCancel(ctx))
	defer d.opCancel()
	d.loop(ctx)
	return d.conclude(context.WithoutCancel(ctx)), d.diags
}

func newMachine(ops []plans.Operation) *workflow.Graph {
	needs, gates := make([][]int, len(ops)), make([]bool, len(ops))
	for i, op := range ops {
		needs[i], gates[i] = op.Needs, op.Kind == plans.OpGate
	}
	return workflow.NewGraph(needs, gates)
}

// replay rebuilds machine, executor and counters from the journal, and queues
// what is in doubt.
func (d *drive) replay(recorded []Recorded) error {
	d.run.Done, d.run.Failed = 0, 0
	for _, rec := range recorded {
		if _, err := d.machine.Apply(rec.Entry); err != nil {
			return err
		}
		d.seq = rec.Sequence
		switch rec.Kind {
		case workflow.StepSucceeded:
			d.run.Done++
			d.count(rec.Step)
			d.exec.Restore(rec.Step, rec.Rows)
		case workflow.StepFailed, workflow.StepLost:
			d.run.Done++
			d.run.Failed++
			if len(rec.Rows) > 0 {
				d.exec.Restore(rec.Step, rec.Rows)
			}
			d.report(ReadStepData(rec.Entry).Diagnostics())
		}
	}
	for _, step := range d.machine.Running() {
		d.queue = append(d.queue, task{op: step, settle: true})
		d.doubts++
	}
	return nil
}

// countImports counts imported objects: they were written when the run started.
func (d *drive) countImports() {
	for _, c := range d.req.Plan.Changes {
		if c.Importing != nil {
			d.done.Imported++
		}
	}
}

// notOpened ends a new run whose executor could not be made; one that is
// resumed stays as it is.
func (d *drive) notOpened(ctx context.Context, resuming bool) (Result, diag.List) {
	if resuming {
		return d.interrupted(nil), d.diags
	}
	now := d.r.now()
	d.run.Status, d.run.Ended = Failed, now
	run := d.run
	err := d.r.commit(context.WithoutCancel(ctx), []Commit{{
		Lease: d.lease, Run: &run,
		Entries: []workflow.Entry{
			{Sequence: 1, Time: now, Kind: workflow.RunStarted, Step: -1},
			{Sequence: 2, Time: now, Kind: workflow.RunFinished, Step: -1},
		},
		Events: withIDs(run.ID, 1, runEvent(run, now, "run.started"), runEvent(run, now, "run.failed")),
	}}, func(error) {})
	if err != nil {
		return d.interrupted(err), d.diags
	}
	return Result{Run: run}, d.diags
}

// interrupted is the result of a run that has to be resumed.
func (d *drive) interrupted(err error) Result {
	if err != nil {
		d.storeProblem(err)
	}
	d.run.Status = Interrupted
	return Result{Run: d.run, Done: d.done}
}

// storeProblem tells that the store does not take the run's records.
func (d *drive) storeProblem(err error) {
	if errors.Is(err, ErrFenced) {
		d.report(diag.Errorf("Run was taken over", "Another process has taken over run %s, so this one must not go on with it.", d.run.ID))
		return
	}
	d.report(diag.Errorf("Cannot record run", "Run %s was stopped because its store does not take records any more: %s. Once that is put right, carry on with \"tutti resume %s\".", d.run.ID, err, d.run.ID))
}

// conclude ends the run, or says why it has to be resumed.
func (d *drive) conclude(ctx context.Context) Result {
	if d.broken != nil {
		return d.salvage(ctx)
	}
	doubts := d.machine.Running()
	if len(doubts) > 0 || d.active > 0 || (d.hard && !d.machine.Exhausted()) {
		if !d.left {
			d.exec.Finish(ctx)
		}
		d.report(d.cutOffProblem(doubts))
		return d.interrupted(nil)
	}
	final := d.exec.Finish(ctx)
	d.report(final.Diags)
	if d.req.Closing != nil {
		d.report(d.req.Closing(ctx, final))
	}
	now := d.r.now()
	d.run.Ended = now
	var kind string
	switch {
	case d.stopping && !d.machine.Exhausted():
		d.run.Status, kind = Cancelled, "run.cancelled"
	case d.run.Failed > 0 || d.diags.HasErrors():
		d.run.Status, kind = Failed, "run.failed"
	default:
		d.run.Status, kind = Succeeded, "run.succeeded"
	}
	d.run.Summary = d.summary()
	run := d.run
	err := d.r.commit(ctx, []Commit{{
		Lease: d.lease, Run: &run, Cause: d.run.Kind,
		Entries:      []workflow.Entry{{Sequence: d.seq + 1, Time: now, Kind: workflow.RunFinished, Step: -1}},
		Events:       withIDs(run.ID, d.seq+1, runEvent(run, now, kind)),
		Outputs:      finalOutputs(d.req.Plan, final, d.run.Status),
		CheckResults: CheckResultsJSON(final.Checks),
	}}, func(error) {})
	if err != nil {
		d.run.Ended = time.Time{}
		out := d.interrupted(err)
		out.Final = final
		return out
	}
	return Result{Run: run, Final: final, Done: d.done}
}

// cutOffProblem tells what a hard cancel left behind.
func (d *drive) cutOffProblem(doubts []int) diag.List {
	text := fmt.Sprintf("Run %s was cut off before its operations had ended.", d.run.ID)
	if len(doubts) > 0 {
		text += " It is not known what became of these:\n"
		for _, step := range doubts {
			data := d.about(step)
			text += "  - " + data.Operation + " " + data.Address + "\n"
		}
	}
	return diag.Errorf("Run interrupted", "%s\nCarry on with \"tutti resume %s\", which finds out first; or give the run up with \"tutti cancel %s\".", text, d.run.ID, d.run.ID)
}

// salvage writes what could not be written before, now that everything has
// ended. What still cannot be is handed to the caller.
func (d *drive) salvage(ctx context.Context) Result {
	if !d.left {
		d.exec.Finish(ctx)
	}
	err := d.broken
	if len(d.pending) > 0 && !errors.Is(err, ErrFenced) {
		d.seq = d.machine.Last()
		if again := d.r.commit(ctx, d.commits(d.pending), func(error) {}); again != nil {
			err = again
		} else {
			d.pending = nil
		}
	}
	rows := d.unrecorded()
	out := d.interrupted(err)
	out.Unrecorded = rows
	if len(rows) > 0 {
		text := ""
		for _, row := range rows {
			text += "  - " + row.Object.String() + "\n"
		}
		d.report(diag.Errorf("State not recorded", "What run %s did to these objects could not be recorded in the state:\n%s", d.run.ID, text))
	}
	return out
}

// summary is what the run did, for listings.
func (d *drive) summary() string {
	text := ""
	add := func(n int, what string) {
		if n == 0 {
			return
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", n, what)
	}
	add(d.done.Imported, "imported")
	add(d.done.Added, "added")
	add(d.done.Changed, "changed")
	add(d.done.Destroyed, "destroyed")
	add(d.done.Forgotten, "forgotten")
	if text == "" {
		return "no changes"
	}
	return text
}

// finalOutputs are the outputs to write at the end: those whose value is not
// what was stored, and nil for those to delete.
func finalOutputs(plan *plans.Plan, final engine.Final, status Status) map[string]*states.Output {
	prior := map[string]*states.Output{}
	if plan.Prior != nil {
		prior = plan.Prior.Outputs
	}
	out := map[string]*states.Output{}
	if plan.Mode == plans.Destroy {
		if status == Succeeded {
			for name := range prior {
				out[name] = nil
			}
		}
		return out
	}
	for name, value := range final.Outputs {
		old := prior[name]
		if old == nil || value == nil || old.Sensitive != value.Sensitive || !bytes.Equal(old.Value, value.Value) || !bytes.Equal(old.Type, value.Type) {
			out[name] = value
		}
	}
	gone := func(c *plans.OutputChange) {
		if _, stored := prior[c.Name]; stored && final.Outputs[c.Name] == nil {
			out[c.Name] = nil
		}
	}
	for _, c := range plan.Outputs {
		if c.Action == plans.Delete {
			gone(c)
		}
	}
	for _, c := range final.Changes {
		if bare, _ := c.After.UnmarkDeep(); bare.IsKnown() && bare.IsNull() {
			gone(c)
		}
	}
	return out
}
