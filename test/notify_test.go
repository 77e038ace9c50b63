package test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const notified = `
secret "hook" {
  environment {
    variable = "HOOK_SECRET"
  }
}
notify "ops" {
  on            = { type = ["run.started", "run.succeeded"] }
  allow_private = ["127.0.0.0/8"]
  webhook {
    url    = "ADDRESS/ops"
    secret = secret.hook
  }
}
notify "lifecycle" {
  on            = { type = [{ prefix = "run." }] }
  allow_private = ["127.0.0.0/8"]
  webhook {
    url    = "ADDRESS/lifecycle"
    format = "cdevents"
  }
}
notify "guarded" {
  on = { type = ["run.started"] }
  webhook {
    url = "https://127.0.0.1:1/"
  }
}
notify "code" {
  allow_private = ["127.0.0.0/8"]
  github {
    api        = "ADDRESS/code"
    token      = secret.hook
    repository = "org/shop"
  }
}
`

// sink is a server that others are told events by.
type sink struct {
	*httptest.Server
	mu       sync.Mutex
	events   map[string][]int64 // numbers of the events heard, by path
	requests []string
	bodies   []string
	comments map[string]string         // by the request to merge
	trouble  func(r *http.Request) int // a status to answer with; 0 for none
}

func newSink(t *testing.T) *sink {
	s := &sink{events: map[string][]int64{}, comments: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/code/") {
			s.requests = append(s.requests, r.Method+" "+r.URL.Path)
			s.bodies = append(s.bodies, string(body))
			if _, at, ok := strings.Cut(r.URL.Path, "/issues/"); ok && r.Method == http.MethodPost {
				var doc struct{ Body string }
				_ = json.Unmarshal(body, &doc)
				s.comments[strings.TrimSuffix(at, "/comments")] = doc.Body
			}
			if r.Method == http.MethodGet {
				_, _ = io.WriteString(w, "[]")
			}
			return
		}
		if s.trouble != nil {
			if status := s.trouble(r); status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		var doc struct{ Sequence, Type string }
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Errorf("%s: %s", r.URL.Path, body)
			return
		}
		number, _ := strconv.ParseInt(doc.Sequence, 10, 64)
		s.events[r.URL.Path] = append(s.events[r.URL.Path], number)
		s.bodies = append(s.bodies, string(body))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) heard(path string) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events[path])
}

type deliveryList struct {
	Items []struct {
		ID                             int64
		Notify, Event, Status, Problem string
		Attempts                       int
	}
}

func newNotified(t *testing.T, s *sink) *project {
	t.Helper()
	p := newServed(t)
	p.env = append(p.env, "HOOK_SECRET=hook-secret-value")
	p.write("notify.tutti.hcl", strings.ReplaceAll(notified, "ADDRESS", s.URL))
	return p
}

// ready waits until a server follows the feed for all blocks: events behind that are
// told.
func (s *httpServer) ready(t *testing.T, sink *sink) {
	t.Helper()
	eventually(t, "the first event", func() bool {
		s.get(nil, 201, "POST", "/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": "x"}})
		return len(sink.heard("/ops")) > 0
	})
}

