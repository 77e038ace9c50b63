package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs/archives"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

const tagStacks = "Stacks"

// StackPath names a stack in an environment.
type StackPath struct {
	Environment string `path:"environment" doc:"Name of the environment."`
	Stack       string `path:"stack" doc:"Name of the stack; - for a plain directory."`
}

func (in *StackPath) key() states.Key {
	key := states.Key{Stack: in.Stack, Environment: in.Environment}
	if key.Stack == "-" {
		key.Stack = ""
	}
	return key
}

// uploading bounds how long a configuration may take to arrive.
const uploading = 50 * time.Second

// stacks registers what is about stacks and their plans.
func (a *API) stacks(h huma.API) {
	huma.Register(h, operation("list-stacks", http.MethodGet, "/stacks", "List the project's stacks", tagStacks), a.listStacks)
	huma.Register(h, operation("list-objects", http.MethodGet, "/environments/{environment}/stacks/{stack}/objects", "List the objects of a stack", tagStacks), a.listObjects)
	huma.Register(h, operation("list-outputs", http.MethodGet, "/environments/{environment}/stacks/{stack}/outputs", "List the outputs of a stack", tagStacks), a.listOutputs)
	huma.Register(h, operation("list-revisions", http.MethodGet, "/environments/{environment}/stacks/{stack}/revisions", "List what changed the objects of a stack, newest first", tagStacks), a.listRevisions)
	change := operation("change-stack", http.MethodPost, "/environments/{environment}/stacks/{stack}/changes", "Plan a change of a stack and, where asked for, carry it out", tagStacks)
	change.DefaultStatus = http.StatusCreated
	huma.Register(h, change, a.changeStack)
	all := operation("change-stacks", http.MethodPost, "/environments/{environment}/changes", "Plan a change of several stacks together and, where asked for, carry it out", tagStacks)
	all.DefaultStatus = http.StatusCreated
	huma.Register(h, all, a.changeStacks)
	keep := operation("keep-configuration", http.MethodPost, "/configurations", "Send the files of a project to be planned instead of the server's own", tagStacks)
	keep.DefaultStatus, keep.MaxBodyBytes, keep.BodyReadTimeout = http.StatusCreated, archives.MaxSize, uploading
	huma.Register(h, keep, a.keepConfiguration)
	huma.Register(h, operation("get-plan", http.MethodGet, "/plans/{plan}", "Read a plan with what policy says and what it costs", tagStacks), a.getPlan)
}

func (a *API) listStacks(ctx context.Context, _ *struct{}) (*body[page[Stack]], error) {
	list, err := a.Work.Stacks(ctx)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Stack]{Items: []Stack{}}
	for _, s := range list {
		if !a.viewer(ctx).Place(s.Environment, s.Stack) {
			continue
		}
		one := Stack{
			Name: s.Stack, Environment: s.Environment, Source: s.Source, Needs: s.Needs, Serial: s.Serial, Objects: s.Objects, Observed: s.Observed, Drift: s.Drift,
		}
		last, err := a.Store.Runs(ctx, runs.RunQuery{State: &states.Key{Stack: s.Stack, Environment: s.Environment}, Limit: 1})
		if err != nil {
			return nil, problem(err)
		}
		if len(last) > 0 {
			run := runOf(last[0])
			one.LastRun = &run
		}
		if one.Needs == nil {
			one.Needs = []string{}
		}
		out.Items = append(out.Items, one)
	}
	return answer(out), nil
}

func (a *API) listObjects(ctx context.Context, in *StackPath) (*body[page[Object]], error) {
	st, err := a.Work.State(ctx, in.key())
	if err != nil {
		return nil, problem(err)
	}
	out := page[Object]{Items: []Object{}}
	for _, inst := range st.Sorted() {
		resource := inst.Object.Instance.Resource
		o := Object{
			Address: inst.Object.String(), Type: resource.Type, Provider: inst.Provider.Provider.String(), Mode: "managed",
			Deposed: string(inst.Object.Deposed), Tainted: inst.Status == states.Tainted, DependsOn: []string{},
		}
		if resource.Mode == addrs.Data {
			o.Mode = "data"
		}
		for _, d := range inst.Dependencies {
			o.DependsOn = append(o.DependsOn, d.String())
		}
		out.Items = append(out.Items, o)
	}
	return answer(out), nil
}

