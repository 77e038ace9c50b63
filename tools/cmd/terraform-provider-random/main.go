// Command terraform-provider-random makes random values that stay in the state,
// with the schema of the public provider of that name.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return randomProvider{} }, providerserver.ServeOpts{
		Address:         "registry.terraform.io/hashicorp/random",
		ProtocolVersion: 5,
	})
	if err != nil {
		log.Fatal(err)
	}
}

// randomProvider has no settings.
type randomProvider struct{}

func (randomProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "random"
}

func (randomProvider) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (randomProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (randomProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		func() resource.Resource { return idResource{} },
		func() resource.Resource { return integerResource{} },
		func() resource.Resource { return petResource{} },
		func() resource.Resource { return textResource{} },
		func() resource.Resource { return textResource{password: true} },
		func() resource.Resource { return shuffleResource{} },
		func() resource.Resource { return uuidResource{} },
		func() resource.Resource { return bytesResource{} },
	}
}

func (randomProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }
