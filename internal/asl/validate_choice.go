package asl

import (
	"fmt"
	"strings"
)

// choices judges the rules of a Choice.
func (v *validator) choices(s, states *Object, at string, jsonata bool) {
	if next, ok := s.Get("Default"); ok {
		v.target(next, states, at+"/Default")
	}
	rules, ok := s.at("Choices").([]any)
	if !ok || len(rules) == 0 {
		v.schema(at, "These fields are required: [Choices]")
		return
	}
	for i, r := range rules {
		here := fmt.Sprintf("%s/Choices[%d]", at, i)
		rule, ok := r.(*Object)
		if !ok {
			v.schema(here, "Expected value of type Object")
			continue
		}
		next, ok := rule.Get("Next")
		if !ok {
			v.schema(here, "These fields are required: [Next]")
		} else {
			v.target(next, states, here+"/Next")
		}
		if jsonata {
			if !rule.Has("Condition") {
				v.schema(here, "These fields are required: [Condition]")
			}
			continue
		}
		v.rule(rule, here)
	}
}

func (v *validator) rule(rule *Object, at string) {
	for _, name := range []string{"And", "Or"} {
		value, ok := rule.Get(name)
		if !ok {
			continue
		}
		list, _ := value.([]any)
		if len(list) == 0 {
			v.schema(at+"/"+name, "Expected a non-empty value of type Array")
		}
		for i, r := range list {
			v.innerRule(r, fmt.Sprintf("%s/%s[%d]", at, name, i))
		}
		return
	}
	if inner, ok := rule.Get("Not"); ok {
		v.innerRule(inner, at+"/Not")
		return
	}
	source, ok := rule.at("Variable").(string)
	switch {
	case !ok:
		v.schema(at, "These fields are required: [Variable]")
	case !validExpression(source):
		v.schema(at+"/Variable", "Value is not a valid JSONPath: %s", source)
	}
	n := 0
	for _, name := range rule.Keys() {
		switch name {
		case "Variable", "Next", "Comment", "Assign", "Output":
			continue
		}
		n++
		if !comparison(name) {
			v.schema(at, "Field '%s' is not supported", name)
			continue
		}
		v.operand(name, rule.at(name), at+"/"+name)
	}
	if n != 1 {
		v.schema(at, "A choice rule must have exactly one comparison")
	}
}

// innerRule judges a rule inside another one, which leads nowhere by itself.
func (v *validator) innerRule(value any, at string) {
	rule, ok := value.(*Object)
	if !ok {
		v.schema(at, "Expected value of type Object")
		return
	}
	if rule.Has("Next") {
		v.schema(at, "Field 'Next' is not supported")
	}
	v.rule(rule, at)
}

// operand judges what a comparison compares with.
func (v *validator) operand(name string, value any, at string) {
	want := ""
	switch {
	case strings.HasSuffix(name, "Path"):
		if source, ok := value.(string); !ok || !validExpression(source) {
			v.schema(at, "Value is not a valid JSONPath: %s", plain(value))
		}
		return
	case strings.HasPrefix(name, "Is"), strings.HasPrefix(name, "Boolean"):
		want = "boolean"
	case strings.HasPrefix(name, "Numeric"):
		want = "number"
	default:
		want = "string"
	}
	if kindOf(value) != want {
		v.schema(at, "Expected value of type %s", strings.ToUpper(want[:1])+want[1:])
		return
	}
	if words, ok := value.(string); ok && strings.HasPrefix(name, "Timestamp") {
		if _, valid := timestamp(words); !valid {
			v.schema(at, "Value is not a valid ISO-8601 extended offset date-time: %s", words)
		}
	}
}

func comparison(name string) bool {
	switch name {
	case "IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp", "StringMatches",
		"BooleanEquals", "BooleanEqualsPath":
		return true
	}
	name = strings.TrimSuffix(name, "Path")
	for _, kind := range []string{"String", "Numeric", "Timestamp"} {
		if op, ok := strings.CutPrefix(name, kind); ok {
			switch op {
			case "Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals":
				return true
			}
		}
	}
	return false
}
