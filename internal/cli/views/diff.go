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
	forces []cty.Path // paths that force a replacement
	// nulls says that attributes of objects that are null are shown like others:
	// so it is inside values whose type nobody declared, such as JSON.
	nulls bool
	// all shows what does not change, too.
	all bool
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

// forced is the note on a part that cannot change without a replacement.
func (d *differ) forced(path cty.Path) string {
	if path == nil {
		return ""
	}
	for _, p := range d.forces {
		if p.Equals(path) {
			return " " + d.t.paint(red, "# forces replacement")
		}
	}
	return ""
}

// forcedInside is forced for sets: their elements have no place of their own to
// put the note.
func (d *differ) forcedInside(path cty.Path) string {
	for _, p := range d.forces {
		if path != nil && p.HasPrefix(path) {
			return " " + d.t.paint(red, "# forces replacement")
		}
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
	d.sensitivity(level, before, after)
	d.b.WriteString(strings.Repeat(" ", level))
	d.b.WriteString(d.symbol(symbol))
	d.b.WriteString(padded(name, width) + " = ")
	d.change(level, symbol, before, after, path)
	d.b.WriteByte('\n')
}

// sensitivity warns where a value becomes sensitive, or no longer is.
func (d *differ) sensitivity(level int, before, after cty.Value) {
	if isNothing(before) || isNothing(after) {
		return
	}
	was, is := marks.Has(before, marks.Sensitive), marks.Has(after, marks.Sensitive)
	if was == is {
		return
	}
	text := "this attribute value will be marked as sensitive and will not display in UI output after applying this change."
	if was {
		text = "this attribute value will no longer be marked as sensitive after applying this change."
	}
	if bare(before).RawEquals(bare(after)) {
		text += " The value is unchanged."
	}
	d.comment(level, d.t.paint(yellow, "# Warning:"), len("# Warning:"), text)
}

// comment writes a remark of several words in front of what it is about.
func (d *differ) comment(level int, head string, headColumns int, text string) {
	room := max(d.t.Width-level, 40)
	// The remark is wrapped as if every line had the "# " of those after the first.
	lines := strings.Split(wrap(strings.Repeat("x", headColumns-2)+" "+text, room-2), "\n")
	pad := strings.Repeat(" ", level)
	for i, line := range lines {
		if i == 0 {
			d.b.WriteString(pad + head + line[headColumns-2:] + "\n")
		} else {
			d.b.WriteString(pad + "# " + line + "\n")
		}
	}
}

// change writes the value of one part, without a line end.
func (d *differ) change(level int, symbol string, before, after cty.Value, path cty.Path) {
	switch symbol {
	case symbolCreate:
		d.whole(level, symbolCreate, after, d.forced(path))
	case symbolDelete:
		d.whole(level, symbolDelete, before, d.t.paint(dim, " -> null")+d.forced(path))
	case symbolNone:
		d.whole(level, symbolNone, after, "")
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

// whole writes a value of which everything is new, gone or as it was; note
// follows it.
func (d *differ) whole(level int, symbol string, v cty.Value, note string) {
	if text := hiddenText(v); text != "" {
		d.b.WriteString(text + note)
		return
	}
	v, _ = v.Unmark()
	ty := v.Type()
	switch {
	case !v.IsKnown():
		d.b.WriteString("(known after apply)" + note)
	case v.IsNull():
		d.b.WriteString(d.t.paint(dim, "null") + note)
	case ty == cty.String:
		d.wholeString(level, symbol, v.AsString(), note)
	case ty.IsObjectType() || ty.IsMapType():
		d.wholeMapping(level, symbol, v, note)
	case isSequence(ty):
		if v.LengthInt() == 0 {
			d.b.WriteString("[]" + note)
			return
		}
		d.b.WriteString("[\n")
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			d.element(level+4, symbol, func() { d.whole(level+4, symbol, e, "") })
		}
		d.b.WriteString(strings.Repeat(" ", level+2) + "]" + note)
	default:
		d.b.WriteString(expression(v, 0) + note)
	}
}

func (d *differ) wholeMapping(level int, symbol string, v cty.Value, note string) {
	names, width := d.memberNames(v)
	if len(names) == 0 {
		d.b.WriteString("{}" + note)
		return
	}
	isMap := v.Type().IsMapType()
	d.b.WriteString("{\n")
	for _, name := range names {
		d.b.WriteString(strings.Repeat(" ", level+4) + d.symbol(symbol) + padded(d.label(name, isMap), width) + " = ")
		d.whole(level+4, symbol, member(v, name), "")
		d.b.WriteByte('\n')
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "}" + note)
}

func (d *differ) element(level int, symbol string, write func()) {
	d.b.WriteString(strings.Repeat(" ", level) + d.symbol(symbol))
	write()
	d.b.WriteString(",\n")
}

func padded(name string, width int) string {
	return name + strings.Repeat(" ", max(0, width-columns(name)))
}

// memberNames lists what an object or map has to show, and the width of the
// widest label. Keys of maps are quoted, unless nobody declared that they are
// a map.
func (d *differ) memberNames(v cty.Value) (names []string, width int) {
	isMap := v.Type().IsMapType()
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if !isMap && !d.nulls && isNothing(e) {
			continue
		}
		name := key.AsString()
		names = append(names, name)
		width = max(width, d.labelWidth(name, isMap))
	}
	return names, width
}

func (d *differ) label(name string, isMap bool) string {
	if isMap && !d.nulls {
		return quoted(name)
	}
	return attributeName(name)
}

func (d *differ) labelWidth(name string, isMap bool) int { return columns(d.label(name, isMap)) }

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
