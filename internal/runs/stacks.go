package runs

import (
	"context"
	"errors"
	"io"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/zclconf/go-cty/cty"
)

// Stacks plans and changes the stacks of a project for the steps of workflows.
// Methods that make a run of their own are given its id: where that run exists
// already, a crash came between, and they go on with it.
type Stacks interface {
	// Outputs are the outputs in a stack's state, marked where sensitive.
	Outputs(ctx context.Context, stack string) (cty.Value, error)
	// Plan plans a change of one stack or of several together, keeps the plan under
	// its digest and describes it. What a configuration is made of it asks access for
	// itself, on behalf of the request's actor.
	Plan(ctx context.Context, req StackRequest) (StackPlan, error)
	// Apply carries out a plan, one that was kept or one made for the purpose, and
	// returns the outputs of the stack.
	Apply(ctx context.Context, req StackRequest) (cty.Value, error)
	// Rollback brings back what another run changed.
	Rollback(ctx context.Context, req StackRequest, of string) error
	// Invoke lets a provider carry out one of its actions.
	Invoke(ctx context.Context, req StackRequest, action string, config cty.Value) error
}

// StackRequest says what to plan or apply.
type StackRequest struct {
	Stack string
	// Stacks are those that are planned together, where Stack is empty.
	Stacks []string
	// Configuration is one that a client sent, which is planned instead of the
	// project; empty for none. Its stacks are planned together, and its plan can only
	// be looked at.
	Configuration string
	// Directory holds a project that is planned instead, in the same way; empty for
	// none. It is relative to the project's.
	Directory string
	Inputs    cty.Value // object; null for none
	// Variables are the values of the project's variables, and of others, as the
	// workflow has them; empty where a plan brings its own.
	Variables map[string]cty.Value
	// Given names values of variables that came with a change and are kept; empty for
	// none.
	Given string
	// Targets, Excludes and Replaces are addresses; of several stacks each begins with
	// its own.
	Targets, Excludes, Replaces []string
	Destroy                     bool
	Refresh                     bool
	RefreshOnly                 bool

	Plan     string // digest of a kept plan; empty for none
	Rollback string // the run that is to be undone by the plan; empty for none
	// Secrets are the versions of secrets that the stack is given instead of the
	// current ones, by name.
	Secrets   map[string]int
	Run       string // id of the run to make or to go on with
	Parent    string // id of the run it is a step of
	Step      string // of that run
	Actor     string // whom that run is by
	Authority *access.Authority
	// Overrides are those of the run it is a step of: rules that it may go against.
	Overrides []Override
	Log       io.Writer
	Asked     <-chan struct{} // closed when it should end early
}

// Elsewhere reports whether files are planned that are not the project's own.
func (r *StackRequest) Elsewhere() bool { return r.Configuration != "" || r.Directory != "" }

// StackPlan describes a plan.
type StackPlan struct {
	Digest               string
	Add, Change, Destroy int
	Changes              bool     // it does anything at all, to objects or outputs
	Stacks               []string // that it is for, in the order they are applied
}

// ErrDetached says that what became of a run of its own is not known yet: the
// run it belongs to is to be resumed.
var ErrDetached = errors.New("the run was interrupted")
