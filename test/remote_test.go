package test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/client"
)

// client is a directory without any files of a project whose commands run against a
// server.
func (s *httpServer) client(env ...string) *project {
	s.t.Helper()
	c := newProject(s.t, "")
	if err := os.Remove(filepath.Join(c.dir, "main.tf")); err != nil {
		s.t.Fatal(err)
	}
	c.env = append(append(c.env, "TUTTI_ADDR="+s.url), env...)
	return c
}

// fails runs a command that is to fail and looks for what it says.
func (p *project) fails(want string, args ...string) {
	p.t.Helper()
	out, code := p.run(args...)
	if code != 1 || !strings.Contains(folded(out), want) {
		p.t.Errorf("tutti %s: exit code %d, and no %q in\n%s", strings.Join(args, " "), code, want, out)
	}
}

// folded is text as if it had never been wrapped.
func folded(text string) string { return strings.Join(strings.Fields(text), " ") }

const remoteWorkflows = `
workflow "ask" {
  step "sign_off" {
    approval { message = "Really?" }
  }
  step "wait" {
    needs = [step.sign_off]
    wait { event = "go" }
  }
  output "said" { value = step.wait.outputs.data }
  output "hidden" {
    value     = "correct-horse"
    sensitive = true
  }
}
workflow "slow" {
  step "hold" {
    exec {
      command    = ["sh", "-c", "echo begun; until test -e go; do sleep 0.05; done"]
      idempotent = true
    }
  }
}
workflow "guarded" {
  step "plan" {
    plan { stack = stack.site }
  }
  step "sign_off" {
    approval { plan = step.plan.outputs.digest }
  }
}
`

