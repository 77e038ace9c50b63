package main

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/jackc/pgx/v5"
)

// serverData is the data source pg_server.
type serverData struct{ *client }

type serverModel struct {
	Version       types.String `tfsdk:"version"`
	VersionNumber types.Int64  `tfsdk:"version_number"`
	Databases     types.List   `tfsdk:"databases"`
}

func (*serverData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "pg_server"
}

func (*serverData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{Description: "The server.", Attributes: map[string]schema.Attribute{
		"version":        schema.StringAttribute{Computed: true, Description: "Version as the server tells it."},
		"version_number": schema.Int64Attribute{Computed: true, Description: "Version as a number that can be compared."},
		"databases":      schema.ListAttribute{ElementType: types.StringType, Computed: true, Description: "Names of its databases, templates left out, in order."},
	}}
}

// Configure takes the client of the provider.
func (d *serverData) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	if c, ok := req.ProviderData.(*client); ok {
		d.client = c
	}
}

func (d *serverData) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	var version string
	var number int64
	var databases []string
	err := d.in(ctx, "", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::bigint,
			ARRAY(SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY datname)`).Scan(&version, &number, &databases)
	})
	if err != nil {
		failed(&resp.Diagnostics, "read the server", err)
		return
	}
	list, diags := types.ListValueFrom(ctx, types.StringType, databases)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &serverModel{types.StringValue(version), types.Int64Value(number), list})...)
}
