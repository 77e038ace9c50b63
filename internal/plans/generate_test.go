package plans

import (
	"fmt"
	"math/big"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"
)

// genType draws a type; dynamic says whether parts may be dynamic.
func genType(depth int, dynamic bool) *rapid.Generator[cty.Type] {
	return rapid.Custom(func(t *rapid.T) cty.Type {
		top := 9
		if depth == 0 {
			top = 3
		}
		switch rapid.IntRange(0, top).Draw(t, "kind") {
		case 0:
			return cty.String
		case 1:
			return cty.Number
		case 2:
			return cty.Bool
		case 3:
			if dynamic {
				return cty.DynamicPseudoType
			}
			return cty.String
		case 4:
			return cty.List(genType(depth-1, false).Draw(t, "elem"))
		case 5:
			return cty.Set(genType(depth-1, false).Draw(t, "elem"))
		case 6:
			return cty.Map(genType(depth-1, false).Draw(t, "elem"))
		case 7:
			return cty.Tuple(rapid.SliceOfN(genType(depth-1, dynamic), 0, 3).Draw(t, "elems"))
		}
		attrs := map[string]cty.Type{}
		for i := range rapid.IntRange(0, 4).Draw(t, "attributes") {
			attrs[fmt.Sprint("a", i)] = genType(depth-1, dynamic).Draw(t, "attribute")
		}
		return cty.Object(attrs)
	})
}

// genValue draws a value that conforms to a type.
func genValue(ty cty.Type, depth int) *rapid.Generator[cty.Value] {
	return rapid.Custom(func(t *rapid.T) cty.Value {
		v := genUnmarked(t, ty, depth)
		if rapid.IntRange(0, 9).Draw(t, "mark") == 0 {
			v = v.Mark(marks.Sensitive)
		}
		return v
	})
}

func genUnmarked(t *rapid.T, ty cty.Type, depth int) cty.Value {
	if ty == cty.DynamicPseudoType {
		switch rapid.IntRange(0, 4).Draw(t, "dynamic") {
		case 0:
			return cty.DynamicVal
		case 1:
			return cty.NullVal(ty)
		}
		return genUnmarked(t, genType(min(depth, 2), false).Draw(t, "actual type"), depth-1)
	}
	switch rapid.IntRange(0, 11).Draw(t, "special") {
	case 0:
		return cty.NullVal(ty)
	case 1:
		return cty.UnknownVal(ty)
	case 2:
		return genRefined(t, ty)
	}
	elems := func() []cty.Value {
		return rapid.SliceOfN(genValue(ty.ElementType(), depth-1), 0, 3).Draw(t, "elements")
	}
	switch {
	case ty == cty.String:
		return cty.StringVal(rapid.String().Draw(t, "string"))
	case ty == cty.Number:
		if rapid.Bool().Draw(t, "whole") {
			return cty.NumberIntVal(rapid.Int64().Draw(t, "int"))
		}
		return cty.NumberVal(big.NewFloat(rapid.Float64().Draw(t, "float")))
	case ty == cty.Bool:
		return cty.BoolVal(rapid.Bool().Draw(t, "bool"))
	case ty.IsListType():
		if e := elems(); len(e) > 0 {
			return cty.ListVal(e)
		}
		return cty.ListValEmpty(ty.ElementType())
	case ty.IsSetType():
		if e := elems(); len(e) > 0 {
			return cty.SetVal(e)
		}
		return cty.SetValEmpty(ty.ElementType())
	case ty.IsMapType():
		m := map[string]cty.Value{}
		for i, e := range elems() {
			m[fmt.Sprint("k", i)] = e
		}
		if len(m) > 0 {
			return cty.MapVal(m)
		}
		return cty.MapValEmpty(ty.ElementType())
	case ty.IsTupleType():
		var e []cty.Value
		for _, et := range ty.TupleElementTypes() {
			e = append(e, genValue(et, depth-1).Draw(t, "element"))
		}
		return cty.TupleVal(e)
	}
	attrs := map[string]cty.Value{}
	for _, name := range sortedNames(ty.AttributeTypes()) {
		attrs[name] = genValue(ty.AttributeType(name), depth-1).Draw(t, name)
	}
	return cty.ObjectVal(attrs)
}

func genRefined(t *rapid.T, ty cty.Type) cty.Value {
	b := cty.UnknownVal(ty).Refine().NotNull()
	switch {
	case ty == cty.String:
		b = b.StringPrefixFull(rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "prefix"))
	case ty == cty.Number:
		lower := rapid.Int64Range(0, 100).Draw(t, "lower")
		b = b.NumberRangeLowerBound(cty.NumberIntVal(lower), rapid.Bool().Draw(t, "inclusive"))
		b = b.NumberRangeUpperBound(cty.NumberIntVal(lower+10), true)
	case ty.IsCollectionType():
		b = b.CollectionLengthLowerBound(1).CollectionLengthUpperBound(rapid.IntRange(2, 9).Draw(t, "longest"))
	}
	return b.NewValue()
}

