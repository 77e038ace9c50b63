package bench

import (
	"encoding/json"
	"fmt"
	"testing"

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
