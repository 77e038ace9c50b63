package providers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers/internal/wire"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// client is a provider behind a gRPC connection, of protocol 5 or 6.
type client struct {
	addr     addrs.Provider
	protocol int
	methods  methods
	conn     grpc.ClientConnInterface
	schemas  func(ctx context.Context) (*Schemas, diag.List)
	// lastWords returns what the process said before it ended.
	lastWords    func() string
	introduction *introduction
	release      func() error
}

func capabilities(deferral bool) *wire.ClientCapabilities {
	return &wire.ClientCapabilities{DeferralAllowed: deferral, WriteOnlyAttributesAllowed: true}
}

// Schemas implements Provider.
func (c *client) Schemas(ctx context.Context) (*Schemas, diag.List) { return c.schemas(ctx) }

// fetchSchemas asks the process for everything about itself.
func (c *client) fetchSchemas(ctx context.Context) (*Schemas, rawSchemas, diag.List) {
	raw := rawSchemas{&wire.SchemaResponse{}, &wire.IdentitySchemasResponse{}}
	if c.protocol == 5 {
		five := &wire.SchemaResponse5{}
		if diags := c.invokeFirst(ctx, c.methods.schema, &wire.Empty{}, five); diags != nil {
			return nil, raw, diags
		}
		raw.schemas = from5(five)
	} else if diags := c.invokeFirst(ctx, c.methods.schema, &wire.Empty{}, raw.schemas); diags != nil {
		return nil, raw, diags
	}
	diags := decodeDiagnostics(raw.schemas.GetDiagnostics())
	if diags.HasErrors() {
		return nil, raw, diags
	}
	raw.schemas.Diagnostics = nil
	c.introduction.done.Store(true)
	err := c.conn.Invoke(ctx, c.methods.identitySchemas, &wire.Empty{}, raw.identities)
	if err != nil && status.Code(err) != codes.Unimplemented {
		return nil, raw, c.broken(ctx, c.methods.identitySchemas, err)
	}
	s, err := raw.build()
	if err != nil {
		return nil, raw, append(diags, c.malformed("schemas", err)...)
	}
	return s, raw, diags
}

// schemaFor selects the schema of one kind of object.
func (c *client) schemaFor(ctx context.Context, kind, name string) (Schema, diag.List) {
	s, diags := c.schemas(ctx)
	if diags.HasErrors() {
		return Schema{}, diags
	}
	var schema Schema
	var ok bool
	switch kind {
	case "resource type":
		schema, ok = s.ResourceTypes[name]
	case "data source":
		schema, ok = s.DataSources[name]
	case "ephemeral resource type":
		schema, ok = s.EphemeralResources[name]
	case actionKind:
		schema, ok = s.Actions[name]
	}
	if !ok {
		return Schema{}, c.unsupported(kind, name)
	}
	return schema, nil
}

// ValidateProviderConfig implements Provider.
func (c *client) ValidateProviderConfig(ctx context.Context, config cty.Value) (cty.Value, diag.List) {
	s, diags := c.schemas(ctx)
	if diags.HasErrors() {
		return config, diags
	}
	ty := s.Provider.Block.ImpliedType()
	value, err := encodeValue(config, ty)
	if err != nil {
		return config, diag.FromError(err)
	}
	resp := &wire.ValidateProviderResponse{}
	if diags := c.invoke(ctx, c.methods.validateProvider, &wire.ValidateProviderRequest{Config: value}, resp); diags != nil {
		return config, diags
	}
	diags = decodeDiagnostics(resp.GetDiagnostics())
	if c.protocol == 5 && resp.GetPreparedConfig() != nil && !diags.HasErrors() {
		prepared, err := decodeValue(resp.GetPreparedConfig(), ty)
		if err != nil {
			return config, append(diags, c.malformed("a prepared configuration", err)...)
		}
		return prepared, diags
	}
	return config, diags
}