// TestRemoteRuns runs workflows on a server from elsewhere: started, watched, told of
// events, approved, cancelled, done again.
func TestRemoteRuns(t *testing.T) {
	p := newServed(t)
	p.write("more.tutti.hcl", remoteWorkflows)
	s := p.server()
	c := s.client()
	if out := c.mustRun("run", "greet", "-var", "name=you"); !strings.Contains(out, "say") || !strings.Contains(out, "succeeded") {
		t.Errorf("run: %s", out)
	}
	c.fails(`No value for required variable`, "run", "greet")
	c.fails(`declares no workflow "none"`, "run", "none")
	if out := c.mustRun("workflow", "list"); !strings.Contains(out, "greet") {
		t.Errorf("workflow list: %s", out)
	}
	id := strings.TrimSpace(c.mustRun("run", "-detach", "greet", "-var", "name=there"))
	if out := c.mustRun("logs", "-f", id); out != "say              hello there\n" {
		t.Errorf("logs: %q", out)
	}
	if out := c.mustRun("logs", id, "say"); out != "hello there\n" {
		t.Errorf("logs of the step: %q", out)
	}
	if there, here := c.mustRun("runs"), p.mustRun("runs"); there != here {
		t.Errorf("runs there:\n%s\nhere:\n%s", there, here)
	}
	if there, here := c.mustRun("runs", "show", id), p.mustRun("runs", "show", id); withoutPlans(there) != withoutPlans(here) {
		t.Errorf("the run there:\n%s\nhere:\n%s", there, here)
	}
	c.fails(`knows no run "none"`, "runs", "show", "none")

	id = strings.TrimSpace(c.mustRun("run", "-detach", "ask"))
	s.until(id, "steps", `"asks"`)
	c.fails("no step", "approve", id, "other")
	if out := c.mustRun("approve", id); !strings.Contains(out, "Approved step sign_off") {
		t.Errorf("approve: %s", out)
	}
	c.mustRun("signal", id, "go", "-data", `{"word": "now"}`)
	out := c.mustRun("runs", "watch", id)
	if !strings.Contains(out, `"word" = "now"`) || !strings.Contains(out, "hidden = <sensitive>") || strings.Contains(out, "correct-horse") {
		t.Errorf("watch: %s", out)
	}
	c.fails("ended", "signal", id, "go")

	id = strings.TrimSpace(c.mustRun("run", "-detach", "slow"))
	s.until(id, "logs", "begun")
	c.mustRun("cancel", id)
	out, code := c.run("runs", "watch", id)
	if code != 1 || !strings.Contains(out, "was cancelled") {
		t.Errorf("watching a run that is cancelled: %d %s", code, out)
	}
	p.write("go", "")
	if out := c.mustRun("runs", "retry", id); !strings.Contains(out, "succeeded") {
		t.Errorf("retry: %s", out)
	}
	c.fails("is succeeded", "resume", strings.Fields(c.mustRun("runs", "-limit=1"))[0])
	c.fails("Nothing to resume", "resume")

	rules := "package names\n\ndeny contains msg if {\n\tsome rc in input.resource_changes\n\tmsg := sprintf(\"%s has no owner\", [rc.address])\n}\n"
	p.write("names/names.rego", rules)
	p.write("names.tutti.hcl", "policy \"names\" {\n  source      = \"./names\"\n  enforcement = \"soft-mandatory\"\n}\n")
	p.write("prices/own.csv", "provider,type,region,component,match,quantity,unit,price,currency\n,terraform_data,*,licence,,,month,7,USD\n")
	id = strings.TrimSpace(c.mustRun("run", "-detach", "guarded", "-override=names=ticket 12"))
	s.until(id, "steps", `"asks"`)
	c.fails("Nobody can be asked", "approve", id)
	out, _ = c.run("approve", id)
	digest := regexp.MustCompile(`Plan ([0-9a-f]{64})`).FindStringSubmatch(out)
	if digest == nil || !strings.Contains(out, "create   terraform_data.page") {
		t.Fatalf("the plan is not shown: %s", out)
	}
	said := []string{"Policy: 1 overridden; 0 of 1 rules pass.", "terraform_data.page has no owner", "rule names.deny at names/names.rego:3", "ticket 12", "Monthly cost: $0.00 → $7.00 (+$7.00)"}
	for _, want := range said {
		if !strings.Contains(out, want) {
			t.Errorf("who approves is not shown %q: %s", want, out)
		}
	}
	if out := c.mustRun("logs", id, "plan"); !strings.Contains(out, said[0]) || !strings.Contains(out, said[4]) {
		t.Errorf("the log of the plan: %s", out)
	}
	p.write("names/names.rego", "package names\n\ndeny contains nothing.like.that\n")
	if out, _ := c.run("approve", id); !strings.Contains(folded(out), "Plan not judged") || !strings.Contains(out, "var nothing is unsafe") {
		t.Errorf("who approves is not told that it cannot be judged: %s", out)
	}
	c.fails("Plan not judged", "policy", "check", "-plan="+digest[1])
	p.write("names/names.rego", rules)
	c.fails("is about the plan", "approve", id, "-digest="+strings.Repeat("0", 64))
	if out := c.mustRun("approve", id, "-digest="+digest[1]); !strings.Contains(out, said[0]) || !strings.Contains(out, said[4]) {
		t.Errorf("approved: %s", out)
	}
	c.mustRun("runs", "watch", id)

	var who struct{ Subject, Source string }
	if err := json.Unmarshal([]byte(c.mustRun("whoami", "-json")), &who); err != nil || who.Subject != "user:"+p.whoami() || who.Source != "server" {
		t.Errorf("whoami: %+v, %v", who, err)
	}
}

// TestRemoteStateMachine: what a state machine is given and returns is the same on a
// server as here, and told to whom its run is by.
func TestRemoteStateMachine(t *testing.T) {
	p := newServed(t)
	p.write("machines.tutti.hcl", `
workflow "double" { definition = "double.asl.json" }
workflow "fails" { definition = "fails.asl.json" }
role "all" { allow = ["*:*"] }
grant {
  role = role.all
  to   = ["service:one", "service:two", "user:`+p.whoami()+`"]
}
`)
	p.write("double.asl.json", `{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Pass", "Output": {"z": "{% $states.input.n * 2 %}", "a": [1, null, "x"]}, "End": true}}}`)
	p.write("fails.asl.json", `{"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "Mine", "Cause": "because"}}}`)
	p.write("input.json", `{"n": 21}`)
	c := p.server().client()
	c.write("input.json", `{"n": 21}`)
	for _, args := range [][]string{{"run", "double", "-input", "input.json"}, {"run", "fails"}} {
		there, code := c.run(args...)
		here, want := p.run(args...)
		if code != want || withoutIDs(there) != withoutIDs(here) {
			t.Errorf("tutti %s: there, with exit code %d:\n%s\nhere, with exit code %d:\n%s", strings.Join(args, " "), code, there, want, here)
		}
	}
	var said struct {
		Status string
		Output struct{ Z int }
	}
	var stdout strings.Builder
	cmd := c.command("run", "double", "-input=input.json", "-json")
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil || json.Unmarshal([]byte(stdout.String()), &said) != nil || said.Status != "SUCCEEDED" || said.Output.Z != 42 {
		t.Errorf("%v: %s", err, stdout.String())
	}
	c.fails("takes variables, not an input", "run", "greet", "-input=input.json")
	c.fails("Cannot read the input", "run", "double", "-input=none.json")

	s := p.server("-require-token")
	one := s.client("TUTTI_TOKEN=" + p.lastLine(p.mustRun("token", "create", "-as=service:one", "-role=all")))
	two := s.client("TUTTI_TOKEN=" + p.lastLine(p.mustRun("token", "create", "-as=service:two", "-role=all")))
	one.write("input.json", `{"n": 21}`)
	id := strings.TrimSpace(one.mustRun("run", "-detach", "double", "-input=input.json"))
	if out := one.mustRun("runs", "watch", id); !strings.Contains(out, "42") {
		t.Errorf("to whom it is by: %s", out)
	}
	if out := two.mustRun("runs", "watch", id); strings.Contains(out, "42") || !strings.Contains(out, "Output is not told") {
		t.Errorf("to somebody else: %s", out)
	}
}

