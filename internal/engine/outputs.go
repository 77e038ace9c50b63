package engine

import (
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// outputChanges compares the root module's outputs with those stored.
func (p *planner) outputChanges() []*plans.OutputChange {
	var out []*plans.OutputChange
	root := p.in.Config.Root
	for _, name := range sortedKeys(root.Outputs) {
		decl := root.Outputs[name]
		if decl.Ephemeral {
			continue
		}
		c := &plans.OutputChange{Name: name, Sensitive: decl.Sensitive, Description: decl.Description, Before: priorOutput(p.in.Prior.Outputs[name])}
		if p.in.Mode == plans.Destroy {
			if c.Before.IsNull() {
				continue
			}
			c.After, c.Action = cty.NullVal(cty.DynamicPseudoType), plans.Delete
			out = append(out, c)
			continue
		}
		if p.included != nil && !p.outputIncluded(name) {
			continue
		}
		after, diags := p.ev.root.output(name)
		if diags.HasErrors() {
			continue
		}
		c.After = after
		c.Action = outputAction(p.in.Prior.Outputs[name] != nil, c.Before, after, p.in.Prior.Outputs[name], decl.Sensitive)
		out = append(out, c)
	}
	for _, name := range sortedKeys(p.in.Prior.Outputs) {
		if _, ok := root.Outputs[name]; !ok {
			out = append(out, &plans.OutputChange{
				Name: name, Action: plans.Delete, Sensitive: p.in.Prior.Outputs[name].Sensitive,
				Before: priorOutput(p.in.Prior.Outputs[name]), After: cty.NullVal(cty.DynamicPseudoType),
			})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (p *planner) outputIncluded(name string) bool {
	id, ok := p.graph.index[nodeKey{kind: nodeOutput, name: name}]
	return ok && p.included[id]
}

func outputAction(existed bool, before, after cty.Value, stored *states.Output, sensitive bool) plans.Action {
	bareBefore, _ := before.UnmarkDeep()
	bareAfter, _ := after.UnmarkDeep()
	switch {
	case !existed && bareAfter.IsKnown() && bareAfter.IsNull():
		return plans.NoOp
	case !existed:
		return plans.Create
	case bareAfter.IsKnown() && bareAfter.IsNull() && !bareBefore.IsNull():
		return plans.Delete
	case bareAfter.RawEquals(bareBefore) && stored.Sensitive == sensitive:
		return plans.NoOp
	}
	return plans.Update
}

// priorOutput decodes a stored output; null where there is none.
func priorOutput(o *states.Output) cty.Value {
	if o == nil {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	v, err := plans.OutputValue(o)
	if err != nil {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return v
}

// relevantAttributes lists the resource attributes that changed resources and
// outputs refer to, directly or through locals, variables and outputs.
func (p *planner) relevantAttributes(outputs []*plans.OutputChange) []plans.RelevantAttribute {
	seen := map[string]bool{}
	var out []plans.RelevantAttribute
	add := func(s *scope, ref *addrs.Reference) {
		path := traversalPath(ref.Remaining)
		rel := plans.RelevantAttribute{
			Resource:  addrs.ResourceInstance{Module: s.addr, Resource: ref.Resource, Key: ref.Key},
			Attribute: path,
		}
		key := rel.Resource.String() + describePath(path)
		if !seen[key] {
			seen[key] = true
			out = append(out, rel)
		}
	}
	visited := map[string]bool{}
	var follow func(s *scope, refs []addrs.Reference)
	follow = func(s *scope, refs []addrs.Reference) {
		for i := range refs {
			p.followReference(s, &refs[i], add, follow, visited)
		}
	}
	for _, c := range p.changes {
		if c.Action == plans.NoOp || c.Action == plans.Delete || c.Action == plans.Forget {
			continue
		}
		s := p.ev.scopeAt(c.Object.Instance.Module)
		id, ok := p.graph.index[nodeKey{kind: nodeResource, module: c.Object.Instance.Module.Module(), resource: c.Object.Instance.Resource}]
		if s == nil || !ok {
			continue
		}
		key := string(s.addr) + "|" + c.Object.Instance.Resource.String()
		if !visited[key] {
			visited[key] = true
			follow(s, p.graph.nodes[id].refs)
			for _, e := range p.graph.nodes[id].resource.ReplaceTriggeredBy {
				refs, _ := lang.ExprReferences(e)
				follow(s, refs)
			}
		}
	}
	for _, change := range outputs {
		if o := p.in.Config.Root.Outputs[change.Name]; o != nil && change.Action != plans.NoOp {
			refs, _ := lang.ExprReferences(o.Expr)
			follow(p.ev.root, refs)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Resource != out[j].Resource {
			return out[i].Resource.Less(out[j].Resource)
		}
		return describePath(out[i].Attribute) < describePath(out[j].Attribute)
	})
	return out
}

// followReference resolves one reference to resource attributes.
func (p *planner) followReference(s *scope, ref *addrs.Reference, add func(*scope, *addrs.Reference), follow func(*scope, []addrs.Reference), visited map[string]bool) {
	once := func(what string, in *scope, expr hcl.Expression) {
		key := string(in.addr) + "|" + what
		if expr == nil || visited[key] {
			return
		}
		visited[key] = true
		refs, _ := lang.ExprReferences(expr)
		follow(in, refs)
	}
	if ref.Kind == addrs.RefResource {
		add(s, ref)
	}
	for _, d := range s.definitions(ref) {
		once(d.name, d.scope, d.expr)
	}
}

// traversalPath turns the rest of a reference into a path, as far as it is
// constant.
func traversalPath(t hcl.Traversal) cty.Path {
	var path cty.Path
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			path = append(path, cty.GetAttrStep{Name: s.Name})
		case hcl.TraverseIndex:
			path = append(path, cty.IndexStep{Key: s.Key})
		default:
			return path
		}
	}
	return path
}