// TestNotifyJourney has a change of a commit told to all that are to hear of it.
func TestNotifyJourney(t *testing.T) {
	sink := newSink(t)
	p := newNotified(t, sink)
	s := p.server("-speculative-plans")
	s.ready(t, sink)
	var run servedRun
	const commit = "0123456789abcdef0123456789abcdef01234567"
	s.get(&run, 201, "POST", "/environments/default/stacks/site/changes", map[string]any{"kind": "plan", "source": map[string]any{"repository": "org/shop", "commit": commit, "pull_request": 7}})
	if status, _ := s.follow(run.ID, nil); status != "succeeded" {
		t.Fatal(status)
	}
	repository := "/code/repos/org/shop/"
	eventually(t, "the comment", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return slices.Contains(sink.requests, "POST "+repository+"issues/7/comments")
	})
	sink.mu.Lock()
	for i, request := range sink.requests {
		if i < len(sink.requests)-2 && request != "POST "+repository+"statuses/"+commit || i == len(sink.requests)-2 && request != "GET "+repository+"issues/7/comments" {
			t.Errorf("the host of code is told\n%s", strings.Join(sink.requests, "\n"))
		}
	}
	sink.mu.Unlock()
	sink.mu.Lock()
	all := strings.Join(sink.bodies, "\n")
	sink.mu.Unlock()
	for _, want := range []string{`"description":"1 to add, 0 to change, 0 to destroy"`, "| create | `terraform_data.page` |", "Run `" + run.ID, `"type":"dev.cdevents.pipelinerun.finished.0.2.0"`} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing of %s in\n%s", want, all)
		}
	}
	for _, secret := range []string{"correct-horse", "hook-secret-value"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is told", secret)
		}
	}
	// So is what the files of a client would change, where they are those of a request.
	c := s.client("TUTTI_COMMIT="+commit, "TUTTI_REPOSITORY=org/shop", "TUTTI_PULL_REQUEST=8")
	c.write("project.tutti.hcl", served)
	c.write("site/main.tf", servedSite+"resource \"terraform_data\" \"sent\" {}\n")
	c.mustRun("policy", "check", "-upload") // is told to nobody but who asks
	c.mustRun("plan", "-upload")
	var comment string // others are told at the same time: it need not be the last thing said
	eventually(t, "the comment on what was sent", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		comment = sink.comments["8"]
		return comment != ""
	})
	if !strings.Contains(comment, "### ✅ Tutti: 2 to add, 0 to change, 0 to destroy") || !strings.Contains(comment, "| create | `terraform_data.sent` |") {
		t.Errorf("the comment on what was sent is\n%s", comment)
	}
	var refused deliveryList
	s.get(&refused, 200, "GET", "/deliveries?notify=guarded&status=pending&limit=1", nil)
	eventually(t, "the refusal", func() bool {
		s.get(&refused, 200, "GET", "/deliveries?notify=guarded&status=pending", nil)
		last := len(refused.Items) - 1
		return last >= 0 && refused.Items[last].Attempts > 0 && strings.Contains(refused.Items[last].Problem, "not a public one")
	})
	s.get(nil, 409, "POST", fmt.Sprintf("/deliveries/%d/retry", refused.Items[0].ID), nil)
	s.get(nil, 404, "POST", "/deliveries/999999/retry", nil)
	out := p.mustRun("deliveries", "list", "-notify=guarded", "-status=pending")
	if !strings.Contains(out, "guarded") || !strings.Contains(out, "not a public one") {
		t.Errorf("the command lists\n%s", out)
	}
}

