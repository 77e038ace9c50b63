package test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// planned is what a command says of a plan and of what became of it, without what is
// random, or differs between here and there because plans are kept elsewhere.
func planned(text string) string {
	progress := regexp.MustCompile(`: (Refreshing state|Creating|Modifying|Destroying|Still )|: .* complete after `) // side by side
	text = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).ReplaceAllString(text, "ID")
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "───") {
			break // what to do with the plan
		}
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "Run ") || progress.MatchString(line) {
			continue
		}
		out = append(out, line)
	}
	return folded(strings.Join(out, "\n"))
}

// same runs a command on a server and here, on two projects that are alike, and compares.
func same(t *testing.T, there, here *project, args ...string) string {
	t.Helper()
	said, code := there.run(args...)
	want, wanted := here.run(args...)
	if code != wanted || planned(said) != planned(want) {
		t.Errorf("tutti %s: there, with exit code %d:\n%s\nhere, with exit code %d:\n%s", strings.Join(args, " "), code, said, wanted, want)
	}
	return said
}

// TestRemotePlanOptions: options that shape plans mean on a server what they mean here.
func TestRemotePlanOptions(t *testing.T) {
	here, p := newObserved(t, ""), newObserved(t, "")
	for _, p := range []*project{here, p} {
		p.write("project.tutti.hcl", `
variable "value" {
  type    = string
  default = "one"
}
variable "needed" {
  type = string
}
variable "more" {
  type    = list(string)
  default = []
}
stack "things" {
  source = "./things"
  inputs = { value = join("+", concat([var.value], [for m in var.more : m if var.needed != m])) }
}
`)
		p.write("things/main.tf", strings.Replace(observedThings, `"one"`, `var.value`, 1)+"variable \"value\" {}\n")
	}
	c := p.server().client()
	c.env = append(c.env, "TF_CLI_ARGS=-var=needed=x")
	here.env = append(here.env, "TF_CLI_ARGS=-var=needed=x")
	for _, p := range []*project{c, here} {
		p.write("values.tfvars", "value = \"file\"\nmore = [\"a\", \"b\"]\n")
		p.write("broken.tfvars", "value = \n")
	}
	same(t, c, here, "plan", "-detailed-exitcode")
	same(t, c, here, "plan", "-replace=world_thing.it[1]", "-detailed-exitcode")
	same(t, c, here, "plan", "-stack=things", "-replace=stack.things.world_thing.it[1]")
	if said := same(t, c, here, "plan", "-var=value=two", "-exclude=world_thing.it[0]"); !strings.Contains(said, "5 to change") {
		t.Errorf("plan -exclude: %s", said)
	}
	same(t, c, here, "plan", "-var=value=two", "-var-file=values.tfvars")
	if said := same(t, c, here, "plan", "-var-file=values.tfvars", "-var=value=two", `-var=more=["c"]`); !strings.Contains(said, `"two+c"`) {
		t.Errorf("plan -var: %s", said)
	}
	same(t, c, here, "plan", "-var-file=broken.tfvars")
	same(t, c, here, "plan", "-var-file=none.tfvars")
	same(t, c, here, "plan", "-refresh-only", "-replace=world_thing.it[0]")
	same(t, c, here, "plan", "-target=***")
	same(t, c, here, "plan", "-target=world_thing.it[0]", "-exclude=world_thing.it[1]")
	c.fails("Value for undeclared variable", "plan", "-var=none=1")

	for _, p := range []*project{here, p} {
		p.says("it3", "changed")
	}
	if said := same(t, c, here, "plan", "-refresh-only", "-detailed-exitcode"); !strings.Contains(said, `"changed"`) {
		t.Errorf("plan -refresh-only: %s", said)
	}
	same(t, c, here, "apply", "-refresh-only", "-auto-approve")
	for _, p := range []*project{here, p} {
		p.says("it3", "again")
	}
	same(t, c, here, "refresh")
	if out := p.mustRun("state", "show", "world_thing.it[3]"); !strings.Contains(out, `"again"`) {
		t.Errorf("it was not recorded: %s", out)
	}
	same(t, c, here, "apply", "-auto-approve", "-var=value=two", "-replace=world_thing.it[2]")
	if p.said("it3") != "two" {
		t.Errorf("it3 says %q", p.said("it3"))
	}
	same(t, c, here, "destroy", "-auto-approve", "-exclude=world_thing.it[5]")
}

