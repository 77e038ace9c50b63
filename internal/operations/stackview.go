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

// LogView writes what happens as lines of text, for the logs of a step.
type LogView struct {
	Silent
	terminal *views.Terminal
	watcher  views.Watcher
}

// logWidth is how wide texts in logs of runs are: nobody knows where they will be read.
const logWidth = 80

// NewLogView writes to a log; nil for nowhere.
func NewLogView(w io.Writer) *LogView {
	if w == nil {
		w = io.Discard
	}
	t := &views.Terminal{Out: w, Width: logWidth}
	return &LogView{terminal: t, watcher: t.Watch(0)}
}

// Shown implements [gate.View].
func (v *LogView) Shown() bool { return true }

// Progress implements [View].
func (v *LogView) Progress(p engine.Progress) { v.watcher.Progress(p) }

// Event implements [View].
func (v *LogView) Event(e runs.Event) {
	if text := ToldOf(e); text != "" {
		v.watcher.Tell(text)
	}
}

// Settle implements [gate.View].
func (v *LogView) Settle() { v.watcher.Close() }

// Plan implements [View].
func (v *LogView) Plan(ctx context.Context, o *Operation, l *gate.Plan) {
	v.terminal.Plan(l.Plan, o.Schemas(ctx))
}

// ForStack implements [View].
func (v *LogView) ForStack(name string) View { return &stackLog{v, name} }

// Stack implements [View].
func (v *LogView) Stack(name string, moves []states.Transfer) {
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
func (v *LogView) Total(stacks int, n plans.Counts, operation string) {
	v.terminal.StackTotal(stacks, n, operation)
}

// stackLog is the log of one stack among several.
type stackLog struct {
	*LogView
	name string
}

func (v *stackLog) Progress(p engine.Progress) {
	p.Stack = v.name
	v.LogView.Progress(p)
}

func (v *stackLog) Decision(d *policy.Decision) { v.terminal.StackDecision(v.name, d) }

// Decision implements [gate.View].
func (v *LogView) Decision(d *policy.Decision) { v.terminal.Decision(d) }

// Cost implements [gate.View].
func (v *LogView) Cost(j *gate.Costs) { v.terminal.Cost(j.Estimate, j.Verdicts) }

func (v *LogView) show(diags diag.List, sources map[string][]byte) {
	if len(diags) == 0 {
		return
	}
	var b bytes.Buffer
	t := *v.terminal
	t.Out = &b
	t.Diagnostics(diags.Sorted(), sources)
	_, _ = v.terminal.Out.Write([]byte(strings.TrimLeft(b.String(), "\n")))
}

// TeeView tells two views what happens.
type TeeView struct {
	log *LogView
	View
}

// Shown implements [gate.View].
func (v TeeView) Shown() bool { return true }

// Progress implements [View].
func (v TeeView) Progress(p engine.Progress) {
	v.log.Progress(p)
	v.View.Progress(p)
}

// Event implements [View].
func (v TeeView) Event(e runs.Event) {
	v.log.Event(e)
	v.View.Event(e)
}

// Decision implements [gate.View].
func (v TeeView) Decision(d *policy.Decision) {
	v.log.Decision(d)
	v.View.Decision(d)
}
