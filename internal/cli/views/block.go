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
	d.attributes(level, schema.Attributes, before, after, path, top)
	hidden := 0
	for _, name := range sortedKeys(schema.BlockTypes) {
		hidden += d.nested(level, name, schema.BlockTypes[name], member(bare(before), name), member(bare(after), name), path.GetAttr(name))
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

func (d *differ) attributes(level int, schema map[string]*providers.Attribute, before, after cty.Value, path cty.Path, top bool) {
	before, after = bare(before), bare(after)
	type shownAttribute struct {
		name, label   string
		before, after cty.Value
		writeOnly     bool
	}
	var shown []shownAttribute
	width, unchanged := 0, 0
	whole := isNothing(before) || isNothing(after)
	for _, name := range sortedKeys(schema) {
		a := schema[name]
		b, c := member(before, name), member(after, name)
		if a.WriteOnly {
			if whole && isNothing(before) {
				shown = append(shown, shownAttribute{name: name, label: attributeName(name), writeOnly: true})
				width = max(width, len(attributeName(name)))
			}
			continue
		}
		if isNothing(b) && isNothing(c) {
			continue
		}
		if symbolFor(b, c) == symbolNone && !(top && identifying[name]) {
			unchanged++
			continue
		}
		if a.Sensitive {
			b, c = hide(b), hide(c)
		}
		shown = append(shown, shownAttribute{name: name, label: attributeName(name), before: b, after: c})
		width = max(width, len(attributeName(name)))
	}
	for _, s := range shown {
		if s.writeOnly {
			d.line(level, symbolCreate, padded(s.label, width)+" = (write-only attribute)")
			continue
		}
		d.attribute(level, s.label, width, s.before, s.after, path.GetAttr(s.name))
	}
	d.hidden(level, unchanged, "attribute")
}

// nested writes the blocks of one type and returns how many did not change.
func (d *differ) nested(level int, name string, schema *providers.NestedBlock, before, after cty.Value, path cty.Path) int {
	before, after = bare(before), bare(after)
	if unknown(before) || unknown(after) {
		d.line(level, symbolUpdate, name+" {")
		d.line(level+4, symbolNone, "(known after apply)")
		d.b.WriteString(strings.Repeat(" ", level+2) + "}\n")
		return 0
	}
	switch schema.Nesting {
	case providers.NestingSingle, providers.NestingGroup:
		return d.oneNested(level, name, "", &schema.Block, before, after, path)
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
		inside := path
		if schema.Nesting != providers.NestingSet {
			inside = path.Index(cty.NumberIntVal(int64(e.index)))
		}
		hidden += d.oneNested(level, name, "", &schema.Block, e.before, e.after, inside)
	}
	return hidden
}

func (d *differ) nestedMap(level int, name string, schema *providers.NestedBlock, before, after cty.Value, path cty.Path) int {
	names := map[string]bool{}
	for _, v := range []cty.Value{before, after} {
		if isNothing(v) {
			continue
		}
		list, _ := memberNames(v, false)
		for _, key := range list {
			names[key] = true
		}
	}
	hidden := 0
	for _, key := range sortedKeys(names) {
		hidden += d.oneNested(level, name, " "+quoted(key), &schema.Block, member(before, key), member(after, key), path.Index(cty.StringVal(key)))
	}
	return hidden
}

// oneNested writes one block; 1 where it did not change.
func (d *differ) oneNested(level int, name, label string, schema *providers.Block, before, after cty.Value, path cty.Path) int {
	if isNothing(before) && isNothing(after) {
		return 0
	}
	symbol := symbolFor(before, after)
	if symbol == symbolNone {
		return 1
	}
	d.line(level, symbol, attributeName(name)+label+" {"+d.forced(path))
	d.block(level+4, schema, before, after, path, false)
	d.b.WriteString(strings.Repeat(" ", level+2) + "}\n")
	return 0
}

func unknown(v cty.Value) bool { return v != cty.NilVal && !v.IsKnown() }
