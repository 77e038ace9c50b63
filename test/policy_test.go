package test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// policed is a project with things of the world provider, held to a policy.
func policed(t *testing.T, config, rules string) *project {
	t.Helper()
	p := newProject(t, "terraform {\n  required_providers {\n    world = { source = \"tutti-dev/world\" }\n  }\n}\nprovider \"world\" {\n  folder = \"world\"\n}\n"+config)
	p.env = append(p.env, "TF_CLI_CONFIG_FILE="+providerMirror(t))
	if err := os.Mkdir(filepath.Join(p.dir, "world"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.write("main.tutti.hcl", "policy \"guardrails\" {\n  source = \"./policy\"\n}\n")
	p.write("policy/main.rego", rules)
	p.mustRun("init")
	return p
}

// forbids is a rule against a value of things, which judges each by itself.
func forbids(value string) string {
	return fmt.Sprintf("package main\n\ndeny contains msg if {\n\tsome rc in input.resource_changes\n\trc.type == \"world_thing\"\n\tcontains(rc.change.after.value, %q)\n\tmsg := sprintf(\"%%s has a forbidden value\", [rc.address])\n}\n", value)
}

// late is a thing whose value is known when another object was made.
const late = `
resource "terraform_data" "first" {
  input = "v1"
}
resource "world_thing" "late" {
  name   = "late"
  value  = terraform_data.first.output
  before = %d
  after  = %d
}
resource "terraform_data" "after" {
  input = world_thing.late.revision
}
`

// TestKilledBetweenJudgementAndEffect kills an apply when an object that was left
// open has been judged and its operation begun. The policy changes meanwhile: whoever
// resumes judges the object again, before it is made.
func TestKilledBetweenJudgementAndEffect(t *testing.T) {
	p := policed(t, fmt.Sprintf(late, 30_000, 0), forbids("other"))
	apply := p.command("apply", "-auto-approve")
	said, err := apply.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	begun := false
	for lines := bufio.NewScanner(said); !begun && lines.Scan(); {
		begun = strings.Contains(lines.Text(), "world_thing.late: Creating...")
	}
	if err := apply.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	if !begun {
		t.Fatal("it ended before the thing was begun")
	}
	p.write("policy/main.rego", forbids("v1"))
	out, code := p.run("resume", "-auto-approve")
	if code == 0 || !strings.Contains(out, "world_thing.late has a forbidden value") {
		t.Errorf("resume: exit code %d\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "world", "thing.late.json")); err == nil {
		t.Error("it was made all the same")
	}
	if list := p.mustRun("state", "list"); list != "terraform_data.first\n" {
		t.Errorf("there is\n%s", list)
	}
}

// TestKilledBetweenEffectAndAnswer kills an apply when an object that was left open
// has been made, but not recorded. It is found again, and judged with what it became
// before anything follows from it.
func TestKilledBetweenEffectAndAnswer(t *testing.T) {
	p := policed(t, fmt.Sprintf(late, 0, 30_000), forbids("other"))
	apply := p.command("apply", "-auto-approve")
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("world/thing.late.json")
	if err := apply.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	p.write("policy/main.rego", forbids("v1"))
	out, code := p.run("resume", "-auto-approve")
	if code == 0 || !strings.Contains(out, "world_thing.late has a forbidden value") {
		t.Errorf("resume: exit code %d\n%s", code, out)
	}
	if list := p.mustRun("state", "list"); list != "terraform_data.first\nworld_thing.late\n" {
		t.Errorf("there is\n%s", list)
	}
	if list := p.runs(); len(list) != 1 || list[0].Status != "failed" {
		t.Errorf("the run: %+v", list)
	}
}

// TestNothingDeniedIsMadeWhereverItIsKilled kills an apply and those who resume it at
// other moments each time. Of things whose values are known late only those are ever
// made that the policy allows, by rules that judge each thing by itself and by rules
// that look at all of them.
func TestNothingDeniedIsMadeWhereverItIsKilled(t *testing.T) {
	const things = 12
	whole := strings.Replace(forbids("bad"), "some rc in input.resource_changes", "all := {rc | some rc in input.resource_changes}\n\tsome rc in all", 1)
	for i, delay := range []time.Duration{60, 120, 180, 240, 320, 420} {
		rules := []string{forbids("bad"), whole}[i%2]
		p := policed(t, fmt.Sprintf(`
resource "terraform_data" "first" {
  input = "x"
}
resource "world_thing" "late" {
  count  = %d
  name   = "t${count.index}"
  value  = "${terraform_data.first.output}-${count.index %% 3 == 0 ? "bad" : "good"}"
  before = 20
  after  = 20
}
`, things), rules)
		args, said := []string{"apply", "-auto-approve"}, ""
		for round := 0; ; round++ {
			cmd := p.command(args...)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(delay*time.Millisecond<<min(round, 6), func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			timer.Stop()
			said = out.String()
			if cmd.ProcessState.ExitCode() != -1 {
				break
			}
			args = []string{"apply", "-auto-approve"}
			for _, run := range p.runs() {
				if run.Status == "interrupted" || run.Status == "running" {
					args = []string{"resume", "-auto-approve", run.ID}
				}
			}
		}
		for n := range things {
			_, err := os.Stat(filepath.Join(p.dir, "world", fmt.Sprintf("thing.t%d.json", n)))
			if made, want := err == nil, n%3 != 0; made != want {
				t.Errorf("killed after %d ms: thing %d made: %v, want %v\n%s", delay, n, made, want, said)
			}
		}
		if runs := p.runs(); len(runs) == 0 || runs[len(runs)-1].Status != "failed" {
			t.Errorf("killed after %d ms: the runs %+v\n%s", delay, runs, said)
		}
	}
}
