package test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// eventually waits for a condition that something else brings about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a minute is over without: %s", what)
		}
	}
}

// runsOf are the runs of the server whose ids begin so, by their statuses.
func (s *httpServer) runsOf(prefix string) map[string]string {
	var list struct{ Items []struct{ ID, Status string } }
	s.get(&list, http.StatusOK, http.MethodGet, "/runs?limit=500", nil)
	out := map[string]string{}
	for _, r := range list.Items {
		if strings.HasPrefix(r.ID, prefix) {
			out[r.ID] = r.Status
		}
	}
	return out
}

// TestServerSchedules: a server starts what schedules make due, those included that
// come into the files while it is up.
func TestServerSchedules(t *testing.T) {
	p := newServed(t)
	s := p.server()
	p.write("often.tutti.hcl", "trigger \"often\" {\n  schedule = \"@every 1s\"\n  run = workflow.greet\n  inputs = { name = event.time }\n}\n")
	eventually(t, "a run of the schedule that has succeeded", func() bool {
		for _, status := range s.runsOf("often-") {
			if status == "succeeded" {
				return true
			}
		}
		return false
	})
}
