package configs

import (
	"sort"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// validateTree checks what can only be seen with the whole tree of modules:
// calls against what they call, and which provider configurations exist.
func validateTree(c *Config, terraformVersion string) diag.List {
	paths := make([]string, 0, len(c.Modules))
	for path := range c.Modules {
		paths = append(paths, string(path))
	}
	sort.Strings(paths)
	var diags diag.List
	for _, path := range paths {
		m := c.Modules[addrs.Module(path)]
		diags = append(diags, checkVersions(m, terraformVersion)...)
		diags = append(diags, checkProviderUse(c, m)...)
		if m.Parent != nil {
			diags = append(diags, checkArguments(m)...)
			diags = append(diags, checkPassedProviders(c, m)...)
		}
	}
	return diags
}

func checkVersions(m *Module, terraformVersion string) diag.List {
	if terraformVersion == "" {
		return nil
	}
	have, err := version.NewVersion(terraformVersion)
	if err != nil {
		return nil
	}
	var diags diag.List
	for _, rv := range m.RequiredVersions {
		want, err := version.NewConstraint(rv.Constraint)
		if err != nil || want.Check(have) {
			continue
		}
		where := "This configuration"
		if m.Parent != nil {
			where = "Module " + m.Path.String() + " (from " + m.SourceAddr + ")"
		}
		diags = append(diags, diag.ErrorAt(rv.Range, "Unsupported Terraform version",
			"%s requires a Terraform version %s; Tutti behaves as Terraform %s. Change the constraint if the configuration works with that.", where, rv.Constraint, terraformVersion)...)
	}
	return diags
}

// checkArguments compares a module call with the variables of its module.
func checkArguments(m *Module) diag.List {
	var diags diag.List
	names := make([]string, 0, len(m.Variables))
	for name := range m.Variables {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		v := m.Variables[name]
		expr := m.Call.Arguments[name]
		if expr == nil && v.Required() {
			diags = append(diags, diag.ErrorAt(m.Call.DeclRange, "Missing required argument",
				"The argument %q is required by module %q, because its variable has no default value.", name, m.Call.Name)...)
		}
		if expr != nil && v.Deprecated != "" {
			diags = append(diags, diag.WarningAt(expr.Range(), "Deprecated variable", "%s", v.Deprecated)...)
		}
	}
	for name, expr := range m.Call.Arguments {
		if m.Variables[name] != nil {
			continue
		}
		detail := "Module \"" + m.Call.Name + "\" has no input variable named \"" + name + "\"."
		if near := nearestName(name, names); near != "" {
			detail += " Did you mean \"" + near + "\"?"
		}
		diags = append(diags, diag.ErrorAt(argumentRange(m.Call, name, expr), "Unsupported argument", "%s", detail)...)
	}
	return diags
}

// argumentRange is where an argument's name stands, as far as the body tells.
func argumentRange(call *ModuleCall, name string, expr hcl.Expression) hcl.Range {
	attrs, _ := call.Config.JustAttributes()
	if attr := attrs[name]; attr != nil {
		return attr.NameRange
	}
	return expr.Range()
}

func nearestName(name string, among []string) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, other := range among {
		if n := levenshtein.Distance(name, other, nil); n < distance {
			best, distance = other, n
		}
	}
	return best
}

// checkProviderUse reports provider configurations that are named but exist
// nowhere. An unnamed default configuration always exists: it is empty.
func checkProviderUse(c *Config, m *Module) diag.List {
	var diags diag.List
	seen := map[addrs.LocalProviderConfig]bool{}
	check := func(local addrs.LocalProviderConfig, rng hcl.Range, user string) {
		if local.Alias == "" || seen[local] || m.declaresAlias(local) {
			return
		}
		if _, block := c.ResolveProvider(m, local); block != nil {
			return
		}
		seen[local] = true
		diags = append(diags, diag.ErrorAt(rng, "Provider configuration not present",
			"%s uses the provider configuration %s, which this module neither declares with a provider block nor receives through configuration_aliases and the providers argument of its caller.", user, local)...)
	}
	for _, r := range m.ResourceList {
		check(r.ProviderLocal, r.ProviderRange, r.Addr.String())
	}
	for _, call := range m.ModuleCalls {
		for _, passed := range call.Providers {
			check(passed.InParent, passed.Range, "Module \""+call.Name+"\"")
		}
	}
	return diags
}

