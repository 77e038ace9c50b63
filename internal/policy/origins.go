package policy

import (
	"context"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Rules of one name stand in many places, often in several files, and what is asked
// for is what they say together. A finding is to name the one that it is of.

// mostFollow is how long it may take to find out which rules messages are of.
const mostFollow = 2 * time.Second

// body is one of the rules of a name, with a place and annotations of its own.
type body struct {
	at    *Place
	notes notes
}

// follow finds out which body each message of a rule is of. It is one more
// evaluation, and takes place only where there are messages and a choice. What
// cannot be found out soon is left open: it must not cost the rule its time.
func (j *judging) follow(ctx context.Context) {
	if end, ok := ctx.Deadline(); len(j.r.bodies) < 2 || ok && time.Until(end) < 2*mostFollow {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mostFollow)
	defer cancel()
	of := j.program(false, j.plain)
	followed := &origins{rule: j.r, of: map[string]body{}}
	cache := &anew{VirtualCache: j.worker.cache(of), ref: ast.MustParseRef(j.r.query)}
	if _, err := j.eval(ctx, of, j.r.query, j.says, j.plain, rego.EvalQueryTracer(followed), rego.EvalVirtualCache(cache)); err == nil {
		j.origins = followed.of
	}
}

// origin is the body that a message is of or, where that is not known, what is known
// of them all.
func (j *judging) origin(message string) body {
	if found, ok := j.origins[message]; ok {
		return found
	}
	return body{j.r.at, j.r.notes}
}

// origins follows which body gives which message.
type origins struct {
	rule *rule
	of   map[string]body
}

// Enabled implements [topdown.QueryTracer].
func (o *origins) Enabled() bool { return true }

// Config implements [topdown.QueryTracer].
func (o *origins) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements [topdown.QueryTracer].
func (o *origins) TraceEvent(e topdown.Event) {
	node, ok := e.Node.(*ast.Rule)
	if !ok || e.Op != topdown.ExitOp || !o.rule.is(node) {
		return
	}
	head := node.Head.Key
	if head == nil {
		head = node.Head.Value
	}
	at := place(node.Location)
	i := slices.IndexFunc(o.rule.bodies, func(b body) bool { return at != nil && *b.at == *at })
	if head == nil || i < 0 {
		return
	}
	message := e.Plug(head).String()
	if _, have := o.of[message]; !have { // the first of several
		o.of[message] = o.rule.bodies[i]
	}
}

// anew is a cache that does not know one rule, which is to be evaluated again.
type anew struct {
	topdown.VirtualCache
	ref ast.Ref
}

// Get implements [topdown.VirtualCache].
func (c *anew) Get(ref ast.Ref) (*ast.Term, bool) {
	if ref.HasPrefix(c.ref) {
		return nil, false
	}
	return c.VirtualCache.Get(ref)
}
