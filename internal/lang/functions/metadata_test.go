package functions

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// decoded is the metadata as a program that reads it sees it.
type decoded struct {
	FormatVersion string                    `json:"format_version"`
	Functions     map[string]map[string]any `json:"function_signatures"`
}

func decodeMetadata(t *testing.T, raw []byte) decoded {
	t.Helper()
	var d decoded
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func ourMetadata(t *testing.T) decoded {
	t.Helper()
	raw, err := MetadataJSON()
	if err != nil {
		t.Fatal(err)
	}
	return decodeMetadata(t, raw)
}

func TestEveryFunctionIsDescribed(t *testing.T) {
	texts := descriptions()
	table := Table(Options{})
	for name := range table {
		plain := strings.TrimPrefix(name, CoreNamespace)
		if _, ok := texts[plain]; !ok && plain != "list" && plain != "map" {
			t.Errorf("%s has no description", name)
		}
	}
	for name := range texts {
		if _, ok := table[name]; !ok {
			t.Errorf("%s is described but does not exist", name)
		}
	}
	for fn, params := range paramDescriptions() {
		f := table[fn]
		for param := range params {
			found := f.VarParam() != nil && f.VarParam().Name == param
			for _, p := range f.Params() {
				found = found || p.Name == param
			}
			if !found {
				t.Errorf("%s has no parameter %s", fn, param)
			}
		}
	}
}

func TestMetadataJSON(t *testing.T) {
	d := ourMetadata(t)
	if d.FormatVersion != "1.0" {
		t.Errorf("format version %q", d.FormatVersion)
	}
	want := map[string]any{
		"description": descriptions()["cidrsubnets"],
		"return_type": []any{"list", "string"},
		"parameters": []any{
			map[string]any{"name": "prefix", "description": paramDescriptions()["cidrsubnets"]["prefix"], "type": "string"},
		},
		"variadic_parameter": map[string]any{"name": "newbits", "description": paramDescriptions()["cidrsubnets"]["newbits"], "type": "number"},
	}
	for _, name := range []string{"cidrsubnets", "core::cidrsubnets"} {
		if got := d.Functions[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
	for _, name := range []string{"type", "list", "map"} {
		if _, ok := d.Functions[name]; ok {
			t.Errorf("%s must not be listed", name)
		}
	}
}

// TestMetadataAgreesWithTerraform compares everything but the descriptions with
// what an installed terraform prints.
func TestMetadataAgreesWithTerraform(t *testing.T) {
	raw := []byte(terraform(t, t.TempDir(), "", "metadata", "functions", "-json"))
	// Newer releases of go-cty let these take null and know more about the
	// result than the one in Terraform 1.11 does.
	newer := []string{"contains", "format", "formatlist"}
	theirs, ours := decodeMetadata(t, raw), ourMetadata(t)
	for _, name := range slices.Sorted(maps.Keys(theirs.Functions)) {
		got, ok := ours.Functions[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		if slices.Contains(newer, strings.TrimPrefix(name, CoreNamespace)) {
			continue
		}
		want := theirs.Functions[name]
		for _, sig := range []map[string]any{got, want} {
			dropDescriptions(sig)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
}

func dropDescriptions(sig map[string]any) {
	delete(sig, "description")
	params, _ := sig["parameters"].([]any)
	for _, p := range append([]any{sig["variadic_parameter"]}, params...) {
		if m, ok := p.(map[string]any); ok {
			delete(m, "description")
		}
	}
}
