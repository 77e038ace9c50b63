package test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/client"
)

// operationsOf are the operations of the API, as its description has them: method,
// path, id.
func (s *httpServer) operationsOf() (out [][3]string) {
	s.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	s.get(&doc, 200, "GET", "/openapi.json", nil)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.OperationID != "" {
				out = append(out, [3]string{strings.ToUpper(method), path, op.OperationID})
			}
		}
	}
	slices.SortFunc(out, func(a, b [3]string) int { return strings.Compare(a[2], b[2]) })
	if len(out) < 20 {
		s.t.Fatalf("the API has %d operations only", len(out))
	}
	return out
}

const readingRoles = `
role "reader" { allow = ["read:*/site", "run:*/greet"] }
grant {
  role = role.reader
  to   = ["service:ci"]
}
role "auditor" { allow = ["audit:*"] }
grant {
  role = role.auditor
  to   = ["service:audit"]
}
role "root" { allow = ["*:*"] }
grant {
  role = role.root
  to   = ["user:ROOT", "service:root"]
}
`

const hiddenParts = `
stack "vault" { source = "./vault" }
workflow "hidden" {
  step "say" {
    exec { command = ["echo", "unheard"] }
  }
}
trigger "hiddenly" {
  schedule = "0 0 1 1 *"
  run      = workflow.hidden
}
`

// readingServer serves a project of which somebody may see the one half only: runs
// are made of both.
func readingServer(t *testing.T) (p *project, s *httpServer, token map[string]string, hidden map[string]string) {
	p = newServed(t)
	p.write("hidden.tutti.hcl", hiddenParts)
	p.write("vault/main.tf", "resource \"terraform_data\" \"unseen\" {}\noutput \"unseen\" {\n  value = 1\n}\n")
	p.write("access.tutti.hcl", strings.ReplaceAll(readingRoles, "ROOT", p.whoami()))
	token, hidden = map[string]string{}, map[string]string{"{stack}": "vault", "{environment}": "default", "{workflow}": "hidden", "{trigger}": "hiddenly", "{event}": "1", "{delivery}": "1", "{step}": "say"}
	for subject, role := range map[string]string{"ci": "reader", "audit": "auditor", "root": "root"} {
		token[subject] = strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:"+subject, "-role="+role, "-expires=1h")))
	}
	s = p.server("-require-token")
	s.token = token["root"]
	s.changed("/environments/default/stacks/site", map[string]any{"kind": "apply"})
	s.changed("/environments/default/stacks/vault", map[string]any{"kind": "apply"})
	var run servedRun
	s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "hidden"})
	s.follow(run.ID, nil)
	hidden["{run}"] = run.ID
	// A change that waits has a plan that is known.
	s.get(nil, 201, "POST", "/environments/default/stacks/vault/changes", map[string]any{"kind": "destroy", "approve": true})
	eventually(t, "a plan that is to be approved", func() bool {
		var list struct{ Items []struct{ Plan string } }
		s.get(&list, 200, "GET", "/approvals", nil)
		if len(list.Items) > 0 {
			hidden["{plan}"] = list.Items[0].Plan
		}
		return hidden["{plan}"] != ""
	})
	var events struct {
		Items []struct {
			Sequence json.Number
			Subject  string
		}
	}
	s.get(&events, 200, "GET", "/events?subject="+run.ID, nil)
	if len(events.Items) == 0 {
		t.Fatal("the run left no events")
	}
	hidden["{sequence}"] = events.Items[0].Sequence.String()
	return p, s, token, hidden
}

