package jsonplan

import (
	"bytes"
	"encoding/json"
	"io"
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonvalue"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// State returns the JSON form of a state. See [WriteState].
func State(s *states.State, checks []plans.CheckResult, opts Options) ([]byte, error) {
	var b bytes.Buffer
	err := WriteState(&b, s, checks, opts)
	return b.Bytes(), err
}

// WriteState writes the JSON form of a state. Objects are written as their
// provider's current schema types them; one that is stored in an older form,
// or whose provider is not available, is written as it is stored.
func WriteState(out io.Writer, s *states.State, checks []plans.CheckResult, opts Options) error {
	e := &encoder{Writer: jsonvalue.NewWriter(out), opts: opts}
	e.ObjectStart()
	e.StringMember("format_version", StateFormat)
	if s != nil && !s.Empty() {
		e.OptionalString("terraform_version", opts.Version)
		e.Key("values")
		e.stateValues(s, stateOutputs(s))
		e.checks(checks)
	}
	e.ObjectEnd()
	e.Newline()
	return e.Flush()
}

// priorState writes the state that a plan starts from. Outputs whose new value
// is known already count as part of it.
func (e *encoder) priorState(p *plans.Plan, cfg *configs.Config) {
	if p.Prior == nil {
		return
	}
	outputs := stateOutputs(p.Prior)
	for _, o := range p.Outputs {
		bare, _ := o.After.UnmarkDeep()
		if bare != cty.NilVal && !bare.IsWhollyKnown() || cfg != nil && cfg.Root.Outputs[o.Name] == nil {
			continue // as it was
		}
		delete(outputs, o.Name)
		if bare != cty.NilVal && !bare.IsNull() {
			outputs[o.Name] = stateOutput{value: bare, sensitive: o.Sensitive}
		}
	}
	if len(outputs) == 0 && len(p.Prior.Instances) == 0 {
		return
	}
	e.Key("prior_state")
	e.ObjectStart()
	e.StringMember("format_version", StateFormat)
	e.OptionalString("terraform_version", e.opts.Version)
	e.Key("values")
	e.stateValues(p.Prior, outputs)
	e.ObjectEnd()
}

// stateOutput is a stored output, as JSON or as a value.
type stateOutput struct {
	raw, rawType json.RawMessage
	value        cty.Value
	sensitive    bool
}

func stateOutputs(s *states.State) map[string]stateOutput {
	out := make(map[string]stateOutput, len(s.Outputs))
	for name, o := range s.Outputs {
		out[name] = stateOutput{raw: o.Value, rawType: o.Type, sensitive: o.Sensitive}
	}
	return out
}

func (e *encoder) stateValues(s *states.State, outputs map[string]stateOutput) {
	e.ObjectStart()
	if len(outputs) > 0 {
		e.Key("outputs")
		e.ObjectStart()
		for _, name := range sortedKeys(outputs) {
			e.Key(name)
			e.stateOutput(outputs[name])
		}
		e.ObjectEnd()
	}
	tree := newModuleTree[*states.Instance]()
	for _, inst := range s.Sorted() {
		tree.add(inst.Object.Instance.Module, inst)
	}
	deps := newDependencies(s)
	e.Key("root_module")
	writeModule(e, tree.root, func(inst *states.Instance) { e.stateResource(inst, deps) })
	e.ObjectEnd()
}

func (e *encoder) stateOutput(o stateOutput) {
	e.ObjectStart()
	e.BoolMember("sensitive", o.sensitive)
	if o.raw != nil {
		e.Key("value")
		e.Raw(o.raw)
		if o.rawType != nil {
			e.Key("type")
			e.Raw(o.rawType)
		}
	} else {
		e.Key("value")
		e.Value(o.value)
		e.typeMember(o.value.Type())
	}
	e.ObjectEnd()
}

func (e *encoder) stateResource(inst *states.Instance, deps *dependencies) {
	addr := inst.Object.Instance
	schema := e.schema(inst.Provider.Provider, addr.Resource)
	e.ObjectStart()
	e.StringMember("address", addr.String())
	e.resourceName(addr)
	e.StringMember("provider_name", inst.Provider.Provider.String())
	e.IntMember("schema_version", inst.SchemaVersion)
	v, ok := DecodeInstance(inst, schema)
	e.Key("values")
	if ok {
		e.Value(v)
		e.Key("sensitive_values")
		e.Sensitive(v, unlessNull(v, jsonvalue.BlockShape(schema.Block)))
	} else {
		e.Raw(orNull(inst.Attributes))
		e.Key("sensitive_values")
		e.Raw([]byte("{}"))
	}
	if all := deps.of(inst); len(all) > 0 {
		e.Key("depends_on")
		e.Strings(all)
	}
	if inst.Status == states.Tainted {
		e.BoolMember("tainted", true)
	}
	e.OptionalString("deposed_key", string(inst.Object.Deposed))
	if len(inst.Identity) > 0 && string(inst.Identity) != "null" {
		e.IntMember("identity_schema_version", inst.IdentitySchemaVersion)
		e.Key("identity")
		e.Raw(inst.Identity)
	}
	e.ObjectEnd()
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// DecodeInstance returns a stored object as a value with its sensitive parts
// marked. Without a schema, or for an object that does not fit it, the value
// has whatever type its JSON suggests; ok is false where even that fails.
func DecodeInstance(inst *states.Instance, schema providers.Schema) (v cty.Value, ok bool) {
	if len(inst.Attributes) == 0 {
		return cty.NilVal, false
	}
	var err error
	fits := false
	if schema.Block != nil {
		v, err = ctyjson.Unmarshal(inst.Attributes, impliedType(schema.Block))
		fits = err == nil
	}
	if !fits {
		ty, err := ctyjson.ImpliedType(inst.Attributes)
		if err != nil {
			return cty.NilVal, false
		}
		if v, err = ctyjson.Unmarshal(inst.Attributes, ty); err != nil {
			return cty.NilVal, false
		}
	}
	if len(inst.SensitivePaths) > 0 {
		pvm := make([]cty.PathValueMarks, len(inst.SensitivePaths))
		for i, path := range inst.SensitivePaths {
			pvm[i] = cty.PathValueMarks{Path: path, Marks: cty.NewValueMarks(marks.Sensitive)}
		}
		v = v.MarkWithPaths(pvm)
	}
	return v, true
}

// dependencies knows everything that objects depend on, directly or not. State
// keeps the direct dependencies only; the format wants all of them.
type dependencies struct {
	direct map[addrs.ConfigResource][]addrs.ConfigResource
	all    map[addrs.ConfigResource][]string
}

func newDependencies(s *states.State) *dependencies {
	d := &dependencies{
		direct: map[addrs.ConfigResource][]addrs.ConfigResource{},
		all:    map[addrs.ConfigResource][]string{},
	}
	for _, inst := range s.Instances {
		if len(inst.Dependencies) == 0 {
			continue
		}
		at := inst.Object.Instance.Config()
		d.direct[at] = append(d.direct[at], inst.Dependencies...)
	}
	return d
}

// of returns the addresses an object depends on, sorted.
func (d *dependencies) of(inst *states.Instance) []string {
	if len(inst.Dependencies) == 0 {
		return nil
	}
	self := inst.Object.Instance.Config()
	if all, ok := d.all[self]; ok {
		return all
	}
	seen := map[addrs.ConfigResource]bool{self: true}
	todo := append([]addrs.ConfigResource(nil), d.direct[self]...)
	all := []string{}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[next] {
			continue
		}
		seen[next] = true
		all = append(all, next.String())
		todo = append(todo, d.direct[next]...)
	}
	sort.Strings(all)
	d.all[self] = all
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
