package observer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// The actions of changes that were found.
const (
	Updated = "update" // the object is another than it was left
	Deleted = "delete" // it is gone
)

// Change is what was found different about one object.
type Change struct {
	Address string `json:"address"` // of the object, a deposed one with its key
	Action  string `json:"action"`
	// Attributes are what differs, in the order of their paths; none of an object
	// that is gone.
	Attributes []Attribute `json:"attributes,omitempty"`
	// Target is how the object is named to have it put back; empty where the files
	// do not have it, so that putting it back would mean to destroy it.
	Target string `json:"target,omitempty"`
}

// Attribute is a value inside of an object that differs.
type Attribute struct {
	Path string `json:"path"` // tags["team"], ingress[0].from_port
	// Before is how it was left, After how it was found; both nil for sensitive
	// ones.
	Before    json.RawMessage `json:"before,omitempty"`
	After     json.RawMessage `json:"after,omitempty"`
	Sensitive bool            `json:"sensitive,omitempty"`
	// Print tells values apart that are too long to be kept. Of sensitive ones it
	// says nothing.
	Print string `json:"print,omitempty"`
}

// longest is how long a value may be, as JSON, that is kept and told; of a longer
// one only its length is.
const longest = 2048

// Changes is what refreshing found different, in the order of addresses. declared
// reports whether the files have an object.
func Changes(p *plans.Plan, declared func(*plans.Change) bool) []Change {
	var out []Change
	for _, c := range p.Drift {
		one := Change{Address: c.Object.String(), Action: Updated}
		if c.Object.Deposed == "" && declared(c) {
			one.Target = c.Object.Instance.String()
		}
		if c.Action == plans.Delete {
			one.Action = Deleted
		} else {
			one.Attributes = differences(nil, "", c.Before, c.After)
			if len(one.Attributes) == 0 {
				continue // nothing that anybody could be shown
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// differences appends where two values differ, as deep as they have the same
// shape.
func differences(out []Attribute, path string, before, after cty.Value) []Attribute {
	bareBefore, _ := before.UnmarkDeep()
	bareAfter, _ := after.UnmarkDeep()
	if bareBefore.RawEquals(bareAfter) {
		return out
	}
	if before.IsMarked() || after.IsMarked() {
		return append(out, Attribute{Path: path, Sensitive: true})
	}
	whole := before.IsNull() || after.IsNull() || !before.IsKnown() || !after.IsKnown()
	a, b := before.Type(), after.Type()
	switch {
	case !whole && a.IsObjectType() && b.IsObjectType(), !whole && a.IsMapType() && b.IsMapType():
		left, right := before.AsValueMap(), after.AsValueMap()
		var names []string
		for name := range left {
			names = append(names, name)
		}
		for name := range right {
			if _, there := left[name]; !there {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			out = differences(out, inside(path, name, a.IsMapType()), orNull(left, name), orNull(right, name))
		}
		return out
	case !whole && isSequence(a) && isSequence(b) && before.LengthInt() == after.LengthInt():
		left, right := before.AsValueSlice(), after.AsValueSlice()
		for i := range left {
			out = differences(out, path+"["+strconv.Itoa(i)+"]", left[i], right[i])
		}
		return out
	case before.ContainsMarked() || after.ContainsMarked():
		return append(out, Attribute{Path: path, Sensitive: true})
	}
	one := Attribute{Path: path}
	var long bool
	one.Before, _ = jsonOf(bareBefore)
	one.After, long = jsonOf(bareAfter)
	if long {
		full, _ := ctyjson.Marshal(bareAfter, bareAfter.Type()) // it was written before
		one.Print = digest(full)
	}
	return append(out, one)
}

func isSequence(t cty.Type) bool { return t.IsListType() || t.IsTupleType() }

func orNull(values map[string]cty.Value, name string) cty.Value {
	if v, ok := values[name]; ok {
		return v
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// inside is the path of something in an object or a map.
func inside(path, name string, key bool) string {
	switch {
	case key:
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// jsonOf is a value as it is kept.
func jsonOf(v cty.Value) (text json.RawMessage, long bool) {
	if v.IsNull() {
		return json.RawMessage("null"), false
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return json.RawMessage("null"), false // nothing that was refreshed is unknown
	}
	if len(text) > longest {
		text, _ = json.Marshal(fmt.Sprintf("… (%d bytes)", len(text)))
		return text, true
	}
	return text, false
}
