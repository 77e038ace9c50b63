package asl

import (
	"crypto/md5"  //nolint:gosec // States.Hash offers it by name
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
)

// argument is one argument of an intrinsic function: a literal, a path or a
// further call.
type argument struct {
	literal any
	path    *path
	call    *call
}

// call is a parsed intrinsic function (States.Format('{}', $.x)).
type call struct {
	source    string
	name      string
	arguments []argument
}

// parseCall reads a whole text as a call of an intrinsic function.
func parseCall(source string) (*call, error) {
	p := &pathParser{s: source}
	c, err := p.call(1)
	if err != nil {
		return nil, err
	}
	if p.space(); p.i < len(p.s) {
		return nil, p.fail("there is something behind the function: %q", p.rest())
	}
	return c, nil
}

// maxDepth is how deep intrinsic functions may be nested.
const maxDepth = 10

func (p *pathParser) call(depth int) (*call, error) {
	p.space()
	from := p.i
	for p.i < len(p.s) && (isNameByte(p.s[p.i]) || p.s[p.i] == '.') {
		p.i++
	}
	c := &call{name: p.s[from:p.i]}
	if intrinsic(c.name) == nil {
		return nil, p.fail("there is no intrinsic function %q", c.name)
	}
	if depth > maxDepth {
		return nil, p.fail("intrinsic functions are nested deeper than %d", maxDepth)
	}
	if p.space(); !p.take("(") {
		return nil, p.fail("( is missing at %d", p.i)
	}
	if p.space(); p.take(")") {
		c.source = p.s[from:p.i]
		return c, nil
	}
	for {
		a, err := p.argument(depth)
		if err != nil {
			return nil, err
		}
		c.arguments = append(c.arguments, a)
		p.space()
		if p.take(")") {
			c.source = p.s[from:p.i]
			return c, nil
		}
		if !p.take(",") {
			return nil, p.fail(", or ) is missing at %d", p.i)
		}
	}
}

func (p *pathParser) argument(depth int) (argument, error) {
	p.space()
	rest := p.rest()
	switch {
	case strings.HasPrefix(rest, "$"):
		at, err := p.path("$")
		return argument{path: at}, err
	case strings.HasPrefix(rest, "'"):
		s, err := p.literalString()
		return argument{literal: s}, err
	case strings.HasPrefix(rest, "States."):
		c, err := p.call(depth + 1)
		return argument{call: c}, err
	}
	from := p.i
	for p.i < len(p.s) && strings.IndexByte(" ,)", p.s[p.i]) < 0 {
		p.i++
	}
	v, err := Decode([]byte(p.s[from:p.i]))
	if err != nil {
		return argument{}, p.fail("%q is not an argument", p.s[from:p.i])
	}
	return argument{literal: v}, nil
}

// literalString reads a string in single quotes. A backslash takes a quote,
// brace or backslash literally; those before braces stay for States.Format.
func (p *pathParser) literalString() (string, error) {
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			switch next := p.s[p.i]; next {
			case '{', '}':
				b.WriteByte('\\')
				b.WriteByte(next)
			case '\\', '\'':
				b.WriteByte(next)
			default:
				return "", p.fail("\\%c is no escape; there are \\', \\{, \\} and \\\\", next)
			}
		case c == '\'':
			p.i++
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail("a quote is not closed")
}

// evaluate calls the function. Errors of paths are passed on as they are.
func (c *call) evaluate(s *scope) (any, error) {
	args := make([]any, len(c.arguments))
	for i, a := range c.arguments {
		var err error
		switch {
		case a.path != nil:
			args[i], err = s.follow(a.path)
		case a.call != nil:
			args[i], err = a.call.evaluate(s)
		default:
			args[i] = a.literal
		}
		if err != nil {
			return nil, err
		}
	}
	v, err := intrinsic(c.name)(s, args)
	if err != nil {
		return nil, intrinsicError{c.source, err}
	}
	return v, nil
}

type intrinsicError struct {
	call string
	err  error
}

func (e intrinsicError) Error() string {
	return fmt.Sprintf("The function %s had the following error: %s", e.call, e.err)
}

// intrinsicNames lists the intrinsic functions.
var intrinsicNames = []string{
	"States.Format",
	"States.StringToJson",
	"States.JsonToString",
	"States.Array",
	"States.ArrayPartition",
	"States.ArrayContains",
	"States.ArrayRange",
	"States.ArrayGetItem",
	"States.ArrayLength",
	"States.ArrayUnique",
	"States.Base64Encode",
	"States.Base64Decode",
	"States.Hash",
	"States.JsonMerge",
	"States.MathRandom",
	"States.MathAdd",
	"States.StringSplit",
	"States.UUID",
}

