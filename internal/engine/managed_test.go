package engine_test

import (
	"context"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/providertest"
)

// Providers made with the older SDK name the id among the paths that force a
// replacement. It is not what forces it: it changes because of it.
func TestWhatForcesAReplacement(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "test_thing" "one" {
  name = "old"
}
`)
	p := func() providers.Provider {
		return &providertest.Provider{
			SchemasValue: providertest.Schemas(map[string]*providers.Block{"test_thing": {Attributes: map[string]*providers.Attribute{
				"id":   {Type: cty.String, Computed: true},
				"name": {Type: cty.String, Required: true},
			}}}),
			PlanResourceChangeFunc: func(_ context.Context, req providers.PlanRequest) providers.PlanResponse {
				id := cty.UnknownVal(cty.String)
				if !req.Prior.IsNull() {
					id = req.Prior.GetAttr("id")
				}
				return providers.PlanResponse{
					Planned:         cty.ObjectVal(map[string]cty.Value{"id": id, "name": req.Proposed.GetAttr("name")}),
					RequiresReplace: []cty.Path{cty.GetAttrPath("name"), cty.GetAttrPath("id")},
				}
			},
			ApplyResourceChangeFunc: func(_ context.Context, req providers.ApplyRequest) providers.ApplyResponse {
				return providers.ApplyResponse{Value: cty.ObjectVal(map[string]cty.Value{
					"id": cty.StringVal("1"), "name": req.Planned.GetAttr("name"),
				})}
			},
		}
	}
	w.factory = &providertest.Factory{New: map[addrs.Provider]func() providers.Provider{addrs.DefaultProvider("test"): p}}
	w.apply(w.plan(nil))
	w.write("\n-- main.tf --\nresource \"test_thing\" \"one\" {\n  name = \"new\"\n}\n")
	change := w.plan(nil).Changes[0]
	if change.Action != plans.DeleteThenCreate {
		t.Fatalf("action %v", change.Action)
	}
	if paths := change.RequiredReplace; len(paths) != 1 || !paths[0].Equals(cty.GetAttrPath("name")) {
		t.Errorf("replaced because of %#v", paths)
	}
}
