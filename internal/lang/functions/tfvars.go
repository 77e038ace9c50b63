package functions

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// TerraformProviderFunctions returns the functions of the provider that is
// built into Terraform, terraform.io/builtin/terraform, by their names without
// the provider's namespace.
func TerraformProviderFunctions() map[string]function.Function {
	return map[string]function.Function{
		"decode_tfvars": decodeTFVarsFunc(),
		"encode_expr":   encodeExprFunc(),
		"encode_tfvars": encodeTFVarsFunc(),
	}
}

func encodeExprFunc() function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true}},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(cty.String), nil
			}
			return cty.StringVal(string(hclwrite.TokensForValue(args[0]).Bytes())), nil
		},
	})
}

func encodeTFVarsFunc() function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v := args[0]
			if ty := v.Type(); !ty.IsObjectType() && !ty.IsMapType() {
				return cty.NilVal, errors.New("invalid value to encode: must be an object whose attribute names will become the encoded variable names")
			}
			vals := v.AsValueMap()
			names := slices.Sorted(maps.Keys(vals))
			for _, name := range names {
				if !hclsyntax.ValidIdentifier(name) {
					return cty.NilVal, fmt.Errorf("invalid variable name %q: must be a valid identifier, per Terraform's rules for input variable declarations", name)
				}
			}
			if !v.IsWhollyKnown() {
				return cty.UnknownVal(cty.String), nil
			}
			file := hclwrite.NewEmptyFile()
			for _, name := range names {
				file.Body().SetAttributeValue(name, vals[name])
			}
			return cty.StringVal(string(file.Bytes())), nil
		},
	})
}

// tfvarsName stands for the file name in messages about decoded text.
const tfvarsName = "<decode_tfvars argument>"

func decodeTFVarsFunc() function.Function {
	return function.New(&function.Spec{
		Params:       stringParams("src"),
		Type:         function.StaticReturnType(cty.DynamicPseudoType),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			file, diags := hclsyntax.ParseConfig([]byte(args[0].AsString()), tfvarsName, hcl.InitialPos)
			if diags.HasErrors() {
				return cty.NilVal, fmt.Errorf("invalid tfvars syntax: %w", diags)
			}
			attrs, diags := file.Body.JustAttributes()
			if diags.HasErrors() {
				return cty.NilVal, fmt.Errorf("invalid tfvars content: %w", diags)
			}
			vals := make(map[string]cty.Value, len(attrs))
			for _, name := range slices.Sorted(maps.Keys(attrs)) {
				v, diags := attrs[name].Expr.Value(nil)
				if diags.HasErrors() {
					return cty.NilVal, fmt.Errorf("invalid expression for variable %q: %w", name, diags)
				}
				vals[name] = v
			}
			return cty.ObjectVal(vals), nil
		},
	})
}
