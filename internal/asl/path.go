package asl

import (
	"fmt"
	"strconv"
	"strings"
)

// path is a parsed JSONPath of the Jayway dialect, which Step Functions uses: a
// definite path (names and single indexes) leads to one value or none, any
// other to a list.
type path struct {
	source   string
	root     string // "$" the input, "$$" the context object, else a variable's name
	steps    []pathStep
	definite bool
}

type pathStep struct {
	deep    bool // ..
	all     bool // *
	names   []string
	indexes []int
	slice   *[3]*int
	filter  filter
	length  bool // the function length()
}

// errNotFound says that a definite path leads nowhere.
type errNotFound struct{ path *path }

func (e errNotFound) Error() string { return "No results for path: " + e.path.normal() }

// normal writes a path in brackets: $['a'][0].
func (p *path) normal() string {
	var b strings.Builder
	b.WriteString("$")
	for _, s := range p.steps {
		switch {
		case s.all:
			b.WriteString("[*]")
		case len(s.names) > 0:
			quoted := make([]string, len(s.names))
			for i, n := range s.names {
				quoted[i] = "'" + n + "'"
			}
			b.WriteString("[" + strings.Join(quoted, ",") + "]")
		case len(s.indexes) > 0:
			list := make([]string, len(s.indexes))
			for i, n := range s.indexes {
				list[i] = strconv.Itoa(n)
			}
			b.WriteString("[" + strings.Join(list, ",") + "]")
		}
	}
	return b.String()
}

type pathParser struct {
	s     string
	i     int
	depth int // of conditions
}

func (p *pathParser) rest() string { return p.s[p.i:] }

func (p *pathParser) take(prefix string) bool {
	if strings.HasPrefix(p.rest(), prefix) {
		p.i += len(prefix)
		return true
	}
	return false
}

