package policy

import (
	"context"
	"iter"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Where something is unknown, a rule is evaluated on the document as it is and on the
// watched one, and both must come to the same: that is how code of OPA is found out
// that does something else with a watched object than with its own. Rules that use
// nothing of which that could be true are evaluated on the watched document only.

// alike are the functions that come to the same with watched objects as with plain
// ones, ask them for what is unknown, or break down. Those that are left out look at
// objects in a way of their own (json.marshal, yaml.marshal), or are seldom used: they
// are given plain objects (see [askingForAll]).
var alike = setOf(`
	abs all and any array.concat array.flatten array.reverse array.slice base64.decode base64.encode base64.is_valid ceil concat contains
	count div endswith equal floor format_int glob.match gt gte indexof internal.member_2 internal.member_3 intersection is_array is_boolean
	is_null is_number is_object is_set is_string json.filter json.is_valid json.remove json.unmarshal lower lt lte max min minus mul
	net.cidr_contains net.cidr_intersects net.cidr_is_valid neq numbers.range object.filter object.get object.keys object.remove
	object.subset object.union object.union_n or plus product re_match regex.find_n regex.is_valid regex.match regex.replace regex.split
	rem replace round semver.compare semver.is_valid sort split sprintf startswith strings.any_prefix_match strings.any_suffix_match
	strings.replace_n substring sum time.now_ns time.parse_rfc3339_ns time.weekday to_number trim trim_left trim_prefix trim_right
	trim_space trim_suffix type_name union units.parse units.parse_bytes upper walk yaml.is_valid yaml.unmarshal`)

func setOf(names string) map[string]bool {
	out := map[string]bool{}
	for _, name := range strings.Fields(names) {
		out[name] = true
	}
	return out
}

// findOnce finds the rules that need to be evaluated only once.
func (p *Policy) findOnce(c *ast.Compiler) {
	known := map[*ast.Rule]bool{} // what is known of each rule by itself
	by := func(r *ast.Rule) bool {
		ok, have := known[r]
		if !have {
			ok = usesAlike(r)
			known[r] = ok
		}
		return ok
	}
	for _, r := range p.rules {
		r.once = true
		seen := map[*ast.Rule]bool{}
		var visit func(of *ast.Rule)
		visit = func(of *ast.Rule) {
			if seen[of] || !r.once {
				return
			}
			seen[of] = true
			r.once = by(of)
			for used := range usedBy(c, of) {
				visit(used)
			}
		}
		for _, m := range c.Modules {
			for _, of := range m.Rules {
				if r.is(of) {
					visit(of)
				}
			}
		}
	}
}

// usedBy goes through the rules that a rule uses in any of its branches. The graph has
// each branch by itself.
func usedBy(c *ast.Compiler, r *ast.Rule) iter.Seq[*ast.Rule] {
	return func(yield func(*ast.Rule) bool) {
		for ; r != nil; r = r.Else {
			for dependency := range c.Graph.Dependencies(r) {
				if !yield(dependency.(*ast.Rule)) {
					return
				}
			}
		}
	}
}

// usesAlike reports whether a rule by itself calls only functions of the policy and
// those in [alike], and replaces none of them.
func usesAlike(r *ast.Rule) bool {
	ok := true
	called := func(ref ast.Ref) {
		ok = ok && (ref.HasPrefix(ast.DefaultRootRef) || alike[ref.String()] || ref.String() == byType.Name || ref.Equal(ast.Equality.Ref()) || ref.Equal(ast.Assign.Ref()))
	}
	ast.NewGenericVisitor(func(node any) bool {
		switch node := node.(type) {
		case *ast.With, *ast.TemplateString:
			ok = false
		case *ast.Expr:
			if node.IsCall() {
				called(node.Operator())
			}
		case ast.Call:
			name, _ := node[0].Value.(ast.Ref)
			called(name)
		}
		return !ok
	}).Walk(r)
	return ok
}

// watchedOnly evaluates the rule on the watched document only. It returns what the
// rule said, and what unknown attributes it asked for; ok is false where that cannot
// be told in this way.
func (j *judging) watchedOnly(ctx context.Context) (out []said, asked []attribute, ok bool) {
	if !j.r.once || j.o.twice {
		return nil, nil, false
	}
	w, in := j.worker.watched()
	out, err := j.watch(ctx, j.r.query, j.says, w, in, nil)
	if err != nil {
		return nil, nil, false
	}
	return out, w.touched(), true
}
