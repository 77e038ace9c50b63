package jsonplan

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// configuration writes the configuration a plan was made from: what is
// declared and what the expressions refer to, not their values.
func (e *encoder) configuration(cfg *configs.Config) {
	keys := newProviderKeys(cfg)
	e.ObjectStart()
	if len(keys.list) > 0 {
		e.Key("provider_config")
		e.ObjectStart()
		for _, key := range sortedKeys(keys.list) {
			e.Key(key)
			e.providerConfig(keys.list[key])
		}
		e.ObjectEnd()
	}
	e.Key("root_module")
	e.configModule(cfg.Root, keys)
	e.ObjectEnd()
}

func (e *encoder) providerConfig(p *providerEntry) {
	e.ObjectStart()
	e.StringMember("name", p.name)
	e.StringMember("full_name", p.provider.String())
	e.OptionalString("alias", p.alias)
	e.OptionalString("module_address", p.module.String())
	e.OptionalString("version_constraint", p.constraint)
	if p.block != nil {
		var schema *providers.Block
		if e.opts.Schemas != nil {
			if s := e.opts.Schemas(p.provider); s != nil {
				schema = s.Provider.Block
			}
		}
		e.bodyMember("expressions", p.block.Config, schema)
	}
	e.ObjectEnd()
}

func (e *encoder) configModule(m *configs.Module, keys *providerKeys) {
	e.ObjectStart()
	if len(m.Outputs) > 0 {
		e.Key("outputs")
		e.ObjectStart()
		for _, name := range sortedKeys(m.Outputs) {
			e.Key(name)
			e.configOutput(m.Outputs[name])
		}
		e.ObjectEnd()
	}
	e.configResources(m, keys)
	if len(m.ModuleCalls) > 0 {
		e.Key("module_calls")
		e.ObjectStart()
		for _, name := range sortedKeys(m.ModuleCalls) {
			e.Key(name)
			e.moduleCall(m.ModuleCalls[name], m.Children[name], keys)
		}
		e.ObjectEnd()
	}
	if len(m.Variables) > 0 {
		e.Key("variables")
		e.ObjectStart()
		for _, name := range sortedKeys(m.Variables) {
			e.Key(name)
			e.configVariable(m.Variables[name])
		}
		e.ObjectEnd()
	}
	e.ObjectEnd()
}

func (e *encoder) configOutput(o *configs.Output) {
	e.ObjectStart()
	if o.Sensitive {
		e.BoolMember("sensitive", true)
	}
	if o.Ephemeral {
		e.BoolMember("ephemeral", true)
	}
	e.Key("expression")
	e.expression(o.Expr)
	e.dependsOn(o.DependsOn)
	e.OptionalString("description", o.Description)
	e.OptionalString("deprecated", o.Deprecated)
	e.ObjectEnd()
}

func (e *encoder) configVariable(v *configs.Variable) {
	e.ObjectStart()
	if v.Default != cty.NilVal {
		e.Key("default")
		e.Value(v.Default)
	}
	e.OptionalString("description", v.Description)
	if v.Sensitive {
		e.BoolMember("sensitive", true)
	}
	e.OptionalString("deprecated", v.Deprecated)
	e.ObjectEnd()
}

// configResources writes managed resources first, then data sources.
func (e *encoder) configResources(m *configs.Module, keys *providerKeys) {
	if len(m.Resources) == 0 {
		return
	}
	list := make([]*configs.Resource, 0, len(m.Resources))
	for _, r := range m.Resources {
		list = append(list, r)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i].Addr, list[j].Addr
		if a.Mode != b.Mode {
			return modeRank(a.Mode) < modeRank(b.Mode)
		}
		return a.String() < b.String()
	})
	e.Key("resources")
	e.ArrayStart()
	for _, r := range list {
		e.configResource(r, keys)
	}
	e.ArrayEnd()
}

func modeRank(m addrs.Mode) int {
	return strings.IndexByte(string([]byte{byte(addrs.Managed), byte(addrs.Data), byte(addrs.Ephemeral)}), byte(m))
}

func (e *encoder) configResource(r *configs.Resource, keys *providerKeys) {
	schema := e.schema(r.Provider, r.Addr)
	e.ObjectStart()
	e.StringMember("address", r.Addr.String())
	e.StringMember("mode", r.Addr.Mode.String())
	e.StringMember("type", r.Addr.Type)
	e.StringMember("name", r.Addr.Name)
	e.StringMember("provider_config_key", keys.forResource(r))
	if len(r.Provisioners) > 0 {
		e.Key("provisioners")
		e.ArrayStart()
		for _, p := range r.Provisioners {
			e.ObjectStart()
			e.StringMember("type", p.Type)
			e.bodyMember("expressions", p.Config, nil)
			e.ObjectEnd()
		}
		e.ArrayEnd()
	}
	e.bodyMember("expressions", r.Config, schema.Block)
	e.IntMember("schema_version", schema.Version)
	e.expressionMember("count_expression", r.Count)
	e.expressionMember("for_each_expression", r.ForEach)
	e.dependsOn(r.DependsOn)
	e.ObjectEnd()
}

