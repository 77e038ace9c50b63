// Package engine turns a configuration and a state into a plan, and carries out
// a plan's operations one by one. It keeps no state between calls, starts no
// runs and writes no store: rooms above decide when an operation happens and
// record what came of it.
//
// One evaluator serves planning and applying. It is lazy and memoised: asking
// for a value computes what it depends on, once per module instance. The walk
// over resources only orders what has effects (provider calls); locals,
// variables and outputs follow by demand. See docs/design for the reasons.
package engine

import (
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// PlanInput is everything a plan is made from.
type PlanInput struct {
	Config *configs.Config
	// Variables are the root variables given by the caller. Values may be unknown
	// or have unknown parts, with refinements and sensitive marks: outputs of
	// stacks that are to be applied first. Where not even the type is known, or a
	// value is to be had no more (when destroying), cty.DynamicVal stands for it.
	Variables map[string]configs.InputValue
	Prior     *states.State
	StateKey  states.Key // Environment is terraform.workspace
	Providers providers.Factory

	Mode         plans.Mode
	Targets      []addrs.Target
	Excludes     []addrs.Target
	ForceReplace []addrs.ResourceInstance
	SkipRefresh  bool
	// GenerateConfig allows import blocks without a resource block: the plan
	// then carries generated configuration.
	GenerateConfig bool

	RootDir     string    // path.root as configuration sees it, usually "."
	WorkDir     string    // path.cwd; file functions resolve against it
	Parallelism int       // concurrent provider calls; 0: a default
	Now         time.Time // plantimestamp()
	Program     string    // version of this program
	Progress    func(Progress)
}

// ApplyInput is everything operations are carried out from.
type ApplyInput struct {
	Plan   *plans.Plan
	Config *configs.Config
	// Ephemeral are the values of ephemeral root variables, given anew.
	Ephemeral map[string]cty.Value
	// Late are values of root variables that were unknown, or had unknown parts,
	// when the plan was made. What was known then must be the same now. A plan to
	// destroy or to refresh does without.
	Late      map[string]cty.Value
	Providers providers.Factory
	WorkDir   string
	Progress  func(Progress)
	// Guard, where not nil, has the last word before an object is written.
	Guard Guard
}

// Guard is told about objects as they become known while a plan is applied. Its
// methods are called from several goroutines.
type Guard interface {
	// Before is told what the provider is about to make of an object, with its
	// marks. An error fails the operation before it has any effect.
	Before(ctx context.Context, c *plans.Change, planned cty.Value) diag.List
	// After is told what the object has become.
	After(c *plans.Change, value cty.Value)
}

// Outcome is what one operation did. Rows are the state rows to write in the
// same transaction as the outcome; they must be written even if Diags has
// errors. Lost says that the effect is not known: the answer never came.
type Outcome struct {
	Rows  []states.Change
	Diags diag.List
	Lost  bool
	// Event is the event type to emit, e.g. "resource.created"; empty for none.
	Event string
}

// Failed reports whether dependents of the operation must not run.
func (o Outcome) Failed() bool { return o.Lost || o.Diags.HasErrors() }

// Final is what remains to record when all operations have ended.
type Final struct {
	Outputs map[string]*states.Output
	Changes []*plans.OutputChange // with values, for people
	Checks  []plans.CheckResult
	Diags   diag.List
}

// ProgressKind says what a Progress reports.
type ProgressKind string

// The kinds of progress, named as the types of Terraform's JSON event stream.
const (
	RefreshStart        ProgressKind = "refresh_start"
	RefreshComplete     ProgressKind = "refresh_complete"
	ApplyStart          ProgressKind = "apply_start"
	ApplyComplete       ProgressKind = "apply_complete"
	ApplyErrored        ProgressKind = "apply_errored"
	ProvisionStart      ProgressKind = "provision_start"
	ProvisionProgress   ProgressKind = "provision_progress"
	ProvisionComplete   ProgressKind = "provision_complete"
	ProvisionErrored    ProgressKind = "provision_errored"
	EphemeralOpStart    ProgressKind = "ephemeral_op_start"
	EphemeralOpComplete ProgressKind = "ephemeral_op_complete"
	EphemeralOpErrored  ProgressKind = "ephemeral_op_errored"
	ImportStart         ProgressKind = "import_start"
	ImportComplete      ProgressKind = "import_complete"
)

// Progress is something that happened while planning or applying, for people
// to watch. It is called from several goroutines.
type Progress struct {
	// Stack is filled in by who watches several stacks at once.
	Stack       string
	Kind        ProgressKind
	Object      addrs.Object
	Action      plans.Action  // for apply_*: Create, Update, Delete, Read …
	IDKey       string        // attribute that identifies the object to people
	IDValue     string        //
	Elapsed     time.Duration // for *_complete and *_errored
	Provisioner string
	Text        string // provision_progress: output line, already masked
}
