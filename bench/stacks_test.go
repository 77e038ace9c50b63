package bench

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chained are stacks of ten resources in chains of ten, each given an output of
// the one before.
func chained(stacks int) func(dir string) error {
	return func(dir string) error {
		var text strings.Builder
		for i := range stacks {
			inputs := ""
			if i%10 > 0 {
				inputs = fmt.Sprintf("  inputs = { up = stack.s%d.id }\n", i-1)
			}
			fmt.Fprintf(&text, "stack \"s%d\" {\n  source = \"./s%d\"\n%s}\n", i, i, inputs)
			err := write(dir, fmt.Sprintf("s%d/main.tf", i), `
variable "up" {
  default = ""
}
resource "terraform_data" "a" {
  count = 10
  input = "${var.up}-${count.index}"
}
output "id" {
  value = terraform_data.a[0].id
}
`)
			if err != nil {
				return err
			}
		}
		return write(dir, "project.tutti.hcl", text.String())
	}
}

// BenchmarkStacks plans 200 stacks of ten resources as one project, and each by
// itself with a program of its own.
func BenchmarkStacks(b *testing.B) {
	const stacks = 200
	own := tools(b)[0]
	dir := b.TempDir()
	if err := chained(stacks)(dir); err != nil {
		b.Fatal(err)
	}
	together := map[string]measurement{}
	for _, step := range [][]string{{"plan"}, {"apply", "-auto-approve"}, {"plan"}, {"destroy", "-auto-approve"}} {
		name := step[0]
		if _, done := together[name]; done {
			name = "no-change"
		}
		m, err := run(dir, own, 5*time.Minute, append(step, "-no-color")...)
		if err != nil {
			b.Fatal(err)
		}
		together[name] = m
		b.Logf("%-10s together   %s", name, m)
	}
	b.Setenv("TUTTI_PROJECT", "off")
	var cpu, wall time.Duration
	for i := range stacks {
		m, err := run(filepath.Join(dir, fmt.Sprintf("s%d", i)), own, time.Minute, "plan", "-no-color")
		if err != nil {
			b.Fatal(err)
		}
		cpu, wall = cpu+m.cpu, wall+m.wall
	}
	b.Logf("%-10s one by one %s wall, %s cpu", "plan", wall.Round(time.Millisecond), cpu.Round(time.Millisecond))
	b.ReportMetric(wall.Seconds()/together["plan"].wall.Seconds(), "times-wall")
	b.ReportMetric(cpu.Seconds()/together["plan"].cpu.Seconds(), "times-cpu")
}
