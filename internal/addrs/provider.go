package addrs

import (
	"fmt"
	"strings"
)

// The public registry hosts. They name the same providers: see [Provider.Same].
const (
	TerraformRegistryHost = "registry.terraform.io"
	OpenTofuRegistryHost  = "registry.opentofu.org"
	BuiltInHost           = "terraform.io"
)

// DefaultRegistryHost is the host a provider source without a host means.
const DefaultRegistryHost = TerraformRegistryHost

// Provider is the fully qualified source address of a provider.
type Provider struct {
	Hostname  string
	Namespace string
	Type      string
}

// BuiltInProvider returns the address of a provider inside this program.
func BuiltInProvider(typ string) Provider {
	return Provider{Hostname: BuiltInHost, Namespace: "builtin", Type: typ}
}

// DefaultProvider returns the address that a bare local name implies.
func DefaultProvider(typ string) Provider {
	if typ == "terraform" {
		return BuiltInProvider(typ)
	}
	return Provider{Hostname: DefaultRegistryHost, Namespace: "hashicorp", Type: typ}
}

// IsBuiltIn reports whether the provider is part of this program.
func (p Provider) IsBuiltIn() bool { return p.Hostname == BuiltInHost && p.Namespace == "builtin" }

// IsZero reports whether p is the zero value.
func (p Provider) IsZero() bool { return p == Provider{} }

// String returns "host/namespace/type".
func (p Provider) String() string { return p.Hostname + "/" + p.Namespace + "/" + p.Type }

// ForDisplay omits the default host.
func (p Provider) ForDisplay() string {
	if p.Hostname == DefaultRegistryHost {
		return p.Namespace + "/" + p.Type
	}
	return p.String()
}

// Same reports whether two addresses mean the same provider: equal, or equal
// but for the two public registry hosts.
func (p Provider) Same(o Provider) bool {
	return p.Canonical() == o.Canonical()
}

// Canonical replaces the OpenTofu public registry host by Terraform's, so that
// the result is usable as a map key for "the same provider".
func (p Provider) Canonical() Provider {
	if p.Hostname == OpenTofuRegistryHost {
		p.Hostname = TerraformRegistryHost
	}
	return p
}

// ParseProvider reads a source address: "type", "namespace/type" or
// "host/namespace/type". Parts are lower-cased.
func ParseProvider(source string) (Provider, error) {
	parts := strings.Split(source, "/")
	for i, part := range parts {
		if part == "" {
			return Provider{}, fmt.Errorf("a provider source address has one to three parts separated by slashes: [hostname/][namespace/]name")
		}
		parts[i] = strings.ToLower(part)
	}
	for _, part := range parts[max(0, len(parts)-2):] {
		if !validProviderPart(part) {
			return Provider{}, fmt.Errorf("%q is not a valid provider name or namespace: use letters, digits, dashes and underscores", part)
		}
	}
	switch len(parts) {
	case 1:
		return DefaultProvider(parts[0]), nil
	case 2:
		return Provider{Hostname: DefaultRegistryHost, Namespace: parts[0], Type: parts[1]}, nil
	case 3:
		return Provider{Hostname: parts[0], Namespace: parts[1], Type: parts[2]}, nil
	}
	return Provider{}, fmt.Errorf("a provider source address has one to three parts separated by slashes: [hostname/][namespace/]name")
}

func validProviderPart(s string) bool {
	for _, r := range s {
		ok := r == '-' || r == '_' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || r > 127
		if !ok {
			return false
		}
	}
	return true
}

// LocalProviderConfig is a provider reference inside one module: a local name
// and an alias (empty for the default configuration).
type LocalProviderConfig struct {
	LocalName string
	Alias     string
}

// String returns "name" or "name.alias".
func (p LocalProviderConfig) String() string {
	if p.Alias == "" {
		return p.LocalName
	}
	return p.LocalName + "." + p.Alias
}

// ProviderConfig is a provider configuration block: which module it stands in,
// which provider it configures, under which alias. It is what state records.
type ProviderConfig struct {
	Module   Module
	Provider Provider
	Alias    string
}

// String returns the form used in state files:
// module.a.provider["host/namespace/type"].alias
func (p ProviderConfig) String() string {
	var b strings.Builder
	if p.Module != "" {
		b.WriteString(p.Module.String())
		b.WriteByte('.')
	}
	b.WriteString(`provider["`)
	b.WriteString(p.Provider.String())
	b.WriteString(`"]`)
	if p.Alias != "" {
		b.WriteByte('.')
		b.WriteString(p.Alias)
	}
	return b.String()
}

// ParseProviderConfig reads the form of [ProviderConfig.String].
func ParseProviderConfig(s string) (ProviderConfig, error) {
	bad := fmt.Errorf("%q is not a provider configuration address", s)
	var out ProviderConfig
	rest := s
	for strings.HasPrefix(rest, "module.") {
		rest = rest[len("module."):]
		name, after, ok := strings.Cut(rest, ".")
		if !ok {
			return out, bad
		}
		out.Module, rest = out.Module.Child(name), after
	}
	if after, ok := strings.CutPrefix(rest, "provider."); ok { // the form of very old state files
		name, alias, aliased := strings.Cut(after, ".")
		provider, err := ParseProvider(name)
		if err != nil || aliased && alias == "" {
			return out, bad
		}
		out.Provider, out.Alias = provider, alias
		return out, nil
	}
	rest, ok := strings.CutPrefix(rest, `provider["`)
	if !ok {
		return out, bad
	}
	source, rest, ok := strings.Cut(rest, `"]`)
	if !ok {
		return out, bad
	}
	provider, err := ParseProvider(source)
	if err != nil {
		return out, err
	}
	out.Provider = provider
	if rest != "" {
		alias, ok := strings.CutPrefix(rest, ".")
		if !ok || alias == "" {
			return out, bad
		}
		out.Alias = alias
	}
	return out, nil
}
