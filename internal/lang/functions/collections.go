package functions

import (
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func collectionFunctions() map[string]function.Function {
	return map[string]function.Function{
		"alltrue":         boolsFunc(false),
		"anytrue":         boolsFunc(true),
		"chunklist":       stdlib.ChunklistFunc,
		"coalesce":        coalesceFunc(),
		"coalescelist":    stdlib.CoalesceListFunc,
		"compact":         stdlib.CompactFunc,
		"concat":          stdlib.ConcatFunc,
		"contains":        containsFunc(),
		"distinct":        stdlib.DistinctFunc,
		"element":         stdlib.ElementFunc,
		"flatten":         stdlib.FlattenFunc,
		"index":           indexFunc(),
		"keys":            stdlib.KeysFunc,
		"length":          lengthFunc(),
		"lookup":          lookupFunc(),
		"matchkeys":       matchKeysFunc(),
		"merge":           stdlib.MergeFunc,
		"one":             oneFunc(),
		"range":           stdlib.RangeFunc,
		"reverse":         stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc,
		"setproduct":      stdlib.SetProductFunc,
		"setsubtract":     stdlib.SetSubtractFunc,
		"setunion":        stdlib.SetUnionFunc,
		"slice":           stdlib.SliceFunc,
		"transpose":       transposeFunc(),
		"values":          stdlib.ValuesFunc,
		"zipmap":          stdlib.ZipmapFunc,
	}
}

// boolsFunc is anytrue or alltrue: it answers decisive as soon as one element
// has that value, and the opposite when none has. Null counts as false.
func boolsFunc(decisive bool) function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:         function.StaticReturnType(cty.Bool),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := false
			for it := args[0].ElementIterator(); it.Next(); {
				_, v := it.Element()
				switch {
				case !v.IsKnown():
					unknown = true
				case (!v.IsNull() && v.True()) == decisive:
					return cty.BoolVal(decisive), nil
				}
			}
			if unknown {
				return cty.UnknownVal(cty.Bool), nil
			}
			return cty.BoolVal(!decisive), nil
		},
	})
}

func coalesceFunc() function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{
			Name: "vals", Type: cty.DynamicPseudoType,
			AllowNull: true, AllowUnknown: true, AllowDynamicType: true,
		},
		Type: func(args []cty.Value) (cty.Type, error) {
			types := make([]cty.Type, len(args))
			for i, arg := range args {
				types[i] = arg.Type()
			}
			unified, _ := convert.UnifyUnsafe(types)
			if len(args) == 0 || unified == cty.NilType {
				return cty.NilType, errors.New("all arguments must have the same type")
			}
			return unified, nil
		},
		RefineResult: notNull,
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			for _, arg := range args {
				// Every argument before the chosen one must be convertible:
				// which one is chosen must not decide about the type.
				v, err := convert.Convert(arg, retType)
				if err != nil {
					return cty.NilVal, err
				}
				switch {
				case !v.IsKnown():
					return cty.UnknownVal(retType), nil
				case v.IsNull():
				case retType == cty.String && v.AsString() == "":
				default:
					return v, nil
				}
			}
			return cty.NilVal, errors.New("no non-null, non-empty-string arguments")
		},
	})
}

// containsFunc adds to the library's function that a null written in place,
// which has no type, can be looked for as well.
func containsFunc() function.Function {
	value := anyParam("value")
	value.AllowUnknown = true
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, value},
		Type:         function.StaticReturnType(cty.Bool),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			list, value := args[0], args[1]
			if value.IsKnown() && value.IsNull() && value.Type() == cty.DynamicPseudoType && list.CanIterateElements() {
				for it := list.ElementIterator(); it.Next(); {
					if _, v := it.Element(); v.IsKnown() && v.IsNull() {
						return cty.True, nil
					}
				}
				if !list.IsWhollyKnown() {
					return cty.UnknownVal(cty.Bool), nil
				}
				return cty.False, nil
			}
			if !value.IsKnown() {
				return cty.UnknownVal(cty.Bool), nil
			}
			return stdlib.Contains(list, value)
		},
	})
}

func indexFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "list", Type: cty.DynamicPseudoType},
			{Name: "value", Type: cty.DynamicPseudoType},
		},
		Type:         function.StaticReturnType(cty.Number),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			list := args[0]
			if ty := list.Type(); !ty.IsListType() && !ty.IsTupleType() {
				return cty.NilVal, errors.New("argument must be a list or tuple")
			}
			if list.LengthInt() == 0 {
				return cty.NilVal, errors.New("cannot search an empty list")
			}
			for it := list.ElementIterator(); it.Next(); {
				i, v := it.Element()
				equal, err := stdlib.Equal(v, args[1])
				if err != nil {
					return cty.NilVal, err
				}
				if !equal.IsKnown() {
					return cty.UnknownVal(cty.Number), nil
				}
				if equal.True() {
					return i, nil
				}
			}
			return cty.NilVal, errors.New("item not found")
		},
	})
}

