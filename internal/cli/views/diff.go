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
	for _, p := range d.forces {
		if path != nil && len(p) == len(path) && beginsWith(p, path) {
			return d.forcedNote()
		}
	}
	return ""
}

// forcedInside is forced for an element of a set: it has no path of its own, so
// that the note goes to every element where one has changed.
func (d *differ) forcedInside(path cty.Path) string {
	for _, p := range d.forces {
		if path != nil && len(p) >= len(path) && beginsWith(p, path) {
			return d.forcedNote()
		}
	}
	return ""
}

func (d *differ) forcedNote() string { return " " + d.t.paint(red, "# forces replacement") }

// beginsWith compares the steps of paths. Providers are not exact about whether
// a name is an attribute's or a key's.
func beginsWith(long, short cty.Path) bool {
	for i := range short {
		if stepText(long[i]) != stepText(short[i]) {
			return false
		}
	}
	return true
}

func stepText(step cty.PathStep) string {
	switch step := step.(type) {
	case cty.GetAttrStep:
		return step.Name
	case cty.IndexStep:
		key := bare(step.Key)
		switch {
		case isNothing(key) || !key.IsKnown():
		case key.Type() == cty.String:
			return key.AsString()
		case key.Type() == cty.Number:
			return numberText(key.AsBigFloat())
		}
	}
	return "\x00"
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
	room := max(d.t.Width-level, 24)
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
		d.whole(level, symbolCreate, after, remark{forced: d.forced(path)})
	case symbolDelete:
		d.whole(level, symbolDelete, before, remark{end: d.toNull(), forced: d.forced(path)})
	case symbolNone:
		d.whole(level, symbolNone, after, remark{})
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

// remark is what is said about a value besides: end follows it, forced follows
// its first line.
type remark struct{ end, forced string }

func (d *differ) toNull() string { return d.t.paint(dim, " -> null") }

// whole writes a value of which everything is new, gone or as it was.
func (d *differ) whole(level int, symbol string, v cty.Value, r remark) {
	short := func(text string) { d.b.WriteString(text + r.end + r.forced) }
	if text := hiddenText(v); text != "" {
		short(text)
		return
	}
	v, _ = v.Unmark()
	ty := v.Type()
	switch {
	case !v.IsKnown():
		short("(known after apply)")
	case v.IsNull():
		short(d.t.paint(dim, "null"))
	case ty == cty.String:
		d.wholeString(level, symbol, v.AsString(), r)
	case isMapping(ty):
		d.wholeMapping(level, symbol, v, r)
	case isSequence(ty):
		if v.LengthInt() == 0 {
			short("[]")
			return
		}
		d.b.WriteString("[" + r.forced + "\n")
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			d.element(level+4, symbol, func() { d.whole(level+4, symbol, e, remark{}) })
		}
		d.b.WriteString(strings.Repeat(" ", level+2) + "]" + r.end)
	default:
		short(expression(v, 0))
	}
}

func (d *differ) wholeMapping(level int, symbol string, v cty.Value, r remark) {
	m := d.mapping(v.Type())
	names := m.names(v)
	if len(names) == 0 {
		d.b.WriteString("{}" + r.end + r.forced)
		return
	}
	width := m.width(names)
	inner := remark{}
	if symbol == symbolDelete && m.object {
		inner.end = d.toNull()
	}
	d.b.WriteString("{" + r.forced + "\n")
	for _, name := range names {
		d.b.WriteString(strings.Repeat(" ", level+4) + d.symbol(symbol) + padded(m.label(name), width) + " = ")
		d.whole(level+4, symbol, member(v, name), inner)
		d.b.WriteString(m.comma + "\n")
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "}" + r.end)
}

func (d *differ) element(level int, symbol string, write func()) {
	d.b.WriteString(strings.Repeat(" ", level) + d.symbol(symbol))
	write()
	d.b.WriteString(",\n")
}

func padded(name string, width int) string {
	return name + strings.Repeat(" ", max(0, width-columns(name)))
}

// mapping says how the members of an object or a map are shown.
type mapping struct {
	object  bool   // of a declared type: members that are null do not count
	quoted  bool   // keys are in quotes
	aligned bool   // equals signs stand below each other
	comma   string // after each member
}

// mapping returns how values of a type are shown. Values whose type nobody
// declared look like objects, but their nulls count.
func (d *differ) mapping(ty cty.Type) mapping {
	switch {
	case d.nulls:
		return mapping{aligned: true}
	case ty.IsObjectType():
		return mapping{object: true, aligned: true}
	case ty.ElementType().IsObjectType():
		return mapping{quoted: true, comma: ","}
	}
	return mapping{quoted: true, aligned: true}
}

// names lists the members to show.
func (m mapping) names(v cty.Value) []string {
	var names []string
	for it := v.ElementIterator(); it.Next(); {
		if key, e := it.Element(); !m.object || !isNothing(e) {
			names = append(names, key.AsString())
		}
	}
	return names
}

func (m mapping) label(name string) string {
	if m.quoted {
		return quoted(name)
	}
	return attributeName(name)
}

func (m mapping) width(names []string) int {
	widest := 0
	for _, name := range names {
		if m.aligned {
			widest = max(widest, columns(m.label(name)))
		}
	}
	return widest
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
