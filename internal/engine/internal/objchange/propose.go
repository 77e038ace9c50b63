// Package objchange compares the objects that travel between the engine and a
// provider while one change is planned and applied: what is proposed, what a
// provider may plan, and what it may return after doing it.
//
// The rules are those of Terraform's resource instance change lifecycle. All
// values are unmarked and conform to the schema's implied type.
package objchange

import (
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// ProposedNew merges prior and config into the object that a provider is asked
// to plan: what the configuration says wins; an attribute that it leaves out and
// the provider may compute keeps its prior value. A null prior proposes a
// creation, in which such attributes are null for the provider to mark unknown.
func ProposedNew(schema *providers.Block, prior, config cty.Value) cty.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	if prior.IsNull() {
		prior = nullObject(schema)
	}
	return proposeBlock(schema, prior, config)
}

// nullObject is an object of the schema's type with everything absent.
func nullObject(schema *providers.Block) cty.Value {
	attrs := make(map[string]cty.Value, len(schema.Attributes)+len(schema.BlockTypes))
	ty := schema.ImpliedType()
	for name, aty := range ty.AttributeTypes() {
		attrs[name] = cty.NullVal(aty)
	}
	return cty.ObjectVal(attrs)
}

func proposeBlock(schema *providers.Block, prior, config cty.Value) cty.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	if prior.IsNull() || !prior.IsKnown() {
		prior = nullObject(schema)
	}
	attrs := proposeAttributes(schema.Attributes, prior, config)
	for name, nested := range schema.BlockTypes {
		attrs[name] = proposeNested(nestedBlock{nested}, prior.GetAttr(name), config.GetAttr(name))
	}
	return cty.ObjectVal(attrs)
}

func proposeAttributes(attrs map[string]*providers.Attribute, prior, config cty.Value) map[string]cty.Value {
	out := make(map[string]cty.Value, len(attrs)+4)
	for name, a := range attrs {
		out[name] = proposeAttribute(a, attrOrNull(prior, name, config), config.GetAttr(name))
	}
	return out
}

// attrOrNull reads an attribute of an object that may be null.
func attrOrNull(obj cty.Value, name string, like cty.Value) cty.Value {
	if obj.IsNull() {
		return cty.NullVal(like.GetAttr(name).Type())
	}
	if !obj.IsKnown() {
		return cty.UnknownVal(like.GetAttr(name).Type())
	}
	return obj.GetAttr(name)
}

func proposeAttribute(a *providers.Attribute, prior, config cty.Value) cty.Value {
	switch {
	case a.WriteOnly:
		return cty.NullVal(config.Type())
	case a.Computed && config.IsNull():
		if a.NestedType != nil && a.Optional && !prior.IsNull() && prior.IsKnown() && heldConfig(a.NestedType, prior) {
			// The prior value was written by the configuration; leaving the
			// attribute out now removes it.
			return config
		}
		return prior
	case a.NestedType != nil:
		return proposeNested(nestedAttribute{a.NestedType}, prior, config)
	}
	return config
}

// heldConfig reports whether some part of a nested attribute's prior value can
// only have come from configuration.
func heldConfig(t *providers.NestedObject, prior cty.Value) bool {
	found := false
	eachElement(t.Nesting, prior, func(elem cty.Value) {
		if elem.IsNull() || !elem.IsKnown() {
			return
		}
		for name, a := range t.Attributes {
			v := elem.GetAttr(name)
			if v.IsNull() {
				continue
			}
			if !a.Computed || (a.NestedType != nil && v.IsKnown() && heldConfig(a.NestedType, v)) {
				found = true
			}
		}
	})
	return found
}

func eachElement(nesting providers.Nesting, v cty.Value, f func(cty.Value)) {
	if v.IsNull() || !v.IsKnown() {
		return
	}
	if nesting == providers.NestingSingle || nesting == providers.NestingGroup {
		f(v)
		return
	}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		f(e)
	}
}

// nested is what nested blocks and nested attributes have in common.
type nested interface {
	nesting() providers.Nesting
	propose(prior, config cty.Value) cty.Value
	// comparable gives the form in which a prior set element is recognised: what
	// the provider may have computed is null where config leaves it out.
	comparable(prior, config cty.Value) cty.Value
}

type nestedBlock struct{ *providers.NestedBlock }

func (n nestedBlock) nesting() providers.Nesting { return n.Nesting }
func (n nestedBlock) propose(prior, config cty.Value) cty.Value {
	return proposeBlock(&n.Block, prior, config)
}
func (n nestedBlock) comparable(prior, config cty.Value) cty.Value {
	return comparableBlock(&n.Block, prior, config)
}

