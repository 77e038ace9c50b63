// Package stacks says how the stacks of a project hang together: in which order
// they come, what each is given, whether that fits what its root module
// declares, which objects move between them, and how the plans of several of
// them are one thing that can be reviewed and applied. It decides from what it is
// told and touches neither files nor stores.
package stacks

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Graph is the stacks of a project and what each of them needs.
type Graph struct {
	Project *projects.Project
	// Order is all stacks, each after those it needs, otherwise by name.
	Order []string
	// Needs are the stacks that come directly before each, by name.
	Needs map[string][]string
}

// NewGraph orders the stacks of a project: a reference to an output is an edge,
// and so is an entry of needs. Everything that is wrong with the references of
// stacks is reported; with errors there may be no order.
func NewGraph(p *projects.Project) (*Graph, diag.List) {
	g := &Graph{Project: p, Needs: map[string][]string{}}
	var diags diag.List
	for _, name := range sortedKeys(p.Locals) {
		diags = append(diags, checkReferences(p, p.Locals[name].Expr)...)
	}
	for _, name := range sortedKeys(p.Stacks) {
		needs := map[string]bool{}
		s := p.Stacks[name]
		for _, r := range s.Needs {
			if p.Stacks[r.Name] != nil {
				needs[r.Name] = true
			}
		}
		for _, input := range sortedKeys(s.Inputs) {
			diags = append(diags, checkReferences(p, s.Inputs[input])...)
			for _, t := range traversals(p, s.Inputs[input], nil) {
				if upstream := second(t); t.RootName() == "stack" && p.Stacks[upstream] != nil {
					needs[upstream] = true
				}
			}
		}
		g.Needs[name] = sortedKeys(needs)
	}
	return g, append(diags, g.sort()...)
}

// checkReferences reports what an expression of a project refers to that is not
// there.
func checkReferences(p *projects.Project, expr hcl.Expression) diag.List {
	var diags diag.List
	wrong := func(t hcl.Traversal, summary, detail string, args ...any) {
		diags = append(diags, diag.ErrorAt(t.SourceRange(), summary, detail, args...)...)
	}
	for _, t := range expr.Variables() {
		name := second(t)
		switch root := t.RootName(); {
		case root != "var" && root != "local" && root != "stack" && root != "environment" && root != "path" && root != "secret" && root != "secret_version":
			wrong(t, "Invalid reference", "There is nothing called %q here. Expressions of stacks see var, local, stack, secret, secret_version, environment and path.", root)
		case name == "":
			wrong(t, "Invalid reference", "The %q object cannot be used on its own: write %s.NAME.", root, root)
		case root == "var" && p.Variables[name] == nil:
			wrong(t, "Reference to undeclared input variable", "This project declares no variable %q.%s", name, suggestion(name, sortedKeys(p.Variables)))
		case root == "local" && p.Locals[name] == nil:
			wrong(t, "Reference to undeclared local value", "This project declares no local value %q.%s", name, suggestion(name, sortedKeys(p.Locals)))
		case root == "stack" && p.Stacks[name] == nil:
			wrong(t, "Reference to undeclared stack", "This project declares no stack %q.%s", name, suggestion(name, sortedKeys(p.Stacks)))
		case (root == "secret" || root == "secret_version") && p.Secrets[name] == nil:
			wrong(t, "Reference to undeclared secret", "This project declares no secret %q.%s", name, suggestion(name, sortedKeys(p.Secrets)))
		case root == "environment" && name != "name" && name != "labels":
			wrong(t, "Invalid reference", "There are environment.name and environment.labels, nothing else.")
		case root == "path" && name != "root":
			wrong(t, "Invalid reference", "Expressions of stacks see path.root only: they stand in no module.")
		}
	}
	return diags
}

// sort fills in the order, or reports the stacks that wait for each other.
func (g *Graph) sort() diag.List {
	left := map[string]int{}
	after := map[string][]string{}
	var ready []string
	for _, name := range sortedKeys(g.Needs) {
		left[name] = len(g.Needs[name])
		if left[name] == 0 {
			ready = append(ready, name)
		}
		for _, need := range g.Needs[name] {
			after[need] = append(after[need], name)
		}
	}
	for len(ready) > 0 {
		name := ready[0]
		ready = ready[1:]
		delete(left, name)
		g.Order = append(g.Order, name)
		for _, next := range after[name] {
			if left[next]--; left[next] == 0 {
				i, _ := slices.BinarySearch(ready, next)
				ready = slices.Insert(ready, i, next)
			}
		}
	}
	return g.cycles(left)
}

