package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

func (a *App) operationView(asJSON bool) operationView {
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

func (v *humanView) shown() bool { return true }

func (v *humanView) watch() views.Watcher {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watcher == nil {
		v.watcher = v.terminal.Watch(v.operations)
	}
	return v.watcher
}

func (v *humanView) progress(p engine.Progress) { v.watch().Progress(p) }

func (v *humanView) event(e runs.Event) {
	if text := toldOf(e); text != "" {
		v.watch().Tell(text)
	}
}

func (v *humanView) settle() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watcher != nil {
		v.watcher.Close()
		v.watcher = nil
	}
}

func (v *humanView) plan(ctx context.Context, o *Operation, l *loadedPlan) {
	v.terminal.Plan(l.plan, o.Schemas(ctx))
	v.operations = operationsOf(l.plan)
}

func (v *humanView) cost(j *judged) { v.terminal.Cost(j.estimate, j.verdicts) }

func (v *jsonView) cost(j *judged) { v.stream.Cost(j.estimate, j.verdicts) }

func (v *humanView) saved(changes bool, file string) {
	if inAutomation() || !changes && file == "" {
		return
	}
	v.terminal.Rule()
	if file == "" {
		v.terminal.Paragraph("Note: the plan was not saved, so \"tutti apply\" will make a new one, which may differ if anything changes meanwhile. Use -out to save it.")
		return
	}
	v.terminal.Paragraph("Saved the plan to: " + file)
	v.terminal.Paragraph("To perform exactly these actions, run the following command to apply:\n    tutti apply \"" + file + "\"")
}

func (v *humanView) decision(d *policy.Decision) { v.terminal.Decision(d) }

func (v *humanView) applied(p *plans.Plan, r runs.Result) {
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

func (v *jsonView) shown() bool { return true }

func (v *jsonView) progress(p engine.Progress) { v.stream.Progress(p) }
func (v *jsonView) event(runs.Event)           {}
func (v *jsonView) settle()                    {}

func (v *jsonView) saved(bool, string) {}

func (v *jsonView) plan(_ context.Context, _ *Operation, l *loadedPlan) {
	if l.file != "" {
		v.stream.Actions(l.plan)
		return
	}
	v.stream.Plan(l.plan)
}

func (v *jsonView) decision(d *policy.Decision) { v.stream.Decision(d) }

func (v *jsonView) applied(p *plans.Plan, r runs.Result) {
	if r.Run.Status == runs.Succeeded {
		v.stream.Applied(p.Mode, views.Totals(r.Done))
	}
	if p.Mode != plans.Destroy {
		v.stream.Outputs(r.Final.Outputs)
	}
}

func (v *jsonView) forStack(name string) operationView {
	return &jsonView{app: v.app, stream: v.stream.ForStack(name)}
}

func (v *jsonView) stack(name string, moves []states.Transfer) {
	stream := v.stream.ForStack(name)
	for _, t := range moves {
		if t.From.Stack == name {
			stream.Moves(t.Object, t.To.Stack, t.As)
		}
	}
}

func (v *jsonView) total(_ int, n plans.Counts, Operation string) { v.stream.Total(n, Operation) }

func (v *humanView) forStack(name string) operationView { return &stackView{v, name} }

func (v *humanView) stack(name string, moves []states.Transfer) {
	v.terminal.StackHeader(name)
	for _, t := range moves {
		switch name {
		case t.From.Stack:
			v.terminal.Paragraph(fmt.Sprintf("%s moves to stack %q as %s", t.Object, t.To.Stack, t.As))
		case t.To.Stack:
			v.terminal.Paragraph(fmt.Sprintf("%s moves here from stack %q, where it is %s", t.As, t.From.Stack, t.Object))
		}
	}
}

func (v *humanView) total(stacks int, n plans.Counts, Operation string) {
	v.terminal.StackTotal(stacks, n, Operation)
}

// stackView is the view of one stack among several, which share what is drawn.
type stackView struct {
	*humanView
	name string
}

func (v *stackView) progress(p engine.Progress) {
	p.Stack = v.name
	v.humanView.progress(p)
}

func (v *stackView) plan(ctx context.Context, o *Operation, l *loadedPlan) {
	v.terminal.Plan(l.plan, o.Schemas(ctx))
	v.operations += operationsOf(l.plan)
}

func (v *humanView) appliedAll(mode plans.Mode, r runs.Result) {
	v.terminal.Applied(mode, views.Totals(r.Done), r.Run.Kind, string(r.Run.Status), r.Run.ID)
}

func (v *humanView) outputs(stack string, values map[string]*states.Output) {
	if list, diags := namedValues(values); !diags.HasErrors() {
		v.terminal.StackOutputs(stack, list)
	}
}

func (v *jsonView) appliedAll(mode plans.Mode, r runs.Result) {
	if r.Run.Status == runs.Succeeded {
		v.stream.Applied(mode, views.Totals(r.Done))
	}
}

func (v *jsonView) outputs(stack string, values map[string]*states.Output) {
	v.stream.ForStack(stack).Outputs(values)
}

func (v *stackView) decision(d *policy.Decision) { v.terminal.StackDecision(v.name, d) }

// applied is told once for all stacks.
func (v *stackView) applied(*plans.Plan, runs.Result) {}