func (c *client) validate(ctx context.Context, method, kind, typeName string, config cty.Value) diag.List {
	schema, diags := c.schemaFor(ctx, kind, typeName)
	if diags.HasErrors() {
		return diags
	}
	value, err := encodeValue(config, schema.Block.ImpliedType())
	if err != nil {
		return diag.FromError(err)
	}
	resp := &wire.DiagnosticsResponse{}
	if diags := c.invoke(ctx, method, &wire.ValidateRequest{TypeName: typeName, Config: value, ClientCapabilities: capabilities(false)}, resp); diags != nil {
		return diags
	}
	return decodeDiagnostics(resp.GetDiagnostics())
}

// ValidateResourceConfig implements Provider.
func (c *client) ValidateResourceConfig(ctx context.Context, typeName string, config cty.Value) diag.List {
	return c.validate(ctx, c.methods.validateResource, "resource type", typeName, config)
}

// ValidateDataConfig implements Provider.
func (c *client) ValidateDataConfig(ctx context.Context, typeName string, config cty.Value) diag.List {
	return c.validate(ctx, c.methods.validateData, "data source", typeName, config)
}

// ValidateEphemeralConfig implements Provider.
func (c *client) ValidateEphemeralConfig(ctx context.Context, typeName string, config cty.Value) diag.List {
	return c.validate(ctx, c.methods.validateEphemeral, "ephemeral resource type", typeName, config)
}

// Configure implements Provider.
func (c *client) Configure(ctx context.Context, req ConfigureRequest) diag.List {
	s, diags := c.schemas(ctx)
	if diags.HasErrors() {
		return diags
	}
	value, err := encodeValue(req.Config, s.Provider.Block.ImpliedType())
	if err != nil {
		return diag.FromError(err)
	}
	resp := &wire.DiagnosticsResponse{}
	msg := &wire.ConfigureRequest{TerraformVersion: req.TerraformVersion, Config: value, ClientCapabilities: capabilities(false)}
	if diags := c.invoke(ctx, c.methods.configure, msg, resp); diags != nil {
		return diags
	}
	return decodeDiagnostics(resp.GetDiagnostics())
}

// UpgradeResourceState implements Provider.
func (c *client) UpgradeResourceState(ctx context.Context, req UpgradeRequest) UpgradeResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TypeName)
	if diags.HasErrors() {
		return UpgradeResponse{Diags: diags}
	}
	resp := &wire.UpgradeStateResponse{}
	msg := &wire.UpgradeRequest{TypeName: req.TypeName, Version: req.Version, RawState: &wire.RawState{Json: req.JSON, Flatmap: req.Flatmap}}
	if diags := c.invoke(ctx, c.methods.upgradeState, msg, resp); diags != nil {
		return UpgradeResponse{Diags: diags}
	}
	out := UpgradeResponse{Diags: decodeDiagnostics(resp.GetDiagnostics())}
	if !out.Diags.HasErrors() {
		var err error
		if out.Value, err = decodeValue(resp.GetUpgradedState(), schema.Block.ImpliedType()); err != nil {
			out.Diags = append(out.Diags, c.malformed("an upgraded object", err)...)
		}
	}
	return out
}

// UpgradeResourceIdentity implements Provider.
func (c *client) UpgradeResourceIdentity(ctx context.Context, req UpgradeRequest) UpgradeResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TypeName)
	if diags.HasErrors() || schema.Identity == nil {
		return UpgradeResponse{Diags: diags}
	}
	resp := &wire.UpgradeIdentityResponse{}
	msg := &wire.UpgradeRequest{TypeName: req.TypeName, Version: req.Version, RawState: &wire.RawState{Json: req.JSON}}
	if diags := c.invoke(ctx, c.methods.upgradeIdentity, msg, resp); diags != nil {
		return UpgradeResponse{Diags: diags}
	}
	out := UpgradeResponse{Diags: decodeDiagnostics(resp.GetDiagnostics())}
	if !out.Diags.HasErrors() {
		var err error
		if out.Value, err = decodeValue(resp.GetUpgradedIdentity().GetData(), schema.Identity.Type()); err != nil {
			out.Diags = append(out.Diags, c.malformed("an upgraded identity", err)...)
		}
	}
	return out
}

