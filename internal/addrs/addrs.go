// Package addrs names things: modules, resources, their instances, providers
// and everything a reference in a configuration can point at.
//
// Addresses are small comparable values. They are map keys everywhere, so none
// of them holds a slice or a pointer, and their String form is Terraform's.
package addrs

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/zclconf/go-cty/cty"
)

// Mode tells managed resources, data sources and ephemeral resources apart.
type Mode byte

// The resource modes.
const (
	Managed   Mode = 'M'
	Data      Mode = 'D'
	Ephemeral Mode = 'E'
)

// String returns the word used in JSON output: managed, data or ephemeral.
func (m Mode) String() string {
	switch m {
	case Managed:
		return "managed"
	case Data:
		return "data"
	case Ephemeral:
		return "ephemeral"
	}
	return "invalid"
}

// KeyKind says what sort of instance key there is.
type KeyKind byte

// The kinds of instance keys. NoKey's kind is the zero value.
const (
	KeyNone KeyKind = iota
	KeyInt
	KeyString
	KeyUnknown // stands for all instances whose keys are not known yet
)

// InstanceKey is the count index or for_each key of one instance. The zero
// value is NoKey: the only instance of a block without repetition.
type InstanceKey struct {
	Kind KeyKind
	Int  int
	Name string
}

// NoKey is the key of an instance without count or for_each.
var NoKey = InstanceKey{}

// IntKey returns the key of a count instance.
func IntKey(i int) InstanceKey { return InstanceKey{Kind: KeyInt, Int: i} }

// StringKey returns the key of a for_each instance.
func StringKey(s string) InstanceKey { return InstanceKey{Kind: KeyString, Name: s} }

