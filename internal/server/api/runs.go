package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

const tagRuns = "Runs"

// RunPath names a run.
type RunPath struct {
	Run string `path:"run" doc:"Names the run."`
}

// runs registers what is about runs.
func (a *API) runs(h huma.API) {
	huma.Register(h, operation("list-runs", http.MethodGet, "/runs", "List runs, newest first", tagRuns), a.listRuns)
	huma.Register(h, operation("count-runs", http.MethodGet, "/run-counts", "Count the runs that have not ended, and those that failed lately", tagRuns), a.countRuns)
	start := operation("start-run", http.MethodPost, "/runs", "Run a workflow", tagRuns)
	start.DefaultStatus = http.StatusCreated
	huma.Register(h, start, a.startRun)
	huma.Register(h, operation("get-run", http.MethodGet, "/runs/{run}", "Look at a run", tagRuns), a.getRun)
	huma.Register(h, operation("list-steps", http.MethodGet, "/runs/{run}/steps", "List the steps of a run", tagRuns), a.listSteps)
	huma.Register(h, operation("list-run-outputs", http.MethodGet, "/runs/{run}/outputs", "List what a run of a workflow returned", tagRuns), a.listRunOutputs)
	huma.Register(h, operation("get-run-result", http.MethodGet, "/runs/{run}/result", "Say how a run of a state machine ended, and what it returned", tagRuns), a.getRunResult)
	huma.Register(h, operation("list-journal", http.MethodGet, "/runs/{run}/journal", "Read the journal of a run", tagRuns), a.listJournal)
	huma.Register(h, operation("list-logs", http.MethodGet, "/runs/{run}/logs", "Read what the steps of a run wrote", tagRuns), a.listLogs)
	huma.Register(h, operation("cancel-run", http.MethodPost, "/runs/{run}/cancel", "Cancel a run; asked a second time, cut it off", tagRuns), a.cancelRun)
	huma.Register(h, operation("resume-run", http.MethodPost, "/runs/{run}/resume", "Go on with a run that nobody works on", tagRuns), a.resumeRun)
	retry := operation("retry-run", http.MethodPost, "/runs/{run}/retry", "Run a workflow again from a step on, taking over what had succeeded", tagRuns)
	retry.DefaultStatus = http.StatusCreated
	huma.Register(h, retry, a.retryRun)
	huma.Register(h, operation("signal-run", http.MethodPost, "/runs/{run}/signals", "Tell a run that something happened", tagRuns), a.signalRun)
	huma.Register(h, operation("decide-step", http.MethodPost, "/runs/{run}/decisions", "Approve or reject a step that waits for it", tagRuns), a.decideStep)
	huma.Register(h, operation("list-approvals", http.MethodGet, "/approvals", "List the steps that wait for an approval", tagRuns), a.listApprovals)
}