// intrinsic returns what carries an intrinsic function out; nil where there is none
// of that name. It is no table: the functions and the evaluation of their
// arguments refer to each other.
func intrinsic(name string) func(*scope, []any) (any, error) {
	switch name {
	case "States.Format":
		return func(_ *scope, a []any) (any, error) { return format(a) }
	case "States.StringToJson":
		return func(_ *scope, a []any) (any, error) { return stringToJSON(a) }
	case "States.JsonToString":
		return func(_ *scope, a []any) (any, error) { return jsonToString(a) }
	case "States.Array":
		return func(_ *scope, a []any) (any, error) { return append([]any{}, a...), nil }
	case "States.ArrayPartition":
		return func(_ *scope, a []any) (any, error) { return arrayPartition(a) }
	case "States.ArrayContains":
		return func(_ *scope, a []any) (any, error) { return arrayContains(a) }
	case "States.ArrayRange":
		return func(_ *scope, a []any) (any, error) { return arrayRange(a) }
	case "States.ArrayGetItem":
		return func(_ *scope, a []any) (any, error) { return arrayGetItem(a) }
	case "States.ArrayLength":
		return func(_ *scope, a []any) (any, error) { return arrayLength(a) }
	case "States.ArrayUnique":
		return func(_ *scope, a []any) (any, error) { return arrayUnique(a) }
	case "States.Base64Encode":
		return func(_ *scope, a []any) (any, error) { return base64Encode(a) }
	case "States.Base64Decode":
		return func(_ *scope, a []any) (any, error) { return base64Decode(a) }
	case "States.Hash":
		return func(_ *scope, a []any) (any, error) { return hash(a) }
	case "States.JsonMerge":
		return func(_ *scope, a []any) (any, error) { return jsonMerge(a) }
	case "States.MathRandom":
		return mathRandom
	case "States.MathAdd":
		return func(_ *scope, a []any) (any, error) { return mathAdd(a) }
	case "States.StringSplit":
		return func(_ *scope, a []any) (any, error) { return stringSplit(a) }
	case "States.UUID":
		return uuid
	}
	return nil
}

func stringArgument(a []any, i int) (string, error) {
	if i < len(a) {
		if s, ok := a[i].(string); ok {
			return s, nil
		}
	}
	return "", fmt.Errorf("argument %d must be a string", i+1)
}

func listArgument(a []any, i int) ([]any, error) {
	if i < len(a) {
		if s, ok := a[i].([]any); ok {
			return s, nil
		}
	}
	return nil, fmt.Errorf("argument %d must be an array", i+1)
}

// integerArgument rounds half up: the service takes any number.
func integerArgument(a []any, i int) (int64, error) {
	if i < len(a) {
		if n, ok := integer(a[i]); ok {
			return n, nil
		}
		if n, ok := a[i].(json.Number); ok {
			if f, err := n.Float64(); err == nil && math.Abs(f) < 1<<53 {
				return int64(math.Floor(f + 0.5)), nil
			}
		}
	}
	return 0, fmt.Errorf("argument %d must be an integer", i+1)
}

func count(a []any, low, high int) error {
	if len(a) < low || len(a) > high {
		return fmt.Errorf("it takes %d to %d arguments, not %d", low, high, len(a))
	}
	return nil
}

func format(a []any) (any, error) {
	template, err := stringArgument(a, 0)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	next := 1
	for i := 0; i < len(template); i++ {
		switch c := template[i]; {
		case c == '\\' && i+1 < len(template) && (template[i+1] == '{' || template[i+1] == '}'):
			i++
			b.WriteByte(template[i])
		case c == '{' && i+1 < len(template) && template[i+1] == '}':
			i++
			if next >= len(a) {
				return nil, fmt.Errorf("there are fewer arguments than {}")
			}
			spell(&b, a[next])
			next++
		default:
			b.WriteByte(c)
		}
	}
	if next < len(a) {
		return nil, fmt.Errorf("there are more arguments than {}")
	}
	return b.String(), nil
}

// spell writes a value into a text as the service does: objects as {a=1, b=x},
// arrays as [1, x], strings without quotes.
func spell(b *strings.Builder, v any) {
	switch v := v.(type) {
	case string:
		b.WriteString(v)
	case *Object:
		b.WriteByte('{')
		for i, k := range v.Keys() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(k + "=")
			spell(b, v.at(k))
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			spell(b, e)
		}
		b.WriteByte(']')
	default:
		b.WriteString(text(v))
	}
}

func stringToJSON(a []any) (any, error) {
	s, err := stringArgument(a, 0)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	return Decode([]byte(s))
}

func jsonToString(a []any) (any, error) {
	if err := count(a, 1, 1); err != nil {
		return nil, err
	}
	return text(a[0]), nil
}

func arrayPartition(a []any) (any, error) {
	list, err := listArgument(a, 0)
	if err != nil {
		return nil, err
	}
	size, err := integerArgument(a, 1)
	if err != nil || size <= 0 {
		return nil, fmt.Errorf("argument 2 must be a positive integer")
	}
	out := []any{}
	for len(list) > 0 {
		n := min(int(size), len(list))
		out = append(out, append([]any{}, list[:n]...))
		list = list[n:]
	}
	return out, nil
}

func arrayContains(a []any) (any, error) {
	list, err := listArgument(a, 0)
	if err != nil {
		return nil, err
	}
	if err := count(a, 2, 2); err != nil {
		return nil, err
	}
	for _, e := range list {
		if equal(e, a[1]) {
			return true, nil
		}
	}
	return false, nil
}

