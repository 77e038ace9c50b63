package project

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
)

// memoryRefusals is a store for refusals.
type memoryRefusals struct {
	kept   map[string]json.RawMessage
	events []events.Event
}

func (m *memoryRefusals) Cached(_ context.Context, key string, now time.Time) (json.RawMessage, bool, error) {
	var c refusalCount
	raw, ok := m.kept[key]
	if ok && json.Unmarshal(raw, &c) == nil && !now.Before(c.Until) {
		ok = false
	}
	return raw, ok, nil
}

func (m *memoryRefusals) Cache(_ context.Context, key string, data json.RawMessage, _ bool, _ time.Time) error {
	m.kept[key] = data
	return nil
}

func (m *memoryRefusals) Record(_ context.Context, list ...events.Event) error {
	m.events = append(m.events, list...)
	return nil
}

// tellingRefusals tells a store in memory of refusals, by a clock that the test moves.
func tellingRefusals(t *testing.T, now *time.Time) (*memoryRefusals, *Refusals, func(Refusal)) {
	m := &memoryRefusals{kept: map[string]json.RawMessage{}}
	r := NewRefusals(m)
	r.now = func() time.Time { return *now }
	return m, r, func(e Refusal) {
		t.Helper()
		if err := r.tell(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusalsAreBounded: whoever tries over and over, makes up names or comes from
// everywhere fills no store, and nobody's first attempt is lost because of that.
func TestRefusalsAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	m, r, tell := tellingRefusals(t, &now)
	ann, bob := access.Identity{Subject: "user:ann"}, access.Identity{Subject: "user:bob"}
	counts := func() (out []int) {
		for _, e := range m.events {
			var d RefusalData
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			out = append(out, d.Count)
		}
		m.events = nil
		return out
	}
	for range 5000 {
		tell(notAllowed(ann, access.Apply, "prod", "shop", "apply"))
	}
	if got := fmt.Sprint(counts()); got != "[1 10 100 1000]" {
		t.Errorf("of 5000 attempts these are told: %s", got)
	}
	tell(notAllowed(bob, access.Apply, "prod", "shop", "apply"))
	if len(m.events) != 1 || m.events[0].Actor != "user:bob" || m.events[0].Subject != "apply:prod/shop" || m.events[0].Type != "access.denied" {
		t.Errorf("another one's first attempt is told as %+v", m.events)
	}
	counts()
	for i := range 5000 {
		tell(notAllowed(ann, access.Apply, "prod", fmt.Sprint("made up ", i), "apply"))
	}
	if n := len(counts()); n > mostRefused+4 {
		t.Errorf("%d events are told of names that were made up", n)
	}
	for i := range 5000 {
		tell(Refusal{Kind: "login.failed", Subject: "identity.corp", Data: RefusalData{Address: fmt.Sprint(i), Reason: strings.Repeat("x", 10000)}})
	}
	for _, e := range m.events {
		if len(e.Data) > 1000 {
			t.Errorf("%d bytes are told", len(e.Data))
		}
	}
	if n := len(counts()); n > mostRefusals+4 {
		t.Errorf("%d events are told of logins from everywhere", n)
	}
	// An hour later it is told again, and a new process goes on counting.
	now = now.Add(refusalTime)
	tell(notAllowed(ann, access.Apply, "prod", "shop", "apply"))
	next := NewRefusals(m)
	next.now, next.each = r.now, true
	for range 9 {
		if err := next.tell(t.Context(), notAllowed(ann, access.Apply, "prod", "shop", "apply")); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(counts()); got != "[1 10]" {
		t.Errorf("an hour later these are told: %s", got)
	}
}

// TestRefusalsAreForgotten: what was refused an hour ago is in nobody's way and takes no
// room, also where something is refused all the time.
func TestRefusalsAreForgotten(t *testing.T) {
	now := time.Unix(1e9, 0)
	m, r, tell := tellingRefusals(t, &now)
	ann, bob := access.Identity{Subject: "user:ann"}, access.Identity{Subject: "user:bob"}
	for i := range 2 * mostRefused {
		tell(notAllowed(ann, access.Apply, "prod", fmt.Sprint("made up ", i), "apply"))
	}
	now = now.Add(refusalTime / 2)
	tell(notAllowed(bob, access.Apply, "prod", "shop", "apply"))
	now = now.Add(refusalTime / 2)
	m.events = nil
	tell(notAllowed(ann, access.Apply, "prod", "shop", "apply"))
	if len(m.events) != 1 || m.events[0].Subject != "apply:prod/shop" {
		t.Errorf("an hour later is told %+v", m.events)
	}
	for i := range 20 * mostRefusals {
		now = now.Add(refusalTime / (mostRefusals - 100))
		tell(Refusal{Kind: "login.failed", Subject: "identity.corp", Data: RefusalData{Address: fmt.Sprint(i)}})
	}
	if len(r.list) > mostRefusals+10 || len(r.of) > len(r.list) {
		t.Errorf("%d are kept, of %d", len(r.list), len(r.of))
	}
}
