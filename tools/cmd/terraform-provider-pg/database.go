package main

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
)

// databaseResource is pg_database.
type databaseResource struct{ base }

type databaseModel struct {
	Name            types.String `tfsdk:"name"`
	Owner           types.String `tfsdk:"owner"`
	Encoding        types.String `tfsdk:"encoding"`
	ConnectionLimit types.Int64  `tfsdk:"connection_limit"`
}

func (*databaseResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName, resp.ResourceBehavior = "pg_database", behavior()
}

func (*databaseResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = named().schema()
}

// owner is the attribute of everything that can be owned.
func owner() schema.Attribute {
	return schema.StringAttribute{
		Optional: true, Computed: true,
		Description:   "Role that owns it; the provider's where not set.",
		PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
	}
}

func (*databaseResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Description: "A database of the server.", Attributes: map[string]schema.Attribute{
		"name":  schema.StringAttribute{Required: true, Description: "Name; another one renames the database."},
		"owner": owner(),
		"encoding": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString("UTF8"),
			Description:   "Character encoding as the server spells it.",
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"connection_limit": schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(-1), Description: "How many connections there may be at once; -1 is no limit."},
	}}
}

// load reads the database; pgx.ErrNoRows where there is none.
func (r *databaseResource) load(ctx context.Context, m *databaseModel) error {
	var owner, encoding string
	var connections int64
	err := r.row(ctx, "", `SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datconnlimit FROM pg_database WHERE datname = $1`,
		[]any{m.Name.ValueString()}, &owner, &encoding, &connections)
	m.Owner, m.Encoding, m.ConnectionLimit = types.StringValue(owner), types.StringValue(encoding), types.Int64Value(connections)
	return err
}

func (r *databaseResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m databaseModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	statement := "CREATE DATABASE " + name(m.Name.ValueString()) + " TEMPLATE template0 ENCODING " + literal(m.Encoding.ValueString()) + " " + limit(m.ConnectionLimit)
	if !m.Owner.IsUnknown() {
		statement += " OWNER " + name(m.Owner.ValueString())
	}
	err := r.alone(ctx, statement)
	if err == nil && m.Owner.IsUnknown() {
		err = r.load(ctx, &m)
	}
	if err != nil {
		failed(&resp.Diagnostics, "create the database "+m.Name.ValueString(), err)
		return
	}
	named().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *databaseResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m databaseModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.load(ctx, &m)
	if errors.Is(err, pgx.ErrNoRows) {
		named().gone(ctx, resp)
		return
	}
	if err != nil {
		failed(&resp.Diagnostics, "read the database "+m.Name.ValueString(), err)
		return
	}
	named().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *databaseResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m databaseModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	alter := "ALTER DATABASE " + name(m.Name.ValueString()) + " "
	var statements []string
	if old.Name != m.Name {
		statements = append(statements, "ALTER DATABASE "+name(old.Name.ValueString())+" RENAME TO "+name(m.Name.ValueString()))
	}
	if !m.Owner.IsUnknown() && old.Owner != m.Owner {
		statements = append(statements, alter+"OWNER TO "+name(m.Owner.ValueString()))
	}
	statements = append(statements, alter+limit(m.ConnectionLimit))
	err := r.exec(ctx, "", statements...)
	if err == nil && m.Owner.IsUnknown() {
		err = r.load(ctx, &m)
	}
	if err != nil {
		failed(&resp.Diagnostics, "change the database "+old.Name.ValueString(), err)
		return
	}
	named().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *databaseResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m databaseModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if !resp.Diagnostics.HasError() {
		failed(&resp.Diagnostics, "drop the database "+m.Name.ValueString(), r.alone(ctx, "DROP DATABASE IF EXISTS "+name(m.Name.ValueString())))
	}
}

// ImportState takes the name.
func (*databaseResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if !named().imported(ctx, req, resp) {
		resource.ImportStatePassthroughID(ctx, path.Root("name"), req, resp)
	}
}
