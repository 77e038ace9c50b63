package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// Work is what the API has done for it. Errors that are a [diag.List] are told to
// the client, each with its place; [ErrForbidden] and [ErrNotFound] choose the
// status of the answer.
type Work interface {
	// Project are the project's files as they are now. A plain directory is a
	// project without declarations.
	Project(ctx context.Context) (*projects.Project, error)
	// Environment is the one that is selected; empty where one has to be named.
	Environment(ctx context.Context) (string, error)
	// Authorize says why somebody may not do something; nil where they may.
	Authorize(ctx context.Context, who access.Identity, verb access.Verb, environment, resource string) error
	// AuthorizeRun is Authorize for whatever a run works on.
	AuthorizeRun(ctx context.Context, who access.Identity, verb access.Verb, run runs.Run) error
	// Sight is what somebody may read, as the project's files say now.
	Sight(ctx context.Context, who access.Identity) (Sight, error)
	// Resources names what a run works on: a workflow, or stacks.
	Resources(ctx context.Context, run runs.Run) ([]string, error)
	// AuthorizeNotify is Authorize for a notify block.
	AuthorizeNotify(ctx context.Context, who access.Identity, verb access.Verb, name string) error
	// Roles are those that somebody holds; nil where the project declares none.
	Roles(who access.Identity) (held []string, declared bool, err error)

	// Start makes a run of a workflow, which is then driven.
	Start(ctx context.Context, who access.Identity, s Start) (runs.Run, error)
	// Change makes a run that plans a change of one stack, or of several together,
	// and, where it is asked for, has it approved and carries it out.
	Change(ctx context.Context, who access.Identity, c Change) (runs.Run, error)
	// Keep keeps a configuration that somebody sent, for a while, to be planned. It
	// returns its name.
	Keep(ctx context.Context, who access.Identity, archive []byte) (id string, expires time.Time, err error)
	// Retry makes a new run of a workflow that takes over what another one has done,
	// up to a step or, where none is given, to what did not succeed.
	Retry(ctx context.Context, who access.Identity, r Retry) (runs.Run, error)
	// Resume has a run driven that nobody drives.
	Resume(ctx context.Context, run runs.Run) error
	// Machine is one for a run of a workflow that has read nothing of its journal
	// yet; nil for runs of other kinds.
	Machine(ctx context.Context, run runs.Run) (*flow.Machine, error)
	// Plan reads a plan that is kept in the store, and what is said about it: for a
	// run, where that is not empty, by whom that is and with its overrides. Where sees does
	// not say of all stacks of the plan that they may be looked at, there is none, and
	// nothing is judged.
	Plan(ctx context.Context, digest, run string, sees func(environment, resource string) bool) (*Plan, error)
	// Decide makes somebody's decision about a step known to its run.
	Decide(ctx context.Context, who access.Identity, run runs.Run, d StepDecision) error

	// Triggers are the project's triggers with what became of so many of their last times. Of
	// those that were started, the status is that of [runs.FireStarted].
	Triggers(ctx context.Context, last int) ([]Trigger, error)
	// AuthorizeTrigger is Authorize for what a trigger starts; for whatever any
	// trigger may start where the name is empty.
	AuthorizeTrigger(ctx context.Context, who access.Identity, verb access.Verb, trigger string) error
	// RetryFiring has a dead firing done again. id names what is made for it.
	RetryFiring(ctx context.Context, who access.Identity, f runs.Firing, id string) error

	// Stacks are the project's stacks with the environments that they have a state
	// in.
	Stacks(ctx context.Context) ([]StackState, error)
	// Drifts are what is known of all stacks by looking at them, those left out that
	// nobody has looked at.
	Drifts(ctx context.Context) (map[states.Key]*DriftSummary, error)
	// Drift is what is known of a stack by looking at it.
	Drift(ctx context.Context, key states.Key) (*Drift, error)
	// Observe has a stack looked at soon, on behalf of who asks. reset forgets what
	// changed again and again.
	Observe(ctx context.Context, who access.Identity, key states.Key, reset bool) error
	// State is the state of a stack.
	State(ctx context.Context, key states.Key) (*states.State, error)
	// PushState makes the state of a stack be another one, on behalf of who holds
	// the lock of that id; empty for none.
	PushState(ctx context.Context, who access.Identity, key states.Key, st *states.State, lock string) error
}

// Start says which workflow to run, and with what.
type Start struct {
	ID          string // of the run; empty for any
	Workflow    string
	Environment string
	Inputs      map[string]json.RawMessage
	Input       json.RawMessage // of a state machine; nil for inputs
	Overrides   []Override
	Source      *runs.Source // nil for none
}

// Change says what to do to stacks.
type Change struct {
	ID    string // of the run; empty for any
	Stack string // empty for a plain directory
	// Several says that Stacks are meant instead, planned together; none for all.
	Several     bool
	Stacks      []string
	Environment string
	Destroy     bool
	Refresh     bool
	RefreshOnly bool
	// Targets, Excludes and Replaces are addresses; of several stacks each begins with
	// its own.
	Targets, Excludes, Replaces []string
	// Variables are values for variables of the project, or of the plain directory, in
	// their order: later ones win.
	Variables []VariableValue
	// Configuration is one that was kept, to be planned instead of the project.
	Configuration string
	// Plan is the digest of a plan that was made before and is to be applied.
	Plan string
	// Rollback is the run to undo, instead of planning anything.
	Rollback string
	// Repair says that the targets have drifted and are put back.
	Repair bool
	// Apply says to carry it out, and Approve to have people approve it first.
	Apply, Approve bool
	Overrides      []Override
	Source         *runs.Source // nil for none
}

// Retry says which run to do again, and from which step on.
type Retry struct {
	ID   string // of the new run; empty for any
	Run  runs.Run
	From string
}

// StepDecision is somebody's decision about a step that waits for one.
type StepDecision struct {
	Step    string
	Approve bool
	Digest  string // of the plan that is meant
	Comment string
}

// Plan is a plan with what was said about it.
type Plan struct {
	Digest      string
	Environment string
	Kind        string
	Parts       []PlanPart
}

// PlanPart is what a plan does to one stack.
type PlanPart struct {
	Stack    string
	Resource string // as permissions name it: empty for a plain directory
	Counts   plans.Counts
	// Needs is what the resources that change need: see [NeedsOf].
	Needs    map[string][]string
	Document json.RawMessage // Terraform's plan JSON, sensitive values masked
	Decision json.RawMessage // what policy says; nil where nothing is asked
	Cost     json.RawMessage // what it costs; nil where nobody wants to know
	// Problem says why it could not be judged or priced, where that would keep it from
	// being carried out; empty where it could.
	Problem string

	// Plan, Judged and Priced are what the documents are made of. Of a plan of which only
	// the documents were kept they are what those say.
	Plan   *plans.Plan      `json:"-"`
	Judged *policy.Decision `json:"-"`
	Priced *cost.Estimate   `json:"-"`
}

// StackState is a stack in one environment.
type StackState struct {
	Stack       string
	Source      string
	Environment string
	Needs       []string
	Serial      int64
	Objects     int
	Observed    bool
	Drift       *DriftSummary // nil where nobody has looked
}
