package cost

import (
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// quantity says how many of a unit a resource has: factors multiplied and
// divided, "usage.monthly_requests * memory_size:128 / 1024". A factor is
//
//	2                  a number
//	volume_size        an attribute; blocks and lists by their names and indices
//	#subnet_mapping    how many elements an attribute has
//	usage.monthly_gb   what usage says
//
// and may be followed by
//
//	:8      where it is null, 8
//	~8      where it is null or not known, 8, which is said as an assumption
//	>3000   only what is above 3000
//	<250    at most 250
type quantity []factor

type factor struct {
	divide  bool
	number  *Amount
	usage   string
	path    string
	count   bool
	absent  *Amount // where null
	assumed *Amount // where null or not known
	above   *Amount
	most    *Amount
}

func parseQuantity(text string) (quantity, error) {
	if strings.TrimSpace(text) == "" {
		one := Whole(1)
		return quantity{{number: &one}}, nil
	}
	var q quantity
	divide := false
	for rest := text; ; {
		end := strings.IndexAny(rest, "*/")
		word := rest
		if end >= 0 {
			word = rest[:end]
		}
		f, err := parseFactor(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("quantity %q: %w", text, err)
		}
		f.divide = divide
		if divide && (f.number == nil || f.number.Sign() == 0) {
			return nil, fmt.Errorf("quantity %q: only a number other than zero may stand behind /", text)
		}
		q = append(q, f)
		if end < 0 {
			return q, nil
		}
		divide, rest = rest[end] == '/', rest[end+1:]
	}
}

func parseFactor(word string) (factor, error) {
	var f factor
	base := word
	if i := strings.IndexAny(word, ":~><"); i >= 0 {
		base = word[:i]
		for rest := word[i:]; rest != ""; {
			end := strings.IndexAny(rest[1:], ":~><") + 1
			if end == 0 {
				end = len(rest)
			}
			n, err := ParseAmount(strings.TrimSpace(rest[1:end]))
			if err != nil {
				return f, err
			}
			switch rest[0] {
			case ':':
				f.absent = &n
			case '~':
				f.assumed = &n
			case '>':
				f.above = &n
			case '<':
				f.most = &n
			}
			rest = rest[end:]
		}
	}
	base = strings.TrimSpace(base)
	if n, err := ParseAmount(base); err == nil {
		f.number = &n
		return f, nil
	}
	if name, ok := strings.CutPrefix(base, "usage."); ok {
		f.usage = name
		base = name
	} else if name, ok := strings.CutPrefix(base, "#"); ok {
		f.path, f.count = name, true
		base = name
	} else {
		f.path = base
	}
	if !validPath(base) {
		return f, fmt.Errorf("%q is neither a number nor a name", base)
	}
	return f, nil
}

// validPath reports whether text is names and indices separated by dots.
func validPath(text string) bool {
	for _, part := range strings.Split(text, ".") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return false
		}
	}
	return true
}

// of evaluates a quantity for an object. Where it is not known, the reason says
// why.
func (q quantity) of(o *object) (n Amount, reason string) {
	n = Whole(1)
	for _, f := range q {
		v, reason := f.of(o)
		if reason != "" {
			return Amount{}, reason
		}
		if f.divide {
			n = n.By(v)
		} else {
			n = n.Times(v)
		}
	}
	return n, ""
}

func (f factor) of(o *object) (Amount, string) {
	n, reason := f.value(o)
	if reason != "" {
		return n, reason
	}
	if f.above != nil {
		if n = n.Minus(*f.above); n.Sign() < 0 {
			n = Amount{}
		}
	}
	if f.most != nil && n.Compare(*f.most) > 0 {
		n = *f.most
	}
	return n, ""
}

func (f factor) value(o *object) (Amount, string) {
	if f.number != nil {
		return *f.number, ""
	}
	if f.usage != "" {
		if n, ok := o.usage[f.usage]; ok {
			return n, ""
		}
		return f.orElse(o, "usage."+f.usage, "usage "+f.usage+" is not given", true)
	}
	v := o.get(f.path)
	switch {
	case !v.IsKnown():
		return f.orElse(o, f.path, f.path+" is known after apply", false)
	case v.IsNull():
		return f.orElse(o, f.path, f.path+" is not set", true)
	}
	if f.count {
		if !v.CanIterateElements() {
			return Whole(1), ""
		}
		return Whole(int64(v.LengthInt())), ""
	}
	text, ok := textOf(v)
	n, err := ParseAmount(text)
	if !ok || err != nil {
		return n, f.path + " is not a number"
	}
	if n.Sign() < 0 {
		return n, f.path + " is negative"
	}
	return n, ""
}

// orElse is the value that stands for one that is not there.
func (f factor) orElse(o *object, name, reason string, absent bool) (Amount, string) {
	switch {
	case absent && f.absent != nil:
		return *f.absent, ""
	case f.assumed != nil:
		o.assume(name + " taken as " + f.assumed.String())
		return *f.assumed, ""
	case absent && f.count:
		return Amount{}, ""
	}
	return Amount{}, reason
}

// textOf is a known primitive value as text.
func textOf(v cty.Value) (string, bool) {
	switch v.Type() {
	case cty.String:
		return v.AsString(), true
	case cty.Bool:
		if v.True() {
			return "true", true
		}
		return "false", true
	case cty.Number:
		f := v.AsBigFloat()
		if f.IsInf() {
			return "", false
		}
		if e := f.MantExp(nil); e > 200 || e < -200 {
			return "", false // no one has so many of anything
		}
		return f.Text('f', -1), true
	}
	return "", false
}
