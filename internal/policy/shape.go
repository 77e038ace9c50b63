package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/tutti-dev/tutti/internal/diag"
)

// shape is what a policy expects of its input beside a plan. Rego on plans is
// evaluated by several products, which give it the plan in several places: under
// a name, or as one of a list of files. A policy that asks for it there gets it
// there; for others the input is the plan, and nothing in it is twice.
type shape struct {
	names  []string // of members
	listed bool     // as conftest has it with -combine
}

// planNames are the members that are the plan, and runNames those that are what
// is known of the run, in the words of the products that have them.
var (
	planNames = map[string]bool{
		"plan":      true, // HCP Terraform, env0
		"tfplan":    true, // Scalr
		"terraform": true, // Spacelift, Digger
	}
	runNames = map[string]func(known) map[string]any{
		"run":       known.hcp,
		"tfrun":     known.scalr,
		"spacelift": known.spacelift,
	}
	// members of plan JSON: https://developer.hashicorp.com/terraform/internals/json-format
	planMembers = []string{
		"format_version", "terraform_version", "variables", "planned_values", "resource_drift", "resource_changes",
		"deferred_changes", "output_changes", "prior_state", "configuration", "relevant_attributes", "checks",
		"timestamp", "applyable", "complete", "errored", "action_invocations", "deferred_action_invocations", "tutti",
	}
)

// shapeOf looks for what the rules ask of the input. What is not there for sure is
// told: a rule that asks for it says nothing, ever.
func shapeOf(c *ast.Compiler) (shape, diag.List) {
	var s shape
	asked := map[string]*ast.Location{} // nil for what the compiler made of something
	anything, contents := false, false
	replaced := false         // some rules are given another input by others
	var through *ast.Location // where the members of the input are gone through
	for _, file := range sorted(c.Modules) {
		m := c.Modules[file]
		note := func(t *ast.Term, at *ast.Location) {
			name := text(t)
			if name == "" && through == nil {
				through = at
			}
			anything = anything || name == ""
			if asked[name] == nil && name != "" {
				asked[name] = at
			}
		}
		ast.WalkTerms(m, func(t *ast.Term) bool {
			if ref, ok := t.Value.(ast.Ref); ok {
				contents = contents || slices.ContainsFunc(ref, func(t *ast.Term) bool { return text(t) == "contents" })
				if len(ref) > 1 && ref[0].Equal(ast.InputRootDocument) {
					note(ref[1], t.Location)
					unknownOfRun(ref[1:], func(path string) { asked[path] = t.Location })
				}
			}
			return false
		})
		ast.WalkExprs(m, func(e *ast.Expr) bool {
			for _, with := range e.With {
				ref, _ := with.Target.Value.(ast.Ref)
				replaced = replaced || ref.HasPrefix(ast.InputRootRef)
			}
			// object.get(input, "plan", {}), or with a path. The compiler has put the
			// input into a variable.
			if !e.IsCall() || !e.Operator().Equal(ast.ObjectGet.Ref()) || len(e.Operands()) < 2 {
				return false
			}
			key := e.Operand(1)
			if path, ok := key.Value.(*ast.Array); ok && path.Len() > 0 {
				key = path.Elem(0)
			}
			if planNames[text(key)] || runNames[text(key)] != nil {
				note(key, e.Location)
			}
			return false
		})
	}
	s.listed = anything && contents && len(asked) == 0
	var odd []string
	var at *ast.Location
	anything = anything && !replaced
	for _, name := range sorted(asked) {
		switch {
		case planNames[name] || runNames[name] != nil:
			s.names = append(s.names, name)
		case !slices.Contains(planMembers, name) && !replaced:
			odd = append(odd, "input."+name)
			if at == nil {
				at = asked[name]
			}
		}
	}
	if len(odd) == 0 {
		if anything && len(asked) == 0 && !s.listed {
			return s, onlyByVariable(through)
		}
		return s, nil
	}
	d := diag.Diagnostic{Severity: diag.Warning, Summary: "Policy asks for something that is not in a plan",
		Detail: fmt.Sprintf("Rules ask for %s. The input has the members of plan JSON (resource_changes, planned_values, configuration …), %q for what is known of the run, and the plan as input.plan, input.tfplan or input.terraform. What is not there is undefined: a rule that needs it denies nothing.", strings.Join(odd, ", "), "tutti")}
	if at != nil {
		subject := rangeOf(at)
		d.Subject = &subject
	}
	return s, diag.List{d}
}

