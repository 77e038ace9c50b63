package jsonplan

import (
	"sort"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
)

// providerKeys names the provider configurations of a module tree: a local
// name with its alias, with the module's address in front where that is not
// the root. A module that uses its caller's configuration has no name of its
// own for it.
type providerKeys struct {
	list map[string]*providerEntry
	all  map[string]*providerEntry
}

type providerEntry struct {
	key         string
	name, alias string
	provider    addrs.Provider
	module      addrs.Module
	constraint  string
	block       *configs.ProviderConfig
	source      *providerEntry // the caller's configuration that is used here
}

// newProviderKeys visits callers before the modules they call.
func newProviderKeys(cfg *configs.Config) *providerKeys {
	k := &providerKeys{list: map[string]*providerEntry{}, all: map[string]*providerEntry{}}
	paths := make([]addrs.Module, 0, len(cfg.Modules))
	for path := range cfg.Modules {
		paths = append(paths, path)
	}
	sort.Slice(paths, func(i, j int) bool { return paths[i] < paths[j] })
	for _, path := range paths {
		k.module(cfg.Modules[path])
	}
	for key, entry := range k.all {
		if entry.source == nil {
			k.list[key] = entry
		}
	}
	return k
}

func (k *providerKeys) module(m *configs.Module) {
	for local, block := range m.ProviderConfigs {
		k.add(m, local, m.ProviderFor(local.LocalName)).block = block
	}
	if m.Parent != nil {
		for local, passed := range m.Call.Providers {
			if source := k.all[providerKey(m.Parent.Path, passed.InParent)]; source != nil {
				k.add(m, local, m.ProviderFor(local.LocalName)).source = source
			}
		}
	}
	used := map[addrs.Provider]bool{}
	for _, name := range sortedKeys(m.RequiredProviders) {
		rp := m.RequiredProviders[name]
		used[rp.Source] = true
		k.use(m, name, rp.Source)
	}
	for _, r := range m.Resources {
		used[r.Provider] = true
	}
	// A provider that is used under another name has an entry under its own
	// name besides.
	for p := range used {
		k.use(m, p.Type, p)
	}
}

// use adds a default configuration unless the module has one; it is the
// caller's where that has one of the same name.
func (k *providerKeys) use(m *configs.Module, name string, p addrs.Provider) {
	local := addrs.LocalProviderConfig{LocalName: name}
	if k.all[providerKey(m.Path, local)] != nil {
		return
	}
	entry := k.add(m, local, p)
	if m.Parent == nil {
		return
	}
	if source := k.all[providerKey(m.Parent.Path, local)]; source != nil && source.provider.Same(p) {
		entry.source = source
	}
}

func (k *providerKeys) add(m *configs.Module, local addrs.LocalProviderConfig, p addrs.Provider) *providerEntry {
	entry := &providerEntry{
		key: providerKey(m.Path, local), name: local.LocalName, alias: local.Alias, provider: p, module: m.Path,
	}
	if rp := m.RequiredProviders[local.LocalName]; rp != nil {
		entry.constraint = joinConstraints(rp.Constraints)
	}
	k.all[entry.key] = entry
	return entry
}

func (k *providerKeys) forResource(r *configs.Resource) string {
	key := providerKey(r.Module.Path, r.ProviderLocal)
	entry := k.all[key]
	if entry == nil {
		return key
	}
	for entry.source != nil {
		entry = entry.source
	}
	return entry.key
}

func providerKey(m addrs.Module, local addrs.LocalProviderConfig) string {
	if m == "" {
		return local.String()
	}
	return m.String() + ":" + local.String()
}

// constraint is one version constraint.
type constraint struct {
	op, text string
	version  *version.Version // nil where it cannot be understood
}

// joinConstraints writes version constraints in one line: each once, by
// version, spelt uniformly.
func joinConstraints(list []configs.VersionConstraint) string {
	var all []constraint
	for _, vc := range list {
		for _, part := range strings.Split(vc.Constraint, ",") {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, parseConstraint(part))
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.version == nil || b.version == nil {
			return a.version != nil && b.version == nil
		}
		if c := a.version.Compare(b.version); c != 0 {
			return c < 0
		}
		return a.op < b.op
	})
	var out []string
	for _, c := range all {
		if s := c.String(); len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

func parseConstraint(s string) constraint {
	text := strings.TrimLeft(s, "=!<>~")
	c := constraint{op: s[:len(s)-len(text)], text: strings.TrimSpace(text)}
	if v, err := version.NewVersion(c.text); err == nil {
		c.version = v
	}
	return c
}

// String omits the operator where an exact version is meant. Versions are
// written in full except behind ~>, where the number of parts has a meaning.
func (c constraint) String() string {
	text := c.text
	if c.version != nil && c.op != "~>" {
		text = c.version.String()
	}
	if c.op == "" || c.op == "=" {
		return text
	}
	return c.op + " " + text
}
