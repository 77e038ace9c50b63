// Package runs carries out plans as durable runs: claims on what they write,
// intent before and outcome after every operation, resuming after a crash,
// cancelling, rolling back. It is the only room that knows both the engine and
// the durable core.
package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Status is where a run stands. It only moves forward.
type Status string

// The statuses of a run. A Pending one waits for somebody to drive it.
// Interrupted is not stored: it is what a Running run is called whose owner is
// gone.
const (
	Pending     Status = "pending"
	Running     Status = "running"
	Interrupted Status = "interrupted"
	Succeeded   Status = "succeeded"
	Failed      Status = "failed"
	Cancelled   Status = "cancelled"
)

// Ended reports whether nothing more happens to the run.
func (s Status) Ended() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Happened says in a sentence how a run ended: "has succeeded", "was cancelled".
func (s Status) Happened() string {
	if s == Cancelled {
		return "was cancelled"
	}
	return "has " + string(s)
}

// Waits is what a run wants of somebody outside before it can go on, or one branch of it.
type Waits string

// What runs wait for. Where there are steps of both kinds, it is an approval.
const (
	ForApproval Waits = "approval"
	ForSignal   Waits = "signal"
)

// Run is one durable execution of a plan.
type Run struct {
	ID   string // sortable by creation, short enough to type
	Kind string // apply, destroy, refresh, import, rollback
	// Workflow is the name of the workflow that it is a run of; empty for none.
	Workflow string `json:",omitempty"`
	Key      states.Key
	Status   Status
	// Waits is what a run that has not ended wants of somebody outside, as its journal
	// says: whoever lists runs need not read it. Empty for nothing.
	Waits Waits  `json:",omitempty"`
	Actor string // who started it
	// Authority is what the actor's rights rest on; nil for what the operating system
	// says of them when they are asked for.
	Authority *access.Authority `json:",omitempty"`
	Program   string            // version of the program
	PlanHash  string            // digest of the plan
	Blob      string            // under which the plan's bytes are stored
	Steps     int               // operations, gates not counted
	Done      int               // of them, ended
	Failed    int               // of them, failed or lost
	Summary   string            // one line for people: what it does or did
	Problem   string            // first error, for listings; never a sensitive value
	Created   time.Time
	Started   time.Time // zero where not yet
	Ended     time.Time // zero where not yet
	// Cancelling says that a cancel was asked for: 1 politely, 2 hard.
	Cancelling int
	// Parent is the run that this one is a step of; empty for none. It is resumed
	// with that run.
	Parent string `json:",omitempty"`
	// Cause is the trigger that started the run, and for which event; nil for none.
	Cause *Cause `json:",omitempty"`
	// Overrides are the rules that were against the run, and why it was carried out
	// all the same; of a workflow, those that its steps may go against.
	Overrides []Override `json:",omitempty"`
	// Source is the code that the run is about; nil where whoever started it said
	// nothing of it. Steps that are runs of their own have none.
	Source *Source `json:",omitempty"`
	// Pruned is when its journal, its logs and what else only the run needed were
	// removed; zero where they are there.
	Pruned time.Time `json:",omitzero"`
}

// RunQuery chooses runs. What is empty chooses any.
type RunQuery struct {
	// State chooses the runs that change this state: no runs of machines, whose steps
	// change states.
	State       *states.Key
	Stack       string
	Environment string
	Kind        string
	Workflow    string
	Parent      string
	Top         bool // only runs that are no steps of others
	Status      Status
	Waiting     bool // only runs that want something of somebody outside
	// EndedSince chooses those that have ended, at this instant or later; zero for any.
	EndedSince time.Time
	// Before chooses those that are older than a run: its time of creation and id.
	Before *RunPosition
	Limit  int // 0 for all
}

// RunPosition is the place of a run among all, which are in order of their creation.
type RunPosition struct {
	Created time.Time
	ID      string
}

// Position is the place of a run among all.
func (r Run) Position() *RunPosition { return &RunPosition{r.Created, r.ID} }

// Behind reports whether a run comes after this position in lists, which have the newest
// first.
func (p *RunPosition) Behind(r Run) bool {
	if c := r.Created.Compare(p.Created); c != 0 {
		return c < 0
	}
	return r.ID < p.ID
}