func (a *API) listRevisions(ctx context.Context, in *struct {
	StackPath
	Cursor int `query:"cursor" minimum:"0" doc:"What the page before gave as next."`
	Limit  int `query:"limit" default:"200" minimum:"1" maximum:"1000"`
},
) (*body[page[Revision]], error) {
	list, err := a.Store.History(ctx, in.key(), nil)
	if err != nil {
		return nil, problem(err)
	}
	out := page[Revision]{Items: []Revision{}}
	list = list[min(in.Cursor, len(list)):]
	if len(list) > in.Limit {
		list, out.Next = list[:in.Limit], strconv.Itoa(in.Cursor+in.Limit)
	}
	for _, r := range list {
		out.Items = append(out.Items, Revision{Address: r.Object.Instance.String(), Deposed: string(r.Object.Deposed), Run: r.Run, Cause: r.Cause, At: r.At})
	}
	return answer(out), nil
}

func (a *API) listOutputs(ctx context.Context, in *StackPath) (*body[page[Output]], error) {
	st, err := a.Work.State(ctx, in.key())
	if err != nil {
		return nil, problem(err)
	}
	out := page[Output]{Items: []Output{}}
	for _, name := range sortedKeys(st.Outputs) {
		o := Output{Name: name, Sensitive: st.Outputs[name].Sensitive}
		if !o.Sensitive {
			o.Value, o.Type = st.Outputs[name].Value, st.Outputs[name].Type
		}
		out.Items = append(out.Items, o)
	}
	return answer(out), nil
}

func (a *API) changeStack(ctx context.Context, in *struct {
	StackPath
	Body ChangeRequest
},
) (*body[Run], error) {
	c := in.Body.change(in.Environment)
	c.Stack = in.key().Stack
	if undoes := in.Body.Kind == "rollback" || in.Body.Kind == "plan"; in.Body.Kind == "rollback" && c.Rollback == "" || c.Rollback != "" && !undoes {
		return nil, huma.Error422UnprocessableEntity("kind rollback and run are given together", &huma.ErrorDetail{Location: "body.run", Message: "the run to undo, with kind rollback, or plan to plan that only"})
	}
	if c.Rollback != "" && (c.Plan != "" || c.shaped()) {
		return nil, huma.Error422UnprocessableEntity("what undoes a run takes no plan, and nothing that says what is planned")
	}
	return a.change(ctx, c)
}

func (a *API) changeStacks(ctx context.Context, in *struct {
	Environment string `path:"environment" doc:"Name of the environment."`
	Body        ProjectChangeRequest
},
) (*body[Run], error) {
	c := in.Body.change(in.Environment)
	c.Several, c.Stacks, c.Configuration = true, in.Body.Stacks, in.Body.Configuration
	for _, name := range c.Stacks {
		if c.Configuration == "" && !a.viewer(ctx).Place(c.Environment, name) {
			return nil, problem(fmt.Errorf("%w: the project declares no stack %q", ErrNotFound, name))
		}
	}
	if c.Configuration != "" && (c.Apply || c.Plan != "") {
		return nil, huma.Error422UnprocessableEntity("a configuration is only planned", &huma.ErrorDetail{Location: "body.configuration", Message: "kind must be plan, and no plan given"})
	}
	if in.Body.Kind == "rollback" || c.Rollback != "" {
		return nil, huma.Error422UnprocessableEntity("a run is rolled back in its own stack", &huma.ErrorDetail{Location: "body.kind", Message: "roll back with the changes of the stack that the run changed"})
	}
	return a.change(ctx, c)
}

