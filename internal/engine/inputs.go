package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
)

// Root variables may be unknown while planning: their values are outputs of
// another stack that is applied first. They arrive when the plan is applied.

// definition is an expression that a reference's value comes from.
type definition struct {
	scope *scope
	name  string // tells the definitions of one scope apart
	expr  hcl.Expression
}

// definitions returns what a reference to a local, variable or module call
// stands for; nothing for resources and for variables of the root module.
func (s *scope) definitions(ref *addrs.Reference) []definition {
	switch ref.Kind {
	case addrs.RefLocal:
		if l := s.module.Locals[ref.Name]; l != nil {
			return []definition{{s, "local." + ref.Name, l.Expr}}
		}
	case addrs.RefVariable:
		if s.parent == nil {
			return nil
		}
		if expr := s.module.Call.Arguments[ref.Name]; expr != nil {
			return []definition{{s.parent, "call." + string(s.module.Path) + "." + ref.Name, expr}}
		}
	case addrs.RefModule:
		if s.calls[ref.Name] == nil {
			return nil
		}
		name := moduleOutputName(ref)
		var out []definition
		for _, child := range s.call(ref.Name).children {
			for _, output := range sortedKeys(child.module.Outputs) {
				if name == "" || name == output {
					out = append(out, definition{child, "output." + output, child.module.Outputs[output].Expr})
				}
			}
		}
		return out
	}
	return nil
}

// unknownInputs lists the root variables that references depend on and whose
// values, as far as they are referred to, are not known yet.
func (s *scope) unknownInputs(refs []addrs.Reference) []string {
	found, visited := map[string]bool{}, map[string]bool{}
	var follow func(s *scope, refs []addrs.Reference)
	follow = func(s *scope, refs []addrs.Reference) {
		for i := range refs {
			if refs[i].Kind == addrs.RefVariable && s.parent == nil && s.inputUnknown(&refs[i]) {
				found[refs[i].Name] = true
			}
			for _, d := range s.definitions(&refs[i]) {
				key := string(d.scope.addr) + "|" + d.name
				if !visited[key] {
					visited[key] = true
					refs, _ := lang.ExprReferences(d.expr)
					follow(d.scope, refs)
				}
			}
		}
	}
	follow(s, refs)
	return slices.Sorted(maps.Keys(found))
}

// inputUnknown reports whether what a reference takes of a root variable is
// not wholly known.
func (s *scope) inputUnknown(ref *addrs.Reference) bool {
	if s.variables[ref.Name] == nil {
		return false
	}
	val, diags := s.variable(ref.Name)
	if diags.HasErrors() {
		return false
	}
	val, _ = val.UnmarkDeep()
	if part, err := traversalPath(ref.Remaining).Apply(val); err == nil {
		val = part
	}
	return !val.IsWhollyKnown()
}

// explainUnknown says why an argument that must be known while planning is
// not, where it is because of root variables; empty where it is not.
func (s *scope) explainUnknown(what string, expr hcl.Expression, consequence string) string {
	refs, _ := lang.ExprReferences(expr)
	names := s.unknownInputs(refs)
	switch len(names) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s depends on var.%s, whose value is known only after an upstream stack is applied, %s. Apply the stack it comes from first, then plan again.", what, names[0], consequence)
	}
	return fmt.Sprintf("%s depends on var.%s, whose values are known only after upstream stacks are applied, %s. Apply the stacks they come from first, then plan again.", what, strings.Join(names, ", var."), consequence)
}

// inputs takes root variables from the plan. Ephemeral ones are given anew, and
// what was unknown is what has arrived since.
func (a *Apply) inputs() (map[string]configs.InputValue, diag.List) {
	out := map[string]configs.InputValue{}
	var diags diag.List
	for _, name := range sortedKeys(a.in.Late) {
		if _, ok := a.plan.Variables[name]; !ok {
			diags = append(diags, diag.Errorf("Value for undeclared variable", "A value arrived for the variable %q, which the plan does not have.", name)...)
		}
	}
	for _, name := range sortedKeys(a.plan.Variables) {
		v := a.plan.Variables[name]
		val, late := v.Value, false
		if v.Ephemeral {
			if val, late = a.in.Ephemeral[name]; !late {
				continue
			}
		} else if given, ok := a.in.Late[name]; ok {
			var d diag.List
			val, d = a.lateValue(name, v, given)
			diags = append(diags, d...)
		} else if a.plan.Mode == plans.Normal && !whollyKnown(val) {
			diags = append(diags, diag.ErrorAt(a.variableRange(name), "Value of variable is missing",
				"The plan was made while the value of variable %q was not known, because it comes from something that had yet to be applied, such as another stack. It is needed now: apply that first.", name)...)
		}
		out[name] = configs.InputValue{Value: val, Source: configs.FromCaller}
	}
	return out, diags
}

