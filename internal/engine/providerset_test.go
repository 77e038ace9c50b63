package engine_test

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/providertest"
)

func TestWarningsAboutAProviderAreToldOnce(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "test_thing" "many" {
  count = 3
  name  = "thing"
}
`)
	p := &providertest.Provider{
		SchemasValue: providertest.Schemas(map[string]*providers.Block{"test_thing": {
			Attributes: map[string]*providers.Attribute{"name": {Type: cty.String, Required: true}},
		}}),
		ValidateProviderConfigFunc: func(config cty.Value) (cty.Value, diag.List) {
			return config, diag.List{{Severity: diag.Warning, Summary: "Argument is deprecated"}}
		},
	}
	w.factory = providertest.Of(addrs.DefaultProvider("test"), p)
	_, diags := w.tryPlan(nil)
	if len(diags) != 1 || diags[0].Summary != "Argument is deprecated" || diags.HasErrors() {
		t.Fatalf("got %v", diags)
	}
	if want := `provider["registry.terraform.io/hashicorp/test"]`; diags[0].Address != want {
		t.Errorf("address %q, not %q", diags[0].Address, want)
	}
}
