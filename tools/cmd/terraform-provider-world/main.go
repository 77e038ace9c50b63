// Command terraform-provider-world keeps things as files in a folder. It is what
// crash tests are run against: an operation can be slow before and after it has
// its effect, or fail; each is written to a log; and a thing that exists already
// cannot be made a second time.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return worldProvider{} }, providerserver.ServeOpts{
		Address:         "registry.terraform.io/tutti-dev/world",
		ProtocolVersion: 6,
	})
	if err != nil {
		log.Fatal(err)
	}
}

// worldProvider knows the folder.
type worldProvider struct{}

func (worldProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "world", "1.0.0"
}

func (worldProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		Description: "Things that are files.",
		Attributes: map[string]schema.Attribute{
			"folder": schema.StringAttribute{Required: true, Description: "Where the things are; it must exist."},
		},
	}
}

func (worldProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var settings struct {
		Folder types.String `tfsdk:"folder"`
	}
	resp.Diagnostics.Append(req.Config.Get(ctx, &settings)...)
	resp.ResourceData = folder(settings.Folder.ValueString())
}

func (worldProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		func() resource.Resource { return &thing{} },
		func() resource.Resource { return &nameless{} },
	}
}

func (worldProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }
