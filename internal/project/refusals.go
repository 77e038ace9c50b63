package project

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

const (
	// refusalTime is how long refusals of the same are counted together.
	refusalTime = time.Hour
	// mostRefused bounds how many different things one actor is told to have been
	// refused in that time, mostRefusals how many all together. What comes on top
	// is counted as one.
	mostRefused  = 50
	mostRefusals = 1000
	// longestRefused bounds texts of clients in the feed.
	longestRefused = 200
)

// refusalStore is what is needed of the store.
type refusalStore interface {
	Cached(ctx context.Context, key string, now time.Time) (json.RawMessage, bool, error)
	Cache(ctx context.Context, key string, data json.RawMessage, sensitive bool, expires time.Time) error
	Record(ctx context.Context, list ...events.Event) error
}

// Refusal is something that somebody was not let do.
type Refusal struct {
	Kind    string // of event: access.denied, login.failed, token.refused
	Subject string
	actor   string // empty where nobody knows
	Data    RefusalData
}

// RefusalData is what the feed is told of it.
type RefusalData struct {
	Verb        access.Verb `json:"verb,omitempty"`
	Environment string      `json:"environment,omitempty"`
	Resource    string      `json:"resource,omitempty"`
	Route       string      `json:"route,omitempty"`   // command, or method and path of a request, or run
	Address     string      `json:"address,omitempty"` // that a request came from
	Reason      string      `json:"reason,omitempty"`
	Count       int         `json:"count"` // how often within the hour
}

// Refusals tell the feed of what was refused: the first time, the tenth, the
// hundredth, … within an hour, so that nobody who tries over and over can fill the
// store. Counts are kept, for the next process.
type Refusals struct {
	store refusalStore
	now   func() time.Time
	// each says to keep every count: the process ends soon.
	each bool

	mu   sync.Mutex
	list map[string]*refusalCount
	of   map[string]int // how many in list, by actor or address
}

type refusalCount struct {
	Count int       `json:"count"`
	Until time.Time `json:"until"`
	who   string    // in refusals.of
}

// NewRefusals tells of them in a store.
func NewRefusals(store refusalStore) *Refusals {
	return &Refusals{store: store, now: time.Now, list: map[string]*refusalCount{}, of: map[string]int{}}
}

// tell counts a refusal, and tells of it when it is its turn.
func (r *Refusals) tell(ctx context.Context, e Refusal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	key, c, err := r.count(ctx, &e, now)
	if err != nil {
		return err
	}
	c.Count++
	told := isPowerOfTen(c.Count)
	if told || r.each {
		kept, err := json.Marshal(c)
		if err == nil {
			err = r.store.Cache(ctx, key, kept, false, c.Until)
		}
		if err != nil {
			return err
		}
	}
	if !told {
		return nil
	}
	e.Data.Count = c.Count
	return r.store.Record(ctx, runs.AuditEvent(states.Key{Environment: e.Data.Environment}, e.Kind, e.Subject, e.actor, e.Data))
}

// count finds the count that a refusal belongs to.
func (r *Refusals) count(ctx context.Context, e *Refusal, now time.Time) (string, *refusalCount, error) {
	for _, text := range []*string{&e.Subject, &e.Data.Environment, &e.Data.Resource, &e.Data.Route, &e.Data.Reason} {
		*text = shortened(*text)
	}
	who := e.Kind + "\x00" + e.actor + "\x00" + e.Data.Address
	what := who + "\x00" + e.Subject
	if len(r.list) >= mostRefusals || r.of[who] >= mostRefused {
		r.forget(now)
	}
	if known := r.list[refusalKey(what)]; known == nil || !now.Before(known.Until) {
		// Who makes up names, or comes from everywhere, is not told of each.
		switch {
		case len(r.list) >= mostRefusals:
			who, what = e.Kind, e.Kind
			e.Subject, e.Data = "others", RefusalData{}
		case r.of[who] >= mostRefused:
			what = who
			e.Subject, e.Data = "others", RefusalData{Address: e.Data.Address}
		}
	}
	key := refusalKey(what)
	c := r.list[key]
	if c != nil && now.Before(c.Until) {
		return key, c, nil
	}
	isNew := c == nil
	c = &refusalCount{Until: now.Add(refusalTime), who: who}
	kept, known, err := r.store.Cached(ctx, key, now)
	if err != nil {
		return "", nil, err
	}
	if known {
		_ = json.Unmarshal(kept, c) // what cannot be read is counted anew
	}
	r.list[key] = c
	if isNew {
		r.of[who]++
	}
	return key, c, nil
}

// forget drops what is no longer counted.
func (r *Refusals) forget(now time.Time) {
	for key, c := range r.list {
		if now.Before(c.Until) {
			continue
		}
		delete(r.list, key)
		if r.of[c.who]--; r.of[c.who] <= 0 {
			delete(r.of, c.who)
		}
	}
}

func refusalKey(what string) string {
	sum := sha256.Sum256([]byte(what))
	return "refused/" + hex.EncodeToString(sum[:])
}

func isPowerOfTen(n int) bool {
	for ; n >= 10; n /= 10 {
		if n%10 != 0 {
			return false
		}
	}
	return n == 1
}

func shortened(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if r := []rune(text); len(r) > longestRefused {
		return string(r[:longestRefused]) + "…"
	}
	return text
}

// notAllowed is the refusal of something that the roles do not allow.
func notAllowed(who access.Identity, verb access.Verb, environment, resource, route string) Refusal {
	subject := string(verb) + ":" + environment
	if resource != "" {
		subject += "/" + resource
	}
	return Refusal{"access.denied", subject, who.Subject, RefusalData{Verb: verb, Environment: environment, Resource: resource, Route: route}}
}

// mostPending bounds what a command that ends keeps of what it was refused.
const mostPending = 100

// Refuse tells of something that somebody was not let do: at once where the program
// works for long, otherwise when the command has ended and has let go of the store.
func (s *Session) Refuse(e Refusal) {
	if e.Data.Route == "" {
		e.Data.Route = s.Command
	}
	if s.Refusals == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.pending) < mostPending {
			s.pending = append(s.pending, e)
		}
		return
	}
	if err := s.Refusals.tell(context.Background(), e); err != nil {
		s.Show(diag.Warningf("Cannot record a refusal", "%s.", err))
	}
}

// TellPending tells of what the command was refused.
func (s *Session) TellPending(ctx context.Context) {
	p, _ := Governing()
	i := &Identification{session: s, Project: p}
	if len(s.pending) == 0 || !i.hasStore() {
		return
	}
	err := i.inStore(ctx, func(store *sqlite.Store) error {
		r := NewRefusals(store)
		r.each = true
		for _, e := range s.pending {
			if err := r.tell(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Show(diag.Warningf("Cannot record a refusal", "%s.", err))
	}
}
