package test

import (
	"strings"
	"syscall"
	"testing"
)

// TestRemoteNames: what the project on a server does not have is told with what it has, and
// a server that drives nothing does not speak of what is running.
func TestRemoteNames(t *testing.T) {
	p := newServed(t)
	p.mustRun("run", "greet", "-var", "name=x")
	p.write("more.tutti.hcl", `
environment "dev" {}
environment "prod" {}
notify "ops" {
  on = { type = ["run.failed"] }
  webhook {
    url = "https://ops.example.com/tutti"
  }
}
`)
	p.mustRun("workspace", "select", "dev")
	s := p.server()
	c := s.client()
	c.fails(`Error: No such stack The project on the server has no stack "sit". Did you mean "site"? There are: site.`, "drift", "-stack=sit")
	c.fails(`Error: No such environment The project on the server has no environment "nope". There are: dev, prod.`, "drift", "-env=nope")
	c.fails(`Error: No such stack The project on the server has no stack "nope". There are: site.`, "state", "list", "-stack=nope")
	c.fails(`Error: No such notify block This project declares no notify block "zzz". Declared are: ops.`, "deliveries", "list", "-notify=zzz")
	c.fails(`Error: No such environment This project declares no environment "nope". Declared are: dev, prod.`, "runs", "-env=nope")
	s.get(nil, 422, "GET", "/dead-letters?trigger=zzz", nil)
	s.get(nil, 422, "GET", "/runs?environment=nope&status=failed", nil)
	s.get(nil, 200, "GET", "/runs?environment=default&status=failed", nil) // of which runs are kept, though none like this
	c.fails(`Error: No such run The server knows no run "nope".`, "logs", "nope")
	for _, there := range [][]string{{"drift", "-env=prod"}, {"deliveries", "list", "-notify=ops"}, {"runs", "-env=prod"}} {
		if out, code := c.run(there...); code != 0 {
			t.Errorf("tutti %s: exit code %d\n%s", strings.Join(there, " "), code, out)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
	if log := s.log.String(); !strings.Contains(log, "Interrupt received. Nothing is running: the server stops.") || strings.Contains(log, "please wait") {
		t.Errorf("an idle server says\n%s", log)
	}
}
