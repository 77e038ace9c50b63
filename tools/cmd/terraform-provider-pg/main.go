// Command terraform-provider-pg manages roles, databases, schemas, tables and
// grants of a PostgreSQL server. It is the provider of the examples and the demo:
// small, and real enough to drift, to be repaired and to be interrupted.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return pgProvider{} }, providerserver.ServeOpts{
		Address:         "registry.terraform.io/tutti-dev/pg",
		ProtocolVersion: 5,
	})
	if err != nil {
		log.Fatal(err)
	}
}

// pgProvider knows how to reach the server.
type pgProvider struct{}

// settings is the provider's configuration. What is not set comes from the
// environment variables of PostgreSQL's own programs: PGHOST and so on.
type settings struct {
	Host     types.String `tfsdk:"host"`
	Port     types.Int64  `tfsdk:"port"`
	User     types.String `tfsdk:"user"`
	Password types.String `tfsdk:"password"`
	Database types.String `tfsdk:"database"`
	SSLMode  types.String `tfsdk:"sslmode"`
}

func (pgProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "pg", "1.0.0"
}

func (pgProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		Description: "Roles, databases, schemas, tables and grants of a PostgreSQL server.",
		Attributes: map[string]schema.Attribute{
			"host":     schema.StringAttribute{Optional: true, Description: "Host name, address or socket folder; PGHOST where not set."},
			"port":     schema.Int64Attribute{Optional: true, Description: "Port; PGPORT where not set."},
			"user":     schema.StringAttribute{Optional: true, Description: "Role to log in as; PGUSER where not set."},
			"password": schema.StringAttribute{Optional: true, Sensitive: true, Description: "Its password; PGPASSWORD where not set."},
			"database": schema.StringAttribute{Optional: true, Description: "Database for what belongs to the whole server; PGDATABASE, else postgres."},
			"sslmode":  schema.StringAttribute{Optional: true, Description: "As in libpq: disable, prefer, require, verify-ca, verify-full; PGSSLMODE where not set."},
		},
	}
}

func (pgProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var s settings
	resp.Diagnostics.Append(req.Config.Get(ctx, &s)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if s.Host.IsUnknown() || s.Port.IsUnknown() || s.User.IsUnknown() || s.Password.IsUnknown() || s.Database.IsUnknown() || s.SSLMode.IsUnknown() {
		resp.Diagnostics.AddAttributeError(path.Root("host"), "The server is not known yet",
			"A setting of the provider depends on something that is known after apply only. Apply that first, for example with -target.")
		return
	}
	c, err := newClient(s)
	if err != nil {
		resp.Diagnostics.AddError("Invalid provider configuration", err.Error())
		return
	}
	resp.ResourceData, resp.DataSourceData = c, c
}

func (pgProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		func() resource.Resource { return &roleResource{} },
		func() resource.Resource { return &databaseResource{} },
		func() resource.Resource { return &schemaResource{} },
		func() resource.Resource { return &tableResource{} },
		func() resource.Resource { return &grantResource{} },
	}
}

func (pgProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{func() datasource.DataSource { return &serverData{} }}
}
