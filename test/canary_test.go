package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// canaryValue has what encoders escape: it is looked for in all forms.
const canaryValue = `c4nary"<&>/+ü-` + "0123456789"

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
      source      = "echo \"got $PW\" >&2"
      environment = { PW = secret.token }
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
	forms := []string{canaryValue, url.QueryEscape(canaryValue), url.PathEscape(canaryValue)}
	for _, escape := range []bool{true, false} {
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(escape)
		if err := e.Encode(canaryValue); err != nil {
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
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), canaryValue...))
		forms = append(forms, text[(8*before+5)/6:8*(before+len(canaryValue))/6])
	}
	return append(forms, "c4nary", "0123456789")
}

// TestCanary uses a secret in every way there is and then looks for it in all
// that was written and said.
func TestCanary(t *testing.T) {
	forms := canaryForms(t)
	var mu sync.Mutex
	arrived := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"data": map[string]any{"token": canaryValue}, "metadata": map[string]any{"version": 7}}})
			return
		}
		mu.Lock()
		arrived = r.Header.Get("Authorization")
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"you_said": canaryValue})
	}))
	defer server.Close()

	p := newProject(t, "")
	outer := p.dir
	p.dir = filepath.Join(outer, "project")
	for _, dir := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		p.write(filepath.Join(dir, "main.tf"), canaryStack)
	}
	p.write("../vault-token", "root")
	p.write("project.tutti.hcl", strings.ReplaceAll(canaryProject, "ADDRESS", server.URL))

	said := map[string]string{}
	do := func(args ...string) (string, int) {
		out, code := p.run(args...)
		said[strings.Join(args, " ")] = out
		return out, code
	}
	must := func(args ...string) string {
		out, code := do(args...)
		if code != 0 {
			t.Fatalf("tutti %v: %d\n%s", args, code, out)
		}
		return out
	}
	fails := func(args ...string) {
		if out, code := do(args...); code == 0 {
			t.Errorf("tutti %v did not fail:\n%s", args, out)
		}
	}
	set := p.command("secret", "set", "pw")
	set.Stdin = strings.NewReader(canaryValue + "\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must("validate", "-json")
	must("graph", "-stack=a")
	must("plan", "-out=saved.plan")
	must("plan", "-json")
	must("show", "saved.plan")
	must("apply", "-json", "-auto-approve")
	must("show")
	must("output")
	must("state", "list")
	must("run", "all")
	fails("run", "fails")
	fails("run", "-json", "fails")
	fails("run", "evaluates")
	fails("run", "emits")
	must("secret", "list", "-json")
	must("secret", "get", "pw")
	must("secret", "history", "pw")
	must("schedules")
	for _, r := range p.runs() {
		must("runs", "show", r.ID)
		do("runs", "show", "-json", r.ID)
		do("logs", r.ID)
		do("runs", "artifacts", r.ID)
	}
	must("secret", "rotate-key")
	must("plan")
	mu.Lock()
	if arrived != "Bearer "+canaryValue {
		t.Errorf("the request had %q", arrived)
	}
	mu.Unlock()
	masked := 0
	for what, out := range said {
		if strings.HasPrefix(what, "logs ") && strings.Contains(out, "***") {
			masked++
		}
		if form := holds([]byte(out), forms); form != "" {
			t.Errorf("tutti %s says %q:\n%s", what, form, out)
		}
	}
	if masked < 4 {
		t.Errorf("only %d runs have logs in which something is hidden", masked)
	}
	if data, err := os.ReadFile(filepath.Join(p.dir, "cmdlines")); err != nil || !bytes.Contains(data, []byte("tutti")) {
		t.Errorf("the list of processes was not looked at: %v", err)
	}
	err := filepath.WalkDir(outer, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if form := holds(data, forms); form != "" {
			t.Errorf("%s has %q", path, form)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := strings.TrimSpace(must("secret", "get", "pw", "-reveal")); got != canaryValue {
		t.Errorf("the value is %q in the end", got)
	}
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
