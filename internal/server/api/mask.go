package api

import (
	"bytes"
	"encoding/json"
)

// shownOfPlan are the members of a plan's JSON that changes are reviewed by. The
// others repeat values, in places where nothing says that they are sensitive.
var shownOfPlan = []string{"format_version", "terraform_version", "resource_changes", "resource_drift", "output_changes", "relevant_attributes", "checks", "timestamp", "errored"}

// MaskPlan makes of a plan in Terraform's JSON format what anybody may see who
// may see the plan: changes, with null in place of sensitive values. What is
// sensitive before or after a change is hidden on both sides.
func MaskPlan(document []byte) (json.RawMessage, error) {
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, name := range shownOfPlan {
		if v, ok := doc[name]; ok {
			out[name] = v
		}
	}
	for _, name := range []string{"resource_changes", "resource_drift"} {
		list, _ := out[name].([]any)
		for _, c := range list {
			change, _ := c.(map[string]any)
			maskChange(change["change"])
		}
	}
	outputs, _ := out["output_changes"].(map[string]any)
	for _, c := range outputs {
		maskChange(c)
	}
	return json.Marshal(out)
}

func maskChange(v any) {
	change, _ := v.(map[string]any)
	if change == nil {
		return
	}
	for _, marks := range []string{"before_sensitive", "after_sensitive"} {
		for _, side := range []string{"before", "after"} {
			change[side] = masked(change[side], change[marks])
		}
	}
	delete(change, "generated_config")
}

// masked is a value without what a tree of marks hides.
func masked(v, marks any) any {
	switch m := marks.(type) {
	case bool:
		if m {
			return nil
		}
	case map[string]any:
		object, ok := v.(map[string]any)
		if !ok {
			return v
		}
		for name, mark := range m {
			if inner, ok := object[name]; ok {
				object[name] = masked(inner, mark)
			}
		}
	case []any:
		list, ok := v.([]any)
		if !ok {
			return v
		}
		if len(list) != len(m) {
			// A set has no places: what is hidden in one of another size cannot be told.
			for _, mark := range m {
				if hides(mark) {
					return nil
				}
			}
			return v
		}
		for i, mark := range m {
			list[i] = masked(list[i], mark)
		}
	}
	return v
}

// hides reports whether a tree of marks hides anything.
func hides(marks any) bool {
	switch m := marks.(type) {
	case bool:
		return m
	case map[string]any:
		for _, mark := range m {
			if hides(mark) {
				return true
			}
		}
	case []any:
		for _, mark := range m {
			if hides(mark) {
				return true
			}
		}
	}
	return false
}
