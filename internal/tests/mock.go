package tests

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// values are what a mock has for one type: an object with some of the attributes
// that a provider would compute.
type values struct {
	object     cty.Value // cty.NilVal: all is made up
	duringPlan bool
}

// mock is a provider that makes nothing: objects are what the configuration
// says, and what a provider would compute is made up. Schemas and functions are
// those of the real provider, which is started but never configured.
type mock struct {
	providers.Provider
	resources, data func(typeName string) values

	mu     sync.Mutex
	random *rand.Rand
}

func newMock(real providers.Provider, resources, data func(string) values) *mock {
	return &mock{Provider: real, resources: resources, data: data, random: rand.New(rand.NewPCG(1, 2))}
}

func (m *mock) Configure(context.Context, providers.ConfigureRequest) diag.List { return nil }

func (m *mock) ValidateProviderConfig(_ context.Context, config cty.Value) (cty.Value, diag.List) {
	return config, nil
}

func (m *mock) ValidateResourceConfig(context.Context, string, cty.Value) diag.List  { return nil }
func (m *mock) ValidateDataConfig(context.Context, string, cty.Value) diag.List      { return nil }
func (m *mock) ValidateEphemeralConfig(context.Context, string, cty.Value) diag.List { return nil }

func (m *mock) block(ctx context.Context, data bool, typeName string) *providers.Block {
	schemas, diags := m.Schemas(ctx)
	if diags.HasErrors() {
		return nil
	}
	if data {
		return schemas.DataSources[typeName].Block
	}
	return schemas.ResourceTypes[typeName].Block
}

func (m *mock) ReadResource(_ context.Context, req providers.ReadRequest) providers.ReadResponse {
	return providers.ReadResponse{Value: req.Prior, Private: req.Private, Identity: req.Identity}
}

func (m *mock) PlanResourceChange(ctx context.Context, req providers.PlanRequest) providers.PlanResponse {
	out := providers.PlanResponse{Planned: req.Proposed, Private: req.PriorPrivate, Identity: req.Identity}
	block := m.block(ctx, false, req.TypeName)
	if block == nil || req.Proposed.IsNull() || !req.Prior.IsNull() {
		return out
	}
	out.Planned = computed(block, req.Proposed)
	if v := m.resources(req.TypeName); v.duringPlan {
		out.Planned = m.fill(out.Planned, v.object)
	}
	return out
}

func (m *mock) ApplyResourceChange(ctx context.Context, req providers.ApplyRequest) providers.ApplyResponse {
	out := providers.ApplyResponse{Value: req.Planned, Private: req.PlannedPrivate, Identity: req.Identity}
	block := m.block(ctx, false, req.TypeName)
	if block == nil || req.Planned.IsNull() {
		return out
	}
	out.Value = m.fill(req.Planned, m.resources(req.TypeName).object)
	return out
}

func (m *mock) ReadDataSource(ctx context.Context, req providers.ReadDataRequest) providers.ReadDataResponse {
	block := m.block(ctx, true, req.TypeName)
	if block == nil {
		return providers.ReadDataResponse{Diags: diag.Errorf("Unsupported type", "The mocked provider has no data source %q.", req.TypeName)}
	}
	planned := computed(block, req.Config)
	return providers.ReadDataResponse{Value: m.fill(planned, m.data(req.TypeName).object)}
}

func (m *mock) ImportResourceState(context.Context, providers.ImportRequest) providers.ImportResponse {
	return providers.ImportResponse{Diags: diag.Errorf("Mocked provider cannot import", "There is nothing to import from a mocked provider.")}
}

func (m *mock) OpenEphemeral(ctx context.Context, req providers.OpenRequest) providers.OpenResponse {
	schemas, diags := m.Schemas(ctx)
	if diags.HasErrors() {
		return providers.OpenResponse{Diags: diags}
	}
	block := schemas.EphemeralResources[req.TypeName].Block
	planned := computed(block, req.Config)
	return providers.OpenResponse{Value: m.fill(planned, cty.NilVal)}
}

func (m *mock) CloseEphemeral(context.Context, string, []byte) diag.List { return nil }

