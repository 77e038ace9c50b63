package project

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

// Variables gathers the values of root variables from the environment, files,
// the command line and, where that is allowed, from the person typing. Those of
// a stack come from its project instead.
func (p *Directory) Variables(ctx context.Context, cfg *configs.Config, o *VariableOptions, mode plans.Mode) (map[string]configs.InputValue, diag.List) {
	if !p.IsStack() {
		return p.Given(ctx, configs.RootModule, cfg.Root, o, cfg.Files, nil)
	}
	scope, diags := p.Ensemble.Scope(ctx, o)
	if diags.HasErrors() {
		return nil, diags
	}
	if diags = append(diags, p.Ensemble.Check(scope)...); diags.HasErrors() {
		return nil, diags
	}
	values, d := p.StackInputs(cfg, scope, p.Ensemble.FromState(ctx, p.Declared, mode))
	return values, append(diags, d...)
}

// Given gathers what is given for the variables of a module or a project, the owner. All
// of it overrides what an environment of the project says.
func (p *Directory) Given(ctx context.Context, owner string, module *configs.Module, o *VariableOptions, files map[string][]byte, environment map[string]configs.InputValue) (map[string]configs.InputValue, diag.List) {
	values, diags := configs.CollectVariables(p.RootDir(), owner, module, o.Given, os.Environ(), files)
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
	var ask func(context.Context, string, bool) (string, error)
	if len(missing) > 0 && o.Input {
		ask = p.Session.Asker()
	}
	if ask == nil {
		return values, diags // whoever uses them says which are missing
	}
	sort.Strings(missing)
	for _, name := range missing {
		v := module.Variables[name]
		question := "var." + name + "\n"
		if v.Description != "" {
			question += "  " + v.Description + "\n"
		}
		text, err := ask(ctx, fmt.Sprintf("%s\n  Enter a value: ", question), v.Sensitive)
		if err != nil {
			return nil, append(diags, diag.ErrorAt(v.DeclRange, "No value for required variable",
				"The input variable %q is not set, and nobody is there to be asked. Use -var, a .tfvars file or the environment variable TF_VAR_%[1]s.", name)...)
		}
		values[name] = configs.InputValue{Value: cty.StringVal(text), Source: configs.FromPrompt}
	}
	return values, diags
}

// VariableOptions are the flags that give root variables a value.
type VariableOptions struct {
	Given []configs.GivenVariable // in their common order: later ones win
	Input bool
}
