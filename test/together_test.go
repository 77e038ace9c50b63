package test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// twins are two resources that have nothing to do with each other, and one that
// needs both. The first waits in its provisioner for somebody to open a pipe.
const twins = `
resource "terraform_data" "first" {
  input = "one"
  provisioner "local-exec" {
    command = "touch started; cat go"
  }
}
resource "terraform_data" "second" {
  input = "two"
}
resource "terraform_data" "both" {
  input = [terraform_data.first.output, terraform_data.second.output]
}
`

// blockedApply starts an apply of the first of the twins and returns when it is
// in the middle of it.
func blockedApply(t *testing.T, p *project) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	p.pipe("go")
	var out bytes.Buffer
	apply := p.command("apply", "-auto-approve", "-target=terraform_data.first")
	apply.Stdout, apply.Stderr = &out, &out
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("started")
	return apply, &out
}

func (p *project) release() {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "go"), []byte("go\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// Two applies of disjoint parts go on at the same time.
func TestDisjointAppliesRunTogether(t *testing.T) {
	p := newProject(t, twins)
	first, out := blockedApply(t, p)
	// All of the other one happens while the first is in the middle of its work.
	p.mustRun("apply", "-auto-approve", "-target=terraform_data.second")
	if list := p.runs(); len(list) != 2 || list[0].Status != "succeeded" || list[1].Status != "running" {
		t.Errorf("the runs are %+v", list)
	}
	p.release()
	if err := first.Wait(); err != nil {
		t.Errorf("the first apply: %v\n%s", err, out)
	}
	p.mustRun("apply", "-auto-approve")
	if out, code := p.run("plan", "-detailed-exitcode"); code != 0 {
		t.Errorf("plan: exit code %d\n%s", code, out)
	}
	if n := strings.Count(p.mustRun("state", "list"), "\n"); n != 3 {
		t.Errorf("%d objects", n)
	}
}

// One that overlaps is refused, and says by whom; or it waits where it may.
func TestOverlappingApplies(t *testing.T) {
	p := newProject(t, twins)
	first, out := blockedApply(t, p)
	said, code := p.run("apply", "-auto-approve")
	if code != 1 || !strings.Contains(said, "terraform_data.first") || !strings.Contains(said, p.runs()[len(p.runs())-1].ID) {
		t.Errorf("the overlapping apply: exit code %d\n%s", code, said)
	}
	waiting := p.command("apply", "-auto-approve", "-lock-timeout=60s")
	pipe, err := waiting.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	waiting.Stderr = waiting.Stdout
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	var heard bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(pipe, &heard))
	for lines.Scan() && !strings.Contains(strings.ToLower(lines.Text()), "waiting") {
	}
	p.release()
	for lines.Scan() {
	}
	if err := waiting.Wait(); err != nil {
		t.Errorf("the apply that waited: %v\n%s", err, heard.String())
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first apply: %v\n%s", err, out)
	}
	if out, code := p.run("plan", "-detailed-exitcode"); code != 0 {
		t.Errorf("plan: exit code %d\n%s\nThe one that waited said:\n%s", code, out, heard.String())
	}
}

// Many at once, all of everything: one does it, the others wait or are refused,
// and nothing is done twice.
func TestManyAppliesAtOnce(t *testing.T) {
	p := newProject(t, `
resource "terraform_data" "a" {
  count = 20
  provisioner "local-exec" {
    command = "echo ${count.index} >> done"
  }
}
`)
	var commands []*exec.Cmd
	for range 6 {
		cmd := p.command("apply", "-auto-approve", "-lock-timeout=60s")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, cmd)
	}
	for _, cmd := range commands {
		_ = cmd.Wait()
	}
	p.mustRun("apply", "-auto-approve")
	data, err := os.ReadFile(filepath.Join(p.dir, "done"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte("\n")); n != 20 {
		t.Errorf("%d provisioners ran instead of 20", n)
	}
}
