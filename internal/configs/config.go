// Package configs reads configuration files into a [Config]: the tree of
// modules with everything they declare, still unevaluated.
//
// It knows the shape of the language (which blocks and arguments exist, what
// may refer to what statically) but evaluates nothing that depends on variables
// or resources: expressions and bodies are kept as HCL for the rooms above.
// Problems are diagnostics with source ranges; as much as possible of a broken
// configuration is still returned.
package configs

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/zclconf/go-cty/cty"
)

// Config is a complete configuration: the root module and everything it calls.
type Config struct {
	Root *Module
	// Modules holds every module of the static tree by path, root included.
	Modules map[addrs.Module]*Module
	// Files holds the source text of every file read, by the file name used in
	// source ranges, for quoting lines in diagnostics and for plan files.
	Files map[string][]byte
}

// Module is one module of the tree.
type Module struct {
	Path       addrs.Module
	SourceDir  string // directory of its files, as shown to users
	SourceAddr string // the call's source argument; empty for the root
	Version    string // the version selected, for registry modules
	Parent     *Module
	Call       *ModuleCall        // nil for the root
	Children   map[string]*Module // by call name

	RequiredVersions  []VersionConstraint
	RequiredProviders map[string]*RequiredProvider // by local name, implied ones included
	ProviderConfigs   map[addrs.LocalProviderConfig]*ProviderConfig
	ProviderMetas     map[string]*ProviderMeta // by local name
	Backend           *Backend                 // backend or cloud block; root only

	Variables   map[string]*Variable
	Locals      map[string]*Local
	Outputs     map[string]*Output
	Resources   map[addrs.Resource]*Resource
	ModuleCalls map[string]*ModuleCall
	Checks      map[string]*Check
	Moved       []*Moved
	Imports     []*Import
	Removed     []*Removed

	// ResourceList is Resources in order of declaration: files by name, blocks
	// by position.
	ResourceList []*Resource
}

// VersionConstraint is a constraint string and where it stands.
type VersionConstraint struct {
	Constraint string
	Range      hcl.Range
}

// RequiredProvider says which provider a local name means in a module.
type RequiredProvider struct {
	LocalName   string
	Source      addrs.Provider
	Constraints []VersionConstraint
	Aliases     []addrs.LocalProviderConfig // configuration_aliases
	Implied     bool                        // not declared: implied by use
	Range       hcl.Range
}

// ProviderConfig is a provider block.
type ProviderConfig struct {
	Local     addrs.LocalProviderConfig
	Module    *Module
	Config    hcl.Body       // without the meta-arguments
	ForEach   hcl.Expression // OpenTofu dialect; nil
	DeclRange hcl.Range
}

// ProviderMeta is a provider_meta block.
type ProviderMeta struct {
	LocalName string
	Config    hcl.Body
	DeclRange hcl.Range
}

// Backend is a backend or cloud block.
type Backend struct {
	Type      string // "local", "s3", …; "cloud" for a cloud block
	Config    hcl.Body
	DeclRange hcl.Range
}

// Variable is an input variable.
type Variable struct {
	Name        string
	Module      *Module
	Description string
	// Type is the constraint with optional attributes; ConstraintType the same
	// without them. Both are dynamic where no type is given.
	Type           cty.Type
	ConstraintType cty.Type
	TypeDefaults   *typeexpr.Defaults // defaults of optional attributes; nil where none
	Default        cty.Value          // cty.NilVal where required
	Sensitive      bool
	Ephemeral      bool
	Nullable       bool
	Deprecated     string
	Validations    []*CheckRule
	// ParseLiteral says that text given on the command line or in the
	// environment is a string as it stands, not an expression.
	ParseLiteral bool
	DeclRange    hcl.Range
}

// Required reports whether the variable has no default.
func (v *Variable) Required() bool { return v.Default == cty.NilVal }

