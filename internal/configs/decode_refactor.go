package configs

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/zclconf/go-cty/cty"
)

var movedSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "from", Required: true}, {Name: "to", Required: true}}}

func (d *decoder) moved(block *hcl.Block) {
	content, diags := block.Body.Content(movedSchema)
	d.addHCL(diags)
	from, to := content.Attributes["from"], content.Attributes["to"]
	if from == nil || to == nil {
		return
	}
	m := &Moved{Module: d.module, DeclRange: block.DefRange}
	var ok, ok2 bool
	m.From, ok = d.target(from.Expr)
	m.To, ok2 = d.target(to.Expr)
	if !ok || !ok2 {
		return
	}
	fromModule, toModule := m.From.Resource == (addrs.Resource{}), m.To.Resource == (addrs.Resource{})
	switch {
	case fromModule != toModule:
		d.errorAt(block.DefRange, "Invalid moved addresses", "The from and to addresses must be of one kind: both resources or both modules.")
	case m.From == m.To:
		d.errorAt(block.DefRange, "Redundant move statement", "This block says that %s moved to itself.", m.From)
	case m.From.Resource.Mode != m.To.Resource.Mode:
		d.errorAt(block.DefRange, "Invalid moved addresses", "A managed resource and a data source cannot become each other.")
	default:
		d.module.Moved = append(d.module.Moved, m)
	}
}

// target reads an address with constant instance keys.
func (d *decoder) target(expr hcl.Expression) (addrs.Target, bool) {
	t, diags := hcl.AbsTraversalForExpr(expr)
	d.addHCL(diags)
	if diags.HasErrors() {
		return addrs.Target{}, false
	}
	target, problem := traversalTarget(t)
	if problem != "" {
		d.errorAt(expr.Range(), "Invalid address", "%s", problem)
		return addrs.Target{}, false
	}
	return target, true
}

// traversalTarget understands a traversal as the address of a module, resource
// or instance of either, relative to the module it stands in.
func traversalTarget(t hcl.Traversal) (out addrs.Target, problem string) {
	const expected = "Expected the address of a resource or module, such as aws_instance.web, module.network or module.network.aws_instance.web[0]."
	for len(t) > 0 && traverserName(t[0]) == "module" {
		if len(t) < 2 {
			return out, expected
		}
		name := traverserName(t[1])
		if name == "" {
			return out, expected
		}
		t = t[2:]
		key := addrs.NoKey
		if len(t) > 0 {
			if k, ok := traverserKey(t[0]); ok {
				key, t = k, t[1:]
			}
		}
		out.Module = out.Module.Child(name, key)
	}
	if len(t) == 0 {
		return out, ""
	}
	out.Resource.Mode = addrs.Managed
	switch traverserName(t[0]) {
	case "data":
		out.Resource.Mode, t = addrs.Data, t[1:]
	case "resource":
		t = t[1:]
	case "ephemeral":
		return out, "Ephemeral resources are never in the state, so they have no address here."
	}
	if len(t) < 2 {
		return out, expected
	}
	out.Resource.Type, out.Resource.Name = traverserName(t[0]), traverserName(t[1])
	if out.Resource.Type == "" || out.Resource.Name == "" {
		return out, expected
	}
	if len(t) > 2 {
		key, ok := traverserKey(t[2])
		if !ok || len(t) > 3 {
			return out, expected
		}
		out.Key = key
	}
	return out, ""
}

func traverserKey(step hcl.Traverser) (addrs.InstanceKey, bool) {
	index, ok := step.(hcl.TraverseIndex)
	if !ok || index.Key.IsNull() || !index.Key.IsKnown() {
		return addrs.NoKey, false
	}
	switch index.Key.Type() {
	case cty.String:
		return addrs.StringKey(index.Key.AsString()), true
	case cty.Number:
		n, accuracy := index.Key.AsBigFloat().Int64()
		return addrs.IntKey(int(n)), accuracy == 0 && n >= 0
	}
	return addrs.NoKey, false
}

var importSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "to", Required: true}, {Name: "id"}, {Name: "identity"}, {Name: "for_each"}, {Name: "provider"},
}}

