package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/client"
)

const served = `
stack "site" { source = "./site" }

workflow "greet" {
  variable "name" {
    type = string
  }
  step "say" {
    exec {
      command    = ["echo", "hello", var.name]
      idempotent = true
    }
  }
}
`

const servedSite = `
variable "password" {
  type      = string
  default   = "correct-horse"
  sensitive = true
}
resource "terraform_data" "page" {
  input = { text = "welcome", password = var.password }
}
output "text" {
  value = terraform_data.page.output.text
}
`

// httpServer is a running "tutti server" and a client of it.
type httpServer struct {
	t     *testing.T
	cmd   *exec.Cmd
	url   string
	token string
	http  *http.Client
	log   bytes.Buffer // what it wrote to standard error; to be read once it has ended
}

func newServed(t *testing.T) *project {
	t.Helper()
	p := newProject(t, "")
	if err := os.Remove(p.dir + "/main.tf"); err != nil {
		t.Fatal(err)
	}
	p.write("project.tutti.hcl", served)
	p.write("site/main.tf", servedSite)
	return p
}

func (p *project) server(args ...string) *httpServer {
	p.t.Helper()
	s := &httpServer{t: p.t, cmd: p.command(append([]string{"server", "-listen=127.0.0.1:0"}, args...)...), http: &http.Client{Timeout: time.Minute}}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the server does not say where it is: %v", err)
	}
	_, s.url, _ = strings.Cut(strings.TrimSpace(line), " at ")
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return s
}

// do sends a request and reads the answer.
func (s *httpServer) do(method, path string, body any, headers ...string) (int, []byte, http.Header) {
	s.t.Helper()
	var sent io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		sent = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		sent = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, s.url+path, sent)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, data, resp.Header
}

// get reads something into a value, or posts first where body is not nil.
func (s *httpServer) get(into any, want int, method, path string, body any, headers ...string) {
	s.t.Helper()
	status, data, _ := s.do(method, "/api/v1"+path, body, headers...)
	if status != want {
		s.t.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(data, into); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, data)
	}
}

type servedRun struct {
	ID, Status, Summary, Actor, Workflow string
}

// follow hears a run to its end and returns how it ended, with what its steps
// wrote.
func (s *httpServer) follow(run string, each func(kind string, data []byte)) (status, text string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+"/api/v1/runs/"+run+"/stream", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<22)
	kind := ""
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			kind = name
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var doc struct {
			Run  servedRun
			Text string
		}
		if err := json.Unmarshal([]byte(data), &doc); err != nil {
			s.t.Fatal(err)
		}
		if kind == "run" {
			status = doc.Run.Status
		}
		text += doc.Text
		if each != nil {
			each(kind, []byte(data))
		}
	}
	return status, text
}