// Local is a local value.
type Local struct {
	Name      string
	Module    *Module
	Expr      hcl.Expression
	DeclRange hcl.Range
}

// Output is an output value.
type Output struct {
	Name          string
	Module        *Module
	Description   string
	Expr          hcl.Expression
	Sensitive     bool
	Ephemeral     bool
	Deprecated    string
	DependsOn     []hcl.Traversal
	Preconditions []*CheckRule
	DeclRange     hcl.Range
}

// Resource is a resource, data or ephemeral block.
type Resource struct {
	Addr   addrs.Resource
	Module *Module
	Config hcl.Body // what the provider's schema describes: without meta-arguments

	Count   hcl.Expression
	ForEach hcl.Expression
	Enabled hcl.Expression // OpenTofu dialect lifecycle.enabled; nil

	// ProviderLocal is the provider configuration named or implied, in terms of
	// the module; Provider the provider it means.
	ProviderLocal addrs.LocalProviderConfig
	ProviderRange hcl.Range
	Provider      addrs.Provider

	DependsOn []hcl.Traversal

	CreateBeforeDestroy *bool // nil where not written
	PreventDestroy      hcl.Expression
	Destroy             *bool // lifecycle.destroy; nil where not written
	IgnoreChanges       []hcl.Traversal
	IgnoreAll           bool
	ReplaceTriggeredBy  []hcl.Expression
	Preconditions       []*CheckRule
	Postconditions      []*CheckRule
	Provisioners        []*Provisioner
	Connection          *Connection
	Check               *Check // the check block around a scoped data source

	DeclRange hcl.Range
	TypeRange hcl.Range
}

// ConfigAddr returns the block's address in the static tree.
func (r *Resource) ConfigAddr() addrs.ConfigResource {
	return addrs.ConfigResource{Module: r.Module.Path, Resource: r.Addr}
}

// CheckRule is a condition with a message: validation, pre- or postcondition,
// or assertion.
type CheckRule struct {
	Condition    hcl.Expression
	ErrorMessage hcl.Expression
	DeclRange    hcl.Range
}

// Check is a check block.
type Check struct {
	Name      string
	Module    *Module
	Data      *Resource // nil where there is none
	Asserts   []*CheckRule
	DeclRange hcl.Range
}

// Provisioner is a provisioner block of a resource or removed block.
type Provisioner struct {
	Type       string
	Config     hcl.Body
	Connection *Connection // own connection; nil: the resource's
	OnDestroy  bool        // when = destroy
	Continue   bool        // on_failure = continue
	DeclRange  hcl.Range
}

// Connection is a connection block.
type Connection struct {
	Config    hcl.Body
	DeclRange hcl.Range
}

// ModuleCall is a module block.
type ModuleCall struct {
	Name        string
	Module      *Module // the caller
	SourceAddr  string
	SourceRange hcl.Range
	Constraints []VersionConstraint
	Config      hcl.Body                             // the inputs: only attributes
	Arguments   map[string]hcl.Expression            // the inputs by variable name
	Count       hcl.Expression                       //
	ForEach     hcl.Expression                       //
	Enabled     hcl.Expression                       // OpenTofu dialect; nil
	Providers   map[addrs.LocalProviderConfig]Passed // by the name inside the child
	DependsOn   []hcl.Traversal
	DeclRange   hcl.Range
}

// Passed is one entry of a module call's providers argument: the caller's
// configuration that the child sees.
type Passed struct {
	InParent addrs.LocalProviderConfig
	Range    hcl.Range
}

// Moved is a moved block. Addresses are relative to the module it stands in;
// From and To are as written (a resource, an instance, a module, a module
// instance).
type Moved struct {
	Module    *Module
	From, To  addrs.Target
	DeclRange hcl.Range
}

