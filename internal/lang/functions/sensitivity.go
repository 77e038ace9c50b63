package functions

import (
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/tutti-dev/tutti/internal/lang/marks"
)

func sensitivityFunctions() map[string]function.Function {
	return map[string]function.Function{
		"ephemeralasnull": ephemeralAsNullFunc(),
		"issensitive":     isSensitiveFunc(),
		"nonsensitive": markFunc(func(v cty.Value) cty.Value {
			return marks.Without(v, marks.Sensitive)
		}),
		"sensitive": markFunc(func(v cty.Value) cty.Value { return v.Mark(marks.Sensitive) }),
	}
}

// markFunc is a function that changes nothing but the marks of a value.
func markFunc(change func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{rawParam("value")},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return change(args[0]), nil
		},
	})
}

func isSensitiveFunc() function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{rawParam("value")},
		Type:         function.StaticReturnType(cty.Bool),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			switch v := args[0]; {
			case marks.Has(v, marks.Sensitive):
				return cty.True, nil
			case !v.IsKnown():
				// It may still turn out sensitive when it becomes known.
				return cty.UnknownVal(cty.Bool), nil
			default:
				return cty.False, nil
			}
		},
	})
}

func ephemeralAsNullFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{rawParam("value")},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !marks.Contains(args[0], marks.Ephemeral) {
				return args[0], nil
			}
			return cty.TransformWithTransformer(args[0], ephemeralToNull{})
		},
	})
}

// ephemeralToNull replaces ephemeral values by null. It does so on the way
// down, so that what is inside an ephemeral value goes with it.
type ephemeralToNull struct{}

func (ephemeralToNull) Enter(_ cty.Path, v cty.Value) (cty.Value, error) {
	if !marks.Has(v, marks.Ephemeral) {
		return v, nil
	}
	_, rest := v.Unmark()
	delete(rest, marks.Ephemeral)
	return cty.NullVal(v.Type()).WithMarks(rest), nil
}

func (ephemeralToNull) Exit(_ cty.Path, v cty.Value) (cty.Value, error) { return v, nil }
