package main

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// misbehaved is corner_misbehaved. What it does wrong is in its argument "does":
//
//	crash on plan|create|read|update|delete   the process ends
//	hang on create|update|delete              until it is told to stop
//	fail on create|update|delete              nothing happens
//	half create|update                        it happens, and fails
//	lie on plan|create|update                 another value than the configured one
//	defer                                     it waits for another plan, if it may
type misbehaved struct{ base }

type misbehavedModel struct {
	Name  types.String `tfsdk:"name"`
	Does  types.String `tfsdk:"does"`
	Value types.String `tfsdk:"value"`
	ID    types.String `tfsdk:"id"`
}

func (*misbehaved) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_misbehaved"
}

func (*misbehaved) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":  nameAttribute(),
		"does":  schema.StringAttribute{Optional: true},
		"value": schema.StringAttribute{Optional: true},
		"id":    schema.StringAttribute{Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}},
	}}
}

// misbehave does what is asked for at a point. half and lie are for the caller.
func (m *misbehavedModel) misbehave(ctx context.Context, at string) (half, lie bool, err error) {
	switch m.Does.ValueString() {
	case "crash on " + at:
		// In a goroutine of its own, where nobody recovers from it.
		go func() { panic("the provider crashes on " + at) }()
		<-make(chan struct{})
	case "hang on " + at:
		<-ctx.Done()
		return false, false, context.Cause(ctx)
	case "fail on " + at:
		return false, false, errAsked
	case "half " + at:
		return true, false, nil
	case "lie on " + at:
		return false, true, nil
	}
	return false, false, nil
}

type asked struct{}

func (asked) Error() string { return "it was asked to fail" }

var errAsked = asked{}

// ModifyPlan implements resource.ResourceWithModifyPlan.
func (*misbehaved) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var m misbehavedModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	_, lie, _ := m.misbehave(ctx, "plan")
	if lie {
		m.Value = types.StringValue("a lie")
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &m)...)
	}
	if m.Does.ValueString() == "defer" && req.ClientCapabilities.DeferralAllowed {
		resp.Deferred = &resource.Deferred{Reason: resource.DeferredReasonResourceConfigUnknown}
	}
}

func (r *misbehaved) put(ctx context.Context, at string, m *misbehavedModel) (bool, error) {
	half, lie, err := m.misbehave(ctx, at)
	if err != nil {
		return false, err
	}
	m.ID = types.StringValue("id-" + m.Name.ValueString())
	if err := r.write(at, "misbehaved", m.Name.ValueString(), map[string]string{"value": m.Value.ValueString(), "does": m.Does.ValueString()}); err != nil {
		return false, err
	}
	if lie {
		m.Value = types.StringValue("a lie")
	}
	if half {
		return true, errAsked
	}
	return true, nil
}

func (r *misbehaved) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m misbehavedModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	done, err := r.put(ctx, "create", &m)
	failed(&resp.Diagnostics, "create the misbehaved", err)
	if done {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (r *misbehaved) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m misbehavedModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	_, _, err := m.misbehave(ctx, "read")
	failed(&resp.Diagnostics, "read the misbehaved", err)
	object, err := r.read("misbehaved", m.Name.ValueString())
	failed(&resp.Diagnostics, "read the misbehaved", err)
	if object == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	if !m.Value.IsNull() || object["value"] != "" {
		m.Value = types.StringValue(object["value"])
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (r *misbehaved) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m misbehavedModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	done, err := r.put(ctx, "update", &m)
	failed(&resp.Diagnostics, "change the misbehaved", err)
	if done {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (r *misbehaved) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m misbehavedModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	// How it misbehaves on deletion can be changed from outside.
	if object, _ := r.read("misbehaved", m.Name.ValueString()); object != nil && strings.HasSuffix(object["does"], " delete") {
		m.Does = types.StringValue(object["does"])
	}
	_, _, err := m.misbehave(ctx, "delete")
	if err == nil {
		err = r.remove("misbehaved", m.Name.ValueString())
	}
	failed(&resp.Diagnostics, "delete the misbehaved", err)
}
