package asl

import (
	"encoding/json"
	"strings"
)

// filter is the condition of a [?( )] step.
type filter interface{ holds(v, root any) bool }

type filterAny []filter
type filterAll []filter
type filterNot struct{ filter }
type filterExists struct{ operand operand }
type filterCompare struct {
	op          string
	left, right operand
}

func (f filterAny) holds(v, root any) bool {
	for _, g := range f {
		if g.holds(v, root) {
			return true
		}
	}
	return false
}

func (f filterAll) holds(v, root any) bool {
	for _, g := range f {
		if !g.holds(v, root) {
			return false
		}
	}
	return true
}

func (f filterNot) holds(v, root any) bool { return !f.filter.holds(v, root) }

func (f filterExists) holds(v, root any) bool {
	_, ok := f.operand.value(v, root)
	return ok
}

func (f filterCompare) holds(v, root any) bool {
	a, okA := f.left.value(v, root)
	b, okB := f.right.value(v, root)
	if !okA || !okB {
		return f.op == "!=" && okA != okB
	}
	switch f.op {
	case "==":
		return equal(a, b)
	case "!=":
		return !equal(a, b)
	}
	c, ok := compare(a, b)
	if !ok {
		return false
	}
	switch f.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// compare orders two numbers or two strings.
func compare(a, b any) (int, bool) {
	switch a := a.(type) {
	case json.Number:
		if b, ok := b.(json.Number); ok {
			return compareNumbers(a, b), true
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), true
		}
	}
	return 0, false
}

// operand is a side of a comparison in a filter: a literal or a path.
type operand struct {
	literal any
	path    *path
	local   bool // from @
}

func (o operand) value(v, root any) (any, bool) {
	if o.path == nil {
		return o.literal, true
	}
	if !o.local {
		v = root
	}
	out, err := o.path.from(v)
	if list, ok := out.([]any); ok && !o.path.definite && len(list) == 0 {
		return nil, false
	}
	return out, err == nil
}

func (p *pathParser) filterOr() (filter, error) {
	var out filterAny
	for {
		f, err := p.filterAnd()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
		p.space()
		if !p.take("||") {
			return out, nil
		}
	}
}

func (p *pathParser) filterAnd() (filter, error) {
	var out filterAll
	for {
		f, err := p.filterUnit()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
		p.space()
		if !p.take("&&") {
			return out, nil
		}
	}
}

// maxFilter is how deep conditions may be nested.
const maxFilter = 100

func (p *pathParser) filterUnit() (filter, error) {
	if p.depth++; p.depth > maxFilter {
		return nil, p.fail("its conditions are nested deeper than %d", maxFilter)
	}
	defer func() { p.depth-- }()
	p.space()
	if p.take("!") {
		f, err := p.filterUnit()
		return filterNot{f}, err
	}
	if p.take("(") {
		f, err := p.filterOr()
		if err != nil {
			return nil, err
		}
		p.space()
		if !p.take(")") {
			return nil, p.fail(") is missing at %d", p.i)
		}
		return f, nil
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	p.space()
	for _, op := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if p.take(op) {
			right, err := p.operand()
			return filterCompare{op, left, right}, err
		}
	}
	return filterExists{left}, nil
}

func (p *pathParser) operand() (operand, error) {
	p.space()
	rest := p.rest()
	switch {
	case strings.HasPrefix(rest, "@"):
		at, err := p.path("@")
		return operand{path: at, local: true}, err
	case strings.HasPrefix(rest, "$"):
		at, err := p.path("$")
		return operand{path: at}, err
	case strings.HasPrefix(rest, "'"), strings.HasPrefix(rest, `"`):
		s, err := p.quoted()
		return operand{literal: s}, err
	}
	from := p.i
	for p.i < len(p.s) && strings.IndexByte(" )&|=!<>]", p.s[p.i]) < 0 {
		p.i++
	}
	v, err := Decode([]byte(p.s[from:p.i]))
	if err != nil {
		return operand{}, p.fail("%q is neither a path nor a value", p.s[from:p.i])
	}
	return operand{literal: v}, nil
}