func (e *encoder) moduleCall(call *configs.ModuleCall, child *configs.Module, keys *providerKeys) {
	e.ObjectStart()
	e.OptionalString("source", call.SourceAddr)
	if len(call.Arguments) > 0 {
		e.Key("expressions")
		e.ObjectStart()
		for _, name := range sortedKeys(call.Arguments) {
			e.Key(name)
			e.expression(call.Arguments[name])
		}
		e.ObjectEnd()
	}
	e.expressionMember("count_expression", call.Count)
	e.expressionMember("for_each_expression", call.ForEach)
	if child != nil {
		e.Key("module")
		e.configModule(child, keys)
	}
	e.OptionalString("version_constraint", joinConstraints(call.Constraints))
	e.dependsOn(call.DependsOn)
	e.ObjectEnd()
}

func (e *encoder) dependsOn(list []hcl.Traversal) {
	if len(list) == 0 {
		return
	}
	e.Key("depends_on")
	e.ArrayStart()
	for _, t := range list {
		if ref, diags := addrs.ParseReference(t); !diags.HasErrors() {
			e.String(ref.String())
		}
	}
	e.ArrayEnd()
}

func (e *encoder) expressionMember(name string, expr hcl.Expression) {
	if expr != nil {
		e.Key(name)
		e.expression(expr)
	}
}

// expression writes the value of an expression that is constant, or else what
// it refers to.
func (e *encoder) expression(expr hcl.Expression) {
	e.ObjectStart()
	defer e.ObjectEnd()
	if expr == nil {
		return
	}
	traversals := expr.Variables()
	if len(traversals) == 0 {
		v, diags := expr.Value(nil)
		if !diags.HasErrors() && v.IsWhollyKnown() {
			e.Key("constant_value")
			e.Value(v)
		}
		return
	}
	opened := false
	for _, t := range traversals {
		ref, diags := addrs.ParseReference(t)
		if diags.HasErrors() {
			continue
		}
		if !opened {
			e.Key("references")
			e.ArrayStart()
			opened = true
		}
		e.reference(ref)
	}
	if opened {
		e.ArrayEnd()
	}
}

// reference writes a reference from its full length down to the object it
// begins with, so that readers find what they look for by simple comparison.
func (e *encoder) reference(ref addrs.Reference) {
	object := ref.String()
	parts := make([]string, 1, len(ref.Remaining)+1)
	parts[0] = object
	for _, step := range ref.Remaining {
		text, ok := stepString(step)
		if !ok {
			break
		}
		parts = append(parts, parts[len(parts)-1]+text)
	}
	for i := len(parts) - 1; i >= 0; i-- {
		e.String(parts[i])
	}
	switch {
	case ref.Kind == addrs.RefResource && ref.Key != addrs.NoKey:
		e.String(ref.Resource.String())
	case ref.Kind == addrs.RefModule && ref.Output != "":
		e.String("module." + ref.Name + ref.Key.String())
	}
}

func stepString(step hcl.Traverser) (string, bool) {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return "." + s.Name, true
	case hcl.TraverseIndex:
		if s.Key.IsNull() || !s.Key.IsKnown() {
			return "", false
		}
		switch s.Key.Type() {
		case cty.String:
			return addrs.StringKey(s.Key.AsString()).String(), true
		case cty.Number:
			return "[" + s.Key.AsBigFloat().Text('f', -1) + "]", true
		}
	}
	return "", false
}

// bodyMember writes the expressions of a body, unless there are none.
func (e *encoder) bodyMember(name string, body hcl.Body, schema *providers.Block) {
	content := bodyContent(body, schema)
	if len(content.Attributes) == 0 && len(content.Blocks) == 0 {
		return
	}
	e.Key(name)
	e.body(content, schema)
}

func (e *encoder) body(content *hcl.BodyContent, schema *providers.Block) {
	e.ObjectStart()
	defer e.ObjectEnd()
	for _, name := range sortedKeys(content.Attributes) {
		e.Key(name)
		e.expression(content.Attributes[name].Expr)
	}
	if schema == nil {
		return
	}
	byType := content.Blocks.ByType()
	for _, name := range sortedKeys(byType) {
		nested := schema.BlockTypes[name]
		e.Key(name)
		switch nested.Nesting {
		case providers.NestingSingle, providers.NestingGroup:
			e.body(bodyContent(byType[name][0].Body, &nested.Block), &nested.Block)
		case providers.NestingMap:
			e.labelledBlocks(byType[name], &nested.Block)
		default:
			e.ArrayStart()
			for _, block := range byType[name] {
				e.body(bodyContent(block.Body, &nested.Block), &nested.Block)
			}
			e.ArrayEnd()
		}
	}
}

func (e *encoder) labelledBlocks(blocks hcl.Blocks, schema *providers.Block) {
	e.ObjectStart()
	for _, block := range blocks {
		if len(block.Labels) == 1 {
			e.Key(block.Labels[0])
			e.body(bodyContent(block.Body, schema), schema)
		}
	}
	e.ObjectEnd()
}

// bodyContent takes a body apart by its schema; without one only its
// attributes can be told.
func bodyContent(body hcl.Body, schema *providers.Block) *hcl.BodyContent {
	if body == nil {
		return &hcl.BodyContent{}
	}
	if schema == nil {
		attrs, _ := body.JustAttributes()
		return &hcl.BodyContent{Attributes: attrs}
	}
	low := &hcl.BodySchema{}
	for name := range schema.Attributes {
		low.Attributes = append(low.Attributes, hcl.AttributeSchema{Name: name})
	}
	for name, nested := range schema.BlockTypes {
		header := hcl.BlockHeaderSchema{Type: name}
		if nested.Nesting == providers.NestingMap {
			header.LabelNames = []string{"key"}
		}
		low.Blocks = append(low.Blocks, header)
	}
	content, _, _ := body.PartialContent(low)
	return content
}
