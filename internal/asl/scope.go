package asl

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/recolabs/gnata"
)

// scope is where an expression is evaluated.
type scope struct {
	input     any // $
	context   *Object
	variables *variables
	result    any // $states.result; unset is none
	failure   any // $states.errorOutput
	hasResult bool
	random    *rand.Rand
	now       time.Time
	parsed    *parsed
	run       func(*gnata.Expression) (any, error) // evaluates a query; made when first needed
}

// variables are those of a branch or iteration. What lies outside can be read
// and not written.
type variables struct {
	outer  *variables
	values *Object
}

func (v *variables) get(name string) (any, bool) {
	for ; v != nil; v = v.outer {
		if x, ok := v.values.Get(name); ok {
			return x, true
		}
	}
	return nil, false
}

// all returns every variable in sight.
func (v *variables) all(visit func(name string, value any)) {
	if v == nil {
		return
	}
	v.outer.all(visit)
	for _, k := range v.values.Keys() {
		visit(k, v.values.at(k))
	}
}

// seeded makes numbers that follow from a seed alone.
func seeded(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 0x7475747469)) //nolint:gosec // replaying a journal must give the same numbers
}

func (s *scope) uuid() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.random.Uint64())
	binary.BigEndian.PutUint64(b[8:], s.random.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// follow evaluates a path.
func (s *scope) follow(p *path) (any, error) {
	switch p.root {
	case "$":
		return p.from(s.input)
	case "$$":
		return p.from(s.context)
	}
	v, ok := s.variables.get(p.root)
	if !ok {
		return nil, errNotFound{p}
	}
	return p.from(v)
}

// parsed are the expressions of a machine that were parsed before.
type parsed struct {
	paths   map[string]*path
	calls   map[string]*call
	queries map[string]*gnata.Expression

	conversions *conversions
}

func newParsed() *parsed {
	return &parsed{paths: map[string]*path{}, calls: map[string]*call{}, queries: map[string]*gnata.Expression{}, conversions: newConversions()}
}

// remembered parses a text once.
func remembered[T any](known map[string]T, source string, parse func(string) (T, error)) (T, error) {
	if v, ok := known[source]; ok {
		return v, nil
	}
	v, err := parse(source)
	if err == nil {
		known[source] = v
	}
	return v, err
}

// path parses a path; what is none is a runtime error.
func (p *parsed) path(source string) (*path, error) {
	out, err := remembered(p.paths, source, parsePath)
	if err != nil {
		return nil, runtimeError("%s", err)
	}
	return out, nil
}

// expression evaluates a path or an intrinsic function. field is where it
// stands, for messages.
func (s *scope) expression(source, field string) (any, error) {
	if strings.HasPrefix(source, "$") {
		p, err := s.parsed.path(source)
		if err != nil {
			return nil, err
		}
		v, err := s.follow(p)
		if errors.As(err, &errNotFound{}) {
			return nil, s.notFound(source, field)
		}
		return v, err
	}
	c, err := remembered(s.parsed.calls, source, parseCall)
	if err != nil {
		return nil, failed("States.IntrinsicFailure", err.Error())
	}
	v, err := c.evaluate(s)
	switch {
	case errors.As(err, &errNotFound{}):
		return nil, s.notFound(source, field)
	case err != nil:
		return nil, failed("States.IntrinsicFailure", err.Error())
	}
	return v, nil
}

func (s *scope) notFound(source, field string) error {
	return runtimeError("The JSONPath '%s' specified for the field '%s' could not be found in the input '%s'", source, field, text(s.input))
}

// template evaluates a JSONPath payload template: fields whose names end in .$
// hold expressions.
func (s *scope) template(t any) (any, error) {
	switch t := t.(type) {
	case *Object:
		out := NewObject()
		for _, key := range t.Keys() {
			v := t.at(key)
			name, dynamic := strings.CutSuffix(key, ".$")
			if !dynamic {
				inner, err := s.template(v)
				if err != nil {
					return nil, err
				}
				out.Set(key, inner)
				continue
			}
			source, ok := v.(string)
			if !ok {
				return nil, runtimeError("The value of the field '%s' must be a JSONPath or an intrinsic function", key)
			}
			inner, err := s.expression(source, key)
			if err != nil {
				return nil, err
			}
			out.Set(name, inner)
		}
		return out, nil
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			inner, err := s.template(e)
			if err != nil {
				return nil, err
			}
			out[i] = inner
		}
		return out, nil
	}
	return t, nil
}

// stateError is an error a state can end with, retry or catch.
type stateError struct {
	name, cause string
	hasCause    bool // a Fail state may have neither name nor cause
	// inside says that it comes from working on the state: its cause does not
	// name the state yet. query, that a JSONata expression is to blame; location
	// is its field.
	inside   bool
	query    bool
	location string
}

func (e *stateError) Error() string { return e.name + ": " + e.cause }

// failed is an error whose cause is told as it is.
func failed(name, cause string) *stateError {
	return &stateError{name: name, cause: cause, hasCause: true}
}

// runtimeError is States.Runtime; the machine says of which state.
func runtimeError(format string, args ...any) *stateError {
	return &stateError{name: "States.Runtime", cause: fmt.Sprintf(format, args...), hasCause: true, inside: true}
}

// queryError is the error of a JSONata expression in a field; the machine says
// of which state.
func queryError(location, format string, args ...any) *stateError {
	e := runtimeError(format, args...)
	e.name, e.query, e.location = "States.QueryEvaluationError", true, location
	return e
}