// TestServerJourney plans a change, has it approved and sees it carried out.
func TestServerJourney(t *testing.T) {
	p := newServed(t)
	s := p.server()
	var run servedRun
	s.get(&run, 201, "POST", "/environments/default/stacks/site/changes", map[string]any{"kind": "apply", "approve": true})
	approved := false
	status, text := s.follow(run.ID, func(kind string, _ []byte) {
		if approved || kind != "run" {
			return
		}
		var list struct {
			Items []struct {
				Run        servedRun
				Step, Plan string
			}
		}
		s.get(&list, 200, "GET", "/approvals", nil)
		if len(list.Items) == 0 {
			return
		}
		approved = true
		digest := list.Items[0].Plan
		code, body, _ := s.do("GET", "/api/v1/plans/"+digest, nil)
		if code != 200 || strings.Contains(string(body), "correct-horse") || !strings.Contains(string(body), `"text":"welcome"`) || !strings.Contains(string(body), `"add":1`) {
			t.Errorf("the plan is told as %d %s", code, body)
		}
		s.get(nil, 409, "POST", "/runs/"+run.ID+"/decisions", map[string]any{"decision": "approve", "plan": strings.Repeat("0", 64)})
		s.get(nil, 200, "POST", "/runs/"+run.ID+"/decisions", map[string]any{"decision": "approve", "plan": digest})
	})
	if status != "succeeded" || !strings.Contains(text, "terraform_data.page") {
		t.Fatalf("the run %s: %s", status, text)
	}
	var outputs struct {
		Items []struct {
			Name  string
			Value any
		}
	}
	s.get(&outputs, 200, "GET", "/environments/default/stacks/site/outputs", nil)
	if len(outputs.Items) != 1 || outputs.Items[0].Value != "welcome" {
		t.Errorf("outputs: %+v", outputs)
	}
	var steps struct {
		Items []struct{ Name, Status, Run string }
	}
	s.get(&steps, 200, "GET", "/runs/"+run.ID+"/steps", nil)
	if len(steps.Items) != 3 || steps.Items[2].Run == "" {
		t.Fatalf("steps: %+v", steps)
	}
	s.get(&steps, 200, "GET", "/runs/"+steps.Items[2].Run+"/steps", nil)
	if len(steps.Items) != 1 || steps.Items[0].Name != "terraform_data.page" || steps.Items[0].Status != "succeeded" {
		t.Errorf("steps of the apply: %+v", steps)
	}
	_, _, header := s.do("GET", "/api/v1/stacks", nil)
	if code, _, _ := s.do("GET", "/api/v1/stacks", nil, "If-None-Match", header.Get("ETag")); code != http.StatusNotModified {
		t.Errorf("what a client has already is sent again: %d", code)
	}
}

// TestServerStacks changes all stacks of a project as one, by one approval, and
// destroys them in the opposite order.
func TestServerStacks(t *testing.T) {
	p := newStacks(t, 2)
	s := p.server()
	path := "/environments/default/changes"
	s.get(nil, 422, "POST", path, map[string]any{"kind": "apply", "stacks": []string{"none"}})
	s.get(nil, 422, "POST", path, map[string]any{"kind": "rollback", "run": "any"})
	s.get(nil, 404, "POST", path, map[string]any{"kind": "apply", "plan": strings.Repeat("0", 64)})
	steps := func(run string) (names []string) {
		var list struct{ Items []struct{ Name string } }
		s.get(&list, 200, "GET", "/runs/"+run+"/steps", nil)
		for _, step := range list.Items {
			names = append(names, step.Name)
		}
		return names
	}
	var run servedRun
	s.get(&run, 201, "POST", path, map[string]any{"kind": "plan"})
	status, text := s.follow(run.ID, nil)
	if status != "succeeded" || !strings.Contains(text, "Total of 4 stacks: 8 to add") {
		t.Fatalf("%s: %s", status, text)
	}
	var outputs struct {
		Items []struct {
			Name  string
			Value any
		}
	}
	s.get(&outputs, 200, "GET", "/runs/"+run.ID+"/outputs", nil)
	digest := ""
	for _, o := range outputs.Items {
		if o.Name == "plan" {
			digest, _ = o.Value.(string)
		}
	}
	s.get(nil, 409, "POST", path, map[string]any{"kind": "apply", "plan": digest, "stacks": []string{"first"}})
	s.get(&run, 201, "POST", path, map[string]any{"kind": "apply", "plan": digest})
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatalf("the apply %s: %s", status, text)
	}
	if have := strings.Join(steps(run.ID), " "); have != "apply_apart apply_first apply_second apply_third" {
		t.Errorf("steps: %s", have)
	}
	if out := p.mustRun("output", "-stack=third", "-raw", "sum"); out != "5" {
		t.Errorf("the last stack has the sum %s", out)
	}
	s.get(&run, 201, "POST", path, map[string]any{"kind": "destroy", "stacks": []string{"first", "second", "third"}})
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatalf("the destroy %s: %s", status, text)
	}
	if have := strings.Join(steps(run.ID), " "); have != "plan apply_third apply_second apply_first" {
		t.Errorf("steps: %s", have)
	}
	if out := p.mustRun("state", "list"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "stack.apart.") {
		t.Errorf("left: %s", out)
	}
}

