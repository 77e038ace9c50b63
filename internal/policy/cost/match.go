package cost

import (
	"fmt"
	"strings"
)

// matcher is a condition on one attribute: "instance_type=t3.micro",
// "tenancy=default|null", "size<=64". Alternatives are separated by |; * stands
// for any text, null for no value, and ? for one that is not known, which is then
// said as an assumption.
type matcher struct {
	path   string
	op     string // = != < <= > >=
	values []string
	bound  Amount
}

var operators = []string{"!=", "<=", ">=", "=", "<", ">"}

// parseMatch reads conditions separated by semicolons.
func parseMatch(text string) ([]matcher, error) {
	var out []matcher
	for _, part := range strings.Split(text, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		m, err := parseMatcher(part)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMatcher(text string) (matcher, error) {
	at := strings.IndexAny(text, "!<>=")
	if at < 0 {
		return matcher{}, fmt.Errorf("the condition %q has no operator: write for example instance_type=t3.micro", text)
	}
	m := matcher{path: strings.TrimSpace(text[:at])}
	if !validPath(m.path) {
		return m, fmt.Errorf("the condition %q begins with no attribute", text)
	}
	for _, op := range operators {
		rest, ok := strings.CutPrefix(text[at:], op)
		if !ok {
			continue
		}
		m.op = op
		rest = strings.TrimSpace(rest)
		if op != "=" && op != "!=" {
			var err error
			if m.bound, err = ParseAmount(rest); err != nil {
				return m, fmt.Errorf("the condition %q: %w", text, err)
			}
			return m, nil
		}
		for _, v := range strings.Split(rest, "|") {
			m.values = append(m.values, strings.TrimSpace(v))
		}
		return m, nil
	}
	return m, fmt.Errorf("the condition %q has no operator: they are %s", text, strings.Join(operators, " "))
}

// truth is the outcome of conditions.
type truth byte

const (
	no truth = iota
	unknown
	yes
	assumed // yes, because a row says what to take where a value is not known
)

// of judges an object.
func (m matcher) of(o *object) truth {
	v := o.get(m.path)
	if !v.IsKnown() {
		for _, want := range m.values {
			if want == "?" && m.op == "=" {
				return assumed
			}
		}
		return unknown
	}
	if v.IsNull() {
		found := false
		for _, want := range m.values {
			found = found || want == "null"
		}
		return truthOf(m.op == "=" && found || m.op == "!=" && !found)
	}
	text, ok := textOf(v)
	if !ok {
		return no
	}
	if m.op == "=" || m.op == "!=" {
		found := false
		for _, want := range m.values {
			found = found || glob(want, text)
		}
		return truthOf(found == (m.op == "="))
	}
	n, err := ParseAmount(text)
	if err != nil {
		return no
	}
	c := n.Compare(m.bound)
	return truthOf(c < 0 && m.op[0] == '<' || c > 0 && m.op[0] == '>' || c == 0 && len(m.op) == 2)
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// glob reports whether text is what a pattern says, * standing for any text.
func glob(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	if !strings.HasPrefix(text, head) {
		return false
	}
	text = text[len(head):]
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(part):], more
	}
}

// allOf judges an object by conditions, all of which must hold.
func allOf(list []matcher, o *object) truth {
	out := yes
	for _, m := range list {
		switch m.of(o) {
		case no:
			return no
		case unknown:
			out = unknown
		case assumed:
			if out == yes {
				out = assumed
			}
		}
	}
	return out
}
