package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
)

func auditCommand() *command {
	return &command{
		name: "audit", summary: "Look at the events of the project and verify that none was altered",
		about: "Whatever happens is an event: runs, decisions about approvals, signals, cancels, changes of a state by hand. Each event holds the hash of the one before, so that nothing of the past can be altered, removed or put in without it showing.",
		sub:   []*command{auditListCommand(), auditVerifyCommand(), auditExportCommand()},
	}
}

// eventFilter is which events are wanted.
type eventFilter struct {
	since, kind, subject string
	limit                int
	from                 time.Time
}

func (e *eventFilter) parse(now time.Time) diag.List {
	if e.since == "" {
		return nil
	}
	if d, err := projects.ParseDuration(e.since); err == nil {
		e.from = now.Add(-d)
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.ParseInLocation(layout, e.since, time.Local); err == nil {
			e.from = at
			return nil
		}
	}
	return diag.Errorf("Invalid time", "The value of -since is neither a length of time such as \"24h\" or \"7d\" nor an instant such as 2026-01-02 or 2026-01-02T15:04:05Z: %q.", e.since)
}

// query is what the store is asked for: with a limit, backwards from the end.
func (e *eventFilter) query() runs.EventQuery {
	return runs.EventQuery{Since: e.from, Type: e.kind, Subject: e.subject, Newest: e.limit > 0}
}

// unheardOf warns of a type that is none of Tutti's own and that no event has; find lists
// those that a filter wants.
func (e *eventFilter) unheardOf(find func(*eventFilter) ([]events.Link, error)) diag.List {
	prefix, _ := strings.CutSuffix(e.kind, "*")
	if e.kind == "" || runs.Reserved(prefix) {
		return nil
	}
	if some, err := find(&eventFilter{kind: e.kind, limit: 1}); err != nil || len(some) > 0 {
		return nil
	}
	return diag.Warningf("No such type", "No event has ever had the type %q.", e.kind)
}

// list lists the events that are wanted, as find finds them.
func (e *eventFilter) list(app *App, asJSON bool, find func(*eventFilter) ([]events.Link, error)) int {
	found, err := find(e)
	if err != nil {
		return app.fail(diag.FromError(err))
	}
	if len(found) == 0 {
		app.Show(e.unheardOf(find))
	}
	return app.showEvents(found, asJSON)
}

func auditListCommand() *command {
	return &command{
		name: "list", summary: "List what happened, the last events at the end",
		example: "tutti audit list -since=7d -type='approval.*'",
		setup: func(f *flagSet) action {
			var o outputOptions
			var e eventFilter
			f.text(&e.since, "since", "TIME", "Only events since an instant, or for a length of time (24h, 7d).")
			f.text(&e.kind, "type", "TYPE", "Only events of this type; a star at the end stands for anything (\"state.*\").")
			f.text(&e.subject, "subject", "SUBJECT", "Only events about this run, object or state.")
			f.number(&e.limit, "limit", "N", "Only the last so many.")
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				if e.limit < 0 {
					return app.fail(negativeLimit(e.limit))
				}
				if diags := e.parse(time.Now()); diags.HasErrors() {
					return app.fail(diags)
				}
				if app.remote != nil {
					return e.list(app, o.json, func(e *eventFilter) ([]events.Link, error) {
						list, err := app.eventsThere(ctx, e)
						if err != nil {
							return nil, app.remote.diagnose(err).Err()
						}
						return list, nil
					})
				}
				return app.withRunner(ctx, func(r *runs.Runner) int {
					return e.list(app, o.json, func(e *eventFilter) ([]events.Link, error) { return findEvents(ctx, r.Store, e) })
				})
			}
		},
	}
}

var errEnoughEvents = errors.New("enough events")