// Import is an import block.
type Import struct {
	Module        *Module
	To            hcl.Expression // may have index expressions over each
	StaticTo      addrs.ConfigResource
	ID            hcl.Expression // nil where Identity is used
	Identity      hcl.Expression // nil where ID is used
	ForEach       hcl.Expression
	ProviderLocal *addrs.LocalProviderConfig // nil: the target's
	DeclRange     hcl.Range
}

// Removed is a removed block.
type Removed struct {
	Module       *Module
	From         addrs.Target // without instance keys, relative to the module
	Destroy      bool
	Provisioners []*Provisioner
	Connection   *Connection
	DeclRange    hcl.Range
}

// ResolveProvider finds the configuration that a local name in module m means:
// the module's own block, what the call passes in, or what is inherited. block
// is nil where the configuration is implied (an empty one in the root module).
func (c *Config) ResolveProvider(m *Module, local addrs.LocalProviderConfig) (addr addrs.ProviderConfig, block *ProviderConfig) {
	provider := m.ProviderFor(local.LocalName)
	for {
		// What the caller passes stands before an own block: such a block is then
		// an empty one, the old way of saying that a configuration is wanted.
		if m.Parent != nil {
			if passed, ok := m.Call.Providers[local]; ok {
				m, local = m.Parent, passed.InParent
				provider = m.ProviderFor(local.LocalName)
				continue
			}
		}
		if pc, ok := m.ProviderConfigs[local]; ok {
			return addrs.ProviderConfig{Module: m.Path, Provider: provider, Alias: local.Alias}, pc
		}
		if m.Parent == nil {
			return addrs.ProviderConfig{Provider: provider, Alias: local.Alias}, nil
		}
		if local.Alias != "" {
			return addrs.ProviderConfig{Module: m.Path, Provider: provider, Alias: local.Alias}, nil
		}
		m = m.Parent
		local = addrs.LocalProviderConfig{LocalName: m.LocalNameFor(provider)}
	}
}

// ProviderFor returns the provider a local name means in this module.
func (m *Module) ProviderFor(localName string) addrs.Provider {
	if rp, ok := m.RequiredProviders[localName]; ok {
		return rp.Source
	}
	return addrs.DefaultProvider(localName)
}

// LocalNameFor returns the name this module has for a provider; the provider's
// type where the module does not mention it.
func (m *Module) LocalNameFor(p addrs.Provider) string {
	if rp, ok := m.RequiredProviders[p.Type]; ok && rp.Source.Same(p) {
		return p.Type
	}
	best := ""
	for name, rp := range m.RequiredProviders {
		if rp.Source.Same(p) && (best == "" || name < best) {
			best = name
		}
	}
	if best != "" {
		return best
	}
	return p.Type
}

// FindProviderConfig returns the provider block at an address as recorded in
// state, or nil where the configuration has none.
func (c *Config) FindProviderConfig(addr addrs.ProviderConfig) *ProviderConfig {
	m := c.Modules[addr.Module]
	if m == nil {
		return nil
	}
	for local, pc := range m.ProviderConfigs {
		if local.Alias == addr.Alias && m.ProviderFor(local.LocalName).Same(addr.Provider) {
			return pc
		}
	}
	return nil
}

// Resource returns the block at an address, or nil.
func (c *Config) Resource(addr addrs.ConfigResource) *Resource {
	m := c.Modules[addr.Module]
	if m == nil {
		return nil
	}
	return m.Resources[addr.Resource]
}

// InputValue is the value of a root variable as somebody gave it, not yet
// converted or checked.
type InputValue struct {
	Value  cty.Value
	Source InputSource
	Range  *hcl.Range // where, for values from files
}

// InputSource says where an input value came from.
type InputSource byte

// The sources of input values.
const (
	FromEnvironment InputSource = 'e'
	FromFile        InputSource = 'f'
	FromAutoFile    InputSource = 'a'
	FromCommandLine InputSource = 'c'
	FromPrompt      InputSource = 'p'
	FromCaller      InputSource = 'k' // e.g. a stack's inputs, a test, the plan
)