// computed replaces the attributes that the provider decides and that are not
// set by unknown values.
func computed(block *providers.Block, v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() || !v.Type().IsObjectType() {
		return v
	}
	attrs := v.AsValueMap()
	if attrs == nil {
		return v
	}
	for name, attr := range block.Attributes {
		if attr.Computed && attrs[name].IsNull() && !attr.WriteOnly {
			attrs[name] = cty.UnknownVal(attrs[name].Type())
		}
	}
	for name, nested := range block.BlockTypes {
		attrs[name] = eachElement(attrs[name], func(e cty.Value) cty.Value { return computed(&nested.Block, e) })
	}
	return cty.ObjectVal(attrs)
}

// eachElement changes the elements of a collection of blocks, or the one block.
func eachElement(v cty.Value, f func(cty.Value) cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	ty := v.Type()
	if ty.IsObjectType() {
		return f(v)
	}
	if !v.CanIterateElements() || v.LengthInt() == 0 {
		return v
	}
	switch {
	case ty.IsMapType() || ty.IsObjectType():
		out := map[string]cty.Value{}
		for k, e := range v.AsValueMap() {
			out[k] = f(e)
		}
		return cty.MapVal(out)
	case ty.IsListType(), ty.IsSetType(), ty.IsTupleType():
		var out []cty.Value
		for _, e := range v.AsValueSlice() {
			out = append(out, f(e))
		}
		switch {
		case ty.IsSetType():
			return cty.SetVal(out)
		case ty.IsTupleType():
			return cty.TupleVal(out)
		}
		return cty.ListVal(out)
	}
	return v
}

// fill gives unknown attributes values: given ones where they fit, else made up.
func (m *mock) fill(v, given cty.Value) cty.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fillObject(v, given)
}

func (m *mock) fillObject(v, given cty.Value) cty.Value {
	ty := v.Type()
	if v.IsNull() {
		return v
	}
	if !v.IsKnown() {
		if given != cty.NilVal && !given.IsNull() {
			if converted, err := convert.Convert(given, ty); err == nil {
				return converted
			}
		}
		return m.invent(ty, given)
	}
	if v.IsWhollyKnown() {
		return v
	}
	switch {
	case ty.IsObjectType():
		attrs := v.AsValueMap()
		for name := range attrs {
			attrs[name] = m.fillObject(attrs[name], member(given, name))
		}
		return cty.ObjectVal(attrs)
	default:
		return eachElement(v, func(e cty.Value) cty.Value { return m.fillObject(e, given) })
	}
}

// member is an attribute of an object or map that may have it.
func member(v cty.Value, name string) cty.Value {
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		return cty.NilVal
	}
	switch {
	case v.Type().IsObjectType() && v.Type().HasAttribute(name):
		return v.GetAttr(name)
	case v.Type().IsMapType() && v.HasIndex(cty.StringVal(name)).True():
		return v.Index(cty.StringVal(name))
	}
	return cty.NilVal
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789"

// invent makes a value up: a text of eight letters, 0, false, nothing.
func (m *mock) invent(ty cty.Type, given cty.Value) cty.Value {
	switch {
	case ty == cty.String:
		text := make([]byte, 8)
		for i := range text {
			text[i] = letters[m.random.IntN(len(letters))]
		}
		return cty.StringVal(string(text))
	case ty == cty.Number:
		return cty.Zero
	case ty == cty.Bool:
		return cty.False
	case ty.IsListType():
		return cty.ListValEmpty(ty.ElementType())
	case ty.IsSetType():
		return cty.SetValEmpty(ty.ElementType())
	case ty.IsMapType():
		return cty.MapValEmpty(ty.ElementType())
	case ty.IsObjectType():
		attrs := map[string]cty.Value{}
		for name, attr := range ty.AttributeTypes() {
			attrs[name] = m.fillObject(cty.UnknownVal(attr), member(given, name))
		}
		return cty.ObjectVal(attrs)
	case ty.IsTupleType():
		var elems []cty.Value
		for _, e := range ty.TupleElementTypes() {
			elems = append(elems, m.invent(e, cty.NilVal))
		}
		return cty.TupleVal(elems)
	}
	return cty.NullVal(ty)
}