// MoveResourceState implements Provider.
func (c *client) MoveResourceState(ctx context.Context, req MoveRequest) MoveResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TargetType)
	if diags.HasErrors() {
		return MoveResponse{Diags: diags, Identity: cty.NilVal}
	}
	msg := &wire.MoveRequest{
		SourceProviderAddress: req.SourceProvider.String(), SourceTypeName: req.SourceType, SourceSchemaVersion: req.SourceSchemaVersion,
		SourceState: &wire.RawState{Json: req.SourceJSON}, TargetTypeName: req.TargetType, SourcePrivate: req.SourcePrivate,
		SourceIdentitySchemaVersion: req.SourceIdentityVersion,
	}
	if len(req.SourceIdentity) > 0 {
		msg.SourceIdentity = &wire.RawState{Json: req.SourceIdentity}
	}
	resp := &wire.MoveResponse{}
	if diags := c.invoke(ctx, c.methods.moveState, msg, resp); diags != nil {
		return MoveResponse{Diags: diags, Identity: cty.NilVal}
	}
	out := MoveResponse{Diags: decodeDiagnostics(resp.GetDiagnostics()), Private: resp.GetTargetPrivate(), Identity: cty.NilVal}
	if out.Diags.HasErrors() {
		return out
	}
	var err error
	if out.Value, err = decodeValue(resp.GetTargetState(), schema.Block.ImpliedType()); err != nil {
		out.Diags = append(out.Diags, c.malformed("a moved object", err)...)
	}
	out.Identity, out.Diags = c.identity(resp.GetTargetIdentity(), schema, out.Diags)
	return out
}

// encodeIdentity writes an identity, where there is one.
func encodeIdentity(v cty.Value, schema Schema) (*wire.Identity, error) {
	if v == cty.NilVal || schema.Identity == nil || v.IsNull() {
		return nil, nil
	}
	data, err := encodeValue(v, schema.Identity.Type())
	if err != nil {
		return nil, err
	}
	return &wire.Identity{Data: data}, nil
}

// identity reads an identity, where there is one.
func (c *client) identity(id *wire.Identity, schema Schema, diags diag.List) (cty.Value, diag.List) {
	if id == nil || id.GetData() == nil || schema.Identity == nil {
		return cty.NilVal, diags
	}
	v, err := decodeValue(id.GetData(), schema.Identity.Type())
	if err != nil {
		return cty.NilVal, append(diags, c.malformed("an identity", err)...)
	}
	return v, diags
}

// encoder writes several values and remembers the first error.
type encoder struct{ err error }

func (e *encoder) value(v cty.Value, ty cty.Type) *wire.Value {
	out, err := encodeValue(v, ty)
	if err != nil && e.err == nil {
		e.err = err
	}
	return out
}

func (e *encoder) identity(v cty.Value, schema Schema) *wire.Identity {
	out, err := encodeIdentity(v, schema)
	if err != nil && e.err == nil {
		e.err = err
	}
	return out
}

// meta writes a provider_meta value with its own type.
func (e *encoder) meta(ctx context.Context, c *client, v cty.Value) *wire.Value {
	s, _ := c.schemas(ctx)
	if v == cty.NilVal || s == nil || s.ProviderMeta == nil {
		return nil
	}
	return e.value(v, s.ProviderMeta.ImpliedType())
}