// TestServerReading goes through all operations: what somebody may not read is in no
// list, and asked for by name it is not there. Whoever adds an operation says here what
// becomes of it.
func TestServerReading(t *testing.T) {
	_, s, token, hidden := readingServer(t)
	const lists = 200 // without what is hidden
	want := map[string]int{
		"get-session": lists, "list-runs": lists, "count-runs": lists, "list-workflows": lists, "list-stacks": lists, "list-events": lists, "list-approvals": lists,
		"list-triggers": lists, "list-dead-letters": lists, "list-deliveries": lists,
		"get-run": 404, "list-steps": 404, "list-items": 404, "list-journal": 404, "list-logs": 404, "stream-run": 404, "get-workflow": 404, "get-event": 404,
		"list-objects": 404, "list-outputs": 404, "list-run-outputs": 404, "get-run-result": 404, "list-revisions": 404, "get-drift": 404, "get-plan": 404,
		"cancel-run": 404, "resume-run": 404, "retry-run": 404, "signal-run": 404, "decide-step": 404, "change-stack": 404, "change-stacks": 404, "observe-stack": 404, "start-run": 404,
		"verify-audit": 403, "export-audit": 403, "accept-events": 403, "replay-event": 403, "retry-dead-letter": 403, "retry-delivery": 404, // there is none
		"keep-configuration": 403, // such servers keep none
		"stream-events":      0,   // TestServerReadingStream
	}
	body := map[string]any{
		"keep-configuration": "no archive",
		"start-run":          map[string]any{"workflow": "hidden"}, "change-stack": map[string]any{"kind": "plan"}, "change-stacks": map[string]any{"kind": "plan", "stacks": []string{"vault"}}, "retry-run": map[string]any{},
		"signal-run": map[string]any{"event": "x"}, "decide-step": map[string]any{"decision": "approve"}, "replay-event": map[string]any{},
		"accept-events": map[string]any{"specversion": "1.0", "id": "1", "source": "/x", "type": "x"},
	}
	s.token = token["root"]
	operations := s.operationsOf()
	for _, op := range operations {
		method, path, id := op[0], op[1], op[2]
		status, there := want[id]
		if !there {
			t.Errorf("%s: nothing says who may read by it", id)
			continue
		}
		delete(want, id)
		for name, value := range hidden {
			path = strings.ReplaceAll(path, name, value)
		}
		if status == 0 {
			continue
		}
		// It is there for who may see it.
		s.token = token["root"]
		if status == 404 && method == "GET" && !strings.HasSuffix(path, "/stream") {
			if code, answer, _ := s.do(method, path, nil); code != 200 && code != 409 && id != "get-drift" {
				t.Errorf("%s: who may do everything gets %d %s", id, code, answer)
			}
		}
		s.token = token["ci"]
		code, answer, _ := s.do(method, path, body[id])
		if code != status {
			t.Errorf("%s: %d %s", id, code, answer)
		}
		for _, name := range []string{"unseen", "unheard", `"vault"`, `"hidden"`, "workflow hidden"} {
			if code == 200 && strings.Contains(string(answer), name) {
				t.Errorf("%s tells of %s: %s", id, name, answer)
			}
		}
	}
	for id := range want {
		t.Errorf("%s is no operation", id)
	}
	s.token = token["ci"]
	s.get(nil, 404, "GET", "/runs/"+strings.Repeat("x", 12), nil)
	var seen struct {
		Items []struct{ Name, Subject, Summary string }
	}
	if s.get(&seen, 200, "GET", "/stacks", nil); len(seen.Items) != 1 || seen.Items[0].Name != "site" {
		t.Errorf("stacks: %+v", seen)
	}
	if s.get(&seen, 200, "GET", "/runs", nil); len(seen.Items) == 0 {
		t.Error("the runs that may be seen are not there")
	}
	if s.get(&seen, 200, "GET", "/events", nil); len(seen.Items) == 0 {
		t.Error("the events that may be seen are not there")
	}
	// What waits is in a list of its own, and counted.
	for who, n := range map[string]int{"root": 1, "ci": 0, "audit": 0} {
		s.token = token[who]
		var list struct{ Items []client.Run }
		s.get(&list, 200, "GET", "/runs?status=waiting&top=true", nil)
		var counts client.RunCounts
		s.get(&counts, 200, "GET", "/run-counts?top=true", nil)
		if len(list.Items) != n || int(counts.Waiting) != n || int(counts.Running) != n {
			t.Errorf("%s: waiting are %+v, counted %+v", who, list.Items, counts)
		}
		for _, r := range list.Items {
			if r.Waits != "approval" || r.Status != "running" {
				t.Errorf("%+v", r)
			}
		}
	}
	// Whoever may read the feed reads all of it, and nothing else.
	s.token = token["audit"]
	s.get(nil, 200, "GET", "/audit/verify", nil)
	if s.get(&seen, 200, "GET", "/runs", nil); len(seen.Items) != 0 {
		t.Errorf("an auditor sees runs: %+v", seen)
	}
	_, feed, _ := s.do("GET", "/api/v1/events?limit=1000", nil)
	if !strings.Contains(string(feed), "token.created") || !strings.Contains(string(feed), "terraform_data.unseen") {
		t.Errorf("an auditor does not read: %s", feed)
	}
}

