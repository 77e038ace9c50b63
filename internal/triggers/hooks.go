package triggers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events/windows"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// CheckHooks tells what can be known to be wrong with the webhooks of a project
// before their secrets are read.
func CheckHooks(p *projects.Project) diag.List {
	var diags diag.List
	for _, name := range sortedKeys(p.Webhooks) {
		declared := p.Webhooks[name]
		c := hookConfig(declared)
		if !c.Open {
			c.Secrets = []string{"whsec_MDAwMDAwMDAwMDAw"} // as long as need be, and a key of all kinds
		}
		if _, err := webhooks.New(c); err != nil {
			rng := declared.DeclRange
			if !slices.Contains(webhooks.Kinds(), c.Kind) {
				rng = declared.Ranges["kind"]
			}
			diags = append(diags, diag.ErrorAt(rng, "Invalid webhook", "The webhook %q: %s.", name, err)...)
		}
		if env := declared.Environment; env != "" && len(p.Environments) > 0 && p.Environments[env] == nil {
			diags = append(diags, diag.ErrorAt(declared.Ranges["environment"], "No such environment", "This project has no environment %q, but %s.", env, strings.Join(sortedKeys(p.Environments), ", "))...)
		}
	}
	return diags
}

func hookConfig(w *projects.Webhook) webhooks.Config {
	return webhooks.Config{Kind: webhooks.Kind(w.Kind), Source: w.Source, Open: w.Open, Body: w.MaxBytes, Tolerance: w.Tolerance}
}

// Hooks answers the requests of the webhooks of a project: what is from whom it should
// be is an event, on disk before it is said to be accepted.
type Hooks struct {
	Store runs.EventStore
	// Secret reads a secret of the project in an environment; empty for the default
	// one.
	Secret func(ctx context.Context, s *projects.Secret, environment string) (string, error)
	// Now is the clock; nil means [time.Now].
	Now func() time.Time

	mu    sync.Mutex
	hooks map[string]*hook
}

const (
	// secretsFor is how long secrets are taken to be what they were, and doubtAfter
	// how long where a signature is not right by them: they may have been changed.
	secretsFor, doubtAfter = 5 * time.Minute, 10 * time.Second
	// bodyTimeout is how long a request may take to arrive.
	bodyTimeout = 30 * time.Second
)

// hookActor begins the name of whoever tells of what came by a webhook. Nobody else is
// called so.
const hookActor = "webhook:"

// defaultHookRate is how many requests a webhook takes unless it says otherwise.
var defaultHookRate = windows.Rate{Limit: 1000, Per: time.Second}

// hook is a webhook at work.
type hook struct {
	declared *projects.Webhook
	secrets  []*projects.Secret

	mu       sync.Mutex
	endpoint *webhooks.Endpoint // nil until the secrets were read
	read     time.Time
	tokens   float64 // how many requests may come now
	counted  time.Time
}

