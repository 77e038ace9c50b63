package main

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
)

// schemaResource is pg_schema.
type schemaResource struct{ base }

type schemaModel struct {
	Database types.String `tfsdk:"database"`
	Name     types.String `tfsdk:"name"`
	Owner    types.String `tfsdk:"owner"`
	Cascade  types.Bool   `tfsdk:"drop_cascade"`
}

func (*schemaResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName, resp.ResourceBehavior = "pg_schema", behavior()
}

func (*schemaResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = inDatabase().schema()
}

func (*schemaResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Description: "A schema of a database.", Attributes: map[string]schema.Attribute{
		"database":     fixed("Database it is in."),
		"name":         schema.StringAttribute{Required: true, Description: "Name; another one renames the schema."},
		"owner":        owner(),
		"drop_cascade": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false), Description: "Whether what is in the schema is dropped with it."},
	}}
}

// fixed is a required string that replaces when it changes.
func fixed(description string) schema.StringAttribute {
	return schema.StringAttribute{Required: true, Description: description, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}}
}

// load reads the schema; pgx.ErrNoRows where there is none.
func (r *schemaResource) load(ctx context.Context, m *schemaModel) error {
	var owner string
	err := r.row(ctx, m.Database.ValueString(), "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1", []any{m.Name.ValueString()}, &owner)
	m.Owner = types.StringValue(owner)
	return err
}

func (r *schemaResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m schemaModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	statement := "CREATE SCHEMA " + name(m.Name.ValueString())
	if !m.Owner.IsUnknown() {
		statement += " AUTHORIZATION " + name(m.Owner.ValueString())
	}
	err := r.exec(ctx, m.Database.ValueString(), statement)
	if err == nil {
		err = r.load(ctx, &m)
	}
	if err != nil {
		failed(&resp.Diagnostics, "create the schema "+m.Name.ValueString(), err)
		return
	}
	inDatabase().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *schemaResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m schemaModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.load(ctx, &m)
	if errors.Is(err, pgx.ErrNoRows) {
		inDatabase().gone(ctx, resp)
		return
	}
	if err != nil {
		failed(&resp.Diagnostics, "read the schema "+m.Name.ValueString(), err)
		return
	}
	if m.Cascade.IsNull() { // after an import
		m.Cascade = types.BoolValue(false)
	}
	inDatabase().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *schemaResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m schemaModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var statements []string
	if old.Name != m.Name {
		statements = append(statements, "ALTER SCHEMA "+name(old.Name.ValueString())+" RENAME TO "+name(m.Name.ValueString()))
	}
	if !m.Owner.IsUnknown() && old.Owner != m.Owner {
		statements = append(statements, "ALTER SCHEMA "+name(m.Name.ValueString())+" OWNER TO "+name(m.Owner.ValueString()))
	}
	err := r.exec(ctx, m.Database.ValueString(), statements...)
	if err == nil {
		err = r.load(ctx, &m)
	}
	if err != nil {
		failed(&resp.Diagnostics, "change the schema "+old.Name.ValueString(), err)
		return
	}
	inDatabase().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *schemaResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m schemaModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	statement := "DROP SCHEMA IF EXISTS " + name(m.Name.ValueString())
	if m.Cascade.ValueBool() {
		statement += " CASCADE"
	}
	r.drop(ctx, &resp.Diagnostics, "the schema "+m.Name.ValueString(), m.Database.ValueString(), statement)
}

// ImportState takes "database/schema".
func (*schemaResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if inDatabase().imported(ctx, req, resp) {
		return
	}
	importParts(ctx, req, resp, "database", "name")
}

// importParts splits an import id at its slashes.
func importParts(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse, attributes ...string) {
	parts := strings.Split(req.ID, "/")
	if len(parts) != len(attributes) {
		resp.Diagnostics.Append(diag.NewErrorDiagnostic("Invalid import id", "Expected "+strings.Join(attributes, "/")+", got "+req.ID+"."))
		return
	}
	for i, attribute := range attributes {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(attribute), parts[i])...)
	}
}
