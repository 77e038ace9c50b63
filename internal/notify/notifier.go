package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/tutti-dev/tutti/internal/runs"
)

// Store is what notifying needs of a store.
type Store interface {
	runs.OutboxStore
	Run(ctx context.Context, id string) (runs.Run, error)
	Feed(ctx context.Context, after int64, each func(*events.Link) error) (made int64, err error)
}

// Notifier tells what happens to whom notify blocks name.
type Notifier struct {
	Store Store
	// Changed returns a channel that is closed at the next change of the store.
	Changed func() <-chan struct{}
	// Secret reads a secret for a notify block.
	Secret func(ctx context.Context, n *projects.Notify, name string) (string, error)
	// Plans are what a run planned, for the comments on requests to merge; nil where it
	// planned nothing.
	Plans func(ctx context.Context, run runs.Run) ([]PlannedStack, error)
	// Fingerprint is a keyed hash, by which comments of ours are known.
	Fingerprint func(of string, value []byte) (string, error)
	// PublicURL is where people find the server; empty where nobody knows.
	PublicURL string
	// Problem is told what keeps the notifier from working; it goes on trying.
	Problem func(error)
	// Schedule says when attempts are made; the zero one is [DefaultSchedule].
	Schedule Schedule
	Now      func() time.Time // nil: time.Now
}

const (
	// batch is how many events are read at once.
	batch = 500
	// breath is how long the feed is left alone after a look: what comes meanwhile is
	// seen with the next.
	breath = 20 * time.Millisecond
	// lookAgain is how often it is looked for what others have changed in the outbox,
	// and whether it is held by nobody.
	lookAgain = time.Second
)

// Run notifies by the latest of the lists that come, until ctx ends. Where another
// process does so already, it waits for its end.
func (n *Notifier) Run(ctx context.Context, lists <-chan []*projects.Notify) {
	release := n.hold(ctx)
	if release == nil {
		return
	}
	defer release()
	var list []*projects.Notify
	select {
	case list = <-lists:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		serving, end := context.WithCancel(ctx)
		done := make(chan struct{})
		go func(list []*projects.Notify) {
			defer close(done)
			n.serve(serving, list)
		}(list) // as it is now: the next one may come before this begins
		select {
		case list = <-lists:
		case <-ctx.Done():
		}
		end()
		<-done
	}
}

// hold waits until nobody else sends; nil where ctx ends before.
func (n *Notifier) hold(ctx context.Context) (release func()) {
	for ctx.Err() == nil {
		release, err := n.Store.HoldOutbox(ctx)
		if err == nil {
			return release
		}
		if !errors.Is(err, runs.ErrHeld) {
			n.problem(err)
		}
		pause(ctx, lookAgain, nil)
	}
	return nil
}

// serve follows the feed and sends until ctx ends.
func (n *Notifier) serve(ctx context.Context, list []*projects.Notify) {
	var all sync.WaitGroup
	defer all.Wait()
	var names []string
	var blocks []*block
	var fits []*patterns.Pattern
	for _, declared := range list {
		b := &block{Notifier: n, Notify: declared, poke: make(chan struct{}, 1)}
		b.client = newClient(declared)
		defer b.client.close()
		blocks, names = append(blocks, b), append(names, declared.Name)
		pattern := declared.On
		if pattern == nil {
			pattern = runEvents
		}
		fits = append(fits, pattern)
	}
	var known map[string]int64
	n.persist(ctx, func() (err error) {
		if err := n.Store.SetRecipients(ctx, names, n.now()); err != nil {
			return err
		}
		known, err = n.Store.Recipients(ctx)
		return err
	})
	if len(blocks) == 0 || ctx.Err() != nil {
		return
	}
	for _, b := range blocks {
		b.upTo = known[b.Name]
		all.Go(func() { b.send(ctx) })
	}
	f := &follower{n: n, blocks: blocks, names: names, matcher: patterns.Compile(fits)}
	f.follow(ctx)
}