// withoutIDs leaves out the names of runs.
func withoutIDs(text string) string {
	return regexp.MustCompile(`(?m)^Run \S+`).ReplaceAllString(text, "Run")
}

// withoutPlans leaves out of a run what is said of its definition, which clients are
// not told.
func withoutPlans(text string) string {
	return regexp.MustCompile(`(?m)^(Definition|Plan) .*\n`).ReplaceAllString(text, "")
}

// until waits until something is told of a run: of its steps, or its logs.
func (s *httpServer) until(run, of, told string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, data, _ := s.do("GET", "/api/v1/runs/"+run+"/"+of, nil); strings.Contains(string(data), told) {
			return
		}
	}
	s.t.Fatalf("run %s does not get there", run)
}

// TestRemoteChanges plans, applies and destroys stacks on a server, and compares
// what is said with what the same commands say here.
func TestRemoteChanges(t *testing.T) {
	p := newServed(t)
	s := p.server()
	c := s.client()
	here := newServed(t)
	there := c.mustRun("plan")
	if want := here.mustRun("plan"); !strings.Contains(folded(there), folded(section(want, "Tutti used", "Note: the plan was not saved"))) {
		t.Errorf("the plan there:\n%s\nhere:\n%s", there, want)
	}
	if strings.Contains(there, "correct-horse") {
		t.Error("the plan tells a sensitive value")
	}
	digest := regexp.MustCompile(`tutti apply ([0-9a-f]{64})`).FindStringSubmatch(there)
	if digest == nil {
		t.Fatalf("no digest in\n%s", there)
	}
	if out, code := c.run("plan", "-detailed-exitcode"); code != 2 {
		t.Errorf("plan -detailed-exitcode: %d %s", code, out)
	}
	c.fails("Auto-approve required", "apply", "-input=false")
	c.fails("Apply cancelled", "apply")
	if out := c.mustRun("apply", digest[1]); !strings.Contains(out, "Apply complete! Resources: 1 added, 0 changed, 0 destroyed.") || !strings.Contains(out, `text = "welcome"`) {
		t.Errorf("apply: %s", out)
	}
	c.fails("Run failed", "apply", digest[1]) // which is out of date now
	if out, code := c.run("plan", "-detailed-exitcode"); code != 0 || !strings.Contains(out, "No changes") {
		t.Errorf("plan: %d %s", code, out)
	}
	if out := c.mustRun("output", "-raw", "text"); out != "welcome" {
		t.Errorf("output: %q", out)
	}
	if there, here := c.mustRun("output", "-json"), p.mustRun("output", "-json"); there != here {
		t.Errorf("outputs there:\n%s\nhere:\n%s", there, here)
	}
	for _, args := range [][]string{{"plan", "-json", "-destroy"}, {"destroy", "-json", "-auto-approve"}} {
		var types []string
		lines := bufio.NewScanner(strings.NewReader(c.mustRun(args...)))
		for lines.Scan() {
			var m struct {
				Type    string
				Changes struct{ Remove int }
			}
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				t.Fatalf("%v in %s", err, lines.Text())
			}
			if m.Type != "log" {
				types = append(types, m.Type)
			}
			if m.Type == "change_summary" && m.Changes.Remove != 1 {
				t.Errorf("%v: %s", args, lines.Text())
			}
		}
		want := "version planned_change change_summary outputs"
		if args[0] == "destroy" {
			want += " change_summary"
		}
		if strings.Join(types, " ") != want {
			t.Errorf("%v: %v", args, types)
		}
	}
	c.fails("Invalid address", "plan", "-target=***")
	c.fails("Option works on files here", "plan", "-out=x")
	c.fails("Works on files here", "state", "pull")
	c.fails("Works on files here", "server")
	c.mustRun("version")
}

