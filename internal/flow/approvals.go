package flow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
	"github.com/zclconf/go-cty/cty"
)

// NotApprovedError is the error of a step that would carry out a plan which
// nobody has approved.
const NotApprovedError = "Tutti.NotApproved"

// approval is what is known of an approval under way: kept with its effect.
type approval struct {
	by      []string
	comment string
}

// asked is what an approval step asks for.
type asked struct {
	plan       string
	roles      []string
	count      int
	forbidSelf bool
	expires    time.Duration
}

// asked evaluates the arguments of an approval step.
func (m *Machine) asked(t target) (asked, *Error) {
	args, err := m.arguments(t, m.d.nodes[t.node].step.Action)
	if err != nil {
		return asked{}, err
	}
	out := asked{count: 1}
	fail := func(format string, values ...any) (asked, *Error) {
		return asked{}, &Error{EvaluationError, fmt.Sprintf(format, values...)}
	}
	if m.d.nodes[t.node].step.Action.Arguments["plan"] != nil {
		v := args["plan"]
		if v.IsNull() || v.AsString() == "" {
			return fail("plan: there is no plan to approve.")
		}
		out.plan = v.AsString()
	}
	if v := args["roles"]; !v.IsNull() {
		for _, role := range v.AsValueSlice() {
			if role.IsNull() {
				return fail("roles: a role must not be null.")
			}
			out.roles = append(out.roles, role.AsString())
		}
		if len(out.roles) == 0 {
			return fail("roles: nobody could approve, because there is no role in the list.")
		}
	}
	if v := args["count"]; !v.IsNull() {
		n, _ := v.AsBigFloat().Int64()
		if n < 1 || !v.AsBigFloat().IsInt() {
			return fail("count: at least one person must approve.")
		}
		out.count = int(n)
	}
	if v := args["expires"]; !v.IsNull() {
		d, bad := projects.ParseDuration(v.AsString())
		if bad != nil {
			return asked{}, m.unfit(t, "expires", bad.Error())
		}
		out.expires = d
	}
	out.forbidSelf = !args["forbid_self"].IsNull() && args["forbid_self"].True()
	return out, nil
}

// askApproval begins an approval step.
func (m *Machine) askApproval(t target, attempt int32) {
	asked, err := m.asked(t)
	if err != nil {
		m.itemFails(t, attempt, err)
		return
	}
	step := m.add(effect{kind: approvalEffect, target: t, attempt: attempt})
	m.approvals[step] = &approval{}
	m.limit(step, asked.expires)
}

// Approval finds the approval that is waiting under the name of a step; the
// empty name stands for the only one there is. The error says why by may not
// decide so, or that there is none.
func (m *Machine) Approval(kind workflow.SignalKind, name, by string, d workflow.Decision) (step int, err error) {
	step, err = m.FindApproval(name)
	if err != nil {
		return 0, err
	}
	p := *m.effects.at(step)
	key := m.keyOf(p.target)
	want, bad := m.asked(p.target)
	if bad != nil {
		return 0, fmt.Errorf("what step %s asks for cannot be told: %s", key, bad.Cause)
	}
	// A name stands for the same person with its kind and without.
	who := access.Subject(by)
	switch {
	case who == "":
		return 0, fmt.Errorf("who decides about step %s must be known", key)
	case want.forbidSelf && who == access.Subject(m.start.Actor):
		return 0, fmt.Errorf("who started the run must not decide about step %s", key)
	case !holds(d.Roles, want.roles):
		held := "no role"
		if len(d.Roles) > 0 {
			held = strings.Join(d.Roles, ", ")
		}
		return 0, fmt.Errorf("step %s may be decided about by %s only; %s has %s", key, strings.Join(want.roles, ", "), by, held)
	case slices.ContainsFunc(m.approvals[int32(step)].by, func(other string) bool { return access.Subject(other) == who }):
		return 0, fmt.Errorf("%s has approved step %s already", by, key)
	case d.Digest != "" && want.plan == "":
		return 0, fmt.Errorf("step %s is about no plan, but the decision is about the plan %s", key, d.Digest)
	case d.Digest != "" && d.Digest != want.plan:
		return 0, fmt.Errorf("step %s is about the plan %s, but the decision is about the plan %s", key, want.plan, d.Digest)
	case kind == workflow.SignalApprove && want.plan != "" && d.Digest == "":
		return 0, fmt.Errorf("step %s is about the plan %s: an approval must say that it is about this one", key, want.plan)
	}
	return step, nil
}

