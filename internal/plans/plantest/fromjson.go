// Package plantest builds plans, states and provider schemas for tests out of
// recorded JSON, so that what was recorded can be held against what this
// program makes of the same plan. Nothing but tests imports it.
package plantest

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// ReadJSON reads a recorded document.
func ReadJSON(t testing.TB, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return ParseJSON(t, data)
}

// ParseJSON reads a document.
func ParseJSON(t testing.TB, data []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	return doc
}

// Plan builds a plan from its JSON form.
func Plan(t testing.TB, doc map[string]any, schemas jsonplan.Schemas) *plans.Plan {
	t.Helper()
	b := builder{t, schemas}
	p := &plans.Plan{Mode: plans.Normal, Prior: states.New()}
	p.Errored, _ = doc["errored"].(bool)
	if ts, ok := doc["timestamp"].(string); ok {
		p.CreatedAt, _ = time.Parse(time.RFC3339, ts)
	}
	if vars := object(doc["variables"]); len(vars) > 0 {
		p.Variables = map[string]plans.Variable{}
		for name, v := range vars {
			p.Variables[name] = plans.Variable{Value: b.value(object(v)["value"], nil, nil, cty.DynamicPseudoType)}
		}
	}
	for _, c := range array(doc["resource_changes"]) {
		p.Changes = append(p.Changes, b.change(object(c)))
	}
	for _, c := range array(doc["resource_drift"]) {
		p.Drift = append(p.Drift, b.change(object(c)))
	}
	for name, o := range object(doc["output_changes"]) {
		p.Outputs = append(p.Outputs, b.output(name, object(o)))
	}
	sort.Slice(p.Outputs, func(i, j int) bool { return p.Outputs[i].Name < p.Outputs[j].Name })
	if prior := object(doc["prior_state"]); prior != nil {
		p.Prior = State(t, prior, schemas)
	}
	for _, r := range array(doc["relevant_attributes"]) {
		p.Relevant = append(p.Relevant, b.relevant(object(r)))
	}
	p.Checks = b.checks(doc)
	return p
}

// State builds a state from its JSON form.
func State(t testing.TB, doc map[string]any, schemas jsonplan.Schemas) *states.State {
	t.Helper()
	b := builder{t, schemas}
	s := states.New()
	values := object(doc["values"])
	for name, o := range object(values["outputs"]) {
		out := object(o)
		sensitive, _ := out["sensitive"].(bool)
		s.Outputs[name] = &states.Output{Value: raw(out["value"]), Type: raw(out["type"]), Sensitive: sensitive}
	}
	b.stateModule(s, object(values["root_module"]))
	return s
}

type builder struct {
	t       testing.TB
	schemas jsonplan.Schemas
}

func (b builder) schema(provider, typ, mode string) (addrs.Provider, providers.Schema) {
	p, err := addrs.ParseProvider(provider)
	if err != nil {
		b.t.Fatal(err)
	}
	r := addrs.Resource{Mode: addrs.Managed, Type: typ}
	if mode == "data" {
		r.Mode = addrs.Data
	}
	s := jsonplan.SchemaFor(b.schemas(p), r)
	if s.Block == nil {
		b.t.Fatalf("no schema for %s", typ)
	}
	return p, s
}