// genInput draws a value as an upstream stack's plan has it: an object of some
// depth with unknown, refined and sensitive parts, or anything else.
func genInput() *rapid.Generator[cty.Value] {
	return rapid.Custom(func(t *rapid.T) cty.Value {
		if rapid.Bool().Draw(t, "anything") {
			return genValue(cty.DynamicPseudoType, 3).Draw(t, "value")
		}
		attrs := map[string]cty.Value{}
		for i := range rapid.IntRange(1, 4).Draw(t, "outputs") {
			ty := genType(2, true).Draw(t, "type")
			v := genUnmarked(t, ty, 2)
			if rapid.Bool().Draw(t, "unknown") && ty != cty.DynamicPseudoType {
				v = genRefined(t, ty)
			}
			if rapid.Bool().Draw(t, "sensitive") {
				v = v.Mark(marks.Sensitive)
			}
			attrs[fmt.Sprint("o", i)] = v
		}
		return cty.ObjectVal(attrs)
	})
}

func genInstance() *rapid.Generator[addrs.ResourceInstance] {
	return rapid.Custom(func(t *rapid.T) addrs.ResourceInstance {
		key := rapid.OneOf(
			rapid.Just(addrs.NoKey),
			rapid.Map(rapid.IntRange(0, 99), addrs.IntKey),
			rapid.Map(rapid.String(), addrs.StringKey),
		)
		var module addrs.ModuleInstance
		for range rapid.IntRange(0, 2).Draw(t, "depth") {
			module = module.Child(rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "call"), key.Draw(t, "module key"))
		}
		return addrs.ResourceInstance{
			Module: module,
			Resource: addrs.Resource{
				Mode: rapid.SampledFrom([]addrs.Mode{addrs.Managed, addrs.Data, addrs.Ephemeral}).Draw(t, "mode"),
				Type: "test_" + rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "type"),
				Name: rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "name"),
			},
			Key: key.Draw(t, "key"),
		}
	})
}

func genChange() *rapid.Generator[*Change] {
	return rapid.Custom(func(t *rapid.T) *Change {
		ty := cty.Object(map[string]cty.Type{
			"id": cty.String, "x": genType(2, true).Draw(t, "x"), "y": genType(3, true).Draw(t, "y"),
		})
		c := &Change{
			Object:         addrs.Object{Instance: genInstance().Draw(t, "instance")},
			Provider:       addrs.ProviderConfig{Provider: addrs.DefaultProvider("test")},
			Action:         rapid.SampledFrom([]Action{NoOp, Create, Read, Update, DeleteThenCreate, CreateThenDelete, Delete, Forget}).Draw(t, "action"),
			Type:           ty,
			Before:         genValue(ty, 3).Draw(t, "before"),
			After:          genValue(ty, 3).Draw(t, "after"),
			BeforeIdentity: cty.NilVal, AfterIdentity: cty.NilVal,
		}
		if rapid.Bool().Draw(t, "of another type than declared") {
			c.Type = genType(2, true).Draw(t, "declared")
		}
		if rapid.Bool().Draw(t, "restored") {
			c.Config = genValue(ty, 3).Draw(t, "config")
		}
		if rapid.Bool().Draw(t, "replace") {
			c.RequiredReplace = []cty.Path{cty.GetAttrPath("x").IndexInt(1), cty.GetAttrPath("y").Index(cty.StringVal("k"))}
		}
		return c
	})
}

func genPlan() *rapid.Generator[*Plan] {
	return rapid.Custom(func(t *rapid.T) *Plan {
		p := &Plan{Mode: Normal, Prior: states.New()}
		p.Changes = rapid.SliceOfN(genChange(), 0, 4).Draw(t, "changes")
		p.Variables = map[string]Variable{}
		for i := range rapid.IntRange(0, 3).Draw(t, "variables") {
			p.Variables[fmt.Sprint("v", i)] = Variable{Value: genInput().Draw(t, "variable")}
		}
		for range rapid.IntRange(0, 3).Draw(t, "objects") {
			inst := &states.Instance{
				Object: addrs.Object{Instance: genInstance().Draw(t, "object")}, Status: states.Ready,
				Attributes: []byte(rapid.StringMatching(`\{"a":[0-9]{1,5}\}`).Draw(t, "attributes")),
			}
			p.Prior.Instances[inst.Object] = inst
			p.Adjust = append(p.Adjust, states.Change{Object: inst.Object, Before: inst})
		}
		p.Files = map[string][]byte{"main.tf": []byte(rapid.String().Draw(t, "source"))}
		return p
	})
}
