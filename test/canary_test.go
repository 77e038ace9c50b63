package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// canaryValue has what encoders escape: it is looked for in all forms.
const canaryValue = `c4nary"<&>/+ü-` + canaryDigits

// canaryDigits are the part that no encoder changes: no other program may have them in its
// arguments, which are looked at, too.
const canaryDigits = "0192837465564738"

const canaryProject = `
secret "pw" {
  store {}
}
secret "token" {
  vault {
    address    = "ADDRESS"
    path       = "secret/app"
    field      = "token"
    token_file = "../vault-token"
  }
}
secret "cluster" {
  kubernetes {
    kubeconfig = "../kubeconfig"
    name       = "app"
    key        = "token"
  }
}
locals {
  login = "user:${secret.pw}"
}
stack "a" {
  source = "./a"
  inputs = { password = secret.pw, login = local.login }
}
stack "b" {
  source = "./b"
  inputs = { password = stack.a.password }
}
workflow "all" {
  step "exec" {
    exec {
      command     = ["sh", "-c", "printf '%s\\n' \"$PW\"; printf '%s' \"$PW\" | base64; cat > /dev/null; cat /proc/*/cmdline > cmdlines 2>/dev/null; true"]
      environment = { PW = secret.pw }
      stdin       = local.login
    }
  }
  step "script" {
    script {
      interpreter = "sh"
      source      = "echo \"got $PW and $MORE\" >&2"
      environment = { PW = secret.token, MORE = secret.cluster }
    }
  }
  step "http" {
    http {
      url     = "ADDRESS/echo"
      method  = "POST"
      headers = { Authorization = "Bearer ${secret.pw}" }
      body    = jsonencode({ password = secret.pw })
    }
  }
  step "stack" {
    apply {
      stack  = stack.b
      inputs = { password = secret.pw }
    }
  }
  step "again" {
    exec {
      command     = ["sh", "-c", "echo $OUT"]
      environment = { OUT = step.exec.outputs.stdout }
    }
  }
  output "said" {
    value     = step.exec.outputs.stdout
    sensitive = true
  }
}
workflow "fails" {
  step "leak" {
    exec {
      command     = ["sh", "-c", "echo $PW; echo $PW >&2; exit 3"]
      environment = { PW = secret.pw }
    }
  }
}
workflow "evaluates" {
  step "number" {
    exec {
      command     = ["true"]
      environment = { N = tostring(tonumber(secret.pw)), J = jsondecode(secret.pw).x }
    }
  }
}
workflow "emits" {
  step "first" {
    exec {
      command     = ["sh", "-c", "echo $PW"]
      environment = { PW = secret.pw }
    }
  }
  step "tell" {
    emit {
      type = "told"
      data = { what = step.first.outputs.stdout }
    }
  }
}
`

const canaryStack = `
variable "password" {}
variable "login" { default = "" }
resource "terraform_data" "x" {
  input = { password = var.password, login = var.login }
  provisioner "local-exec" {
    command     = "echo \"$P\"; true"
    environment = { P = var.password }
  }
}
output "password" {
  value     = var.password
  sensitive = true
}
`

// canaryForms are the ways the value may be written down.
func canaryForms(t *testing.T) []string {
	t.Helper()
	return append(formsOf(t, canaryValue), "c4nary", "C4NARY", canaryDigits)
}

// formsOf are the ways a value may be written down.
func formsOf(t *testing.T, value string) []string {
	t.Helper()
	forms := []string{value, url.QueryEscape(value), url.PathEscape(value)}
	for _, escape := range []bool{true, false} {
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(escape)
		if err := e.Encode(value); err != nil {
			t.Fatal(err)
		}
		once := strings.Trim(strings.TrimSpace(out.String()), `"`)
		twice, err := json.Marshal(once)
		if err != nil {
			t.Fatal(err)
		}
		forms = append(forms, once, strings.Trim(string(twice), `"`))
	}
	for before := range 3 { // wherever it lies in what was encoded
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), value...))
		forms = append(forms, text[(8*before+5)/6:8*(before+len(value))/6])
	}
	return forms
}

