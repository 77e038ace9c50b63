package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// PlannedAction is an action that a provider is about to carry out.
type PlannedAction struct {
	Type     string
	Provider addrs.Provider
	Schema   providers.Schema
	Config   cty.Value // arguments that are sensitive, or have sensitive parts, are marked
}

// InvokeAction has a provider carry out one of its actions, by the name of its
// type. The provider is the one of the root module whose local name the type
// begins with, configured as in says. allow is asked once the provider has
// accepted the action and before it does anything. progress is told what it says
// meanwhile.
func InvokeAction(ctx context.Context, in PlanInput, typeName string, config cty.Value, allow func(PlannedAction) diag.List, progress func(string)) diag.List {
	p := newPlanner(ctx, in)
	p.provs = newProviderSet(p.in.Config, p.in.Providers)
	p.provs.state = p.in.Prior
	p.ev = newEvaluator(p.in.Config, p.functionContext())
	p.ev.inputs, p.ev.rootDir, p.ev.workDir = p.in.Variables, p.in.RootDir, p.in.WorkDir
	if p.in.StateKey.Environment != "" {
		p.ev.workspace = p.in.StateKey.Environment
	}
	p.ev.allAbsent, p.ev.skipped = true, p.skippedValue
	p.provs.ev, p.prior = p.ev, p.in.Prior
	defer p.provs.close()
	p.report(p.checkRootVariables())
	if p.failed() {
		return p.diags
	}
	local, _, _ := strings.Cut(typeName, "_")
	required := p.in.Config.Root.RequiredProviders[local]
	if required == nil {
		return diag.Errorf("Unknown action", "The action %q belongs to a provider %q, which the configuration does not require.", typeName, local)
	}
	schemas, diags := p.provs.schemasOf(ctx, required.Source)
	if diags.HasErrors() {
		return diags
	}
	schema, ok := schemas.Actions[typeName]
	if !ok {
		hint := "It has none."
		if names := sortedKeys(schemas.Actions); len(names) > 0 {
			hint = fmt.Sprintf("It has: %s.", strings.Join(names, ", "))
		}
		return diag.Errorf("Unknown action", "The provider %s has no action %q. %s", required.Source.ForDisplay(), typeName, hint)
	}
	value, diags := actionConfig(schema, typeName, config)
	if diags.HasErrors() {
		return diags
	}
	h, diags := p.provs.handle(ctx, addrs.ProviderConfig{Provider: required.Source})
	if diags.HasErrors() {
		return diags
	}
	invoker, ok := h.provider.(providers.ActionInvoker)
	if !ok {
		return append(diags, diag.Errorf("Unknown action", "The provider %s has no actions.", required.Source.ForDisplay())...)
	}
	for _, step := range []func() diag.List{
		func() diag.List { return invoker.ValidateActionConfig(ctx, typeName, value) },
		func() diag.List { return invoker.PlanAction(ctx, typeName, value) },
		func() diag.List {
			return allow(PlannedAction{typeName, required.Source, schema, sensitiveAs(value, config)})
		},
		func() diag.List { return invoker.InvokeAction(ctx, typeName, value, progress) },
	} {
		if diags = append(diags, step()...); diags.HasErrors() {
			return diags
		}
	}
	return diags
}

// sensitiveAs marks the arguments of an action that were given as sensitive.
func sensitiveAs(value, given cty.Value) cty.Value {
	if !given.HasMarkDeep(marks.Sensitive) {
		return value
	}
	bare, own := given.Unmark()
	attrs := value.AsValueMap()
	for name, v := range bare.AsValueMap() {
		if _, all := own[marks.Sensitive]; all || v.HasMarkDeep(marks.Sensitive) {
			attrs[name] = attrs[name].Mark(marks.Sensitive)
		}
	}
	return cty.ObjectVal(attrs)
}

// actionConfig makes the configuration of an action from what was given: what is
// missing is null, what is not known is an error.
func actionConfig(schema providers.Schema, typeName string, config cty.Value) (cty.Value, diag.List) {
	given := map[string]cty.Value{}
	if bare, _ := config.UnmarkDeep(); bare != cty.NilVal && !bare.IsNull() {
		if !bare.Type().IsObjectType() && !bare.Type().IsMapType() {
			return cty.NilVal, diag.Errorf("Invalid configuration of an action", "The configuration of %s must be an object.", typeName)
		}
		given = bare.AsValueMap()
	}
	ty := schema.Block.ImpliedType()
	attrs := map[string]cty.Value{}
	empty := schema.Block.EmptyValue()
	for name := range ty.AttributeTypes() {
		attrs[name] = empty.GetAttr(name)
	}
	var diags diag.List
	for name, v := range given {
		if !ty.HasAttribute(name) {
			diags = append(diags, diag.Errorf("Invalid configuration of an action", "%s has no argument %q.", typeName, name)...)
			continue
		}
		converted, err := convert.Convert(v, ty.AttributeType(name))
		if err != nil {
			diags = append(diags, diag.Errorf("Invalid configuration of an action", "The argument %q of %s is not suitable: %s.", name, typeName, err)...)
			continue
		}
		attrs[name] = converted
	}
	for name, a := range schema.Block.Attributes {
		if a.Required && attrs[name].IsNull() {
			diags = append(diags, diag.Errorf("Invalid configuration of an action", "%s needs the argument %q.", typeName, name)...)
		}
	}
	return cty.ObjectVal(attrs), diags
}
