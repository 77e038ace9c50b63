package configs

import (
	"fmt"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

var terraformSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "required_version"}, {Name: "experiments"}, {Name: "language"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "required_providers"},
		{Type: "backend", LabelNames: []string{"type"}},
		{Type: "cloud"},
		{Type: "provider_meta", LabelNames: []string{"provider"}},
		{Type: "encryption"},
		{Type: "state_store", LabelNames: []string{"type"}},
	},
}

// terraform decodes a settings block. One of an override file replaces what the
// normal files say, setting by setting.
func (d *decoder) terraform(block *hcl.Block, override bool) {
	content, diags := block.Body.Content(terraformSchema)
	d.addHCL(diags)
	if attr := content.Attributes["required_version"]; attr != nil {
		if text, ok := d.constString(attr); ok && d.checkConstraint(text, attr.Expr.Range()) {
			if override {
				d.module.RequiredVersions = nil
			}
			d.module.RequiredVersions = append(d.module.RequiredVersions, VersionConstraint{text, attr.Expr.Range()})
		}
	}
	if attr := content.Attributes["experiments"]; attr != nil {
		d.add(diag.WarningAt(attr.NameRange, "Experiments are ignored", "Language experiments of other programs have no effect here."))
	}
	for _, b := range content.Blocks {
		switch b.Type {
		case "required_providers":
			d.requiredProviders(b, override)
		case "backend":
			d.backend(&Backend{Type: b.Labels[0], Config: b.Body, DeclRange: b.DefRange}, override)
		case "cloud", "state_store":
			d.backend(&Backend{Type: b.Type, Config: b.Body, DeclRange: b.DefRange}, override)
		case "encryption":
			d.add(diag.WarningAt(b.DefRange, "Encryption settings are ignored", "Tutti encrypts sensitive values in its own store by itself; this block has no effect."))
		case "provider_meta":
			name := b.Labels[0]
			if first := d.module.ProviderMetas[name]; first != nil && !override {
				d.duplicate("provider_meta block", fmt.Sprintf("Metadata for provider %q", name), b.DefRange, first.DeclRange)
				continue
			}
			d.module.ProviderMetas[name] = &ProviderMeta{LocalName: name, Config: b.Body, DeclRange: b.DefRange}
		}
	}
}

func (d *decoder) backend(b *Backend, override bool) {
	if first := d.module.Backend; first != nil && !override {
		d.duplicate("backend configuration", "Where state is kept", b.DeclRange, first.DeclRange)
		return
	}
	d.module.Backend = b
}

// checkConstraint reports whether text is a version constraint, with a
// diagnostic where it is not.
func (d *decoder) checkConstraint(text string, rng hcl.Range) bool {
	if _, err := version.NewConstraint(text); err != nil {
		d.errorAt(rng, "Invalid version constraint", "%q is not a version constraint. Constraints look like \"1.2.3\", \"~> 1.2\" or \">= 1.0, < 2.0\".", text)
		return false
	}
	return true
}

func (d *decoder) requiredProviders(block *hcl.Block, override bool) {
	attrs, diags := block.Body.JustAttributes()
	d.addHCL(diags)
	for name, attr := range attrs {
		first := d.module.RequiredProviders[name]
		if first != nil && !override {
			d.duplicate("required provider", fmt.Sprintf("The provider %q", name), attr.NameRange, first.Range)
			continue
		}
		if rp := d.requiredProvider(name, attr); rp != nil {
			d.module.RequiredProviders[name] = rp
		}
	}
}

