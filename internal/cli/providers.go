package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/providers"
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
		},
	}
}

func showProviders(ctx context.Context, app *App, _ []string) int {
	p, diags := app.openProject()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.config(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	st, d := p.state(ctx)
	diags = append(diags, d...)
	if d.HasErrors() {
		return app.fail(diags)
	}
	app.show(diags)
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
	p, diags := app.openProject()
	if diags.HasErrors() {
		return app.fail(diags)
	}
	defer p.Close()
	cfg, diags := p.config(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	st, diags := p.state(ctx)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	all := map[addrs.Provider]*providers.Schemas{}
	for _, addr := range usedProviders(cfg, st) {
		s, d := p.factory().Schemas(ctx, addr)
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