// maxRange is how many numbers States.ArrayRange makes at most.
const maxRange = 1000

func arrayRange(a []any) (any, error) {
	var n [3]int64
	for i := range n {
		v, err := integerArgument(a, i)
		if err != nil {
			return nil, err
		}
		n[i] = v
	}
	if n[2] == 0 {
		return nil, fmt.Errorf("argument 3 must not be 0")
	}
	out := []any{}
	for i := n[0]; n[2] > 0 && i <= n[1] || n[2] < 0 && i >= n[1]; i += n[2] {
		if len(out) == maxRange {
			return nil, fmt.Errorf("the range has more than %d elements", maxRange)
		}
		out = append(out, number(i))
	}
	return out, nil
}

func arrayGetItem(a []any) (any, error) {
	list, err := listArgument(a, 0)
	if err != nil {
		return nil, err
	}
	i, err := integerArgument(a, 1)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= int64(len(list)) {
		return nil, fmt.Errorf("there is no element %d", i)
	}
	return list[i], nil
}

func arrayLength(a []any) (any, error) {
	list, err := listArgument(a, 0)
	return number(int64(len(list))), err
}

func arrayUnique(a []any) (any, error) {
	list, err := listArgument(a, 0)
	if err != nil {
		return nil, err
	}
	out := []any{}
	seen := map[string]bool{}
	for _, e := range list {
		if key := text(e); !seen[key] {
			seen[key] = true
			out = append(out, e)
		}
	}
	return out, nil
}

func base64Encode(a []any) (any, error) {
	s, err := stringArgument(a, 0)
	return base64.StdEncoding.EncodeToString([]byte(s)), err
}

func base64Decode(a []any) (any, error) {
	s, err := stringArgument(a, 0)
	if err != nil {
		return nil, err
	}
	out, err := base64.StdEncoding.DecodeString(s)
	return string(out), err
}

func hash(a []any) (any, error) {
	if err := count(a, 2, 2); err != nil {
		return nil, err
	}
	data, ok := a[0].(string)
	if !ok {
		data = text(a[0])
	}
	algorithm, err := stringArgument(a, 1)
	if err != nil {
		return nil, err
	}
	return hashed(data, algorithm)
}

func hashed(data, algorithm string) (any, error) {
	var sum []byte
	switch algorithm {
	case "MD5":
		s := md5.Sum([]byte(data)) //nolint:gosec // asked for by name
		sum = s[:]
	case "SHA-1":
		s := sha1.Sum([]byte(data)) //nolint:gosec // asked for by name
		sum = s[:]
	case "SHA-256":
		s := sha256.Sum256([]byte(data))
		sum = s[:]
	case "SHA-384":
		s := sha512.Sum384([]byte(data))
		sum = s[:]
	case "SHA-512":
		s := sha512.Sum512([]byte(data))
		sum = s[:]
	default:
		return nil, fmt.Errorf("there is no algorithm %q; there are MD5, SHA-1, SHA-256, SHA-384 and SHA-512", algorithm)
	}
	return hex.EncodeToString(sum), nil
}

func jsonMerge(a []any) (any, error) {
	if err := count(a, 3, 3); err != nil {
		return nil, err
	}
	x, okX := a[0].(*Object)
	y, okY := a[1].(*Object)
	if deep, ok := a[2].(bool); !okX || !okY || !ok || deep {
		return nil, fmt.Errorf("it takes two objects and false: only shallow merging is supported")
	}
	out := x.clone()
	for _, k := range y.Keys() {
		out.Set(k, y.at(k))
	}
	return out, nil
}

func mathAdd(a []any) (any, error) {
	if err := count(a, 2, 2); err != nil {
		return nil, err
	}
	x, err := integerArgument(a, 0)
	if err != nil {
		return nil, err
	}
	y, err := integerArgument(a, 1)
	if err != nil {
		return nil, err
	}
	sum := new(big.Int).Add(big.NewInt(x), big.NewInt(y))
	return json.Number(sum.String()), nil
}

func mathRandom(s *scope, a []any) (any, error) {
	if err := count(a, 2, 3); err != nil {
		return nil, err
	}
	from, err := integerArgument(a, 0)
	if err != nil {
		return nil, err
	}
	to, err := integerArgument(a, 1)
	if err != nil {
		return nil, err
	}
	if from >= to {
		return nil, fmt.Errorf("the first number must be less than the second")
	}
	source := s.random
	if len(a) == 3 {
		seed, err := integerArgument(a, 2)
		if err != nil {
			return nil, err
		}
		source = seeded(uint64(seed))
	}
	return number(from + source.Int64N(to-from)), nil
}

func stringSplit(a []any) (any, error) {
	s, err := stringArgument(a, 0)
	if err != nil {
		return nil, err
	}
	separators, err := stringArgument(a, 1)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		out = append(out, part)
	}
	return out, nil
}

func uuid(s *scope, a []any) (any, error) {
	if err := count(a, 0, 0); err != nil {
		return nil, err
	}
	return s.uuid(), nil
}
