package builtin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// remoteStateType is the data source that reads the outputs of another state.
const remoteStateType = "terraform_remote_state"

// StateReader reads a state that a backend keeps. Config is the data source's
// config argument, an object without unknown values; workspace is never empty.
// A nil state without diagnostics says that nothing is stored there.
type StateReader func(ctx context.Context, config cty.Value, workspace string) (*states.State, diag.List)

// otherBackends are backends of Terraform that this program does not read by
// itself.
var otherBackends = map[string]bool{
	"azurerm": true, "consul": true, "cos": true, "gcs": true, "kubernetes": true, "oci": true,
	"oss": true, "pg": true, "remote": true, "cloud": true, "s3": true, "inmem": true,
}

func remoteStateBlock() *providers.Block {
	attribute := func(typ cty.Type, description string) *providers.Attribute {
		return &providers.Attribute{Type: typ, Optional: true, Description: description, DescriptionKind: "markdown"}
	}
	backend := attribute(cty.String, "The type of the backend that keeps the state, like `local` or `http`.")
	backend.Optional, backend.Required = false, true
	outputs := attribute(cty.DynamicPseudoType, "An object with every output of the state's root module.")
	outputs.Optional, outputs.Computed = false, true
	return &providers.Block{
		DescriptionKind: "plain",
		Attributes: map[string]*providers.Attribute{
			"backend":   backend,
			"config":    attribute(cty.DynamicPseudoType, "The backend's arguments, as its `backend` block would have them."),
			"defaults":  attribute(cty.DynamicPseudoType, "Values of outputs that the state lacks."),
			"workspace": attribute(cty.String, "The workspace to read, where the backend has several."),
			"outputs":   outputs,
		},
	}
}

func attributeError(attribute, summary, detail string) diag.List {
	return diag.List{{Severity: diag.Error, Summary: summary, Detail: detail, Attribute: cty.GetAttrPath(attribute)}}
}

func (p *provider) validateRemoteState(config cty.Value) diag.List {
	var diags diag.List
	if backend := config.GetAttr("backend"); backend.IsKnown() && !backend.IsNull() {
		diags = append(diags, p.validateBackend(backend.AsString(), config.GetAttr("config"))...)
	}
	defaults := config.GetAttr("defaults")
	if typ := defaults.Type(); !defaults.IsNull() && typ != cty.DynamicPseudoType && !typ.IsObjectType() && !typ.IsMapType() {
		diags = append(diags, attributeError("defaults", "Invalid default values", "Defaults must be given as an object.")...)
	}
	return diags
}

func (p *provider) validateBackend(backend string, config cty.Value) diag.List {
	if _, ok := p.readers[backend]; !ok {
		detail := "There is no backend type named \"" + backend + "\". Backends that can be read here: " + p.backendNames() + "."
		if otherBackends[backend] {
			detail = "States in the backend \"" + backend + "\" cannot be read directly. Either publish the state over HTTP " +
				"and use backend = \"http\", or fetch it to a file before the run, for example with \"terraform state pull\" " +
				"in its directory, and use backend = \"local\"."
		}
		return attributeError("backend", "Invalid backend configuration", detail)
	}
	if _, custom := p.opts.Backends[backend]; custom || !config.IsWhollyKnown() {
		return nil
	}
	_, err := backendArguments(backend, config)
	if err != nil {
		return attributeError("config", "Invalid backend configuration",
			"The given configuration is not valid for backend \""+backend+"\": "+err.Error()+".")
	}
	return nil
}

