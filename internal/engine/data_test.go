package engine_test

import (
	"path/filepath"
	"testing"

	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/plans"
)

// A data source that mentions a managed resource is read when that is done, even
// where all it needs is known before: the file is not there before.
func TestDataIsReadAfterWhatItMentions(t *testing.T) {
	w := newWorld(t, "")
	path := filepath.ToSlash(filepath.Join(w.dir, "late"))
	text := func(n string) string {
		return `
-- main.tf --
resource "terraform_data" "a" {
  input            = "` + path + `"
  triggers_replace = ` + n + `
}
data "terraform_remote_state" "mentions" {
  backend = "local"
  config  = { path = "${terraform_data.a.input}.tfstate" }
}
`
	}
	w.write(text("1"))
	reason := func(p *plans.Plan) plans.Reason {
		t.Helper()
		for _, c := range p.Changes {
			if c.Object.String() == "data.terraform_remote_state.mentions" {
				return c.Reason
			}
		}
		return plans.ReasonNone
	}
	first := w.plan(nil)
	if got := reason(first); got != plans.ReasonReadDependencyPending {
		t.Fatalf("while the resource is planned, the data source is read because of %v", got)
	}
	w.write(`
-- late.tfstate --
{"version": 4, "serial": 1, "lineage": "x", "outputs": {}, "resources": []}
`)
	w.apply(first)
	if p := w.plan(nil); reason(p) != plans.ReasonNone || len(p.Operations) != 0 {
		t.Errorf("nothing is pending, but the data source waits: %v, %v", reason(p), p.Operations)
	}
	w.write(text("2"))
	if got := reason(w.plan(nil)); got != plans.ReasonReadDependencyPending {
		t.Errorf("before the replacement, the data source is read because of %v", got)
	}
}

// A refresh has nothing that a data source could be read after: without what it
// needs it stays as it was.
func TestRefreshLeavesDataThatWouldWait(t *testing.T) {
	w := newWorld(t, `
-- main.tf --
resource "terraform_data" "a" {
  input = "x"
}
data "terraform_remote_state" "needs" {
  backend = "local"
  config  = { path = terraform_data.a.id }
}
output "outputs" {
  value = data.terraform_remote_state.needs.outputs
}
`)
	p := w.plan(func(in *engine.PlanInput) { in.Mode = plans.RefreshOnly })
	if len(p.Operations) != 0 {
		t.Errorf("a refresh plans %v", p.Operations)
	}
}
