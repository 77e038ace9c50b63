package main

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/bcrypt"
)

// textResource is random_string and random_password, which differ in secrecy only.
type textResource struct {
	stateOnly
	password bool
}

// textModel is what both have.
type textModel struct {
	ID              types.String `tfsdk:"id"`
	Keepers         types.Map    `tfsdk:"keepers"`
	Length          types.Int64  `tfsdk:"length"`
	Special         types.Bool   `tfsdk:"special"`
	Upper           types.Bool   `tfsdk:"upper"`
	Lower           types.Bool   `tfsdk:"lower"`
	Number          types.Bool   `tfsdk:"number"`
	Numeric         types.Bool   `tfsdk:"numeric"`
	MinNumeric      types.Int64  `tfsdk:"min_numeric"`
	MinUpper        types.Int64  `tfsdk:"min_upper"`
	MinLower        types.Int64  `tfsdk:"min_lower"`
	MinSpecial      types.Int64  `tfsdk:"min_special"`
	OverrideSpecial types.String `tfsdk:"override_special"`
	Result          types.String `tfsdk:"result"`
}

// passwordModel is random_password.
type passwordModel struct {
	textModel
	BcryptHash types.String `tfsdk:"bcrypt_hash"`
}

func (r textResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "random_string"
	if r.password {
		resp.TypeName = "random_password"
	}
}

func (r textResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	least := atLeast{}
	class := func(what string) schema.BoolAttribute {
		return schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			Description:   "Whether there are " + what + " in the result.",
			PlanModifiers: replaceBool(),
		}
	}
	digits := func(other, deprecation string) schema.BoolAttribute {
		return schema.BoolAttribute{
			Optional: true, Computed: true, DeprecationMessage: deprecation,
			Description:   "Whether there are digits in the result.",
			PlanModifiers: []planmodifier.Bool{sameAs{other}, boolplanmodifier.RequiresReplace()},
		}
	}
	resp.Schema = schema.Schema{Version: 2, Attributes: map[string]schema.Attribute{
		"keepers": keepers(),
		"length": requiredNumber("How many characters the result has.",
			atLeast{least: 1, sum: []string{"min_upper", "min_lower", "min_numeric", "min_special"}}),
		"special":          class("special characters"),
		"upper":            class("capital letters"),
		"lower":            class("small letters"),
		"number":           digits("numeric", "Use numeric instead."),
		"numeric":          digits("number", ""),
		"min_numeric":      defaultNumber("How many digits there are at least.", 0, least),
		"min_upper":        defaultNumber("How many capital letters there are at least.", 0, least),
		"min_lower":        defaultNumber("How many small letters there are at least.", 0, least),
		"min_special":      defaultNumber("How many special characters there are at least.", 0, least),
		"override_special": givenString("The special characters to draw from."),
		"result":           madeString("The random text.", r.password),
		"id":               madeString("The random text; for a password the word none.", false),
	}}
	if r.password {
		resp.Schema.Version = 3
		resp.Schema.Attributes["bcrypt_hash"] = madeString("A bcrypt hash of the result.", true)
	}
}

