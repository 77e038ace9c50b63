package work

import (
	"slices"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/zclconf/go-cty/cty"
)

// TestChangesAreNoTemplates asks for changes with texts that would read secrets and
// files if they were expressions.
func TestChangesAreNoTemplates(t *testing.T) {
	p, diags := projects.Parse(".", map[string][]byte{"main.tutti.hcl": []byte("stack \"shop\" { source = \"./shop\" }\nsecret \"db\" {\n  environment { variable = \"DB\" }\n}\n")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, text := range []string{"${secret.db}", "x%{ if true }y%{ endif }", `"] } } step "more" {`} {
		for _, c := range []api.Change{{Stack: "shop", Apply: true, Plan: text}, {Stack: "shop", Targets: []string{text}}} {
			made, _, diags := changeWorkflow(p, c, []changePart{{stack: "shop"}}, "")
			if diags.HasErrors() {
				t.Fatalf("%q: %s", text, diags)
			}
			steps := made.Workflows[project.ChangeName].Steps
			if len(steps) != 1 {
				t.Fatalf("%q made %d steps", text, len(steps))
			}
			argument, want := "plan", cty.StringVal(text)
			if !c.Apply {
				argument, want = "targets", cty.TupleVal([]cty.Value{want})
			}
			got, d := steps[0].Action.Arguments[argument].Value(nil)
			if d.HasErrors() || !got.RawEquals(want) {
				t.Errorf("%q is %#v: %s", text, got, d)
			}
		}
	}
}

// TestChangesOfSeveralStacks: the steps that apply come in the order of the parts.
func TestChangesOfSeveralStacks(t *testing.T) {
	p, diags := projects.Parse(".", map[string][]byte{"main.tutti.hcl": []byte("stack \"plan\" { source = \"./a\" }\nstack \"b\" { source = \"./b\" }\n")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	parts := []changePart{{"plan", nil}, {"b", []string{"plan"}}}
	made, summary, diags := changeWorkflow(p, api.Change{Several: true, Apply: true, Approve: true}, parts, "")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var names []string
	for _, s := range made.Workflows[project.ChangeName].Steps {
		names = append(names, s.Name)
	}
	if want := []string{"plan", "approval", "apply_plan", "apply_b"}; !slices.Equal(names, want) || summary != "apply plan, b" {
		t.Errorf("%v, %q", names, summary)
	}
	if needs := made.Workflows[project.ChangeName].Steps[3].Needs; len(needs) != 1 || needs[0].Name != "apply_plan" {
		t.Errorf("the second needs %v", needs)
	}
}
