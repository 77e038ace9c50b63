package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// Document is a plan as policies see it: the plan JSON of Terraform's tools and,
// under "tutti", what is known about the run.
type Document struct {
	plan    map[string]any
	rest    map[string]*ast.Term // members that are not in plan
	unknown map[string]any       // after_unknown by address, where anything is
	secrets []string
	names   map[string]bool // addresses of resource instances
}

// Hide adds a value that is not to be shown, in its JSON form, to those that the plan
// JSON says are sensitive.
func (d *Document) Hide(value []byte) error {
	var v any
	if err := util.UnmarshalJSON(value, &v); err != nil {
		return err
	}
	collect := newSecrets()
	for _, secret := range d.secrets {
		collect.values[secret] = true
	}
	collect.all(v)
	d.secrets = collect.list()
	return nil
}

// ParsePlan reads plan JSON. about becomes input.tutti. What has nothing of a plan is an
// error: rules find nothing to deny in it.
func ParsePlan(data []byte, about map[string]any) (*Document, error) {
	d, err := parsePlan(data, about)
	if err != nil || isPlan(d.plan) {
		return d, err
	}
	for name := range planNames {
		if plan, ok := d.plan[name].(map[string]any); ok && isPlan(plan) {
			return d, nil
		}
	}
	if _, several := d.plan["stacks"].([]any); several {
		return nil, errors.New("it is of a plan of several stacks: judge the saved plan itself, with -plan=FILE, or give the \"plan\" of one of its \"stacks\"")
	}
	return nil, errors.New("not a plan: it has neither resource_changes, planned_values nor configuration. Give the output of \"terraform show -json PLANFILE\"; without a file, that is the state")
}

// isPlan reports whether an object has a member that only plans have.
func isPlan(object map[string]any) bool {
	_, changes := object["resource_changes"].([]any)
	_, planned := object["planned_values"].(map[string]any)
	_, configuration := object["configuration"].(map[string]any)
	return changes || planned || configuration
}

func parsePlan(data []byte, about map[string]any) (*Document, error) {
	d := &Document{unknown: map[string]any{}, names: map[string]bool{}}
	if err := util.UnmarshalJSON(data, &d.plan); err != nil {
		return nil, fmt.Errorf("it is not a JSON object: %w", err)
	}
	if _, ok := d.plan["format_version"].(string); !ok {
		return nil, fmt.Errorf("it has no format_version, as the output of \"show -json\" has")
	}
	if about != nil {
		// By way of JSON, so that it has only types that a document has.
		raw, err := json.Marshal(about)
		if err != nil {
			return nil, err
		}
		var doc any
		if err := util.UnmarshalJSON(raw, &doc); err != nil {
			return nil, err
		}
		d.plan["tutti"] = doc
	}
	collect := newSecrets()
	for _, list := range []string{"resource_changes", "resource_drift"} {
		changes, _ := d.plan[list].([]any)
		for _, c := range changes {
			rc, _ := c.(map[string]any)
			change, _ := rc["change"].(map[string]any)
			collect.add(change["before"], change["before_sensitive"])
			collect.add(change["after"], change["after_sensitive"])
			address, _ := rc["address"].(string)
			d.names[address] = true
			if u := change["after_unknown"]; list == "resource_changes" && anyTrue(u) && rc["deposed"] == nil {
				d.unknown[address] = u
			}
		}
	}
	outputs, _ := d.plan["output_changes"].(map[string]any)
	for _, c := range outputs {
		change, _ := c.(map[string]any)
		collect.add(change["before"], change["before_sensitive"])
		collect.add(change["after"], change["after_sensitive"])
	}
	invocations, _ := d.plan["action_invocations"].([]any)
	for _, a := range invocations {
		action, _ := a.(map[string]any)
		collect.add(action["config_values"], action["config_sensitive"])
	}
	d.secretVariables(collect)
	prior, _ := d.plan["prior_state"].(map[string]any)
	collect.state(prior["values"])
	collect.state(d.plan["planned_values"])
	d.secrets = collect.list()
	return d, nil
}

// secretVariables collects the values of variables that are declared sensitive.
func (d *Document) secretVariables(collect *secrets) {
	configuration, _ := d.plan["configuration"].(map[string]any)
	root, _ := configuration["root_module"].(map[string]any)
	declared, _ := root["variables"].(map[string]any)
	given, _ := d.plan["variables"].(map[string]any)
	for name, v := range declared {
		if decl, _ := v.(map[string]any); decl["sensitive"] == true {
			value, _ := given[name].(map[string]any)
			collect.add(value["value"], true)
			collect.add(decl["default"], true)
		}
	}
}

// anyTrue reports whether something in a tree of marks is marked.
func anyTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case map[string]any:
		for _, e := range v {
			if anyTrue(e) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if anyTrue(e) {
				return true
			}
		}
	}
	return false
}

