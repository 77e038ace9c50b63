// Package bench measures Tutti against Terraform and OpenTofu on the same work,
// side by side in one run: machines differ and are shared, ratios are what
// lasts. See docs/performance.md for how to run it and what came out.
package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tool is a program that understands init, plan, apply and destroy.
type tool struct {
	name, path string
}

// tools finds the programs to compare: Tutti, built from this tree, and those
// peers that are on this machine (TERRAFORM and TOFU name them; else terraform
// on the path and what scripts/tofu.sh built).
func tools(b *testing.B) []tool {
	b.Helper()
	list := []tool{{"tutti", own(b)}}
	for _, peer := range []struct{ name, env, path string }{
		{"terraform", "TERRAFORM", "terraform"},
		{"tofu", "TOFU", filepath.Join("..", ".cache", "build", "tofu")},
	} {
		path := os.Getenv(peer.env)
		if path == "" {
			path = peer.path
		}
		if found, err := exec.LookPath(path); err == nil {
			if absolute, err := filepath.Abs(found); err == nil {
				list = append(list, tool{peer.name, absolute})
			}
		}
	}
	return list
}

// own builds Tutti from this tree.
func own(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "tutti")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", path, "../cmd/tutti").CombinedOutput(); err != nil {
		b.Fatalf("cannot build tutti: %v\n%s", err, out)
	}
	return path
}

// shape is a configuration to work on. peers bounds how long a peer is waited
// for before its step counts as not done.
type shape struct {
	name  string
	write func(dir string) error
	peers time.Duration
}

