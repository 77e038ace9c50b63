package functions

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// clockFunctions are the functions whose results differ between runs or
// phases.
func clockFunctions(o Options) map[string]function.Function {
	all := map[string]function.Function{
		"bcrypt":    bcryptFunc(),
		"timestamp": timestampFunc(o.Now),
		"uuid":      uuidFunc(o.NewUUID),
	}
	if o.PureOnly {
		for name, f := range all {
			all[name] = function.Unpredictable(f)
		}
	}
	all["plantimestamp"] = planTimestampFunc(o.PlanTimestamp)
	return all
}

func timestampFunc(now func() time.Time) function.Function {
	if now == nil {
		now = time.Now
	}
	return function.New(&function.Spec{
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.StringVal(now().UTC().Format(time.RFC3339)), nil
		},
	})
}

func planTimestampFunc(at time.Time) function.Function {
	result := cty.UnknownVal(cty.String)
	if !at.IsZero() {
		result = cty.StringVal(at.UTC().Format(time.RFC3339))
	}
	return function.New(&function.Spec{
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl:         func([]cty.Value, cty.Type) (cty.Value, error) { return result, nil },
	})
}

func uuidFunc(given func() string) function.Function {
	return function.New(&function.Spec{
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			if given != nil {
				return cty.StringVal(given()), nil
			}
			id, err := uuid.NewRandom()
			if err != nil {
				return cty.NilVal, fmt.Errorf("cannot generate a UUID: %w", err)
			}
			return cty.StringVal(id.String()), nil
		},
	})
}

func timeCmpFunc() function.Function {
	return function.New(&function.Spec{
		Params:       stringParams("timestamp_a", "timestamp_b"),
		Type:         function.StaticReturnType(cty.Number),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var at [2]time.Time
			for i, arg := range args {
				t, err := parseTimestamp(arg)
				if err != nil {
					return cty.NilVal, function.NewArgError(i, err)
				}
				at[i] = t
			}
			return cty.NumberIntVal(int64(at[0].Compare(at[1]))), nil
		},
	})
}

// parseTimestamp reads an RFC 3339 timestamp. The library's own parser is asked
// first because its messages say which part of the text is wrong; it does not
// hand out the instant with its fraction, so the text is then parsed again.
func parseTimestamp(v cty.Value) (time.Time, error) {
	if _, err := stdlib.TimeAdd(v, cty.StringVal("0s")); err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, v.AsString())
	if err != nil {
		return time.Time{}, fmt.Errorf("not a valid RFC3339 timestamp: %w", err)
	}
	return at, nil
}