func (a *API) listRuns(ctx context.Context, in *struct {
	Stack       string `query:"stack" doc:"Only runs that change this stack."`
	Environment string `query:"environment" doc:"Only runs in this environment."`
	Status      string `query:"status" enum:"pending,running,waiting,interrupted,succeeded,failed,cancelled" doc:"Only runs that stand so; waiting are those that run and wait for an approval or a signal."`
	Kind        string `query:"kind" doc:"Only runs of this kind."`
	Parent      string `query:"parent" doc:"Only the steps of this run that are runs of their own."`
	Top         bool   `query:"top" doc:"Only runs that are no steps of others."`
	Cursor      string `query:"cursor" doc:"What the page before gave as next."`
	Limit       int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
},
) (*body[page[Run]], error) {
	q := runs.RunQuery{Stack: in.Stack, Environment: in.Environment, Status: runs.Status(in.Status), Kind: in.Kind, Parent: in.Parent, Top: in.Top, Limit: in.Limit + 1}
	if in.Status == waiting {
		q.Status, q.Waiting = runs.Running, true
	}
	if in.Cursor != "" {
		var err error
		if q.Before, err = positionOf(in.Cursor); err != nil {
			return nil, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	out := page[Run]{Items: []Run{}}
	for {
		list, err := a.Store.Runs(ctx, q)
		if err != nil {
			return nil, problem(err)
		}
		for _, r := range list {
			if !a.viewer(ctx).run(ctx, r) {
				continue
			}
			if len(out.Items) == in.Limit {
				out.Next = cursorAt(q.Before)
				return answer(out), nil
			}
			out.Items, q.Before = append(out.Items, runOf(r)), r.Position()
		}
		if len(list) < q.Limit && len(out.Items) == 0 && in.Cursor == "" && in.Environment != "" && a.viewer(ctx).Audit {
			kept, err := a.Store.Runs(ctx, runs.RunQuery{Environment: in.Environment, Limit: 1})
			if err != nil {
				return nil, problem(err)
			}
			if p, err := a.Work.Project(ctx); err == nil && len(kept) == 0 && len(p.Environments) > 0 && p.Environments[in.Environment] == nil {
				return nil, problem(undeclared("environment", in.Environment, slices.Sorted(maps.Keys(p.Environments))).Err())
			}
		}
		if len(list) < q.Limit {
			return answer(out), nil
		}
		// There may be more that may be looked at.
		q.Before, q.Limit = list[len(list)-1].Position(), max(q.Limit, runsAtOnce)
	}
}

// waiting is how clients ask for runs that wait.
const waiting = "waiting"

func (a *API) countRuns(ctx context.Context, in *struct {
	Top   bool      `query:"top" doc:"Only runs that are no steps of others."`
	Since time.Time `query:"since" doc:"From when on failures count; a day unless given."`
},
) (*body[RunCounts], error) {
	list, err := a.Store.Unended(ctx)
	if err != nil {
		return nil, problem(err)
	}
	var out RunCounts
	for _, r := range list {
		if in.Top && r.Parent != "" || !a.viewer(ctx).run(ctx, r) {
			continue
		}
		switch r.Status {
		case runs.Pending:
			out.Pending++
		case runs.Interrupted:
			out.Interrupted++
		default:
			out.Running++
			if r.Waits != "" {
				out.Waiting++
			}
		}
	}
	since := in.Since
	if since.IsZero() {
		since = time.Now().Add(-24 * time.Hour)
	}
	failed := runs.RunQuery{Status: runs.Failed, Top: in.Top, EndedSince: since}
	if a.viewer(ctx).Everything {
		if out.Failed, err = a.Store.CountRuns(ctx, failed); err != nil {
			return nil, problem(err)
		}
		return answer(out), nil
	}
	for failed.Limit = runsAtOnce; ; failed.Before = list[len(list)-1].Position() {
		if list, err = a.Store.Runs(ctx, failed); err != nil {
			return nil, problem(err)
		}
		for _, r := range list {
			if a.viewer(ctx).run(ctx, r) {
				out.Failed++
			}
		}
		if len(list) < runsAtOnce {
			return answer(out), nil
		}
	}
}

// runsAtOnce is how many runs are read at a time where some of them may not be looked at.
const runsAtOnce = 500

// cursorAt is the place of a run among all as clients give it back.
func cursorAt(p *runs.RunPosition) string { return fmt.Sprintf("%d-%s", p.Created.UnixNano(), p.ID) }

func positionOf(cursor string) (*runs.RunPosition, error) {
	at, id, ok := strings.Cut(cursor, "-")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return nil, fmt.Errorf("the cursor %q is none: give what the page before gave as next", cursor)
	}
	return &runs.RunPosition{Created: time.Unix(0, n), ID: id}, nil
}

func (a *API) startRun(ctx context.Context, in *struct {
	Body StartRequest
},
) (*body[Run], error) {
	if run, ok := a.startedBefore(ctx); ok {
		return answer(runOf(run)), nil
	}
	if !a.viewer(ctx).Somewhere(in.Body.Workflow) {
		return nil, problem(fmt.Errorf("%w: the project declares no workflow %q", ErrNotFound, in.Body.Workflow))
	}
	run, err := a.Work.Start(ctx, IdentityOf(ctx), Start{ID: runID(ctx), Workflow: in.Body.Workflow, Environment: in.Body.Environment, Inputs: in.Body.Inputs, Input: in.Body.Input, Overrides: in.Body.Overrides, Source: in.Body.Source.kept()})
	if err != nil {
		return nil, problem(err)
	}
	return answer(runOf(run)), nil
}

func (a *API) getRun(ctx context.Context, in *RunPath) (*body[Run], error) {
	run, err := a.Store.Run(ctx, in.Run)
	if err != nil {
		return nil, problem(err)
	}
	return answer(runOf(run)), nil
}

// followed is a follower of the run that a request names.
func (a *API) followed(ctx context.Context, in *RunPath) (*follower, error) {
	run, err := a.Store.Run(ctx, in.Run)
	if err != nil {
		return nil, problem(err)
	}
	f, err := a.follower(ctx, run)
	if err != nil {
		return nil, problem(err)
	}
	return f, nil
}

func (a *API) listSteps(ctx context.Context, in *RunPath) (*body[page[Step]], error) {
	f, err := a.followed(ctx, in)
	if err != nil {
		return nil, err
	}
	steps, err := f.steps(ctx)
	if err != nil {
		return nil, problem(err)
	}
	return answer(page[Step]{Items: steps}), nil
}

func (a *API) listRunOutputs(ctx context.Context, in *RunPath) (*body[page[Output]], error) {
	f, err := a.followed(ctx, in)
	if err != nil {
		return nil, err
	}
	return answer(page[Output]{Items: f.outputs()}), nil
}

func (a *API) getRunResult(ctx context.Context, in *struct {
	RunPath
	History bool `query:"history" doc:"With what happened."`
},
) (*body[MachineResult], error) {
	run, err := a.Store.Run(ctx, in.Run)
	if err != nil {
		return nil, problem(err)
	}
	var result asl.Result
	var history []asl.Event
	told := IdentityOf(ctx).Subject == access.Subject(run.Actor)
	if in.History && told {
		result, history, err = a.Runner.MachineHistory(ctx, run)
	} else {
		result, err = a.Runner.MachineResult(ctx, run)
	}
	if errors.Is(err, runs.ErrNoMachine) || errors.Is(err, runs.ErrPruned) {
		return nil, huma.Error409Conflict(err.Error())
	}
	if err != nil {
		return nil, problem(err)
	}
	out := MachineResult{Status: result.Status, Error: result.Error, Cause: result.Cause}
	if result.Status == "SUCCEEDED" {
		if out.Withheld = !told; told {
			if out.Output, err = json.Marshal(result.Output); err != nil {
				return nil, problem(err)
			}
		}
	}
	if history != nil {
		if out.History, err = json.Marshal(history); err != nil {
			return nil, problem(err)
		}
	}
	return answer(out), nil
}

func (a *API) listJournal(ctx context.Context, in *struct {
	RunPath
	After int64 `query:"after" doc:"Only entries behind this one."`
	Limit int   `query:"limit" default:"500" minimum:"1" maximum:"5000"`
},
) (*body[page[Entry]], error) {
	if _, err := a.Store.Run(ctx, in.Run); err != nil {
		return nil, problem(err)
	}
	entries, err := a.Store.Read(ctx, in.Run, in.After)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Entry]{Items: []Entry{}}
	for _, e := range entries {
		if len(out.Items) == in.Limit {
			out.Next = fmt.Sprint(out.Items[in.Limit-1].Sequence)
			break
		}
		out.Items = append(out.Items, entryOf(e))
	}
	return answer(out), nil
}

