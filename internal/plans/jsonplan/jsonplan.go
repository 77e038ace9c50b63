// Package jsonplan writes plans, states and provider schemas in the JSON forms
// that the tools around Terraform read: plan format 1.2, state format 1.0 and
// provider schema format 1.0.
//
// The formats are fixed by what those tools expect; the tests hold this
// package against recorded outputs. Sensitive values are written in clear, as
// the formats demand: whoever may see the output may see the values.
package jsonplan

import (
	"bytes"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonvalue"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/zclconf/go-cty/cty"
)

// The versions of the formats written here.
const (
	PlanFormat   = "1.2"
	StateFormat  = "1.0"
	SchemaFormat = "1.0"
)

// Schemas finds the schemas of a provider; nil where it is not available. It
// is asked often and should answer from memory.
type Schemas func(addrs.Provider) *providers.Schemas

// Options is what the writers need besides the object itself.
type Options struct {
	Schemas Schemas
	// Version is written as terraform_version: readers compare it.
	Version string
}

// Plan returns the JSON form of a plan. See [WritePlan].
func Plan(p *plans.Plan, cfg *configs.Config, opts Options) ([]byte, error) {
	var b bytes.Buffer
	err := WritePlan(&b, p, cfg, opts)
	return b.Bytes(), err
}

// WritePlan writes the JSON form of a plan. Without a configuration the
// configuration property is left out.
func WritePlan(out io.Writer, p *plans.Plan, cfg *configs.Config, opts Options) error {
	e := &encoder{Writer: jsonvalue.NewWriter(out), opts: opts}
	e.ObjectStart()
	e.StringMember("format_version", PlanFormat)
	e.OptionalString("terraform_version", opts.Version)
	e.variables(p)
	changes := sortedChanges(p.Changes)
	e.plannedValues(p, changes)
	if len(p.Drift) > 0 {
		e.Key("resource_drift")
		e.ArrayStart()
		for _, c := range sortedChanges(p.Drift) {
			e.resourceChange(c)
		}
		e.ArrayEnd()
	}
	e.resourceChanges(changes)
	e.outputChanges(p)
	e.priorState(p, cfg)
	if cfg != nil {
		e.Key("configuration")
		e.configuration(cfg)
	}
	e.relevantAttributes(p)
	e.checks(p.Checks)
	if !p.CreatedAt.IsZero() {
		e.StringMember("timestamp", p.CreatedAt.UTC().Format(time.RFC3339))
	}
	e.BoolMember("errored", p.Errored)
	e.ObjectEnd()
	e.Newline()
	return e.Flush()
}

// encoder writes one document.
type encoder struct {
	*jsonvalue.Writer
	opts Options

	lastProvider addrs.Provider
	lastSchemas  *providers.Schemas
}

// schema returns the schema of a resource type; its Block is nil where the
// provider is not available.
func (e *encoder) schema(provider addrs.Provider, r addrs.Resource) providers.Schema {
	if e.opts.Schemas == nil {
		return providers.Schema{}
	}
	if provider != e.lastProvider || e.lastSchemas == nil {
		e.lastProvider, e.lastSchemas = provider, e.opts.Schemas(provider)
	}
	if e.lastSchemas == nil {
		return providers.Schema{}
	}
	return SchemaFor(e.lastSchemas, r)
}

// SchemaFor returns the schema of a resource by its mode and type; the zero
// Schema where the provider has none.
func SchemaFor(s *providers.Schemas, r addrs.Resource) providers.Schema {
	switch r.Mode {
	case addrs.Data:
		return s.DataSources[r.Type]
	case addrs.Ephemeral:
		return s.EphemeralResources[r.Type]
	}
	return s.ResourceTypes[r.Type]
}

// sortedChanges orders changes as the formats do: modules by depth, then by
// name and key; within a module data sources first, then by address.
func sortedChanges(changes []*plans.Change) []*plans.Change {
	steps := map[addrs.ModuleInstance][]addrs.ModuleStep{}
	for _, c := range changes {
		if m := c.Object.Instance.Module; steps[m] == nil {
			steps[m] = m.Steps()
		}
	}
	out := append([]*plans.Change(nil), changes...)
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i].Object, out[j].Object
		if a.Instance.Module != b.Instance.Module {
			return lessSteps(steps[a.Instance.Module], steps[b.Instance.Module])
		}
		if a.Instance.Resource != b.Instance.Resource {
			return a.Instance.Resource.Less(b.Instance.Resource)
		}
		if a.Instance.Key != b.Instance.Key {
			return a.Instance.Key.Less(b.Instance.Key)
		}
		return a.Deposed < b.Deposed
	})
	return out
}

// SortedChanges returns the changes in the order in which people and tools are
// shown them.
func SortedChanges(changes []*plans.Change) []*plans.Change { return sortedChanges(changes) }