// ReadResource implements Provider.
func (c *client) ReadResource(ctx context.Context, req ReadRequest) ReadResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TypeName)
	if diags.HasErrors() {
		return ReadResponse{Diags: diags, Identity: cty.NilVal}
	}
	ty, e := schema.Block.ImpliedType(), &encoder{}
	msg := &wire.ReadRequest{
		TypeName: req.TypeName, CurrentState: e.value(req.Prior, ty), Private: req.Private, ProviderMeta: e.meta(ctx, c, req.ProviderMeta),
		ClientCapabilities: capabilities(req.AllowDefer), CurrentIdentity: e.identity(req.Identity, schema),
	}
	if e.err != nil {
		return ReadResponse{Diags: diag.FromError(e.err), Identity: cty.NilVal}
	}
	resp := &wire.ReadResponse{}
	if diags := c.invoke(ctx, c.methods.read, msg, resp); diags != nil {
		return ReadResponse{Diags: diags, Identity: cty.NilVal}
	}
	out := ReadResponse{Private: resp.GetPrivate(), Deferred: decodeDeferred(resp.GetDeferred()), Diags: decodeDiagnostics(resp.GetDiagnostics()), Identity: cty.NilVal}
	var err error
	if out.Value, err = decodeValue(resp.GetNewState(), ty); err != nil {
		out.Value = cty.NilVal
		out.Diags = append(out.Diags, c.malformed("an object", err)...)
		return out
	}
	out.Identity, out.Diags = c.identity(resp.GetNewIdentity(), schema, out.Diags)
	return out
}

// PlanResourceChange implements Provider.
func (c *client) PlanResourceChange(ctx context.Context, req PlanRequest) PlanResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TypeName)
	if diags.HasErrors() {
		return PlanResponse{Diags: diags, Identity: cty.NilVal}
	}
	ty, e := schema.Block.ImpliedType(), &encoder{}
	msg := &wire.PlanRequest{
		TypeName: req.TypeName, PriorState: e.value(req.Prior, ty), ProposedNewState: e.value(req.Proposed, ty), Config: e.value(req.Config, ty),
		PriorPrivate: req.PriorPrivate, ProviderMeta: e.meta(ctx, c, req.ProviderMeta), ClientCapabilities: capabilities(req.AllowDefer),
		PriorIdentity: e.identity(req.Identity, schema),
	}
	if e.err != nil {
		return PlanResponse{Diags: diag.FromError(e.err), Identity: cty.NilVal}
	}
	resp := &wire.PlanResponse{}
	if diags := c.invoke(ctx, c.methods.plan, msg, resp); diags != nil {
		return PlanResponse{Diags: diags, Identity: cty.NilVal}
	}
	out := PlanResponse{
		Private: resp.GetPlannedPrivate(), LegacyTypeSystem: resp.GetLegacyTypeSystem(), Deferred: decodeDeferred(resp.GetDeferred()),
		Diags: decodeDiagnostics(resp.GetDiagnostics()), Identity: cty.NilVal,
	}
	for _, p := range resp.GetRequiresReplace() {
		out.RequiresReplace = append(out.RequiresReplace, decodePath(p))
	}
	var err error
	if out.Planned, err = decodeValue(resp.GetPlannedState(), ty); err != nil {
		out.Planned = cty.NilVal
		out.Diags = append(out.Diags, c.malformed("a planned object", err)...)
		return out
	}
	out.Identity, out.Diags = c.identity(resp.GetPlannedIdentity(), schema, out.Diags)
	return out
}

// ApplyResourceChange implements Provider.
func (c *client) ApplyResourceChange(ctx context.Context, req ApplyRequest) ApplyResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TypeName)
	if diags.HasErrors() {
		return ApplyResponse{Diags: diags, Value: req.Prior, Identity: cty.NilVal}
	}
	ty, e := schema.Block.ImpliedType(), &encoder{}
	msg := &wire.ApplyRequest{
		TypeName: req.TypeName, PriorState: e.value(req.Prior, ty), PlannedState: e.value(req.Planned, ty), Config: e.value(req.Config, ty),
		PlannedPrivate: req.PlannedPrivate, ProviderMeta: e.meta(ctx, c, req.ProviderMeta), PlannedIdentity: e.identity(req.Identity, schema),
	}
	if e.err != nil {
		return ApplyResponse{Diags: diag.FromError(e.err), Value: req.Prior, Identity: cty.NilVal}
	}
	resp := &wire.ApplyResponse{}
	if diags := c.invoke(ctx, c.methods.apply, msg, resp); diags != nil {
		return ApplyResponse{Diags: diags, Lost: true, Value: cty.NilVal, Identity: cty.NilVal}
	}
	out := ApplyResponse{Private: resp.GetPrivate(), LegacyTypeSystem: resp.GetLegacyTypeSystem(), Diags: decodeDiagnostics(resp.GetDiagnostics()), Identity: cty.NilVal}
	var err error
	if out.Value, err = decodeValue(resp.GetNewState(), ty); err != nil {
		// Something was done, but what is left of it cannot be read.
		out.Value, out.Lost = cty.NilVal, true
		out.Diags = append(out.Diags, c.malformed("a new object", err)...)
		return out
	}
	out.Identity, out.Diags = c.identity(resp.GetNewIdentity(), schema, out.Diags)
	return out
}

