package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"testing"

	"github.com/open-policy-agent/opa/v1/util"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/library"
)

// libraryObject is an example of what a rule of the library lets pass.
type libraryObject struct {
	Type    string         `json:"type"`
	After   map[string]any `json:"after"`
	Unknown map[string]any `json:"unknown"`
}

// libraryPlan is plan JSON with n changes: the examples that the rules of the
// library let pass, again and again. Each has a block of its own in the
// configuration, and an id that is not known yet. Buckets have their block of public
// access beside them, which names them.
func libraryPlan(b *testing.B, n int) []byte {
	b.Helper()
	files, err := filepath.Glob("../internal/policy/library/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		b.Fatal("there are no examples: ", err)
	}
	var objects []libraryObject
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		var of map[string]struct {
			Pass []libraryObject `json:"pass"`
		}
		if err := util.Unmarshal(src, &of); err != nil {
			b.Fatal(err)
		}
		ids := make([]string, 0, len(of))
		for id := range of {
			ids = append(ids, id)
		}
		sort.Strings(ids)
		for _, id := range ids {
			for _, o := range of[id].Pass {
				if o.Type != "" && o.After != nil {
					objects = append(objects, o)
				}
			}
		}
	}
	var changes, resources, declared []any
	add := func(o libraryObject, refers map[string]any) {
		name := fmt.Sprint("x", len(changes))
		unknown := map[string]any{"id": true, "arn": true, "self_link": true}
		for k, v := range o.Unknown {
			unknown[k] = v
		}
		resource := func(member string, v any) map[string]any {
			return map[string]any{"address": o.Type + "." + name, "mode": "managed", "type": o.Type, "name": name, "provider_name": "registry.terraform.io/hashicorp/x", member: v}
		}
		changes = append(changes, resource("change", map[string]any{"actions": []any{"create"}, "before": nil, "after": o.After, "after_unknown": unknown, "before_sensitive": false, "after_sensitive": map[string]any{}}))
		resources = append(resources, resource("values", o.After))
		declared = append(declared, resource("expressions", refers))
	}
	for i := 0; len(changes) < n; i++ {
		o := objects[i%len(objects)]
		add(o, map[string]any{"name": map[string]any{"references": []any{"var.name"}}})
		if o.Type == "aws_s3_bucket" && len(changes) < n {
			to := fmt.Sprintf("aws_s3_bucket.x%d", len(changes)-1)
			add(libraryObject{Type: "aws_s3_bucket_public_access_block", After: map[string]any{
				"block_public_acls": true, "block_public_policy": true, "ignore_public_acls": true, "restrict_public_buckets": true,
			}, Unknown: map[string]any{"bucket": true}}, map[string]any{"bucket": map[string]any{"references": []any{to + ".id", to}}})
		}
	}
	data, err := json.Marshal(map[string]any{
		"format_version": "1.2", "resource_changes": changes, "planned_values": map[string]any{"root_module": map[string]any{"resources": resources}},
		"configuration": map[string]any{"root_module": map[string]any{"resources": declared}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkLibrary judges plans by all rules of the library, from bytes to decision, with
// the garbage collector as the program sets it.
func BenchmarkLibrary(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	for _, n := range []int{1000, 10_000, 100_000} {
		data := libraryPlan(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			defer processor(b)()
			for b.Loop() {
				p, diags := policy.Prepare("library", policy.Mandatory, library.Prefix, library.Files("", []byte("required_tags: [owner]\nregions: [eu-central-1, westeurope, europe-west3]\n")))
				if diags.HasErrors() {
					b.Fatal(diags.Err())
				}
				d, err := policy.ParsePlan(data, nil)
				if err != nil {
					b.Fatal(err)
				}
				out, diags := policy.Judge(b.Context(), []*policy.Policy{p}, d, policy.Options{})
				if diags.HasErrors() {
					b.Fatal(diags.Err())
				}
				if !slices.ContainsFunc(out.Findings, func(f policy.Finding) bool { return f.Status == policy.Deny }) {
					b.Fatal("nothing is denied") // examples of one rule offend others
				}
			}
			b.ReportMetric(float64(len(data))/1e6, "MB")
		})
	}
}
