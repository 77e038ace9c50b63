package library_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/util"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/library"
)

var (
	update = flag.Bool("update", false, "write docs/policy-rules.md anew")
	write  = flag.String("write", "", "write the examples as plan JSON to this directory, for bench/rules")
)

// settings are those of the examples.
const settings = `
required_tags: [owner]
regions: [eu-central-1, westeurope, europe-west3]
allow: {aws.network.open_ingress: ["aws_security_group.allowed"]}
`

// example is what is there for a rule to judge.
type example struct {
	Type    string         `json:"type"`
	Name    string         `json:"name"`
	Actions []string       `json:"actions"`
	Before  any            `json:"before"`
	After   map[string]any `json:"after"`
	Unknown map[string]any `json:"unknown"`
	Replace []any          `json:"replace_paths"`
	// Configuration is that of the root module, in the place of a resource.
	Configuration map[string]any `json:"configuration"`
}

// examples are the passing and the failing examples of a rule. Each of the
// failing ones fails by itself; the passing ones pass by themselves too.
type examples struct {
	Pass []example `json:"pass"`
	Fail []example `json:"fail"`
	// With is there besides each of them.
	With []example `json:"with"`
}

func load(t *testing.T) map[string]examples {
	t.Helper()
	out := map[string]examples{}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var of map[string]examples
		if err := util.Unmarshal(src, &of); err != nil {
			t.Fatalf("%s: %s", name, err)
		}
		for id, e := range of {
			out[id] = e
		}
	}
	return out
}

func (e example) address() string {
	if e.Name == "" {
		e.Name = "x"
	}
	return e.Type + "." + e.Name
}

// plan is the plan JSON with some objects. What is made has an id that is not
// known yet, as ever.
func plan(t *testing.T, list ...example) []byte {
	t.Helper()
	doc := map[string]any{"format_version": "1.2", "terraform_version": "1.9.0", "configuration": map[string]any{"root_module": map[string]any{}}}
	changes, planned, declared := []any{}, []any{}, []any{}
	for _, e := range list {
		if e.Configuration != nil {
			doc["configuration"] = e.Configuration
			continue
		}
		_, name, _ := strings.Cut(e.address(), ".")
		actions := e.Actions
		if actions == nil {
			actions = []string{"create"}
		}
		change := map[string]any{"actions": actions, "before": e.Before, "after": nil, "after_unknown": false, "before_sensitive": false, "after_sensitive": false}
		if slices.Contains(actions, "create") || slices.Contains(actions, "update") {
			unknown := map[string]any{"id": true, "arn": true, "self_link": true}
			for k, v := range e.Unknown {
				unknown[k] = v
			}
			after := e.After
			if after == nil {
				after = map[string]any{}
			}
			change["after"], change["after_unknown"] = after, unknown
		}
		if e.Replace != nil {
			change["replace_paths"] = e.Replace
		}
		provider, _, _ := strings.Cut(e.Type, "_")
		resource := func(member string, v any) map[string]any {
			return map[string]any{"address": e.address(), "mode": "managed", "type": e.Type, "name": name, "provider_name": "registry.terraform.io/hashicorp/" + provider, member: v}
		}
		changes = append(changes, resource("change", change))
		declared = append(declared, resource("expressions", map[string]any{}))
		if change["after"] != nil {
			planned = append(planned, resource("values", change["after"]))
		}
	}
	doc["resource_changes"] = changes
	doc["planned_values"] = map[string]any{"root_module": map[string]any{"resources": planned}}
	if root, _ := doc["configuration"].(map[string]any)["root_module"].(map[string]any); root != nil && root["resources"] == nil {
		root["resources"] = declared
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func prepare(t *testing.T) *policy.Policy {
	t.Helper()
	p, diags := policy.Prepare("library", policy.Mandatory, library.Prefix, library.Files("", []byte(settings)))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return p
}

// judge returns what one rule finds.
func judge(t *testing.T, p *policy.Policy, rule string, plan []byte) []policy.Finding {
	t.Helper()
	d, err := policy.ParsePlan(plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{Only: map[string]bool{"library " + rule: true}})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return out.Findings
}

func text(findings []policy.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "\n%s %s [%s %s] %s", f.Status, f.Rule, f.Resource, f.Attribute, f.Message)
	}
	return b.String()
}