// holds reports whether one of the roles wanted is held; where none is wanted,
// everybody will do.
func holds(held, wanted []string) bool {
	return len(wanted) == 0 || slices.Contains(held, workflow.AnyRole) ||
		slices.ContainsFunc(wanted, func(role string) bool { return slices.Contains(held, role) })
}

// FindApproval finds the approval that is waiting under the name of a step,
// whoever may decide about it.
func (m *Machine) FindApproval(name string) (step int, err error) {
	var found []int
	var names []string
	for i := range m.approvals {
		p := m.effects.at(int(i))
		if p.ended {
			continue
		}
		key := m.keyOf(p.target)
		names = append(names, key)
		if name == key || name == "" || name == m.d.nodes[p.node].step.Name && m.nodes[p.node].items.kind == single {
			found = append(found, int(i))
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return 0, fmt.Errorf("no step of the run waits for an approval")
	case len(found) == 0:
		return 0, fmt.Errorf("no step %q waits for an approval; waiting: %s", name, strings.Join(names, ", "))
	case len(found) > 1:
		return 0, fmt.Errorf("several steps wait for an approval, say which: %s", strings.Join(names, ", "))
	}
	return found[0], nil
}

// decide takes an approval or a rejection.
func (m *Machine) decide(step int, sig workflow.Signal) {
	p, a := *m.effects.at(step), m.approvals[int32(step)]
	comment := workflow.ReadDecision(sig.Data).Comment
	if sig.Kind == workflow.SignalReject {
		delete(m.approvals, int32(step))
		m.signalled(int32(step), Outcome{}, &Error{RejectedError, strings.TrimSuffix("Rejected by "+sig.By+": "+comment, ": ")})
		return
	}
	a.by = append(a.by, sig.By)
	if comment != "" {
		a.comment = strings.TrimPrefix(a.comment+"\n"+comment, "\n")
	}
	want, err := m.asked(p.target)
	if err != nil || len(a.by) < want.count {
		return
	}
	delete(m.approvals, int32(step))
	var by []cty.Value
	for _, name := range a.by {
		by = append(by, cty.StringVal(name))
	}
	plan := cty.NullVal(cty.String)
	if want.plan != "" {
		plan = cty.StringVal(want.plan)
	}
	m.signalled(int32(step), Outcome{Outputs: EncodeValue(cty.ObjectVal(map[string]cty.Value{
		"by": cty.ListVal(by), "comment": cty.StringVal(a.comment), "plan": plan,
	}))}, nil)
}

// approvalsBefore finds the approvals of plans that come before a node, directly
// or not.
func (d *Definition) approvalsBefore(i int) []int32 {
	seen := map[int32]bool{int32(i): true}
	found := map[int]bool{}
	for queue := []int32{int32(i)}; len(queue) > 0; queue = queue[1:] {
		n := &d.nodes[queue[0]]
		for _, list := range [][]int32{n.needs, n.sees} {
			for _, j := range list {
				if seen[j] {
					continue
				}
				seen[j] = true
				queue = append(queue, j)
				if a := d.nodes[j].step.Action; a != nil && a.Kind == "approval" && a.Arguments["plan"] != nil {
					found[int(j)] = true
				}
			}
		}
	}
	return sorted(found)
}

// approved refuses to change a stack by another plan than one that was approved,
// where an approval of a plan for this stack comes before. An approval is for one
// plan: one made later, or made by the step itself, is another.
func (m *Machine) approved(t target) *Error {
	n := &m.d.nodes[t.node]
	if len(n.approvals) == 0 {
		return nil
	}
	stack := n.step.Action.References["stack"].Name
	args, err := m.arguments(t, n.step.Action)
	if err != nil {
		return err
	}
	digest := ""
	if v, ok := args["plan"]; ok && !v.IsNull() {
		digest = v.AsString()
	}
	var asking, others []string
	for _, j := range n.approvals {
		status := m.nodes[j].status
		if status == Skipped {
			continue
		}
		for i := range m.nodes[j].items.list {
			at := target{j, int32(i)}
			it := &m.nodes[j].items.list[i]
			if it.status() == Skipped {
				continue
			}
			plan := m.planOf(at)
			if of := m.stacksOf(plan); of != nil && !slices.Contains(of, stack) {
				continue
			}
			asking = append(asking, m.keyOf(at))
			if it.status() != Succeeded {
				continue
			}
			if plan == digest && digest != "" {
				return nil
			}
			others = append(others, plan)
		}
	}
	switch {
	case len(asking) == 0:
		return nil
	case len(others) == 0:
		return &Error{NotApprovedError, fmt.Sprintf("No plan for stack %s was approved by step %s.", stack, strings.Join(asking, ", "))}
	case digest == "":
		return &Error{NotApprovedError, fmt.Sprintf("Step %s approved the plan %s for stack %s, but this step would make another one: give it the plan that was approved.", strings.Join(asking, ", "), strings.Join(others, ", "), stack)}
	}
	return &Error{NotApprovedError, fmt.Sprintf("Step %s approved the plan %s for stack %s, not the plan %s: the approval is void for a plan that has changed.", strings.Join(asking, ", "), strings.Join(others, ", "), stack, digest)}
}

// planOf is the digest of the plan that an approval was asked for, or was given
// for in the run whose outcomes are taken over; empty where it cannot be told.
func (m *Machine) planOf(t target) string {
	if v, _ := m.nodes[t.node].items.list[t.item].outputs().UnmarkDeep(); v.Type().IsObjectType() && !v.IsNull() && v.Type().HasAttribute("plan") {
		if plan := v.GetAttr("plan"); plan.Type() == cty.String && plan.IsKnown() && !plan.IsNull() {
			return plan.AsString()
		}
	}
	if want, err := m.asked(t); err == nil {
		return want.plan
	}
	return ""
}

// stacksOf are the stacks that a step of this run made a plan for; nil where none
// has made it.
func (m *Machine) stacksOf(digest string) []string {
	for n := range m.d.nodes {
		a := m.d.nodes[n].step.Action
		if a == nil || a.Kind != "plan" {
			continue
		}
		for i := range m.nodes[n].items.list {
			v, _ := m.nodes[n].items.list[i].outputs().UnmarkDeep()
			if v.IsNull() || !v.Type().IsObjectType() || !v.Type().HasAttribute("digest") {
				continue
			}
			if made := v.GetAttr("digest"); made.Type() == cty.String && made.IsKnown() && !made.IsNull() && made.AsString() == digest {
				return plannedStacks(a, v)
			}
		}
	}
	return nil
}

// plannedStacks are the stacks that a plan is for: the one its step names, or those
// that its outputs tell of; nil where that cannot be told.
func plannedStacks(a *projects.Action, outputs cty.Value) []string {
	if one, ok := a.References["stack"]; ok {
		return []string{one.Name}
	}
	if !outputs.Type().HasAttribute("stacks") {
		return nil
	}
	list := outputs.GetAttr("stacks")
	if !list.IsWhollyKnown() || list.IsNull() || !list.CanIterateElements() {
		return nil
	}
	var out []string
	for _, name := range list.AsValueSlice() {
		if name.Type() == cty.String && !name.IsNull() {
			out = append(out, name.AsString())
		}
	}
	return out
}

// PlanAsked is the digest of the plan that the approval waiting under the name of
// a step is about; empty where there is none.
func (m *Machine) PlanAsked(name string) string {
	step, err := m.FindApproval(name)
	if err != nil {
		return ""
	}
	want, _ := m.asked(m.effects.at(step).target)
	return want.plan
}
