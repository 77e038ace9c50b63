package states

import (
	"encoding/json"
	"fmt"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// FormatVersion is the version of the interchange format that [Encode] writes.
const FormatVersion = 4

// The structs below are the file format, field by field in the order in which
// Terraform writes them, so that two programs' files of one state differ in
// nothing but what differs.

type fileV4 struct {
	Version          uint64                  `json:"version"`
	TerraformVersion string                  `json:"terraform_version"`
	Serial           uint64                  `json:"serial"`
	Lineage          string                  `json:"lineage"`
	Outputs          map[string]fileOutputV4 `json:"outputs"`
	Resources        []fileResourceV4        `json:"resources"`
	CheckResults     json.RawMessage         `json:"check_results"`
}

type fileOutputV4 struct {
	Value     json.RawMessage `json:"value"`
	Type      json.RawMessage `json:"type"`
	Sensitive bool            `json:"sensitive,omitempty"`
}

type fileResourceV4 struct {
	Module    string           `json:"module,omitempty"`
	Mode      string           `json:"mode"`
	Type      string           `json:"type"`
	Name      string           `json:"name"`
	Provider  string           `json:"provider"`
	Instances []fileInstanceV4 `json:"instances"`
}

type fileInstanceV4 struct {
	IndexKey              json.RawMessage   `json:"index_key,omitempty"`
	Status                string            `json:"status,omitempty"`
	Deposed               string            `json:"deposed,omitempty"`
	SchemaVersion         int64             `json:"schema_version"`
	Attributes            json.RawMessage   `json:"attributes,omitempty"`
	Flatmap               map[string]string `json:"attributes_flat,omitempty"`
	SensitiveAttributes   json.RawMessage   `json:"sensitive_attributes,omitempty"`
	IdentitySchemaVersion *int64            `json:"identity_schema_version,omitempty"`
	Identity              json.RawMessage   `json:"identity,omitempty"`
	Private               []byte            `json:"private,omitempty"`
	Dependencies          []string          `json:"dependencies,omitempty"`
	CreateBeforeDestroy   bool              `json:"create_before_destroy,omitempty"`

	// Provider overrides the resource's: other tools write it where instances of
	// one resource have different providers. It is read only.
	Provider string `json:"provider,omitempty"`
}

type filePathStep struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

type fileIndex struct {
	Value json.RawMessage `json:"value"`
	Type  json.RawMessage `json:"type"`
}

// EncodePaths writes paths in the form of tfstate's sensitive_attributes: a
// list of lists of steps.
func EncodePaths(paths []cty.Path) (json.RawMessage, error) {
	out := make([][]filePathStep, len(paths))
	for i, path := range paths {
		out[i] = make([]filePathStep, len(path))
		for j, step := range path {
			var err error
			switch step := step.(type) {
			case cty.GetAttrStep:
				out[i][j].Type = "get_attr"
				out[i][j].Value, err = json.Marshal(step.Name)
			case cty.IndexStep:
				out[i][j].Type = "index"
				out[i][j].Value, err = encodeIndex(step.Key)
			default:
				err = fmt.Errorf("unsupported path step %T", step)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(out)
}

func encodeIndex(key cty.Value) (json.RawMessage, error) {
	if !key.IsWhollyKnown() || key.ContainsMarked() {
		return nil, fmt.Errorf("an index in a path must be known")
	}
	value, err := ctyjson.Marshal(key, key.Type())
	if err != nil {
		return nil, err
	}
	typ, err := ctyjson.MarshalType(key.Type())
	if err != nil {
		return nil, err
	}
	return json.Marshal(fileIndex{Value: value, Type: typ})
}

// DecodePaths reads the form of [EncodePaths]. Null and nothing give no paths.
func DecodePaths(data json.RawMessage) ([]cty.Path, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var in [][]filePathStep
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("sensitive attribute paths must be lists of steps")
	}
	var out []cty.Path
	for _, steps := range in {
		path := make(cty.Path, 0, len(steps))
		for _, step := range steps {
			switch step.Type {
			case "get_attr":
				var name string
				if err := json.Unmarshal(step.Value, &name); err != nil {
					return nil, fmt.Errorf("a get_attr step must have a name")
				}
				path = append(path, cty.GetAttrStep{Name: name})
			case "index":
				key, err := decodeIndex(step.Value)
				if err != nil {
					return nil, err
				}
				path = append(path, cty.IndexStep{Key: key})
			default:
				return nil, fmt.Errorf("unsupported path step type %q", step.Type)
			}
		}
		out = append(out, path)
	}
	return out, nil
}

func decodeIndex(raw json.RawMessage) (cty.Value, error) {
	bad := fmt.Errorf("an index step must have a value and its type")
	var in fileIndex
	if err := json.Unmarshal(raw, &in); err != nil {
		return cty.NilVal, bad
	}
	typ, err := ctyjson.UnmarshalType(in.Type)
	if err != nil {
		return cty.NilVal, bad
	}
	key, err := ctyjson.Unmarshal(in.Value, typ)
	if err != nil || key.IsNull() {
		return cty.NilVal, bad
	}
	return key, nil
}
