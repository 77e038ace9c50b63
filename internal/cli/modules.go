package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs"
)

func modulesCommand() *command {
	return &command{
		name: "modules", summary: "List the modules that the configuration calls",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(ctx context.Context, app *App, _ []string) int {
				p, diags := app.OpenProject()
				if diags.HasErrors() {
					return app.fail(diags)
				}
				defer p.Close()
				cfg, diags := p.Config(ctx)
				if app.Show(diags); diags.HasErrors() {
					return exitFailed
				}
				if o.json {
					return app.printJSON(modulesDocument(cfg))
				}
				if len(cfg.Root.Children) == 0 {
					fmt.Fprintln(app.Out, "The configuration calls no modules.")
					return exitOK
				}
				fmt.Fprint(app.Out, "\nModules declared by configuration:\n.\n")
				writeModuleTree(app.Out, cfg.Root, "")
				fmt.Fprintln(app.Out)
				return exitOK
			}
		},
	}
}

// modulesJSON is the document of "modules -json", format 1.0.
type modulesJSON struct {
	FormatVersion string       `json:"format_version"`
	Modules       []moduleJSON `json:"modules"`
}

type moduleJSON struct {
	Key     string `json:"key"`
	Source  string `json:"source"`
	Version string `json:"version"`
}

func modulesDocument(cfg *configs.Config) modulesJSON {
	doc := modulesJSON{FormatVersion: "1.0", Modules: []moduleJSON{}}
	for path, m := range cfg.Modules {
		if !path.IsRoot() {
			doc.Modules = append(doc.Modules, moduleJSON{Key: string(path), Source: m.SourceAddr, Version: m.Version})
		}
	}
	sort.Slice(doc.Modules, func(i, j int) bool { return doc.Modules[i].Key < doc.Modules[j].Key })
	return doc
}

func writeModuleTree(w io.Writer, m *configs.Module, indent string) {
	names := sortedKeys(m.Children)
	for i, name := range names {
		child := m.Children[name]
		branch, next := "├── ", "│   "
		if i == len(names)-1 {
			branch, next = "└── ", "    "
		}
		version := ""
		if child.Version != "" {
			version = " " + child.Version
		}
		fmt.Fprintf(w, "%s%s%q[%s]%s\n", indent, branch, name, child.SourceAddr, version)
		writeModuleTree(w, child, indent+next)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// printJSON prints a document on one line.
func (a *App) printJSON(doc any) int {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	if err := enc.Encode(doc); err != nil {
		return a.failf("Cannot write JSON", "%s.", err)
	}
	fmt.Fprint(a.Out, b.String())
	return exitOK
}

// printJSONIndented prints a document the way people like to read it.
func (a *App) printJSONIndented(doc any) int {
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return a.failf("Cannot write JSON", "%s.", err)
	}
	fmt.Fprintf(a.Out, "%s\n", raw)
	return exitOK
}
