package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Sight is what somebody may read.
type Sight struct {
	// Place says so of a stack or a workflow in an environment, Somewhere of one in
	// any environment.
	Place     func(environment, resource string) bool
	Somewhere func(resource string) bool
	// Everything says that Place says so of every one: what many have in common need not
	// be looked at one by one.
	Everything bool
	// Audit says whether the whole feed may be read.
	Audit bool
}

// viewer is what one request may read. What it found out about runs is kept, for as
// long as the request takes.
type viewer struct {
	Sight
	a    *API
	runs map[string]bool
}

func (a *API) viewerFor(ctx context.Context, who access.Identity) (*viewer, error) {
	sight, err := a.Work.Sight(ctx, who)
	return &viewer{sight, a, map[string]bool{}}, err
}

type viewerKey struct{}

// viewer is the one of a request.
func (a *API) viewer(ctx context.Context) *viewer {
	v, _ := ctx.Value(viewerKey{}).(*viewer)
	if v == nil {
		never := func(string) bool { return false }
		v = &viewer{Sight{Place: func(string, string) bool { return false }, Somewhere: never}, a, map[string]bool{}}
	}
	return v
}

// run reports whether a run may be looked at: all that it works on.
func (v *viewer) run(ctx context.Context, run runs.Run) bool {
	if seen, known := v.runs[run.ID]; known {
		return seen
	}
	names, err := v.a.Work.Resources(ctx, run)
	seen := err == nil
	for _, name := range names {
		seen = seen && v.Place(run.Key.Environment, name)
	}
	v.runs[run.ID] = seen
	return seen
}

// runOf is run by id. A run that is not known is nobody's to look at.
func (v *viewer) runOf(ctx context.Context, id string) bool {
	if seen, known := v.runs[id]; known {
		return seen
	}
	run, err := v.a.Store.Run(ctx, id)
	return err == nil && v.run(ctx, run)
}

// event reports whether an event may be read: by whoever may read the whole feed, or
// may look at the run or the stack that it is about.
func (v *viewer) event(ctx context.Context, e *events.Event) bool {
	if v.Audit {
		return true
	}
	if run := runs.RunOf(e); run != "" {
		return v.runOf(ctx, run)
	}
	key, ok := runs.StateOf(e)
	return ok && key.Stack != "" && v.Place(key.Environment, key.Stack)
}

// guard asks for all operations, here and nowhere else, whether what the path names
// may be looked at. What may not be is not there. What lists hold is left to them.
func (a *API) guard(h huma.API) {
	h.UseMiddleware(func(c huma.Context, next func(huma.Context)) {
		ctx := c.Context()
		v, err := a.viewerFor(ctx, IdentityOf(ctx))
		if err != nil {
			_ = huma.WriteErr(h, c, http.StatusInternalServerError, "It cannot be told who may read what.", err)
			return
		}
		path := c.Operation().Path
		missing := ""
		switch {
		case strings.Contains(path, "{run}"):
			if id := c.Param("run"); !v.runOf(ctx, id) {
				missing = fmt.Sprintf("there is no run %q", id)
			}
		case strings.Contains(path, "{stack}"):
			in := StackPath{Environment: c.Param("environment"), Stack: c.Param("stack")}
			if key := in.key(); !v.Place(key.Environment, key.Stack) {
				missing = fmt.Sprintf("there is no stack %q in environment %q", in.Stack, in.Environment)
			}
		case strings.Contains(path, "{workflow}"):
			if name := c.Param("workflow"); !v.Somewhere(name) {
				missing = fmt.Sprintf("the project declares no workflow %q", name)
			}
		case strings.HasPrefix(path, Prefix+"/audit/") && !v.Audit:
			_ = huma.WriteErr(h, c, http.StatusForbidden, "Reading the whole feed needs the permission audit.")
			return
		}
		if missing != "" {
			_ = huma.WriteErr(h, c, http.StatusNotFound, missing)
			return
		}
		next(huma.WithValue(c, viewerKey{}, v))
	})
}

type againKey struct{}

// WithRecheck has a request's context find out anew who asks: streams live longer
// than tokens.
func WithRecheck(ctx context.Context, who func() (access.Identity, error)) context.Context {
	return context.WithValue(ctx, againKey{}, who)
}

// viewerAgain is the viewer of a stream as things stand now.
func (a *API) viewerAgain(ctx context.Context) (*viewer, error) {
	who := IdentityOf(ctx)
	if again, ok := ctx.Value(againKey{}).(func() (access.Identity, error)); ok {
		now, err := again()
		if err != nil {
			return nil, err
		}
		who = now
	}
	return a.viewerFor(ctx, who)
}
