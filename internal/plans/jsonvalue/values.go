package jsonvalue

import (
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// Value writes a value in clear, sensitive parts included. Unknown parts are
// left out of objects and maps and are null elsewhere.
func (w *Writer) Value(v cty.Value) {
	v, _ = v.Unmark()
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		w.Null()
		return
	}
	ty := v.Type()
	switch {
	case ty == cty.String:
		w.String(v.AsString())
	case ty == cty.Number:
		w.number(v.AsBigFloat())
	case ty == cty.Bool:
		w.Bool(v.True())
	case isKeyed(ty):
		w.ObjectStart()
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if isKnown(e) {
				w.Key(k.AsString())
				w.Value(e)
			}
		}
		w.ObjectEnd()
	case ty.IsCapsuleType():
		w.Null()
	default:
		w.ArrayStart()
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			w.Value(e)
		}
		w.ArrayEnd()
	}
}

// isKnown reports whether a value that may be marked is known itself.
func isKnown(v cty.Value) bool {
	v, _ = v.Unmark()
	return v.IsKnown()
}

func isKeyed(ty cty.Type) bool { return ty.IsObjectType() || ty.IsMapType() }

// Unknown writes which parts of a value are unknown: true for those that are,
// in objects and maps only what is not plainly known, arrays in full length.
func (w *Writer) Unknown(v cty.Value) {
	v, _ = v.Unmark()
	switch {
	case v == cty.NilVal:
		w.Bool(false)
	case !v.IsKnown():
		w.Bool(true)
	case isLeaf(v):
		w.Bool(false)
	case isKeyed(v.Type()):
		w.ObjectStart()
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if bare, _ := e.Unmark(); !bare.IsKnown() || !isLeaf(bare) {
				w.Key(k.AsString())
				w.Unknown(e)
			}
		}
		w.ObjectEnd()
	default:
		w.ArrayStart()
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			w.Unknown(e)
		}
		w.ArrayEnd()
	}
}

// isLeaf reports whether a known value has no parts to speak of.
func isLeaf(v cty.Value) bool {
	ty := v.Type()
	return v.IsNull() || ty.IsPrimitiveType() || ty == cty.DynamicPseudoType || ty.IsCapsuleType()
}

// Shape is what a schema says about a value: which of its parts are sensitive.
// The zero Shape says nothing.
type Shape struct {
	attributes map[string]*providers.Attribute
	blocks     map[string]*providers.NestedBlock
	repeated   bool // about the elements, not the value itself
	sensitive  bool
}

// BlockShape is the shape of a value made from a block; nil says nothing.
func BlockShape(b *providers.Block) Shape {
	if b == nil {
		return Shape{}
	}
	return Shape{attributes: b.Attributes, blocks: b.BlockTypes}
}

// Sensitive reports whether the schema declares the whole value sensitive.
func (s Shape) Sensitive() bool { return s.sensitive }

// Member returns the shape of an object's attribute.
func (s Shape) Member(name string) Shape {
	if s.repeated {
		return Shape{}
	}
	if a := s.attributes[name]; a != nil {
		member := Shape{sensitive: a.Sensitive}
		if n := a.NestedType; n != nil {
			member.attributes, member.repeated = n.Attributes, isRepeated(n.Nesting)
		}
		return member
	}
	if b := s.blocks[name]; b != nil {
		member := BlockShape(&b.Block)
		member.repeated = isRepeated(b.Nesting)
		return member
	}
	return Shape{}
}

// Element returns the shape of a collection's elements.
func (s Shape) Element() Shape {
	if !s.repeated {
		return Shape{}
	}
	return Shape{attributes: s.attributes, blocks: s.blocks}
}

// of returns the shape of a part of a value of the given type.
func (s Shape) of(ty cty.Type, key cty.Value) Shape {
	if ty.IsObjectType() {
		return s.Member(key.AsString())
	}
	return s.Element()
}

func isRepeated(n providers.Nesting) bool {
	return n == providers.NestingList || n == providers.NestingSet || n == providers.NestingMap
}

// Sensitive writes which parts of a value are sensitive, by their marks or by
// the schema: true for those that are; of what is not sensitive, only the
// structure of collections and objects.
func (w *Writer) Sensitive(v cty.Value, shape Shape) {
	marked := v.HasMark(marks.Sensitive)
	v, _ = v.Unmark()
	switch {
	case marked || shape.sensitive:
		w.Bool(true)
	case v == cty.NilVal || isPlain(v):
		w.Bool(false)
	case isKeyed(v.Type()):
		w.ObjectStart()
		if v.IsKnown() {
			for it := v.ElementIterator(); it.Next(); {
				k, e := it.Element()
				part := shape.of(v.Type(), k)
				if part.sensitive || e.IsMarked() || !isPlain(e) {
					w.Key(k.AsString())
					w.Sensitive(e, part)
				}
			}
		}
		w.ObjectEnd()
	default:
		w.ArrayStart()
		if v.IsKnown() {
			for it := v.ElementIterator(); it.Next(); {
				_, e := it.Element()
				w.Sensitive(e, shape.Element())
			}
		}
		w.ArrayEnd()
	}
}

// isPlain reports whether an unmarked value can have no sensitive parts.
func isPlain(v cty.Value) bool {
	ty := v.Type()
	if ty.IsPrimitiveType() || ty == cty.DynamicPseudoType || ty.IsCapsuleType() {
		return true
	}
	return v.IsKnown() && v.IsNull()
}
