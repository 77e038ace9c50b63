package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// flaky is corner_flaky, whose operations fail the first times they are tried.
// The tries are counted in a file beside the objects, of all operations together.
type flaky struct{ base }

type flakyModel struct {
	Name  types.String `tfsdk:"name"`
	Fails types.Int64  `tfsdk:"fails"`
	Value types.String `tfsdk:"value"`
}

func (*flaky) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_flaky"
}

func (*flaky) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":  nameAttribute(),
		"fails": schema.Int64Attribute{Required: true, Description: "How many tries fail."},
		"value": schema.StringAttribute{Optional: true},
	}}
}

// try counts a try, and returns an error where it is one that fails.
func (f *flaky) try(operation string, m *flakyModel) error {
	if err := f.log("try", operation, m.Name.ValueString()); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path("flaky", m.Name.ValueString())+".tries", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString("."); err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() <= m.Fails.ValueInt64() {
		err = fmt.Errorf("try %d of %d fails", info.Size(), m.Fails.ValueInt64()+1)
	}
	return err
}

func (f *flaky) put(operation string, m *flakyModel) error {
	if err := f.try(operation, m); err != nil {
		return err
	}
	return f.write(operation, "flaky", m.Name.ValueString(), map[string]string{"value": m.Value.ValueString()})
}

func (f *flaky) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m flakyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "create the flaky", f.put("create", &m))
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (*flaky) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (f *flaky) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m flakyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if err := f.put("update", &m); err != nil {
		failed(&resp.Diagnostics, "change the flaky", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (f *flaky) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m flakyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	err := f.try("delete", &m)
	if err == nil {
		err = f.remove("flaky", m.Name.ValueString())
	}
	failed(&resp.Diagnostics, "delete the flaky", err)
}
