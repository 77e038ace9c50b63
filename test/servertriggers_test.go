package test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

const hooked = `
secret "github" {
  file {
    path = "github.secret"
  }
}
webhook "github" {
  kind   = "github"
  secret = secret.github
}
trigger "push" {
  on     = { type = ["com.github.push"] }
  when   = event.data.forced == false
  run    = workflow.greet
  inputs = { name = event.data.ref }
}
trigger "deploys" {
  on  = { type = ["deploy.done"] }
  key = event.subject
  window {
    count  = 2
    within = "1h"
  }
  run    = workflow.greet
  inputs = { name = "${window.key} ${length(events)}" }
}
`

const githubSecret = "a secret of the forge"

// deliver sends what GitHub would send, and returns how it was answered.
func (s *httpServer) deliver(id, body, secret string) (int, string) {
	s.t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	status, answer, _ := s.do(http.MethodPost, "/hooks/github", body, "X-GitHub-Event", "push", "X-GitHub-Delivery", id, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	return status, string(answer)
}

func push(ref string) string {
	return fmt.Sprintf(`{"ref":%q,"forced":false,"repository":{"full_name":"a/b","html_url":"https://github.com/a/b"}}`, ref)
}

// TestServerEvents: signed requests and CloudEvents start runs, each once, also where
// the server is killed; what cannot be done is shown and can be done again.
func TestServerEvents(t *testing.T) {
	p := newServed(t)
	p.write("github.secret", githubSecret)
	p.write("hooks.tutti.hcl", hooked)
	s := p.server()
	if status, answer := s.deliver("d1", push("one"), githubSecret); status != http.StatusAccepted || !strings.Contains(answer, `"accepted":1`) {
		t.Fatal(status, answer)
	}
	if status, answer := s.deliver("d1", push("one"), githubSecret); status != http.StatusAccepted || !strings.Contains(answer, `"duplicates":1`) {
		t.Error(status, answer)
	}
	if status, answer := s.deliver("d2", push("one"), githubSecret); status != http.StatusAccepted || !strings.Contains(answer, `"duplicates":1`) {
		t.Error("the same body with another id:", status, answer)
	}
	if status, answer := s.deliver("d3", push("three"), "another secret"); status != http.StatusUnauthorized {
		t.Error(status, answer)
	}
	if status, problem, header := s.do(http.MethodGet, "/hooks/github", nil); status != http.StatusMethodNotAllowed || header.Get("Allow") != http.MethodPost || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("reading a webhook: %d, %v\n%s", status, header, problem)
	}
	if status, _, _ := s.do(http.MethodPost, "/hooks/gitlab", "{}"); status != http.StatusNotFound {
		t.Error(status)
	}
	eventually(t, "the run of the push", func() bool {
		for _, status := range s.runsOf("push-e") {
			return status == "succeeded"
		}
		return false
	})

	// What is accepted is acted on, whoever dies.
	event := func(id string) string {
		return fmt.Sprintf(`{"specversion":"1.0","type":"deploy.done","source":"/ci","subject":"shop","id":%q,"data":{"n":1}}`, id)
	}
	var accepted struct {
		Items []struct {
			Sequence  int64
			Duplicate bool
		}
	}
	s.get(&accepted, http.StatusAccepted, http.MethodPost, "/events", event("c1"))
	s.get(&accepted, http.StatusAccepted, http.MethodPost, "/events", event("c1"))
	if !accepted.Items[0].Duplicate {
		t.Error("the same event is taken twice")
	}
	s.get(&accepted, http.StatusAccepted, http.MethodPost, "/events", "["+event("c2")+","+event("c3")+"]")
	if status, answer := s.deliver("blind", `{"ref":"x","repository":{"full_name":"a/b","html_url":"https://github.com/a/b"}}`, githubSecret); status != http.StatusAccepted {
		t.Error(status, answer)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s = p.server()
	eventually(t, "the run of two deploys", func() bool {
		for _, status := range s.runsOf("deploys-e") {
			return status == "succeeded"
		}
		return false
	})
	if made := s.runsOf("deploys-e"); len(made) != 1 {
		t.Errorf("runs: %v", made)
	}
	// Nobody may say that runs have failed but Tutti.
	s.get(nil, http.StatusUnprocessableEntity, http.MethodPost, "/events", `{"specversion":"1.0","type":"run.failed","source":"/ci","id":"x"}`)

	type fired struct {
		Trigger, Status, Problem, Run string
		Event                         int64
	}
	var dead struct{ Items []fired }
	eventually(t, "the dead letter", func() bool {
		s.get(&dead, http.StatusOK, http.MethodGet, "/dead-letters", nil)
		return len(dead.Items) > 0
	})
	if len(dead.Items) != 1 || dead.Items[0].Trigger != "push" || !strings.Contains(dead.Items[0].Problem, "forced") {
		t.Fatalf("%+v", dead.Items)
	}
	// With the condition put right, it is done again.
	p.write("hooks.tutti.hcl", strings.Replace(hooked, "event.data.forced == false", "!try(event.data.forced, false)", 1))
	letter := fmt.Sprintf("/dead-letters/push/%d/retry", dead.Items[0].Event)
	eventually(t, "the files to be read again", func() bool {
		s.get(&dead, http.StatusOK, http.MethodGet, "/dead-letters", nil)
		if len(dead.Items) > 0 {
			s.get(nil, http.StatusOK, http.MethodPost, fmt.Sprintf("/dead-letters/push/%d/retry", dead.Items[0].Event), nil)
		}
		return len(s.runsOf("push-e")) == 2
	})
	s.get(nil, http.StatusConflict, http.MethodPost, letter, nil)

	var triggers struct {
		Items []struct {
			Name, Kind, On, Window string
			Last                   []fired
		}
	}
	s.get(&triggers, http.StatusOK, http.MethodGet, "/triggers", nil)
	if len(triggers.Items) != 2 || triggers.Items[0].Kind != "event" || triggers.Items[0].On != `{ type = ["deploy.done"] }` || len(triggers.Items[0].Last) != 1 || triggers.Items[0].Last[0].Status != "succeeded" {
		t.Errorf("%+v", triggers.Items)
	}
	var details struct {
		Event struct{ ID, Actor string }
		Fired []fired
	}
	s.get(&details, http.StatusOK, http.MethodGet, fmt.Sprintf("/events/%d", triggers.Items[0].Last[0].Event), nil)
	if details.Event.ID != "c2" || len(details.Fired) != 1 || !strings.HasPrefix(details.Fired[0].Run, "deploys-e") {
		t.Errorf("%+v", details)
	}
	var replayed struct{ Sequence int64 }
	s.get(&replayed, http.StatusOK, http.MethodPost, fmt.Sprintf("/events/%d/replay", triggers.Items[1].Last[len(triggers.Items[1].Last)-1].Event), map[string]string{"trigger": "push"}, "Idempotency-Key", "once")
	s.get(nil, http.StatusNotFound, http.MethodPost, "/events/100000/replay", map[string]string{})
	id := fmt.Sprintf("push-e%d", replayed.Sequence)
	eventually(t, "the run of the event that is replayed", func() bool { return s.runsOf(id)[id] == "succeeded" })
}

// TestServerRetains: what is old goes by itself, and an event that comes again starts
// nothing all the same.
func TestServerRetains(t *testing.T) {
	p := newServed(t)
	p.write("github.secret", githubSecret)
	p.write("hooks.tutti.hcl", hooked)
	s := p.server("-retain=1s")
	if status, answer := s.deliver("d1", push("one"), githubSecret); status != http.StatusAccepted {
		t.Fatal(status, answer)
	}
	eventually(t, "the run and the firing to be removed", func() bool {
		var list struct {
			Items []struct {
				Data struct {
					Runs    []string
					Firings int
				}
			}
		}
		s.get(&list, http.StatusOK, http.MethodGet, "/events?type=store.pruned&limit=1000", nil)
		runs, firings := 0, 0
		for _, e := range list.Items {
			runs, firings = runs+len(e.Data.Runs), firings+e.Data.Firings
		}
		return runs == 1 && firings == 1
	})
	if status, answer := s.deliver("d2", push("one"), githubSecret); status != http.StatusAccepted || !strings.Contains(answer, `"duplicates":1`) {
		t.Error(status, answer)
	}
	// Events are seen to in their order: what came before was.
	if status, answer := s.deliver("d3", push("two"), githubSecret); status != http.StatusAccepted {
		t.Error(status, answer)
	}
	eventually(t, "another run", func() bool { return len(s.runsOf("push-")) == 2 })
	if status, answer, _ := s.do(http.MethodGet, "/api/v1/audit/verify", nil); status != http.StatusOK || !strings.Contains(string(answer), `"valid":true`) {
		t.Error(status, string(answer))
	}
}

// TestServerStartsByTheFiles: the run of an event has the files as they are when it is
// made, however lately they have changed.
func TestServerStartsByTheFiles(t *testing.T) {
	p := newServed(t)
	trigger := "trigger \"told\" {\n  on = { type = \"told\" }\n  run = workflow.greet\n  inputs = { name = \"%s\" }\n}\n"
	p.write("told.tutti.hcl", fmt.Sprintf(trigger, "nobody"))
	s := p.server()
	tell := func(id string) string {
		var accepted struct{ Items []struct{ Sequence int64 } }
		s.get(&accepted, http.StatusAccepted, http.MethodPost, "/events", fmt.Sprintf(`{"specversion":"1.0","type":"told","source":"/test","id":%q}`, id))
		return fmt.Sprintf("told-e%d", accepted.Items[0].Sequence)
	}
	sent := 0
	eventually(t, "the trigger is at work", func() bool {
		sent++
		tell(fmt.Sprint("early ", sent))
		return len(s.runsOf("told-")) > 0
	})
	said := func(id string) string {
		run := tell(id)
		eventually(t, "the end of "+run, func() bool { return s.runsOf(run)[run] == "succeeded" })
		return p.mustRun("logs", run)
	}
	for _, name := range []string{"Ann", "Bob", "Carl"} {
		p.write("told.tutti.hcl", fmt.Sprintf(trigger, name))
		if out := said(name); !strings.Contains(out, "hello "+name) {
			t.Errorf("after %s: %s", name, out)
		}
	}
}

// TestServerEventsAndPolicy: runs that events start are held to the policies as the files
// have them then, not as they were when the server began.
func TestServerEventsAndPolicy(t *testing.T) {
	p := newServed(t)
	p.write("github.secret", githubSecret)
	p.write("hooks.tutti.hcl", hooked)
	p.write("policy.tutti.hcl", `policy "names" { source = "./rules" }`)
	p.write("rules/names.rego", "package main\ndeny contains \"nobody is greeted\" if false\n")
	s := p.server()
	if status, answer := s.deliver("d1", push("nobody"), githubSecret); status != http.StatusAccepted {
		t.Fatal(status, answer)
	}
	eventually(t, "the run of the push", func() bool { return len(s.runsOf("push-e")) == 1 })
	p.write("rules/names.rego", "package main\ndeny contains \"nobody is greeted\" if input.tutti.workflow.inputs.name == \"nobody\"\n")
	if status, answer := s.deliver("d2", strings.Replace(push("nobody"), `"forced"`, `"again":1,"forced"`, 1), githubSecret); status != http.StatusAccepted {
		t.Fatal(status, answer)
	}
	var dead struct{ Items []struct{ Problem string } }
	eventually(t, "the dead letter", func() bool {
		s.get(&dead, http.StatusOK, http.MethodGet, "/dead-letters", nil)
		return len(dead.Items) > 0
	})
	if !strings.Contains(dead.Items[0].Problem, "names (mandatory): one finding") || len(s.runsOf("push-e")) != 1 {
		t.Errorf("%+v, %v", dead.Items, s.runsOf("push-e"))
	}
}
