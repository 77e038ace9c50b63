package operations

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

// GivenPrefix begins the keys of what a server keeps.
const GivenPrefix = "given/"

// keptVariables finds what a server has kept.
func keptVariables(ctx context.Context, store *sqlite.Store, id string) (given []configs.GivenVariable, err error) {
	data, known, err := store.Cached(ctx, GivenPrefix+id, time.Now())
	if err == nil && !known {
		err = actions.Errorf("Tutti.PlanFailed", "The values of variables that came with the change are kept no longer: ask for it again.")
	}
	if err != nil {
		return nil, err
	}
	return given, json.Unmarshal(data, &given)
}

// OverridesOf are the overrides that a client asks for, as the option -override would
// have them. Whether somebody may override what, is asked where it is judged.
func (o *Operation) OverridesOf(p *projects.Project, list []api.Override) ([]runs.Override, diag.List) {
	for _, one := range list {
		o.Session.Overrides = append(o.Session.Overrides, one.Rule+"="+one.Reason)
	}
	return gate.OverridesFor(o.Session, p)
}
