package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cornered is a project of the corner provider.
func cornered(t *testing.T, config string) *project {
	t.Helper()
	p := newProject(t, "terraform {\n  required_providers {\n    corner = {\n      source = \"tutti-dev/corner\"\n    }\n  }\n}\n"+config)
	p.env = append(p.env, "TF_CLI_CONFIG_FILE="+providerMirror(t))
	p.mustRun("init")
	return p
}

// configure replaces what is configured beside the requirements.
func (p *project) configure(config string) {
	p.t.Helper()
	p.write("main.tf", "terraform {\n  required_providers {\n    corner = {\n      source = \"tutti-dev/corner\"\n    }\n  }\n}\n"+config)
}

func (p *project) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// operations is what the provider did, without the last line's end.
func (p *project) operations() string {
	data, err := os.ReadFile(filepath.Join(p.dir, "corner.d", "operations.log"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// expect runs a command that is to end with a code and to say something.
func (p *project) expect(code int, words []string, args ...string) string {
	p.t.Helper()
	out, got := p.run(args...)
	if got != code {
		p.t.Fatalf("tutti %s: exit code %d instead of %d\n%s", strings.Join(args, " "), got, code, out)
	}
	plain := strings.Join(strings.Fields(out), " ") // lines are wrapped
	for _, word := range words {
		if !strings.Contains(plain, word) {
			p.t.Fatalf("tutti %s did not say %q:\n%s", strings.Join(args, " "), word, out)
		}
	}
	return out
}

// instance is one object in the state.
type instance struct {
	Status        string         `json:"status"`
	SchemaVersion int            `json:"schema_version"`
	Attributes    map[string]any `json:"attributes"`
	Identity      map[string]any `json:"identity"`
}

// state returns the objects by address.
func (p *project) state() map[string]instance {
	p.t.Helper()
	var doc struct {
		Resources []struct {
			Type, Name string
			Instances  []instance
		}
	}
	if err := json.Unmarshal([]byte(p.mustRun("state", "pull")), &doc); err != nil {
		p.t.Fatal(err)
	}
	out := map[string]instance{}
	for _, r := range doc.Resources {
		for _, inst := range r.Instances {
			out[r.Type+"."+r.Name] = inst
		}
	}
	return out
}

// Write-only values go to the provider and nowhere else.
func TestWriteOnly(t *testing.T) {
	config := func(value, version string) string {
		return `
variable "secret" {
  ephemeral = true
}
resource "corner_secret" "a" {
  name              = "a"
  secret_wo         = "` + value + `${var.secret}"
  secret_wo_version = ` + version + `
}
output "digest" {
  value = corner_secret.a.digest
}
`
	}
	p := cornered(t, config("canary-", "1"))
	p.mustRun("plan", "-out=saved.plan", "-var=secret=yellow")
	p.mustRun("apply", "-var=secret=yellow", "saved.plan")
	p.expect(0, []string{"No changes"}, "plan", "-detailed-exitcode", "-var=secret=blue")
	first := p.mustRun("output", "-raw", "digest")
	p.configure(config("canary-", "2"))
	p.mustRun("apply", "-auto-approve", "-var=secret=blue")
	if second := p.mustRun("output", "-raw", "digest"); second == first {
		t.Error("the new secret did not reach the provider")
	}
	if got := p.state()["corner_secret.a"].Attributes["secret_wo"]; got != nil {
		t.Errorf("the state has %v", got)
	}
	for _, canary := range []string{"canary-yellow", "canary-blue"} {
		err := filepath.WalkDir(p.dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if strings.Contains(string(data), canary) {
				t.Errorf("%s is in %s", canary, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Ephemeral objects are opened where they are needed, renewed, and closed, also
// where something fails.
func TestEphemeral(t *testing.T) {
	p := cornered(t, `
ephemeral "corner_ticket" "t" {
  name  = "t"
  renew = 1
}
resource "corner_secret" "a" {
  name              = "a"
  secret_wo         = ephemeral.corner_ticket.t.token
  secret_wo_version = 1
}
resource "terraform_data" "slow" {
  input = corner_secret.a.digest
  provisioner "local-exec" {
    command = "while ! grep -q renew corner.d/operations.log; do :; done; exit 1"
    environment = {
      TOKEN = ephemeral.corner_ticket.t.token
    }
  }
}
`)
	out := p.expect(1, []string{"local-exec"}, "apply", "-auto-approve")
	if strings.Contains(out, "token-of-t") {
		t.Errorf("the token was shown:\n%s", out)
	}
	opened, closed, renewed := strings.Count(p.operations(), "open ticket t"), strings.Count(p.operations(), "close ticket t"), strings.Count(p.operations(), "renew ticket t")
	if opened == 0 || opened != closed || renewed == 0 {
		t.Errorf("opened %d times, closed %d times, renewed %d times:\n%s", opened, closed, renewed, p.operations())
	}
}

// A state of an old schema is upgraded, and an object moves to another type.
func TestUpgradeAndMove(t *testing.T) {
	p := cornered(t, `
resource "corner_upgraded" "old" {
  name  = "old"
  title = "Old"
}
resource "corner_upgraded" "older" {
  name  = "older"
  title = "Older"
}
`)
	p.write("terraform.tfstate", `{"version": 4, "terraform_version": "1.5.0", "serial": 3, "lineage": "6f1e2b0e-0000-0000-0000-000000000000", "outputs": {}, "resources": [
  {"mode": "managed", "type": "corner_upgraded", "name": "old", "provider": "provider[\"registry.terraform.io/tutti-dev/corner\"]",
   "instances": [{"schema_version": 1, "attributes": {"name": "old", "titles": ["Old"]}}]},
  {"mode": "managed", "type": "corner_upgraded", "name": "older", "provider": "provider[\"registry.opentofu.org/tutti-dev/corner\"]",
   "instances": [{"schema_version": 0, "attributes": {"name": "older", "label": "Older"}}]}]}`)
	p.expect(0, []string{"No changes"}, "plan", "-detailed-exitcode")
	p.mustRun("apply", "-auto-approve")
	if got := p.state()["corner_upgraded.older"]; got.SchemaVersion != 2 || got.Attributes["title"] != "Older" {
		t.Errorf("the state has %+v", got)
	}
	p.configure(`
resource "corner_moved" "new" {
  name  = "old"
  title = "Old"
}
moved {
  from = corner_upgraded.old
  to   = corner_moved.new
}
resource "corner_upgraded" "older" {
  name  = "older"
  title = "Older"
}
`)
	p.expect(0, []string{"corner_upgraded.old has moved to corner_moved.new", "0 to add, 0 to change, 0 to destroy"}, "plan")
	p.mustRun("apply", "-auto-approve")
	if got := p.state(); len(got) != 2 || got["corner_moved.new"].Attributes["title"] != "Old" {
		t.Errorf("the state has %+v", got)
	}
	if p.operations() != "" {
		t.Errorf("the provider did\n%s", p.operations())
	}
	// A newer schema than the provider's cannot be downgraded.
	other := cornered(t, "resource \"corner_upgraded\" \"old\" {\n  name = \"old\"\n  title = \"Old\"\n}\n")
	other.write("terraform.tfstate", `{"version": 4, "terraform_version": "1.5.0", "serial": 3, "lineage": "6f1e2b0e-0000-0000-0000-000000000001", "outputs": {}, "resources": [
  {"mode": "managed", "type": "corner_upgraded", "name": "old", "provider": "provider[\"registry.terraform.io/tutti-dev/corner\"]",
   "instances": [{"schema_version": 9, "attributes": {"name": "old", "future": true}}]}]}`)
	other.expect(1, []string{"corner_upgraded.old", "newer"}, "plan")
}

// Private data come back to the provider with every call, and survive an export.
func TestPrivateData(t *testing.T) {
	config := func(value string) string {
		return "resource \"corner_private\" \"a\" {\n  name  = \"a\"\n  value = \"" + value + "\"\n}\n"
	}
	p := cornered(t, config("one"))
	p.mustRun("apply", "-auto-approve")
	p.configure(config("two"))
	p.mustRun("apply", "-auto-approve")
	p.write("exported.tfstate", p.mustRun("state", "pull"))
	p.mustRun("state", "rm", "corner_private.a")
	p.mustRun("state", "push", "-force", "exported.tfstate")
	p.configure(config("three"))
	p.mustRun("apply", "-auto-approve")
	if got := p.state()["corner_private.a"].Attributes["writes"]; got != 3.0 {
		t.Errorf("%v writes", got)
	}
	p.mustRun("destroy", "-auto-approve")
}

func misbehaving(does, value string) string {
	return "resource \"corner_misbehaved\" \"a\" {\n  name  = \"a\"\n  does  = \"" + does + "\"\n  value = \"" + value + "\"\n}\nresource \"terraform_data\" \"other\" {\n  input = \"x\"\n}\nresource \"terraform_data\" \"after\" {\n  input = corner_misbehaved.a.id\n}\n"
}

// A provider that crashes is named, with what it said; nothing that was recorded
// is lost, and what was being created is in doubt, not forgotten.
func TestCrashes(t *testing.T) {
	p := cornered(t, misbehaving("crash on plan", "v"))
	p.expect(1, []string{"tutti-dev/corner", "the provider crashes on plan", "corner_misbehaved.a"}, "plan")
	p.configure(misbehaving("crash on create", "v"))
	p.expect(1, []string{"tutti-dev/corner", "the provider crashes on create"}, "apply", "-auto-approve")
	if got := p.state(); len(got) != 1 || got["terraform_data.other"].Attributes == nil {
		t.Errorf("the state has %+v", got)
	}
	p.configure(misbehaving("", "v"))
	p.mustRun("apply", "-auto-approve")
	p.configure(misbehaving("crash on update", "w"))
	p.expect(1, []string{"the provider crashes on update"}, "apply", "-auto-approve")
	if got := p.state()["corner_misbehaved.a"].Attributes["value"]; got != "v" {
		t.Errorf("the value is %v", got)
	}
	p.configure(misbehaving("", "w"))
	p.mustRun("apply", "-auto-approve")
	p.write("corner.d/misbehaved.a.json", `{"value": "w", "does": "crash on delete"}`)
	p.expect(1, []string{"the provider crashes on delete"}, "destroy", "-auto-approve")
	if got := p.state(); got["corner_misbehaved.a"].Attributes == nil {
		t.Errorf("the state has %+v", got)
	}
	p.write("corner.d/misbehaved.a.json", `{"value": "w"}`)
	p.mustRun("destroy", "-auto-approve")
	if got := p.state(); len(got) != 0 {
		t.Errorf("the state has %+v", got)
	}
}

// What a provider did half is kept: tainted where it was a creation.
func TestPartialFailures(t *testing.T) {
	p := cornered(t, misbehaving("half create", "v"))
	p.expect(1, []string{"it was asked to fail", "corner_misbehaved.a"}, "apply", "-auto-approve")
	if got := p.state()["corner_misbehaved.a"]; got.Status != "tainted" || got.Attributes["value"] != "v" {
		t.Errorf("the state has %+v", got)
	}
	p.configure(misbehaving("", "v"))
	p.expect(0, []string{"is tainted, so must be replaced"}, "plan")
	p.mustRun("apply", "-auto-approve")
	p.configure(misbehaving("half update", "w"))
	p.expect(1, []string{"it was asked to fail"}, "apply", "-auto-approve")
	if got := p.state()["corner_misbehaved.a"]; got.Status != "" || got.Attributes["value"] != "w" {
		t.Errorf("the state has %+v", got)
	}
	p.configure(misbehaving("fail on update", "x"))
	p.expect(1, []string{"it was asked to fail"}, "apply", "-auto-approve")
	if got := p.state()["corner_misbehaved.a"]; got.Attributes["value"] != "w" {
		t.Errorf("the state has %+v", got)
	}
	if want := "create misbehaved a\ndelete misbehaved a\ncreate misbehaved a\nupdate misbehaved a"; p.operations() != want {
		t.Errorf("the provider did\n%s", p.operations())
	}
}

// A provider that lies is named, and what it made is kept.
func TestLies(t *testing.T) {
	p := cornered(t, misbehaving("lie on plan", "v"))
	p.expect(1, []string{"Provider produced invalid plan", "tutti-dev/corner", "value"}, "plan")
	p.configure(misbehaving("lie on create", "v"))
	p.expect(1, []string{"Provider produced inconsistent result after apply", "value"}, "apply", "-auto-approve")
	if got := p.state()["corner_misbehaved.a"]; got.Status != "tainted" || got.Attributes["value"] != "a lie" {
		t.Errorf("the state has %+v", got)
	}
}

// A provider that hangs is asked to stop when the run is.
func TestHangs(t *testing.T) {
	p := cornered(t, misbehaving("hang on create", "v"))
	p.configure(misbehaving("hang on create", "v") + "resource \"terraform_data\" \"signal\" {\n  provisioner \"local-exec\" {\n    command = \"touch started\"\n  }\n}\n")
	apply := p.command("apply", "-auto-approve")
	said, err := apply.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	apply.Stderr = apply.Stdout
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("started")
	interrupt := func() {
		if err := apply.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	var out bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(said, &out))
	for lines.Scan() && !strings.Contains(lines.Text(), "nothing more is begun") {
	}
	interrupt()
	for lines.Scan() {
	}
	_ = apply.Wait()
	if code := apply.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	if got := p.state(); got["terraform_data.other"].Attributes == nil {
		t.Errorf("the state has %+v", got)
	}
}

// Functions of providers work, and blame the argument that is wrong.
func TestProviderFunctions(t *testing.T) {
	p := cornered(t, "output \"joined\" {\n  value = provider::corner::join(\"-\", \"a\", \"b\", \"c\")\n}\n")
	p.mustRun("apply", "-auto-approve")
	if got := p.mustRun("output", "-raw", "joined"); got != "a-b-c" {
		t.Errorf("joined: %s", got)
	}
	p.configure("output \"failed\" {\n  value = provider::corner::fail(\"a\", \"b\")\n}\n")
	p.expect(1, []string{"the second argument is to blame", "main.tf line 9"}, "plan")
}

// Objects are imported by their identity, listed with it, and found by it.
func TestIdentity(t *testing.T) {
	p := cornered(t, `
import {
  to = corner_identified.a
  identity = {
    name   = "a"
    region = "north"
  }
}
resource "corner_identified" "a" {
  name   = "a"
  region = "north"
}
`)
	p.write("corner.d/identified.a.json", `{"region": "north"}`)
	p.expect(0, []string{"1 to import, 0 to add, 0 to change"}, "plan")
	p.mustRun("apply", "-auto-approve")
	if got := p.state()["corner_identified.a"].Identity; got["name"] != "a" || got["region"] != "north" {
		t.Errorf("the identity is %v", got)
	}
}

// The old SDK's types know no null: no differences come of that.
func TestLegacyTypes(t *testing.T) {
	config := func(extra string) string {
		return `
resource "corner_legacy" "a" {
  name     = "a"
  password = "secret"
  tags = {
    one = "1"
  }
  rule {
    port  = 80
    hosts = ["x", "y"]
  }
  rule {
    port    = 443
    comment = "safe"
  }
  step {
    run = "first"
  }
  timeouts {
    create = "30s"
  }
` + extra + "}\n"
	}
	p := cornered(t, config(""))
	p.mustRun("apply", "-auto-approve")
	p.expect(0, []string{"No changes"}, "plan", "-detailed-exitcode")
	if !strings.Contains(p.operations(), "create 30s legacy a") {
		t.Errorf("the provider did\n%s", p.operations())
	}
	p.configure(config("  note = \"n\"\n  rule {\n    port = 22\n  }\n  step {\n    run = \"second\"\n  }\n"))
	out := p.expect(2, []string{"0 to add, 1 to change", "+ rule {", "+ note"}, "plan", "-detailed-exitcode")
	if strings.Contains(out, "\"secret\"") {
		t.Errorf("the plan is\n%s", out)
	}
	p.mustRun("apply", "-auto-approve")
	p.expect(0, []string{"No changes"}, "plan", "-detailed-exitcode")
	p.configure(config(""))
	p.mustRun("apply", "-auto-approve")
	p.expect(0, []string{"No changes"}, "plan", "-detailed-exitcode")
}

// A provider that would like to defer is not allowed to, so it plans.
func TestDeferral(t *testing.T) {
	p := cornered(t, misbehaving("defer", "v"))
	p.mustRun("apply", "-auto-approve")
	p.expect(0, []string{"No changes"}, "plan", "-detailed-exitcode")
}
