package providers

import (
	"fmt"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
)

// encodeValue writes a value of a type for the wire. NilVal stays out.
func encodeValue(v cty.Value, ty cty.Type) (*wire.Value, error) {
	if v == cty.NilVal {
		return nil, nil
	}
	data, err := msgpack.Marshal(v, ty)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a value for the provider: %w", err)
	}
	return &wire.Value{Msgpack: data}, nil
}

// decodeValue reads a value of a type. What is absent is null.
func decodeValue(v *wire.Value, ty cty.Type) (out cty.Value, err error) {
	defer func() {
		// Values from outside can be such that cty refuses to build them.
		if r := recover(); r != nil {
			out, err = cty.NilVal, fmt.Errorf("malformed value: %v", r)
		}
	}()
	switch {
	case v == nil, len(v.GetMsgpack()) == 0 && len(v.GetJson()) == 0:
		return cty.NullVal(ty), nil
	case len(v.GetMsgpack()) > 0:
		return msgpack.Unmarshal(v.GetMsgpack(), ty)
	}
	return ctyjson.Unmarshal(v.GetJson(), ty)
}

func decodePath(p *wire.Path) cty.Path {
	if p == nil {
		return nil
	}
	path := make(cty.Path, 0, len(p.GetSteps()))
	for _, step := range p.GetSteps() {
		switch s := step.GetSelector().(type) {
		case *wire.Path_Step_AttributeName:
			path = path.GetAttr(s.AttributeName)
		case *wire.Path_Step_ElementKeyString:
			path = path.Index(cty.StringVal(s.ElementKeyString))
		case *wire.Path_Step_ElementKeyInt:
			path = path.Index(cty.NumberIntVal(s.ElementKeyInt))
		}
	}
	return path
}

func decodeDiagnostics(list []*wire.Diagnostic) diag.List {
	if len(list) == 0 {
		return nil
	}
	out := make(diag.List, 0, len(list))
	for _, d := range list {
		severity := diag.Error
		if d.GetSeverity() == wire.Diagnostic_WARNING {
			severity = diag.Warning
		}
		summary := d.GetSummary()
		if summary == "" {
			summary = "The provider reported a problem without saying which"
		}
		out = append(out, diag.Diagnostic{Severity: severity, Summary: summary, Detail: d.GetDetail(), Attribute: decodePath(d.GetAttribute())})
	}
	return out
}

func decodeDeferred(d *wire.Deferred) *Deferred {
	if d == nil {
		return nil
	}
	switch d.GetReason() {
	case 1:
		return &Deferred{Reason: "resource_config_unknown"}
	case 2:
		return &Deferred{Reason: "provider_config_unknown"}
	case 3:
		return &Deferred{Reason: "absent_prereq"}
	}
	return &Deferred{Reason: "unknown"}
}

// schemaReader turns the wire's schemas into ours and collects what is wrong.
type schemaReader struct{ err error }

func (r *schemaReader) typ(data []byte, name string) cty.Type {
	if len(data) == 0 {
		return cty.NilType
	}
	ty, err := ctyjson.UnmarshalType(data)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("the type of attribute %q is malformed: %w", name, err)
	}
	if err != nil {
		return cty.DynamicPseudoType
	}
	return ty
}

func kindName(kind int32) string {
	if kind == 1 {
		return "markdown"
	}
	return "plain"
}

func (r *schemaReader) schema(s *wire.Schema) Schema {
	if s == nil {
		return Schema{Block: &Block{Attributes: map[string]*Attribute{}, BlockTypes: map[string]*NestedBlock{}}}
	}
	b := &Block{}
	r.block(b, s.GetBlock())
	return Schema{Version: s.GetVersion(), Block: b}
}

