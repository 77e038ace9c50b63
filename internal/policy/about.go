package policy

import (
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
func (b *builder) about(v any) *ast.Term {
	unknown := b.d.costUnknown()
	if unknown == nil {
		return b.value(v)
	}
	about, _ := v.(map[string]any)
	return b.members(about, map[string]func(any) *ast.Term{"cost": func(v any) *ast.Term { return b.cost(v, unknown) }})
}

// cost converts an estimate. What is not known of one object waits for that
// object, what is not known of all for [CostObject].
func (b *builder) cost(v any, unknown map[string]any) *ast.Term {
	estimate, _ := v.(map[string]any)
	whole := map[string]any{}
	for name, mark := range unknown {
		if name != "resources" {
			whole[name] = mark
		}
	}
	marks, _ := unknown["resources"].([]any)
	i := -1
	resources := b.each(estimate["resources"], func(r map[string]any) *ast.Term {
		if i++; i >= len(marks) || !anyTrue(marks[i]) {
			return b.value(r)
		}
		address, _ := r["address"].(string)
		out, _ := b.watch(r, marks[i], address, "cost")
		return out
	})
	rest := map[string]any{}
	for name, e := range estimate {
		if name != "resources" {
			rest[name] = e
		}
	}
	out, _ := b.watch(rest, whole, CostObject, "")
	object, ok := out.Value.(ast.Object)
	if !ok {
		return out
	}
	if w, ok := object.(*watchedObject); ok {
		w.Object.Insert(ast.InternedTerm("resources"), resources)
		return out
	}
	object.Insert(ast.InternedTerm("resources"), resources)
	return out
}
