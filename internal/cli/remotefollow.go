package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// remoteEnd is how a run on a server stands when nobody follows it any more.
type remoteEnd struct {
	run   runs.Run
	steps []flow.StepState
	// detached says that the run goes on there.
	detached bool
}

// followThere hears a run on the server until it ends. A connection that breaks is
// taken up again where it was. An interrupt leaves the run to go on, or cancels it
// (and the second cuts it off) where that was asked for.
func (a *App) followThere(ctx context.Context, run *client.Run, cancel bool, hear client.StreamRunHearer) (remoteEnd, diag.List) {
	end := remoteEnd{run: runFromThere(run)}
	heard := hear.Run
	hear.Run = func(news client.RunNews) error {
		end.run, end.steps = runFromThere(&news.Run), stepsFromThere(news.Steps)
		if heard != nil {
			return heard(news)
		}
		return nil
	}
	streaming := ctx
	if cancel {
		streaming = context.WithoutCancel(ctx)
		over := make(chan struct{})
		defer close(over)
		go a.cancelThere(ctx, run.ID, over)
	}
	err := a.remote.StreamRun(streaming, run.ID, client.StreamRunQuery{}, hear)
	if streaming.Err() != nil {
		end.detached = true
		fmt.Fprintf(a.Err, "\nRun %s goes on on the server. Follow it with \"tutti runs watch %[1]s\", cancel it with\n\"tutti cancel %[1]s\".\n", run.ID)
		return end, nil
	}
	if err != nil {
		return end, a.remote.diagnose(err)
	}
	return end, nil
}

// cancelThere asks for the end of a run at the first interrupt, and cuts it off at
// the second.
func (a *App) cancelThere(ctx context.Context, run string, over <-chan struct{}) {
	for i, interrupt := range []<-chan struct{}{ctx.Done(), operations.Hard(ctx).Done()} {
		select {
		case <-over:
			return
		case <-interrupt:
		}
		a.Tell([]string{
			"\nInterrupt received. The run is asked to stop after what it is doing; a second\ninterrupt cuts it off.\n",
			"\nSecond interrupt received. The run is asked to cut off what it is doing.\n",
		}[i])
		if _, err := persist(context.WithoutCancel(ctx), func(ctx context.Context) (*client.Run, error) { return a.remote.CancelRun(ctx, run) }); err != nil {
			a.Show(a.remote.diagnose(err))
		}
	}
}

// watchThere tells what the steps of a run on the server do, as the command that
// runs it here does, and how it ends.
func (a *App) watchThere(ctx context.Context, run *client.Run, cancel, asJSON bool) int {
	view := newWorkflowView(a)
	view.began(runFromThere(run))
	end, diags := a.followThere(ctx, run, cancel, client.StreamRunHearer{Run: func(news client.RunNews) error {
		view.news(news)
		return nil
	}})
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if end.detached {
		return exitFailed
	}
	ctx = context.WithoutCancel(ctx) // the interrupt that ended the run was not meant for telling how
	if run.Kind == runs.WorkflowKind && len(end.steps) == 0 {
		return a.machineResultThere(ctx, end.run, asJSON)
	}
	outputs, err := persist(ctx, func(ctx context.Context) (*client.PageOutput, error) { return a.remote.ListRunOutputs(ctx, run.ID) })
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	return a.reportEnd(end.run, resultThere(end, outputs.Items), end.steps, asJSON)
}

// machineResultThere prints how a run of a state machine on the server ended, and what it
// returned, as the command that runs it here does.
func (a *App) machineResultThere(ctx context.Context, run runs.Run, asJSON bool) int {
	said, err := persist(ctx, func(ctx context.Context) (*client.MachineResult, error) {
		return a.remote.GetRunResult(ctx, run.ID, client.GetRunResultQuery{History: asJSON})
	})
	if err != nil {
		return a.aboutRun(run.ID, err)
	}
	result := asl.Result{Status: said.Status, Error: said.Error, Cause: said.Cause, HasCause: said.Cause != ""}
	if said.Withheld {
		a.Show(diag.Warningf("Output is not told", "What a state machine returned is told to whom its run is by: %s.", run.Actor))
		return exitOK
	}
	if len(said.Output) > 0 {
		if result.Output, err = asl.Decode(said.Output); err != nil {
			return a.failf("Cannot read the output", "What run %s returned cannot be read: %s.", run.ID, err)
		}
	}
	var history func() any
	if len(said.History) > 0 {
		events, err := asl.Decode(said.History)
		if err != nil {
			return a.failf("Cannot read the history", "What happened in run %s cannot be read: %s.", run.ID, err)
		}
		history = func() any { return events }
	}
	return (&aslOptions{json: asJSON}).report(a, result, history)
}

