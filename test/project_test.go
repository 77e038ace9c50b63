package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newStacks is a project of stacks, each a resource of many instances that takes
// the outputs of the one before.
func newStacks(t *testing.T, count int) *project {
	t.Helper()
	p := newProject(t, "")
	if err := os.Remove(filepath.Join(p.dir, "main.tf")); err != nil {
		t.Fatal(err)
	}
	p.write("project.tutti.hcl", `
stack "first" { source = "./first" }
stack "second" {
  source = "./second"
  inputs = { numbers = stack.first.numbers }
}
stack "third" {
  source = "./third"
  inputs = { numbers = stack.second.numbers }
}
stack "apart" { source = "./first" }
`)
	p.write("first/main.tf", fmt.Sprintf(`
resource "terraform_data" "a" {
  count = %d
  input = count.index
}
output "numbers" {
  value = terraform_data.a[*].output
}
`, count))
	for _, name := range []string{"second", "third"} {
		p.write(name+"/main.tf", fmt.Sprintf(`
variable "numbers" {
  type = list(number)
}
resource "terraform_data" "a" {
  count = %d
  input = var.numbers[count.index] + 1
}
output "numbers" {
  value = terraform_data.a[*].output
}
output "sum" {
  value = sum(terraform_data.a[*].output)
}
`, count))
	}
	return p
}

func (p *project) interrupted() bool {
	p.t.Helper()
	return strings.Contains(p.mustRun("runs"), "interrupted")
}

// kill starts a command and kills it after a while; false where it had ended
// before, and how.
func (p *project) kill(delay time.Duration, args ...string) (killed, ok bool) {
	p.t.Helper()
	cmd := p.command(args...)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	timer := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
	return cmd.ProcessState.ExitCode() == -1, cmd.ProcessState.Success()
}

// TestKilledStacksAreResumed kills the apply of several stacks, and those who
// resume it, at instants drawn from a seed: between stacks and inside them. In
// the end everything is there exactly once.
func TestKilledStacksAreResumed(t *testing.T) {
	const count = 200
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			p := newStacks(t, count)
			args, kills := []string{"apply", "-auto-approve"}, 0
			for ; ; kills++ {
				delay := time.Duration(30+random.IntN(200)) * time.Millisecond
				if kills > 9 {
					delay = time.Minute
				}
				killed, ok := p.kill(delay, args...)
				if ok {
					break
				}
				if !killed {
					out, _ := p.run(args...)
					t.Fatalf("%v failed after %d kills:\n%s", args, kills, out)
				}
				args = []string{"apply", "-auto-approve"}
				if p.interrupted() {
					args = []string{"resume", "-auto-approve"}
				}
			}
			t.Logf("%d kills", kills)
			if out, code := p.run("plan", "-detailed-exitcode"); code != 0 {
				t.Errorf("the plan after it: exit code %d\n%.2000s", code, out)
			}
			if n := strings.Count(p.mustRun("state", "list"), "\n"); n != 4*count {
				t.Errorf("there are %d objects instead of %d", n, 4*count)
			}
			want := fmt.Sprint(count*(count-1)/2 + 2*count)
			if got := strings.TrimSpace(p.mustRun("output", "-stack=third", "-json", "sum")); got != want {
				t.Errorf("the sum is %s instead of %s", got, want)
			}
			if p.interrupted() {
				t.Errorf("something is interrupted still:\n%s", p.mustRun("runs"))
			}
			// What was made twice would have been changed twice.
			for _, name := range []string{"first", "second", "third", "apart"} {
				history := p.mustRun("state", "history", "-stack="+name)
				if n := strings.Count(history, "create"); n != count {
					t.Errorf("%s: %d creations of %d", name, n, count)
				}
			}
		})
	}
}

