package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/project"
)

// openSeveral opens the project where a command is about several of its stacks;
// nil where it is about one directory, which openProject then opens.
func (a *App) openSeveral() (*project.Ensemble, diag.List) {
	e, diags := a.OpenEnsemble()
	if e == nil || diags.HasErrors() {
		return nil, diags
	}
	a.Show(diags)
	if len(e.Names) == 1 {
		a.Found = e
		return nil, nil
	}
	return e, nil
}

// outputs shows the outputs of several stacks.
func (a *App) outputsOfSeveral(ctx context.Context, e *project.Ensemble, name string, asJSON bool) int {
	if name != "" {
		return a.failf("Which stack?", "The outputs of several stacks have names of their own: choose the stack with -stack=NAME.")
	}
	doc := map[string]map[string]outputJSON{}
	for i, stack := range e.Names {
		st, diags := e.Member(stack).State(ctx)
		if diags.HasErrors() {
			return a.fail(diags)
		}
		if asJSON {
			doc[stack] = describeOutputs(st)
			continue
		}
		if len(st.Outputs) == 0 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		fmt.Fprintf(a.Out, "# Stack %s\n", stack)
		if code := a.showOutputs(st, false); code != exitOK {
			return code
		}
	}
	if asJSON {
		return a.printJSONIndented(doc)
	}
	return exitOK
}

// showStates shows the states of several stacks.
func (a *App) showStates(ctx context.Context, e *project.Ensemble, asJSON bool) int {
	doc := struct {
		Stacks map[string]json.RawMessage `json:"stacks"`
	}{map[string]json.RawMessage{}}
	for _, stack := range e.Names {
		p := e.Member(stack)
		st, diags := p.State(ctx)
		if diags.HasErrors() {
			return a.fail(diags)
		}
		if !asJSON {
			a.Show(diags)
			a.terminals().out.StackHeader(stack)
			fmt.Fprintln(a.Out)
			if code := a.showState(ctx, p, st, false); code != exitOK {
				return code
			}
			continue
		}
		var b bytes.Buffer
		if err := jsonplan.WriteState(&b, st, project.StoredChecks(st.CheckResults), p.JSONOptions(ctx)); err != nil {
			return a.failf("Cannot write JSON", "%s.", err)
		}
		doc.Stacks[stack] = b.Bytes()
	}
	if asJSON {
		return a.printJSON(doc)
	}
	return exitOK
}

// listObjects lists the objects of several stacks by addresses that name them.
func (a *App) listObjects(ctx context.Context, e *project.Ensemble, args []string, id string) int {
	if len(args) > 0 {
		return a.failf("Which stack?", "Addresses are those of one stack: choose it with -stack=NAME.")
	}
	for _, stack := range e.Names {
		st, diags := e.Member(stack).State(ctx)
		if diags.HasErrors() {
			return a.fail(diags)
		}
		printAddresses(a.Out, "stack."+stack+".", withID(st.Sorted(), id))
	}
	return exitOK
}

// stacksPlanJSON is a plan of several stacks as other programs read it.
type stacksPlanJSON struct {
	FormatVersion string          `json:"format_version"`
	Digest        string          `json:"digest"`
	Environment   string          `json:"environment"`
	Kind          string          `json:"kind"`
	Moves         []stackMoveJSON `json:"moves,omitempty"`
	Stacks        []stackPlanJSON `json:"stacks"`
}

type stackMoveJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type stackPlanJSON struct {
	Name   string          `json:"name"`
	Needs  []string        `json:"needs"`
	Digest string          `json:"digest"`
	Plan   json.RawMessage `json:"plan"`
}

// showPlanOfStacks shows a saved plan of several stacks.
func (a *App) showPlanOfStacks(ctx context.Context, name string, asJSON bool) int {
	o, diags := a.openPlanOfStacks(ctx, name, false, nil)
	if diags.HasErrors() {
		return a.fail(diags)
	}
	defer o.Close()
	if !asJSON {
		for _, s := range o.Shared.Stacks {
			o.View.Stack(s.Name, o.Shared.Moves)
			o.View.ForStack(s.Name).Plan(ctx, o.Operation(s.Name), o.Plans[s.Name])
		}
		o.View.Total(len(o.Shared.Stacks), o.Totals(), "plan")
		j := o.Judge(ctx)
		if j.WorthTelling() {
			o.View.Cost(j)
		}
		a.Show(j.Advice())
		return exitOK
	}
	doc := stacksPlanJSON{
		FormatVersion: "1.0", Digest: o.Shared.Digest, Environment: o.Shared.Environment, Kind: o.Shared.Kind, Stacks: []stackPlanJSON{},
	}
	for _, t := range o.Shared.Moves {
		doc.Moves = append(doc.Moves, stackMoveJSON{
			fmt.Sprintf("stack.%s.%s", t.From.Stack, t.Object), fmt.Sprintf("stack.%s.%s", t.To.Stack, t.As),
		})
	}
	for _, s := range o.Shared.Stacks {
		var b bytes.Buffer
		l := o.Plans[s.Name]
		if err := jsonplan.WritePlan(&b, l.Plan, l.Config, o.Member(s.Name).JSONOptions(ctx)); err != nil {
			return a.failf("Cannot write JSON", "%s.", err)
		}
		needs := s.Needs
		if needs == nil {
			needs = []string{}
		}
		doc.Stacks = append(doc.Stacks, stackPlanJSON{s.Name, needs, s.Digest, b.Bytes()})
	}
	return a.printJSON(doc)
}

// readPlanOfStacks reads what is printed of a plan of several stacks; nil where the
// document is of another kind.
func readPlanOfStacks(data []byte) *stacksPlanJSON {
	doc := &stacksPlanJSON{}
	if json.Unmarshal(data, doc) != nil || len(doc.Stacks) == 0 {
		return nil
	}
	for _, part := range doc.Stacks {
		if part.Name == "" || len(part.Plan) == 0 {
			return nil
		}
	}
	return doc
}
