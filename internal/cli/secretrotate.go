package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/schedules"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/zclconf/go-cty/cty"
)

// rotateOptions are the flags of rotate and rollback.
type rotateOptions struct {
	workflowOptions
	version int
}

func (o *rotateOptions) register(f *flagSet) {
	f.toggle(&o.json, "json", "Print how the run ended as JSON, as \"tutti run -json\" does.")
	f.text(&o.environment, "env", "NAME", "The environment to work in.")
	f.text(&o.environment, "environment", "NAME", "The same as -env.")
	f.toggle(&o.detach, "detach", "Only make the run and print its name: a runner (\"tutti runner\") drives it.")
	registerValues(f, &o.VariableOptions)
}

func secretRotateCommand() *command {
	return &command{
		name: "rotate", args: "NAME", summary: "Give a secret a new value, and everybody who uses it", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		about: "Runs the workflow that the secret's rotation block stands for: makes a new version, applies the stacks that are given the secret with it, verifies it, and only then makes it current. The old version is kept for the time that the block says, and is revoked then. Where anything fails before, the stacks are applied with the old version again, and the new one is dropped.\n\nIt is a run like any other, and waits until the old version is revoked. Killed at any instant, it goes on with \"tutti resume\".",
		setup: func(f *flagSet) action {
			o := &rotateOptions{}
			o.register(f)
			return func(ctx context.Context, app *App, args []string) int { return o.rotate(ctx, app, args[0], false) }
		},
	}
}

func secretRollbackCommand() *command {
	return &command{
		name: "rollback", args: "NAME", summary: "Go back to the version of a secret before", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		about: "Rotates the secret to a version that is still kept: the one before the current one, or the one that -version says. As with \"tutti secret rotate\", the stacks that are given it are applied first, it is verified, and the version it takes the place of is kept for a time and revoked.",
		setup: func(f *flagSet) action {
			o := &rotateOptions{}
			o.register(f)
			f.number(&o.version, "version", "N", "Go back to this version.")
			return func(ctx context.Context, app *App, args []string) int { return o.rotate(ctx, app, args[0], true) }
		},
	}
}

// rotate runs the workflow of a secret's rotation, with back to a version that is
// there already.
func (o *rotateOptions) rotate(ctx context.Context, app *App, name string, back bool) int {
	app.Environment = o.environment
	w, diags := app.openSecrets(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	workflow, diags := w.rotationOf(name)
	if !diags.HasErrors() {
		diags = w.may(name)
	}
	if back && !diags.HasErrors() {
		if o.version == 0 {
			o.version, diags = w.before(ctx, name)
		}
		o.Given = append(o.Given, configs.GivenVariable{Text: fmt.Sprintf("%s=%d", projects.RotationVersion, o.version)})
	}
	declared := w.declared
	w.Close()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	op, diags := app.openRootOperation(false)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer op.Close()
	return o.runWorkflow(ctx, op, declared, workflow)
}

// rotationOf is the workflow that rotates a secret.
func (w *secretWork) rotationOf(name string) (*projects.Workflow, diag.List) {
	s := w.secret(name)
	switch {
	case s == nil:
		return nil, w.undeclared(name)
	case s.Rotation == nil:
		return nil, diag.ErrorAt(s.DeclRange, "Secret has no rotation", "The project does not say how the secret %q is rotated. Add a rotation block to it, for example rotation { generate { length = 32 } }, each block on lines of its own.", name)
	}
	return w.declared.Workflows[projects.RotationName(name)], nil
}

// before is the version that a rollback goes back to: the newest that was
// replaced by a rotation, or else by somebody who set another one.
func (w *secretWork) before(ctx context.Context, name string) (int, diag.List) {
	versions, err := w.store.SecretVersions(ctx, w.environment, name)
	if err != nil {
		return 0, diag.FromError(err)
	}
	for _, state := range []string{"previous", "former"} {
		for _, v := range versions {
			if v.State == state {
				return v.Version, nil
			}
		}
	}
	return 0, diag.Errorf("No version to go back to", "In the environment %q no version of the secret %q is kept besides the current one. \"tutti secret history %[2]s\" says what became of the others.", w.environment, name)
}

func secretConsumersCommand() *command {
	return &command{
		name: "consumers", args: "NAME", summary: "List the stacks that are given a secret", minArgs: 1, maxArgs: 1, complete: completeSecrets,
		about: "In the order in which a rotation applies them: those whose inputs refer to the secret, directly or through locals, and those that are given outputs of these.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, args []string) int {
				return app.inSecrets(ctx, func(w *secretWork) int { return w.consumers(args[0], o.json) })
			}
		},
	}
}