func (r *schemaReader) block(out *Block, b *wire.Block) {
	out.Attributes, out.BlockTypes = make(map[string]*Attribute, len(b.GetAttributes())), make(map[string]*NestedBlock, len(b.GetBlockTypes()))
	out.Description, out.DescriptionKind, out.Deprecated = b.GetDescription(), kindName(b.GetDescriptionKind()), b.GetDeprecated()
	for _, a := range b.GetAttributes() {
		out.Attributes[a.GetName()] = r.attribute(a)
	}
	for _, n := range b.GetBlockTypes() {
		nested := &NestedBlock{Nesting: nesting(n.GetNesting()), MinItems: int(n.GetMinItems()), MaxItems: int(n.GetMaxItems())}
		r.block(&nested.Block, n.GetBlock())
		out.BlockTypes[n.GetTypeName()] = nested
	}
}

// nesting converts the protocol's numbers, which are the same for blocks and
// nested attributes except that only blocks have groups.
func nesting(n int32) Nesting {
	switch n {
	case 1:
		return NestingSingle
	case 2:
		return NestingList
	case 3:
		return NestingSet
	case 4:
		return NestingMap
	case 5:
		return NestingGroup
	}
	return NestingInvalid
}

func (r *schemaReader) attribute(a *wire.Attribute) *Attribute {
	out := &Attribute{
		Type: r.typ(a.GetType(), a.GetName()), Description: a.GetDescription(), DescriptionKind: kindName(a.GetDescriptionKind()),
		Required: a.GetRequired(), Optional: a.GetOptional(), Computed: a.GetComputed(), Sensitive: a.GetSensitive(),
		WriteOnly: a.GetWriteOnly(), Deprecated: a.GetDeprecated(), DeprecationMessage: a.GetDeprecationMessage(),
	}
	if n := a.GetNestedType(); n != nil {
		out.NestedType = &NestedObject{Attributes: make(map[string]*Attribute, len(n.GetAttributes())), Nesting: nesting(n.GetNesting())}
		for _, inner := range n.GetAttributes() {
			out.NestedType.Attributes[inner.GetName()] = r.attribute(inner)
		}
		return out
	}
	if out.Type == cty.NilType {
		if r.err == nil {
			r.err = fmt.Errorf("attribute %q has no type", a.GetName())
		}
		out.Type = cty.DynamicPseudoType
	}
	return out
}

func (r *schemaReader) schemas(m map[string]*wire.Schema) map[string]Schema {
	out := make(map[string]Schema, len(m))
	for name, s := range m {
		out[name] = r.schema(s)
	}
	return out
}

func (r *schemaReader) function(f *wire.Function) FunctionDecl {
	out := FunctionDecl{
		ReturnType: r.typ(f.GetReturn().GetType(), "return"), Summary: f.GetSummary(), Description: f.GetDescription(),
		DescriptionKind: kindName(f.GetDescriptionKind()), DeprecationMessage: f.GetDeprecationMessage(),
	}
	if out.ReturnType == cty.NilType {
		out.ReturnType = cty.DynamicPseudoType
	}
	for _, p := range f.GetParameters() {
		out.Parameters = append(out.Parameters, r.parameter(p))
	}
	if p := f.GetVariadicParameter(); p != nil {
		variadic := r.parameter(p)
		out.Variadic = &variadic
	}
	return out
}

func (r *schemaReader) parameter(p *wire.Function_Parameter) FunctionParam {
	out := FunctionParam{
		Name: p.GetName(), Type: r.typ(p.GetType(), p.GetName()), AllowNull: p.GetAllowNullValue(), AllowUnknown: p.GetAllowUnknownValues(),
		Description: p.GetDescription(), DescriptionKind: kindName(p.GetDescriptionKind()),
	}
	if out.Type == cty.NilType {
		out.Type = cty.DynamicPseudoType
	}
	return out
}

func (r *schemaReader) identity(s *wire.IdentitySchema) *IdentitySchema {
	out := &IdentitySchema{Version: s.GetVersion(), Attributes: make(map[string]*Attribute, len(s.GetAttributes()))}
	for _, a := range s.GetAttributes() {
		out.Attributes[a.GetName()] = &Attribute{
			Type: r.typ(a.GetType(), a.GetName()), Description: a.GetDescription(), DescriptionKind: "plain",
			Required: a.GetRequiredForImport(), Optional: a.GetOptionalForImport(),
		}
	}
	return out
}

