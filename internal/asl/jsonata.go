package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/recolabs/gnata"
)

// expressionOf returns the text between {% and %}.
func expressionOf(v any) (string, bool) {
	s, ok := v.(string)
	if !ok || !strings.HasPrefix(s, "{%") || !strings.HasSuffix(s, "%}") || len(s) < 4 {
		return "", false
	}
	return strings.TrimSpace(s[2 : len(s)-2]), true
}

var errUnsupported = errors.New("unsupported")

// functions are those that Step Functions adds to JSONata's.
func (s *scope) functions() map[string]gnata.CustomFunc {
	return map[string]gnata.CustomFunc{
		"partition": adopted(arrayPartition),
		"range":     adopted(rangeSequence),
		"hash":      adopted(hash),
		"parse":     adopted(stringToJSON),
		"uuid":      func([]any, any) (any, error) { return s.uuid(), nil },
		"random": func(args []any, _ any) (any, error) {
			if len(args) == 0 {
				return s.random.Float64(), nil
			}
			seed, ok := args[0].(float64)
			if !ok {
				return nil, errors.New("the seed of $random must be a number")
			}
			return seeded(uint64(int64(seed))).Float64(), nil
		},
		"eval": func([]any, any) (any, error) {
			return nil, errors.New("$eval is not supported; use $parse")
		},
	}
}

// adopted makes a function of JSONata of one on values of this package.
func adopted(f func([]any) (any, error)) gnata.CustomFunc {
	return func(args []any, _ any) (any, error) {
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
func (s *scope) evaluate(source, field string) (any, error) {
	fail := func(problem string) error {
		return queryError(field, "The JSONata expression '%s' specified for the field '%s' %s", source, field, problem)
	}
	expression, err := remembered(s.parsed.queries, source, gnata.Compile)
	if err != nil {
		return nil, fail("threw an error during evaluation. " + err.Error())
	}
	if err := s.bind(); err != nil {
		return nil, fail(err.Error())
	}
	raw, err := s.run(expression)
	if err != nil {
		return nil, fail("threw an error during evaluation. " + explain(err))
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

// bind makes what runs queries: with $states and the variables, once for all
// expressions of a scope.
func (s *scope) bind() error {
	if s.run != nil {
		return nil
	}
	states := NewObject().Set("input", s.input).Set("context", s.context)
	if s.hasResult {
		states.Set("result", s.result)
	}
	if s.failure != nil {
		states.Set("errorOutput", s.failure)
	}
	env := gnata.NewCustomEnv(s.functions())
	var failed error
	bind := func(name string, value any) {
		v, err := toJSONata(value)
		if err != nil {
			failed = err
			return
		}
		env.Bind(name, v)
	}
	bind("states", states)
	s.variables.all(bind)
	s.run = func(e *gnata.Expression) (any, error) {
		return e.EvalWithCustomFuncs(context.Background(), nil, env)
	}
	return failed
}

// query evaluates a template of JSONata: every string {% … %} in it.
func (s *scope) query(t any, field string) (any, error) {
	switch t := t.(type) {
	case string:
		if source, ok := expressionOf(t); ok {
			return s.evaluate(source, field)
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
	return queryError(field, "The JSONata expression '%s' specified for the field '%s' returned an unexpected result type. Expected '%s', but was '%s' for value: %s",
		e, field, want, kindOf(got), text(got))
}