// section is the text between two others.
func section(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return strings.TrimRight(text, "\n─ ")
}

// TestRemoteStacks applies several stacks on a server as one.
func TestRemoteStacks(t *testing.T) {
	p := newStacks(t, 2)
	c := p.server().client()
	out := c.mustRun("apply", "-auto-approve")
	for _, want := range []string{"Total of 4 stacks: 8 to add", "Apply complete! Resources: 8 added", "Outputs of stack third:", "sum = 5", "third: terraform_data.a[0]: Creating..."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := c.mustRun("output", "-stack=third", "sum"); out != "5\n" {
		t.Errorf("output: %s", out)
	}
	if there, here := c.mustRun("output", "-json"), p.mustRun("output", "-json"); there != here {
		t.Errorf("outputs there:\n%s\nhere:\n%s", there, here)
	}
	c.fails("Which stack?", "output", "sum")
	if out := c.mustRun("destroy", "-auto-approve", "-stack=third", "-stack=second"); !strings.Contains(out, "Destroy complete! Resources: 4 destroyed.") {
		t.Errorf("destroy: %s", out)
	}
}

// TestRemoteStacksKilled: the server is killed while it applies several stacks, twice;
// the command that follows sees them applied to the end.
func TestRemoteStacksKilled(t *testing.T) {
	p := newStacks(t, 150)
	s := p.server()
	host := strings.TrimPrefix(s.url, "http://")
	cmd := s.client().command("apply", "-auto-approve")
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, rest, kills := bufio.NewScanner(said), "", 0
	for lines.Scan() {
		rest += lines.Text() + "\n"
		// In the middle of the first stacks, and of one that was given their outputs.
		if kills == 0 && strings.HasPrefix(lines.Text(), "first: ") || kills == 1 && strings.HasPrefix(lines.Text(), "second: ") {
			kills++
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
			s = p.server("-listen=" + host)
		}
	}
	if err := cmd.Wait(); err != nil || kills != 2 || !strings.Contains(rest, "Apply complete! Resources: 600 added, 0 changed, 0 destroyed.") {
		t.Fatalf("%v after %d kills: %s", err, kills, p.lastLine(rest))
	}
	if out := p.mustRun("output", "-stack=third", "-raw", "sum"); out != "11475" {
		t.Errorf("the sum is %s", out)
	}
	if out, code := p.run("plan", "-detailed-exitcode"); code != 0 {
		t.Errorf("something is left to do: %s", out)
	}
}

// following is a command that follows a run on a server.
type following struct {
	t     *testing.T
	cmd   *exec.Cmd
	run   string
	lines *bufio.Scanner // of standard error
	out   strings.Builder
}

// follow starts a command and reads which run it follows.
func (p *project) follow(args ...string) *following {
	p.t.Helper()
	f := &following{t: p.t, cmd: p.command(args...)}
	f.cmd.Stdout = &f.out
	said, err := f.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	f.lines = bufio.NewScanner(said)
	f.next()
	return f
}

// next reads on to the next run that the command follows.
func (f *following) next() {
	f.t.Helper()
	for f.lines.Scan() {
		if id, ok := strings.CutPrefix(f.lines.Text(), "Run "); ok {
			f.run = id
			return
		}
	}
	f.t.Fatalf("tutti %s follows no run: %s", strings.Join(f.cmd.Args[1:], " "), f.out.String())
}

func (f *following) interrupt() {
	f.t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
		f.t.Fatal(err)
	}
}

// until reads on until something is said.
func (f *following) until(words string) {
	f.t.Helper()
	for f.lines.Scan() {
		if strings.Contains(f.lines.Text(), words) {
			return
		}
	}
	f.t.Errorf("tutti %s does not say %q: %s", strings.Join(f.cmd.Args[1:], " "), words, f.out.String())
}

