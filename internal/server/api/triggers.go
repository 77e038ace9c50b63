package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

const tagTriggers = "Triggers"

// triggers registers what is about triggers, and about events from outside.
func (a *API) triggers(h huma.API) {
	huma.Register(h, operation("list-triggers", http.MethodGet, "/triggers", "List what starts workflows by itself", tagTriggers), a.listTriggers)
	huma.Register(h, operation("list-dead-letters", http.MethodGet, "/dead-letters", "List the events that triggers could do nothing about, newest first", tagTriggers), a.listDeadLetters)
	huma.Register(h, operation("retry-dead-letter", http.MethodPost, "/dead-letters/{trigger}/{event}/retry", "Have a trigger try an event again", tagTriggers), a.retryDeadLetter)
	huma.Register(h, operation("get-event", http.MethodGet, "/events/{sequence}", "Look at an event, and at what triggers did about it", tagEvents), a.getEvent)
	huma.Register(h, operation("replay-event", http.MethodPost, "/events/{sequence}/replay", "Give an event to triggers anew", tagEvents), a.replayEvent)

	accept := operation("accept-events", http.MethodPost, "/events", "Tell of an event: a CloudEvent, or a list of them", tagEvents)
	accept.DefaultStatus, accept.MaxBodyBytes = http.StatusAccepted, webhooks.DefaultBody
	huma.Register(h, accept, a.acceptEvents)
	// Any of the modes of CloudEvents is taken; a JSON document is what clients send.
	h.OpenAPI().Paths[accept.Path].Post.RequestBody.Content = map[string]*huma.MediaType{
		"application/json":             {Schema: &huma.Schema{Description: "An event in the JSON format of CloudEvents 1.0, or a list of them."}},
		"application/cloudevents+json": {Schema: &huma.Schema{Description: "An event in the JSON format of CloudEvents 1.0."}},
	}
}

// Trigger is what starts a workflow by itself.
type Trigger struct {
	Name        string      `json:"name"`
	Kind        string      `json:"kind" enum:"schedule,event"`
	Workflow    string      `json:"workflow"`
	Environment string      `json:"environment,omitempty" doc:"Where its runs work; none where the server's default holds."`
	Schedule    string      `json:"schedule,omitempty" doc:"Cron expression."`
	Timezone    string      `json:"timezone,omitempty"`
	On          string      `json:"on,omitempty" doc:"The pattern of its events, as it is written."`
	When        string      `json:"when,omitempty" doc:"What has to hold of them besides, as it is written."`
	Window      string      `json:"window,omitempty" doc:"How many of them in which time, as it is written."`
	Missed      string      `json:"missed,omitempty" doc:"What becomes of instants of its schedule that nobody saw to."`
	Overlap     string      `json:"overlap,omitempty" doc:"What becomes of an instant while the run of another goes on."`
	Next        []time.Time `json:"next,omitempty" doc:"The next instants of its schedule."`
	Last        []Fired     `json:"last,omitempty" doc:"What became of its last times, newest first."`
}

// Fired is a time at which a trigger was to start a run.
type Fired struct {
	Trigger  string    `json:"trigger"`
	At       time.Time `json:"at"`
	Event    int64     `json:"event,omitempty" doc:"Number of the event; none for a schedule."`
	Status   string    `json:"status" doc:"That of the run, or: due, queued, skipped, failed, dead, retried."`
	Run      string    `json:"run,omitempty"`
	Backfill bool      `json:"backfill,omitempty" doc:"Whether it was made up for: see docs/schedules.md."`
	Problem  string    `json:"problem,omitempty" doc:"Why there is no run."`
}

// EventDetails is an event with what came of it.
type EventDetails struct {
	Event    Event           `json:"event"`
	Accepted *time.Time      `json:"accepted,omitempty" doc:"When it came from outside; none for events of Tutti's own."`
	Extra    json.RawMessage `json:"attributes,omitempty" doc:"Further attributes of the CloudEvent."`
	Run      string          `json:"run,omitempty" doc:"The run that it is from or about."`
	Fired    []Fired         `json:"fired" nullable:"false" doc:"What triggers did about it."`
}

// EventAccepted is where an event from outside is in the feed.
type EventAccepted struct {
	Sequence  int64 `json:"sequence"`
	Duplicate bool  `json:"duplicate,omitempty" doc:"Whether it was accepted before: sequence is that of the first."`
}

// ReplayRequest says to which trigger an event is given anew.
type ReplayRequest struct {
	Trigger string `json:"trigger,omitempty" doc:"Only this one; all that it is for unless given."`
}