func write(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

func independent(n int) shape {
	return shape{fmt.Sprintf("independent-%d", n), func(dir string) error {
		return write(dir, "main.tf", fmt.Sprintf("resource \"terraform_data\" \"a\" {\n  count = %d\n  input = \"x${count.index}\"\n}\n", n))
	}, 5 * time.Minute}
}

// layered is a graph of n resources in layers, five references each.
func layered(n, layers int) shape {
	return shape{fmt.Sprintf("layered-%d", n), func(dir string) error {
		var text strings.Builder
		width := n / layers
		for l := range layers {
			for i := range width {
				var refs []string
				for k := range 5 {
					if l > 0 {
						refs = append(refs, fmt.Sprintf("terraform_data.n%d_%d.id", l-1, (i*7+k*11)%width))
					}
				}
				fmt.Fprintf(&text, "resource \"terraform_data\" \"n%d_%d\" {\n  input = [%s]\n}\n", l, i, strings.Join(refs, ", "))
			}
		}
		return write(dir, "main.tf", text.String())
	}, 3 * time.Minute}
}

// modules is n instances of a module with ten resources.
func modules(n int) shape {
	return shape{fmt.Sprintf("modules-%dx10", n), func(dir string) error {
		if err := write(dir, "main.tf", fmt.Sprintf("module \"m\" {\n  source = \"./m\"\n  count  = %d\n  n      = count.index\n}\n", n)); err != nil {
			return err
		}
		return write(dir, "m/main.tf", "variable \"n\" {}\nresource \"terraform_data\" \"a\" {\n  count = 10\n  input = \"${var.n}-${count.index}\"\n}\noutput \"ids\" {\n  value = terraform_data.a[*].id\n}\n")
	}, 2 * time.Minute}
}

// provided is n resources of a real provider process.
func provided(n int) shape {
	return shape{fmt.Sprintf("provider-%d", n), func(dir string) error {
		return write(dir, "main.tf", fmt.Sprintf("terraform {\n  required_providers {\n    random = {\n      source = \"hashicorp/random\"\n    }\n  }\n}\nresource \"random_pet\" \"a\" {\n  count  = %d\n  length = 3\n}\n", n))
	}, 5 * time.Minute}
}

// steps are what is measured, in order.
var steps = []struct {
	name string
	args []string
}{
	{"plan", []string{"plan", "-input=false", "-no-color"}},
	{"apply", []string{"apply", "-auto-approve", "-input=false", "-no-color"}},
	{"unchanged", []string{"plan", "-input=false", "-no-color"}},
	{"destroy", []string{"destroy", "-auto-approve", "-input=false", "-no-color"}},
}

// measurement is what one step cost.
type measurement struct {
	cpu, wall time.Duration
	memory    int64 // largest resident size, KiB
	done      bool
}

func (m measurement) String() string {
	if !m.done {
		return "not done"
	}
	return fmt.Sprintf("%.2f CPU s, %.2f s, %d MB", m.cpu.Seconds(), m.wall.Seconds(), m.memory>>10)
}

// mirror is the CLI configuration that installs the project's own providers.
func mirror() string {
	path, err := filepath.Abs(filepath.Join("..", ".cache", "terraformrc"))
	if err != nil {
		return os.DevNull
	}
	return path
}

func run(dir string, t tool, limit time.Duration, args ...string) (measurement, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+mirror(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	began := time.Now()
	out, err := cmd.CombinedOutput()
	m := measurement{wall: time.Since(began)}
	if s := cmd.ProcessState; s != nil {
		m.cpu = s.UserTime() + s.SystemTime()
		m.memory = maxResident(s)
	}
	if ctx.Err() != nil {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("%s %s: %w\n%s", t.name, args[0], err, out)
	}
	m.done = true
	return m, nil
}

// BenchmarkPeers does the same work with every program, and reports how many
// times the CPU time of Tutti the others need.
func BenchmarkPeers(b *testing.B) {
	for _, s := range []shape{independent(1000), independent(10000), layered(1000, 20), modules(200), provided(5000)} {
		b.Run(s.name, func(b *testing.B) {
			programs := tools(b)
			results := map[string]map[string]measurement{}
			for _, t := range programs {
				results[t.name] = measure(b, s, t)
			}
			for _, step := range steps {
				own := results["tutti"][step.name]
				b.Logf("%-10s tutti      %s", step.name, own)
				for _, t := range programs[1:] {
					peer := results[t.name][step.name]
					b.Logf("%-10s %-10s %s", "", t.name, peer)
					if peer.done && own.cpu > 0 {
						b.ReportMetric(peer.cpu.Seconds()/own.cpu.Seconds(), t.name+"/tutti-"+step.name)
					}
				}
			}
		})
	}
}

func measure(b *testing.B, s shape, t tool) map[string]measurement {
	b.Helper()
	dir := b.TempDir()
	if err := s.write(dir); err != nil {
		b.Fatal(err)
	}
	if _, err := run(dir, t, time.Minute, "init", "-input=false"); err != nil {
		b.Fatal(err)
	}
	out := map[string]measurement{}
	for _, step := range steps {
		m, err := run(dir, t, s.peers, step.args...)
		if err != nil {
			b.Fatal(err)
		}
		out[step.name] = m
		if !m.done {
			break // what follows needs it
		}
	}
	return out
}

// BenchmarkGrowth shows the cost of one resource as their number grows.
func BenchmarkGrowth(b *testing.B) {
	programs := tools(b)
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			results := measure(b, independent(n), programs[0])
			for _, step := range steps {
				m := results[step.name]
				b.Logf("%-10s %s", step.name, m)
				b.ReportMetric(float64(m.cpu.Microseconds())/float64(n), "µs/resource-"+step.name)
			}
		})
	}
}

// BenchmarkWarmChange plans one change among many objects that are as they were.
func BenchmarkWarmChange(b *testing.B) {
	own := tools(b)[0]
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			config := func(value string) error {
				return write(dir, "main.tf", fmt.Sprintf("resource \"terraform_data\" \"a\" {\n  count = %d\n  input = \"x${count.index}\"\n}\nresource \"terraform_data\" \"one\" {\n  input = %q\n}\n", n, value))
			}
			if err := config("old"); err != nil {
				b.Fatal(err)
			}
			if _, err := run(dir, own, 5*time.Minute, "apply", "-auto-approve", "-no-color"); err != nil {
				b.Fatal(err)
			}
			if err := config("new"); err != nil {
				b.Fatal(err)
			}
			for _, step := range []struct {
				name string
				args []string
			}{
				{"target", []string{"plan", "-no-color", "-target=terraform_data.one"}},
				{"no-refresh", []string{"plan", "-no-color", "-refresh=false"}},
				{"full", []string{"plan", "-no-color"}},
			} {
				m, err := run(dir, own, 5*time.Minute, step.args...)
				if err != nil {
					b.Fatal(err)
				}
				b.Logf("%-10s %s", step.name, m)
				b.ReportMetric(float64(m.wall.Milliseconds()), "ms-"+step.name)
			}
		})
	}
}
