// Package states holds what is known about remote objects: one [Instance] per
// resource instance (and per deposed object), the outputs, and the interchange
// format every Terraform tool reads, tfstate version 4.
//
// The unit of storage, lock and staleness is the instance, not the file. Values
// stay as the provider's JSON text, numbers exact, until somebody who has the
// schema asks for them.
package states

import (
	"encoding/json"
	"sort"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/zclconf/go-cty/cty"
)

// Key names one state: a stack in an environment. A plain directory has the
// stack "" and the environment of its workspace ("default" at first).
type Key struct {
	Stack       string
	Environment string
}

// Status says whether an object is sound.
type Status byte

// The statuses of an object.
const (
	Ready   Status = 'R'
	Tainted Status = 'T' // to be replaced at the next plan
)

// Instance is one remote object as last seen. Instances are immutable once in a
// State: whoever changes one makes a copy.
type Instance struct {
	Object   addrs.Object
	Provider addrs.ProviderConfig

	SchemaVersion int64
	Attributes    json.RawMessage   // object as the provider's schema types it
	Flatmap       map[string]string // legacy form in very old states; Attributes is nil then
	// SensitivePaths are the paths marked sensitive by the configuration, in
	// the form of tfstate's sensitive_attributes.
	SensitivePaths []cty.Path

	Private               []byte
	Identity              json.RawMessage
	IdentitySchemaVersion int64

	Status              Status
	Dependencies        []addrs.ConfigResource // direct ones, sorted
	CreateBeforeDestroy bool

	// Version counts the changes of this row in its store; 0 for an object that
	// was never stored. Plans record it to detect staleness.
	Version int64
}

// Output is a root module output value.
type Output struct {
	Value     json.RawMessage
	Type      json.RawMessage // cty's JSON type
	Sensitive bool
}

// State is a snapshot of one state.
type State struct {
	Lineage          string
	Serial           uint64
	TerraformVersion string
	Instances        map[addrs.Object]*Instance
	Outputs          map[string]*Output
	// Problems are values that could not be read, in words for people: they are
	// null here.
	Problems []string
	// CheckResults is kept as it came: tfstate's check_results.
	CheckResults json.RawMessage
}

// New returns an empty state without lineage.
func New() *State {
	return &State{Instances: map[addrs.Object]*Instance{}, Outputs: map[string]*Output{}}
}

// Current returns the current object of an instance, or nil.
func (s *State) Current(addr addrs.ResourceInstance) *Instance {
	return s.Instances[addrs.Object{Instance: addr}]
}

// Empty reports whether the state has neither objects nor outputs.
func (s *State) Empty() bool { return len(s.Instances) == 0 && len(s.Outputs) == 0 }

// Sorted returns the objects ordered by address, current before deposed.
func (s *State) Sorted() []*Instance {
	out := make([]*Instance, 0, len(s.Instances))
	for _, inst := range s.Instances {
		out = append(out, inst)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].Object, out[j].Object
		if a.Instance != b.Instance {
			return a.Instance.Less(b.Instance)
		}
		return a.Deposed < b.Deposed
	})
	return out
}

// Clone returns a copy whose maps may be changed freely; instances are shared.
func (s *State) Clone() *State {
	out := *s
	out.Instances = make(map[addrs.Object]*Instance, len(s.Instances))
	for k, v := range s.Instances {
		out.Instances[k] = v
	}
	out.Outputs = make(map[string]*Output, len(s.Outputs))
	for k, v := range s.Outputs {
		out.Outputs[k] = v
	}
	return &out
}

// Change is one row to write: After nil deletes the object. Before is what the
// writer believes is there (nil: nothing); its Version is checked, and it is
// kept as the before-image for history and rollback.
type Change struct {
	Object addrs.Object
	Before *Instance
	After  *Instance
}

// Revision is one entry of an object's history, newest first in listings.
type Revision struct {
	Object addrs.Object
	Run    string // the run that changed it; empty for state commands
	At     time.Time
	Cause  string // create, update, delete, import, move, taint, push, …
	Before *Instance
	After  *Instance
}