// input is a document as it is evaluated.
type input struct {
	term  *ast.Term
	index *ast.Term // its changes by type; nil where one has no type
}

func inputOf(plan *ast.Term) input { return input{plan, indexOf(plan)} }

// shaped is the document where the policy asks for it.
func (in input) shaped(p *Policy, d *Document) input {
	return input{p.wants.of(in.term, d), in.index}
}

// plain is the document as it stands: what is unknown is not there.
func (d *Document) plain() (input, error) {
	v, err := ast.InterfaceToValue(d.plan)
	if err != nil {
		return input{}, err
	}
	object := v.(ast.Object)
	for name, term := range d.rest {
		object.Insert(ast.InternedTerm(name), term)
	}
	return inputOf(ast.NewTerm(object)), nil
}

// Rest is a plan without its objects: what rules that judge each object by itself
// (see [Policy.ByObject]) can look at besides.
type Rest struct {
	about   map[string]any // the run
	terms   map[string]*ast.Term
	secrets []string
	names   map[string]bool
}

// Rest returns the document without its objects.
func (d *Document) Rest() (*Rest, error) {
	r := &Rest{terms: map[string]*ast.Term{}, secrets: d.secrets, names: d.names}
	if about, ok := d.plan["tutti"].(map[string]any); ok {
		r.about = maps.Clone(about)
		delete(r.about, "cost")
		delete(r.about, "cost_unknown")
	}
	for name, v := range d.plan {
		if changing[name] || name == "tutti" {
			continue
		}
		value, err := ast.InterfaceToValue(v)
		if err != nil {
			return nil, err
		}
		r.terms[name] = ast.NewTerm(value)
	}
	return r, nil
}

// changing are the members of a plan that change as something becomes known.
var changing = map[string]bool{"resource_changes": true, "planned_values": true, "output_changes": true, "variables": true}

// With returns the plan with only some objects, from plan JSON that has nothing but
// their changes.
func (r *Rest) With(objects []byte) (*Document, error) {
	d, err := parsePlan(objects, nil)
	if err != nil {
		return nil, err
	}
	changes := d.plan["resource_changes"]
	d.plan, d.rest, d.names = map[string]any{}, r.terms, r.names
	if changes != nil {
		d.plan["resource_changes"] = changes
	}
	if r.about != nil {
		d.plan["tutti"] = r.about
	}
	if d.secrets = append(d.secrets, r.secrets...); len(d.secrets) > len(r.secrets) {
		longestFirst(d.secrets)
	}
	return d, nil
}

// watched is the document in which asking for what is unknown is noticed. It shares
// with the plain one what has nothing unknown.
func (d *Document) watched(w *watcher, plain *ast.Term) *ast.Term {
	b := builder{d: d, w: w}
	return b.members(d.plan, plain, map[string]converter{
		"resource_changes": b.resourceChanges, "planned_values": b.plannedValues, "output_changes": b.outputChanges, "variables": b.variables, "tutti": b.about,
	})
}

// HasUnknown reports whether anything is not known yet.
func (d *Document) HasUnknown() bool {
	if len(d.unknown) > 0 || d.costUnknown() != nil {
		return true
	}
	outputs, _ := d.plan["output_changes"].(map[string]any)
	for _, c := range outputs {
		if change, _ := c.(map[string]any); anyTrue(change["after_unknown"]) {
			return true
		}
	}
	given, _ := d.plan["variables"].(map[string]any)
	for _, v := range given {
		if m, ok := v.(map[string]any); ok && len(m) == 0 {
			return true
		}
	}
	return false
}

// builder makes a watched document.
type builder struct {
	d *Document
	w *watcher
}

// converter makes the watched term of a value from its plain one.
type converter func(v any, plain *ast.Term) *ast.Term

// members converts an object of which some members are converted, in their own way.
func (b *builder) members(m map[string]any, plain *ast.Term, own map[string]converter) *ast.Term {
	object, ok := plain.Value.(ast.Object)
	if !ok {
		return plain
	}
	items := make([][2]*ast.Term, 0, object.Len())
	object.Foreach(func(key, term *ast.Term) {
		name, _ := key.Value.(ast.String)
		if convert := own[string(name)]; convert != nil {
			term = convert(m[string(name)], term)
		}
		items = append(items, ast.Item(key, term))
	})
	return ast.ObjectTerm(items...)
}

func (b *builder) each(v any, plain *ast.Term, convert func(map[string]any, *ast.Term) *ast.Term) *ast.Term {
	list, ok := v.([]any)
	array, isArray := plain.Value.(*ast.Array)
	if !ok || !isArray {
		return plain
	}
	terms := make([]*ast.Term, len(list))
	for i, e := range list {
		m, _ := e.(map[string]any)
		terms[i] = convert(m, array.Elem(i))
	}
	return ast.ArrayTerm(terms...)
}

