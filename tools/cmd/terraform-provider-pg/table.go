package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
)

// tableResource is pg_table.
type tableResource struct{ base }

type tableModel struct {
	Database   types.String  `tfsdk:"database"`
	Schema     types.String  `tfsdk:"schema"`
	Name       types.String  `tfsdk:"name"`
	PrimaryKey types.List    `tfsdk:"primary_key"`
	Columns    []columnModel `tfsdk:"column"`
}

type columnModel struct {
	Name     types.String `tfsdk:"name"`
	Type     types.String `tfsdk:"type"`
	Nullable types.Bool   `tfsdk:"nullable"`
	Default  types.String `tfsdk:"default"`
}

// spelling is how the server writes a type and a default: int8 comes back as
// bigint. It is kept beside the state, to tell a change from another spelling.
type spelling struct{ Type, Default string }

// spellingKey is where the private state keeps it.
const spellingKey = "columns"

func (*tableResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName, resp.ResourceBehavior = "pg_table", behavior()
}

func (*tableResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = inSchema().schema()
}

func (*tableResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		Description: "A table of a schema.",
		Attributes: map[string]schema.Attribute{
			"database": fixed("Database it is in."),
			"schema": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString("public"), Description: "Schema it is in.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"name": schema.StringAttribute{Required: true, Description: "Name; another one renames the table."},
			"primary_key": schema.ListAttribute{
				ElementType: types.StringType, Optional: true, Description: "Columns of the primary key.",
				PlanModifiers: []planmodifier.List{listplanmodifier.RequiresReplace()},
			},
		},
		Blocks: map[string]schema.Block{"column": schema.ListNestedBlock{
			Description: "A column. A new one is added behind the others.",
			NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"name":     schema.StringAttribute{Required: true, Description: "Name of the column."},
				"type":     schema.StringAttribute{Required: true, Description: "Type, in SQL."},
				"nullable": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(true), Description: "Whether it may be NULL."},
				"default":  schema.StringAttribute{Optional: true, Description: "Default, an expression in SQL."},
			}},
		}},
	}
}

// definition is the column as CREATE TABLE and ADD COLUMN want it. Type and
// default are SQL by their nature, and as trusted as the configuration.
func (c *columnModel) definition() string {
	text := name(c.Name.ValueString()) + " " + c.Type.ValueString()
	if !c.Nullable.ValueBool() {
		text += " NOT NULL"
	}
	if !c.Default.IsNull() {
		text += " DEFAULT " + c.Default.ValueString()
	}
	return text
}

func (m *tableModel) qualified() string { return name(m.Schema.ValueString(), m.Name.ValueString()) }

