package engine

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// ignoreChanges puts the prior values back at the paths of
// lifecycle.ignore_changes. A creation ignores nothing.
func ignoreChanges(r *configs.Resource, prior, config cty.Value, block *providers.Block) (cty.Value, diag.List) {
	if prior.IsNull() || config.IsNull() || (!r.IgnoreAll && len(r.IgnoreChanges) == 0) {
		return config, nil
	}
	if r.IgnoreAll {
		return ignoreEverything(prior, config, block), nil
	}
	var diags diag.List
	for _, t := range r.IgnoreChanges {
		path := traversalPath(relativeTraversal(t))
		next, err := putBack(prior, config, path)
		if err != nil {
			diags = append(diags, diag.ErrorAt(t.SourceRange(), "Invalid ignore_changes", "%s", err)...)
			continue
		}
		config = next
	}
	return config, diags
}

// ignoreEverything keeps what was, except that attributes only a provider can
// set stay as the configuration has them: absent, for it to compute.
func ignoreEverything(prior, config cty.Value, block *providers.Block) cty.Value {
	attrs := prior.AsValueMap()
	for name, a := range block.Attributes {
		if (a.Computed && !a.Optional) || a.WriteOnly {
			attrs[name] = config.GetAttr(name)
		}
	}
	return cty.ObjectVal(attrs)
}

// ignoredMarks returns what is sensitive in an object some of whose changes are
// ignored: where they are, what was (the values are the old ones), elsewhere
// what the configuration says.
func ignoredMarks(r *configs.Resource, prior cty.Value, config []cty.Path) []cty.Path {
	if prior == cty.NilVal || prior.IsNull() || (!r.IgnoreAll && len(r.IgnoreChanges) == 0) {
		return config
	}
	ignored := []cty.Path{{}}
	if !r.IgnoreAll {
		ignored = ignored[:0]
		for _, t := range r.IgnoreChanges {
			ignored = append(ignored, traversalPath(relativeTraversal(t)))
		}
	}
	var out []cty.Path
	for _, path := range config {
		if !slices.ContainsFunc(ignored, func(at cty.Path) bool { return within(path, at) }) {
			out = append(out, path)
		}
	}
	_, before := prior.UnmarkDeepWithPaths()
	for _, pm := range before {
		for _, at := range ignored {
			switch {
			case within(pm.Path, at):
				out = append(out, pm.Path)
			case within(at, pm.Path):
				out = append(out, at) // a part of something secret
			}
		}
	}
	if r.Provider.IsBuiltIn() {
		out = append(out, echoed(r.Addr, out)...)
	}
	return out
}

// within reports whether a path is another one or leads into it. Elements of
// maps may be written either way.
func within(path, whole cty.Path) bool {
	if len(path) < len(whole) {
		return false
	}
	for i := range whole {
		name := stepName(whole[i])
		if stepName(path[i]) != name || name == "" && !path[i:i+1].Equals(whole[i:i+1]) {
			return false
		}
	}
	return true
}

// stepName is the name of an attribute or of a map's element, "" for others.
func stepName(step cty.PathStep) string {
	switch step := step.(type) {
	case cty.GetAttrStep:
		return step.Name
	case cty.IndexStep:
		if step.Key.Type() == cty.String && step.Key.IsKnown() {
			return step.Key.AsString()
		}
	}
	return ""
}

// relativeTraversal makes the first step an attribute step like the others.
func relativeTraversal(t hcl.Traversal) hcl.Traversal {
	if len(t) == 0 {
		return t
	}
	if root, ok := t[0].(hcl.TraverseRoot); ok {
		out := append(hcl.Traversal{hcl.TraverseAttr{Name: root.Name, SrcRange: root.SrcRange}}, t[1:]...)
		return out
	}
	return t
}

// putBack returns config with the value at path taken from prior. A map element
// that only one of them has appears or disappears accordingly.
func putBack(prior, config cty.Value, path cty.Path) (cty.Value, error) {
	if len(path) == 0 {
		return prior, nil
	}
	if !config.IsKnown() || !prior.IsKnown() {
		return config, nil // what is not known has no parts to put back
	}
	if key, ok := mapKey(config.Type(), path); ok {
		return putBackElement(prior, config, key)
	}
	if config.IsNull() || prior.IsNull() {
		return config, nil
	}
	switch step := path[0].(type) {
	case cty.GetAttrStep:
		if config.Type().IsMapType() {
			return putBackIndex(prior, config, cty.StringVal(step.Name), path[1:])
		}
		if !config.Type().IsObjectType() || !config.Type().HasAttribute(step.Name) {
			return config, fmt.Errorf("this object has no attribute %q", step.Name)
		}
		inner, err := putBack(prior.GetAttr(step.Name), config.GetAttr(step.Name), path[1:])
		if err != nil {
			return config, err
		}
		attrs := config.AsValueMap()
		attrs[step.Name] = inner
		return cty.ObjectVal(attrs), nil
	case cty.IndexStep:
		return putBackIndex(prior, config, step.Key, path[1:])
	}
	return config, nil
}

