// Package lang evaluates the expression language: it finds what an expression
// refers to and builds the scopes expressions are evaluated in. The functions
// are in the folder functions, the marks of sensitive and ephemeral values in
// the folder marks.
package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// ExprReferences returns what an expression refers to, in source order. A nil
// expression refers to nothing.
func ExprReferences(expr hcl.Expression) ([]addrs.Reference, diag.List) {
	if expr == nil {
		return nil, nil
	}
	return References(expr.Variables())
}

// BodyReferences returns what a body refers to when decoded with spec, dynamic
// blocks included.
func BodyReferences(body hcl.Body, spec hcldec.Spec) ([]addrs.Reference, diag.List) {
	if body == nil {
		return nil, nil
	}
	if HasDynamicBlocks(body) {
		return References(dynblock.VariablesHCLDec(body, spec))
	}
	return References(hcldec.Variables(body, spec))
}

// HasDynamicBlocks reports whether a body may hold dynamic blocks, so that the
// costly expansion is done only where needed.
func HasDynamicBlocks(body hcl.Body) bool {
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		return true
	}
	for _, b := range native.Blocks {
		if b.Type == "dynamic" || HasDynamicBlocks(b.Body) {
			return true
		}
	}
	return false
}

// References understands traversals; those that make no sense are reported.
func References(traversals []hcl.Traversal) ([]addrs.Reference, diag.List) {
	if len(traversals) == 0 {
		return nil, nil
	}
	refs := make([]addrs.Reference, 0, len(traversals))
	var diags diag.List
	for _, t := range traversals {
		ref, d := addrs.ParseReference(t)
		if d.HasErrors() {
			diags = append(diags, diag.FromHCL(d)...)
			continue
		}
		refs = append(refs, ref)
	}
	return refs, diags
}