// runEvents are those that hosts of code are told where a block says nothing else.
var runEvents = func() *patterns.Pattern {
	p, diags := patterns.ParseJSON("", []byte(`{"type": ["run.started", "run.resumed", "run.succeeded", "run.failed", "run.cancelled", "approval.needed"]}`))
	if diags.HasErrors() {
		panic(diags.Err()) // it is ours
	}
	return p
}()

// follower finds in the feed what is to be sent.
type follower struct {
	n       *Notifier
	blocks  []*block
	names   []string
	matcher *patterns.Matcher
	kept    int64 // up to where the store knows that the feed was looked at
}

func (f *follower) follow(ctx context.Context) {
	at := f.blocks[0].upTo
	for _, b := range f.blocks {
		at = min(at, b.upTo)
	}
	f.kept = at
	for ctx.Err() == nil {
		next := f.n.Changed()
		more := false
		f.n.persist(ctx, func() (err error) {
			at, more, err = f.look(ctx, at)
			return err
		})
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-next:
			pause(ctx, breath, nil)
		}
	}
}

var errEnough = errors.New("enough")

// look takes in events behind a place, and says how far it came and whether there
// may be more.
func (f *follower) look(ctx context.Context, after int64) (upTo int64, more bool, err error) {
	var links []*events.Link
	_, err = f.n.Store.Feed(ctx, after, func(l *events.Link) error {
		if len(links) == batch {
			return errEnough
		}
		links = append(links, l)
		return nil
	})
	if more = errors.Is(err, errEnough); err != nil && !more {
		return after, false, err
	}
	upTo = after
	var found []runs.Delivery
	for _, l := range links {
		upTo = l.Sequence
		for _, b := range f.fitting(l) {
			if l.Sequence <= b.upTo {
				continue
			}
			concerned, err := b.concerns(ctx, l)
			if err != nil {
				return after, false, err
			}
			if concerned {
				found = append(found, runs.Delivery{Notify: b.Name, Sequence: l.Sequence, Event: l.ID, Type: l.Type, Queued: f.n.now()})
			}
		}
	}
	// What leads to nothing may be looked at again: that is cheaper than writing each
	// time where it was seen.
	if len(found) == 0 && upTo-f.kept < batch {
		return upTo, more, nil
	}
	if err := f.n.Store.AdvanceOutbox(ctx, f.names, upTo, found); err != nil {
		return after, false, err
	}
	f.kept = upTo
	for _, b := range f.blocks {
		b.upTo = max(b.upTo, upTo)
		b.wake()
	}
	return upTo, more, nil
}

// fitting are the blocks whose pattern an event fits. An event that is not well
// formed fits none.
func (f *follower) fitting(l *events.Link) (out []*block) {
	doc, err := json.Marshal(events.DocumentOf(l))
	if err != nil {
		return nil
	}
	fits, err := f.matcher.Match(doc)
	if err != nil {
		return nil
	}
	for _, i := range fits {
		out = append(out, f.blocks[i])
	}
	return out
}

// concerns reports whether an event that fits is told at all.
func (b *block) concerns(ctx context.Context, l *events.Link) (bool, error) {
	if strings.HasPrefix(l.Type, ownEvents) && l.Subject == b.Name {
		return false, nil // that it cannot be told something is not told to it
	}
	switch {
	case b.Forge():
		_, concerned, err := b.reportOf(ctx, &l.Event)
		return concerned, err
	case b.Format == projects.FormatCDEvents:
		return cdTypes[l.Type].name != "", nil
	}
	return true, nil
}

// persist does something with the store, again and again until it succeeds or ctx
// ends.
func (n *Notifier) persist(ctx context.Context, f func() error) {
	for ctx.Err() == nil {
		err := f()
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			n.problem(err)
		}
		pause(ctx, lookAgain, nil)
	}
}

// pause waits, until it is woken or ctx ends.
func pause(ctx context.Context, length time.Duration, poke <-chan struct{}) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-poke:
	}
}

func (n *Notifier) now() time.Time {
	if n.Now != nil {
		return n.Now()
	}
	return time.Now()
}

func (n *Notifier) problem(err error) {
	if n.Problem != nil {
		n.Problem(fmt.Errorf("notifying: %w", err))
	}
}