func (p *provider) backendNames() string {
	names := make([]string, 0, len(p.readers))
	for name := range p.readers {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// backendTypes are the arguments of the backends that are read here. Some of
// the http backend's matter only to writers, and are accepted because the same
// object often serves for both.
func backendTypes(backend string) map[string]cty.Type {
	if backend == "local" {
		return map[string]cty.Type{"path": cty.String, "workspace_dir": cty.String}
	}
	return map[string]cty.Type{
		"address": cty.String, "username": cty.String, "password": cty.String,
		"skip_cert_verification": cty.Bool,
		"retry_max":              cty.Number, "retry_wait_min": cty.Number, "retry_wait_max": cty.Number,
		"client_ca_certificate_pem": cty.String, "client_certificate_pem": cty.String, "client_private_key_pem": cty.String,
		"update_method": cty.String, "lock_address": cty.String, "lock_method": cty.String,
		"unlock_address": cty.String, "unlock_method": cty.String,
	}
}

// backendArguments converts a config object to the backend's own types; what
// is not given is null.
func backendArguments(backend string, config cty.Value) (map[string]cty.Value, error) {
	types := backendTypes(backend)
	out := make(map[string]cty.Value, len(types))
	for name, typ := range types {
		out[name] = cty.NullVal(typ)
	}
	if config.IsNull() {
		return out, nil
	}
	if typ := config.Type(); !typ.IsObjectType() && !typ.IsMapType() {
		return nil, errors.New("an object is required")
	}
	for it := config.ElementIterator(); it.Next(); {
		key, value := it.Element()
		name := key.AsString()
		typ, ok := types[name]
		if !ok {
			return nil, errors.New("unexpected attribute \"" + name + "\"")
		}
		converted, err := convert.Convert(value, typ)
		if err != nil {
			return nil, errors.New("." + name + ": " + err.Error())
		}
		out[name] = converted
	}
	return out, nil
}

func (p *provider) readRemoteState(ctx context.Context, config cty.Value) (cty.Value, diag.List) {
	if diags := p.validateRemoteState(config); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	workspace := "default"
	if given := config.GetAttr("workspace"); !given.IsNull() && given.AsString() != "" {
		workspace = given.AsString()
	}
	backend := config.GetAttr("backend").AsString()
	state, diags := p.readers[backend](ctx, config.GetAttr("config"), workspace)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if state == nil {
		return cty.DynamicVal, append(diags, diag.Errorf("Unable to find remote state",
			"The backend %q has no state of the workspace %q at the place that the configuration names.", backend, workspace)...)
	}
	outputs := map[string]cty.Value{}
	if defaults := config.GetAttr("defaults"); !defaults.IsNull() {
		for it := defaults.ElementIterator(); it.Next(); {
			key, value := it.Element()
			outputs[key.AsString()] = value
		}
	}
	for name, output := range state.Outputs {
		value, err := outputValue(output)
		if err != nil {
			diags = append(diags, diag.Errorf("Unreadable output in remote state",
				"The output %q of the state cannot be read: its value does not have its type.", name)...)
			continue
		}
		outputs[name] = value
	}
	return cty.ObjectVal(map[string]cty.Value{
		"backend": config.GetAttr("backend"), "config": config.GetAttr("config"),
		"defaults": config.GetAttr("defaults"), "workspace": config.GetAttr("workspace"),
		"outputs": cty.ObjectVal(outputs),
	}), diags
}

func outputValue(output *states.Output) (cty.Value, error) {
	typ, err := ctyjson.UnmarshalType(output.Type)
	if err != nil {
		return cty.DynamicVal, err
	}
	return ctyjson.Unmarshal(output.Value, typ)
}

// textOr returns a string argument, or fallback where it is null or empty.
func textOr(v cty.Value, fallback string) string {
	if v.IsNull() || v.AsString() == "" {
		return fallback
	}
	return v.AsString()
}

func (p *provider) readLocal(_ context.Context, config cty.Value, workspace string) (*states.State, diag.List) {
	arguments, err := backendArguments("local", config)
	if err != nil {
		return nil, attributeError("config", "Invalid backend configuration", err.Error()+".")
	}
	path := textOr(arguments["path"], "terraform.tfstate")
	if workspace != "default" {
		path = filepath.Join(textOr(arguments["workspace_dir"], "terraform.tfstate.d"), workspace, "terraform.tfstate")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.opts.WorkingDir, path)
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(content) == 0) {
		return nil, nil
	}
	if err != nil {
		return nil, attributeError("config", "Cannot read remote state", "The state file cannot be read: "+err.Error()+".")
	}
	return decodeState(content)
}

func decodeState(content []byte) (*states.State, diag.List) {
	state, err := states.Decode(content)
	return state, diag.FromError(err)
}
