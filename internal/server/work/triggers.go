package work

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/triggers"
)

// Triggers is what starts runs by itself beside a server: schedules, and events
// with the webhooks that let them in.
type Triggers struct {
	op         *operations.Operation
	workflows  *triggers.Workflows
	Hooks      *triggers.Hooks
	sources    *triggers.Sources
	watched    chan *projects.Project // whose sources are watched
	schedules  chan []*triggers.Trigger
	dispatcher *triggers.Dispatcher
	events     chan *triggers.EventTriggers
	before     string // the files as they were read

	mu      sync.Mutex
	current *triggers.EventTriggers // those of the files as they were when a run was started last
	seen    string                  // these files
}

// OpenTriggers reads the triggers of the project. A project without any may be
// given some while the server is up; one whose files are wrong is told about and looked
// at again when they change. Then the requests of webhooks are not taken until they are
// right, and events wait.
func OpenTriggers(ctx context.Context, o *operations.Operation) (*Triggers, diag.List) {
	s := &Triggers{
		op: o, before: Fingerprint(),
		schedules: make(chan []*triggers.Trigger, 1), events: make(chan *triggers.EventTriggers, 1),
		watched: make(chan *projects.Project, 1),
	}
	p, list, diags := &projects.Project{Dir: o.RootDir()}, []*triggers.Trigger(nil), diag.List(nil)
	if projects.Exists(".") {
		p, list, diags = ReadTriggers(o.Session)
	}
	var declared []*projects.Trigger
	if !diags.HasErrors() {
		declared = allTriggers(p)
		diags = append(diags, CheckSchedules(p, declared)...)
	}
	if diags.HasErrors() {
		p, list, declared = nil, nil, nil
	}
	var found diag.List
	s.workflows, found = TriggerRuns(ctx, o, p, declared, "", &project.VariableOptions{})
	if s.workflows == nil {
		return nil, append(diags, found...)
	}
	if s.workflows.Environment == "" {
		// Triggers that name none may come later.
		s.workflows.Environment = o.Environment
		if p != nil {
			s.workflows.Environment, _ = o.ChooseEnvironment(p, "")
		}
	}
	secret := func(ctx context.Context, declared *projects.Secret, environment string) (string, error) {
		if environment == "" {
			environment = s.workflows.Environment
		}
		text, _, err := o.SecretReader(environment).Read(ctx, declared, "")
		return text, err
	}
	s.Hooks = &triggers.Hooks{Store: o.Opened, Secret: secret}
	s.sources = &triggers.Sources{Store: o.Opened, Secret: secret, Trouble: func(source string, err error) {
		if err != nil {
			o.Session.Tell(fmt.Sprintf("Source %s: %s\n", source, err))
			return
		}
		o.Session.Tell(fmt.Sprintf("Source %s: well again\n", source))
	}}
	s.dispatcher = &triggers.Dispatcher{
		Store: o.Opened, Start: s.start, Values: s.workflows.Values,
		Environment: func() string { return s.workflows.Environment },
		Trouble:     func(err error) { o.Session.Tell(fmt.Sprintf("Events: trying again: %s\n", err)) },
	}
	if diags = append(diags, found...); diags.HasErrors() {
		o.Session.Tell("The triggers of the project are not served until its files are put right:\n")
		p, list = nil, nil
	}
	o.Session.Show(diags)
	if s.schedules <- list; p != nil {
		s.Hooks.Set(p)
		set, _ := triggers.ReadEvents(p)
		if err := s.dispatcher.Know(ctx, set); err != nil {
			return nil, diag.Errorf("Cannot look at events", "%s.", err)
		}
		s.watched <- p
	}
	return s, nil
}

// allTriggers are those that a project declares, by name.
func allTriggers(p *projects.Project) []*projects.Trigger {
	out := make([]*projects.Trigger, 0, len(p.Triggers))
	for _, name := range slices.Sorted(maps.Keys(p.Triggers)) {
		out = append(out, p.Triggers[name])
	}
	return out
}

// serveEvents hands over the webhooks and the event triggers of a project that was
// checked.
func (s *Triggers) serveEvents(ctx context.Context, p *projects.Project) {
	set, _ := triggers.ReadEvents(p)
	// Nothing is taken from outside before the triggers are known that it may be for.
	if _, _, err := set.Follow(ctx, s.op.Opened); err != nil {
		s.op.Session.Tell(fmt.Sprintf("Events: triggers that are new may miss some: %s\n", err))
	}
	select {
	case s.events <- set:
	case <-ctx.Done():
	}
	s.Hooks.Set(p)
	select {
	case s.watched <- p:
	case <-ctx.Done():
	}
}

