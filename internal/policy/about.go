package policy

import (
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What policies are told besides the plan may have parts that are not known, too:
// input.tutti.cost, of which input.tutti.cost_unknown says what is not.

// CostObject is what stands in [Finding.Awaits] for the cost of the whole plan;
// what the cost of one object depends on is the object itself.
const CostObject = "input.tutti.cost"

// Mentions reports whether a word is in any rule of the policy, as a name or a
// text: without it, no rule can have named a member of the input so.
func (p *Policy) Mentions(word string) bool {
	found := false
	for _, m := range p.modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			s, ok := t.Value.(ast.String)
			found = found || ok && string(s) == word
			return found
		})
	}
	return found
}

// costUnknown are the marks of what is not known of the cost; nil for nothing.
func (d *Document) costUnknown() map[string]any {
	about, _ := d.plan["tutti"].(map[string]any)
	marks, _ := about["cost_unknown"].(map[string]any)
	if !anyTrue(any(marks)) {
		return nil
	}
	return marks
}

// about converts what is known about the run.
func (b *builder) about(v any, plain *ast.Term) *ast.Term {
	unknown := b.d.costUnknown()
	if unknown == nil {
		return plain
	}
	about, _ := v.(map[string]any)
	return b.members(about, plain, map[string]converter{"cost": func(v any, plain *ast.Term) *ast.Term { return b.cost(v, plain, unknown) }})
}

// cost converts an estimate. What is not known of one object waits for that
// object, what is not known of all for [CostObject].
func (b *builder) cost(v any, plain *ast.Term, unknown map[string]any) *ast.Term {
	estimate, ok := v.(map[string]any)
	had, isObject := plain.Value.(ast.Object)
	if !ok || !isObject {
		return plain
	}
	whole, rest := maps.Clone(unknown), maps.Clone(estimate)
	delete(whole, "resources")
	delete(rest, "resources")
	out, _ := b.watch(rest, plain, whole, CostObject, "")
	resources := had.Get(ast.InternedTerm("resources"))
	if resources == nil {
		return out
	}
	marks, _ := unknown["resources"].([]any)
	i := -1
	resources = b.each(estimate["resources"], resources, func(r map[string]any, plain *ast.Term) *ast.Term {
		if i++; r == nil || i >= len(marks) || !anyTrue(marks[i]) {
			return plain
		}
		address, _ := r["address"].(string)
		out, _ := b.watch(r, plain, marks[i], address, "cost")
		return out
	})
	object := out.Value.(ast.Object)
	if w, ok := object.(*watchedObject); ok {
		object = w.Object
	}
	object.Insert(ast.InternedTerm("resources"), resources)
	return out
}
