package test

import (
	"encoding/json"
	"strings"
	"testing"
)

// stepsOf are the steps of a run by name, with the runs that they are.
func (s *httpServer) stepsOf(run string) map[string]struct{ Name, Status, Run string } {
	s.t.Helper()
	var list struct {
		Items []struct{ Name, Status, Run string }
	}
	s.get(&list, 200, "GET", "/runs/"+run+"/steps", nil)
	out := map[string]struct{ Name, Status, Run string }{}
	for _, step := range list.Items {
		out[step.Name] = step
	}
	return out
}

// changed asks for a change and returns its run when that has ended well.
func (s *httpServer) changed(path string, body map[string]any) servedRun {
	s.t.Helper()
	var run servedRun
	s.get(&run, 201, "POST", path+"/changes", body)
	if status, text := s.follow(run.ID, nil); status != "succeeded" {
		s.t.Fatalf("the change %v %s: %s", body, status, text)
	}
	return run
}

// TestServerRollsBackDirectory: what was applied to a plain directory is brought
// back as it is for a stack.
func TestServerRollsBackDirectory(t *testing.T) {
	p := newProject(t, "resource \"terraform_data\" \"page\" {\n  input = \"plain\"\n}\n")
	s := p.server()
	path := "/environments/default/stacks/-"
	applied := s.stepsOf(s.changed(path, map[string]any{"kind": "apply"}).ID)["apply"].Run
	s.get(nil, 422, "POST", path+"/changes", map[string]any{"kind": "rollback", "run": applied, "targets": []string{"terraform_data.page"}})
	s.changed(path, map[string]any{"kind": "rollback", "run": applied})
	if out := p.mustRun("state", "list"); out != "" {
		t.Errorf("the directory still has %s", out)
	}
}

// TestServerRollbackIsApproved: an approval of a rollback is one of its plan, which
// is then carried out, and whoever may only apply does not destroy by rolling back.
func TestServerRollbackIsApproved(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "operator" { allow = ["apply:*", "approve:*", "run:*"] }
role "owner" { allow = ["*:*"] }
grant {
  role = role.operator
  to   = ["service:ci"]
}
grant {
  role = role.owner
  to   = ["user:`+p.whoami()+`"]
}
`)
	shown := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=operator", "-expires=1h")))
	s := p.server()
	path := "/environments/default/stacks/site"
	applied := s.stepsOf(s.changed(path, map[string]any{"kind": "apply"}).ID)["apply"].Run
	for _, c := range []struct{ token, status string }{{shown, "failed"}, {"", "succeeded"}} {
		s.token = c.token
		var run servedRun
		s.get(&run, 201, "POST", path+"/changes", map[string]any{"kind": "rollback", "run": applied, "approve": true})
		planned := ""
		status, text := s.follow(run.ID, func(kind string, data []byte) {
			var news struct {
				Steps []struct{ Asks []struct{ Plan string } }
			}
			if kind != "run" || planned != "" || json.Unmarshal(data, &news) != nil {
				return
			}
			for _, step := range news.Steps {
				for _, ask := range step.Asks {
					planned = ask.Plan
				}
			}
			if planned == "" {
				return
			}
			code, body, _ := s.do("GET", "/api/v1/plans/"+planned, nil)
			if code != 200 || !strings.Contains(string(body), `"kind":"rollback"`) || !strings.Contains(string(body), `"destroy":1`) {
				t.Errorf("the plan is told as %d %s", code, body)
			}
			s.get(nil, 409, "POST", "/runs/"+run.ID+"/decisions", map[string]any{"decision": "approve", "plan": strings.Repeat("0", 64)})
			s.get(nil, 200, "POST", "/runs/"+run.ID+"/decisions", map[string]any{"decision": "approve", "plan": planned})
		})
		if status != c.status || planned == "" {
			t.Fatalf("the rollback %s: %s", status, text)
		}
		s.token = ""
		var done struct{ Plan string }
		if c.status == "failed" {
			if !strings.Contains(text, "destroy") {
				t.Errorf("it is not said what is missing: %s", text)
			}
			continue
		}
		s.get(&done, 200, "GET", "/runs/"+s.stepsOf(run.ID)["apply"].Run, nil)
		if done.Plan == "" {
			t.Error("nothing was carried out")
		}
	}
	if out := p.mustRun("state", "list", "-stack=site"); out != "" {
		t.Errorf("the stack still has %s", out)
	}
}