// Serve starts runs until ctx is cancelled, and returns when it has let go of them.
func (s *Triggers) Serve(ctx context.Context, changed func() <-chan struct{}) {
	scheduler := &triggers.Scheduler{Store: s.op.Opened, Runs: s.workflows, Watch: func(e triggers.Event) {
		switch e.Kind {
		case triggers.Failed, triggers.Problem:
			s.op.Session.Tell(fmt.Sprintf("Schedule %s: %s: %s\n", e.Schedule, e.Kind, e.Problem))
		}
	}}
	s.dispatcher.Changed = changed
	var all sync.WaitGroup
	all.Go(func() {
		WatchFiles(ctx, s.op, "", s.workflows, s.before, allTriggers, func(p *projects.Project, list []*triggers.Trigger) {
			select {
			case s.schedules <- list:
			case <-ctx.Done():
				return
			}
			s.serveEvents(ctx, p)
		})
	})
	all.Go(func() { s.dispatcher.Run(ctx, s.events) })
	all.Go(func() { s.sources.Run(ctx, s.watched) })
	scheduler.Run(ctx, s.schedules)
	all.Wait()
	s.workflows.Runner.Wait()
}

// start makes the run of a firing by the files as they are at this moment: what changed
// them may be what the event tells of. While they are wrong, what they said before
// counts.
func (s *Triggers) start(ctx context.Context, t *triggers.EventTrigger, f runs.Firing, list []runs.Fed) error {
	s.mu.Lock()
	if now := Fingerprint(); now != s.seen {
		s.seen = now
		if p, _, diags := readTriggers(s.op, "", s.workflows, allTriggers); !diags.HasErrors() {
			s.current, _ = triggers.ReadEvents(p)
		}
	}
	if s.current != nil {
		if now := s.current.Find(t.Name); now != nil {
			t = now
		}
	}
	s.mu.Unlock()
	return s.workflows.Enqueue(ctx, t, f, list)
}

// triggerNext is how many instants of a schedule the API shows.
const triggerNext = 3

// Triggers implements [api.Work].
func (w *Work) Triggers(ctx context.Context, last int) ([]api.Trigger, error) {
	p, err := w.Project(ctx)
	if err != nil {
		return nil, err
	}
	list, diags := triggers.Read(p)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	schedules := map[string]*triggers.Trigger{}
	for _, t := range list {
		schedules[t.Name] = t
	}
	store := w.runner.Store.(*sqlite.Store)
	var out []api.Trigger
	for _, declared := range allTriggers(p) {
		one := api.Trigger{Name: declared.Name, Kind: "event", Workflow: declared.Workflow.Name, Environment: declared.Environment}
		source := func(argument string) string {
			rng, given := declared.Ranges[argument]
			if src := p.Files[rng.Filename]; given && rng.End.Byte <= len(src) {
				return string(src[rng.Start.Byte:rng.End.Byte])
			}
			return ""
		}
		one.On, one.When, one.Window = source("on"), source("when"), source("window")
		if t := schedules[declared.Name]; t != nil {
			one.Kind, one.Schedule, one.Timezone = "schedule", t.Schedule.String(), t.Schedule.Location().String()
			at := time.Now()
			for range triggerNext {
				next, ok := t.Schedule.Next(at)
				if !ok {
					break
				}
				one.Next, at = append(one.Next, next), next
			}
			one.Missed, one.Overlap = t.Missed.String(), string(t.Overlap)
			var fires []runs.Fire
			if last > 0 {
				if fires, err = store.Fires(ctx, t.Name, last); err != nil {
					return nil, err
				}
			}
			for _, f := range fires {
				one.Last = append(one.Last, api.Fired{Trigger: t.Name, At: f.At.In(t.Schedule.Location()), Status: string(f.Status), Run: f.Run, Backfill: f.Backfill})
			}
		} else if last > 0 {
			firings, err := store.Firings(ctx, runs.FiringQuery{Trigger: declared.Name, Limit: last})
			if err != nil {
				return nil, err
			}
			for _, f := range firings {
				one.Last = append(one.Last, api.FiredOf(f))
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// AuthorizeTrigger implements [api.Work].
func (w *Work) AuthorizeTrigger(ctx context.Context, who access.Identity, verb access.Verb, trigger string) error {
	if trigger == "" {
		return w.Authorize(ctx, who, verb, "", "")
	}
	p, err := w.Project(ctx)
	if err != nil {
		return err
	}
	declared := p.Triggers[trigger]
	if declared == nil {
		return fmt.Errorf("%w: the project declares no trigger %q", api.ErrNotFound, trigger)
	}
	environment := declared.Environment
	if environment == "" {
		var diags diag.List
		if environment, diags = w.root().ChooseEnvironment(p, ""); diags.HasErrors() {
			return diags.Err()
		}
	}
	return w.Authorize(ctx, who, verb, environment, declared.Workflow.Name)
}

// RetryFiring implements [api.Work].
func (w *Work) RetryFiring(ctx context.Context, who access.Identity, f runs.Firing, id string) error {
	_, err := triggers.Retry(ctx, w.runner.Store.(*sqlite.Store), f, id, who.Subject, time.Now())
	if errors.Is(err, triggers.ErrNotDead) {
		return fmt.Errorf("%w: %w: it is %s", api.ErrConflict, err, f.Status)
	}
	return err
}
