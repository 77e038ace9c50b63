package runs

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/zclconf/go-cty/cty"
)

// Secrets reads the secrets of a project for the steps of runs. It records that
// they were read.
type Secrets interface {
	// Read returns the value of a secret for a run, and what tells its versions
	// apart without saying anything about the value.
	Read(ctx context.Context, s *projects.Secret, run string) (text, version string, err error)
	// ReadVersion is Read for one version of a secret, which need not be current.
	ReadVersion(ctx context.Context, s *projects.Secret, run string, version int) (text string, err error)
	// Rotate makes a change to the versions of a secret in Tutti's store, by name,
	// and tells how they stand then.
	Rotate(ctx context.Context, secret string, change SecretChange) (SecretStanding, error)
}

// SecretError is the name of the error where a secret cannot be read.
const SecretError = "Tutti.SecretNotRead"

// readSecrets reads the secrets named for a step of a run.
func readSecrets(ctx context.Context, from Secrets, p *projects.Project, names []string, run string) (texts, versions map[string]string, err error) {
	texts, versions = map[string]string{}, map[string]string{}
	for _, name := range names {
		declared := p.Secrets[name]
		switch {
		case declared == nil:
			return nil, nil, actions.Errorf(SecretError, "The project declares no secret %q.", name)
		case from == nil:
			return nil, nil, actions.Errorf(SecretError, "The secret %q cannot be read here.", name)
		}
		if texts[name], versions[name], err = from.Read(ctx, declared, run); err != nil {
			return nil, nil, actions.Errorf(SecretError, "The secret %q cannot be read: %s.", name, err)
		}
	}
	return texts, versions, nil
}

// readRotation reads a value of the secret that the workflow rotates.
func (w *workflowSteps) readRotation(ctx context.Context, e flow.Effect, name, run string) (string, string, error) {
	declared, version := w.d.Project.Secrets[w.d.Workflow.Rotates], e.Versions.New
	if name == flow.OldValue {
		version = e.Versions.Old
	}
	switch {
	case declared == nil || w.o.Secrets == nil:
		return "", "", actions.Errorf(SecretError, "The secret %q cannot be read here.", w.d.Workflow.Rotates)
	case version == 0 && name == flow.OldValue:
		return "", "", nil // it is the first value of all
	case version == 0:
		return "", "", actions.Errorf(SecretError, "There is no %s: the secret %q has no new value.", name, declared.Name)
	}
	text, err := w.o.Secrets.ReadVersion(ctx, declared, run, version)
	if err != nil {
		return "", "", actions.Errorf(SecretError, "Version %d of the secret %q cannot be read: %s.", version, declared.Name, err)
	}
	return text, strconv.Itoa(version), nil
}

// secretly carries out an attempt whose arguments refer to secrets: they are
// read now, each time it is made. Only their versions get into the outcome.
func (w *workflowSteps) secretly(ctx context.Context, t *Task, e flow.Effect) Ended {
	run := t.Run().ID
	var names, own []string
	for _, name := range e.Needs {
		if name == flow.NewValue || name == flow.OldValue {
			own = append(own, name)
		} else {
			names = append(names, name)
		}
	}
	texts, versions, err := readSecrets(ctx, w.o.Secrets, w.d.Project, names, run)
	for _, name := range own {
		if err == nil {
			texts[name], versions[name], err = w.readRotation(ctx, e, name, run)
		}
	}
	var known *actions.Error
	if asError(err, &known) {
		return failedStep(e, known.Name, known.Cause, "")
	}
	e = e.WithSecrets(texts)
	if e.Problem != nil {
		return failedStep(e, e.Problem.Name, e.Problem.Cause, "")
	}
	return w.attempt(ctx, t, e, versions)
}

// secretsRefused are the actions of bindings whose arguments are written down.
var secretsRefused = map[string]bool{"emit": true, "workflow": true}

// boundSecrets are the secrets that a binding refers to, for its scope, and
// their texts.
func (s *StateMachine) boundSecrets(ctx context.Context, t *Task, b *projects.Binding) (cty.Value, []string, error) {
	names := flow.Secrets(b.Action)
	if len(names) == 0 {
		return cty.EmptyObjectVal, nil, nil
	}
	if s.Project == nil {
		return cty.NilVal, nil, fmt.Errorf("there is no project that declares secrets")
	}
	texts, _, err := readSecrets(ctx, s.Options.Secrets, s.Project.Project, names, t.Run().ID)
	if err != nil {
		return cty.NilVal, nil, err
	}
	values := map[string]cty.Value{}
	var list []string
	for name, text := range texts {
		values[name] = cty.StringVal(text)
		list = append(list, text)
	}
	return cty.ObjectVal(values), list, nil
}
