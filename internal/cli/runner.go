package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/asl"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
)

func runnerCommand() *command {
	return &command{
		name: "runner", summary: "Drive the runs of workflows that nobody else does",
		about: `Takes over the runs of workflows that wait for somebody ("tutti run -detach") and those whose process has died, and drives them side by side, as they come, until it is interrupted. The first interrupt lets running steps end and leaves the runs for the next runner; a second gives up what is running. Several runners may work on one project: each run has one owner.`,
		setup: func(f *flagSet) action {
			o := runnerOptions{most: 1000}
			f.number(&o.most, "max-runs", "N", "How many runs to drive at once; 1000 unless given.")
			f.toggle(&o.once, "once", "Drive what there is, and end when all of it has ended.")
			f.toggle(&o.quiet, "quiet", "Print nothing but problems.")
			return o.serve
		},
	}
}

type runnerOptions struct {
	most        int
	once, quiet bool
}

// lookAgain is how often a runner looks for runs, and how long it leaves one
// alone that it could not drive.
const (
	lookAgain  = 200 * time.Millisecond
	leaveAlone = time.Minute
)

func (o *runnerOptions) serve(ctx context.Context, app *App, _ []string) int {
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	store, diags := op.store(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.refusals = newRefusals(store)
	r := &runs.Runner{Store: store}
	d := &runDriver{o: o, op: op, r: r, drain: ctx.Done(), hard: hardContext(ctx).Done(), driving: map[string]bool{}, alone: map[string]time.Time{}}
	app.busy.Store(new(d.busy))
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		waiting, err := d.look(context.WithoutCancel(ctx))
		if err != nil {
			app.show(diag.Warningf("Cannot look for runs", "%s.", err))
		}
		if o.once && waiting == 0 {
			break
		}
		select {
		case <-ctx.Done():
			d.all.Wait()
			return exitOK
		case <-ticker.C:
			continue
		}
	}
	d.all.Wait()
	r.Wait()
	return exitOK
}

// runDriver drives the runs of a project side by side.
type runDriver struct {
	o           *runnerOptions
	op          *operation
	r           *runs.Runner
	drain, hard <-chan struct{}

	mu      sync.Mutex
	driving map[string]bool
	alone   map[string]time.Time // until when a run is left alone
	all     sync.WaitGroup
}

// look takes over what nobody drives. It returns how many runs have not ended
// yet, those left alone not counted.
func (d *runDriver) look(ctx context.Context) (int, error) {
	list, err := d.r.Store.Unended(ctx)
	if err != nil {
		return 0, err
	}
	open := map[string]bool{}
	for _, run := range list {
		open[run.ID] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := 0
	for _, run := range list {
		if run.Kind != runs.WorkflowKind || open[run.Parent] || time.Now().Before(d.alone[run.ID]) {
			continue // a step's own run goes on with that step
		}
		waiting++
		if d.driving[run.ID] || len(d.driving) >= d.o.most || run.Status != runs.Pending && run.Status != runs.Interrupted {
			continue
		}
		d.driving[run.ID] = true
		d.all.Go(func() { d.drive(ctx, run) })
	}
	return waiting, nil
}

// busy reports whether a run is being driven.
func (d *runDriver) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.driving) > 0
}

// drive carries a run to its end.
func (d *runDriver) drive(ctx context.Context, run runs.Run) {
	d.say("Run %s: %s", run.ID, run.Summary)
	ended, diags := d.op.driveRun(ctx, d.r, run, d.drain, d.hard)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.driving, run.ID)
	switch {
	case ended.Status.Ended():
		d.say("Run %s %s", run.ID, ended.Status.Happened())
	case isClosed(d.drain):
		d.say("Run %s is left for the next runner", run.ID)
	case diags.HasErrors():
		d.alone[run.ID] = time.Now().Add(leaveAlone)
		fmt.Fprintf(d.op.app.Err, "Run %s: %s\n", run.ID, diags.Err())
	}
}

