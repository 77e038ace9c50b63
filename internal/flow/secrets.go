package flow

import (
	"fmt"
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

func unknownSecrets(names []string) cty.Value {
	attrs := map[string]cty.Value{}
	for _, name := range names {
		attrs[name] = unknownSecret
	}
	return object(attrs)
}

// secretsOf are the secrets of the project that an action refers to, directly or
// through locals, sorted.
func (d *Definition) secretsOf(a *projects.Action) []string {
	if a == nil || len(d.Project.Secrets) == 0 {
		return nil
	}
	set := map[string]bool{}
	for _, expr := range a.Arguments {
		for _, t := range d.variables(expr, nil) {
			if t.RootName() == "secret" {
				set[second(t)] = true
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
		inner.Variables = map[string]cty.Value{"secret": object(values)}
		var used []hcl.Traversal
		for _, expr := range a.Arguments {
			used = append(used, expr.Variables()...)
		}
		own.locals(m, inner, used)
		out := e
		out.Needs, out.resolve, out.Problem = nil, nil, nil
		if out.Arguments, out.Problem = Arguments(a, inner); out.Problem != nil {
			// What a function says about its argument may quote it.
			set := map[string]bool{}
			collectSecrets(inner.Variables["secret"], set)
			out.Secrets = sortedKeys(set)
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
	if !at.local && at.secrets == "" {
		c.errorAt(rng, "Secret is not available here", "What decides about steps, and what a workflow returns, must not depend on secrets: their values are in no journal. Secrets are there in the arguments of actions.")
	} else if !at.local && at.secrets != allowed {
		c.errorAt(rng, "Secret is not available here", "%s", at.secrets)
	}
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