// ImportResourceState implements Provider.
func (c *client) ImportResourceState(ctx context.Context, req ImportRequest) ImportResponse {
	schema, diags := c.schemaFor(ctx, "resource type", req.TypeName)
	if diags.HasErrors() {
		return ImportResponse{Diags: diags}
	}
	e := &encoder{}
	msg := &wire.ImportRequest{TypeName: req.TypeName, Id: req.ID, ClientCapabilities: capabilities(false), Identity: e.identity(req.Identity, schema)}
	if e.err != nil {
		return ImportResponse{Diags: diag.FromError(e.err)}
	}
	resp := &wire.ImportResponse{}
	if diags := c.invoke(ctx, c.methods.importState, msg, resp); diags != nil {
		return ImportResponse{Diags: diags}
	}
	out := ImportResponse{Diags: decodeDiagnostics(resp.GetDiagnostics()), Deferred: decodeDeferred(resp.GetDeferred())}
	for _, r := range resp.GetImportedResources() {
		found, d := c.schemaFor(ctx, "resource type", r.GetTypeName())
		if d.HasErrors() {
			out.Diags = append(out.Diags, d...)
			continue
		}
		v, err := decodeValue(r.GetState(), found.Block.ImpliedType())
		if err != nil {
			out.Diags = append(out.Diags, c.malformed("an imported object", err)...)
			continue
		}
		object := Imported{TypeName: r.GetTypeName(), Value: v, Private: r.GetPrivate()}
		object.Identity, out.Diags = c.identity(r.GetIdentity(), found, out.Diags)
		out.Objects = append(out.Objects, object)
	}
	return out
}

// ReadDataSource implements Provider.
func (c *client) ReadDataSource(ctx context.Context, req ReadDataRequest) ReadDataResponse {
	schema, diags := c.schemaFor(ctx, "data source", req.TypeName)
	if diags.HasErrors() {
		return ReadDataResponse{Diags: diags}
	}
	ty, e := schema.Block.ImpliedType(), &encoder{}
	msg := &wire.ReadDataRequest{TypeName: req.TypeName, Config: e.value(req.Config, ty), ProviderMeta: e.meta(ctx, c, req.ProviderMeta), ClientCapabilities: capabilities(req.AllowDefer)}
	if e.err != nil {
		return ReadDataResponse{Diags: diag.FromError(e.err)}
	}
	resp := &wire.ReadDataResponse{}
	if diags := c.invoke(ctx, c.methods.readData, msg, resp); diags != nil {
		return ReadDataResponse{Diags: diags}
	}
	out := ReadDataResponse{Diags: decodeDiagnostics(resp.GetDiagnostics()), Deferred: decodeDeferred(resp.GetDeferred())}
	var err error
	if out.Value, err = decodeValue(resp.GetState(), ty); err != nil {
		out.Value = cty.NilVal
		out.Diags = append(out.Diags, c.malformed("data", err)...)
	}
	return out
}

