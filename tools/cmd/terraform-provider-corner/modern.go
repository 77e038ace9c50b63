package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	ephemeralschema "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	listschema "github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// identified is corner_identified: its identity is a name and a region.
type identified struct{ base }

type identifiedModel struct {
	Name   types.String `tfsdk:"name"`
	Region types.String `tfsdk:"region"`
}

func (*identified) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_identified"
}

func (*identified) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{"name": nameAttribute(), "region": nameAttribute()}}
}

func (*identified) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name":   identityschema.StringAttribute{RequiredForImport: true},
		"region": identityschema.StringAttribute{OptionalForImport: true},
	}}
}

func (i *identified) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m identifiedModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "create", i.write("create", "identified", m.Name.ValueString(), map[string]string{"region": m.Region.ValueString()}))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, &m)...)
}

func (i *identified) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m identifiedModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	object, err := i.read("identified", m.Name.ValueString())
	failed(&resp.Diagnostics, "read", err)
	if object == nil {
		resp.State.RemoveResource(ctx)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, &m)...)
		return
	}
	m.Region = types.StringValue(object["region"])
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, &m)...)
}

func (*identified) Update(context.Context, resource.UpdateRequest, *resource.UpdateResponse) {}

func (i *identified) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m identifiedModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	failed(&resp.Diagnostics, "delete", i.remove("identified", m.Name.ValueString()))
}

// ImportState takes the name, or the identity.
func (*identified) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughWithIdentity(ctx, path.Root("name"), path.Root("name"), req, resp)
}

// identifiedList lists them.
type identifiedList struct{ base }

func (*identifiedList) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "corner_identified"
}

func (*identifiedList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, resp *list.ListResourceSchemaResponse) {
	resp.Schema = listschema.Schema{Attributes: map[string]listschema.Attribute{"region": listschema.StringAttribute{Optional: true}}}
}

func (l *identifiedList) List(ctx context.Context, req list.ListRequest, stream *list.ListResultsStream) {
	var filter struct {
		Region types.String `tfsdk:"region"`
	}
	diags := req.Config.Get(ctx, &filter)
	names, err := filepath.Glob(l.path("identified", "*"))
	failed(&diags, "list", err)
	stream.Results = func(yield func(list.ListResult) bool) {
		if diags.HasError() {
			yield(list.ListResult{Diagnostics: diags})
			return
		}
		for _, name := range names {
			name = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "identified."), ".json")
			object, err := l.read("identified", name)
			if err != nil || object == nil || !filter.Region.IsNull() && object["region"] != filter.Region.ValueString() {
				continue
			}
			result := req.NewListResult(ctx)
			m := identifiedModel{types.StringValue(name), types.StringValue(object["region"])}
			result.DisplayName = name
			result.Diagnostics.Append(result.Identity.Set(ctx, &m)...)
			if req.IncludeResource {
				result.Diagnostics.Append(result.Resource.Set(ctx, &m)...)
			}
			if !yield(result) {
				return
			}
		}
	}
}

// ticket is the ephemeral corner_ticket, which is renewed and closed.
type ticket struct{ folder }

// Configure implements ephemeral.EphemeralResourceWithConfigure.
func (t *ticket) Configure(_ context.Context, req ephemeral.ConfigureRequest, _ *ephemeral.ConfigureResponse) {
	if f, ok := req.ProviderData.(folder); ok {
		t.folder = f
	}
}

func (*ticket) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = "corner_ticket"
}

func (*ticket) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = ephemeralschema.Schema{Attributes: map[string]ephemeralschema.Attribute{
		"name":  ephemeralschema.StringAttribute{Required: true},
		"renew": ephemeralschema.Int64Attribute{Optional: true, Description: "After how many milliseconds it is to be renewed."},
		"token": ephemeralschema.StringAttribute{Computed: true, Sensitive: true},
	}}
}

type ticketModel struct {
	Name  types.String `tfsdk:"name"`
	Renew types.Int64  `tfsdk:"renew"`
	Token types.String `tfsdk:"token"`
}

func (t *ticket) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var m ticketModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	m.Token = types.StringValue("token-of-" + m.Name.ValueString())
	failed(&resp.Diagnostics, "open", t.log("open", "ticket", m.Name.ValueString()))
	resp.Diagnostics.Append(resp.Result.Set(ctx, &m)...)
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, "name", []byte(`"`+m.Name.ValueString()+`"`))...)
	if !m.Renew.IsNull() {
		resp.RenewAt = time.Now().Add(time.Duration(m.Renew.ValueInt64()) * time.Millisecond)
	}
}

// Renew implements ephemeral.EphemeralResourceWithRenew.
func (t *ticket) Renew(ctx context.Context, req ephemeral.RenewRequest, resp *ephemeral.RenewResponse) {
	name, diags := req.Private.GetKey(ctx, "name")
	resp.Diagnostics.Append(diags...)
	failed(&resp.Diagnostics, "renew", t.log("renew", "ticket", strings.Trim(string(name), `"`)))
}

// Close implements ephemeral.EphemeralResourceWithClose.
func (t *ticket) Close(ctx context.Context, req ephemeral.CloseRequest, resp *ephemeral.CloseResponse) {
	name, diags := req.Private.GetKey(ctx, "name")
	resp.Diagnostics.Append(diags...)
	failed(&resp.Diagnostics, "close", t.log("close", "ticket", strings.Trim(string(name), `"`)))
}

// ring is the action corner_ring.
type ring struct{ folder }

// Configure implements action.ActionWithConfigure.
func (r *ring) Configure(_ context.Context, req action.ConfigureRequest, _ *action.ConfigureResponse) {
	if f, ok := req.ProviderData.(folder); ok {
		r.folder = f
	}
}

func (*ring) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = "corner_ring"
}

func (*ring) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = actionschema.Schema{Attributes: map[string]actionschema.Attribute{"bell": actionschema.StringAttribute{Required: true}}}
}

func (r *ring) Invoke(ctx context.Context, req action.InvokeRequest, resp *action.InvokeResponse) {
	var bell types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("bell"), &bell)...)
	resp.SendProgress(action.InvokeProgressEvent{Message: "ringing " + bell.ValueString()})
	failed(&resp.Diagnostics, "ring", r.log("ring", "bell", bell.ValueString()))
}

// joinFunction joins any number of words.
type joinFunction struct{}

func (joinFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "join"
}

func (joinFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary:           "Joins words.",
		Parameters:        []function.Parameter{function.StringParameter{Name: "separator"}},
		VariadicParameter: function.StringParameter{Name: "words"},
		Return:            function.StringReturn{},
	}
}

func (joinFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var separator string
	var words []string
	resp.Error = req.Arguments.Get(ctx, &separator, &words)
	if resp.Error == nil {
		resp.Error = resp.Result.Set(ctx, strings.Join(words, separator))
	}
}

// failFunction blames its second argument.
type failFunction struct{}

func (failFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "fail"
}

func (failFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary:    "Fails.",
		Parameters: []function.Parameter{function.StringParameter{Name: "first"}, function.StringParameter{Name: "second"}},
		Return:     function.StringReturn{},
	}
}

func (failFunction) Run(_ context.Context, _ function.RunRequest, resp *function.RunResponse) {
	resp.Error = function.NewArgumentFuncError(1, "the second argument is to blame")
}
