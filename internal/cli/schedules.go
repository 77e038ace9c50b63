package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/triggers"
	"github.com/zclconf/go-cty/cty"
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

// openTriggers reads the project's triggers that have schedules.
func (a *App) openTriggers() (*projects.Project, []*triggers.Trigger, diag.List) {
	p, diags := a.openWorkflows()
	if diags.HasErrors() {
		return nil, nil, diags
	}
	list, found := triggers.Read(p)
	return p, list, append(diags, found...)
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
				_, list, diags := app.openTriggers()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				docs, diags := app.describeSchedules(ctx, list, limit)
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

func (a *App) describeSchedules(ctx context.Context, list []*triggers.Trigger, limit int) ([]scheduleJSON, diag.List) {
	p, diags := a.openRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	defer p.Close()
	store, diags := p.store(ctx)
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

func (a *App) showSchedule(d scheduleJSON) {
	what := "workflow " + d.Workflow
	if d.Environment != "" {
		what += " in " + d.Environment
	}
	fmt.Fprintln(a.Out, views.Listed(fmt.Sprintf("%-20s %s", d.Name, d.Schedule), 21, "  ", d.Timezone, what))
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
	_, list, _ := app.openTriggers()
	var names []string
	for _, t := range list {
		names = append(names, t.Name)
	}
	return names
}

// triggerRuns is what carries out the runs of triggers in this process. Before,
// it checks what they need in the environments they work in.
func (o *operation) triggerRuns(ctx context.Context, p *projects.Project, list []*projects.Trigger, named string, values *variableOptions) (*triggers.Workflows, diag.List) {
	store, diags := o.store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	if o.app.refusals == nil {
		o.app.refusals = newRefusals(store)
	}
	w := &triggers.Workflows{
		Runner: &runs.Runner{Store: store, Actor: o.app.actor(), Egress: o.app.egress}, Program: programVersion(), Key: o.keyIn, Machine: machineDefinition,
		Hard: hardContext(ctx).Done(), Drain: ctx.Done(), Authorize: o.app.authorizer(store), Admit: o.admit,
	}
	w.Values = func(p *projects.Project, environment string) (map[string]cty.Value, diag.List) {
		return variableValues(p, wholeProject, p.Variables, environment, values)
	}
	w.Stacks = func(p *projects.Project, environment string) (runs.Stacks, func()) {
		if s := (&operation{project: o.aside(o.keyIn(environment)), view: o.view}).stacks(p); s != nil {
			return s, s.Close
		}
		return nil, func() {}
	}
	w.Secrets = func(environment string) runs.Secrets { return o.secretReader(o.keyIn(environment).Environment) }
	return w, append(diags, o.checkTriggers(w, p, list, named)...)
}

// checkTriggers finds the environment of triggers that name none, and checks the
// values in all.
func (o *operation) checkTriggers(w *triggers.Workflows, p *projects.Project, list []*projects.Trigger, named string) diag.List {
	var diags diag.List
	seen := map[string]bool{}
	for _, t := range list {
		environment := t.Environment
		if environment == "" {
			if w.Environment == "" {
				var found diag.List
				if w.Environment, found = o.chooseEnvironment(p, named); found.HasErrors() {
					return append(diags, found...)
				}
			}
			environment = w.Environment
		}
		if !seen[environment] {
			seen[environment] = true
			_, found := w.Values(p, environment)
			diags = append(diags, found...)
		}
	}
	return diags
}

// checkSchedules checks all that triggers of a project need.
func checkSchedules(p *projects.Project, list []*projects.Trigger) diag.List {
	diags := triggers.Check(p)
	used := map[string]bool{}
	for _, t := range list {
		if name := t.Workflow.Name; p.Workflows[name] != nil {
			used[name] = true
		}
	}
	if len(used) > 0 {
		diags = append(diags, checkWorkflows(p, sortedKeys(used))...)
	}
	return diags
}

// scheduled are the triggers of a project that have schedules.
func scheduled(p *projects.Project) []*projects.Trigger {
	return slices.DeleteFunc(allTriggers(p), func(t *projects.Trigger) bool { return t.Schedule == "" })
}
