package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/providers/install"
)

func providersCommand() *command {
	return &command{
		name: "providers", summary: "Show which providers the configuration needs, and why",
		about: "Without a word, shows the modules of the configuration with the providers each of them needs, and those that only the state needs.",
		setup: func(f *flagSet) action {
			f.acceptText("test-directory")
			return showProviders
		},
		sub: []*command{
			{
				name: "schema", summary: "Print the schemas of all providers, as JSON",
				setup: func(f *flagSet) action {
					var o outputOptions
					o.registerJSON(f, "Print as JSON, which is the only form.")
					return printSchemas
				},
			},
			providersLockCommand(),
			providersMirrorCommand(),
		},
	}
}

func showProviders(ctx context.Context, app *App, _ []string) int {
	p, diags := app.OpenProject()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.Config(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	st, d := p.State(ctx)
	diags = append(diags, d...)
	if d.HasErrors() {
		return app.fail(diags)
	}
	app.Show(diags)
	var b strings.Builder
	b.WriteString("\nProviders required by configuration:\n.\n")
	writeProviderTree(&b, cfg.Root, "")
	needed := map[string]bool{}
	for _, inst := range st.Instances {
		needed[inst.Provider.Provider.String()] = true
	}
	if len(needed) > 0 {
		b.WriteString("\nProviders required by state:\n\n")
		for _, name := range sortedKeys(needed) {
			fmt.Fprintf(&b, "    provider[%s]\n\n", name)
		}
	}
	fmt.Fprint(app.Out, b.String())
	return exitOK
}

// writeProviderTree draws a module's providers and the modules it calls.
func writeProviderTree(b *strings.Builder, m *configs.Module, indent string) {
	var lines []string
	for _, name := range sortedKeys(m.RequiredProviders) {
		rp := m.RequiredProviders[name]
		line := "provider[" + rp.Source.String() + "]"
		var constraints []string
		for _, c := range rp.Constraints {
			constraints = append(constraints, c.Constraint)
		}
		if len(constraints) > 0 {
			line += " " + strings.Join(constraints, ", ")
		}
		lines = append(lines, line)
	}
	children := sortedKeys(m.Children)
	for i, line := range lines {
		branch := "├── "
		if i == len(lines)-1 && len(children) == 0 {
			branch = "└── "
		}
		fmt.Fprintf(b, "%s%s%s\n", indent, branch, line)
	}
	for i, name := range children {
		branch, next := "├── ", "│   "
		if i == len(children)-1 {
			branch, next = "└── ", "    "
		}
		fmt.Fprintf(b, "%s%smodule.%s\n", indent, branch, name)
		writeProviderTree(b, m.Children[name], indent+next)
	}
}

func printSchemas(ctx context.Context, app *App, _ []string) int {
	p, diags := app.OpenProject()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.Config(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	st, diags := p.State(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	all := map[addrs.Provider]*providers.Schemas{}
	for _, addr := range operations.UsedProviders(cfg, st) {
		s, d := p.Factory().Schemas(ctx, addr)
		diags = append(diags, d...)
		all[addr] = s
	}
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if err := jsonplan.WriteSchemas(app.Out, all); err != nil {
		return app.failf("Cannot write JSON", "%s.", err)
	}
	fmt.Fprintln(app.Out)
	return exitOK
}

func providersLockCommand() *command {
	return &command{
		name: "lock", args: "[PROVIDER...]", summary: "Write checksums to the lock file, also for other platforms", maxArgs: -1,
		setup: func(f *flagSet) action {
			var platforms, mirrors []string
			f.list(&platforms, "platform", "OS_ARCH", "A platform to include, for example linux_amd64. May be given several times.")
			f.list(&mirrors, "fs-mirror", "DIR", "Take packages from this mirror.")
			f.acceptText("net-mirror", "test-directory")
			f.accept("enable-plugin-cache")
			return func(ctx context.Context, app *App, args []string) int {
				return app.withRequirements(ctx, func(p *project.Directory, cfg *configs.Config) diag.List {
					wanted, diags := only(project.Requirements(cfg, nil), args)
					if diags.HasErrors() {
						return diags
					}
					return p.Installer(mirrors).Lock(ctx, wanted, platforms, p.InstallOptions())
				})
			}
		},
	}
}

func providersMirrorCommand() *command {
	return &command{
		name: "mirror", args: "DIR", summary: "Copy the packages of all needed providers into a folder", minArgs: 1, maxArgs: 1,
		about: "The folder can then serve as a filesystem_mirror or, behind a web server, as a network_mirror.",
		setup: func(f *flagSet) action {
			var platforms []string
			f.list(&platforms, "platform", "OS_ARCH", "A platform to include, for example linux_amd64. May be given several times.")
			f.accept("lock-file")
			return func(ctx context.Context, app *App, args []string) int {
				return app.withRequirements(ctx, func(p *project.Directory, cfg *configs.Config) diag.List {
					return p.Installer(nil).Mirror(ctx, args[0], project.Requirements(cfg, nil), platforms, p.InstallOptions())
				})
			}
		},
	}
}

// only keeps the requirements on the providers named; all where none is.
func only(all []install.Request, names []string) ([]install.Request, diag.List) {
	if len(names) == 0 {
		return all, nil
	}
	var out []install.Request
	var diags diag.List
	for _, name := range names {
		p, err := addrs.ParseProvider(name)
		if err != nil {
			diags = append(diags, diag.Errorf("Invalid provider", "%q: %s.", name, err)...)
			continue
		}
		found := false
		for _, r := range all {
			if r.Provider.Same(p) {
				out, found = append(out, r), true
			}
		}
		if !found {
			diags = append(diags, diag.Errorf("Provider is not needed", "The configuration does not need the provider %s.", p.ForDisplay())...)
		}
	}
	return out, diags
}

// withRequirements runs what needs the configuration's provider requirements.
func (a *App) withRequirements(ctx context.Context, do func(*project.Directory, *configs.Config) diag.List) int {
	p, diags := a.OpenProject()
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.Config(ctx)
	if !diags.HasErrors() {
		diags = append(diags, do(p, cfg)...)
	}
	a.Show(diags)
	if diags.HasErrors() {
		return exitFailed
	}
	fmt.Fprintln(a.Out, "Success!")
	return exitOK
}