// whole converts the answer to the question for all schemas.
func (r *schemaReader) whole(resp *wire.SchemaResponse) *Schemas {
	s := &Schemas{
		Provider: r.schema(resp.GetProvider()), ResourceTypes: r.schemas(resp.GetResourceSchemas()), DataSources: r.schemas(resp.GetDataSourceSchemas()),
		EphemeralResources: r.schemas(resp.GetEphemeralResourceSchemas()), ListResources: r.schemas(resp.GetListResourceSchemas()),
		Actions: make(map[string]Schema, len(resp.GetActionSchemas())), Functions: make(map[string]FunctionDecl, len(resp.GetFunctions())),
	}
	if meta := resp.GetProviderMeta(); meta != nil && meta.GetBlock() != nil {
		s.ProviderMeta = r.schema(meta).Block
	}
	for name, a := range resp.GetActionSchemas() {
		s.Actions[name] = r.schema(a.GetSchema())
	}
	for name, f := range resp.GetFunctions() {
		s.Functions[name] = r.function(f)
	}
	c := resp.GetServerCapabilities()
	s.Capabilities = Capabilities{
		PlanDestroy: c.GetPlanDestroy(), GetProviderSchemaOptional: c.GetGetProviderSchemaOptional(),
		MoveResourceState: c.GetMoveResourceState(), GenerateResourceConfig: c.GetGenerateResourceConfig(),
	}
	return s
}

// from5 gives schemas of protocol 5 the shape of protocol 6.
func from5(resp *wire.SchemaResponse5) *wire.SchemaResponse {
	out := &wire.SchemaResponse{
		Provider: schema5(resp.GetProvider()), ProviderMeta: schema5(resp.GetProviderMeta()), Diagnostics: resp.GetDiagnostics(),
		ServerCapabilities: resp.GetServerCapabilities(), Functions: resp.GetFunctions(),
		ResourceSchemas: schemas5(resp.GetResourceSchemas()), DataSourceSchemas: schemas5(resp.GetDataSourceSchemas()),
		EphemeralResourceSchemas: schemas5(resp.GetEphemeralResourceSchemas()), ListResourceSchemas: schemas5(resp.GetListResourceSchemas()),
		ActionSchemas: make(map[string]*wire.ActionSchema, len(resp.GetActionSchemas())),
	}
	for name, a := range resp.GetActionSchemas() {
		out.ActionSchemas[name] = &wire.ActionSchema{Schema: schema5(a.GetSchema())}
	}
	return out
}

func schemas5(m map[string]*wire.Schema5) map[string]*wire.Schema {
	out := make(map[string]*wire.Schema, len(m))
	for name, s := range m {
		out[name] = schema5(s)
	}
	return out
}

func schema5(s *wire.Schema5) *wire.Schema {
	if s == nil {
		return nil
	}
	return &wire.Schema{Version: s.GetVersion(), Block: block5(s.GetBlock())}
}

func block5(b *wire.Block5) *wire.Block {
	if b == nil {
		return nil
	}
	out := &wire.Block{
		Version: b.GetVersion(), Description: b.GetDescription(), DescriptionKind: b.GetDescriptionKind(),
		Deprecated: b.GetDeprecated(), DeprecationMessage: b.GetDeprecationMessage(),
	}
	for _, a := range b.GetAttributes() {
		out.Attributes = append(out.Attributes, &wire.Attribute{
			Name: a.GetName(), Type: a.GetType(), Description: a.GetDescription(), Required: a.GetRequired(), Optional: a.GetOptional(),
			Computed: a.GetComputed(), Sensitive: a.GetSensitive(), DescriptionKind: a.GetDescriptionKind(), Deprecated: a.GetDeprecated(),
			WriteOnly: a.GetWriteOnly(), DeprecationMessage: a.GetDeprecationMessage(),
		})
	}
	for _, n := range b.GetBlockTypes() {
		out.BlockTypes = append(out.BlockTypes, &wire.NestedBlock{
			TypeName: n.GetTypeName(), Block: block5(n.GetBlock()), Nesting: n.GetNesting(), MinItems: n.GetMinItems(), MaxItems: n.GetMaxItems(),
		})
	}
	return out
}
