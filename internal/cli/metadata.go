package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tutti-dev/tutti/internal/lang/functions"
	"github.com/tutti-dev/tutti/internal/server/api"
)

func metadataCommand() *command {
	return &command{
		name: "metadata", summary: "Facts about the language, for tools",
		sub: []*command{{
			name: "functions", summary: "Print signatures and descriptions of the built-in functions",
			setup: func(f *flagSet) action {
				var asJSON bool
				f.toggle(&asJSON, "json", "Print as JSON. This is the only form there is, and the option must be given.")
				return func(_ context.Context, app *App, _ []string) int {
					if !asJSON {
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
		}, {
			name: "openapi", summary: "Print the description of the server's API (OpenAPI 3.1)",
			setup: func(*flagSet) action {
				return func(_ context.Context, app *App, _ []string) int {
					doc, err := (&api.API{Version: "v1"}).Register(http.NewServeMux()).MarshalJSON()
					if err != nil {
						return app.failf("Cannot describe the API", "%s.", err)
					}
					return app.printJSONIndented(json.RawMessage(doc))
				}
			},
		}},
	}
}
