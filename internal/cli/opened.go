package cli

import (
	"context"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// operation is an operation that a command does, with where people are told of it.
type operation struct {
	*operations.Operation
	app *App
}

// ensembleOperation is the same on several stacks.
type ensembleOperation struct {
	*operations.EnsembleOperation
	app *App
}

func (a *App) openOperation(st *stateOptions, asJSON bool) (*operation, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	view := a.operationView(asJSON)
	p, diags := a.OpenProject()
	if diags.HasErrors() {
		return nil, diags
	}
	if st != nil {
		p.UseStateFile(st.state, st.stateOut, st.backup)
	}
	return a.operation(operations.New(p, view)), nil
}

// operation is an operation of a command.
func (a *App) operation(o *operations.Operation) *operation { return &operation{o, a} }

// openRootOperation is openOperation for commands about no one stack.
func (a *App) openRootOperation(asJSON bool) (*operation, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	view := a.operationView(asJSON)
	p, diags := a.OpenRoot()
	if diags.HasErrors() {
		return nil, diags
	}
	return a.operation(operations.New(p, view)), nil
}

// execute carries out a plan as a durable run and tells how it ended.
func (o *operation) execute(ctx context.Context, l *gate.Plan, opts operations.RunOptions, again func(*states.StaleError) int) int {
	opts.Repeats = again != nil
	result, stale, diags := o.CarryOut(ctx, l, opts)
	o.View().Settle()
	if stale != nil && again != nil {
		return again(stale)
	}
	o.app.Show(diags)
	if result.Run.Status == "" {
		return exitFailed // it could not even be tried
	}
	if opts.Kind != "import" || result.Run.Status != runs.Succeeded {
		o.View().Applied(l.Plan, result)
	}
	if diags.HasErrors() || result.Run.Status != runs.Succeeded {
		return exitFailed
	}
	return exitOK
}

// openEnsembleOperation opens the project where several stacks, or none by name,
// are to be planned together; nil where an operation on one directory is meant.
func (a *App) openEnsembleOperation(asJSON bool) (*ensembleOperation, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	e, diags := a.OpenEnsemble()
	if e == nil || diags.HasErrors() {
		return nil, diags
	}
	if len(e.Names) == 1 {
		a.Found = e // for the operation on one directory
		a.Show(diags)
		return nil, nil
	}
	a.Show(append(diags, e.Stray()...))
	return &ensembleOperation{&operations.EnsembleOperation{Ensemble: e, Session: a.Session, View: a.operationView(asJSON), Plans: map[string]*gate.Plan{}, Named: len(a.Stacks) > 0}, a}, nil
}
