package views

import (
	"fmt"
	"io"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// withoutSchema stands where attributes cannot be shown.
const withoutSchema = "(attributes are not shown without the provider's schema)"

// Instance writes one object of the state as configuration would look that has
// all its attributes. Sensitive values are hidden. Without a schema no attributes
// are shown: nothing else says which of them are sensitive.
func Instance(w io.Writer, inst *states.Instance, schema providers.Schema) {
	var b strings.Builder
	note := ""
	if inst.Status == states.Tainted {
		note = " (tainted)"
	}
	fmt.Fprintf(&b, "# %s:%s\n", inst.Object, note)
	word := "resource"
	if inst.Object.Instance.Resource.Mode == addrs.Data {
		word = "data"
	}
	fmt.Fprintf(&b, "%s %q %q {\n", word, inst.Object.Instance.Resource.Type, inst.Object.Instance.Resource.Name)
	value, ok := cty.NilVal, false
	if schema.Block != nil {
		value, ok = jsonplan.DecodeInstance(inst, schema)
	}
	if ok {
		d := differ{t: &Terminal{Width: defaultWidth}, b: &b}
		d.object(4, schema.Block, value)
	} else {
		b.WriteString("    # " + withoutSchema + "\n")
	}
	b.WriteString("}\n")
	_, _ = io.WriteString(w, b.String())
}

// object writes all of an object, without marks for changes.
func (d *differ) object(level int, schema *providers.Block, v cty.Value) {
	v = bare(v)
	width := 0
	var names []string
	for _, name := range sortedKeys(schema.Attributes) {
		if !isNothing(member(v, name)) {
			names = append(names, name)
			width = max(width, columns(attributeName(name)))
		}
	}
	for _, name := range names {
		value := member(v, name)
		value = hideDeclared(schema.Attributes[name], value)
		d.b.WriteString(strings.Repeat(" ", level) + padded(attributeName(name), width) + " = ")
		d.nulls = schema.Attributes[name].Type == cty.DynamicPseudoType
		d.whole(level-2, symbolNone, value, remark{})
		d.nulls = false
		d.b.WriteByte('\n')
	}
	for _, name := range sortedKeys(schema.BlockTypes) {
		nested := schema.BlockTypes[name]
		value := member(v, name)
		if isNothing(value) {
			continue
		}
		if hiddenText(value) != "" {
			d.b.WriteString("\n" + strings.Repeat(" ", level) + name + " { # (sensitive)\n" + strings.Repeat(" ", level) + "}\n")
			continue
		}
		value = bare(value)
		write := func(label string, e cty.Value) {
			d.b.WriteString("\n" + strings.Repeat(" ", level) + name + label + " {\n")
			d.object(level+4, &nested.Block, e)
			d.b.WriteString(strings.Repeat(" ", level) + "}\n")
		}
		switch nested.Nesting {
		case providers.NestingSingle, providers.NestingGroup:
			write("", value)
		default:
			for it := value.ElementIterator(); it.Next(); {
				key, e := it.Element()
				label := ""
				if nested.Nesting == providers.NestingMap {
					label = " " + quoted(key.AsString())
				}
				write(label, e)
			}
		}
	}
}

// StateOutputs writes the output values of a state as "show" has them: the way
// attributes look, not expressions.
func StateOutputs(w io.Writer, list []NamedValue) {
	if len(list) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString("\nOutputs:\n\n")
	d := differ{t: &Terminal{Width: defaultWidth}, b: &b, nulls: true}
	for _, o := range list {
		v := o.Value
		if o.Sensitive {
			v = hide(v)
		}
		b.WriteString(o.Name + " = ")
		d.whole(-2, symbolNone, v, remark{})
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(w, b.String())
}

// NamedValue is an output value.
type NamedValue struct {
	Name      string
	Value     cty.Value
	Sensitive bool
}

// Outputs prints output values after an apply.
func (t *Terminal) Outputs(list []NamedValue) {
	if len(list) == 0 {
		return
	}
	t.printf("\n%s\n\n", t.paint(green, "Outputs:"))
	t.values(list)
}

// StackOutputs prints the output values of one stack among several.
func (t *Terminal) StackOutputs(stack string, list []NamedValue) {
	if len(list) == 0 {
		return
	}
	t.printf("\n%s\n\n", t.paint(green, "Outputs of stack "+stack+":"))
	t.values(list)
}

func (t *Terminal) values(list []NamedValue) {
	for _, o := range list {
		text := "<sensitive>"
		if !o.Sensitive && !marks.Contains(o.Value, marks.Sensitive) {
			text = ConsoleValue(o.Value)
		}
		t.printf("%s = %s\n", o.Name, text)
	}
}

// Totals are what a run has done.
type Totals struct {
	Added, Changed, Destroyed, Imported, Forgotten int
}

func (n Totals) text(mode plans.Mode) string {
	if mode == plans.Destroy {
		return fmt.Sprintf("%d destroyed", n.Destroyed)
	}
	text := fmt.Sprintf("%d added, %d changed, %d destroyed", n.Added, n.Changed, n.Destroyed)
	if n.Imported > 0 {
		text = fmt.Sprintf("%d imported, ", n.Imported) + text
	}
	if n.Forgotten > 0 {
		text += fmt.Sprintf(", %d forgotten", n.Forgotten)
	}
	return text
}

// Applied prints how a run ended. kind is what the run was for: apply, rollback
// and so on.
func (t *Terminal) Applied(mode plans.Mode, n Totals, kind, status, run string) {
	word := "Apply"
	switch {
	case kind == "rollback":
		word = "Rollback"
	case mode == plans.Destroy:
		word = "Destroy"
	}
	switch status {
	case "succeeded":
		t.printf("\n%s\n", t.paint(green, fmt.Sprintf("%s complete! Resources: %s.", word, n.text(mode))))
	case "cancelled":
		t.printf("\n%s\n", t.paint(yellow, fmt.Sprintf("%s cancelled. Resources: %s.", word, n.text(mode))))
	case "interrupted":
		t.printf("\n%s\n", t.paint(yellow, fmt.Sprintf("%s interrupted. Resources: %s.", word, n.text(mode))))
		t.printf("To go on from here: tutti resume %s\n", run)
	case "failed":
		t.printf("\n%s\n", t.paint(red, fmt.Sprintf("%s failed. Resources: %s.", word, n.text(mode))))
		t.printf("What was done is recorded as run %s.\n", run)
	}
}