// onlyByVariable warns of a policy that asks for no member of the input by its name:
// it was written for a list of objects, or for plans of Terraform before 0.12.
func onlyByVariable(at *ast.Location) diag.List {
	d := diag.Diagnostic{Severity: diag.Warning, Summary: "Policy asks for no part of a plan",
		Detail: "Rules go through the members of the input as if these were the objects of a plan, and ask for none by name. The input is plan JSON: the objects are in input.resource_changes. A rule that looks for them elsewhere finds none, and denies nothing."}
	if at != nil {
		subject := rangeOf(at)
		d.Subject = &subject
	}
	return diag.List{d}
}

// unknownOfRun tells the path of what is asked of a run and is not known of any.
func unknownOfRun(ref ast.Ref, tell func(path string)) {
	make := runNames[text(ref[0])]
	if make == nil {
		return
	}
	var v any = make(known{})
	path := text(ref[0])
	for _, t := range ref[1:] {
		m, ok := v.(map[string]any)
		if !ok || text(t) == "" {
			return
		}
		path += "." + text(t)
		if v, ok = m[text(t)]; !ok {
			tell(path)
			return
		}
	}
}

// of is the input in this shape. The document's values are shared, not copied.
func (s shape) of(input *ast.Term, d *Document) *ast.Term {
	if s.listed {
		return ast.ArrayTerm(ast.ObjectTerm(ast.Item(ast.StringTerm("path"), ast.StringTerm("plan.json")), ast.Item(ast.StringTerm("contents"), input)))
	}
	plan, ok := input.Value.(ast.Object)
	if len(s.names) == 0 || !ok {
		return input
	}
	items := make([][2]*ast.Term, 0, plan.Len()+len(s.names))
	plan.Foreach(func(k, v *ast.Term) { items = append(items, ast.Item(k, v)) })
	for _, name := range s.names {
		if planNames[name] {
			items = append(items, ast.Item(ast.StringTerm(name), input))
			continue
		}
		about, _ := d.plan["tutti"].(map[string]any)
		items = append(items, ast.Item(ast.StringTerm(name), ast.NewTerm(ast.MustInterfaceToValue(runNames[name](known{about})))))
	}
	return ast.ObjectTerm(items...)
}

// known is what is known of a run: input.tutti.
type known struct{ about map[string]any }

// at is the text at a path; "" where there is none.
func (k known) at(path ...string) string {
	var v any = k.about
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// labels are those of the environment, as NAME:VALUE.
func (k known) labels() []any {
	environment, _ := k.about["environment"].(map[string]any)
	labels, _ := environment["labels"].(map[string]any)
	out := []any{}
	for _, name := range sorted(labels) {
		out = append(out, fmt.Sprintf("%s:%v", name, labels[name]))
	}
	return out
}

func (k known) destroys() bool { return k.at("run", "kind") == "destroy" }

// hcp is input.run of HCP Terraform.
func (k known) hcp() map[string]any {
	return map[string]any{
		"created_at": k.at("time"), "created_by": k.at("actor"), "is_destroy": k.destroys(), "refresh_only": k.at("run", "kind") == "refresh",
		"speculative": false, "message": "", "workspace": map[string]any{"name": orElse(k.at("stack"), k.at("environment", "name")), "tags": k.labels()},
	}
}

// scalr is input.tfrun of Scalr.
func (k known) scalr() map[string]any {
	return map[string]any{
		"created_by": map[string]any{"name": k.at("actor"), "username": k.at("actor"), "email": k.at("actor")}, "is_destroy": k.destroys(), "is_dry": false,
		"message": "", "source": "cli", "environment": map[string]any{"name": k.at("environment", "name")},
		"workspace": map[string]any{"name": orElse(k.at("stack"), k.at("environment", "name")), "tags": k.labels()},
	}
}

// spacelift is input.spacelift of Spacelift. A plan is for being carried out, which
// is what that calls tracked.
func (k known) spacelift() map[string]any {
	kind := "TRACKED"
	if k.destroys() {
		kind = "DESTROY"
	}
	return map[string]any{
		"run":    map[string]any{"type": kind, "triggered_by": k.at("actor"), "drift_detection": false, "created_at": k.at("time")},
		"stack":  map[string]any{"id": k.at("stack"), "name": k.at("stack"), "labels": k.labels()},
		"commit": map[string]any{"author": k.at("actor"), "message": ""},
	}
}