func (a *API) listLogs(ctx context.Context, in *struct {
	RunPath
	Step  string `query:"step" doc:"Only of this step."`
	After int64  `query:"after" doc:"Only pieces behind this one."`
	Limit int    `query:"limit" default:"500" minimum:"1" maximum:"5000"`
},
) (*body[page[Log]], error) {
	if _, err := a.Store.Run(ctx, in.Run); err != nil {
		return nil, problem(err)
	}
	out := page[Log]{Items: []Log{}}
	for after := in.After; ; {
		chunks, err := a.Store.Logs(ctx, in.Run, after, in.Limit)
		if err != nil {
			return nil, problem(err)
		}
		for _, c := range chunks {
			after = c.ID
			if in.Step == "" || c.Name == in.Step || strings.HasPrefix(c.Name, in.Step+"[") {
				out.Items = append(out.Items, logOf(c))
			}
		}
		if len(chunks) < in.Limit {
			return answer(out), nil
		}
		if len(out.Items) >= in.Limit {
			out.Next = fmt.Sprint(after)
			return answer(out), nil
		}
	}
}

// run finds a run that somebody may do something to.
func (a *API) run(ctx context.Context, id string, verb access.Verb) (runs.Run, error) {
	run, err := a.Store.Run(ctx, id)
	if err != nil {
		return run, problem(err)
	}
	if err := a.Work.AuthorizeRun(ctx, IdentityOf(ctx), verb, run); err != nil {
		return run, problem(err)
	}
	return run, nil
}