// canaryKubeconfig is for the API server at ADDRESS.
const canaryKubeconfig = `
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: here, user: me}}
clusters:
- {name: here, cluster: {server: "ADDRESS"}}
`

// canaryServer is an engine of secrets, an API server of Kubernetes, and a service
// that answers with a secret. It returns what reads the authorization it was given.
func canaryServer(t *testing.T) (address string, arrived func() string) {
	t.Helper()
	var mu sync.Mutex
	given := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"data": map[string]any{"token": canaryValue}, "metadata": map[string]any{"version": 7}}})
			return
		}
		if r.URL.Path == "/api/v1/namespaces/default/secrets/app" {
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "data": map[string][]byte{"token": []byte(canaryValue)}})
			return
		}
		mu.Lock()
		given = r.Header.Get("Authorization")
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"you_said": canaryValue})
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return given
	}
}

// canaryCage is a project whose every word is kept.
type canaryCage struct {
	*project
	outer string // all that the user has
	said  map[string]string
}

func newCanaryCage(t *testing.T, address string) *canaryCage {
	t.Helper()
	c := &canaryCage{project: newProject(t, ""), said: map[string]string{}}
	c.outer = c.dir
	c.dir = filepath.Join(c.outer, "project")
	for _, dir := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(c.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		c.write(filepath.Join(dir, "main.tf"), canaryStack)
	}
	c.write("../vault-token", "root")
	c.write("../kubeconfig", strings.ReplaceAll(canaryKubeconfig, "ADDRESS", address))
	c.write("project.tutti.hcl", strings.ReplaceAll(canaryProject, "ADDRESS", address))
	set := c.command("secret", "set", "pw")
	set.Stdin = strings.NewReader(canaryValue + "\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return c
}

// try keeps what a command says, and returns it and its exit code.
func (c *canaryCage) try(args ...string) (string, int) {
	out, code := c.run(args...)
	c.said[fmt.Sprint(len(c.said), " ", strings.Join(args, " "))] = out
	return out, code
}

func (c *canaryCage) must(args ...string) {
	c.t.Helper()
	if out, code := c.try(args...); code != 0 {
		c.t.Fatalf("tutti %v: %d\n%s", args, code, out)
	}
}

func (c *canaryCage) fails(args ...string) {
	c.t.Helper()
	if out, code := c.try(args...); code == 0 {
		c.t.Errorf("tutti %v did not fail:\n%s", args, out)
	}
}

// search looks for the forms in what was said and in every file.
func (c *canaryCage) search(forms []string) {
	c.t.Helper()
	for what, out := range c.said {
		if form := holds([]byte(out), forms); form != "" {
			c.t.Errorf("%s says %q:\n%s", what, form, out)
		}
	}
	err := filepath.WalkDir(c.outer, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if form := holds(data, forms); form != "" {
			c.t.Errorf("%s has %q", path, form)
		}
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
}

// TestCanary uses a secret in every way there is and then looks for it in all
// that was written and said.
func TestCanary(t *testing.T) {
	address, arrived := canaryServer(t)
	c := newCanaryCage(t, address)
	for _, args := range []string{
		"validate -json", "graph -stack=a", "plan -out=saved.plan", "plan -json", "show saved.plan", "apply -json -auto-approve",
		"show", "output", "state list", "run all", "secret list -json", "secret get pw", "secret history pw", "schedules",
	} {
		c.must(strings.Fields(args)...)
	}
	for _, args := range []string{"run fails", "run -json fails", "run evaluates", "run emits"} {
		c.fails(strings.Fields(args)...)
	}
	masked := 0
	for _, r := range c.runs() {
		c.must("runs", "show", r.ID)
		c.try("runs", "show", "-json", r.ID)
		c.try("runs", "artifacts", r.ID)
		if out, _ := c.try("logs", r.ID); strings.Contains(out, "***") {
			masked++
		}
	}
	if masked < 4 {
		t.Errorf("only %d runs have logs in which something is hidden", masked)
	}
	if data, err := os.ReadFile(filepath.Join(c.dir, "cmdlines")); err != nil || !bytes.Contains(data, []byte("tutti")) {
		t.Errorf("the list of processes was not looked at: %v", err)
	}
	if arrived() != "Bearer "+canaryValue {
		t.Errorf("the request had %q", arrived())
	}
	c.must("secret", "rotate-key")
	c.must("plan")
	c.search(canaryForms(t))
	if got := strings.TrimSpace(c.mustRun("secret", "get", "pw", "-reveal")); got != canaryValue {
		t.Errorf("the value is %q in the end", got)
	}
}

// TestCanaryInDeliveries signs with a secret, sends to an address that is one, and to
// somebody who answers with it, taking events and not, and shows it as a token.
func TestCanaryInDeliveries(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	requests := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		requests[r.URL.Path]++
		bodies = append(bodies, string(body))
		w.Header().Set("Location", "/"+url.PathEscape(canaryValue))
		if strings.HasSuffix(r.URL.Path, "refuses") || requests[r.URL.Path] == 1 {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"message": canaryValue, "authorization": r.Header.Get("Authorization")})
	}))
	t.Cleanup(server.Close)
	c := newCanaryCage(t, server.URL)
	const commit = "fedcba9876543210fedcba9876543210fedcba98"
	c.env = append(c.env, "HOOK="+server.URL+"/hook/refuses?token="+url.QueryEscape(canaryValue), "WRONG="+canaryValue, "TOKEN=c4nary"+canaryDigits+"", "TUTTI_COMMIT="+commit, "TUTTI_REPOSITORY=org/shop", "TUTTI_PULL_REQUEST=7")
	c.write("notify.tutti.hcl", strings.ReplaceAll(`
secret "hook" {
  environment { variable = "HOOK" }
}
secret "wrong" {
  environment { variable = "WRONG" }
}
secret "forge" {
  environment { variable = "TOKEN" }
}
notify "signed" {
  on            = { type = [{ prefix = "" }] }
  allow_private = ["127.0.0.0/8"]
  webhook {
    url    = "ADDRESS/signed"
    secret = secret.pw
  }
}
notify "address" {
  on            = { type = [{ prefix = "run." }] }
  allow_private = ["127.0.0.0/8"]
  slack { url = secret.hook }
}
notify "wrong" {
  on = { type = [{ prefix = "run." }] }
  slack { url = secret.wrong }
}
notify "code" {
  allow_private = ["127.0.0.0/8"]
  github {
    api        = "ADDRESS/code"
    token      = secret.forge
    repository = "org/shop"
  }
}
notify "badtoken" {
  allow_private = ["127.0.0.0/8"]
  gitea {
    api        = "ADDRESS/code"
    token      = secret.wrong
    repository = "org/shop"
  }
}
`, "ADDRESS", server.URL))
	var said bytes.Buffer
	cmd := c.command("server", "-listen=127.0.0.1:0")
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	go func() { _, _ = io.Copy(io.Discard, out) }()
	// Events are told from when the server follows them: until then there are more.
	eventually(t, "every kind of delivery", func() bool {
		c.try("run", "fails")
		list := c.mustRun("deliveries", "list", "-limit=0")
		for _, name := range []string{"signed", "address", "wrong", "code", "badtoken"} {
			if !strings.Contains(list, "  "+name+"  ") {
				return false
			}
		}
		return strings.Contains(list, "is no address to send to") && strings.Contains(list, "is no token") && strings.Contains(list, "422") && strings.Contains(list, "delivered  signed")
	})
	c.try("deliveries", "list", "-limit=0", "-json")
	c.try("audit", "export")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	c.said["the server"] = said.String()
	forms := canaryForms(t)
	mu.Lock()
	defer mu.Unlock()
	for _, body := range bodies {
		if form := holds([]byte(body), forms); form != "" {
			t.Errorf("%q is told: %s", form, body)
		}
	}
	c.search(forms)
}