// listen hears the feed from a cursor on until a condition holds of what it heard, or
// the stream ends; it returns the text and the last cursor.
func (s *httpServer) listen(after string, enough func(text string) bool) (text, last string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/events/stream", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Last-Event-ID", after)
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		line := lines.Text()
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			last = id
		}
		text += line + "\n"
		if enough(text) {
			return text, last
		}
	}
	return text, last
}

// TestServerReadingStream: a stream has what its listener may read, from any cursor on,
// and ends when the token of who listens is revoked.
func TestServerReadingStream(t *testing.T) {
	p, s, token, hidden := readingServer(t)
	s.token = token["root"]
	var run servedRun
	s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "x"}})
	s.follow(run.ID, nil)
	s.token = token["ci"]
	ended := func(text string) bool { return strings.Contains(text, `"run.succeeded","subject":"`+run.ID) }
	text, last := s.listen("0", ended)
	for _, name := range []string{hidden["{run}"], "unseen", "token.created"} {
		if strings.Contains(text, name) {
			t.Errorf("the stream tells of %s", name)
		}
	}
	if !ended(text) || !strings.Contains(text, "terraform_data.page") {
		t.Fatalf("the stream does not tell all: %s", text)
	}
	// Taken up behind what was heard last, it has what came since, once.
	s.token = token["root"]
	var next servedRun
	s.get(&next, 201, "POST", "/runs", map[string]any{"workflow": "hidden"})
	s.follow(next.ID, nil)
	s.get(&next, 201, "POST", "/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "y"}})
	s.token = token["ci"]
	text, _ = s.listen(last, func(text string) bool { return strings.Contains(text, `"run.succeeded","subject":"`+next.ID) })
	if strings.Contains(text, run.ID) || strings.Count(text, `"run.started","subject":"`+next.ID) != 1 {
		t.Errorf("taken up again, the stream tells: %s", text)
	}
	// Revoking writes an event, which wakes the stream.
	revoked := false
	s.listen("0", func(string) bool {
		if !revoked {
			revoked = true
			p.mustRun("token", "revoke", strings.Split(token["ci"], "_")[1])
		}
		return false
	})
	if !revoked || t.Context().Err() != nil {
		t.Error("the stream did not begin")
	}
}

// TestServerDeniedReading: without a role that allows reading by name all may read, and
// what is denied nobody reads who is denied it.
func TestServerDeniedReading(t *testing.T) {
	p := newServed(t)
	p.write("access.tutti.hcl", `
role "operator" {
  allow = ["plan:*", "run:*"]
  deny  = ["read:*/site"]
}
grant {
  role = role.operator
  to   = ["service:ci"]
}
role "other" { allow = ["plan:prod/other"] }
grant {
  role = role.other
  to   = ["service:other"]
}
role "root" { allow = ["*:*"] }
grant {
  role = role.root
  to   = ["user:`+p.whoami()+`"]
}
`)
	ci := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:ci", "-role=operator", "-expires=1h")))
	other := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:other", "-role=other", "-expires=1h")))
	s := p.server()
	s.changed("/environments/default/stacks/site", map[string]any{"kind": "apply"})
	s.token = other
	s.get(nil, 200, "GET", "/environments/default/stacks/site/outputs", nil)
	s.get(nil, 200, "GET", "/audit/verify", nil)
	s.token = ci
	s.get(nil, 404, "GET", "/environments/default/stacks/site/outputs", nil)
	s.get(nil, 404, "POST", "/environments/default/stacks/site/changes", map[string]any{"kind": "plan"})
	s.get(nil, 403, "GET", "/audit/export", nil)
	if _, feed, _ := s.do("GET", "/api/v1/events?limit=1000", nil); strings.Contains(string(feed), "terraform_data.page") {
		t.Errorf("the feed tells of what must not be read: %s", feed)
	}
	s.get(nil, 200, "GET", "/workflows/greet", nil)
}