// TestServerAgain rolls a change back, does a run that failed again from the step
// that failed, and verifies what was written about all of it.
func TestServerAgain(t *testing.T) {
	p := newServed(t)
	p.write("project.tutti.hcl", served+`
workflow "fragile" {
  step "first" {
    exec { command = ["sh", "-c", "echo done >> first.log"] }
  }
  step "second" {
    needs = [step.first]
    exec { command = ["test", "-e", "repaired"] }
  }
}
`)
	s := p.server()
	path := "/environments/default/stacks/site"
	var run servedRun
	s.get(&run, 201, "POST", path+"/changes", map[string]any{"kind": "apply"})
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatalf("the change %s: %s", status, text)
	}
	var revisions struct {
		Items []struct{ Address, Run, Cause string }
	}
	s.get(&revisions, 200, "GET", path+"/revisions", nil)
	if len(revisions.Items) != 1 || revisions.Items[0].Address != "terraform_data.page" || revisions.Items[0].Cause != "create" {
		t.Fatalf("revisions: %+v", revisions)
	}
	s.get(nil, 409, "POST", path+"/changes", map[string]any{"kind": "rollback", "run": run.ID}) // of which only a step changed the stack
	s.get(nil, 422, "POST", path+"/changes", map[string]any{"kind": "rollback"})
	s.get(nil, 422, "POST", path+"/changes", map[string]any{"kind": "apply", "run": run.ID})
	s.get(nil, 404, "POST", path+"/changes", map[string]any{"kind": "rollback", "run": "nothing"})
	s.get(&run, 201, "POST", path+"/changes", map[string]any{"kind": "rollback", "run": revisions.Items[0].Run})
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatalf("the rollback %s: %s", status, text)
	}
	var objects struct{ Items []any }
	s.get(&objects, 200, "GET", path+"/objects", nil)
	if len(objects.Items) != 0 {
		t.Errorf("objects after the rollback: %v", objects.Items)
	}

	s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "fragile"})
	if status, text := s.follow(run.ID, nil); status != "failed" {
		t.Fatalf("the run %s: %s", status, text)
	}
	p.write("repaired", "")
	failed := run.ID
	s.get(nil, 422, "POST", "/runs/"+failed+"/retry", map[string]any{"from": "third"})
	s.get(&run, 201, "POST", "/runs/"+failed+"/retry", map[string]any{})
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatalf("the second run %s: %s", status, text)
	}
	if log, err := os.ReadFile(p.dir + "/first.log"); string(log) != "done\n" {
		t.Errorf("what had succeeded was done again: %q, %v", log, err)
	}

	var verified struct {
		Valid   bool
		Events  int
		Head    string
		Problem string
	}
	s.get(&verified, 200, "GET", "/audit/verify", nil)
	if !verified.Valid || verified.Events == 0 {
		t.Errorf("audit: %+v", verified)
	}
	s.get(nil, 422, "GET", "/audit/verify?head=none", nil)
	s.get(&verified, 200, "GET", "/audit/verify?head="+strings.Repeat("1", 64), nil)
	if verified.Valid || verified.Problem == "" {
		t.Errorf("audit with a head that never was: %+v", verified)
	}
	code, text, header := s.do("GET", "/api/v1/audit/export", nil)
	if lines := strings.Count(string(text), "\n"); code != 200 || lines != verified.Events || !strings.Contains(header.Get("Content-Type"), "ndjson") {
		t.Errorf("export: %d, %d lines of %d", code, lines, verified.Events)
	}
}

