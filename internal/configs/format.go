package configs

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format rewrites a file in the standard style: alignment and spacing, and the
// forms that newer versions of the language prefer ("${x}" alone becomes x,
// quoted types lose their quotes). Source that does not parse should not be
// given; it comes back only re-spaced.
func Format(src []byte) []byte {
	file, diags := hclwrite.ParseConfig(src, "", hcl.InitialPos)
	if diags.HasErrors() {
		return hclwrite.Format(src)
	}
	formatBody(file.Body(), nil)
	return hclwrite.Format(file.Bytes())
}

func formatBody(body *hclwrite.Body, inBlocks []string) {
	for name, attr := range body.Attributes() {
		tokens := attr.Expr().BuildTokens(nil)
		if len(inBlocks) == 1 && inBlocks[0] == "variable" && name == "type" {
			body.SetAttributeRaw(name, formatType(tokens))
			continue
		}
		if formatted, changed := formatValue(tokens); changed {
			body.SetAttributeRaw(name, formatted)
		}
	}
	for _, block := range body.Blocks() {
		block.SetLabels(block.Labels()) // labels become quoted strings
		formatBody(block.Body(), append(inBlocks, block.Type()))
	}
}

// formatValue unwraps a template that is nothing but one interpolation.
func formatValue(tokens hclwrite.Tokens) (hclwrite.Tokens, bool) {
	trimmed := trimNewlines(tokens)
	if len(trimmed) < 5 {
		return tokens, false
	}
	open, begin := trimmed[0], trimmed[1]
	end, closing := trimmed[len(trimmed)-2], trimmed[len(trimmed)-1]
	if open.Type != hclsyntax.TokenOQuote || begin.Type != hclsyntax.TokenTemplateInterp ||
		end.Type != hclsyntax.TokenTemplateSeqEnd || closing.Type != hclsyntax.TokenCQuote {
		return tokens, false
	}
	inside := trimmed[2 : len(trimmed)-2]
	depth := 0
	for _, token := range inside {
		switch token.Type {
		case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenTemplateSeqEnd:
			if depth--; depth < 0 {
				return tokens, false // a second interpolation: the quotes are needed
			}
		case hclsyntax.TokenQuotedLit:
			if depth == 0 && !insideQuotes(inside, token) {
				return tokens, false
			}
		}
	}
	inside = trimNewlines(inside)
	for _, token := range inside {
		if token.Type == hclsyntax.TokenNewline {
			// Over several lines only brackets keep an expression together.
			out := hclwrite.Tokens{{Type: hclsyntax.TokenOParen, Bytes: []byte("(")}}
			out = append(out, inside...)
			return append(out, &hclwrite.Token{Type: hclsyntax.TokenCParen, Bytes: []byte(")")}), true
		}
	}
	return inside, true
}

// insideQuotes reports whether a literal belongs to a string of its own.
func insideQuotes(tokens hclwrite.Tokens, literal *hclwrite.Token) bool {
	quotes := 0
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOQuote:
			quotes++
		case hclsyntax.TokenCQuote:
			quotes--
		}
		if token == literal {
			return quotes > 0
		}
	}
	return false
}

// formatType modernises types as they were written before 0.12: quoted, or
// collections without the type of their elements. Quoted words that were no
// types then are left for the reader of the file to complain about.
func formatType(tokens hclwrite.Tokens) hclwrite.Tokens {
	trimmed := trimNewlines(tokens)
	switch len(trimmed) {
	case 1:
		switch word := string(trimmed[0].Bytes); word {
		case "list", "map", "set":
			return collectionType(word, "any")
		}
	case 3:
		if trimmed[0].Type != hclsyntax.TokenOQuote || trimmed[2].Type != hclsyntax.TokenCQuote {
			return tokens
		}
		switch word := string(trimmed[1].Bytes); word {
		case "string":
			return hclwrite.Tokens{{Type: hclsyntax.TokenIdent, Bytes: []byte(word)}}
		case "list", "map":
			return collectionType(word, "string")
		}
	}
	return tokens
}

func collectionType(word, element string) hclwrite.Tokens {
	return hclwrite.Tokens{
		{Type: hclsyntax.TokenIdent, Bytes: []byte(word)},
		{Type: hclsyntax.TokenOParen, Bytes: []byte("(")},
		{Type: hclsyntax.TokenIdent, Bytes: []byte(element)},
		{Type: hclsyntax.TokenCParen, Bytes: []byte(")")},
	}
}

func trimNewlines(tokens hclwrite.Tokens) hclwrite.Tokens {
	for len(tokens) > 0 && tokens[0].Type == hclsyntax.TokenNewline {
		tokens = tokens[1:]
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].Type == hclsyntax.TokenNewline {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}
