package providertest

import (
	"context"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// decodeStored reads stored JSON as an object of a type; it is what upgrades do
// where nothing has changed between schema versions.
func decodeStored(data []byte, ty cty.Type) (cty.Value, diag.List) {
	v, err := ctyjson.Unmarshal(data, ty)
	if err != nil {
		return cty.NilVal, diag.FromError(err)
	}
	return v, nil
}

// resource returns the schema of a resource type.
func (p *Provider) resource(typeName string) (providers.Schema, diag.List) {
	s, _ := p.Schemas(context.Background())
	schema, ok := s.ResourceTypes[typeName]
	if !ok {
		return schema, diag.Errorf("Unsupported type", "The provider has no resource type %q.", typeName)
	}
	return schema, nil
}

// UpgradeResourceState implements providers.Provider.
func (p *Provider) UpgradeResourceState(_ context.Context, req providers.UpgradeRequest) providers.UpgradeResponse {
	if p.UpgradeResourceStateFunc != nil {
		return p.UpgradeResourceStateFunc(req)
	}
	schema, diags := p.resource(req.TypeName)
	if diags.HasErrors() {
		return providers.UpgradeResponse{Diags: diags}
	}
	v, diags := decodeStored(req.JSON, schema.Block.ImpliedType())
	return providers.UpgradeResponse{Value: v, Diags: diags}
}

// UpgradeResourceIdentity implements providers.Provider.
func (p *Provider) UpgradeResourceIdentity(_ context.Context, req providers.UpgradeRequest) providers.UpgradeResponse {
	if p.UpgradeResourceIdentityFunc != nil {
		return p.UpgradeResourceIdentityFunc(req)
	}
	schema, diags := p.resource(req.TypeName)
	if diags.HasErrors() || schema.Identity == nil {
		return providers.UpgradeResponse{Diags: diags}
	}
	v, diags := decodeStored(req.JSON, schema.Identity.Type())
	return providers.UpgradeResponse{Value: v, Diags: diags}
}

// MoveResourceState implements providers.Provider.
func (p *Provider) MoveResourceState(_ context.Context, req providers.MoveRequest) providers.MoveResponse {
	if p.MoveResourceStateFunc != nil {
		return p.MoveResourceStateFunc(req)
	}
	schema, diags := p.resource(req.TargetType)
	if diags.HasErrors() {
		return providers.MoveResponse{Diags: diags, Identity: cty.NilVal}
	}
	v, diags := decodeStored(req.SourceJSON, schema.Block.ImpliedType())
	return providers.MoveResponse{Value: v, Private: req.SourcePrivate, Identity: cty.NilVal, Diags: diags}
}

// ReadResource implements providers.Provider.
func (p *Provider) ReadResource(ctx context.Context, req providers.ReadRequest) providers.ReadResponse {
	if p.ReadResourceFunc != nil {
		return p.ReadResourceFunc(ctx, req)
	}
	return providers.ReadResponse{Value: req.Prior, Private: req.Private, Identity: req.Identity}
}

// PlanResourceChange implements providers.Provider. Without a function of its
// own it plans what is proposed, and computed attributes without a value as
// unknown.
func (p *Provider) PlanResourceChange(ctx context.Context, req providers.PlanRequest) providers.PlanResponse {
	if p.PlanResourceChangeFunc != nil {
		return p.PlanResourceChangeFunc(ctx, req)
	}
	schema, diags := p.resource(req.TypeName)
	if diags.HasErrors() {
		return providers.PlanResponse{Diags: diags, Identity: cty.NilVal}
	}
	planned := fillComputed(schema.Block, req.Proposed, func(ty cty.Type) cty.Value { return cty.UnknownVal(ty) })
	return providers.PlanResponse{Planned: planned, Private: req.PriorPrivate, Identity: req.Identity}
}

// ApplyResourceChange implements providers.Provider. Without a function of its
// own it makes what is planned: unknown strings become "made", other unknown
// values null.
func (p *Provider) ApplyResourceChange(ctx context.Context, req providers.ApplyRequest) providers.ApplyResponse {
	if p.ApplyResourceChangeFunc != nil {
		return p.ApplyResourceChangeFunc(ctx, req)
	}
	made, err := cty.Transform(req.Planned, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		switch {
		case v.IsKnown():
			return v, nil
		case v.Type() == cty.String:
			return cty.StringVal("made"), nil
		}
		return cty.NullVal(v.Type()), nil
	})
	if err != nil {
		return providers.ApplyResponse{Value: req.Prior, Identity: cty.NilVal, Diags: diag.FromError(err)}
	}
	return providers.ApplyResponse{Value: made, Private: req.PlannedPrivate, Identity: req.Identity}
}

// fillComputed gives computed top-level attributes that are null a value.
func fillComputed(b *providers.Block, v cty.Value, fill func(cty.Type) cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	attrs := v.AsValueMap()
	for name, a := range b.Attributes {
		if a.Computed && attrs[name].IsNull() {
			attrs[name] = fill(a.ImpliedType())
		}
	}
	return cty.ObjectVal(attrs)
}

// ImportResourceState implements providers.Provider. Without a function of its
// own it finds an object whose attribute "id", if it has one, is the id asked for.
func (p *Provider) ImportResourceState(ctx context.Context, req providers.ImportRequest) providers.ImportResponse {
	if p.ImportResourceStateFunc != nil {
		return p.ImportResourceStateFunc(ctx, req)
	}
	schema, diags := p.resource(req.TypeName)
	if diags.HasErrors() {
		return providers.ImportResponse{Diags: diags}
	}
	attrs := schema.Block.EmptyValue().AsValueMap()
	if id, ok := schema.Block.Attributes["id"]; ok && id.Type == cty.String {
		attrs["id"] = cty.StringVal(req.ID)
	}
	return providers.ImportResponse{Objects: []providers.Imported{{TypeName: req.TypeName, Value: cty.ObjectVal(attrs), Identity: req.Identity}}}
}

// ReadDataSource implements providers.Provider.
func (p *Provider) ReadDataSource(ctx context.Context, req providers.ReadDataRequest) providers.ReadDataResponse {
	if p.ReadDataSourceFunc != nil {
		return p.ReadDataSourceFunc(ctx, req)
	}
	return providers.ReadDataResponse{Value: req.Config}
}

// OpenEphemeral implements providers.Provider.
func (p *Provider) OpenEphemeral(ctx context.Context, req providers.OpenRequest) providers.OpenResponse {
	if p.OpenEphemeralFunc != nil {
		return p.OpenEphemeralFunc(ctx, req)
	}
	return providers.OpenResponse{Value: req.Config}
}

// RenewEphemeral implements providers.Provider.
func (p *Provider) RenewEphemeral(ctx context.Context, req providers.RenewRequest) providers.RenewResponse {
	if p.RenewEphemeralFunc != nil {
		return p.RenewEphemeralFunc(ctx, req)
	}
	return providers.RenewResponse{Private: req.Private}
}

// CloseEphemeral implements providers.Provider.
func (p *Provider) CloseEphemeral(ctx context.Context, typeName string, private []byte) diag.List {
	if p.CloseEphemeralFunc != nil {
		return p.CloseEphemeralFunc(ctx, typeName, private)
	}
	return nil
}
