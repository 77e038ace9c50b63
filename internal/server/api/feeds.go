package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/sse"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

const tagEvents = "Events"

// heartbeat is how often a stream says that it is alive, for whoever stands
// between.
const heartbeat = 20 * time.Second

// feedBatch is how many events a stream reads at once.
const feedBatch = 500

// feeds registers what is about events, and the streams.
func (a *API) feeds(h huma.API) {
	huma.Register(h, operation("get-session", http.MethodGet, "/session", "Say who asks, and what is asked", tagEvents), a.getSession)
	huma.Register(h, operation("list-events", http.MethodGet, "/events", "List what happened, oldest first unless asked otherwise", tagEvents), a.listEvents)
	sse.Register(h, operation("stream-events", http.MethodGet, "/events/stream", "Hear what happens, from a cursor on", tagEvents),
		map[string]any{"event": Event{}, "alive": Alive{}}, a.streamEvents)
	sse.Register(h, operation("stream-run", http.MethodGet, "/runs/{run}/stream", "Hear how a run goes on, and what its steps write", tagRuns),
		map[string]any{"run": RunNews{}, "log": Log{}, "alive": Alive{}, "end": End{}}, a.streamRun)
}

// Alive says that a stream is alive.
type Alive struct {
	Time time.Time `json:"time"`
}

// End says that nothing more comes. A stream that ends without was broken, or the
// server goes down: take it up again.
type End struct {
	Time time.Time `json:"time"`
}

// RunNews is how a run stands whenever something about it has changed.
type RunNews struct {
	Run   Run    `json:"run"`
	Steps []Step `json:"steps" nullable:"false"`
}

func (a *API) getSession(ctx context.Context, _ *struct{}) (*body[Session], error) {
	who := IdentityOf(ctx)
	out := Session{Subject: who.Subject, Groups: who.Groups, Version: a.Version, Project: a.Name}
	var err error
	if out.Environment, err = a.Work.Environment(ctx); err != nil {
		return nil, problem(err)
	}
	if out.Roles, out.Guarded, err = a.Work.Roles(who); err != nil {
		return nil, problem(err)
	}
	if out.Groups == nil {
		out.Groups = []string{}
	}
	if out.Roles == nil {
		out.Roles = []string{}
	}
	if out.Sequence, err = a.LastEvent(ctx); err != nil {
		return nil, problem(err)
	}
	return answer(out), nil
}

var errEnough = errors.New("enough")

// LastEvent is the number of the last event.
func (a *API) LastEvent(ctx context.Context) (int64, error) {
	last := int64(0)
	const beyond = int64(1) << 62
	made, err := a.Store.Feed(ctx, beyond, func(*events.Link) error { return nil })
	if made > last {
		last = made
	}
	return last, err
}

// tail are the last events of the feed, read once for all who listen.
type tail struct {
	mu     sync.Mutex
	known  <-chan struct{} // nothing was written since this is the next change
	events []Event         // in order
	bytes  int             // of their data
}

// tailEvents and tailBytes are how much is remembered for those who listen, about.
const (
	tailEvents = 2000
	tailBytes  = 16 << 20
)

// links reads events behind a number.
func (a *API) links(ctx context.Context, after int64, limit int) ([]Event, error) {
	list, ok, err := a.remembered(ctx, after, limit)
	if err != nil || ok {
		return list, err
	}
	return a.read(ctx, after, limit)
}

// remembered is links for what is remembered; false where that does not go back so far.
func (a *API) remembered(ctx context.Context, after int64, limit int) ([]Event, bool, error) {
	t := &a.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	// Before reading, so that nothing falls between.
	if changed := a.Changed(); t.known != changed {
		if err := t.readOn(ctx, a); err != nil {
			return nil, false, err
		}
		t.known = changed
	}
	if len(t.events) == 0 || after < t.events[0].Sequence-1 {
		return nil, false, nil
	}
	i, found := slices.BinarySearchFunc(t.events, after, func(e Event, after int64) int { return cmp.Compare(e.Sequence, after) })
	if found {
		i++
	}
	return slices.Clone(t.events[i:min(len(t.events), i+limit)]), true, nil
}

