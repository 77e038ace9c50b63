// Command terraform-provider-corner has the hard cases of the provider protocol:
// write-only attributes, identities, ephemeral resources, functions, actions,
// lists, deferral, state upgrades and moves, private data, the old type system,
// and providers that crash, hang, lie or do half of what they should. It is two
// providers, one for each of the SDKs, behind one server.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-mux/tf5muxserver"
)

func main() {
	server, err := tf5muxserver.NewMuxServer(context.Background(),
		providerserver.NewProtocol5(cornerProvider{}),
		func() tfprotov5.ProviderServer { return legacyProvider().GRPCProvider() },
	)
	if err == nil {
		err = tf5server.Serve("registry.terraform.io/tutti-dev/corner", server.ProviderServer)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// cornerProvider is the half that is built with the framework.
type cornerProvider struct{}

// folderDescription is the same in both halves, as multiplexing wants it.
const folderDescription = "Where objects are kept; corner.d where not set."

func (cornerProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "corner", "1.0.0"
}

func (cornerProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"folder": schema.StringAttribute{Optional: true, Description: folderDescription},
	}}
}

func (cornerProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var settings struct {
		Folder types.String `tfsdk:"folder"`
	}
	resp.Diagnostics.Append(req.Config.Get(ctx, &settings)...)
	f := folder("corner.d")
	if text := settings.Folder.ValueString(); text != "" {
		f = folder(text)
	}
	resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData = f, f, f
	resp.ActionData, resp.ListResourceData = f, f
}

func (cornerProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		func() resource.Resource { return &secret{} },
		func() resource.Resource { return &upgraded{plain{kind: "upgraded"}} },
		func() resource.Resource { return &moved{plain{kind: "moved"}} },
		func() resource.Resource { return &private{} },
		func() resource.Resource { return &misbehaved{} },
		func() resource.Resource { return &identified{} },
		func() resource.Resource { return &slow{} },
		func() resource.Resource { return &flaky{} },
	}
}

func (cornerProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (cornerProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{func() ephemeral.EphemeralResource { return &ticket{} }}
}

// Functions implements provider.ProviderWithFunctions.
func (cornerProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{
		func() function.Function { return joinFunction{} },
		func() function.Function { return failFunction{} },
	}
}

// Actions implements provider.ProviderWithActions.
func (cornerProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{func() action.Action { return &ring{} }}
}

// ListResources implements provider.ProviderWithListResources.
func (cornerProvider) ListResources(context.Context) []func() list.ListResource {
	return []func() list.ListResource{func() list.ListResource { return &identifiedList{} }}
}
