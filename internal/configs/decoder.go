package configs

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// moduleSchema lists the blocks of a configuration file.
var moduleSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "terraform"},
	{Type: "required_providers"},
	{Type: "provider", LabelNames: []string{"name"}},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "output", LabelNames: []string{"name"}},
	{Type: "module", LabelNames: []string{"name"}},
	{Type: "resource", LabelNames: []string{"type", "name"}},
	{Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "ephemeral", LabelNames: []string{"type", "name"}},
	{Type: "check", LabelNames: []string{"name"}},
	{Type: "moved"},
	{Type: "import"},
	{Type: "removed"},
	{Type: "language"},
}}

// decoder turns the blocks of one module's files into a Module.
type decoder struct {
	module *Module
	diags  diag.List

	blocks    []*hcl.Block // of primary files
	overrides []*hcl.Block

	unreserved bool // no module block gives values to the variables
}

func newDecoder(dir string) *decoder {
	return &decoder{module: &Module{
		SourceDir:         dir,
		Children:          map[string]*Module{},
		RequiredProviders: map[string]*RequiredProvider{},
		ProviderConfigs:   map[addrs.LocalProviderConfig]*ProviderConfig{},
		ProviderMetas:     map[string]*ProviderMeta{},
		Variables:         map[string]*Variable{},
		Locals:            map[string]*Local{},
		Outputs:           map[string]*Output{},
		Resources:         map[addrs.Resource]*Resource{},
		ModuleCalls:       map[string]*ModuleCall{},
		Checks:            map[string]*Check{},
	}}
}

func (d *decoder) add(list diag.List)           { d.diags = append(d.diags, list...) }
func (d *decoder) addHCL(diags hcl.Diagnostics) { d.add(diag.FromHCL(diags)) }

func (d *decoder) errorAt(rng hcl.Range, summary, detail string, args ...any) {
	d.add(diag.ErrorAt(rng, summary, detail, args...))
}

// collect takes the blocks of a file.
func (d *decoder) collect(body hcl.Body, override bool) {
	content, diags := body.Content(moduleSchema)
	d.addHCL(diags)
	if override {
		d.overrides = append(d.overrides, content.Blocks...)
	} else {
		d.blocks = append(d.blocks, content.Blocks...)
	}
}

// decode merges overrides and decodes every block.
func (d *decoder) decode() {
	d.mergeOverrides()
	for _, block := range d.blocks {
		d.block(block)
	}
	for _, block := range d.overrides {
		switch block.Type {
		case "terraform":
			d.terraform(block, true)
		case "locals":
			d.locals(block, true)
		}
	}
	d.implyProviders()
}

func (d *decoder) block(block *hcl.Block) {
	for i, label := range block.Labels {
		if !hclsyntax.ValidIdentifier(label) && (block.Type != "provider" && block.Type != "check" || i > 0) {
			d.errorAt(block.LabelRanges[i], "Invalid name",
				"%q is not a valid name: it must start with a letter or underscore, and have only letters, digits, underscores and dashes.", label)
		}
	}
	switch block.Type {
	case "terraform":
		d.terraform(block, false)
	case "provider":
		d.provider(block)
	case "variable":
		d.variable(block)
	case "locals":
		d.locals(block, false)
	case "output":
		d.output(block)
	case "module":
		d.moduleCall(block)
	case "resource":
		d.resource(block, addrs.Managed)
	case "data":
		d.resource(block, addrs.Data)
	case "ephemeral":
		d.resource(block, addrs.Ephemeral)
	case "check":
		d.check(block)
	case "moved":
		d.moved(block)
	case "import":
		d.importBlock(block)
	case "removed":
		d.removed(block)
	case "required_providers":
		d.errorAt(block.DefRange, "Invalid required_providers block", "A required_providers block must be nested in a terraform block.")
	case "language":
		// OpenTofu's way to say which program and edition a module is for. Its
		// constraints are about that program's versions.
	}
}

// overrideKey identifies what a block declares, for finding its base.
func overrideKey(block *hcl.Block) string {
	key := block.Type
	for _, label := range block.Labels {
		key += "\x00" + label
	}
	if block.Type == "provider" {
		content, _, _ := block.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "alias"}}})
		if attr := content.Attributes["alias"]; attr != nil {
			if v, diags := attr.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				key += "\x00" + v.AsString()
			}
		}
	}
	return key
}

