package main

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// identity are the attributes by which the server tells objects of a kind apart.
// They are what an object is found by when all else about it was lost.
type identity []identityPart

type identityPart struct {
	name     string
	optional bool
}

// The identities of the kinds.
func named() identity      { return identity{{name: "name"}} }
func inDatabase() identity { return identity{{name: "database"}, {name: "name"}} }
func inSchema() identity {
	return identity{{name: "database"}, {name: "schema"}, {name: "name"}}
}
func granted() identity {
	return identity{{name: "role"}, {name: "database"}, {name: "schema", optional: true}}
}

// behavior lets names change: the server renames in place.
func behavior() resource.ResourceBehavior { return resource.ResourceBehavior{MutableIdentity: true} }

// schema describes the identity.
func (i identity) schema() identityschema.Schema {
	attributes := make(map[string]identityschema.Attribute, len(i))
	for _, part := range i {
		attributes[part.name] = identityschema.StringAttribute{RequiredForImport: !part.optional, OptionalForImport: part.optional}
	}
	return identityschema.Schema{Attributes: attributes}
}

// keep sets the state, and the identity from it.
func (i identity) keep(ctx context.Context, value any, state *tfsdk.State, into *tfsdk.ResourceIdentity, diags *diag.Diagnostics) {
	diags.Append(state.Set(ctx, value)...)
	i.identify(ctx, state, into, diags)
}

// identify sets the identity from the state.
func (i identity) identify(ctx context.Context, state *tfsdk.State, into *tfsdk.ResourceIdentity, diags *diag.Diagnostics) {
	for _, part := range i {
		var text types.String
		diags.Append(state.GetAttribute(ctx, path.Root(part.name), &text)...)
		diags.Append(into.SetAttribute(ctx, path.Root(part.name), text)...)
	}
}

// gone takes an object that is no longer there out of the state. The answer must
// have an identity even then, and programs that know of none have sent none.
func (i identity) gone(ctx context.Context, resp *resource.ReadResponse) {
	i.identify(ctx, &resp.State, resp.Identity, &resp.Diagnostics)
	resp.State.RemoveResource(ctx)
}

// imported takes an identity for an import, where one is given in place of an id.
func (i identity) imported(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) bool {
	if req.ID != "" {
		return false
	}
	for _, part := range i {
		var text types.String
		resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root(part.name), &text)...)
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(part.name), text)...)
	}
	return true
}
