package policy

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"
)

// Most rules are about a few types of resource: they go through all changes of the
// plan, and drop those of other types. Sixty rules do so sixty times. They are
// rewritten when they are compiled, so that they go through the changes of their
// types only:
//
//	some rc in input.resource_changes      byType()[type] = list
//	rc.type in {"a", "b"}              →   type in {"a", "b"}
//	…                                      some rc in list; …
//
// Both come to the same, for every document in which each change has a type
// (others are evaluated by the rules as they are written): a body is a conjunction,
// and what is asked of the type alone holds for all changes of a type or for none.

// byType is the function that gives the changes of the evaluated document by type.
// Nobody can call it in a policy: it is not among the capabilities.
var byType = rego.Function{Name: "internal.tutti_changes_by_type", Decl: types.NewFunction(nil, types.A)}

// indexKey finds the changes by type in a context.
type indexKey struct{}

// withIndex is the context for evaluations of a document.
func withIndex(ctx context.Context, index *ast.Term) context.Context {
	return context.WithValue(ctx, indexKey{}, index)
}

// lookIndex implements [byType].
func lookIndex(b rego.BuiltinContext, _ []*ast.Term) (*ast.Term, error) {
	index, _ := b.Context.Value(indexKey{}).(*ast.Term)
	return index, nil
}

// indexOf groups the changes of a document; nil where one of them has no type.
func indexOf(input *ast.Term) *ast.Term {
	object, ok := input.Value.(ast.Object)
	if !ok {
		return nil
	}
	list := object.Get(ast.InternedTerm("resource_changes"))
	if list == nil {
		return ast.ObjectTerm()
	}
	changes, ok := list.Value.(*ast.Array)
	if !ok {
		return nil
	}
	groups := map[ast.String][]*ast.Term{}
	for i := range changes.Len() {
		change, ok := changes.Elem(i).Value.(ast.Object)
		if !ok {
			return nil
		}
		kind := change.Get(ast.InternedTerm("type"))
		if kind == nil {
			return nil
		}
		name, ok := kind.Value.(ast.String)
		if !ok {
			return nil
		}
		groups[name] = append(groups[name], changes.Elem(i))
	}
	items := make([][2]*ast.Term, 0, len(groups))
	for name, group := range groups {
		items = append(items, ast.Item(ast.NewTerm(name), ast.ArrayTerm(group...)))
	}
	return ast.ObjectTerm(items...)
}

// useIndex is the stage of the compiler that rewrites rules.
func useIndex(c *ast.Compiler) *ast.Error {
	if replacesInput(c) {
		return nil // the function would not know of it
	}
	x := indexer{}
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			x.rule(r)
		}
	}
	return nil
}

// replacesInput reports whether something but a test uses "with input as".
func replacesInput(c *ast.Compiler) bool {
	found, seen := false, map[*ast.Rule]bool{}
	var visit func(r *ast.Rule)
	visit = func(r *ast.Rule) {
		if seen[r] {
			return
		}
		seen[r] = true
		ast.WalkWiths(r, func(w *ast.With) bool {
			target, ok := w.Target.Value.(ast.Ref)
			found = found || !ok || target.HasPrefix(ast.InputRootRef)
			return found
		})
		for used := range usedBy(c, r) {
			visit(used)
		}
	}
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			if name := ruleName(r); !strings.HasPrefix(name, "test_") && !strings.HasPrefix(name, "todo_test_") {
				visit(r)
			}
		}
	}
	return found
}

// alone finds the rules that judge each object by itself. Exceptions are about
// rules, whatever the object; what a decision comes to is one for all.
func (p *Policy) alone(c *ast.Compiler) {
	if replacesInput(c) {
		return
	}
	for _, r := range p.rules {
		r.alone = !r.excepts && !r.decides && alone(c, r)
	}
}

// alone reports whether a rule judges each object by itself: nothing of it, nor of
// what it uses, looks at objects but for one expression that goes through all
// changes, so that what it says is said of each of them.
func alone(c *ast.Compiler, of *rule) bool {
	seen := map[*ast.Rule]bool{}
	var apart func(r *ast.Rule) bool // from the objects
	apart = func(r *ast.Rule) bool {
		if seen[r] {
			return true
		}
		seen[r] = true
		if len(objectRefs(r)) > 0 {
			return false
		}
		for used := range usedBy(c, r) {
			if !apart(used) {
				return false
			}
		}
		return true
	}
	for _, m := range c.Modules {
		for _, r := range m.Rules {
			if !of.is(r) {
				continue
			}
			refs := objectRefs(r)
			if r.Head.RuleKind() != ast.MultiValue || r.Else != nil || len(refs) > 1 || len(refs) == 1 && !generates(r) {
				return false
			}
			for used := range usedBy(c, r) {
				if !apart(used) {
					return false
				}
			}
		}
	}
	return true
}

