package workflowtests

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// mocks are those of a test, by the step they name.
type mocks struct {
	bySteps map[string][]*projects.TestMock
	taken   map[taking]int
	used    map[*projects.TestMock]bool
}

// taking is one key's use of a mock: times counts for each item on its own.
type taking struct {
	mock *projects.TestMock
	key  string
}

func newMocks(lists ...[]*projects.TestMock) *mocks {
	out := &mocks{bySteps: map[string][]*projects.TestMock{}, taken: map[taking]int{}, used: map[*projects.TestMock]bool{}}
	for _, list := range lists {
		for _, m := range list {
			out.bySteps[m.Step] = append(out.bySteps[m.Step], m)
		}
	}
	return out
}

// take finds the mock for the next attempt at a step; nil where there is none.
// Those that name an item come before those of the whole step, and mocks of the
// same step follow each other.
func (s *mocks) take(key string) *projects.TestMock {
	for _, name := range variants(key) {
		for _, m := range s.bySteps[name] {
			if m.Times > 0 {
				if s.taken[taking{m, key}] >= m.Times {
					continue
				}
				s.taken[taking{m, key}]++
			}
			s.used[m] = true
			return m
		}
	}
	return nil
}

// variants are the ways in which mocks may name a step: with its indexes, and
// with some of them or none.
func variants(key string) []string {
	if !strings.Contains(key, "[") {
		return []string{key}
	}
	out := []string{""}
	for i, segment := range segments(key) {
		var next []string
		for _, prefix := range out {
			if i > 0 {
				prefix += "."
			}
			next = append(next, prefix+segment)
			if name, _, indexed := strings.Cut(segment, "["); indexed {
				next = append(next, prefix+name)
			}
		}
		out = next
	}
	return out
}

// segments takes a key apart at the dots that are not inside of an index.
func segments(key string) []string {
	var out []string
	from, inside, quoted := 0, false, false
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && inside:
			quoted = !quoted
		case quoted:
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '.' && !inside:
			out = append(out, key[from:i])
			from = i + 1
		}
	}
	return append(out, key[from:])
}

// resolve finds the action that an address means: that of a step, of what undoes
// it, or of a step of the workflow that either runs. wrong says why there is
// none.
func resolve(d *flow.Definition, address string) (action *projects.Action, wrong string) {
	list := segments(address)
	for i := 0; i < len(list); i++ {
		if i > 0 {
			w := (*projects.Workflow)(nil)
			if action.Kind == "workflow" {
				w = d.Project.Workflows[action.References["run"].Name]
			}
			if w == nil {
				return nil, fmt.Sprintf("The step %q runs no other workflow, so there is no step %q in it.", strings.Join(list[:i], "."), list[i])
			}
			d = flow.Compile(d.Project, w)
		}
		name, _, indexed := strings.Cut(list[i], "[")
		s := d.Step(name)
		if s == nil || s.Action == nil {
			return nil, fmt.Sprintf("There is no step %q in the workflow %q.%s", name, d.Workflow.Name, stepNames(d))
		}
		if indexed && s.ForEach == nil {
			return nil, fmt.Sprintf("The step %q has no for_each, so there are no items to name.", name)
		}
		action = s.Action
		if i+1 == len(list) || list[i+1] != "undo" {
			continue
		}
		switch {
		case s.Undo != nil:
			action = s.Undo
			i++
		case action.Kind != "workflow":
			return nil, fmt.Sprintf("The step %q has no undo block.", name)
		}
	}
	return action, ""
}

// checkStep says what is wrong with a mock's step; nothing for "".
func checkStep(d *flow.Definition, address string) string {
	action, wrong := resolve(d, address)
	switch {
	case wrong != "":
		return wrong
	case action.Kind == "wait":
		return "A wait cannot be mocked: it lasts as long as it says by the clock of the test, or until a signal block gives it its event."
	case action.Kind == "approval":
		return "An approval cannot be mocked: approve and reject blocks decide about it."
	}
	return ""
}

