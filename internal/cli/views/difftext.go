package views

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// wholeString writes a string: as a document where it is one, over several
// lines where it has some.
func (d *differ) wholeString(level int, symbol, s string, r remark) {
	if doc, ok := jsonDocument(s); ok {
		v := jsonValue(doc)
		if v.LengthInt() == 0 {
			d.b.WriteString("jsonencode(")
			d.whole(level, symbol, v, remark{})
			d.b.WriteString(")" + r.end + r.forced)
			return
		}
		d.b.WriteString("jsonencode(\n" + strings.Repeat(" ", level+6))
		d.untyped(func() { d.whole(level+4, symbol, v, remark{end: r.forced}) })
		d.b.WriteString("\n" + strings.Repeat(" ", level+2) + ")" + r.end)
		return
	}
	if !strings.Contains(s, "\n") {
		d.b.WriteString(quoted(s) + r.end + r.forced)
		return
	}
	d.b.WriteString("<<-EOT" + r.forced + "\n")
	for _, line := range textLines(s) {
		d.b.WriteString(strings.TrimRight(strings.Repeat(" ", level+6)+line, " ") + "\n")
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "EOT" + r.end)
}

// untyped does something inside a value whose type nobody declared.
func (d *differ) untyped(do func()) {
	before := d.nulls
	d.nulls = true
	do()
	d.nulls = before
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
	known := before.IsKnown() && after.IsKnown() && !before.IsNull() && !after.IsNull()
	switch {
	case known && isMapping(a) && isMapping(b):
		d.updateMapping(level, before, after, path)
	case known && isSequence(a) && isSequence(b):
		d.updateSequence(level, before, after, path)
	case known && a == cty.String && b == cty.String && d.updateString(level, before.AsString(), after.AsString(), path):
	default:
		// What is gone is shown with its parts, then what takes its place.
		symbol := symbolNone
		if isMapping(a) || isSequence(a) || a == cty.String {
			symbol = symbolDelete
		}
		d.whole(level, symbol, before, remark{})
		d.b.WriteString(d.t.paint(yellow, " -> "))
		d.whole(level, symbolCreate, after, remark{})
		d.b.WriteString(d.forced(path))
	}
}

func isSequence(ty cty.Type) bool { return ty.IsListType() || ty.IsSetType() || ty.IsTupleType() }

func isMapping(ty cty.Type) bool { return ty.IsObjectType() || ty.IsMapType() }

func (d *differ) updateMapping(level int, before, after cty.Value, path cty.Path) {
	m := d.mapping(after.Type())
	step := func(name string) cty.Path {
		switch {
		case path == nil:
			return nil
		case m.object:
			return path.GetAttr(name)
		}
		return path.Index(cty.StringVal(name))
	}
	all := map[string]bool{}
	for _, v := range []cty.Value{before, after} {
		for _, name := range m.names(v) {
			all[name] = true
		}
	}
	names := sortedKeys(all)
	width, unchanged := m.width(names), 0
	d.b.WriteString("{" + d.forced(path) + "\n")
	for _, name := range names {
		a, b := member(before, name), member(after, name)
		if d.memberSymbol(a, b) == symbolNone {
			unchanged++
			continue
		}
		d.member(level+4, padded(m.label(name), width), a, b, step(name))
		d.b.WriteString(m.comma + "\n")
	}
	what := "attribute"
	if m.quoted {
		what = "element"
	}
	d.hidden(level+4, unchanged, what)
	d.b.WriteString(strings.Repeat(" ", level+2) + "}")
}

// memberSymbol says what becomes of a member. Where nulls count, a member that
// is null is not the same as none.
func (d *differ) memberSymbol(before, after cty.Value) string {
	if d.nulls {
		switch {
		case before == cty.NilVal && after == cty.NilVal:
			return symbolNone
		case before == cty.NilVal:
			return symbolCreate
		case after == cty.NilVal:
			return symbolDelete
		case !before.RawEquals(after):
			return symbolUpdate
		}
		return symbolNone
	}
	return symbolFor(before, after)
}

// member writes a member of an object or map that changes: what goes with its
// object is simply gone, without becoming null.
func (d *differ) member(level int, label string, before, after cty.Value, path cty.Path) {
	symbol := d.memberSymbol(before, after)
	d.sensitivity(level, before, after)
	d.b.WriteString(strings.Repeat(" ", level) + d.symbol(symbol) + label + " = ")
	if symbol == symbolDelete && d.nulls {
		d.whole(level, symbolDelete, before, remark{forced: d.forced(path)})
		return
	}
	d.change(level, symbol, before, after, path)
}

