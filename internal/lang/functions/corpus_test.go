package functions

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tutti-dev/tutti/internal/lang/marks"
)

var update = flag.Bool("update", false, "rewrite the recorded answers with those of the terraform on PATH")

// entry is one expression of a corpus file with the answer that was recorded
// from Terraform, and ours where it differs on purpose.
type entry struct {
	line   int
	expr   string
	answer string
	ours   string
	differ bool
}

// want is what we are expected to answer.
func (e entry) want() string {
	if e.differ {
		return e.ours
	}
	return e.answer
}

func readCorpus(t *testing.T, name string) []entry {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []entry
	for i, line := range strings.Split(string(raw), "\n") {
		if expr, ok := strings.CutPrefix(line, "> "); ok {
			all = append(all, entry{line: i + 1, expr: expr})
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") || len(all) == 0 {
			continue
		}
		last := &all[len(all)-1]
		if ours, ok := strings.CutPrefix(line, "~"); ok {
			last.ours = join(last.ours, strings.TrimPrefix(ours, " "))
			last.differ = true
			continue
		}
		last.answer = join(last.answer, line)
	}
	return all
}

func join(text, line string) string {
	if text == "" {
		return line
	}
	return text + "\n" + line
}

// rewriteCorpus replaces the recorded answers in a corpus file.
func rewriteCorpus(t *testing.T, name string, answers []string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	next := 0
	for _, line := range strings.Split(string(raw), "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			out = append(out, line)
			if answers[next] != "" {
				out = append(out, answers[next])
			}
			next++
		case line == "", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "~"):
			out = append(out, line)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(out, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fixture is a directory with everything the corpus refers to.
func fixture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/files")); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("testdata/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	for name, content := range map[string][]byte{
		"main.tf":    config,
		"key.pem":    pem.EncodeToMemory(block),
		"cipher.txt": []byte(base64.StdEncoding.EncodeToString(cipher)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// scope is what testdata/main.tf defines, as our evaluator would see it.
func scope(o Options, overrides map[string]cty.Value) *hcl.EvalContext {
	vars := map[string]cty.Value{
		"eph": cty.StringVal("e").Mark(marks.Ephemeral),
		"s":   cty.StringVal("x"),
	}
	for name, v := range overrides {
		vars[name] = v
	}
	return &hcl.EvalContext{
		Functions: Table(o),
		Variables: map[string]cty.Value{
			"var": cty.ObjectVal(vars),
			"local": cty.ObjectVal(map[string]cty.Value{
				"unknown":   cty.DynamicVal,
				"tmpl":      cty.StringVal("hi X ${a}"),
				"sensitive": cty.StringVal("s${a}").Mark(marks.Sensitive),
				"badtmpl":   cty.StringVal("${"),
				"listtmpl":  cty.StringVal("${[1]}"),
				"num":       cty.NumberIntVal(3),
				"obj":       cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("${b}")}),
				"secret":    cty.StringVal("hush").Mark(marks.Sensitive),
			}),
		},
	}
}

func evaluate(expr string, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	parsed, diags := hclsyntax.ParseExpression([]byte(expr), "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	v, more := parsed.Value(ctx)
	return v, append(diags, more...)
}

func TestConsole(t *testing.T) {
	if *update {
		rewriteCorpus(t, "console.txt", askConsole(t, readCorpus(t, "console.txt")))
	}
	ctx := scope(Options{BaseDir: fixture(t), ConsoleMode: true}, nil)
	for _, e := range readCorpus(t, "console.txt") {
		got := ""
		v, diags := evaluate(e.expr, ctx)
		if diags.HasErrors() {
			got = "error: " + diags.Error()
		} else {
			got = consoleText(v)
		}
		if got != e.want() {
			t.Errorf("console.txt:%d: %s\n got %s\nwant %s", e.line, e.expr, got, e.want())
		}
	}
}

func TestConsoleAgreesWithTerraform(t *testing.T) {
	if testing.Short() {
		t.Skip("starts another program")
	}
	entries := readCorpus(t, "console.txt")
	for i, got := range askConsole(t, entries) {
		if e := entries[i]; got != e.answer {
			t.Errorf("console.txt:%d: %s\nTerraform answers %s\nrecorded %s", e.line, e.expr, got, e.answer)
		}
	}
}

// askConsole lets terraform answer all expressions. A console that is not
// interactive shows only the last answer, so that all expressions are made
// elements of one tuple, with marker strings between them. Calls of type cannot
// be part of anything and are asked one by one.
func askConsole(t *testing.T, entries []entry) []string {
	t.Helper()
	dir := fixture(t)
	answers := make([]string, len(entries))
	var tuple []string
	for i, e := range entries {
		if strings.HasPrefix(e.expr, "type(") {
			answers[i] = strings.TrimRight(terraform(t, dir, e.expr+"\n", "console", "-no-color"), "\n")
			continue
		}
		tuple = append(tuple, fmt.Sprintf("%q", marker(i)), e.expr)
	}
	out := terraform(t, dir, "["+strings.Join(append(tuple, `"@@end"`), ", ")+"]\n", "console", "-no-color")
	for i, e := range entries {
		if answers[i] != "" {
			continue
		}
		_, rest, found := strings.Cut(out, fmt.Sprintf("  %q,\n", marker(i)))
		if !found {
			t.Fatalf("no answer to %s in\n%s", e.expr, out)
		}
		answer, _, _ := strings.Cut(rest, "  \"@@")
		answer = strings.TrimSuffix(strings.TrimSuffix(answer, "\n"), ",")
		answers[i] = strings.ReplaceAll(strings.TrimPrefix(answer, "  "), "\n  ", "\n")
	}
	return answers
}

func marker(i int) string { return fmt.Sprintf("@@%d", i) }

// recordedFrom is the release whose answers the corpus holds. Others word some
// messages differently.
const recordedFrom = "1.11."

// terraform runs the installed terraform, or skips the test where there is
// none of the release that the corpus was recorded from.
func terraform(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	needTerraform(t)
	cmd := exec.Command("terraform", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_ARGS=", "TF_LOG=", "TF_IN_AUTOMATION=1")
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A failing validate still prints its report.
	if err := cmd.Run(); err != nil && stdout.Len() == 0 {
		t.Fatalf("terraform %s: %v\n%s", args[0], err, stderr.String())
	}
	return stdout.String()
}

// terraformVersion asks the installed terraform, once, what it is.
var terraformVersion = sync.OnceValue(func() string {
	var version struct {
		Terraform string `json:"terraform_version"`
	}
	raw, err := exec.Command("terraform", "version", "-json").Output()
	if err != nil || json.Unmarshal(raw, &version) != nil {
		return ""
	}
	return version.Terraform
})

func needTerraform(t *testing.T) {
	t.Helper()
	if v := terraformVersion(); !strings.HasPrefix(v, recordedFrom) {
		t.Skipf("needs terraform %sx on PATH, has %q", recordedFrom, v)
	}
}

// planning is the scope of errors.txt: values are unknown as while validating.
func planning(dir string) *hcl.EvalContext {
	return scope(Options{BaseDir: dir, PureOnly: true}, map[string]cty.Value{
		"eph": cty.UnknownVal(cty.String).Mark(marks.Ephemeral),
		"s":   cty.UnknownVal(cty.String),
	})
}

func TestErrors(t *testing.T) {
	if *update {
		rewriteCorpus(t, "errors.txt", askValidate(t, readCorpus(t, "errors.txt")))
	}
	// Messages contain paths as they are opened, so we must stand where
	// terraform stood.
	entries := readCorpus(t, "errors.txt")
	t.Chdir(fixture(t))
	ctx := planning("")
	for _, e := range entries {
		_, diags := evaluate(e.expr, ctx)
		if got := diagText(diags); got != e.want() {
			t.Errorf("errors.txt:%d: %s\n got %s\nwant %s", e.line, e.expr, got, e.want())
		}
	}
}

func diagText(diags hcl.Diagnostics) string {
	var lines []string
	for _, d := range diags {
		lines = append(lines, oneLine(d.Summary+": "+d.Detail))
	}
	return strings.Join(lines, "\n")
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

func TestErrorsAgreeWithTerraform(t *testing.T) {
	if testing.Short() {
		t.Skip("starts another program")
	}
	entries := readCorpus(t, "errors.txt")
	for i, got := range askValidate(t, entries) {
		if e := entries[i]; got != e.answer {
			t.Errorf("errors.txt:%d: %s\nTerraform says %s\nrecorded %s", e.line, e.expr, got, e.answer)
		}
	}
}

// askValidate makes an output value of each expression, one a line, and lets
// terraform validate report all that is wrong with them in one run.
func askValidate(t *testing.T, entries []entry) []string {
	t.Helper()
	dir := fixture(t)
	var config strings.Builder
	for i, e := range entries {
		fmt.Fprintf(&config, "output \"o%d\" { value = %s }\n", i, e.expr)
	}
	if err := os.WriteFile(filepath.Join(dir, "outputs.tf"), []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out := terraform(t, dir, "", "validate", "-json")
	var report struct {
		Diagnostics []struct {
			Summary, Detail string
			Range           struct {
				Filename string
				Start    struct{ Line int }
			}
		}
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&report); err != nil {
		t.Fatalf("terraform validate: %v\n%s", err, out)
	}
	answers := make([]string, len(entries))
	for _, d := range report.Diagnostics {
		if d.Range.Filename != "outputs.tf" {
			t.Fatalf("unexpected: %s: %s", d.Summary, d.Detail)
		}
		// That an output is sensitive is no fault of the expression.
		if d.Summary == "Output refers to sensitive values" {
			continue
		}
		i := d.Range.Start.Line - 1
		answers[i] = join(answers[i], oneLine(d.Summary+": "+d.Detail))
	}
	return answers
}
