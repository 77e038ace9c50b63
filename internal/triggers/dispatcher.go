package triggers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/events/windows"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// Dispatcher starts runs for events. It follows the feed from where it, or another
// one, was last: what comes of a part of it (which triggers fire, with which runs, and
// what their windows know then) is written in one transaction with the new place. The
// run of a firing is made in one transaction with what says that it was. So each event
// is acted on once, wherever a process dies, and however many there are.
type Dispatcher struct {
	Store interface {
		runs.EventStore
		runs.Store
	}
	// Start makes the run of a firing, for somebody else to drive. An [*InvalidError]
	// says that trying again makes no sense.
	Start func(ctx context.Context, t *EventTrigger, f runs.Firing, list []runs.Fed) error
	// Values are those of the project's variables in an environment, and Environment
	// is where the runs of triggers work that name none.
	Values      func(p *projects.Project, environment string) (map[string]cty.Value, diag.List)
	Environment func() string
	// Changed returns a channel that is closed at the next change of the store.
	Changed func() <-chan struct{}
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Trouble, where not nil, is told what does not work and is tried again.
	Trouble func(error)

	set      *EventTriggers
	windows  []*window // of the triggers of set
	stored   runs.Position
	seen     int64 // up to where the feed was looked at; at stored or behind it
	saved    time.Time
	loaded   bool // windows and position are those of the store
	due      bool // there may be firings whose runs are to be made
	values   map[string]map[string]cty.Value
	depths   map[string]int // of runs
	trouble  time.Duration
	stopping map[stop]*stopped // what loop guards kept back in this step
}

// window is a trigger's window at work.
type window struct {
	*windows.Window
	state   runs.WindowState
	next    time.Time // when it has to look again
	changed bool
	known   bool // something of it is written down
}

type stop struct {
	trigger string
	reason  windows.Refusal
}

type stopped struct {
	Reason string `json:"reason"`
	Depth  int    `json:"depth"`
	Events int    `json:"events"` // how many
	Last   int64  `json:"last"`   // number of the last of them
}

const (
	// feedBatch is how many events are looked at in one step, and startBatch how many
	// runs are made in one go, startsAtOnce at a time: they share commits.
	feedBatch, startBatch, startsAtOnce = 500, 256, 32
	// saveAfter is how often the place in the feed is written where nothing follows
	// from the events; after a crash those in between are looked at again.
	saveAfter = 5 * time.Second
	// breath is how long there is at least between two looks.
	breath = 10 * time.Millisecond
	// depthsKept is how many runs are remembered by how many led to them.
	depthsKept = 10_000
)

// Know takes the first triggers, before Run: whatever happens from now on, they see.
func (d *Dispatcher) Know(ctx context.Context, set *EventTriggers) error {
	d.set = set
	return d.load(ctx)
}

// Run starts runs for the triggers that the channel brings, each list in place of the
// one before, until ctx is cancelled. Until the first one comes, events wait.
func (d *Dispatcher) Run(ctx context.Context, sets <-chan *EventTriggers) {
	clock := time.NewTimer(0)
	defer clock.Stop()
	for ctx.Err() == nil {
		changed := d.Changed()
		select { // nothing is looked at by triggers that are of the past
		case d.set = <-sets:
			d.loaded = false
		default:
		}
		wait := longestSleep
		if d.set != nil {
			more, err := d.step(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				d.loaded = false
				wait, changed = d.failed(err), nil
			case more:
				wait, d.trouble = 0, 0
			default:
				wait, d.trouble = d.sleep(), 0
			}
		}
		clock.Reset(wait)
		select {
		case <-ctx.Done():
		case <-clock.C:
		case d.set = <-sets:
			d.loaded = false
		case <-changed:
			select {
			case <-ctx.Done():
			case <-time.After(breath):
			}
		}
	}
}

func (d *Dispatcher) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now().Round(0)
}

func (d *Dispatcher) failed(err error) time.Duration {
	if d.Trouble != nil {
		d.Trouble(err)
	}
	d.trouble = min(max(2*d.trouble, firstRetry), longestRetry)
	return d.trouble
}

