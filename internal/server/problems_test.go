package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/server"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/states"
)

// seeing lets everybody look at everything and do nothing.
type seeing struct{ api.Work }

func (seeing) Sight(context.Context, access.Identity) (api.Sight, error) {
	return api.Sight{Audit: true, Place: func(string, string) bool { return true }, Somewhere: func(string) bool { return true }}, nil
}

func (seeing) Resources(context.Context, runs.Run) ([]string, error) { return nil, nil }

func (seeing) Authorize(context.Context, access.Identity, access.Verb, string, string) error {
	return api.ErrForbidden
}

func (seeing) AuthorizeRun(context.Context, access.Identity, access.Verb, runs.Run) error {
	return api.ErrForbidden
}

func (seeing) AuthorizeTrigger(context.Context, access.Identity, access.Verb, string) error {
	return api.ErrForbidden
}

func (seeing) Observe(context.Context, access.Identity, states.Key, bool) error {
	return api.ErrForbidden
}

func (seeing) Start(context.Context, access.Identity, api.Start) (runs.Run, error) {
	return runs.Run{}, api.ErrConflict
}

func (seeing) PushState(context.Context, access.Identity, states.Key, *states.State, string) error {
	return nil
}

// silent is a store that says nothing of runs that are open.
type silent struct{ *runstest.Store }

func (silent) Unended(context.Context) ([]runs.Run, error) { return nil, errors.New("disk full") }

// nothingSent is an outbox without deliveries.
type nothingSent struct{ runs.OutboxStore }

func (nothingSent) Deliveries(context.Context, runs.DeliveryQuery) ([]runs.Delivery, error) {
	return nil, nil
}

// refusing is a server that refuses what it can, and has a run "r".
func refusing(t *testing.T) (url string) {
	store := silent{runstest.NewStore()}
	if err := store.Enqueue(t.Context(), runs.NewRun{Run: runs.Run{ID: "r", Kind: runs.WorkflowKind, Status: runs.Pending, Created: time.Unix(1, 0), Blob: "definition/1"}}); err != nil {
		t.Fatal(err)
	}
	return served(t, &api.API{Store: store, Events: store, Outbox: nothingSent{}, Work: seeing{}})
}