// end is what the command says from now on, and its exit code.
func (f *following) end() (rest string, code int) {
	f.t.Helper()
	for f.lines.Scan() {
		rest += f.lines.Text() + "\n"
	}
	_ = f.cmd.Wait()
	return rest + f.out.String(), f.cmd.ProcessState.ExitCode()
}

// TestRemoteInterrupt interrupts commands that follow a run: it goes on, or is
// cancelled where that was asked for.
func TestRemoteInterrupt(t *testing.T) {
	p := newServed(t)
	p.write("more.tutti.hcl", remoteWorkflows)
	s := p.server()
	c := s.client()
	for _, cancel := range []bool{false, true} {
		f := c.follow("run", "slow", fmt.Sprintf("-cancel-on-interrupt=%t", cancel))
		s.until(f.run, "logs", "begun")
		f.interrupt()
		s.interrupted(c, f, cancel)
	}
}

// interrupted looks at what became of a command that was interrupted, and of its run.
func (s *httpServer) interrupted(c *project, f *following, cancel bool) {
	s.t.Helper()
	what := strings.Join(f.cmd.Args[1:], " ")
	rest, code := f.end()
	if code != 1 {
		s.t.Errorf("tutti %s: exit code %d", what, code)
	}
	var run servedRun
	s.get(&run, 200, "GET", "/runs/"+f.run, nil)
	if cancel {
		if run.Status != "cancelled" || !strings.Contains(rest, "cancelled") {
			s.t.Errorf("tutti %s: the run is %s: %s", what, run.Status, rest)
		}
		return
	}
	if run.Status != "running" || !strings.Contains(rest, "tutti runs watch "+f.run) || !strings.Contains(rest, "tutti cancel "+f.run) {
		s.t.Errorf("tutti %s: the run is %s: %s", what, run.Status, rest)
	}
	c.mustRun("cancel", f.run)
}

// TestRemoteInterruptChanges does so to commands that plan and change stacks.
func TestRemoteInterruptChanges(t *testing.T) {
	p := newServed(t)
	// Each waits in the directory of the server for as long as there is a file.
	hold := func(name string) string {
		at := filepath.Join(p.dir, name)
		return "touch " + at + "; while test -e " + at + ".hold; do sleep 0.05; done"
	}
	p.write("project.tutti.hcl", `
stack "site" {
  source = "./site"
  inputs = { word = secret.slow }
}
secret "slow" {
  exec { command = ["sh", "-c", "`+hold("planning")+`; echo word"] }
}
`)
	p.write("site/main.tf", `
variable "word" {}
resource "terraform_data" "page" {
  input = "x"
  provisioner "local-exec" { command = "`+hold("applying")+`" }
  provisioner "local-exec" {
    when    = destroy
    command = "`+hold("destroying")+`"
  }
}
resource "terraform_data" "after" { input = terraform_data.page.output }
`)
	s := p.server()
	c := s.client()
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, story := range []struct {
		args []string
		at   string
		then []string // after it was cancelled
	}{
		{[]string{"plan"}, "planning", nil},
		{[]string{"apply", "-auto-approve", "-replace=terraform_data.page"}, "applying", []string{"terraform_data.page"}},
		{[]string{"destroy", "-auto-approve"}, "destroying", nil},
	} {
		for _, cancel := range []bool{false, true} {
			if story.at == "destroying" {
				c.mustRun("apply", "-auto-approve")
			}
			p.write(story.at+".hold", "")
			if _, err := os.Stat(filepath.Join(p.dir, story.at)); err == nil {
				remove(story.at)
			}
			f := c.follow(append(story.args, fmt.Sprintf("-cancel-on-interrupt=%t", cancel))...)
			if story.at != "planning" {
				f.next() // that carries out what the first planned
			}
			p.await(story.at)
			f.interrupt()
			if cancel {
				f.until("Interrupt received")
			}
			if cancel && story.at != "planning" { // which is given up as it is
				s.until(f.run, "logs", "Stopping: ")
				remove(story.at + ".hold")
			}
			s.interrupted(c, f, cancel)
			if story.at != "planning" && !cancel {
				remove(story.at + ".hold")
			}
			_, _ = c.run("runs", "watch", f.run)
			_ = os.Remove(filepath.Join(p.dir, story.at+".hold"))
		}
		for _, address := range story.then {
			if out := p.mustRun("state", "list"); !strings.Contains(out, address) {
				t.Errorf("after tutti %s there is no %s: %s", strings.Join(story.args, " "), address, out)
			}
		}
	}
}

