package plantest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// Type returns the type of the values that a block describes.
func Type(b *providers.Block) cty.Type {
	attrs := map[string]cty.Type{}
	for name, a := range b.Attributes {
		attrs[name] = a.Type
		if a.NestedType != nil {
			attrs[name] = nested(Type(&providers.Block{Attributes: a.NestedType.Attributes}), a.NestedType.Nesting)
		}
	}
	for name, n := range b.BlockTypes {
		attrs[name] = nested(Type(&n.Block), n.Nesting)
	}
	return cty.Object(attrs)
}

func nested(ty cty.Type, n providers.Nesting) cty.Type {
	switch n {
	case providers.NestingList:
		return cty.List(ty)
	case providers.NestingSet:
		return cty.Set(ty)
	case providers.NestingMap:
		return cty.Map(ty)
	}
	return ty
}

// Attributes makes a schema with optional attributes of the given types.
func Attributes(types map[string]cty.Type) *providers.Block {
	b := &providers.Block{Attributes: map[string]*providers.Attribute{}}
	for name, ty := range types {
		b.Attributes[name] = &providers.Attribute{Type: ty, Optional: true, Computed: name == "id"}
	}
	return b
}

// Schemas knows the built-in provider, and the providers of the equivalence
// case in a folder.
func Schemas(t testing.TB, caseDir string) jsonplan.Schemas {
	t.Helper()
	dynamic := cty.DynamicPseudoType
	builtin := &providers.Schemas{
		ResourceTypes: map[string]providers.Schema{"terraform_data": {Block: Attributes(map[string]cty.Type{
			"id": cty.String, "input": dynamic, "output": dynamic, "triggers_replace": dynamic,
		})}},
		DataSources: map[string]providers.Schema{"terraform_remote_state": {Block: Attributes(map[string]cty.Type{
			"backend": cty.String, "config": dynamic, "defaults": dynamic, "outputs": dynamic, "workspace": cty.String,
		})}},
	}
	local := Attributes(map[string]cty.Type{
		"content": cty.String, "content_base64": cty.String, "directory_permission": cty.String, "file_permission": cty.String,
		"filename": cty.String, "id": cty.String, "sensitive_content": cty.String, "source": cty.String,
	})
	local.Attributes["sensitive_content"].Sensitive = true
	mock := map[string]providers.Schema{
		"tfcoremock_simple_resource":  {Block: &providers.Block{Attributes: simpleAttributes()}},
		"tfcoremock_complex_resource": {Block: complexBlock(4, 2)},
	}
	if caseDir != "" {
		for name, s := range dynamicResources(t, filepath.Join(caseDir, "dynamic_resources.json")) {
			mock[name] = s
		}
	}
	coremock := &providers.Schemas{ResourceTypes: mock}
	files := &providers.Schemas{ResourceTypes: map[string]providers.Schema{"local_file": {Block: local}}}
	return func(p addrs.Provider) *providers.Schemas {
		switch p.Type {
		case "terraform":
			return builtin
		case "tfcoremock":
			return coremock
		case "local":
			return files
		}
		return nil
	}
}

func simpleAttributes() map[string]*providers.Attribute {
	return Attributes(map[string]cty.Type{
		"id": cty.String, "bool": cty.Bool, "float": cty.Number, "integer": cty.Number, "number": cty.Number, "string": cty.String,
	}).Attributes
}

// complexBlock is the schema of a resource whose attributes and blocks hold
// themselves, down to a depth.
func complexBlock(attributeDepth, blockDepth int) *providers.Block {
	b := &providers.Block{Attributes: complexAttributes(attributeDepth), BlockTypes: map[string]*providers.NestedBlock{}}
	b.Attributes["id"] = &providers.Attribute{Type: cty.String, Optional: true, Computed: true}
	addBlocks(b, blockDepth)
	return b
}

func addBlocks(b *providers.Block, depth int) {
	for name, nesting := range map[string]providers.Nesting{"list_block": providers.NestingList, "set_block": providers.NestingSet} {
		inner := &providers.NestedBlock{Nesting: nesting}
		inner.Attributes = complexAttributes(depth)
		inner.BlockTypes = map[string]*providers.NestedBlock{}
		if depth > 1 {
			addBlocks(&inner.Block, depth-1)
		}
		b.BlockTypes[name] = inner
	}
}

func complexAttributes(depth int) map[string]*providers.Attribute {
	attrs := simpleAttributes()
	delete(attrs, "id")
	if depth == 0 {
		return attrs
	}
	for name, nesting := range map[string]providers.Nesting{
		"list": providers.NestingList, "set": providers.NestingSet, "map": providers.NestingMap, "object": providers.NestingSingle,
	} {
		attrs[name] = &providers.Attribute{Optional: true, NestedType: &providers.NestedObject{Attributes: complexAttributes(depth - 1), Nesting: nesting}}
	}
	return attrs
}

type dynamicAttribute struct {
	Type      string
	Sensitive bool
	List      *dynamicAttribute
	Set       *dynamicAttribute
	Map       *dynamicAttribute
	Object    map[string]*dynamicAttribute
}

func dynamicResources(t testing.TB, path string) map[string]providers.Schema {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]struct {
		Attributes map[string]*dynamicAttribute
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]providers.Schema{}
	for name, r := range doc {
		attrs := dynamicAttributes(r.Attributes)
		if attrs["id"] == nil {
			attrs["id"] = &providers.Attribute{Type: cty.String, Optional: true, Computed: true}
		}
		out[name] = providers.Schema{Block: &providers.Block{Attributes: attrs}}
	}
	return out
}

func dynamicAttributes(m map[string]*dynamicAttribute) map[string]*providers.Attribute {
	out := map[string]*providers.Attribute{}
	for name, a := range m {
		out[name] = a.attribute()
	}
	return out
}

func (a *dynamicAttribute) attribute() *providers.Attribute {
	out := &providers.Attribute{Optional: true, Sensitive: a.Sensitive}
	elem, nesting := a, providers.NestingSingle
	switch a.Type {
	case "list":
		elem, nesting = a.List, providers.NestingList
	case "set":
		elem, nesting = a.Set, providers.NestingSet
	case "map":
		elem, nesting = a.Map, providers.NestingMap
	}
	if elem.Type == "object" {
		out.NestedType = &providers.NestedObject{Attributes: dynamicAttributes(elem.Object), Nesting: nesting}
		return out
	}
	out.Type = a.ctyType()
	return out
}

func (a *dynamicAttribute) ctyType() cty.Type {
	switch a.Type {
	case "string":
		return cty.String
	case "bool", "boolean":
		return cty.Bool
	case "list":
		return cty.List(a.List.ctyType())
	case "set":
		return cty.Set(a.Set.ctyType())
	case "map":
		return cty.Map(a.Map.ctyType())
	case "object":
		attrs := map[string]cty.Type{}
		for name, m := range a.Object {
			attrs[name] = m.ctyType()
		}
		return cty.Object(attrs)
	}
	return cty.Number
}
