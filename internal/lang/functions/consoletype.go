package functions

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// TypeType is the type of what the console's type function returns: a capsule
// around a type. Nothing but a console should ever see such a value; it shows
// it with [TypeText] of [TypeOf].
var TypeType = cty.Capsule("type", reflect.TypeFor[cty.Type]())

// TypeOf returns the type inside a value of type [TypeType]. It reports false
// for values of any other type.
func TypeOf(v cty.Value) (cty.Type, bool) {
	if !v.Type().Equals(TypeType) || v.IsNull() || !v.IsKnown() {
		return cty.NilType, false
	}
	bare, _ := v.Unmark()
	return *bare.EncapsulatedValue().(*cty.Type), true
}

func typeFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{rawParam("value")},
		Type:   function.StaticReturnType(TypeType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			ty := args[0].Type()
			return cty.CapsuleVal(TypeType, &ty), nil
		},
	})
}

// TypeText writes a type the way the console's type function shows it.
func TypeText(ty cty.Type) string {
	var b strings.Builder
	writeType(&b, ty, 0)
	return b.String()
}

func writeType(b *strings.Builder, ty cty.Type, depth int) {
	line := func(depth int) {
		b.WriteByte('\n')
		b.WriteString(strings.Repeat("    ", depth))
	}
	switch {
	case ty == cty.DynamicPseudoType:
		b.WriteString("dynamic")
	case ty.IsListType(), ty.IsSetType(), ty.IsMapType():
		switch {
		case ty.IsListType():
			b.WriteString("list(")
		case ty.IsSetType():
			b.WriteString("set(")
		default:
			b.WriteString("map(")
		}
		elem := ty.ElementType()
		if elem.IsObjectType() || elem.IsTupleType() {
			line(depth + 1)
			writeType(b, elem, depth+1)
			b.WriteByte(',')
			line(depth)
		} else {
			writeType(b, elem, depth)
		}
		b.WriteByte(')')
	case ty.IsTupleType():
		elems := ty.TupleElementTypes()
		if len(elems) == 0 {
			b.WriteString("tuple([])")
			return
		}
		b.WriteString("tuple([")
		for _, elem := range elems {
			line(depth + 1)
			writeType(b, elem, depth+1)
			b.WriteByte(',')
		}
		line(depth)
		b.WriteString("])")
	case ty.IsObjectType():
		attrs := ty.AttributeTypes()
		if len(attrs) == 0 {
			b.WriteString("object({})")
			return
		}
		b.WriteString("object({")
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			line(depth + 1)
			b.WriteString(name + ": ")
			writeType(b, attrs[name], depth+1)
			b.WriteByte(',')
		}
		line(depth)
		b.WriteString("})")
	default:
		b.WriteString(ty.FriendlyName())
	}
}
