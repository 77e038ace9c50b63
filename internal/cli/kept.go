package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

// givenPrefix begins the keys of what [serverWork.variablesOf] keeps.
const givenPrefix = "given/"

// keptVariables finds what [serverWork.variablesOf] has kept.
func keptVariables(ctx context.Context, store *sqlite.Store, id string) (given []configs.GivenVariable, err error) {
	data, known, err := store.Cached(ctx, givenPrefix+id, time.Now())
	if err == nil && !known {
		err = actions.Errorf("Tutti.PlanFailed", "The values of variables that came with the change are kept no longer: ask for it again.")
	}
	if err != nil {
		return nil, err
	}
	return given, json.Unmarshal(data, &given)
}

// reversedNeeds turns the order of stacks round: what is needed waits for those
// that need it.
func reversedNeeds(names []string, needs map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, name := range names {
		for _, need := range needs[name] {
			out[need] = append(out[need], name)
		}
	}
	return out
}

// overridesOf are the overrides that a client asks for, as the option -override would
// have them. Whether somebody may override what, is asked where it is judged.
func (o *Operation) overridesOf(p *projects.Project, list []api.Override) ([]runs.Override, diag.List) {
	for _, one := range list {
		o.Session.Overrides = append(o.Session.Overrides, one.Rule+"="+one.Reason)
	}
	return overridesFor(o.Session, p)
}