// declaresAlias reports whether a module wants a configuration passed in.
func (m *Module) declaresAlias(local addrs.LocalProviderConfig) bool {
	rp := m.RequiredProviders[local.LocalName]
	if rp == nil {
		return false
	}
	for _, alias := range rp.Aliases {
		if alias == local {
			return true
		}
	}
	return false
}

// checkPassedProviders compares what a call passes with what its module wants.
func checkPassedProviders(c *Config, m *Module) diag.List {
	var diags diag.List
	call := m.Call
	for _, rp := range sortedRequired(m) {
		for _, alias := range rp.Aliases {
			if _, ok := call.Providers[alias]; !ok {
				diags = append(diags, diag.ErrorAt(call.DeclRange, "Missing required provider configuration",
					"Module %q needs the provider configuration %s: pass one in its providers argument, for example providers = { %[2]s = %s }.", call.Name, alias, rp.LocalName)...)
			}
		}
	}
	for inChild, passed := range call.Providers {
		rp := m.RequiredProviders[inChild.LocalName]
		switch {
		case rp == nil:
			diags = append(diags, diag.WarningAt(passed.Range, "Reference to undefined provider",
				"Module %q uses no provider with the local name %q, so passing one has no effect. If it should, declare it in required_providers there.", call.Name, inChild.LocalName)...)
		case inChild.Alias != "" && !m.declaresAlias(inChild):
			if own := m.ProviderConfigs[inChild]; own == nil {
				diags = append(diags, diag.ErrorAt(passed.Range, "Provider configuration not expected",
					"Module %q has no configuration_aliases entry %s, so it cannot receive this configuration.", call.Name, inChild)...)
			}
		}
		if own := m.ProviderConfigs[inChild]; own != nil && !isEmptyBody(own.Config) {
			diags = append(diags, diag.ErrorAt(passed.Range, "Cannot override provider configuration",
				"Module %q configures provider %s itself at %s, so it cannot receive a configuration for it.", call.Name, inChild, position(own.DeclRange))...)
		}
		if parent := m.Parent.ProviderFor(passed.InParent.LocalName); rp != nil && !parent.Same(rp.Source) {
			diags = append(diags, diag.ErrorAt(passed.Range, "Provider type mismatch",
				"%s means %s here, but %s means %s in module %q.", passed.InParent, parent.ForDisplay(), inChild, rp.Source.ForDisplay(), call.Name)...)
		}
	}
	return append(diags, checkRepeatedProviders(m)...)
}

// checkRepeatedProviders reports provider blocks inside a module that is called
// several times or with depends_on: they would have to be configured per
// instance, and be there still when the module is gone.
func checkRepeatedProviders(m *Module) diag.List {
	var argument string
	for up := m; up.Parent != nil; up = up.Parent {
		switch {
		case up.Call.Count != nil:
			argument = "count"
		case up.Call.ForEach != nil:
			argument = "for_each"
		case len(up.Call.DependsOn) > 0:
			argument = "depends_on"
		}
	}
	if argument == "" {
		return nil
	}
	var own []string
	for local, pc := range m.ProviderConfigs {
		if !isEmptyBody(pc.Config) {
			own = append(own, position(pc.DeclRange)+" ("+local.String()+")")
		}
	}
	if len(own) == 0 {
		return nil
	}
	sort.Strings(own)
	return diag.ErrorAt(m.Call.DeclRange, "Module is incompatible with count, for_each, and depends_on",
		"Module %s is called with %s, but has its own provider configurations, at %s. Configure providers in the root module and pass them in through the providers argument.", m.Path, argument, strings.Join(own, ", "))
}

func isEmptyBody(body hcl.Body) bool {
	attrs, diags := body.JustAttributes()
	return len(attrs) == 0 && !diags.HasErrors()
}

func sortedRequired(m *Module) []*RequiredProvider {
	out := make([]*RequiredProvider, 0, len(m.RequiredProviders))
	for _, rp := range m.RequiredProviders {
		out = append(out, rp)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].LocalName < out[j].LocalName })
	return out
}
