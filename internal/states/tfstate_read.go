package states

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const (
	badState  = "Invalid state file"
	tooManyIn = 20 // problems reported for one file
)

// Decode reads a state file: format version 4, or version 3 (Terraform 0.9 to
// 0.11), which is brought to the present form. Attributes, identities and
// outputs keep their text but for white space, so numbers stay exact.
//
// Files of other versions, encrypted ones and malformed ones give errors that
// say what to do; no value of the file is in them. The state is nil then, and
// [diag.FromError] turns the error into one diagnostic for each problem. Decode
// never panics, whatever the data.
func Decode(data []byte) (*State, error) {
	state, diags := decode(data)
	if diags.HasErrors() {
		return nil, diags.Err()
	}
	return state, nil
}

func decode(data []byte) (*State, diag.List) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, diag.Errorf(badState, "The file is empty.")
	}
	var head struct {
		Version       *json.Number    `json:"version"`
		EncryptedData json.RawMessage `json:"encrypted_data"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, diag.Errorf(badState, "The file is not a state in JSON form: %s.", describeJSONError(data, err))
	}
	if head.Version == nil {
		if head.EncryptedData != nil {
			return nil, diag.Errorf("Encrypted state file",
				"OpenTofu encrypted this state. Decrypt it with the tool that wrote it, for example with \"tofu state pull\", and use the result.")
		}
		return nil, diag.Errorf(badState, "The file has no \"version\": it is not a state.")
	}
	version, err := strconv.ParseUint(head.Version.String(), 10, 64)
	switch {
	case err != nil:
		return nil, diag.Errorf(badState, "The file's \"version\" is not a whole number.")
	case version == 4:
		return decodeV4(data)
	case version == 3:
		return decodeV3(data)
	case version < 3:
		return nil, diag.Errorf("State file is too old",
			"The file has format version %d, of Terraform 0.8 or older. Bring it to the present form with Terraform 0.11 first, by running \"terraform refresh\" in its directory.", version)
	}
	return nil, diag.Errorf("State file is too new",
		"The file has format version %d; this program reads versions 3 and 4. Use a newer program.", version)
}

// describeJSONError says where the text is wrong, without quoting it.
func describeJSONError(data []byte, err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Error() + " at " + position(data, syntax.Offset)
	case errors.As(err, &typ):
		return fmt.Sprintf("%q has the wrong type at %s", typ.Field, position(data, typ.Offset))
	}
	return "a value has the wrong form"
}

func position(data []byte, offset int64) string {
	before := data[:max(0, min(int(offset), len(data)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, max(1, column-1))
}

func decodeV4(data []byte) (*State, diag.List) {
	var file fileV4
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, diag.Errorf(badState, "The file is not a state of format version 4: %s.", describeJSONError(data, err))
	}
	r := &reader{
		state:     New(),
		modules:   map[string]addrs.ModuleInstance{},
		providers: map[string]addrs.ProviderConfig{},
		configs:   map[string]addrs.ConfigResource{},
	}
	r.state.Lineage, r.state.Serial, r.state.TerraformVersion = file.Lineage, file.Serial, file.TerraformVersion
	if raw := compact(file.CheckResults); string(raw) != "null" {
		r.state.CheckResults = raw
	}
	for name, output := range file.Outputs {
		r.output(name, output)
	}
	for i := range file.Resources {
		r.resource(&file.Resources[i])
		if len(r.diags) >= tooManyIn {
			break
		}
	}
	if r.diags.HasErrors() {
		return nil, r.diags.Sorted()
	}
	return r.state, r.diags
}

// reader collects the state and what is wrong with the file. Its maps make sure
// that each text, of which files repeat few, is parsed once.
type reader struct {
	state     *State
	diags     diag.List
	modules   map[string]addrs.ModuleInstance
	providers map[string]addrs.ProviderConfig
	configs   map[string]addrs.ConfigResource
}

func (r *reader) problem(address, detail string, args ...any) {
	r.diags = append(r.diags, diag.Errorf(badState, detail, args...).WithAddress(address)...)
}

// compact removes white space; numbers and strings stay byte for byte. The
// input went through a JSON decoder before, so it is valid.
func compact(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	var out bytes.Buffer
	out.Grow(len(raw))
	if err := json.Compact(&out, raw); err != nil {
		return raw
	}
	return bytes.Clone(out.Bytes())
}

func (r *reader) output(name string, in fileOutputV4) {
	typ, err := ctyjson.UnmarshalType(in.Type)
	if err != nil {
		r.problem("output."+name, "The output %q has no valid type.", name)
		return
	}
	if _, err := ctyjson.Unmarshal(in.Value, typ); err != nil {
		r.problem("output."+name, "The value of the output %q does not have the output's type.", name)
		return
	}
	r.state.Outputs[name] = &Output{Value: compact(in.Value), Type: compact(in.Type), Sensitive: in.Sensitive}
}

func (r *reader) resource(in *fileResourceV4) {
	var addr addrs.AbsResource
	switch in.Mode {
	case "managed":
		addr.Resource.Mode = addrs.Managed
	case "data":
		addr.Resource.Mode = addrs.Data
	default:
		r.problem("", "A resource has the unsupported mode %q.", in.Mode)
		return
	}
	if !hclsyntax.ValidIdentifier(in.Type) || !hclsyntax.ValidIdentifier(in.Name) {
		r.problem("", "A resource has the type %q and the name %q, of which one is not a valid name.", in.Type, in.Name)
		return
	}
	addr.Resource.Type, addr.Resource.Name = in.Type, in.Name
	module, ok := r.modules[in.Module]
	if !ok {
		var err error
		if module, err = addrs.ParseModuleInstance(in.Module); err != nil {
			r.problem(addr.Resource.String(), "The resource is in the module %q, which is not a module address: %s.", in.Module, err)
			return
		}
		r.modules[in.Module] = module
	}
	addr.Module = module
	if in.Provider == "" && len(in.Instances) > 0 && in.Instances[0].Provider == "" {
		r.problem(addr.String(), "The resource has no provider.")
		return
	}
	for i := range in.Instances {
		instance := &in.Instances[i]
		text := in.Provider
		if instance.Provider != "" {
			text = instance.Provider
		}
		provider, err := r.provider(text)
		if err != nil {
			r.problem(addr.String(), "The resource's provider cannot be understood: %s.", err)
			return
		}
		r.instance(addr, provider, instance)
	}
}

func (r *reader) provider(text string) (addrs.ProviderConfig, error) {
	if p, ok := r.providers[text]; ok {
		return p, nil
	}
	p, err := addrs.ParseProviderConfig(text)
	if err != nil {
		return p, err
	}
	if p.Provider.Namespace == "-" { // Terraform 0.13 wrote this until the next apply
		p.Provider = addrs.DefaultProvider(p.Provider.Type)
	}
	r.providers[text] = p
	return p, nil
}

func (r *reader) instance(addr addrs.AbsResource, provider addrs.ProviderConfig, in *fileInstanceV4) {
	key, err := decodeKey(in.IndexKey)
	object := addrs.Object{Instance: addr.Instance(key), Deposed: addrs.DeposedKey(in.Deposed)}
	if err != nil {
		r.problem(addr.String(), "An instance of the resource has an invalid key: %s.", err)
		return
	}
	if _, twice := r.state.Instances[object]; twice {
		r.problem(object.Instance.String(), "The file has the object %s twice.", object)
		return
	}
	out := &Instance{
		Object: object, Provider: provider, SchemaVersion: in.SchemaVersion, Status: Ready,
		Private: in.Private, CreateBeforeDestroy: in.CreateBeforeDestroy,
	}
	if len(out.Private) == 0 {
		out.Private = nil
	}
	switch in.Status {
	case "":
	case "tainted":
		out.Status = Tainted
	default:
		r.problem(object.Instance.String(), "The object %s has the unsupported status %q.", object, in.Status)
	}
	switch attributes := compact(in.Attributes); {
	case len(attributes) > 0 && attributes[0] == '{':
		out.Attributes = attributes
	case in.Flatmap != nil:
		out.Flatmap = in.Flatmap
	default:
		r.problem(object.Instance.String(), "The object %s has no attributes.", object)
	}
	if out.SensitivePaths, err = DecodePaths(in.SensitiveAttributes); err != nil {
		r.problem(object.Instance.String(), "The sensitive attributes of %s cannot be understood: %s.", object, err)
	}
	if identity := compact(in.Identity); len(identity) > 0 && string(identity) != "null" {
		out.Identity = identity
		if in.IdentitySchemaVersion != nil {
			out.IdentitySchemaVersion = *in.IdentitySchemaVersion
		}
	}
	for _, text := range in.Dependencies {
		dependency, ok := r.configs[text]
		if !ok {
			if dependency, err = addrs.ParseConfigResource(text); err != nil {
				r.problem(object.Instance.String(), "A dependency of %s is not a resource address: %s.", object, err)
				continue
			}
			r.configs[text] = dependency
		}
		out.Dependencies = append(out.Dependencies, dependency)
	}
	out.Dependencies = sortedResources(out.Dependencies)
	r.state.Instances[object] = out
}

func decodeKey(raw json.RawMessage) (addrs.InstanceKey, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return addrs.NoKey, nil
	}
	if raw[0] == '"' {
		var name string
		err := json.Unmarshal(raw, &name)
		return addrs.StringKey(name), err
	}
	if n, err := strconv.Atoi(string(raw)); err == nil {
		return addrs.IntKey(n), nil
	}
	// Some tools write whole numbers with a fraction or an exponent.
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return addrs.NoKey, errors.New("it must be a string or a whole number")
	}
	return addrs.IntKey(int(f)), nil
}

// legacyDependency reads the dependency of a version 3 file: local to its
// module, perhaps with an index. Whole modules are no resources.
func legacyDependency(module addrs.Module, text string) (addrs.ConfigResource, bool) {
	if strings.HasPrefix(text, "module.") {
		return addrs.ConfigResource{}, false
	}
	parts := strings.Split(text, ".")
	mode := addrs.Managed
	if parts[0] == "data" {
		mode, parts = addrs.Data, parts[1:]
	}
	if len(parts) < 2 || !hclsyntax.ValidIdentifier(parts[0]) || !hclsyntax.ValidIdentifier(parts[1]) {
		return addrs.ConfigResource{}, false
	}
	return addrs.ConfigResource{Module: module, Resource: addrs.Resource{Mode: mode, Type: parts[0], Name: parts[1]}}, true
}
