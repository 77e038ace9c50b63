package views

import (
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// The marks in front of lines.
const (
	symbolNone    = "  "
	symbolCreate  = "+ "
	symbolDelete  = "- "
	symbolUpdate  = "~ "
	symbolReplace = "-/+ "
)

// differ writes what becomes of a value, in the form of configuration. level is
// the column of the mark; names stand two columns to its right, and what is
// inside a value four.
type differ struct {
	t      *Terminal
	b      *strings.Builder
	forces cty.PathSet // paths that force a replacement
	any    bool        // whether forces has some
}

func (d *differ) symbol(s string) string {
	switch s {
	case symbolCreate:
		return d.t.paint(green, "+") + " "
	case symbolDelete:
		return d.t.paint(red, "-") + " "
	case symbolUpdate:
		return d.t.paint(yellow, "~") + " "
	}
	return s
}

func (d *differ) line(level int, symbol, text string) {
	d.b.WriteString(strings.Repeat(" ", level))
	d.b.WriteString(d.symbol(symbol))
	d.b.WriteString(text)
	d.b.WriteByte('\n')
}

// hidden notes how many parts did not change.
func (d *differ) hidden(level, n int, what string) {
	if n == 0 {
		return
	}
	if n > 1 {
		what += "s"
	}
	d.line(level, symbolNone, d.t.paint(dim, fmt.Sprintf("# (%d unchanged %s hidden)", n, what)))
}

func (d *differ) forced(path cty.Path) string {
	if d.any && d.forces.Has(path) {
		return " " + d.t.paint(red, "# forces replacement")
	}
	return ""
}

// symbolFor says what becomes of a part.
func symbolFor(before, after cty.Value) string {
	switch {
	case isNothing(before) && isNothing(after):
		return symbolNone
	case isNothing(before):
		return symbolCreate
	case isNothing(after):
		return symbolDelete
	case before.RawEquals(after):
		return symbolNone
	}
	return symbolUpdate
}

func isNothing(v cty.Value) bool {
	if v == cty.NilVal {
		return true
	}
	v, _ = v.Unmark()
	return v.IsNull()
}

// attribute writes "name = value" with the change of the value.
func (d *differ) attribute(level int, name string, width int, before, after cty.Value, path cty.Path) {
	symbol := symbolFor(before, after)
	label := name + strings.Repeat(" ", max(0, width-len(name))) + " = "
	d.b.WriteString(strings.Repeat(" ", level))
	d.b.WriteString(d.symbol(symbol))
	d.b.WriteString(label)
	d.change(level, symbol, before, after, path)
	d.b.WriteByte('\n')
}

// change writes the value of one part, without a line end.
func (d *differ) change(level int, symbol string, before, after cty.Value, path cty.Path) {
	switch symbol {
	case symbolCreate:
		d.whole(level, symbolCreate, after)
		d.b.WriteString(d.forced(path))
	case symbolDelete:
		d.whole(level, symbolDelete, before)
		d.b.WriteString(d.t.paint(dim, " -> null"))
		d.b.WriteString(d.forced(path))
	case symbolNone:
		d.whole(level, symbolNone, after)
	default:
		d.update(level, before, after, path)
	}
}

// hiddenText stands for values that must not be shown; empty for others.
func hiddenText(v cty.Value) string {
	switch {
	case marks.Has(v, marks.Sensitive):
		return "(sensitive value)"
	case marks.Has(v, marks.Ephemeral):
		return "(ephemeral value)"
	}
	return ""
}

// whole writes a value of which everything is new, gone or as it was.
func (d *differ) whole(level int, symbol string, v cty.Value) {
	if text := hiddenText(v); text != "" {
		d.b.WriteString(text)
		return
	}
	v, _ = v.Unmark()
	ty := v.Type()
	switch {
	case !v.IsKnown():
		d.b.WriteString("(known after apply)")
	case v.IsNull():
		d.b.WriteString("null")
	case ty == cty.String:
		d.wholeString(level, symbol, v.AsString())
	case ty.IsObjectType() || ty.IsMapType():
		if v.LengthInt() == 0 {
			d.b.WriteString("{}")
			return
		}
		d.b.WriteString("{\n")
		names, width := memberNames(v, symbol != symbolNone && ty.IsObjectType())
		for _, name := range names {
			d.b.WriteString(strings.Repeat(" ", level+4) + d.symbol(symbol) + padded(attributeName(name), width) + " = ")
			d.whole(level+4, symbol, member(v, name))
			d.b.WriteByte('\n')
		}
		d.b.WriteString(strings.Repeat(" ", level+2) + "}")
	case ty.IsListType() || ty.IsSetType() || ty.IsTupleType():
		if v.LengthInt() == 0 {
			d.b.WriteString("[]")
			return
		}
		d.b.WriteString("[\n")
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			d.element(level+4, symbol, func() { d.whole(level+4, symbol, e) })
		}
		d.b.WriteString(strings.Repeat(" ", level+2) + "]")
	default:
		d.b.WriteString(expression(v, 0))
	}
}