func (a *API) listTriggers(ctx context.Context, in *struct {
	Last int `query:"last" default:"10" minimum:"0" maximum:"1000" doc:"How many of the last times of each are told."`
},
) (*body[page[Trigger]], error) {
	list, err := a.Work.Triggers(ctx, in.Last)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Trigger]{Items: []Trigger{}}
	for _, t := range list {
		if !a.viewer(ctx).Somewhere(t.Workflow) {
			continue
		}
		for i := range t.Last {
			a.fill(ctx, &t.Last[i])
		}
		out.Items = append(out.Items, t)
	}
	return answer(out), nil
}

// fill gives what was started the status of its run.
func (a *API) fill(ctx context.Context, f *Fired) {
	if f.Run == "" || f.Status != string(runs.FireStarted) && f.Status != string(runs.FireEnded) {
		return
	}
	if run, err := a.Store.Run(ctx, f.Run); err == nil {
		f.Status = string(run.Status)
	}
}

// FiredOf is a firing as clients see it.
func FiredOf(f runs.Firing) Fired {
	out := Fired{Trigger: f.Trigger, At: f.At, Event: f.Event, Status: string(f.Status), Problem: f.Problem}
	if f.Status == runs.FiringStarted {
		out.Run = f.Run
	}
	return out
}

// triggersSeen are the triggers whose workflows may be looked at.
func (a *API) triggersSeen(ctx context.Context) (map[string]bool, error) {
	list, err := a.Work.Triggers(ctx, 0)
	out := map[string]bool{}
	for _, t := range list {
		out[t.Name] = a.viewer(ctx).Somewhere(t.Workflow)
	}
	return out, err
}

func (a *API) listDeadLetters(ctx context.Context, in *struct {
	Trigger string `query:"trigger" doc:"Only those of this trigger."`
	Before  int64  `query:"cursor" minimum:"0" doc:"Where the page before ended."`
	Limit   int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
},
) (*body[page[Fired]], error) {
	list, err := a.Events.Firings(ctx, runs.FiringQuery{Trigger: in.Trigger, Status: runs.FiringDead, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, problem(err)
	}
	if len(list) == 0 && in.Trigger != "" && a.viewer(ctx).Audit {
		if err := a.checkTrigger(ctx, in.Trigger); err != nil {
			return nil, problem(err)
		}
	}
	seen, err := a.triggersSeen(ctx)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Fired]{Items: []Fired{}}
	for _, f := range list {
		if !seen[f.Trigger] && !a.viewer(ctx).Audit {
			continue
		}
		out.Items = append(out.Items, FiredOf(f))
	}
	if len(list) == in.Limit {
		out.Next = strconv.FormatInt(list[len(list)-1].Event, 10)
	}
	return answer(out), nil
}

// checkTrigger says that the project declares no trigger of that name, and that none had
// one before; nil otherwise.
func (a *API) checkTrigger(ctx context.Context, name string) error {
	p, err := a.Work.Project(ctx)
	if err != nil || p.Triggers[name] != nil {
		return err
	}
	if before, err := a.Events.Firings(ctx, runs.FiringQuery{Trigger: name, Limit: 1}); err != nil || len(before) > 0 {
		return err
	}
	return undeclared("trigger", name, slices.Sorted(maps.Keys(p.Triggers))).Err()
}

func (a *API) retryDeadLetter(ctx context.Context, in *struct {
	Trigger string `path:"trigger" doc:"Name of the trigger."`
	Event   int64  `path:"event" doc:"Number of the event."`
},
) (*body[Fired], error) {
	if err := a.Work.AuthorizeTrigger(ctx, IdentityOf(ctx), access.Run, in.Trigger); err != nil {
		return nil, problem(err)
	}
	list, err := a.Events.Firings(ctx, runs.FiringQuery{Trigger: in.Trigger, Event: in.Event})
	if err != nil {
		return nil, problem(err)
	}
	if len(list) == 0 {
		return nil, problem(fmt.Errorf("%w: the trigger %q did nothing about event %d", ErrNotFound, in.Trigger, in.Event))
	}
	if err := a.Work.RetryFiring(ctx, IdentityOf(ctx), list[0], a.newID(ctx)); err != nil {
		return nil, problem(err)
	}
	if list, err = a.Events.Firings(ctx, runs.FiringQuery{Trigger: in.Trigger, Event: in.Event}); err != nil || len(list) == 0 {
		return nil, problem(errors.Join(err, ErrNotFound))
	}
	out := FiredOf(list[0])
	a.fill(ctx, &out)
	return answer(out), nil
}

// newID names what a request makes: the same where it is asked again.
func (a *API) newID(ctx context.Context) string {
	if id := runID(ctx); id != "" {
		return id
	}
	return uuid.NewString()
}