// TestServerPlanNeeds reads of a plan what stands behind its changes.
func TestServerPlanNeeds(t *testing.T) {
	p := newServed(t)
	p.write("site/main.tf", `
resource "terraform_data" "first" {
  triggers_replace = file("${path.module}/trigger")
}
resource "terraform_data" "apart" {
}
module "inner" {
  source = "./inner"
  first  = terraform_data.first.id
}
`)
	p.write("site/inner/main.tf", `
variable "first" {}
resource "terraform_data" "second" {
  count = 2
  input = var.first
}
`)
	p.write("site/trigger", "one")
	s := p.server()
	var run servedRun
	path := "/environments/default/stacks/site/changes"
	s.get(&run, 201, "POST", path, map[string]any{"kind": "apply"})
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatalf("the change %s: %s", status, text)
	}
	p.write("site/trigger", "two")
	s.get(&run, 201, "POST", path, map[string]any{"kind": "apply", "approve": true})
	var plan struct {
		Stacks []struct {
			Add, Change int
			Needs       map[string][]string
		}
	}
	looked := false
	s.follow(run.ID, func(kind string, data []byte) {
		var list struct{ Items []struct{ Plan string } }
		if s.get(&list, 200, "GET", "/approvals", nil); looked || len(list.Items) == 0 {
			return
		}
		looked = true
		s.get(&plan, 200, "GET", "/plans/"+list.Items[0].Plan, nil)
		s.get(nil, 200, "POST", "/runs/"+run.ID+"/decisions", map[string]any{"decision": "reject", "comment": "not today"})
	})
	if len(plan.Stacks) != 1 || plan.Stacks[0].Add != 1 || plan.Stacks[0].Change != 2 {
		t.Fatalf("the plan: %+v", plan)
	}
	want := map[string][]string{"module.inner.terraform_data.second": {"terraform_data.first"}}
	if got := plan.Stacks[0].Needs; !reflect.DeepEqual(got, want) {
		t.Errorf("needs: %v", got)
	}
}

// TestServerGate starts a workflow that a policy is against: the answer says which
// and why, and no run is made.
func TestServerGate(t *testing.T) {
	p := newServed(t)
	p.write("policy.tutti.hcl", `policy "names" { source = "./rules" }`)
	p.write("rules/names.rego", `package main
deny contains sprintf("%s must not be greeted", [input.tutti.workflow.inputs.name]) if input.tutti.workflow.inputs.name == "nobody"
`)
	s := p.server()
	code, body, _ := s.do("POST", "/api/v1/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "nobody"}})
	if code != http.StatusForbidden || !strings.Contains(string(body), "nobody must not be greeted") {
		t.Errorf("%d %s", code, body)
	}
	var run servedRun
	s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "you"}})
	if status, text := s.follow(run.ID, nil); status != "succeeded" || !strings.Contains(text, "hello you") {
		t.Errorf("%s %q", status, text)
	}
	var list struct{ Items []servedRun }
	if s.get(&list, 200, "GET", "/runs", nil); len(list.Items) != 1 {
		t.Errorf("%d runs", len(list.Items))
	}
}

// TestServerDirectory changes a plain directory, which is what the commands see too.
func TestServerDirectory(t *testing.T) {
	p := newProject(t, `
variable "text" {
  type = string
}
resource "terraform_data" "page" {
  input = var.text
}
output "text" {
  value = terraform_data.page.output
}
`)
	p.env = append(p.env, "TF_VAR_text=plain")
	s := p.server()
	for _, kind := range []string{"apply", "destroy"} {
		var run servedRun
		s.get(&run, 201, "POST", "/environments/default/stacks/-/changes", map[string]any{"kind": kind})
		if status, text := s.follow(run.ID, nil); status != "succeeded" {
			t.Fatalf("%s %s: %s", kind, status, text)
		}
		if kind == "apply" {
			if out := p.mustRun("output", "-raw", "text"); out != "plain" {
				t.Errorf("the directory's output is %q", out)
			}
		}
	}
	if out := p.mustRun("state", "list"); out != "" {
		t.Errorf("the directory still has %s", out)
	}
}

