package patterns

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The kinds of values that fields have.
const (
	kindString = iota
	kindNumber
	kindTrue
	kindFalse
	kindNull
)

// value is the value of a field in an event.
type value struct {
	kind int
	text []byte // of a string, without its quotes and escapes; of a number as it is written
}

// test is one thing that a value may have to be.
type test interface {
	fits(v value) bool
	// key is the same for tests that say the same.
	key() string
}

// textTest is fitted by strings that consist of parts with anything between them:
// one part is the whole string, and with more the first and the last are at its ends.
type textTest struct {
	parts  []string
	folded bool // parts are folded, and so is what they are compared with
}

func (t *textTest) key() string { return fmt.Sprintf("text %v %q", t.folded, t.parts) }

func (t *textTest) fits(v value) bool {
	if v.kind != kindString {
		return false
	}
	if t.folded {
		return t.fitsText(appendFolded(nil, v.text))
	}
	return t.fitsText(v.text)
}

// fitsText is for texts that are folded where the test is.
func (t *textTest) fitsText(text []byte) bool {
	first, rest := t.parts[0], t.parts[1:]
	if len(rest) == 0 {
		return string(text) == first
	}
	if len(text) < len(first) || string(text[:len(first)]) != first {
		return false
	}
	text = text[len(first):]
	last := rest[len(rest)-1]
	if len(text) < len(last) || string(text[len(text)-len(last):]) != last {
		return false
	}
	text = text[:len(text)-len(last)]
	for _, part := range rest[:len(rest)-1] {
		at := bytes.Index(text, []byte(part))
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

// appendFolded appends text such that texts that differ in case alone become the
// same: each letter is the first of those that Unicode's simple case folding takes
// for one.
func appendFolded(b, text []byte) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		first := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			first = min(first, other)
		}
		b = utf8.AppendRune(b, first)
		i += size
	}
	return b
}

// numberTest is fitted by numbers between two bounds.
type numberTest struct{ low, high bound }

// bound is an end of a range of numbers; without a number there is none.
type bound struct {
	number *decimal
	open   bool // the number itself is outside
}

func (t *numberTest) key() string {
	return fmt.Sprintf("number %s %s", t.low, t.high)
}

func (b bound) String() string {
	if b.number == nil {
		return "none"
	}
	return fmt.Sprintf("%v %x", b.open, b.number.appendKey(nil))
}

func (t *numberTest) fits(v value) bool {
	if v.kind != kindNumber {
		return false
	}
	d, _ := parseDecimal(v.text, nil)
	return t.low.above(d) && t.high.below(d)
}

// above reports whether a number is not too small for a lower bound.
func (b bound) above(d decimal) bool {
	if b.number == nil {
		return true
	}
	c := d.compare(*b.number)
	return c > 0 || c == 0 && !b.open
}

// below reports whether a number is not too large for an upper bound.
func (b bound) below(d decimal) bool {
	if b.number == nil {
		return true
	}
	c := d.compare(*b.number)
	return c < 0 || c == 0 && !b.open
}

// equal reports whether the test names one number.
func (t *numberTest) equal() bool {
	return t.low.number != nil && t.high.number != nil && !t.low.open && !t.high.open && t.low.number.compare(*t.high.number) == 0
}

// kindTest is fitted by true, false or null.
type kindTest int

func (t kindTest) key() string       { return fmt.Sprintf("kind %d", int(t)) }
func (t kindTest) fits(v value) bool { return v.kind == int(t) }

// netTest is fitted by strings that are IP addresses of a network.
type netTest netip.Prefix

func (t netTest) key() string { return "net " + netip.Prefix(t).String() }

func (t netTest) fits(v value) bool {
	addr, ok := parseAddress(v)
	return ok && netip.Prefix(t).Contains(addr)
}

func parseAddress(v value) (netip.Addr, bool) {
	if v.kind != kindString || len(v.text) < 2 || len(v.text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(string(v.text))
	return addr, err == nil
}

// presentTest is fitted by every value.
type presentTest struct{}

func (presentTest) key() string     { return "present" }
func (presentTest) fits(value) bool { return true }

// butTest is fitted by every value but some.
type butTest struct {
	texts   map[string]bool
	numbers map[string]bool // keys of decimals
	others  []*textTest
	name    string
}

func (t *butTest) key() string { return t.name }

func (t *butTest) fits(v value) bool {
	switch v.kind {
	case kindString:
		if t.texts[string(v.text)] {
			return false
		}
		for _, other := range t.others {
			if other.fits(v) {
				return false
			}
		}
	case kindNumber:
		if len(t.numbers) > 0 {
			d, _ := parseDecimal(v.text, nil)
			return !t.numbers[string(d.appendKey(nil))]
		}
	}
	return true
}

// splitWildcard cuts a text at its "*"; a backslash takes away the meaning of the
// character behind it. The problem is empty where there is none.
func splitWildcard(text string) (parts []string, problem string) {
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			if i > 0 && len(parts) > 0 && part.Len() == 0 {
				return nil, `"*" must not follow "*"`
			}
			parts = append(parts, part.String())
			part.Reset()
		case '\\':
			i++
			if i == len(text) || text[i] != '*' && text[i] != '\\' {
				return nil, `a backslash must stand before "*" or another backslash`
			}
			part.WriteByte(text[i])
		default:
			part.WriteByte(c)
		}
	}
	return append(parts, part.String()), ""
}