// TestStackKilledInTheMiddle kills an apply whose second stack is in the middle
// of a provisioner: the first one stays as it is, the third does not begin.
func TestStackKilledInTheMiddle(t *testing.T) {
	p := newStacks(t, 3)
	p.pipe("go")
	p.write("second/main.tf", `
variable "numbers" {
  type = list(number)
}
resource "terraform_data" "a" {
  input = var.numbers
  provisioner "local-exec" {
    command = "touch ../started; cat ../go"
  }
}
output "numbers" {
  value = [for n in terraform_data.a.output : n]
}
`)
	apply := p.command("apply", "-auto-approve")
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("started")
	if err := apply.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	first := p.mustRun("state", "pull", "-stack=first")
	out, code := p.run("resume", "-auto-approve")
	if code == 0 || !strings.Contains(out, "Provisioners were interrupted") || !strings.Contains(out, `The stack "third" was left as it is`) {
		t.Errorf("resume: exit code %d\n%s", code, out)
	}
	if p.mustRun("state", "pull", "-stack=first") != first {
		t.Error("the first stack was touched again")
	}
	if p.interrupted() {
		t.Errorf("something is interrupted still:\n%s", p.mustRun("runs"))
	}
	var doc struct{ Resources []any }
	if err := json.Unmarshal([]byte(p.mustRun("state", "pull", "-stack=third")), &doc); err != nil || len(doc.Resources) != 0 {
		t.Errorf("the third stack has %v, %v", doc.Resources, err)
	}
}

// TestKilledMoveBetweenStacks kills an apply that first moves objects from one
// stack to another: applying the same plan again completes it.
func TestKilledMoveBetweenStacks(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 11))
			p := newStacks(t, 50)
			p.write("project.tutti.hcl", "stack \"first\" { source = \"./first\" }\nstack \"other\" { source = \"./other\" }\n")
			p.write("other/main.tf", "")
			p.mustRun("apply", "-auto-approve")
			p.write("project.tutti.hcl", "stack \"first\" { source = \"./first\" }\nstack \"other\" { source = \"./other\" }\nmoved {\n  from = stack.first.terraform_data.a\n  to   = stack.other.terraform_data.b\n}\n")
			p.write("first/main.tf", "")
			p.write("other/main.tf", "resource \"terraform_data\" \"b\" {\n  count = 50\n  input = \"new ${count.index}\"\n}\n")
			p.mustRun("plan", "-out=move.plan")
			for kills := 0; ; kills++ {
				args := []string{"apply", "move.plan"}
				if p.interrupted() {
					args = []string{"resume", "-auto-approve"}
				}
				delay := time.Duration(20+random.IntN(80)) * time.Millisecond
				if kills > 6 {
					delay = time.Minute
				}
				killed, ok := p.kill(delay, args...)
				if ok {
					t.Logf("%d kills", kills)
					break
				}
				if !killed {
					if _, code := p.run("plan", "-detailed-exitcode"); code == 0 {
						break // it was killed when all was done
					}
					out, _ := p.run(args...)
					t.Fatalf("%v failed after %d kills:\n%s", args, kills, out)
				}
			}
			if out := p.mustRun("state", "list"); strings.Count(out, "stack.other.terraform_data.b[") != 50 || strings.Contains(out, "stack.first") {
				t.Errorf("the objects are\n%s", out)
			}
			if history := p.mustRun("state", "history", "-stack=other"); strings.Contains(history, "create") || strings.Contains(history, "delete") {
				t.Errorf("something was made or destroyed:\n%s", history)
			}
			if out, code := p.run("plan", "-detailed-exitcode"); code != 0 {
				t.Errorf("the plan after it: exit code %d\n%s", code, out)
			}
		})
	}
}

// TestExampleProject carries out the example that people begin with.
func TestExampleProject(t *testing.T) {
	p := newProject(t, "")
	if err := os.Remove(filepath.Join(p.dir, "main.tf")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.dir, os.DirFS(filepath.Join("..", "examples", "project"))); err != nil {
		t.Fatal(err)
	}
	p.mustRun("validate")
	p.expect(0, []string{"Total of 3 stacks: 5 to add"}, "plan", "-env=dev")
	p.mustRun("apply", "-env=dev", "-auto-approve")
	p.mustRun("run", "release", "-env=prod")
	p.expect(0, []string{"shop-2.prod.example.test"}, "output", "-env=prod")
	p.mustRun("destroy", "-env=dev", "-auto-approve")
}
