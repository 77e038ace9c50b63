// Package jsonvalue writes JSON: a small streaming [Writer] without
// reflection, and the three forms in which plan and state JSON show a value —
// the value itself without its unknown parts, which parts are unknown, and
// which are sensitive.
package jsonvalue

import (
	"io"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// flushAt is how much is collected before it is handed on.
const flushAt = 64 << 10

// Writer writes one JSON document after another to an [io.Writer]. It sets
// commas itself. The caller is trusted to nest correctly. Call [Writer.Flush]
// at the end; the first error sticks and is returned there.
type Writer struct {
	out  io.Writer
	buf  []byte
	last byte // the last byte written, to know whether a comma is due
	err  error
}

// NewWriter returns a writer to out.
func NewWriter(out io.Writer) *Writer {
	return &Writer{out: out, buf: make([]byte, 0, flushAt+4096)}
}

// Flush hands on what is left and returns the first error.
func (w *Writer) Flush() error {
	if len(w.buf) > 0 {
		w.last = w.buf[len(w.buf)-1]
		if w.err == nil {
			_, w.err = w.out.Write(w.buf)
		}
	}
	w.buf = w.buf[:0]
	return w.err
}

// separate writes the comma before a value or key where one is due.
func (w *Writer) separate() {
	if len(w.buf) > 0 {
		w.last = w.buf[len(w.buf)-1]
	}
	if len(w.buf) >= flushAt {
		_ = w.Flush()
	}
	switch w.last {
	case 0, '{', '[', ':', '\n':
	default:
		w.buf = append(w.buf, ',')
	}
}

// ObjectStart opens an object.
func (w *Writer) ObjectStart() {
	w.separate()
	w.buf = append(w.buf, '{')
}

// ObjectEnd closes an object.
func (w *Writer) ObjectEnd() { w.buf = append(w.buf, '}') }

// ArrayStart opens an array.
func (w *Writer) ArrayStart() {
	w.separate()
	w.buf = append(w.buf, '[')
}

// ArrayEnd closes an array.
func (w *Writer) ArrayEnd() { w.buf = append(w.buf, ']') }

// Newline ends a document, so that another may follow.
func (w *Writer) Newline() { w.buf = append(w.buf, '\n') }

// Key writes the name of an object's member; its value must follow.
func (w *Writer) Key(name string) {
	w.separate()
	w.buf = append(appendQuoted(w.buf, name), ':')
}

// String writes a string.
func (w *Writer) String(s string) {
	w.separate()
	w.buf = appendQuoted(w.buf, s)
}

// Int writes a whole number.
func (w *Writer) Int(i int64) {
	w.separate()
	w.buf = strconv.AppendInt(w.buf, i, 10)
}

// Bool writes true or false.
func (w *Writer) Bool(b bool) {
	w.separate()
	w.buf = strconv.AppendBool(w.buf, b)
}

// Null writes null.
func (w *Writer) Null() {
	w.separate()
	w.buf = append(w.buf, "null"...)
}

// Raw writes what is JSON already.
func (w *Writer) Raw(json []byte) {
	w.separate()
	w.buf = append(w.buf, json...)
}

// number writes a number with all its digits.
func (w *Writer) number(n *big.Float) {
	w.separate()
	if i, acc := n.Int64(); acc == big.Exact {
		w.buf = strconv.AppendInt(w.buf, i, 10)
		return
	}
	w.buf = n.Append(w.buf, 'f', -1)
}

// StringMember writes a member that is a string.
func (w *Writer) StringMember(name, value string) {
	w.Key(name)
	w.String(value)
}

// OptionalString writes a member that is a string, unless it is empty.
func (w *Writer) OptionalString(name, value string) {
	if value != "" {
		w.StringMember(name, value)
	}
}

// IntMember writes a member that is a whole number.
func (w *Writer) IntMember(name string, value int64) {
	w.Key(name)
	w.Int(value)
}

// BoolMember writes a member that is true or false.
func (w *Writer) BoolMember(name string, value bool) {
	w.Key(name)
	w.Bool(value)
}

// Strings writes an array of strings.
func (w *Writer) Strings(list []string) {
	w.ArrayStart()
	for _, s := range list {
		w.String(s)
	}
	w.ArrayEnd()
}

const hex = "0123456789abcdef"

// appendQuoted writes a JSON string. Line and paragraph separators are escaped
// because JavaScript readers trip over them; bytes that are not UTF-8 become
// the replacement character.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028', r == '\u2029':
			b = append(append(b, s[start:i]...), '\\', 'u', '2', '0', '2', hex[r&15])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}