// TestCanaryInErrors lets functions fail that say what they were given.
func TestCanaryInErrors(t *testing.T) {
	c := newCanaryCage(t, "http://localhost")
	for _, call := range []string{
		`timeadd(secret.pw, "1h")`, `cidrhost(upper(secret.pw), 1)`, `textencodebase64("a", secret.pw)`, `file(secret.pw)`, `jsondecode(secret.pw)`,
	} {
		c.write("project.tutti.hcl", fmt.Sprintf(`
secret "pw" {
  store {}
}
stack "a" {
  source = "./a"
  inputs = { password = %[1]s }
}
workflow "w" {
  step "s" {
    exec {
      command = ["true"]
      stdin   = jsonencode(%[1]s)
    }
  }
}
`, call))
		c.fails("plan")
		c.fails("plan", "-json")
		c.fails("run", "w")
	}
	c.search(canaryForms(t))
}

func holds(data []byte, forms []string) string {
	for _, form := range forms {
		if bytes.Contains(data, []byte(form)) {
			return form
		}
	}
	return ""
}

// TestSecretIsReadAgain kills a run in a step that was given a secret: who
// resumes it reads the secret anew, as it is by then.
func TestSecretIsReadAgain(t *testing.T) {
	p := newProject(t, "")
	p.write("project.tutti.hcl", `
secret "pw" {
  file { path = "pw" }
}
workflow "w" {
  step "s" {
    exec {
      command     = ["sh", "-c", "echo $PW >> used; test -e once || { touch once; kill -9 $PPID; sleep 5; }"]
      environment = { PW = secret.pw }
      idempotent  = true
    }
  }
}
`)
	p.write("pw", "first-hunter2")
	if out, code := p.run("run", "w"); code == 0 {
		t.Fatalf("it was not killed:\n%s", out)
	}
	p.write("pw", "second-hunter2")
	p.mustRun("resume", "-auto-approve")
	used, err := os.ReadFile(filepath.Join(p.dir, "used"))
	if err != nil || string(used) != "first-hunter2\nsecond-hunter2\n" {
		t.Errorf("%q, %v", used, err)
	}
	store, err := os.ReadFile(filepath.Join(p.dir, ".tutti", "store.db"))
	if err != nil || bytes.Contains(store, []byte("hunter2")) {
		t.Error("the store has the value", err)
	}
}

