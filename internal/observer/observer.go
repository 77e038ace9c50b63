package observer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// Target is a stack in one environment that may be looked at.
type Target struct {
	Key   states.Key
	Block *projects.Observe // nil: only when somebody asks
}

// Store keeps a document about each stack: a [Record]. What is told is written
// with it, or not at all.
type Store interface {
	// Observation is one document; nil where there is none yet.
	Observation(ctx context.Context, key states.Key) (json.RawMessage, error)
	// Observations are all documents.
	Observations(ctx context.Context) (map[states.Key]json.RawMessage, error)
	// Observe replaces one, nil where there is none yet, in one transaction with
	// events and runs. change may be called more than once; what it returned last
	// counts. An error of it is returned, and nothing is written.
	Observe(ctx context.Context, key states.Key, change func(document json.RawMessage) (json.RawMessage, []events.Event, error), made ...runs.NewRun) error
}

// Work is what an observer has done for it. It is called by several goroutines.
type Work interface {
	// Look looks at a stack on behalf of its block or, where that is not nil, of
	// who asked. [ErrUnsteady] says that the stack was changed meanwhile.
	Look(ctx context.Context, t Target, asked *Asked) (Look, error)
	// Busy reports whether a run is changing a stack.
	Busy(ctx context.Context, key states.Key) (bool, error)
	// Repair is the run of a repair, to be made.
	Repair(ctx context.Context, t Target, r Repair) (runs.NewRun, error)
	// Open reports whether a run has not ended; [runs.ErrNotFound] says that there is
	// none.
	Open(ctx context.Context, run string) (bool, error)
}

// ErrUnsteady says that a stack was changed while it was looked at: what was seen
// says nothing.
var ErrUnsteady = errors.New("the stack was changed meanwhile")

const (
	// atOnce is how many stacks are looked at at the same time.
	atOnce = 4
	// lookAround is how often it is found out what other processes ask for, and
	// whether a stack that was being changed is free.
	lookAround = 5 * time.Second
)

// Observer looks at stacks when it is time. One may be at work on a store.
type Observer struct {
	Store Store
	Work  Work
	// Problem, where not nil, is told what does not work and is tried again.
	Problem func(error)
	// Jitter is a number in [-1, 1]; nil: any.
	Jitter func() float64

	mu      sync.Mutex
	wake    chan struct{}
	looking map[states.Key]bool
	held    map[states.Key]time.Time // until when a stack is not looked at
	all     sync.WaitGroup
}

// Wake has an observer find out at once whether there is something to do.
func (o *Observer) Wake() {
	select {
	case o.bell() <- struct{}{}:
	default:
	}
}

func (o *Observer) bell() chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wake == nil {
		o.wake = make(chan struct{}, 1)
	}
	return o.wake
}

// Run looks at the targets that the channel brings, each list in place of the one
// before, until ctx is cancelled. It returns when nobody looks any more.
func (o *Observer) Run(ctx context.Context, lists <-chan []Target) {
	o.looking, o.held = map[states.Key]bool{}, map[states.Key]time.Time{}
	var targets []Target
	clock := time.NewTimer(0)
	defer clock.Stop()
	for ctx.Err() == nil {
		wait := o.tend(ctx, targets)
		clock.Reset(wait)
		select {
		case <-ctx.Done():
		case <-clock.C:
		case <-o.bell():
		case targets = <-lists:
		}
	}
	o.all.Wait()
}

// tend begins the looks that are due and returns how long nothing has to be done.
func (o *Observer) tend(ctx context.Context, targets []Target) time.Duration {
	wait := lookAround
	if len(targets) == 0 {
		return wait
	}
	documents, err := o.Store.Observations(ctx)
	if err != nil {
		o.problem(ctx, err)
		return wait
	}
	now := time.Now()
	for _, t := range targets {
		r, err := Read(documents[t.Key])
		if err != nil {
			o.problem(ctx, err)
			continue
		}
		at, ok := o.due(ctx, t, r)
		if !ok {
			continue
		}
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		o.begin(ctx, t)
	}
	return wait
}