// TestServerOnce: a request with a key is done once, however often it is sent, and
// the run goes on when the server was killed.
func TestServerOnce(t *testing.T) {
	p := newServed(t)
	s := p.server()
	body := map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "you ${1+1}"}}
	var first, second servedRun
	s.get(&first, 201, "POST", "/runs", body, "Idempotency-Key", "k")
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s = p.server()
	s.get(&second, 201, "POST", "/runs", body, "Idempotency-Key", "k")
	if first.ID != second.ID || first.ID == "" {
		t.Fatalf("two runs were made: %s, %s", first.ID, second.ID)
	}
	s.get(nil, 422, "POST", "/runs", map[string]any{"workflow": "greet"}, "Idempotency-Key", "k")
	status, text := s.follow(first.ID, nil)
	if status != "succeeded" || text != "hello you ${1+1}\n" {
		t.Errorf("the run %s: %q", status, text)
	}
	var list struct{ Items []servedRun }
	s.get(&list, 200, "GET", "/runs", nil)
	if len(list.Items) != 1 {
		t.Errorf("runs: %+v", list.Items)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

// TestServerKeepsOut tries to get in without right.
func TestServerKeepsOut(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "reader" { allow = ["plan:*"] }
role "greeter" { allow = ["run:*/greet"] }
grant {
  role = role.greeter
  to   = ["service:ci"]
}
grant {
  role = role.reader
  to   = ["service:ci"]
}
role "root" { allow = ["*:*"] }
grant {
  role = role.root
  to   = ["user:`+p.whoami()+`"]
}
`)
	shown := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=greeter", "-expires=1h")))
	// Not the last character: some of its bits may mean nothing.
	middle := len(shown) / 2
	other := shown[:middle] + "A" + shown[middle+1:]
	if other == shown {
		other = shown[:middle] + "B" + shown[middle+1:]
	}
	s := p.server("-require-token")
	greet := map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "x"}}
	for name, c := range map[string]struct {
		want         int
		method, path string
		body         any
		headers      []string
	}{
		"no token":          {401, "GET", "/api/v1/runs", nil, nil},
		"no token, writing": {401, "POST", "/api/v1/runs", greet, nil},
		"another token":     {401, "GET", "/api/v1/runs", nil, []string{"Authorization", "Bearer " + other}},
		"basic":             {401, "GET", "/api/v1/runs", nil, []string{"Authorization", "Basic " + shown}},
		"made-up session":   {401, "GET", "/api/v1/runs", nil, []string{"Cookie", "tutti_session=abc"}},
		"another host":      {421, "GET", "/api/v1/session", nil, []string{"Host", "evil.example"}},
		"another site":      {403, "POST", "/login", "token=" + shown, []string{"Origin", "https://evil.example", "Content-Type", "application/x-www-form-urlencoded"}},
		"another site, too": {403, "POST", "/api/v1/runs", greet, []string{"Sec-Fetch-Site", "cross-site"}},
		"out of the API":    {401, "GET", "/api/v1/../../healthz/../api/v1/runs", nil, nil},
		"writing to files":  {405, "POST", "/index.html", nil, nil},
		"bad login":         {401, "POST", "/login", "token=x", []string{"Content-Type", "application/x-www-form-urlencoded"}},
	} {
		if code, body, _ := s.do(c.method, c.path, c.body, c.headers...); code != c.want {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	for _, path := range []string{"/../../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd"} {
		if code, body, _ := s.do("GET", path, nil); !strings.Contains(string(body), "<title>Tutti</title>") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	// With the token: what its role allows, and nothing else.
	s.token = shown
	var run servedRun
	s.get(&run, 201, "POST", "/runs", greet)
	if run.Actor != "service:ci" {
		t.Errorf("the run is by %s", run.Actor)
	}
	s.get(nil, 403, "POST", "/environments/default/stacks/site/changes", map[string]any{"kind": "plan"})
	s.get(nil, 403, "POST", "/runs/"+run.ID+"/cancel", nil)
	s.get(nil, 413, "POST", "/runs", map[string]any{"workflow": strings.Repeat("x", 2<<20)})
	s.get(nil, 422, "POST", "/runs", map[string]any{"workflow": 7})
	s.get(nil, 404, "GET", "/runs/nobody", nil)
	// A browser logs in with it, and out.
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.token, s.http.Jar = "", jar
	form := url.Values{"token": {shown}}.Encode()
	if code, body, _ := s.do("POST", "/login", form, "Content-Type", "application/x-www-form-urlencoded"); code != 204 {
		t.Fatalf("login: %d %s", code, body)
	}
	s.get(nil, 200, "GET", "/runs", nil)
	if code, _, _ := s.do("POST", "/logout", nil); code != 204 {
		t.Errorf("logout: %d", code)
	}
	s.get(nil, 401, "GET", "/runs", nil)
	// A token that is revoked ends its sessions.
	if code, _, _ := s.do("POST", "/login", form, "Content-Type", "application/x-www-form-urlencoded"); code != 204 {
		t.Fatal("cannot log in again")
	}
	p.mustRun("token", "revoke", strings.Split(shown, "_")[1])
	s.get(nil, 401, "GET", "/runs", nil)
}

// TestServerExposed: beyond this machine nothing is served in clear.
func TestServerExposed(t *testing.T) {
	p := newServed(t)
	out, code := p.run("server", "-listen=0.0.0.0:0")
	if code != 1 || !strings.Contains(out, "Error: The server would be open to others\n") || !strings.Contains(out, "-behind-proxy") {
		t.Errorf("%d %s", code, out)
	}
}

// TestServerSlow: who sends nothing is not waited for for ever, and does not keep
// others waiting. (That the time is bounded is set in server.go.)
func TestServerSlow(t *testing.T) {
	p := newServed(t)
	s := p.server()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		c := s.dial(u.Host)
		defer c.Close()
		fmt.Fprintf(c, "POST /api/v1/runs HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", u.Host)
	}
	began := time.Now()
	s.get(nil, 200, "GET", "/session", nil)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("others had to wait for %s", took)
	}
}

func (s *httpServer) dial(host string) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", host)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// whoami is the user that the tests run as.
func (p *project) whoami() string {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		p.t.Fatal(err)
	}
	return u.Username
}

func (p *project) lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// TestServerMetrics: Prometheus is told what goes on, and only who may know is told.
func TestServerMetrics(t *testing.T) {
	p := newServed(t)
	s := p.server()
	s.get(nil, 200, "GET", "/runs", nil)
	s.do("BREW", "/api/v1/runs", nil)
	code, body, _ := s.do("GET", "/metrics", nil)
	for _, want := range []string{
		`tutti_http_requests_total{method="GET",operation="/api/v1/runs",status="200"} 1`, `tutti_runs_open{status="running"} 0`, "tutti_events_total ", `method="other"`,
	} {
		if code != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%d: no %s in\n%s", code, want, body)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, _, _ := s.do("GET", path, nil); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	closed := p.server("-require-token")
	if code, _, _ := closed.do("GET", "/metrics", nil); code != 401 {
		t.Errorf("anybody is told: %d", code)
	}
}

// TestServerListsRuns goes through the runs page by page, and asks for some of them.
func TestServerListsRuns(t *testing.T) {
	p := newServed(t)
	s := p.server()
	c := &client.Client{URL: s.url}
	var want []string
	for i := range 5 {
		run, err := c.StartRun(t.Context(), client.StartRequest{Workflow: "greet", Inputs: map[string]json.RawMessage{"name": json.RawMessage(`"x"`)}})
		if err != nil {
			t.Fatal(i, err)
		}
		if run.Workflow != "greet" {
			t.Errorf("run of workflow %q", run.Workflow)
		}
		want = slices.Insert(want, 0, run.ID)
	}
	page := func(q client.ListRunsQuery) (ids []string) {
		for {
			list, err := c.ListRuns(t.Context(), q)
			if err != nil || len(list.Items) > int(q.Limit) {
				t.Fatal(len(list.Items), err)
			}
			for _, r := range list.Items {
				ids = append(ids, r.ID)
			}
			if q.Cursor = list.Next; q.Cursor == "" {
				return ids
			}
		}
	}
	for _, limit := range []int64{1, 2, 5, 50} {
		if got := page(client.ListRunsQuery{Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("%d a page: %v, want %v", limit, got, want)
		}
	}
	if got := page(client.ListRunsQuery{Limit: 2, Environment: "default"}); !slices.Equal(got, want) {
		t.Errorf("of the environment: %v", got)
	}
	if got := page(client.ListRunsQuery{Limit: 2, Environment: "elsewhere"}); got != nil {
		t.Errorf("of another environment: %v", got)
	}
	if status, answer, _ := s.do("GET", "/api/v1/runs?cursor=some", nil); status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "the page before") {
		t.Errorf("a cursor that is none: %d %s", status, answer)
	}
}
