package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

func deliveriesCommand() *command {
	list := deliveriesListCommand()
	return &command{
		name: "deliveries", summary: "Look at what is told to others, and send it again",
		about: "The notify blocks of a project say which events are told to others (docs/notify.md); \"tutti server\" does so. Without a word, lists what was told and what is to be.",
		setup: list.setup,
		sub:   []*command{list, deliveriesRetryCommand()},
	}
}

func deliveriesListCommand() *command {
	return &command{
		name: "list", summary: "List deliveries, newest first",
		setup: func(f *flagSet) action {
			var o outputOptions
			var q runs.DeliveryQuery
			var status string
			q.Limit = 50
			f.text(&q.Notify, "notify", "NAME", "Only those of this notify block.")
			f.text(&status, "status", "STATUS", "Only those that are pending, delivered or dead.")
			f.number(&q.Limit, "limit", "N", "How many to show; 50 unless given, 0 for all.")
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				if q.Limit < 0 {
					return app.fail(negativeLimit(q.Limit))
				}
				q.Status = runs.DeliveryStatus(status)
				if !slices.Contains([]runs.DeliveryStatus{"", runs.DeliveryPending, runs.DeliveryDelivered, runs.DeliveryDead}, q.Status) {
					return app.failf("Invalid status", "Option -status must be pending, delivered or dead.")
				}
				if app.remote != nil {
					return app.listDeliveriesThere(ctx, q, o.json)
				}
				return app.withOutbox(ctx, func(p *project.Directory, store *sqlite.Store) int {
					list, err := store.Deliveries(ctx, q)
					if err != nil {
						return app.fail(diag.FromError(err))
					}
					if len(list) == 0 && q.Notify != "" {
						declared, err := operations.LoadedProject(p.RootDir())
						if err == nil {
							err = api.CheckNotify(ctx, store, declared, q.Notify)
						}
						if err != nil {
							return app.fail(diag.FromError(err))
						}
					}
					docs := []api.Delivery{}
					for _, d := range list {
						docs = append(docs, api.DeliveryOf(d))
					}
					return app.showDeliveries(docs, o.json)
				})
			}
		},
	}
}

func (a *App) withOutbox(ctx context.Context, do func(*project.Directory, *sqlite.Store) int) int {
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	return do(p, store)
}

func (a *App) showDeliveries(list []api.Delivery, asJSON bool) int {
	if asJSON {
		return a.printJSONIndented(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Out, "No deliveries. Notify blocks say which events are told to others.")
	}
	for _, d := range list {
		tried := ""
		if d.Attempts > 1 || d.Status != string(runs.DeliveryDelivered) && d.Attempts > 0 {
			tried = diag.CountOf(d.Attempts, "attempt")
		}
		head := fmt.Sprintf("%6d  %s  %-9s", d.ID, d.Queued.Local().Format(time.DateTime), d.Status)
		fmt.Fprintln(a.Out, views.Listed(head, 8, "  ", d.Notify, fmt.Sprintf("event %d", d.Sequence), d.Type, tried))
		if d.Problem != "" {
			fmt.Fprintln(a.Out, views.Said("        "+printable(d.Problem), 8))
		}
	}
	return exitOK
}

func deliveriesRetryCommand() *command {
	return &command{
		name: "retry", summary: "Send a dead delivery again", args: "ID", minArgs: 1, maxArgs: 1,
		about: "Has a delivery that is dead sent again by the server, with all its attempts. That needs the permission \"signal\" on the notify block.",
		setup: func(*flagSet) action {
			return func(ctx context.Context, app *App, args []string) int {
				id, err := strconv.ParseInt(args[0], 10, 64)
				if err != nil {
					return app.failf("Invalid delivery", "%q is not the number of a delivery; \"tutti deliveries\" lists them.", args[0])
				}
				if app.remote != nil {
					return app.retryDeliveryThere(ctx, id)
				}
				return app.withOutbox(ctx, func(p *project.Directory, store *sqlite.Store) int { return app.retryDelivery(ctx, p, store, id) })
			}
		},
	}
}

func (a *App) retryDelivery(ctx context.Context, p *project.Directory, store *sqlite.Store, id int64) int {
	list, err := store.Deliveries(ctx, runs.DeliveryQuery{Before: id + 1, Limit: 1})
	if err != nil {
		return a.fail(diag.FromError(err))
	}
	if len(list) == 0 || list[0].ID != id {
		return a.failf("No such delivery", "There is no delivery %d; \"tutti deliveries\" lists them.", id)
	}
	d := list[0]
	environment, diags := p.EnvironmentOfNotify(d.Notify)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	if diags := a.May(access.Signal, environment, d.Notify); diags.HasErrors() {
		return a.fail(diags)
	}
	if _, err := store.RetryDelivery(ctx, id, time.Now(), runs.RetriedDelivery(d, a.Actor())); err != nil {
		return a.failf("Cannot send it again", "Delivery %d: %s.", id, err)
	}
	fmt.Fprintf(a.Out, "Delivery %d to %s is sent again.\n", id, d.Notify)
	return exitOK
}
