package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// resourceSpec is one entry of dynamic_resources.json.
type resourceSpec struct {
	Attributes map[string]attributeSpec `json:"attributes"`
	Blocks     map[string]blockSpec     `json:"blocks"`
}

// attributeSpec describes an attribute; the member named like its type has what
// is inside.
type attributeSpec struct {
	Type      string                   `json:"type"`
	Optional  bool                     `json:"optional"`
	Required  bool                     `json:"required"`
	Computed  bool                     `json:"computed"`
	Replace   bool                     `json:"replace"`
	Sensitive bool                     `json:"sensitive"`
	Value     *value                   `json:"value"`
	List      *attributeSpec           `json:"list"`
	Map       *attributeSpec           `json:"map"`
	Set       *attributeSpec           `json:"set"`
	Object    map[string]attributeSpec `json:"object"`
}

// blockSpec describes a nested block: mode is list, set or single.
type blockSpec struct {
	Attributes map[string]attributeSpec `json:"attributes"`
	Blocks     map[string]blockSpec     `json:"blocks"`
	Mode       string                   `json:"mode"`
}

// element returns the spec of what is inside a collection.
func (a attributeSpec) element() *attributeSpec {
	switch a.Type {
	case "list":
		return a.List
	case "map":
		return a.Map
	case "set":
		return a.Set
	}
	return nil
}

// readSpecs reads the description of dynamic types; none where there is no file.
func readSpecs(path string) (map[string]resourceSpec, error) {
	if path == "" {
		path = "dynamic_resources.json"
	}
	specs := map[string]resourceSpec{}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return specs, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &specs); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return specs, nil
}

// The static types.

func simpleSpec() resourceSpec { return resourceSpec{Attributes: primitives()} }

func primitives() map[string]attributeSpec {
	return map[string]attributeSpec{
		"bool":    {Type: "boolean", Optional: true},
		"float":   {Type: "float", Optional: true},
		"integer": {Type: "integer", Optional: true},
		"number":  {Type: "number", Optional: true},
		"string":  {Type: "string", Optional: true},
	}
}

// complexDepth is how deep the objects of the complex resource go.
const complexDepth = 3

func complexSpec() resourceSpec {
	return resourceSpec{Attributes: nested(complexDepth), Blocks: nestedBlocks(complexDepth)}
}

func nested(depth int) map[string]attributeSpec {
	out := primitives()
	if depth == 0 {
		return out
	}
	inside := attributeSpec{Type: "object", Object: nested(depth - 1)}
	out["list"] = attributeSpec{Type: "list", Optional: true, List: &inside}
	out["map"] = attributeSpec{Type: "map", Optional: true, Map: &inside}
	out["set"] = attributeSpec{Type: "set", Optional: true, Set: &inside}
	out["object"] = attributeSpec{Type: "object", Optional: true, Object: nested(depth - 1)}
	return out
}

func nestedBlocks(depth int) map[string]blockSpec {
	if depth == 0 {
		return nil
	}
	return map[string]blockSpec{
		"list_block": {Mode: "list", Attributes: nested(depth - 1), Blocks: nestedBlocks(depth - 1)},
		"set_block":  {Mode: "set", Attributes: nested(depth - 1), Blocks: nestedBlocks(depth - 1)},
	}
}

// withID adds the attribute every type has.
func withID(spec resourceSpec, data bool) resourceSpec {
	attributes := map[string]attributeSpec{"id": {Type: "string", Optional: true, Computed: true, Replace: true}}
	for name, a := range spec.Attributes {
		if data {
			a.Optional, a.Required, a.Computed = false, false, true
		}
		attributes[name] = a
	}
	if data {
		attributes["id"] = attributeSpec{Type: "string", Required: true}
	}
	spec.Attributes = attributes
	return spec
}

// schema builds the protocol's schema.
func schema(spec resourceSpec) (*tfprotov6.Schema, error) {
	block, err := schemaBlock(spec.Attributes, spec.Blocks)
	if err != nil {
		return nil, err
	}
	return &tfprotov6.Schema{Block: block}, nil
}

func schemaBlock(attributes map[string]attributeSpec, blocks map[string]blockSpec) (*tfprotov6.SchemaBlock, error) {
	out := &tfprotov6.SchemaBlock{}
	list, err := schemaAttributes(attributes)
	if err != nil {
		return nil, err
	}
	out.Attributes = list
	for _, name := range sortedKeys(blocks) {
		b := blocks[name]
		inner, err := schemaBlock(b.Attributes, b.Blocks)
		if err != nil {
			return nil, err
		}
		mode := tfprotov6.SchemaNestedBlockNestingModeList
		switch b.Mode {
		case "set":
			mode = tfprotov6.SchemaNestedBlockNestingModeSet
		case "single":
			mode = tfprotov6.SchemaNestedBlockNestingModeSingle
		}
		out.BlockTypes = append(out.BlockTypes, &tfprotov6.SchemaNestedBlock{TypeName: name, Block: inner, Nesting: mode})
	}
	return out, nil
}

func schemaAttributes(attributes map[string]attributeSpec) ([]*tfprotov6.SchemaAttribute, error) {
	var out []*tfprotov6.SchemaAttribute
	for _, name := range sortedKeys(attributes) {
		a := attributes[name]
		s := &tfprotov6.SchemaAttribute{Name: name, Required: a.Required, Optional: a.Optional, Computed: a.Computed, Sensitive: a.Sensitive}
		if !s.Required && !s.Optional && !s.Computed {
			s.Optional = true
		}
		switch {
		case a.Type == "object":
			inner, err := schemaAttributes(a.Object)
			if err != nil {
				return nil, err
			}
			s.NestedType = &tfprotov6.SchemaObject{Attributes: inner, Nesting: tfprotov6.SchemaObjectNestingModeSingle}
		case a.element() != nil && a.element().Type == "object":
			inner, err := schemaAttributes(a.element().Object)
			if err != nil {
				return nil, err
			}
			s.NestedType = &tfprotov6.SchemaObject{Attributes: inner, Nesting: map[string]tfprotov6.SchemaObjectNestingMode{
				"list": tfprotov6.SchemaObjectNestingModeList, "map": tfprotov6.SchemaObjectNestingModeMap, "set": tfprotov6.SchemaObjectNestingModeSet,
			}[a.Type]}
		default:
			ty, err := typeOf(a)
			if err != nil {
				return nil, fmt.Errorf("attribute %q: %w", name, err)
			}
			s.Type = ty
		}
		out = append(out, s)
	}
	return out, nil
}

// typeOf is the type of an attribute's values.
func typeOf(a attributeSpec) (tftypes.Type, error) {
	switch a.Type {
	case "string":
		return tftypes.String, nil
	case "boolean":
		return tftypes.Bool, nil
	case "number", "integer", "float":
		return tftypes.Number, nil
	case "object":
		attributes := map[string]tftypes.Type{}
		for name, inner := range a.Object {
			ty, err := typeOf(inner)
			if err != nil {
				return nil, err
			}
			attributes[name] = ty
		}
		return tftypes.Object{AttributeTypes: attributes}, nil
	}
	element := a.element()
	if element == nil {
		return nil, fmt.Errorf("unknown type %q", a.Type)
	}
	ty, err := typeOf(*element)
	if err != nil {
		return nil, err
	}
	switch a.Type {
	case "list":
		return tftypes.List{ElementType: ty}, nil
	case "map":
		return tftypes.Map{ElementType: ty}, nil
	}
	return tftypes.Set{ElementType: ty}, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