// TestRemoteRestart: a command goes on following when the server was killed, or was
// asked to end and did, and is started again.
func TestRemoteRestart(t *testing.T) {
	for name, end := range map[string]func(p *project, s *httpServer){
		"killed": func(p *project, s *httpServer) {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
			p.write("go", "")
		},
		"ended": func(p *project, s *httpServer) {
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
			p.write("go", "") // the step ends, and with it the server
			_ = s.cmd.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newServed(t)
			p.write("more.tutti.hcl", remoteWorkflows)
			s := p.server()
			host := strings.TrimPrefix(s.url, "http://")
			f := s.client().follow("run", "slow")
			s.until(f.run, "logs", "begun")
			end(p, s)
			p.server("-listen=" + host)
			if rest, code := f.end(); code != 0 || !strings.Contains(rest, "succeeded") {
				t.Errorf("exit code %d: %s", code, rest)
			}
		})
	}
}

// TestListenersMissNothing: who listens from now on, and has heard nothing yet when the
// server ends, hears what happens while there is none.
func TestListenersMissNothing(t *testing.T) {
	p := newServed(t)
	p.mustRun("run", "greet", "-var=name=you")
	s := p.server()
	host := strings.TrimPrefix(s.url, "http://")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	there, heard := make(chan struct{}, 100), make(chan struct{}, 100)
	c := &client.Client{URL: s.url}
	go func() {
		_ = c.StreamEvents(ctx, client.StreamEventsQuery{After: -1}, client.StreamEventsHearer{
			Alive: func(client.Alive) error {
				there <- struct{}{}
				return nil
			},
			Event: func(e client.Event) error {
				if e.Type == "run.succeeded" {
					heard <- struct{}{}
				}
				return nil
			},
		})
	}()
	<-there
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	p.mustRun("run", "greet", "-var=name=you")
	p.server("-listen=" + host)
	select {
	case <-heard:
	case <-ctx.Done():
		t.Error("what happened while there was no server was not heard")
	}
}