// Set has the webhooks of a project be those that are answered.
func (h *Hooks) Set(p *projects.Project) {
	hooks := map[string]*hook{}
	for name, declared := range p.Webhooks {
		one := &hook{declared: declared, tokens: math.Inf(1)}
		for _, r := range declared.Secrets {
			one.secrets = append(one.secrets, p.Secrets[r.Name])
		}
		hooks[name] = one
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks = hooks
}

// find is the webhook of a name; ready says whether the project is known already.
func (h *Hooks) find(name string) (k *hook, ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hooks[name], h.hooks != nil
}

func (h *Hooks) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// allow reports whether one more request may come now.
func (k *hook) allow(now time.Time) bool {
	rate := k.declared.Rate
	if rate.Limit == 0 {
		rate = defaultHookRate
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens = min(float64(rate.Limit), k.tokens+now.Sub(k.counted).Seconds()*float64(rate.Limit)/rate.Per.Seconds())
	k.counted = now
	if k.tokens < 1 {
		return false
	}
	k.tokens--
	return true
}

// endpointAt is the endpoint with the secrets as they are, or were a moment ago.
func (h *Hooks) endpointAt(ctx context.Context, k *hook, now time.Time, oldest time.Duration) (e *webhooks.Endpoint, read time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.endpoint != nil && (k.declared.Open || now.Sub(k.read) < oldest) {
		return k.endpoint, k.read, nil
	}
	c := hookConfig(k.declared)
	for _, s := range k.secrets {
		if s == nil {
			return nil, now, errors.New("a secret is not declared")
		}
		text, err := h.Secret(ctx, s, k.declared.Environment)
		if err != nil {
			return nil, now, fmt.Errorf("the secret %q cannot be read: %w", s.Name, err)
		}
		c.Secrets = append(c.Secrets, text)
	}
	if e, err = webhooks.New(c); err != nil {
		return nil, now, err
	}
	k.endpoint, k.read = e, now
	return e, now, nil
}

// ServeHTTP takes the request that somebody sends to the webhook named by the last
// part of the path. What is wrong with the project is told to nobody outside.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := h.now()
	k, ready := h.find(strings.TrimPrefix(r.URL.Path, projects.HooksPrefix))
	switch {
	case !ready:
		refuse(w, http.StatusServiceUnavailable, "The webhook is not ready.")
		return
	case k == nil:
		refuse(w, http.StatusNotFound, "There is no such webhook.")
		return
	case !k.allow(now):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "There are more requests than this webhook takes.")
		return
	}
	e, read, err := h.endpointAt(r.Context(), k, now, secretsFor)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "The webhook is not ready.")
		return
	}
	// Bodies that never come to their end must not be waited for.
	_ = http.NewResponseController(w).SetReadDeadline(now.Add(bodyTimeout))
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(e.Body)+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "The body did not arrive.")
		return
	}
	request := webhooks.Request{Method: r.Method, Header: r.Header, Body: body}
	d, rejection := e.Receive(request, now)
	if rejection != nil && rejection.Reason == webhooks.WrongSignature && now.Sub(read) >= doubtAfter {
		if e, _, err = h.endpointAt(r.Context(), k, now, doubtAfter); err == nil {
			d, rejection = e.Receive(request, now)
		}
	}
	if rejection != nil {
		if rejection.Reason == webhooks.WrongMethod {
			w.Header().Set("Allow", http.MethodPost)
		}
		refuse(w, rejection.Status(), rejection.Error())
		return
	}
	if d.Reply != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(d.Reply)
		return
	}
	h.accept(w, r, k, d)
}

// accept keeps the events of a request.
func (h *Hooks) accept(w http.ResponseWriter, r *http.Request, k *hook, d *webhooks.Delivery) {
	list := make([]runs.Inbound, len(d.Events))
	for i := range d.Events {
		one := &d.Events[i]
		if runs.Reserved(one.Type) {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("events of the type %q are Tutti's own", one.Type))
			return
		}
		digest := ""
		if kind := webhooks.Kind(k.declared.Kind); kind == webhooks.GitHub || kind == webhooks.Gitea {
			// The id is not signed, and what is signed has times in it.
			digest = k.declared.Name + " " + one.Digest
		}
		var err error
		if list[i], err = runs.InboundOf(one, hookActor+k.declared.Name, digest); err != nil {
			refuse(w, http.StatusBadRequest, "The event cannot be written down.")
			return
		}
	}
	accepted, err := h.Store.Accept(r.Context(), list)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, "The event cannot be kept at the moment.")
		return
	}
	duplicates := 0
	for _, a := range accepted {
		if a.Duplicate {
			duplicates++
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]int{"accepted": len(accepted) - duplicates, "duplicates": duplicates})
}

// refuse answers with a problem (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"title":`+strconv.Quote(http.StatusText(status))+`,"status":`+strconv.Itoa(status)+`,"detail":`+quoted(detail)+"}\n")
}

func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		return `""`
	}
	return string(data)
}