func (r textResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m passwordModel
	if r.password {
		resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	} else {
		resp.Diagnostics.Append(req.Plan.Get(ctx, &m.textModel)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	text, err := m.draw()
	if err == nil {
		err = m.finish(text, r.password)
	}
	if err != nil {
		resp.Diagnostics.AddError("Create Random Text Error", err.Error())
		return
	}
	if r.password {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m.textModel)...)
}

// finish sets the results.
func (m *passwordModel) finish(text string, password bool) error {
	m.Result, m.ID = types.StringValue(text), types.StringValue(text)
	if !password {
		return nil
	}
	m.ID = types.StringValue("none")
	// bcrypt looks at 72 bytes and no further.
	hash, err := bcrypt.GenerateFromPassword([]byte(text[:min(len(text), 72)]), bcrypt.DefaultCost)
	if err != nil {
		return fmt.Errorf("cannot make the bcrypt hash: %w", err)
	}
	m.BcryptHash = types.StringValue(string(hash))
	return nil
}

// draw makes the text: the least number of each class, then from all, shuffled.
func (m *textModel) draw() (string, error) {
	special := "!@#$%&*()-_=+[]{}<>:?"
	if text := m.OverrideSpecial.ValueString(); text != "" {
		special = text
	}
	var all string
	var result []byte
	take := func(characters string, count int64) error {
		for range count {
			at, err := below(len(characters))
			if err != nil {
				return err
			}
			result = append(result, characters[at])
		}
		return nil
	}
	for _, class := range []struct {
		characters string
		wanted     types.Bool
		least      types.Int64
	}{
		{"abcdefghijklmnopqrstuvwxyz", m.Lower, m.MinLower},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", m.Upper, m.MinUpper},
		{"0123456789", m.Numeric, m.MinNumeric},
		{special, m.Special, m.MinSpecial},
	} {
		if class.wanted.ValueBool() {
			all += class.characters
		}
		if err := take(class.characters, class.least.ValueInt64()); err != nil {
			return "", err
		}
	}
	rest := m.Length.ValueInt64() - int64(len(result))
	if rest > 0 && all == "" {
		return "", errors.New("the character set specified is empty: at least one of special, upper, lower and numeric must be true")
	}
	if err := take(all, rest); err != nil {
		return "", err
	}
	for i := len(result) - 1; i > 0; i-- {
		j, err := below(i + 1)
		if err != nil {
			return "", err
		}
		result[i], result[j] = result[j], result[i]
	}
	return string(result), nil
}

func below(limit int) (int, error) {
	n, err := crand.Int(crand.Reader, big.NewInt(int64(limit)))
	if err != nil {
		return 0, fmt.Errorf("cannot draw a number: %w", err)
	}
	return int(n.Int64()), nil
}

// ImportState takes the text itself; everything else gets its default.
func (r textResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	yes, none := types.BoolValue(true), types.Int64Value(0)
	m := passwordModel{textModel: textModel{
		Keepers: types.MapNull(types.StringType), Length: types.Int64Value(int64(len(req.ID))),
		Special: yes, Upper: yes, Lower: yes, Number: yes, Numeric: yes,
		MinNumeric: none, MinUpper: none, MinLower: none, MinSpecial: none,
	}}
	if err := m.finish(req.ID, r.password); err != nil {
		resp.Diagnostics.AddError("Import Random Text Error", err.Error())
		return
	}
	if r.password {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m.textModel)...)
}

// UpgradeState fills what states of earlier versions lack.
func (r textResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	result := map[int64]resource.StateUpgrader{0: {StateUpgrader: r.upgrade}, 1: {StateUpgrader: r.upgrade}}
	if r.password {
		result[2] = resource.StateUpgrader{StateUpgrader: r.upgrade}
	}
	return result
}

// upgrade decodes the old object's JSON, which has the same names.
func (r textResource) upgrade(ctx context.Context, req resource.UpgradeStateRequest, resp *resource.UpgradeStateResponse) {
	var old struct {
		ID, Result                             string
		Keepers                                map[string]*string
		Length                                 int64
		Special, Upper, Lower, Number, Numeric *bool
		MinNumeric                             int64   `json:"min_numeric"`
		MinUpper                               int64   `json:"min_upper"`
		MinLower                               int64   `json:"min_lower"`
		MinSpecial                             int64   `json:"min_special"`
		OverrideSpecial                        *string `json:"override_special"`
		BcryptHash                             *string `json:"bcrypt_hash"`
	}
	if err := json.Unmarshal(req.RawState.JSON, &old); err != nil {
		resp.Diagnostics.AddError("Upgrade Random Text Error", "The state of an earlier version cannot be read.")
		return
	}
	if old.Numeric == nil {
		old.Numeric = old.Number
	}
	orTrue := func(b *bool) types.Bool { return types.BoolValue(b == nil || *b) }
	var m passwordModel
	if err := m.finish(old.Result, r.password && old.BcryptHash == nil); err != nil {
		resp.Diagnostics.AddError("Upgrade Random Text Error", err.Error())
		return
	}
	if old.BcryptHash != nil {
		m.BcryptHash = types.StringValue(*old.BcryptHash)
	}
	m.ID = types.StringValue(old.ID)
	m.Keepers = types.MapNull(types.StringType)
	if old.Keepers != nil {
		keepers, diags := types.MapValueFrom(ctx, types.StringType, old.Keepers)
		resp.Diagnostics.Append(diags...)
		m.Keepers = keepers
	}
	m.Length = types.Int64Value(old.Length)
	m.Special, m.Upper, m.Lower = orTrue(old.Special), orTrue(old.Upper), orTrue(old.Lower)
	m.Number, m.Numeric = orTrue(old.Numeric), orTrue(old.Numeric)
	m.MinNumeric, m.MinUpper = types.Int64Value(old.MinNumeric), types.Int64Value(old.MinUpper)
	m.MinLower, m.MinSpecial = types.Int64Value(old.MinLower), types.Int64Value(old.MinSpecial)
	m.OverrideSpecial = types.StringPointerValue(old.OverrideSpecial)
	if r.password {
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m.textModel)...)
}