// findEvents are the events that are wanted, the last at the end.
func findEvents(ctx context.Context, store runs.Store, e *eventFilter) ([]events.Link, error) {
	found := []events.Link{}
	q := e.query()
	err := store.FeedOf(ctx, q, func(l *events.Link) error {
		found = append(found, *l)
		if len(found) == e.limit {
			return errEnoughEvents
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnoughEvents) {
		return nil, err
	}
	if q.Newest {
		slices.Reverse(found)
	}
	return found, nil
}

// showEvents lists events.
func (a *App) showEvents(found []events.Link, asJSON bool) int {
	if asJSON {
		docs := make([]events.Document, len(found))
		for i := range found {
			docs[i] = events.DocumentOf(&found[i])
		}
		return a.printJSONIndented(docs)
	}
	if len(found) == 0 {
		fmt.Fprintln(a.Out, "No such events.")
	}
	for _, l := range found {
		head := fmt.Sprintf("%6d  %s  %-20s", l.Sequence, l.Time.Local().Format(time.DateTime), printable(l.Type))
		fmt.Fprintln(a.Out, views.Listed(head, 29, " ", fmt.Sprintf("%-10s", printable(l.Actor)), printable(l.Subject)))
	}
	return exitOK
}

// printable keeps what others wrote from moving the cursor or hiding lines.
func printable(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

func auditExportCommand() *command {
	return &command{
		name: "export", summary: "Print all events as CloudEvents, one JSON document a line",
		about: "Prints events as CloudEvents 1.0 in their JSON format, one a line, for other tools to keep. Their places in the chain are extension attributes: sequence, previoushash and hash.",
		setup: func(f *flagSet) action {
			var after int
			f.number(&after, "after", "N", "Only events behind this number.")
			return func(ctx context.Context, app *App, _ []string) int {
				if app.remote != nil {
					return app.exportEventsThere(ctx, int64(after))
				}
				return app.withRunner(ctx, func(r *runs.Runner) int {
					_, err := r.Store.Feed(ctx, int64(after), func(l *events.Link) error {
						raw, err := json.Marshal(events.DocumentOf(l))
						if err == nil {
							_, err = fmt.Fprintf(app.Out, "%s\n", raw)
						}
						return err
					})
					if err != nil {
						return app.failf("Cannot export the events", "%s.", err)
					}
					return exitOK
				})
			}
		},
	}
}

func auditVerifyCommand() *command {
	return &command{
		name: "verify", summary: "Verify that no event was altered, removed or put in",
		about: "Follows the chain of events and names the first one that was altered, removed or put in. It prints the hash of the last event: kept elsewhere and given with -head later, it also shows whether somebody has written the whole feed anew.",
		setup: func(f *flagSet) action {
			var o outputOptions
			var head string
			f.text(&head, "head", "HASH", "A hash printed earlier, which must still be in the chain.")
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				if _, err := events.ParseHash(head); head != "" && err != nil {
					return app.failf("Invalid head", "%s.", err)
				}
				if app.remote != nil {
					return app.verifyEventsThere(ctx, head, o.json)
				}
				return app.withRunner(ctx, func(r *runs.Runner) int { return app.verifyEvents(ctx, r.Store, head, o.json) })
			}
		},
	}
}

// verification is what came of verifying, for programs.
type verification struct {
	Valid   bool   `json:"valid"`
	Events  int64  `json:"events"` // verified
	Head    string `json:"head"`   // hash of the last of them
	Event   *int64 `json:"event,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func (a *App) verifyEvents(ctx context.Context, store runs.Store, noted string, asJSON bool) int {
	v, err := events.Verify(func(each func(*events.Link) error) (int64, error) { return store.Feed(ctx, 0, each) }, noted)
	if err != nil {
		return a.fail(diag.FromError(err))
	}
	doc := verification{Valid: v.Problem == "", Events: v.Events, Head: v.Head.String(), Problem: v.Problem}
	if v.Broken > 0 {
		doc.Event = &v.Broken
	}
	return a.showVerification(doc, asJSON)
}

func (a *App) showVerification(doc verification, asJSON bool) int {
	switch {
	case asJSON:
		if code := a.printJSONIndented(doc); code != exitOK || doc.Valid {
			return code
		}
		return exitFailed
	case doc.Event != nil:
		problem := cmp.Or(doc.Problem, fmt.Sprintf("event %d is not as it was written", *doc.Event))
		return a.failf("The events were tampered with", "%s. The events before it are as they were written; what follows cannot be relied on.", strings.ToUpper(problem[:1])+problem[1:])
	case !doc.Valid:
		return a.failf("The events were written anew", "The chain holds in itself, but %s, the head noted earlier: events were removed or replaced since.", doc.Problem)
	}
	fmt.Fprintf(a.Out, "Verified %d events: none was altered, removed or put in.\nHead: %s\n", doc.Events, doc.Head)
	return exitOK
}
