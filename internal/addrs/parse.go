package addrs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// cutKey reads a bracketed key at the start of s.
func cutKey(s string) (InstanceKey, string, error) {
	bad := fmt.Errorf("invalid instance key in %q", s)
	if len(s) < 3 || s[0] != '[' {
		return NoKey, s, bad
	}
	if s[1] != '"' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return NoKey, s, bad
		}
		if s[1:end] == "*" {
			return InstanceKey{Kind: KeyUnknown}, s[end+1:], nil
		}
		n, err := strconv.Atoi(s[1:end])
		if err != nil {
			return NoKey, s, bad
		}
		return IntKey(n), s[end+1:], nil
	}
	for i := 2; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if i+1 >= len(s) || s[i+1] != ']' {
				return NoKey, s, bad
			}
			text, err := unquote(s[2:i])
			if err != nil {
				return NoKey, s, bad
			}
			return StringKey(text), s[i+2:], nil
		}
	}
	return NoKey, s, bad
}

func unquote(s string) (string, error) {
	if isPlain(s) {
		return s, nil
	}
	expr, diags := hclsyntax.ParseExpression([]byte(`"`+s+`"`), "", hcl.InitialPos)
	if diags.HasErrors() {
		return "", diags
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String {
		return "", fmt.Errorf("invalid quoted string")
	}
	return v.AsString(), nil
}

// ParseModuleInstance reads the text of a module instance; empty is the root.
func ParseModuleInstance(s string) (ModuleInstance, error) {
	m, rest, err := cutModuleInstance(s)
	if err != nil {
		return "", err
	}
	if rest != "" {
		return "", fmt.Errorf("%q is not a module address", s)
	}
	return m, nil
}

// cutModuleInstance reads leading module steps; rest is what follows, without
// the separating dot.
func cutModuleInstance(s string) (ModuleInstance, string, error) {
	var m ModuleInstance
	for strings.HasPrefix(s, "module.") {
		s = s[len("module."):]
		end := strings.IndexAny(s, ".[")
		if end < 0 {
			end = len(s)
		}
		name := s[:end]
		if !validIdentifier(name) {
			return "", "", fmt.Errorf("%q is not a valid module name", name)
		}
		s = s[end:]
		key := NoKey
		if strings.HasPrefix(s, "[") {
			var err error
			if key, s, err = cutKey(s); err != nil {
				return "", "", err
			}
		}
		m = m.Child(name, key)
		if s == "" {
			return m, "", nil
		}
		if s[0] != '.' {
			return "", "", fmt.Errorf("invalid address near %q", s)
		}
		s = s[1:]
	}
	return m, s, nil
}

// validIdentifier is hclsyntax.ValidIdentifier, quick for plain ASCII names:
// reading a large state spends most of its time here otherwise.
func validIdentifier(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_' || c == '-'):
		default:
			return hclsyntax.ValidIdentifier(name)
		}
	}
	return name != ""
}

// ParseResourceInstance reads the full address of a resource instance.
func ParseResourceInstance(s string) (ResourceInstance, error) {
	var out ResourceInstance
	m, rest, err := cutModuleInstance(s)
	if err != nil {
		return out, err
	}
	out.Module = m
	out.Resource.Mode = Managed
	if after, ok := strings.CutPrefix(rest, "data."); ok {
		out.Resource.Mode, rest = Data, after
	} else if after, ok := strings.CutPrefix(rest, "ephemeral."); ok {
		out.Resource.Mode, rest = Ephemeral, after
	}
	typ, rest, ok := strings.Cut(rest, ".")
	if !ok {
		return out, fmt.Errorf("%q is not a resource address: it must have a type and a name, like aws_instance.web", s)
	}
	name := rest
	if i := strings.IndexByte(rest, '['); i >= 0 {
		name = rest[:i]
		if out.Key, rest, err = cutKey(rest[i:]); err != nil {
			return out, err
		}
		if rest != "" {
			return out, fmt.Errorf("unexpected %q after the resource address in %q", rest, s)
		}
	}
	if !validIdentifier(typ) || !validIdentifier(name) {
		return out, fmt.Errorf("%q is not a resource address", s)
	}
	out.Resource.Type, out.Resource.Name = typ, name
	return out, nil
}

// ParseConfigResource reads a resource address in the static tree; instance
// keys, which old state files carry, are dropped.
func ParseConfigResource(s string) (ConfigResource, error) {
	inst, err := ParseResourceInstance(s)
	if err != nil {
		return ConfigResource{}, err
	}
	return inst.Config(), nil
}

// Target is what -target, -exclude and the like name: a module instance (Type
// empty), a resource (all its instances) or one instance. Whole says that the
// resource was given without a key and so covers all instances; for modules,
// the last step without a key covers all instances of that call.
type Target struct {
	Module   ModuleInstance
	Resource Resource
	Key      InstanceKey
}

// ParseTarget reads the argument of -target.
func ParseTarget(s string) (Target, error) {
	m, rest, err := cutModuleInstance(s)
	if err != nil {
		return Target{}, err
	}
	if rest == "" {
		if m == "" {
			return Target{}, fmt.Errorf("an address must not be empty")
		}
		return Target{Module: m}, nil
	}
	inst, err := ParseResourceInstance(s)
	if err != nil {
		return Target{}, err
	}
	return Target(inst), nil
}

// String returns the address as given.
func (t Target) String() string {
	if t.Resource == (Resource{}) {
		return string(t.Module)
	}
	return ResourceInstance(t).String()
}

// Contains reports whether the target covers the instance. Steps without a key
// cover every key.
func (t Target) Contains(r ResourceInstance) bool {
	want, have := t.Module.Steps(), r.Module.Steps()
	if len(have) < len(want) {
		return false
	}
	for i, w := range want {
		if have[i].Name != w.Name || (w.Key != NoKey && w.Key != have[i].Key) {
			return false
		}
	}
	if t.Resource == (Resource{}) {
		return true
	}
	return len(have) == len(want) && t.Resource == r.Resource && (t.Key == NoKey || t.Key == r.Key)
}

// ContainsConfig reports whether the target covers some instance of the block.
func (t Target) ContainsConfig(r ConfigResource) bool {
	m := t.Module.Module()
	if t.Resource == (Resource{}) {
		return m.Contains(r.Module)
	}
	return m == r.Module && t.Resource == r.Resource
}
