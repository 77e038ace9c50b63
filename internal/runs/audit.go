package runs

import (
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// reservedTypes begin the types of events that Tutti writes itself: a workflow
// that could emit one could pretend that somebody has approved something.
var reservedTypes = []string{"run", "resource", "approval", "signal", "state", "environment", "access", "token", "login", "override", "policy", "budget", "secret", "store", "trigger", "drift", "delivery"}

// reserved reports whether a type of events is one that only Tutti may write.
func reserved(eventType string) bool {
	first, _, _ := strings.Cut(eventType, ".")
	return slices.Contains(reservedTypes, strings.ToLower(strings.TrimSpace(first)))
}

// AuditEvent is an event about something that somebody did to a state, outside of
// runs: its ID and time are given by the store. Data must hold nothing sensitive.
func AuditEvent(key states.Key, kind, subject, actor string, data any) events.Event {
	e := events.Event{Source: sourceOf(key), Type: kind, Subject: subject, Actor: access.Subject(actor)}
	if data != nil {
		e.Data = encode(data)
	}
	return e
}

// decisionData is what is told of a decision about a step. What somebody wrote
// beside it is not: it may be anything.
type decisionData struct {
	Step   string   `json:"step"`
	Digest string   `json:"digest,omitempty"`
	Roles  []string `json:"roles,omitempty"`
}

type signalData struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
}

type cancelData struct {
	Abandoned bool `json:"abandoned,omitempty"` // nobody drove the run
}

// signalEvents is what the feed is told of a signal. Tokens are secrets of who
// was given them, and beats would drown all else.
func (r *Runner) signalEvents(run Run, s workflow.Signal) []events.Event {
	e := events.Event{Source: sourceOf(run.Key), Subject: run.ID, Actor: access.Subject(s.By), Time: s.Time}
	switch s.Kind {
	case workflow.SignalBeat:
		return nil
	case workflow.SignalApprove, workflow.SignalReject:
		d := workflow.ReadDecision(s.Data)
		e.Type = map[workflow.SignalKind]string{workflow.SignalApprove: "approval.approved", workflow.SignalReject: "approval.rejected"}[s.Kind]
		e.Data = encode(decisionData{Step: s.Name, Digest: d.Digest, Roles: d.Roles})
	case workflow.SignalEvent:
		e.Type, e.Data = "signal.received", encode(signalData{Kind: string(s.Kind), Name: s.Name})
	default:
		if s.Kind == workflow.SignalTake {
			// Workers call themselves what they like.
			e.Actor = access.Subject(r.Actor)
		}
		e.Type, e.Data = "signal.received", encode(signalData{Kind: string(s.Kind)})
	}
	return []events.Event{e}
}

// cancelEvent is what the feed is told of somebody asking a run to end.
func (r *Runner) cancelEvent(run Run, now time.Time, abandoned bool) events.Event {
	return events.Event{
		Source: sourceOf(run.Key), Type: "run.cancel_requested", Subject: run.ID, Time: now,
		Actor: access.Subject(r.Actor), Data: encode(cancelData{abandoned}),
	}
}
