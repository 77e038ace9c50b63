package builtin

import (
	"context"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// dataType is the only resource type: an object that exists in state alone.
// output is a copy of input made at apply time, so that whoever refers to it
// waits; a change of triggers_replace makes a new object.
const dataType = "terraform_data"

func dataBlock() *providers.Block {
	return &providers.Block{
		DescriptionKind: "plain",
		Attributes: map[string]*providers.Attribute{
			"id":               {Type: cty.String, Computed: true, DescriptionKind: "plain"},
			"input":            {Type: cty.DynamicPseudoType, Optional: true, DescriptionKind: "plain"},
			"output":           {Type: cty.DynamicPseudoType, Computed: true, DescriptionKind: "plain"},
			"triggers_replace": {Type: cty.DynamicPseudoType, Optional: true, DescriptionKind: "plain"},
		},
	}
}

// data is a terraform_data object taken apart.
type data struct{ id, input, output, triggers cty.Value }

func dataFrom(v cty.Value) data {
	return data{v.GetAttr("id"), v.GetAttr("input"), v.GetAttr("output"), v.GetAttr("triggers_replace")}
}

func (d data) value() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"id": d.id, "input": d.input, "output": d.output, "triggers_replace": d.triggers,
	})
}

var unknownID = cty.UnknownVal(cty.String).RefineNotNull()

func (p *provider) ReadResource(_ context.Context, req providers.ReadRequest) providers.ReadResponse {
	return providers.ReadResponse{
		Value: req.Prior, Private: req.Private, Identity: cty.NilVal, Diags: wrongType(req.TypeName, dataType, "resource type"),
	}
}

func (p *provider) PlanResourceChange(_ context.Context, req providers.PlanRequest) providers.PlanResponse {
	resp := providers.PlanResponse{Planned: req.Proposed, Private: req.PriorPrivate, Identity: cty.NilVal}
	if resp.Diags = wrongType(req.TypeName, dataType, "resource type"); resp.Diags != nil || req.Proposed.IsNull() {
		return resp
	}
	planned := dataFrom(req.Proposed)
	if req.Prior.IsNull() {
		planned.id = unknownID
		if planned.output = planned.input; !planned.input.IsNull() {
			planned.output = cty.UnknownVal(planned.input.Type())
		}
		resp.Planned = planned.value()
		return resp
	}
	prior := dataFrom(req.Prior)
	switch {
	case !prior.triggers.RawEquals(planned.triggers):
		resp.RequiresReplace = []cty.Path{cty.GetAttrPath("triggers_replace")}
		planned.id = unknownID
		if planned.output = planned.input; !planned.input.IsNull() {
			planned.output = cty.UnknownVal(planned.input.Type())
		}
	case !prior.input.RawEquals(planned.input):
		// Unlike in a create, even where the input is null now: as Terraform has it.
		planned.output = cty.UnknownVal(planned.input.Type())
	default:
		return resp
	}
	resp.Planned = planned.value()
	return resp
}

func (p *provider) ApplyResourceChange(_ context.Context, req providers.ApplyRequest) providers.ApplyResponse {
	resp := providers.ApplyResponse{Value: req.Planned, Private: req.PlannedPrivate, Identity: cty.NilVal}
	if resp.Diags = wrongType(req.TypeName, dataType, "resource type"); resp.Diags != nil || req.Planned.IsNull() {
		return resp
	}
	object := dataFrom(req.Planned)
	if !object.id.IsKnown() {
		object.id = cty.StringVal(p.opts.NewID())
	}
	if !object.output.IsKnown() {
		object.output = object.input
	}
	resp.Value = object.value()
	return resp
}

func (p *provider) ImportResourceState(_ context.Context, req providers.ImportRequest) providers.ImportResponse {
	if diags := wrongType(req.TypeName, dataType, "resource type"); diags != nil {
		return providers.ImportResponse{Diags: diags}
	}
	null := cty.NullVal(cty.DynamicPseudoType)
	return providers.ImportResponse{Objects: []providers.Imported{{
		TypeName: req.TypeName,
		Value:    data{cty.StringVal(req.ID), null, null, null}.value(),
		Identity: cty.NilVal,
	}}}
}

func (p *provider) UpgradeResourceState(_ context.Context, req providers.UpgradeRequest) providers.UpgradeResponse {
	schema := p.schemas.ResourceTypes[dataType]
	switch req.TypeName {
	case dataType:
	case remoteStateType:
		schema = p.schemas.DataSources[remoteStateType]
	default:
		return providers.UpgradeResponse{Value: cty.DynamicVal, Diags: wrongType(req.TypeName, dataType, "resource type")}
	}
	typ := schema.Block.ImpliedType()
	if req.Version > schema.Version {
		return providers.UpgradeResponse{Value: cty.NullVal(typ), Diags: diag.Errorf("Object is too new",
			"The stored object of type %s has schema version %d; this program knows version %d. Use the program that wrote it.",
			req.TypeName, req.Version, schema.Version)}
	}
	if req.JSON == nil {
		return providers.UpgradeResponse{Value: cty.NullVal(typ), Diags: diag.Errorf("Unreadable object in state",
			"The stored object of type %s is in the form of Terraform 0.11 and older, which is older than the type itself.", req.TypeName)}
	}
	v, err := ctyjson.Unmarshal(req.JSON, typ)
	if err != nil {
		// The error names paths and types only, never values.
		return providers.UpgradeResponse{Value: cty.NullVal(typ), Diags: diag.Errorf("Unreadable object in state",
			"The stored object of type %s does not have the attributes of its type: %s.", req.TypeName, err)}
	}
	return providers.UpgradeResponse{Value: v}
}

// nullResource is what a null_resource of the provider hashicorp/null stores.
var nullResource = cty.Object(map[string]cty.Type{"id": cty.String, "triggers": cty.Map(cty.String)})

// MoveResourceState turns a null_resource into a terraform_data: the id stays,
// triggers become triggers_replace.
func (p *provider) MoveResourceState(_ context.Context, req providers.MoveRequest) providers.MoveResponse {
	if diags := wrongType(req.TargetType, dataType, "resource type"); diags != nil {
		return providers.MoveResponse{Diags: diags}
	}
	// Mirrors and forks serve the provider from other hosts.
	source := req.SourceProvider.Namespace + "/" + req.SourceProvider.Type
	if source != "hashicorp/null" || req.SourceType != "null_resource" {
		return providers.MoveResponse{Diags: diag.Errorf("Unsupported move",
			"A %s can only be made from a null_resource of the provider hashicorp/null, not from a %s of %s.",
			dataType, req.SourceType, req.SourceProvider.ForDisplay())}
	}
	v, err := ctyjson.Unmarshal(req.SourceJSON, nullResource)
	if err != nil {
		return providers.MoveResponse{Diags: diag.Errorf("Unreadable object in state",
			"The stored null_resource does not have the attributes of its type: %s.", strings.TrimSuffix(err.Error(), "."))}
	}
	null := cty.NullVal(cty.DynamicPseudoType)
	moved := data{id: v.GetAttr("id"), input: null, output: null, triggers: null}
	if triggers := v.GetAttr("triggers"); !triggers.IsNull() {
		moved.triggers = triggers
	}
	return providers.MoveResponse{Value: moved.value(), Private: req.SourcePrivate, Identity: cty.NilVal}
}
