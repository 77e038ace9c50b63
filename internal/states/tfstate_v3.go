package states

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Version 3 is the format of Terraform 0.9 to 0.11: a list of modules, each
// with a flat map of resources whose attributes are flat maps of strings.

type fileV3 struct {
	TerraformVersion string         `json:"terraform_version"`
	Serial           uint64         `json:"serial"`
	Lineage          string         `json:"lineage"`
	Modules          []fileModuleV3 `json:"modules"`
}

type fileModuleV3 struct {
	Path    []string `json:"path"`
	Outputs map[string]struct {
		Sensitive bool            `json:"sensitive"`
		Type      string          `json:"type"`
		Value     json.RawMessage `json:"value"`
	} `json:"outputs"`
	Resources map[string]fileResourceV3 `json:"resources"`
}

type fileResourceV3 struct {
	Type      string         `json:"type"`
	DependsOn []string       `json:"depends_on"`
	Primary   *fileObjectV3  `json:"primary"`
	Deposed   []fileObjectV3 `json:"deposed"`
	Provider  string         `json:"provider"`
}

type fileObjectV3 struct {
	ID         string                     `json:"id"`
	Attributes map[string]string          `json:"attributes"`
	Meta       map[string]json.RawMessage `json:"meta"`
	Tainted    bool                       `json:"tainted"`
}

func decodeV3(data []byte) (*State, diag.List) {
	var file fileV3
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, diag.Errorf(badState, "The file is not a state of format version 3: %s.", describeJSONError(data, err))
	}
	r := &reader{state: New(), providers: map[string]addrs.ProviderConfig{}}
	r.state.Lineage, r.state.Serial, r.state.TerraformVersion = file.Lineage, file.Serial, file.TerraformVersion
	for i := range file.Modules {
		r.moduleV3(&file.Modules[i])
	}
	if r.diags.HasErrors() {
		r.diags = r.diags.Sorted()
		return nil, r.diags[:min(len(r.diags), tooManyIn)]
	}
	return r.state, r.diags
}

func (r *reader) moduleV3(in *fileModuleV3) {
	if len(in.Path) == 0 || in.Path[0] != "root" {
		r.problem("", "A module of the file has no path that begins with \"root\".")
		return
	}
	var module addrs.ModuleInstance
	for _, name := range in.Path[1:] {
		if !hclsyntax.ValidIdentifier(name) {
			r.problem("", "The file has a module with the invalid name %q.", name)
			return
		}
		module = module.Child(name, addrs.NoKey)
	}
	if module.IsRoot() {
		for name, output := range in.Outputs {
			typeJSON, err := outputTypeV3(output.Type, output.Value)
			if err != nil {
				r.problem("output."+name, "The output %q has no valid value.", name)
				continue
			}
			r.state.Outputs[name] = &Output{Value: compact(output.Value), Type: typeJSON, Sensitive: output.Sensitive}
		}
	}
	names := make([]string, 0, len(in.Resources))
	for name := range in.Resources {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		r.resourceV3(module, name, in.Resources[name])
	}
}

// outputTypeV3 returns the type of an output, as JSON. The old format knows
// strings, lists and maps; elements of lists and maps have the type they share.
func outputTypeV3(declared string, value json.RawMessage) (json.RawMessage, error) {
	typ, err := ctyjson.ImpliedType(value)
	if err != nil {
		return nil, err
	}
	var elements []cty.Type
	switch {
	case declared == "list" && typ.IsTupleType():
		elements = typ.TupleElementTypes()
	case declared == "map" && typ.IsObjectType():
		for _, element := range typ.AttributeTypes() {
			elements = append(elements, element)
		}
	default:
		return ctyjson.MarshalType(typ)
	}
	shared := cty.String // of a list or map without elements, most likely
	for i, element := range elements {
		if (i > 0 && !element.Equals(shared)) || element.HasDynamicTypes() {
			return ctyjson.MarshalType(typ)
		}
		shared = element
	}
	if declared == "list" {
		return ctyjson.MarshalType(cty.List(shared))
	}
	return ctyjson.MarshalType(cty.Map(shared))
}

// resourceV3 reads one entry, whose name is "type.name", "type.name.0" or
// either with "data." before it.
func (r *reader) resourceV3(module addrs.ModuleInstance, name string, in fileResourceV3) {
	instance := addrs.ResourceInstance{Module: module, Resource: addrs.Resource{Mode: addrs.Managed}}
	rest, isData := strings.CutPrefix(name, "data.")
	if isData {
		instance.Resource.Mode = addrs.Data
	}
	parts := strings.Split(rest, ".")
	if len(parts) == 3 {
		index, err := strconv.Atoi(parts[2])
		if err != nil || index < 0 {
			parts = nil
		}
		instance.Key = addrs.IntKey(index)
	}
	if len(parts) < 2 || len(parts) > 3 || !hclsyntax.ValidIdentifier(parts[0]) || !hclsyntax.ValidIdentifier(parts[1]) {
		r.problem("", "The resource name %q in the file cannot be understood.", name)
		return
	}
	instance.Resource.Type, instance.Resource.Name = parts[0], parts[1]
	text := in.Provider
	if text == "" {
		text = "provider." + instance.Resource.ImpliedProvider()
		if path := module.Module().String(); path != "" {
			text = path + "." + text // the module's own configuration
		}
	}
	provider, err := r.provider(text)
	if err != nil {
		r.problem(instance.String(), "The resource's provider cannot be understood: %s.", err)
		return
	}
	var dependencies []addrs.ConfigResource
	for _, text := range in.DependsOn {
		if dependency, ok := legacyDependency(module.Module(), text); ok {
			dependencies = append(dependencies, dependency)
		}
	}
	dependencies = sortedResources(dependencies)
	add := func(object *fileObjectV3, deposed addrs.DeposedKey) {
		out := &Instance{Object: addrs.Object{Instance: instance, Deposed: deposed}, Provider: provider, Dependencies: dependencies, Status: Ready}
		if _, twice := r.state.Instances[out.Object]; twice {
			r.problem(instance.String(), "The file has the object %s twice.", out.Object)
			return
		}
		if err := object.fill(out); err != "" {
			r.problem(instance.String(), "The object %s %s.", out.Object, err)
			return
		}
		r.state.Instances[out.Object] = out
	}
	if in.Primary != nil && in.Primary.ID != "" {
		add(in.Primary, addrs.CurrentObject)
	}
	for i := range in.Deposed {
		if in.Deposed[i].ID != "" {
			// The old format had no keys for deposed objects: any do.
			add(&in.Deposed[i], addrs.DeposedKey(fmt.Sprintf("%08x", i+1)))
		}
	}
}

// fill takes over attributes and metadata. What providers kept in "meta" became
// the private bytes of later formats, save for the schema version.
func (o *fileObjectV3) fill(out *Instance) string {
	out.Flatmap = o.Attributes
	if out.Flatmap == nil {
		out.Flatmap = map[string]string{}
	}
	if _, ok := out.Flatmap["id"]; !ok {
		out.Flatmap["id"] = o.ID
	}
	if o.Tainted {
		out.Status = Tainted
	}
	private := map[string]json.RawMessage{}
	for key, value := range o.Meta {
		if key != "schema_version" {
			private[key] = value
			continue
		}
		version, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
		if err != nil {
			return "has a schema version that is not a number"
		}
		out.SchemaVersion = version
	}
	if len(private) > 0 {
		encoded, err := json.Marshal(private)
		if err != nil {
			return "has metadata that is not valid JSON"
		}
		out.Private = encoded
	}
	return ""
}