type nestedAttribute struct{ *providers.NestedObject }

func (n nestedAttribute) nesting() providers.Nesting { return n.Nesting }
func (n nestedAttribute) propose(prior, config cty.Value) cty.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	return cty.ObjectVal(proposeAttributes(n.Attributes, prior, config))
}
func (n nestedAttribute) comparable(prior, config cty.Value) cty.Value {
	if prior.IsNull() || config.IsNull() || !prior.IsKnown() || !config.IsKnown() {
		return prior
	}
	return cty.ObjectVal(comparableAttributes(n.Attributes, prior, config))
}

func proposeNested(n nested, prior, config cty.Value) cty.Value {
	if config.IsNull() || !config.IsKnown() {
		return config
	}
	switch n.nesting() {
	case providers.NestingSingle, providers.NestingGroup:
		return n.propose(prior, config)
	case providers.NestingList:
		return proposeList(n, prior, config)
	case providers.NestingMap:
		return proposeMap(n, prior, config)
	case providers.NestingSet:
		return proposeSet(n, prior, config)
	}
	return config
}

func proposeList(n nested, prior, config cty.Value) cty.Value {
	count := config.LengthInt()
	if count == 0 {
		return config
	}
	vals := make([]cty.Value, 0, count)
	i := 0
	for it := config.ElementIterator(); it.Next(); i++ {
		_, c := it.Element()
		vals = append(vals, n.propose(indexOrNull(prior, cty.NumberIntVal(int64(i)), c.Type()), c))
	}
	if config.Type().IsTupleType() {
		return cty.TupleVal(vals)
	}
	return cty.ListVal(vals)
}

func proposeMap(n nested, prior, config cty.Value) cty.Value {
	if config.LengthInt() == 0 {
		return config
	}
	vals := make(map[string]cty.Value, config.LengthInt())
	isObject := config.Type().IsObjectType()
	for it := config.ElementIterator(); it.Next(); {
		k, c := it.Element()
		var p cty.Value
		switch {
		case prior.IsNull() || !prior.IsKnown():
			p = cty.NullVal(c.Type())
		case prior.Type().IsObjectType():
			p = cty.NullVal(c.Type())
			if prior.Type().HasAttribute(k.AsString()) {
				p = prior.GetAttr(k.AsString())
			}
		default:
			p = indexOrNull(prior, k, c.Type())
		}
		vals[k.AsString()] = n.propose(p, c)
	}
	if isObject {
		return cty.ObjectVal(vals)
	}
	return cty.MapVal(vals)
}

func indexOrNull(coll, key cty.Value, ty cty.Type) cty.Value {
	if coll.IsNull() || !coll.IsKnown() {
		return cty.NullVal(ty)
	}
	if has := coll.HasIndex(key); !has.IsKnown() || has.False() {
		return cty.NullVal(ty)
	}
	return coll.Index(key)
}

// proposeSet pairs every configured element with the first unused prior element
// that it could be.
func proposeSet(n nested, prior, config cty.Value) cty.Value {
	if config.LengthInt() == 0 {
		return config
	}
	var priors []cty.Value
	eachElement(providers.NestingSet, prior, func(v cty.Value) { priors = append(priors, v) })
	used := make([]bool, len(priors))
	vals := make([]cty.Value, 0, config.LengthInt())
	for it := config.ElementIterator(); it.Next(); {
		_, c := it.Element()
		match := cty.NullVal(c.Type())
		for i, p := range priors {
			if used[i] {
				continue
			}
			if n.comparable(p, c).RawEquals(c) {
				used[i], match = true, p
				break
			}
		}
		vals = append(vals, n.propose(match, c))
	}
	return cty.SetVal(vals)
}

func comparableBlock(schema *providers.Block, prior, config cty.Value) cty.Value {
	if prior.IsNull() || config.IsNull() || !prior.IsKnown() || !config.IsKnown() {
		return prior
	}
	attrs := comparableAttributes(schema.Attributes, prior, config)
	for name, nb := range schema.BlockTypes {
		attrs[name] = comparableNested(nestedBlock{nb}, prior.GetAttr(name), config.GetAttr(name))
	}
	return cty.ObjectVal(attrs)
}

