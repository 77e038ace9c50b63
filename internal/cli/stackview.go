package cli

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// logView writes what happens as lines of text, for the logs of a step.
type logView struct {
	silentView
	terminal *views.Terminal
	watcher  views.Watcher
}

// logWidth is how wide texts in logs of runs are: nobody knows where they will be read.
const logWidth = 80

func newLogView(w io.Writer) *logView {
	if w == nil {
		w = io.Discard
	}
	t := &views.Terminal{Out: w, Width: logWidth}
	return &logView{terminal: t, watcher: t.Watch(0)}
}

func (v *logView) shown() bool { return true }

func (v *logView) progress(p engine.Progress) { v.watcher.Progress(p) }
func (v *logView) event(e runs.Event) {
	if text := toldOf(e); text != "" {
		v.watcher.Tell(text)
	}
}
func (v *logView) settle() { v.watcher.Close() }

func (v *logView) plan(ctx context.Context, o *Operation, l *loadedPlan) {
	v.terminal.Plan(l.plan, o.Schemas(ctx))
}

func (v *logView) forStack(name string) operationView { return &stackLog{v, name} }

func (v *logView) stack(name string, moves []states.Transfer) {
	(&humanView{terminal: v.terminal}).stack(name, moves)
}

func (v *logView) total(stacks int, n plans.Counts, Operation string) {
	v.terminal.StackTotal(stacks, n, Operation)
}

// stackLog is the log of one stack among several.
type stackLog struct {
	*logView
	name string
}

func (v *stackLog) progress(p engine.Progress) {
	p.Stack = v.name
	v.logView.progress(p)
}

func (v *stackLog) decision(d *policy.Decision) { v.terminal.StackDecision(v.name, d) }

func (v *logView) decision(d *policy.Decision) { v.terminal.Decision(d) }
func (v *logView) cost(j *judged)              { v.terminal.Cost(j.estimate, j.verdicts) }

func (v *logView) show(diags diag.List, sources map[string][]byte) {
	if len(diags) == 0 {
		return
	}
	var b bytes.Buffer
	t := *v.terminal
	t.Out = &b
	t.Diagnostics(diags.Sorted(), sources)
	_, _ = v.terminal.Out.Write([]byte(strings.TrimLeft(b.String(), "\n")))
}

// teeView tells two views what happens.
type teeView struct {
	log *logView
	operationView
}

func (v teeView) shown() bool { return true }

func (v teeView) progress(p engine.Progress) {
	v.log.progress(p)
	v.operationView.progress(p)
}

func (v teeView) event(e runs.Event) {
	v.log.event(e)
	v.operationView.event(e)
}

func (v teeView) decision(d *policy.Decision) {
	v.log.decision(d)
	v.operationView.decision(d)
}
