package flow

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
)

// phase is a part of a workflow: each begins when the one before is done.
type phase byte

const (
	phaseMain phase = iota
	phaseUndo
	phaseFailure
	phaseFinally
	phaseDone
)

// Definition is a workflow made ready to run: its steps as a graph.
type Definition struct {
	Project  *projects.Project
	Workflow *projects.Workflow

	nodes  []node
	byName map[string]int
}

// node is a step and where it stands in the graph.
type node struct {
	step       *projects.Step
	phase      phase
	needs      []int32 // nodes of the same phase that end before, each once
	dependents []int32
	sees       []int32  // nodes its expressions refer to
	asks       []int32  // of them, those whose failure does not halt it, sorted
	stacks     []string // stacks its expressions refer to
	secrets    []string // secrets its actions refer to
	whenEach   bool     // its condition is about each item
	approvals  []int32  // of something that changes a stack: approvals of plans before it
}

// New makes a definition of a workflow of a project. The diagnostics are those
// of [Definition.Validate] and tell of everything that can be known to be wrong
// before a run; stackOutputs, where not nil, names the outputs of a stack.
func New(p *projects.Project, name string, stackOutputs func(stack string) (map[string]bool, bool)) (*Definition, diag.List) {
	w := p.Workflows[name]
	d := build(p, w)
	return d, d.validate(stackOutputs)
}

// Compile makes a definition without validating it: of a snapshot that was
// validated when its run began, or of a workflow made by a program.
func Compile(p *projects.Project, w *projects.Workflow) *Definition { return build(p, w) }

func build(p *projects.Project, w *projects.Workflow) *Definition {
	d := &Definition{Project: p, Workflow: w, byName: map[string]int{}}
	for _, part := range []struct {
		phase phase
		steps []*projects.Step
	}{{phaseMain, w.Steps}, {phaseFailure, w.OnFailure}, {phaseFinally, w.Finally}} {
		for _, s := range part.steps {
			d.byName[s.Name] = len(d.nodes)
			d.nodes = append(d.nodes, node{step: s, phase: part.phase})
		}
	}
	for i := range d.nodes {
		d.connect(i)
	}
	for i := range d.nodes {
		if a := d.nodes[i].step.Action; a != nil && (a.Kind == "apply" || a.Kind == "destroy") {
			d.nodes[i].approvals = d.approvalsBefore(i)
		}
		for _, need := range d.nodes[i].needs {
			d.nodes[need].dependents = append(d.nodes[need].dependents, int32(i))
		}
	}
	return d
}

// connect finds what a node needs.
func (d *Definition) connect(i int) {
	n := &d.nodes[i]
	needs, sees, asks, stacks := map[int]bool{}, map[int]bool{}, map[int]bool{}, map[string]bool{}
	for _, r := range n.step.Needs {
		if j, ok := d.byName[r.Name]; ok {
			needs[j] = true
		}
	}
	follow := func(t hcl.Traversal, condition bool) {
		switch name := second(t); t.RootName() {
		case "step":
			j, ok := d.byName[name]
			if !ok {
				return
			}
			needs[j], sees[j] = true, true
			if condition && len(t) > 2 {
				if attr, ok := t[2].(hcl.TraverseAttr); ok && (attr.Name == "status" || attr.Name == "error") {
					asks[j] = true
				}
			}
		case "stack":
			stacks[name] = true
		case "each":
			if condition {
				n.whenEach = true
			}
		}
	}
	for _, expr := range n.expressions() {
		for _, t := range d.variables(expr, nil) {
			follow(t, expr == n.step.When)
		}
	}
	for j := range needs {
		if d.nodes[j].phase == n.phase {
			n.needs = append(n.needs, int32(j))
		}
	}
	n.sees, n.asks = sorted(sees), sorted(asks)
	sort.Slice(n.needs, func(a, b int) bool { return n.needs[a] < n.needs[b] })
	for name := range stacks {
		n.stacks = append(n.stacks, name)
	}
	sort.Strings(n.stacks)
	n.secrets = append(d.secretsOf(n.step.Action), d.secretsOf(n.step.Undo)...)
}