// OpenEphemeral implements Provider.
func (c *client) OpenEphemeral(ctx context.Context, req OpenRequest) OpenResponse {
	schema, diags := c.schemaFor(ctx, "ephemeral resource type", req.TypeName)
	if diags.HasErrors() {
		return OpenResponse{Diags: diags}
	}
	ty, e := schema.Block.ImpliedType(), &encoder{}
	msg := &wire.OpenRequest{TypeName: req.TypeName, Config: e.value(req.Config, ty), ClientCapabilities: capabilities(false)}
	if e.err != nil {
		return OpenResponse{Diags: diag.FromError(e.err)}
	}
	resp := &wire.OpenResponse{}
	if diags := c.invoke(ctx, c.methods.openEphemeral, msg, resp); diags != nil {
		return OpenResponse{Diags: diags}
	}
	out := OpenResponse{Private: resp.GetPrivate(), RenewAt: moment(resp.GetRenewAt()), Deferred: decodeDeferred(resp.GetDeferred()), Diags: decodeDiagnostics(resp.GetDiagnostics())}
	var err error
	if out.Value, err = decodeValue(resp.GetResult(), ty); err != nil {
		out.Value = cty.NilVal
		out.Diags = append(out.Diags, c.malformed("an ephemeral object", err)...)
	}
	return out
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// RenewEphemeral implements Provider.
func (c *client) RenewEphemeral(ctx context.Context, req RenewRequest) RenewResponse {
	resp := &wire.RenewResponse{}
	if diags := c.invoke(ctx, c.methods.renewEphemeral, &wire.EphemeralRequest{TypeName: req.TypeName, Private: req.Private}, resp); diags != nil {
		return RenewResponse{Diags: diags}
	}
	return RenewResponse{Private: resp.GetPrivate(), RenewAt: moment(resp.GetRenewAt()), Diags: decodeDiagnostics(resp.GetDiagnostics())}
}

// CloseEphemeral implements Provider.
func (c *client) CloseEphemeral(ctx context.Context, typeName string, private []byte) diag.List {
	resp := &wire.DiagnosticsResponse{}
	if diags := c.invoke(ctx, c.methods.closeEphemeral, &wire.EphemeralRequest{TypeName: typeName, Private: private}, resp); diags != nil {
		return diags
	}
	return decodeDiagnostics(resp.GetDiagnostics())
}

// CallFunction implements Provider.
func (c *client) CallFunction(ctx context.Context, name string, args []cty.Value) (cty.Value, error) {
	s, diags := c.schemas(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags.Err()
	}
	decl, ok := s.Functions[name]
	if !ok {
		return cty.DynamicVal, fmt.Errorf("provider %s has no function %q", c.addr.ForDisplay(), name)
	}
	msg := &wire.CallRequest{Name: name}
	for i, arg := range args {
		param := decl.Variadic
		if i < len(decl.Parameters) {
			param = &decl.Parameters[i]
		}
		if param == nil {
			return cty.DynamicVal, fmt.Errorf("too many arguments for function %q", name)
		}
		value, err := encodeValue(arg, param.Type)
		if err != nil {
			return cty.DynamicVal, function.NewArgError(i, err)
		}
		msg.Arguments = append(msg.Arguments, value)
	}
	resp := &wire.CallResponse{}
	if diags := c.invoke(ctx, c.methods.call, msg, resp); diags != nil {
		return cty.DynamicVal, diags.Err()
	}
	if failure := resp.GetError(); failure != nil {
		err := errors.New(failure.GetText())
		if i := failure.GetFunctionArgument(); failure.FunctionArgument != nil && i >= 0 && i < int64(len(args)) {
			return cty.DynamicVal, function.NewArgError(int(i), err)
		}
		return cty.DynamicVal, err
	}
	v, err := decodeValue(resp.GetResult(), decl.ReturnType)
	if err != nil {
		return cty.DynamicVal, c.malformed("the result of function "+name, err).Err()
	}
	return v, nil
}

// Stop implements Provider.
func (c *client) Stop(ctx context.Context) error {
	resp := &wire.StopResponse{}
	if err := c.conn.Invoke(ctx, c.methods.stop, &wire.Empty{}, resp); err != nil {
		return err
	}
	if resp.GetError() != "" {
		return errors.New(resp.GetError())
	}
	return nil
}

// Close implements Provider.
func (c *client) Close() error { return c.release() }