// news tells what has become of steps since they were heard of last.
func (v *workflowView) news(news client.RunNews) {
	for i, s := range stepsFromThere(news.Steps) {
		sent := news.Steps[i]
		if s.Status != flow.Waiting && s.Status != v.heard[s.Name] {
			change := flow.Change{Step: s.Name, Status: s.Status, Items: s.Items, Error: s.Error}
			if _, known := v.begun[s.Name]; !known && sent.Begun != nil && s.Status != flow.Running {
				began := change
				began.Status, began.Error = flow.Running, nil
				v.change(began, *sent.Begun)
			}
			at := time.Now()
			switch {
			case s.Status == flow.Running && sent.Begun != nil:
				at = *sent.Begun
			case sent.Ended != nil:
				at = *sent.Ended
			}
			v.change(change, at)
		}
		v.heard[s.Name] = s.Status
		for _, ask := range sent.Asks {
			v.wait(ask.Step, ask.Event == "", ask.Message, ask.Event)
		}
	}
}

// runFromThere is a run as the store here would have it.
func runFromThere(r *client.Run) runs.Run {
	out := runs.Run{
		ID: r.ID, Kind: r.Kind, Status: runs.Status(r.Status), Waits: runs.Waits(r.Waits), Key: states.Key{Stack: r.Stack, Environment: r.Environment}, Actor: r.Actor, PlanHash: r.Plan,
		Steps: int(r.Steps), Done: int(r.Done), Failed: int(r.Failed), Summary: r.Summary, Problem: r.Problem, Parent: r.Parent, Created: r.Created,
	}
	if r.Started != nil {
		out.Started = *r.Started
	}
	if r.Ended != nil {
		out.Ended = *r.Ended
	}
	for _, o := range r.Overrides {
		out.Overrides = append(out.Overrides, runs.Override{Rule: o.Rule, Reason: o.Reason})
	}
	return out
}

func stepsFromThere(list []client.Step) []flow.StepState {
	out := make([]flow.StepState, len(list))
	for i, s := range list {
		out[i] = flow.StepState{
			Name: s.Name, Action: s.Action, Phase: s.Phase, Needs: s.Needs, Status: flow.Status(s.Status), Items: int(s.Items), Done: int(s.Done),
			Undone: s.Undone, Waits: s.Waits,
		}
		if s.Error != nil {
			out[i].Error = &flow.Error{Name: s.Error.Name, Cause: s.Error.Cause}
		}
	}
	return out
}

// resultThere is how a workflow ended: what it returned, and what made it fail.
func resultThere(end remoteEnd, outputs []client.Output) flow.Result {
	out := flow.Result{Outputs: cty.EmptyObjectVal}
	values := map[string]cty.Value{}
	for _, o := range outputs {
		values[o.Name] = cty.NullVal(cty.DynamicPseudoType).Mark(marks.Sensitive) // of which a server tells nothing
		if v, err := project.OutputValue(&states.Output{Type: o.Type, Value: o.Value}); err == nil && !o.Sensitive {
			values[o.Name] = v
		}
	}
	if len(values) > 0 {
		out.Outputs = cty.ObjectVal(values)
	}
	if end.run.Problem == "" {
		return out
	}
	out.Error = &flow.Error{Name: end.run.Problem}
	if rest, ok := strings.CutPrefix(end.run.Problem, "step "); ok {
		if step, name, ok := strings.Cut(rest, ": "); ok {
			out.Step, out.Error.Name = step, name
		}
	}
	failed, _, _ := strings.Cut(out.Step, "[")
	for _, s := range end.steps {
		if s.Name == failed && s.Error != nil {
			out.Error.Cause = s.Error.Cause
		}
	}
	return out
}
