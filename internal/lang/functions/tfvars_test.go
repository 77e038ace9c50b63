package functions

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// TestTerraformProviderFunctions holds what Terraform 1.11.4 answers.
func TestTerraformProviderFunctions(t *testing.T) {
	ctx := scope(Options{}, nil)
	ctx = &hcl.EvalContext{Variables: ctx.Variables, Functions: TerraformProviderFunctions()}
	check(t, ctx, [][2]string{
		{`encode_expr("a\nb")`, `"\"a\\nb\""`},
		{`encode_expr({})`, `"{}"`},
		{`encode_expr([])`, `"[]"`},
		{`encode_expr(null)`, `"null"`},
		{`encode_expr({ a = 1, b = "x$${y}\n", c = [1, 2], d = null, e = "é\"", "f g" = true })`,
			`"{\n  a     = 1\n  b     = \"x$${y}\\n\"\n  c     = [1, 2]\n  d     = null\n  e     = \"é\\\"\"\n  \"f g\" = true\n}"`},
		{`encode_expr(local.secret)`, "(sensitive value)"},
		{`encode_expr(local.unknown)`, "(known after apply)"},
		{`encode_expr([local.unknown])`, "(known after apply)"},
		{`encode_tfvars({ a = 1, b = "x", c = { d = [1, { e = 2 }] } })`,
			`"a = 1\nb = \"x\"\nc = {\n  d = [1, {\n    e = 2\n  }]\n}\n"`},
		{`encode_tfvars({})`, `""`},
		{`encode_tfvars({ a = local.unknown })`, "(known after apply)"},
		{`encode_tfvars({ "a b" = 1 })`, `error: Call to function "encode_tfvars" failed: invalid variable name "a b": must be a valid identifier, per Terraform's rules for input variable declarations.`},
		{`encode_tfvars([1])`, `error: Call to function "encode_tfvars" failed: invalid value to encode: must be an object whose attribute names will become the encoded variable names.`},
		{`encode_tfvars(null)`, `error: Invalid value for "value" parameter: argument must not be null.`},
		{`decode_tfvars("a = 1\nb = {x = null}")`, "{\n  \"a\" = 1\n  \"b\" = {\n    \"x\" = null\n  }\n}"},
		{`decode_tfvars("")`, "{}"},
		{`decode_tfvars("a = foo")`, `error: Call to function "decode_tfvars" failed: invalid expression for variable "a": <decode_tfvars argument>:1,5-8: Variables not allowed; Variables may not be used here..`},
		{`decode_tfvars("a {}")`, `error: Call to function "decode_tfvars" failed: invalid tfvars content: <decode_tfvars argument>:1,1-2: Unexpected "a" block; Blocks are not allowed here..`},
		{`decode_tfvars("a = ")`, `error: Call to function "decode_tfvars" failed: invalid tfvars syntax: <decode_tfvars argument>:1,5-5: Missing expression; Expected the start of an expression, but found the end of the file..`},
		{`decode_tfvars(null)`, `error: Invalid value for "src" parameter: argument must not be null.`},
		{`decode_tfvars(encode_tfvars({ a = [1, "b"] })).a[1]`, `"b"`},
	})
}

func BenchmarkTable(b *testing.B) {
	for b.Loop() {
		Table(Options{BaseDir: "."})
	}
}

func BenchmarkCall(b *testing.B) {
	f := Table(Options{})["coalesce"]
	args := []cty.Value{cty.NullVal(cty.String), cty.StringVal("a"), cty.StringVal("b")}
	for b.Loop() {
		if _, err := f.Call(args); err != nil {
			b.Fatal(err)
		}
	}
}
