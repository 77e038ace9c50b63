// Package builtin is the provider inside the program,
// terraform.io/builtin/terraform: the resource type terraform_data, the data
// source terraform_remote_state and the functions that read and write variable
// files.
//
// It has no process and no connection: planning and applying are plain function
// calls, fast enough for ten thousand instances in a few tens of milliseconds.
package builtin

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/google/uuid"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Address is the address of the provider that [New] makes.
var Address = addrs.BuiltInProvider("terraform")

// Options are what the provider needs from its surroundings. The zero value
// works: files are looked up from the working directory, and there are no
// functions.
type Options struct {
	// WorkingDir is what relative paths in terraform_remote_state start from;
	// empty for the process's own working directory.
	WorkingDir string
	// Backends reads the states of backend types beyond "local" and "http", or
	// replaces how those two are read.
	Backends map[string]StateReader
	// Functions are the provider's functions by name: the evaluator has them and
	// stands on the same floor, so that its owner hands them in.
	Functions map[string]function.Function
	// HTTPTransport carries the requests of the "http" backend; nil for Go's own.
	// It is not used where the configuration asks for certificates of its own.
	HTTPTransport http.RoundTripper
	// LookupEnv reads the environment variables of backends; nil for os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// NewID makes the id of a new terraform_data; nil for random UUIDs.
	NewID func() string
}

// New returns the provider. One value may serve any number of configurations
// at once: it has no configuration and no state of its own, and Close does
// nothing.
func New(opts Options) providers.Provider {
	if opts.LookupEnv == nil {
		opts.LookupEnv = os.LookupEnv
	}
	if opts.NewID == nil {
		opts.NewID = uuid.NewString
	}
	p := &provider{opts: opts}
	p.readers = map[string]StateReader{"local": p.readLocal, "http": p.readHTTP}
	for name, read := range opts.Backends {
		p.readers[name] = read
	}
	p.schemas = &providers.Schemas{
		Provider:      providers.Schema{Block: &providers.Block{}},
		ResourceTypes: map[string]providers.Schema{dataType: {Block: dataBlock()}},
		DataSources:   map[string]providers.Schema{remoteStateType: {Block: remoteStateBlock()}},
		Functions:     declarations(opts.Functions),
		Capabilities: providers.Capabilities{
			GetProviderSchemaOptional: true, PlanDestroy: true, MoveResourceState: true,
		},
	}
	return p
}

type provider struct {
	opts    Options
	readers map[string]StateReader
	schemas *providers.Schemas
}

func (p *provider) Schemas(context.Context) (*providers.Schemas, diag.List) { return p.schemas, nil }

func (p *provider) ValidateProviderConfig(_ context.Context, config cty.Value) (cty.Value, diag.List) {
	return config, nil
}

func (p *provider) ValidateResourceConfig(_ context.Context, typeName string, _ cty.Value) diag.List {
	return wrongType(typeName, dataType, "resource type")
}

func (p *provider) ValidateDataConfig(_ context.Context, typeName string, config cty.Value) diag.List {
	if diags := wrongType(typeName, remoteStateType, "data source"); diags != nil {
		return diags
	}
	return p.validateRemoteState(config)
}

func (p *provider) ValidateEphemeralConfig(_ context.Context, typeName string, _ cty.Value) diag.List {
	return noEphemeral(typeName)
}

func (p *provider) Configure(context.Context, providers.ConfigureRequest) diag.List { return nil }

func (p *provider) UpgradeResourceIdentity(_ context.Context, req providers.UpgradeRequest) providers.UpgradeResponse {
	return providers.UpgradeResponse{
		Value: cty.NullVal(cty.EmptyObject),
		Diags: diag.Errorf("Resource type without identity", "Resources of type %s have no identity.", req.TypeName),
	}
}

func (p *provider) ReadDataSource(ctx context.Context, req providers.ReadDataRequest) providers.ReadDataResponse {
	if diags := wrongType(req.TypeName, remoteStateType, "data source"); diags != nil {
		return providers.ReadDataResponse{Value: cty.DynamicVal, Diags: diags}
	}
	value, diags := p.readRemoteState(ctx, req.Config)
	return providers.ReadDataResponse{Value: value, Diags: diags}
}

func (p *provider) OpenEphemeral(_ context.Context, req providers.OpenRequest) providers.OpenResponse {
	return providers.OpenResponse{Value: cty.DynamicVal, Diags: noEphemeral(req.TypeName)}
}

func (p *provider) RenewEphemeral(_ context.Context, req providers.RenewRequest) providers.RenewResponse {
	return providers.RenewResponse{Diags: noEphemeral(req.TypeName)}
}

func (p *provider) CloseEphemeral(_ context.Context, typeName string, _ []byte) diag.List {
	return noEphemeral(typeName)
}

func (p *provider) CallFunction(_ context.Context, name string, args []cty.Value) (cty.Value, error) {
	f, ok := p.opts.Functions[name]
	if !ok {
		return cty.DynamicVal, fmt.Errorf("provider %s has no function named %q", Address.ForDisplay(), name)
	}
	return f.Call(args)
}

func (p *provider) Stop(context.Context) error { return nil }

func (p *provider) Close() error { return nil }

func wrongType(typeName, want, kind string) diag.List {
	if typeName == want {
		return nil
	}
	return diag.Errorf("Unsupported "+kind, "The provider %s has no %s named %q.", Address.ForDisplay(), kind, typeName)
}

func noEphemeral(typeName string) diag.List {
	return diag.Errorf("Unsupported ephemeral resource type",
		"The provider %s has no ephemeral resource type named %q.", Address.ForDisplay(), typeName)
}

// declarations describes the functions the way plugins describe theirs.
func declarations(functions map[string]function.Function) map[string]providers.FunctionDecl {
	summaries := map[string]string{
		"decode_tfvars": "Read the variables in the text of a .tfvars file",
		"encode_expr":   "Write a value as an expression of the configuration language",
		"encode_tfvars": "Write an object as the text of a .tfvars file",
	}
	out := make(map[string]providers.FunctionDecl, len(functions))
	for name, f := range functions {
		decl := providers.FunctionDecl{
			ReturnType:  cty.DynamicPseudoType,
			Summary:     summaries[name],
			Description: f.Description(),
		}
		var types []cty.Type
		for _, param := range f.Params() {
			decl.Parameters = append(decl.Parameters, declaredParam(param))
			types = append(types, param.Type)
		}
		if param := f.VarParam(); param != nil {
			declared := declaredParam(*param)
			decl.Variadic = &declared
		}
		if typ, err := f.ReturnType(types); err == nil {
			decl.ReturnType = typ
		}
		out[name] = decl
	}
	return out
}

func declaredParam(p function.Parameter) providers.FunctionParam {
	return providers.FunctionParam{
		Name: p.Name, Type: p.Type, AllowNull: p.AllowNull, AllowUnknown: p.AllowUnknown, Description: p.Description,
	}
}
