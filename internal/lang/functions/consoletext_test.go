package functions

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/tutti-dev/tutti/internal/lang/marks"
)

// consoleText writes a value the way terraform console shows it, as far as the
// corpus needs it.
func consoleText(v cty.Value) string {
	if ty, ok := TypeOf(v); ok {
		return TypeText(ty)
	}
	return valueText(v, 0)
}

func valueText(v cty.Value, depth int) string {
	switch {
	case marks.Has(v, marks.Sensitive):
		return "(sensitive value)"
	case marks.Has(v, marks.Ephemeral):
		return "(ephemeral value)"
	case !v.IsKnown():
		return "(known after apply)"
	case v.IsNull():
		return nullText(v.Type())
	}
	ty := v.Type()
	switch {
	case ty == cty.String:
		return strconv.Quote(v.AsString())
	case ty == cty.Number:
		return v.AsBigFloat().Text('f', -1)
	case ty == cty.Bool:
		return fmt.Sprint(v.True())
	case ty.IsObjectType():
		return bracketed(v, depth, "{", "}", true)
	case ty.IsMapType():
		return bracketed(v, depth, "tomap({", "})", true)
	case ty.IsTupleType():
		return bracketed(v, depth, "[", "]", false)
	case ty.IsListType():
		return bracketed(v, depth, "tolist([", "])", false)
	default:
		return bracketed(v, depth, "toset([", "])", false)
	}
}

func nullText(ty cty.Type) string {
	switch {
	case ty == cty.DynamicPseudoType:
		return "null"
	case ty.IsPrimitiveType():
		return "to" + ty.FriendlyName() + "(null)"
	case ty.IsListType():
		return fmt.Sprintf("tolist(null) /* of %s */", ty.ElementType().FriendlyName())
	case ty.IsMapType():
		return fmt.Sprintf("tomap(null) /* of %s */", ty.ElementType().FriendlyName())
	default:
		return fmt.Sprintf("null /* %s */", ty.FriendlyName())
	}
}

func bracketed(v cty.Value, depth int, open, closing string, keyed bool) string {
	var b strings.Builder
	b.WriteString(open)
	if v.LengthInt() == 0 {
		return b.String() + closing
	}
	for it := v.ElementIterator(); it.Next(); {
		key, elem := it.Element()
		b.WriteString("\n" + strings.Repeat("  ", depth+1))
		if keyed {
			b.WriteString(strconv.Quote(key.AsString()) + " = ")
			b.WriteString(valueText(elem, depth+1))
			continue
		}
		b.WriteString(valueText(elem, depth+1) + ",")
	}
	b.WriteString("\n" + strings.Repeat("  ", depth) + closing)
	return b.String()
}
