package server_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/server"
	"github.com/tutti-dev/tutti/internal/server/api"
)

// gate is what a server knows of whoever asks, which may change.
type gate struct {
	api.Work
	mu     sync.Mutex
	tokens map[string]access.Identity
	audit  map[string]bool // who may read the whole feed
	next   chan struct{}   // closed at the next event
}

func (g *gate) Sight(_ context.Context, who access.Identity) (api.Sight, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return api.Sight{Audit: g.audit[who.Subject], Place: func(string, string) bool { return false }}, nil
}

func (g *gate) token(shown string) (access.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who, ok := g.tokens[shown]
	if !ok {
		return who, errors.New("it was revoked")
	}
	return who, nil
}

func (g *gate) changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next
}

func (g *gate) set(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

// listening is somebody who hears a stream of events.
type listening struct {
	g     *gate
	store *runstest.Store
	heard chan string   // subjects of events
	over  chan struct{} // closed when the stream ends
}

// happens puts an event into the feed and lets everybody find it.
func (l *listening) happens(t *testing.T, subject string) {
	t.Helper()
	if err := l.store.Record(t.Context(), events.Event{Source: "/test", Type: "test", Subject: subject}); err != nil {
		t.Fatal(err)
	}
	l.g.set(func() {
		close(l.g.next)
		l.g.next = make(chan struct{})
	})
	synctest.Wait()
}

func (l *listening) got() string {
	select {
	case subject := <-l.heard:
		return subject
	default:
		return ""
	}
}

func (l *listening) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// listen has ann hear the feed with a token until the test ends.
func listen(t *testing.T) (l *listening, stop func()) {
	g := &gate{tokens: map[string]access.Identity{"secret": {Subject: "user:ann"}, "other": {Subject: "user:ann"}}, audit: map[string]bool{"user:ann": true}, next: make(chan struct{})}
	l = &listening{g: g, store: runstest.NewStore(), heard: make(chan string, 100), over: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	at := &pipes{make(chan net.Conn), make(chan struct{})}
	s := &server.Server{
		API: &api.API{Store: l.store, Events: l.store, Work: g, Changed: g.changed, Stop: ctx.Done()}, Log: slog.New(slog.DiscardHandler), Token: g.token,
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, at, nil) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return at.dial(), nil }, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/api/v1/events/stream?after=-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := client.Do(req) //nolint:bodyclose // stop does
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	go func() {
		defer close(l.over)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if _, rest, ok := strings.Cut(lines.Text(), `"subject":"`); ok {
				subject, _, _ := strings.Cut(rest, `"`)
				l.heard <- subject
			}
		}
	}()
	synctest.Wait()
	return l, func() {
		cancel()
		_ = resp.Body.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// TestStreamsAskAgain: a stream tells no more than who hears it may read now, and ends
// when their token does not hold any more, at the latest with the next sign of life.
func TestStreamsAskAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(g *gate)
		told   string // of what happens after it
		ends   bool
	}{
		"nothing changes":          {func(*gate) {}, "second", false},
		"the token is revoked":     {func(g *gate) { delete(g.tokens, "secret") }, "", true},
		"a grant is taken away":    {func(g *gate) { delete(g.audit, "user:ann") }, "", false},
		"the token is of another":  {func(g *gate) { g.tokens["secret"] = access.Identity{Subject: "user:bob"} }, "", false},
		"another token is revoked": {func(g *gate) { delete(g.tokens, "other") }, "second", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, stop := listen(t)
				defer stop()
				l.happens(t, "first")
				if got := l.got(); got != "first" {
					t.Fatalf("heard was %q", got)
				}
				l.g.set(func() { c.change(l.g) })
				l.happens(t, "second")
				if got := l.got(); got != c.told || l.ended() != c.ends {
					t.Errorf("with the next event: heard was %q, and it has ended: %t", got, l.ended())
				}
			})
			synctest.Test(t, func(t *testing.T) {
				l, stop := listen(t)
				defer stop()
				l.g.set(func() { c.change(l.g) })
				time.Sleep(time.Minute)
				if l.ended() != c.ends {
					t.Errorf("where nothing happens it has ended: %t", l.ended())
				}
			})
		})
	}
}
