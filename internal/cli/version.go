package cli

import (
	"context"
	"fmt"
	"runtime"

	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/providers/install"
)

// versionJSON is the document of "version -json".
type versionJSON struct {
	TerraformVersion   string            `json:"terraform_version"`
	Platform           string            `json:"platform"`
	ProviderSelections map[string]string `json:"provider_selections"`
	TerraformOutdated  bool              `json:"terraform_outdated"`
	TuttiVersion       string            `json:"tutti_version"`
}

func versionCommand() *command {
	return &command{
		name: "version", summary: "Show the version of Tutti and of selected providers",
		about: "Shows this program's version, the Terraform version whose language and formats it follows, and the provider versions that the lock file selects.",
		setup: func(f *flagSet) action {
			var o outputOptions
			o.registerJSON(f, "Print as JSON.")
			return func(_ context.Context, app *App, _ []string) int {
				doc := versionJSON{
					TerraformVersion: project.TerraformVersion, TuttiVersion: project.ProgramVersion(),
					Platform: runtime.GOOS + "_" + runtime.GOARCH, ProviderSelections: map[string]string{},
				}
				if locks, diags := install.ReadLockFile(project.LockFileName); !diags.HasErrors() {
					for _, lock := range locks.Providers() {
						doc.ProviderSelections[lock.Provider.String()] = lock.Version
					}
				}
				if o.json {
					return app.printJSONIndented(doc)
				}
				fmt.Fprintf(app.Out, "Tutti %s (language and formats of Terraform %s)\non %s\n", doc.TuttiVersion, doc.TerraformVersion, doc.Platform)
				for _, name := range sortedKeys(doc.ProviderSelections) {
					fmt.Fprintf(app.Out, "+ provider %s v%s\n", name, doc.ProviderSelections[name])
				}
				return exitOK
			}
		},
	}
}
