package main

import (
	"context"
	crand "crypto/rand"
	"hash/crc64"
	"math/rand"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// stateOnly is the part that all resources here share: what was made stays in
// the state and nowhere else, so there is nothing to read, and a change that
// does not replace is taken as planned.
type stateOnly struct{}

func (stateOnly) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (stateOnly) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.Plan.Raw
}

func (stateOnly) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// keepers is the attribute that makes a new value when it changes.
func keepers() schema.Attribute {
	return schema.MapAttribute{
		ElementType:   types.StringType,
		Optional:      true,
		Description:   "Arbitrary strings; a change of any of them makes a new value.",
		PlanModifiers: []planmodifier.Map{keptMap{}},
	}
}

// keptMap replaces when the map changes, but not where a null became a map
// without values or the other way round, which an import leaves behind.
type keptMap struct{}

func (keptMap) Description(context.Context) string { return "A change makes a new value." }

func (k keptMap) MarkdownDescription(ctx context.Context) string { return k.Description(ctx) }

func (keptMap) PlanModifyMap(ctx context.Context, req planmodifier.MapRequest, resp *planmodifier.MapResponse) {
	blank := func(m types.Map) bool {
		for _, v := range m.Elements() {
			if !v.IsNull() {
				return false
			}
		}
		return !m.IsUnknown()
	}
	if blank(req.StateValue) && blank(req.PlanValue) {
		return
	}
	mapplanmodifier.RequiresReplace().PlanModifyMap(ctx, req, resp)
}

// madeString is a computed string that never changes.
func madeString(description string, sensitive bool) schema.Attribute {
	return schema.StringAttribute{
		Computed:      true,
		Sensitive:     sensitive,
		Description:   description,
		PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
	}
}

// givenString is a string of the configuration: another one makes a new value.
func givenString(description string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional:      true,
		Description:   description,
		PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
	}
}

// defaultString is a givenString with a default.
func defaultString(description, value string) schema.StringAttribute {
	attr := givenString(description)
	attr.Computed, attr.Default = true, stringdefault.StaticString(value)
	return attr
}

// requiredNumber is a number of the configuration: another one makes a new value.
func requiredNumber(description string, validators ...validator.Int64) schema.Int64Attribute {
	return schema.Int64Attribute{
		Required:      true,
		Description:   description,
		PlanModifiers: []planmodifier.Int64{int64planmodifier.RequiresReplace()},
		Validators:    validators,
	}
}

// defaultNumber is a number with a default.
func defaultNumber(description string, value int64, validators ...validator.Int64) schema.Int64Attribute {
	return schema.Int64Attribute{
		Optional:      true,
		Computed:      true,
		Default:       int64default.StaticInt64(value),
		Description:   description,
		PlanModifiers: []planmodifier.Int64{int64planmodifier.RequiresReplace()},
		Validators:    validators,
	}
}

// replaceBool are the plan modifiers of a switch that makes a new value.
func replaceBool() []planmodifier.Bool {
	return []planmodifier.Bool{boolplanmodifier.RequiresReplace()}
}

// generator is the source of numbers for a seed: the same for the same seed,
// another one every time without.
func generator(seed string) *rand.Rand {
	if seed == "" {
		var source [8]byte
		_, _ = crand.Read(source[:]) // never fails: the program would end
		seed = string(source[:])
	}
	sum := crc64.Checksum([]byte(seed), crc64.MakeTable(crc64.ISO))
	return rand.New(rand.NewSource(int64(sum))) //nolint:gosec // seeded on purpose
}
