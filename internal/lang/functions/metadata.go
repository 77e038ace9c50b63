package functions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// metadataVersion is the version of the format of [MetadataJSON].
const metadataVersion = "1.0"

// Signature describes one function to people and to editors. Its JSON form is
// that of "terraform metadata functions -json".
type Signature struct {
	Description string     `json:"description,omitempty"`
	ReturnType  cty.Type   `json:"return_type"`
	Parameters  []ParamDoc `json:"parameters,omitempty"`
	Variadic    *ParamDoc  `json:"variadic_parameter,omitempty"`
}

// ParamDoc describes one parameter of a function.
type ParamDoc struct {
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"`
	IsNullable  bool     `json:"is_nullable,omitempty"`
	Type        cty.Type `json:"type"`
}

// Signatures describes all functions that a configuration can call, by name,
// with the aliases in the core namespace. Functions that no longer do anything
// but fail are left out, and so is what only a console has.
func Signatures() map[string]Signature {
	all := make(map[string]Signature)
	texts, paramTexts := descriptions(), paramDescriptions()
	for name, f := range Table(Options{}) {
		plain := strings.TrimPrefix(name, CoreNamespace)
		text, described := texts[plain]
		if !described {
			continue
		}
		sig := Signature{Description: text, ReturnType: staticReturnType(plain, f)}
		for _, p := range f.Params() {
			sig.Parameters = append(sig.Parameters, paramDoc(p, paramTexts[plain]))
		}
		if p := f.VarParam(); p != nil {
			doc := paramDoc(*p, paramTexts[plain])
			sig.Variadic = &doc
		}
		all[name] = sig
	}
	return all
}

// MetadataJSON returns what "terraform metadata functions -json" prints, on one
// line without a line break at its end.
func MetadataJSON() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		FormatVersion string               `json:"format_version"`
		Functions     map[string]Signature `json:"function_signatures"`
	}{metadataVersion, Signatures()})
	if err != nil {
		return nil, fmt.Errorf("cannot write function metadata: %w", err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

func paramDoc(p function.Parameter, texts map[string]string) ParamDoc {
	doc := ParamDoc{Name: p.Name, Description: texts[p.Name], IsNullable: p.AllowNull, Type: p.Type}
	if p.Type.IsCapsuleType() {
		// A capsule is how a function gets hold of an unevaluated expression;
		// to its caller that is an argument of any type.
		doc.Type = cty.DynamicPseudoType
		if p.Name == "template" {
			doc.Type = cty.String
		}
	}
	return doc
}

// staticReturnType is what can be said about a function's result without
// knowing its arguments.
func staticReturnType(name string, f function.Function) cty.Type {
	switch name {
	case "can":
		return cty.Bool
	case "templatestring":
		return cty.String
	case "try", "convert":
		return cty.DynamicPseudoType
	}
	var args []cty.Type
	for _, p := range f.Params() {
		args = append(args, p.Type)
	}
	if p := f.VarParam(); p != nil {
		args = append(args, p.Type)
	}
	ty, err := f.ReturnType(args)
	if err != nil {
		return cty.DynamicPseudoType
	}
	return ty
}
