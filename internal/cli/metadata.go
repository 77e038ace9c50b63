package cli

import (
	"context"
	"fmt"

	"github.com/tutti-dev/tutti/internal/lang/functions"
)

func metadataCommand() *command {
	return &command{
		name: "metadata", summary: "Facts about the language, for tools",
		sub: []*command{{
			name: "functions", summary: "Print signatures and descriptions of the built-in functions",
			setup: func(f *flagSet) action {
				var json bool
				f.toggle(&json, "json", "Print as JSON. This is the only form there is, and the option must be given.")
				return func(_ context.Context, app *App, _ []string) int {
					if !json {
						return app.failf("Option -json is missing", "The functions are only printed as JSON: tutti metadata functions -json.")
					}
					doc, err := functions.MetadataJSON()
					if err != nil {
						return app.failf("Cannot describe the functions", "%s.", err)
					}
					fmt.Fprintf(app.Out, "%s\n", doc)
					return exitOK
				}
			},
		}},
	}
}
