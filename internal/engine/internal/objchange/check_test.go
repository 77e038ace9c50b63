package objchange

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/tutti-dev/tutti/internal/providers"
)

// Blocks of real providers have lists that are left out, among leaves that are
// not known yet.
func TestAssertObjectCompatibleNullListInBlock(t *testing.T) {
	schema := &providers.Block{BlockTypes: map[string]*providers.NestedBlock{
		"hints": {Nesting: providers.NestingSet, Block: providers.Block{Attributes: map[string]*providers.Attribute{
			"group": {Type: cty.String},
			"hosts": {Type: cty.List(cty.String)},
		}}},
	}}
	object := func(group, hosts cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"hints": cty.SetVal([]cty.Value{
			cty.ObjectVal(map[string]cty.Value{"group": group, "hosts": hosts}),
		})})
	}
	none := cty.NullVal(cty.List(cty.String))
	planned := object(cty.UnknownVal(cty.String), none)
	if errs := AssertObjectCompatible(schema, planned, object(cty.StringVal("g"), none)); len(errs) > 0 {
		t.Errorf("compatible, but: %v", errs)
	}
	if errs := AssertObjectCompatible(schema, planned, object(cty.StringVal("g"), cty.ListVal([]cty.Value{cty.StringVal("h")}))); len(errs) == 0 {
		t.Error("a list that was planned to be absent may not appear")
	}
}
