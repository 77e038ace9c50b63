package asl

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// chooses evaluates a choice rule of the JSONPath language.
func (s *scope) chooses(rule *Object) (bool, error) {
	if list, ok := rule.Get("And"); ok {
		return s.combine(list, true)
	}
	if list, ok := rule.Get("Or"); ok {
		return s.combine(list, false)
	}
	if inner, ok := rule.Get("Not"); ok {
		o, _ := inner.(*Object)
		if o == nil {
			return false, runtimeError("Not must hold a rule")
		}
		v, err := s.chooses(o)
		return !v, err
	}
	variable, _ := rule.at("Variable").(string)
	for _, name := range rule.Keys() {
		switch name {
		case "Variable", "Next", "Comment", "Assign", "Output":
			continue
		}
		return s.compares(name, variable, rule.at(name))
	}
	return false, runtimeError("The choice rule %s compares nothing", text(rule))
}

func (s *scope) combine(list any, want bool) (bool, error) {
	rules, _ := list.([]any)
	for _, r := range rules {
		o, _ := r.(*Object)
		if o == nil {
			return false, runtimeError("And and Or must hold rules")
		}
		v, err := s.chooses(o)
		if err != nil {
			return false, err
		}
		if v != want {
			return !want, nil
		}
	}
	return want, nil
}

func (s *scope) compares(name, variable string, against any) (bool, error) {
	p, err := s.parsed.path(variable)
	if err != nil {
		return false, err
	}
	v, err := s.follow(p)
	if name == "IsPresent" {
		want, _ := against.(bool)
		return (err == nil) == want, nil
	}
	if errors.As(err, &errNotFound{}) {
		return false, runtimeError("Invalid path '%s': The choice state's condition path references an invalid value.", variable)
	}
	if err != nil {
		return false, err
	}
	if is, ok := strings.CutPrefix(name, "Is"); ok {
		want, _ := against.(bool)
		return isKind(is, v) == want, nil
	}
	if base, ok := strings.CutSuffix(name, "Path"); ok {
		source, _ := against.(string)
		other, err := s.expression(source, name)
		if err != nil {
			return false, err
		}
		name, against = base, other
	}
	return compareAs(name, v, against)
}

func isKind(kind string, v any) bool {
	switch kind {
	case "Null":
		return v == nil
	case "Boolean":
		return kindOf(v) == "boolean"
	case "Numeric":
		return kindOf(v) == "number"
	case "String":
		return kindOf(v) == "string"
	case "Timestamp":
		s, ok := v.(string)
		_, valid := timestamp(s)
		return ok && valid
	}
	return false
}

// timestamp reads the profile of RFC 3339 that the language asks for: capital
// T, and a zone.
func timestamp(s string) (time.Time, bool) {
	if len(s) < 20 || s[10] != 'T' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil && !strings.ContainsRune(s, 'z')
}

func compareAs(name string, a, b any) (bool, error) {
	for _, kind := range []string{"String", "Numeric", "Boolean", "Timestamp"} {
		op, ok := strings.CutPrefix(name, kind)
		if !ok {
			continue
		}
		if op == "Matches" {
			x, okX := a.(string)
			pattern, okP := b.(string)
			return okX && okP && matches(pattern, x), nil
		}
		c, comparable := ordered(kind, a, b)
		if !comparable {
			return false, nil
		}
		switch op {
		case "Equals":
			return c == 0, nil
		case "LessThan":
			return c < 0, nil
		case "GreaterThan":
			return c > 0, nil
		case "LessThanEquals":
			return c <= 0, nil
		case "GreaterThanEquals":
			return c >= 0, nil
		}
	}
	return false, runtimeError("There is no comparison %q", name)
}

// ordered compares two values of a kind; another kind never compares.
func ordered(kind string, a, b any) (int, bool) {
	switch kind {
	case "String":
		x, okX := a.(string)
		y, okY := b.(string)
		return strings.Compare(x, y), okX && okY
	case "Numeric":
		x, okX := a.(json.Number)
		y, okY := b.(json.Number)
		if !okX || !okY {
			return 0, false
		}
		return compareNumbers(x, y), true
	case "Boolean":
		x, okX := a.(bool)
		y, okY := b.(bool)
		if x == y {
			return 0, okX && okY
		}
		return 1, okX && okY
	}
	x, okX := a.(string)
	y, okY := b.(string)
	if !okX || !okY {
		return 0, false
	}
	s, okS := timestamp(x)
	t, okT := timestamp(y)
	return s.Compare(t), okS && okT
}

// matches compares with a pattern in which * stands for any text; a backslash
// takes a star or itself literally.
func matches(pattern, s string) bool {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			b.WriteByte(pattern[i])
		case pattern[i] == '*':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(pattern[i])
		}
	}
	last := b.String()
	if len(parts) == 0 {
		return s == last
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1:] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
