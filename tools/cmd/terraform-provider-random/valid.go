package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// atLeast refuses numbers below a constant and, where paths are given, below the
// sum of the attributes there.
type atLeast struct {
	least int64
	sum   []string
}

func (a atLeast) Description(context.Context) string {
	return fmt.Sprintf("value must be at least %d", a.least)
}

func (a atLeast) MarkdownDescription(ctx context.Context) string { return a.Description(ctx) }

func (a atLeast) ValidateInt64(ctx context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	value := req.ConfigValue.ValueInt64()
	if value < a.least {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value",
			fmt.Sprintf("Attribute %s value must be at least %d, got: %d", req.Path, a.least, value))
	}
	var sum int64
	for _, name := range a.sum {
		var part types.Int64
		resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root(name), &part)...)
		sum += part.ValueInt64()
	}
	if value < sum {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value",
			fmt.Sprintf("Attribute %s value must be at least sum of %v, got: %d", req.Path, a.sum, value))
	}
}

// fullList refuses lists without elements.
type fullList struct{}

func (fullList) Description(context.Context) string { return "list must have an element" }

func (f fullList) MarkdownDescription(ctx context.Context) string { return f.Description(ctx) }

func (fullList) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	if !req.ConfigValue.IsNull() && !req.ConfigValue.IsUnknown() && len(req.ConfigValue.Elements()) == 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Attribute Value", fmt.Sprintf("Attribute %s must have an element.", req.Path))
	}
}

// sameAs gives a switch the value of its other name, and true where neither is
// set.
type sameAs struct{ other string }

func (s sameAs) Description(context.Context) string { return "The same as " + s.other + "." }

func (s sameAs) MarkdownDescription(ctx context.Context) string { return s.Description(ctx) }

func (s sameAs) PlanModifyBool(ctx context.Context, req planmodifier.BoolRequest, resp *planmodifier.BoolResponse) {
	if !req.ConfigValue.IsNull() {
		return
	}
	var other types.Bool
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root(s.other), &other)...)
	resp.PlanValue = other
	if other.IsNull() {
		resp.PlanValue = types.BoolValue(true)
	}
}
