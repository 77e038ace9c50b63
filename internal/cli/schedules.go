package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/work"
)

// instantLayout is how instants of schedules are shown: in their time zone.
const instantLayout = "2006-01-02 15:04:05 -07:00"

func schedulesCommand() *command {
	list := schedulesListCommand()
	return &command{
		name: "schedules", summary: "List the schedules of the project and drive them",
		about: "Schedules are declared in *.tutti.hcl files, by trigger blocks. Without a word, lists them.",
		setup: list.setup,
		sub:   []*command{list, schedulesServeCommand()},
	}
}

// scheduleJSON is a schedule for programs.
type scheduleJSON struct {
	Name        string     `json:"name"`
	Schedule    string     `json:"schedule"`
	Timezone    string     `json:"timezone"`
	Workflow    string     `json:"workflow"`
	Environment string     `json:"environment,omitempty"`
	Missed      string     `json:"missed"`
	Overlap     string     `json:"overlap"`
	Next        []string   `json:"next"`
	Last        []fireJSON `json:"last"`
}

type fireJSON struct {
	At       string `json:"at"`
	Status   string `json:"status"`
	Run      string `json:"run,omitempty"`
	Backfill bool   `json:"backfill,omitempty"`
}

func schedulesListCommand() *command {
	return &command{
		name: "list", summary: "List schedules, when they come next and what became of the last",
		setup: func(f *flagSet) action {
			var o outputOptions
			limit := 3
			o.registerJSON(f, "Print as JSON.")
			f.number(&limit, "limit", "N", "How many of the last instants to show; 3 unless given.")
			return func(ctx context.Context, app *App, _ []string) int {
				var docs []scheduleJSON
				var diags diag.List
				if app.remote != nil {
					docs, diags = app.schedulesThere(ctx, limit)
				} else {
					docs, diags = app.describeSchedules(ctx, limit)
				}
				if diags.HasErrors() {
					return app.fail(diags)
				}
				if o.json {
					return app.printJSONIndented(docs)
				}
				if len(docs) == 0 {
					fmt.Fprintln(app.Out, "No schedules. They are declared in trigger blocks.")
				}
				for i, d := range docs {
					if i > 0 {
						fmt.Fprintln(app.Out)
					}
					app.showSchedule(d)
				}
				return exitOK
			}
		},
	}
}

func (a *App) describeSchedules(ctx context.Context, limit int) ([]scheduleJSON, diag.List) {
	_, list, diags := work.ReadTriggers(a.Session)
	if diags.HasErrors() {
		return nil, diags
	}
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	defer p.Close()
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	docs := []scheduleJSON{}
	for _, t := range list {
		d := scheduleJSON{
			Name: t.Name, Schedule: t.Schedule.String(), Timezone: t.Schedule.Location().String(), Workflow: t.Declared.Workflow.Name,
			Environment: t.Declared.Environment, Missed: t.Missed.String(), Overlap: string(t.Overlap), Next: []string{}, Last: []fireJSON{},
		}
		at := time.Now()
		for range 3 {
			next, ok := t.Schedule.Next(at)
			if !ok {
				break
			}
			d.Next, at = append(d.Next, next.Format(time.RFC3339)), next
		}
		var fires []runs.Fire
		if limit > 0 {
			var err error
			if fires, err = store.Fires(ctx, t.Name, limit); err != nil {
				return nil, diag.FromError(err)
			}
		}
		for _, f := range fires {
			status := string(f.Status)
			if f.Status == runs.FireStarted || f.Status == runs.FireEnded {
				if run, err := store.Run(ctx, f.Run); err == nil {
					status = string(run.Status)
				}
			}
			d.Last = append(d.Last, fireJSON{At: f.At.In(t.Schedule.Location()).Format(time.RFC3339), Status: status, Run: f.Run, Backfill: f.Backfill})
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// schedulesThere are those of the server's project.
func (a *App) schedulesThere(ctx context.Context, limit int) ([]scheduleJSON, diag.List) {
	list, err := a.remote.ListTriggers(ctx, client.ListTriggersQuery{Last: int64(min(max(limit, 1), 1000))})
	if err != nil {
		return nil, a.remote.diagnose(err)
	}
	docs := []scheduleJSON{}
	for _, t := range list.Items {
		if t.Kind != "schedule" {
			continue
		}
		d := scheduleJSON{
			Name: t.Name, Schedule: t.Schedule, Timezone: t.Timezone, Workflow: t.Workflow, Environment: t.Environment,
			Missed: t.Missed, Overlap: t.Overlap, Next: []string{}, Last: []fireJSON{},
		}
		for _, next := range t.Next {
			d.Next = append(d.Next, next.Format(time.RFC3339))
		}
		for _, f := range t.Last[:min(max(limit, 0), len(t.Last))] {
			d.Last = append(d.Last, fireJSON{At: f.At.Format(time.RFC3339), Status: f.Status, Run: f.Run, Backfill: f.Backfill})
		}
		docs = append(docs, d)
	}
	return docs, nil
}

func (a *App) showSchedule(d scheduleJSON) {
	what := "workflow " + d.Workflow
	if d.Environment != "" {
		what += " in " + d.Environment
	}
	fmt.Fprintf(a.Out, "%-20s %s  %s  %s\n", d.Name, d.Schedule, d.Timezone, what)
	plain := func(at string) string {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return at
		}
		return t.Format(instantLayout)
	}
	for i, at := range d.Next {
		fmt.Fprintf(a.Out, "  %-5s %s\n", map[bool]string{true: "next"}[i == 0], plain(at))
	}
	for i, f := range d.Last {
		line := fmt.Sprintf("  %-5s %s  %-11s %s", map[bool]string{true: "last"}[i == 0], plain(f.At), f.Status, f.Run)
		if f.Backfill {
			line += "  (backfill)"
		}
		fmt.Fprintln(a.Out, strings.TrimRight(line, " "))
	}
}

func completeTriggers(app *App, _ []string) []string {
	_, list, _ := work.ReadTriggers(app.Session)
	var names []string
	for _, t := range list {
		names = append(names, t.Name)
	}
	return names
}
