package engine

import (
	"bytes"
	"context"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// expandDynamic makes the blocks of a body's dynamic blocks.
func expandDynamic(body hcl.Body, ctx *hcl.EvalContext) hcl.Body { return dynblock.Expand(body, ctx) }

// withProviderFunctions adds the functions of the providers that the
// configuration requires, under every local name a module has for them. It costs
// nothing where no file mentions a provider function.
func withProviderFunctions(ctx context.Context, table map[string]function.Function, cfg *configs.Config, provs *providerSet) map[string]function.Function {
	used := false
	for _, src := range cfg.Files {
		if bytes.Contains(src, []byte("provider::")) {
			used = true
			break
		}
	}
	if !used {
		return table
	}
	for name, f := range functions.TerraformProviderFunctions() {
		table["provider::terraform::"+name] = f
	}
	for _, path := range sortedModules(cfg) {
		for local, rp := range cfg.Modules[path].RequiredProviders {
			schemas := provs.schemasOrNil(rp.Source)
			if schemas == nil {
				continue
			}
			for name, decl := range schemas.Functions {
				table["provider::"+local+"::"+name] = providerFunction(ctx, provs, rp.Source, name, decl)
			}
		}
	}
	return table
}

// providerFunction wraps a provider's function. The unconfigured provider is
// started on the first call.
func providerFunction(ctx context.Context, provs *providerSet, addr addrs.Provider, name string, decl providers.FunctionDecl) function.Function {
	param := func(p providers.FunctionParam) function.Parameter {
		return function.Parameter{Name: p.Name, Type: p.Type, AllowNull: p.AllowNull, AllowUnknown: p.AllowUnknown, AllowDynamicType: true, Description: p.Description}
	}
	spec := &function.Spec{Description: decl.Summary, Type: function.StaticReturnType(decl.ReturnType)}
	for _, p := range decl.Parameters {
		spec.Params = append(spec.Params, param(p))
	}
	if decl.Variadic != nil {
		v := param(*decl.Variadic)
		spec.VarParam = &v
	}
	spec.Impl = func(args []cty.Value, ret cty.Type) (cty.Value, error) {
		p, err := provs.factory.Acquire(ctx, addr, true)
		if err != nil {
			return cty.UnknownVal(ret), err
		}
		defer p.Close()
		return p.CallFunction(ctx, name, args)
	}
	return function.New(spec)
}

// dynamicTraversal turns a reference with index expressions, like
// aws_thing.a[each.key].id, into a traversal with constant keys.
func dynamicTraversal(s *scope, expr hcl.Expression, rep repetition) (hcl.Traversal, diag.List) {
	switch e := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return e.Traversal, nil
	case *hclsyntax.RelativeTraversalExpr:
		t, diags := dynamicTraversal(s, e.Source, rep)
		return append(append(hcl.Traversal(nil), t...), e.Traversal...), diags
	case *hclsyntax.IndexExpr:
		t, diags := dynamicTraversal(s, e.Collection, rep)
		if diags.HasErrors() {
			return nil, diags
		}
		key, d := s.eval(e.Key, rep, cty.NilVal)
		diags = append(diags, d...)
		if d.HasErrors() {
			return nil, diags
		}
		key, _ = key.UnmarkDeep()
		if key.IsNull() || !key.IsKnown() || (key.Type() != cty.String && key.Type() != cty.Number) {
			return nil, append(diags, diag.ErrorAt(e.Key.Range(), "Invalid index", "An index in this place must be a known string or number.")...)
		}
		return append(append(hcl.Traversal(nil), t...), hcl.TraverseIndex{Key: key, SrcRange: e.Key.Range()}), diags
	case *hclsyntax.ParenthesesExpr:
		return dynamicTraversal(s, e.Expression, rep)
	}
	text := strings.TrimSpace(string(expr.Range().SliceBytes(s.ev.cfg.Files[expr.Range().Filename])))
	return nil, diag.ErrorAt(expr.Range(), "Invalid reference", "%q is not a reference to a resource: write its address, optionally with indexes over count.index or each.key.", text)
}
