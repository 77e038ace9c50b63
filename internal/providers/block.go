package providers

import (
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"
)

// ImpliedType returns the object type of the block's values. It is computed
// once; schemas are immutable.
func (b *Block) ImpliedType() cty.Type {
	b.derived.typeOnce.Do(func() {
		attrs := make(map[string]cty.Type, len(b.Attributes)+len(b.BlockTypes))
		for name, a := range b.Attributes {
			attrs[name] = a.ImpliedType()
		}
		for name, nested := range b.BlockTypes {
			attrs[name] = nested.impliedType()
		}
		b.derived.typ = cty.Object(attrs)
	})
	return b.derived.typ
}

// impliedType is the type of all blocks of this kind together. Lists and maps
// of blocks with dynamic attributes have no element type in common: their type
// is known only with their value.
func (n *NestedBlock) impliedType() cty.Type {
	element := n.Block.ImpliedType()
	switch n.Nesting {
	case NestingList:
		if element.HasDynamicTypes() {
			return cty.DynamicPseudoType
		}
		return cty.List(element)
	case NestingMap:
		if element.HasDynamicTypes() {
			return cty.DynamicPseudoType
		}
		return cty.Map(element)
	case NestingSet:
		return cty.Set(element)
	}
	return element
}

// ImpliedType returns the type of the attribute's values.
func (a *Attribute) ImpliedType() cty.Type {
	if a.NestedType == nil {
		return a.Type
	}
	return a.NestedType.objectType(false)
}

// configType is ImpliedType with everything optional that a configuration may
// leave out.
func (a *Attribute) configType() cty.Type {
	if a.NestedType == nil {
		return a.Type
	}
	return a.NestedType.objectType(true)
}

func (n *NestedObject) objectType(forConfig bool) cty.Type {
	attrs := make(map[string]cty.Type, len(n.Attributes))
	var optional []string
	for name, a := range n.Attributes {
		if forConfig {
			attrs[name] = a.configType()
			if !a.Required {
				optional = append(optional, name)
			}
		} else {
			attrs[name] = a.ImpliedType()
		}
	}
	object := cty.Object(attrs)
	if len(optional) > 0 {
		object = cty.ObjectWithOptionalAttrs(attrs, optional)
	}
	switch n.Nesting {
	case NestingList:
		return cty.List(object)
	case NestingSet:
		return cty.Set(object)
	case NestingMap:
		return cty.Map(object)
	}
	return object
}

// DecoderSpec returns how to decode a body to a value of the implied type.
func (b *Block) DecoderSpec() hcldec.Spec {
	b.derived.specOnce.Do(func() {
		spec := make(hcldec.ObjectSpec, len(b.Attributes)+len(b.BlockTypes))
		for name, a := range b.Attributes {
			spec[name] = &hcldec.AttrSpec{Name: name, Type: a.configType(), Required: a.Required}
		}
		for name, nested := range b.BlockTypes {
			spec[name] = nested.decoderSpec(name)
		}
		b.derived.spec = spec
	})
	return b.derived.spec
}

func (n *NestedBlock) decoderSpec(name string) hcldec.Spec {
	inner := n.Block.DecoderSpec()
	dynamic := n.Block.ImpliedType().HasDynamicTypes()
	switch n.Nesting {
	case NestingSingle:
		return &hcldec.BlockSpec{TypeName: name, Nested: inner, Required: n.MinItems == 1}
	case NestingGroup:
		return &hcldec.DefaultSpec{
			Primary: &hcldec.BlockSpec{TypeName: name, Nested: inner},
			Default: &hcldec.LiteralSpec{Value: n.Block.EmptyValue()},
		}
	case NestingSet:
		return &hcldec.BlockSetSpec{TypeName: name, Nested: inner, MinItems: n.MinItems, MaxItems: n.MaxItems}
	case NestingMap:
		if dynamic {
			return &hcldec.BlockObjectSpec{TypeName: name, Nested: inner, LabelNames: []string{"key"}}
		}
		return &hcldec.BlockMapSpec{TypeName: name, Nested: inner, LabelNames: []string{"key"}}
	}
	if dynamic {
		return &hcldec.BlockTupleSpec{TypeName: name, Nested: inner, MinItems: n.MinItems, MaxItems: n.MaxItems}
	}
	return &hcldec.BlockListSpec{TypeName: name, Nested: inner, MinItems: n.MinItems, MaxItems: n.MaxItems}
}

// EmptyValue returns the value of an empty body: null attributes, no blocks.
func (b *Block) EmptyValue() cty.Value {
	attrs := make(map[string]cty.Value, len(b.Attributes)+len(b.BlockTypes))
	for name, a := range b.Attributes {
		attrs[name] = cty.NullVal(a.ImpliedType())
	}
	for name, nested := range b.BlockTypes {
		attrs[name] = nested.EmptyValue()
	}
	return cty.ObjectVal(attrs)
}