func lessSteps(a, b []addrs.ModuleStep) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return a[i].Name < b[i].Name
		}
		if a[i].Key != b[i].Key {
			return a[i].Key.Less(b[i].Key)
		}
	}
	return false
}

func (e *encoder) variables(p *plans.Plan) {
	names := make([]string, 0, len(p.Variables))
	for name, v := range p.Variables {
		if v.Value != cty.NilVal {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	sort.Strings(names)
	e.Key("variables")
	e.ObjectStart()
	for _, name := range names {
		e.Key(name)
		e.ObjectStart()
		if v, _ := p.Variables[name].Value.Unmark(); v.IsKnown() {
			e.Key("value")
			e.Value(v)
		}
		e.ObjectEnd()
	}
	e.ObjectEnd()
}

func (e *encoder) relevantAttributes(p *plans.Plan) {
	if len(p.Relevant) == 0 {
		return
	}
	e.Key("relevant_attributes")
	e.ArrayStart()
	for _, r := range p.Relevant {
		e.ObjectStart()
		e.StringMember("resource", r.Resource.String())
		e.Key("attribute")
		e.path(r.Attribute)
		e.ObjectEnd()
	}
	e.ArrayEnd()
}

// path writes a path as an array of names and indices. It ends at a step into
// a set, for which the format has no word.
func (e *encoder) path(p cty.Path) {
	e.ArrayStart()
	for _, step := range p {
		switch s := step.(type) {
		case cty.GetAttrStep:
			e.String(s.Name)
		case cty.IndexStep:
			key, _ := s.Key.Unmark()
			if !key.IsKnown() || key.IsNull() || !key.Type().IsPrimitiveType() {
				e.ArrayEnd()
				return
			}
			e.Value(key)
		}
	}
	e.ArrayEnd()
}

// checks writes the outcome of checks, by address.
func (e *encoder) checks(results []plans.CheckResult) {
	if len(results) == 0 {
		return
	}
	sorted := append([]plans.CheckResult(nil), results...)
	sort.SliceStable(sorted, func(i, j int) bool { return checkAddress(sorted[i]) < checkAddress(sorted[j]) })
	e.Key("checks")
	e.ArrayStart()
	for _, r := range sorted {
		e.check(r)
	}
	e.ArrayEnd()
}

func (e *encoder) check(r plans.CheckResult) {
	e.ObjectStart()
	e.Key("address")
	e.ObjectStart()
	e.StringMember("to_display", checkAddress(r))
	e.StringMember("kind", r.Kind)
	e.OptionalString("module", r.Module.String())
	if res, err := addrs.ParseResourceInstance(r.Name); r.Kind == "resource" && err == nil {
		e.StringMember("mode", res.Resource.Mode.String())
		e.StringMember("type", res.Resource.Type)
		e.StringMember("name", res.Resource.Name)
	} else {
		e.StringMember("name", r.Name)
	}
	e.ObjectEnd()
	e.StringMember("status", string(r.Status))
	if len(r.Instances) > 0 {
		e.Key("instances")
		e.ArrayStart()
		for _, inst := range r.Instances {
			e.checkInstance(r, inst)
		}
		e.ArrayEnd()
	}
	e.ObjectEnd()
}

func (e *encoder) checkInstance(r plans.CheckResult, inst plans.CheckInstance) {
	e.ObjectStart()
	e.Key("address")
	e.ObjectStart()
	e.StringMember("to_display", prefixed(inst.Module.String(), checkName(r))+inst.Key.String())
	e.OptionalString("module", inst.Module.String())
	if inst.Key != addrs.NoKey {
		e.Key("instance_key")
		e.Value(inst.Key.Value())
	}
	e.ObjectEnd()
	e.StringMember("status", string(inst.Status))
	if len(inst.Problems) > 0 {
		e.Key("problems")
		e.ArrayStart()
		for _, message := range inst.Problems {
			e.ObjectStart()
			e.StringMember("message", message)
			e.ObjectEnd()
		}
		e.ArrayEnd()
	}
	e.ObjectEnd()
}

func checkAddress(r plans.CheckResult) string {
	return prefixed(r.Module.String(), checkName(r))
}

// checkName is the object's name as the language writes it.
func checkName(r plans.CheckResult) string {
	switch r.Kind {
	case "output_value":
		return "output." + strings.TrimPrefix(r.Name, "output.")
	case "check":
		return "check." + strings.TrimPrefix(r.Name, "check.")
	case "var", "input_variable":
		return "var." + strings.TrimPrefix(r.Name, "var.")
	}
	return r.Name
}

func prefixed(module, name string) string {
	if module == "" {
		return name
	}
	return module + "." + name
}
