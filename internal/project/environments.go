package project

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

// StateKeys are the states of an environment: one, or one for each stack.
func (p *Directory) StateKeys(environment string) []states.Key {
	if p.Ensemble == nil {
		return []states.Key{p.KeyIn(environment)}
	}
	keys := []states.Key{{Environment: environment}}
	for _, name := range p.Ensemble.Graph.Order {
		keys = append(keys, states.Key{Stack: name, Environment: environment})
	}
	return keys
}

// KnownEnvironments lists what the store has and, in a project, what is
// declared. The default one is there unless others are declared.
func (p *Directory) KnownEnvironments(ctx context.Context, store *sqlite.Store) ([]string, error) {
	var names []string
	for _, key := range p.StateKeys("") {
		list, err := store.Environments(ctx, key.Stack)
		if err != nil {
			return nil, err
		}
		names = append(names, list...)
	}
	if declared := p.DeclaredEnvironments(); p.Ensemble != nil || len(declared) > 0 {
		if len(declared) > 0 {
			names = slices.DeleteFunc(names, func(name string) bool { return name == DefaultEnvironment })
		}
		names = append(names, declared...)
		if !slices.Contains(names, p.Environment) && len(declared) == 0 {
			names = append(names, p.Environment)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// CheckEnvironment says that there is no environment of that name; nil where there is.
func (p *Directory) CheckEnvironment(ctx context.Context, name string) diag.List {
	store, diags := p.Store(ctx)
	if diags.HasErrors() {
		return diags
	}
	names, err := p.KnownEnvironments(ctx, store)
	switch {
	case err != nil:
		return diag.FromError(err)
	case slices.Contains(names, name):
		return nil
	}
	return p.NoEnvironment(name, names)
}

// NoEnvironment says that none of the environments there are has that name, and how one
// is made.
func (p *Directory) NoEnvironment(name string, names []string) diag.List {
	if declared := p.DeclaredEnvironments(); len(declared) > 0 {
		return diag.Errorf("No such environment", "This project declares no environment %q.%s Declared are: %s. To add one, write a block environment %[1]q into a *%[4]s file.", name, diag.DidYouMean(name, declared), strings.Join(declared, ", "), projects.Suffix)
	}
	return diag.Errorf("No such environment", "There is no environment %q.%s There are: %s. Make it with \"tutti workspace new %[1]s\", or select it with -or-create.", name, diag.DidYouMean(name, names), strings.Join(names, ", "))
}

// DeclaredEnvironments are those that the project's files declare, where they can be read:
// then there are no others.
func (p *Directory) DeclaredEnvironments() []string {
	if p.Ensemble != nil {
		return sortedKeys(p.Ensemble.Declared.Environments)
	}
	if !projects.Exists(p.RootDir()) {
		return nil
	}
	declared, diags := projects.Load(p.RootDir())
	if diags.HasErrors() {
		return nil // it was said where the project was opened
	}
	return sortedKeys(declared.Environments)
}

// Remember writes down the selected environment where other tools look for it.
func (p *Directory) Remember(name string) error {
	if err := os.MkdirAll(p.DataDir, 0o755); err != nil {
		return err
	}
	p.Environment = name
	return files.Replace(filepath.Join(p.DataDir, environmentFile), []byte(name), 0o644)
}

// ChooseEnvironment is the environment a command works in: the one named, or
// the one selected. Where the project declares some, it must be one of them.
func (p *Directory) ChooseEnvironment(declared *projects.Project, named string) (string, diag.List) {
	name := named
	if name == "" {
		name = p.Environment
	}
	if len(declared.Environments) == 0 || declared.Environments[name] != nil {
		return name, nil
	}
	names := strings.Join(sortedKeys(declared.Environments), ", ")
	if named == "" && name == DefaultEnvironment {
		return "", diag.Errorf("No environment selected", "This project has the environments %s: name one with -env=NAME, or select one with \"tutti workspace select NAME\".", names)
	}
	return "", diag.Errorf("No such environment", "This project declares no environment %q. Declared are: %s.", name, names)
}

// EnvironmentOfNotify is the environment that a notify block belongs to.
func (p *Directory) EnvironmentOfNotify(name string) (string, diag.List) {
	declared := &projects.Project{}
	if projects.Exists(p.RootDir()) {
		var diags diag.List
		if declared, diags = projects.Load(p.RootDir()); diags.HasErrors() {
			return "", diags
		}
	}
	if n := declared.Notifies[name]; n != nil && n.Environment != "" {
		return n.Environment, nil
	}
	return p.Environment, nil
}
