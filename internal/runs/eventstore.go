package runs

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Cause is what started a run by itself: a trigger, for an event of the feed.
type Cause struct {
	Trigger string
	Event   int64 // its number in the feed; of several the last one
	// Depth is how many runs led to the event, each by an event of the one before; 0
	// where it came from outside.
	Depth int `json:",omitempty"`
}

// NewRun is a run of a machine that is made with what it begins with.
type NewRun struct {
	// Run has the status [Pending] where somebody else is to drive it. Where it has a
	// cause, the firing of that is started with it: it must be due.
	Run        Run
	Definition []byte // stored under Run.Blob
	Entries    []workflow.Entry
	Events     []events.Event
}

// Inbound is an event from outside.
type Inbound struct {
	events.Event
	// Extra are attributes that the feed has no place for, as a JSON object; nil for
	// none.
	Extra json.RawMessage
	// Digest tells the request apart where its sender did not sign the id: what has
	// been accepted once is not accepted with another id. Empty otherwise.
	Digest string
}

// Accepted is what became of an event from outside.
type Accepted struct {
	Sequence int64 // in the feed; of a duplicate, that of the first
	// Duplicate says that it was accepted before.
	Duplicate bool
}

// Fed is an event in its place in the feed, with what came with it.
type Fed struct {
	Sequence int64
	events.Event
	// Outside says that it was accepted from outside, and At when. At of others is
	// their time.
	Outside bool
	At      time.Time
	Extra   json.RawMessage // see Inbound
}

// encodedData is the name in Extra that says that the data are bytes in base64. It is
// the name of the data then.
const encodedData = "data_base64"

// JSON is the event in the JSON format of CloudEvents: what patterns are for.
func (f *Fed) JSON() ([]byte, error) {
	out := map[string]any{}
	if len(f.Extra) > 0 {
		if err := json.Unmarshal(f.Extra, &out); err != nil {
			return nil, err
		}
	}
	data := "data"
	if out[encodedData] != nil {
		data = encodedData
	}
	if delete(out, encodedData); f.Data != nil {
		out[data] = f.Data
	}
	out["specversion"], out["id"], out["source"], out["type"] = "1.0", f.ID, f.Source, f.Type
	out["time"] = f.Time.UTC().Format(time.RFC3339Nano)
	if f.Subject != "" {
		out["subject"] = f.Subject
	}
	if f.Actor != "" {
		out["actor"] = f.Actor
	}
	return json.Marshal(out)
}

// InboundOf is an event as somebody has sent it. Actor is on whose behalf it is
// accepted, Digest that of [Inbound].
func InboundOf(r *webhooks.Received, actor, digest string) (Inbound, error) {
	in := Inbound{Event: r.Event, Digest: digest}
	in.Actor = actor
	extra := map[string]any{}
	for name, value := range r.Extensions {
		extra[name] = value
	}
	if r.ContentType != "" {
		extra["datacontenttype"] = r.ContentType
	}
	if r.Base64 {
		extra[encodedData] = true
	}
	if len(extra) == 0 {
		return in, nil
	}
	var err error
	in.Extra, err = json.Marshal(extra)
	return in, err
}

// FiringStatus says what became of a firing.
type FiringStatus string

// What may become of a firing.
const (
	FiringDue     FiringStatus = "due"     // its run is to be made
	FiringStarted FiringStatus = "started" // its run was made
	FiringDead    FiringStatus = "dead"    // its run cannot be made: Problem says why
	FiringRetried FiringStatus = "retried" // it was dead, and its event was given to the trigger anew
)

// Firing is one time that a trigger fired, for one event or several. There is one at
// most for each trigger and event.
type Firing struct {
	Trigger    string
	Event      int64   // the number of the event it fired for; of several the last one
	Events     []int64 // of all, in order
	Key        string  `json:",omitempty"` // JSON; what the events have in common
	At         time.Time
	Depth      int          `json:",omitempty"` // the greatest of the events
	Suppressed int          `json:",omitempty"` // firings that were kept back since the last one
	Status     FiringStatus `json:"-"`
	Run        string       // the run that it starts
	Problem    string       `json:",omitempty"`
	// Unmatched says that it is dead because nobody can tell whether the event is for
	// the trigger: its condition or its key has no result.
	Unmatched bool `json:",omitempty"`
}

// FiringQuery says which firings are asked for; what is zero, any.
type FiringQuery struct {
	Trigger string
	Event   int64
	Status  FiringStatus
	// Before is the number of an event: only firings for earlier ones.
	Before int64
	Limit  int
}

// WindowState is what a trigger knows of the events that came.
type WindowState struct {
	Trigger string
	Rule    string // what the state belongs to: with another rule it begins anew
	// Since is the number of the last event that happened before the trigger was
	// known: that one and those before are not for it.
	Since int64
	State []byte
}

// Position is up to where the feed was looked at.
type Position struct {
	Sequence int64
	// Version tells positions apart that are the same in the feed.
	Version int64
}

