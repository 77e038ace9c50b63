package notify

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not as it was:\n%s", name, got)
	}
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func change(t testing.TB, address string, action plans.Action) *plans.Change {
	t.Helper()
	instance, err := addrs.ParseResourceInstance(address)
	if err != nil {
		t.Fatal(err)
	}
	return &plans.Change{Object: addrs.Object{Instance: instance}, Action: action}
}

// estimate prices a machine of which one is new, and something that nobody knows.
func estimate(t testing.TB, stack string) *cost.Estimate {
	t.Helper()
	rows, diags := cost.Defaults("aws")
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	const aws = "registry.terraform.io/hashicorp/aws"
	return cost.NewBook(nil, rows).Estimate([]cost.Instance{
		{Stack: stack, Address: "aws_instance.web", Type: "aws_instance", Provider: aws, Region: "us-east-1", Action: "create", After: cty.ObjectVal(map[string]cty.Value{"instance_type": cty.StringVal("t3.micro")})},
		{Stack: stack, Address: "aws_instance.big", Type: "aws_instance", Provider: aws, Region: "us-east-1", Action: "create", After: cty.ObjectVal(map[string]cty.Value{"instance_type": cty.UnknownVal(cty.String)})},
	}, nil)
}

// planned is what a run planned, with hostile texts wherever others write them.
func planned(t testing.TB) []PlannedStack {
	hostile := "</details>\n\n# owned `code` | cell <script>alert(1)</script> @org/team #1 \u202eevil [x](javascript:alert(1))"
	return []PlannedStack{
		{
			Stack: "network", Plan: &plans.Plan{Changes: []*plans.Change{change(t, "aws_vpc.main", plans.NoOp), change(t, "data.aws_region.here", plans.Read)}},
			Decision: &policy.Decision{Status: policy.Pass},
		},
		{
			Stack: "shop", Cost: estimate(t, "shop"),
			Plan: &plans.Plan{Changes: []*plans.Change{
				change(t, `aws_instance.web["a|b"]`, plans.Create), change(t, `aws_s3_bucket.b["`+"`</code>`"+`"]`, plans.Update),
				change(t, "aws_instance.old", plans.Delete), change(t, "aws_db_instance.db", plans.DeleteThenCreate),
			}},
			Decision: &policy.Decision{Status: policy.Deny, Findings: []policy.Finding{
				{Policy: "naming", Rule: "main.warn_names", Level: policy.Advisory, Status: policy.Warn, Message: hostile},
				{
					Policy: "guardrails", Rule: "main.deny_public", Level: policy.Mandatory, Status: policy.Deny, Severity: "high", Message: "aws_s3_bucket.b is open to everybody",
					Resource: "aws_s3_bucket.b", Attribute: "acl", Fix: "set acl to \"private\"", Source: &policy.Place{File: "shop/main.tf", Line: 12}, RuleAt: &policy.Place{File: "policy/s3.rego", Line: 3},
				},
				{Policy: "limits", Rule: "main.deny_size", Level: policy.SoftMandatory, Status: policy.Deny, Overridden: true, Message: "too big"},
				{Policy: "guardrails", Rule: "main.deny_zone", Level: policy.Mandatory, Status: policy.Unknown, Title: "Zones", Resource: "aws_instance.web", Attribute: "availability_zone"},
			}},
		},
	}
}

func planReport(t testing.TB) *report {
	return &report{
		run:    runs.Run{ID: "r1", Kind: runs.WorkflowKind, Blob: "definition/x", Summary: "plan shop", Key: states.Key{Environment: "prod"}},
		source: runs.Source{Repository: "org/shop", Commit: commit, PullRequest: 7}, status: runs.Succeeded, url: "https://tutti.example.com/runs/r1", stacks: planned(t),
	}
}

