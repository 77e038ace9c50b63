// Package test holds the tests that drive the finished binary from outside, as
// users and their tools do.
package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// equivalenceSpec is a case's spec.json.
type equivalenceSpec struct {
	IgnoreFields map[string][]string  `json:"ignore_fields"`
	Commands     []equivalenceCommand `json:"commands"`
}

type equivalenceCommand struct {
	Name          string   `json:"name"`
	Arguments     []string `json:"arguments"`
	CaptureOutput bool     `json:"capture_output"`
	OutputFile    string   `json:"output_file_name"`
	JSONOutput    bool     `json:"has_json_output"`
	StreamsJSON   bool     `json:"streams_json_output"`
}

var standardCommands = []equivalenceCommand{
	{Name: "init", Arguments: []string{"init"}},
	{Name: "plan", Arguments: []string{"plan", "-out=equivalence_test_plan"}},
	{Name: "apply", Arguments: []string{"apply", "-json", "equivalence_test_plan"}, CaptureOutput: true, OutputFile: "apply.json", JSONOutput: true, StreamsJSON: true},
	{Name: "show_state", Arguments: []string{"show", "-json"}, CaptureOutput: true, OutputFile: "state.json", JSONOutput: true},
	{Name: "show_plan", Arguments: []string{"show", "-json", "equivalence_test_plan"}, CaptureOutput: true, OutputFile: "plan.json", JSONOutput: true},
}

// TestEquivalence runs every recorded case and compares plan, state and apply
// JSON with what was recorded from OpenTofu.
func TestEquivalence(t *testing.T) {
	tutti := binary(t)
	config := providerMirror(t)
	root := filepath.Join("..", "testdata", "equivalence")
	cases, err := os.ReadDir(filepath.Join(root, "tests"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			runEquivalence(t, tutti, config, filepath.Join(root, "tests", c.Name()), filepath.Join(root, "outputs", c.Name()))
		})
	}
}

func runEquivalence(t *testing.T, tutti, config, src, golden string) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	var spec equivalenceSpec
	raw, err := os.ReadFile(filepath.Join(dir, "spec.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "spec.json"))
	// The recorded hashes are those of the published binaries.
	os.Remove(filepath.Join(dir, ".terraform.lock.hcl"))
	commands := spec.Commands
	if commands == nil {
		commands = standardCommands
	}
	for _, c := range commands {
		cmd := exec.Command(tutti, c.Arguments...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+config, "HOME="+dir, "TF_IN_AUTOMATION=", "TUTTI_SCHEMA_CACHE=off", "XDG_CONFIG_HOME="+dir)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("tutti %s: %v\n%s%s", strings.Join(c.Arguments, " "), err, stdout.String(), stderr.String())
		}
		if !c.CaptureOutput || !c.JSONOutput {
			continue
		}
		want, err := os.ReadFile(filepath.Join(golden, c.OutputFile))
		if err != nil {
			t.Fatal(err)
		}
		got := stdout.Bytes()
		if c.StreamsJSON {
			got = joinLines(got)
		}
		diff := cmp.Diff(normalise(t, c.OutputFile, want, spec.IgnoreFields[c.OutputFile]), normalise(t, c.OutputFile, got, spec.IgnoreFields[c.OutputFile]))
		if diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", c.OutputFile, diff)
		}
	}
}

// joinLines makes one array of a stream of JSON lines.
func joinLines(lines []byte) []byte {
	return append(append([]byte("["), bytes.ReplaceAll(bytes.TrimSpace(lines), []byte("\n"), []byte(","))...), ']')
}

// normalise removes what the cases do not compare: product versions, registry
// host, times, log lines, and the order of events that happen at once.
func normalise(t *testing.T, name string, raw []byte, ignore []string) any {
	t.Helper()
	raw = bytes.ReplaceAll(raw, []byte("registry.opentofu.org/"), []byte("registry.terraform.io/"))
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, raw)
	}
	fields := append([]string{"terraform_version", "@timestamp", "timestamp", "elapsed_seconds", "@module"}, ignore...)
	if events, ok := v.([]any); ok {
		var kept []any
		for _, e := range events {
			m := e.(map[string]any)
			if m["type"] == "version" || m["type"] == "log" {
				continue
			}
			kept = append(kept, strip(e, fields))
		}
		sort.SliceStable(kept, func(i, j int) bool { return eventKey(kept[i]) < eventKey(kept[j]) })
		return kept
	}
	return strip(v, fields)
}

func eventKey(e any) string {
	raw, _ := json.Marshal(e)
	return string(raw)
}

func strip(v any, fields []string) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			drop := false
			for _, f := range fields {
				drop = drop || k == f
			}
			if !drop {
				out[k] = strip(e, fields)
			}
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = strip(e, fields)
		}
		return out
	}
	return v
}
