package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// slow is corner_slow, which takes its time to be created and changed: as long as
// it is told, and until a file is there. The log says when it begins and when it
// ends. It has an identity, by which it is found again after a crash.
type slow struct{ base }

type slowModel struct {
	Name     types.String `tfsdk:"name"`
	Value    types.String `tfsdk:"value"`
	Duration types.String `tfsdk:"duration"`
	WaitsFor types.String `tfsdk:"waits_for"`
	Early    types.Bool   `tfsdk:"early"`
}

type slowIdentity struct {
	Name types.String `tfsdk:"name"`
}

func (*slow) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_slow"
}

func (*slow) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"name":      nameAttribute(),
		"value":     schema.StringAttribute{Optional: true},
		"duration":  schema.StringAttribute{Optional: true, Description: "How long an operation takes, as 10ms."},
		"waits_for": schema.StringAttribute{Optional: true, Description: "A file that must be there before an operation ends."},
		"early":     schema.BoolAttribute{Optional: true, Description: "Whether an operation has its effect before the wait rather than after it."},
	}}
}

func (*slow) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name": identityschema.StringAttribute{RequiredForImport: true},
	}}
}

// ModifyPlan tells the identity before the object is there, as it is known.
func (*slow) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || resp.Identity == nil {
		return
	}
	var name types.String
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("name"), &name)...)
	if !name.IsUnknown() {
		resp.Diagnostics.Append(resp.Identity.Set(ctx, slowIdentity{name})...)
	}
}

// wait waits for the time and the file.
func (m *slowModel) wait(ctx context.Context) error {
	var duration time.Duration
	if text := m.Duration.ValueString(); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			return err
		}
	}
	select {
	case <-time.After(duration):
	case <-ctx.Done():
		return ctx.Err()
	}
	file := m.WaitsFor.ValueString()
	if file == "" {
		return nil
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *slow) put(ctx context.Context, operation string, m *slowModel) error {
	name := m.Name.ValueString()
	effect := func() error {
		if object, err := s.read("slow", name); operation == "create" && (err != nil || object != nil) {
			return errors.Join(err, errors.New("it exists already"))
		}
		return s.write(operation, "slow", name, map[string]string{"value": m.Value.ValueString()})
	}
	if m.Early.ValueBool() {
		if err := effect(); err != nil {
			return err
		}
	}
	if err := s.log("begin", operation, name); err != nil {
		return err
	}
	if err := m.wait(ctx); err != nil {
		return err
	}
	if !m.Early.ValueBool() {
		if err := effect(); err != nil {
			return err
		}
	}
	return s.log("end", operation, name)
}

func (s *slow) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m slowModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if err := s.put(ctx, "create", &m); err != nil {
		failed(&resp.Diagnostics, "create the slow", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, slowIdentity{m.Name})...)
}

func (s *slow) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m slowModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	object, err := s.read("slow", m.Name.ValueString())
	failed(&resp.Diagnostics, "read the slow", err)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, slowIdentity{m.Name})...)
	if object == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	if !m.Value.IsNull() || object["value"] != "" {
		m.Value = types.StringValue(object["value"])
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (s *slow) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var m slowModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "change the slow", s.put(ctx, "update", &m))
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	}
}

func (s *slow) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m slowModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "delete the slow", s.remove("slow", m.Name.ValueString()))
}

// ImportState takes the name, or the identity.
func (*slow) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughWithIdentity(ctx, path.Root("name"), path.Root("name"), req, resp)
}