// watching converts a value with unknown parts.
func (b *builder) watching(unknown any, address string) converter {
	return func(v any, plain *ast.Term) *ast.Term {
		out, _ := b.watch(v, plain, unknown, address, "")
		return out
	}
}

func (b *builder) resourceChanges(v any, plain *ast.Term) *ast.Term {
	return b.each(v, plain, func(rc map[string]any, plain *ast.Term) *ast.Term {
		address, _ := rc["address"].(string)
		unknown := b.d.unknown[address]
		if unknown == nil || rc["deposed"] != nil {
			return plain
		}
		return b.members(rc, plain, map[string]converter{"change": func(v any, plain *ast.Term) *ast.Term {
			change, _ := v.(map[string]any)
			return b.members(change, plain, map[string]converter{"after": b.watching(unknown, address)})
		}})
	})
}

func (b *builder) outputChanges(v any, plain *ast.Term) *ast.Term {
	outputs, _ := v.(map[string]any)
	own := map[string]converter{}
	for name, v := range outputs {
		if change, _ := v.(map[string]any); anyTrue(change["after_unknown"]) {
			own[name] = b.watching(map[string]any{"after": change["after_unknown"]}, "output."+name)
		}
	}
	return b.members(outputs, plain, own)
}

// variables are without a value where it comes from what is applied before.
func (b *builder) variables(v any, plain *ast.Term) *ast.Term {
	given, _ := v.(map[string]any)
	own := map[string]converter{}
	for name, v := range given {
		if m, ok := v.(map[string]any); ok && len(m) == 0 {
			own[name] = b.watching(map[string]any{"value": true}, "var."+name)
		}
	}
	return b.members(given, plain, own)
}

func (b *builder) plannedValues(v any, plain *ast.Term) *ast.Term {
	values, _ := v.(map[string]any)
	changes, _ := b.d.plan["output_changes"].(map[string]any)
	return b.members(values, plain, map[string]converter{
		"root_module": b.module,
		"outputs": func(v any, plain *ast.Term) *ast.Term {
			outputs, _ := v.(map[string]any)
			own := map[string]converter{}
			for name := range outputs {
				if change, _ := changes[name].(map[string]any); anyTrue(change["after_unknown"]) {
					own[name] = b.watching(map[string]any{"value": true}, "output."+name)
				}
			}
			return b.members(outputs, plain, own)
		},
	})
}

func (b *builder) module(v any, plain *ast.Term) *ast.Term {
	m, _ := v.(map[string]any)
	return b.members(m, plain, map[string]converter{
		"child_modules": func(v any, plain *ast.Term) *ast.Term {
			return b.each(v, plain, func(m map[string]any, plain *ast.Term) *ast.Term { return b.module(m, plain) })
		},
		"resources": func(v any, plain *ast.Term) *ast.Term {
			return b.each(v, plain, func(r map[string]any, plain *ast.Term) *ast.Term {
				address, _ := r["address"].(string)
				unknown := b.d.unknown[address]
				if unknown == nil {
					return plain
				}
				return b.members(r, plain, map[string]converter{"values": b.watching(unknown, address)})
			})
		},
	})
}

// watch converts a value with unknown parts. hidden says that the value itself
// does not tell that something is missing, so that whoever holds it must: a list
// has null in the place of what is unknown.
func (b *builder) watch(v any, plain *ast.Term, unknown any, address, path string) (out *ast.Term, hidden bool) {
	switch v := v.(type) {
	case map[string]any:
		had := plain.Value.(ast.Object)
		marks, _ := unknown.(map[string]any)
		missing := map[string]int{}
		items := make([][2]*ast.Term, 0, len(v))
		for name, e := range v {
			key := ast.InternedTerm(name)
			term := had.Get(key)
			if anyTrue(marks[name]) {
				at, hides := join(path, name), false
				if term, hides = b.watch(e, term, marks[name], address, at); hides {
					missing[name] = b.w.id(address, at)
				}
			}
			items = append(items, ast.Item(key, term))
		}
		for name, mark := range marks {
			if _, there := v[name]; !there && anyTrue(mark) {
				missing[name] = b.w.id(address, join(path, name))
			}
		}
		object := ast.NewObject(items...)
		if len(missing) == 0 {
			return ast.NewTerm(object), false
		}
		return ast.NewTerm(&watchedObject{Object: object, w: b.w, missing: missing}), false
	case []any:
		marks, _ := unknown.([]any)
		had := plain.Value.(*ast.Array)
		terms := make([]*ast.Term, len(v))
		hidden := unknown == true
		for i, e := range v {
			if i >= len(marks) || !anyTrue(marks[i]) {
				terms[i] = had.Elem(i)
				continue
			}
			var hides bool
			terms[i], hides = b.watch(e, had.Elem(i), marks[i], address, path+"["+strconv.Itoa(i)+"]")
			hidden = hidden || hides
		}
		return ast.ArrayTerm(terms...), hidden || len(marks) > len(v)
	}
	return plain, true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
