package main

import (
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// integerResource is random_integer.
type integerResource struct{ stateOnly }

type integerModel struct {
	ID      types.String `tfsdk:"id"`
	Keepers types.Map    `tfsdk:"keepers"`
	Min     types.Int64  `tfsdk:"min"`
	Max     types.Int64  `tfsdk:"max"`
	Seed    types.String `tfsdk:"seed"`
	Result  types.Int64  `tfsdk:"result"`
}

func (integerResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_integer"
}

func (integerResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"keepers": keepers(),
		"min":     requiredNumber("The least number there may be."),
		"max":     requiredNumber("The greatest number there may be."),
		"seed":    givenString("The same seed makes the same number."),
		"result": schema.Int64Attribute{
			Computed:      true,
			Description:   "The number.",
			PlanModifiers: []planmodifier.Int64{int64planmodifier.UseStateForUnknown()},
		},
		"id": madeString("The number as a string.", false),
	}}
}

func (integerResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m integerModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	least, most := m.Min.ValueInt64(), m.Max.ValueInt64()
	if most < least {
		resp.Diagnostics.AddError("Create Random Integer Error", "The minimum (min) value needs to be smaller than or equal to maximum (max) value.")
		return
	}
	m.Result = types.Int64Value(least + between(generator(m.Seed.ValueString()), most-least))
	m.ID = types.StringValue(strconv.FormatInt(m.Result.ValueInt64(), 10))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// between is a number from 0 to most, both included. A span that is too wide for
// int64 (most is negative then) draws from all of uint64 and wraps, which gives
// the right sum. Spans that an int holds draw as the public provider does, so
// that a seed gives the same number.
func between(source *rand.Rand, most int64) int64 {
	if most >= 0 && most+1 > 0 {
		return int64(source.Intn(int(most + 1)))
	}
	if width := uint64(most) + 1; width != 0 { //nolint:gosec // meant to wrap
		return int64(source.Uint64() % width) //nolint:gosec // meant to wrap
	}
	return int64(source.Uint64()) //nolint:gosec // meant to wrap
}

// ImportState takes "result,min,max" or "result,min,max,seed".
func (integerResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	parts := strings.SplitN(req.ID, ",", 4)
	var numbers [3]int64
	for i := range numbers {
		var err error
		if i < len(parts) {
			numbers[i], err = strconv.ParseInt(strings.TrimSpace(parts[i]), 10, 64)
		}
		if err != nil || i >= len(parts) {
			resp.Diagnostics.AddError("Import Random Integer Error", `Invalid import usage: expecting {result},{min},{max} or {result},{min},{max},{seed}`)
			return
		}
	}
	m := integerModel{
		ID:      types.StringValue(strconv.FormatInt(numbers[0], 10)),
		Keepers: types.MapNull(types.StringType),
		Result:  types.Int64Value(numbers[0]), Min: types.Int64Value(numbers[1]), Max: types.Int64Value(numbers[2]),
	}
	if len(parts) == 4 {
		m.Seed = types.StringValue(parts[3])
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// petResource is random_pet: a name that people can remember.
type petResource struct{ stateOnly }

type petModel struct {
	ID        types.String `tfsdk:"id"`
	Keepers   types.Map    `tfsdk:"keepers"`
	Length    types.Int64  `tfsdk:"length"`
	Prefix    types.String `tfsdk:"prefix"`
	Separator types.String `tfsdk:"separator"`
}

func (petResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_pet"
}

func (petResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"keepers":   keepers(),
		"length":    defaultNumber("How many words the name has.", 2),
		"prefix":    givenString("A word in front of the name."),
		"separator": defaultString("What stands between words.", "-"),
		"id":        madeString("The name.", false),
	}}
}

func (petResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m petModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	separator := m.Separator.ValueString()
	name := petName(generator(""), int(m.Length.ValueInt64()), separator)
	if prefix := m.Prefix.ValueString(); prefix != "" {
		name = prefix + separator + name
	}
	m.ID = types.StringValue(name)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// shuffleResource is random_shuffle: a list in another order.
type shuffleResource struct{ stateOnly }

type shuffleModel struct {
	ID          types.String `tfsdk:"id"`
	Keepers     types.Map    `tfsdk:"keepers"`
	Seed        types.String `tfsdk:"seed"`
	Input       types.List   `tfsdk:"input"`
	ResultCount types.Int64  `tfsdk:"result_count"`
	Result      types.List   `tfsdk:"result"`
}

func (shuffleResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_shuffle"
}

func (shuffleResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"keepers": keepers(),
		"seed":    givenString("The same seed makes the same order."),
		"input": schema.ListAttribute{
			ElementType:   types.StringType,
			Required:      true,
			Description:   "The strings to shuffle.",
			PlanModifiers: []planmodifier.List{listplanmodifier.RequiresReplace()},
		},
		"result_count": schema.Int64Attribute{
			Optional:      true,
			Description:   "How many results to give; more than there are inputs repeats them.",
			PlanModifiers: []planmodifier.Int64{int64planmodifier.RequiresReplace()},
		},
		"result": schema.ListAttribute{
			ElementType:   types.StringType,
			Computed:      true,
			Description:   "The strings in their new order.",
			PlanModifiers: []planmodifier.List{listplanmodifier.UseStateForUnknown()},
		},
		"id": madeString("Always a dash.", false),
	}}
}

func (shuffleResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m shuffleModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	input := m.Input.Elements()
	count := len(input)
	if !m.ResultCount.IsNull() {
		count = int(m.ResultCount.ValueInt64())
	}
	if count < 0 {
		resp.Diagnostics.AddError("Create Random Shuffle Error", fmt.Sprintf("result_count is %d; it must not be negative.", count))
		return
	}
	source := generator(m.Seed.ValueString())
	result := input[:0:0]
	for len(result) < count && len(input) > 0 {
		for _, i := range source.Perm(len(input)) {
			if len(result) < count {
				result = append(result, input[i])
			}
		}
	}
	m.ID = types.StringValue("-")
	list, diags := types.ListValue(types.StringType, result)
	resp.Diagnostics.Append(diags...)
	m.Result = list
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