func (a *API) cancelRun(ctx context.Context, in *RunPath) (*body[Run], error) {
	run, err := a.run(ctx, in.Run, access.Cancel)
	if err != nil {
		return nil, err
	}
	if run.Status.Ended() {
		return nil, problem(fmt.Errorf("%w: run %s %s already", ErrConflict, run.ID, run.Status.Happened()))
	}
	runner := &runs.Runner{Store: a.Store, Actor: IdentityOf(ctx).Subject}
	run, diags := runner.Cancel(ctx, in.Run)
	if err := diagnosed(diags); err != nil {
		return nil, err
	}
	return answer(runOf(run)), nil
}

func (a *API) resumeRun(ctx context.Context, in *RunPath) (*body[Run], error) {
	verb := access.Run
	run, err := a.Store.Run(ctx, in.Run)
	if err == nil && !run.Machine() {
		verb = access.Apply
	}
	if run, err = a.run(ctx, in.Run, verb); err != nil {
		return nil, err
	}
	if run.Status != runs.Interrupted && run.Status != runs.Pending {
		return nil, problem(fmt.Errorf("%w: run %s is %s", ErrConflict, run.ID, run.Status))
	}
	if err := a.Work.Resume(ctx, run); err != nil {
		return nil, problem(err)
	}
	return answer(runOf(run)), nil
}

func (a *API) retryRun(ctx context.Context, in *struct {
	RunPath
	Body *RetryRequest
},
) (*body[Run], error) {
	if run, ok := a.startedBefore(ctx); ok {
		return answer(runOf(run)), nil
	}
	run, err := a.run(ctx, in.Run, access.Run)
	if err != nil {
		return nil, err
	}
	if !run.Status.Ended() {
		return nil, problem(fmt.Errorf("%w: run %s is %s: let it end first", ErrConflict, run.ID, run.Status))
	}
	made, err := a.Work.Retry(ctx, IdentityOf(ctx), Retry{ID: runID(ctx), Run: run, From: given(in.Body).From})
	if err != nil {
		return nil, problem(err)
	}
	return answer(runOf(made)), nil
}

func (a *API) signalRun(ctx context.Context, in *struct {
	RunPath
	Body SignalRequest
},
) (*body[Run], error) {
	run, err := a.run(ctx, in.Run, access.Signal)
	if err != nil {
		return nil, err
	}
	s := workflow.Signal{Kind: workflow.SignalEvent, Name: in.Body.Event, By: IdentityOf(ctx).Subject, Data: in.Body.Data}
	if len(s.Data) == 0 {
		s.Data = json.RawMessage("null")
	}
	if run.Status.Ended() {
		return nil, problem(runs.ErrEnded)
	}
	if err := diagnosed(a.Runner.Signal(ctx, run.ID, s)); err != nil {
		return nil, err
	}
	return answer(runOf(run)), nil
}

func (a *API) decideStep(ctx context.Context, in *struct {
	RunPath
	Body DecisionRequest
},
) (*body[Run], error) {
	run, err := a.run(ctx, in.Run, access.Approve)
	if err != nil {
		return nil, err
	}
	d := StepDecision{Step: in.Body.Step, Approve: in.Body.Decision == "approve", Digest: in.Body.Plan, Comment: in.Body.Comment}
	if err := a.Work.Decide(ctx, IdentityOf(ctx), run, d); err != nil {
		return nil, problem(err)
	}
	if run, err = a.Store.Run(ctx, in.Run); err != nil {
		return nil, problem(err)
	}
	return answer(runOf(run)), nil
}

func (a *API) listApprovals(ctx context.Context, _ *struct{}) (*body[page[Approval]], error) {
	list, err := a.Store.Unended(ctx)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Approval]{Items: []Approval{}}
	for run, wait := range a.open.waiting(ctx, a, list) {
		if wait.Approval && a.viewer(ctx).run(ctx, run) {
			out.Items = append(out.Items, Approval{
				Run: runOf(run), Step: wait.Key, Message: wait.Message, Plan: wait.Plan, Roles: wait.Roles, Count: wait.Count, By: wait.By,
			})
		}
	}
	return answer(out), nil
}