// TestServerMetricsReading: who collects has the stacks that they may read, and how much
// there is of the rest.
func TestServerMetricsReading(t *testing.T) {
	p, s, token, _ := readingServer(t)
	p.mustRun("drift", "-now")
	for subject, sees := range map[string][2]bool{"root": {true, true}, "ci": {true, false}, "audit": {false, false}} {
		s.token = token[subject]
		code, body, _ := s.do("GET", "/metrics", nil)
		text := string(body)
		if code != 200 || !strings.Contains(text, "tutti_events_total ") || !strings.Contains(text, "tutti_runs_open{") {
			t.Errorf("%s: %d %s", subject, code, text)
		}
		for i, stack := range []string{"site", "vault"} {
			if strings.Contains(text, `stack="`+stack+`"`) != sees[i] {
				t.Errorf("%s sees %s: %t", subject, stack, !sees[i])
			}
		}
	}
}

// TestStateBackendRefusals: a state that is there and one that is not are refused alike,
// and not as Terraform takes for an empty state. Nothing is written by who is refused.
func TestStateBackendRefusals(t *testing.T) {
	p, s, token, _ := readingServer(t)
	p.write("holder.tutti.hcl", `
role "holder" {
  allow = ["state:*"]
  deny  = ["read:*/vault"]
}
grant {
  role = role.holder
  to   = ["service:holder"]
}
`)
	holder := strings.TrimSpace(p.lastLine(p.mustRun("token", "create", "-as=service:holder", "-role=holder", "-expires=1h")))
	lock := map[string]any{"ID": "a-lock", "Operation": "OperationTypeApply"}
	for _, method := range []string{"GET", "POST", "DELETE", "LOCK", "UNLOCK"} {
		s.token = token["ci"]
		there, said, _ := s.do(method, "/api/v1/state/default/vault", lock)
		absent, saidOther, _ := s.do(method, "/api/v1/state/default/nowhere", lock)
		if there != 403 || absent != 403 || strings.ReplaceAll(string(said), "vault", "nowhere") != string(saidOther) {
			t.Errorf("%s: %d %s, of one that is not there %d %s", method, there, said, absent, saidOther)
		}
		s.token = holder
		if code, answer, _ := s.do(method, "/api/v1/state/default/vault", lock); code != 403 {
			t.Errorf("%s by who may change it and not read it: %d %s", method, code, answer)
		}
	}
	if code, answer, _ := s.do("GET", "/api/v1/state/default/site", nil); code != 200 {
		t.Errorf("a state that may be had: %d %s", code, answer)
	}
	s.token = token["root"]
	if code, answer, _ := s.do("GET", "/api/v1/state/default/nowhere", nil); code != 204 {
		t.Errorf("who was refused wrote: %d %s", code, answer)
	}
	if code, answer, _ := s.do("GET", "/api/v1/state/default/vault", nil); code != 200 || !strings.Contains(string(answer), "unseen") {
		t.Errorf("who was refused wrote: %d %s", code, answer)
	}
}

// TestServerNothingForNobody goes through all routes beyond loopback without a token:
// nothing is read and nothing is written.
func TestServerNothingForNobody(t *testing.T) {
	p := newServed(t)
	s := p.server("-listen=0.0.0.0:0", "-behind-proxy")
	routes := [][2]string{{"GET", "/metrics"}}
	for _, op := range s.operationsOf() {
		routes = append(routes, [2]string{op[0], op[1]})
	}
	for _, method := range []string{"GET", "POST", "DELETE", "LOCK", "UNLOCK"} {
		routes = append(routes, [2]string{method, "/api/v1/state/default/site"})
	}
	fill := strings.NewReplacer("{run}", "x", "{stack}", "site", "{environment}", "default", "{workflow}", "greet", "{plan}", strings.Repeat("0", 64), "{sequence}", "1", "{trigger}", "t", "{event}", "1", "{delivery}", "1", "{step}", "say")
	for _, route := range routes {
		if code, body, _ := s.do(route[0], fill.Replace(route[1]), map[string]any{}); code != 401 {
			t.Errorf("%s %s: %d %s", route[0], route[1], code, body)
		}
	}
	// What is for everybody writes nothing: no way to write is left but logging in.
	for _, path := range []string{"/", "/healthz", "/readyz", "/runs", "/assets/x", "/api/v1/openapi.json"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			if code, body, _ := s.do(method, path, map[string]any{}); code != 401 && code != 404 && code != 405 {
				t.Errorf("%s %s: %d %s", method, path, code, body)
			}
		}
	}
	if list := p.mustRun("runs", "-json"); strings.Contains(list, `"id"`) {
		t.Errorf("runs were made: %s", list)
	}
}