func TestComment(t *testing.T) {
	r := planReport(t)
	golden(t, "plan.md", r.comment("<!-- tutti abc -->", 65_000))
	if got, want := r.summary(), "2 to add, 1 to change, 2 to destroy; policy: 2 denied, 1 warned of, 1 not known yet; +$9.19, 1 unknown a month"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !r.failed() {
		t.Error("what is denied passes")
	}
	failed := &report{
		run:    runs.Run{ID: "r2", Kind: "apply", Key: states.Key{Stack: "shop", Environment: "prod"}, Problem: "no <b>quota</b>"},
		source: runs.Source{Commit: commit}, status: runs.Failed,
	}
	r = planReport(t)
	r.status, r.waits, r.stacks = runs.Running, true, r.stacks[:1]
	golden(t, "waits.md", r.comment("<!-- tutti abc -->", 65_000))
	if got, want := r.summary(), "waits for an approval; 0 to add, 0 to change, 0 to destroy"; got != want || r.failed() || !r.complete() {
		t.Errorf("%q, want %q", got, want)
	}
	golden(t, "failed.md", failed.comment("<!-- tutti abc -->", 65_000))
}

// TestCommentNotJudged: what could not be judged is not told as what no policy is for.
func TestCommentNotJudged(t *testing.T) {
	r := planReport(t)
	r.stacks = r.stacks[:1]
	if r.failed() {
		t.Fatal("a plan that passes failed")
	}
	r.stacks[0].Decision, r.stacks[0].Problem = nil, "Policy cannot be compiled: `x`\nis unsafe"
	text := r.comment("<!-- marker -->", 10_000)
	for _, want := range []string{"### ❌", "| `network` | 0 | 0 | 0 | not judged | – |", "The plan of `network` could not be judged: `Policy cannot be compiled: 'x' is unsafe`"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !r.failed() || !strings.Contains(r.summary(), "policy: not judged") {
		t.Errorf("failed: %v, summary: %s", r.failed(), r.summary())
	}
}

// TestCommentOutOfItself: however long and hostile a plan is, a comment fits, says
// what is left out, and is not broken out of.
func TestCommentOutOfItself(t *testing.T) {
	r := planReport(t)
	for i := range 5000 {
		r.stacks[1].Plan.Changes = append(r.stacks[1].Plan.Changes, change(t, fmt.Sprintf("aws_instance.many[%d]", i), plans.Create))
		r.stacks[1].Decision.Findings = append(r.stacks[1].Decision.Findings, policy.Finding{Policy: "p", Rule: "r", Level: policy.Mandatory, Status: policy.Deny, Message: strings.Repeat("long ", 100)})
	}
	for _, most := range []int{65_000, 5_000, 1_500} {
		text := r.comment("<!-- tutti abc -->", most)
		if len(text) > most || !strings.Contains(text, "5002 to add") {
			t.Errorf("%d bytes of %d", len(text), most)
		}
		if most > 2000 && (!strings.Contains(text, "more are left out here") || strings.Count(text, "<details>") != strings.Count(text, "</details>")) {
			t.Errorf("%d: %s", most, text)
		}
	}
}

// host is a host of code, as far as statuses and comments go.
type host struct {
	*httptest.Server
	kind projects.NotifyKind

	mu       sync.Mutex
	statuses []map[string]string
	comments []hostComment
	requests []string
	tokens   map[string]bool
	perPage  int
	fail     func(r *http.Request) (status int, header http.Header, body string) // 0: it does not
}

type hostComment struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
}