// TestRemotePlanOptionsOfDirectory: the variables of a plain directory are given values
// from elsewhere, and nothing of a file that is sent is taken for configuration.
func TestRemotePlanOptionsOfDirectory(t *testing.T) {
	const config = `
variable "word" {
  type = string
}
variable "secret" {
  type      = string
  default   = "none"
  sensitive = true
}
variable "list" {
  type    = list(number)
  default = []
}
resource "terraform_data" "word" { input = [var.word, var.secret, var.list] }
output "word" { value = var.word }
`
	p, here := newProject(t, config), newProject(t, config)
	s := p.server("-speculative-plans")
	c := s.client()
	for _, p := range []*project{c, here} {
		p.write("values.tfvars", "word = \"file\"\nundeclared = true\n")
		p.write("values.tfvars.json", `{"word": "json", "list": [1, 2]}`)
		p.write("evil.tf", "word = \"evil\"\n") // as somebody else could have sent it
	}
	if err := os.Remove(filepath.Join(here.dir, "evil.tf")); err != nil {
		t.Fatal(err)
	}
	c.fails("No value for required variable", "plan")
	same(t, c, here, "plan", "-var=word=x", "-var=secret=battery-staple")
	same(t, c, here, "plan", "-var-file=values.tfvars.json", `-var=list=[3]`)
	if said := c.mustRun("apply", "-auto-approve", "-var=secret=battery-staple", "-var-file=evil.tf"); !strings.Contains(said, `word = "evil"`) {
		t.Errorf("apply: %s", said)
	}
	if said := p.mustRun("state", "list"); said != "terraform_data.word\n" {
		t.Errorf("there are: %s", said)
	}
	c.mustRun("apply", "-auto-approve", "-var=word=next")
	if out := p.mustRun("output", "word"); out != "\"next\"\n" {
		t.Errorf("output: %s", out)
	}

	// A configuration that is sent takes them as well.
	if err := os.Remove(filepath.Join(c.dir, "evil.tf")); err != nil {
		t.Fatal(err)
	}
	c.write("main.tf", strings.Replace(config, "[var.word,", "[upper(var.word),", 1))
	if out := c.mustRun("plan", "-upload", "-var=word=shout"); !strings.Contains(out, `"SHOUT"`) {
		t.Errorf("plan -upload: %s", out)
	}
	c.write("project.tutti.hcl", "variable \"sent\" {}\nstack \"site\" {\n  source = \"./site\"\n  inputs = { word = var.sent }\n}\n")
	c.write("site/main.tf", config)
	if out := c.mustRun("plan", "-upload", "-var=sent=over"); !strings.Contains(out, `"over"`) {
		t.Errorf("plan -upload of a project: %s", out)
	}
	for _, run := range p.runs() {
		for _, of := range []string{"logs", "journal", "steps"} {
			if _, data, _ := s.do("GET", "/api/v1/runs/"+run.ID+"/"+of, nil); strings.Contains(string(data), "battery-staple") {
				t.Errorf("the %s of run %s tell a sensitive value", of, run.ID)
			}
		}
	}
}

// TestRemoteStale: a plan that is out of date by the time it is agreed to is made again,
// and asked about again, as here; one that was named is not.
func TestRemoteStale(t *testing.T) {
	p := newServed(t)
	c := p.server().client()
	digest := regexp.MustCompile(`tutti apply ([0-9a-f]{64})`).FindStringSubmatch(c.mustRun("plan"))[1]
	cmd := c.command("apply")
	answers, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, asked := "", 0
	for words := bufio.NewReader(said); ; {
		b, err := words.ReadByte()
		if err != nil {
			break
		}
		if text += string(b); !strings.HasSuffix(text, "Enter a value: ") {
			continue
		}
		if asked++; asked == 1 {
			p.mustRun("apply", "-auto-approve") // somebody else is faster
			p.write("site/main.tf", strings.Replace(servedSite, `"welcome"`, `"welcome back"`, 1))
		}
		if _, err := fmt.Fprintln(answers, "yes"); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil || asked != 2 || !strings.Contains(folded(text), "Planning again: the state has changed since: terraform_data.page.") || !strings.Contains(text, "1 changed") {
		t.Errorf("%v, asked %d times: %s", err, asked, text)
	}
	c.fails("Tutti.StalePlan", "apply", digest)
}
