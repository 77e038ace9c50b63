package configs

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/zclconf/go-cty/cty"
)

// metaSchema lists the arguments and blocks of a resource that the language
// itself understands; everything else belongs to the provider.
var metaSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "count"}, {Name: "for_each"}, {Name: "provider"}, {Name: "depends_on"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "lifecycle"},
		{Type: "connection"},
		{Type: "provisioner", LabelNames: []string{"type"}},
		{Type: "_"}, // escapes arguments named like the ones above
	},
}

// resource decodes a resource, data or ephemeral block and adds it to the module.
func (d *decoder) resource(block *hcl.Block, mode addrs.Mode) *Resource {
	r := &Resource{
		Addr:   addrs.Resource{Mode: mode, Type: block.Labels[0], Name: block.Labels[1]},
		Module: d.module, DeclRange: block.DefRange, TypeRange: block.LabelRanges[0],
	}
	if first := d.module.Resources[r.Addr]; first != nil {
		d.duplicate("resource", "The resource "+r.Addr.String(), block.DefRange, first.DeclRange)
		return nil
	}
	d.module.Resources[r.Addr] = r
	d.module.ResourceList = append(d.module.ResourceList, r)

	content, rest, diags := block.Body.PartialContent(metaSchema)
	d.addHCL(diags)
	r.Config = rest
	if attr := content.Attributes["count"]; attr != nil {
		r.Count = attr.Expr
	}
	if attr := content.Attributes["for_each"]; attr != nil {
		r.ForEach = attr.Expr
		if r.Count != nil {
			d.errorAt(attr.NameRange, "Both count and for_each", "The arguments count and for_each exclude each other: use only one.")
		}
	}
	r.ProviderLocal = addrs.LocalProviderConfig{LocalName: r.Addr.ImpliedProvider()}
	r.ProviderRange = block.LabelRanges[0]
	if attr := content.Attributes["provider"]; attr != nil {
		if local, ok := d.providerReference(attr.Expr); ok {
			r.ProviderLocal, r.ProviderRange = local, attr.Expr.Range()
		}
	}
	if attr := content.Attributes["depends_on"]; attr != nil {
		r.DependsOn = d.traversals(attr)
	}
	d.resourceBlocks(r, content.Blocks)
	return r
}

func (d *decoder) resourceBlocks(r *Resource, blocks hcl.Blocks) {
	var lifecycle, escape, connection *hcl.Block
	once := func(first **hcl.Block, b *hcl.Block) bool {
		if *first != nil {
			d.errorAt(b.DefRange, "Duplicate "+b.Type+" block", "A resource may have one %s block; this one has another at %s.", b.Type, position((*first).DefRange))
			return false
		}
		*first = b
		return true
	}
	for _, b := range blocks {
		if (b.Type == "connection" || b.Type == "provisioner") && r.Addr.Mode != addrs.Managed {
			d.errorAt(b.DefRange, "Unsupported block", "Only managed resources can have %s blocks.", b.Type)
			continue
		}
		switch b.Type {
		case "lifecycle":
			if once(&lifecycle, b) {
				d.lifecycle(r, b)
			}
		case "connection":
			if once(&connection, b) {
				r.Connection = &Connection{Config: b.Body, DeclRange: b.DefRange}
			}
		case "provisioner":
			if p := d.provisioner(b); p != nil {
				r.Provisioners = append(r.Provisioners, p)
			}
		case "_":
			if once(&escape, b) {
				r.Config = hcl.MergeBodies([]hcl.Body{r.Config, b.Body})
			}
		}
	}
}

var lifecycleSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{
		{Name: "create_before_destroy"}, {Name: "prevent_destroy"}, {Name: "ignore_changes"},
		{Name: "replace_triggered_by"}, {Name: "enabled"}, {Name: "destroy"},
	},
	Blocks: []hcl.BlockHeaderSchema{{Type: "precondition"}, {Type: "postcondition"}, {Type: "action_trigger"}},
}

