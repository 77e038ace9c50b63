package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// kind is one resource type or data source.
type kind struct {
	spec   resourceSpec
	schema *tfprotov6.Schema
	ty     tftypes.Object
}

// server implements the provider. What it embeds stands for methods that nobody
// calls, because nothing is offered that would need them.
type server struct {
	tfprotov6.ProviderServer
	resources, data map[string]kind

	objects, records store
	onlyState        bool
}

func newServer(path string) (*server, error) {
	specs, err := readSpecs(path)
	if err != nil {
		return nil, err
	}
	specs["tfcoremock_simple_resource"], specs["tfcoremock_complex_resource"] = simpleSpec(), complexSpec()
	s := &server{resources: map[string]kind{}, data: map[string]kind{}, objects: store{"terraform.resource"}, records: store{"terraform.data"}}
	for name, spec := range specs {
		for _, target := range []struct {
			into map[string]kind
			data bool
		}{{s.resources, false}, {s.data, true}} {
			k := kind{spec: withID(spec, target.data)}
			if k.schema, err = schema(k.spec); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			k.ty = k.schema.ValueType().(tftypes.Object) //nolint:forcetypeassert // a schema's type is an object
			target.into[name] = k
		}
	}
	return s, nil
}

func providerSchema() *tfprotov6.Schema {
	text := func(name string) *tfprotov6.SchemaAttribute {
		return &tfprotov6.SchemaAttribute{Name: name, Type: tftypes.String, Optional: true}
	}
	return &tfprotov6.Schema{Block: &tfprotov6.SchemaBlock{Attributes: []*tfprotov6.SchemaAttribute{
		text("data_directory"), text("resource_directory"), {Name: "use_only_state", Type: tftypes.Bool, Optional: true},
	}}}
}

func (s *server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	resp := &tfprotov6.GetMetadataResponse{ServerCapabilities: &tfprotov6.ServerCapabilities{}}
	for name := range s.resources {
		resp.Resources = append(resp.Resources, tfprotov6.ResourceMetadata{TypeName: name})
		resp.DataSources = append(resp.DataSources, tfprotov6.DataSourceMetadata{TypeName: name})
	}
	return resp, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resp := &tfprotov6.GetProviderSchemaResponse{
		Provider: providerSchema(), ResourceSchemas: map[string]*tfprotov6.Schema{}, DataSourceSchemas: map[string]*tfprotov6.Schema{},
		ServerCapabilities: &tfprotov6.ServerCapabilities{},
	}
	for name, k := range s.resources {
		resp.ResourceSchemas[name] = k.schema
	}
	for name, k := range s.data {
		resp.DataSourceSchemas[name] = k.schema
	}
	return resp, nil
}

func (s *server) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (s *server) GetFunctions(context.Context, *tfprotov6.GetFunctionsRequest) (*tfprotov6.GetFunctionsResponse, error) {
	return &tfprotov6.GetFunctionsResponse{}, nil
}

func (s *server) ValidateProviderConfig(_ context.Context, req *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: req.Config}, nil
}

func (s *server) ConfigureProvider(_ context.Context, req *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	resp := &tfprotov6.ConfigureProviderResponse{}
	config, err := req.Config.Unmarshal(providerSchema().ValueType())
	var members map[string]tftypes.Value
	if err == nil {
		err = config.As(&members)
	}
	if err != nil {
		resp.Diagnostics = problem(err)
		return resp, nil
	}
	for name, dir := range map[string]*string{"data_directory": &s.records.dir, "resource_directory": &s.objects.dir} {
		if v := members[name]; v.IsKnown() && !v.IsNull() {
			_ = v.As(dir)
		}
	}
	if v := members["use_only_state"]; v.IsKnown() && !v.IsNull() {
		_ = v.As(&s.onlyState)
	}
	return resp, nil
}

func (s *server) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (s *server) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

func (s *server) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

func problem(err error) []*tfprotov6.Diagnostic {
	return []*tfprotov6.Diagnostic{{Severity: tfprotov6.DiagnosticSeverityError, Summary: "tfcoremock", Detail: err.Error()}}
}

func (s *server) UpgradeResourceState(_ context.Context, req *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	resp := &tfprotov6.UpgradeResourceStateResponse{}
	k := s.resources[req.TypeName]
	v, err := req.RawState.UnmarshalWithOpts(k.ty, tfprotov6.UnmarshalOpts{ValueFromJSONOpts: tftypes.ValueFromJSONOpts{IgnoreUndefinedAttributes: true}})
	if err == nil {
		resp.UpgradedState, err = dynamic(k.ty, v)
	}
	if err != nil {
		resp.Diagnostics = problem(err)
	}
	return resp, nil
}

