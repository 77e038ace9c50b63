package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

const tagWorkflows = "Workflows"

// lastRuns is how many runs of a workflow are shown with it.
const lastRuns = 10

// workflows registers what is about workflows.
func (a *API) workflows(h huma.API) {
	huma.Register(h, operation("list-workflows", http.MethodGet, "/workflows", "List the project's workflows", tagWorkflows), a.listWorkflows)
	huma.Register(h, operation("get-workflow", http.MethodGet, "/workflows/{workflow}", "Look at a workflow", tagWorkflows), a.getWorkflow)
}

func (a *API) listWorkflows(ctx context.Context, _ *struct{}) (*body[page[Workflow]], error) {
	p, err := a.Work.Project(ctx)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Workflow]{Items: []Workflow{}}
	for _, name := range sortedKeys(p.Workflows) {
		if !a.viewer(ctx).Somewhere(name) {
			continue
		}
		w := describeWorkflow(p, p.Workflows[name])
		if w.LastRuns, err = a.lastRunsOf(ctx, name); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, w)
	}
	return answer(out), nil
}

func (a *API) getWorkflow(ctx context.Context, in *struct {
	Workflow string `path:"workflow" doc:"Name of the workflow."`
},
) (*body[Workflow], error) {
	p, err := a.Work.Project(ctx)
	if err != nil {
		return nil, problem(err)
	}
	declared := p.Workflows[in.Workflow]
	if declared == nil {
		return nil, problem(fmt.Errorf("%w: the project declares no workflow %q", ErrNotFound, in.Workflow))
	}
	out := describeWorkflow(p, declared)
	if out.LastRuns, err = a.lastRunsOf(ctx, in.Workflow); err != nil {
		return nil, err
	}
	return answer(out), nil
}

// lastRunsOf are the newest runs of a workflow.
func (a *API) lastRunsOf(ctx context.Context, name string) ([]Run, error) {
	q := runs.RunQuery{Kind: runs.WorkflowKind, Workflow: name, Limit: lastRuns}
	var out []Run
	for {
		list, err := a.Store.Runs(ctx, q)
		if err != nil {
			return nil, problem(err)
		}
		for _, r := range list {
			if a.viewer(ctx).run(ctx, r) && len(out) < lastRuns {
				out = append(out, runOf(r))
			}
		}
		if len(out) == lastRuns || len(list) < q.Limit {
			return out, nil
		}
		q.Before, q.Limit = list[len(list)-1].Position(), runsAtOnce
	}
}

func describeWorkflow(p *projects.Project, w *projects.Workflow) Workflow {
	out := Workflow{Name: w.Name, Description: w.Description, Machine: w.Definition != "", Variables: []WorkflowVariable{}, Steps: []Step{}}
	d := flow.Compile(p, w)
	for _, name := range sortedKeys(w.Variables) {
		v := w.Variables[name]
		out.Variables = append(out.Variables, WorkflowVariable{
			Name: name, Type: v.Type.FriendlyNameForConstraint(), Description: v.Description, Required: v.Default == cty.NilVal, Sensitive: v.Sensitive,
		})
	}
	if !out.Machine {
		for _, s := range flow.NewMachine(d).Steps() {
			out.Steps = append(out.Steps, stepOf(s))
		}
	}
	return out
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
