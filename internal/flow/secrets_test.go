package flow

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// TestSecrets evaluates arguments with secrets that the machine never sees.
func TestSecrets(t *testing.T) {
	source := `
secret "pw" {
  store {}
}
locals {
  login = "user:${secret.pw}"
}
workflow "w" {
  step "s" {
    exec {
      command     = ["run", uuid(), timestamp()]
      environment = { PW = secret.pw, LOGIN = local.login }
      idempotent  = secret.pw == "yes"
    }
  }
}
`
	p, diags := projects.Parse(".", map[string][]byte{"x.tutti.hcl": []byte(source)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	d, diags := New(p, "w", nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	m := NewMachine(d)
	start, _ := json.Marshal(Start{Run: "r"})
	if _, err := m.Apply(workflow.Entry{Sequence: 1, Kind: workflow.RunStarted, Time: time.Unix(5, 0), Data: start}); err != nil {
		t.Fatal(err)
	}
	e := m.Effect(0)
	if !slices.Equal(e.Needs, []string{"pw"}) || e.Problem != nil || e.Repeatable || e.Arguments.IsWhollyKnown() {
		t.Fatalf("%+v", e)
	}
	for range 2 {
		full := e.WithSecrets(map[string]string{"pw": "hunter2"})
		if full.Problem != nil || !full.Marked || len(full.Needs) > 0 {
			t.Fatalf("%+v", full)
		}
		for _, text := range []string{"hunter2", "user:hunter2"} {
			if !slices.Contains(full.Secrets, text) {
				t.Errorf("%q is not hidden: %v", text, full.Secrets)
			}
		}
		bare, _ := full.Arguments.UnmarkDeep()
		if got := bare.GetAttr("environment").AsValueMap()["LOGIN"].AsString(); got != "user:hunter2" {
			t.Error(got)
		}
		before, _ := e.Arguments.UnmarkDeep()
		if !bare.GetAttr("command").RawEquals(before.GetAttr("command")) {
			t.Error("what is random is not the same")
		}
	}
}

func TestSecretsRefused(t *testing.T) {
	for name, test := range map[string]struct{ step, want string }{
		"when":     {`when = secret.pw == "x"` + "\n" + `exec { command = ["true"] }`, "What decides about steps"},
		"for_each": {`for_each = [local.login]` + "\n" + `exec { command = ["true"] }`, "What decides about steps"},
		"cache":    {`cache { key = secret.pw }` + "\n" + `exec { command = ["true"] }`, "What decides about steps"},
		"emit":     {`emit { type = secret.pw }`, "everybody may read the feed"},
		"wait":     {`wait { duration = local.login }`, "in no journal"},
		"missing":  {`exec { command = [secret.pww] }`, `Did you mean "pw"`},
		"alone":    {`exec { command = [jsonencode(secret)] }`, "cannot be used on its own"},
	} {
		p, diags := projects.Parse(".", map[string][]byte{"x.tutti.hcl": []byte("secret \"pw\" {\n  store {}\n}\nlocals {\n  login = secret.pw\n}\nworkflow \"w\" {\n  step \"s\" {\n" + test.step + "\n}\n}\n")})
		if !diags.HasErrors() {
			_, diags = New(p, "w", nil)
		}
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
