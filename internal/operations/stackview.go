package operations

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// logView writes what happens as lines of text, for the logs of a step.
type logView struct {
	Silent
	terminal *views.Terminal
	watcher  views.Watcher
}

// logWidth is how wide texts in logs of runs are: nobody knows where they will be read.
const logWidth = 80

// newLogView writes to a log; nil for nowhere.
func newLogView(w io.Writer) *logView {
	if w == nil {
		w = io.Discard
	}
	t := &views.Terminal{Out: w, Width: logWidth}
	return &logView{terminal: t, watcher: t.Watch(0)}
}

// Shown implements [gate.View].
func (v *logView) Shown() bool { return true }

// Progress implements [View].
func (v *logView) Progress(p engine.Progress) { v.watcher.Progress(p) }

// Event implements [View].
func (v *logView) Event(e runs.Event) {
	if text := ToldOf(e); text != "" {
		v.watcher.Tell(text)
	}
}

// Settle implements [gate.View].
func (v *logView) Settle() { v.watcher.Close() }

// Plan implements [View].
func (v *logView) Plan(ctx context.Context, o *Operation, l *gate.Plan) {
	v.terminal.Plan(l.Plan, o.Schemas(ctx))
}

// ForStack implements [View].
func (v *logView) ForStack(name string) View { return &stackLog{v, name} }

// Stack implements [View].
func (v *logView) Stack(name string, moves []states.Transfer) {
	v.terminal.StackHeader(name)
	TellMoves(v.terminal, name, moves)
}

// TellMoves says what moves out of a stack, and what moves there.
func TellMoves(terminal *views.Terminal, name string, moves []states.Transfer) {
	for _, t := range moves {
		switch name {
		case t.From.Stack:
			terminal.Paragraph(fmt.Sprintf("%s moves to stack %q as %s", t.Object, t.To.Stack, t.As))
		case t.To.Stack:
			terminal.Paragraph(fmt.Sprintf("%s moves here from stack %q, where it is %s", t.As, t.From.Stack, t.Object))
		}
	}
}

// Total implements [View].
func (v *logView) Total(stacks int, n plans.Counts, operation string) {
	v.terminal.StackTotal(stacks, n, operation)
}

// stackLog is the log of one stack among several.
type stackLog struct {
	*logView
	name string
}

func (v *stackLog) Progress(p engine.Progress) {
	p.Stack = v.name
	v.logView.Progress(p)
}

func (v *stackLog) Decision(d *policy.Decision) { v.terminal.StackDecision(v.name, d) }

// Decision implements [gate.View].
func (v *logView) Decision(d *policy.Decision) { v.terminal.Decision(d) }

// Cost implements [gate.View].
func (v *logView) Cost(j *gate.Costs) { v.terminal.Cost(j.Estimate, j.Verdicts) }

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
	View
}

// Shown implements [gate.View].
func (v teeView) Shown() bool { return true }

// Progress implements [View].
func (v teeView) Progress(p engine.Progress) {
	v.log.Progress(p)
	v.View.Progress(p)
}

// Event implements [View].
func (v teeView) Event(e runs.Event) {
	v.log.Event(e)
	v.View.Event(e)
}

// Decision implements [gate.View].
func (v teeView) Decision(d *policy.Decision) {
	v.log.Decision(d)
	v.View.Decision(d)
}
