package test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk has a project on a disk of its own of so many bytes.
func (p *project) smallDisk(size int) {
	p.t.Helper()
	if err := unix.Mount("tmpfs", p.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		p.t.Skipf("only root may make a small disk: %v", err)
	}
	p.t.Cleanup(func() { _ = unix.Unmount(p.dir, unix.MNT_DETACH) })
}

// fill takes the room that is left on the disk but for so many bytes; free gives it back.
func (p *project) fill(but int) (free func()) {
	p.t.Helper()
	path := filepath.Join(p.dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	size := 0
	for block := bytes.Repeat([]byte("x"), 4096); err == nil; {
		var n int
		n, err = f.Write(block)
		size += n
	}
	if !errors.Is(err, unix.ENOSPC) {
		p.t.Fatal(err)
	}
	if err := f.Truncate(int64(max(0, size-but))); err != nil {
		p.t.Fatal(err)
	}
	return func() { _ = os.Remove(path) }
}

// userFiles are the files of a project that are its user's, with what is in them.
func (p *project) userFiles() map[string]string {
	p.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(p.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(p.dir, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == ".tutti" || name == ".cache"):
			return fs.SkipDir
		case entry.Type().IsRegular() && name != "ballast" && !strings.HasSuffix(name, ".lock"):
			text, err := os.ReadFile(path)
			out[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// unformatted is a file that tutti fmt makes longer.
func unformatted(blocks int) string {
	var b strings.Builder
	for i := range blocks {
		fmt.Fprintf(&b, "resource \"terraform_data\" \"r%d\" {\ninput={\na=1\nlonger_name=%d\n}\n}\n", i, i)
	}
	return b.String()
}

// Commands that write have done nothing where the disk is full, say that it is, and work
// when there is room again.
func TestCommandsOnAFullDisk(t *testing.T) {
	p := newProject(t, "")
	p.smallDisk(8 << 20)
	p.write("main.tf", `
resource "terraform_data" "a" {
  input = "one"
}
`)
	p.write("project.tutti.hcl", "environment \"default\" {}\nenvironment \"more\" {}\nsecret \"s\" {\n  store {}\n}\n")
	p.write("long.tf", unformatted(1000))
	if err := os.Symlink("long.tf", filepath.Join(p.dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	p.write(".bashrc", strings.Repeat("# what somebody has written\n", 500))
	p.env = append(p.env, "SHELL=/bin/bash")
	p.mustRun("apply", "-auto-approve", "-target=terraform_data.a")
	p.write("pushed.tfstate", strings.Replace(p.mustRun("state", "pull"), `"one"`, fmt.Sprintf("%q", strings.Repeat("x", 200_000)), 1))
	for _, c := range []struct {
		name, stdin string
		args        []string
	}{
		{"fmt", "", []string{"fmt"}},
		{"completion", "", []string{"-install-autocomplete"}},
		{"state mv", "", []string{"state", "mv", "terraform_data.a", "terraform_data.b"}},
		{"state rm", "", []string{"state", "rm", "terraform_data.b"}},
		{"state push", "", []string{"state", "push", "-force", "pushed.tfstate"}},
		{"secret set", strings.Repeat("correct-horse ", 2000), []string{"secret", "set", "s"}},
		{"secret rotate-key", "", []string{"secret", "rotate-key"}},
		{"plan -out", "", []string{"plan", "-out=plan"}},
		{"workspace select", "", []string{"workspace", "select", "more"}},
	} {
		run := func() (string, int) {
			cmd := p.command(c.args...)
			cmd.Stdin = strings.NewReader(c.stdin)
			out, err := cmd.CombinedOutput()
			if err != nil && cmd.ProcessState == nil {
				t.Fatal(err)
			}
			return string(out), cmd.ProcessState.ExitCode()
		}
		before, state := p.userFiles(), p.mustRun("state", "pull")
		failed := 0
		for _, room := range []int{0, 4096, 16384} {
			free := p.fill(room)
			out, code := run()
			free()
			if code == 0 {
				break // there was room enough
			}
			failed++
			out = strings.Join(strings.Fields(out), " ") // as it was before it was broken into lines
			if !strings.Contains(out, "no space left") && !strings.Contains(out, "disk is full") {
				t.Errorf("%s with %d bytes left: it does not say why:\n%s", c.name, room, out)
			}
			after := p.userFiles()
			for name, text := range before {
				if after[name] != text {
					t.Errorf("%s with %d bytes left: %s was %d bytes long and has %d, or others", c.name, room, name, len(text), len(after[name]))
				}
			}
			for name := range after {
				if _, was := before[name]; !was && strings.HasPrefix(filepath.Base(name), ".") && filepath.Dir(name) == "." {
					t.Errorf("%s with %d bytes left: it leaves %s", c.name, room, name)
				}
			}
			if now := p.mustRun("state", "pull"); now != state {
				t.Errorf("%s with %d bytes left: the state has changed", c.name, room)
			}
		}
		if failed == 0 {
			t.Errorf("%s never was out of room", c.name)
		}
		if out, code := run(); code != 0 && failed > 0 {
			t.Errorf("%s with room: exit code %d\n%s", c.name, code, out)
		}
	}
	if to, err := os.Readlink(filepath.Join(p.dir, "link.txt")); err != nil || to != "long.tf" {
		t.Error(to, err)
	}
}

// A command that is killed leaves every file as it was or as it was to be.
func TestFormattingIsKilled(t *testing.T) {
	p := newProject(t, "")
	old := unformatted(300)
	const count = 40
	name := func(i int) string { return fmt.Sprintf("f%d.tf", i) }
	p.write("model.tf", old)
	p.mustRun("fmt")
	model, err := os.ReadFile(filepath.Join(p.dir, "model.tf"))
	if err != nil {
		t.Fatal(err)
	}
	whole := string(model)
	cut := 0
	for range 15 {
		for i := range count {
			p.write(name(i), old)
		}
		cmd := p.command("fmt", "-list=false")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		done := 0
		for i := range count {
			text, err := os.ReadFile(filepath.Join(p.dir, name(i)))
			if err != nil {
				t.Fatal(err)
			}
			switch string(text) {
			case whole:
				done++
			case old:
			default:
				t.Fatalf("%s is neither as before nor as after: %d bytes", name(i), len(text))
			}
		}
		if done > 0 && done < count {
			cut++
		}
	}
	t.Logf("%d of 15 were cut off in the middle", cut)
	p.mustRun("fmt")
	if out, code := p.run("fmt", "-check"); code != 0 {
		t.Errorf("%d\n%s", code, out)
	}
}

// Processes that do the same at once: each does it or says that it is done, and what comes
// of it is whole.
func TestCommandsTogether(t *testing.T) {
	p := newProject(t, "resource \"terraform_data\" \"a\" {\n  count = 8\n}\n")
	p.write("project.tutti.hcl", "environment \"default\" {}\nenvironment \"more\" {}\nsecret \"s\" {\n  store {}\n}\n")
	p.write("long.tf", unformatted(300))
	p.mustRun("apply", "-auto-approve", "-target=terraform_data.a")
	together := func(least, most int, args func(i int) []string) {
		t.Helper()
		var commands []*exec.Cmd
		var said []*bytes.Buffer
		for i := range 8 {
			cmd, out := p.command(args(i)...), new(bytes.Buffer)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(fmt.Sprintf("value %d", i)), out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			commands, said = append(commands, cmd), append(said, out)
		}
		did, all := 0, ""
		for i, cmd := range commands {
			if cmd.Wait() == nil {
				did++
			} else {
				all += said[i].String()
			}
		}
		if did < least || did > most {
			t.Errorf("%d of %s did it:\n%s", did, strings.Join(args(0), " "), all)
		}
	}
	same := func(args ...string) func(int) []string { return func(int) []string { return args } }
	together(8, 8, same("fmt", "-list=false"))
	if out, code := p.run("fmt", "-check"); code != 0 {
		t.Errorf("%d\n%s", code, out)
	}
	together(8, 8, same("secret", "set", "s"))
	if out := p.mustRun("secret", "history", "s"); !strings.Contains(out, "8") {
		t.Error(out)
	}
	together(8, 8, func(i int) []string {
		return []string{"state", "mv", fmt.Sprintf("terraform_data.a[%d]", i), fmt.Sprintf("terraform_data.b[%d]", i)}
	})
	together(1, 1, same("state", "mv", "terraform_data.b[0]", "terraform_data.c"))
	together(1, 1, same("state", "rm", "terraform_data.c"))
	if out := p.mustRun("state", "list"); strings.Count(out, "terraform_data.b[") != 7 || strings.Contains(out, "terraform_data.c") || strings.Contains(out, "terraform_data.a") {
		t.Errorf("the state has\n%s", out)
	}
	together(1, 8, same("secret", "rotate-key"))
	if out := p.mustRun("secret", "get", "-reveal", "s"); !strings.Contains(out, "value ") {
		t.Error(out)
	}
	together(1, 8, same("workspace", "select", "more"))
	if out := p.mustRun("workspace", "show"); out != "more\n" {
		t.Error(out)
	}
}
