// Package plans holds what was decided before anything is done: a [Plan] is the
// exact list of changes, the operations that carry them out with their order,
// and everything they were derived from. It can be written to a file, read
// back, shown to people and tools, and it has a digest that policy, approval
// and apply all speak of.
package plans

import (
	"slices"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Mode is the kind of plan asked for.
type Mode byte

// The planning modes.
const (
	Normal      Mode = 'N'
	Destroy     Mode = 'D'
	RefreshOnly Mode = 'R'
)

// Action is what happens to one object.
type Action byte

// The actions. Replacements name the order of their two legs.
const (
	NoOp             Action = '0'
	Create           Action = '+'
	Read             Action = 'r'
	Update           Action = '~'
	DeleteThenCreate Action = 'm'
	CreateThenDelete Action = 'p'
	Delete           Action = '-'
	Forget           Action = '.'
	ForgetThenCreate Action = '!'
)

// IsReplace reports whether the action has a create leg besides getting rid of
// the prior object.
func (a Action) IsReplace() bool {
	return a == DeleteThenCreate || a == CreateThenDelete || a == ForgetThenCreate
}

// Reason says why an action was chosen, in the words of plan JSON.
type Reason string

// The reasons, as in the plan JSON property action_reason.
const (
	ReasonNone                       Reason = ""
	ReasonReplaceBecauseTainted      Reason = "replace_because_tainted"
	ReasonReplaceByRequest           Reason = "replace_by_request"
	ReasonReplaceByTriggers          Reason = "replace_by_triggers"
	ReasonReplaceBecauseCannotUpdate Reason = "replace_because_cannot_update"
	ReasonDeleteNoResourceConfig     Reason = "delete_because_no_resource_config"
	ReasonDeleteNoModule             Reason = "delete_because_no_module"
	ReasonDeleteWrongRepetition      Reason = "delete_because_wrong_repetition"
	ReasonDeleteCountIndex           Reason = "delete_because_count_index"
	ReasonDeleteEachKey              Reason = "delete_because_each_key"
	ReasonDeleteNoMoveTarget         Reason = "delete_because_no_move_target"
	ReasonDeleteRollback             Reason = "delete_because_rollback" // of Tutti alone
	ReasonReadConfigUnknown          Reason = "read_because_config_unknown"
	ReasonReadDependencyPending      Reason = "read_because_dependency_pending"
	ReasonReadCheckNested            Reason = "read_because_check_nested"
)

// Plan is a complete plan.
type Plan struct {
	Mode      Mode
	CreatedAt time.Time // also what plantimestamp() returns
	Program   string    // version of the program that made it
	Digest    string    // hex SHA-256 of the encoded plan; set by Encode and Decode

	StateKey states.Key
	Lineage  string // of the state the plan was made from
	Serial   uint64

	Variables    map[string]Variable
	Targets      []addrs.Target
	Excludes     []addrs.Target
	ForceReplace []addrs.ResourceInstance

	// Prior is the state the changes start from: as stored, then moved, upgraded
	// and refreshed. Adjust lists how it differs from what is stored; apply
	// writes these rows first.
	Prior  *states.State
	Adjust []states.Change
	// Previous says what the changed addresses were called before moves.
	Moves map[addrs.ResourceInstance]addrs.ResourceInstance

	Changes    []*Change // every planned instance, no-ops included, by address
	Drift      []*Change // what a refresh found different
	Outputs    []*OutputChange
	Relevant   []RelevantAttribute
	Checks     []CheckResult
	Operations []Operation
	Errored    bool

	// Providers are the provider binaries planned with: apply uses the same.
	Providers map[addrs.Provider]ProviderLock
	// Files and ModulesManifest are the configuration's source, so that the plan
	// applies without the directory it came from.
	Files           map[string][]byte
	ModulesManifest []byte
	RootDir         string // name of the root module's directory in Files
}

// Variable is the value of a root input variable, with marks. It may have
// unknown parts: outputs of another stack, which arrive when the plan is
// applied. Ephemeral values are not kept: Value is then cty.NilVal and must be
// given again at apply.
type Variable struct {
	Value     cty.Value
	Sensitive bool
	Ephemeral bool
	Given     bool // set by the caller, as opposed to the default
}

// ProviderLock pins a provider.
type ProviderLock struct {
	Version string
	Digest  string
}

// Change is what happens to one object. Before and After carry marks for
// sensitive values; After may hold unknowns. Type is the implied type of the
// provider's schema, which both conform to.
type Change struct {
	Object        addrs.Object
	PrevAddress   addrs.ResourceInstance // zero where not moved
	Provider      addrs.ProviderConfig
	Action        Action
	Reason        Reason
	Type          cty.Type
	SchemaVersion int64
	Before        cty.Value
	After         cty.Value

	RequiredReplace []cty.Path
	Private         []byte // planned private data for the provider
	BeforeIdentity  cty.Value
	AfterIdentity   cty.Value

	// ConfigKnown says that the configuration had no unknown values, so that the
	// provider need not plan again at apply.
	ConfigKnown         bool
	CreateBeforeDestroy bool
	Dependencies        []addrs.ConfigResource // direct ones by the configuration
	// PriorDependencies are those recorded in state, for ordering destroys.
	PriorDependencies []addrs.ConfigResource

	// Config is the configuration to apply where it does not come from a block:
	// an object being brought back to an earlier form. cty.NilVal otherwise.
	Config cty.Value

	Importing       *Importing
	GeneratedConfig string
	// DestroyLegDeposed is the key under which a create-before-destroy
	// replacement keeps the old object meanwhile.
	DestroyLegDeposed addrs.DeposedKey
	Deferred          string // reason, where the provider deferred the change
}

// Moved reports whether the object had another address before.
func (c *Change) Moved() bool {
	return c.PrevAddress != (addrs.ResourceInstance{}) && c.PrevAddress != c.Object.Instance
}

// Importing says that the object is brought under management by this plan.
type Importing struct {
	ID       string
	Identity cty.Value
	Unknown  bool
}

// OutputChange is a change of a root module output. Values carry marks.
type OutputChange struct {
	Name        string
	Action      Action
	Before      cty.Value
	After       cty.Value
	Sensitive   bool
	Description string
}

// RelevantAttribute is an attribute of a resource that contributed to a change.
type RelevantAttribute struct {
	Resource  addrs.ResourceInstance // KeyUnknown-free; NoKey may mean the whole resource
	Attribute cty.Path
}

// CheckStatus is the outcome of a condition or of several together.
type CheckStatus string

// The outcomes, as in plan and state JSON.
const (
	CheckPass    CheckStatus = "pass"
	CheckFail    CheckStatus = "fail"
	CheckError   CheckStatus = "error"
	CheckUnknown CheckStatus = "unknown"
)

// CheckResult is the outcome for one checkable object in the configuration.
type CheckResult struct {
	Kind      string // resource, output_value, check, var
	Module    addrs.Module
	Name      string // resource address within the module, or name
	Status    CheckStatus
	Instances []CheckInstance
}

// CheckInstance is the outcome for one instance of a checkable object.
type CheckInstance struct {
	Module   addrs.ModuleInstance
	Key      addrs.InstanceKey
	Status   CheckStatus
	Problems []string
}

// OperationKind is the kind of one operation.
type OperationKind byte

// The kinds of operations. A gate does nothing: it stands for "all of these are
// done", so that n objects depending on m others need n+m edges, not n·m.
const (
	OpGate   OperationKind = 'g'
	OpCreate OperationKind = 'c' // also the create leg of a replacement
	OpUpdate OperationKind = 'u'
	OpDelete OperationKind = 'd' // also the delete leg of a replacement
	OpRead   OperationKind = 'r' // a data source at apply time
	OpForget OperationKind = 'f'
)

// String returns the word used in journals and logs.
func (k OperationKind) String() string {
	switch k {
	case OpGate:
		return "gate"
	case OpCreate:
		return "create"
	case OpUpdate:
		return "update"
	case OpDelete:
		return "delete"
	case OpRead:
		return "read"
	case OpForget:
		return "forget"
	}
	return "invalid"
}

// Operation is one thing to do to one object, and what must be done before.
// Its number is its index in Plan.Operations.
type Operation struct {
	Kind   OperationKind
	Change int   // index into Plan.Changes; -1 for gates
	Needs  []int // numbers of earlier operations
}

// Counts are the totals people are told.
type Counts struct {
	Add, Change, Destroy, Import, Forget, Move int
}

// Unmakes reports whether a plan rolls back the making of objects: it destroys what
// the configuration may well still ask for.
func (p *Plan) Unmakes() bool {
	return slices.ContainsFunc(p.Changes, func(c *Change) bool { return c.Action == Delete && c.Reason == ReasonDeleteRollback })
}

// Count sums up a plan. A replacement counts as one add and one destroy.
func (p *Plan) Count() Counts {
	var n Counts
	for _, c := range p.Changes {
		if c.Object.Instance.Resource.Mode != addrs.Managed {
			continue
		}
		if c.Importing != nil {
			n.Import++
		}
		if c.Moved() {
			n.Move++
		}
		switch c.Action {
		case Create:
			n.Add++
		case Update:
			n.Change++
		case Delete:
			n.Destroy++
		case DeleteThenCreate, CreateThenDelete:
			n.Add++
			n.Destroy++
		case Forget:
			n.Forget++
		case ForgetThenCreate:
			n.Add++
			n.Forget++
		}
	}
	return n
}

// HasChanges reports whether applying the plan would do or record anything that
// people asked for: changes of objects or outputs, imports or moves; for a
// refresh-only plan, drift.
func (p *Plan) HasChanges() bool {
	for _, c := range p.Changes {
		if c.Action != NoOp || c.Moved() || c.Importing != nil {
			return true
		}
	}
	for _, o := range p.Outputs {
		if o.Action != NoOp {
			return true
		}
	}
	return p.Mode == RefreshOnly && len(p.Drift) > 0
}
