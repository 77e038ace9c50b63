package cost

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

var errNothingPlanned = errors.New("this is not plan JSON: it has neither resource_changes nor planned_values. Without the file of a plan, \"terraform show -json\" prints the state")

var errNotPlanJSON = errors.New("this is not plan JSON, as \"terraform show -json PLAN\" or \"tutti show -json PLAN\" prints it: there is no format_version")

// decode reads JSON with numbers as they are written.
func decode(src []byte, into any) error {
	in := json.NewDecoder(bytes.NewReader(src))
	in.UseNumber()
	if err := in.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) { // whose text names types of this program
			return fmt.Errorf("%q is a JSON %s, which it is not in plan JSON", cmp.Or(wrong.Field, "the document"), wrong.Value)
		}
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// treeValue makes a value of a JSON tree and of those beside it that say, by
// true, what is not known and what is sensitive.
func treeValue(tree, unknown, sensitive any) cty.Value {
	v := treeOf(tree, unknown, sensitive)
	if is(sensitive) {
		return v.Mark(marks.Sensitive)
	}
	return v
}

func is(flag any) bool {
	b, _ := flag.(bool)
	return b
}

func treeOf(tree, unknown, sensitive any) cty.Value {
	if is(unknown) {
		return cty.DynamicVal
	}
	switch t := tree.(type) {
	case string:
		return cty.StringVal(t)
	case bool:
		return cty.BoolVal(t)
	case json.Number:
		n, err := cty.ParseNumberVal(string(t))
		if err != nil {
			return cty.NullVal(cty.Number)
		}
		return n
	case map[string]any:
		flags, _ := unknown.(map[string]any)
		secret, _ := sensitive.(map[string]any)
		attrs := make(map[string]cty.Value, len(t)+len(flags))
		for name, v := range t {
			attrs[name] = treeValue(v, flags[name], secret[name])
		}
		for name, flag := range flags {
			if _, there := t[name]; !there && is(flag) {
				attrs[name] = cty.DynamicVal
			}
		}
		return cty.ObjectVal(attrs)
	case []any:
		flags, _ := unknown.([]any)
		secret, _ := sensitive.([]any)
		list := make([]cty.Value, len(t))
		for i, v := range t {
			list[i] = treeValue(v, at(flags, i), at(secret, i))
		}
		return cty.TupleVal(list)
	}
	if _, nested := unknown.(map[string]any); nested {
		return treeOf(map[string]any{}, unknown, sensitive)
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}