func (p *pathParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *pathParser) fail(format string, args ...any) error {
	source := p.s
	if len(source) > 200 {
		source = source[:200] + "..."
	}
	return fmt.Errorf("invalid path %q: %s", source, fmt.Sprintf(format, args...))
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// parsePath reads a whole text as a path.
func parsePath(source string) (*path, error) {
	p := &pathParser{s: source}
	out, err := p.path("$")
	if err != nil {
		return nil, err
	}
	if p.i < len(p.s) {
		return nil, p.fail("there is something behind the path: %q", p.rest())
	}
	return out, nil
}

// path reads a path that starts with the sign ($ or, in filters, @).
func (p *pathParser) path(sign string) (*path, error) {
	start := p.i
	if !p.take(sign) {
		return nil, p.fail("a path starts with %s", sign)
	}
	out := &path{root: "$", definite: true}
	if sign == "$" {
		if p.take("$") {
			out.root = "$$"
		} else if p.i < len(p.s) && isNameByte(p.s[p.i]) {
			from := p.i
			for p.i < len(p.s) && isNameByte(p.s[p.i]) {
				p.i++
			}
			out.root = p.s[from:p.i]
		}
	}
	for p.i < len(p.s) {
		step := pathStep{}
		switch {
		case p.take(".."):
			step.deep, out.definite = true, false
			if !strings.HasPrefix(p.rest(), "[") {
				if err := p.name(&step); err != nil {
					return nil, err
				}
				break
			}
			p.i++
			if err := p.bracket(&step); err != nil {
				return nil, err
			}
		case p.take("."):
			if err := p.name(&step); err != nil {
				return nil, err
			}
		case p.take("["):
			if err := p.bracket(&step); err != nil {
				return nil, err
			}
		default:
			out.source = p.s[start:p.i]
			return out, nil
		}
		if !step.certain() {
			out.definite = false
		}
		out.steps = append(out.steps, step)
	}
	out.source = p.s[start:p.i]
	return out, nil
}

func (p *pathParser) name(step *pathStep) error {
	if p.take("*") {
		step.all = true
		return nil
	}
	from := p.i
	for p.i < len(p.s) && strings.IndexByte(".[]()=!<>&|, \t'\"", p.s[p.i]) < 0 {
		p.i++
	}
	if p.i == from {
		return p.fail("a name is missing at %d", from)
	}
	name := p.s[from:p.i]
	if name == "length" && p.take("()") {
		step.length = true
		return nil
	}
	step.names = []string{name}
	return nil
}

func (p *pathParser) bracket(step *pathStep) error {
	p.space()
	switch {
	case p.take("*"):
		step.all = true
	case p.take("?"):
		f, err := p.filterOr()
		if err != nil {
			return err
		}
		step.filter = f
	case strings.HasPrefix(p.rest(), "'") || strings.HasPrefix(p.rest(), `"`):
		for {
			p.space()
			name, err := p.quoted()
			if err != nil {
				return err
			}
			step.names = append(step.names, name)
			p.space()
			if !p.take(",") {
				break
			}
		}
	default:
		if err := p.indexes(step); err != nil {
			return err
		}
	}
	p.space()
	if !p.take("]") {
		return p.fail("] is missing at %d", p.i)
	}
	return nil
}

func (p *pathParser) quoted() (string, error) {
	if p.i >= len(p.s) || (p.s[p.i] != '\'' && p.s[p.i] != '"') {
		return "", p.fail("a quoted name is missing at %d", p.i)
	}
	quote := p.s[p.i]
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			b.WriteByte(p.s[p.i])
		case c == quote:
			p.i++
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail("a quote is not closed")
}

func (p *pathParser) number() *int {
	p.space()
	from := p.i
	if p.i < len(p.s) && p.s[p.i] == '-' {
		p.i++
	}
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	n, err := strconv.Atoi(p.s[from:p.i])
	if err != nil {
		p.i = from
		return nil
	}
	return &n
}

func (p *pathParser) indexes(step *pathStep) error {
	first := p.number()
	p.space()
	if strings.HasPrefix(p.rest(), ":") {
		slice := [3]*int{first}
		for i := 1; i < 3 && p.take(":"); i++ {
			slice[i] = p.number()
			p.space()
		}
		step.slice = &slice
		return nil
	}
	if first == nil {
		return p.fail("an index is missing at %d", p.i)
	}
	step.indexes = []int{*first}
	for p.take(",") {
		n := p.number()
		if n == nil {
			return p.fail("an index is missing at %d", p.i)
		}
		step.indexes = append(step.indexes, *n)
		p.space()
	}
	return nil
}

// from follows the path from its root.
func (p *path) from(root any) (any, error) {
	current := []any{root}
	for _, step := range p.steps {
		var next []any
		for _, v := range current {
			if step.deep {
				walk(v, func(v any) { next = step.follow(v, root, next) })
			} else {
				next = step.follow(v, root, next)
			}
		}
		if len(next) == 0 && p.definite {
			return nil, errNotFound{p}
		}
		if len(next) == 0 {
			return []any{}, nil
		}
		current = next
	}
	if p.definite {
		return current[0], nil
	}
	if current == nil {
		current = []any{}
	}
	return current, nil
}

// certain reports whether a step leads to one value or none.
func (s *pathStep) certain() bool {
	return !s.deep && !s.all && s.slice == nil && s.filter == nil && len(s.names) <= 1 && len(s.indexes) <= 1
}

func walk(v any, visit func(any)) {
	visit(v)
	switch v := v.(type) {
	case *Object:
		for _, k := range v.Keys() {
			walk(v.at(k), visit)
		}
	case []any:
		for _, e := range v {
			walk(e, visit)
		}
	}
}

func (s *pathStep) follow(v, root any, out []any) []any {
	switch v := v.(type) {
	case *Object:
		switch {
		case s.all:
			for _, k := range v.Keys() {
				out = append(out, v.at(k))
			}
		case s.filter != nil:
			if s.filter.holds(v, root) {
				out = append(out, v)
			}
		case s.length:
			out = append(out, number(int64(len(v.Keys()))))
		}
		for _, name := range s.names {
			if e, ok := v.Get(name); ok {
				out = append(out, e)
			}
		}
	case []any:
		out = s.followList(v, root, out)
	case string:
		if s.length {
			out = append(out, number(int64(len([]rune(v)))))
		}
	}
	return out
}

func (s *pathStep) followList(v []any, root any, out []any) []any {
	switch {
	case s.all:
		return append(out, v...)
	case s.filter != nil:
		for _, e := range v {
			if s.filter.holds(e, root) {
				out = append(out, e)
			}
		}
	case s.length:
		return append(out, number(int64(len(v))))
	case s.slice != nil:
		return append(out, sliceOf(v, s.slice)...)
	}
	for _, i := range s.indexes {
		if i < 0 {
			i += len(v)
		}
		if i >= 0 && i < len(v) {
			out = append(out, v[i])
		}
	}
	return out
}

func sliceOf(v []any, slice *[3]*int) []any {
	bound := func(p *int, otherwise int) int {
		if p == nil {
			return otherwise
		}
		i := *p
		if i < 0 {
			i += len(v)
		}
		return min(max(i, 0), len(v))
	}
	step := 1
	if slice[2] != nil && *slice[2] > 0 {
		step = *slice[2]
	}
	var out []any
	for i := bound(slice[0], 0); i < bound(slice[1], len(v)); i += step {
		out = append(out, v[i])
	}
	return out
}

// put returns value with another one at a reference path ($.a.b[0]), making
// objects where there are none.
func (p *path) put(value, at any) (any, error) {
	return putAt(value, p.steps, at, p)
}

func putAt(value any, steps []pathStep, at any, p *path) (any, error) {
	if len(steps) == 0 {
		return at, nil
	}
	step := steps[0]
	switch {
	case len(step.names) == 1:
		o, ok := value.(*Object)
		if !ok {
			if value != nil {
				return nil, fmt.Errorf("Unable to apply step %q to input %s", step.names[0], text(value))
			}
			o = NewObject()
		}
		inner, _ := o.Get(step.names[0])
		next, err := putAt(inner, steps[1:], at, p)
		if err != nil {
			return nil, err
		}
		return o.clone().Set(step.names[0], next), nil
	case len(step.indexes) == 1:
		list, ok := value.([]any)
		i := step.indexes[0]
		if !ok || i < 0 || i >= len(list) {
			return nil, fmt.Errorf("the path %s does not fit the input %s", p.source, text(value))
		}
		next, err := putAt(list[i], steps[1:], at, p)
		if err != nil {
			return nil, err
		}
		out := append([]any(nil), list...)
		out[i] = next
		return out, nil
	}
	return nil, fmt.Errorf("%s is not a reference path", p.source)
}
