package views

import (
	"strings"

	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// identifying are attributes shown although they do not change: they tell
// people which object it is.
var identifying = map[string]bool{"id": true, "name": true, "tags": true}

// block writes the arguments and nested blocks of an object. before or after
// may be nothing. top says that it is a whole resource.
func (d *differ) block(level int, schema *providers.Block, before, after cty.Value, path cty.Path, top bool) {
	wrote := d.attributes(level, schema.Attributes, before, after, path, top)
	hidden := 0
	for _, name := range sortedKeys(schema.BlockTypes) {
		group := differ{t: d.t, b: &strings.Builder{}, forces: d.forces, all: d.all}
		hidden += group.nested(level, name, schema.BlockTypes[name], member(bare(before), name), member(bare(after), name), path.GetAttr(name))
		if group.b.Len() == 0 {
			continue
		}
		if wrote {
			d.b.WriteByte('\n')
		}
		wrote = true
		d.b.WriteString(group.b.String())
	}
	if hidden > 0 && wrote {
		d.b.WriteByte('\n')
	}
	d.hidden(level, hidden, "block")
}

func bare(v cty.Value) cty.Value {
	if v == cty.NilVal {
		return v
	}
	v, _ = v.Unmark()
	return v
}

// shownAttribute is an attribute that has a line of its own.
type shownAttribute struct {
	name, label   string
	before, after cty.Value
	writeOnly     bool
	untyped       bool
}

// attributes writes the attributes of a block that change and reports whether
// there was anything to write.
func (d *differ) attributes(level int, schema map[string]*providers.Attribute, before, after cty.Value, path cty.Path, top bool) bool {
	before, after = bare(before), bare(after)
	var shown []shownAttribute
	width, unchanged := 0, 0
	for _, name := range sortedKeys(schema) {
		a := schema[name]
		s := shownAttribute{name: name, label: attributeName(name), writeOnly: a.WriteOnly, untyped: a.Type == cty.DynamicPseudoType}
		if a.WriteOnly {
			if !isNothing(before) || isNothing(after) {
				continue
			}
		} else {
			s.before, s.after = blankIsNothing(member(before, name)), blankIsNothing(member(after, name))
			if isNothing(s.before) && isNothing(s.after) {
				continue
			}
			s.before, s.after = hideDeclared(a, s.before), hideDeclared(a, s.after)
			if symbolFor(s.before, s.after) == symbolNone && !d.all && !(top && identifying[name]) {
				unchanged++
				width = max(width, columns(s.label))
				continue
			}
		}
		shown = append(shown, s)
		width = max(width, columns(s.label))
	}
	for _, s := range shown {
		switch {
		case s.writeOnly:
			d.line(level, symbolCreate, padded(s.label, width)+" = (write-only attribute)")
		case s.untyped:
			d.untyped(func() { d.attribute(level, s.label, width, s.before, s.after, path.GetAttr(s.name)) })
		default:
			d.attribute(level, s.label, width, s.before, s.after, path.GetAttr(s.name))
		}
	}
	d.hidden(level, unchanged, "attribute")
	return len(shown) > 0 || unchanged > 0
}

// blankIsNothing treats the empty string as no value: many providers cannot
// tell one from the other, and switch between them without meaning anything.
func blankIsNothing(v cty.Value) cty.Value {
	if v != cty.NilVal && !v.IsMarked() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() == "" {
		return cty.NilVal
	}
	return v
}

// nested writes the blocks of one type and returns how many did not change.
func (d *differ) nested(level int, name string, schema *providers.NestedBlock, before, after cty.Value, path cty.Path) int {
	if hiddenText(before) != "" || hiddenText(after) != "" {
		return d.concealed(level, attributeName(name), before, after)
	}
	before, after = bare(before), bare(after)
	if unknown(before) || unknown(after) {
		symbol := symbolUpdate
		if isNothing(before) || before.IsKnown() && before.CanIterateElements() && before.LengthInt() == 0 {
			symbol = symbolCreate
		}
		d.line(level, symbol, attributeName(name)+" (known after apply)")
		return 0
	}
	switch schema.Nesting {
	case providers.NestingSingle, providers.NestingGroup:
		return d.oneNested(level, name, "", &schema.Block, before, after, path, "")
	case providers.NestingMap:
		return d.nestedMap(level, name, schema, before, after, path)
	}
	var edits []edit
	switch {
	case isNothing(before) && isNothing(after):
		return 0
	case isNothing(before):
		edits = listEdits(nil, elements(after))
	case isNothing(after):
		edits = listEdits(elements(before), nil)
	case schema.Nesting == providers.NestingSet && before.Type().IsSetType() && after.Type().IsSetType():
		edits = setEdits(before, after)
	default:
		edits = listEdits(elements(before), elements(after))
	}
	hidden := 0
	for _, e := range edits {
		inside, note := path, ""
		if schema.Nesting == providers.NestingSet {
			note = d.forcedInside(path)
		} else {
			inside = path.Index(cty.NumberIntVal(int64(e.index)))
			note = d.forced(inside) + d.forced(path)
		}
		hidden += d.oneNested(level, name, "", &schema.Block, e.before, e.after, inside, note)
	}
	return hidden
}

// concealed writes a block that is sensitive as a whole.
func (d *differ) concealed(level int, name string, before, after cty.Value) int {
	symbol := symbolFor(before, after)
	if symbol == symbolNone {
		return 1
	}
	d.line(level, symbol, name+" {")
	d.comment(level+6, "# At", len("# At"), "least one attribute in this block is (or was) sensitive, so its contents will not be displayed.")
	d.b.WriteString(strings.Repeat(" ", level+2) + "}\n")
	return 0
}

func (d *differ) nestedMap(level int, name string, schema *providers.NestedBlock, before, after cty.Value, path cty.Path) int {
	names := map[string]bool{}
	for _, v := range []cty.Value{before, after} {
		if isNothing(v) {
			continue
		}
		for _, key := range (mapping{}).names(v) {
			names[key] = true
		}
	}
	hidden := 0
	for _, key := range sortedKeys(names) {
		hidden += d.oneNested(level, name, " "+quoted(key), &schema.Block, member(before, key), member(after, key), path.Index(cty.StringVal(key)), "")
	}
	return hidden
}

// oneNested writes one block; 1 where it did not change.
func (d *differ) oneNested(level int, name, label string, schema *providers.Block, before, after cty.Value, path cty.Path, note string) int {
	if isNothing(before) && isNothing(after) {
		return 0
	}
	if hiddenText(before) != "" || hiddenText(after) != "" {
		return d.concealed(level, attributeName(name)+label, before, after)
	}
	symbol := symbolFor(before, after)
	if symbol == symbolNone && !d.all {
		return 1
	}
	if note == "" {
		note = d.forced(path)
	}
	d.line(level, symbol, attributeName(name)+label+" {"+note)
	d.block(level+4, schema, before, after, path, false)
	d.b.WriteString(strings.Repeat(" ", level+2) + "}\n")
	return 0
}

func unknown(v cty.Value) bool { return v != cty.NilVal && !v.IsKnown() }
