package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tutti-dev/tutti/internal/policy"
)

// TestForeign judges plans by policies that were written for other products. Each
// file of testdata/shapes is one policy, with plans and what is to come of them. Its
// first lines are
//
//	from: DIR        the policy is this directory of testdata/foreign
//	data: DIR        with these data documents
//	decision: RULE   what is asked for
//	opa: QUERY       what the author asks OPA for, on
//	shape: NAME      the input that the author has: the plan in a member, or "listed"
//
// Where there is a query, plain OPA must come to the same.
func TestForeign(t *testing.T) {
	files, err := filepath.Glob("testdata/shapes/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { testForeign(t, file) })
	}
}

func testForeign(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head := map[string]string{}
	for line := range strings.Lines(string(archive.Comment)) {
		if name, value, ok := strings.Cut(line, ": "); ok {
			head[name] = strings.TrimSpace(value)
		}
	}
	from := policy.Source{Dir: "policy", Files: map[string][]byte{}}
	plans, wants := map[string][]byte{}, map[string]string{}
	for _, f := range archive.Files {
		kind, name, _ := strings.Cut(f.Name, " ")
		switch kind {
		case "plan":
			plans[name] = f.Data
		case "want":
			wants[name] = string(f.Data)
		default:
			from.Files[f.Name] = f.Data
		}
	}
	if dir := head["from"]; dir != "" {
		if from.Files, err = policy.ReadDir(filepath.Join("testdata/foreign", dir)); err != nil {
			t.Fatal(err)
		}
	}
	if dir := head["data"]; dir != "" {
		data, err := policy.ReadData(filepath.Join("testdata/foreign", dir))
		if err != nil {
			t.Fatal(err)
		}
		from.Data = []policy.Source{{Dir: "data", Files: data}}
	}
	if d := head["decision"]; d != "" {
		from.Decisions = strings.Fields(d)
	}
	p, diags := policy.PrepareSource("p", policy.Mandatory, from)
	if want := head["says"]; want != "" || len(diags) > 0 {
		if want == "" || len(diags) == 0 || !strings.Contains(diags[0].Summary+": "+diags[0].Detail, want) {
			t.Fatalf("diagnostics %v, want %q", diags, want)
		}
	}
	if diags.HasErrors() {
		return
	}
	if len(plans) == 0 || len(plans) != len(wants) {
		t.Fatalf("%d plans, %d results", len(plans), len(wants))
	}
	about := map[string]any{
		"run": map[string]any{"kind": "apply"}, "actor": "user:ada", "stack": "shop", "time": "2026-11-29T00:00:00Z",
		"environment": map[string]any{"name": "prod", "labels": map[string]any{"tier": "prod"}},
	}
	for name, given := range plans {
		doc := expand(t, given)
		plan, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		d, err := policy.ParsePlan(plan, about)
		if err != nil {
			t.Fatal(err)
		}
		out, diags := policy.Judge(t.Context(), []*policy.Policy{p}, d, policy.Options{})
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		var got strings.Builder
		var denied []string
		for _, f := range out.Findings {
			at := ""
			if f.Source != nil {
				at = fmt.Sprintf(" (%s:%d)", f.Source.File, f.Source.Line)
			}
			fmt.Fprintf(&got, "%s %s [%s] %s%s\n", strings.TrimSpace(string(f.Status)+" "+f.Severity), f.Rule, strings.TrimSpace(f.Resource+" "+f.Attribute), f.Message, at)
			if f.Status == policy.Deny {
				denied = append(denied, f.Message)
			}
		}
		if got.String() != wants[name] {
			t.Errorf("plan %s: got\n%swant\n%s", name, got.String(), wants[name])
		}
		if query := head["opa"]; query != "" && !d.HasUnknown() {
			theirs := plainOPA(t, from, query, shaped(head["shape"], doc))
			slices.Sort(denied)
			if !slices.Equal(denied, theirs) {
				t.Errorf("plan %s: denied is %q, and OPA says %q", name, denied, theirs)
			}
		}
	}
}

