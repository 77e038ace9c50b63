package configs

import (
	"regexp"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// AttributeRange is where an attribute of the resource is written: "size", "tags.owner",
// "rule[0].port" or "rule.0.port", as far as the path can be followed in literals and
// blocks. It is false for what is not written here at all.
func (r *Resource) AttributeRange(path string) (hcl.Range, bool) {
	return attributeIn(r.Config, pathStep.FindAllString(path, -1))
}

var pathStep = regexp.MustCompile(`[^.\[\]"]+`)

func attributeIn(body hcl.Body, path []string) (hcl.Range, bool) {
	if body == nil || len(path) == 0 || !hclsyntax.ValidIdentifier(path[0]) {
		return hcl.Range{}, false
	}
	name, rest := path[0], path[1:]
	// What else is wrong with the body is told elsewhere.
	content, _, _ := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: name}}})
	if content != nil && content.Attributes[name] != nil {
		attr := content.Attributes[name]
		return valueIn(attr.Expr, rest, attr.Range), true
	}
	content, _, _ = body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: name}, {Type: "dynamic", LabelNames: []string{"type"}}}})
	if content == nil {
		return hcl.Range{}, false
	}
	index := 0
	if len(rest) > 0 {
		if n, err := strconv.Atoi(rest[0]); err == nil {
			index, rest = n, rest[1:]
		}
	}
	var made *hcl.Block
	for _, block := range content.Blocks {
		switch {
		case block.Type == name && index == 0:
			if at, ok := attributeIn(block.Body, rest); ok {
				return at, true
			}
			return block.DefRange, true
		case block.Type == name:
			index--
		case block.Labels[0] == name && made == nil:
			made = block
		}
	}
	if made != nil {
		return made.DefRange, true
	}
	return hcl.Range{}, false
}

// valueIn is where a part of a literal is written; so, where it cannot be followed.
func valueIn(expr hcl.Expression, path []string, so hcl.Range) hcl.Range {
	if len(path) == 0 {
		return so
	}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		for _, pair := range pairs {
			key, diags := pair.Key.Value(nil)
			if !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && !key.IsNull() && key.AsString() == path[0] {
				return valueIn(pair.Value, path[1:], hcl.RangeBetween(pair.Key.Range(), pair.Value.Range()))
			}
		}
		return so
	}
	list, diags := hcl.ExprList(expr)
	if n, err := strconv.Atoi(path[0]); err == nil && !diags.HasErrors() && n >= 0 && n < len(list) {
		return valueIn(list[n], path[1:], list[n].Range())
	}
	return so
}