func whollyKnown(v cty.Value) bool {
	bare, _ := v.UnmarkDeep()
	return bare == cty.NilVal || bare.IsWhollyKnown()
}

func (a *Apply) variableRange(name string) hcl.Range {
	if v := a.in.Config.Root.Variables[name]; v != nil {
		return v.DeclRange
	}
	return hcl.Range{}
}

// lateValue holds a value that has arrived against what was planned. The marks
// of both are kept: what was planned as sensitive stays so.
func (a *Apply) lateValue(name string, planned plans.Variable, given cty.Value) (cty.Value, diag.List) {
	decl := a.in.Config.Root.Variables[name]
	if decl == nil {
		return given, diag.Errorf("Plan does not fit its configuration", "The plan has a value for the variable %q, which its configuration does not declare.", name)
	}
	val, diags := configs.PrepareVariable(decl, configs.InputValue{Value: given, Source: configs.FromCaller})
	if diags.HasErrors() {
		return val, diags
	}
	if !whollyKnown(val) {
		return val, append(diags, diag.ErrorAt(decl.DeclRange, "Value of variable is still unknown",
			"The value of variable %q must be known when the plan is applied, but parts of it are not.", name)...)
	}
	bare, valMarks := val.UnmarkDeepWithPaths()
	barePlanned, plannedMarks := planned.Value.UnmarkDeepWithPaths()
	if d := misfit(barePlanned, bare, nil); d != nil {
		secret := decl.Sensitive || len(valMarks)+len(plannedMarks) > 0
		return val, append(diags, diag.ErrorAt(decl.DeclRange, "Value of variable differs from the plan",
			"The value of variable %q differs from what was planned: var.%[1]s%s %s. What was reviewed would not be what is done, so nothing is done; plan again.", name, describePath(d.path), d.describe(secret))...)
	}
	// One after the other: the paths of both may be the same.
	return bare.MarkWithPaths(plannedMarks).MarkWithPaths(valMarks), diags
}

// difference is the first place where a value is not what was planned.
type difference struct {
	path          cty.Path
	planned, late cty.Value
}

// describe says how the values differ, if they may be shown.
func (d *difference) describe(secret bool) string {
	planned, late := showValue(d.planned), showValue(d.late)
	switch {
	case !d.planned.IsKnown() && !d.late.IsNull() && d.planned.Type() != cty.DynamicPseudoType && len(d.late.Type().TestConformance(d.planned.Type())) > 0:
		return fmt.Sprintf("was planned as %s and is %s", d.planned.Type().FriendlyName(), d.late.Type().FriendlyName())
	case !d.planned.IsKnown():
		return "is outside the range that was planned"
	case secret || planned == "" || late == "" || planned == late:
		return "is another value"
	}
	return fmt.Sprintf("was planned as %s and is %s", planned, late)
}

// showValue writes a short value as configuration does; empty for others.
func showValue(v cty.Value) string {
	const longest = 80
	text := ""
	switch {
	case !v.IsKnown():
	case v.IsNull():
		text = "null"
	case v.Type() == cty.String:
		text = fmt.Sprintf("%q", v.AsString())
	case v.Type() == cty.Number:
		text = v.AsBigFloat().Text('f', -1)
	case v.Type() == cty.Bool:
		text = fmt.Sprint(v.True())
	case v.Type().IsObjectType():
		text = "object"
	case v.CanIterateElements():
		text = fmt.Sprintf("%s with %d elements", v.Type().FriendlyName(), v.LengthInt())
	}
	if len(text) > longest {
		return ""
	}
	return text
}

