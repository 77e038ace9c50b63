package test

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// ages is a text without what changes with time.
func ages(text string) string {
	return regexp.MustCompile(`\d+ ?\w+ ago|\d{4}-\d\d-\d\dT?[^",\s]*( \d\d:\d\d:\d\d)?|"took_ms": \d+`).ReplaceAllString(text, "THEN")
}

// TestRemoteDrift: what is not as it was left is looked for and shown as it is here.
func TestRemoteDrift(t *testing.T) {
	p := newObserved(t, "")
	c := p.server().client()
	if said := c.mustRun("drift"); !strings.Contains(said, "Nobody has looked yet") {
		t.Errorf("drift: %s", said)
	}
	p.says("it2", "changed")
	said, code := c.run("drift", "-now", "-detailed-exitcode")
	if code != 2 || !strings.Contains(said, "~ world_thing.it[2] has changed") || !strings.Contains(said, `value: "one" -> "changed"`) {
		t.Errorf("drift -now: %d %s", code, said)
	}
	for _, args := range [][]string{{"drift"}, {"drift", "-json", "-stack=things", "-env=default"}} {
		if there, here := ages(c.mustRun(args...)), ages(p.mustRun(args...)); there != here {
			t.Errorf("%v there:\n%s\nhere:\n%s", args, there, here)
		}
	}
	c.mustRun("drift", "-reset", "-now")
	c.fails("No such stack", "drift", "-stack=none")
	if there, here := c.mustRun("state", "list"), p.mustRun("state", "list"); there != here || strings.Count(there, "\n") != 6 {
		t.Errorf("state list there:\n%s\nhere:\n%s", there, here)
	}
	if there, here := c.mustRun("state", "list", "world_thing.it[1]"), p.mustRun("state", "list", "world_thing.it[1]"); there != here {
		t.Errorf("state list there:\n%s\nhere:\n%s", there, here)
	}
	c.fails("The state contains no resource world_thing.none", "state", "list", "world_thing.none")
	c.fails("Works on files here", "state", "show", "world_thing.it[1]")
}

// TestRemoteRollback undoes on a server what a run did there.
func TestRemoteRollback(t *testing.T) {
	p := newServed(t)
	c := p.server().client()
	c.mustRun("apply", "-auto-approve")
	p.write("site/main.tf", strings.Replace(servedSite, `"welcome"`, `"farewell"`, 1))
	c.mustRun("apply", "-auto-approve")
	var list []struct{ ID, Kind string }
	if err := json.Unmarshal([]byte(c.mustRun("runs", "-json")), &list); err != nil {
		t.Fatal(err)
	}
	var of, whole string // the last run that changed the stack, and the one that it is a step of
	for _, run := range list {
		if run.Kind == "apply" {
			of = cmp.Or(of, run.ID)
		} else {
			whole = cmp.Or(whole, run.ID)
		}
	}
	c.fails("Run of several stacks", "rollback", whole)
	c.fails("knows no run", "rollback", "none")
	c.fails("Apply cancelled", "rollback", of)
	said := c.mustRun("rollback", of, "-auto-approve")
	if !strings.Contains(said, "Rollback complete! Resources: 0 added, 1 changed, 0 destroyed.") || !strings.Contains(said, `"farewell" -> "welcome"`) {
		t.Errorf("rollback: %s", said)
	}
	if out, code := c.run("plan", "-detailed-exitcode"); code != 2 {
		t.Errorf("the configuration does not want it back: %s", out)
	}
}

// TestRemoteDeliveries lists what a server tells others, as it is listed here, and has a
// dead one sent again.
func TestRemoteDeliveries(t *testing.T) {
	sink := newSink(t)
	p := newNotified(t, sink)
	s := p.server()
	s.ready(t, sink)
	c := s.client()
	eventually(t, "a delivery", func() bool { return strings.Contains(c.mustRun("deliveries", "-status=delivered"), "delivered") })
	for _, args := range [][]string{{"deliveries", "-notify=ops", "-status=delivered", "-limit=1"}, {"deliveries", "list", "-notify=code", "-status=dead"}} {
		eventually(t, "the same list there and here", func() bool { return c.mustRun(args...) == p.mustRun(args...) })
	}
	c.fails("No such notify block", "deliveries", "list", "-notify=none")
	c.fails("No such delivery", "deliveries", "retry", "99999")
	c.fails("only a delivery that is dead", "deliveries", "retry", strings.Fields(c.mustRun("deliveries", "-status=delivered"))[0])
}
