package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

func (a *App) operationView(asJSON bool) operations.View {
	if asJSON {
		stream := views.NewStream(a.Out, time.Now)
		stream.Version(project.TerraformVersion, project.ProgramVersion())
		return &jsonView{app: a, stream: stream}
	}
	return &humanView{app: a, terminal: a.terminals().out}
}

// humanView is for people: lines or a live tree, then prose.
type humanView struct {
	app      *App
	terminal *views.Terminal

	mu         sync.Mutex
	watcher    views.Watcher
	operations int // to come
}

func (v *humanView) Shown() bool { return true }

func (v *humanView) watch() views.Watcher {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watcher == nil {
		v.watcher = v.terminal.Watch(v.operations)
	}
	return v.watcher
}

func (v *humanView) Progress(p engine.Progress) { v.watch().Progress(p) }

func (v *humanView) Event(e runs.Event) {
	if text := operations.ToldOf(e); text != "" {
		v.watch().Tell(text)
	}
}

func (v *humanView) Settle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watcher != nil {
		v.watcher.Close()
		v.watcher = nil
	}
}

func (v *humanView) Plan(ctx context.Context, o *operations.Operation, l *gate.Plan) {
	v.terminal.Plan(l.Plan, o.Schemas(ctx))
	v.operations = operations.Number(l.Plan)
}

func (v *humanView) Cost(j *gate.Costs) { v.terminal.Cost(j.Estimate, j.Verdicts) }

func (v *jsonView) Cost(j *gate.Costs) { v.stream.Cost(j.Estimate, j.Verdicts) }

func (v *humanView) Saved(changes bool, file string) {
	if inAutomation() || !changes && file == "" {
		return
	}
	v.terminal.Rule()
	if file == "" {
		v.terminal.Paragraph("Note: the plan was not saved, so \"tutti apply\" will make a new one, which may differ if anything changes meanwhile. Use -out to save it.")
		return
	}
	v.terminal.Paragraph("Saved the plan to: " + file)
	v.terminal.Paragraph("To perform exactly these actions, run the following command to apply:\n    " + v.app.applies(fmt.Sprintf("%q", file)))
}

// applies is the command that applies a plan as it was made: with what -env said and, where
// it is of one stack, -stack.
func (a *App) applies(plan string) string {
	words := []string{"tutti apply"}
	if a.Environment != "" {
		words = append(words, "-env="+a.Environment)
	}
	if len(a.Stacks) == 1 {
		words = append(words, "-stack="+a.Stacks[0])
	}
	return strings.Join(append(words, plan), " ")
}

func (v *humanView) Decision(d *policy.Decision) { v.terminal.Decision(d) }

func (v *humanView) Applied(p *plans.Plan, r runs.Result) {
	v.terminal.Applied(p.Mode, views.Totals(r.Done), r.Run.Kind, string(r.Run.Status), r.Run.ID)
	if r.Run.Status == runs.Succeeded && p.Mode != plans.Destroy {
		if list, diags := namedValues(r.Final.Outputs); !diags.HasErrors() {
			v.terminal.Outputs(list)
		}
	}
}

func namedValues(values map[string]*states.Output) ([]views.NamedValue, diag.List) {
	var out []views.NamedValue
	for _, name := range sortedKeys(values) {
		o := values[name]
		val, err := project.OutputValue(o)
		if err != nil {
			return nil, diag.FromError(err)
		}
		out = append(out, views.NamedValue{Name: name, Value: val, Sensitive: o.Sensitive})
	}
	return out, nil
}

// jsonView is for programs: one JSON object per line.
type jsonView struct {
	app    *App
	stream *views.Stream
}

func (v *jsonView) Shown() bool { return true }

func (v *jsonView) Progress(p engine.Progress) { v.stream.Progress(p) }
func (v *jsonView) Event(runs.Event)           {}
func (v *jsonView) Settle()                    {}

func (v *jsonView) Saved(bool, string) {}

func (v *jsonView) Plan(_ context.Context, _ *operations.Operation, l *gate.Plan) {
	if l.File != "" {
		v.stream.Actions(l.Plan)
		return
	}
	v.stream.Plan(l.Plan)
}

func (v *jsonView) Decision(d *policy.Decision) { v.stream.Decision(d) }

func (v *jsonView) Applied(p *plans.Plan, r runs.Result) {
	if r.Run.Status == runs.Succeeded {
		v.stream.Applied(p.Mode, views.Totals(r.Done))
	}
	if p.Mode != plans.Destroy {
		v.stream.Outputs(r.Final.Outputs)
	}
}

func (v *jsonView) ForStack(name string) operations.View {
	return &jsonView{app: v.app, stream: v.stream.ForStack(name)}
}

func (v *jsonView) Stack(name string, moves []states.Transfer) {
	stream := v.stream.ForStack(name)
	for _, t := range moves {
		if t.From.Stack == name {
			stream.Moves(t.Object, t.To.Stack, t.As)
		}
	}
}

func (v *jsonView) Total(_ int, n plans.Counts, operation string) { v.stream.Total(n, operation) }

func (v *humanView) ForStack(name string) operations.View { return &stackView{v, name} }

func (v *humanView) Stack(name string, moves []states.Transfer) {
	v.terminal.StackHeader(name)
	operations.TellMoves(v.terminal, name, moves)
}

func (v *humanView) Total(stacks int, n plans.Counts, operation string) {
	v.terminal.StackTotal(stacks, n, operation)
}

// stackView is the view of one stack among several, which share what is drawn.
type stackView struct {
	*humanView
	name string
}

func (v *stackView) Progress(p engine.Progress) {
	p.Stack = v.name
	v.humanView.Progress(p)
}

func (v *stackView) Plan(ctx context.Context, o *operations.Operation, l *gate.Plan) {
	v.terminal.Plan(l.Plan, o.Schemas(ctx))
	v.operations += operations.Number(l.Plan)
}

func (v *humanView) AppliedAll(mode plans.Mode, r runs.Result) {
	v.terminal.Applied(mode, views.Totals(r.Done), r.Run.Kind, string(r.Run.Status), r.Run.ID)
}

func (v *humanView) Outputs(stack string, values map[string]*states.Output) {
	if list, diags := namedValues(values); !diags.HasErrors() {
		v.terminal.StackOutputs(stack, list)
	}
}

func (v *jsonView) AppliedAll(mode plans.Mode, r runs.Result) {
	if r.Run.Status == runs.Succeeded {
		v.stream.Applied(mode, views.Totals(r.Done))
	}
}

func (v *jsonView) Outputs(stack string, values map[string]*states.Output) {
	v.stream.ForStack(stack).Outputs(values)
}

func (v *stackView) Decision(d *policy.Decision) { v.terminal.StackDecision(v.name, d) }

// Applied is told once for all stacks.
func (v *stackView) Applied(*plans.Plan, runs.Result) {}
