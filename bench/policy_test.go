package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/tutti-dev/tutti/internal/policy"
)

// policyPlan is plan JSON with n changes, each tenth with something unknown
// where that is asked for.
func policyPlan(b *testing.B, n int, unknown bool) []byte {
	b.Helper()
	var changes, resources []any
	for i := range n {
		after := map[string]any{
			"name": fmt.Sprint("bucket-", i), "acl": "private", "size": i % 100, "region": "eu-1",
			"tags": map[string]any{"owner": "team", "env": "prod", "cost": fmt.Sprint(i)},
			"rule": []any{map[string]any{"from": 80, "to": 80, "cidr": "10.0.0.0/8"}},
		}
		if i%1000 == 57 {
			after["acl"] = "public-read"
		}
		marks := map[string]any{}
		if unknown && i%10 == 0 {
			delete(after, "acl")
			marks["acl"] = true
		}
		address := fmt.Sprintf("aws_s3_bucket.b%d[%d]", i%40, i)
		changes = append(changes, map[string]any{
			"address": address, "mode": "managed", "type": fmt.Sprint("aws_type_", i%40), "name": fmt.Sprint("b", i%40), "index": i,
			"provider_name": "registry.terraform.io/hashicorp/aws",
			"change":        map[string]any{"actions": []any{"create"}, "before": nil, "after": after, "after_unknown": marks, "before_sensitive": false, "after_sensitive": map[string]any{"tags": map[string]any{}}},
		})
		resources = append(resources, map[string]any{"address": address, "type": fmt.Sprint("aws_type_", i%40), "values": after})
	}
	data, err := json.Marshal(map[string]any{
		"format_version": "1.2", "resource_changes": changes, "planned_values": map[string]any{"root_module": map[string]any{"resources": resources}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// policyRules are n rules as people write them: one type of resource each, a few
// of its attributes.
func policyRules(n int) []byte {
	text := "package main\n\nimport rego.v1\n\nresources contains rc if {\n\tsome rc in input.resource_changes\n\tnot \"delete\" in rc.change.actions\n}\n"
	for i := range n {
		text += fmt.Sprintf("\ndeny_%d contains msg if {\n\tsome rc in input.resource_changes\n\trc.type == \"aws_type_%d\"\n\tnot rc.change.after.acl == \"private\"\n\trc.change.after.size > %d\n\tmsg := sprintf(\"%%s is not private\", [rc.address])\n}\n", i, i%40, i)
	}
	return []byte(text)
}

const (
	policyChanges = 10_000
	policyCount   = 60
)

// BenchmarkPolicy judges a plan of 10,000 changes by 60 rules, from bytes to
// decision, beside what conftest does: the input parsed once, one query for the
// messages of each rule.
func BenchmarkPolicy(b *testing.B) {
	rules := policyRules(policyCount)
	for _, c := range []struct {
		name    string
		unknown bool
	}{{"known", false}, {"unknown", true}} {
		data := policyPlan(b, policyChanges, c.unknown)
		b.Run(c.name+"/tutti", func(b *testing.B) {
			defer processor(b)()
			for b.Loop() {
				p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"main.rego": rules})
				if diags.HasErrors() {
					b.Fatal(diags.Err())
				}
				d, err := policy.ParsePlan(data, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, diags := policy.Judge(b.Context(), []*policy.Policy{p}, d, policy.Options{}); diags.HasErrors() {
					b.Fatal(diags.Err())
				}
			}
		})
		b.Run(c.name+"/opa", func(b *testing.B) {
			defer processor(b)()
			for b.Loop() {
				m, err := ast.ParseModuleWithOpts("main.rego", string(rules), ast.ParserOptions{RegoVersion: ast.RegoV1})
				if err != nil {
					b.Fatal(err)
				}
				compiler := ast.NewCompiler()
				if compiler.Compile(map[string]*ast.Module{"main.rego": m}); compiler.Failed() {
					b.Fatal(compiler.Errors)
				}
				var doc any
				if err := json.Unmarshal(data, &doc); err != nil {
					b.Fatal(err)
				}
				input, err := ast.InterfaceToValue(doc)
				if err != nil {
					b.Fatal(err)
				}
				for i := range policyCount {
					for _, query := range []string{fmt.Sprintf(`data.main.exception[_][_] == "%d"`, i), fmt.Sprintf("data.main.deny_%d", i)} {
						if _, err := rego.New(rego.Query(query), rego.Compiler(compiler), rego.ParsedInput(input)).Eval(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
}

// BenchmarkConftest runs "tutti policy check" and conftest in turns on the same plan
// JSON and the same rules: as what scripts/conftest.sh built, or CONFTEST names.
func BenchmarkConftest(b *testing.B) {
	peer := os.Getenv("CONFTEST")
	if peer == "" {
		peer = filepath.Join("..", ".cache", "build", "conftest")
	}
	peer, err := filepath.Abs(peer)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := exec.LookPath(peer); err != nil {
		b.Skip("there is no conftest: scripts/conftest.sh builds it")
	}
	const rounds = 5
	dir, tutti := b.TempDir(), own(b)
	if err := write(dir, "policy/main.rego", string(policyRules(policyCount))); err != nil {
		b.Fatal(err)
	}
	for _, unknown := range []bool{false, true} {
		name := map[bool]string{false: "known.json", true: "unknown.json"}[unknown]
		if err := write(dir, name, string(policyPlan(b, policyChanges, unknown))); err != nil {
			b.Fatal(err)
		}
		var took [2][]time.Duration
		var cpu [2][]time.Duration
		for range rounds {
			for i, t := range []struct {
				tool
				args []string
			}{
				{tool{"tutti", tutti}, []string{"policy", "check", "-plan-json=" + name, "-policy=policy", "-format=json"}},
				{tool{"conftest", peer}, []string{"test", "--policy=policy", "--output=json", name}},
			} {
				m, err := run(dir, t.tool, time.Minute, t.args...)
				var exit *exec.ExitError
				if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) || !strings.Contains(fmt.Sprint(err), "is not private") {
					b.Fatal(err, " (something must be denied)")
				}
				took[i], cpu[i] = append(took[i], m.wall), append(cpu[i], m.cpu)
			}
		}
		for i, tool := range []string{"tutti", "conftest"} {
			slices.Sort(took[i])
			slices.Sort(cpu[i])
			b.Logf("%-12s %-8s %.2f CPU s, %.2f s (medians of %d)", name, tool, cpu[i][rounds/2].Seconds(), took[i][rounds/2].Seconds(), rounds)
		}
		b.ReportMetric(took[1][rounds/2].Seconds()/took[0][rounds/2].Seconds(), strings.TrimSuffix(name, ".json")+"-conftest/tutti")
	}
}

// BenchmarkGuard applies objects whose input is known only when another one was
// made, held to a rule that judges each of them by itself, to one that needs the
// whole plan, and to none.
func BenchmarkGuard(b *testing.B) {
	rules := map[string]string{
		"object": `package main
deny contains msg if {
	some rc in input.resource_changes
	rc.type == "terraform_data"
	rc.change.after.input == "forbidden"
	msg := sprintf("%s is forbidden", [rc.address])
}`,
		"plan": `package main
inputs := [rc.change.after.input | some rc in input.resource_changes]
deny contains "too many are forbidden" if count([1 | some v in inputs; v == "forbidden"]) > 3`,
	}
	own := tool{"tutti", own(b)}
	for _, n := range []int{1000, 10_000} {
		for _, name := range []string{"none", "object", "plan"} {
			if name == "plan" && n > 1000 {
				continue // it would take a judgement of all for each
			}
			dir := b.TempDir()
			err := write(dir, "main.tf", fmt.Sprintf(`
resource "terraform_data" "first" {
  input = "x"
}
resource "terraform_data" "late" {
  count = %d
  input = "${terraform_data.first.output}-${count.index}"
}
`, n))
			if rule := rules[name]; rule != "" && err == nil {
				if err = write(dir, "policy/main.rego", rule); err == nil {
					err = write(dir, "main.tutti.hcl", "policy \"open\" {\n  source = \"./policy\"\n}\n")
				}
			}
			if err != nil {
				b.Fatal(err)
			}
			m, err := run(dir, own, 10*time.Minute, "apply", "-auto-approve", "-no-color")
			if err != nil {
				b.Fatal(err)
			}
			b.Logf("%6d objects, rule by %-6s %v", n, name, m)
			b.ReportMetric(m.cpu.Seconds()*1e3/float64(n), fmt.Sprintf("%s-%d-ms/object", name, n))
		}
	}
}
