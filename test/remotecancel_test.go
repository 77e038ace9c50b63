package test

import (
	"strings"
	"testing"
	"time"
)

const cutOffProject = `
stack "one" { source = "./one" }
stack "two" {
  source = "./two"
  needs  = [stack.one]
}

workflow "slow" {
  step "hold" {
    exec { command = ["sh", "-c", "echo begun; exec sleep 600"] }
  }
  finally {
    step "tidy" {
      exec { command = ["echo", "tidied"] }
    }
  }
}
workflow "asleep" { definition = "asleep.asl.json" }
`

// TestCutOffRunGoesOn: what a run does is cut off when it is asked to stop a second time,
// and whoever drives it goes on with it at once: its last steps are done, and it ends.
func TestCutOffRunGoesOn(t *testing.T) {
	p := newServed(t)
	p.write("project.tutti.hcl", cutOffProject)
	p.write("one/main.tf", "resource \"terraform_data\" \"one\" {\n  provisioner \"local-exec\" {\n    command = \"touch begun; exec sleep 600\"\n  }\n}\n")
	p.write("two/main.tf", "resource \"terraform_data\" \"two\" {}\n")
	p.write("asleep.asl.json", `{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "tutti:exec", "Parameters": {"command": ["sh", "-c", "echo begun; exec sleep 600"]}, "End": true}}}`)
	s := p.server()
	c := s.client()
	// Less than a minute, for which a run is left alone that could not be driven.
	ends := func(id string, watchers ...*project) {
		t.Helper()
		began := time.Now()
		first, second := c.mustRun("cancel", id), c.mustRun("cancel", id)
		if !strings.Contains(first, "was asked to stop after what it is doing. Asked again, it is cut off.") || !strings.Contains(second, "was asked to cut off what it is doing.") {
			t.Errorf("cancel says %q, then %q", first, second)
		}
		for _, w := range watchers {
			if out, code := w.run("runs", "watch", id); code != 1 || !strings.Contains(out, "cancelled") || strings.Contains(out, "is gone") {
				t.Errorf("watching run %s: %d %s", id, code, out)
			}
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("run %s ended %s after it was cut off", id, took)
		}
	}

	id := strings.TrimSpace(c.mustRun("run", "-detach", "slow"))
	s.until(id, "logs", "begun")
	ends(id, p, c)
	if out := c.mustRun("logs", id, "tidy"); out != "tidied\n" {
		t.Errorf("the last step: %q", out)
	}

	var change struct{ ID string }
	s.get(&change, 201, "POST", "/environments/default/changes", map[string]any{"kind": "apply"})
	p.await("one/begun")
	ends(change.ID, c, p)
	if out := c.mustRun("state", "list", "-stack=two"); out != "" {
		t.Errorf("what came after the stack that was cut off: %s", out)
	}
	if out := c.mustRun("runs"); strings.Contains(out, "interrupted") || strings.Contains(out, "running") {
		t.Errorf("what is left: %s", out)
	}

	id = strings.TrimSpace(c.mustRun("run", "-detach", "asleep"))
	s.until(id, "logs", "begun")
	ends(id, c, p)
}

// TestRemoteRunOfSeveralStacks: what is said of a run of several stacks, and of steps that
// a run has not, is the same on a server as here.
func TestRemoteRunOfSeveralStacks(t *testing.T) {
	p := newServed(t)
	p.write("project.tutti.hcl", strings.Replace(served, `stack "site"`, "stack \"two\" { source = \"./two\" }\nstack \"site\"", 1)+`
workflow "items" {
  step "i" {
    for_each = ["a", "b"]
    exec { command = ["true"] }
  }
}
`)
	p.write("two/main.tf", "resource \"terraform_data\" \"two\" {}\n")
	p.mustRun("apply", "-auto-approve")
	var several string
	for _, line := range strings.Split(p.mustRun("runs", "list"), "\n") {
		if f := strings.Fields(line); len(f) > 0 && !strings.Contains(f[0], ".") {
			several = f[0]
		}
	}
	if several == "" {
		t.Fatal("no run of several stacks")
	}
	c := p.server().client()
	there, code := c.run("rollback", several)
	here, want := p.run("rollback", several)
	if there != here || code != want || !strings.Contains(folded(there), "Roll those back that are to be undone, in this order: ") {
		t.Errorf("rollback there, with exit code %d:\n%s\nhere, with exit code %d:\n%s", code, there, want, here)
	}
	p.mustRun("run", "items")
	items := strings.Fields(p.mustRun("runs", "list", "-limit=1"))[0]
	c.fails(`has begun no step "i[\"zz\"]"`, "logs", items, `i["zz"]`)
	if out := c.mustRun("logs", items, "i[1]"); out != "" {
		t.Errorf("the log of a silent item: %s", out)
	}
}
