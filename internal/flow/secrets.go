package flow

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/zclconf/go-cty/cty"
)

// Secrets are no part of a run: the machine never sees their values, and so its
// journal need not have them. It evaluates what decides about steps, where they
// are refused; the arguments of an action are evaluated once more, with the
// values, by whoever carries out the action. See docs/design/0006-secrets.md.

// unknownSecret stands for a secret wherever its value is not to be had.
var unknownSecret = cty.UnknownVal(cty.String).Mark(sensitive)

// NewValue and OldValue are what the actions of a rotation call the two values of
// the secret: rotation.new and rotation.old. Among the names of secrets they stand
// by these, which no secret can have.
const (
	NewValue = "rotation.new"
	OldValue = "rotation.old"
)

// secretVariables puts secrets, and the values of a rotation, in a scope.
func secretVariables(ctx *hcl.EvalContext, names []string, value func(name string) cty.Value) {
	secrets, rotation := map[string]cty.Value{}, map[string]cty.Value{}
	for _, name := range names {
		if inner, ok := strings.CutPrefix(name, "rotation."); ok {
			rotation[inner] = value(name)
		} else {
			secrets[name] = value(name)
		}
	}
	if len(secrets) > 0 {
		ctx.Variables["secret"] = object(secrets)
	}
	if len(rotation) > 0 {
		ctx.Variables["rotation"] = object(rotation)
	}
}

// secretsOf are the secrets of the project that an action refers to, directly or
// through locals, sorted, and the values of a rotation.
func (d *Definition) secretsOf(a *projects.Action) []string {
	if a == nil || len(d.Project.Secrets) == 0 {
		return nil
	}
	set := map[string]bool{}
	for _, expr := range a.Arguments {
		for _, t := range d.variables(expr, nil) {
			switch t.RootName() {
			case "secret":
				set[second(t)] = true
			case "rotation":
				set["rotation."+second(t)] = true
			}
		}
	}
	return sortedKeys(set)
}

// later makes the function that evaluates the arguments of an effect with the
// values of its secrets. It may be called in another goroutine: it has what it
// needs of the machine, and functions of its own.
func (m *Machine) later(e Effect, a *projects.Action, ctx *hcl.EvalContext, seed string, at time.Time, marked bool) func(map[string]cty.Value) Effect {
	own, now := scope{}, m.now
	return func(values map[string]cty.Value) Effect {
		own.functions = functions.Table(functions.Options{
			BaseDir: m.d.Project.Dir, PlanTimestamp: now, NewUUID: own.uuid, Now: func() time.Time { return own.clock },
		})
		own.fix(seed, at)
		inner := ctx.NewChild()
		inner.Functions = own.functions
		inner.Variables = map[string]cty.Value{}
		secretVariables(inner, sortedKeys(values), func(name string) cty.Value { return values[name] })
		var used []hcl.Traversal
		for _, expr := range a.Arguments {
			used = append(used, expr.Variables()...)
		}
		own.locals(m, inner, used)
		out := e
		out.Needs, out.resolve, out.Problem = nil, nil, nil
		if out.Arguments, out.Problem = Arguments(a, inner); out.Problem != nil {
			out.Problem = out.Problem.Withheld()
			return out
		}
		out.Marked = marked || out.Arguments.HasMarkDeep(sensitive)
		out.Secrets = m.secrets(a, inner, out.Arguments)
		return out
	}
}

// WithSecrets evaluates the arguments of an effect that has Needs with the
// values of the secrets it names.
func (e Effect) WithSecrets(texts map[string]string) Effect {
	if e.resolve == nil {
		return e
	}
	values := map[string]cty.Value{}
	for name, text := range texts {
		values[name] = cty.StringVal(text).Mark(sensitive)
	}
	return e.resolve(values)
}

var placePattern = regexp.MustCompile(`^[^\s:]+:\d+: `)

// Withheld is the error without what functions say about their arguments, which
// may quote a secret or what was made of it. The place stays.
func (e *Error) Withheld() *Error {
	return &Error{e.Name, placePattern.FindString(e.Cause) + "An argument cannot be evaluated. What is wrong is not said in detail, because it depends on a secret."}
}

// Secrets lists the secrets that the arguments of an action refer to, for those
// that evaluate them by themselves.
func Secrets(a *projects.Action) []string {
	d := &Definition{Project: &projects.Project{Secrets: map[string]*projects.Secret{"": nil}}, Workflow: &projects.Workflow{}}
	return d.secretsOf(a)
}

// secret checks a reference to a secret.
func (c *checker) secret(name string, rng hcl.Range, at place) {
	if c.d.Project.Secrets[name] == nil {
		c.errorAt(rng, "Reference to undeclared secret", "This project declares no secret %q.%s", name, suggest(name, sortedKeys(c.d.Project.Secrets)))
		return
	}
	if at.seen && c.d.Workflow.Rotates != "" {
		c.wouldBeSeen(rng, "secret."+name)
	} else if !at.local && at.secrets == "" {
		c.errorAt(rng, "Secret is not available here", "What decides about steps, and what a workflow returns, must not depend on secrets: their values are in no journal. Secrets are there in the arguments of actions.")
	} else if !at.local && at.secrets != allowed {
		c.errorAt(rng, "Secret is not available here", "%s", at.secrets)
	}
}

// rotation checks a reference to a value of a rotation.
func (c *checker) rotation(name string, rng hcl.Range, at place) {
	switch {
	case c.d.Workflow.Rotates == "" || at.secrets == "" || !at.rotates:
		c.errorAt(rng, "Invalid reference", "rotation.new and rotation.old are there in the verify, revoke and discard blocks of rotations, nowhere else.")
	case name != "new" && name != "old":
		c.errorAt(rng, "Invalid reference", "There are rotation.new and rotation.old, nothing else.")
	case at.seen:
		c.wouldBeSeen(rng, "rotation."+name)
	}
}

func (c *checker) wouldBeSeen(rng hcl.Range, value string) {
	c.errorAt(rng, "Secret would be seen", "The command line of a process is seen by all users of the machine. Give it the value in its environment or from standard input: environment = { NAME = %s }, stdin = %[1]s.", value)
}

const allowed = "allowed"

// secretsIn says whether the arguments of an action may refer to secrets:
// allowed, or why not.
func secretsIn(kind string) string {
	switch kind {
	case "emit":
		return "An event must not have a secret: everybody may read the feed."
	case "workflow":
		return "The inputs of a workflow are in its journal, where secrets must not be. Let the workflow refer to the secret itself: secret.NAME is there in all workflows of the project."
	case "wait", "approval":
		return fmt.Sprintf("What a step waits for (%s) must not depend on a secret: its value is in no journal.", kind)
	}
	return allowed
}
