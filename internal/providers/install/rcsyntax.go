package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/diag"
)

// CLI configuration files are written in the first version of HCL, which the
// parser of configurations does not read: blocks with all their content in one
// line, argument names in quotes. The part of it that such files use is small:
// names, strings, numbers, lists and objects, and no expressions.

// rcKind is what a node of a CLI configuration file is.
type rcKind byte

const (
	rcText   rcKind = iota // a string, number or boolean
	rcList                 // of nodes
	rcObject               // of named nodes, in order; names may repeat
)

// rcNode is a value in a CLI configuration file. A block with labels is an
// object in an object, as in the JSON form.
type rcNode struct {
	kind   rcKind
	text   string
	list   []rcNode
	fields []rcField
	rng    hcl.Range
}

// rcField is a named value.
type rcField struct {
	name string
	node rcNode
	rng  hcl.Range // of the name
}

// each returns the members of a list, and any other node alone: the JSON form
// may write repeated blocks as a list.
func (n rcNode) each() []rcNode {
	if n.kind == rcList {
		return n.list
	}
	return []rcNode{n}
}

// field returns the text of a field, or "".
func (n rcNode) field(name string) string {
	for _, f := range n.fields {
		if f.name == name && f.node.kind == rcText {
			return f.node.text
		}
	}
	return ""
}

// texts returns the texts of a list, or of a single text.
func (n rcNode) texts() []string {
	var out []string
	for _, e := range n.each() {
		if e.kind == rcText {
			out = append(out, e.text)
		}
	}
	return out
}

// parseRC reads a CLI configuration file in either form.
func parseRC(src []byte, name string) (rcNode, diag.List) {
	p := &rcParser{src: src, name: name, line: 1}
	var out rcNode
	var err error
	if strings.HasSuffix(name, ".json") {
		out, err = p.json()
	} else {
		out, err = p.fields(0)
	}
	if err != nil {
		return out, diag.ErrorAt(p.here(), "Invalid CLI configuration file", "%s.", err)
	}
	return out, nil
}

type rcParser struct {
	src       []byte
	name      string
	at        int // offset
	line      int
	lineStart int // offset
}

// here is the place the parser stands at.
func (p *rcParser) here() hcl.Range {
	pos := hcl.Pos{Line: p.line, Column: p.at - p.lineStart + 1, Byte: p.at}
	return hcl.Range{Filename: p.name, Start: pos, End: pos}
}

func (p *rcParser) from(start hcl.Range) hcl.Range {
	start.End = p.here().End
	return start
}

// peek returns the next byte, or 0 at the end.
func (p *rcParser) peek() byte {
	if p.at < len(p.src) {
		return p.src[p.at]
	}
	return 0
}

func (p *rcParser) next() byte {
	c := p.peek()
	p.at++
	if c == '\n' {
		p.line, p.lineStart = p.line+1, p.at
	}
	return c
}

// space skips white space and comments.
func (p *rcParser) space() {
	for p.at < len(p.src) {
		rest := p.src[p.at:]
		switch {
		case unicode.IsSpace(rune(rest[0])):
			p.next()
		case rest[0] == '#' || bytes.HasPrefix(rest, []byte("//")):
			for p.at < len(p.src) && p.peek() != '\n' {
				p.next()
			}
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest, []byte("*/"))
			if end < 0 {
				end = len(rest) - 2
			}
			for range end + 2 {
				p.next()
			}
		case bytes.HasPrefix(rest, []byte("\ufeff")):
			p.at += len("\ufeff")
		default:
			return
		}
	}
}

// fields reads named values up to the byte end, which is 0 for the file's end.
func (p *rcParser) fields(end byte) (rcNode, error) {
	out := rcNode{kind: rcObject, rng: p.here()}
	for {
		p.space()
		if p.at >= len(p.src) || p.peek() == end {
			if p.peek() != end {
				return out, fmt.Errorf("a block or object is not closed: %q is missing", string(end))
			}
			p.next()
			out.rng = p.from(out.rng)
			return out, nil
		}
		if p.peek() == ',' {
			p.next()
			continue
		}
		f, err := p.oneField()
		if err != nil {
			return out, err
		}
		out.fields = append(out.fields, f)
	}
}

