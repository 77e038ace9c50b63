package cli

import (
	"context"
	"slices"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

// loadedProject reads a project. A plain directory is one without declarations.
func loadedProject(dir string) (*projects.Project, error) {
	if !projects.Exists(dir) {
		return &projects.Project{Dir: dir}, nil
	}
	p, diags := projects.Load(dir)
	return p, diags.Err()
}

// environmentsOf are those that a project declares or else those that have a state,
// and the one that is selected.
func environmentsOf(ctx context.Context, p *projects.Project, store *sqlite.Store, selected string) ([]string, error) {
	if declared := sortedKeys(p.Environments); len(declared) > 0 {
		return declared, nil
	}
	var list []string
	for _, stack := range append(sortedKeys(p.Stacks), "") {
		names, err := store.Environments(ctx, stack)
		if err != nil {
			return nil, err
		}
		list = append(list, names...)
	}
	list = append(list, selected)
	slices.Sort(list)
	return slices.Compact(list), nil
}