func dynamic(ty tftypes.Type, v tftypes.Value) (*tfprotov6.DynamicValue, error) {
	out, err := tfprotov6.NewDynamicValue(ty, v)
	return &out, err
}

// idOf is the id of an object.
func idOf(v tftypes.Value) string {
	var members map[string]tftypes.Value
	id := ""
	if v.As(&members) == nil {
		if m := members["id"]; m.IsKnown() && !m.IsNull() {
			_ = m.As(&id)
		}
	}
	return id
}

func (s *server) ReadResource(_ context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	resp := &tfprotov6.ReadResourceResponse{NewState: req.CurrentState, Private: req.Private}
	if s.onlyState {
		return resp, nil
	}
	k := s.resources[req.TypeName]
	current, err := req.CurrentState.Unmarshal(k.ty)
	var v tftypes.Value
	found := false
	if err == nil {
		v, found, err = s.objects.read(idOf(current), k.ty)
	}
	if err == nil && !found {
		v = tftypes.NewValue(k.ty, nil)
	}
	if err == nil {
		resp.NewState, err = dynamic(k.ty, v)
	}
	if err != nil {
		resp.Diagnostics = problem(err)
	}
	return resp, nil
}

func (s *server) PlanResourceChange(_ context.Context, req *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	resp := &tfprotov6.PlanResourceChangeResponse{PlannedState: req.ProposedNewState, PlannedPrivate: req.PriorPrivate}
	k := s.resources[req.TypeName]
	prior, err := req.PriorState.Unmarshal(k.ty)
	if err != nil {
		resp.Diagnostics = problem(err)
		return resp, nil
	}
	proposed, err := req.ProposedNewState.Unmarshal(k.ty)
	if err != nil {
		resp.Diagnostics = problem(err)
		return resp, nil
	}
	if proposed.IsNull() {
		return resp, nil
	}
	planned := proposed
	if !proposed.Equal(prior) {
		if planned, err = unknownWhereComputed(proposed, k.spec.Attributes); err == nil {
			resp.PlannedState, err = dynamic(k.ty, planned)
		}
		if err != nil {
			resp.Diagnostics = problem(err)
			return resp, nil
		}
	}
	if !prior.IsNull() {
		resp.RequiresReplace = replacements(k.spec.Attributes, prior, planned, tftypes.NewAttributePath())
	}
	return resp, nil
}

// unknownWhereComputed makes computed attributes unknown that nobody set.
func unknownWhereComputed(v tftypes.Value, spec map[string]attributeSpec) (tftypes.Value, error) {
	var members map[string]tftypes.Value
	if err := v.As(&members); err != nil {
		return v, err
	}
	out := map[string]tftypes.Value{}
	for name, m := range members {
		if spec[name].Computed && m.IsNull() {
			m = tftypes.NewValue(m.Type(), tftypes.UnknownValue)
		}
		out[name] = m
	}
	return tftypes.NewValue(v.Type(), out), nil
}

// replacements finds changed attributes that cannot change in place, also
// inside of others.
func replacements(spec map[string]attributeSpec, prior, planned tftypes.Value, path *tftypes.AttributePath) []*tftypes.AttributePath {
	var a, b map[string]tftypes.Value
	if prior.As(&a) != nil || planned.As(&b) != nil || a == nil || b == nil {
		return nil
	}
	var out []*tftypes.AttributePath
	for _, name := range sortedKeys(spec) {
		at := path.WithAttributeName(name)
		if a[name].Equal(b[name]) {
			continue
		}
		if spec[name].Replace {
			out = append(out, at)
			continue
		}
		out = append(out, inside(spec[name], a[name], b[name], at)...)
	}
	return out
}

func inside(spec attributeSpec, prior, planned tftypes.Value, path *tftypes.AttributePath) []*tftypes.AttributePath {
	if !prior.IsKnown() || !planned.IsKnown() || prior.IsNull() || planned.IsNull() {
		return nil
	}
	if spec.Type == "object" {
		return replacements(spec.Object, prior, planned, path)
	}
	element := spec.element()
	if element == nil {
		return nil
	}
	var out []*tftypes.AttributePath
	switch spec.Type {
	case "map":
		var a, b map[string]tftypes.Value
		if prior.As(&a) != nil || planned.As(&b) != nil {
			return nil
		}
		for _, key := range sortedKeys(b) {
			if old, ok := a[key]; ok && !old.Equal(b[key]) {
				out = append(out, elementChange(*element, old, b[key], path.WithElementKeyString(key))...)
			}
		}
	case "list":
		var a, b []tftypes.Value
		if prior.As(&a) != nil || planned.As(&b) != nil {
			return nil
		}
		for i := range min(len(a), len(b)) {
			if !a[i].Equal(b[i]) {
				out = append(out, elementChange(*element, a[i], b[i], path.WithElementKeyInt(i))...)
			}
		}
	case "set":
		var a, b []tftypes.Value
		if prior.As(&a) != nil || planned.As(&b) != nil {
			return nil
		}
		for _, e := range b {
			if element.Type == "object" && hasReplace(element.Object) && !containsValue(a, e) {
				for _, name := range sortedKeys(element.Object) {
					if element.Object[name].Replace {
						out = append(out, path.WithElementKeyValue(e).WithAttributeName(name))
					}
				}
			}
		}
	}
	return out
}