func (d *differ) element(level int, symbol string, write func()) {
	d.b.WriteString(strings.Repeat(" ", level) + d.symbol(symbol))
	write()
	d.b.WriteString(",\n")
}

func padded(name string, width int) string {
	return name + strings.Repeat(" ", max(0, width-len(name)))
}

// memberNames lists the names of an object or map and the width of the widest.
// Null attributes of objects can be left out.
func memberNames(v cty.Value, dropNulls bool) (names []string, width int) {
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if dropNulls && isNothing(e) {
			continue
		}
		names = append(names, key.AsString())
		width = max(width, len(attributeName(key.AsString())))
	}
	return names, width
}

func member(v cty.Value, name string) cty.Value {
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		return cty.NilVal
	}
	if v.Type().IsObjectType() {
		if !v.Type().HasAttribute(name) {
			return cty.NilVal
		}
		return v.GetAttr(name)
	}
	key := cty.StringVal(name)
	if v.HasIndex(key).False() {
		return cty.NilVal
	}
	return v.Index(key)
}

// wholeString writes a string: as a document where it is one, over several
// lines where it has some.
func (d *differ) wholeString(level int, symbol, s string) {
	if doc, ok := jsonDocument(s); ok {
		d.b.WriteString("jsonencode(\n" + strings.Repeat(" ", level+4) + d.symbol(symbol))
		d.whole(level+4, symbol, jsonValue(doc))
		d.b.WriteString("\n" + strings.Repeat(" ", level+2) + ")")
		return
	}
	if !strings.Contains(s, "\n") {
		d.b.WriteString(quoted(s))
		return
	}
	d.b.WriteString("<<-EOT\n")
	for _, line := range strings.Split(strings.TrimSuffix(printable(s), "\n"), "\n") {
		d.b.WriteString(strings.TrimRight(strings.Repeat(" ", level+6)+line, " ") + "\n")
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "EOT")
}

// update writes a value that changes in part.
func (d *differ) update(level int, before, after cty.Value, path cty.Path) {
	hiddenBefore, hiddenAfter := hiddenText(before), hiddenText(after)
	if hiddenBefore != "" || hiddenAfter != "" {
		text := hiddenBefore
		if text == "" {
			text = hiddenAfter
		}
		d.b.WriteString(text + d.forced(path))
		return
	}
	before, _ = before.Unmark()
	after, _ = after.Unmark()
	a, b := before.Type(), after.Type()
	known := before.IsKnown() && after.IsKnown()
	switch {
	case known && (a.IsObjectType() || a.IsMapType()) && (b.IsObjectType() || b.IsMapType()):
		d.updateMapping(level, before, after, path)
	case known && isSequence(a) && isSequence(b):
		d.updateSequence(level, before, after, path)
	case known && a == cty.String && b == cty.String && d.updateString(level, before.AsString(), after.AsString(), path):
	default:
		d.whole(level, symbolNone, before)
		d.b.WriteString(d.t.paint(yellow, " -> "))
		d.whole(level, symbolNone, after)
		d.b.WriteString(d.forced(path))
	}
}

