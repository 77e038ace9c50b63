package runs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// StepStore keeps what the steps of machines leave behind and wait for. A store
// of runs is one as well.
type StepStore interface {
	// AppendLogs adds what steps have written, all or nothing. It is on disk when
	// it returns. Chunks are numbered in the order they come, those of all runs
	// together; ID is not looked at, nor whether there is such a run.
	AppendLogs(ctx context.Context, chunks []LogChunk) error
	// Logs returns chunks of a run behind a number, in order; limit 0 means all.
	Logs(ctx context.Context, run string, after int64, limit int) ([]LogChunk, error)
	// PutArtifact keeps a file of a step, replacing one of the same step and path.
	// Digest and Size are those of data, whatever is given.
	PutArtifact(ctx context.Context, a Artifact, data []byte) error
	// Artifacts lists the files kept of a run, by step and path; their bytes are
	// the blob "artifact/" followed by the digest.
	Artifacts(ctx context.Context, run string) ([]Artifact, error)

	// Signal adds a signal to a run that has not ended, and returns its number.
	// Sequence is not looked at. ErrNotFound where there is no such run, ErrEnded
	// where it has ended. Data is sealed at rest: nobody knows whether the step
	// that waits for it is sensitive.
	Signal(ctx context.Context, run string, s workflow.Signal, told ...events.Event) (int64, error)
	// Signals returns the signals of a run behind a number, in order.
	Signals(ctx context.Context, run string, after int64) ([]workflow.Signal, error)

	// Calls tells what is asked of the runs that have not ended, by run; those of which
	// nothing is asked may be left out.
	Calls(ctx context.Context) (map[string]Call, error)

	// EnterPools queues steps of the lease's run for pools. A step has one place
	// at a time: who is queued or in already stays where it is. Run and Granted of
	// a ticket are not looked at. ErrFenced where the lease is outdated or the run
	// has ended.
	EnterPools(ctx context.Context, lease Lease, tickets []Ticket) error
	// GrantPools lets steps into the pools this run has to do with, as far as the
	// pools allow, those of a higher priority first and then those that came
	// first, whatever their runs. Nobody overtakes who is first in a queue, even
	// where their limits differ. A rate counts who entered with a rate of their
	// own within the last Per, gone or not; an entry exactly Per ago is past.
	// Tickets of runs that nobody drives are dropped before. It writes only where
	// something changes, so that it can be asked often.
	GrantPools(ctx context.Context, run string, now time.Time) (Grant, error)
	// Pools lists who is in a pool and who waits: by pool, first who is in, in the
	// order they entered, then who waits, in the order they will. Runs that
	// nobody drives are left out.
	Pools(ctx context.Context) ([]Ticket, error)

	// Cached returns what was kept under a key, if it has not expired at now. What
	// cannot be unsealed is not there: it can be made anew.
	Cached(ctx context.Context, key string, now time.Time) (data json.RawMessage, ok bool, err error)
	// Cache keeps data under a key until an instant; zero means for ever. It is
	// sealed where sensitive.
	Cache(ctx context.Context, key string, data json.RawMessage, sensitive bool, expires time.Time) error
}

// LogChunk is a piece of what a step wrote.
type LogChunk struct {
	ID     int64     `json:"id"`
	Run    string    `json:"run"`
	Step   int       `json:"step"` // number in the journal
	Name   string    `json:"name"` // of the step, for people
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
	Data   []byte    `json:"data"`
}

// Artifact is a file that a step left.
type Artifact struct {
	Run    string    `json:"run"`
	Step   int       `json:"step"`
	Name   string    `json:"name"` // of the step
	Path   string    `json:"path"`
	Digest string    `json:"digest"` // SHA-256, hexadecimal
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"`
}

// Ticket is a step's place in a pool. The limits are those of the definition it
// came with: a run is pinned to them.
type Ticket struct {
	Pool     string        `json:"pool"`
	Run      string        `json:"run"`
	Step     int           `json:"step"`
	Name     string        `json:"name"`
	Priority int           `json:"priority"`
	Limit    int           `json:"limit"` // how many may be in; 0 for any
	Rate     int           `json:"rate"`  // how many may enter within Per; 0 for any
	Per      time.Duration `json:"per"`
	Asked    time.Time     `json:"asked"`
	Granted  time.Time     `json:"granted"` // zero for who waits
}

// Grant is who is in the pools that a run has to do with.
type Grant struct {
	Steps []int // of this run, in order
	// Next is the instant at which a rate may let somebody in; zero where only
	// somebody's leaving can.
	Next time.Time
	// Others are other runs, steps of which were let in by this call: they should
	// be told.
	Others []string
}

// Leaving gives a place in a pool back, with the outcome of the step.
type Leaving struct {
	Pool string
	Step int
}

// Call is what is asked of a run from outside.
type Call struct {
	Cancelling int   // see [Run]
	Signal     int64 // the number of its last signal; 0 for none
}