// readOn reads what was written since, and forgets the oldest where it is too much.
func (t *tail) readOn(ctx context.Context, a *API) error {
	if len(t.events) == 0 {
		made, err := a.LastEvent(ctx)
		if err != nil {
			return err
		}
		if t.events, err = a.read(ctx, made-1, 1); err != nil || len(t.events) == 0 {
			return err
		}
		t.bytes = len(t.events[0].Data)
	}
	for {
		fresh, err := a.read(ctx, t.events[len(t.events)-1].Sequence, feedBatch)
		if err != nil {
			return err
		}
		for _, e := range fresh {
			t.bytes += len(e.Data)
		}
		t.events = append(t.events, fresh...)
		drop := 0
		if len(t.events) > 2*tailEvents || t.bytes > 2*tailBytes { // many at once: what stays is copied
			for len(t.events)-drop > 1 && (t.bytes > tailBytes || len(t.events)-drop > tailEvents) {
				t.bytes -= len(t.events[drop].Data)
				drop++
			}
			t.events = slices.Clone(t.events[drop:])
		}
		if len(fresh) < feedBatch {
			return nil
		}
	}
}

// read is links, from the store.
func (a *API) read(ctx context.Context, after int64, limit int) (out []Event, err error) {
	_, err = a.Store.Feed(ctx, after, func(l *events.Link) error {
		if len(out) == limit {
			return errEnough
		}
		out = append(out, eventOf(l))
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

// eventsQuery says which events are asked for.
type eventsQuery struct {
	After   int64     `query:"after" minimum:"0" doc:"Only events behind this one."`
	Before  int64     `query:"before" minimum:"0" doc:"Only events before this one."`
	Last    int       `query:"last" minimum:"0" maximum:"1000" doc:"Begin so many events before the end, instead of at after."`
	Newest  bool      `query:"newest" doc:"The newest first: next is then what to give as before."`
	Since   time.Time `query:"since" doc:"Only events that happened then or later."`
	Type    string    `query:"type" doc:"Only events of this type; ending in * those that begin so."`
	Subject string    `query:"subject" doc:"Only events about this."`
	Limit   int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

func (a *API) listEvents(ctx context.Context, in *eventsQuery) (*body[page[Event]], error) {
	after := in.After
	if in.Last > 0 {
		last, err := a.LastEvent(ctx)
		if err != nil {
			return nil, problem(err)
		}
		after = max(0, last-int64(in.Last))
	}
	out := page[Event]{Items: []Event{}}
	q := runs.EventQuery{After: after, Before: in.Before, Since: in.Since, Type: in.Type, Subject: in.Subject, Newest: in.Newest}
	err := a.Store.FeedOf(ctx, q, func(l *events.Link) error {
		if !a.viewer(ctx).event(ctx, &l.Event) {
			return nil
		}
		if len(out.Items) == in.Limit {
			out.Next = strconv.FormatInt(out.Items[in.Limit-1].Sequence, 10)
			return errEnough
		}
		e := eventOf(l)
		e.PreviousHash, e.Hash = l.Previous.String(), l.Hash.String()
		out.Items = append(out.Items, e)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, problem(err)
	}
	return answer(out), nil
}

// cursorOf is where a stream begins: behind what a client that comes back had
// heard last, or else where it asks for.
func cursorOf(lastID string, after int64) int64 {
	if n, err := strconv.ParseInt(lastID, 10, 64); err == nil && n >= 0 {
		return n
	}
	return after
}

func (a *API) streamEvents(ctx context.Context, in *struct {
	LastEventID string `header:"Last-Event-ID" doc:"What a client that comes back had heard last."`
	After       int64  `query:"after" doc:"Only events behind this one; -1 only what happens from now on."`
}, send sse.Sender,
) {
	cursor := cursorOf(in.LastEventID, in.After)
	if cursor < 0 {
		last, err := a.LastEvent(ctx)
		if err != nil {
			return
		}
		cursor = last
	}
	hold := holdOf(ctx)
	a.follow(ctx, send, &cursor, func() (bool, error) {
		for {
			list, err := a.links(ctx, cursor, feedBatch)
			if err != nil {
				return false, err
			}
			v, err := a.viewerAgain(ctx)
			if err != nil {
				return false, err
			}
			for i := range list {
				e := &list[i]
				cursor = e.Sequence
				if !v.event(ctx, &events.Event{ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject}) {
					continue
				}
				if err := send(sse.Message{ID: int(e.Sequence), Data: *e}); err != nil {
					return false, err
				}
			}
			if len(list) < feedBatch {
				return true, nil
			}
			hold(false) // a feed may be long
			hold(true)
		}
	})
}

type holdKey struct{}

// WithHold gives a stream the means to hold back what it sends, and to let it go
// again: what has happened at once is sent at once.
func WithHold(ctx context.Context, hold func(bool)) context.Context {
	return context.WithValue(ctx, holdKey{}, hold)
}

func holdOf(ctx context.Context) func(bool) {
	if hold, given := ctx.Value(holdKey{}).(func(bool)); given {
		return hold
	}
	return func(bool) {}
}

// follow calls tell now and after every change of the store, until it says that
// there is no more, the client is gone, or the server goes down. With every sign of
// life goes the cursor, up to where it has told, for a client that comes back.
func (a *API) follow(ctx context.Context, send sse.Sender, cursor *int64, tell func() (more bool, err error)) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	hold := holdOf(ctx)
	alive := func(now time.Time) error { return send(sse.Message{ID: int(*cursor), Data: Alive{now.UTC()}}) }
	if alive(time.Now()) != nil { // so that the client knows it is heard
		return
	}
	for {
		changed := a.Changed() // before looking, so that nothing falls between
		hold(true)
		more, err := tell()
		hold(false)
		if err == nil && !more {
			_ = send.Data(End{time.Now().UTC()}) // who is gone needs no end
		}
		if err != nil || !more {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case <-a.Stop:
				return
			case <-changed:
				waiting = false
			case now := <-ticker.C:
				if _, err := a.viewerAgain(ctx); err != nil {
					return // whoever listens may do so no more
				}
				if alive(now) != nil {
					return
				}
			}
		}
	}
}

func (a *API) streamRun(ctx context.Context, in *struct {
	RunPath
	LastEventID string `header:"Last-Event-ID" doc:"The last piece of log that a client that comes back had heard."`
	After       int64  `query:"after" doc:"Only pieces of log behind this one."`
}, send sse.Sender,
) {
	cursor := cursorOf(in.LastEventID, in.After)
	var f *follower
	before := ""
	a.follow(ctx, send, &cursor, func() (bool, error) {
		// Whether it has ended is asked first: nothing comes after the end.
		run, err := a.Store.Run(ctx, in.Run)
		if err != nil {
			return false, err
		}
		if v, err := a.viewerAgain(ctx); err != nil || !v.run(ctx, run) {
			return false, errors.Join(err, runs.ErrNotFound)
		}
		if cursor, err = a.sendLogs(ctx, in.Run, cursor, send); err != nil {
			return false, err
		}
		if f == nil {
			f, err = a.follower(ctx, run)
		} else {
			err = f.read(ctx)
		}
		if err != nil {
			return false, err
		}
		if now := fmt.Sprint(run.Status, run.Cancelling, f.last); now != before {
			before = now
			steps, err := f.steps(ctx)
			if err != nil {
				return false, err
			}
			if err := send.Data(RunNews{Run: runOf(run), Steps: steps}); err != nil {
				return false, err
			}
		}
		return !run.Status.Ended(), nil
	})
}

func (a *API) sendLogs(ctx context.Context, run string, cursor int64, send sse.Sender) (int64, error) {
	for {
		chunks, err := a.Store.Logs(ctx, run, cursor, feedBatch)
		if err != nil {
			return cursor, err
		}
		for _, c := range chunks {
			if err := send(sse.Message{ID: int(c.ID), Data: logOf(c)}); err != nil {
				return cursor, err
			}
			cursor = c.ID
		}
		if len(chunks) < feedBatch {
			return cursor, nil
		}
	}
}
