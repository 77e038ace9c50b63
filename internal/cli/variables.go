package cli

import (
	"context"
	"fmt"
	"os"
	"sort"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// variables gathers the values of root variables from the environment, files,
// the command line and, where that is allowed, from the person typing.
func (p *project) variables(ctx context.Context, cfg *configs.Config, o *variableOptions) (map[string]configs.InputValue, diag.List) {
	given := make([]configs.GivenVariable, len(o.given))
	for i, g := range o.given {
		given[i] = configs.GivenVariable{File: g.file, Text: g.text}
	}
	values, diags := configs.CollectVariables(".", cfg.Root, given, os.Environ(), cfg.Files)
	if diags.HasErrors() {
		return nil, diags
	}
	var missing []string
	for name, v := range cfg.Root.Variables {
		if _, ok := values[name]; !ok && v.Required() {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || !o.input || p.app.jsonOut {
		return values, diags // the engine says which are missing
	}
	sort.Strings(missing)
	ask := p.app.prompter()
	for _, name := range missing {
		v := cfg.Root.Variables[name]
		question := "var." + name + "\n"
		if v.Description != "" {
			question += "  " + v.Description + "\n"
		}
		text, err := ask.ask(ctx, fmt.Sprintf("%s\n  Enter a value: ", question), v.Sensitive)
		if err != nil {
			return nil, append(diags, diag.ErrorAt(v.DeclRange, "No value for required variable",
				"The input variable %q is not set, and nobody is there to be asked. Use -var, a .tfvars file or the environment variable TF_VAR_%[1]s.", name)...)
		}
		fmt.Fprintln(p.app.Out)
		values[name] = configs.InputValue{Value: cty.StringVal(text), Source: configs.FromPrompt}
	}
	return values, diags
}