func sorted(set map[int]bool) []int32 {
	var out []int32
	for i := range set {
		out = append(out, int32(i))
	}
	sort.Slice(out, func(a, b int) bool { return out[a] < out[b] })
	return out
}

// second is the name behind the root of a traversal; empty where there is none.
func second(t hcl.Traversal) string {
	if len(t) < 2 {
		return ""
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if step.Key.Type().FriendlyName() == "string" {
			return step.Key.AsString()
		}
	}
	return ""
}

// variables are the traversals of an expression, those of the locals it uses
// included. seen guards against locals that need themselves.
func (d *Definition) variables(expr hcl.Expression, seen map[*configs.Local]bool) []hcl.Traversal {
	if expr == nil {
		return nil
	}
	out := expr.Variables()
	for _, t := range out {
		if t.RootName() != "local" {
			continue
		}
		l := d.local(second(t))
		if l == nil || seen[l] {
			continue
		}
		if seen == nil {
			seen = map[*configs.Local]bool{}
		}
		seen[l] = true
		out = append(out[:len(out):len(out)], d.variables(l.Expr, seen)...)
	}
	return out
}

func (d *Definition) local(name string) *configs.Local {
	if l := d.Workflow.Locals[name]; l != nil {
		return l
	}
	return d.Project.Locals[name]
}

// Variable finds a variable of the workflow, or else of the project; nil where
// neither declares it.
func (d *Definition) Variable(name string) *configs.Variable {
	if v := d.Workflow.Variables[name]; v != nil {
		return v
	}
	return d.Project.Variables[name]
}

// Step finds a step by its name; nil where there is none.
func (d *Definition) Step(name string) *projects.Step {
	if i, ok := d.byName[name]; ok {
		return d.nodes[i].step
	}
	return nil
}

// Variables are all a run of the workflow takes, by name.
func (d *Definition) Variables() map[string]*configs.Variable {
	out := map[string]*configs.Variable{}
	for name, v := range d.Project.Variables {
		out[name] = v
	}
	for name, v := range d.Workflow.Variables {
		out[name] = v
	}
	return out
}

// expressions lists all of a step's, its condition first.
func (n *node) expressions() []hcl.Expression {
	s := n.step
	out := []hcl.Expression{}
	add := func(e hcl.Expression) {
		if e != nil {
			out = append(out, e)
		}
	}
	add(s.When)
	add(s.ForEach)
	for _, a := range []*projects.Action{s.Action, s.Undo} {
		if a == nil {
			continue
		}
		for _, name := range sortedKeys(a.Arguments) {
			add(a.Arguments[name])
		}
		add(a.Versions)
	}
	for _, c := range s.Catch {
		add(c.Outputs)
	}
	if s.Cache != nil {
		add(s.Cache.Key)
	}
	return out
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Graph draws the workflow in the DOT language of Graphviz.
func (d *Definition) Graph() string {
	var b strings.Builder
	b.WriteString("digraph {\n  rankdir = LR\n  node [shape = box]\n")
	for _, n := range d.nodes {
		label := n.step.Name
		if n.step.Action != nil {
			label += `\n` + n.step.Action.Kind
		}
		if n.step.ForEach != nil {
			label += ` for each`
		}
		style := ""
		if n.phase != phaseMain {
			style = ", style = dashed"
		}
		b.WriteString("  \"" + n.step.Name + "\" [label = \"" + label + "\"" + style + "]\n")
	}
	for _, n := range d.nodes {
		for _, need := range n.needs {
			b.WriteString("  \"" + d.nodes[need].step.Name + "\" -> \"" + n.step.Name + "\"\n")
		}
	}
	b.WriteString("}\n")
	return b.String()
}