// Progress is what follows from a part of the feed, or from time.
type Progress struct {
	From    Position
	To      int64 // the number of the last event that was looked at
	Firings []Firing
	Windows []WindowState // those that have changed
	Events  []events.Event
}

// EventStore keeps events from outside and what triggers do about all events.
type EventStore interface {
	// Accept puts events from outside into the feed, all or none. It is on disk when
	// it returns. An event is known by its source and its id.
	Accept(ctx context.Context, list []Inbound) ([]Accepted, error)
	// Fed reads the feed behind a number.
	Fed(ctx context.Context, after int64, limit int) ([]Fed, error)
	// Follow makes triggers known, by name and rule, forgets what others knew, and
	// returns what these know, by name, and up to where the feed was looked at: the
	// first time, the end.
	Follow(ctx context.Context, triggers []WindowState) (Position, []WindowState, error)
	// Advance writes what follows from a part of the feed and says that it was looked
	// at, all or none. It returns the new position, or false where somebody else has
	// done so meanwhile. A firing that there is already stays as it is.
	Advance(ctx context.Context, p Progress) (Position, bool, error)
	// Firings lists firings, the newest event first; those that are due, the oldest
	// first.
	Firings(ctx context.Context, q FiringQuery) ([]Firing, error)
	// RecordFiring changes the status of a firing, and its problem, where it is still
	// what the caller thinks it was; false where it is not, or there is none.
	RecordFiring(ctx context.Context, f Firing, was FiringStatus, told ...events.Event) (bool, error)
}

// ReplaySource is the source of events that say that an earlier one is to be given to
// triggers anew; Subject is the number of that one, and their data a [Replay].
const (
	ReplaySource = "/triggers"
	ReplayType   = "trigger.replayed"
)

// Replay says which trigger an earlier event is given to anew; empty for all.
type Replay struct {
	Trigger string `json:"trigger,omitempty"`
}

// ReplayOf is the number of the event that an event of the feed gives to triggers
// anew, and to which; false where it does not.
func ReplayOf(e *Fed) (sequence int64, to Replay, ok bool) {
	if !e.Outside || e.Source != ReplaySource || e.Type != ReplayType || json.Unmarshal(e.Data, &to) != nil {
		return 0, to, false
	}
	sequence, err := strconv.ParseInt(e.Subject, 10, 64)
	return sequence, to, err == nil
}

// NewReplay is the event that gives an earlier one to triggers anew. id names it:
// twice the same is once.
func NewReplay(sequence int64, trigger, id, actor string, now time.Time) Inbound {
	return Inbound{Event: events.Event{
		ID: id, Source: ReplaySource, Type: ReplayType, Subject: strconv.FormatInt(sequence, 10), Actor: actor, Time: now, Data: encode(Replay{trigger}),
	}}
}

// Reserved reports whether events of a type are Tutti's own: nobody else may say
// that they have happened.
func Reserved(eventType string) bool { return reserved(eventType) }

// RunOf is the run that an event of Tutti's own is from, or is about; empty for none.
func RunOf(e *events.Event) string {
	switch first, _, _ := strings.Cut(e.Type, "."); first {
	case "run", "approval", "signal":
		return e.Subject
	}
	if !strings.HasPrefix(e.Source, stateSource) {
		return ""
	}
	run, entry, _ := cutLast(e.ID, "-")
	if strings.Trim(entry, "0123456789.") != "" || entry == "" {
		return ""
	}
	return run
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// DepthOf is how many runs led to what a run does, that one included: each was started
// by an event of the one before. A run that is a step counts as the run it is a step of.
func DepthOf(ctx context.Context, store Store, id string) (int, error) {
	run, err := RootOf(ctx, store, id)
	switch {
	case err != nil:
		return 0, err
	case run.Cause != nil:
		return run.Cause.Depth + 1, nil
	case run.Parent != "":
		return maxNesting, nil
	}
	return 1, nil
}

// RootOf is the run that a run belongs to as a step, or the step of a step: itself where
// it is none, or where it has a cause of its own.
func RootOf(ctx context.Context, store Store, id string) (Run, error) {
	run, err := store.Run(ctx, id)
	for depth := 0; err == nil && run.Cause == nil && run.Parent != "" && depth < maxNesting; depth++ {
		run, err = store.Run(ctx, run.Parent)
	}
	return run, err
}

// maxNesting is how deep runs are steps of others at most.
const maxNesting = 100

// ErrRemembered says that somebody else has told of what a source has seen meanwhile.
var ErrRemembered = errors.New("another process watches the same source")

// SourceStore keeps what sources of events have told of: see the package
// internal/triggers/sources.
type SourceStore interface {
	EventStore
	// Remember puts events into the feed as Accept does, and writes down what their
	// source has to remember, all or none. It returns [ErrRemembered] where that is not
	// before any more; nil stands for nothing.
	Remember(ctx context.Context, source string, list []Inbound, before, after []byte) error
	// Memory is what a source has to remember; nil for nothing.
	Memory(ctx context.Context, source string) ([]byte, error)
}