func (d *decoder) lifecycle(r *Resource, block *hcl.Block) {
	content, diags := block.Body.Content(lifecycleSchema)
	d.addHCL(diags)
	for _, attr := range content.Attributes {
		if r.Addr.Mode != addrs.Managed && attr.Name != "enabled" {
			d.errorAt(attr.NameRange, "Unsupported argument", "The lifecycle argument %s is only for managed resources.", attr.Name)
			continue
		}
		switch attr.Name {
		case "create_before_destroy":
			v := d.constBool(attr)
			r.CreateBeforeDestroy = &v
		case "prevent_destroy":
			r.PreventDestroy = attr.Expr
		case "destroy":
			v := d.constBool(attr)
			r.Destroy = &v
		case "enabled":
			r.Enabled = attr.Expr
			if r.Count != nil || r.ForEach != nil {
				d.errorAt(attr.NameRange, "Both enabled and repetition", "The lifecycle argument enabled excludes count and for_each: use only one.")
			}
		case "ignore_changes":
			d.ignoreChanges(r, attr)
		case "replace_triggered_by":
			exprs, diags := hcl.ExprList(attr.Expr)
			d.addHCL(diags)
			for _, expr := range exprs {
				r.ReplaceTriggeredBy = append(r.ReplaceTriggeredBy, d.jsonReference(expr))
			}
		}
	}
	for _, b := range content.Blocks {
		if b.Type == "action_trigger" {
			d.errorAt(b.DefRange, "Unsupported block", "Actions are not supported yet: remove the action_trigger block, or use a provisioner or a workflow step.")
			continue
		}
		rule := d.checkRule(b)
		switch {
		case rule == nil:
		case b.Type == "precondition":
			r.Preconditions = append(r.Preconditions, rule)
		default:
			r.Postconditions = append(r.Postconditions, rule)
		}
	}
}

// jsonReference turns a string of a JSON file into the expression inside; other
// expressions come back as they are.
func (d *decoder) jsonReference(expr hcl.Expression) hcl.Expression {
	if _, native := expr.(hclsyntax.Expression); native {
		return expr
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String || v.IsNull() {
		return expr
	}
	rng := expr.Range()
	start := rng.Start
	start.Column++
	start.Byte++
	inner, diags := hclsyntax.ParseExpression([]byte(v.AsString()), rng.Filename, start)
	d.addHCL(diags)
	if diags.HasErrors() {
		return expr
	}
	return inner
}

func (d *decoder) ignoreChanges(r *Resource, attr *hcl.Attribute) {
	if hcl.ExprAsKeyword(attr.Expr) == "all" {
		r.IgnoreAll = true
		return
	}
	exprs, diags := hcl.ExprList(attr.Expr)
	d.addHCL(diags)
	for _, expr := range exprs {
		if t, diags := hcl.RelTraversalForExpr(unquoteReference(expr)); diags.HasErrors() {
			d.addHCL(diags)
		} else if len(t) == 1 && t.IsRelative() && traverserName(t[0]) == "*" {
			r.IgnoreAll = true
		} else {
			r.IgnoreChanges = append(r.IgnoreChanges, t)
		}
	}
}

func traverserName(step hcl.Traverser) string {
	switch step := step.(type) {
	case hcl.TraverseRoot:
		return step.Name
	case hcl.TraverseAttr:
		return step.Name
	}
	return ""
}

// providerReference reads "name" or "name.alias".
func (d *decoder) providerReference(expr hcl.Expression) (addrs.LocalProviderConfig, bool) {
	t, diags := hcl.AbsTraversalForExpr(unquoteReference(expr))
	if !diags.HasErrors() && len(t) <= 2 {
		out := addrs.LocalProviderConfig{LocalName: t.RootName()}
		if len(t) == 1 {
			return out, true
		}
		if step, ok := t[1].(hcl.TraverseAttr); ok {
			out.Alias = step.Name
			return out, true
		}
	}
	d.errorAt(expr.Range(), "Invalid provider reference", "A provider is given by its local name, optionally followed by a dot and an alias: aws or aws.west.")
	return addrs.LocalProviderConfig{}, false
}

var provisionerSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "when"}, {Name: "on_failure"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "connection"}, {Type: "_"}},
}

func (d *decoder) provisioner(block *hcl.Block) *Provisioner {
	p := &Provisioner{Type: block.Labels[0], DeclRange: block.DefRange}
	switch p.Type {
	case "local-exec", "remote-exec", "file":
	default:
		d.errorAt(block.LabelRanges[0], "Unknown provisioner type", "There is no provisioner %q: use local-exec, remote-exec or file.", p.Type)
		return nil
	}
	content, rest, diags := block.Body.PartialContent(provisionerSchema)
	d.addHCL(diags)
	p.Config = rest
	if attr := content.Attributes["when"]; attr != nil {
		switch d.keyword(attr) {
		case "create":
		case "destroy":
			p.OnDestroy = true
		default:
			d.errorAt(attr.Expr.Range(), "Invalid \"when\" keyword", "The when argument must be create or destroy.")
		}
	}
	if attr := content.Attributes["on_failure"]; attr != nil {
		switch d.keyword(attr) {
		case "fail":
		case "continue":
			p.Continue = true
		default:
			d.errorAt(attr.Expr.Range(), "Invalid \"on_failure\" keyword", "The on_failure argument must be fail or continue.")
		}
	}
	for _, b := range content.Blocks {
		if b.Type == "_" {
			p.Config = hcl.MergeBodies([]hcl.Body{p.Config, b.Body})
			continue
		}
		if p.Connection != nil {
			d.errorAt(b.DefRange, "Duplicate connection block", "A provisioner may have one connection block.")
			continue
		}
		p.Connection = &Connection{Config: b.Body, DeclRange: b.DefRange}
	}
	if p.OnDestroy {
		d.onlySelf(p.Config)
		if p.Connection != nil {
			d.onlySelf(p.Connection.Config)
		}
	}
	return p
}