func (d *differ) updateSequence(level int, before, after cty.Value, path cty.Path) {
	isSet := before.Type().IsSetType() && after.Type().IsSetType()
	var edits []edit
	note := d.forced(path)
	switch {
	case isSet:
		edits, note = setEdits(before, after), "" // at its elements instead
	case after.Type().IsTupleType() && before.LengthInt() == after.LengthInt():
		edits = tupleEdits(elements(before), elements(after))
	default:
		edits = listEdits(elements(before), elements(after))
	}
	d.b.WriteString("[" + note + "\n")
	unchanged := 0
	for i, e := range edits {
		if e.symbol == symbolNone && (isSet || !nextToChange(edits, i)) {
			unchanged++
			continue
		}
		if !isSet {
			d.hidden(level+4, unchanged, "element")
			unchanged = 0
		}
		d.element(level+4, e.symbol, func() {
			if isSet {
				d.edit(level+4, e, nil, d.forcedInside(path))
				return
			}
			var inside cty.Path
			if path != nil {
				inside = path.Index(cty.NumberIntVal(int64(e.index)))
			}
			d.edit(level+4, e, inside, d.forced(inside))
		})
	}
	d.hidden(level+4, unchanged, "element")
	d.b.WriteString(strings.Repeat(" ", level+2) + "]")
}

// edit writes the value of one element of a list.
func (d *differ) edit(level int, e edit, path cty.Path, forced string) {
	switch e.symbol {
	case symbolUpdate:
		d.update(level, e.before, e.after, path)
	case symbolDelete:
		d.whole(level, symbolDelete, e.before, remark{forced: forced})
	case symbolCreate:
		d.whole(level, symbolCreate, e.after, remark{forced: forced})
	default:
		d.whole(level, symbolNone, e.after, remark{})
	}
}

// nextToChange reports whether an element stands next to one that changes, and
// so is shown to say where that is.
func nextToChange(edits []edit, i int) bool {
	return i > 0 && edits[i-1].symbol != symbolNone || i+1 < len(edits) && edits[i+1].symbol != symbolNone
}

// updateString writes the change of a string that is a document or has lines;
// false where it is neither.
func (d *differ) updateString(level int, before, after string, path cty.Path) bool {
	if docBefore, ok := jsonDocument(before); ok {
		if docAfter, ok := jsonDocument(after); ok {
			d.untyped(func() { d.updateDocument(level, jsonValue(docBefore), jsonValue(docAfter), d.forced(path)) })
			return true
		}
	}
	if !strings.Contains(before, "\n") && !strings.Contains(after, "\n") {
		return false
	}
	edits := lineEdits(before, after)
	if !anyChange(edits) { // only the last line end differs, or what is not shown
		d.b.WriteString(quoted(before) + d.t.paint(yellow, " -> ") + quoted(after) + d.forced(path))
		return true
	}
	d.b.WriteString("<<-EOT" + d.forced(path) + "\n")
	for _, e := range edits {
		d.b.WriteString(strings.TrimRight(strings.Repeat(" ", level+4)+d.symbol(e.symbol)+e.text, " ") + "\n")
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "EOT")
	return true
}

func anyChange(edits []lineEdit) bool {
	for _, e := range edits {
		if e.symbol != symbolNone {
			return true
		}
	}
	return false
}

// updateDocument writes the change of a string that holds JSON.
func (d *differ) updateDocument(level int, before, after cty.Value, forced string) {
	switch {
	case !before.RawEquals(after):
		d.b.WriteString("jsonencode(\n" + strings.Repeat(" ", level+4) + d.symbol(symbolUpdate))
		d.update(level+4, before, after, nil)
		d.b.WriteString(forced)
	case forced != "":
		d.b.WriteString("jsonencode( " + d.t.paint(red, "# whitespace changes force replacement") + "\n" + strings.Repeat(" ", level+6))
		d.whole(level+4, symbolNone, after, remark{})
	default:
		d.b.WriteString("jsonencode( # whitespace changes\n" + strings.Repeat(" ", level+6))
		d.whole(level+4, symbolNone, after, remark{})
	}
	d.b.WriteString("\n" + strings.Repeat(" ", level+2) + ")")
}
