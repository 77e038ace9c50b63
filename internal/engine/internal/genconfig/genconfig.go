// Package genconfig writes configuration for objects that have none yet, from
// what a provider says about them.
package genconfig

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// Resource writes a resource block whose arguments are those of config, a value
// of the schema's type without marks. Required arguments are written even where
// they are null; sensitive ones are left for people to fill in. provider is the
// reference to write as the provider argument, empty for none.
func Resource(addr addrs.Resource, schema *providers.Block, config cty.Value, provider string) string {
	file := hclwrite.NewEmptyFile()
	block := file.Body().AppendNewBlock("resource", []string{addr.Type, addr.Name})
	if provider != "" {
		tokens := hclwrite.Tokens{{Type: hclsyntax.TokenIdent, Bytes: []byte(provider)}}
		block.Body().SetAttributeRaw("provider", tokens)
	}
	writeBlock(block.Body(), schema, config)
	return string(hclwrite.Format(file.Bytes()))
}

func writeBlock(body *hclwrite.Body, schema *providers.Block, v cty.Value) {
	for _, name := range sortedNames(schema.Attributes) {
		a := schema.Attributes[name]
		value := v.GetAttr(name)
		switch {
		case value.IsNull() && !a.Required:
		case a.Sensitive || a.WriteOnly:
			body.SetAttributeRaw(name, hclwrite.Tokens{
				{Type: hclsyntax.TokenIdent, Bytes: []byte("null")},
				{Type: hclsyntax.TokenComment, Bytes: []byte(" # sensitive")},
			})
		case value.IsWhollyKnown():
			body.SetAttributeRaw(name, tokensFor(withoutNulls(value)))
		}
	}
	for _, name := range sortedNames(schema.BlockTypes) {
		nested := schema.BlockTypes[name]
		writeNested(body, name, nested, v.GetAttr(name))
	}
}

func writeNested(body *hclwrite.Body, name string, nested *providers.NestedBlock, v cty.Value) {
	if v.IsNull() || !v.IsKnown() {
		return
	}
	switch nested.Nesting {
	case providers.NestingSingle, providers.NestingGroup:
		writeBlock(body.AppendNewBlock(name, nil).Body(), &nested.Block, v)
	case providers.NestingMap:
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			writeBlock(body.AppendNewBlock(name, []string{key.AsString()}).Body(), &nested.Block, e)
		}
	default:
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			writeBlock(body.AppendNewBlock(name, nil).Body(), &nested.Block, e)
		}
	}
}

// tokensFor writes a value. Text that is a JSON document becomes a call of
// jsonencode, which people can read and change.
func tokensFor(v cty.Value) hclwrite.Tokens {
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		if text := strings.TrimSpace(v.AsString()); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
			if doc, ok := decodeJSON(text); ok {
				return hclwrite.TokensForFunctionCall("jsonencode", hclwrite.TokensForValue(doc))
			}
		}
	}
	return hclwrite.TokensForValue(v)
}

// withoutNulls drops null attributes of nested objects: leaving them out means
// the same.
func withoutNulls(v cty.Value) cty.Value {
	ty := v.Type()
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	switch {
	case ty.IsObjectType():
		attrs := map[string]cty.Value{}
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			if !e.IsNull() {
				attrs[key.AsString()] = withoutNulls(e)
			}
		}
		return cty.ObjectVal(attrs)
	case ty.IsMapType():
		attrs := map[string]cty.Value{}
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			attrs[key.AsString()] = withoutNulls(e)
		}
		return cty.ObjectVal(attrs)
	case ty.IsTupleType(), ty.IsListType(), ty.IsSetType():
		var elements []cty.Value
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			elements = append(elements, withoutNulls(e))
		}
		return cty.TupleVal(elements)
	}
	return v
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
