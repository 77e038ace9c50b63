package patterns_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/netip"
	"regexp"
	"strings"
)

// What follows is another reading of the same rules, as plain as can be: one pattern
// at a time, straight from its JSON, on an event taken apart into all its values.

// field is a value of an event: its names, what it is, and the elements of arrays it
// is in (by number of the array).
type field struct {
	path     string
	value    any
	elements map[int]int
}

func decode(source []byte) any {
	d := json.NewDecoder(bytes.NewReader(source))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// flatten lists all values of an event that are neither objects nor arrays.
func flatten(v any, path string, elements map[int]int, arrays *int) []field {
	var out []field
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			out = append(out, flatten(value, path+"\x00"+name, elements, arrays)...)
		}
	case []any:
		*arrays++
		number := *arrays
		for i, element := range v {
			inside := elements
			switch element.(type) {
			case map[string]any, []any:
				inside = map[int]int{number: i}
				for k, at := range elements {
					inside[k] = at
				}
			}
			out = append(out, flatten(element, path, inside, arrays)...)
		}
	default:
		out = append(out, field{path, v, elements})
	}
	return out
}

// condition is what one way of a pattern wants of one field.
type condition struct {
	path string
	list []any
}

// ways multiplies "$or" out.
func ways(pattern map[string]any, path string) [][]condition {
	out := [][]condition{nil}
	for name, value := range pattern {
		var add [][]condition
		switch v := value.(type) {
		case map[string]any:
			add = ways(v, path+"\x00"+name)
		case []any:
			if name == "$or" {
				for _, one := range v {
					add = append(add, ways(one.(map[string]any), path)...)
				}
			} else {
				add = [][]condition{{{path + "\x00" + name, v}}}
			}
		default:
			add = [][]condition{{{path + "\x00" + name, []any{v}}}}
		}
		var next [][]condition
		for _, a := range out {
			for _, b := range add {
				next = append(next, append(append([]condition(nil), a...), b...))
			}
		}
		out = next
	}
	return out
}

// naive reports whether an event fits a pattern.
func naive(pattern map[string]any, event any) bool {
	arrays := 0
	fields := flatten(event, "", nil, &arrays)
	for _, way := range ways(pattern, "") {
		if choose(way, fields, nil) {
			return true
		}
	}
	return false
}

// choose looks for values for all conditions that go together with those chosen.
func choose(way []condition, fields, chosen []field) bool {
	if len(way) == 0 {
		return true
	}
	there := false
	for _, f := range fields {
		if f.path != way[0].path {
			continue
		}
		there = true
		if fitsOne(way[0].list, f.value) && together(f, chosen) && choose(way[1:], fields, append(append([]field(nil), chosen...), f)) {
			return true
		}
	}
	if !there {
		for _, one := range way[0].list {
			if o, ok := one.(map[string]any); ok && o["exists"] == false {
				return choose(way[1:], fields, chosen)
			}
		}
	}
	return false
}

func together(f field, chosen []field) bool {
	for _, other := range chosen {
		for array, at := range f.elements {
			if otherAt, both := other.elements[array]; both && at != otherAt {
				return false
			}
		}
	}
	return true
}

func fitsOne(list []any, value any) bool {
	for _, one := range list {
		if fits(one, value) {
			return true
		}
	}
	return false
}

func rational(v any) *big.Rat {
	if n, ok := v.(json.Number); ok {
		if r, ok := new(big.Rat).SetString(n.String()); ok {
			return r
		}
	}
	return nil
}

func equal(a, b any) bool {
	if x, y := rational(a), rational(b); x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	return a == b
}

func fits(want, value any) bool {
	operators, ok := want.(map[string]any)
	if !ok {
		return equal(want, value)
	}
	for name, argument := range operators {
		text, isText := value.(string)
		switch name {
		case "exists":
			return argument == true
		case "anything-but":
			return !unwanted(argument, value)
		case "cidr":
			addr, err := netip.ParseAddr(text)
			prefix := netip.MustParsePrefix(argument.(string))
			return isText && err == nil && prefix.Contains(addr)
		case "numeric":
			number := rational(value)
			if number == nil {
				return false
			}
			list := argument.([]any)
			for i := 0; i < len(list); i += 2 {
				c := number.Cmp(rational(list[i+1]))
				if ok := map[string]bool{"=": c == 0, "<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[list[i].(string)]; !ok {
					return false
				}
			}
			return true
		default:
			return isText && fitsText(name, argument, text)
		}
	}
	return false
}

func unwanted(argument, value any) bool {
	text, isText := value.(string)
	name := ""
	if o, ok := argument.(map[string]any); ok {
		for k, v := range o {
			name, argument = k, v
		}
	}
	list, ok := argument.([]any)
	if !ok {
		list = []any{argument}
	}
	for _, one := range list {
		if name == "" && equal(one, value) || name != "" && isText && fitsText(name, one, text) {
			return true
		}
	}
	return false
}

func fitsText(operator string, argument any, text string) bool {
	ignore := ""
	if o, ok := argument.(map[string]any); ok {
		ignore, argument = "(?i)", o["equals-ignore-case"]
	}
	want := argument.(string)
	expression := ""
	switch operator {
	case "equals-ignore-case":
		return strings.EqualFold(want, text)
	case "prefix":
		expression = "^" + ignore + regexp.QuoteMeta(want)
	case "suffix":
		expression = ignore + regexp.QuoteMeta(want) + "$"
	case "wildcard":
		expression = "(?s)^"
		for i := 0; i < len(want); i++ {
			switch want[i] {
			case '*':
				expression += ".*"
			case '\\':
				i++
				expression += regexp.QuoteMeta(want[i : i+1])
			default:
				expression += regexp.QuoteMeta(want[i : i+1])
			}
		}
		expression += "$"
	}
	return regexp.MustCompile(expression).MatchString(text)
}
