package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// StepData is what journal entries about steps carry: enough to tell what
// happened without the plan. It never holds values of objects.
type StepData struct {
	Operation string    `json:"operation,omitempty"` // create, update, delete, read, forget
	Address   string    `json:"address,omitempty"`
	Problems  []Problem `json:"problems,omitempty"`
	Step      string    `json:"step,omitempty"` // of a workflow: what has ended
	Error     string    `json:"error,omitempty"`
}

// Problem is an error kept in the journal.
type Problem struct {
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	Address string `json:"address,omitempty"`
}

// ReadStepData decodes the data of an entry about a step; empty where there is
// none or it is not readable.
func ReadStepData(e workflow.Entry) StepData {
	var d StepData
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &d) != nil {
		return StepData{}
	}
	return d
}

// startedData is what the entry that starts a run carries.
type startedData struct {
	Late     []byte          `json:"late,omitempty"`
	Decision json.RawMessage `json:"decision,omitempty"`
}

func startData(req Request) json.RawMessage {
	if len(req.Late) == 0 && len(req.Decision) == 0 {
		return nil
	}
	return encode(startedData{req.Late, req.Decision})
}

// decidedEvents tell what policy said about the plan.
func decidedEvents(run Run, now time.Time, decision json.RawMessage) []events.Event {
	var out []events.Event
	if len(decision) > 0 {
		data := encode(struct {
			Run      string          `json:"run"`
			Actor    string          `json:"actor"`
			Decision json.RawMessage `json:"decision"`
		}{run.ID, access.Subject(run.Actor), decision})
		out = append(out, events.Event{Source: sourceOf(run.Key), Type: "policy.decided", Subject: run.PlanHash, Actor: access.Subject(run.Actor), Time: now, Data: data})
	}
	return out
}

// Decision returns what the run was given as [Request.Decision]; nil where that
// was nothing.
func Decision(ctx context.Context, journal workflow.Journal, run string) (json.RawMessage, error) {
	d, err := started(ctx, journal, run)
	return d.Decision, err
}

// DecisionIn is [Decision] for entries that were read already.
func DecisionIn(entries []workflow.Entry) (json.RawMessage, error) {
	d, err := startedIn(entries)
	return d.Decision, err
}

// Late returns what the run was given as [Request.Late]; nil where that was
// nothing, or the run never began. Nothing has been done then, so that the values
// may be given as for a new run.
func Late(ctx context.Context, journal workflow.Journal, run string) ([]byte, error) {
	d, err := started(ctx, journal, run)
	return d.Late, err
}

func started(ctx context.Context, journal workflow.Journal, run string) (d startedData, err error) {
	entries, err := journal.Read(ctx, run, 0)
	if err == nil {
		d, err = startedIn(entries)
	}
	if err != nil {
		return d, fmt.Errorf("cannot read what run %s began with: %w", run, err)
	}
	return d, nil
}

func startedIn(entries []workflow.Entry) (d startedData, err error) {
	for _, e := range entries {
		if e.Kind == workflow.RunStarted && len(e.Data) > 0 {
			err = json.Unmarshal(e.Data, &d)
			return d, err
		}
	}
	return d, nil
}

// Diagnostics returns the problems as they were reported.
func (d StepData) Diagnostics() diag.List {
	var out diag.List
	for _, p := range d.Problems {
		out = append(out, diag.Diagnostic{Severity: diag.Error, Summary: p.Summary, Detail: p.Detail, Address: p.Address})
	}
	return out
}

func problemsOf(list diag.List) []Problem {
	var out []Problem
	for _, d := range list {
		if d.Severity != diag.Warning {
			out = append(out, Problem{Summary: d.Summary, Detail: d.Detail, Address: d.Address})
		}
	}
	return out
}

// encode marshals values of our own types, which cannot fail.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("runs: cannot encode %T: %s", v, err))
	}
	return b
}

// about returns the object an operation works on.
func about(plan *plans.Plan, op plans.Operation) addrs.Object {
	if op.Change < 0 || op.Change >= len(plan.Changes) {
		return addrs.Object{}
	}
	c := plan.Changes[op.Change]
	o := c.Object
	if op.Kind == plans.OpDelete && c.Action == plans.CreateThenDelete {
		o.Deposed = c.DestroyLegDeposed
	}
	return o
}

// causeOf is the reason given in the history of objects.
func causeOf(plan *plans.Plan, op plans.Operation) string {
	if op.Kind == plans.OpUpdate && op.Change >= 0 && plan.Changes[op.Change].Importing != nil {
		return "import"
	}
	return op.Kind.String()
}

type stepEventData struct {
	Run       string `json:"run"`
	Operation string `json:"operation"`
}

type runEventData struct {
	Kind    string `json:"kind"`
	Actor   string `json:"actor"`
	Plan    string `json:"plan"`
	Problem string `json:"problem,omitempty"`
}