func (b builder) address(s any) addrs.ResourceInstance {
	text, _ := s.(string)
	inst, err := addrs.ParseResourceInstance(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return inst
}

func (b builder) change(c map[string]any) *plans.Change {
	provider, schema := b.schema(text(c["provider_name"]), text(c["type"]), text(c["mode"]))
	ty := Type(schema.Block)
	ch := object(c["change"])
	out := &plans.Change{
		Object:        addrs.Object{Instance: b.address(c["address"]), Deposed: addrs.DeposedKey(text(c["deposed"]))},
		Provider:      addrs.ProviderConfig{Provider: provider},
		Reason:        plans.Reason(text(c["action_reason"])),
		Action:        action(array(ch["actions"])),
		Type:          ty,
		SchemaVersion: schema.Version,
		Before:        b.value(ch["before"], nil, ch["before_sensitive"], ty),
		After:         b.value(ch["after"], ch["after_unknown"], ch["after_sensitive"], ty),
	}
	if prev, ok := c["previous_address"]; ok {
		out.PrevAddress = b.address(prev)
	}
	for _, p := range array(ch["replace_paths"]) {
		out.RequiredReplace = append(out.RequiredReplace, path(array(p)))
	}
	if imp := object(ch["importing"]); imp != nil {
		out.Importing = &plans.Importing{ID: text(imp["id"])}
	}
	out.GeneratedConfig = text(ch["generated_config"])
	return out
}

func (b builder) output(name string, o map[string]any) *plans.OutputChange {
	sensitive := o["before_sensitive"] == true || o["after_sensitive"] == true
	return &plans.OutputChange{
		Name: name, Action: action(array(o["actions"])), Sensitive: sensitive,
		Before: b.value(o["before"], nil, nil, cty.DynamicPseudoType),
		After:  b.value(o["after"], o["after_unknown"], nil, cty.DynamicPseudoType),
	}
}

func (b builder) relevant(r map[string]any) plans.RelevantAttribute {
	return plans.RelevantAttribute{Resource: b.address(r["resource"]), Attribute: path(array(r["attribute"]))}
}

func (b builder) checks(doc map[string]any) []plans.CheckResult {
	var out []plans.CheckResult
	for _, c := range array(doc["checks"]) {
		check := object(c)
		addr := object(check["address"])
		r := plans.CheckResult{
			Kind: text(addr["kind"]), Name: text(addr["name"]), Status: plans.CheckStatus(text(check["status"])),
			Module: addrs.Module(strings.ReplaceAll(strings.TrimPrefix(text(addr["module"]), "module."), ".module.", ".")),
		}
		if r.Kind == "resource" {
			r.Name = text(addr["type"]) + "." + r.Name
		}
		for _, i := range array(check["instances"]) {
			inst := object(i)
			at := object(inst["address"])
			ci := plans.CheckInstance{Module: addrs.ModuleInstance(text(at["module"])), Status: plans.CheckStatus(text(inst["status"]))}
			switch k := at["instance_key"].(type) {
			case float64:
				ci.Key = addrs.IntKey(int(k))
			case string:
				ci.Key = addrs.StringKey(k)
			}
			for _, p := range array(inst["problems"]) {
				ci.Problems = append(ci.Problems, text(object(p)["message"]))
			}
			r.Instances = append(r.Instances, ci)
		}
		out = append(out, r)
	}
	return out
}

func (b builder) stateModule(s *states.State, m map[string]any) {
	for _, r := range array(m["resources"]) {
		res := object(r)
		provider, schema := b.schema(text(res["provider_name"]), text(res["type"]), text(res["mode"]))
		ty := Type(schema.Block)
		v := b.value(res["values"], nil, res["sensitive_values"], ty)
		bare, pvm := v.UnmarkDeepWithPaths()
		attrs, err := ctyjson.Marshal(bare, ty)
		if err != nil {
			b.t.Fatal(err)
		}
		inst := &states.Instance{
			Object:   addrs.Object{Instance: b.address(res["address"]), Deposed: addrs.DeposedKey(text(res["deposed_key"]))},
			Provider: addrs.ProviderConfig{Provider: provider}, SchemaVersion: schema.Version,
			Attributes: attrs, Status: states.Ready,
		}
		if res["tainted"] == true {
			inst.Status = states.Tainted
		}
		for _, p := range pvm {
			inst.SensitivePaths = append(inst.SensitivePaths, p.Path)
		}
		for _, d := range array(res["depends_on"]) {
			inst.Dependencies = append(inst.Dependencies, b.address(d).Config())
		}
		s.Instances[inst.Object] = inst
	}
	for _, c := range array(m["child_modules"]) {
		b.stateModule(s, object(c))
	}
}

// value builds a value of a type out of its known part, what of it is unknown
// and what is sensitive.
func (b builder) value(v, unknown, sensitive any, ty cty.Type) cty.Value {
	out := b.unmarked(v, unknown, sensitive, ty)
	if sensitive == true {
		return out.Mark(marks.Sensitive)
	}
	return out
}

func (b builder) unmarked(v, unknown, sensitive any, ty cty.Type) cty.Value {
	dynamic := ty == cty.DynamicPseudoType
	if unknown == true {
		switch sensitive.(type) { // its structure tells what sort of thing it is
		case map[string]any:
			if dynamic {
				return cty.UnknownVal(cty.EmptyObject)
			}
		case []any:
			if dynamic {
				return cty.UnknownVal(cty.EmptyTuple)
			}
		}
		return cty.UnknownVal(ty)
	}
	switch v := v.(type) {
	case nil:
		return cty.NullVal(ty)
	case string:
		return cty.StringVal(v)
	case bool:
		return cty.BoolVal(v)
	case float64:
		return cty.NumberFloatVal(v)
	case []any:
		return b.elements(v, array(unknown), array(sensitive), ty)
	case map[string]any:
		return b.members(v, object(unknown), object(sensitive), ty)
	}
	b.t.Fatalf("unexpected %T", v)
	return cty.NilVal
}

func (b builder) elements(v, unknown, sensitive []any, ty cty.Type) cty.Value {
	ety := cty.DynamicPseudoType
	if ty.IsListType() || ty.IsSetType() {
		ety = ty.ElementType()
	}
	list := make([]cty.Value, len(v))
	for i := range v {
		list[i] = b.value(v[i], at(unknown, i), at(sensitive, i), ety)
	}
	switch {
	case ty.IsListType() && len(list) > 0:
		return cty.ListVal(list)
	case ty.IsListType():
		return cty.ListValEmpty(ety)
	case ty.IsSetType() && len(list) > 0:
		return cty.SetVal(list)
	case ty.IsSetType():
		return cty.SetValEmpty(ety)
	}
	return cty.TupleVal(list)
}

func (b builder) members(v, unknown, sensitive map[string]any, ty cty.Type) cty.Value {
	names := map[string]bool{}
	for name := range v {
		names[name] = true
	}
	for name := range unknown {
		names[name] = true
	}
	if ty.IsObjectType() {
		for name := range ty.AttributeTypes() {
			names[name] = true
		}
	}
	m := map[string]cty.Value{}
	for name := range names {
		ety := cty.DynamicPseudoType
		switch {
		case ty.IsMapType():
			ety = ty.ElementType()
		case ty.IsObjectType():
			ety = ty.AttributeType(name)
		}
		m[name] = b.value(v[name], unknown[name], sensitive[name], ety)
	}
	switch {
	case ty.IsMapType() && len(m) > 0:
		return cty.MapVal(m)
	case ty.IsMapType():
		return cty.MapValEmpty(ty.ElementType())
	}
	return cty.ObjectVal(m)
}

func action(words []any) plans.Action {
	var list []string
	for _, w := range words {
		list = append(list, text(w))
	}
	for _, a := range []plans.Action{
		plans.Create, plans.Read, plans.Update, plans.DeleteThenCreate, plans.CreateThenDelete,
		plans.Delete, plans.Forget, plans.ForgetThenCreate,
	} {
		if fmt.Sprint(jsonplan.Actions(a)) == fmt.Sprint(list) {
			return a
		}
	}
	return plans.NoOp
}

func path(steps []any) cty.Path {
	var p cty.Path
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			p = p.GetAttr(s)
		case float64:
			p = p.IndexInt(int(s))
		}
	}
	return p
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func array(v any) []any {
	a, _ := v.([]any)
	return a
}

func at(a []any, i int) any {
	if i < len(a) {
		return a[i]
	}
	return nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
