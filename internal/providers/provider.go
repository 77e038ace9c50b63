// Package providers speaks to Terraform providers: their schemas, their plugin
// protocol (versions 5 and 6), the pool of their processes, and where they are
// installed from.
//
// [Provider] is what the engine sees: one method per operation of the protocol,
// with cty values in and out. Implementations are the plugin client in this
// package, the built-in provider, and doubles in tests. All methods may be
// called concurrently.
package providers

import (
	"context"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// Provider is one running provider. Configure is called at most once and before
// every method marked "configured"; the others work at any time.
//
// Values of resources conform to the implied type of the schema's block.
// Diagnostics come without source ranges, with attribute paths where the
// provider gave some; the caller, who knows the configuration, adds the ranges.
type Provider interface {
	// Schemas returns the provider's schemas, from cache where possible.
	Schemas(ctx context.Context) (*Schemas, diag.List)

	ValidateProviderConfig(ctx context.Context, config cty.Value) (prepared cty.Value, diags diag.List)
	ValidateResourceConfig(ctx context.Context, typeName string, config cty.Value) diag.List
	ValidateDataConfig(ctx context.Context, typeName string, config cty.Value) diag.List
	ValidateEphemeralConfig(ctx context.Context, typeName string, config cty.Value) diag.List

	Configure(ctx context.Context, req ConfigureRequest) diag.List

	// UpgradeResourceState brings a stored object to the current schema.
	UpgradeResourceState(ctx context.Context, req UpgradeRequest) UpgradeResponse
	UpgradeResourceIdentity(ctx context.Context, req UpgradeRequest) UpgradeResponse
	MoveResourceState(ctx context.Context, req MoveRequest) MoveResponse

	ReadResource(ctx context.Context, req ReadRequest) ReadResponse                // configured
	PlanResourceChange(ctx context.Context, req PlanRequest) PlanResponse          // configured
	ApplyResourceChange(ctx context.Context, req ApplyRequest) ApplyResponse       // configured
	ImportResourceState(ctx context.Context, req ImportRequest) ImportResponse     // configured
	ReadDataSource(ctx context.Context, req ReadDataRequest) ReadDataResponse      // configured
	OpenEphemeral(ctx context.Context, req OpenRequest) OpenResponse               // configured
	RenewEphemeral(ctx context.Context, req RenewRequest) RenewResponse            // configured
	CloseEphemeral(ctx context.Context, typeName string, private []byte) diag.List // configured

	// CallFunction works on an unconfigured provider too. The error is a
	// function.ArgError where the provider blamed an argument.
	CallFunction(ctx context.Context, name string, args []cty.Value) (cty.Value, error)

	// Stop asks running operations to end early. It returns at once.
	Stop(ctx context.Context) error
	// Close ends the provider's process, or gives it back to its pool.
	Close() error
}

// ConfigureRequest configures a provider.
type ConfigureRequest struct {
	TerraformVersion string // plausible ≥ 1.x version: providers branch on it
	Config           cty.Value
}

// UpgradeRequest carries a stored object as raw JSON, or in the flatmap form of
// very old state files.
type UpgradeRequest struct {
	TypeName string
	Version  int64
	JSON     []byte
	Flatmap  map[string]string
}

// UpgradeResponse is the upgraded object.
type UpgradeResponse struct {
	Value cty.Value
	Diags diag.List
}

// MoveRequest carries an object of another type or provider.
type MoveRequest struct {
	SourceProvider        addrs.Provider
	SourceType            string
	SourceSchemaVersion   int64
	SourceJSON            []byte
	SourcePrivate         []byte
	SourceIdentity        []byte
	SourceIdentityVersion int64
	TargetType            string
}

// MoveResponse is the object in its new type.
type MoveResponse struct {
	Value    cty.Value
	Private  []byte
	Identity cty.Value // cty.NilVal where there is none
	Diags    diag.List
}

// ReadRequest asks for the current remote object.
type ReadRequest struct {
	// Instance is whose object it is, for who stands between; providers do not see it.
	Instance addrs.ResourceInstance

	TypeName     string
	Prior        cty.Value
	Private      []byte
	ProviderMeta cty.Value // cty.NilVal where there is none
	Identity     cty.Value // cty.NilVal where there is none
	AllowDefer   bool
}

// ReadResponse is the remote object; a null value says that it is gone.
type ReadResponse struct {
	Value    cty.Value
	Private  []byte
	Identity cty.Value
	Deferred *Deferred
	Diags    diag.List
}

// PlanRequest asks what would happen. For a create Prior is null, for a destroy
// Proposed and Config are null. Values must be unmarked.
type PlanRequest struct {
	// Instance is whose object it is, for who stands between; providers do not see it.
	Instance addrs.ResourceInstance

	TypeName     string
	Prior        cty.Value
	Proposed     cty.Value
	Config       cty.Value
	PriorPrivate []byte
	ProviderMeta cty.Value
	Identity     cty.Value
	AllowDefer   bool
}

// PlanResponse is the provider's answer, unchecked.
type PlanResponse struct {
	Planned          cty.Value
	RequiresReplace  []cty.Path
	Private          []byte
	LegacyTypeSystem bool // the old SDK: deviations are tolerated
	Identity         cty.Value
	Deferred         *Deferred
	Diags            diag.List
}

// ApplyRequest carries out a planned change. A null Planned destroys.
type ApplyRequest struct {
	// Instance is whose object it is, for who stands between; providers do not see it.
	Instance addrs.ResourceInstance

	TypeName       string
	Prior          cty.Value
	Planned        cty.Value
	Config         cty.Value
	PlannedPrivate []byte
	ProviderMeta   cty.Value
	Identity       cty.Value
}

// ApplyResponse is the new object, which must be saved even if Diags has errors.
// Value is cty.NilVal where the call never reached the provider or the answer
// was lost: then nothing is known about the effect (Lost is true).
type ApplyResponse struct {
	Value            cty.Value
	Private          []byte
	LegacyTypeSystem bool
	Identity         cty.Value
	Lost             bool
	Diags            diag.List
}

// ImportRequest names an object by id or by identity.
type ImportRequest struct {
	TypeName string
	ID       string
	Identity cty.Value // cty.NilVal where ID is used
}

// Imported is one object found by an import.
type Imported struct {
	TypeName string
	Value    cty.Value
	Private  []byte
	Identity cty.Value
}

// ImportResponse is what an import found.
type ImportResponse struct {
	Objects  []Imported
	Deferred *Deferred
	Diags    diag.List
}

// ReadDataRequest reads a data source.
type ReadDataRequest struct {
	// Instance is whose object it is, for who stands between; providers do not see it.
	Instance addrs.ResourceInstance

	TypeName     string
	Config       cty.Value
	ProviderMeta cty.Value
	AllowDefer   bool
}

// ReadDataResponse is the data read.
type ReadDataResponse struct {
	Value    cty.Value
	Deferred *Deferred
	Diags    diag.List
}

// OpenRequest opens an ephemeral resource.
type OpenRequest struct {
	TypeName string
	Config   cty.Value
}

// OpenResponse is an open ephemeral resource. RenewAt is zero where it needs no
// renewal.
type OpenResponse struct {
	Value    cty.Value
	Private  []byte
	RenewAt  time.Time
	Deferred *Deferred
	Diags    diag.List
}

// RenewRequest renews an ephemeral resource.
type RenewRequest struct {
	TypeName string
	Private  []byte
}

// RenewResponse says when to renew next.
type RenewResponse struct {
	Private []byte
	RenewAt time.Time
	Diags   diag.List
}

// Deferred says that a provider cannot do the operation yet.
type Deferred struct {
	Reason string // as in plan JSON: resource_config_unknown, provider_config_unknown, absent_prereq
}

// Factory gives running providers. Acquire returns a provider that nobody has
// configured: either a new process or, where configure is not needed (schemas,
// validation, functions), a shared one when shared is true.
type Factory interface {
	Acquire(ctx context.Context, provider addrs.Provider, shared bool) (Provider, error)
	// Schemas returns the schemas of a provider without starting it where the
	// cache has them.
	Schemas(ctx context.Context, provider addrs.Provider) (*Schemas, diag.List)
	// Close ends every process.
	Close() error
}
