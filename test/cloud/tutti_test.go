//go:build cloud

package cloud

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// directory is a copy of examples/openstack in which the program is run.
type directory struct {
	t    *testing.T
	path string
	env  []string
}

// newDirectory copies the example. endpoints are told to the provider instead of
// those of the catalog.
func newDirectory(t *testing.T, site string, endpoints map[string]string) *directory {
	t.Helper()
	path := t.TempDir()
	if err := os.CopyFS(path, os.DirFS(filepath.Join("..", "..", "examples", "openstack"))); err != nil {
		t.Fatal(err)
	}
	mirror, err := filepath.Abs(filepath.Join("..", "..", ".cache", "terraformrc"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return &directory{t: t, path: path, env: append(os.Environ(),
		"TF_CLI_CONFIG_FILE="+mirror, "TF_IN_AUTOMATION=1", "NO_COLOR=1",
		"HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, "config"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"),
		"TF_VAR_site="+site, "TF_VAR_endpoints="+string(text),
	)}
}

func (d *directory) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.path, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *directory) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), program, args...)
	cmd.Dir, cmd.Env = d.path, d.env
	return cmd
}

// tutti is the program, as "make build" left it.
func (d *directory) tutti(args ...string) *exec.Cmd {
	d.t.Helper()
	program, err := filepath.Abs(filepath.Join("..", "..", "bin", "tutti"))
	if err != nil {
		d.t.Fatal(err)
	}
	return d.command(program, args...)
}

// expect runs a command that is to end with this exit code, and returns what it
// said.
func (d *directory) expect(code int, cmd *exec.Cmd) string {
	d.t.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		d.t.Fatalf("%s: exit code %d, not %d\n%s", strings.Join(cmd.Args, " "), got, code, out)
	}
	return string(out)
}

// run runs tutti, successfully.
func (d *directory) run(args ...string) string {
	d.t.Helper()
	return d.expect(0, d.tutti(args...))
}

// noChanges plans, and finds nothing to do.
func (d *directory) noChanges() {
	d.t.Helper()
	d.expect(0, d.tutti("plan", "-detailed-exitcode"))
}

// state lists what the state has, by the ids of the provider.
func (d *directory) state() map[thing]string {
	d.t.Helper()
	cmd := d.tutti("state", "pull")
	text, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("state pull: %v", err)
	}
	var state struct {
		Resources []struct {
			Mode, Module, Type, Name string
			Instances                []struct {
				IndexKey   any `json:"index_key"`
				Attributes struct{ ID string }
				Deposed    string
			}
		}
	}
	if err := json.Unmarshal(text, &state); err != nil {
		d.t.Fatal(err)
	}
	out := map[thing]string{}
	for _, r := range state.Resources {
		if r.Mode != "managed" {
			continue
		}
		for _, i := range r.Instances {
			if i.Deposed != "" {
				d.t.Errorf("%s.%s has a deposed object", r.Type, r.Name)
			}
			out[thing{r.Type, i.Attributes.ID}] = r.Module + "." + r.Type + "." + r.Name
		}
	}
	return out
}

// unknown is what a resumed run could not find out: the address of an object
// whose creation nobody heard the end of.
type unknown struct {
	address, detail string
}

// resume goes on with the interrupted run and returns what remains unknown; with
// anything else that went wrong the test ends.
func (d *directory) resume() []unknown {
	d.t.Helper()
	cmd := d.tutti("resume", "-auto-approve", "-json")
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, _ := cmd.Output()
	var left []unknown
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var line struct {
			Type       string
			Diagnostic struct{ Severity, Summary, Detail, Address string }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			d.t.Fatalf("resume: %v: %s", err, lines.Bytes())
		}
		switch {
		case line.Type != "diagnostic" || line.Diagnostic.Severity != "error":
		case line.Diagnostic.Summary == "Outcome unknown":
			left = append(left, unknown{line.Diagnostic.Address, line.Diagnostic.Detail})
		default:
			d.t.Fatalf("resume: %s", lines.Bytes())
		}
	}
	if ok := cmd.ProcessState.Success(); ok != (len(left) == 0) {
		d.t.Fatalf("resume: exit code %d with %d outcomes unknown\n%s%s", cmd.ProcessState.ExitCode(), len(left), out, errors.Bytes())
	}
	return left
}
