package policy

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// Document is a plan as policies see it: the plan JSON of Terraform's tools and,
// under "tutti", what is known about the run.
type Document struct {
	plan    map[string]any
	unknown map[string]any // after_unknown by address, where anything is
	secrets []string
	names   map[string]bool // addresses of resource instances
}

// ParsePlan reads plan JSON. about becomes input.tutti.
func ParsePlan(data []byte, about map[string]any) (*Document, error) {
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

// plain is the document as it stands: what is unknown is not there.
func (d *Document) plain() (input, error) {
	v, err := ast.InterfaceToValue(d.plan)
	if err != nil {
		return input{}, err
	}
	term := ast.NewTerm(v)
	return input{term, indexOf(term)}, nil
}

// watchedDocument is a document that is made when it is first needed.
type watchedDocument struct {
	w   *watcher
	in  input
	err error
}

// of returns the document with nothing touched yet.
func (v *watchedDocument) of(d *Document) (*watcher, input, error) {
	if v.w == nil {
		v.w = newWatcher()
		if v.in.term, v.err = d.watched(v.w); v.err == nil {
			v.in.index = indexOf(v.in.term)
		}
	}
	v.w.reset()
	return v.w, v.in, v.err
}

// watched is the document in which asking for what is unknown is noticed.
func (d *Document) watched(w *watcher) (*ast.Term, error) {
	b := builder{d: d, w: w}
	input := b.members(d.plan, map[string]func(any) *ast.Term{
		"resource_changes": b.resourceChanges, "planned_values": b.plannedValues, "output_changes": b.outputChanges, "variables": b.variables,
	})
	return input, b.err
}

// HasUnknown reports whether anything is not known yet.
func (d *Document) HasUnknown() bool {
	if len(d.unknown) > 0 {
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
	d   *Document
	w   *watcher
	err error
}

func (b *builder) value(v any) *ast.Term {
	out, err := ast.InterfaceToValue(v)
	if err != nil && b.err == nil {
		b.err = err
	}
	return ast.NewTerm(out)
}

// members converts an object; some members are converted in their own way.
func (b *builder) members(m map[string]any, own map[string]func(any) *ast.Term) *ast.Term {
	items := make([][2]*ast.Term, 0, len(m))
	for name, v := range m {
		if convert := own[name]; convert != nil {
			items = append(items, ast.Item(ast.InternedTerm(name), convert(v)))
			continue
		}
		items = append(items, ast.Item(ast.InternedTerm(name), b.value(v)))
	}
	return ast.ObjectTerm(items...)
}

func (b *builder) each(v any, convert func(map[string]any) *ast.Term) *ast.Term {
	list, ok := v.([]any)
	if !ok {
		return b.value(v)
	}
	terms := make([]*ast.Term, len(list))
	for i, e := range list {
		m, _ := e.(map[string]any)
		terms[i] = convert(m)
	}
	return ast.ArrayTerm(terms...)
}

func (b *builder) resourceChanges(v any) *ast.Term {
	return b.each(v, func(rc map[string]any) *ast.Term {
		address, _ := rc["address"].(string)
		unknown := b.d.unknown[address]
		if unknown == nil || rc["deposed"] != nil {
			return b.value(rc)
		}
		return b.members(rc, map[string]func(any) *ast.Term{"change": func(v any) *ast.Term {
			change, _ := v.(map[string]any)
			return b.members(change, map[string]func(any) *ast.Term{"after": func(after any) *ast.Term {
				out, _ := b.watch(after, unknown, address, "")
				return out
			}})
		}})
	})
}

func (b *builder) outputChanges(v any) *ast.Term {
	outputs, _ := v.(map[string]any)
	own := map[string]func(any) *ast.Term{}
	for name := range outputs {
		own[name] = func(v any) *ast.Term {
			change, _ := v.(map[string]any)
			if !anyTrue(change["after_unknown"]) {
				return b.value(change)
			}
			out, _ := b.watch(change, map[string]any{"after": change["after_unknown"]}, "output."+name, "")
			return out
		}
	}
	return b.members(outputs, own)
}

// variables are without a value where it comes from what is applied before.
func (b *builder) variables(v any) *ast.Term {
	given, _ := v.(map[string]any)
	own := map[string]func(any) *ast.Term{}
	for name, v := range given {
		if m, ok := v.(map[string]any); ok && len(m) == 0 {
			own[name] = func(v any) *ast.Term {
				out, _ := b.watch(v, map[string]any{"value": true}, "var."+name, "")
				return out
			}
		}
	}
	return b.members(given, own)
}

func (b *builder) plannedValues(v any) *ast.Term {
	values, _ := v.(map[string]any)
	changes, _ := b.d.plan["output_changes"].(map[string]any)
	return b.members(values, map[string]func(any) *ast.Term{
		"root_module": b.module,
		"outputs": func(v any) *ast.Term {
			outputs, _ := v.(map[string]any)
			own := map[string]func(any) *ast.Term{}
			for name := range outputs {
				if change, _ := changes[name].(map[string]any); anyTrue(change["after_unknown"]) {
					own[name] = func(v any) *ast.Term {
						out, _ := b.watch(v, map[string]any{"value": true}, "output."+name, "")
						return out
					}
				}
			}
			return b.members(outputs, own)
		},
	})
}

func (b *builder) module(v any) *ast.Term {
	m, _ := v.(map[string]any)
	return b.members(m, map[string]func(any) *ast.Term{
		"child_modules": func(v any) *ast.Term {
			return b.each(v, func(m map[string]any) *ast.Term { return b.module(m) })
		},
		"resources": func(v any) *ast.Term {
			return b.each(v, func(r map[string]any) *ast.Term {
				address, _ := r["address"].(string)
				unknown := b.d.unknown[address]
				if unknown == nil {
					return b.value(r)
				}
				return b.members(r, map[string]func(any) *ast.Term{"values": func(values any) *ast.Term {
					out, _ := b.watch(values, unknown, address, "")
					return out
				}})
			})
		},
	})
}

// watch converts a value with unknown parts. hidden says that the value itself
// does not tell that something is missing, so that whoever holds it must: a list
// has null in the place of what is unknown.
func (b *builder) watch(v, unknown any, address, path string) (out *ast.Term, hidden bool) {
	switch v := v.(type) {
	case map[string]any:
		marks, _ := unknown.(map[string]any)
		missing := map[string]int{}
		items := make([][2]*ast.Term, 0, len(v))
		for name, e := range v {
			at := join(path, name)
			if !anyTrue(marks[name]) {
				items = append(items, ast.Item(ast.InternedTerm(name), b.value(e)))
				continue
			}
			term, hides := b.watch(e, marks[name], address, at)
			if hides {
				missing[name] = b.w.id(address, at)
			}
			items = append(items, ast.Item(ast.InternedTerm(name), term))
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
		terms := make([]*ast.Term, len(v))
		hidden := unknown == true
		for i, e := range v {
			if i >= len(marks) || !anyTrue(marks[i]) {
				terms[i] = b.value(e)
				continue
			}
			var hides bool
			terms[i], hides = b.watch(e, marks[i], address, path+"["+strconv.Itoa(i)+"]")
			hidden = hidden || hides
		}
		return ast.ArrayTerm(terms...), hidden || len(marks) > len(v)
	}
	return b.value(v), true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