// canaryRotation tells the test what the values are that it makes, and says them
// everywhere.
const canaryRotation = `
secret "gen" {
  store {}
  rotation {
    grace = "0s"
    generate {
      length     = 40
      characters = "\"<&>/+ü-abcdefgh$%%{}"
    }
    verify {
      exec {
        command = ["sh", "-c", <<-EOT
          printf '%s\n' "$NEW" >> "$VALUES"
          cat /proc/[0-9]*/cmdline >> cmdlines 2>/dev/null
          echo "verifying $NEW"; echo "verifying $NEW" >&2; cat
          touch verifying
          while test -e hold; do sleep 0.05; done
          test ! -e broken || { echo "failed with $NEW, not with $OLD" >&2; exit 1; }
        EOT
        ]
        environment = { NEW = rotation.new, OLD = rotation.old }
        stdin       = jsonencode({ login = "user:${rotation.new}" })
        idempotent  = true
      }
    }
    revoke {
      http {
        url     = "ADDRESS/echo"
        method  = "POST"
        headers = { Authorization = "Bearer ${rotation.old}" }
        body    = { old = rotation.old, new = rotation.new }
      }
    }
    discard {
      exec {
        command = ["sh", "-c", "cat; cat /proc/$PPID/cmdline"]
        stdin   = rotation.new
      }
    }
  }
}
secret "made" {
  store {}
  rotation {
    create {
      script {
        interpreter = "sh"
        source      = "set -x; value=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n'); echo $value >> \"$VALUES\"; echo $value; echo x$value > \"$TUTTI_RESULT\"; test ! -e broken"
      }
    }
  }
}
stack "a" {
  source = "./a"
  inputs = { password = secret.gen, login = "user:${secret.gen}" }
}
stack "b" {
  source = "./b"
  inputs = { password = stack.a.password }
}
`

