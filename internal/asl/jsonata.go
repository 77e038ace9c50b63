package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/recolabs/gnata"
)

// jsonata evaluates JSONata expressions with the functions Step Functions adds.
type jsonata struct {
	compiled map[string]*gnata.Expression
	current  *scope // of the evaluation under way, for $random and $uuid
}

// expressionOf returns the text between {% and %}.
func expressionOf(v any) (string, bool) {
	s, ok := v.(string)
	if !ok || !strings.HasPrefix(s, "{%") || !strings.HasSuffix(s, "%}") || len(s) < 4 {
		return "", false
	}
	return strings.TrimSpace(s[2 : len(s)-2]), true
}

var errUnsupported = errors.New("unsupported")

func (j *jsonata) functions() map[string]gnata.CustomFunc {
	return map[string]gnata.CustomFunc{
		"partition": func(args []any, _ any) (any, error) { return j.apply(arrayPartition, args) },
		"range":     func(args []any, _ any) (any, error) { return j.apply(rangeSequence, args) },
		"hash":      func(args []any, _ any) (any, error) { return j.apply(hash, args) },
		"parse":     func(args []any, _ any) (any, error) { return j.apply(stringToJSON, args) },
		"uuid":      func([]any, any) (any, error) { return j.current.uuid(), nil },
		"random": func(args []any, _ any) (any, error) {
			var r *rand.Rand
			if len(args) > 0 {
				seed, ok := args[0].(float64)
				if !ok {
					return nil, errors.New("the seed of $random must be a number")
				}
				r = seeded(uint64(int64(seed)))()
			} else {
				r = j.current.random()
			}
			return r.Float64(), nil
		},
		"eval": func([]any, any) (any, error) {
			return nil, errors.New("$eval is not supported; use $parse")
		},
	}
}

// apply calls a function on values of this package.
func (j *jsonata) apply(f func([]any) (any, error), args []any) (any, error) {
	in := make([]any, len(args))
	for i, a := range args {
		v, err := fromJSONata(a)
		if err != nil {
			return nil, err
		}
		in[i] = v
	}
	out, err := f(in)
	if err != nil {
		return nil, err
	}
	return toJSONata(out)
}

// rangeSequence is States.ArrayRange with a sequence for its result: of one
// element, that element.
func rangeSequence(a []any) (any, error) {
	out, err := arrayRange(a)
	if list, ok := out.([]any); ok && len(list) == 1 {
		return list[0], nil
	}
	return out, err
}

// words are what the service says for errors of JSONata, by their codes.
var words = map[string]string{
	"T1006": "Attempted to invoke a non-function",
}

func explain(err error) string {
	code, _, found := strings.Cut(err.Error(), ":")
	if w, ok := words[code]; ok && found {
		return code + ": " + w
	}
	return err.Error()
}

func toJSONata(v any) (any, error) { return gnata.DecodeJSON([]byte(text(v))) }

// fromJSONata takes a result over. Functions have no JSON form.
func fromJSONata(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, errUnsupported
	case bool, string, json.Number:
		return v, nil
	case float64:
		return fromFloat(v)
	case int:
		return number(int64(v)), nil
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			inner, err := fromJSONata(e)
			if err != nil {
				return nil, err
			}
			out = append(out, inner)
		}
		return out, nil
	case interface {
		Range(func(key string, val any) bool)
	}:
		out := NewObject()
		var failed error
		v.Range(func(key string, val any) bool {
			inner, err := fromJSONata(val)
			if err != nil {
				failed = err
				return false
			}
			out.Set(key, inner)
			return true
		})
		return out, failed
	case map[string]any:
		data, err := json.Marshal(v)
		if err != nil {
			return nil, errUnsupported
		}
		return Decode(data)
	}
	if gnata.IsNull(v) {
		return nil, nil
	}
	if n := gnata.NormalizeValue(v); n != nil {
		if list, ok := n.([]any); ok {
			return fromJSONata(list)
		}
	}
	return nil, errUnsupported
}

func fromFloat(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errUnsupported
	}
	if f == math.Trunc(f) && math.Abs(f) < 1e21 {
		return json.Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
}

// evaluate runs an expression; field is where it stands.
func (j *jsonata) evaluate(s *scope, source, field string) (any, error) {
	fail := func(format string, args ...any) error {
		return &stateError{name: "States.QueryEvaluationError", evaluation: true, location: field,
			cause: fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' ", source, field) + fmt.Sprintf(format, args...)}
	}
	expression := j.compiled[source]
	if expression == nil {
		var err error
		if expression, err = gnata.Compile(source); err != nil {
			return nil, fail("threw an error during evaluation. %s", err)
		}
		j.compiled[source] = expression
	}
	states, err := s.states()
	if err != nil {
		return nil, fail("%s", err)
	}
	j.current = s
	env := gnata.NewCustomEnv(j.functions())
	env.Bind("states", states)
	s.variables.all(func(name string, value any) {
		if v, e := toJSONata(value); e == nil {
			env.Bind(name, v)
		} else {
			err = e
		}
	})
	if err != nil {
		return nil, fail("%s", err)
	}
	raw, err := expression.EvalWithCustomFuncs(context.Background(), nil, env)
	if err != nil {
		return nil, fail("threw an error during evaluation. %s", explain(err))
	}
	if raw == nil {
		return nil, fail("returned nothing (undefined).")
	}
	v, err := fromJSONata(raw)
	if err != nil {
		return nil, fail("returned an unsupported result type.")
	}
	return v, nil
}

// states is the reserved variable $states.
func (s *scope) states() (any, error) {
	o := NewObject().Set("input", s.input).Set("context", s.context)
	if s.hasResult {
		o.Set("result", s.result)
	}
	if s.failure != nil {
		o.Set("errorOutput", s.failure)
	}
	return toJSONata(o)
}

// query evaluates a template of JSONata: every string {% … %} in it.
func (s *scope) query(t any, field string) (any, error) {
	switch t := t.(type) {
	case string:
		if source, ok := expressionOf(t); ok {
			return s.jsonata.evaluate(s, source, field)
		}
	case *Object:
		out := NewObject()
		for _, key := range t.keys {
			v, err := s.query(t.values[key], field+"/"+key)
			if err != nil {
				return nil, err
			}
			out.Set(key, v)
		}
		return out, nil
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			v, err := s.query(e, fmt.Sprintf("%s[%d]", field, i))
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	return t, nil
}

// wrongType is the error of a query whose result has another type.
func wrongType(source any, field, want string, got any) error {
	e, _ := expressionOf(source)
	return &stateError{name: "States.QueryEvaluationError", evaluation: true, location: field,
		cause: fmt.Sprintf("The JSONata expression '%s' specified for the field '%s' returned an unexpected result type. Expected '%s', but was '%s' for value: %s",
			e, field, want, kindOf(got), text(got))}
}
