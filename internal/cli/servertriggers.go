package cli

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/triggers"
)

// serveSchedules drives the schedules of the project beside its runs until ctx is
// cancelled, and returns when it has let go of the runs. A project without schedules
// may be given some while the server is up; one whose files are wrong is told about
// and looked at again when they change.
func (o *operation) serveSchedules(ctx context.Context) {
	options := &serveOptions{}
	before := fingerprint()
	list, workflows, diags := o.loadSchedules(ctx, options)
	if workflows == nil {
		o.app.show(diags)
		return
	}
	if diags.HasErrors() {
		o.app.tell("The schedules of the project are not served until its files are put right:\n")
		list = nil
	}
	o.app.show(diags)
	s := &triggers.Scheduler{Store: o.opened, Runs: workflows, Watch: func(e triggers.Event) {
		switch e.Kind {
		case triggers.Failed, triggers.Problem:
			fmt.Fprintf(o.app.Err, "Schedule %s: %s: %s\n", e.Schedule, e.Kind, e.Problem)
		}
	}}
	lists := make(chan []*triggers.Trigger, 1)
	lists <- list
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		options.watchFiles(ctx, o, workflows, before, lists)
	}()
	s.Run(ctx, lists)
	<-watching
	workflows.Runner.Wait()
}

// loadSchedules reads the schedules of the project and makes what carries out their
// runs; nil where there is no store.
func (o *operation) loadSchedules(ctx context.Context, options *serveOptions) ([]*triggers.Trigger, *triggers.Workflows, diag.List) {
	p, list, diags := o.app.openTriggers()
	if !diags.HasErrors() {
		diags = append(diags, checkSchedules(p, list)...)
	}
	if diags.HasErrors() {
		list = nil
	}
	workflows, found := o.triggerRuns(ctx, list, "", &options.variableOptions)
	if workflows != nil && workflows.Environment == "" && p != nil {
		// Triggers that name none may come later.
		workflows.Environment, _ = o.chooseEnvironment(p, "")
	}
	return list, workflows, append(diags, found...)
}