// Chooses reports whether a query chooses a run, whatever its limit.
func (q RunQuery) Chooses(r Run) bool {
	is := func(wanted, have string) bool { return wanted == "" || wanted == have }
	return (q.State == nil || *q.State == r.Key && !r.Machine()) && is(q.Stack, r.Key.Stack) && is(q.Environment, r.Key.Environment) &&
		is(q.Kind, r.Kind) && is(q.Workflow, r.Workflow) && is(q.Parent, r.Parent) && (!q.Top || r.Parent == "") && is(string(q.Status), string(r.Status)) &&
		(!q.Waiting || r.Waits != "") && (q.EndedSince.IsZero() || !r.Ended.Before(q.EndedSince)) &&
		(q.Before == nil || q.Before.Behind(r))
}

// EventQuery says which events of the feed are asked for; what is empty, any.
type EventQuery struct {
	After   int64     // only those behind this number
	Before  int64     // only those before this number; 0 for any
	Since   time.Time // only those that happened then or later; zero for any
	Type    string    // of this type or, ending in *, those that begin so
	Subject string
	Newest  bool // the last ones first
}

// Chooses reports whether an event is one of those asked for.
func (q EventQuery) Chooses(l *events.Link) bool {
	prefix, begins := strings.CutSuffix(q.Type, "*")
	return l.Sequence > q.After && (q.Before == 0 || l.Sequence < q.Before) && !l.Time.Before(q.Since) && (q.Subject == "" || q.Subject == l.Subject) &&
		(q.Type == "" || q.Type == l.Type || begins && strings.HasPrefix(l.Type, prefix))
}

// Source is a state of code at a host of code.
type Source struct {
	Repository string // "org/shop"; empty where the notify block names it
	Commit     string // in full, in hexadecimal
	// PullRequest is the number of the request to merge; 0 for none.
	PullRequest int `json:",omitempty"`
	// Host is the kind of the host whose own webhook, signed, says so: github, gitlab
	// or gitea. Empty where somebody claims it, who may start runs but need have
	// nothing to do with that code.
	Host string `json:",omitempty"`
}

// ErrPruned says that what would be needed of a run was removed because it was old.
var ErrPruned = errors.New("its journal was removed")

// Kept fails with [ErrPruned] where there is no journal to read any more.
func (r Run) Kept() error {
	if r.Pruned.IsZero() {
		return nil
	}
	return fmt.Errorf("run %s ended at %s, and %w at %s (tutti store prune)", r.ID, r.Ended.Local().Format(time.DateTime), ErrPruned, r.Pruned.Local().Format(time.DateTime))
}

// Override says why a rule, such as "budget.shop", was not followed. The actor of
// the run is who said so.
type Override struct {
	Rule   string
	Reason string
}

// definitionPrefix begins the names of blobs that machines are made from.
const definitionPrefix = "definition/"

// Machine reports whether the run is one of a machine, such as a workflow, and
// not of a plan.
func (r Run) Machine() bool { return strings.HasPrefix(r.Blob, definitionPrefix) }

// Claim is what a run reserves before it begins: nobody else may change these
// objects until the run ends. Expect holds, for objects read or written, the row
// version the plan saw; 0 for none.
type Claim struct {
	Objects []addrs.Object
	Expect  map[addrs.Object]int64
}

// Lease is the right to drive a run. Its token is checked on every commit; a
// later lease has a higher one.
type Lease struct {
	Run   string
	Token int64
	// Release gives the lease back. The run is interrupted if it has not ended.
	Release func()
}

// ErrHeld says that somebody else drives the run.
var ErrHeld = errors.New("another process is working on this run")

// ErrFenced says that somebody else has taken the run over since.
var ErrFenced = errors.New("another process has taken over this run")

// ErrNotFound says that there is no such run.
var ErrNotFound = errors.New("no such run")

// ErrEnded says that a run has ended: nothing reaches it any more.
var ErrEnded = errors.New("the run has ended")

