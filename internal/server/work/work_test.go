package work

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/stacks"
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

// TestPlanSeen: whoever may not look at all stacks of a plan is told that there is none,
// before anything of it is read and judged.
func TestPlanSeen(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx := t.Context()
	store, err := sqlite.Open(ctx, ".tutti", sqlite.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	p := &stacks.Plan{
		Environment: "default", Kind: "apply",
		Files:  map[string][]byte{"p.tutti.hcl": []byte("stack \"shop\" { source = \"./shop\" }\nstack \"vault\" { source = \"./vault\" }\n")},
		Stacks: []stacks.StackPlan{{Name: "shop", Encoded: []byte("no plan")}, {Name: "vault", Encoded: []byte("no plan")}},
	}
	data, err := p.Encode(nil)
	if err == nil {
		err = store.PutBlob(ctx, operations.SharedPrefix+p.Digest, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	op := operations.New(&project.Directory{Session: &project.Session{Terminal: project.Muted{}}, Environment: "default", Opened: store}, operations.Silent{})
	w := New(op, &runs.Runner{Store: store}, store, false)
	seen := map[string]bool{"shop": true}
	sees := func(environment, resource string) bool { return environment == "default" && seen[resource] }
	if _, err := w.Plan(ctx, p.Digest, "", sees); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("who may not see all of it is told: %v", err)
	}
	seen["vault"] = true
	if _, err := w.Plan(ctx, p.Digest, "", sees); err == nil || errors.Is(err, api.ErrNotFound) {
		t.Errorf("of a plan that cannot be read is told: %v", err)
	}
}
