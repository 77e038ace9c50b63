package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// common is what both kinds of things have.
type common struct {
	Value    types.String `tfsdk:"value"`
	Before   types.Int64  `tfsdk:"before"`
	After    types.Int64  `tfsdk:"after"`
	Failures types.Int64  `tfsdk:"failures"`
	Revision types.Int64  `tfsdk:"revision"`
}

func commonAttributes() map[string]schema.Attribute {
	number := func(description string) schema.Attribute {
		return schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(0), Description: description}
	}
	return map[string]schema.Attribute{
		"value":    schema.StringAttribute{Required: true, Description: "What the thing says."},
		"before":   number("Milliseconds that pass before an operation has its effect."),
		"after":    number("Milliseconds that pass after an operation has had its effect."),
		"failures": number("How often making the thing fails at first."),
		"revision": schema.Int64Attribute{Computed: true, Description: "How often the thing was written."},
	}
}

// make creates the thing on disk, slowly and with failures as wished.
func (c *common) make(f folder, kind, id, tag string) error {
	pause(c.Before.ValueInt64())
	refused, err := f.refuse(kind, tag, c.Failures.ValueInt64())
	if err == nil && refused {
		err = errors.New("it fails the first times")
	}
	if err == nil {
		err = f.create(kind, id, stored{Value: c.Value.ValueString(), Revision: 1, Tag: tag})
	}
	pause(c.After.ValueInt64())
	c.Revision = types.Int64Value(1)
	return err
}

// load reads the thing; gone says that there is none.
func (c *common) load(f folder, kind, id string) (gone bool, err error) {
	s, err := f.read(kind, id)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	c.Value, c.Revision = types.StringValue(s.Value), types.Int64Value(s.Revision)
	return false, err
}

func (c *common) change(f folder, kind, id string) error {
	pause(c.Before.ValueInt64())
	s, err := f.update(kind, id, c.Value.ValueString())
	pause(c.After.ValueInt64())
	c.Revision = types.Int64Value(s.Revision)
	return err
}

func (c *common) remove(f folder, kind, id string) error {
	pause(c.Before.ValueInt64())
	err := f.remove(kind, id)
	pause(c.After.ValueInt64())
	return err
}

func failed(diags *diag.Diagnostics, what string, err error) {
	if err != nil {
		diags.AddError("Cannot "+what, err.Error())
	}
}

// base takes the folder from the provider.
type base struct{ folder }

// Configure implements resource.ResourceWithConfigure.
func (b *base) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if f, ok := req.ProviderData.(folder); ok {
		b.folder = f
	}
}

// thing is world_thing: it has a name, which is its identity.
type thing struct{ base }

type thingModel struct {
	Name types.String `tfsdk:"name"`
	common
}

func (*thing) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "world_thing"
}

func (*thing) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := commonAttributes()
	attributes["name"] = schema.StringAttribute{Required: true, Description: "Name.", PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}}
	resp.Schema = schema.Schema{Description: "A thing with a name.", Attributes: attributes}
}

func (*thing) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name": identityschema.StringAttribute{RequiredForImport: true},
	}}
}

func (t *thing) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m thingModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "create a thing", m.make(t.folder, "thing", m.Name.ValueString(), m.Name.ValueString()))
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
		resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("name"), m.Name)...)
	}
}

func (t *thing) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m thingModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	gone, err := m.load(t.folder, "thing", m.Name.ValueString())
	failed(&resp.Diagnostics, "read a thing", err)
	resp.Diagnostics.Append(resp.Identity.SetAttribute(ctx, path.Root("name"), m.Name)...)
	if gone {
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (t *thing) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m thingModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "change a thing", m.change(t.folder, "thing", m.Name.ValueString()))
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (t *thing) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m thingModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "delete a thing", m.remove(t.folder, "thing", m.Name.ValueString()))
}

// ImportState takes the name.
func (*thing) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughWithIdentity(ctx, path.Root("name"), path.Root("name"), req, resp)
}

// nameless is world_nameless: it gets an id when it is made, which nobody knows
// beforehand.
type nameless struct{ base }

type namelessModel struct {
	ID  types.String `tfsdk:"id"`
	Tag types.String `tfsdk:"tag"`
	common
}

func (*nameless) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "world_nameless"
}

func (*nameless) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := commonAttributes()
	attributes["id"] = schema.StringAttribute{Computed: true, Description: "Id.", PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}}
	attributes["tag"] = schema.StringAttribute{Required: true, Description: "What it is known as to whoever looks into the folder."}
	resp.Schema = schema.Schema{Description: "A thing that gets its id when it is made.", Attributes: attributes}
}

func (n *nameless) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m namelessModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	m.ID = types.StringValue(rand.Text())
	failed(&resp.Diagnostics, "create a thing", m.make(n.folder, "nameless", m.ID.ValueString(), m.Tag.ValueString()))
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (n *nameless) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m namelessModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	gone, err := m.load(n.folder, "nameless", m.ID.ValueString())
	failed(&resp.Diagnostics, "read a thing", err)
	if gone {
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (n *nameless) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m namelessModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "change a thing", m.change(n.folder, "nameless", m.ID.ValueString()))
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (n *nameless) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m namelessModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "delete a thing", m.remove(n.folder, "nameless", m.ID.ValueString()))
}

// ImportState takes the id.
func (*nameless) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
}
