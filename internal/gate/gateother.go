package gate

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/lang/marks"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/providers"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// What changes something and has no plan passes the gate, too: changes of states
// by hand, actions of providers, and workflows when they start. Policies see them
// as plan JSON of the same shape.

// Deed is something to be done that has no plan.
type Deed struct {
	Request Request
	run     map[string]any // what input.tutti.run has besides
	about   map[string]any // what input.tutti has besides
	// subject is what it is done to, as events name it; the state, unless given.
	subject string
	Config  *configs.Config
	// Document is plan JSON.
	Document func() ([]byte, error)
}

// Pass holds something that has no plan to the policies that apply here, and
// shows what they say, where that is anything. The events are to be written with
// it: what was decided, and what was overridden.
func (c *Case) Pass(ctx context.Context, d Deed) ([]events.Event, diag.List) {
	j, diags := c.Applicable(ctx, d.Request)
	if j == nil || diags.HasErrors() {
		return nil, diags
	}
	j.Locate = Locator(d.Config)
	if run, ok := j.about["run"].(map[string]any); ok {
		maps.Copy(run, d.run)
	}
	maps.Copy(j.about, d.about)
	data, err := d.Document()
	if err != nil {
		return nil, diag.FromError(err)
	}
	if diags = append(diags, c.JudgeDocument(ctx, j, data, "")...); diags.HasErrors() {
		return nil, diags
	}
	if len(j.Decision.Findings) > 0 {
		c.view.Settle()
		c.view.Decision(j.Decision)
	}
	if !c.view.Shown() { // it is told by diagnostics alone
		for _, f := range j.Decision.Findings {
			if f.Blocks() {
				diags = append(diags, findingDiag(f, false))
			}
		}
	}
	if diags = append(diags, Denied(j.Decision, "This must not be done.")...); diags.HasErrors() {
		return nil, diags
	}
	return decisionEvents(c.Key(), c.By(), d, j.Decision), diags
}

// deedDecided is the data of the event policy.decided about what has no plan.
type deedDecided struct {
	Kind     string           `json:"kind"`
	Command  string           `json:"command,omitempty"`
	Actor    string           `json:"actor"`
	Decision *policy.Decision `json:"decision"`
}

// decisionEvents tell what policy said about what has no plan.
func decisionEvents(key states.Key, by string, d Deed, decision *policy.Decision) []events.Event {
	told := deedDecided{Kind: d.Request.Kind, Decision: decision}
	told.Command, _ = d.run["command"].(string)
	if d.subject == "" {
		d.subject = project.PlaceOf(key)
	}
	out := []events.Event{runs.AuditEvent(key, "policy.decided", d.subject, by, nil)}
	told.Actor = out[0].Actor
	out[0].Data = EventData(told)
	for _, e := range OverrideEvents(decision) {
		more := runs.AuditEvent(key, e.Type, e.Subject, by, nil)
		more.Data = e.Data
		out = append(out, more)
	}
	return out
}

// emptyPlan is plan JSON of a plan that changes nothing.
func emptyPlan() ([]byte, error) {
	return json.Marshal(map[string]any{
		"format_version": jsonplan.PlanFormat, "terraform_version": project.TerraformVersion, "errored": false,
		"planned_values": map[string]any{"root_module": map[string]any{}}, "resource_changes": []any{},
	})
}

// noticeView shows decisions beside what a command prints, and nothing else.
type noticeView struct{ session *project.Session }

func (noticeView) Settle()     {}
func (noticeView) Cost(*Costs) {}
func (noticeView) Shown() bool { return true }

func (v noticeView) Decision(d *policy.Decision) { v.session.Decision(d) }

// hiddenInput stands for the value of a sensitive variable.
const hiddenInput = "(sensitive value)"

// AdmitAnew is [Case.Admit] by policies as the files have them now.
func (c *Case) AdmitAnew(ctx context.Context, a runs.Admission) ([]events.Event, diag.List) {
	ReadRulesAnew(c.Directory)
	return c.Admit(ctx, a)
}