// Commit is one atomic step of a run: journal entries, the rows they changed,
// and events. Rows belong to the last entry of the commit and are found again
// with it. Rows of a run are written as they are: the claim keeps others away.
type Commit struct {
	Lease   Lease
	Entries []workflow.Entry
	Cause   string // for the history: create, update, delete, import, …
	Rows    []states.Change
	Events  []events.Event

	// The end of a run, or outputs known before: see states.Write.
	Outputs      map[string]*states.Output
	CheckResults json.RawMessage
	// Run, where not nil, replaces what is stored about the run (status,
	// counters, times), except Cancelling, which somebody else may have raised
	// meanwhile. A run that has ended loses its claim and its places in pools.
	Run *Run
	// Leaves are places in pools that are free from now on.
	Leaves []Leaving
}

// Recorded is a journal entry with the rows that were written with it.
type Recorded struct {
	workflow.Entry
	Rows []states.Change
}

// Store keeps runs beside the states they change. The events that methods are
// told are written with what they change, or not at all.
type Store interface {
	states.Store
	workflow.Journal
	StepStore

	// Start creates a run, stores its plan under run.Blob, takes its claim and
	// writes adjust rows, all or nothing. It fails with a [*states.StaleError]
	// or [*states.ClaimError]. The caller gets the first lease.
	Start(ctx context.Context, run Run, plan []byte, claim Claim, adjust []states.Change) (Lease, error)
	// Enqueue makes a run with what it begins with, all or nothing; nobody drives it
	// yet. [states.ErrExists] says that there is a run of this name already, or that
	// the firing of its cause is not due.
	Enqueue(ctx context.Context, n NewRun) error
	// Begin makes a run like Enqueue, and gives the caller its first lease: nobody else
	// drives it.
	Begin(ctx context.Context, n NewRun) (Lease, error)
	// Acquire takes a run over whose owner is gone; ErrHeld where it is not. What
	// was asked of the former owner is done with: Cancelling is 0 again, and its
	// steps are in no pool any more.
	Acquire(ctx context.Context, run string) (Lease, error)
	// Commit writes several commits, of any runs, in one transaction: all are on
	// disk when it returns. ErrFenced where a lease is outdated.
	Commit(ctx context.Context, commits []Commit) error
	// Recorded returns a run's journal with the rows written. It is what resuming
	// needs: it fails where an entry cannot be unsealed.
	Recorded(ctx context.Context, run string) ([]Recorded, error)

	// Transfer moves objects between states, all or none, with an entry in the
	// history of both sides. The rows that arrive have the version that
	// [states.Transfer.ArrivalVersion] says. It fails with a [*states.StaleError]
	// where a row is not the one that was to leave or the place it goes to is
	// taken, with a [*states.ClaimError] where a run that has not ended claims
	// either, and with a [*states.TransferError] where the moves make no sense.
	Transfer(ctx context.Context, moves []states.Transfer, told ...events.Event) error

	Run(ctx context.Context, id string) (Run, error)
	// Runs lists the runs that a query chooses, newest first.
	Runs(ctx context.Context, q RunQuery) ([]Run, error)
	// CountRuns is how many runs a query chooses, whatever its limit.
	CountRuns(ctx context.Context, q RunQuery) (int, error)
	// Unended lists the runs that have not ended, oldest first.
	Unended(ctx context.Context) ([]Run, error)
	// RequestCancel raises Cancelling of a run. The owner sees it by polling Run.
	RequestCancel(ctx context.Context, id string, told ...events.Event) (Run, error)
	// Abandon ends an interrupted run as cancelled and drops its claim and its
	// places in pools.
	Abandon(ctx context.Context, id string, told ...events.Event) error
	Blob(ctx context.Context, name string) ([]byte, error)
	// PutBlob keeps bytes for later under a name that says what they are; bytes
	// that are there under it already stay.
	PutBlob(ctx context.Context, name string, data []byte) error
	// Events returns events behind a number, in order, and the last number.
	Events(ctx context.Context, after int64, limit int) ([]events.Event, int64, error)
	// Feed goes through the feed as it is kept, the links of a chain, behind a
	// number, in order, and returns how many events were ever written. It does
	// not look whether the chain holds: [events.Chain] does. An error of each
	// ends it and is returned.
	Feed(ctx context.Context, after int64, each func(*events.Link) error) (made int64, err error)
	// FeedOf is Feed for the events that a query chooses, in the order that it wants.
	FeedOf(ctx context.Context, q EventQuery, each func(*events.Link) error) error
	// Record writes events that belong to nothing else that is written. Events
	// without an ID or a time are given one.
	Record(ctx context.Context, list ...events.Event) error
	Close() error
}
