package views

import (
	"encoding/json"
	"math/big"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// ConsoleValue writes a value as an expression people can read, over several
// lines where it has parts. Sensitive parts are hidden.
func ConsoleValue(v cty.Value) string {
	if ty, ok := functions.TypeOf(v); ok {
		return functions.TypeText(ty)
	}
	return expression(v, 0)
}

func expression(v cty.Value, indent int) string {
	switch {
	case marks.Has(v, marks.Sensitive):
		return "(sensitive value)"
	case marks.Has(v, marks.Ephemeral):
		return "(ephemeral value)"
	}
	v, _ = v.Unmark()
	ty := v.Type()
	switch {
	case !v.IsKnown():
		return "(known after apply)"
	case v.IsNull():
		return nullText(ty)
	case ty == cty.String:
		return stringText(v.AsString(), indent)
	case ty == cty.Number:
		return numberText(v.AsBigFloat())
	case ty == cty.Bool:
		return strconv.FormatBool(v.True())
	case ty.IsObjectType(), ty.IsMapType():
		text := mappingText(v, indent)
		if ty.IsMapType() {
			return "tomap(" + text + ")"
		}
		return text
	case ty.IsListType():
		return "tolist(" + sequence(v, indent) + ")"
	case ty.IsSetType():
		return "toset(" + sequence(v, indent) + ")"
	case ty.IsTupleType():
		return sequence(v, indent)
	}
	return "(" + ty.FriendlyName() + ")"
}

func nullText(ty cty.Type) string {
	switch {
	case ty == cty.DynamicPseudoType:
		return "null"
	case ty == cty.String:
		return "tostring(null)"
	case ty == cty.Number:
		return "tonumber(null)"
	case ty == cty.Bool:
		return "tobool(null)"
	case ty.IsListType():
		return "tolist(null) /* of " + ty.ElementType().FriendlyName() + " */"
	case ty.IsSetType():
		return "toset(null) /* of " + ty.ElementType().FriendlyName() + " */"
	case ty.IsMapType():
		return "tomap(null) /* of " + ty.ElementType().FriendlyName() + " */"
	}
	return "null /* " + ty.FriendlyName() + " */"
}

// numberText writes a number with all its digits.
func numberText(f *big.Float) string { return f.Text('f', -1) }

// stringText writes a string in quotes, or as a heredoc where it has lines.
func stringText(s string, indent int) string {
	if !strings.Contains(s, "\n") {
		return quoted(s)
	}
	word := "EOT"
	for strings.Contains(s, word) {
		word += "_"
	}
	pad := strings.Repeat(" ", indent)
	var b strings.Builder
	if indent > 0 {
		b.WriteString("<<-" + word + "\n")
	} else {
		b.WriteString("<<" + word + "\n")
	}
	for _, line := range strings.Split(printable(s), "\n") {
		b.WriteString(pad + line)
		b.WriteByte('\n')
	}
	b.WriteString(pad + word)
	return b.String()
}

// quoted writes a string in quotes; what cannot be seen is escaped.
func quoted(s string) string { return strconv.Quote(s) }

func sequence(v cty.Value, indent int) string {
	if v.LengthInt() == 0 {
		return "[]"
	}
	pad := strings.Repeat(" ", indent+2)
	var b strings.Builder
	b.WriteString("[\n")
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		b.WriteString(pad + expression(e, indent+2) + ",\n")
	}
	b.WriteString(strings.Repeat(" ", indent) + "]")
	return b.String()
}

func mappingText(v cty.Value, indent int) string {
	if v.LengthInt() == 0 {
		return "{}"
	}
	pad := strings.Repeat(" ", indent+2)
	var b strings.Builder
	b.WriteString("{\n")
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		b.WriteString(pad + quoted(key.AsString()) + " = " + expression(e, indent+2) + "\n")
	}
	b.WriteString(strings.Repeat(" ", indent) + "}")
	return b.String()
}

// attributeName writes a name in front of an equals sign: in quotes where it
// could not stand without.
func attributeName(name string) string {
	if hclsyntax.ValidIdentifier(name) {
		return name
	}
	return quoted(name)
}

// jsonDocument decodes a string that holds a JSON object or array.
func jsonDocument(s string) (any, bool) {
	text := strings.TrimSpace(s)
	if len(text) < 2 || (text[0] != '{' && text[0] != '[') {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil || d.More() {
		return nil, false
	}
	return doc, true
}

// jsonValue turns a decoded JSON document into a value, for showing what is
// inside a string.
func jsonValue(doc any) cty.Value {
	switch doc := doc.(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType)
	case bool:
		return cty.BoolVal(doc)
	case json.Number:
		if v, err := cty.ParseNumberVal(doc.String()); err == nil {
			return v
		}
		return cty.StringVal(doc.String())
	case string:
		return cty.StringVal(doc)
	case []any:
		if len(doc) == 0 {
			return cty.EmptyTupleVal
		}
		out := make([]cty.Value, len(doc))
		for i, e := range doc {
			out[i] = jsonValue(e)
		}
		return cty.TupleVal(out)
	case map[string]any:
		if len(doc) == 0 {
			return cty.EmptyObjectVal
		}
		out := make(map[string]cty.Value, len(doc))
		for name, e := range doc {
			out[name] = jsonValue(e)
		}
		return cty.ObjectVal(out)
	}
	return cty.DynamicVal
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// hide marks a value that the schema says is sensitive.
func hide(v cty.Value) cty.Value {
	if isNothing(v) || marks.Has(v, marks.Sensitive) {
		return v
	}
	return v.Mark(marks.Sensitive)
}

// hideDeclared hides what the schema of an attribute says is sensitive: all of
// the value, or parts of it.
func hideDeclared(a *providers.Attribute, v cty.Value) cty.Value {
	switch {
	case isNothing(v) || marks.Has(v, marks.Sensitive):
		return v
	case a.Sensitive:
		return hide(v)
	case a.NestedType == nil || !hasSensitive(a.NestedType):
		return v
	}
	return hideNested(a.NestedType, v)
}

func hasSensitive(n *providers.NestedObject) bool {
	for _, a := range n.Attributes {
		if a.Sensitive || a.NestedType != nil && hasSensitive(a.NestedType) {
			return true
		}
	}
	return false
}

// hideNested hides the sensitive attributes of nested objects. A set of such
// objects becomes a tuple, since sets cannot have parts that are hidden.
func hideNested(n *providers.NestedObject, v cty.Value) cty.Value {
	v, outer := v.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return v.WithMarks(outer)
	}
	object := func(o cty.Value) cty.Value {
		bareObject, objectMarks := o.Unmark()
		if !bareObject.IsKnown() || bareObject.IsNull() {
			return o
		}
		members := map[string]cty.Value{}
		for name, e := range bareObject.AsValueMap() {
			if a := n.Attributes[name]; a != nil {
				e = hideDeclared(a, e)
			}
			members[name] = e
		}
		return cty.ObjectVal(members).WithMarks(objectMarks)
	}
	ty := v.Type()
	switch {
	case ty.IsObjectType() && n.Nesting == providers.NestingMap, ty.IsMapType():
		members := map[string]cty.Value{}
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			members[key.AsString()] = object(e)
		}
		return cty.ObjectVal(members).WithMarks(outer)
	case ty.IsObjectType():
		return object(v).WithMarks(outer)
	case !isSequence(ty) || v.LengthInt() == 0:
		return v.WithMarks(outer)
	}
	list := make([]cty.Value, 0, v.LengthInt())
	for _, e := range elements(v) {
		list = append(list, object(e))
	}
	return cty.TupleVal(list).WithMarks(outer)
}
