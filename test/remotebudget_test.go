package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/client"
)

// newBudgeted is a project of stacks, each with so many servers of 10 dollars a month,
// and two budgets.
func newBudgeted(t *testing.T, stacks ...string) *project {
	t.Helper()
	p := newServed(t)
	text := `
variable "size" { default = 1 }
cost { prices = ["prices.csv"] }
budget "advice" {
  monthly     = 20
  enforcement = "advisory"
}
budget "spare" {
  monthly     = 40
  enforcement = "soft-mandatory"
}
budget "all" { monthly = 50 }
`
	for _, name := range stacks {
		text += fmt.Sprintf("stack %q {\n  source = \"./servers\"\n  inputs = { size = var.size }\n}\n", name)
	}
	p.write("project.tutti.hcl", text)
	p.write("prices.csv", "type,component,unit,price,currency\nterraform_data,compute,month,10,USD\n")
	p.write("servers/main.tf", "variable \"size\" { type = number }\nresource \"terraform_data\" \"srv\" { count = var.size }\n")
	return p
}

// TestRemoteBudgets: a plan that is over a budget is refused on a server as here: before
// anybody is asked, without a run that must fail.
func TestRemoteBudgets(t *testing.T) {
	for _, stacks := range [][]string{{"app"}, {"app", "more"}} {
		p := newBudgeted(t, stacks...)
		c := p.server().client()
		size := fmt.Sprintf("-var=size=%d", 6/len(stacks))
		for _, at := range []*project{p, c} {
			out := at.mustRun("plan", size)
			folds := folded(out)
			for _, budget := range []string{"advice", "spare", "all"} {
				if !strings.Contains(folds, fmt.Sprintf("what budget %q is for comes to $60.00 a month", budget)) {
					t.Errorf("the plan does not warn of the budget %s: %s", budget, out)
				}
			}
			if all, spare := strings.Index(folds, `what budget "all"`), strings.Index(folds, `what budget "spare"`); strings.Count(out, "Warning: Budget exceeded") != 3 || strings.Contains(out, "similar") || all > spare || spare > strings.Index(folds, `what budget "advice"`) {
				t.Errorf("the plan does not warn of the gravest first, each by itself: %s", out)
			}
		}
		before := len(p.runs())
		out, code := c.run("apply", size)
		if code != 1 || strings.Count(out, "Error: Budget exceeded") != 2 || !strings.Contains(folded(out), "The budget is mandatory: the plan is not applied.") || !strings.Contains(folded(out), "(On the server: ") {
			t.Errorf("%d %s", code, out)
		}
		if strings.Contains(out, "Do you want to perform") || strings.Contains(out, "Run failed") {
			t.Errorf("it is asked about, or carried out: %s", out)
		}
		if n := len(p.runs()) - before; n != 1 {
			t.Errorf("there are %d runs more, not only that of the plan", n)
		}
		c.fails("mandatory: it cannot be overridden", "apply", "-auto-approve", size, "-override=all=because", "-override=spare=because")
	}
	p := newBudgeted(t, "app")
	c := p.server().client()
	c.fails("-override='spare=REASON'", "apply", "-auto-approve", "-var=size=5")
	if out := c.mustRun("apply", "-auto-approve", "-var=size=5", "-override=spare=a fair"); !strings.Contains(folded(out), "applied all the same: a fair") || !strings.Contains(out, "5 added") {
		t.Errorf("overridden: %s", out)
	}
	if out := c.mustRun("destroy", "-auto-approve"); !strings.Contains(out, "5 destroyed") {
		t.Errorf("destroy: %s", out)
	}
}

// TestRemoteApproveBudgets: who decides about a plan on a server is told of its budgets, and
// of what costs what in which stack, as here.
func TestRemoteApproveBudgets(t *testing.T) {
	for _, stacks := range [][]string{{"app"}, {"app", "more"}} {
		p := newBudgeted(t, stacks...)
		s := p.server()
		c := s.client()
		var run client.Run
		s.get(&run, 201, "POST", "/environments/default/changes", map[string]any{
			"kind": "apply", "approve": true, "variables": []any{map[string]any{"name": "size", "value": 6 / len(stacks)}},
		})
		s.until(run.ID, "steps", `"asks"`)
		about := func(at *project) string {
			out, _ := at.run("approve", run.ID)
			return section(out, "Monthly cost:", "Budget spare:")
		}
		want := about(p)
		if said := about(c); said != want || !strings.Contains(want, "Budget all: $60.00 of $50.00 a month: exceeded") || strings.Contains(want, "stack.app.terraform_data.srv[2]") != (len(stacks) > 1) {
			t.Errorf("there:\n%s\nhere:\n%s", said, want)
		}
	}
}

// TestRemoteMayNotApply: who may not apply is told so before anything is planned, as here.
func TestRemoteMayNotApply(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "planner" { allow = ["read:*", "plan:*"] }
role "all" { allow = ["*:*"] }
grant {
  role = role.planner
  to   = ["service:ci"]
}
grant {
  role = role.all
  to   = ["user:`+p.whoami()+`"]
}
`)
	token := p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=planner"))
	c := p.server().client("TUTTI_TOKEN=" + token)
	before := len(p.runs())
	c.fails(`service:ci may not do this (apply "site" in environment "default")`, "apply", "-auto-approve")
	c.fails(`service:ci may not do this (apply "site" in environment "default")`, "refresh")
	c.fails(`service:ci may not do this (destroy "site" in environment "default")`, "destroy", "-auto-approve")
	if n := len(p.runs()); n != before {
		t.Errorf("%d runs were made", n-before)
	}
	c.mustRun("plan")
}
