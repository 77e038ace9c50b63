package functions

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/tutti-dev/tutti/internal/lang/marks"
)

// notNull is the refinement of functions that never return null, so that
// comparing their unknown results with null is already decided while planning.
func notNull(b *cty.RefinementBuilder) *cty.RefinementBuilder { return b.NotNull() }

// stringParams builds plain string parameters with the given names.
func stringParams(names ...string) []function.Parameter {
	params := make([]function.Parameter, len(names))
	for i, name := range names {
		params[i] = function.Parameter{Name: name, Type: cty.String}
	}
	return params
}

// anyParam is a parameter that takes whatever it is given, null included, and
// leaves conversion and checks to the function.
func anyParam(name string) function.Parameter {
	return function.Parameter{Name: name, Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true}
}

// rawParam is [anyParam] for functions that look at marks and unknown values
// themselves.
func rawParam(name string) function.Parameter {
	p := anyParam(name)
	p.AllowUnknown = true
	p.AllowMarked = true
	return p
}

// stringFunc is a function from strings to a string: the most common shape.
func stringFunc(impl func(args []string) (string, error), names ...string) function.Function {
	return function.New(&function.Spec{
		Params:       stringParams(names...),
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			strs := make([]string, len(args))
			for i, arg := range args {
				strs[i] = arg.AsString()
			}
			out, err := impl(strs)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(out), nil
		},
	})
}

// redacted is how an argument may be shown in an error message: quoted, or
// only by what it is when its marks forbid to show it.
func redacted(value any, all ...cty.ValueMarks) string {
	for _, set := range all {
		if set.Has(marks.Sensitive) {
			return "(sensitive value)"
		}
	}
	for _, set := range all {
		if set.Has(marks.Ephemeral) {
			return "(ephemeral value)"
		}
	}
	if s, ok := value.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(value)
}

// hidden reports whether the marks forbid to show a value in a message.
func hidden(all ...cty.ValueMarks) bool {
	for _, set := range all {
		if set.Has(marks.Sensitive) || set.Has(marks.Ephemeral) {
			return true
		}
	}
	return false
}

// keepingMarks makes sure that an unknown argument's marks reach the result.
// The library returns an unknown result at once when an argument is unknown,
// and forgets the marks of arguments whose marks the function promised to
// handle itself: it is never called to do so. A sensitive value must not become
// harmless by not being known yet. Functions without such parameters are
// returned as they are.
func keepingMarks(f function.Function) function.Function {
	params, last := f.Params(), f.VarParam()
	forgets := func(p *function.Parameter) bool {
		return p.AllowMarked && !(p.AllowUnknown && p.AllowDynamicType)
	}
	affected := last != nil && forgets(last)
	for i := range params {
		affected = affected || forgets(&params[i])
	}
	if !affected {
		return f
	}
	pass := func(p *function.Parameter) { p.AllowMarked, p.AllowUnknown, p.AllowDynamicType = true, true, true }
	for i := range params {
		pass(&params[i])
	}
	if last != nil {
		pass(last)
	}
	return function.New(&function.Spec{
		Params:   params,
		VarParam: last,
		Type: func(args []cty.Value) (cty.Type, error) {
			for _, arg := range args {
				if arg.IsKnown() {
					// The call below finds the type by itself; finding it
					// twice would be the most expensive part of many calls.
					return cty.DynamicPseudoType, nil
				}
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result, err := f.Call(args)
			if err != nil || result.IsKnown() {
				return result, err
			}
			for _, arg := range args {
				if !arg.IsKnown() {
					result = result.WithMarks(arg.Marks())
				}
			}
			return result, nil
		},
	})
}