func isSequence(ty cty.Type) bool { return ty.IsListType() || ty.IsSetType() || ty.IsTupleType() }

func (d *differ) updateMapping(level int, before, after cty.Value, path cty.Path) {
	object := after.Type().IsObjectType()
	step := func(name string) cty.Path {
		if object {
			return path.GetAttr(name)
		}
		return path.Index(cty.StringVal(name))
	}
	d.b.WriteString("{" + d.forced(path) + "\n")
	names := map[string]bool{}
	for _, v := range []cty.Value{before, after} {
		list, _ := memberNames(v, false)
		for _, name := range list {
			names[name] = true
		}
	}
	width := 0
	var shown []string
	unchanged := 0
	for _, name := range sortedKeys(names) {
		switch symbolFor(member(before, name), member(after, name)) {
		case symbolNone:
			if !isNothing(member(after, name)) {
				unchanged++
			}
			continue
		}
		shown = append(shown, name)
		width = max(width, len(attributeName(name)))
	}
	for _, name := range shown {
		d.attribute(level+4, attributeName(name), width, member(before, name), member(after, name), step(name))
	}
	what := "element"
	if object {
		what = "attribute"
	}
	d.hidden(level+4, unchanged, what)
	d.b.WriteString(strings.Repeat(" ", level+2) + "}")
}

func (d *differ) updateSequence(level int, before, after cty.Value, path cty.Path) {
	d.b.WriteString("[" + d.forced(path) + "\n")
	var edits []edit
	if before.Type().IsSetType() && after.Type().IsSetType() {
		edits = setEdits(before, after)
	} else {
		edits = listEdits(elements(before), elements(after))
	}
	unchanged := 0
	for _, e := range edits {
		if e.symbol == symbolNone {
			unchanged++
			continue
		}
		d.hidden(level+4, unchanged, "element")
		unchanged = 0
		inside := path
		if !after.Type().IsSetType() {
			inside = path.Index(cty.NumberIntVal(int64(e.index)))
		}
		d.element(level+4, e.symbol, func() {
			if e.symbol == symbolUpdate {
				d.update(level+4, e.before, e.after, inside)
				return
			}
			v := e.after
			if e.symbol == symbolDelete {
				v = e.before
			}
			d.whole(level+4, e.symbol, v)
			d.b.WriteString(d.forced(inside))
		})
	}
	d.hidden(level+4, unchanged, "element")
	d.b.WriteString(strings.Repeat(" ", level+2) + "]")
}

// updateString writes the change of a string that is a document or has lines;
// false where it is neither.
func (d *differ) updateString(level int, before, after string, path cty.Path) bool {
	if docBefore, ok := jsonDocument(before); ok {
		if docAfter, ok := jsonDocument(after); ok {
			a, b := jsonValue(docBefore), jsonValue(docAfter)
			if a.RawEquals(b) {
				d.b.WriteString("jsonencode( # whitespace changes\n")
			} else {
				d.b.WriteString("jsonencode(" + d.forced(path) + "\n")
			}
			symbol := symbolFor(a, b)
			d.b.WriteString(strings.Repeat(" ", level+4) + d.symbol(symbol))
			d.change(level+4, symbol, a, b, nil)
			d.b.WriteString("\n" + strings.Repeat(" ", level+2) + ")")
			return true
		}
	}
	if !strings.Contains(before, "\n") && !strings.Contains(after, "\n") {
		return false
	}
	d.b.WriteString("<<-EOT" + d.forced(path) + "\n")
	for _, e := range lineEdits(before, after) {
		d.b.WriteString(strings.TrimRight(strings.Repeat(" ", level+4)+d.symbol(e.symbol)+e.text, " ") + "\n")
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "EOT")
	return true
}