// lengthFunc counts the characters of strings besides the elements of
// collections and the members of structural values. The length of a structural
// value is known whenever its type is.
func lengthFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowDynamicType: true, AllowUnknown: true, AllowMarked: true,
		}},
		Type: func(args []cty.Value) (cty.Type, error) {
			ty := args[0].Type()
			if ty == cty.String || ty == cty.DynamicPseudoType || ty.IsCollectionType() || ty.IsTupleType() || ty.IsObjectType() {
				return cty.Number, nil
			}
			return cty.Number, errors.New("argument must be a string, a collection type, or a structural type")
		},
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, all := args[0].Unmark()
			switch ty := v.Type(); {
			case ty == cty.DynamicPseudoType:
				return cty.UnknownVal(cty.Number).WithMarks(all), nil
			case ty.IsTupleType():
				return cty.NumberIntVal(int64(ty.Length())).WithMarks(all), nil
			case ty.IsObjectType():
				return cty.NumberIntVal(int64(len(ty.AttributeTypes()))).WithMarks(all), nil
			case ty == cty.String:
				n, err := stdlib.Strlen(v)
				if err != nil {
					return cty.NilVal, err
				}
				return n.WithMarks(all), nil
			default:
				return v.Length().WithMarks(all), nil
			}
		},
	})
}

func lookupFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "inputMap", Type: cty.DynamicPseudoType, AllowMarked: true},
			{Name: "key", Type: cty.String, AllowMarked: true},
		},
		VarParam: &function.Parameter{
			Name: "default", Type: cty.DynamicPseudoType,
			AllowUnknown: true, AllowDynamicType: true, AllowNull: true, AllowMarked: true,
		},
		Type: lookupType,
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			m, mapMarks := args[0].Unmark()
			keyVal, keyMarks := args[1].Unmark()
			key := keyVal.AsString()
			if m.Type().IsObjectType() {
				if m.Type().HasAttribute(key) {
					return m.GetAttr(key).WithMarks(mapMarks, keyMarks), nil
				}
			} else if m.HasIndex(keyVal).True() {
				return m.Index(keyVal).WithMarks(mapMarks, keyMarks), nil
			}
			if len(args) < 3 {
				return cty.NilVal, fmt.Errorf("lookup failed to find key %s", redacted(key, mapMarks, keyMarks))
			}
			fallback, err := convert.Convert(args[2], retType)
			if err != nil {
				return cty.NilVal, err
			}
			return fallback.WithMarks(mapMarks, keyMarks), nil
		},
	})
}

func lookupType(args []cty.Value) (cty.Type, error) {
	if len(args) > 3 {
		return cty.NilType, fmt.Errorf("lookup() takes two or three arguments, got %d", len(args))
	}
	ty := args[0].Type()
	switch {
	case ty.IsObjectType():
		keyVal, keyMarks := args[1].Unmark()
		if !keyVal.IsKnown() {
			return cty.DynamicPseudoType, nil
		}
		switch key := keyVal.AsString(); {
		case ty.HasAttribute(key):
			// The value may know a more exact type than the object's type.
			return args[0].GetAttr(key).Type(), nil
		case len(args) == 3:
			return args[2].Type(), nil
		default:
			return cty.NilType, function.NewArgErrorf(0, "the given object has no attribute %s", redacted(key, keyMarks))
		}
	case ty.IsMapType():
		if len(args) == 3 {
			if _, err := convert.Convert(args[2], ty.ElementType()); err != nil {
				return cty.NilType, function.NewArgErrorf(2, "the default value must have the same type as the map elements")
			}
		}
		return ty.ElementType(), nil
	default:
		return cty.NilType, function.NewArgErrorf(0, "lookup() requires a map as the first argument")
	}
}