func comparableAttributes(attrs map[string]*providers.Attribute, prior, config cty.Value) map[string]cty.Value {
	out := make(map[string]cty.Value, len(attrs))
	for name, a := range attrs {
		p, c := prior.GetAttr(name), config.GetAttr(name)
		switch {
		case a.WriteOnly:
			out[name] = c
		case a.Computed && c.IsNull():
			out[name] = c
		case a.NestedType != nil:
			out[name] = comparableNested(nestedAttribute{a.NestedType}, p, c)
		default:
			out[name] = p
		}
	}
	return out
}

func comparableNested(n nested, prior, config cty.Value) cty.Value {
	if prior.IsNull() || config.IsNull() || !prior.IsKnown() || !config.IsKnown() {
		return prior
	}
	switch n.nesting() {
	case providers.NestingSingle, providers.NestingGroup:
		return n.comparable(prior, config)
	case providers.NestingSet:
		if prior.LengthInt() != config.LengthInt() || prior.LengthInt() == 0 {
			return prior
		}
		// An element of the prior set is recognised if some element of the
		// configured one could be it.
		var vals []cty.Value
		eachElement(providers.NestingSet, prior, func(p cty.Value) {
			best := p
			eachElement(providers.NestingSet, config, func(c cty.Value) {
				if form := n.comparable(p, c); form.RawEquals(c) {
					best = form
				}
			})
			vals = append(vals, best)
		})
		return cty.SetVal(vals)
	}
	if prior.LengthInt() != config.LengthInt() || prior.LengthInt() == 0 || !prior.Type().Equals(config.Type()) {
		return prior
	}
	if prior.Type().IsListType() || prior.Type().IsTupleType() {
		vals := make([]cty.Value, 0, prior.LengthInt())
		for i := 0; i < prior.LengthInt(); i++ {
			idx := cty.NumberIntVal(int64(i))
			vals = append(vals, n.comparable(prior.Index(idx), config.Index(idx)))
		}
		if prior.Type().IsTupleType() {
			return cty.TupleVal(vals)
		}
		return cty.ListVal(vals)
	}
	if prior.Type().IsMapType() {
		vals := map[string]cty.Value{}
		for it := prior.ElementIterator(); it.Next(); {
			k, p := it.Element()
			c := indexOrNull(config, k, p.Type())
			vals[k.AsString()] = n.comparable(p, c)
		}
		return cty.MapVal(vals)
	}
	return prior
}

// PlannedData is the object that stands for a data source that will be read
// during apply: the configuration, with unknowns for what is computed.
func PlannedData(schema *providers.Block, config cty.Value) cty.Value {
	return unknownComputed(schema, config)
}

func unknownComputed(schema *providers.Block, v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	attrs := make(map[string]cty.Value, len(schema.Attributes)+len(schema.BlockTypes))
	for name, a := range schema.Attributes {
		attrs[name] = unknownAttribute(a, v.GetAttr(name))
	}
	for name, nb := range schema.BlockTypes {
		attrs[name] = mapElements(nb.Nesting, v.GetAttr(name), func(e cty.Value) cty.Value { return unknownComputed(&nb.Block, e) })
	}
	return cty.ObjectVal(attrs)
}

func unknownAttribute(a *providers.Attribute, v cty.Value) cty.Value {
	if a.Computed && v.IsNull() {
		return cty.UnknownVal(v.Type())
	}
	if a.NestedType == nil || v.IsNull() || !v.IsKnown() {
		return v
	}
	return mapElements(a.NestedType.Nesting, v, func(e cty.Value) cty.Value {
		if e.IsNull() || !e.IsKnown() {
			return e
		}
		attrs := make(map[string]cty.Value, len(a.NestedType.Attributes))
		for name, na := range a.NestedType.Attributes {
			attrs[name] = unknownAttribute(na, e.GetAttr(name))
		}
		return cty.ObjectVal(attrs)
	})
}

// mapElements applies f to every nested object of a value.
func mapElements(nesting providers.Nesting, v cty.Value, f func(cty.Value) cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	if nesting == providers.NestingSingle || nesting == providers.NestingGroup {
		return f(v)
	}
	if v.LengthInt() == 0 {
		return v
	}
	ty := v.Type()
	if ty.IsMapType() || ty.IsObjectType() {
		vals := make(map[string]cty.Value, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			vals[k.AsString()] = f(e)
		}
		if ty.IsObjectType() {
			return cty.ObjectVal(vals)
		}
		return cty.MapVal(vals)
	}
	vals := make([]cty.Value, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		vals = append(vals, f(e))
	}
	switch {
	case ty.IsSetType():
		return cty.SetVal(vals)
	case ty.IsTupleType():
		return cty.TupleVal(vals)
	}
	return cty.ListVal(vals)
}
