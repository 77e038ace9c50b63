package cli

import (
	"testing"

	"github.com/tutti-dev/tutti/internal/configs/projects"
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
			made, _, diags := changeWorkflow(p, c)
			if diags.HasErrors() {
				t.Fatalf("%q: %s", text, diags)
			}
			steps := made.Workflows[changeName].Steps
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
