package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// problems lists diagnostics, without the directory they were found in.
func problems(diags diag.List, dir string) string {
	var text []string
	for _, d := range diags {
		text = append(text, d.Severity.String()+": "+strings.ReplaceAll(d.Error(), dir+"/", ""))
	}
	return strings.Join(text, "\n")
}

const variablesForTests = `
-- main.tf --
variable "plain" {}
variable "string" { type = string }
variable "number" { type = number }
variable "any" { type = any }
variable "list" { type = list(string) }
variable "object" {
  type = object({ a = string, b = optional(number, 3), c = optional(list(object({ d = optional(string, "x") })), []) })
}
variable "objects" { type = map(object({ n = number })) }
variable "firm" {
  type     = number
  default  = 7
  nullable = false
}
variable "required" {
  type     = string
  nullable = false
}
variable "secret" {
  type      = list(number)
  sensitive = true
}
`

func TestPrepareVariable(t *testing.T) {
	c, found := load(t, variablesForTests)
	if found != "" {
		t.Fatal(found)
	}
	object := func(c ...cty.Value) cty.Value {
		elem := cty.Object(map[string]cty.Type{"d": cty.String})
		list := cty.ListValEmpty(elem)
		if len(c) > 0 {
			list = cty.ListVal(c)
		}
		return cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("1"), "b": cty.NumberIntVal(3), "c": list})
	}
	d := func(text string) cty.Value { return cty.ObjectVal(map[string]cty.Value{"d": cty.StringVal(text)}) }
	for _, test := range []struct {
		name  string
		given cty.Value
		from  InputSource
		want  cty.Value
	}{
		{"plain", cty.StringVal("[a"), FromCommandLine, cty.StringVal("[a")},
		{"string", cty.StringVal("null"), FromEnvironment, cty.StringVal("null")},
		{"string", cty.True, FromFile, cty.StringVal("true")},
		{"number", cty.StringVal("12"), FromPrompt, cty.NumberIntVal(12)},
		{"number", cty.NullVal(cty.DynamicPseudoType), FromFile, cty.NullVal(cty.Number)},
		{"any", cty.StringVal(`{ a = [1] }`), FromCommandLine, cty.ObjectVal(map[string]cty.Value{"a": cty.TupleVal([]cty.Value{cty.NumberIntVal(1)})})},
		{"any", cty.StringVal(`{ a = [1] }`), FromFile, cty.StringVal(`{ a = [1] }`)},
		{"list", cty.StringVal(`["a", 1]`), FromEnvironment, cty.ListVal([]cty.Value{cty.StringVal("a"), cty.StringVal("1")})},
		{"list", cty.StringVal(`[]`), FromEnvironment, cty.ListValEmpty(cty.String)},
		{"object", cty.StringVal(`{ a = 1 }`), FromCommandLine, object()},
		{"object", cty.StringVal(`{ a = 1, b = null, c = [{}, { d = "y" }] }`), FromCommandLine, object(d("x"), d("y"))},
		{"object", cty.StringVal(`null`), FromCommandLine, cty.NullVal(object().Type())},
		{"firm", cty.NullVal(cty.DynamicPseudoType), FromFile, cty.NumberIntVal(7)},
		{"secret", cty.StringVal("[1]").Mark("x"), FromCaller, cty.NilVal},
		{"list", cty.TupleVal([]cty.Value{cty.StringVal("a").Mark("x")}), FromCaller, cty.ListVal([]cty.Value{cty.StringVal("a").Mark("x")})},
		{"list", cty.UnknownVal(cty.List(cty.Number)), FromCaller, cty.UnknownVal(cty.List(cty.String))},
	} {
		got, diags := PrepareVariable(c.Root.Variables[test.name], InputValue{Value: test.given, Source: test.from})
		if test.want == cty.NilVal {
			if !diags.HasErrors() {
				t.Errorf("%s: %#v was accepted", test.name, test.given)
			}
			continue
		}
		if diags.HasErrors() || !got.RawEquals(test.want) {
			t.Errorf("%s of %#v is %#v, want %#v (%v)", test.name, test.given, got, test.want, diags.Err())
		}
	}
}