// oneField reads `name = value` or `name "label" { … }`.
func (p *rcParser) oneField() (rcField, error) {
	var f rcField
	start := p.here()
	name, err := p.word()
	if err != nil {
		return f, err
	}
	f.name, f.rng = name, p.from(start)
	p.space()
	switch c := p.peek(); {
	case c == '=' || c == ':':
		p.next()
		f.node, err = p.value()
	case c == '{':
		p.next()
		f.node, err = p.fields('}')
	case c == '"' || isNameByte(c):
		var inner rcField
		inner, err = p.oneField()
		f.node = rcNode{kind: rcObject, fields: []rcField{inner}, rng: inner.rng}
	default:
		err = fmt.Errorf("after %q there must be an equals sign and a value, or a block in braces", name)
	}
	f.node.rng = p.from(start)
	return f, err
}

func isNameByte(c byte) bool {
	return c == '_' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// word reads a name or a quoted string.
func (p *rcParser) word() (string, error) {
	if p.peek() == '"' {
		return p.quoted()
	}
	start := p.at
	for p.at < len(p.src) && isNameByte(p.peek()) {
		p.at++
	}
	if p.at == start {
		return "", fmt.Errorf("there must be a name here, not %q", string(rune(p.peek())))
	}
	return string(p.src[start:p.at]), nil
}

func (p *rcParser) quoted() (string, error) {
	p.next()
	var b strings.Builder
	for p.at < len(p.src) {
		switch c := p.next(); c {
		case '"':
			return b.String(), nil
		case '\n':
			return "", fmt.Errorf("a string must end in its line")
		case '\\':
			switch e := p.next(); e {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case '"', '\\':
				b.WriteByte(e)
			default:
				return "", fmt.Errorf("\\%s means nothing in a string; a backslash is written as two", string(rune(e)))
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("a string is not closed")
}

func (p *rcParser) value() (rcNode, error) {
	p.space()
	start := p.here()
	switch p.peek() {
	case '{':
		p.next()
		return p.fields('}')
	case '[':
		p.next()
		out := rcNode{kind: rcList}
		for {
			p.space()
			switch p.peek() {
			case ']':
				p.next()
				out.rng = p.from(start)
				return out, nil
			case ',':
				p.next()
				continue
			}
			element, err := p.value()
			if err != nil {
				return out, err
			}
			out.list = append(out.list, element)
		}
	}
	text, err := p.word()
	return rcNode{kind: rcText, text: text, rng: p.from(start)}, err
}

// json reads the JSON form, keeping the order of members.
func (p *rcParser) json() (rcNode, error) {
	dec := json.NewDecoder(bytes.NewReader(p.src))
	dec.UseNumber()
	out, err := p.jsonValue(dec)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file ends too early")
	}
	return out, err
}

// jsonAt moves the parser to where the decoder stands.
func (p *rcParser) jsonAt(dec *json.Decoder) hcl.Range {
	for p.at < int(dec.InputOffset()) {
		p.next()
	}
	return p.here()
}

func (p *rcParser) jsonValue(dec *json.Decoder) (rcNode, error) {
	token, err := dec.Token()
	out := rcNode{rng: p.jsonAt(dec)}
	if err != nil {
		return out, err
	}
	switch token {
	case json.Delim('{'):
		out.kind = rcObject
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return out, err
			}
			rng := p.jsonAt(dec)
			node, err := p.jsonValue(dec)
			if err != nil {
				return out, err
			}
			out.fields = append(out.fields, rcField{name: fmt.Sprint(name), node: node, rng: rng})
		}
		_, err = dec.Token()
	case json.Delim('['):
		out.kind = rcList
		for dec.More() {
			node, err := p.jsonValue(dec)
			if err != nil {
				return out, err
			}
			out.list = append(out.list, node)
		}
		_, err = dec.Token()
	case nil:
	default:
		out.text = fmt.Sprint(token)
	}
	return out, err
}
