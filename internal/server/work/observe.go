package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/engine"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/observer"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

// Observer looks at the stacks of a project: for a server again and again, for
// "tutti drift -now" once.
type Observer struct {
	op      *operations.Operation // of the project's root
	store   *sqlite.Store
	budgets observer.Budgets
	Loop    observer.Observer
	// work makes the runs of repairs ready; nil where there are none.
	work *Work
}

var _ observer.Work = (*Observer)(nil)

// NewObserver makes one that tells the program's own log what does not work.
func NewObserver(op *operations.Operation, store *sqlite.Store) *Observer {
	w := &Observer{op: op, store: store}
	w.Loop = observer.Observer{Store: store, Work: w, Problem: func(err error) { op.Session.Tell(fmt.Sprintf("Observer: %s\n", err)) }}
	return w
}

// Serve observes until ctx is cancelled, once no other process does.
func (w *Observer) Serve(ctx context.Context) {
	ticker := time.NewTicker(fileCheck)
	defer ticker.Stop()
	var release func()
	for {
		var err error
		if release, err = w.store.LockObserver(); err == nil {
			break
		}
		if !errors.Is(err, runs.ErrHeld) {
			w.Loop.Problem(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	defer release()
	lists := make(chan []observer.Target)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		before := ""
		for {
			// Environments come and go without the files.
			now := Fingerprint()
			list, known, err := w.Targets(ctx)
			switch now += known; {
			case now == before:
			case err != nil:
				before = now
				w.Loop.Problem(err)
			default:
				before = now
				select {
				case lists <- list:
				case <-ctx.Done():
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	w.Loop.Run(ctx, lists)
	<-watching
}

// Targets are the stacks of the project in all environments; known tells lists of
// those apart. Budgets are set to what the files say.
func (w *Observer) Targets(ctx context.Context) (list []observer.Target, known string, err error) {
	p, err := operations.LoadedProject(w.op.RootDir())
	if err != nil {
		return nil, "", err
	}
	rates := map[addrs.Provider]projects.Rate{}
	for _, o := range p.Observes {
		maps.Copy(rates, o.Rates)
	}
	w.budgets.Set(rates)
	environments, err := operations.EnvironmentsOf(ctx, p, w.store, w.op.Environment)
	if err != nil {
		return nil, "", err
	}
	stacks := sortedKeys(p.Stacks)
	if len(stacks) == 0 {
		stacks = []string{""}
	}
	for _, environment := range environments {
		for _, stack := range stacks {
			list = append(list, observer.Target{Key: states.Key{Stack: stack, Environment: environment}, Block: p.Observed(stack, environment)})
		}
	}
	return list, fmt.Sprint(environments), nil
}

// operation is one on a stack as the files are now. Nothing of it is shown. done
// is to be called in the end.
func (w *Observer) operation(key states.Key) (op *operations.Operation, done func(), diags diag.List) {
	p, err := operations.LoadedProject(w.op.RootDir())
	if err != nil {
		return nil, nil, diag.FromError(err)
	}
	root := w.op.Aside(key)
	root.Session = w.op.Session.Fresh()
	root.Session.Terminal = project.Muted{}
	if key.Stack == "" && len(p.Stacks) == 0 {
		done = func() {
			if root.Providers != nil {
				_ = root.Providers.Close()
			}
		}
		return operations.New(root, operations.Silent{}), done, nil
	}
	e, diags := project.NewEnsemble(root, p)
	if diags.HasErrors() {
		return nil, nil, diags
	}
	if p.Stacks[key.Stack] == nil {
		return nil, nil, diag.Errorf("No such stack", "The project declares no stack %q.", key.Stack)
	}
	e.Names, e.Environment, root.Stack = []string{key.Stack}, key.Environment, ""
	return operations.New(e.Member(key.Stack), operations.Silent{}), e.CloseMembers, diags
}

// Look implements [observer.Work]: it makes a plan that would only record what is
// there, and drops it.
func (w *Observer) Look(ctx context.Context, t observer.Target, asked *observer.Asked) (observer.Look, error) {
	op, done, diags := w.operation(t.Key)
	if diags.HasErrors() {
		return observer.Look{}, inALine(diags)
	}
	defer done()
	switch {
	case asked != nil:
		op.As(asked.By, asked.Authority, nil)
	case t.Block != nil:
		op.As(t.Block.As, &access.Authority{}, nil)
	}
	in, diags := op.PlanInput(ctx, &operations.PlanOptions{Refresh: true, RefreshOnly: true, Parallelism: operations.DefaultParallelism})
	if diags.HasErrors() {
		return observer.Look{}, inALine(diags)
	}
	l := observer.Look{Files: filesDigest(in.Config.Files), Objects: len(in.Prior.Instances)}
	if l.Objects == 0 {
		return l, nil // nobody has made anything yet
	}
	var reads atomic.Int64
	in.Providers = w.budgets.Within(in.Providers, &reads)
	plan, diags := engine.Plan(ctx, in)
	l.Reads = reads.Load()
	if diags.HasErrors() {
		return l, inALine(diags)
	}
	now, err := w.store.State(ctx, t.Key)
	if err != nil {
		return l, err
	}
	if now.Serial != in.Prior.Serial || now.Lineage != in.Prior.Lineage {
		return l, observer.ErrUnsteady
	}
	l.Changes = observer.Changes(plan, func(c *plans.Change) bool { return in.Config.Resource(c.Object.Instance.Config()) != nil })
	return l, nil
}

// inALine is the first of some problems, as it is kept.
func inALine(diags diag.List) error {
	for _, d := range diags.Sorted() {
		if d.Severity == diag.Error {
			where := ""
			if d.Address != "" {
				where = d.Address + ": "
			}
			return fmt.Errorf("%s%s: %s", where, d.Summary, diag.FirstLine(d.Detail))
		}
	}
	return nil
}

// filesDigest tells configurations apart.
func filesDigest(files map[string][]byte) string {
	sum := sha256.New()
	for _, name := range sortedKeys(files) {
		fmt.Fprintf(sum, "%q %d\n", name, len(files[name]))
		_, _ = sum.Write(files[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Busy implements [observer.Work]. Whoever has a lock is at work, too.
func (w *Observer) Busy(ctx context.Context, key states.Key) (bool, error) {
	list, err := w.store.Unended(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(list, func(r runs.Run) bool { return r.Key == key && !r.Machine() && r.Status == runs.Running }) {
		return true, nil
	}
	lock, err := w.store.Locked(ctx, key)
	return lock != nil, err
}

// Open implements [observer.Work].
func (w *Observer) Open(ctx context.Context, run string) (bool, error) {
	r, err := w.store.Run(ctx, run)
	return err == nil && !r.Status.Ended(), err
}

// Repair implements [observer.Work].
func (w *Observer) Repair(ctx context.Context, t observer.Target, r observer.Repair) (runs.NewRun, error) {
	d, o, err := w.work.changing(ctx, access.Identity{Subject: t.Block.As}, api.Change{
		ID: r.Run, Stack: t.Key.Stack, Environment: t.Key.Environment, Refresh: true, Targets: r.Targets, Apply: true, Approve: t.Block.Approve, Repair: true,
	})
	if err != nil {
		return runs.NewRun{}, err
	}
	n, diags := w.work.runner.PrepareWorkflow(ctx, d, o)
	return n, diags.Err()
}

// Observed is what is known of a stack by looking.
func (w *Observer) Observed(ctx context.Context, key states.Key) (observer.Record, error) {
	document, err := w.store.Observation(ctx, key)
	if err != nil {
		return observer.Record{}, err
	}
	return observer.Read(document)
}

// ask has a stack looked at by whoever observes the store.
func (w *Observer) ask(ctx context.Context, key states.Key, asked observer.Asked) error {
	err := w.store.Observe(ctx, key, func(document json.RawMessage) (json.RawMessage, []events.Event, error) {
		r, err := observer.Read(document)
		if err != nil {
			return nil, nil, err
		}
		r.Asked = &asked
		document, err = json.Marshal(r)
		return document, nil, err
	})
	w.Loop.Wake()
	return err
}

// Reset forgets what changed again and again.
func (w *Observer) Reset(ctx context.Context, key states.Key, by string) error {
	return w.store.Observe(ctx, key, func(document json.RawMessage) (json.RawMessage, []events.Event, error) {
		r, err := observer.Read(document)
		if err != nil || document == nil {
			return nil, nil, err
		}
		document, err = json.Marshal(r.Reset())
		return document, []events.Event{runs.AuditEvent(key, "drift.reset", project.PlaceOf(key), by, nil)}, err
	})
}