// due is when a stack wants something done; false for never.
func (o *Observer) due(ctx context.Context, t Target, r Record) (time.Time, bool) {
	o.mu.Lock()
	held := o.held[t.Key]
	o.mu.Unlock()
	repaired := false
	if r.Repair != nil && !r.Repair.Seen && t.Block != nil {
		open, _ := o.open(ctx, r.Repair.Run)
		repaired = !open
	}
	at, ok := time.Time{}, true
	switch {
	case r.Asked != nil:
	case repaired: // what has been put back is worth a look
	case t.Block == nil:
		return at, false
	case r.ahead(time.Now()):
	default:
		at = r.Next
		if r.Failures == 0 && !r.Looked.IsZero() {
			// The block may have been given a shorter time since.
			if latest := r.Looked.Add(t.Block.Every + time.Duration(jitter*float64(t.Block.Every))); latest.Before(at) {
				at = latest
			}
		}
	}
	if held.After(at) {
		at = held
	}
	return at, ok
}

// begin attends to a stack beside the others, unless somebody is at it or enough
// are.
func (o *Observer) begin(ctx context.Context, t Target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.looking[t.Key] || len(o.looking) >= atOnce {
		return // whoever ends wakes us
	}
	o.looking[t.Key] = true
	o.all.Go(func() {
		defer o.Wake()
		defer func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			delete(o.looking, t.Key)
		}()
		if err := o.attend(ctx, t); err != nil {
			wait := lookAround
			if !errors.Is(err, ErrUnsteady) {
				o.problem(ctx, err)
				wait = firstRetry
			}
			o.hold(t.Key, wait)
		}
	})
}

// hold leaves a stack alone for a while.
func (o *Observer) hold(key states.Key, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[key] = time.Now().Add(wait)
}

func (o *Observer) problem(ctx context.Context, err error) {
	if o.Problem != nil && ctx.Err() == nil {
		o.Problem(err)
	}
}

// attend looks at a stack if that is due.
func (o *Observer) attend(ctx context.Context, t Target) error {
	r, err := o.record(ctx, t.Key)
	if err != nil {
		return err
	}
	if at, ok := o.due(ctx, t, r); !ok || at.After(time.Now()) {
		return nil // somebody has ended meanwhile who was at it
	}
	return o.Look(ctx, t, r.Asked)
}

func (o *Observer) record(ctx context.Context, key states.Key) (Record, error) {
	document, err := o.Store.Observation(ctx, key)
	if err != nil {
		return Record{}, err
	}
	return Read(document)
}

// Look looks at a stack now and records what it found, with the run of a repair where
// one is decided.
func (o *Observer) Look(ctx context.Context, t Target, asked *Asked) error {
	if err := o.steady(ctx, t.Key); err != nil {
		return err
	}
	l, err := o.watched(ctx, t, asked)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx) // it says nothing about the stack
	case errors.Is(err, ErrUnsteady):
		return err
	case err != nil:
		l.Problem = err.Error()
	default:
		// What was read while a run was at work is neither before nor after it.
		if err := o.steady(ctx, t.Key); err != nil {
			return err
		}
	}
	settings := Settings{Run: runs.NewID(time.Now()), Jitter: o.jitter()}
	if b := t.Block; b != nil {
		settings.Every, settings.Flapping, settings.Within, settings.Repair = b.Every, b.Flapping, b.Within, b.Repair
	}
	for {
		err := o.take(ctx, t, asked, l, settings)
		if !errors.Is(err, errOther) {
			return err
		}
	}
}

// errOther says that what was known of a stack has changed meanwhile.
var errOther = errors.New("something else is known meanwhile")

