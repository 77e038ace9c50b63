package cost

import (
	"strconv"
	"strings"

	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

// Instance is one resource instance of a plan or state: what every source of
// resources is turned into.
type Instance struct {
	Stack    string // empty where there is one
	Address  string
	Type     string
	Provider string // source address, such as registry.terraform.io/hashicorp/aws
	// Region of the provider's configuration; empty where not known. What the
	// object itself says comes first.
	Region string
	Action string // in the words of plan JSON, joined: create, update, delete, no-op, …
	// Before and After are the object; cty.NilVal where there is none.
	Before, After cty.Value
	// Hidden says that it is not known which values are sensitive, so that none
	// may be quoted.
	Hidden bool
}

// Name is the address with the stack it is in.
func (i *Instance) Name() string {
	if i.Stack == "" {
		return i.Address
	}
	return "stack." + i.Stack + "." + i.Address
}

// Changes reports whether something happens to the instance.
func (i *Instance) Changes() bool { return i.Action != "no-op" && i.Action != "read" && i.Action != "" }

// object is one side of an instance while it is priced.
type object struct {
	value  cty.Value
	usage  map[string]Amount
	hidden bool

	// assumptions are those made since they were last taken.
	assumptions []string
	known       map[string]cty.Value // by path: many rows ask for the same
	sensitive   map[string]bool
}

func (o *object) assume(text string) {
	for _, have := range o.assumptions {
		if have == text {
			return
		}
	}
	o.assumptions = append(o.assumptions, text)
}

// take returns the assumptions made, and forgets them.
func (o *object) take() []string {
	out := o.assumptions
	o.assumptions = nil
	return out
}

// get finds an attribute by its path; null where there is none. Marks are taken
// off.
func (o *object) get(path string) cty.Value {
	if v, ok := o.known[path]; ok {
		return v
	}
	v := o.value
	for rest := path; rest != ""; {
		name, more, _ := strings.Cut(rest, ".")
		rest = more
		v = o.unmark(path, v)
		if v = member(v, name); !v.IsKnown() {
			break
		}
	}
	v = o.unmark(path, v)
	if o.known == nil {
		o.known = map[string]cty.Value{}
	}
	o.known[path] = v
	return v
}

func (o *object) unmark(path string, v cty.Value) cty.Value {
	if !v.IsMarked() {
		return v
	}
	if marks.Has(v, marks.Sensitive) {
		if o.sensitive == nil {
			o.sensitive = map[string]bool{}
		}
		o.sensitive[path] = true
	}
	v, _ = v.Unmark()
	return v
}

// quote shows an attribute's value in a message, unless it must not be seen.
func (o *object) quote(path string) string {
	v := o.get(path)
	switch {
	case o.hidden || o.sensitive[path]:
		return path + " as it is"
	case !v.IsKnown():
		return path + " not known yet"
	case v.IsNull():
		return path + " = null"
	}
	text, ok := textOf(v)
	if !ok {
		return path + " as it is"
	}
	return path + " = " + text
}

// member is an attribute or element of a value; null where it has none.
func member(v cty.Value, name string) cty.Value {
	null := cty.NullVal(cty.DynamicPseudoType)
	switch {
	case v == cty.NilVal:
		return null
	case !v.IsKnown():
		return cty.DynamicVal
	case v.IsNull():
		return null
	}
	ty := v.Type()
	index, err := strconv.Atoi(name)
	isIndex := err == nil && index >= 0
	switch {
	case ty.IsObjectType() && ty.HasAttribute(name):
		return v.GetAttr(name)
	case ty.IsMapType():
		if key := cty.StringVal(name); v.HasIndex(key).True() {
			return v.Index(key)
		}
	case (ty.IsListType() || ty.IsTupleType()) && isIndex && index < v.LengthInt():
		return v.Index(cty.NumberIntVal(int64(index)))
	case ty.IsSetType() && isIndex && index < v.LengthInt():
		for it := v.ElementIterator(); it.Next(); index-- {
			if _, e := it.Element(); index == 0 {
				return e
			}
		}
	}
	return null
}

// elements are those of a list, set or map of blocks, as objects of their own.
func (o *object) elements(path string) (list []*object, reason string) {
	v := o.get(path)
	if !v.IsKnown() {
		return nil, path + " is known after apply"
	}
	if v.IsNull() {
		return nil, ""
	}
	if !v.CanIterateElements() || v.Type().IsObjectType() {
		return []*object{{value: v, usage: o.usage, hidden: o.hidden}}, ""
	}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		list = append(list, &object{value: e, usage: o.usage, hidden: o.hidden || o.sensitive[path]})
	}
	return list, ""
}

// regionPaths are where resources say in which region they are.
var regionPaths = []string{"region", "location", "zone", "availability_zone", "arn"}

// regionOf is the region an object is in; empty where it is not known.
func regionOf(o *object, inst *Instance) string {
	for _, path := range regionPaths {
		v := o.get(path)
		if !v.IsKnown() || v.IsNull() || v.Type() != cty.String || v.AsString() == "" {
			continue
		}
		region := normalRegion(v.AsString())
		switch path {
		case "arn": // arn:aws:ec2:us-east-1:123456789012:instance/i-0
			if parts := strings.SplitN(region, ":", 5); len(parts) == 5 && parts[3] != "" {
				return parts[3]
			}
			continue
		case "availability_zone": // us-east-1a
			region = strings.TrimRight(region, "abcdefgh")
		case "zone", "location": // us-central1-a; of a zonal cluster also in location
			if n := len(region); n > 2 && region[n-2] == '-' && region[n-1] >= 'a' && region[n-1] <= 'z' {
				region = region[:n-2]
			}
		}
		return region
	}
	return normalRegion(inst.Region)
}

// normalRegion writes regions in one way: Azure's have names and display names,
// "eastus" and "East US".
func normalRegion(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