func (d *decoder) requiredProvider(name string, attr *hcl.Attribute) *RequiredProvider {
	rp := &RequiredProvider{LocalName: name, Source: addrs.DefaultProvider(name), Range: attr.NameRange}
	pairs, diags := hcl.ExprMap(attr.Expr)
	if diags.HasErrors() {
		// The form of old: only a version.
		v, diags := attr.Expr.Value(nil)
		if diags.HasErrors() || v.Type() != cty.String || v.IsNull() {
			d.errorAt(attr.Expr.Range(), "Invalid required_providers object", "A required provider is an object with the arguments source and version.")
			return nil
		}
		rp.addConstraint(d, v.AsString(), attr.Expr.Range())
		return rp
	}
	for _, pair := range pairs {
		key := hcl.ExprAsKeyword(pair.Key)
		if key == "" {
			if v, diags := pair.Key.Value(nil); !diags.HasErrors() && v.Type() == cty.String {
				key = v.AsString()
			}
		}
		switch key {
		case "source", "version":
			v, diags := pair.Value.Value(nil)
			if diags.HasErrors() || v.Type() != cty.String || v.IsNull() {
				d.errorAt(pair.Value.Range(), "Invalid "+key, "The %s of a required provider must be a literal string.", key)
				continue
			}
			if key == "version" {
				rp.addConstraint(d, v.AsString(), pair.Value.Range())
				continue
			}
			p, err := addrs.ParseProvider(v.AsString())
			if err != nil {
				d.errorAt(pair.Value.Range(), "Invalid provider source", "%s.", err)
				continue
			}
			rp.Source = p
		case "configuration_aliases":
			exprs, diags := hcl.ExprList(pair.Value)
			d.addHCL(diags)
			for _, expr := range exprs {
				if local, ok := d.providerReference(d.jsonReference(expr)); ok {
					if local.LocalName != name {
						d.errorAt(expr.Range(), "Invalid configuration alias", "Configuration aliases of provider %q must begin with %[1]s and a dot.", name)
						continue
					}
					rp.Aliases = append(rp.Aliases, local)
				}
			}
		default:
			d.errorAt(pair.Key.Range(), "Invalid required_providers object", "A required provider has the arguments source, version and configuration_aliases, but not %q.", key)
		}
	}
	return rp
}

func (rp *RequiredProvider) addConstraint(d *decoder, text string, rng hcl.Range) {
	if text != "" && d.checkConstraint(text, rng) {
		rp.Constraints = append(rp.Constraints, VersionConstraint{text, rng})
	}
}

var providerSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "alias"}, {Name: "version"}, {Name: "for_each"}, {Name: "count"}, {Name: "depends_on"}, {Name: "source"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "_"}, {Type: "lifecycle"}, {Type: "locals"}},
}

func (d *decoder) provider(block *hcl.Block) {
	content, rest, diags := block.Body.PartialContent(providerSchema)
	d.addHCL(diags)
	pc := &ProviderConfig{Local: addrs.LocalProviderConfig{LocalName: block.Labels[0]}, Module: d.module, Config: rest, DeclRange: block.DefRange}
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "alias":
			alias, ok := d.constString(attr)
			if ok && !hclsyntax.ValidIdentifier(alias) {
				d.errorAt(attr.Expr.Range(), "Invalid provider alias", "%q is not a valid name for an alias.", alias)
			}
			pc.Local.Alias = alias
		case "version":
			if text, ok := d.constString(attr); ok && d.checkConstraint(text, attr.Expr.Range()) {
				d.add(diag.WarningAt(attr.NameRange, "Version constraints inside provider blocks are deprecated",
					"Move the constraint to the required_providers block of this module."))
				d.require(block.Labels[0], block.LabelRanges[0]).Constraints = append(d.require(block.Labels[0], block.LabelRanges[0]).Constraints, VersionConstraint{text, attr.Expr.Range()})
			}
		case "for_each":
			pc.ForEach = attr.Expr
			d.errorAt(attr.NameRange, "Unsupported argument", "Provider configurations with for_each are not supported yet: write one provider block with an alias per configuration.")
		default:
			d.errorAt(attr.NameRange, "Reserved argument name in provider block", "The argument name %q is reserved and has no meaning here.", attr.Name)
		}
	}
	for _, b := range content.Blocks {
		if b.Type == "_" {
			pc.Config = hcl.MergeBodies([]hcl.Body{pc.Config, b.Body})
		} else {
			d.errorAt(b.DefRange, "Reserved block type in provider block", "The block type %q is reserved and has no meaning here.", b.Type)
		}
	}
	if first := d.module.ProviderConfigs[pc.Local]; first != nil {
		d.errorAt(block.DefRange, "Duplicate provider configuration", "The provider %s is configured already at %s. To configure a provider several times, give each further block an alias.", pc.Local, position(first.DeclRange))
		return
	}
	d.module.ProviderConfigs[pc.Local] = pc
}

// require returns the entry of required_providers for a local name, an implied
// one where it is not declared.
func (d *decoder) require(name string, rng hcl.Range) *RequiredProvider {
	rp := d.module.RequiredProviders[name]
	if rp == nil {
		rp = &RequiredProvider{LocalName: name, Source: addrs.DefaultProvider(name), Implied: true, Range: rng}
		d.module.RequiredProviders[name] = rp
	}
	return rp
}