// objectRefs are the references of a rule to objects of the plan, to what has them, and
// to what changes with them.
func objectRefs(r *ast.Rule) (out []ast.Ref) {
	ast.WalkRefs(r, func(ref ast.Ref) bool {
		if !ref.HasPrefix(ast.InputRootRef) {
			return false
		}
		if len(ref) > 1 {
			if name := text(ref[1]); name != "" && !changing[name] && !planNames[name] && (name != "tutti" || ofRun(ref)) {
				return false
			}
		}
		out = append(out, ref)
		return false
	})
	// "input" by itself may be a variable, and no reference.
	ast.WalkTerms(r, func(t *ast.Term) bool {
		if t.Equal(ast.InputRootDocument) {
			out = append(out, ast.InputRootRef)
		}
		_, isRef := t.Value.(ast.Ref)
		return isRef
	})
	return out
}

// ofRun reports whether a reference below input.tutti is about the run, and not about
// what its objects come to.
func ofRun(ref ast.Ref) bool {
	if len(ref) < 3 {
		return false
	}
	name := text(ref[2])
	return name != "" && name != "cost" && name != "cost_unknown"
}

// generates reports whether an expression of the body of a rule goes through all
// changes, wherever each of them stands.
func generates(r *ast.Rule) bool {
	uses := map[ast.Var]int{}
	ast.WalkVars(r, func(v ast.Var) bool {
		uses[v]++
		return false
	})
	return slices.ContainsFunc(r.Body, func(e *ast.Expr) bool {
		_, key, ok := generator(e)
		return ok && uses[key] == 1
	})
}

// indexer rewrites rules.
type indexer struct {
	made int              // variables
	args map[ast.Var]bool // of the function, which are bound when its body begins
	uses map[ast.Var]int  // in the rule
}

func (x *indexer) rule(r *ast.Rule) {
	x.args, x.uses = map[ast.Var]bool{}, map[ast.Var]int{}
	for one := r; one != nil; one = one.Else {
		for _, arg := range one.Head.Args {
			if v, ok := arg.Value.(ast.Var); ok {
				x.args[v] = true
			}
		}
	}
	ast.WalkVars(r, func(v ast.Var) bool {
		x.uses[v]++
		return false
	})
	for one := r; one != nil; one = one.Else {
		one.Body = x.body(one.Body, false)
	}
	ast.NewGenericVisitor(func(node any) bool {
		switch node := node.(type) {
		case *ast.ArrayComprehension:
			node.Body = x.body(node.Body, true)
		case *ast.SetComprehension:
			node.Body = x.body(node.Body, false)
		case *ast.ObjectComprehension:
			node.Body = x.body(node.Body, false)
		}
		return false
	}).Walk(r)
}

// body rewrites a body. Where the order of its results counts, only a single type
// may be looked at.
func (x *indexer) body(body ast.Body, ordered bool) ast.Body {
	out := make([]*ast.Expr, 0, len(body)+3)
	rest := slices.Clone([]*ast.Expr(body))
	changed := false
	for len(rest) > 0 {
		e := rest[0]
		rest = rest[1:]
		change, key, ok := generator(e)
		if !ok || x.uses[key] != 1 {
			out = append(out, e)
			continue
		}
		s := x.split(change, out, rest)
		if !s.one && (ordered || !s.bound && len(s.tests) == 0) {
			out = append(out, e)
			continue
		}
		changed = true
		index, list := x.variable(), x.variable()
		call := &ast.Expr{Terms: []*ast.Term{ast.NewTerm(ast.MustParseRef(byType.Name)), index}}
		lookup := ast.Equality.Expr(list, ast.NewTerm(ast.Ref{index, s.kind}))
		each := ast.Equality.Expr(ast.NewTerm(change), ast.NewTerm(ast.Ref{list, ast.NewTerm(key)}))
		for _, made := range []*ast.Expr{call, lookup, each} {
			made.SetLocation(e.Location)
		}
		out = append(append(append(append(out, call), s.equal...), lookup), s.tests...)
		out = append(out, each)
		rest = s.rest
	}
	if !changed {
		return body
	}
	return ast.NewBody(out...)
}

func (x *indexer) variable() *ast.Term {
	x.made++
	return ast.VarTerm("__tutti" + strconv.Itoa(x.made) + "__")
}

// generator is an expression that goes through all changes: CHANGE =
// input.resource_changes[KEY].
func generator(e *ast.Expr) (change, key ast.Var, ok bool) {
	if e.Negated || len(e.With) > 0 || !e.IsEquality() {
		return "", "", false
	}
	for _, o := range [][2]int{{0, 1}, {1, 0}} {
		v, isVar := e.Operand(o[0]).Value.(ast.Var)
		ref, isRef := e.Operand(o[1]).Value.(ast.Ref)
		if isVar && isRef && len(ref) == 3 && ref.HasPrefix(changesRef) {
			key, isKey := ref[2].Value.(ast.Var)
			return v, key, isKey
		}
	}
	return "", "", false
}

