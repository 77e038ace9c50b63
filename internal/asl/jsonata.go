package asl

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
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

// functions are those that Step Functions adds to JSONata's.
func (s *scope) functions() map[string]gnata.CustomFunc {
	return map[string]gnata.CustomFunc{
		"partition": s.adopted(arrayPartition),
		"range":     s.adopted(rangeSequence),
		"hash":      s.adopted(hash),
		"parse":     s.adopted(stringToJSON),
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
		// What JSONata has of its own would differ when a journal is replayed.
		"millis":  func([]any, any) (any, error) { return float64(s.now.UnixMilli()), nil },
		"now":     s.formatNow,
		"shuffle": s.shuffle,
		"eval": func([]any, any) (any, error) {
			return nil, errors.New("$eval is not supported; use $parse")
		},
	}
}

// formatNow is $now: with a picture and time zone, as $fromMillis formats.
func (s *scope) formatNow(args []any, _ any) (any, error) {
	if len(args) == 0 || args[0] == nil {
		return instant(s.now), nil
	}
	source := "$fromMillis($at, $picture)"
	if len(args) > 1 {
		source = "$fromMillis($at, $picture, $zone)"
	}
	e, err := remembered(s.parsed.queries, source, gnata.Compile)
	if err != nil {
		return nil, err
	}
	vars := map[string]any{"at": float64(s.now.UnixMilli()), "picture": args[0]}
	if len(args) > 1 {
		vars["zone"] = args[1]
	}
	return e.EvalWithVars(context.Background(), nil, vars)
}

func (s *scope) shuffle(args []any, _ any) (any, error) {
	if len(args) == 0 || args[0] == nil {
		return nil, nil
	}
	list, ok := args[0].([]any)
	if !ok {
		return []any{args[0]}, nil
	}
	out := slices.Clone(list)
	s.random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out, nil
}

// adopted makes a function of JSONata of one on values of this package.
func (s *scope) adopted(f func([]any) (any, error)) gnata.CustomFunc {
	return func(args []any, _ any) (any, error) {
		in := make([]any, len(args))
		for i, a := range args {
			v, err := s.parsed.conversions.from(a)
			if err != nil {
				return nil, err
			}
			in[i] = v
		}
		out, err := f(in)
		if err != nil {
			return nil, err
		}
		return s.parsed.conversions.to(out), nil
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

// wordings are errors of the library beside those that JSONata's own
// implementation, and with it the service, gives for the same.
var wordings = []struct {
	ours   *regexp.Regexp
	theirs string
}{
	{regexp.MustCompile(`^T1006: .*`), "T1006: Attempted to invoke a non-function"},
	{regexp.MustCompile(`^T200[12]: the left operand of the ("[^"]*") operator.*`), "T2001: The left side of the $1 operator must evaluate to a number"},
	{regexp.MustCompile(`^T200[12]: the right operand of the ("[^"]*") operator.*`), "T2002: The right side of the $1 operator must evaluate to a number"},
	{regexp.MustCompile(`^T0410: \$(\w+): argument (\d+) .*`), `T0410: Argument $2 of function "$1" does not match function signature`},
	{regexp.MustCompile(`^T0410: \$(\w+): argument .*`), `T0410: Argument 1 of function "$1" does not match function signature`},
	{regexp.MustCompile(`^D3030: \$number: unable to cast (".*") to a number$`), "D3030: Unable to cast value to a number: $1"},
}

func explain(err error) string {
	words := err.Error()
	for _, w := range wordings {
		if w.ours.MatchString(words) {
			return w.ours.ReplaceAllString(words, w.theirs)
		}
	}
	return words
}

// evaluate runs an expression; field is where it stands.
func (s *scope) evaluate(source, field string) (any, error) {
	fail := func(problem string) error {
		return queryError(field, "The JSONata expression '%s' specified for the field '%s' %s", source, field, problem)
	}
	expression, err := remembered(s.parsed.queries, source, compile)
	if err != nil {
		return nil, fail("threw an error during evaluation. " + err.Error())
	}
	s.bind()
	raw, err := s.run(expression)
	if err != nil {
		return nil, fail("threw an error during evaluation. " + explain(err))
	}
	if raw == nil {
		return nil, fail("returned nothing (undefined).")
	}
	v, err := s.parsed.conversions.from(raw)
	if err != nil {
		return nil, fail("returned an unsupported result type.")
	}
	return v, nil
}

// maxExpression is how many bytes an expression may have: what recurses over
// its parts must not run out of stack or time.
const maxExpression = 64 << 10

func compile(source string) (e *gnata.Expression, err error) {
	if len(source) > maxExpression {
		return nil, fmt.Errorf("the expression has more than %d bytes", maxExpression)
	}
	defer recovered(&err)
	return gnata.Compile(source)
}

// recovered makes an error of a panic of the library: an expression of somebody
// must not end the process of everybody.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the evaluation broke off: %v", p)
	}
}

// bind makes what runs queries: with $states and the variables, once for all
// expressions of a scope.
func (s *scope) bind() {
	if s.run != nil {
		return
	}
	states := NewObject().Set("input", s.input).Set("context", s.context)
	if s.hasResult {
		states.Set("result", s.result)
	}
	if s.failure != nil {
		states.Set("errorOutput", s.failure)
	}
	env := gnata.NewCustomEnv(s.functions())
	bind := func(name string, value any) { env.Bind(name, s.parsed.conversions.to(value)) }
	bind("states", states)
	s.variables.all(bind)
	s.run = func(e *gnata.Expression) (result any, err error) {
		defer recovered(&err)
		return e.EvalWithCustomFuncs(context.Background(), nil, env)
	}
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
		for _, key := range t.Keys() {
			v, err := s.query(t.at(key), field+"/"+key)
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
