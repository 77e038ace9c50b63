package configs

import (
	"github.com/hashicorp/hcl/v2"
)

// overrideBody is a body with the body of an override file laid over it: the
// arguments of the latter win one by one, and its blocks replace all blocks of
// the same type, except lifecycle, whose contents are merged the same way.
type overrideBody struct {
	base, over hcl.Body
}

// Content implements hcl.Body.
func (b overrideBody) Content(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Diagnostics) {
	lenient := withoutRequired(schema)
	base, diags := b.base.Content(lenient)
	over, d := b.over.Content(lenient)
	out := mergeContent(base, over)
	return out, append(append(diags, d...), missingAttributes(schema, out)...)
}

// PartialContent implements hcl.Body.
func (b overrideBody) PartialContent(schema *hcl.BodySchema) (*hcl.BodyContent, hcl.Body, hcl.Diagnostics) {
	lenient := withoutRequired(schema)
	base, baseRest, diags := b.base.PartialContent(lenient)
	over, overRest, d := b.over.PartialContent(lenient)
	out := mergeContent(base, over)
	return out, overrideBody{baseRest, overRest}, append(append(diags, d...), missingAttributes(schema, out)...)
}

// JustAttributes implements hcl.Body.
func (b overrideBody) JustAttributes() (hcl.Attributes, hcl.Diagnostics) {
	base, diags := b.base.JustAttributes()
	over, d := b.over.JustAttributes()
	out := make(hcl.Attributes, len(base)+len(over))
	for name, a := range base {
		out[name] = a
	}
	for name, a := range over {
		out[name] = a
	}
	return out, append(diags, d...)
}

// MissingItemRange implements hcl.Body.
func (b overrideBody) MissingItemRange() hcl.Range { return b.base.MissingItemRange() }

func withoutRequired(schema *hcl.BodySchema) *hcl.BodySchema {
	out := &hcl.BodySchema{Blocks: schema.Blocks, Attributes: make([]hcl.AttributeSchema, len(schema.Attributes))}
	for i, a := range schema.Attributes {
		a.Required = false
		out.Attributes[i] = a
	}
	return out
}

func mergeContent(base, over *hcl.BodyContent) *hcl.BodyContent {
	out := &hcl.BodyContent{Attributes: make(hcl.Attributes, len(base.Attributes)), MissingItemRange: base.MissingItemRange}
	for name, a := range base.Attributes {
		out.Attributes[name] = a
	}
	for name, a := range over.Attributes {
		out.Attributes[name] = a
	}
	replaced := map[string]bool{}
	for _, block := range over.Blocks {
		replaced[block.Type] = true
		if block.Type == "dynamic" && len(block.Labels) == 1 {
			replaced[block.Labels[0]] = true
		}
	}
	var lifecycle *hcl.Block
	for _, block := range base.Blocks {
		switch {
		case block.Type == "lifecycle" && replaced["lifecycle"]:
			lifecycle = block
		case !replaced[block.Type]:
			out.Blocks = append(out.Blocks, block)
		}
	}
	for _, block := range over.Blocks {
		if block.Type == "lifecycle" && lifecycle != nil {
			merged := *block
			merged.Body = overrideBody{lifecycle.Body, block.Body}
			block = &merged
		}
		out.Blocks = append(out.Blocks, block)
	}
	return out
}

func missingAttributes(schema *hcl.BodySchema, content *hcl.BodyContent) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, a := range schema.Attributes {
		if _, ok := content.Attributes[a.Name]; a.Required && !ok {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Missing required argument",
				Detail:   "The argument \"" + a.Name + "\" is required, but no definition was found.",
				Subject:  content.MissingItemRange.Ptr(),
			})
		}
	}
	return diags
}
