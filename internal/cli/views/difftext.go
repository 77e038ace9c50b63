package views

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// wholeString writes a string: as a document where it is one, over several
// lines where it has some.
func (d *differ) wholeString(level int, symbol, s, note string) {
	if doc, ok := jsonDocument(s); ok {
		d.b.WriteString("jsonencode(\n" + strings.Repeat(" ", level+6))
		d.untyped(func() { d.whole(level+4, symbol, jsonValue(doc), "") })
		d.b.WriteString("\n" + strings.Repeat(" ", level+2) + ")" + note)
		return
	}
	if !strings.Contains(s, "\n") {
		d.b.WriteString(quoted(s) + note)
		return
	}
	d.b.WriteString("<<-EOT\n")
	for _, line := range textLines(s) {
		d.b.WriteString(strings.TrimRight(strings.Repeat(" ", level+6)+line, " ") + "\n")
	}
	d.b.WriteString(strings.Repeat(" ", level+2) + "EOT" + note)
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
	known := before.IsKnown() && after.IsKnown()
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
		d.whole(level, symbol, before, "")
		d.b.WriteString(d.t.paint(yellow, " -> "))
		d.whole(level, symbolCreate, after, "")
		d.b.WriteString(d.forced(path))
	}
}

func isSequence(ty cty.Type) bool { return ty.IsListType() || ty.IsSetType() || ty.IsTupleType() }

func isMapping(ty cty.Type) bool { return ty.IsObjectType() || ty.IsMapType() }

func (d *differ) updateMapping(level int, before, after cty.Value, path cty.Path) {
	isMap := !after.Type().IsObjectType()
	step := func(name string) cty.Path {
		switch {
		case path == nil:
			return nil
		case isMap:
			return path.Index(cty.StringVal(name))
		}
		return path.GetAttr(name)
	}
	names := map[string]bool{}
	for _, v := range []cty.Value{before, after} {
		list, _ := d.memberNames(v)
		for _, name := range list {
			names[name] = true
		}
	}
	d.b.WriteString("{" + d.forced(path) + "\n")
	var shown []string
	width, unchanged := 0, 0
	for _, name := range sortedKeys(names) {
		if d.memberSymbol(member(before, name), member(after, name)) == symbolNone {
			unchanged++
			continue
		}
		shown = append(shown, name)
		width = max(width, d.labelWidth(name, isMap))
	}
	for _, name := range shown {
		d.member(level+4, padded(d.label(name, isMap), width), member(before, name), member(after, name), step(name))
	}
	what := "element"
	if !isMap || d.nulls {
		what = "attribute"
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
	switch symbol {
	case symbolDelete:
		note := d.forced(path)
		if !d.nulls {
			note = d.t.paint(dim, " -> null") + note
		}
		d.whole(level, symbolDelete, before, note)
	default:
		d.change(level, symbol, before, after, path)
	}
	d.b.WriteByte('\n')
}

func (d *differ) updateSequence(level int, before, after cty.Value, path cty.Path) {
	isSet := before.Type().IsSetType() && after.Type().IsSetType()
	var edits []edit
	note := d.forced(path)
	switch {
	case isSet:
		edits = setEdits(before, after)
		note = d.forcedInside(path)
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
		var inside cty.Path
		if !isSet && path != nil {
			inside = path.Index(cty.NumberIntVal(int64(e.index)))
		}
		d.element(level+4, e.symbol, func() { d.edit(level+4, e, inside) })
	}
	d.hidden(level+4, unchanged, "element")
	d.b.WriteString(strings.Repeat(" ", level+2) + "]")
}

// edit writes the value of one element of a list.
func (d *differ) edit(level int, e edit, path cty.Path) {
	switch e.symbol {
	case symbolUpdate:
		d.update(level, e.before, e.after, path)
	case symbolDelete:
		d.whole(level, symbolDelete, e.before, d.forced(path))
	case symbolCreate:
		d.whole(level, symbolCreate, e.after, d.forced(path))
	default:
		d.whole(level, symbolNone, e.after, "")
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
	if before.RawEquals(after) {
		d.b.WriteString("jsonencode( # whitespace changes" + forced + "\n" + strings.Repeat(" ", level+6))
		d.whole(level+4, symbolNone, after, "")
	} else {
		d.b.WriteString("jsonencode(" + forced + "\n" + strings.Repeat(" ", level+4) + d.symbol(symbolUpdate))
		d.update(level+4, before, after, nil)
	}
	d.b.WriteString("\n" + strings.Repeat(" ", level+2) + ")")
}
