package states

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// Encode writes the state as a file of format version 4, in the order and
// layout of Terraform. Numbers and strings of attributes stay as they are but
// for the escapes that JSON in HTML needs, which Terraform writes too.
//
// Dependencies, direct in a [State], are written with all that they depend on,
// which is how the format has them. The error says which object does not hold
// valid JSON.
func Encode(s *State) ([]byte, error) {
	file := fileV4{
		Version: FormatVersion, TerraformVersion: s.TerraformVersion, Serial: s.Serial, Lineage: s.Lineage,
		Outputs: make(map[string]fileOutputV4, len(s.Outputs)), Resources: []fileResourceV4{},
		CheckResults: s.CheckResults,
	}
	for name, output := range s.Outputs {
		if !json.Valid(output.Value) || !json.Valid(output.Type) {
			return nil, fmt.Errorf("cannot write state: output %q is not valid JSON", name)
		}
		file.Outputs[name] = fileOutputV4{Value: output.Value, Type: output.Type, Sensitive: output.Sensitive}
	}
	out := &writer{graph: newClosureGraph(s)}
	out.shared = make([][]string, len(out.graph.resources))
	var last addrs.AbsResource
	var lastProvider addrs.ProviderConfig
	for _, instance := range inFileOrder(s) {
		abs := instance.Object.Instance.AbsResource()
		n := len(file.Resources)
		// Instances of one resource may have different providers here; the
		// format has one per resource entry, so that each gets an entry.
		if n == 0 || abs != last || instance.Provider != lastProvider {
			file.Resources = append(file.Resources, fileResourceV4{
				Module: abs.Module.String(), Mode: abs.Resource.Mode.String(), Type: abs.Resource.Type, Name: abs.Resource.Name,
				Provider: instance.Provider.String(),
			})
			n++
			last, lastProvider = abs, instance.Provider
		}
		encoded, err := out.instance(instance)
		if err != nil {
			return nil, err
		}
		file.Resources[n-1].Instances = append(file.Resources[n-1].Instances, encoded)
	}
	flat, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("cannot write state: its check results are not valid JSON")
	}
	var text bytes.Buffer
	text.Grow(2 * len(flat))
	if err := json.Indent(&text, flat, "", "  "); err != nil {
		return nil, fmt.Errorf("cannot write state: %w", err)
	}
	text.WriteByte('\n')
	return text.Bytes(), nil
}

// inFileOrder returns the objects as the format has them: modules in the order
// of their text (where [10] is before [2]), then resources, providers, keys.
func inFileOrder(s *State) []*Instance {
	out := make([]*Instance, 0, len(s.Instances))
	for _, instance := range s.Instances {
		out = append(out, instance)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		left, right := a.Object.Instance, b.Object.Instance
		switch {
		case left.Module != right.Module:
			return left.Module < right.Module
		case left.Resource != right.Resource:
			return left.Resource.Less(right.Resource)
		case a.Provider != b.Provider:
			return a.Provider.String() < b.Provider.String()
		case left.Key != right.Key:
			return left.Key.Less(right.Key)
		}
		return a.Object.Deposed < b.Object.Deposed
	})
	return out
}

type writer struct {
	graph  *closureGraph
	shared [][]string // by resource: dependencies of instances that have all of the resource's
}

func (w *writer) instance(in *Instance) (fileInstanceV4, error) {
	out := fileInstanceV4{
		Deposed: string(in.Object.Deposed), SchemaVersion: in.SchemaVersion, Attributes: in.Attributes,
		SensitiveAttributes: json.RawMessage("[]"),
		Private:             in.Private, Dependencies: w.dependencies(in), CreateBeforeDestroy: in.CreateBeforeDestroy,
	}
	switch key := in.Object.Instance.Key; key.Kind {
	case addrs.KeyInt:
		out.IndexKey = strconv.AppendInt(nil, int64(key.Int), 10)
	case addrs.KeyString:
		out.IndexKey, _ = json.Marshal(key.Name) // a string always can be marshalled
	case addrs.KeyUnknown:
		return out, fmt.Errorf("cannot write state: %s has no known instance key", in.Object)
	}
	if in.Status == Tainted {
		out.Status = "tainted"
	}
	switch {
	case in.Attributes == nil && in.Flatmap != nil:
		out.Flatmap = in.Flatmap
	case !json.Valid(in.Attributes):
		return out, fmt.Errorf("cannot write state: the attributes of %s are not valid JSON", in.Object)
	}
	if len(in.SensitivePaths) > 0 {
		paths, err := EncodePaths(in.SensitivePaths)
		if err != nil {
			return out, fmt.Errorf("cannot write state: sensitive attributes of %s: %w", in.Object, err)
		}
		out.SensitiveAttributes = paths
	}
	if in.Identity != nil {
		if !json.Valid(in.Identity) {
			return out, fmt.Errorf("cannot write state: the identity of %s is not valid JSON", in.Object)
		}
		out.Identity, out.IdentitySchemaVersion = in.Identity, &in.IdentitySchemaVersion
	}
	return out, nil
}

func (w *writer) dependencies(in *Instance) []string {
	// Data sources have none in the format: they are read anew anyway.
	if len(in.Dependencies) == 0 || in.Object.Instance.Resource.Mode == addrs.Data {
		return nil
	}
	node := w.graph.ids[in.Object.Instance.Config()]
	whole := w.graph.hasAll(node, in.Dependencies)
	if whole && w.shared[node] != nil {
		return w.shared[node]
	}
	ids := w.graph.from(node, in.Dependencies)
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = w.graph.texts[id]
	}
	if whole {
		w.shared[node] = out
	}
	return out
}
