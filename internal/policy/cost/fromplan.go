package cost

import (
	"sort"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
)

// Regions says which region a provider's configuration is about, by the
// configuration's address or, for all others of the provider, by its source;
// empty where that is not known.
type Regions func(addrs.ProviderConfig) string

func exists(v cty.Value) bool {
	if v == cty.NilVal {
		return false
	}
	v, _ = v.Unmark()
	return !v.IsNull()
}

// FromPlan returns the resources of a plan: those it is about, and those of the
// state it started from that it leaves alone.
func FromPlan(stack string, p *plans.Plan, regions Regions) []Instance {
	out := make([]Instance, 0, len(p.Changes))
	seen := make(map[addrs.Object]bool, len(p.Changes))
	for _, c := range jsonplan.SortedChanges(p.Changes) {
		seen[c.Object] = true
		if c.Moved() {
			seen[addrs.Object{Instance: c.PrevAddress, Deposed: c.Object.Deposed}] = true
		}
		if c.Object.Instance.Resource.Mode != addrs.Managed {
			continue
		}
		inst := Instance{
			Stack: stack, Address: c.Object.String(), Type: c.Object.Instance.Resource.Type,
			Provider: c.Provider.Provider.Canonical().String(), Action: actionOf(c.Action),
			Before: c.Before, After: c.After,
		}
		if regions != nil {
			inst.Region = regions(c.Provider)
		}
		out = append(out, inst)
	}
	if p.Prior == nil {
		return out
	}
	rest := states.New()
	for object, inst := range p.Prior.Instances {
		if !seen[object] {
			rest.Instances[object] = inst
		}
	}
	return append(out, FromState(stack, rest, regions)...)
}

func actionOf(a plans.Action) string {
	switch a {
	case plans.Create:
		return "create"
	case plans.Read:
		return "read"
	case plans.Update:
		return "update"
	case plans.DeleteThenCreate, plans.CreateThenDelete, plans.ForgetThenCreate:
		return "replace"
	case plans.Delete:
		return "delete"
	case plans.Forget:
		return "forget"
	}
	return "no-op"
}

// FromState returns the resources of a state, as ones that nothing happens to.
func FromState(stack string, st *states.State, regions Regions) []Instance {
	if st == nil {
		return nil
	}
	var out []Instance
	for _, i := range st.Sorted() {
		if i.Object.Instance.Resource.Mode != addrs.Managed {
			continue
		}
		inst := Instance{
			Stack: stack, Address: i.Object.String(), Type: i.Object.Instance.Resource.Type,
			Provider: i.Provider.Provider.Canonical().String(), Action: "no-op", Hidden: true,
		}
		if regions != nil {
			inst.Region = regions(i.Provider)
		}
		var value any
		if len(i.Attributes) > 0 && decode(i.Attributes, &value) == nil {
			inst.Before = treeValue(withoutTypes(value), nil, nil)
		} else {
			inst.Before = flatmapValue(i.Flatmap)
		}
		inst.After = inst.Before
		out = append(out, inst)
	}
	return out
}

// withoutTypes takes off the types that a state keeps with attributes whose type
// the schema leaves open: {"type": …, "value": …}.
func withoutTypes(tree any) any {
	attrs, _ := tree.(map[string]any)
	for name, v := range attrs {
		typed, ok := v.(map[string]any)
		if !ok || len(typed) != 2 {
			continue
		}
		value, hasValue := typed["value"]
		if _, hasType := typed["type"]; hasValue && hasType {
			attrs[name] = value
		}
	}
	return tree
}

// flatmapValue is an object in the form of very old states, as far as it has no
// structure.
func flatmapValue(flat map[string]string) cty.Value {
	attrs := make(map[string]cty.Value, len(flat))
	for name, text := range flat {
		attrs[name] = cty.StringVal(text)
	}
	return cty.ObjectVal(attrs)
}

