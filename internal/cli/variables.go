package cli

import (
	"context"
	"fmt"
	"os"
	"sort"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/zclconf/go-cty/cty"
)

// What declares variables, for diagnostics.
const (
	rootModule   = "the root module"
	wholeProject = "the project"
)

// variables gathers the values of root variables from the environment, files,
// the command line and, where that is allowed, from the person typing. Those of
// a stack come from its project instead.
func (p *project) variables(ctx context.Context, cfg *configs.Config, o *variableOptions, mode plans.Mode) (map[string]configs.InputValue, diag.List) {
	if !p.isStack() {
		return p.given(ctx, rootModule, cfg.Root, o, cfg.Files, nil)
	}
	scope, diags := p.ensemble.scope(ctx, o)
	if diags.HasErrors() {
		return nil, diags
	}
	if diags = append(diags, p.ensemble.check(scope)...); diags.HasErrors() {
		return nil, diags
	}
	values, d := p.stackInputs(cfg, scope, p.ensemble.fromState(ctx, p.declared, mode))
	return values, append(diags, d...)
}

// given gathers what is given for the variables of a module or a project. All of
// it overrides what an environment of the project says.
func (p *project) given(ctx context.Context, owner string, module *configs.Module, o *variableOptions, files map[string][]byte, environment map[string]configs.InputValue) (map[string]configs.InputValue, diag.List) {
	values, diags := configs.CollectVariables(p.rootDir(), owner, module, o.given, os.Environ(), files)
	if diags.HasErrors() {
		return nil, diags
	}
	for name, v := range environment {
		if _, ok := values[name]; !ok {
			values[name] = v
		}
	}
	var missing []string
	for name, v := range module.Variables {
		if _, ok := values[name]; !ok && v.Required() {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || !o.input || p.app.jsonOut {
		return values, diags // whoever uses them says which are missing
	}
	sort.Strings(missing)
	ask := p.app.prompter()
	for _, name := range missing {
		v := module.Variables[name]
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
