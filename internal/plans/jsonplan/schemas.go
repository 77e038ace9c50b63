package jsonplan

import (
	"io"
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans/jsonvalue"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// WriteSchemas writes provider schemas, as `providers schema -json` shows them.
func WriteSchemas(out io.Writer, schemas map[addrs.Provider]*providers.Schemas) error {
	e := &schemaEncoder{jsonvalue.NewWriter(out)}
	list := make([]addrs.Provider, 0, len(schemas))
	for p := range schemas {
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].String() < list[j].String() })
	e.ObjectStart()
	e.StringMember("format_version", SchemaFormat)
	if len(list) > 0 {
		e.Key("provider_schemas")
		e.ObjectStart()
		for _, p := range list {
			e.Key(p.String())
			e.provider(schemas[p])
		}
		e.ObjectEnd()
	}
	e.ObjectEnd()
	e.Newline()
	return e.Flush()
}

type schemaEncoder struct{ *jsonvalue.Writer }

func (e *schemaEncoder) provider(s *providers.Schemas) {
	e.ObjectStart()
	e.Key("provider")
	e.schema(s.Provider)
	e.schemas("resource_schemas", s.ResourceTypes)
	e.schemas("data_source_schemas", s.DataSources)
	e.schemas("ephemeral_resource_schemas", s.EphemeralResources)
	e.schemas("list_resource_schemas", s.ListResources)
	e.schemas("action_schemas", s.Actions)
	if len(s.Functions) > 0 {
		e.Key("functions")
		e.ObjectStart()
		for _, name := range sortedKeys(s.Functions) {
			e.Key(name)
			e.function(s.Functions[name])
		}
		e.ObjectEnd()
	}
	e.identities(s.ResourceTypes)
	e.ObjectEnd()
}

func (e *schemaEncoder) schemas(name string, m map[string]providers.Schema) {
	if len(m) == 0 {
		return
	}
	e.Key(name)
	e.ObjectStart()
	for _, typ := range sortedKeys(m) {
		e.Key(typ)
		e.schema(m[typ])
	}
	e.ObjectEnd()
}

func (e *schemaEncoder) schema(s providers.Schema) {
	e.ObjectStart()
	e.IntMember("version", s.Version)
	if s.Block != nil {
		e.Key("block")
		e.block(s.Block)
	}
	e.ObjectEnd()
}

func (e *schemaEncoder) identities(m map[string]providers.Schema) {
	opened := false
	for _, typ := range sortedKeys(m) {
		id := m[typ].Identity
		if id == nil {
			continue
		}
		if !opened {
			e.Key("resource_identity_schemas")
			e.ObjectStart()
			opened = true
		}
		e.Key(typ)
		e.ObjectStart()
		e.IntMember("version", id.Version)
		e.Key("attributes")
		e.ObjectStart()
		for _, name := range sortedKeys(id.Attributes) {
			a := id.Attributes[name]
			e.Key(name)
			e.ObjectStart()
			e.ctyType(a.Type)
			e.OptionalString("description", a.Description)
			e.flag("required_for_import", a.Required)
			e.flag("optional_for_import", a.Optional)
			e.ObjectEnd()
		}
		e.ObjectEnd()
		e.ObjectEnd()
	}
	if opened {
		e.ObjectEnd()
	}
}

func (e *schemaEncoder) block(b *providers.Block) {
	e.ObjectStart()
	e.attributes(b.Attributes)
	if len(b.BlockTypes) > 0 {
		e.Key("block_types")
		e.ObjectStart()
		for _, name := range sortedKeys(b.BlockTypes) {
			n := b.BlockTypes[name]
			e.Key(name)
			e.ObjectStart()
			e.StringMember("nesting_mode", nestingName(n.Nesting))
			e.Key("block")
			e.block(&n.Block)
			if n.MinItems > 0 {
				e.IntMember("min_items", int64(n.MinItems))
			}
			if n.MaxItems > 0 {
				e.IntMember("max_items", int64(n.MaxItems))
			}
			e.ObjectEnd()
		}
		e.ObjectEnd()
	}
	e.OptionalString("description", b.Description)
	e.StringMember("description_kind", descriptionKind(b.DescriptionKind))
	e.flag("deprecated", b.Deprecated)
	e.ObjectEnd()
}

func (e *schemaEncoder) attributes(m map[string]*providers.Attribute) {
	if len(m) == 0 {
		return
	}
	e.Key("attributes")
	e.ObjectStart()
	for _, name := range sortedKeys(m) {
		e.Key(name)
		e.attribute(m[name])
	}
	e.ObjectEnd()
}

func (e *schemaEncoder) attribute(a *providers.Attribute) {
	e.ObjectStart()
	if a.NestedType != nil {
		e.Key("nested_type")
		e.ObjectStart()
		e.attributes(a.NestedType.Attributes)
		e.StringMember("nesting_mode", nestingName(a.NestedType.Nesting))
		e.ObjectEnd()
	} else {
		e.ctyType(a.Type)
	}
	e.OptionalString("description", a.Description)
	e.StringMember("description_kind", descriptionKind(a.DescriptionKind))
	e.flag("deprecated", a.Deprecated)
	e.flag("required", a.Required)
	e.flag("optional", a.Optional)
	e.flag("computed", a.Computed)
	e.flag("sensitive", a.Sensitive)
	e.flag("write_only", a.WriteOnly)
	e.ObjectEnd()
}

func (e *schemaEncoder) function(f providers.FunctionDecl) {
	e.ObjectStart()
	e.OptionalString("description", f.Description)
	e.OptionalString("summary", f.Summary)
	e.OptionalString("deprecation_message", f.DeprecationMessage)
	e.Key("return_type")
	e.rawType(f.ReturnType)
	if len(f.Parameters) > 0 {
		e.Key("parameters")
		e.ArrayStart()
		for i := range f.Parameters {
			e.parameter(&f.Parameters[i])
		}
		e.ArrayEnd()
	}
	if f.Variadic != nil {
		e.Key("variadic_parameter")
		e.parameter(f.Variadic)
	}
	e.ObjectEnd()
}

func (e *schemaEncoder) parameter(p *providers.FunctionParam) {
	e.ObjectStart()
	e.StringMember("name", p.Name)
	e.OptionalString("description", p.Description)
	e.flag("is_nullable", p.AllowNull)
	e.Key("type")
	e.rawType(p.Type)
	e.ObjectEnd()
}

func (e *schemaEncoder) ctyType(ty cty.Type) {
	e.Key("type")
	e.rawType(ty)
}

func (e *schemaEncoder) rawType(ty cty.Type) {
	raw, err := ctyjson.MarshalType(ty)
	if err != nil {
		e.Null()
		return
	}
	e.Raw(raw)
}

// flag writes a member only where it is true.
func (e *schemaEncoder) flag(name string, on bool) {
	if on {
		e.BoolMember(name, true)
	}
}

func descriptionKind(kind string) string {
	if kind == "" {
		return "plain"
	}
	return kind
}

func nestingName(n providers.Nesting) string {
	switch n {
	case providers.NestingSingle:
		return "single"
	case providers.NestingGroup:
		return "group"
	case providers.NestingList:
		return "list"
	case providers.NestingSet:
		return "set"
	case providers.NestingMap:
		return "map"
	}
	return "invalid"
}