// expand makes plan JSON of {"ADDRESS": after} with, beside it, "unknown" (marks by
// address), "actions" and "before" (by address), and "plan" (more members).
func expand(t *testing.T, src []byte) map[string]any {
	t.Helper()
	var short struct {
		Resources                map[string]any
		Unknown, Actions, Before map[string]any
		Plan                     map[string]any
	}
	if err := json.Unmarshal(src, &short); err != nil {
		t.Fatalf("%s: %s", src, err)
	}
	var changes, planned []any
	for _, address := range slices.Sorted(maps.Keys(short.Resources)) {
		kind, name, _ := strings.Cut(address[strings.LastIndex(address[:strings.LastIndex(address, ".")], ".")+1:], ".")
		after, unknown, actions := short.Resources[address], short.Unknown[address], short.Actions[address]
		if unknown == nil {
			unknown = map[string]any{}
		}
		if actions == nil {
			actions = []any{"create"}
		}
		one := map[string]any{"address": address, "mode": "managed", "type": kind, "name": name, "provider_name": "registry.terraform.io/hashicorp/" + strings.Split(kind, "_")[0]}
		change, values := maps.Clone(one), maps.Clone(one)
		change["change"] = map[string]any{"actions": actions, "before": short.Before[address], "after": after, "after_unknown": unknown, "before_sensitive": false, "after_sensitive": map[string]any{}}
		changes = append(changes, change)
		if values["values"] = after; after != nil {
			planned = append(planned, values)
		}
	}
	plan := map[string]any{"format_version": "1.2", "terraform_version": "1.13.0", "resource_changes": changes, "planned_values": map[string]any{"root_module": map[string]any{"resources": planned}}}
	maps.Copy(plan, short.Plan)
	return plan
}

// shaped is the input as the author of a policy has it.
func shaped(name string, plan map[string]any) any {
	workspace := map[string]any{"name": "shop", "tags": []any{"tier:prod"}}
	switch name {
	case "":
		return plan
	case "listed":
		return []any{map[string]any{"path": "plan.json", "contents": plan}}
	case "plan":
		return map[string]any{"plan": plan, "run": map[string]any{"is_destroy": false, "workspace": workspace}}
	case "tfplan":
		return map[string]any{"tfplan": plan, "tfrun": map[string]any{"is_destroy": false, "workspace": workspace, "created_by": map[string]any{"username": "user:ada"}}}
	}
	return map[string]any{"terraform": plan, "spacelift": map[string]any{"run": map[string]any{"type": "TRACKED"}, "commit": map[string]any{"author": "user:ada"}, "stack": map[string]any{"id": "shop", "labels": []any{"tier:prod"}}}}
}

// plainOPA is what OPA's library comes to: the members of a set, or that a boolean
// is not true.
func plainOPA(t *testing.T, from policy.Source, query string, input any) []string {
	t.Helper()
	options := []func(*rego.Rego){rego.Query(query), rego.Input(input)}
	data := map[string]any{}
	for _, s := range append([]policy.Source{from}, from.Data...) {
		for name, src := range s.Files {
			if path.Ext(name) != ".rego" {
				var doc map[string]any
				if err := util.Unmarshal(src, &doc); err != nil {
					t.Fatal(err)
				}
				maps.Copy(data, doc)
				continue
			}
			if strings.HasSuffix(name, "_test.rego") {
				continue
			}
			m, err := ast.ParseModuleWithOpts(name, string(src), ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true})
			if err != nil {
				if m, err = ast.ParseModuleWithOpts(name, string(src), ast.ParserOptions{RegoVersion: ast.RegoV0}); err != nil {
					t.Fatal(err)
				}
			}
			options = append(options, rego.ParsedModule(m))
		}
	}
	options = append(options, rego.Store(inmem.NewFromObject(data)))
	results, err := rego.New(options...).Eval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 {
		return []string{"undefined"}
	}
	var out []string
	switch v := results[0].Expressions[0].Value.(type) {
	case bool:
		if !v {
			out = append(out, "The decision "+strings.TrimPrefix(query, "data.")+" is false")
		}
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				e = m["msg"]
			}
			out = append(out, fmt.Sprint(e))
		}
	default:
		t.Fatalf("%s is %v", query, v)
	}
	slices.Sort(out)
	return out
}
