package cli

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/sqlite"
	"github.com/tutti-dev/tutti/internal/states"
)

// stateKeys are the states of an environment: one, or one for each stack.
func (p *Directory) stateKeys(environment string) []states.Key {
	if p.ensemble == nil {
		return []states.Key{p.keyIn(environment)}
	}
	keys := []states.Key{{Environment: environment}}
	for _, name := range p.ensemble.graph.Order {
		keys = append(keys, states.Key{Stack: name, Environment: environment})
	}
	return keys
}

// knownEnvironments lists what the store has and, in a project, what is
// declared. The default one is there unless others are declared.
func (p *Directory) knownEnvironments(ctx context.Context, store *sqlite.Store) ([]string, error) {
	var names []string
	for _, key := range p.stateKeys("") {
		list, err := store.Environments(ctx, key.Stack)
		if err != nil {
			return nil, err
		}
		names = append(names, list...)
	}
	if p.ensemble != nil {
		declared := sortedKeys(p.ensemble.declared.Environments)
		if len(declared) > 0 {
			names = slices.DeleteFunc(names, func(name string) bool { return name == defaultEnv })
		}
		names = append(names, declared...)
		if !slices.Contains(names, p.environment) && len(declared) == 0 {
			names = append(names, p.environment)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// remember writes down the selected environment where other tools look for it.
func (p *Directory) remember(name string) error {
	if err := os.MkdirAll(p.dataDir, 0o755); err != nil {
		return err
	}
	p.environment = name
	return replaceFile(filepath.Join(p.dataDir, environmentFile), []byte(name), 0o644)
}

// chooseEnvironment is the environment a command works in: the one named, or
// the one selected. Where the project declares some, it must be one of them.
func (p *Directory) chooseEnvironment(declared *projects.Project, named string) (string, diag.List) {
	name := named
	if name == "" {
		name = p.environment
	}
	if len(declared.Environments) == 0 || declared.Environments[name] != nil {
		return name, nil
	}
	names := strings.Join(sortedKeys(declared.Environments), ", ")
	if named == "" && name == defaultEnv {
		return "", diag.Errorf("No environment selected", "This project has the environments %s: name one with -env=NAME, or select one with \"tutti workspace select NAME\".", names)
	}
	return "", diag.Errorf("No such environment", "This project declares no environment %q. Declared are: %s.", name, names)
}

// environmentOfNotify is the environment that a notify block belongs to.
func (p *Directory) environmentOfNotify(name string) (string, diag.List) {
	declared := &projects.Project{}
	if projects.Exists(p.rootDir()) {
		var diags diag.List
		if declared, diags = projects.Load(p.rootDir()); diags.HasErrors() {
			return "", diags
		}
	}
	if n := declared.Notifies[name]; n != nil && n.Environment != "" {
		return n.Environment, nil
	}
	return p.environment, nil
}