func matchKeysFunc() function.Function {
	anyList := cty.List(cty.DynamicPseudoType)
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "values", Type: anyList},
			{Name: "keys", Type: anyList},
			{Name: "searchset", Type: anyList},
		},
		Type: func(args []cty.Value) (cty.Type, error) {
			if ty, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()}); ty == cty.NilType {
				return cty.NilType, errors.New("keys and searchset must be of the same type")
			}
			return args[0].Type(), nil
		},
		RefineResult: notNull,
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			if args[0].LengthInt() != args[1].LengthInt() {
				return cty.NilVal, errors.New("length of keys and values should be equal")
			}
			ty, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()})
			keys, err := convert.Convert(args[1], ty)
			if err != nil {
				return cty.NilVal, err
			}
			wanted, err := convert.Convert(args[2], ty)
			if err != nil {
				return cty.NilVal, err
			}
			if !keys.IsWhollyKnown() || !wanted.IsWhollyKnown() {
				return cty.UnknownVal(retType), nil
			}
			// A set makes membership cheap however long the lists are.
			search := cty.NewValueSet(ty.ElementType())
			for it := wanted.ElementIterator(); it.Next(); {
				_, v := it.Element()
				search.Add(v)
			}
			var out []cty.Value
			values := args[0].AsValueSlice()
			for i, key := range keys.AsValueSlice() {
				if search.Has(key) {
					out = append(out, values[i])
				}
			}
			if len(out) == 0 {
				return cty.ListValEmpty(retType.ElementType()), nil
			}
			return cty.ListVal(out), nil
		},
	})
}

func oneFunc() function.Function {
	wrong := func() error {
		return function.NewArgErrorf(0, "must be a list, set, or tuple value with either zero or one elements")
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			switch ty := args[0].Type(); {
			case ty.IsListType() || ty.IsSetType():
				return ty.ElementType(), nil
			case ty.IsTupleType() && ty.Length() == 0:
				// The only value there can be is null, which fits any type.
				return cty.DynamicPseudoType, nil
			case ty.IsTupleType() && ty.Length() == 1:
				return ty.TupleElementType(0), nil
			}
			return cty.NilType, wrong()
		},
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			list := args[0]
			n := list.Length()
			if !n.IsKnown() {
				// A set with unknown elements may turn out smaller.
				return cty.UnknownVal(retType), nil
			}
			switch {
			case n.RawEquals(cty.NumberIntVal(0)):
				return cty.NullVal(retType), nil
			case n.RawEquals(cty.NumberIntVal(1)):
				return list.AsValueSlice()[0], nil
			}
			return cty.NilVal, wrong()
		},
	})
}

func sumFunc() function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type:         function.StaticReturnType(cty.Number),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			list := args[0]
			ty := list.Type()
			switch {
			case !list.CanIterateElements():
				return cty.NilVal, function.NewArgErrorf(0, "cannot sum noniterable")
			case list.LengthInt() == 0:
				return cty.NilVal, function.NewArgErrorf(0, "cannot sum an empty list")
			case !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType():
				return cty.NilVal, function.NewArgErrorf(0, "argument must be list, set, or tuple. Received %s", ty.FriendlyName())
			case !list.IsWhollyKnown():
				return cty.UnknownVal(cty.Number), nil
			}
			total := cty.Zero
			for it := list.ElementIterator(); it.Next(); {
				_, v := it.Element()
				n, err := convert.Convert(v, cty.Number)
				if err != nil || n.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "argument must be list, set, or tuple of number values")
				}
				if isInf(total) && isInf(n) && !total.RawEquals(n) {
					return cty.NilVal, errors.New("cannot compute sum: the list contains both infinities")
				}
				total = total.Add(n)
			}
			return total, nil
		},
	})
}

func isInf(v cty.Value) bool { return v.AsBigFloat().IsInf() }

// transposeFunc turns a map of lists around. Values stay in the order of the
// map's keys, so that the result does not depend on chance.
func transposeFunc() function.Function {
	ty := cty.Map(cty.List(cty.String))
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "values", Type: ty}},
		Type:         function.StaticReturnType(ty),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(ty), nil
			}
			turned := map[string][]cty.Value{}
			for it := args[0].ElementIterator(); it.Next(); {
				key, list := it.Element()
				if list.IsNull() {
					return cty.NilVal, errors.New("input must not contain null list")
				}
				for inner := list.ElementIterator(); inner.Next(); {
					_, v := inner.Element()
					if v.IsNull() {
						return cty.NilVal, errors.New("input list must not contain null string")
					}
					turned[v.AsString()] = append(turned[v.AsString()], key)
				}
			}
			if len(turned) == 0 {
				return cty.MapValEmpty(cty.List(cty.String)), nil
			}
			out := make(map[string]cty.Value, len(turned))
			for key, list := range turned {
				out[key] = cty.ListVal(list)
			}
			return cty.MapVal(out), nil
		},
	})
}
