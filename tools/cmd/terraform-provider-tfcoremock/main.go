// Command terraform-provider-tfcoremock is a provider of any schema: resource
// types and data sources are described by dynamic_resources.json in the working
// folder, and every object is a JSON file, under terraform.resource/ or
// terraform.data/. It follows the public provider of that name, version 0.1, as
// far as the equivalence cases of this project show it.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

func main() {
	server, err := newServer(os.Getenv("TFCOREMOCK_DYNAMIC_RESOURCES"))
	if err == nil {
		err = tf6server.Serve("registry.terraform.io/hashicorp/tfcoremock", func() tfprotov6.ProviderServer { return server })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