var changesRef = ast.MustParseRef("input.resource_changes")

// splitting is a body after the expression that goes through the changes.
type splitting struct {
	kind  *ast.Term   // the variable for the type
	equal []*ast.Expr // what the type equals, and what tests need
	tests []*ast.Expr // what else is asked of the type alone
	rest  []*ast.Expr
	one   bool // it equals a constant or an argument
	bound bool // it equals something else that is bound before
}

// split finds what is asked of the type of a change alone.
func (x *indexer) split(change ast.Var, before, after []*ast.Expr) splitting {
	s := splitting{kind: x.variable()}
	kind := s.kind.Value.(ast.Var)
	bound := ast.NewVarSet()
	for arg := range x.args {
		bound.Add(arg)
	}
	for _, e := range before {
		bound.Update(variables(e))
	}
	same := ast.NewVarSet(kind)          // variables that are the type
	constants := map[ast.Var]*ast.Expr{} // X = data.something, X = input.something
	for _, e := range after {
		v, isConstant := constant(e)
		if isConstant {
			constants[v] = e
		}
	}
	for _, e := range after {
		if len(e.With) > 0 {
			s.rest = append(s.rest, e)
			continue
		}
		asked := ofType(e, change, s.kind)
		if other, ok := equalTo(asked, kind); ok {
			v, isVar := other.(ast.Var)
			if isVar && constants[v] != nil && !slices.Contains(s.equal, constants[v]) {
				s.equal = append(s.equal, constants[v])
			}
			s.equal = append(s.equal, asked)
			if isVar {
				s.one = s.one || x.args[v] || constants[v] != nil
				s.bound = s.bound || bound.Contains(v)
				same.Add(v)
			} else {
				s.one = true
			}
			continue
		}
		var needs []*ast.Expr
		about, possible := false, true
		for v := range variables(asked) {
			switch {
			case same.Contains(v):
				about = true
			case bound.Contains(v):
			case constants[v] != nil:
				needs = append(needs, constants[v])
			default:
				possible = false
			}
		}
		if !about || !possible {
			s.rest = append(s.rest, e)
			continue
		}
		for _, n := range needs {
			if !slices.Contains(s.equal, n) {
				s.equal = append(s.equal, n)
			}
		}
		s.tests = append(s.tests, asked)
	}
	s.rest = slices.DeleteFunc(s.rest, func(e *ast.Expr) bool { return slices.Contains(s.equal, e) })
	return s
}

// ofType is an expression with the variable for the type in the place of CHANGE.type.
func ofType(e *ast.Expr, change ast.Var, kind *ast.Term) *ast.Expr {
	out, err := ast.TransformRefs(e.Copy(), func(ref ast.Ref) (ast.Value, error) {
		if len(ref) == 2 && ref[0].Value.Compare(change) == 0 && ref[1].Value.Compare(ast.String("type")) == 0 {
			return kind.Value, nil
		}
		return ref, nil
	})
	if made, ok := out.(*ast.Expr); ok && err == nil {
		return made
	}
	return e
}

// equalTo is what an expression says that a variable equals: a constant text, or
// another variable.
func equalTo(e *ast.Expr, v ast.Var) (ast.Value, bool) {
	if e.Negated || !e.IsEquality() {
		return nil, false
	}
	for _, o := range [][2]int{{0, 1}, {1, 0}} {
		if e.Operand(o[0]).Value.Compare(v) == 0 {
			other := e.Operand(o[1]).Value
			switch other.(type) {
			case ast.Var, ast.String:
				return other, true
			}
		}
	}
	return nil, false
}

// constant is an expression that gives a variable a value that depends on no other.
func constant(e *ast.Expr) (ast.Var, bool) {
	if e.Negated || len(e.With) > 0 || !e.IsEquality() {
		return "", false
	}
	v, isVar := e.Operand(0).Value.(ast.Var)
	ref, isRef := e.Operand(1).Value.(ast.Ref)
	return v, isVar && isRef && ref.IsGround() && (ref.HasPrefix(ast.DefaultRootRef) || ref.HasPrefix(ast.InputRootRef))
}

// variables are those of an expression, but for the names of functions and roots.
func variables(e *ast.Expr) ast.VarSet {
	visitor := ast.NewVarVisitor().WithParams(ast.VarVisitorParams{SkipRefCallHead: true})
	visitor.Walk(e)
	out := visitor.Vars()
	delete(out, ast.DefaultRootDocument.Value.(ast.Var))
	delete(out, ast.InputRootDocument.Value.(ast.Var))
	return out
}