// misfit compares a value with one that was planned when parts of it were
// unknown: what was known must be the same, what was not must be of its type
// and within what was known about it. Neither has marks; late is wholly known.
func misfit(planned, late cty.Value, path cty.Path) *difference {
	bad := &difference{path.Copy(), planned, late}
	if !planned.IsKnown() {
		if in := planned.Range().Includes(late); in.IsKnown() && in.False() {
			return bad
		}
		return nil
	}
	if planned.IsNull() || late.IsNull() {
		if planned.IsNull() && late.IsNull() {
			return nil
		}
		return bad
	}
	ty := planned.Type()
	switch {
	case planned.IsWhollyKnown():
		if planned.RawEquals(late) {
			return nil
		}
		if !ty.Equals(late.Type()) || ty.IsPrimitiveType() || ty.IsSetType() {
			return bad
		}
	case ty.IsSetType() && late.Type().IsSetType():
		if misfitSet(planned, late) {
			return bad
		}
		return nil
	}
	if !late.CanIterateElements() || planned.LengthInt() != late.LengthInt() || ty.IsSetType() || late.Type().IsSetType() {
		return bad
	}
	for it := planned.ElementIterator(); it.Next(); {
		key, elem := it.Element()
		var step cty.PathStep = cty.IndexStep{Key: key}
		var other cty.Value
		switch lt := late.Type(); {
		case ty.IsObjectType():
			step = cty.GetAttrStep{Name: key.AsString()}
			if !lt.IsObjectType() || !lt.HasAttribute(key.AsString()) {
				return bad
			}
			other = late.GetAttr(key.AsString())
		case lt.IsObjectType() || lt.IsMapType() != ty.IsMapType() || late.HasIndex(key).False():
			return bad
		default:
			other = late.Index(key)
		}
		if d := misfit(elem, other, append(path, step)); d != nil {
			return d
		}
	}
	if planned.IsWhollyKnown() {
		return bad // different all the same: in the types of empty parts
	}
	return nil
}

// misfitSet compares a set with unknown elements: each of them may have become
// any element that fits, several the same one.
func misfitSet(planned, late cty.Value) bool {
	fits := func(a, b cty.Value) bool { return misfit(a, b, nil) == nil }
	want, have := planned.AsValueSlice(), late.AsValueSlice()
	if len(have) > len(want) {
		return true
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h cty.Value) bool { return fits(w, h) }) {
			return true
		}
	}
	return slices.ContainsFunc(have, func(h cty.Value) bool {
		return !slices.ContainsFunc(want, func(w cty.Value) bool { return fits(w, h) })
	})
}

// judgeDeferred evaluates the validation rules that could not be judged while
// planning, as far as the values that have arrived decide them. It has an
// evaluator of its own: the other one must not remember values of resources as
// they are before anything is done.
func (a *Apply) judgeDeferred() diag.List {
	if len(a.in.Late) == 0 {
		return nil
	}
	ev := newEvaluator(a.in.Config, a.ev.functions)
	ev.applying, ev.rootDir, ev.workDir, ev.workspace = a.ev.applying, a.ev.rootDir, a.ev.workDir, a.ev.workspace
	ev.inputs, ev.skipped, ev.allAbsent = a.ev.inputs, a.ev.skipped, a.ev.allAbsent
	ev.lookup = func(rs *resourceScope, rep repetition) (cty.Value, diag.List) {
		if rs.addr.Resource.Mode == addrs.Ephemeral {
			return cty.DynamicVal.Mark(marks.Ephemeral), nil // to be opened only when it is needed
		}
		return a.lookup(rs, rep)
	}
	var diags diag.List
	for _, r := range a.plan.Checks {
		m := a.in.Config.Modules[r.Module]
		if r.Kind != "var" || r.Status != plans.CheckUnknown || m == nil || m.Variables[r.Name] == nil {
			continue
		}
		scopes, d := ev.scopes(m)
		diags = append(diags, d...)
		for _, s := range scopes {
			diags = append(diags, a.checks.validateVariable(s, r.Name)...)
		}
	}
	return diags
}