// stepEvent is the event about an outcome, if it has one.
func stepEvent(run Run, now time.Time, address, operation string, out engine.Outcome) []events.Event {
	kind := out.Event
	switch {
	case out.Lost:
		kind = "resource.lost"
	case out.Diags.HasErrors():
		kind = "resource.failed"
	}
	if kind == "" {
		return nil
	}
	return []events.Event{{Source: sourceOf(run.Key), Type: kind, Subject: address, Actor: access.Subject(run.Actor), Time: now,
		Data: encode(stepEventData{run.ID, operation})}}
}

// runEvent is an event about the run itself.
func runEvent(run Run, now time.Time, kind string) events.Event {
	data := runEventData{run.Kind, access.Subject(run.Actor), run.PlanHash, run.Problem}
	return events.Event{Source: sourceOf(run.Key), Type: kind, Subject: run.ID, Actor: access.Subject(run.Actor), Time: now, Data: encode(data)}
}

// startEvents are the events of the entry that starts a run: that it did, and
// what led to it.
func startEvents(run Run, now time.Time, more []events.Event) []events.Event {
	out := []events.Event{runEvent(run, now, "run.started")}
	for _, e := range more {
		e.Source, e.Actor = sourceOf(run.Key), access.Subject(run.Actor)
		if e.Subject == "" {
			e.Subject = run.ID
		}
		if e.Time.IsZero() {
			e.Time = now
		}
		out = append(out, e)
	}
	return out
}

// eventID names the event of a journal entry.
func eventID(run string, sequence int64) string { return run + "-" + strconv.FormatInt(sequence, 10) }

// withIDs names the events of entries that follow each other.
func withIDs(run string, sequence int64, list ...events.Event) []events.Event {
	for i := range list {
		list[i].ID = eventID(run, sequence+int64(i))
	}
	return list
}

// withBatchIDs names events that are written together with entries of which the first
// has this number.
func withBatchIDs(run string, first int64, list []events.Event) []events.Event {
	for i := range list {
		list[i].ID = eventID(run, first)
		if i > 0 {
			list[i].ID += "." + strconv.Itoa(i)
		}
	}
	return list
}

const (
	// stateSource begins the sources of events about a state, and of runs that work there.
	stateSource = "/state/"
	// noStack stands for the stack of a state that belongs to none, as in the API.
	noStack = "-"
	// projectSource is the source of what is about no state: tokens, logins.
	projectSource = "/project"
)

// sourceOf is the source of events about a state: /state/STACK/ENVIRONMENT, a URI
// reference of which no segment is empty.
func sourceOf(key states.Key) string {
	switch {
	case key == states.Key{}:
		return projectSource
	case key.Stack == "":
		key.Stack = noStack
	}
	return stateSource + url.PathEscape(key.Stack) + "/" + url.PathEscape(key.Environment)
}

// StateOf is the state that an event of Tutti's own is about, or that the run works on
// which it is from; false where it is about none. Events of former versions have an
// empty segment where there is no stack.
func StateOf(e *events.Event) (states.Key, bool) {
	place, ok := strings.CutPrefix(e.Source, stateSource)
	if !ok {
		return states.Key{}, false
	}
	stack, environment, ok := cutLast(place, "/")
	if unescaped, err := url.PathUnescape(stack); err == nil {
		stack = unescaped
	}
	if unescaped, err := url.PathUnescape(environment); err == nil {
		environment = unescaped
	}
	if stack == noStack {
		stack = ""
	}
	return states.Key{Stack: stack, Environment: environment}, ok && environment != ""
}

// startProblem explains why a run could not start.
func startProblem(err error) diag.List {
	var stale *states.StaleError
	var claimed *states.ClaimError
	var locked *states.LockError
	switch {
	case errors.As(err, &stale):
		return diag.Errorf("Plan is out of date",
			"Objects have changed since the plan was made, so it no longer describes what would happen. Plan again.\n\n%s", upper(stale.Error()))
	case errors.As(err, &claimed):
		return diag.Errorf("Another run is changing the same objects",
			"%s. Wait for it to end and plan again. If its process has died, resume it with \"tutti resume %s\" or give it up with \"tutti cancel %s\".", upper(claimed.Error()), claimed.Run, claimed.Run)
	case errors.As(err, &locked):
		return diag.Errorf("State is locked",
			"Another tool is working on it: %s. Wait for it to end; if its process has died, \"tutti force-unlock %s\" takes the lock away.", strings.TrimPrefix(locked.Error(), "the state is locked: "), locked.Lock.ID)
	}
	return diag.Errorf("Cannot start the run", "%s.", upper(err.Error()))
}

// takeProblem explains why a run could not be taken over or found.
func takeProblem(id string, err error) diag.List {
	switch {
	case errors.Is(err, ErrNotFound):
		return diag.Errorf("No such run", "There is no run %q. \"tutti runs\" lists them.", id)
	case errors.Is(err, ErrHeld):
		return diag.Errorf("Run is being worked on", "Another process is working on run %s. Only a run whose process has ended can be resumed.", id)
	case errors.Is(err, ErrEnded):
		return diag.Errorf("Run has ended", "Run %s has ended: there is nothing to go on with.", id)
	}
	return diag.Errorf("Cannot take over run", "Run %s cannot be taken over: %s.", id, err)
}

func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