// served is a server of an API, for whoever shows the token "secret".
func served(t *testing.T, a *api.API) (url string) {
	s := &server.Server{
		API: a, Log: slog.New(slog.DiscardHandler),
		Token: func(shown string) (access.Identity, error) {
			if shown != "secret" {
				return access.Identity{}, errors.New("it was revoked")
			}
			return access.Identity{Subject: "user:ann"}, nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// ask sends a request with a token; headers come in pairs.
func ask(t *testing.T, method, url, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, data
}

// TestErrorsAreProblems: whatever is wrong with a request, the answer is a problem of
// RFC 9457, and says which methods there are where it was the method.
func TestErrorsAreProblems(t *testing.T) {
	url := refusing(t)
	const document, form = "application/json", "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		allow              string
	}{
		"no such path":           {"GET", "/api/v1/nothing", "", nil, 404, ""},
		"no path at all":         {"GET", "/api", "", nil, 404, ""},
		"a path that goes on":    {"GET", "/api/v1/runs/", "", nil, 404, ""},
		"writing to no path":     {"PUT", "/api/v2/runs", "", nil, 404, ""},
		"no such file":           {"GET", "/assets/nothing.js", "", nil, 404, ""},
		"no such run":            {"GET", "/api/v1/runs/other", "", nil, 404, ""},
		"method of a list":       {"DELETE", "/api/v1/runs", "", nil, 405, "GET, HEAD, POST"},
		"method of a run":        {"PUT", "/api/v1/runs/r", "", nil, 405, "GET, HEAD"},
		"reading what is done":   {"GET", "/api/v1/runs/r/cancel", "", nil, 405, "POST"},
		"method of a stream":     {"POST", "/api/v1/events/stream", "{}", nil, 405, "GET, HEAD"},
		"method of the backend":  {"PATCH", "/api/v1/state/default/site", "", nil, 405, "GET, HEAD, POST, DELETE, LOCK, UNLOCK"},
		"method of the document": {"POST", "/api/v1/openapi.json", "", nil, 405, "GET, HEAD"},
		"an unknown method":      {"BREW", "/api/v1/runs", "", nil, 405, "GET, HEAD, POST"},
		"asking for methods":     {"OPTIONS", "/api/v1/runs", "", nil, 405, "GET, HEAD, POST"},
		"method of a page":       {"POST", "/runs", "", nil, 405, "GET, HEAD"},
		"method of a session":    {"DELETE", "/login", "", nil, 405, "GET, HEAD, POST"},
		"method of health":       {"POST", "/healthz", "", nil, 405, "GET, HEAD"},
		"method of metrics":      {"POST", "/metrics", "", nil, 405, "GET, HEAD"},

		"no token":              {"GET", "/api/v1/runs", "", []string{"Authorization", ""}, 401, ""},
		"a token that is none":  {"GET", "/api/v1/runs", "", []string{"Authorization", "Bearer other"}, 401, ""},
		"no token, nowhere":     {"GET", "/api/v1/nothing", "", []string{"Authorization", "Basic eDp5"}, 401, ""},
		"metrics without token": {"GET", "/metrics", "", []string{"Authorization", ""}, 401, ""},
		"a login that is none":  {"POST", "/login", "token=x", []string{"Content-Type", form}, 401, ""},
		"a login that is long":  {"POST", "/login", "token=" + strings.Repeat("x", 20<<10), []string{"Content-Type", form}, 413, ""},
		"not allowed":           {"POST", "/api/v1/runs/r/cancel", "", nil, 403, ""},
		"of another site":       {"POST", "/api/v1/runs/r/cancel", "", []string{"Origin", "https://elsewhere.example"}, 403, ""},
		"state of others":       {"GET", "/api/v1/state/default/site", "", nil, 403, ""},
		"not as things stand":   {"POST", "/api/v1/runs", `{"workflow":"w"}`, []string{"Content-Type", document}, 409, ""},
		"another host":          {"GET", "/api/v1/runs", "", []string{"Host", "elsewhere.example"}, 421, ""},

		"no body":                  {"POST", "/api/v1/runs", "", nil, 400, ""},
		"a body that is no JSON":   {"POST", "/api/v1/runs", "{nope", []string{"Content-Type", document}, 400, ""},
		"a body of another type":   {"POST", "/api/v1/runs", "workflow: w", []string{"Content-Type", "application/yaml"}, 415, ""},
		"a body of a form":         {"POST", "/api/v1/runs", "workflow=w", []string{"Content-Type", form}, 415, ""},
		"a body that is long":      {"POST", "/api/v1/runs", `{"workflow":"` + strings.Repeat("x", 1<<20) + `"}`, []string{"Content-Type", document}, 413, ""},
		"long, with a key":         {"POST", "/api/v1/runs", strings.Repeat(" ", 1<<20+1), []string{"Content-Type", document, "Idempotency-Key", "k"}, 413, ""},
		"a key that is long":       {"POST", "/api/v1/runs", "{}", []string{"Content-Type", document, "Idempotency-Key", strings.Repeat("k", 300)}, 400, ""},
		"a field that is none":     {"POST", "/api/v1/runs", `{"workflow":"w","colour":"red"}`, []string{"Content-Type", document}, 422, ""},
		"a field of no such type":  {"POST", "/api/v1/runs", `{"workflow":7}`, []string{"Content-Type", document}, 422, ""},
		"a parameter too large":    {"GET", "/api/v1/runs?limit=100000", "", nil, 422, ""},
		"a parameter that is none": {"GET", "/api/v1/runs?status=asleep", "", nil, 422, ""},
		"a cursor that is none":    {"GET", "/api/v1/runs?cursor=7", "", nil, 422, ""},
		"a number that is none":    {"GET", "/api/v1/events/x", "", nil, 422, ""},

		"a store that is silent": {"GET", "/api/v1/approvals", "", nil, 500, ""},
		"not ready":              {"GET", "/readyz", "", nil, 503, ""},
		"something went wrong":   {"GET", "/api/v1/workflows", "", nil, 500, ""}, // the fake has none of them
	} {
		t.Run(name, func(t *testing.T) {
			resp, data := ask(t, c.method, url+c.path, c.body, c.headers...) //nolint:bodyclose // ask reads and closes it
			if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow {
				t.Errorf("status %d, Allow %q; wanted were %d and %q\n%s", resp.StatusCode, resp.Header.Get("Allow"), c.status, c.allow, data)
			}
			var problem huma.ErrorModel
			err := json.Unmarshal(data, &problem)
			if resp.Header.Get("Content-Type") != "application/problem+json" || err != nil || problem.Status != c.status || problem.Title != http.StatusText(c.status) || problem.Detail == "" {
				t.Errorf("no problem: %q, %v\n%s", resp.Header.Get("Content-Type"), err, data)
			}
			if c.status == 401 && resp.Request.URL.Path != "/login" && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("WWW-Authenticate is %q", resp.Header.Get("WWW-Authenticate"))
			}
		})
	}
	if resp, _ := ask(t, "GET", url+"/stacks/site", ""); resp.StatusCode != http.StatusOK { //nolint:bodyclose // ask reads and closes it
		t.Errorf("a page of the UI: %s", resp.Status)
	}
}

// TestOptionalBodies asks for every operation that needs nothing of its body without one:
// all get as far as the question whether they are allowed.
func TestOptionalBodies(t *testing.T) {
	url := refusing(t)
	description := (&api.API{}).Register(http.NewServeMux())
	bodies, without := 0, 0
	for path, item := range description.Paths {
		for method, op := range map[string]*huma.Operation{http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete} {
			if op == nil {
				continue
			}
			without++
			if b := op.RequestBody; b != nil {
				document := b.Content["application/json"]
				if document == nil || document.Schema.Ref == "" {
					continue // files, and events of others
				}
				if len(description.Components.Schemas.SchemaFromRef(document.Schema.Ref).Required) > 0 {
					if !b.Required {
						t.Errorf("%s: its body may be left out although something of it is needed", op.OperationID)
					}
					continue
				}
				if bodies++; b.Required {
					t.Errorf("%s: its body is needed although nothing of it is", op.OperationID)
				}
			}
			want := http.StatusForbidden
			if op.OperationID == "retry-delivery" {
				want = http.StatusNotFound // before anything else, by the delivery
			}
			at := strings.NewReplacer("{run}", "r", "{sequence}", "1", "{event}", "1", "{delivery}", "1", "{trigger}", "t", "{environment}", "default", "{stack}", "site").Replace(path)
			if strings.Contains(at, "{") {
				t.Fatalf("no value for %s", path)
			}
			if resp, data := ask(t, method, url+at, ""); resp.StatusCode != want { //nolint:bodyclose // ask reads and closes it
				t.Errorf("%s %s without a body: %s\n%s", method, path, resp.Status, data)
			}
		}
	}
	if bodies < 3 || without < 5 {
		t.Errorf("%d operations with optional bodies and %d in all were found", bodies, without)
	}
}
