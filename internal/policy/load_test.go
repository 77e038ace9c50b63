package policy_test

import (
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/policy"
)

// TestPrepareSaysWhatIsWrong has policies that cannot be used as they are.
func TestPrepareSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, rego, want string }{
		{"a mistake in v1", "package main\n\ndeny contains msg if {\n\tmsg := \n}\n", "policy/a.rego:5"},
		{"a mistake in v0", "package main\n\ndeny[msg] {\n\tmsg := 1 +\n}\n", "policy/a.rego:5"},
		{"both syntaxes", "package main\n\nimport future.keywords\n\ndeny contains \"a\" if true\n\nimport rego.v1\n\nwarn[msg] {\n\tmsg := \"b\"\n}\n", "this one has both, or neither"},
		{"both syntaxes without an import", "package main\n\ndeny contains \"a\" if true\n\nwarn[msg] {\n\tmsg := \"b\"\n}\n", "this one has both, or neither"},
		{"an empty file", "", "policy/a.rego:1"},
		{"no rules that count", "package main\n\ndenied contains \"x\" if true\n", "If main.denied is what decides, say so in the policy block: decision = \"main/denied\""},
		{"a library only", "package lib\n\nf(x) := x\n", "Nothing in policy, the source of policy \"p\", is judged"},
		{"a rule that is true or false", "package terraform.analysis\n\nimport rego.v1\n\ndefault authz := false\n\nauthz if true\n", "decision = \"terraform/analysis/authz\""},
		{"a package that is elsewhere", "package main\n\nimport data.lib\n\ndeny contains lib.f(1) if true\n", "undefined function data.lib.f: no package of this policy has it"},
		{"a function that asks a server", "package main\n\ndeny contains http.send({}) if true\n", "Rules must not ask the network, this machine or chance"},
		{"data that are not there", "package main\n\ndeny contains \"x\" if data.limits.max > 3\n", "ask for data.limits: no package has this name"},
		{"an input of something else", "package main\n\ndeny contains \"x\" if input.spec.replicas > 3\n", "Rules ask for input.spec."},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, diags := policy.Prepare("p", policy.Mandatory, "policy", map[string][]byte{"a.rego": []byte(c.rego)})
			if len(diags) == 0 || diags.HasErrors() != (p == nil) {
				t.Fatalf("got %v, and %v", p, diags)
			}
			for _, d := range diags {
				if strings.Contains(d.Error(), c.want) {
					return
				}
			}
			t.Errorf("got %v, want %s", diags, c.want)
		})
	}
}