// take writes what is known with one more look: what comes of it, the run of a repair
// included, is told only together with it. It returns [errOther] where it rests on
// what is not known any more.
func (o *Observer) take(ctx context.Context, t Target, asked *Asked, l Look, settings Settings) error {
	before, err := o.Store.Observation(ctx, t.Key)
	if err != nil {
		return err
	}
	r, err := Read(before)
	if err != nil {
		return err
	}
	if r.Looked.After(l.Began) && l.Problem == "" && !r.ahead(l.Ended) {
		return ErrUnsteady // somebody else has looked later
	}
	if last := r.Repair; last != nil && last.Problem == "" {
		var made bool
		if settings.Open, made = o.open(ctx, last.Run); !made {
			// Programs of before decided first and made the run then: one has died in
			// between. Nothing was put back.
			r.Repair = nil
		}
	}
	next, notices := r.After(l, settings)
	var made []runs.NewRun
	if next.Repair != nil && next.Repair.Run == settings.Run {
		n, err := o.Work.Repair(ctx, t, *next.Repair)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			next = next.refused(notices, err.Error())
		default:
			made = append(made, n)
		}
	}
	document, err := json.Marshal(next)
	if err != nil {
		return err
	}
	list := told(t, asked, next, notices)
	return o.Store.Observe(ctx, t.Key, func(now json.RawMessage) (json.RawMessage, []events.Event, error) {
		if !bytes.Equal(now, before) {
			return nil, nil, errOther
		}
		return document, list, nil
	}, made...)
}

// watched looks at a stack, and gives up when a run begins to change it.
func (o *Observer) watched(ctx context.Context, t Target, asked *Asked) (Look, error) {
	looking, cancel := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		ticker := time.NewTicker(lookAround)
		defer ticker.Stop()
		for {
			select {
			case <-looking.Done():
				return
			case <-ticker.C:
				if errors.Is(o.steady(looking, t.Key), ErrUnsteady) {
					cancel(ErrUnsteady)
				}
			}
		}
	}()
	l := Look{Began: time.Now().UTC()}
	seen, err := o.Work.Look(looking, t, asked)
	if err == nil {
		seen.Began = l.Began
		l = seen
	}
	l.Ended = time.Now().UTC()
	if errors.Is(context.Cause(looking), ErrUnsteady) {
		err = ErrUnsteady
	}
	cancel(nil)
	<-watching
	return l, err
}

// steady fails with [ErrUnsteady] where a run is changing a stack.
func (o *Observer) steady(ctx context.Context, key states.Key) error {
	busy, err := o.Work.Busy(ctx, key)
	if err == nil && busy {
		err = ErrUnsteady
	}
	return err
}

// open reports whether a run may still put something back, and whether it was made at
// all.
func (o *Observer) open(ctx context.Context, run string) (open, made bool) {
	open, err := o.Work.Open(ctx, run)
	if errors.Is(err, runs.ErrNotFound) {
		return false, false
	}
	if err != nil {
		o.problem(ctx, err)
	}
	return open || err != nil, true
}

func (o *Observer) jitter() float64 {
	if o.Jitter != nil {
		return o.Jitter()
	}
	return 2*rand.Float64() - 1
}

// told are the events about a look.
func told(t Target, asked *Asked, r Record, notices []Notice) []events.Event {
	type place struct {
		Stack       string `json:"stack"`
		Environment string `json:"environment"`
	}
	where := place{t.Key.Stack, t.Key.Environment}
	by := ""
	if t.Block != nil {
		by = t.Block.As
	}
	subject := t.Key.Environment
	if t.Key.Stack != "" {
		subject += "/" + t.Key.Stack
	}
	var out []events.Event
	if asked != nil {
		by = asked.By
		out = append(out, runs.AuditEvent(t.Key, "drift.looked", subject, by, struct {
			place
			Drifted int    `json:"drifted"`
			Problem string `json:"problem,omitempty"`
		}{where, len(r.Drift), r.Problem}))
	}
	for _, n := range notices {
		out = append(out, runs.AuditEvent(t.Key, n.Kind, subject, by, struct {
			place
			Notice
		}{where, n}))
	}
	return out
}