func rules(t *testing.T) []library.Rule {
	t.Helper()
	list, err := library.Rules()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestExamples(t *testing.T) {
	p, all := prepare(t), load(t)
	for _, r := range rules(t) {
		t.Run(r.ID, func(t *testing.T) {
			of, found := all[r.ID]
			if !found || len(of.Pass) == 0 || len(of.Fail) == 0 {
				t.Fatal("the rule must have a passing and a failing example in testdata")
			}
			delete(all, r.ID)
			for i, e := range of.Pass {
				keep(t, r, "pass", i, plan(t, append([]example{e}, of.With...)...))
				if got := judge(t, p, r.Name, plan(t, append([]example{e}, of.With...)...)); len(got) > 0 {
					t.Errorf("passing example %d: %s", i, text(got))
				}
			}
			want := policy.Deny
			if strings.Contains(r.Name, ".warn_") {
				want = policy.Warn
			}
			for i, e := range of.Fail {
				keep(t, r, "fail", i, plan(t, append([]example{e}, of.With...)...))
				got := judge(t, p, r.Name, plan(t, append([]example{e}, of.With...)...))
				if len(got) == 0 {
					t.Errorf("failing example %d passes", i)
				}
				for _, f := range got {
					if f.Status != want || f.Message == "" || f.Fix == "" || e.Configuration == nil && f.Resource != e.address() {
						t.Errorf("failing example %d: %s (fix %q)", i, text(got), f.Fix)
					}
					late(t, p, r, e, of.With, f)
				}
			}
		})
	}
	for id := range all {
		t.Errorf("there are examples for %s, which is not a rule", id)
	}
}

// keep writes an example where that was asked for.
func keep(t *testing.T, r library.Rule, kind string, i int, plan []byte) {
	t.Helper()
	if *write == "" {
		return
	}
	out, err := json.Marshal(map[string]any{"rule": r.ID, "fail": kind == "fail", "plan": json.RawMessage(plan)})
	if err == nil {
		err = os.WriteFile(filepath.Join(*write, fmt.Sprintf("%s.%s.%d.json", r.ID, kind, i)), out, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// late holds a failing example against its rule again, with the attribute that
// the rule complained about not known yet: it must not be denied, for OPA either,
// which does not know what is unknown.
func late(t *testing.T, p *policy.Policy, r library.Rule, e example, with []example, f policy.Finding) {
	t.Helper()
	name, _, _ := strings.Cut(f.Attribute, ".")
	if name == "" || e.Configuration != nil || strings.HasPrefix(r.ID, "common.state.") {
		return // it is not about an attribute that may be unknown
	}
	after := map[string]any{}
	for k, v := range e.After {
		if k != name && !(name == "tags_all" && k == "tags") {
			after[k] = v
		}
	}
	e.After, e.Unknown = after, map[string]any{name: true}
	if name == "tags_all" {
		e.Unknown["tags"] = true
	}
	for _, got := range judge(t, p, r.Name, plan(t, append([]example{e}, with...)...)) {
		if got.Status != policy.Unknown {
			t.Errorf("with %s unknown: %s", name, text([]policy.Finding{got}))
		}
		if got.Message != "" {
			t.Errorf("with %s unknown the rule denies on absence: %s", name, text([]policy.Finding{got}))
		}
	}
}

// TestUnknown takes each known value out of the passing examples in turn, at
// whatever depth, and marks it as not known yet. A rule that then says something
// denies on absence. What OPA says by itself shows as a message: the policies of
// Tutti make "unknown" of it.
func TestUnknown(t *testing.T) {
	p, all := prepare(t), load(t)
	for _, r := range rules(t) {
		for i, e := range all[r.ID].Pass {
			for _, path := range paths(e.After) {
				late := e
				after, unknown := without(e.After, path)
				late.After, late.Unknown = after.(map[string]any), unknown.(map[string]any)
				for _, f := range judge(t, p, r.Name, plan(t, append([]example{late}, all[r.ID].With...)...)) {
					if f.Message != "" || f.Status != policy.Unknown {
						t.Errorf("%s, passing example %d, with %v unknown:%s", r.ID, i, path, text([]policy.Finding{f}))
					}
				}
			}
		}
	}
}

// paths are those of all members of objects in a value.
func paths(v any) (out [][]any) {
	add := func(step any, v any) {
		for _, rest := range paths(v) {
			out = append(out, append([]any{step}, rest...))
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			out = append(out, []any{k})
			add(k, e)
		}
	case []any:
		for i, e := range v {
			add(i, e)
		}
	}
	return out
}

// without returns a value without a member, and the marks that say so.
func without(v any, path []any) (value, unknown any) {
	switch v := v.(type) {
	case map[string]any:
		key := path[0].(string)
		out := maps.Clone(v)
		if len(path) == 1 {
			delete(out, key)
			return out, map[string]any{key: true}
		}
		var mark any
		out[key], mark = without(v[key], path[1:])
		return out, map[string]any{key: mark}
	case []any:
		at := path[0].(int)
		out, marks := slices.Clone(v), make([]any, len(v))
		for i := range marks {
			marks[i] = map[string]any{}
		}
		out[at], marks[at] = without(v[at], path[1:])
		return out, marks
	}
	panic("there is nothing at this path")
}

func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules(t) {
		pkg, name, _ := strings.Cut(r.Name[strings.LastIndex(r.Name, ".")+1:], "_")
		if want := strings.TrimPrefix(r.Name[:strings.LastIndex(r.Name, ".")], "tutti.") + "." + name; r.ID != want {
			t.Errorf("%s (%s) must have the id %q, not %q", r.Name, pkg, want, r.ID)
		}
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		for what, s := range map[string]string{"title": r.Title, "description": r.Description, "compliance": r.Compliance, "remediation": r.Remediation} {
			if strings.TrimSpace(s) == "" {
				t.Errorf("%s has no %s", r.Name, what)
			}
		}
		if !slices.Contains([]string{"low", "medium", "high", "critical"}, r.Severity) {
			t.Errorf("%s has the severity %q", r.Name, r.Severity)
		}
	}
}

func TestAllow(t *testing.T) {
	p := prepare(t)
	open := []any{map[string]any{"from_port": 22, "to_port": 22, "protocol": "tcp", "cidr_blocks": []string{"0.0.0.0/0"}}}
	for _, c := range []struct {
		e    example
		want int
	}{
		{example{Type: "aws_security_group", After: map[string]any{"ingress": open}}, 1},
		{example{Type: "aws_security_group", Name: "allowed", After: map[string]any{"ingress": open}}, 0},
		{example{Type: "aws_security_group", After: map[string]any{"ingress": open, "tags": map[string]any{"tutti-allow": "other.rule, aws.network.open_ingress"}}}, 0},
		{example{Type: "aws_security_group", After: map[string]any{"ingress": open, "tags": map[string]any{"tutti-allow": "other.rule"}}}, 1},
	} {
		if got := judge(t, p, "tutti.aws.network.deny_open_ingress", plan(t, c.e)); len(got) != c.want {
			t.Errorf("%s %v:%s", c.e.address(), c.e.After["tags"], text(got))
		}
	}
}

func TestSource(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"policies", "{ } false <nil>"},
		{"tutti:library", "{ } true <nil>"},
		{"tutti:library/aws", "{aws } true <nil>"},
		{"tutti:library/aws?settings=a/b.yaml", "{aws a/b.yaml} true <nil>"},
		{"tutti:library/lib", `{ } true there is no "tutti:library/lib": the parts of the library are aws, azure, common, google, kubernetes`},
		{"tutti:library?x", `{ } true "tutti:library?x" must end with ?settings=FILE, or have no question mark`},
	} {
		s, ok, err := library.ParseSource(c.in)
		if got := fmt.Sprint(s, ok, err); got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
	for _, part := range library.Parts() {
		if _, diags := policy.Prepare("p", policy.Mandatory, "x", library.Files(part, nil)); diags.HasErrors() {
			t.Errorf("%s alone: %s", part, diags.Err())
		}
	}
}

// TestDocument holds docs/policy-rules.md against the rules.
func TestDocument(t *testing.T) {
	const name = "../../../docs/policy-rules.md"
	var b bytes.Buffer
	list := rules(t)
	fmt.Fprintf(&b, "# The rules that come with Tutti\n\n")
	fmt.Fprintf(&b, "A policy with the source `tutti:library` has all %d of them, one with `tutti:library/aws`\nonly those of that directory. `tutti:library?settings=FILE` replaces members of the\nsettings in `internal/policy/library/rules/settings/data.yaml`.\n\n", len(list))
	fmt.Fprintf(&b, "An object is exempt from a rule where the tag, label or annotation `tutti-allow` has the\nid of the rule, or where the settings list its address under `allow`. What is not known\nwhen the plan is made is judged when it is applied, never taken for missing.\n\n")
	fmt.Fprintf(&b, "This file is written by `go test ./internal/policy/library -run TestDocument -update`.\n")
	provider := ""
	for _, r := range list {
		if r.Provider() != provider {
			provider = r.Provider()
			fmt.Fprintf(&b, "\n## %s\n\n| id | title | provider | severity | compliance | what to do |\n|---|---|---|---|---|---|\n", provider)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", r.ID, r.Title, provider, r.Severity, r.Compliance, strings.ReplaceAll(r.Remediation, "|", `\|`))
	}
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not up to date: run this test with -update", name)
	}
}