// EmptyValue returns the value of this kind of block where none is written.
func (n *NestedBlock) EmptyValue() cty.Value {
	element := n.Block.ImpliedType()
	switch n.Nesting {
	case NestingGroup:
		return n.Block.EmptyValue()
	case NestingList:
		if element.HasDynamicTypes() {
			return cty.EmptyTupleVal
		}
		return cty.ListValEmpty(element)
	case NestingSet:
		return cty.SetValEmpty(element)
	case NestingMap:
		if element.HasDynamicTypes() {
			return cty.EmptyObjectVal
		}
		return cty.MapValEmpty(element)
	}
	return cty.NullVal(element)
}

// ContainsSensitive reports whether any attribute, however deep, is sensitive.
func (b *Block) ContainsSensitive() bool {
	b.derived.sensOnce.Do(func() {
		b.derived.sens = anyAttribute(b, func(a *Attribute) bool { return a.Sensitive })
	})
	return b.derived.sens
}

// ContainsWriteOnly reports whether any attribute, however deep, is write-only.
func (b *Block) ContainsWriteOnly() bool {
	b.derived.woOnce.Do(func() {
		b.derived.wo = anyAttribute(b, func(a *Attribute) bool { return a.WriteOnly })
	})
	return b.derived.wo
}

func anyAttribute(b *Block, is func(*Attribute) bool) bool {
	if anyInAttributes(b.Attributes, is) {
		return true
	}
	for _, nested := range b.BlockTypes {
		if anyAttribute(&nested.Block, is) {
			return true
		}
	}
	return false
}

func anyInAttributes(attrs map[string]*Attribute, is func(*Attribute) bool) bool {
	for _, a := range attrs {
		if is(a) || (a.NestedType != nil && anyInAttributes(a.NestedType.Attributes, is)) {
			return true
		}
	}
	return false
}

// SensitivePaths returns a mark for every sensitive attribute present in v, a
// value of the block's type without marks. What lies inside a set has no path
// of its own: the set is marked.
func (b *Block) SensitivePaths(v cty.Value, mark any) []cty.PathValueMarks {
	if !b.ContainsSensitive() {
		return nil
	}
	f := sensitiveFinder{mark: mark}
	f.block(b, v, nil)
	return f.found
}

type sensitiveFinder struct {
	mark  any
	found []cty.PathValueMarks
}

func (f *sensitiveFinder) add(path cty.Path) {
	f.found = append(f.found, cty.PathValueMarks{Path: path.Copy(), Marks: cty.NewValueMarks(f.mark)})
}

func (f *sensitiveFinder) block(b *Block, v cty.Value, path cty.Path) {
	if v.IsNull() || !v.IsKnown() {
		return
	}
	f.attributes(b.Attributes, v, path)
	for name, nested := range b.BlockTypes {
		if nested.Block.ContainsSensitive() {
			f.elements(v.GetAttr(name), path.GetAttr(name), nested.Nesting, func(v cty.Value, path cty.Path) {
				f.block(&nested.Block, v, path)
			})
		}
	}
}

func (f *sensitiveFinder) attributes(attrs map[string]*Attribute, v cty.Value, path cty.Path) {
	if v.IsNull() || !v.IsKnown() {
		return
	}
	for name, a := range attrs {
		switch {
		case a.Sensitive:
			f.add(path.GetAttr(name))
		case a.NestedType != nil && anyInAttributes(a.NestedType.Attributes, func(a *Attribute) bool { return a.Sensitive }):
			f.elements(v.GetAttr(name), path.GetAttr(name), a.NestedType.Nesting, func(v cty.Value, path cty.Path) {
				f.attributes(a.NestedType.Attributes, v, path)
			})
		}
	}
}

// elements calls each for every nested object of a value.
func (f *sensitiveFinder) elements(v cty.Value, path cty.Path, nesting Nesting, each func(cty.Value, cty.Path)) {
	if v.IsNull() || !v.IsKnown() {
		return
	}
	switch nesting {
	case NestingSingle, NestingGroup:
		each(v, path)
	case NestingSet:
		if v.LengthInt() > 0 {
			f.add(path)
		}
	default:
		for it := v.ElementIterator(); it.Next(); {
			key, element := it.Element()
			if v.Type().IsObjectType() {
				each(element, path.GetAttr(key.AsString()))
			} else {
				each(element, path.Index(key))
			}
		}
	}
}

// AttributeByPath returns the attribute a path leads to, or nil where it leads
// to a block, into the inside of an attribute without nested schema, or nowhere.
func (b *Block) AttributeByPath(path cty.Path) *Attribute {
	attrs, blocks := b.Attributes, b.BlockTypes
	for i, step := range path {
		get, ok := step.(cty.GetAttrStep)
		if !ok {
			continue // an index selects one of several nested objects
		}
		if a, ok := attrs[get.Name]; ok {
			if i == len(path)-1 {
				return a
			}
			if a.NestedType == nil {
				return nil
			}
			attrs, blocks = a.NestedType.Attributes, nil
			continue
		}
		nested, ok := blocks[get.Name]
		if !ok {
			return nil
		}
		attrs, blocks = nested.Block.Attributes, nested.Block.BlockTypes
	}
	return nil
}