func (r *tableResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m tableModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var parts []string
	for _, column := range m.Columns {
		parts = append(parts, column.definition())
	}
	if !m.PrimaryKey.IsNull() {
		var key []string
		resp.Diagnostics.Append(m.PrimaryKey.ElementsAs(ctx, &key, false)...)
		for i := range key {
			key[i] = name(key[i])
		}
		parts = append(parts, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	if err := r.exec(ctx, m.Database.ValueString(), "CREATE TABLE "+m.qualified()+" ("+strings.Join(parts, ", ")+")"); err != nil {
		failed(&resp.Diagnostics, "create the table "+m.Name.ValueString(), err)
		return
	}
	inSchema().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
	r.keepSpelling(ctx, &m, resp.Private, &resp.Diagnostics)
}

// keeper is the private state of a response.
type keeper interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// keepSpelling notes how the server writes what was just made.
func (r *tableResource) keepSpelling(ctx context.Context, m *tableModel, private keeper, diags *diag.Diagnostics) {
	columns, _, err := r.columns(ctx, m)
	if err != nil {
		failed(diags, "read the table "+m.Name.ValueString(), err)
		return
	}
	spellings := make(map[string]spelling, len(columns))
	for _, c := range columns {
		spellings[c.Name.ValueString()] = spelling{c.Type.ValueString(), c.Default.ValueString()}
	}
	data, err := json.Marshal(spellings)
	failed(diags, "note the columns", err)
	diags.Append(private.SetKey(ctx, spellingKey, data)...)
}

// columns reads the columns in their order and the primary key; pgx.ErrNoRows
// where there is no such table.
func (r *tableResource) columns(ctx context.Context, m *tableModel) (result []columnModel, key []string, err error) {
	err = r.in(ctx, m.Database.ValueString(), func(conn *pgx.Conn) error {
		var oid uint32
		err := conn.QueryRow(ctx, `SELECT c.oid, ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place), pg_attribute a
				WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.number ORDER BY k.place) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`, m.Schema.ValueString(), m.Name.ValueString()).Scan(&oid, &key)
		if err != nil {
			return err
		}
		rows, err := conn.Query(ctx, `SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
			FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, oid)
		if err != nil {
			return err
		}
		var column, kind string
		var nullable bool
		var value *string
		_, err = pgx.ForEachRow(rows, []any{&column, &kind, &nullable, &value}, func() error {
			result = append(result, columnModel{types.StringValue(column), types.StringValue(kind), types.BoolValue(nullable), types.StringPointerValue(value)})
			return nil
		})
		return err
	})
	if hasCode(err, "3D000") {
		err = pgx.ErrNoRows
	}
	return result, key, err
}

func (r *tableResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m tableModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	found, key, err := r.columns(ctx, &m)
	if errors.Is(err, pgx.ErrNoRows) {
		inSchema().gone(ctx, resp)
		return
	}
	if err != nil {
		failed(&resp.Diagnostics, "read the table "+m.Name.ValueString(), err)
		return
	}
	var spellings map[string]spelling
	data, diags := req.Private.GetKey(ctx, spellingKey)
	resp.Diagnostics.Append(diags...)
	if len(data) > 0 && json.Unmarshal(data, &spellings) != nil {
		spellings = nil // then every spelling is the server's
	}
	m.PrimaryKey = types.ListNull(types.StringType)
	if len(key) > 0 {
		m.PrimaryKey, diags = types.ListValueFrom(ctx, types.StringType, key)
		resp.Diagnostics.Append(diags...)
	}
	m.Columns = merge(m.Columns, found, key, spellings)
	inSchema().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
}

// merge gives the columns that are there, spelt as the configuration does where
// nothing has changed, in its order and new ones behind. A column of the key is
// never NULL, whatever was asked for.
func merge(known, found []columnModel, key []string, spellings map[string]spelling) []columnModel {
	actual := make(map[string]columnModel, len(found))
	for _, c := range found {
		actual[c.Name.ValueString()] = c
	}
	var result []columnModel
	for _, c := range known {
		now, ok := actual[c.Name.ValueString()]
		if !ok {
			continue
		}
		delete(actual, c.Name.ValueString())
		if slices.Contains(key, c.Name.ValueString()) {
			now.Nullable = c.Nullable
		}
		if s, ok := spellings[c.Name.ValueString()]; ok {
			if s.Type == now.Type.ValueString() {
				now.Type = c.Type
			}
			if s.Default == now.Default.ValueString() {
				now.Default = c.Default
			}
		}
		result = append(result, now)
	}
	for _, c := range found {
		if _, left := actual[c.Name.ValueString()]; left {
			result = append(result, c)
		}
	}
	return result
}

func (r *tableResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m tableModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := r.exec(ctx, m.Database.ValueString(), alterTable(&old, &m)...); err != nil {
		failed(&resp.Diagnostics, "change the table "+old.Name.ValueString(), err)
		return
	}
	inSchema().keep(ctx, &m, &resp.State, resp.Identity, &resp.Diagnostics)
	r.keepSpelling(ctx, &m, resp.Private, &resp.Diagnostics)
}

// alterTable writes the statements that make the table what it shall be. A column
// with another name is another column: the old one is dropped.
func alterTable(old, m *tableModel) []string {
	var statements []string
	if old.Name != m.Name {
		statements = append(statements, "ALTER TABLE "+old.qualified()+" RENAME TO "+name(m.Name.ValueString()))
	}
	alter := "ALTER TABLE " + m.qualified() + " "
	before := make(map[string]columnModel, len(old.Columns))
	for _, c := range old.Columns {
		before[c.Name.ValueString()] = c
	}
	var added []string
	for _, c := range m.Columns {
		was, ok := before[c.Name.ValueString()]
		if !ok {
			added = append(added, alter+"ADD COLUMN "+c.definition())
			continue
		}
		delete(before, c.Name.ValueString())
		statements = append(statements, alterColumn(alter+"ALTER COLUMN "+name(c.Name.ValueString())+" ", was, c)...)
	}
	for _, c := range old.Columns {
		if _, left := before[c.Name.ValueString()]; left {
			statements = append(statements, alter+"DROP COLUMN IF EXISTS "+name(c.Name.ValueString()))
		}
	}
	return append(statements, added...)
}

// alterColumn writes the changes of one column. The default goes before its type
// changes, which it may not fit, and comes back after.
func alterColumn(alter string, was, c columnModel) []string {
	var statements []string
	retyped := was.Type != c.Type
	if !was.Default.IsNull() && (retyped || was.Default != c.Default) {
		statements = append(statements, alter+"DROP DEFAULT")
	}
	if retyped {
		statements = append(statements, alter+"TYPE "+c.Type.ValueString()+" USING "+name(c.Name.ValueString())+"::"+c.Type.ValueString())
	}
	if !c.Default.IsNull() && (retyped || was.Default != c.Default) {
		statements = append(statements, alter+"SET DEFAULT "+c.Default.ValueString())
	}
	if was.Nullable != c.Nullable {
		verb := "SET NOT NULL"
		if c.Nullable.ValueBool() {
			verb = "DROP NOT NULL"
		}
		statements = append(statements, alter+verb)
	}
	return statements
}

func (r *tableResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m tableModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if !resp.Diagnostics.HasError() {
		r.drop(ctx, &resp.Diagnostics, "the table "+m.Name.ValueString(), m.Database.ValueString(), "DROP TABLE IF EXISTS "+m.qualified())
	}
}

// ImportState takes "database/schema/table".
func (*tableResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if inSchema().imported(ctx, req, resp) {
		return
	}
	importParts(ctx, req, resp, "database", "schema", "name")
}