// planJSON is as much of plan JSON as prices depend on.
type planJSON struct {
	FormatVersion   string       `json:"format_version"`
	ResourceChanges []changeJSON `json:"resource_changes"`
	PlannedValues   any          `json:"planned_values"`
	PriorState      struct {
		Values struct {
			Root moduleJSON `json:"root_module"`
		} `json:"values"`
	} `json:"prior_state"`
	Configuration struct {
		Providers map[string]struct {
			FullName    string `json:"full_name"`
			Expressions map[string]struct {
				Constant any `json:"constant_value"`
			} `json:"expressions"`
		} `json:"provider_config"`
	} `json:"configuration"`
}

type changeJSON struct {
	Address  string `json:"address"`
	Previous string `json:"previous_address"`
	Deposed  string `json:"deposed"`
	Mode     string `json:"mode"`
	Type     string `json:"type"`
	Provider string `json:"provider_name"`
	Change   struct {
		Actions         []string `json:"actions"`
		Before          any      `json:"before"`
		After           any      `json:"after"`
		AfterUnknown    any      `json:"after_unknown"`
		BeforeSensitive any      `json:"before_sensitive"`
		AfterSensitive  any      `json:"after_sensitive"`
	} `json:"change"`
}

type moduleJSON struct {
	Resources []struct {
		Address   string `json:"address"`
		Mode      string `json:"mode"`
		Type      string `json:"type"`
		Provider  string `json:"provider_name"`
		Values    any    `json:"values"`
		Sensitive any    `json:"sensitive_values"`
	} `json:"resources"`
	Children []moduleJSON `json:"child_modules"`
}

// FromPlanJSON returns the resources of a plan in its JSON form, Terraform's
// included.
func FromPlanJSON(src []byte) ([]Instance, error) {
	var doc planJSON
	if err := decode(src, &doc); err != nil {
		return nil, err
	}
	if doc.FormatVersion == "" {
		return nil, errNotPlanJSON
	}
	if doc.ResourceChanges == nil && doc.PlannedValues == nil {
		return nil, errNothingPlanned
	}
	regions := doc.regions()
	var out []Instance
	seen := map[string]bool{}
	for _, c := range doc.ResourceChanges {
		seen[c.Address], seen[c.Previous] = true, true
		if c.Mode != "managed" {
			continue
		}
		inst := Instance{Address: c.Address, Type: c.Type, Provider: c.Provider, Action: actionJSON(c.Change.Actions), Region: regions[c.Provider]}
		if c.Deposed != "" {
			inst.Address += " (deposed object " + c.Deposed + ")"
		}
		if c.Change.Before != nil {
			inst.Before = treeValue(c.Change.Before, nil, c.Change.BeforeSensitive)
		}
		if c.Change.After != nil {
			inst.After = treeValue(c.Change.After, c.Change.AfterUnknown, c.Change.AfterSensitive)
		}
		out = append(out, inst)
	}
	doc.PriorState.Values.Root.each(func(m *moduleJSON) {
		for _, r := range m.Resources {
			if r.Mode != "managed" || seen[r.Address] {
				continue
			}
			v := treeValue(r.Values, nil, r.Sensitive)
			out = append(out, Instance{Address: r.Address, Type: r.Type, Provider: r.Provider, Action: "no-op", Region: regions[r.Provider], Before: v, After: v})
		}
	})
	return out, nil
}

func (m *moduleJSON) each(do func(*moduleJSON)) {
	do(m)
	for i := range m.Children {
		m.Children[i].each(do)
	}
}

// regions are those that configurations of providers name by a constant, where a
// provider has but one.
func (doc *planJSON) regions() map[string]string {
	out := map[string]string{}
	keys := make([]string, 0, len(doc.Configuration.Providers))
	for key := range doc.Configuration.Providers {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	several := map[string]bool{}
	for _, key := range keys {
		p := doc.Configuration.Providers[key]
		region, _ := p.Expressions["region"].Constant.(string)
		if have, ok := out[p.FullName]; ok && have != region {
			several[p.FullName] = true
		}
		out[p.FullName] = region
	}
	for name := range several {
		delete(out, name) // the plan does not say which one a resource has
	}
	return out
}

// actionJSON is the actions of plan JSON in a word.
func actionJSON(actions []string) string {
	switch len(actions) {
	case 0:
		return "no-op"
	case 1:
		return actions[0]
	}
	return "replace"
}