// mapKey reports whether a path names an element of a map of this type.
func mapKey(ty cty.Type, path cty.Path) (string, bool) {
	if !ty.IsMapType() || len(path) != 1 {
		return "", false
	}
	switch step := path[0].(type) {
	case cty.GetAttrStep:
		return step.Name, true
	case cty.IndexStep:
		if step.Key.Type() == cty.String {
			return step.Key.AsString(), true
		}
	}
	return "", false
}

// putBackElement takes one element of a map from prior, or away where prior has
// none. A map that is null counts as empty, and stays null where nothing comes.
func putBackElement(prior, config cty.Value, key string) (cty.Value, error) {
	elements := map[string]cty.Value{}
	if !config.IsNull() {
		for name, v := range config.AsValueMap() {
			elements[name] = v
		}
	}
	delete(elements, key)
	if !prior.IsNull() && prior.HasIndex(cty.StringVal(key)).True() {
		elements[key] = prior.Index(cty.StringVal(key))
	}
	switch {
	case len(elements) > 0:
		return cty.MapVal(elements), nil
	case config.IsNull():
		return config, nil
	}
	return cty.MapValEmpty(config.Type().ElementType()), nil
}

func putBackIndex(prior, config, key cty.Value, rest cty.Path) (cty.Value, error) {
	ty := config.Type()
	switch {
	case ty.IsMapType() && key.Type() == cty.String:
		vals := config.AsValueMap()
		if vals == nil {
			vals = map[string]cty.Value{}
		}
		name := key.AsString()
		inPrior := prior.HasIndex(key).True()
		cur, inConfig := vals[name]
		switch {
		case inPrior && inConfig:
			inner, err := putBack(prior.Index(key), cur, rest)
			if err != nil {
				return config, err
			}
			vals[name] = inner
		case inPrior:
			vals[name] = prior.Index(key)
		default:
			delete(vals, name)
		}
		if len(vals) == 0 {
			return cty.MapValEmpty(ty.ElementType()), nil
		}
		return cty.MapVal(vals), nil
	case (ty.IsListType() || ty.IsTupleType()) && key.Type() == cty.Number:
		if !config.HasIndex(key).True() || !prior.HasIndex(key).True() {
			return config, nil
		}
		i, _ := key.AsBigFloat().Int64()
		vals := config.AsValueSlice()
		inner, err := putBack(prior.Index(key), vals[i], rest)
		if err != nil {
			return config, err
		}
		vals[i] = inner
		if ty.IsTupleType() {
			return cty.TupleVal(vals), nil
		}
		return cty.ListVal(vals), nil
	case ty.IsObjectType() && key.Type() == cty.String:
		return putBack(prior, config, append(cty.Path{cty.GetAttrStep{Name: key.AsString()}}, rest...))
	}
	return config, nil
}

// replaceTriggered reports whether something named in replace_triggered_by is
// planned to change in the way that triggers: a whole resource by update or
// replacement, an attribute by a difference in its value.
func (p *planner) replaceTriggered(rs *resourceScope, rep repetition) (bool, diag.List) {
	var diags diag.List
	for _, expr := range rs.config.ReplaceTriggeredBy {
		ref, d := triggerReference(rs.scope, expr, rep)
		diags = append(diags, d...)
		if ref == nil {
			continue
		}
		p.mu.Lock()
		for _, c := range p.changesOf[addrs.AbsResource{Module: rs.addr.Module, Resource: ref.Resource}] {
			if ref.Key != addrs.NoKey && c.Object.Instance.Key != ref.Key {
				continue
			}
			if triggers(c, ref) {
				p.mu.Unlock()
				return true, diags
			}
		}
		p.mu.Unlock()
	}
	return false, diags
}

// triggerReference resolves index expressions over count and each.
func triggerReference(s *scope, expr hcl.Expression, rep repetition) (*addrs.Reference, diag.List) {
	t, hclDiags := hcl.AbsTraversalForExpr(expr)
	if !hclDiags.HasErrors() {
		refs, diags := lang.References([]hcl.Traversal{t})
		if len(refs) == 0 {
			return nil, diags
		}
		return &refs[0], diags
	}
	traversal, diags := dynamicTraversal(s, expr, rep)
	if diags.HasErrors() {
		return nil, diags
	}
	refs, d := lang.References([]hcl.Traversal{traversal})
	if len(refs) == 0 {
		return nil, append(diags, d...)
	}
	return &refs[0], d
}

// triggers reports whether a planned change is one that the reference is about.
func triggers(c *plans.Change, ref *addrs.Reference) bool {
	if len(ref.Remaining) == 0 {
		return c.Action == plans.Update || c.Action.IsReplace()
	}
	if c.Action == plans.NoOp {
		return false
	}
	path := traversalPath(ref.Remaining)
	before, _ := c.Before.UnmarkDeep()
	after, _ := c.After.UnmarkDeep()
	if before.IsNull() {
		return false // the object is new: nothing was there to be replaced for
	}
	a, errA := path.Apply(before)
	b, errB := path.Apply(after)
	if errA != nil || errB != nil {
		return (errA == nil) != (errB == nil)
	}
	eq := a.Equals(b)
	return !eq.IsKnown() || eq.False()
}