// keyword reads a bare word, or the same word quoted.
func (d *decoder) keyword(attr *hcl.Attribute) string {
	return hcl.ExprAsKeyword(unquoteReference(attr.Expr))
}

// onlySelf reports references that a destroy-time provisioner must not have:
// when it runs, only the object itself is certain to be there.
func (d *decoder) onlySelf(body hcl.Body) {
	attrs, _ := body.JustAttributes()
	for _, attr := range attrs {
		for _, t := range attr.Expr.Variables() {
			switch t.RootName() {
			case "self", "count", "each", "path", "terraform":
			default:
				d.errorAt(t.SourceRange(), "Invalid reference from destroy provisioner",
					"Destroy-time provisioners and their connections may refer only to self, count.index and each.key: other objects may be gone by then.")
			}
		}
	}
}

var moduleCallSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{
		{Name: "source"}, {Name: "version"}, {Name: "count"}, {Name: "for_each"}, {Name: "depends_on"}, {Name: "providers"},
	},
	Blocks: []hcl.BlockHeaderSchema{{Type: "lifecycle"}, {Type: "locals"}, {Type: "provider", LabelNames: []string{"type"}}},
}

func (d *decoder) moduleCall(block *hcl.Block) {
	name := block.Labels[0]
	if first := d.module.ModuleCalls[name]; first != nil {
		d.duplicate("module call", fmt.Sprintf("The module %q", name), block.DefRange, first.DeclRange)
		return
	}
	call := &ModuleCall{Name: name, Module: d.module, DeclRange: block.DefRange, SourceRange: block.DefRange, Arguments: map[string]hcl.Expression{}}
	d.module.ModuleCalls[name] = call
	content, rest, diags := block.Body.PartialContent(moduleCallSchema)
	d.addHCL(diags)
	call.Config = rest
	for _, attr := range content.Attributes {
		d.moduleCallArgument(call, attr)
	}
	if call.Count != nil && call.ForEach != nil {
		d.errorAt(call.ForEach.Range(), "Both count and for_each", "The arguments count and for_each exclude each other: use only one.")
	}
	if content.Attributes["source"] == nil {
		d.errorAt(block.DefRange, "Missing required argument", "The argument \"source\" is required: it says where the files of module %q are.", name)
	}
	attrs, diags := rest.JustAttributes()
	d.addHCL(diags)
	for argument, attr := range attrs {
		call.Arguments[argument] = attr.Expr
	}
	for _, b := range content.Blocks {
		if b.Type != "lifecycle" {
			d.errorAt(b.DefRange, "Unsupported block", "A module block cannot have %s blocks.", b.Type)
			continue
		}
		lc, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "enabled"}}})
		d.addHCL(diags)
		if attr := lc.Attributes["enabled"]; attr != nil {
			call.Enabled = attr.Expr
		}
	}
}

func (d *decoder) moduleCallArgument(call *ModuleCall, attr *hcl.Attribute) {
	switch attr.Name {
	case "source":
		call.SourceRange = attr.Expr.Range()
		call.SourceAddr, _ = d.constString(attr)
	case "version":
		if text, ok := d.constString(attr); ok {
			call.Constraints = append(call.Constraints, VersionConstraint{Constraint: text, Range: attr.Expr.Range()})
			d.checkConstraint(text, attr.Expr.Range())
		}
	case "count":
		call.Count = attr.Expr
	case "for_each":
		call.ForEach = attr.Expr
	case "depends_on":
		call.DependsOn = d.traversals(attr)
	case "providers":
		call.Providers = d.passedProviders(attr)
	}
}

func (d *decoder) passedProviders(attr *hcl.Attribute) map[addrs.LocalProviderConfig]Passed {
	pairs, diags := hcl.ExprMap(attr.Expr)
	d.addHCL(diags)
	out := make(map[addrs.LocalProviderConfig]Passed, len(pairs))
	for _, pair := range pairs {
		inChild, ok := d.providerReference(d.jsonReference(pair.Key))
		inParent, ok2 := d.providerReference(d.jsonReference(pair.Value))
		if !ok || !ok2 {
			continue
		}
		if first, twice := out[inChild]; twice {
			d.errorAt(pair.Key.Range(), "Duplicate provider passed", "The provider configuration %s was already passed at %s.", inChild, position(first.Range))
			continue
		}
		out[inChild] = Passed{InParent: inParent, Range: pair.Value.Range()}
	}
	return out
}
