package cli

import (
	"context"
	"io"
	"slices"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/events"
)

// eventsAtOnce is how many events a server is asked for at a time.
const eventsAtOnce = 1000

// eventsThere is findEvents for the server: of its feed, what whoever asks may read.
func (a *App) eventsThere(ctx context.Context, e *eventFilter) ([]events.Link, error) {
	q := e.query()
	query := client.ListEventsQuery{Since: q.Since, Type: q.Type, Subject: q.Subject, Newest: q.Newest, Limit: eventsAtOnce}
	if e.limit > 0 {
		query.Limit = int64(min(e.limit, eventsAtOnce))
	}
	list := []events.Link{}
	for {
		page, err := a.remote.ListEvents(ctx, query)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			list = append(list, linkFromThere(&page.Items[i]))
		}
		if page.Next == "" || len(page.Items) == 0 || e.limit > 0 && len(list) >= e.limit {
			break
		}
		if last := list[len(list)-1].Sequence; q.Newest {
			query.Before = last
		} else {
			query.After = last
		}
	}
	if q.Newest {
		list = list[:min(len(list), e.limit)]
		slices.Reverse(list)
	}
	return list, nil
}

func linkFromThere(e *client.Event) events.Link {
	l := events.Link{Sequence: e.Sequence, Event: events.Event{ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Actor: e.Actor, Time: e.Time, Data: e.Data}}
	// What is no hash stays empty, as it does in the store.
	if h, err := events.ParseHash(e.PreviousHash); err == nil {
		l.Previous = h
	}
	if h, err := events.ParseHash(e.Hash); err == nil {
		l.Hash = h
	}
	return l
}

// exportEventsThere prints all events of the server, as they arrive.
func (a *App) exportEventsThere(ctx context.Context, after int64) int {
	feed, err := a.remote.ExportAudit(ctx, client.ExportAuditQuery{After: after})
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	defer feed.Close()
	if _, err := io.Copy(a.Out, feed); err != nil {
		return a.failf("Cannot export the events", "Not all have arrived: %s. To have the others, give the number of the last one with -after.", err)
	}
	return exitOK
}

// verifyEventsThere has the server verify its feed.
func (a *App) verifyEventsThere(ctx context.Context, noted string, asJSON bool) int {
	v, err := a.remote.VerifyAudit(ctx, client.VerifyAuditQuery{Head: noted})
	if err != nil {
		return a.fail(a.remote.diagnose(err))
	}
	doc := verification{Valid: v.Valid, Events: v.Events, Head: v.Head, Problem: v.Problem}
	if v.Event > 0 {
		doc.Event = &v.Event
	}
	return a.showVerification(doc, asJSON)
}