// Admit holds a run of a workflow to the policies before it is made.
func (c *Case) Admit(ctx context.Context, a runs.Admission) ([]events.Event, diag.List) {
	inputs := map[string]any{}
	for name, v := range a.Inputs {
		if inputs[name] = PlainJSON(v); v.HasMarkDeep(marks.Sensitive) {
			inputs[name] = hiddenInput
		}
	}
	about := map[string]any{"workflow": map[string]any{"name": a.Workflow, "run": a.Run.ID, "inputs": inputs}}
	if t := a.Trigger; t != nil {
		about["trigger"] = map[string]any{"name": t.Name, "kind": t.Kind, "instant": t.At.UTC().Format(time.RFC3339)}
	}
	view := View(noticeView{c.Session})
	if !c.view.Shown() {
		view = c.view
	}
	own := NewCase(c.Aside(states.Key{Environment: a.Run.Key.Environment}), view)
	own.As(a.Run.Actor, a.Run.Authority, a.Run.Overrides)
	own.starts = a.Workflow
	return own.Pass(ctx, Deed{Request: Request{Kind: runs.WorkflowKind, Parent: a.Run.Parent}, about: about, subject: a.Run.ID, Document: emptyPlan})
}

// PassState holds a change of a state by hand to the policies. moved says where
// objects were before, of those that get another address.
func PassState(ctx context.Context, p *project.Directory, view View, command string, st *states.State, changes []states.Change, moved map[addrs.Object]addrs.Object) ([]events.Event, diag.List) {
	c := NewCase(p, view)
	return c.Pass(ctx, Deed{
		Request: Request{Kind: "state"}, run: map[string]any{"command": command},
		Document: func() ([]byte, error) {
			options := p.JSONOptions(ctx)
			return jsonplan.Plan(statePlan(st, changes, moved, options.Schemas), nil, options)
		},
	})
}

// statePlan is the plan that does to a state what rows of it say: what is taken
// out is forgotten, what comes in is imported, what has another address or
// another provider stays as it is, and what has other attributes is updated. It is
// looked at, and never carried out.
func statePlan(st *states.State, changes []states.Change, moved map[addrs.Object]addrs.Object, schemas jsonplan.Schemas) *plans.Plan {
	value := func(inst *states.Instance) cty.Value {
		if inst == nil {
			return cty.NullVal(cty.DynamicPseudoType)
		}
		var schema providers.Schema
		if s := schemas(inst.Provider.Provider); s != nil { // else the provider is not installed
			schema = jsonplan.SchemaFor(s, inst.Object.Instance.Resource)
		}
		if v, ok := jsonplan.DecodeInstance(inst, schema); ok {
			return v
		}
		return cty.NullVal(cty.DynamicPseudoType)
	}
	leaving := map[addrs.Object]bool{}
	for _, from := range moved {
		leaving[from] = true
	}
	p := &plans.Plan{Prior: st}
	for _, row := range changes {
		before := row.Before
		c := &plans.Change{Object: row.Object, Action: plans.NoOp}
		if from, ok := moved[row.Object]; ok {
			c.PrevAddress, before = from.Instance, st.Instances[from]
		}
		switch {
		case row.After == nil && leaving[row.Object]:
			continue // it goes on under its new address
		case row.After == nil:
			c.Action = plans.Forget
		case before == nil:
			before = row.After
			c.Importing = &plans.Importing{ID: project.ObjectID(row.After)}
		case string(before.Attributes) != string(row.After.Attributes):
			c.Action = plans.Update
		}
		c.Before, c.After = value(before), value(row.After)
		if row.After != nil {
			c.Provider = row.After.Provider
		} else {
			c.Provider = row.Before.Provider
		}
		p.Changes = append(p.Changes, c)
	}
	return p
}

// PlainJSON writes a value as JSON, without its type.
func PlainJSON(v cty.Value) json.RawMessage {
	bare, _ := v.UnmarkDeep()
	data, err := ctyjson.Marshal(bare, bare.Type())
	if err != nil {
		return json.RawMessage("null")
	}
	return data
}