func hasReplace(spec map[string]attributeSpec) bool {
	for _, a := range spec {
		if a.Replace {
			return true
		}
	}
	return false
}

func containsValue(list []tftypes.Value, v tftypes.Value) bool {
	for _, e := range list {
		if e.Equal(v) {
			return true
		}
	}
	return false
}

func elementChange(spec attributeSpec, prior, planned tftypes.Value, path *tftypes.AttributePath) []*tftypes.AttributePath {
	if spec.Replace {
		return []*tftypes.AttributePath{path}
	}
	return inside(spec, prior, planned, path)
}

func (s *server) ApplyResourceChange(_ context.Context, req *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	resp := &tfprotov6.ApplyResourceChangeResponse{NewState: req.PriorState, Private: req.PlannedPrivate}
	k := s.resources[req.TypeName]
	state, err := s.apply(k, req)
	if err == nil {
		resp.NewState, err = dynamic(k.ty, state)
	}
	if err != nil {
		resp.Diagnostics = problem(err)
	}
	return resp, nil
}

func (s *server) apply(k kind, req *tfprotov6.ApplyResourceChangeRequest) (tftypes.Value, error) {
	prior, err := req.PriorState.Unmarshal(k.ty)
	if err != nil {
		return prior, err
	}
	planned, err := req.PlannedState.Unmarshal(k.ty)
	if err != nil {
		return prior, err
	}
	if planned.IsNull() {
		if s.onlyState {
			return planned, nil
		}
		return planned, s.objects.remove(idOf(prior))
	}
	var members map[string]tftypes.Value
	if err := planned.As(&members); err != nil {
		return prior, err
	}
	out := map[string]tftypes.Value{}
	for name, m := range members {
		if !m.IsKnown() {
			if m, err = computed(name, k.spec.Attributes[name], m.Type()); err != nil {
				return prior, err
			}
		}
		out[name] = m
	}
	state := tftypes.NewValue(k.ty, out)
	if s.onlyState {
		return state, nil
	}
	return state, s.objects.write(idOf(state), state)
}

// computed is the value of a computed attribute that nobody set.
func computed(name string, spec attributeSpec, ty tftypes.Type) (tftypes.Value, error) {
	if spec.Value != nil {
		return fromFile(*spec.Value, ty)
	}
	if name == "id" {
		return tftypes.NewValue(ty, uuid.NewString()), nil
	}
	return tftypes.NewValue(ty, nil), nil
}

func (s *server) ImportResourceState(_ context.Context, req *tfprotov6.ImportResourceStateRequest) (*tfprotov6.ImportResourceStateResponse, error) {
	resp := &tfprotov6.ImportResourceStateResponse{}
	k := s.resources[req.TypeName]
	members := map[string]tftypes.Value{}
	for name, ty := range k.ty.AttributeTypes {
		members[name] = tftypes.NewValue(ty, nil)
		if _, isBlock := k.spec.Blocks[name]; isBlock && !ty.Is(tftypes.Object{}) {
			members[name] = tftypes.NewValue(ty, []tftypes.Value{})
		}
	}
	members["id"] = tftypes.NewValue(tftypes.String, req.ID)
	state, err := dynamic(k.ty, tftypes.NewValue(k.ty, members))
	if err != nil {
		resp.Diagnostics = problem(err)
		return resp, nil
	}
	resp.ImportedResources = []*tfprotov6.ImportedResource{{TypeName: req.TypeName, State: state}}
	return resp, nil
}

func (s *server) ReadDataSource(_ context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	resp := &tfprotov6.ReadDataSourceResponse{}
	k := s.data[req.TypeName]
	config, err := req.Config.Unmarshal(k.ty)
	var v tftypes.Value
	found := false
	if err == nil {
		v, found, err = s.records.read(idOf(config), k.ty)
	}
	if err == nil && !found {
		err = fmt.Errorf("there is no data with the id %q", idOf(config))
	}
	if err == nil {
		resp.State, err = dynamic(k.ty, v)
	}
	if err != nil {
		resp.Diagnostics = problem(err)
	}
	return resp, nil
}