func newHost(t *testing.T, kind projects.NotifyKind) *host {
	h := &host{kind: kind, tokens: map[string]bool{}, perPage: 3}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := r.URL.EscapedPath()
	h.requests = append(h.requests, r.Method+" "+path)
	h.tokens[r.Header.Get("Authorization")+r.Header.Get("Private-Token")] = true
	if h.fail != nil {
		if status, header, body := h.fail(r); status != 0 {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return
		}
	}
	var sent map[string]string
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	status, list, one := "/repos/org/shop/statuses/"+commit, "/repos/org/shop/issues/7/comments", "/repos/org/shop/issues/comments/"
	if h.kind == projects.NotifyGitLab {
		status, list = "/projects/org%2Fshop/statuses/"+commit, "/projects/org%2Fshop/merge_requests/7/notes"
		one = list + "/"
	}
	update := map[projects.NotifyKind]string{projects.NotifyGitHub: "PATCH", projects.NotifyGitea: "PATCH", projects.NotifyGitLab: "PUT"}[h.kind]
	id, _ := strings.CutPrefix(path, one)
	switch {
	case r.Method == http.MethodPost && path == status:
		h.statuses = append(h.statuses, sent)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPost && path == list:
		h.comments = append(h.comments, hostComment{int64(len(h.comments) + 1), sent["body"]})
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && path == list:
		h.page(w, r)
	case r.Method == update && id != path:
		n, err := strconv.Atoi(id)
		if err != nil || n < 1 || n > len(h.comments) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		h.comments[n-1].Body = sent["body"]
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// page answers with a page of comments, and where the next one is.
func (h *host) page(w http.ResponseWriter, r *http.Request) {
	list, number := h.comments, 1
	if h.kind != projects.NotifyGitea {
		number, _ = strconv.Atoi(r.URL.Query().Get("page"))
		list = list[min(len(list), (number-1)*h.perPage):]
	}
	if h.kind != projects.NotifyGitea && len(list) > h.perPage {
		list = list[:h.perPage]
		query := r.URL.Query()
		query.Set("page", strconv.Itoa(number+1))
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next", <%s/last>; rel="last"`, h.URL, r.URL.EscapedPath(), query.Encode(), h.URL))
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (h *host) see() ([]map[string]string, []hostComment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.statuses), slices.Clone(h.comments)
}

// forgeWorld notifies a host. Runs that are called r1 have planned something.
func forgeWorld(t *testing.T, h *host) *world {
	t.Helper()
	w := newWorld(t)
	w.stop()
	w.n.Secret = func(context.Context, *projects.Notify, string) (string, error) { return "the-token", nil }
	w.n.PublicURL = "https://tutti.example.com"
	w.n.Plans = func(_ context.Context, run runs.Run) ([]PlannedStack, error) {
		if run.ID != "r1" {
			return nil, nil
		}
		return planned(t), nil
	}
	w.n.Fingerprint = func(of string, value []byte) (string, error) { return url.PathEscape(of + " " + string(value)), nil }
	w.begin(&projects.Notify{Name: "code", Kind: h.kind, API: h.URL, Token: secret("token"), Context: "tutti", Comment: true, AllowPrivate: here})
	return w
}

func (w *world) settled(count int) {
	w.t.Helper()
	w.until(func() bool {
		list := w.deliveries()
		return len(list) == count && !slices.ContainsFunc(list, func(d runs.Delivery) bool { return d.Status == runs.DeliveryPending })
	})
}

// TestForges: the status follows the run, and there is one comment, however often a
// request to merge is planned and however many others there are.
func TestForges(t *testing.T) {
	for kind, want := range map[projects.NotifyKind]struct{ states, token string }{
		projects.NotifyGitHub: {"pending failure pending success failure", "Bearer the-token"},
		projects.NotifyGitLab: {"running failed running success failed", "the-token"},
		projects.NotifyGitea:  {"pending failure pending success failure", "token the-token"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			h := newHost(t, kind)
			for i := range 7 {
				h.comments = append(h.comments, hostComment{int64(i + 1), "what somebody said, quoting <!-- tutti x -->"})
			}
			w := forgeWorld(t, h)
			source := &runs.Source{Repository: "org/shop", Commit: commit, PullRequest: 7, Host: string(kind)}
			w.started(runs.Run{ID: "r1", Kind: runs.WorkflowKind, Blob: "definition/x", Summary: "plan shop", Key: states.Key{Environment: "prod"}, Source: source})
			w.started(runs.Run{ID: "r2", Kind: runs.WorkflowKind, Blob: "definition/x", Summary: "plan shop", Key: states.Key{Environment: "prod"}, Source: source})
			w.started(runs.Run{ID: "child", Kind: "apply", Key: states.Key{Stack: "shop", Environment: "prod"}})
			w.record(events.Event{Type: "run.started", Subject: "r1"}, events.Event{Type: "run.started", Subject: "child"}, events.Event{Type: "resource.created", Subject: "r1"}, events.Event{Type: "run.succeeded", Subject: "r1"})
			w.settled(2)
			_, comments := h.see()
			if len(comments) != 8 || !strings.Contains(comments[7].Body, "2 to add, 1 to change, 2 to destroy") || !strings.HasPrefix(comments[7].Body, "<!-- tutti ") {
				t.Fatalf("%v", comments)
			}
			w.record(events.Event{Type: "run.started", Subject: "r2"}, events.Event{Type: "run.succeeded", Subject: "r2"})
			w.settled(4)
			// What an earlier push brought about takes longer, and says nothing any more.
			w.started(runs.Run{ID: "r0", Kind: runs.WorkflowKind, Blob: "definition/x", Summary: "plan shop", Key: states.Key{Environment: "prod"}, Source: source, Created: time.UnixMilli(1)})
			w.record(events.Event{Type: "run.failed", Subject: "r0"})
			w.settled(5)
			statuses, comments := h.see()
			if len(comments) != 8 || !strings.Contains(comments[7].Body, "### ✅ Tutti: Succeeded") {
				t.Errorf("%v", comments)
			}
			var states []string
			for _, s := range statuses {
				states = append(states, s["state"])
				if s["context"]+s["name"] != "tutti/prod/plan shop" || !strings.HasPrefix(s["target_url"], "https://tutti.example.com/runs/r") || s["description"] == "" {
					t.Errorf("%v", s)
				}
			}
			if got := strings.Join(states, " "); got != want.states {
				t.Errorf("the states are %s", got)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if len(h.tokens) != 1 || !h.tokens[want.token] {
				t.Errorf("the tokens are %v", h.tokens)
			}
		})
	}
}

// TestSubject: runs of the same have one comment, whatever started them.
func TestSubject(t *testing.T) {
	workflow := func(kind, summary string) runs.Run {
		return runs.Run{Kind: kind, Blob: "definition/x", Summary: summary, Key: states.Key{Environment: "prod"}}
	}
	for want, list := range map[string][]runs.Run{
		"prod/deploy": {
			workflow(runs.WorkflowKind, "workflow deploy"), workflow(runs.WorkflowKind, "workflow deploy for push of event 12"),
			workflow(runs.WorkflowKind, "workflow deploy, again after run x"),
		},
		"prod/plan shop":  {workflow(runs.WorkflowKind, "plan shop")},
		"prod/rollback":   {workflow(runs.WorkflowKind, "roll back run x")},
		"prod/apply":      {workflow("apply", "3 to add")},
		"prod/apply shop": {{Kind: "apply", Summary: "3 to add", Key: states.Key{Stack: "shop", Environment: "prod"}}},
		"default/destroy": {{Kind: "destroy", Key: states.Key{Environment: "default"}}},
	} {
		for _, run := range list {
			if got := (&report{run: run}).subject(); got != want {
				t.Errorf("%+v: %s, want %s", run, got, want)
			}
		}
	}
}

// TestForgeTroubles: limits are waited for, what is not there is not asked for again,
// what was told before is no mistake, and the token goes to nobody else.
func TestForgeTroubles(t *testing.T) {
	for name, c := range map[string]struct {
		kind     projects.NotifyKind
		fail     func(tries int, r *http.Request) (int, http.Header, string)
		status   runs.DeliveryStatus
		attempts int
		problem  string
	}{
		"secondary limit": {projects.NotifyGitHub, func(tries int, _ *http.Request) (int, http.Header, string) {
			if tries < 2 {
				return 403, http.Header{"Retry-After": {"0"}}, "limited"
			}
			return 0, nil, ""
		}, runs.DeliveryDelivered, 3, ""},
		"too many requests": {projects.NotifyGitLab, func(tries int, _ *http.Request) (int, http.Header, string) {
			if tries < 1 {
				return 429, nil, ""
			}
			return 0, nil, ""
		}, runs.DeliveryDelivered, 2, ""},
		"no such commit": {projects.NotifyGitHub, func(int, *http.Request) (int, http.Header, string) {
			return 422, nil, `{"message":"No commit found for SHA: the value of token"}`
		}, runs.DeliveryDead, 1, "setting the status of commit"},
		"told before": {projects.NotifyGitLab, func(_ int, r *http.Request) (int, http.Header, string) {
			if strings.Contains(r.URL.Path, "statuses") {
				return 400, nil, `{"message":"Cannot transition status via :run from :running"}`
			}
			return 0, nil, ""
		}, runs.DeliveryDelivered, 1, ""},
		"no rights": {projects.NotifyGitea, func(int, *http.Request) (int, http.Header, string) { return 404, nil, "" }, runs.DeliveryDead, 4, "404 Not Found"},
		"elsewhere": {projects.NotifyGitHub, func(_ int, r *http.Request) (int, http.Header, string) {
			if r.Method == http.MethodGet && r.URL.Query().Get("page") == "1" {
				return 200, http.Header{"Link": {`<https://evil.example.com/?page=2>; rel="next"`}}, "[]"
			}
			return 0, nil, ""
		}, runs.DeliveryDelivered, 1, ""},
		"no end": {projects.NotifyGitHub, func(_ int, r *http.Request) (int, http.Header, string) {
			if r.Method == http.MethodGet {
				return 200, http.Header{"Link": {`<?page=2>; rel="next"`}}, "[]"
			}
			return 0, nil, ""
		}, runs.DeliveryDead, 1, "too many comments"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, c.kind)
			tries := 0
			h.fail = func(r *http.Request) (int, http.Header, string) {
				tries++
				return c.fail(tries-1, r)
			}
			w := newWorld(t)
			w.stop()
			w.n.Schedule.Most = 4
			w.n.Secret = func(context.Context, *projects.Notify, string) (string, error) { return "the-token", nil }
			w.n.Fingerprint = func(string, []byte) (string, error) { return "f", nil }
			w.n.Plans = func(context.Context, runs.Run) ([]PlannedStack, error) { return nil, errors.New("it is gone") }
			w.begin(&projects.Notify{Name: "code", Kind: c.kind, API: h.URL, Token: secret("token"), Repository: "org/shop", Comment: true, AllowPrivate: here})
			w.started(runs.Run{ID: "r1", Kind: "apply", Status: runs.Failed, Source: &runs.Source{Commit: commit, PullRequest: 7}, Created: time.Unix(1, 0)})
			w.record(events.Event{Type: "run.failed", Subject: "r1"})
			w.settled(1)
			d := w.deliveries()[0]
			if d.Status != c.status || d.Attempts != c.attempts || !strings.Contains(d.Problem, c.problem) || strings.Contains(d.Problem, "the-token") {
				t.Errorf("%+v", d)
			}
			if _, comments := h.see(); c.status == runs.DeliveryDelivered && (len(comments) != 1 || !strings.Contains(comments[0].Body, "What it planned cannot be shown.")) {
				t.Errorf("%v", comments)
			}
		})
	}
}

// TestHostileSources are not of a commit or a repository, and lead nowhere.
func TestHostileSources(t *testing.T) {
	h := newHost(t, projects.NotifyGitHub)
	w := forgeWorld(t, h)
	for i, s := range []runs.Source{
		{Repository: "org/shop", Commit: "../../../user"}, {Repository: "org/shop", Commit: ""}, {Repository: "../admin", Commit: commit},
		{Repository: "org/shop/../../admin", Commit: commit}, {Repository: "org/shop?x=", Commit: commit}, {Commit: commit},
	} {
		id := fmt.Sprint("h", i)
		s.Host = "github"
		w.started(runs.Run{ID: id, Kind: "apply", Source: &s})
		w.record(events.Event{Type: "run.failed", Subject: id})
	}
	for _, host := range []string{"", "gitlab"} { // somebody claims it, or another host says so
		w.started(runs.Run{ID: "of" + host, Kind: "apply", Source: &runs.Source{Repository: "org/shop", Commit: commit, Host: host}})
		w.record(events.Event{Type: "run.failed", Subject: "of" + host})
	}
	w.started(runs.Run{ID: "good", Kind: "apply", Source: &runs.Source{Repository: "org/shop", Commit: commit, Host: "github"}})
	w.record(events.Event{Type: "run.failed", Subject: "good"})
	w.settled(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.requests) != 1 || h.requests[0] != "POST /repos/org/shop/statuses/"+commit {
		t.Errorf("%v", h.requests)
	}
}