// implyProviders adds entries for local names that are used but not declared,
// and resolves which provider every resource means.
func (d *decoder) implyProviders() {
	for local, pc := range d.module.ProviderConfigs {
		d.require(local.LocalName, pc.DeclRange)
	}
	for _, call := range d.module.ModuleCalls {
		for _, passed := range call.Providers {
			d.require(passed.InParent.LocalName, passed.Range)
		}
	}
	for _, r := range d.module.ResourceList {
		r.Provider = d.require(r.ProviderLocal.LocalName, r.ProviderRange).Source
	}
	for _, im := range d.module.Imports {
		if im.ProviderLocal != nil {
			d.require(im.ProviderLocal.LocalName, im.DeclRange)
		}
	}
}

var variableSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{
		{Name: "type"}, {Name: "default"}, {Name: "description"}, {Name: "sensitive"},
		{Name: "nullable"}, {Name: "ephemeral"}, {Name: "deprecated"}, {Name: "const"},
	},
	Blocks: []hcl.BlockHeaderSchema{{Type: "validation"}},
}

// reservedVariables are the names a module block keeps for itself.
var reservedVariables = map[string]bool{
	"source": true, "version": true, "providers": true, "count": true,
	"for_each": true, "lifecycle": true, "depends_on": true, "locals": true,
}

func (d *decoder) variable(block *hcl.Block) {
	name := block.Labels[0]
	if first := d.module.Variables[name]; first != nil {
		d.duplicate("variable", fmt.Sprintf("The variable %q", name), block.DefRange, first.DeclRange)
		return
	}
	if reservedVariables[name] && !d.unreserved {
		d.errorAt(block.LabelRanges[0], "Invalid variable name", "The name %q is reserved: it has a meaning of its own in module blocks.", name)
	}
	content, diags := block.Body.Content(variableSchema)
	d.addHCL(diags)
	v := &Variable{
		Name: name, Module: d.module, DeclRange: block.DefRange,
		Type: cty.DynamicPseudoType, ConstraintType: cty.DynamicPseudoType, Nullable: true, ParseLiteral: true,
	}
	d.module.Variables[name] = v
	if attr := content.Attributes["type"]; attr != nil {
		d.variableType(v, attr)
	}
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "description":
			v.Description, _ = d.constString(attr)
		case "sensitive":
			v.Sensitive = d.constBool(attr)
		case "nullable":
			v.Nullable = d.constBool(attr)
		case "ephemeral":
			v.Ephemeral = d.constBool(attr)
		case "deprecated":
			v.Deprecated, _ = d.constString(attr)
		}
	}
	if attr := content.Attributes["default"]; attr != nil {
		d.variableDefault(v, attr)
	}
	for _, b := range content.Blocks {
		if rule := d.checkRule(b); rule != nil {
			v.Validations = append(v.Validations, rule)
		}
	}
}

func (d *decoder) variableType(v *Variable, attr *hcl.Attribute) {
	expr := attr.Expr
	if inner := unquoteReference(expr); inner != expr {
		// Types were quoted before Terraform 0.12.
		expr = inner
	}
	switch hcl.ExprAsKeyword(expr) {
	case "list":
		v.Type = cty.List(cty.DynamicPseudoType)
		v.ConstraintType, v.ParseLiteral = v.Type, false
		return
	case "map":
		v.Type = cty.Map(cty.DynamicPseudoType)
		v.ConstraintType, v.ParseLiteral = v.Type, false
		return
	}
	ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(expr)
	d.addHCL(diags)
	if diags.HasErrors() {
		return
	}
	v.Type, v.TypeDefaults = ty, defaults
	v.ConstraintType = ty.WithoutOptionalAttributesDeep()
	v.ParseLiteral = ty.IsPrimitiveType()
}

func (d *decoder) variableDefault(v *Variable, attr *hcl.Attribute) {
	val, diags := attr.Expr.Value(nil)
	d.addHCL(diags)
	if diags.HasErrors() {
		v.Default = cty.UnknownVal(v.ConstraintType)
		return
	}
	if v.TypeDefaults != nil && !val.IsNull() {
		val = v.TypeDefaults.Apply(val)
	}
	converted, err := convert.Convert(val, v.Type)
	if err != nil {
		d.errorAt(attr.Expr.Range(), "Invalid default value for variable", "This default value is not compatible with the variable's type constraint: %s.", err)
		converted = cty.UnknownVal(v.ConstraintType)
	}
	if converted.IsNull() && !v.Nullable {
		d.errorAt(attr.Expr.Range(), "Invalid default value for variable", "The default cannot be null, because the variable has nullable = false.")
	}
	v.Default = converted
}
