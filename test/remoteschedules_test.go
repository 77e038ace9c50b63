package test

import (
	"strings"
	"testing"
)

// TestRemoteSchedules compares the schedules of a server's project with what is said of
// them here: when they come next, and what became of instants that were.
func TestRemoteSchedules(t *testing.T) {
	p := newServed(t)
	p.write("schedules.tutti.hcl", `
trigger "nightly" {
  schedule = "0 3 * * *"
  timezone = "Europe/Berlin"
  missed   = "all"
  overlap  = "queue"
  run      = workflow.greet
  inputs   = { name = event.schedule }
}
trigger "yearly" {
  schedule = "0 0 1 1 *"
  run      = workflow.greet
  inputs   = { name = "new year" }
}
trigger "pushed" {
  on     = { type = ["com.github.push"] }
  run    = workflow.greet
  inputs = { name = "push" }
}
`)
	p.mustRun("backfill", "nightly", "-from=2025-03-28", "-to=2025-04-01")
	c := p.server().client()
	for _, command := range []string{"schedules", "schedules -json", "schedules list -limit=1", "schedules -limit=0 -json", "schedules list -limit=50"} {
		args := strings.Fields(command)
		there, here := c.mustRun(args...), p.mustRun(args...)
		if there != here || !strings.Contains(there, "yearly") || strings.Contains(there, "pushed") {
			t.Errorf("tutti %s there:\n%s\nhere:\n%s", command, there, here)
		}
	}
	if out := c.mustRun("schedules"); strings.Count(out, "(backfill)") != 3 || !strings.Contains(out, "2025-03-31 03:00:00 +02:00") {
		t.Errorf("the last three instants are not told:\n%s", out)
	}
	c.fails("works on files here", "schedules", "serve")
}