// Value returns the key as cty: a number, a string, or null for NoKey.
func (k InstanceKey) Value() cty.Value {
	switch k.Kind {
	case KeyInt:
		return cty.NumberIntVal(int64(k.Int))
	case KeyString:
		return cty.StringVal(k.Name)
	case KeyUnknown:
		return cty.DynamicVal
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// String returns the bracketed suffix, empty for NoKey.
func (k InstanceKey) String() string {
	switch k.Kind {
	case KeyInt:
		return "[" + strconv.Itoa(k.Int) + "]"
	case KeyString:
		return "[" + quote(k.Name) + "]"
	case KeyUnknown:
		return "[*]"
	}
	return ""
}

// Less orders keys: none, then integers numerically, then strings.
func (k InstanceKey) Less(o InstanceKey) bool {
	if k.Kind != o.Kind {
		return k.Kind < o.Kind
	}
	if k.Kind == KeyInt {
		return k.Int < o.Int
	}
	return k.Name < o.Name
}

// quote writes an HCL quoted string, in which template introducers are escaped, and
// what does not print: an address must not move the cursor, or read backwards.
func quote(s string) string {
	if isPlain(s) {
		return `"` + s + `"`
	}
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range s {
		switch c {
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case '$', '%':
			b.WriteRune(c)
			if i+1 < len(s) && s[i+1] == '{' {
				b.WriteRune(c)
			}
		default:
			switch {
			case unicode.IsPrint(c):
				b.WriteRune(c)
			case c > 0xffff:
				_, _ = fmt.Fprintf(&b, `\U%08x`, c)
			default:
				_, _ = fmt.Fprintf(&b, `\u%04x`, c)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x20, c >= 0x7f, c == '"', c == '\\', c == '$', c == '%':
			return false
		}
	}
	return true
}

// Module is the static path of a module: call names joined with dots; empty
// for the root module.
type Module string

// RootModule is the path of the root module.
const RootModule Module = ""

// Child returns the path of a module called from m.
func (m Module) Child(call string) Module {
	if m == "" {
		return Module(call)
	}
	return m + "." + Module(call)
}

// IsRoot reports whether m is the root module.
func (m Module) IsRoot() bool { return m == "" }

// Steps returns the call names from the root.
func (m Module) Steps() []string {
	if m == "" {
		return nil
	}
	return strings.Split(string(m), ".")
}

// Parent returns the caller's path and the name of the call.
func (m Module) Parent() (Module, string) {
	if i := strings.LastIndexByte(string(m), '.'); i >= 0 {
		return m[:i], string(m[i+1:])
	}
	return "", string(m)
}

// Contains reports whether o is m or lies below it.
func (m Module) Contains(o Module) bool {
	return m == "" || o == m || strings.HasPrefix(string(o), string(m)+".")
}

// String returns "module.a.module.b", empty for the root.
func (m Module) String() string {
	if m == "" {
		return ""
	}
	return "module." + strings.ReplaceAll(string(m), ".", ".module.")
}

// ModuleInstance is one instance of a module, in its canonical text form
// ("module.a[0].module.b"); empty for the root. Being a string it is comparable
// and cheap to copy; [ModuleInstance.Steps] takes it apart.
type ModuleInstance string

// RootModuleInstance is the one instance of the root module.
const RootModuleInstance ModuleInstance = ""

// ModuleStep is one call in a module instance path.
type ModuleStep struct {
	Name string
	Key  InstanceKey
}

// Child returns the instance of a module called from m.
func (m ModuleInstance) Child(call string, key InstanceKey) ModuleInstance {
	s := "module." + call + key.String()
	if m == "" {
		return ModuleInstance(s)
	}
	return m + "." + ModuleInstance(s)
}

// IsRoot reports whether m is the root module instance.
func (m ModuleInstance) IsRoot() bool { return m == "" }

// String returns the canonical text.
func (m ModuleInstance) String() string { return string(m) }

// Steps parses the path. It panics on text that did not come from this package.
func (m ModuleInstance) Steps() []ModuleStep {
	var steps []ModuleStep
	s := string(m)
	for s != "" {
		s = strings.TrimPrefix(s, ".")
		s = strings.TrimPrefix(s, "module.")
		end := strings.IndexAny(s, ".[")
		if end < 0 {
			return append(steps, ModuleStep{Name: s})
		}
		step := ModuleStep{Name: s[:end]}
		s = s[end:]
		if s[0] == '[' {
			key, rest, err := cutKey(s)
			if err != nil {
				panic("addrs: malformed module instance " + strconv.Quote(string(m)))
			}
			step.Key, s = key, rest
		}
		steps = append(steps, step)
	}
	return steps
}

// Parent returns the calling module instance and the last step. It must not be
// called on the root.
func (m ModuleInstance) Parent() (ModuleInstance, ModuleStep) {
	steps := m.Steps()
	last := steps[len(steps)-1]
	var parent ModuleInstance
	for _, s := range steps[:len(steps)-1] {
		parent = parent.Child(s.Name, s.Key)
	}
	return parent, last
}

// Module returns the static path.
func (m ModuleInstance) Module() Module {
	var out Module
	if m == "" {
		return out
	}
	for _, s := range m.Steps() {
		out = out.Child(s.Name)
	}
	return out
}

// Contains reports whether o is m or lies below it.
func (m ModuleInstance) Contains(o ModuleInstance) bool {
	return m == "" || o == m || strings.HasPrefix(string(o), string(m)+".")
}

// Resource is a resource block within some module.
type Resource struct {
	Mode Mode
	Type string
	Name string
}

// String returns "type.name" with a mode prefix for data and ephemeral ones.
func (r Resource) String() string {
	switch r.Mode {
	case Data:
		return "data." + r.Type + "." + r.Name
	case Ephemeral:
		return "ephemeral." + r.Type + "." + r.Name
	}
	return r.Type + "." + r.Name
}

// ImpliedProvider returns the local provider name a resource type implies:
// the text before the first underscore.
func (r Resource) ImpliedProvider() string {
	name, _, _ := strings.Cut(r.Type, "_")
	return name
}

// Less orders resources as Terraform prints them: data first, then by type and name.
func (r Resource) Less(o Resource) bool {
	if r.Mode != o.Mode {
		return r.Mode == Data || (r.Mode == Ephemeral && o.Mode == Managed)
	}
	if r.Type != o.Type {
		return r.Type < o.Type
	}
	return r.Name < o.Name
}

// ConfigResource is a resource block in a module of the static tree.
type ConfigResource struct {
	Module   Module
	Resource Resource
}

// String returns the address without instance keys.
func (r ConfigResource) String() string {
	if r.Module == "" {
		return r.Resource.String()
	}
	return r.Module.String() + "." + r.Resource.String()
}

// AbsResource is a resource block in one module instance.
type AbsResource struct {
	Module   ModuleInstance
	Resource Resource
}

// String returns the address without the resource's own instance key.
func (r AbsResource) String() string {
	if r.Module == "" {
		return r.Resource.String()
	}
	return string(r.Module) + "." + r.Resource.String()
}

// Config returns the address in the static tree.
func (r AbsResource) Config() ConfigResource {
	return ConfigResource{Module: r.Module.Module(), Resource: r.Resource}
}

// Instance returns the address of one instance.
func (r AbsResource) Instance(key InstanceKey) ResourceInstance {
	return ResourceInstance{Module: r.Module, Resource: r.Resource, Key: key}
}

// ResourceInstance is one instance of a resource in one module instance: the
// unit of planning, state, locking and history.
type ResourceInstance struct {
	Module   ModuleInstance
	Resource Resource
	Key      InstanceKey
}

// String returns the full address.
func (r ResourceInstance) String() string {
	return r.AbsResource().String() + r.Key.String()
}

// AbsResource drops the instance key.
func (r ResourceInstance) AbsResource() AbsResource {
	return AbsResource{Module: r.Module, Resource: r.Resource}
}

// Config returns the address in the static tree.
func (r ResourceInstance) Config() ConfigResource { return r.AbsResource().Config() }

// Less orders instances by module, resource and key.
func (r ResourceInstance) Less(o ResourceInstance) bool {
	if r.Module != o.Module {
		return lessModuleInstance(r.Module, o.Module)
	}
	if r.Resource != o.Resource {
		return r.Resource.Less(o.Resource)
	}
	return r.Key.Less(o.Key)
}

func lessModuleInstance(a, b ModuleInstance) bool {
	as, bs := a.Steps(), b.Steps()
	for i := 0; i < len(as) && i < len(bs); i++ {
		if as[i].Name != bs[i].Name {
			return as[i].Name < bs[i].Name
		}
		if as[i].Key != bs[i].Key {
			return as[i].Key.Less(bs[i].Key)
		}
	}
	return len(as) < len(bs)
}

// DeposedKey names an object that was replaced but not destroyed yet: eight
// hexadecimal digits; empty for the current object.
type DeposedKey string

// CurrentObject is the DeposedKey of the object that is not deposed.
const CurrentObject DeposedKey = ""

// Object is one remote object: a resource instance's current or a deposed one.
type Object struct {
	Instance ResourceInstance
	Deposed  DeposedKey
}

// String returns the instance address with the deposed key where there is one.
func (o Object) String() string {
	if o.Deposed == "" {
		return o.Instance.String()
	}
	return o.Instance.String() + " (deposed object " + string(o.Deposed) + ")"
}