// EventPath names an event.
type EventPath struct {
	Sequence int64 `path:"sequence" minimum:"1" doc:"Where the event stands in the feed."`
}

// event is the event of a number.
func (a *API) event(ctx context.Context, sequence int64) (*runs.Fed, error) {
	list, err := a.Events.Fed(ctx, sequence-1, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].Sequence != sequence {
		return nil, fmt.Errorf("%w: the feed has no event %d", ErrNotFound, sequence)
	}
	return &list[0], nil
}

func (a *API) getEvent(ctx context.Context, in *EventPath) (*body[EventDetails], error) {
	e, err := a.event(ctx, in.Sequence)
	if err != nil {
		return nil, problem(err)
	}
	if !a.viewer(ctx).event(ctx, &e.Event) {
		return nil, problem(fmt.Errorf("%w: the feed has no event %d", ErrNotFound, in.Sequence))
	}
	fired, err := a.Events.Firings(ctx, runs.FiringQuery{Event: in.Sequence})
	if err != nil {
		return nil, problem(err)
	}
	out := EventDetails{Event: Event{
		Sequence: e.Sequence, ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Actor: e.Actor, Time: e.Time, Data: e.Data,
	}, Extra: e.Extra, Fired: []Fired{}}
	if e.Outside {
		out.Accepted = &e.At
	} else {
		out.Run = runs.RunOf(&e.Event)
	}
	for _, f := range fired {
		if f.Run != "" && !a.viewer(ctx).Audit && !a.viewer(ctx).runOf(ctx, f.Run) {
			continue
		}
		one := FiredOf(f)
		a.fill(ctx, &one)
		out.Fired = append(out.Fired, one)
	}
	return answer(out), nil
}

func (a *API) replayEvent(ctx context.Context, in *struct {
	EventPath
	Body *ReplayRequest
},
) (*body[EventAccepted], error) {
	who, trigger := IdentityOf(ctx), given(in.Body).Trigger
	if err := a.Work.AuthorizeTrigger(ctx, who, access.Run, trigger); err != nil {
		return nil, problem(err)
	}
	e, err := a.event(ctx, in.Sequence)
	if err != nil {
		return nil, problem(err)
	}
	sequence := e.Sequence
	if before, _, ok := runs.ReplayOf(e); ok {
		sequence = before
	}
	accepted, err := a.Events.Accept(ctx, []runs.Inbound{runs.NewReplay(sequence, trigger, a.newID(ctx), who.Subject, time.Now())})
	if err != nil {
		return nil, problem(err)
	}
	return answer(EventAccepted{Sequence: accepted[0].Sequence}), nil
}

// eventsBody is a request that tells of events, in any mode of CloudEvents.
type eventsBody struct {
	RawBody []byte
	header  http.Header
}

// Resolve implements [huma.Resolver]: the attributes of an event may be in headers.
func (b *eventsBody) Resolve(h huma.Context) []error {
	b.header = http.Header{}
	h.EachHeader(func(name, value string) { b.header.Add(name, value) })
	return nil
}

var _ huma.Resolver = (*eventsBody)(nil)

func (a *API) acceptEvents(ctx context.Context, in *eventsBody) (*body[page[EventAccepted]], error) {
	who := IdentityOf(ctx)
	if err := a.Work.Authorize(ctx, who, access.Signal, "", ""); err != nil {
		return nil, problem(err)
	}
	endpoint, err := webhooks.New(webhooks.Config{Kind: webhooks.CloudEvents, Source: Prefix + "/events", Open: true})
	if err != nil {
		return nil, problem(err)
	}
	d, rejection := endpoint.Receive(webhooks.Request{Method: http.MethodPost, Header: webhooks.Structured(in.header, in.RawBody), Body: in.RawBody}, time.Now())
	if rejection != nil {
		return nil, huma.NewError(rejection.Status(), rejection.Error())
	}
	list := make([]runs.Inbound, len(d.Events))
	for i := range d.Events {
		e := &d.Events[i]
		if runs.Reserved(e.Type) {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("events of the type %q are Tutti's own: nobody else may say that they have happened", e.Type))
		}
		if list[i], err = runs.InboundOf(e, who.Subject, ""); err != nil {
			return nil, problem(err)
		}
	}
	accepted, err := a.Events.Accept(ctx, list)
	if err != nil {
		return nil, problem(err)
	}
	out := page[EventAccepted]{Items: []EventAccepted{}}
	for _, one := range accepted {
		out.Items = append(out.Items, EventAccepted(one))
	}
	return answer(out), nil
}