func (d *decoder) importBlock(block *hcl.Block) {
	content, diags := block.Body.Content(importSchema)
	d.addHCL(diags)
	to := content.Attributes["to"]
	if to == nil {
		return
	}
	im := &Import{Module: d.module, To: d.jsonReference(to.Expr), DeclRange: block.DefRange}
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "id":
			im.ID = attr.Expr
		case "identity":
			im.Identity = attr.Expr
		case "for_each":
			im.ForEach = attr.Expr
		case "provider":
			if local, ok := d.providerReference(attr.Expr); ok {
				im.ProviderLocal = &local
			}
		}
	}
	if (im.ID == nil) == (im.Identity == nil) {
		d.errorAt(block.DefRange, "Invalid import block", "An import block needs exactly one of the arguments id and identity.")
		return
	}
	names := staticSteps(im.To)
	target, problem := traversalTarget(names)
	if names == nil || problem != "" || target.Resource == (addrs.Resource{}) || target.Resource.Mode != addrs.Managed {
		d.errorAt(to.Expr.Range(), "Invalid import address", "The argument to must be the address of a managed resource or of one of its instances, such as aws_instance.web or module.a.aws_instance.web[each.key].")
		return
	}
	im.StaticTo = addrs.ConfigResource{Module: target.Module.Module(), Resource: target.Resource}
	d.module.Imports = append(d.module.Imports, im)
}

// staticSteps returns the names of an address whose instance keys may be
// expressions, without the keys; nil where it is something else.
func staticSteps(expr hcl.Expression) hcl.Traversal {
	switch e := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return withoutIndexes(e.Traversal)
	case *hclsyntax.IndexExpr:
		return staticSteps(e.Collection)
	case *hclsyntax.RelativeTraversalExpr:
		if source := staticSteps(e.Source); source != nil {
			return append(source[:len(source):len(source)], withoutIndexes(e.Traversal)...)
		}
		return nil
	case *hclsyntax.ParenthesesExpr:
		return staticSteps(e.Expression)
	}
	if t, diags := hcl.AbsTraversalForExpr(expr); !diags.HasErrors() {
		return withoutIndexes(t)
	}
	return nil
}

func withoutIndexes(t hcl.Traversal) hcl.Traversal {
	out := make(hcl.Traversal, 0, len(t))
	for _, step := range t {
		if traverserName(step) != "" {
			out = append(out, step)
		}
	}
	return out
}

var removedSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "from", Required: true}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "lifecycle"}, {Type: "connection"}, {Type: "provisioner", LabelNames: []string{"type"}}},
}

func (d *decoder) removed(block *hcl.Block) {
	content, diags := block.Body.Content(removedSchema)
	d.addHCL(diags)
	from := content.Attributes["from"]
	if from == nil {
		return
	}
	target, ok := d.target(from.Expr)
	if !ok {
		return
	}
	if hasKeys(target) {
		d.errorAt(from.Expr.Range(), "Invalid address", "A removed block is about a whole resource or module: its address must have no instance keys.")
		return
	}
	if target.Resource.Mode == addrs.Data && target.Resource != (addrs.Resource{}) {
		d.errorAt(from.Expr.Range(), "Invalid address", "A removed block is about a managed resource or module; data sources need none.")
		return
	}
	r := &Removed{Module: d.module, From: target, Destroy: true, DeclRange: block.DefRange}
	for _, b := range content.Blocks {
		d.removedBlock(r, b)
	}
	if target.Resource == (addrs.Resource{}) && len(r.Provisioners) > 0 {
		d.errorAt(block.DefRange, "Invalid removed block", "Provisioners need the address of a resource, not of a module.")
	}
	d.module.Removed = append(d.module.Removed, r)
}

func (d *decoder) removedBlock(r *Removed, b *hcl.Block) {
	switch b.Type {
	case "lifecycle":
		lc, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "destroy", Required: true}}})
		d.addHCL(diags)
		if attr := lc.Attributes["destroy"]; attr != nil {
			r.Destroy = d.constBool(attr)
		}
	case "connection":
		r.Connection = &Connection{Config: b.Body, DeclRange: b.DefRange}
	case "provisioner":
		p := d.provisioner(b)
		if p != nil && !p.OnDestroy {
			d.errorAt(b.DefRange, "Invalid provisioner", "Provisioners of a removed block run when the object is destroyed: they must have when = destroy.")
			return
		}
		if p != nil {
			r.Provisioners = append(r.Provisioners, p)
		}
	}
}

func hasKeys(t addrs.Target) bool {
	if t.Key != addrs.NoKey {
		return true
	}
	for _, step := range t.Module.Steps() {
		if step.Key != addrs.NoKey {
			return true
		}
	}
	return false
}
