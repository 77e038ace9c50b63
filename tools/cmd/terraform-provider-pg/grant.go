package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
)

// grantResource is pg_grant: what a role may do with a database or a schema.
type grantResource struct{ base }

type grantModel struct {
	Role       types.String `tfsdk:"role"`
	Database   types.String `tfsdk:"database"`
	Schema     types.String `tfsdk:"schema"`
	Privileges types.Set    `tfsdk:"privileges"`
}

// What may be granted, as the server spells it.
var (
	databasePrivileges = [...]string{"CONNECT", "CREATE", "TEMPORARY"}
	schemaPrivileges   = [...]string{"CREATE", "USAGE"}
)

func (*grantResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName, resp.ResourceBehavior = "pg_grant", behavior()
}

func (*grantResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = granted().schema()
}

func (*grantResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Description: "Privileges of a role on a database or on one of its schemas.", Attributes: map[string]schema.Attribute{
		"role":     fixed("Role that gets the privileges."),
		"database": fixed("Database."),
		"schema": schema.StringAttribute{
			Optional: true, Description: "Schema of the database; without, the privileges are on the database itself.",
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"privileges": schema.SetAttribute{
			ElementType: types.StringType, Required: true,
			Description: "CONNECT, CREATE, TEMPORARY on a database; CREATE, USAGE on a schema.",
			Validators:  []validator.Set{privilegeNames{}},
		},
	}}
}

// privilegeNames refuses what cannot be granted, before it gets into a statement.
type privilegeNames struct{}

func (privilegeNames) Description(context.Context) string { return "names of privileges" }

func (p privilegeNames) MarkdownDescription(ctx context.Context) string { return p.Description(ctx) }

func (privilegeNames) ValidateSet(ctx context.Context, req validator.SetRequest, resp *validator.SetResponse) {
	var of types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("schema"), &of)...)
	allowed := databasePrivileges[:]
	if !of.IsNull() {
		allowed = schemaPrivileges[:]
	}
	if req.ConfigValue.IsUnknown() || req.ConfigValue.IsNull() || of.IsUnknown() {
		return
	}
	if len(req.ConfigValue.Elements()) == 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid privileges", "There must be at least one privilege.")
	}
	for _, element := range req.ConfigValue.Elements() {
		text, ok := element.(types.String)
		if ok && !text.IsUnknown() && !slices.Contains(allowed, text.ValueString()) {
			resp.Diagnostics.AddAttributeError(req.Path, "Invalid privilege",
				fmt.Sprintf("%q is none of %s.", text.ValueString(), strings.Join(allowed, ", ")))
		}
	}
}

// object is what the privileges are on, as GRANT wants it.
func (m *grantModel) object() string {
	if m.Schema.IsNull() {
		return "DATABASE " + name(m.Database.ValueString())
	}
	return "SCHEMA " + name(m.Schema.ValueString())
}

// label names the grant in messages.
func (m *grantModel) label() string {
	return "the grant of " + m.Role.ValueString() + " on " + strings.ReplaceAll(m.object(), `"`, "")
}

// set are the privileges.
func (m *grantModel) set(ctx context.Context) []string {
	var result []string
	m.Privileges.ElementsAs(ctx, &result, false) // the schema says it is a set of strings
	slices.Sort(result)
	return result
}

// change grants and revokes. The lock keeps grants on one object, which are one
// row of the catalogue, from getting into each other's way.
func (r *grantResource) change(ctx context.Context, m *grantModel, grant, revoke []string) error {
	statements := []string{"SELECT pg_advisory_xact_lock(7098)"}
	if len(revoke) > 0 {
		statements = append(statements, "REVOKE "+strings.Join(revoke, ", ")+" ON "+m.object()+" FROM "+name(m.Role.ValueString()))
	}
	if len(grant) > 0 {
		statements = append(statements, "GRANT "+strings.Join(grant, ", ")+" ON "+m.object()+" TO "+name(m.Role.ValueString()))
	}
	return r.exec(ctx, m.Database.ValueString(), statements...)
}

func (r *grantResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m grantModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := r.change(ctx, &m, m.set(ctx), nil); err != nil {
		failed(&resp.Diagnostics, "create "+m.label(), err)
		return
	}
	granted().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

// Read takes what the role has now. The owner has everything anyway: of it only
// what was granted here counts.
func (r *grantResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m grantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	query := `SELECT a.privilege_type, o.datdba = r.oid FROM pg_database o, aclexplode(o.datacl) a, pg_roles r
		WHERE o.datname = $1 AND r.rolname = $2 AND a.grantee = r.oid`
	object := m.Database.ValueString()
	if !m.Schema.IsNull() {
		query = `SELECT a.privilege_type, o.nspowner = r.oid FROM pg_namespace o, aclexplode(o.nspacl) a, pg_roles r
			WHERE o.nspname = $1 AND r.rolname = $2 AND a.grantee = r.oid`
		object = m.Schema.ValueString()
	}
	wanted := m.set(ctx)
	var found []string
	err := r.in(ctx, m.Database.ValueString(), func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query, object, m.Role.ValueString())
		if err != nil {
			return err
		}
		var privilege string
		var owns bool
		_, err = pgx.ForEachRow(rows, []any{&privilege, &owns}, func() error {
			if !owns || len(wanted) == 0 || slices.Contains(wanted, privilege) {
				found = append(found, privilege)
			}
			return nil
		})
		return err
	})
	if err != nil && !hasCode(err, "3D000") {
		failed(&resp.Diagnostics, "read "+m.label(), err)
		return
	}
	if len(found) == 0 {
		granted().gone(ctx, resp)
		return
	}
	set, diags := types.SetValueFrom(ctx, types.StringType, found)
	resp.Diagnostics.Append(diags...)
	m.Privileges = set
	granted().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *grantResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m grantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	wanted := m.set(ctx)
	revoke := slices.DeleteFunc(old.set(ctx), func(p string) bool { return slices.Contains(wanted, p) })
	if err := r.change(ctx, &m, wanted, revoke); err != nil {
		failed(&resp.Diagnostics, "change "+m.label(), err)
		return
	}
	granted().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

func (r *grantResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m grantModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.change(ctx, &m, nil, m.set(ctx))
	// The role, the database or the schema is gone, and the grant with it.
	if hasCode(err, "3D000") || hasCode(err, "42704") || hasCode(err, "3F000") {
		return
	}
	failed(&resp.Diagnostics, "revoke "+m.label(), err)
}

// ImportState takes "role/database" or "role/database/schema".
func (*grantResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if granted().imported(ctx, req, resp) {
		return
	}
	if strings.Count(req.ID, "/") == 2 {
		importParts(ctx, req, resp, "role", "database", "schema")
		return
	}
	importParts(ctx, req, resp, "role", "database")
}