func TestUnsuitableValues(t *testing.T) {
	c, _ := load(t, variablesForTests)
	for _, test := range []struct {
		name, text string
		from       InputSource
		want       string
	}{
		{"number", "x", FromCommandLine, `Unsuitable value for var.number set using -var="number=...": a number is required.`},
		{"number", "x", FromEnvironment, `Unsuitable value for var.number set using the TF_VAR_number environment variable: a number is required.`},
		{"number", "x", FromPrompt, `Unsuitable value for var.number entered interactively: a number is required.`},
		{"list", `["a", {}]`, FromCommandLine, `element 1: string required`},
		{"list", "x", FromCommandLine, `is not a valid expression for a value of type list of string`},
		{"list", `[upper("x")]`, FromCommandLine, `is not a valid expression`},
		{"list", ``, FromCommandLine, `is not a valid expression`},
		{"objects", `{ k = { n = "x" } }`, FromCommandLine, `["k"].n: a number is required`},
		{"object", `{}`, FromCommandLine, `attribute "a" is required`},
		{"secret", `["hunter2"]`, FromCommandLine, `a number is required`},
		{"secret", `[hunter2`, FromCommandLine, `not shown because the variable is sensitive`},
		{"secret", `hunter2(1)`, FromCommandLine, `not shown because the variable is sensitive`},
	} {
		_, diags := PrepareVariable(c.Root.Variables[test.name], InputValue{Value: cty.StringVal(test.text), Source: test.from})
		text := fmt.Sprint(diags)
		if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), test.want) || strings.Contains(text, "hunter2") {
			t.Errorf("%s of %q: got %v, want an error that says %q", test.name, test.text, diags.Err(), test.want)
		}
	}
	_, diags := PrepareVariable(c.Root.Variables["required"], InputValue{Value: cty.NullVal(cty.DynamicPseudoType), Source: FromFile})
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "must not be null") {
		t.Error(err)
	}
}

func TestCollectVariablesPrecedence(t *testing.T) {
	c, _ := load(t, `
-- main.tf --
variable "v" { default = "" }
`)
	dir := c.Root.SourceDir
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var given []GivenVariable
	check := func(want string, source InputSource) {
		t.Helper()
		files := map[string][]byte{}
		values, diags := CollectVariables(dir, "the root module", c.Root, given, []string{"TF_VAR_v=env", "TF_VAR_other=x"}, files)
		v, ok := values["v"]
		if len(diags) > 0 || !ok || v.Value.AsString() != want || v.Source != source {
			t.Errorf("got %#v, want %s (%v)", v, want, diags)
		}
		if v.Range != nil && files[v.Range.Filename] == nil {
			t.Errorf("the text of %s was not kept", v.Range.Filename)
		}
	}
	check("env", FromEnvironment)
	write("terraform.tfvars", `v = "tfvars"`)
	check("tfvars", FromAutoFile)
	write("terraform.tfvars.json", `{"v": "json ${not.evaluated}"}`)
	values, _ := CollectVariables(dir, "the root module", c.Root, nil, nil, nil)
	if got := values["v"].Value.AsString(); got != "json ${not.evaluated}" {
		t.Errorf("JSON text is %q", got)
	}
	write("b.auto.tfvars", `v = "b"`)
	write("a.auto.tfvars.json", `{"v": "a"}`)
	write("z.tfvars", `v = "not automatic"`)
	check("b", FromAutoFile)
	given = []GivenVariable{{Text: "v=one"}}
	check("one", FromCommandLine)
	given = append(given, GivenVariable{File: true, Text: write("f.tfvars", `v = "file"`)})
	check("file", FromFile)
	given = append(given, GivenVariable{Text: "v=a=b"})
	check("a=b", FromCommandLine)
}

func TestCollectVariablesProblems(t *testing.T) {
	c, _ := load(t, `
-- main.tf --
variable "v" { default = "" }
-- many.tfvars --
a = 1
b = 2
v = 3
c = 3
d = 4
-- block.tfvars --
variable "v" {
}
-- other.tfvars --
foo {
}
-- refers.tfvars --
v = local.x
a = b(1)
-- broken.tfvars --
v =
-- list.tfvars.json --
["v"]
`)
	dir := c.Root.SourceDir
	file := func(name string) GivenVariable { return GivenVariable{File: true, Text: filepath.Join(dir, name)} }
	for _, test := range []struct {
		given GivenVariable
		want  string
	}{
		{GivenVariable{Text: "w=1"}, `error: Value for undeclared variable; A variable named "w" was assigned on the command line`},
		{GivenVariable{Text: "v"}, `error: Invalid -var option`},
		{GivenVariable{Text: "v =1"}, `remove the spaces`},
		{file("many.tfvars"), "warning: many.tfvars:1,5: Value for undeclared variable"},
		{file("many.tfvars"), "warning: Values for undeclared variables; In addition to the other similar warnings shown, 2 other variable(s)"},
		{file("missing.tfvars"), "does not exist"},
		{file("block.tfvars"), "error: block.tfvars:1,1: Variable declaration in .tfvars file"},
		{file("other.tfvars"), "error: other.tfvars:1,1: Unexpected block"},
		{file("refers.tfvars"), "error: refers.tfvars:1,5: Variables not allowed"},
		{file("refers.tfvars"), "error: refers.tfvars:2,5: Function calls not allowed"},
		{file("broken.tfvars"), "error: broken.tfvars:1,4: Invalid expression"},
		{file("list.tfvars.json"), "error: list.tfvars.json:1,"},
	} {
		_, diags := CollectVariables(dir, "the root module", c.Root, []GivenVariable{test.given}, nil, nil)
		if text := problems(diags, dir); !strings.Contains(text, test.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", test.given.Text, text, test.want)
		}
	}
}