func (d *runDriver) say(format string, args ...any) {
	if !d.o.quiet {
		fmt.Fprintf(d.op.app.Out, time.Now().Format("15:04:05 ")+format+"\n", args...)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// driveRun takes over a run of a workflow or a state machine and carries it to
// its end, or as far as it may.
func (o *operation) driveRun(ctx context.Context, r *runs.Runner, run runs.Run, drain, hard <-chan struct{}) (runs.Run, diag.List) {
	source, err := r.Store.Blob(ctx, run.Blob)
	if err != nil {
		return run, diag.Errorf("Cannot read the run's definition", "%s.", err)
	}
	op := &operation{project: o.aside(run.Key), view: o.view}
	op.app = o.app.fresh() // policies and files are those of now
	d, diags := op.definitionOf(source)
	switch {
	case diags.HasErrors():
		return run, diags
	case d == nil || d.Workflow.Definition != "":
		steps, e, done, diags := op.machineExecution(r, source)
		if diags.HasErrors() {
			return run, diags
		}
		defer done()
		steps.Machine.Forget() // nobody asks for the history
		e.Run, e.Drain, e.Hard, steps.Hard = run, drain, hard, hard
		actsFor(e, run)
		return r.Continue(ctx, e)
	}
	inputs, environment, diags := r.Inputs(ctx, run)
	if diags.HasErrors() {
		return run, diags
	}
	options := runs.WorkflowOptions{Run: run, Inputs: inputs, Environment: environment, Drain: drain, Hard: hard, Authorize: op.app.authorizer(r.Store), Admit: op.admit, Secrets: op.secretReader(run.Key.Environment)}
	if s := op.stacks(d.Project); s != nil {
		defer s.Close()
		options.Stacks = s
	}
	ended, _, diags := r.ContinueWorkflow(ctx, d, options)
	return ended, diags
}

// definitionOf reads the definition of a run of a project's workflow; nil for
// one of a bare state machine.
func (p *project) definitionOf(source []byte) (*flow.Definition, diag.List) {
	if !runs.IsWorkflow(source) {
		return nil, nil
	}
	if p.ensemble != nil {
		p = p.ensemble.root
	}
	return runs.DecodeDefinitionIn(p.dir, source)
}

// machineExecution makes the execution of a state machine from what its run is
// pinned to. done is to be called when it has ended.
func (o *operation) machineExecution(r *runs.Runner, pinned []byte) (steps *runs.StateMachine, e runs.Execution, done func(), diags diag.List) {
	definition, steps, diags := runs.StateMachineOf(pinned)
	if diags.HasErrors() {
		return nil, e, nil, diags
	}
	done = func() {}
	steps.Dir, steps.Definition, steps.Runner = o.workDir, machineDefinition, r
	steps.Run = runs.Run{Key: o.key(), Actor: o.app.actor(), Authority: o.app.authority(), Program: programVersion()}
	steps.Options.Authorize, steps.Options.Admit = o.app.authorizer(r.Store), o.admit
	if d, _ := o.definitionOf(pinned); d != nil {
		steps.Project, steps.Options.Run, steps.Options.Environment = d, steps.Run, o.key().Environment
		steps.Options.Secrets = o.secretReader(o.key().Environment)
		if s := o.stacks(d.Project); s != nil {
			steps.Options.Stacks, done = s, s.Close
		}
	}
	steps.Machine = asl.NewMachine(definition)
	return steps, runs.Execution{Definition: pinned, Machine: steps.Machine, Steps: steps}, done, nil
}

// actsFor has the steps of a state machine act for whom its run is by, whoever
// goes on with it.
func actsFor(e runs.Execution, run runs.Run) {
	if steps, ok := e.Steps.(*runs.StateMachine); ok {
		steps.Run.Actor, steps.Options.Run.Actor = run.Actor, run.Actor
		steps.Run.Authority, steps.Options.Run.Authority = run.Authority, run.Authority
		steps.Run.Overrides, steps.Options.Run.Overrides = run.Overrides, run.Overrides
	}
}
