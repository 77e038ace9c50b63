package test

import (
	"os"
	"strings"
	"testing"
)

// TestRunnerStopsWhatIsAllowedNoMore: a step that has not begun when the token that its
// run was begun with is revoked, or when the grant is taken away, does not begin.
func TestRunnerStopsWhatIsAllowedNoMore(t *testing.T) {
	for name, stop := range map[string]func(p *project, token string){
		"revoked": func(p *project, token string) { p.mustRun("token", "revoke", strings.Split(token, "_")[1]) },
		"grant":   func(p *project, _ string) { p.write("grant.tutti.hcl", "") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newServed(t)
			p.write("access.tutti.hcl", `
role "operator" { allow = ["run:*"] }
role "root" { allow = ["*:*"] }
grant {
  role = role.root
  to   = ["user:`+p.whoami()+`"]
}
workflow "slow" {
  step "first" {
    exec { command = ["sh", "-c", "echo first; touch begun"] }
  }
  step "hold" {
    needs = [step.first]
    wait { event = "go" }
  }
  step "second" {
    needs = [step.hold]
    exec { command = ["touch", "done"] }
  }
}
`)
			p.write("grant.tutti.hcl", "grant {\n  role = role.operator\n  to   = [\"service:ci\"]\n}\n")
			token := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=operator", "-expires=1h")))
			s := p.server()
			s.token = token
			var run servedRun
			s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "slow"})
			s.token = ""
			stopped := false
			status, text := s.follow(run.ID, func(string, []byte) {
				if _, err := os.Stat(p.dir + "/begun"); err != nil || stopped {
					return
				}
				if waits := s.stepsOf(run.ID)["hold"]; waits.Status != "running" && waits.Status != "waiting" {
					return
				}
				stopped = true
				stop(p, token)
				s.get(nil, 200, "POST", "/runs/"+run.ID+"/signals", map[string]any{"event": "go"})
			})
			if _, err := os.Stat(p.dir + "/done"); err == nil || status != "failed" || !stopped {
				t.Errorf("the run %s, although it was stopped (%t): %s", status, stopped, text)
			}
			if told := p.mustRun("audit", "list", "-json", "-type=access.denied"); !strings.Contains(told, `"run `+run.ID) || !strings.Contains(told, `"run:default/slow"`) {
				t.Errorf("the feed tells: %s", told)
			}
		})
	}
}
