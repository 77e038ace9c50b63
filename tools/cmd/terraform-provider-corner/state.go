package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// secret is corner_secret: it takes a secret that is never stored, and a number
// that says when it has changed.
type secret struct{ base }

type secretModel struct {
	Name    types.String `tfsdk:"name"`
	Secret  types.String `tfsdk:"secret_wo"`
	Version types.Int64  `tfsdk:"secret_wo_version"`
	Digest  types.String `tfsdk:"digest"`
}

func (*secret) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_secret"
}

func (*secret) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":              nameAttribute(),
		"secret_wo":         schema.StringAttribute{Optional: true, WriteOnly: true, Sensitive: true},
		"secret_wo_version": schema.Int64Attribute{Optional: true},
		"digest":            schema.StringAttribute{Computed: true},
	}}
}

func (s *secret) put(ctx context.Context, operation string, m *secretModel, given types.String) error {
	sum := sha256.Sum256([]byte(given.ValueString()))
	m.Digest, m.Secret = types.StringValue(hex.EncodeToString(sum[:])), types.StringNull()
	return s.write(operation, "secret", m.Name.ValueString(), map[string]string{"digest": m.Digest.ValueString()})
}

func (s *secret) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m secretModel
	var given types.String
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("secret_wo"), &given)...)
	failed(&resp.Diagnostics, "create a secret", s.put(ctx, "create", &m, given))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (s *secret) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m secretModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	object, err := s.read("secret", m.Name.ValueString())
	failed(&resp.Diagnostics, "read a secret", err)
	if object == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	m.Digest = types.StringValue(object["digest"])
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (s *secret) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m secretModel
	var given types.String
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("secret_wo"), &given)...)
	failed(&resp.Diagnostics, "change a secret", s.put(ctx, "update", &m, given))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (s *secret) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m secretModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "delete a secret", s.remove("secret", m.Name.ValueString()))
}

// plain is an object with a name and a title, in the forms it has had.
type plainModel struct {
	Name  types.String `tfsdk:"name"`
	Title types.String `tfsdk:"title"`
}

func plainSchema(version int64) schema.Schema {
	return schema.Schema{Version: version, Attributes: map[string]schema.Attribute{
		"name":  nameAttribute(),
		"title": schema.StringAttribute{Required: true},
	}}
}

// plain does what upgraded and moved have in common.
type plain struct {
	base
	kind string
}

func (p *plain) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m plainModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "create", p.write("create", p.kind, m.Name.ValueString(), map[string]string{"title": m.Title.ValueString()}))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (p *plain) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m plainModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "change", p.write("update", p.kind, m.Name.ValueString(), map[string]string{"title": m.Title.ValueString()}))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (p *plain) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m plainModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "delete", p.remove(p.kind, m.Name.ValueString()))
}

func (*plain) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

// upgraded is corner_upgraded. In version 0 the title was called label, and in
// version 1 it stood in a list.
type upgraded struct{ plain }

func (*upgraded) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_upgraded"
}

func (*upgraded) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = plainSchema(2)
}

// UpgradeState implements resource.ResourceWithUpgradeState.
func (*upgraded) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{
		0: {
			PriorSchema: &schema.Schema{Attributes: map[string]schema.Attribute{
				"name": schema.StringAttribute{Required: true}, "label": schema.StringAttribute{Required: true},
			}},
			StateUpgrader: func(ctx context.Context, req resource.UpgradeStateRequest, resp *resource.UpgradeStateResponse) {
				var old struct {
					Name  types.String `tfsdk:"name"`
					Label types.String `tfsdk:"label"`
				}
				resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
				resp.Diagnostics.Append(resp.State.Set(ctx, plainModel{old.Name, old.Label})...)
			},
		},
		1: {
			PriorSchema: &schema.Schema{Attributes: map[string]schema.Attribute{
				"name": schema.StringAttribute{Required: true}, "titles": schema.ListAttribute{Required: true, ElementType: types.StringType},
			}},
			StateUpgrader: func(ctx context.Context, req resource.UpgradeStateRequest, resp *resource.UpgradeStateResponse) {
				var old struct {
					Name   types.String   `tfsdk:"name"`
					Titles []types.String `tfsdk:"titles"`
				}
				resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
				if len(old.Titles) != 1 {
					resp.Diagnostics.AddError("Cannot upgrade", "There must be one title.")
					return
				}
				resp.Diagnostics.Append(resp.State.Set(ctx, plainModel{old.Name, old.Titles[0]})...)
			},
		},
	}
}

// moved is corner_moved: what corner_upgraded was before.
type moved struct{ plain }

func (*moved) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_moved"
}

func (*moved) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = plainSchema(0)
}

// MoveState implements resource.ResourceWithMoveState.
func (*moved) MoveState(context.Context) []resource.StateMover {
	source := plainSchema(2)
	return []resource.StateMover{{
		SourceSchema: &source,
		StateMover: func(ctx context.Context, req resource.MoveStateRequest, resp *resource.MoveStateResponse) {
			if req.SourceTypeName != "corner_upgraded" || req.SourceSchemaVersion != 2 {
				return
			}
			var m plainModel
			resp.Diagnostics.Append(req.SourceState.Get(ctx, &m)...)
			resp.Diagnostics.Append(resp.TargetState.Set(ctx, m)...)
		},
	}}
}

// private is corner_private: it counts in its private data how often it was
// written, and refuses to go on where the count was lost.
type private struct{ base }

type privateModel struct {
	Name  types.String `tfsdk:"name"`
	Value types.String `tfsdk:"value"`
	Count types.Int64  `tfsdk:"writes"`
}

func (*private) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_private"
}

func (*private) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":   nameAttribute(),
		"value":  schema.StringAttribute{Optional: true},
		"writes": schema.Int64Attribute{Computed: true},
	}}
}

func (p *private) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m privateModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	m.Count = types.Int64Value(1)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, "writes", []byte("1"))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (*private) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	if data, _ := req.Private.GetKey(ctx, "writes"); len(data) == 0 {
		resp.Diagnostics.AddError("Private data are lost", "They were not there when the object was read.")
	}
}

func (p *private) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m privateModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	data, _ := req.Private.GetKey(ctx, "writes")
	count, err := strconv.ParseInt(string(data), 10, 64)
	failed(&resp.Diagnostics, "read the private data", err)
	m.Count = types.Int64Value(count + 1)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, "writes", []byte(strconv.FormatInt(count+1, 10)))...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (p *private) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	if data, _ := req.Private.GetKey(ctx, "writes"); len(data) == 0 {
		resp.Diagnostics.AddError("Private data are lost", "They were not there when the object was deleted.")
	}
}
