package providers

import (
	"sync"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Schemas is everything a provider says about itself. It is immutable once
// made and shared by every instance of the provider.
type Schemas struct {
	Provider     Schema // the provider's own configuration
	ProviderMeta *Block // provider_meta block, nil where not supported

	ResourceTypes      map[string]Schema
	DataSources        map[string]Schema
	EphemeralResources map[string]Schema
	ListResources      map[string]Schema
	Actions            map[string]Schema
	Functions          map[string]FunctionDecl
	Capabilities       Capabilities
}

// Capabilities are the optional abilities a provider declares.
type Capabilities struct {
	PlanDestroy               bool // wants PlanResourceChange for deletes too
	GetProviderSchemaOptional bool
	MoveResourceState         bool
	GenerateResourceConfig    bool
}

// Schema describes one kind of object.
type Schema struct {
	Version  int64
	Block    *Block
	Identity *IdentitySchema // nil where the type has no identity
}

// IdentitySchema describes the identity of a resource type.
type IdentitySchema struct {
	Version    int64
	Attributes map[string]*Attribute // RequiredForImport → Required, OptionalForImport → Optional
}

// Type returns the object type of the identity.
func (s *IdentitySchema) Type() cty.Type {
	atys := make(map[string]cty.Type, len(s.Attributes))
	for name, a := range s.Attributes {
		atys[name] = a.Type
	}
	return cty.Object(atys)
}

// Block is the schema of a block's body.
type Block struct {
	Attributes      map[string]*Attribute
	BlockTypes      map[string]*NestedBlock
	Description     string
	DescriptionKind string // plain or markdown
	Deprecated      bool

	derived blockDerived
}

// blockDerived holds what is computed from a Block once, on first use.
type blockDerived struct {
	typeOnce sync.Once
	typ      cty.Type
	specOnce sync.Once
	spec     hcldec.Spec
	sensOnce sync.Once
	sens     bool
	woOnce   sync.Once
	wo       bool
}

// Attribute is the schema of one attribute. Exactly one of Type and NestedType is set.
type Attribute struct {
	Type               cty.Type
	NestedType         *NestedObject
	Description        string
	DescriptionKind    string
	Required           bool
	Optional           bool
	Computed           bool
	Sensitive          bool
	WriteOnly          bool
	Deprecated         bool
	DeprecationMessage string
}

// NestedObject is the type of an attribute whose elements have a schema.
type NestedObject struct {
	Attributes map[string]*Attribute
	Nesting    Nesting
}

// NestedBlock is a kind of block inside a block.
type NestedBlock struct {
	Block
	Nesting  Nesting
	MinItems int
	MaxItems int
}

// Nesting says how several of a nested object or block combine into one value.
type Nesting byte

// The nesting modes, as in the provider protocol.
const (
	NestingInvalid Nesting = iota
	NestingSingle
	NestingGroup
	NestingList
	NestingSet
	NestingMap
)

// FunctionDecl is a function a provider offers.
type FunctionDecl struct {
	Parameters         []FunctionParam
	Variadic           *FunctionParam
	ReturnType         cty.Type
	Summary            string
	Description        string
	DescriptionKind    string
	DeprecationMessage string
}

// FunctionParam is one parameter of a provider's function.
type FunctionParam struct {
	Name            string
	Type            cty.Type
	AllowNull       bool
	AllowUnknown    bool
	Description     string
	DescriptionKind string
}

// Function is shorthand for a callable cty function.
type Function = function.Function