// TestNotifySurvivesKills kills the server again and again while its recipient fails
// now and then: every event is heard, in order, none is lost.
func TestNotifySurvivesKills(t *testing.T) {
	sink := newSink(t)
	random := rand.New(rand.NewPCG(1, 2)) // used under the sink's lock
	sink.trouble = func(r *http.Request) int {
		if r.URL.Path == "/ops" && random.IntN(12) == 0 {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	p := newNotified(t, sink)
	s := p.server()
	s.ready(t, sink)
	for round := range 5 {
		before := len(sink.heard("/ops"))
		for i := range 5 {
			s.get(nil, 201, "POST", "/runs", map[string]any{"workflow": "greet", "inputs": map[string]any{"name": fmt.Sprint(round, i)}})
		}
		if round%2 == 0 {
			eventually(t, "something more", func() bool { return len(sink.heard("/ops")) > before })
		}
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		s = p.server()
	}
	var want []int64
	eventually(t, "the end of all runs", func() bool {
		var list struct{ Items []servedRun } // in one look: between two a run may go from one status to the other
		s.get(&list, 200, "GET", "/runs?limit=500", nil)
		return !slices.ContainsFunc(list.Items, func(r servedRun) bool { return r.Status != "succeeded" })
	})
	var feed struct {
		Items []struct {
			Sequence int64
			Type     string
		}
		Next string
	}
	first := sink.heard("/ops")[0]
	for after := "0"; after != ""; after = feed.Next {
		feed.Items, feed.Next = nil, ""
		s.get(&feed, 200, "GET", "/events?limit=1000&after="+after, nil)
		for _, e := range feed.Items {
			if e.Sequence >= first && (e.Type == "run.started" || e.Type == "run.succeeded") {
				want = append(want, e.Sequence)
			}
		}
	}
	eventually(t, "the last event", func() bool {
		heard := sink.heard("/ops")
		return heard[len(heard)-1] >= want[len(want)-1]
	})
	heard := sink.heard("/ops")
	if !slices.IsSorted(heard) {
		t.Errorf("the events come out of order: %v", heard)
	}
	again := len(heard)
	heard = slices.Compact(heard)
	if !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
	t.Logf("%d events, %d heard twice", len(want), again-len(heard))
}

// TestServerGuardsRequests: steps that a server carries out reach no network that is
// not public, unless it is told so.
func TestServerGuardsRequests(t *testing.T) {
	sink := newSink(t)
	p := newServed(t)
	p.write("request.tutti.hcl", `workflow "request" {
  step "send" {
    http { url = "`+sink.URL+`/code/x" }
  }
}
`)
	ask := func(args ...string) (string, string) {
		s := p.server(args...)
		defer func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() }() // another one might carry out what comes next
		var run servedRun
		s.get(&run, 201, "POST", "/runs", map[string]any{"workflow": "request"})
		status, _ := s.follow(run.ID, nil)
		var steps struct {
			Items []struct{ Error struct{ Cause string } }
		}
		s.get(&steps, 200, "GET", "/runs/"+run.ID+"/steps", nil)
		return status, steps.Items[0].Error.Cause
	}
	if status, problem := ask(); status != "failed" || !strings.Contains(problem, "not a public one") || len(sink.requests) != 0 {
		t.Errorf("%s: %s", status, problem)
	}
	for _, allowed := range []string{"127.0.0.1", "all"} {
		if status, problem := ask("-allow-private-requests=" + allowed); status != "succeeded" {
			t.Errorf("-allow-private-requests=%s: %s: %s", allowed, status, problem)
		}
	}
	if out, code := p.run("server", "-allow-private-requests=here"); code != 1 || !strings.Contains(out, "is not a network") {
		t.Errorf("%d: %s", code, out)
	}
	if out := p.mustRun("run", "request"); !strings.Contains(out, "succeeded") {
		t.Errorf("the command says\n%s", out)
	}
}

// TestNotifySpeculative: a plan of files that somebody sent is told to hosts of code as
// one of the server's own files is, with policy and cost.
func TestNotifySpeculative(t *testing.T) {
	sink := newSink(t)
	p := newNotified(t, sink)
	p.write("policy.tutti.hcl", "policy \"quiet\" {\n  source      = \"./rules\"\n  enforcement = \"advisory\"\n}\n")
	p.write("rules/quiet.rego", "package main\ndeny contains sprintf(\"%s is loud\", [c.address]) if {\n  some c in input.resource_changes\n  c.change.after.input.text == \"LOUD\"\n}\ndeny contains \"a step of a run\" if input.tutti.run.parent != \"\"\n")
	p.write("prices/own.csv", "type,component,match,quantity,unit,price,currency\nterraform_data,text,input.text=LOUD,1,month,7,USD\nterraform_data,text,input.text!=LOUD,input.later,month,7,USD\n")
	s := p.server("-speculative-plans")
	s.ready(t, sink)
	c := s.client()
	const commit = "0123456789abcdef0123456789abcdef01234567"
	site := strings.Replace(servedSite, `"welcome"`, `"LOUD"`, 1) + "resource \"terraform_data\" \"other\" { input = { text = \"x\", later = terraform_data.page.id } }\n"
	told := func(request string) (text string) {
		t.Helper()
		eventually(t, "the comment on "+request, func() bool {
			sink.mu.Lock()
			defer sink.mu.Unlock()
			_, text, _ = strings.Cut(sink.comments[request], "| Stack |")
			return sink.comments[request] != ""
		})
		return text
	}
	c.fails("Which commit?", "plan", "-upload", "-pull-request=8")
	c.fails("is not the hash of a commit", "plan", "-upload", "-commit=main")
	c.fails("is not the path of a repository", "plan", "-upload", "-commit="+commit, "-repository=../x")
	p.fails("No server", "plan", "-commit="+commit)

	c.write("project.tutti.hcl", served)
	c.write("site/main.tf", site)
	c.mustRun("plan", "-upload", "-commit="+strings.ToUpper(commit), "-repository=org/shop", "-pull-request=8")
	speculative := told("8")
	for _, want := range []string{"| create | `terraform_data.page` |", "terraform_data.page is loud", "a step of a run", "+$7.00", "1 unknown"} {
		if !strings.Contains(speculative, want) {
			t.Errorf("no %q in %s", want, speculative)
		}
	}
	p.write("site/main.tf", site)
	c.env = append(c.env, "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=org/shop", "GITHUB_SHA="+commit)
	c.mustRun("plan", "-pull-request=9")
	if own := told("9"); own != speculative {
		t.Errorf("of the server's own files:\n%s\nof those sent:\n%s", own, speculative)
	}
}
