package test

import (
	"strings"
	"testing"
)

// TestServerTellsOfRefusals: who is not let in, and what somebody is not let do, is in
// the feed, with where it came from and without any token.
func TestServerTellsOfRefusals(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "reader" { allow = ["plan:*"] }
grant {
  role = role.reader
  to   = ["service:ci"]
}
role "root" { allow = ["*:*"] }
grant {
  role = role.root
  to   = ["user:`+p.whoami()+`"]
}
`)
	shown := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=reader", "-expires=1h")))
	s := p.server("-require-token")
	bad := another(shown)
	s.token = bad
	for range 12 {
		s.get(nil, 401, "GET", "/runs", nil)
	}
	s.token = ""
	s.get(nil, 401, "GET", "/runs", nil) // who shows nothing is nobody to tell of
	s.do("POST", "/login", "token="+bad, "Content-Type", "application/x-www-form-urlencoded")
	s.token = shown
	for range 3 {
		s.get(nil, 403, "POST", "/environments/default/stacks/site/changes", map[string]any{"kind": "apply"})
	}
	for kind, want := range map[string][]string{
		"access.denied": {`"subject": "apply:default/site"`, `"actor": "service:ci"`, `"route": "POST /api/v1/environments/default/stacks/site/changes"`},
		"token.refused": {`"count": 10`, `"address": "127.0.0.1"`, `"route": "GET /api/v1/runs"`},
		"login.failed":  {`"route": "POST /login"`, `"address": "127.0.0.1"`},
	} {
		told := p.mustRun("audit", "list", "-json", "-type="+kind)
		for _, text := range want {
			if !strings.Contains(told, text) {
				t.Errorf("%s: no %s in\n%s", kind, text, told)
			}
		}
		if n := strings.Count(told, `"type":`); n != map[string]int{"access.denied": 1, "token.refused": 2, "login.failed": 1}[kind] {
			t.Errorf("%d events of type %s:\n%s", n, kind, told)
		}
		if strings.Contains(told, bad[20:]) {
			t.Errorf("a token is told of:\n%s", told)
		}
	}
}

// another is a token that differs from one in its last character.
func another(token string) string {
	at := len(token) - 1
	if token[at] == 'A' {
		return token[:at] + "E"
	}
	return token[:at] + "A"
}