// cycles names, of stacks that could not be ordered, those that wait for each
// other.
func (g *Graph) cycles(left map[string]int) diag.List {
	var diags diag.List
	for len(left) > 0 {
		// Whoever is left needs somebody who is left: going on leads in a circle.
		at := sortedKeys(left)[0]
		var path []string
		for !slices.Contains(path, at) {
			path = append(path, at)
			next := ""
			for _, need := range g.Needs[at] {
				if _, ok := left[need]; ok {
					next = need
					break
				}
			}
			if next == "" {
				break
			}
			at = next
		}
		circle := path[max(0, slices.Index(path, at)):]
		for _, name := range path {
			delete(left, name)
		}
		if !slices.Contains(g.Needs[circle[len(circle)-1]], circle[0]) {
			continue // it only waits for a circle that was reported
		}
		diags = append(diags, g.cycle(circle)...)
	}
	return diags
}

func (g *Graph) cycle(circle []string) diag.List {
	first := g.Project.Stacks[circle[0]]
	rng := first.DeclRange
	if len(circle) == 1 {
		for _, expr := range first.Inputs {
			for _, t := range traversals(g.Project, expr, nil) {
				if t.RootName() == "stack" && second(t) == first.Name {
					rng = expr.Range()
				}
			}
		}
		return diag.ErrorAt(rng, "Stack needs itself", "The stack %q refers to its own outputs, or needs itself.", first.Name)
	}
	return diag.ErrorAt(rng, "Cycle of stacks", "These stacks need each other, so none can come first: %s.", strings.Join(append(circle, circle[0]), " needs "))
}

// Select returns the stacks of the names given in order, all for none.
func (g *Graph) Select(names []string) ([]string, diag.List) {
	if len(names) == 0 {
		return g.Order, nil
	}
	var diags diag.List
	wanted := map[string]bool{}
	for _, name := range names {
		if g.Project.Stacks[name] == nil {
			diags = append(diags, diag.Errorf("No such stack", "This project declares no stack %q.%s Declared are: %s.", name, suggestion(name, g.Order), strings.Join(sortedKeys(g.Project.Stacks), ", "))...)
		}
		wanted[name] = true
	}
	var out []string
	for _, name := range g.Order {
		if wanted[name] {
			out = append(out, name)
		}
	}
	return out, diags
}

// Among returns, for each of the stacks selected, which of the others come
// before it: those it needs, directly or through stacks that are not selected.
func (g *Graph) Among(selected []string) map[string][]string {
	in := map[string]bool{}
	for _, name := range selected {
		in[name] = true
	}
	before := map[string]map[string]bool{}
	for _, name := range g.Order {
		set := map[string]bool{}
		for _, need := range g.Needs[name] {
			if in[need] {
				set[need] = true
				continue
			}
			for far := range before[need] {
				set[far] = true
			}
		}
		before[name] = set
	}
	out := map[string][]string{}
	for _, name := range selected {
		out[name] = sortedKeys(before[name])
	}
	return out
}

// Width is how many of the stacks selected can be at work at the same time, more
// or less: the most that are as far from the beginning as each other.
func (g *Graph) Width(selected []string) int {
	depth, count, width := map[string]int{}, map[int]int{}, 0
	needs := g.Among(selected)
	for _, name := range selected {
		for _, need := range needs[name] {
			depth[name] = max(depth[name], depth[need]+1)
		}
		count[depth[name]]++
		width = max(width, count[depth[name]])
	}
	return width
}

// Graph draws the stacks in the DOT language of Graphviz.
func (g *Graph) Graph() string {
	var b strings.Builder
	b.WriteString("digraph {\n  rankdir = LR\n  node [shape = box]\n")
	for _, name := range g.Order {
		fmt.Fprintf(&b, "  %q [label = \"%s\\n%s\"]\n", name, name, g.Project.Stacks[name].Source)
	}
	for _, name := range g.Order {
		for _, need := range g.Needs[name] {
			fmt.Fprintf(&b, "  %q -> %q\n", need, name)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// traversals are the references of an expression, those of the locals it uses
// included. seen guards against locals that need themselves.
func traversals(p *projects.Project, expr hcl.Expression, seen map[*configs.Local]bool) []hcl.Traversal {
	out := expr.Variables()
	for _, t := range out[:len(out):len(out)] {
		l := p.Locals[second(t)]
		if t.RootName() != "local" || l == nil || seen[l] {
			continue
		}
		if seen == nil {
			seen = map[*configs.Local]bool{}
		}
		seen[l] = true
		out = append(out, traversals(p, l.Expr, seen)...)
	}
	return out
}

// second is the name behind the root of a traversal; empty where there is none.
func second(t hcl.Traversal) string { return nameAt(t, 1) }

func nameAt(t hcl.Traversal, i int) string {
	if len(t) <= i {
		return ""
	}
	switch step := t[i].(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if step.Key.Type().FriendlyName() == "string" {
			return step.Key.AsString()
		}
	}
	return ""
}

// suggestion proposes a name that looks like what was written.
func suggestion(name string, names []string) string {
	for _, other := range names {
		if strings.EqualFold(name, other) || strings.HasPrefix(other, name) || strings.HasPrefix(name, other) {
			return fmt.Sprintf(" Did you mean %q?", other)
		}
	}
	return ""
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
