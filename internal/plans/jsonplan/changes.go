package jsonplan

import (
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonvalue"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// resourceChanges writes the changes, and apart from them those that a
// provider deferred.
func (e *encoder) resourceChanges(changes []*plans.Change) {
	deferred := 0
	opened := false
	for _, c := range changes {
		if c.Deferred != "" {
			deferred++
			continue
		}
		if !opened {
			e.Key("resource_changes")
			e.ArrayStart()
			opened = true
		}
		e.resourceChange(c)
	}
	if opened {
		e.ArrayEnd()
	}
	if deferred == 0 {
		return
	}
	e.Key("deferred_changes")
	e.ArrayStart()
	for _, c := range changes {
		if c.Deferred != "" {
			e.ObjectStart()
			e.StringMember("reason", c.Deferred)
			e.Key("resource_change")
			e.resourceChange(c)
			e.ObjectEnd()
		}
	}
	e.ArrayEnd()
}

func (e *encoder) resourceChange(c *plans.Change) {
	inst := c.Object.Instance
	e.ObjectStart()
	e.StringMember("address", inst.String())
	if c.Moved() {
		e.StringMember("previous_address", c.PrevAddress.String())
	}
	e.OptionalString("module_address", inst.Module.String())
	e.resourceName(inst)
	e.StringMember("provider_name", c.Provider.Provider.String())
	e.OptionalString("deposed", string(c.Object.Deposed))
	e.Key("change")
	e.change(c)
	e.OptionalString("action_reason", string(c.Reason))
	e.ObjectEnd()
}

// resourceName writes the parts of a resource instance's name.
func (e *encoder) resourceName(inst addrs.ResourceInstance) {
	e.StringMember("mode", inst.Resource.Mode.String())
	e.StringMember("type", inst.Resource.Type)
	e.StringMember("name", inst.Resource.Name)
	if inst.Key != addrs.NoKey {
		e.Key("index")
		e.Value(inst.Key.Value())
	}
}

// Actions returns the words of plan JSON for an action, in the order in which
// they happen.
func Actions(a plans.Action) []string {
	switch a {
	case plans.Create:
		return []string{"create"}
	case plans.Read:
		return []string{"read"}
	case plans.Update:
		return []string{"update"}
	case plans.DeleteThenCreate:
		return []string{"delete", "create"}
	case plans.CreateThenDelete:
		return []string{"create", "delete"}
	case plans.Delete:
		return []string{"delete"}
	case plans.Forget:
		return []string{"forget"}
	case plans.ForgetThenCreate:
		return []string{"forget", "create"}
	}
	return []string{"no-op"}
}

func (e *encoder) change(c *plans.Change) {
	shape := jsonvalue.BlockShape(e.schema(c.Provider.Provider, c.Object.Instance.Resource).Block)
	e.ObjectStart()
	e.Key("actions")
	e.Strings(Actions(c.Action))
	e.Key("before")
	e.Value(c.Before)
	e.afterAndUnknown(c.After, true)
	e.Key("before_sensitive")
	e.Sensitive(c.Before, unlessNull(c.Before, shape))
	e.Key("after_sensitive")
	e.Sensitive(c.After, unlessNull(c.After, shape))
	if len(c.RequiredReplace) > 0 {
		e.Key("replace_paths")
		e.ArrayStart()
		for _, path := range c.RequiredReplace {
			e.path(path)
		}
		e.ArrayEnd()
	}
	if c.Importing != nil {
		e.importing(c.Importing)
	}
	e.OptionalString("generated_config", c.GeneratedConfig)
	e.identity("before_identity", c.BeforeIdentity)
	e.identity("after_identity", c.AfterIdentity)
	e.ObjectEnd()
}

// afterAndUnknown writes a planned value: what of it is known, and what is not.
func (e *encoder) afterAndUnknown(after cty.Value, isResource bool) {
	if bare, _ := after.Unmark(); after == cty.NilVal || bare.IsKnown() {
		e.Key("after")
		e.Value(after)
	}
	e.Key("after_unknown")
	switch {
	case after != cty.NilVal && !after.IsWhollyKnown():
		e.Unknown(after)
	case isResource:
		e.ObjectStart()
		e.ObjectEnd()
	default:
		e.Bool(false)
	}
}

// unlessNull drops the shape for an object that is not there.
func unlessNull(v cty.Value, shape jsonvalue.Shape) jsonvalue.Shape {
	if v == cty.NilVal || v.IsNull() {
		return jsonvalue.Shape{}
	}
	return shape
}

func (e *encoder) importing(i *plans.Importing) {
	e.Key("importing")
	e.ObjectStart()
	e.OptionalString("id", i.ID)
	if i.Unknown {
		e.BoolMember("unknown", true)
	}
	e.identity("identity", i.Identity)
	e.ObjectEnd()
}

func (e *encoder) identity(name string, v cty.Value) {
	if v != cty.NilVal && !v.IsNull() && v.IsKnown() {
		e.Key(name)
		e.Value(v)
	}
}

func (e *encoder) outputChanges(p *plans.Plan) {
	if len(p.Outputs) == 0 {
		return
	}
	e.Key("output_changes")
	e.ObjectStart()
	for _, o := range sortedOutputs(p) {
		e.Key(o.Name)
		e.ObjectStart()
		e.Key("actions")
		e.Strings(Actions(o.Action))
		e.Key("before")
		e.Value(o.Before)
		e.afterAndUnknown(o.After, false)
		// Whether an output is or was sensitive is one fact for both sides.
		e.BoolMember("before_sensitive", o.Sensitive)
		e.BoolMember("after_sensitive", o.Sensitive)
		e.ObjectEnd()
	}
	e.ObjectEnd()
}

func sortedOutputs(p *plans.Plan) []*plans.OutputChange {
	out := append([]*plans.OutputChange(nil), p.Outputs...)
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// plannedValues writes what there will be, as far as it is known.
func (e *encoder) plannedValues(p *plans.Plan, changes []*plans.Change) {
	e.Key("planned_values")
	e.ObjectStart()
	opened := false
	for _, o := range sortedOutputs(p) {
		if o.Action == plans.Delete {
			continue
		}
		if !opened {
			e.Key("outputs")
			e.ObjectStart()
			opened = true
		}
		e.plannedOutput(o)
	}
	if opened {
		e.ObjectEnd()
	}
	tree := newModuleTree[*plans.Change]()
	for _, c := range changes {
		if c.Object.Deposed == "" && c.Deferred == "" && c.After != cty.NilVal && !c.After.IsNull() {
			tree.add(c.Object.Instance.Module, c)
		}
	}
	e.Key("root_module")
	writeModule(e, tree.root, e.plannedResource)
	e.ObjectEnd()
}

func (e *encoder) plannedOutput(o *plans.OutputChange) {
	e.Key(o.Name)
	e.ObjectStart()
	e.BoolMember("sensitive", o.Sensitive)
	if o.After != cty.NilVal && o.After.IsWhollyKnown() {
		e.typeMember(o.After.Type())
		e.Key("value")
		e.Value(o.After)
	}
	e.ObjectEnd()
}

func (e *encoder) typeMember(ty cty.Type) {
	if raw, err := ctyjson.MarshalType(ty); err == nil {
		e.Key("type")
		e.Raw(raw)
	}
}

func (e *encoder) plannedResource(c *plans.Change) {
	inst := c.Object.Instance
	schema := e.schema(c.Provider.Provider, inst.Resource)
	e.ObjectStart()
	e.StringMember("address", inst.String())
	e.resourceName(inst)
	e.StringMember("provider_name", c.Provider.Provider.String())
	e.IntMember("schema_version", c.SchemaVersion)
	e.Key("values")
	e.Value(c.After)
	e.Key("sensitive_values")
	e.Sensitive(c.After, jsonvalue.BlockShape(schema.Block))
	e.identity("identity", c.AfterIdentity)
	e.ObjectEnd()
}
