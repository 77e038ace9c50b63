package test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestRemoteAudit compares what happened as a server tells it with what its store says.
func TestRemoteAudit(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "root" { allow = ["*:*"] }
role "auditor" { allow = ["audit:*"] }
role "reader" { allow = ["read:*"] }
grant {
  role = role.root
  to   = ["user:`+p.whoami()+`"]
}
grant {
  role = role.auditor
  to   = ["service:audit"]
}
grant {
  role = role.reader
  to   = ["service:ci"]
}
`)
	token := func(subject, role string) string {
		return strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:"+subject, "-role="+role, "-expires=1h")))
	}
	auditor, reader := token("audit", "auditor"), token("ci", "reader")
	s := p.server()
	run := func() string {
		return strings.TrimSpace(s.client().mustRun("run", "-detach", "greet", "-var", "name=you"))
	}
	first := run()
	for range 5 {
		run()
	}
	s.follow(run(), nil)
	c := s.client("TUTTI_TOKEN=" + auditor)
	for _, command := range []string{
		"audit list", "audit list -json", "audit list -limit=3", "audit list -limit=3 -json", "audit list -type=run.*", "audit list -type=run.started -limit=2",
		"audit list -subject=" + first, "audit list -since=1h -limit=4", "audit list -since=2999-01-01", "audit list -type=none -json",
		"audit export", "audit export -after=3", "audit verify", "audit verify -json",
	} {
		args := strings.Fields(command)
		if there, here := c.mustRun(args...), p.mustRun(args...); there != here || there == "" {
			t.Errorf("tutti %s there:\n%s\nhere:\n%s", command, there, here)
		}
	}
	if out := c.mustRun("audit", "export", "-after=999999"); out != "" {
		t.Errorf("behind the end is %q", out)
	}
	if n := strings.Count(c.mustRun("audit", "list", "-type=run.*", "-limit=2"), "\n"); n != 2 {
		t.Errorf("%d events instead of 2", n)
	}
	var verified struct{ Head string }
	if err := json.Unmarshal([]byte(p.mustRun("audit", "verify", "-json")), &verified); err != nil {
		t.Fatal(err)
	}
	c.mustRun("audit", "verify", "-head="+verified.Head)
	for _, args := range [][]string{{"audit", "verify", "-head=x"}, {"audit", "verify", "-head=" + strings.Repeat("00", 32)}, {"audit", "verify", "-json", "-head=" + strings.Repeat("ab", 32)}, {"audit", "list", "-since=yesterday"}} {
		there, code := c.run(args...)
		if here, other := p.run(args...); there != here || code != other || code == 0 && !strings.Contains(args[2], "0000") {
			t.Errorf("tutti %s there: %d\n%s\nhere: %d\n%s", strings.Join(args, " "), code, there, other, here)
		}
	}
	// Who may not read the whole feed is told of what they may look at, and verifies nothing.
	c = s.client("TUTTI_TOKEN=" + reader)
	if out := c.mustRun("audit", "list"); !strings.Contains(out, "run.started") || strings.Contains(out, "token.created") {
		t.Errorf("who may look at runs is told:\n%s", out)
	}
	c.fails("needs the permission audit", "audit", "verify")
	c.fails("needs the permission audit", "audit", "export")
}