func stepNames(d *flow.Definition) string {
	var names []string
	w := d.Workflow
	for _, list := range [][]*projects.Step{w.Steps, w.OnFailure, w.Finally} {
		for _, s := range list {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 || len(names) > 20 {
		return ""
	}
	sort.Strings(names)
	return " There are: " + strings.Join(names, ", ") + "."
}

// mockScope is what the outputs of a mock may refer to.
type mockScope struct {
	key       string
	attempt   int
	arguments cty.Value
}

// outputs are those of a step that succeeds: the mock's, completed, or made up.
func (t *trial) outputs(m *projects.TestMock, kind string, stack string, scope mockScope) cty.Value {
	if m == nil && t.test.Required && needsMock(kind) {
		t.problem("The step %q has no mock for its attempt %d, and mocks are required.", scope.key, scope.attempt)
		return cty.NilVal
	}
	if m == nil || m.Outputs == nil {
		if kind == "apply" && stack != "" {
			return t.stackOutputs(stack)
		}
		return madeUp(kind)
	}
	v, ok := t.evaluateOutputs(m.Outputs, scope)
	if !ok {
		return cty.NilVal
	}
	out, wrong := conform(kind, v)
	if wrong != "" {
		t.add(diag.ErrorAt(m.Outputs.Range(), "Unsuitable outputs", "The outputs of the step %q: %s", scope.key, wrong))
		t.w.wrong = errStopped
	}
	return out
}

// evaluateOutputs gives the value of a mock's outputs.
func (t *trial) evaluateOutputs(expr hcl.Expression, scope mockScope) (cty.Value, bool) {
	ctx := t.context().NewChild()
	ctx.Variables = map[string]cty.Value{
		"key": cty.StringVal(scope.key), "attempt": cty.NumberIntVal(int64(scope.attempt)), "arguments": scope.arguments,
	}
	v, diags := expr.Value(ctx)
	t.add(diag.FromHCL(diags))
	if diags.HasErrors() {
		t.w.wrong = errStopped
		return cty.NilVal, false
	}
	return v, true
}

// conform completes outputs to those that the action has; wrong says why they
// cannot be its.
func conform(kind string, v cty.Value) (out cty.Value, wrong string) {
	ty := projects.Actions[kind].Outputs
	if ty == cty.DynamicPseudoType {
		return v, ""
	}
	bare, own := v.Unmark()
	if bare.IsNull() || !bare.IsKnown() || !bare.Type().IsObjectType() && !bare.Type().IsMapType() {
		return cty.NilVal, "they are an object."
	}
	types := ty.AttributeTypes()
	attrs := map[string]cty.Value{}
	for name, value := range bare.AsValueMap() {
		want, known := types[name]
		if !known {
			return cty.NilVal, fmt.Sprintf("%s has no output %q. It has: %s.", kind, name, strings.Join(sortedKeys(types), ", "))
		}
		converted, err := convert.Convert(value, want)
		if err != nil {
			return cty.NilVal, fmt.Sprintf("the output %q is not suitable: %s.", name, err)
		}
		attrs[name] = converted
	}
	for name, value := range madeUp(kind).AsValueMap() {
		if _, given := attrs[name]; !given {
			attrs[name] = value
		}
	}
	if len(attrs) == 0 {
		return cty.EmptyObjectVal, ""
	}
	return cty.ObjectVal(attrs).WithMarks(own), ""
}

// madeUp are outputs of an action that nobody has said anything about: those of
// a success where nothing much happened.
func madeUp(kind string) cty.Value {
	ty := projects.Actions[kind].Outputs
	if !ty.IsObjectType() {
		return cty.EmptyObjectVal
	}
	attrs := map[string]cty.Value{}
	for name, want := range ty.AttributeTypes() {
		attrs[name] = zero(want)
	}
	if kind == "http" {
		attrs["status"] = cty.NumberIntVal(200)
	}
	if len(attrs) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(attrs)
}

func zero(ty cty.Type) cty.Value {
	switch {
	case ty == cty.String:
		return cty.StringVal("")
	case ty == cty.Number:
		return cty.Zero
	case ty == cty.Bool:
		return cty.False
	case ty.IsMapType():
		return cty.MapValEmpty(ty.ElementType())
	case ty.IsListType():
		return cty.ListValEmpty(ty.ElementType())
	}
	return cty.NullVal(ty)
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
