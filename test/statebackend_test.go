package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStateBackend speaks the protocol of Terraform's backend "http".
func TestStateBackend(t *testing.T) {
	p := newServed(t)
	s := p.server()
	const path = "/api/v1/state/default/site"
	if code, body, _ := s.do("GET", path, nil); code != 204 {
		t.Fatalf("a state that is not there: %d %s", code, body)
	}
	lock := map[string]any{"ID": "a-lock", "Operation": "OperationTypeApply", "Who": "ann@host", "Version": "1.11.4", "Created": "2026-01-02T03:04:05Z"}
	if code, body, _ := s.do("LOCK", path, lock); code != 200 {
		t.Fatalf("lock: %d %s", code, body)
	}
	code, body, _ := s.do("LOCK", path, map[string]any{"ID": "another"})
	var held struct{ ID, Who string }
	if err := json.Unmarshal(body, &held); err != nil || code != 423 || held.ID != "a-lock" || held.Who != "ann@host" {
		t.Errorf("a second lock: %d %s", code, body)
	}
	// Tutti's own runs are kept off, and say why.
	out, exit := p.run("apply", "-auto-approve")
	if exit != 1 || !strings.Contains(out, "ann@host") || !strings.Contains(out, "tutti force-unlock a-lock") {
		t.Errorf("an apply beside the lock: %d %s", exit, out)
	}
	state := `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"3c8f7a34-6a34-4c9e-8a4e-2b8f6f3b3a10","outputs":{},"resources":[{"mode":"managed","type":"terraform_data","name":"page","provider":"provider[\"terraform.io/builtin/terraform\"]","instances":[{"schema_version":0,"attributes":{"id":"x","input":null,"output":null,"triggers_replace":null}}]}],"check_results":null}`
	for _, c := range []struct {
		query string
		want  int
	}{{"", 423}, {"?ID=another", 423}, {"?ID=a-lock", 200}} {
		if code, body, _ := s.do("POST", path+c.query, state); code != c.want {
			t.Errorf("push%s: %d %s", c.query, code, body)
		}
	}
	code, body, _ = s.do("GET", path, nil)
	var pulled struct {
		Serial    int
		Lineage   string
		Resources []any
	}
	if err := json.Unmarshal(body, &pulled); err != nil || code != 200 || pulled.Serial != 1 || pulled.Lineage != "3c8f7a34-6a34-4c9e-8a4e-2b8f6f3b3a10" || len(pulled.Resources) != 1 {
		t.Errorf("pull: %d %s", code, body)
	}
	if code, _, _ := s.do("UNLOCK", path, map[string]any{"ID": "another"}); code != 423 {
		t.Errorf("unlocked with another id: %d", code)
	}
	if out := p.mustRun("force-unlock", "-force", "a-lock"); !strings.Contains(out, "is gone") {
		t.Errorf("force-unlock says %s", out)
	}
	if code, body, _ := s.do("POST", path, strings.Replace(state, `"serial":1`, `"serial":0`, 1)); code != 409 {
		t.Errorf("an older state: %d %s", code, body)
	}
	if code, body, _ := s.do("POST", path, `{"version":4`); code != 422 {
		t.Errorf("half a state: %d %s", code, body)
	}
}

// TestStateBackendTerraform lets Terraform itself keep its state on a server.
func TestStateBackendTerraform(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("there is no terraform here")
	}
	p := newServed(t)
	s := p.server()
	work := t.TempDir()
	config := `
terraform {
  backend "http" {
    address        = "` + s.url + `/api/v1/state/default/site"
    lock_address   = "` + s.url + `/api/v1/state/default/site"
    unlock_address = "` + s.url + `/api/v1/state/default/site"
  }
}
resource "terraform_data" "page" {
  input = "welcome"
}
output "text" {
  value = terraform_data.page.output
}
`
	p.write("site/main.tf", config[strings.Index(config, "resource"):])
	if err := os.WriteFile(work+"/main.tf", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(terraform, args...)
		cmd.Dir, cmd.Env = work, append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_INPUT=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("terraform %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("init", "-no-color")
	run("apply", "-no-color", "-auto-approve")
	if out := run("output", "-no-color", "-raw", "text"); out != "welcome" {
		t.Errorf("the output is %q", out)
	}
	// It is Tutti's state: there is nothing left to do.
	if out := p.mustRun("plan", "-no-color"); !strings.Contains(out, "No changes") {
		t.Errorf("Tutti plans\n%s", out)
	}
	run("destroy", "-no-color", "-auto-approve")
	if out := p.mustRun("state", "list"); out != "" {
		t.Errorf("the state still has %s", out)
	}
}
