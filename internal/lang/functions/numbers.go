package functions

import (
	"errors"
	"math"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func numberFunctions() map[string]function.Function {
	return map[string]function.Function{
		"abs":      stdlib.AbsoluteFunc,
		"ceil":     stdlib.CeilFunc,
		"floor":    stdlib.FloorFunc,
		"log":      realFunc("num", "base", func(num, base float64) float64 { return math.Log(num) / math.Log(base) }),
		"max":      stdlib.MaxFunc,
		"min":      stdlib.MinFunc,
		"parseint": parseIntFunc(),
		"pow":      realFunc("num", "power", math.Pow),
		"signum":   stdlib.SignumFunc,
		"sum":      sumFunc(),
	}
}

// realFunc is a function of two numbers computed in floating point. Arguments
// for which there is no real result are an error.
func realFunc(first, second string, f func(a, b float64) float64) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: first, Type: cty.Number},
			{Name: second, Type: cty.Number},
		},
		Type:         function.StaticReturnType(cty.Number),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			a, _ := args[0].AsBigFloat().Float64()
			b, _ := args[1].AsBigFloat().Float64()
			result := f(a, b)
			if math.IsNaN(result) {
				return cty.NilVal, errors.New("the result is not a real number")
			}
			return cty.NumberFloatVal(result), nil
		},
	})
}

// parseIntFunc wraps the library's parser only to keep a sensitive text out of
// its error message.
func parseIntFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "number", Type: cty.DynamicPseudoType, AllowMarked: true},
			{Name: "base", Type: cty.Number, AllowMarked: true},
		},
		Type: func(args []cty.Value) (cty.Type, error) {
			if got := args[0].Type(); got != cty.String {
				return cty.Number, function.NewArgErrorf(0, "first argument must be a string, not %s", got.FriendlyName())
			}
			return cty.Number, nil
		},
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			number, numberMarks := args[0].Unmark()
			base, baseMarks := args[1].Unmark()
			got, err := stdlib.ParseInt(number, base)
			if err != nil {
				var arg function.ArgError
				if hidden(numberMarks) && errors.As(err, &arg) && arg.Index == 0 {
					err = function.NewArgErrorf(0, "cannot parse %s as an integer in the given base", redacted("", numberMarks))
				}
				return cty.NilVal, err
			}
			return got.WithMarks(numberMarks, baseMarks), nil
		},
	})
}
