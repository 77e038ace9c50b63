package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
)

// deliveries registers what is about telling events to others.
func (a *API) deliveries(h huma.API) {
	huma.Register(h, operation("list-deliveries", http.MethodGet, "/deliveries", "List what was told to others, or is to be, newest first", tagEvents), a.listDeliveries)
	huma.Register(h, operation("retry-delivery", http.MethodPost, "/deliveries/{delivery}/retry", "Send a dead delivery again", tagEvents), a.retryDelivery)
}

// Delivery is an event on its way to what a notify block names.
type Delivery struct {
	ID       int64      `json:"id" doc:"Grows with the order of the events."`
	Notify   string     `json:"notify" doc:"Name of the notify block."`
	Sequence int64      `json:"sequence" doc:"Of the event, in the feed."`
	Event    string     `json:"event" doc:"Id of the event; by it the recipient knows it again."`
	Type     string     `json:"type" doc:"Type of the event."`
	Status   string     `json:"status" enum:"pending,delivered,dead" doc:"What is dead is sent no more, unless it is asked for."`
	Attempts int        `json:"attempts"`
	Queued   time.Time  `json:"queued"`
	Next     *time.Time `json:"next,omitempty" doc:"When it is sent again."`
	Ended    *time.Time `json:"ended,omitempty"`
	Problem  string     `json:"problem,omitempty" doc:"Why the last attempt failed."`
}

// DeliveryOf describes a delivery for clients.
func DeliveryOf(d runs.Delivery) Delivery {
	return Delivery{
		ID: d.ID, Notify: d.Notify, Sequence: d.Sequence, Event: d.Event, Type: d.Type, Status: string(d.Status), Attempts: d.Attempts,
		Queued: d.Queued, Next: timeOf(d.Next), Ended: timeOf(d.Ended), Problem: d.Problem,
	}
}

func (a *API) listDeliveries(ctx context.Context, in *struct {
	Notify string `query:"notify" doc:"Only those of this notify block."`
	Status string `query:"status" enum:"pending,delivered,dead" doc:"Only those that stand so."`
	Cursor string `query:"cursor" pattern:"^[0-9]*$" doc:"What the page before gave as next."`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
},
) (*body[page[Delivery]], error) {
	q := runs.DeliveryQuery{Notify: in.Notify, Status: runs.DeliveryStatus(in.Status), Limit: in.Limit + 1}
	if in.Cursor != "" {
		var err error
		if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil {
			return nil, huma.Error422UnprocessableEntity("the cursor is none")
		}
	}
	list, err := a.Outbox.Deliveries(ctx, q)
	if err != nil {
		return nil, problem(err)
	}
	if len(list) == 0 && in.Notify != "" && a.viewer(ctx).Audit { // of whoever sees no more than some, nothing is told
		p, err := a.Work.Project(ctx)
		if err == nil {
			err = CheckNotify(ctx, a.Outbox, p, in.Notify)
		}
		if err != nil {
			return nil, problem(err)
		}
	}
	out := page[Delivery]{Items: []Delivery{}}
	for i, d := range list {
		if i == in.Limit {
			out.Next = strconv.FormatInt(list[in.Limit-1].ID, 10)
			break
		}
		if v := a.viewer(ctx); !v.Audit {
			if e, err := a.event(ctx, d.Sequence); err != nil || !v.event(ctx, &e.Event) {
				continue
			}
		}
		out.Items = append(out.Items, DeliveryOf(d))
	}
	return answer(out), nil
}

// Deliveries is what is needed of a store to look whether a notify block ever told anything.
type Deliveries interface {
	Deliveries(ctx context.Context, q runs.DeliveryQuery) ([]runs.Delivery, error)
}

// CheckNotify says that a project declares no notify block of that name, and none told
// anything before; nil otherwise.
func CheckNotify(ctx context.Context, told Deliveries, p *projects.Project, name string) error {
	if p.Notifies[name] != nil {
		return nil
	}
	if before, err := told.Deliveries(ctx, runs.DeliveryQuery{Notify: name, Limit: 1}); err != nil || len(before) > 0 {
		return err
	}
	return undeclared("notify block", name, slices.Sorted(maps.Keys(p.Notifies))).Err()
}

// undeclared says that a project does not declare something, and what it declares.
func undeclared(what, name string, declared []string) diag.List {
	if len(declared) == 0 {
		return diag.Errorf("No such "+what, "This project declares no %s %q, nor any other.", what, name)
	}
	return diag.Errorf("No such "+what, "This project declares no %s %q. Declared are: %s.", what, name, strings.Join(declared, ", "))
}

func (a *API) retryDelivery(ctx context.Context, in *struct {
	Delivery int64 `path:"delivery" doc:"Id of the delivery."`
},
) (*body[Delivery], error) {
	who := IdentityOf(ctx)
	list, err := a.Outbox.Deliveries(ctx, runs.DeliveryQuery{Before: in.Delivery + 1, Limit: 1})
	if err != nil {
		return nil, problem(err)
	}
	if len(list) == 0 || list[0].ID != in.Delivery {
		return nil, huma.Error404NotFound(runs.ErrNoDelivery.Error())
	}
	if err := a.Work.AuthorizeNotify(ctx, who, access.Signal, list[0].Notify); err != nil {
		return nil, problem(err)
	}
	d, err := a.Outbox.RetryDelivery(ctx, in.Delivery, time.Now(), runs.RetriedDelivery(list[0], who.Subject))
	if errors.Is(err, runs.ErrNotDead) || errors.Is(err, runs.ErrNoDelivery) {
		return nil, huma.Error409Conflict(err.Error())
	}
	if err != nil {
		return nil, problem(err)
	}
	return answer(DeliveryOf(d)), nil
}
