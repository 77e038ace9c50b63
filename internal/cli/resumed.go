package cli

import (
	"context"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
)

// planOf reads the plan a run carries out, and the values it was given besides.
func (o *Operation) planOf(ctx context.Context, run runs.Run) (*loadedPlan, diag.List) {
	store, diags := o.Store(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	data, err := store.Blob(ctx, run.Blob)
	if err != nil {
		return nil, diag.Errorf("Cannot read the run's plan", "%s.", err)
	}
	o.UseKey(run.Key)
	loaded, diags := loadPlan(o.Directory, data)
	if diags.HasErrors() {
		return nil, diags
	}
	late, err := runs.Late(ctx, o.Opened, run.ID)
	if err == nil && late != nil {
		loaded.late, err = plans.DecodeValues(late, o.Keyring)
	}
	if err != nil {
		return nil, append(diags, diag.Errorf("Cannot read the run's inputs", "%s.", err)...)
	}
	return loaded, diags
}
