package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
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

func (o *runnerOptions) serve(ctx context.Context, app *App, _ []string) int {
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	store, diags := op.Store(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.Refusals = project.NewRefusals(store)
	r := &runs.Runner{Store: store}
	say := func(format string, args ...any) {
		if !o.quiet {
			fmt.Fprintf(app.Out, time.Now().Format("15:04:05 ")+format+"\n", args...)
		}
	}
	d := operations.NewDriver(op.Operation, r, o.most, say, ctx.Done(), operations.Hard(ctx).Done())
	app.busy.Store(new(d.Busy))
	ticker := time.NewTicker(operations.LookAgain)
	defer ticker.Stop()
	for {
		waiting, err := d.Look(context.WithoutCancel(ctx))
		if err != nil {
			app.Show(diag.Warningf("Cannot look for runs", "%s.", err))
		}
		if o.once && waiting == 0 {
			break
		}
		select {
		case <-ctx.Done():
			d.All.Wait()
			return exitOK
		case <-ticker.C:
			continue
		}
	}
	d.All.Wait()
	r.Wait()
	return exitOK
}
