package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Prefix begins the paths of all operations.
const Prefix = "/api/v1"

// API answers requests.
type API struct {
	Store   runs.Store
	Events  runs.EventStore // the same store
	Runner  *runs.Runner
	Work    Work
	Outbox  runs.OutboxStore
	Version string // of the program
	Name    string // of the project
	// Changed returns a channel that is closed at the next change of the store,
	// whoever makes it.
	Changed func() <-chan struct{}
	// Stop, once closed, ends streams: the server goes down.
	Stop <-chan struct{}

	tail tail
	open openRuns
}

// collecting bounds how long the store is asked for what is not part of a request.
const collecting = 5 * time.Second

// Context is one for asking the store beside requests.
func (a *API) Context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), collecting)
}

// Register adds the operations of the API to a multiplexer and returns the
// document that describes them.
func (a *API) Register(mux *http.ServeMux) *huma.OpenAPI {
	config := huma.DefaultConfig("Tutti", a.Version)
	config.Info.Description = "Plans, runs, approvals and events of a Tutti server."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = Prefix+"/openapi", "", Prefix+"/schemas"
	config.CreateHooks = nil // answers hold no links to their schemas
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "A token of \"tutti token create\", or of an identity provider that the project names."},
	}
	config.Security = []map[string][]string{{"token": {}}}
	h := humago.New(mux, config)
	a.guard(h)
	a.runs(h)
	a.items(h)
	a.workflows(h)
	a.stacks(h)
	a.drift(h)
	a.feeds(h)
	a.triggers(h)
	a.audit(h)
	a.deliveries(h)
	return h.OpenAPI()
}

// operation is what all operations have in common.
func operation(id, method, path, summary, tag string) huma.Operation {
	op := huma.Operation{
		OperationID: id, Method: method, Path: Prefix + path, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: 1 << 20, Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
	}
	if method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusConflict, http.StatusUnprocessableEntity)
	}
	return op
}

// The errors of [Work] that choose the status of an answer.
var (
	ErrForbidden = errors.New("not allowed")
	ErrNotFound  = errors.New("not found")
	ErrConflict  = errors.New("not possible as things stand")
)

// problem is an error as a client is told it (RFC 9457).
func problem(err error) error {
	status := http.StatusInternalServerError
	list := diag.Of(err)
	switch {
	case errors.Is(err, ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(err, ErrNotFound), errors.Is(err, runs.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrConflict), errors.Is(err, runs.ErrEnded), errors.Is(err, runs.ErrHeld):
		status = http.StatusConflict
	case list.HasErrors():
		status = http.StatusUnprocessableEntity
	}
	if !list.HasErrors() {
		return huma.NewError(status, err.Error())
	}
	var details []error
	for _, d := range list.Sorted() {
		if d.Severity != diag.Error {
			continue
		}
		detail := &huma.ErrorDetail{Message: d.Summary + ": " + d.Detail}
		if d.Subject != nil {
			detail.Location = d.Subject.String()
		}
		details = append(details, detail)
	}
	return huma.NewError(status, list.Sorted()[0].Summary, details...)
}

// diagnosed is problem for diagnostics of the runner.
func diagnosed(diags diag.List) error {
	if !diags.HasErrors() {
		return nil
	}
	return problem(diags.Err())
}

type identityKey struct{}

// WithIdentity has a request's context know who asks.
func WithIdentity(ctx context.Context, who access.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// IdentityOf is who asks. Whoever is not known has no rights.
func IdentityOf(ctx context.Context) access.Identity {
	who, _ := ctx.Value(identityKey{}).(access.Identity)
	return who
}

type routeKey struct{}

// WithRoute has a request's context know what was asked for, as the feed names it.
func WithRoute(ctx context.Context, route string) context.Context {
	return context.WithValue(ctx, routeKey{}, route)
}

// RouteOf is what was asked for: method and path.
func RouteOf(ctx context.Context) string {
	route, _ := ctx.Value(routeKey{}).(string)
	return route
}

type runIDKey struct{}

// WithRunID has the run that a request starts named so.
func WithRunID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, runIDKey{}, id)
}

func runID(ctx context.Context) string {
	id, _ := ctx.Value(runIDKey{}).(string)
	return id
}

// startedBefore is the run that a request has started already, where the answer
// was lost.
func (a *API) startedBefore(ctx context.Context) (runs.Run, bool) {
	id := runID(ctx)
	if id == "" {
		return runs.Run{}, false
	}
	run, err := a.Store.Run(ctx, id)
	return run, err == nil
}

// body is an answer.
type body[T any] struct {
	Body T
}

// page is a part of a list. Next is what to give as cursor to have what follows;
// empty at the end.
type page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"The cursor of the next page; none at the end."`
}

func answer[T any](v T) *body[T] { return &body[T]{Body: v} }

// given is what a request came with that may come with nothing.
func given[T any](body *T) T {
	if body == nil {
		var nothing T
		return nothing
	}
	return *body
}