// TestCanaryInRotation rotates values that are drawn and made: when it goes well,
// when verifying fails and says why, and when the program crashes in the middle.
func TestCanaryInRotation(t *testing.T) {
	address, arrived := canaryServer(t)
	c := newCanaryCage(t, address)
	values := filepath.Join(t.TempDir(), "values")
	c.env = append(c.env, "VALUES="+values, "GOTRACEBACK=crash")
	c.write("project.tutti.hcl", strings.ReplaceAll(canaryRotation, "ADDRESS", address))
	reveal := func() string { return strings.TrimSuffix(c.mustRun("secret", "get", "gen", "-reveal"), "\n") }
	c.must("secret", "rotate", "gen") // the first value of all
	first := reveal()
	c.must("secret", "rotate", "gen", "-json")
	if second := reveal(); second == first || arrived() != "Bearer "+first {
		t.Errorf("it was not rotated, or %q was revoked", arrived())
	}
	c.write("broken", "")
	c.fails("secret", "rotate", "gen")
	c.fails("secret", "rotate", "gen", "-json")
	c.fails("secret", "rotate", "made")
	for _, name := range []string{"broken", "verifying"} {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c.fails("secret", "rotate", "made") // its result is no JSON
	// A crash report has no values in it, and the memory is not written anywhere.
	c.write("hold", "")
	crash := c.command("secret", "rotate", "gen")
	crash.Args = append([]string{"sh", "-c", `ulimit -c unlimited 2>/dev/null; exec "$0" "$@"`}, append([]string{crash.Path}, crash.Args[1:]...)...)
	crash.Path = "/bin/sh"
	var report bytes.Buffer
	crash.Stdout, crash.Stderr = &report, &report
	if err := crash.Start(); err != nil {
		t.Fatal(err)
	}
	c.await("verifying")
	if err := crash.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = crash.Wait()
	if c.said["crash"] = report.String(); !strings.Contains(report.String(), "goroutine ") {
		t.Errorf("it did not crash:\n%s", report.String())
	}
	if cores, _ := filepath.Glob(filepath.Join(c.dir, "core*")); len(cores) > 0 {
		t.Errorf("its memory was written to %v", cores)
	}
	if err := os.Remove(filepath.Join(c.dir, "hold")); err != nil {
		t.Fatal(err)
	}
	c.must("resume", "-auto-approve")
	for _, args := range []string{"secret history gen", "secret list", "audit export", "schedules", "plan", "show"} {
		c.must(strings.Fields(args)...)
	}
	masked := 0
	for _, r := range c.runs() {
		c.must("runs", "show", r.ID)
		c.try("runs", "show", "-json", r.ID)
		if out, _ := c.try("logs", r.ID); strings.Contains(out, "verifying ***") {
			masked++
		}
	}
	if masked < 4 { // the oldest runs are not listed
		t.Errorf("only %d runs have logs in which a value is hidden", masked)
	}
	if data, err := os.ReadFile(filepath.Join(c.dir, "cmdlines")); err != nil || !bytes.Contains(data, []byte("tutti")) {
		t.Errorf("the list of processes was not looked at: %v", err)
	}
	data, err := os.ReadFile(values)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	if len(lines) < 7 {
		t.Errorf("only %d values were made", len(lines))
	}
	var forms []string
	for _, value := range lines {
		forms = append(forms, formsOf(t, value)...)
	}
	c.search(forms)
}