// sleep is how long there is nothing to do unless the store changes.
func (d *Dispatcher) sleep() time.Duration {
	wait := longestSleep
	now := d.now()
	if d.seen > d.stored.Sequence {
		wait = d.saved.Add(saveAfter).Sub(now)
	}
	for _, w := range d.windows {
		if !w.next.IsZero() {
			wait = min(wait, w.next.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// load reads up to where the feed was looked at, and what triggers know.
func (d *Dispatcher) load(ctx context.Context) error {
	at, states, err := d.set.Follow(ctx, d.Store)
	if err != nil {
		return err
	}
	list := make([]*window, len(states))
	for i, state := range states {
		w, err := windows.New(d.set.list[i].Declared.Window, state.State)
		if err != nil {
			return fmt.Errorf("trigger %q: %w", state.Trigger, err)
		}
		list[i] = &window{Window: w, state: state, known: len(state.State) > 0, next: w.Next()}
	}
	d.windows, d.stored, d.seen, d.saved = list, at, at.Sequence, d.now()
	d.loaded, d.due = true, true
	d.values, d.depths = map[string]map[string]cty.Value{}, map[string]int{}
	return nil
}

// step looks at the next part of the feed and does what follows from it. It reports
// whether there may be more.
func (d *Dispatcher) step(ctx context.Context) (more bool, err error) {
	if !d.loaded {
		if err := d.load(ctx); err != nil {
			return false, err
		}
	}
	batch, err := d.Store.Fed(ctx, d.seen, feedBatch)
	if err != nil {
		return false, err
	}
	p := runs.Progress{From: d.stored, To: d.seen}
	d.stopping = map[stop]*stopped{}
	for i := range batch {
		// Somebody may have made a dead letter due again.
		d.due = d.due || batch[i].Type == "trigger.retried"
		if err := d.take(ctx, &batch[i], &p); err != nil {
			return false, err
		}
		p.To = batch[i].Sequence
	}
	if more = len(batch) == feedBatch; !more {
		// Time goes on only where all that happened before is known.
		d.pass(&p)
	}
	written, err := d.advance(ctx, &p)
	if err != nil || !written {
		d.loaded = false // what was computed is no more than a guess
		return true, err
	}
	if d.due {
		again, err := d.start(ctx)
		return more || again, err
	}
	return more, nil
}

// advance writes what follows from a part of the feed; false where somebody else was
// faster.
func (d *Dispatcher) advance(ctx context.Context, p *runs.Progress) (bool, error) {
	d.seen = p.To
	for i, w := range d.windows {
		empty := w.Empty()
		if !w.changed || empty && !w.known {
			continue
		}
		var state []byte
		if !empty {
			var err error
			if state, err = w.Save(); err != nil {
				return false, fmt.Errorf("trigger %q: %w", d.set.list[i].Name, err)
			}
		}
		w.state.State, w.changed, w.known = state, false, !empty
		p.Windows = append(p.Windows, w.state)
	}
	p.Events = append(p.Events, d.told()...)
	if len(p.Firings) == 0 && len(p.Windows) == 0 && len(p.Events) == 0 && (p.To == d.stored.Sequence || d.savedLately()) {
		return true, nil
	}
	at, written, err := d.Store.Advance(ctx, *p)
	if err != nil || !written {
		return false, err
	}
	d.stored, d.saved = at, d.now()
	d.due = d.due || len(p.Firings) > 0
	return true, nil
}

// savedLately reports whether there is time yet until the place in the feed is written.
func (d *Dispatcher) savedLately() bool {
	since := d.now().Sub(d.saved)
	return since >= 0 && since < saveAfter // the clock may have been ahead
}

// told are the events about what loop guards kept back.
func (d *Dispatcher) told() []events.Event {
	var out []events.Event
	keys := slices.SortedFunc(maps.Keys(d.stopping), func(a, b stop) int {
		return strings.Compare(a.trigger+string(a.reason), b.trigger+string(b.reason))
	})
	for _, k := range keys {
		out = append(out, triggerEvent("trigger.stopped", k.trigger, d.now(), d.stopping[k]))
	}
	return out
}

// failure is the event about a firing that is dead.
func (d *Dispatcher) failure(trigger string, event int64, problem string) events.Event {
	return triggerEvent("trigger.failed", trigger, d.now(), map[string]any{"event": event, "problem": problem})
}

// triggerEvent is an event about a trigger.
func triggerEvent(kind, trigger string, now time.Time, data any) events.Event {
	text, err := json.Marshal(data)
	if err != nil {
		text = nil // plain data always can be written
	}
	return events.Event{Source: runs.ReplaySource, Type: kind, Subject: trigger, Actor: "trigger:" + trigger, Time: now, Data: text}
}

// take gives an event of the feed to the triggers that it is for.
func (d *Dispatcher) take(ctx context.Context, e *runs.Fed, p *runs.Progress) error {
	number, at, only := e.Sequence, e.At, ""
	if strings.HasPrefix(e.Type, "trigger.") {
		// What triggers did triggers nothing.
		_, to, ok := runs.ReplayOf(e)
		if !ok {
			return nil
		}
		before, err := EventAt(ctx, d.Store, number)
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			return nil // it names an event that there is not
		}
		if err != nil {
			return err
		}
		e, only = before, to.Trigger
	}
	document, err := e.JSON()
	if err != nil {
		return fmt.Errorf("event %d: %w", number, err)
	}
	fits, err := d.set.match(document)
	if err != nil || len(fits) == 0 {
		return nil // what is no event to patterns fits none
	}
	value, err := EventValue(document)
	if err != nil {
		return nil
	}
	for _, i := range slices.Sorted(maps.Keys(fits)) {
		t, w := d.set.list[i], d.windows[i]
		if number <= w.state.Since || only != "" && only != t.Name {
			continue
		}
		depth := 0
		if !e.Outside {
			if depth, err = d.depth(ctx, &e.Event); err != nil {
				return err
			}
		}
		one := windows.Event{ID: strconv.FormatInt(number, 10), Parts: fits[i], Depth: depth}
		holds, problem := d.ask(t, value, &one)
		switch {
		case problem != nil:
			p.Firings = append(p.Firings, d.firing(t, windows.Firing{At: at, Events: []string{one.ID}, Depth: depth}, problem))
			p.Events = append(p.Events, d.failure(t.Name, number, problem.Error()))
			continue
		case !holds:
			continue
		}
		d.result(i, w.Take(one, at), &one, number, p)
	}
	return nil
}

// ask finds out whether an event is for a trigger, and what it has in common with
// others.
func (d *Dispatcher) ask(t *EventTrigger, value cty.Value, one *windows.Event) (bool, error) {
	if t.condition == nil && t.key == nil && t.once == nil {
		return true, nil
	}
	environment := t.Declared.Environment
	if environment == "" {
		environment = d.Environment()
	}
	vars, known := d.values[environment]
	if !known {
		var diags diag.List
		if vars, diags = d.Values(t.Project, environment); diags.HasErrors() {
			return false, diags.Err()
		}
		d.values[environment] = vars
	}
	about := Occasion{Event: value, Environment: environment, Variables: vars}
	var diags, found diag.List
	if t.condition != nil {
		holds, diags := t.condition.Holds(about)
		if diags.HasErrors() || !holds {
			return false, diags.Err()
		}
	}
	if t.key != nil {
		one.Key, diags = t.key.Of(about)
	}
	if t.once != nil {
		one.Once, found = t.once.Of(about)
	}
	return true, append(diags, found...).Err()
}

// depth is how many runs led to an event of Tutti's own.
func (d *Dispatcher) depth(ctx context.Context, e *events.Event) (int, error) {
	run := runs.RunOf(e)
	if run == "" {
		return 0, nil
	}
	if known, ok := d.depths[run]; ok {
		return known, nil
	}
	depth, err := runs.DepthOf(ctx, d.Store, run)
	if errors.Is(err, runs.ErrNotFound) {
		depth, err = 0, nil // it only looks like one
	}
	if err != nil {
		return 0, err
	}
	if len(d.depths) >= depthsKept {
		clear(d.depths)
	}
	d.depths[run] = depth
	return depth, nil
}

// pass says to windows that time has passed, where they wait for it.
func (d *Dispatcher) pass(p *runs.Progress) {
	now := d.now()
	for i, w := range d.windows {
		if !w.next.IsZero() && (!w.next.After(now) || w.Ahead(now)) {
			d.result(i, w.Advance(now), nil, 0, p)
		}
	}
}

// result takes in what came of an event, or of time.
func (d *Dispatcher) result(i int, r windows.Result, one *windows.Event, number int64, p *runs.Progress) {
	t, w := d.set.list[i], d.windows[i]
	w.changed, w.next = true, r.Next
	for _, f := range r.Firings {
		p.Firings = append(p.Firings, d.firing(t, f, nil))
	}
	for _, why := range r.Refusals {
		if why != windows.TooDeep && why != windows.TooMany {
			continue
		}
		key := stop{t.Name, why}
		s := d.stopping[key]
		if s == nil {
			s = &stopped{Reason: string(why)}
			d.stopping[key] = s
		}
		s.Depth, s.Last = max(s.Depth, one.Depth), number
		s.Events++
	}
}

// firing is what is written about a trigger that fires, or that cannot.
func (d *Dispatcher) firing(t *EventTrigger, f windows.Firing, problem error) runs.Firing {
	out := runs.Firing{Trigger: t.Name, Key: f.Key, At: f.At, Depth: f.Depth, Suppressed: f.Suppressed, Status: runs.FiringDue}
	for _, id := range f.Events {
		number, err := strconv.ParseInt(id, 10, 64)
		if err == nil { // it was made of one
			out.Events = append(out.Events, number)
		}
	}
	out.Event = slices.Max(out.Events)
	out.Run = firingRun(t.Name, out.Event)
	if problem != nil {
		out.Status, out.Problem, out.Unmatched = runs.FiringDead, problem.Error(), true
	}
	return out
}

// start makes the runs of firings that are due. It reports whether there may be more.
func (d *Dispatcher) start(ctx context.Context) (more bool, err error) {
	list, err := d.Store.Firings(ctx, runs.FiringQuery{Status: runs.FiringDue, Limit: startBatch})
	if err != nil {
		return false, err
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, startsAtOnce)
	errs := make([]error, len(list))
	for i, f := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			errs[i] = d.startOne(ctx, f)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	d.due = len(list) == startBatch
	return d.due, nil
}

// startOne makes the run of a firing, or says why it cannot be.
func (d *Dispatcher) startOne(ctx context.Context, f runs.Firing) error {
	err := d.attempt(ctx, f)
	var invalid *InvalidError
	if err == nil || !errors.As(err, &invalid) {
		return err
	}
	f.Status, f.Problem = runs.FiringDead, invalid.Error()
	_, err = d.Store.RecordFiring(ctx, f, runs.FiringDue, d.failure(f.Trigger, f.Event, f.Problem))
	return err
}

func (d *Dispatcher) attempt(ctx context.Context, f runs.Firing) error {
	t := d.set.Find(f.Trigger)
	if t == nil {
		return &InvalidError{errors.New("the project does not have this trigger any more")}
	}
	list := make([]runs.Fed, len(f.Events))
	for i, number := range f.Events {
		e, err := EventAt(ctx, d.Store, number)
		if err != nil {
			return err
		}
		list[i] = *e
	}
	err := d.Start(ctx, t, f, list)
	if err == nil {
		return nil
	}
	// Somebody else may have been faster.
	run, there := d.Store.Run(ctx, f.Run)
	switch {
	case there != nil:
		return err
	case run.Cause != nil && run.Cause.Trigger == f.Trigger && run.Cause.Event == f.Event:
		return nil
	}
	return &InvalidError{fmt.Errorf("there is a run %s already that is none of this trigger", f.Run)}
}

// EventAt is the event that an event of the feed gives to triggers: itself, or an
// earlier one that it has replayed.
func EventAt(ctx context.Context, store runs.EventStore, number int64) (*runs.Fed, error) {
	found, err := store.Fed(ctx, number-1, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Sequence != number {
		return nil, &InvalidError{fmt.Errorf("the feed has no event %d", number)}
	}
	if before, _, ok := runs.ReplayOf(&found[0]); ok && before < number {
		return EventAt(ctx, store, before)
	}
	return &found[0], nil
}

// ErrNotDead says that a firing is not dead, or not any more.
var ErrNotDead = errors.New("it is not a dead letter")

// Retry has a dead firing done again: its run is started, or, where nobody could tell
// whether its event is for the trigger, the event is given to the trigger anew, as one
// of that id. It returns the number of the event that says so; 0 where it is the
// firing itself that goes on.
func Retry(ctx context.Context, store runs.EventStore, f runs.Firing, id, actor string, now time.Time) (int64, error) {
	told := triggerEvent("trigger.retried", f.Trigger, now, map[string]any{"event": f.Event})
	told.Actor = actor
	var replayed int64
	f.Status = runs.FiringDue
	if f.Unmatched {
		accepted, err := store.Accept(ctx, []runs.Inbound{runs.NewReplay(f.Event, f.Trigger, id, actor, now)})
		if err != nil {
			return 0, err
		}
		f.Status, replayed = runs.FiringRetried, accepted[0].Sequence
	} else {
		f.Problem = ""
	}
	recorded, err := store.RecordFiring(ctx, f, runs.FiringDead, told)
	if err == nil && !recorded {
		err = ErrNotDead
	}
	return replayed, err
}
