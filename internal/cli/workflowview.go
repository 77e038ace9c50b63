package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// workflowView tells people what the steps of a run do, on standard error: a
// line when one begins, and one when it ends.
type workflowView struct {
	app   *App
	begun map[string]time.Time
	asked map[string]bool        // what waits was told
	heard map[string]flow.Status // how steps stood when a server told of them last
}

func newWorkflowView(app *App) *workflowView {
	return &workflowView{app: app, begun: map[string]time.Time{}, asked: map[string]bool{}, heard: map[string]flow.Status{}}
}

func (v *workflowView) began(run runs.Run) { fmt.Fprintf(v.app.Err, "Run %s\n", run.ID) }

// watch is told every entry once it is on disk.
func (v *workflowView) watch(m *flow.Machine, e workflow.Entry) {
	v.tell(m.Changes(), e.Time, e.Kind == workflow.RunResumed)
	if e.Kind == workflow.RunStarted || e.Kind == workflow.RunResumed || e.Kind == workflow.StepSucceeded {
		v.waits(m)
	}
}

// operation is told every entry of a run without a workflow's steps, which names by itself
// what it is about: where it ends, only names knows.
func (v *workflowView) operation(names map[int]string, e workflow.Entry) {
	if e.Step < 0 {
		return
	}
	data := runs.ReadStepData(e)
	if data.Address != "" {
		names[e.Step] = data.Address
	}
	c := flow.Change{Step: names[e.Step]}
	switch e.Kind {
	case workflow.StepStarted:
		c.Status = flow.Running
	case workflow.StepSucceeded:
		c.Status = flow.Succeeded
	case workflow.StepFailed, workflow.StepLost:
		c.Status = flow.Failed
		for _, p := range data.Problems {
			c.Error = &flow.Error{Name: p.Summary, Cause: p.Detail}
		}
	default:
		return
	}
	if c.Step != "" {
		v.change(c, e.Time)
	}
}

// rest tells what had not been told when the run ended.
func (v *workflowView) rest(m *flow.Machine) {
	v.tell(m.Changes(), time.Now(), false)
}

// tell tells what became of steps. What began and ended at once took no time
// here: it was taken over, there was nothing to do, or it ended before the run
// was resumed.
func (v *workflowView) tell(changes []flow.Change, at time.Time, resumed bool) {
	ended := map[string]bool{}
	for _, c := range changes {
		ended[c.Step] = c.Status != flow.Running
	}
	for _, c := range changes {
		switch {
		case !ended[c.Step] || v.begun[c.Step] != (time.Time{}):
			v.change(c, at)
		case c.Status == flow.Running:
		case resumed && c.Status == flow.Succeeded:
			v.line(c.Step, "succeeded before")
		default:
			v.change(c, at)
		}
	}
}

func (v *workflowView) change(c flow.Change, at time.Time) {
	items := ""
	if c.Items > 0 {
		items = fmt.Sprintf(" (%d items)", c.Items)
	}
	if c.Items == 1 {
		items = " (1 item)"
	}
	switch c.Status {
	case flow.Running:
		v.begun[c.Step] = at
		v.line(c.Step, "started"+items)
	case flow.Halted:
		v.line(c.Step, "halted: something it needs failed")
	case flow.Skipped:
		v.line(c.Step, "skipped")
	default:
		text := string(c.Status)
		if since, ok := v.begun[c.Step]; ok {
			text += " after " + at.Sub(since).Round(time.Millisecond).String()
		}
		if c.Error == nil {
			v.line(c.Step, text)
			return
		}
		v.line(c.Step, text+": "+c.Error.Name)
		v.app.terminals().err.Indented(diag.FirstLine(c.Error.Cause), 23)
	}
}

// waits tells once about each step that waits for somebody.
func (v *workflowView) waits(m *flow.Machine) {
	for _, s := range m.Waiting() {
		v.wait(s.Key, s.Approval, s.Message, s.Event)
	}
}

// wait tells once what a step waits for.
func (v *workflowView) wait(key string, approval bool, message, event string) {
	if v.asked[key] {
		return
	}
	v.asked[key] = true
	switch {
	case approval && message != "":
		v.line(key, "waits for an approval: "+message)
	case approval:
		v.line(key, "waits for an approval")
	default:
		v.line(key, fmt.Sprintf("waits for the event %q", event))
	}
}

func (v *workflowView) line(step, text string) {
	fmt.Fprintf(v.app.Err, "  %-20s %s\n", printable(step), printable(text))
}

// printOutputs prints outputs as the output command does.
func (a *App) printOutputs(outputs map[string]cty.Value) {
	for _, name := range sortedKeys(outputs) {
		value := outputs[name]
		if value.HasMarkDeep(marks.Sensitive) {
			fmt.Fprintf(a.Out, "%s = <sensitive>\n", name)
			continue
		}
		fmt.Fprintf(a.Out, "%s = %s\n", name, views.ConsoleValue(value))
	}
}

// showSteps prints the steps of a run of a workflow as a table.
func showSteps(b *strings.Builder, steps []flow.StepState) {
	b.WriteString("\nSteps\n")
	for _, s := range steps {
		text := string(s.Status)
		if s.Items > 0 {
			text += fmt.Sprintf(", %d of %d items", s.Done, s.Items)
		}
		if s.Undone {
			text += ", undone"
		}
		if s.Waits != "" {
			text += ", waits " + s.Waits
		}
		if s.Error != nil {
			text += ": " + s.Error.Name
		}
		phase := s.Phase
		if phase != "" {
			phase = "(" + phase + ")"
		}
		b.WriteString(views.Listed(fmt.Sprintf("  %-20s %-9s %s", s.Name, s.Action, text), 33, " ", phase) + "\n")
	}
}
