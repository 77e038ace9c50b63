package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// project is a directory with configuration in which the program is run.
type project struct {
	t   *testing.T
	dir string
	env []string
}

func newProject(t *testing.T, config string) *project {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return &project{t: t, dir: dir, env: append(os.Environ(),
		"TF_CLI_CONFIG_FILE="+os.DevNull, "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, ".config"), "XDG_CACHE_HOME="+filepath.Join(dir, ".cache"))}
}

func (p *project) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary(p.t), args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

// run runs a command to its end and returns what it said and its exit code.
func (p *project) run(args ...string) (string, int) {
	p.t.Helper()
	var out bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (p *project) mustRun(args ...string) string {
	p.t.Helper()
	out, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("tutti %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// await waits until a file exists.
func (p *project) await(name string) {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		if _, err := os.Stat(filepath.Join(p.dir, name)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s did not appear", name)
		}
		time.Sleep(5 * time.Millisecond) // polling another process
	}
}

// pipe makes a named pipe. Whoever still reads it at the end of the test is let
// go.
func (p *project) pipe(name string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := exec.Command("mkfifo", path).Run(); err != nil {
		p.t.Skip("no named pipes here")
	}
	p.t.Cleanup(func() {
		if f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			_, _ = f.WriteString("\n")
			_ = f.Close()
		}
	})
}

type listedRun struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Done   int    `json:"done"`
	Failed int    `json:"failed"`
}

func (p *project) runs() []listedRun {
	p.t.Helper()
	var list []listedRun
	if err := json.Unmarshal([]byte(p.mustRun("runs", "-json")), &list); err != nil {
		p.t.Fatal(err)
	}
	return list
}

// blocked is a resource whose provisioner says that it runs and then waits for
// somebody to open the pipe "go".
const blocked = `
resource "terraform_data" "before" {
  count = 20
}
resource "terraform_data" "blocked" {
  input = terraform_data.before[*].id
  provisioner "local-exec" {
    command = "echo x >> ran; touch started; cat go"
  }
}
resource "terraform_data" "after" {
  count = 20
  input = terraform_data.blocked.id
}
`

func TestKilledApplyIsResumed(t *testing.T) {
	p := newProject(t, blocked)
	p.pipe("go")
	apply := p.command("apply", "-auto-approve")
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("started")

	// While it runs, its resources are its own; others are free.
	if out, code := p.run("apply", "-auto-approve"); code == 0 || !strings.Contains(out, "terraform_data.blocked") {
		t.Errorf("a second apply of the same resources: exit code %d\n%s", code, out)
	}
	if err := apply.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	if list := p.runs(); len(list) != 1 || list[0].Status != "interrupted" {
		t.Fatalf("after the kill: %+v", list)
	}
	if out := p.mustRun("state", "list"); strings.Count(out, "terraform_data.before") != 20 {
		t.Errorf("what was done before the kill is not recorded:\n%s", out)
	}

	// Provisioners that were cut off are not run again behind anybody's back.
	out, code := p.run("resume", "-auto-approve")
	if code == 0 || !strings.Contains(out, "Provisioners were interrupted") {
		t.Errorf("resume: exit code %d\n%s", code, out)
	}
	if ran, _ := os.ReadFile(filepath.Join(p.dir, "ran")); string(ran) != "x\n" {
		t.Errorf("the provisioner ran %d times", strings.Count(string(ran), "x"))
	}
	if out := p.mustRun("plan"); !strings.Contains(out, "terraform_data.blocked is tainted") || !strings.Contains(out, "Plan: 21 to add, 0 to change, 1 to destroy.") {
		t.Errorf("the plan after it:\n%s", out)
	}
	if out, code := p.run("resume"); code == 0 || !strings.Contains(out, "Nothing to resume") {
		t.Errorf("a second resume: %s", out)
	}
}

// TestKilledAnywhere kills an apply at a different moment each time: whatever
// the moment, resuming completes it, and everything is there exactly once.
func TestKilledAnywhere(t *testing.T) {
	for i, delay := range []time.Duration{5, 20, 40, 60, 90, 130} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			p := newProject(t, `
resource "terraform_data" "a" {
  count = 2000
  input = count.index
}
resource "terraform_data" "b" {
  count = 2000
  input = terraform_data.a[count.index].output
}
output "sum" {
  value = sum(terraform_data.b[*].output)
}
`)
			apply := p.command("apply", "-auto-approve")
			if err := apply.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(delay*time.Millisecond, func() { _ = apply.Process.Kill() })
			_ = apply.Wait()
			timer.Stop()
			for _, run := range p.runs() {
				if run.Status == "interrupted" {
					p.mustRun("resume", "-auto-approve", run.ID)
				}
			}
			// Killed before the run was recorded, there is nothing to resume.
			p.mustRun("apply", "-auto-approve")
			if got := strings.TrimSpace(p.mustRun("output", "-json", "sum")); got != "1999000" {
				t.Errorf("sum is %s", got)
			}
			if n := strings.Count(p.mustRun("state", "list"), "\n"); n != 4000 {
				t.Errorf("%d objects", n)
			}
			if out, code := p.run("plan", "-detailed-exitcode"); code != 0 {
				t.Errorf("plan: exit code %d\n%s", code, out)
			}
		})
	}
}

func TestInterruptedPolitely(t *testing.T) {
	p := newProject(t, blocked)
	p.pipe("go")
	apply := p.command("apply", "-auto-approve")
	said, err := apply.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	apply.Stderr = apply.Stdout // one pipe for both
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("started")
	if err := apply.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(said, &out))
	for lines.Scan() && !strings.Contains(lines.Text(), "nothing more is begun") {
	}
	// What is running is let finish.
	if err := os.WriteFile(filepath.Join(p.dir, "go"), []byte("go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	_ = apply.Wait()
	if code := apply.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	if list := p.runs(); len(list) != 1 || list[0].Status != "cancelled" {
		t.Errorf("the run is %+v\n%s", list, out.String())
	}
	if list := p.mustRun("state", "list"); !strings.Contains(list, "terraform_data.blocked") || strings.Contains(list, "terraform_data.after") {
		t.Errorf("state:\n%s", list)
	}
}