func (a *API) keepConfiguration(ctx context.Context, in *struct {
	RawBody []byte `contentType:"application/gzip" doc:"The files, as tar compressed by gzip: regular files and directories only."`
},
) (*body[Configuration], error) {
	id, expires, err := a.Work.Keep(ctx, IdentityOf(ctx), in.RawBody)
	if err != nil {
		return nil, problem(err)
	}
	return answer(Configuration{ID: id, Expires: expires}), nil
}

// change is what is asked for, as [Work] has it.
func (r *ChangeRequest) change(environment string) Change {
	return Change{
		Environment: environment, Destroy: r.Destroy || r.Kind == "destroy", Targets: r.Targets, Refresh: r.Refresh == nil || *r.Refresh,
		RefreshOnly: r.RefreshOnly, Excludes: r.Excludes, Replaces: r.Replaces, Variables: r.Variables,
		Plan: r.Plan, Apply: r.Kind != "plan", Approve: r.Approve, Rollback: r.Run, Overrides: r.Overrides, Source: r.Source.kept(),
	}
}

// shaped reports whether something says how the plan of a change is to be.
func (c *Change) shaped() bool {
	return c.Destroy || c.RefreshOnly || len(c.Targets)+len(c.Excludes)+len(c.Replaces)+len(c.Variables) > 0
}

// change makes the run of a change, once.
func (a *API) change(ctx context.Context, c Change) (*body[Run], error) {
	for i, v := range c.Variables {
		if (v.Name == "") == (v.File == "") || v.Name != "" && len(v.Value) == 0 || v.File != "" && len(v.Value) > 0 {
			return nil, huma.Error422UnprocessableEntity("a value of a variable is not complete", &huma.ErrorDetail{Location: fmt.Sprintf("body.variables[%d]", i), Message: "give name and value, or file and content"})
		}
	}
	if run, ok := a.startedBefore(ctx); ok {
		return answer(runOf(run)), nil
	}
	c.ID = runID(ctx)
	run, err := a.Work.Change(ctx, IdentityOf(ctx), c)
	if err != nil {
		return nil, problem(err)
	}
	return answer(runOf(run)), nil
}

func (a *API) getPlan(ctx context.Context, in *struct {
	Plan string `path:"plan" pattern:"^[0-9a-f]{64}$" doc:"Digest of the plan."`
	Run  string `query:"run" doc:"A run that waits for its approval: it is judged for whom that is by, with the overrides it was given."`
},
) (*body[PlanDocument], error) {
	if in.Run != "" && !a.viewer(ctx).runOf(ctx, in.Run) {
		return nil, problem(fmt.Errorf("%w: there is no run %s", ErrNotFound, in.Run))
	}
	p, err := a.Work.Plan(ctx, in.Plan, in.Run, a.viewer(ctx).Place)
	if err != nil {
		return nil, problem(err)
	}
	out := PlanDocument{Digest: p.Digest, Environment: p.Environment, Kind: p.Kind, Stacks: []PlannedStack{}}
	for _, part := range p.Parts {
		n := part.Counts
		out.Stacks = append(out.Stacks, PlannedStack{
			Stack: part.Stack, Add: n.Add, Change: n.Change, Destroy: n.Destroy, Plan: part.Document, Needs: part.Needs, Decision: part.Decision, Cost: part.Cost, Problem: part.Problem,
		})
	}
	return answer(out), nil
}

// NeedsOf says what the resources that a plan changes need: those that may be why.
func NeedsOf(p *plans.Plan) map[string][]string {
	out := map[string][]string{}
	for _, c := range p.Changes {
		needed := c.Dependencies
		if len(needed) == 0 {
			needed = c.PriorDependencies // of what is no longer in the configuration
		}
		resource := c.Object.Instance.Config().String()
		if c.Action == plans.NoOp || len(needed) == 0 || out[resource] != nil {
			continue
		}
		for _, n := range needed {
			out[resource] = append(out[resource], n.String())
		}
	}
	return out
}
