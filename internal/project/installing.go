package project

import (
	"context"
	"os"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/modules"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/install"
	"github.com/tutti-dev/tutti/internal/states"
)

// Installation is what a directory is to be given.
type Installation struct {
	Modules  bool     // also the modules that the configuration calls
	Upgrade  bool     // the newest versions that the configuration allows
	Readonly bool     // fail instead of changing the lock file
	Mirrors  []string // where providers are taken from, and from nowhere else
}

// Install brings the modules and providers that a directory needs. say is told what is
// done.
func (p *Directory) Install(ctx context.Context, o *Installation, say func(string)) diag.List {
	if o.Modules {
		if diags := p.InstallModules(ctx, o.Upgrade, say); diags.HasErrors() {
			return diags
		}
	}
	cfg, diags := p.Config(ctx)
	if diags.HasErrors() {
		return diags
	}
	st, d := p.State(ctx)
	diags = append(diags, d...)
	if d.HasErrors() {
		return diags
	}
	return append(diags, p.installProviders(ctx, cfg, st, o, say)...)
}

// InstallModules brings the modules that the configuration calls.
func (p *Directory) InstallModules(ctx context.Context, upgrade bool, say func(string)) diag.List {
	said := false
	installer := modules.Installer{Services: p.services(), Environ: nil}
	if p.Session.Sources == nil {
		p.Session.Sources = map[string][]byte{}
	}
	return installer.Install(ctx, p.RootDir(), modules.Options{
		Upgrade: upgrade, DataDir: p.DataDir, Files: p.Session.Sources,
		Progress: func(e modules.Progress) {
			if !said {
				say("Initializing modules...")
				said = true
			}
			say("- " + e.String())
		},
	})
}

// Requirements lists every provider needed, with all constraints on it.
func Requirements(cfg *configs.Config, st *states.State) []install.Request {
	byProvider := map[addrs.Provider]*install.Request{}
	add := func(p addrs.Provider) *install.Request {
		r := byProvider[p.Canonical()]
		if r == nil {
			r = &install.Request{Provider: p}
			byProvider[p.Canonical()] = r
		}
		return r
	}
	for _, m := range cfg.Modules {
		for _, rp := range m.RequiredProviders {
			r := add(rp.Source)
			if r.Range == nil || earlier(rp.Range, *r.Range) {
				r.Range = &rp.Range
			}
			for _, c := range rp.Constraints {
				r.Constraints = append(r.Constraints, c.Constraint)
			}
		}
	}
	if st != nil {
		for _, inst := range st.Instances {
			add(inst.Provider.Provider)
		}
	}
	out := make([]install.Request, 0, len(byProvider))
	for _, r := range byProvider {
		if r.Provider.IsBuiltIn() {
			continue
		}
		sort.Strings(r.Constraints)
		out = append(out, *r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Provider.String() < out[j].Provider.String() })
	return out
}

// earlier orders places: the one to show of several.
func earlier(a, b hcl.Range) bool {
	if a.Filename != b.Filename {
		return a.Filename < b.Filename
	}
	return a.Start.Byte < b.Start.Byte
}

// installProviders brings the providers that configuration and state need.
func (p *Directory) installProviders(ctx context.Context, cfg *configs.Config, st *states.State, o *Installation, say func(string)) diag.List {
	needed := Requirements(cfg, st)
	if len(needed) == 0 {
		return nil
	}
	attached, err := providers.Attached(os.Environ())
	if err != nil {
		return diag.FromError(err)
	}
	say("Initializing provider plugins...")
	return p.Installer(o.Mirrors).Install(ctx, needed, install.Options{
		Upgrade: o.Upgrade, Readonly: o.Readonly, DataDir: p.DataDir, LockFile: p.Place(LockFileName),
		Attached: attached,
		Progress: func(e install.Event) { say("- " + e.String()) },
	})
}