// mergeOverrides lays the blocks of override files over what they override.
func (d *decoder) mergeOverrides() {
	if len(d.overrides) == 0 {
		return
	}
	base := make(map[string]*hcl.Block, len(d.blocks))
	for _, block := range d.blocks {
		if len(block.Labels) > 0 {
			if key := overrideKey(block); base[key] == nil {
				base[key] = block
			}
		}
	}
	for _, block := range d.overrides {
		switch block.Type {
		case "terraform", "locals":
			continue // merged name by name
		case "moved", "import", "removed", "check", "language", "required_providers":
			d.errorAt(block.DefRange, "Cannot override "+block.Type+" blocks", "A %s block may stand only in a normal file, not in an override file.", block.Type)
			continue
		}
		under := base[overrideKey(block)]
		if under == nil {
			d.errorAt(block.DefRange, "Missing base declaration to override",
				"There is no %s in the other files of this module. An override file can only override what a normal file declares.", describeBlock(block))
			continue
		}
		if attrs, _, _ := block.Body.PartialContent(dependsOnSchema); attrs != nil && attrs.Attributes["depends_on"] != nil {
			d.errorAt(attrs.Attributes["depends_on"].NameRange, "Unsupported override", "The depends_on argument may not be overridden.")
			continue
		}
		under.Body = overrideBody{under.Body, block.Body}
	}
}

var dependsOnSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "depends_on"}}}

func describeBlock(block *hcl.Block) string {
	text := block.Type
	for _, label := range block.Labels {
		text += fmt.Sprintf(" %q", label)
	}
	return text
}

// duplicate reports a second declaration of the same thing.
func (d *decoder) duplicate(what, name string, here, first hcl.Range) {
	d.errorAt(here, "Duplicate "+what, "%s is declared twice in this module: first at %s. Names must be unique per module.", name, position(first))
}

func position(rng hcl.Range) string { return fmt.Sprintf("%s:%d", rng.Filename, rng.Start.Line) }

// The constants helpers evaluate arguments that must be literal.

func (d *decoder) constString(attr *hcl.Attribute) (string, bool) {
	var out string
	diags := gohcl.DecodeExpression(attr.Expr, nil, &out)
	d.addHCL(diags)
	return out, !diags.HasErrors()
}

func (d *decoder) constBool(attr *hcl.Attribute) bool {
	var out bool
	d.addHCL(gohcl.DecodeExpression(attr.Expr, nil, &out))
	return out
}

// traversals reads a list of references, e.g. depends_on.
func (d *decoder) traversals(attr *hcl.Attribute) []hcl.Traversal {
	exprs, diags := hcl.ExprList(attr.Expr)
	d.addHCL(diags)
	var out []hcl.Traversal
	for _, expr := range exprs {
		if t := d.absTraversal(expr); t != nil {
			out = append(out, t)
		}
	}
	return out
}

// absTraversal reads one reference. Quoted references, as old configurations
// have them, are understood too.
func (d *decoder) absTraversal(expr hcl.Expression) hcl.Traversal {
	t, diags := hcl.AbsTraversalForExpr(unquoteReference(expr))
	d.addHCL(diags)
	return t
}

// unquoteReference turns a literal string that is a valid reference into the
// expression inside; anything else comes back as it is.
func unquoteReference(expr hcl.Expression) hcl.Expression {
	template, ok := expr.(*hclsyntax.TemplateExpr)
	if !ok || !template.IsStringLiteral() {
		return expr
	}
	v, diags := template.Value(nil)
	if diags.HasErrors() {
		return expr
	}
	rng := expr.Range()
	start := rng.Start
	start.Column++
	start.Byte++
	inner, diags := hclsyntax.ParseExpression([]byte(v.AsString()), rng.Filename, start)
	if diags.HasErrors() {
		return expr
	}
	return inner
}

