package flow

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Outcomes are the outcomes of all items that have succeeded, by key: what a new
// run can reuse. Those of some steps are left out, and those of steps that were
// undone, with all that depend on them.
func (m *Machine) Outcomes(without map[string]bool) map[string]Outcome {
	out := map[string]Outcome{}
	without = maps.Clone(without)
	if without == nil {
		without = map[string]bool{}
	}
	for n := range m.nodes {
		if !without[m.d.nodes[n].step.Name] && slices.ContainsFunc(m.nodes[n].items.list, func(it item) bool { return it.undone }) {
			behind, _ := m.d.Behind(m.d.nodes[n].step.Name)
			maps.Copy(without, behind)
		}
	}
	for n := range m.nodes {
		if without[m.d.nodes[n].step.Name] {
			continue
		}
		list := m.nodes[n].items.list
		for i := range list {
			if list[i].status() != Succeeded {
				continue
			}
			one := NewOutcome(cty.NilVal)
			if r := list[i].result; r != nil {
				one = NewOutcome(r.outputs)
				one.Run = r.run
			}
			one.Key = m.keyOf(target{int32(n), int32(i)})
			out[one.Key] = one
		}
	}
	return out
}

// Closing lists the steps of on_failure and finally: they follow every run.
func (d *Definition) Closing() map[string]bool {
	out := map[string]bool{}
	for _, n := range d.nodes {
		if n.phase != phaseMain {
			out[n.step.Name] = true
		}
	}
	return out
}

// Behind lists a step and all that depend on it, directly or not; false where
// there is no such step.
func (d *Definition) Behind(step string) (map[string]bool, bool) {
	first, ok := d.byName[step]
	if !ok {
		return nil, false
	}
	out := map[string]bool{}
	list := []int32{int32(first)}
	for len(list) > 0 {
		n := list[0]
		list = list[1:]
		if name := d.nodes[n].step.Name; !out[name] {
			out[name] = true
			list = append(list, d.nodes[n].dependents...)
		}
	}
	return out, true
}

// Difference is what becomes of a step when a run switches to another
// definition.
type Difference struct {
	Step string
	Text string
	// Bars says that the run must not switch because of it.
	Bars bool
}

// Compare says what switching a run to another definition means: what it has
// done stays done, so all of that must still be there, do the same, and need
// nothing that is not done. What it was doing must not be done twice.
func Compare(m *Machine, to *Definition) []Difference {
	var out []Difference
	add := func(step string, bars bool, format string, args ...any) {
		out = append(out, Difference{step, fmt.Sprintf(format, args...), bars})
	}
	done := func(name string) bool {
		n, ok := m.d.byName[name]
		return ok && (m.nodes[n].status == Succeeded || m.nodes[n].status == Skipped || m.nodes[n].status == Caught)
	}
	before, now := stepTexts(m.d), stepTexts(to)
	for n := range m.nodes {
		name, begun := m.d.nodes[n].step.Name, m.nodes[n].status != Waiting
		j, there := to.byName[name]
		switch {
		case !there && begun:
			add(name, true, "has begun, and is not there any more")
			continue
		case !there:
			add(name, false, "is not there any more")
			continue
		}
		was, is := m.d.nodes[n].step, to.nodes[j].step
		if before[name] != now[name] {
			if done(name) {
				add(name, false, "is written differently, and stays as it was done")
			} else {
				add(name, false, "is written differently")
			}
		}
		if !begun {
			continue
		}
		if was.Action.Kind != is.Action.Kind {
			add(name, true, "has begun as %s, and is %s now", was.Action.Kind, is.Action.Kind)
		}
		if (was.ForEach == nil) != (is.ForEach == nil) {
			add(name, true, "has begun, and has for_each only in one of both definitions")
		}
		for _, need := range to.nodes[j].needs {
			if other := to.nodes[need].step.Name; done(name) && !done(other) {
				add(name, true, "is done, and needs %s now, which is not", other)
			}
		}
	}
	told := map[string]bool{}
	m.effects.open(func(_ int, p *effect) {
		step := m.d.nodes[p.node].step
		if told[step.Name] {
			return
		}
		action := step.Action
		switch {
		case p.kind == undoEffect:
			action = step.Undo
		case p.kind != taskEffect:
			return
		}
		switch {
		case p.begun:
			told[step.Name] = true
			add(step.Name, true, "was being done when the process died, and what became of it is not known")
		case slices.Contains([]string{"apply", "destroy", "rollback", "workflow"}, action.Kind):
			told[step.Name] = true
			add(step.Name, true, "is a run of its own, which may not have ended")
		}
	})
	for i := range to.nodes {
		if _, old := m.d.byName[to.nodes[i].step.Name]; !old {
			add(to.nodes[i].step.Name, false, "is new")
		}
	}
	return out
}

// stepTexts is what the files say of each step.
func stepTexts(d *Definition) map[string]string {
	out, name := map[string]string{}, d.Workflow.DeclRange.Filename
	src := d.Project.Files[name]
	file, _ := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	var collect func(*hclsyntax.Body)
	collect = func(body *hclsyntax.Body) {
		for _, b := range body.Blocks {
			switch {
			case b.Type == "step" && len(b.Labels) == 1:
				out[b.Labels[0]] = string(b.Range().SliceBytes(src))
			case b.Type == "on_failure", b.Type == "finally", b.Type == "workflow" && slices.Contains(b.Labels, d.Workflow.Name):
				collect(b.Body)
			}
		}
	}
	if body, ok := file.Body.(*hclsyntax.Body); ok {
		collect(body)
	}
	return out
}
