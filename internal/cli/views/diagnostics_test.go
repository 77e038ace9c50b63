package views

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/zclconf/go-cty/cty"
)

const diagnosticSource = `variable "size" {
  default = "big"
}

resource "terraform_data" "a" {
  input = {
    size   = var.size
    broken = var.size + var.secret + local.later + local.settings.nope
  }
}
output "one" { value = var.size }
`

// rangeOf returns the range of a piece of diagnosticSource.
func rangeOf(t *testing.T, piece string) *hcl.Range {
	t.Helper()
	at := strings.Index(diagnosticSource, piece)
	if at < 0 {
		t.Fatalf("no %q in the source", piece)
	}
	position := func(offset int) hcl.Pos {
		before := diagnosticSource[:offset]
		return hcl.Pos{
			Line: strings.Count(before, "\n") + 1, Column: offset - strings.LastIndexByte(before, '\n'), Byte: offset,
		}
	}
	return &hcl.Range{Filename: "main.tf", Start: position(at), End: position(at + len(piece))}
}

var diagnosticSources = map[string][]byte{"main.tf": []byte(diagnosticSource)}

func TestDiagnosticsGolden(t *testing.T) {
	text := "var.size + var.secret + local.later + local.settings.nope"
	list := failingOperand(t, text)
	list = append(list,
		diag.Diagnostic{Severity: diag.Error, Summary: "Cannot reach the provider", Detail: "It said:\n\n\x1b[31mred\x1b[0m and \x1b]0;title\abell\u202e.\n", Address: "terraform_data.b"},
		diag.Diagnostic{Severity: diag.Error, Summary: "Two lines", Detail: "Of source.", Subject: rangeOf(t, "input = {\n    size")},
		diag.Diagnostic{Severity: diag.Error, Summary: "Unknown file", Detail: "Nothing to quote.", Subject: &hcl.Range{Filename: "gone.tf", Start: hcl.Pos{Line: 3}}},
		diag.Diagnostic{Severity: diag.Error, Summary: "In one line", Detail: "The block has one line.", Subject: rangeOf(t, "var.size }")},
		diag.Diagnostic{Severity: diag.Error, Summary: "A summary that is a good deal longer than it ought to be so that it does not fit a line", Detail: "Header.", Subject: rangeOf(t, `variable "size"`)},
	)
	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		terminal := &Terminal{Out: &out, Width: 80, Color: color}
		terminal.Diagnostics(list, diagnosticSources)
		name := "diagnostics.txt"
		if color {
			name = "diagnostics_color.txt"
		}
		golden(t, name, out.Bytes())
		if strings.Contains(out.String(), "hunter2") {
			t.Error("a sensitive value is shown")
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(DiagnosticsJSON(list, diagnosticSources)); err != nil {
		t.Fatal(err)
	}
	golden(t, "diagnostics.json", out.Bytes())
}

func failingOperand(t *testing.T, text string) diag.List {
	t.Helper()
	expr, diags := hclsyntax.ParseExpression([]byte(text), "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	scope := &hcl.EvalContext{Variables: map[string]cty.Value{
		"var": cty.ObjectVal(map[string]cty.Value{
			"size": cty.StringVal("big"), "secret": cty.StringVal("hunter2").Mark(marks.Sensitive),
		}),
		"local": cty.ObjectVal(map[string]cty.Value{
			"later":    cty.UnknownVal(cty.Number),
			"settings": cty.ObjectVal(map[string]cty.Value{"a": cty.True}),
		}),
	}}
	long := "The operands must be numbers. This sentence is here to be longer than the lines of a terminal are, so that it has to be wrapped."
	return diag.List{{
		Severity: diag.Error, Summary: "Invalid operand", Detail: long + "\n\nFor example:\n    1 + 2", Address: "terraform_data.a",
		Subject: rangeOf(t, text), Expression: expr, EvalContext: scope,
	}}
}

func TestWarningsAlikeAreShownOnce(t *testing.T) {
	list := diag.List{
		diag.WarningAt(*rangeOf(t, "default"), "Old argument", "Use another.")[0],
		diag.WarningAt(*rangeOf(t, "input"), "Old argument", "Use another.")[0],
		diag.WarningAt(*rangeOf(t, "size   ="), "Old argument", "Use another.")[0],
		diag.Warningf("By itself", "No place.")[0],
		diag.Warningf("By itself", "No other place.")[0],
	}
	var full, compact bytes.Buffer
	(&Terminal{Out: &full, Width: 80}).Diagnostics(list, diagnosticSources)
	golden(t, "warnings.txt", full.Bytes())
	(&Terminal{Out: &compact, Width: 80, CompactWarnings: true}).Diagnostics(list, diagnosticSources)
	golden(t, "warnings_compact.txt", compact.Bytes())
}
