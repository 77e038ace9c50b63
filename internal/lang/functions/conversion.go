package functions

import (
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/tutti-dev/tutti/internal/lang/marks"
)

func conversionFunctions() map[string]function.Function {
	return map[string]function.Function{
		"convert":  convertFunc(),
		"tobool":   toFunc(cty.Bool),
		"tolist":   toFunc(cty.List(cty.DynamicPseudoType)),
		"tomap":    toFunc(cty.Map(cty.DynamicPseudoType)),
		"tonumber": toFunc(cty.Number),
		"toset":    toFunc(cty.Set(cty.DynamicPseudoType)),
		"tostring": toFunc(cty.String),
	}
}

// toFunc is an explicit conversion. It takes any argument, so that the messages
// can speak of a conversion the user asked for instead of one the language
// does by itself, and it leaves nested marks where they are.
func toFunc(want cty.Type) function.Function {
	param := anyParam("v")
	param.AllowMarked = true
	return function.New(&function.Spec{
		Params: []function.Parameter{param},
		Type: func(args []cty.Value) (cty.Type, error) {
			got := args[0].Type()
			if !got.Equals(want) && convert.GetConversionUnsafe(got, want) == nil {
				return cty.NilType, cannotConvert(got, want)
			}
			return want, nil
		},
		Impl: func(args []cty.Value, retType cty.Type) (cty.Value, error) {
			result, err := convert.Convert(args[0], retType)
			if err != nil {
				return cty.NilVal, conversionError(args[0], want)
			}
			return result, nil
		},
	})
}

func cannotConvert(got, want cty.Type) error {
	return function.NewArgErrorf(0, "cannot convert %s to %s", got.FriendlyName(), want.FriendlyNameForConstraint())
}

// conversionError explains why this value, whose type would do, cannot be
// converted.
func conversionError(v cty.Value, want cty.Type) error {
	bare, all := v.UnmarkDeep()
	if bare.Type() != cty.String || bare.IsNull() {
		return cannotConvert(bare.Type(), want)
	}
	switch {
	case all.Has(marks.Sensitive):
		return function.NewArgErrorf(0, "cannot convert this sensitive string to %s", want.FriendlyName())
	case all.Has(marks.Ephemeral):
		return function.NewArgErrorf(0, "cannot convert this ephemeral string to %s", want.FriendlyName())
	case want == cty.Bool:
		return function.NewArgErrorf(0, "cannot convert %q to bool; only the strings \"true\" or \"false\" are allowed", bare.AsString())
	case want == cty.Number:
		return function.NewArgErrorf(0, "cannot convert %q to number; given string must be a decimal representation of a number", bare.AsString())
	default:
		return cannotConvert(bare.Type(), want)
	}
}

// constraint is a type as a variable's type argument can write it: with
// optional attributes and their defaults.
type constraint struct {
	ty       cty.Type
	defaults *typeexpr.Defaults
}

// constraintType is the type of the second parameter of convert. The argument
// is not evaluated but read as a type.
var constraintType = newConstraintType()

func newConstraintType() (ty cty.Type) {
	ty = cty.CapsuleWithOps("type constraint", reflect.TypeFor[constraint](), &cty.CapsuleOps{
		ExtensionData: func(key any) any {
			if key != customdecode.CustomExpressionDecoder {
				return nil
			}
			return customdecode.CustomExpressionDecoderFunc(func(expr hcl.Expression, _ *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
				want, defaults, diags := typeexpr.TypeConstraintWithDefaults(expr)
				if diags.HasErrors() {
					return cty.NilVal, diags
				}
				return cty.CapsuleVal(ty, &constraint{want, defaults}), diags
			})
		},
	})
	return ty
}

// convertFunc converts to a type written in place. Defaults of optional
// attributes are filled in first, as they are for input variables.
func convertFunc() function.Function {
	value := anyParam("value")
	value.AllowMarked = true
	value.AllowUnknown = true
	impl := func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		want := args[1].EncapsulatedValue().(*constraint)
		v := args[0]
		if want.defaults != nil {
			v = want.defaults.Apply(v)
		}
		result, err := convert.Convert(v, want.ty)
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		return result, nil
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{value, {Name: "type", Type: constraintType}},
		// The result's type can be more exact than the constraint, where that
		// says "any", so that it is left to the value.
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: impl,
	})
}