// TestRemoteAccess: who has no token or not the right, and connections that are not
// what they should be, are told so.
func TestRemoteAccess(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "operator" { allow = ["run:*"] }
role "all" { allow = ["*:*"] }
grant {
  role = role.operator
  to   = ["service:ci"]
}
grant {
  role = role.all
  to   = ["user:`+p.whoami()+`"]
}
`)
	token := p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=operator"))
	certificate, key := selfSigned(t)
	s := p.server("-require-token", "-tls-cert="+certificate, "-tls-key="+key)
	c := s.client("TUTTI_TOKEN="+token, "TUTTI_CACERT="+certificate)
	c.mustRun("run", "greet", "-var", "name=you")
	c.fails("service:ci may not do this", "plan")
	if out := c.mustRun("whoami"); !strings.Contains(out, "service:ci") || !strings.Contains(out, "operator") {
		t.Errorf("whoami: %s", out)
	}
	s.client("TUTTI_TOKEN="+token).fails("Certificate of an unknown authority", "runs")
	s.client("TUTTI_CACERT="+certificate).fails("Token needed", "runs")
	s.client("TUTTI_CACERT="+certificate, "TUTTI_TOKEN="+token[:len(token)-4]+"0000").fails("Token refused", "runs")

	plain := p.server()
	plain.url = strings.Replace(plain.url, "http:", "https:", 1)
	plain.client().fails("Server does not encrypt", "runs")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" && r.URL.Path == "/stolen" {
			t.Error("the token was sent elsewhere")
		}
		http.Redirect(w, r, "/stolen", http.StatusFound)
	}))
	defer other.Close()
	for address, want := range map[string]string{
		"http://127.0.0.1:1":       "Cannot reach the server",
		"127.0.0.1:7780":           "Invalid address of the server",
		"http://tutti.example.com": "Token would be sent in clear",
		other.URL:                  "Server is elsewhere",
		other.URL + "/x?y":         "Invalid address of the server",
	} {
		(&httpServer{t: t, url: address}).client("TUTTI_TOKEN="+token).fails(want, "runs")
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer html.Close()
	(&httpServer{t: t, url: html.URL}).client().fails("No Tutti server there", "runs")
}

// selfSigned makes a certificate of this machine and its key, in files.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tutti"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// TestRemoteOverride goes against a soft-mandatory policy on a server, with a reason.
func TestRemoteOverride(t *testing.T) {
	p := newServed(t)
	p.write("policy.tutti.hcl", "policy \"quiet\" {\n  source      = \"./rules\"\n  enforcement = \"soft-mandatory\"\n}\n")
	p.write("rules/quiet.rego", "package main\ndeny contains \"nothing is made\" if input.resource_changes[_].change.actions[_] == \"create\"\n")
	c := p.server().client()
	c.fails("nothing is made", "apply", "-auto-approve")
	c.fails("Override without a reason", "apply", "-auto-approve", "-override=quiet")
	c.fails("no budget", "apply", "-auto-approve", "-override=none=because")
	c.mustRun("apply", "-auto-approve", "-override=quiet=it is needed now")
	if out := p.mustRun("audit", "export"); !strings.Contains(out, "it is needed now") {
		t.Errorf("audit: %s", out)
	}
}

// TestRemoteUpload plans the project as a client has it: with the states, the rules
// and the providers of the server, without its secrets, and without leaving anything
// that could be applied.
func TestRemoteUpload(t *testing.T) {
	p := newServed(t)
	p.write("project.tutti.hcl", served+`
secret "db" {
  environment { variable = "DB_PASSWORD" }
}
policy "names" { source = "./rules" }
`)
	p.write("rules/names.rego", `package main
deny contains "no curses" if input.resource_changes[_].change.after.input.text == "curse"
`)
	p.env = append(p.env, "DB_PASSWORD=battery-staple")
	s := p.server("-speculative-plans")
	c := s.client()
	c.mustRun("apply", "-auto-approve")
	before := p.mustRun("state", "pull")

	c.write("project.tutti.hcl", `
stack "site" {
  source = "./site"
  inputs = { password = secret.db }
}
stack "extra" { source = "./extra" }
secret "db" {
  environment { variable = "DB_PASSWORD" }
}
`)
	c.write("site/main.tf", strings.Replace(servedSite, `"welcome"`, `"welcome again"`, 1))
	c.write("extra/main.tf", `module "x" { source = "./x" }`)
	c.write("extra/x/main.tf", `resource "terraform_data" "x" {}`)
	c.write("extra/terraform.tfstate", `{"version": 4, "serial": 9, "lineage": "sent", "resources": []}`)
	out, code := c.run("plan", "-upload", "-detailed-exitcode")
	if code != 2 || !strings.Contains(out, `"welcome" -> "welcome again"`) || !strings.Contains(out, "Total of 2 stacks: 1 to add, 1 to change") || strings.Contains(out, "battery-staple") {
		t.Errorf("%d %s", code, out)
	}
	if strings.Contains(out, "tutti apply") {
		t.Error("it says that the plan can be applied")
	}
	if out := c.mustRun("plan", "-upload", "-stack=extra"); !strings.Contains(out, "1 to add, 0 to change") {
		t.Errorf("of one stack: %s", out)
	}
	if data := c.mustRun("plan", "-upload", "-json"); !strings.Contains(data, `"type":"planned_change"`) || strings.Contains(data, "battery-staple") {
		t.Errorf("plan -json: %s", data)
	}
	// What is kept of it is what is shown.
	var outputs struct {
		Items []struct {
			Name  string
			Value any
		}
	}
	s.get(&outputs, 200, "GET", "/runs/"+strings.Fields(c.mustRun("runs", "-limit=1"))[0]+"/outputs", nil)
	for _, o := range outputs.Items {
		if digest, ok := o.Value.(string); ok && o.Name == "plan" {
			s.get(nil, 200, "GET", "/plans/"+digest, nil)
			c.fails("there is no plan with the digest", "apply", digest)
		}
	}
	c.write("site/main.tf", strings.Replace(servedSite, `"welcome"`, `"curse"`, 1))
	c.fails("no curses", "plan", "-upload")
	for _, format := range []string{"sarif", "junit"} {
		if out, code := c.run("policy", "check", "-upload", "-format="+format); code != 1 || !strings.Contains(out, "no curses") || strings.Contains(out, "tutti-steps") {
			t.Errorf("policy check -format=%s: %d %s", format, code, out)
		}
	}
	if out := c.mustRun("policy", "check"); !strings.Contains(out, "passed (1 rule)") {
		t.Errorf("policy check of the server's own files: %s", out)
	}
	c.write("site/broken.tf", "resource {")
	if out, code := c.run("plan", "-upload"); code != 1 || !strings.Contains(out, "site/broken.tf") || strings.Contains(out, "tutti-steps") {
		t.Errorf("files with errors: %d %s", code, out)
	}
	if err := os.Remove(filepath.Join(c.dir, "site", "broken.tf")); err != nil {
		t.Fatal(err)
	}
	if after := p.mustRun("state", "pull"); after != before {
		t.Error("the state was changed")
	}
	if out := p.mustRun("state", "list"); strings.Contains(out, "extra") {
		t.Errorf("a stack came to be: %s", out)
	}
	if err := os.Symlink("/etc/hosts", filepath.Join(c.dir, "site", "hosts")); err != nil {
		t.Fatal(err)
	}
	c.fails("outside of the directory", "plan", "-upload")
	p.fails("No server", "plan", "-upload")
}

// TestRemoteUploadDirectory plans a plain directory as a client has it, with a
// provider that is installed for it.
func TestRemoteUploadDirectory(t *testing.T) {
	mirror := providerMirror(t)
	p := newProject(t, `resource "terraform_data" "text" { input = "one" }`)
	unpacked := t.TempDir()
	p.env = append(p.env, "TF_CLI_CONFIG_FILE="+mirror, "TMPDIR="+unpacked)
	c := p.server("-speculative-plans").client()
	c.mustRun("apply", "-auto-approve")
	c.write("main.tf", "resource \"terraform_data\" \"text\" { input = random_pet.name.id }\nresource \"random_pet\" \"name\" {}\n")
	if out := c.mustRun("plan", "-upload"); !strings.Contains(out, "Plan: 1 to add, 1 to change, 0 to destroy.") {
		t.Error(out)
	}
	if left, _ := filepath.Glob(filepath.Join(unpacked, "tutti-steps-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRemoteUploadKilled: what a server unpacked that was killed meanwhile is removed by
// the next one.
func TestRemoteUploadKilled(t *testing.T) {
	asked := make(chan bool, 10)
	over := make(chan bool)
	modules := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- true
		<-over // for as long as it takes
	}))
	defer modules.Close()
	defer close(over)
	p := newProject(t, "")
	unpacked := t.TempDir()
	p.env = append(p.env, "TMPDIR="+unpacked)
	s := p.server("-speculative-plans")
	c := s.client()
	c.write("main.tf", `module "slow" { source = "`+modules.URL+`/slow.tar.gz" }`)
	cmd := c.command("plan", "-upload")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	<-asked
	left := func() []string {
		found, err := filepath.Glob(filepath.Join(unpacked, "tutti-steps-*", "*", "main.tf"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if len(left()) != 1 {
		t.Errorf("unpacked are %v", left())
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	if len(left()) != 1 {
		t.Errorf("a server that is killed has left %v", left())
	}
	other := newProject(t, "")
	other.env = append(other.env, "TMPDIR="+unpacked)
	other.server()
	if len(left()) > 0 {
		t.Errorf("left behind: %v", left())
	}
}

// TestRemoteUploadUnwanted: a server plans what clients send only where it was
// started so, and for who may plan.
func TestRemoteUploadUnwanted(t *testing.T) {
	p := newServed(t)
	c := p.server().client()
	c.write("main.tf", "")
	c.fails("was not started with -speculative-plans", "plan", "-upload")
	p.write("access.tutti.hcl", `
role "site" { allow = ["plan:default/site"] }
role "none" { allow = ["run:*"] }
grant {
  role = role.site
  to   = ["service:site"]
}
grant {
  role = role.none
  to   = ["service:none"]
}
role "all" { allow = ["*:*"] }
grant {
  role = role.all
  to   = ["user:`+p.whoami()+`"]
}
`)
	s := p.server("-require-token", "-speculative-plans")
	for name, want := range map[string]string{"none": "may plan nothing here", "site": "service:site may not do this (plan"} {
		token := p.lastLine(p.mustRun("token", "create", "-as=service:"+name, "-role="+name))
		c := s.client("TUTTI_TOKEN=" + token)
		c.write("project.tutti.hcl", "stack \"site\" { source = \"./site\" }\nstack \"other\" { source = \"./site\" }\n")
		c.write("site/main.tf", servedSite)
		c.fails(want, "plan", "-upload")
		if name == "site" {
			c.mustRun("plan", "-upload", "-stack=site")
		}
	}
}
