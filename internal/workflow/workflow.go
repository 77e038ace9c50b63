// Package workflow holds the durable core: machines that decide what happens
// next from what has happened, and the journal that remembers it.
//
// A [Machine] is pure. An entry goes in, commands come out; time and ids arrive
// as data. Replaying a journal into a fresh machine rebuilds it exactly, which
// is all that resuming after a crash needs.
package workflow

import (
	"context"
	"encoding/json"
	"time"
)

// Kind says what an entry records.
type Kind string

// The kinds of journal entries.
const (
	RunStarted      Kind = "run_started"
	RunResumed      Kind = "run_resumed"
	CancelRequested Kind = "cancel_requested"
	StepStarted     Kind = "step_started"   // intent: the effect may follow
	StepWithdrawn   Kind = "step_withdrawn" // the intent was not followed: there was no effect
	StepSucceeded   Kind = "step_succeeded"
	StepFailed      Kind = "step_failed"
	StepLost        Kind = "step_lost"       // the outcome could not be found out
	SignalReceived  Kind = "signal_received" // somebody outside said something: see [Signal]
	RunFinished     Kind = "run_finished"
)

// Entry is one record of a run's journal. Sequence numbers start at 1 and have
// no gaps.
type Entry struct {
	Sequence int64           `json:"sequence"`
	Time     time.Time       `json:"time"`
	Kind     Kind            `json:"kind"`
	Step     int             `json:"step"` // number of the step; -1 for entries about the run
	Data     json.RawMessage `json:"data,omitempty"`
	// Sensitive says that Data is sealed at rest and not to be shown. Such an
	// entry always has Data: where it comes without, it could not be unsealed.
	Sensitive bool `json:"sensitive,omitempty"`
}

// SignalKind says what somebody outside a run wants of it.
type SignalKind string

// The kinds of signals.
const (
	SignalEvent   SignalKind = "event"   // something happened that a step may wait for
	SignalApprove SignalKind = "approve" // of an approval step
	SignalReject  SignalKind = "reject"
	SignalSucceed SignalKind = "succeed" // ends the step that waits with a token
	SignalFail    SignalKind = "fail"
	SignalTake    SignalKind = "take" // a worker begins the step with the token
	SignalBeat    SignalKind = "beat" // the step with the token is alive
)

// Signal is what somebody outside says to a run. It is the data of
// [SignalReceived].
type Signal struct {
	Sequence int64           `json:"sequence"` // numbers the signals of a run, from 1
	Kind     SignalKind      `json:"kind"`
	Name     string          `json:"name"` // of the event, the step or the token meant
	By       string          `json:"by,omitempty"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// Decision is the data of [SignalApprove] and [SignalReject].
type Decision struct {
	Comment string `json:"comment,omitempty"`
	// Digest is that of the plan that the decision was made about.
	Digest string `json:"digest,omitempty"`
	// Roles are those that whoever decided holds. Who takes the decision in, and
	// knows who it is, says so: never the one who decides.
	Roles []string `json:"roles,omitempty"`
}

// AnyRole stands for every role: where none are declared, nobody lacks one. No role
// is called so.
const AnyRole = "*"

// ReadDecision reads what comes with a decision. Earlier versions sent the comment
// alone; what is neither says nothing.
func ReadDecision(data json.RawMessage) Decision {
	var d Decision
	if json.Unmarshal(data, &d.Comment) == nil {
		return d
	}
	if json.Unmarshal(data, &d) != nil {
		return Decision{}
	}
	return d
}

// Interruption is the data of [CancelRequested].
type Interruption struct {
	// Running are the steps that were at work: they end by themselves. Any other
	// that was started has not begun and never will.
	Running []int `json:"running,omitempty"`
}

// CommandKind says what a machine wants done.
type CommandKind byte

// The commands.
const (
	StartStep CommandKind = 's'
	StopStep  CommandKind = 'x' // nobody waits for its outcome any more
	FinishRun CommandKind = 'f'
)

// Command is something a machine wants done.
type Command struct {
	Kind CommandKind
	Step int
}

// Machine decides what happens next. Apply is given every entry of the journal
// in order, live or replayed, and returns what it wants done because of it. An
// error means that the entry cannot follow what was applied before.
type Machine interface {
	Apply(Entry) ([]Command, error)
}

// Journal is an append-only record per run.
type Journal interface {
	// Append adds entries if the journal ends at expected, and fails otherwise:
	// somebody else has written. Sequence numbers of entries must follow on.
	Append(ctx context.Context, run string, expected int64, entries []Entry) error
	// Read returns the entries behind a sequence number, in order. It is for who
	// looks: a sensitive entry that cannot be unsealed comes without Data. A
	// machine must not be given such an entry.
	Read(ctx context.Context, run string, after int64) ([]Entry, error)
	// Each calls f with the entries behind a sequence number, in order, holding
	// few of them at a time: a journal may have millions. It is for machines, and
	// fails where an entry cannot be unsealed. An error of f ends it and is
	// returned as it is. f may use the journal; what is appended meanwhile comes
	// as well.
	Each(ctx context.Context, run string, after int64, f func(Entry) error) error
}