// locals declares every argument of a locals block.
func (d *decoder) locals(block *hcl.Block, override bool) {
	attrs, diags := block.Body.JustAttributes()
	d.addHCL(diags)
	for name, attr := range attrs {
		first := d.module.Locals[name]
		switch {
		case override && first == nil:
			d.errorAt(attr.NameRange, "Missing base declaration to override", "There is no local value named %q in the other files of this module.", name)
			continue
		case !override && first != nil:
			d.duplicate("local value", fmt.Sprintf("The local value %q", name), attr.NameRange, first.DeclRange)
			continue
		}
		if !hclsyntax.ValidIdentifier(name) {
			d.errorAt(attr.NameRange, "Invalid local value name", "%q is not a valid name: it must start with a letter or underscore, and have only letters, digits, underscores and dashes.", name)
		}
		d.module.Locals[name] = &Local{Name: name, Module: d.module, Expr: attr.Expr, DeclRange: attr.NameRange}
	}
}

var outputSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "value", Required: true}, {Name: "description"}, {Name: "sensitive"}, {Name: "ephemeral"}, {Name: "deprecated"}, {Name: "depends_on"}, {Name: "type"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "precondition"}, {Type: "postcondition"}},
}

func (d *decoder) output(block *hcl.Block) {
	name := block.Labels[0]
	if first := d.module.Outputs[name]; first != nil {
		d.duplicate("output value", fmt.Sprintf("The output %q", name), block.DefRange, first.DeclRange)
		return
	}
	content, diags := block.Body.Content(outputSchema)
	d.addHCL(diags)
	o := &Output{Name: name, Module: d.module, DeclRange: block.DefRange, Expr: hcl.StaticExpr(cty.DynamicVal, block.DefRange)}
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "value":
			o.Expr = attr.Expr
		case "description":
			o.Description, _ = d.constString(attr)
		case "sensitive":
			o.Sensitive = d.constBool(attr)
		case "ephemeral":
			o.Ephemeral = d.constBool(attr)
		case "deprecated":
			o.Deprecated, _ = d.constString(attr)
		case "depends_on":
			o.DependsOn = d.traversals(attr)
		}
	}
	for _, b := range content.Blocks {
		if b.Type == "postcondition" {
			d.errorAt(b.DefRange, "Unsupported block", "Postconditions are not supported for output values: use a precondition, or a check block.")
			continue
		}
		if rule := d.checkRule(b); rule != nil {
			o.Preconditions = append(o.Preconditions, rule)
		}
	}
	d.module.Outputs[name] = o
}

var checkRuleSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}}}

// checkRule decodes a condition with its message; nil where it is incomplete.
func (d *decoder) checkRule(block *hcl.Block) *CheckRule {
	content, diags := block.Body.Content(checkRuleSchema)
	d.addHCL(diags)
	condition, message := content.Attributes["condition"], content.Attributes["error_message"]
	if condition == nil || message == nil {
		return nil
	}
	return &CheckRule{Condition: condition.Expr, ErrorMessage: message.Expr, DeclRange: block.DefRange}
}

var checkSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "data", LabelNames: []string{"type", "name"}}, {Type: "assert"}}}

func (d *decoder) check(block *hcl.Block) {
	name := block.Labels[0]
	if first := d.module.Checks[name]; first != nil {
		d.duplicate("check", fmt.Sprintf("The check %q", name), block.DefRange, first.DeclRange)
		return
	}
	content, diags := block.Body.Content(checkSchema)
	d.addHCL(diags)
	c := &Check{Name: name, Module: d.module, DeclRange: block.DefRange}
	d.module.Checks[name] = c
	for _, b := range content.Blocks {
		switch {
		case b.Type == "assert":
			if rule := d.checkRule(b); rule != nil {
				c.Asserts = append(c.Asserts, rule)
			}
		case c.Data != nil:
			d.errorAt(b.DefRange, "Several data blocks", "A check block may have one data block; this one has another at %s.", position(c.Data.DeclRange))
		default:
			if r := d.resource(b, addrs.Data); r != nil {
				r.Check, c.Data = c, r
				if r.Count != nil || r.ForEach != nil {
					d.errorAt(b.DefRange, "Unsupported argument", "A data block inside a check block cannot have count or for_each.")
				}
			}
		}
	}
	if len(c.Asserts) == 0 {
		d.errorAt(block.DefRange, "Missing assert block", "A check block needs at least one assert block with a condition and an error_message.")
	}
}
