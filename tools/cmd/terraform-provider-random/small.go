package main

import (
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// idResource is random_id: bytes, written in several ways.
type idResource struct{ stateOnly }

type idModel struct {
	ID         types.String `tfsdk:"id"`
	Keepers    types.Map    `tfsdk:"keepers"`
	ByteLength types.Int64  `tfsdk:"byte_length"`
	Prefix     types.String `tfsdk:"prefix"`
	B64URL     types.String `tfsdk:"b64_url"`
	B64Std     types.String `tfsdk:"b64_std"`
	Hex        types.String `tfsdk:"hex"`
	Dec        types.String `tfsdk:"dec"`
}

func (idResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_id"
}

func (idResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"keepers":     keepers(),
		"byte_length": requiredNumber("How many random bytes to make.", atLeast{least: 1}),
		"prefix":      givenString("Put in front of every output as it is."),
		"b64_url":     madeString("The bytes in base64 for URLs.", false),
		"b64_std":     madeString("The bytes in standard base64.", false),
		"hex":         madeString("The bytes in hexadecimal digits.", false),
		"dec":         madeString("The bytes as a decimal number.", false),
		"id":          madeString("The bytes in base64 for URLs, without the prefix.", false),
	}}
}

// fill sets the outputs.
func (m *idModel) fill(data []byte) {
	prefix := m.Prefix.ValueString()
	url := base64.RawURLEncoding.EncodeToString(data)
	m.ID = types.StringValue(url)
	m.B64URL = types.StringValue(prefix + url)
	m.B64Std = types.StringValue(prefix + base64.StdEncoding.EncodeToString(data))
	m.Hex = types.StringValue(prefix + hex.EncodeToString(data))
	m.Dec = types.StringValue(prefix + new(big.Int).SetBytes(data).String())
}

func (idResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m idModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	m.fill(randomBytes(m.ByteLength.ValueInt64()))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// ImportState takes "b64_url" or "prefix,b64_url".
func (idResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	m := idModel{Keepers: types.MapNull(types.StringType)}
	text := req.ID
	if at := strings.LastIndex(text, ","); at >= 0 {
		m.Prefix, text = types.StringValue(text[:at]), text[at+1:]
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		resp.Diagnostics.AddError("Import Random ID Error", "The id is not base64 for URLs: "+err.Error())
		return
	}
	m.ByteLength = types.Int64Value(int64(len(data)))
	m.fill(data)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func randomBytes(length int64) []byte {
	data := make([]byte, length)
	_, _ = crand.Read(data) // never fails: the program would end
	return data
}

// bytesResource is random_bytes: secret bytes.
type bytesResource struct{ stateOnly }

type bytesModel struct {
	Keepers types.Map    `tfsdk:"keepers"`
	Length  types.Int64  `tfsdk:"length"`
	Base64  types.String `tfsdk:"base64"`
	Hex     types.String `tfsdk:"hex"`
}

func (bytesResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_bytes"
}

func (bytesResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"keepers": keepers(),
		"length":  requiredNumber("How many bytes to make.", atLeast{least: 1}),
		"base64":  madeString("The bytes in base64.", true),
		"hex":     madeString("The bytes in hexadecimal digits.", true),
	}}
}

func (m *bytesModel) fill(data []byte) {
	m.Base64 = types.StringValue(base64.StdEncoding.EncodeToString(data))
	m.Hex = types.StringValue(hex.EncodeToString(data))
}

func (bytesResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m bytesModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	m.fill(randomBytes(m.Length.ValueInt64()))
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// ImportState takes the bytes in base64.
func (bytesResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	data, err := base64.StdEncoding.DecodeString(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("Import Random bytes Error", "The id is not base64.") // it is secret: say no more
		return
	}
	m := bytesModel{Keepers: types.MapNull(types.StringType), Length: types.Int64Value(int64(len(data)))}
	m.fill(data)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// uuidResource is random_uuid.
type uuidResource struct{ stateOnly }

type uuidModel struct {
	ID      types.String `tfsdk:"id"`
	Keepers types.Map    `tfsdk:"keepers"`
	Result  types.String `tfsdk:"result"`
}

func (uuidResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_uuid"
}

func (uuidResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"keepers": keepers(),
		"result":  madeString("The UUID.", false),
		"id":      madeString("The UUID.", false),
	}}
}

func (uuidResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m uuidModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	m.ID = types.StringValue(uuid.NewString())
	m.Result = m.ID
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// ImportState takes the UUID.
func (uuidResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	id, err := uuid.Parse(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("Import Random UUID Error", fmt.Sprintf("%q is not a UUID.", req.ID))
		return
	}
	m := uuidModel{Keepers: types.MapNull(types.StringType), ID: types.StringValue(id.String()), Result: types.StringValue(id.String())}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
