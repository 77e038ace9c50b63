package main

import (
	"context"
	"math/rand/v2"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	dataschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// newID is what the public provider uses as an id: a number that means nothing.
func newID() string { return strconv.FormatInt(rand.Int64(), 10) } //nolint:gosec // no secret

// nullResource does nothing; a change of its triggers replaces it.
type nullResource struct{}

func (nullResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "null_resource"
}

func (nullResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"triggers": schema.MapAttribute{
			ElementType:   types.StringType,
			Optional:      true,
			Description:   "Arbitrary strings; a change of any of them replaces the resource.",
			PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplace()},
		},
		"id": schema.StringAttribute{
			Computed:      true,
			Description:   "Set to a random number.",
			PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
		},
	}}
}

func (nullResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	resp.State.Raw = req.Plan.Raw
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), newID())...)
}

// Read keeps what is there: the state is all there is of a null_resource.
func (nullResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

// Update is called for nothing: every change replaces.
func (nullResource) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.Plan.Raw
}

func (nullResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// nullData hands its inputs on.
type nullData struct{}

// nullDataModel is the data source's content.
type nullDataModel struct {
	Inputs             types.Map    `tfsdk:"inputs"`
	Outputs            types.Map    `tfsdk:"outputs"`
	Random             types.String `tfsdk:"random"`
	HasComputedDefault types.String `tfsdk:"has_computed_default"`
	ID                 types.String `tfsdk:"id"`
}

func (nullData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "null_data_source"
}

func (nullData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = dataschema.Schema{
		DeprecationMessage: "Use a local value, or the terraform_data resource, instead.",
		Attributes: map[string]dataschema.Attribute{
			"inputs":               dataschema.MapAttribute{ElementType: types.StringType, Optional: true, Description: "Strings that are copied into outputs."},
			"outputs":              dataschema.MapAttribute{ElementType: types.StringType, Computed: true, Description: "The inputs."},
			"random":               dataschema.StringAttribute{Computed: true, Description: "A random number, a new one with every read."},
			"has_computed_default": dataschema.StringAttribute{Optional: true, Computed: true, Description: "The word default where nothing else is given."},
			"id":                   dataschema.StringAttribute{Computed: true, Description: "Always static."},
		},
	}
}

func (nullData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model nullDataModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	model.Outputs = model.Inputs
	model.Random = types.StringValue(newID())
	if model.HasComputedDefault.IsNull() {
		model.HasComputedDefault = types.StringValue("default")
	}
	model.ID = types.StringValue("static")
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}