func (w *secretWork) consumers(name string, asJSON bool) int {
	if w.secret(name) == nil {
		return w.app.fail(w.undeclared(name))
	}
	type row struct {
		Stack   string   `json:"stack"`
		Through []string `json:"through,omitempty"`
		After   []string `json:"after,omitempty"`
	}
	rows := []row{}
	for _, c := range w.declared.Consumers(name) {
		rows = append(rows, row(c))
	}
	if asJSON {
		return w.app.printJSONIndented(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintf(w.app.Out, "No stack is given the secret %s.\n", name)
	}
	for _, r := range rows {
		through := ""
		if len(r.Through) > 0 {
			through = "through stack." + strings.Join(r.Through, ", stack.")
		}
		fmt.Fprintln(w.app.Out, strings.TrimRight(fmt.Sprintf("%-24s %s", "stack."+r.Stack, through), " "))
	}
	return exitOK
}

// nextRotation is when a secret is rotated by schedule; the zero time for never,
// or in another environment.
func (w *secretWork) nextRotation(s *projects.Secret, now time.Time) time.Time {
	if s == nil || s.Rotation == nil || s.Rotation.Trigger == nil {
		return time.Time{}
	}
	t := s.Rotation.Trigger
	if t.Environment != "" && t.Environment != w.environment {
		return time.Time{}
	}
	schedule, err := schedules.Parse(t.Schedule, t.Timezone)
	if err != nil {
		return time.Time{} // "tutti workflow validate" says so
	}
	next, _ := schedule.Next(now)
	return next
}

// kept reports whether the value of a version is in the store.
func kept(v sqlite.SecretVersion) bool {
	switch v.State {
	case "dropped", "revoked", "removed":
		return false
	}
	return true
}

// standingOf says how a version stands, for people.
func standingOf(v sqlite.SecretVersion) string {
	at := v.Since.Format(time.RFC3339)
	switch v.State {
	case "current", "previous":
		return v.State + " since " + at
	case "pending":
		return "pending since " + at + " in run " + v.Run
	case "revoking":
		return "being revoked since " + at
	case "former":
		return "not current any more since " + at
	case "removed":
		return "removed " + at + " by " + v.RemovedBy
	}
	return v.State + " " + at
}

// age is how long ago something was, for people.
func age(since, now time.Time) string {
	switch d := now.Sub(since); {
	case d < time.Minute:
		return "0m"
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// reportRotation says what state everything is in after a rotation.
func (a *App) reportRotation(d *flow.Definition, m *flow.Machine) {
	if d.Workflow.Rotates == "" {
		return
	}
	report, ok := m.StepValues()["report"]
	if !ok {
		return
	}
	outputs, _ := report.GetAttr("outputs").UnmarkDeep()
	if outputs.IsNull() || !outputs.Type().IsObjectType() || !outputs.Type().HasAttribute("text") {
		return
	}
	text := outputs.GetAttr("text")
	if text.IsNull() || text.Type() != cty.String {
		return
	}
	if outputs.GetAttr("promoted").True() {
		fmt.Fprintln(a.Err, text.AsString())
		return
	}
	a.Show(diag.ErrorAt(d.Workflow.DeclRange, "Secret was not rotated", "%s", text.AsString()))
}
