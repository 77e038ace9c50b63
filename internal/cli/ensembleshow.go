package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
)

// openSeveral opens the project where a command is about several of its stacks;
// nil where it is about one directory, which openProject then opens.
func (a *App) openSeveral() (*ensemble, diag.List) {
	e, diags := a.openEnsemble()
	if e == nil || diags.HasErrors() {
		return nil, diags
	}
	a.show(diags)
	if len(e.names) == 1 {
		a.found = e
		return nil, nil
	}
	return e, nil
}

// outputs shows the outputs of several stacks.
func (e *ensemble) outputs(ctx context.Context, name string, asJSON bool) int {
	app := e.root.app
	if name != "" {
		return app.failf("Which stack?", "The outputs of several stacks have names of their own: choose the stack with -stack=NAME.")
	}
	doc := map[string]map[string]outputJSON{}
	for i, stack := range e.names {
		st, diags := e.member(stack).state(ctx)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		if asJSON {
			doc[stack] = describeOutputs(st)
			continue
		}
		if len(st.Outputs) == 0 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(app.Out)
		}
		fmt.Fprintf(app.Out, "# Stack %s\n", stack)
		if code := app.showOutputs(st, false); code != exitOK {
			return code
		}
	}
	if asJSON {
		return app.printJSONIndented(doc)
	}
	return exitOK
}

// showStates shows the states of several stacks.
func (e *ensemble) showStates(ctx context.Context, asJSON bool) int {
	app := e.root.app
	doc := struct {
		Stacks map[string]json.RawMessage `json:"stacks"`
	}{map[string]json.RawMessage{}}
	for _, stack := range e.names {
		p := e.member(stack)
		st, diags := p.state(ctx)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		if !asJSON {
			app.show(diags)
			app.terminals().out.StackHeader(stack)
			fmt.Fprintln(app.Out)
			if code := p.showState(ctx, st, false); code != exitOK {
				return code
			}
			continue
		}
		var b bytes.Buffer
		if err := jsonplan.WriteState(&b, st, storedChecks(st.CheckResults), p.jsonOptions(ctx)); err != nil {
			return app.failf("Cannot write JSON", "%s.", err)
		}
		doc.Stacks[stack] = b.Bytes()
	}
	if asJSON {
		return app.printJSON(doc)
	}
	return exitOK
}

// listObjects lists the objects of several stacks by addresses that name them.
func (e *ensemble) listObjects(ctx context.Context, args []string, id string) int {
	app := e.root.app
	if len(args) > 0 {
		return app.failf("Which stack?", "Addresses are those of one stack: choose it with -stack=NAME.")
	}
	for _, stack := range e.names {
		st, diags := e.member(stack).state(ctx)
		if diags.HasErrors() {
			return app.fail(diags)
		}
		printAddresses(app.Out, "stack."+stack+".", withID(st.Sorted(), id))
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
		for _, s := range o.shared.Stacks {
			o.view.stack(s.Name, o.shared.Moves)
			o.view.forStack(s.Name).plan(ctx, o.operation(s.Name), o.plans[s.Name])
		}
		o.view.total(len(o.shared.Stacks), o.totals(), "plan")
		j := o.judge(ctx)
		if j.worthTelling() {
			o.view.cost(j)
		}
		a.show(j.advice())
		return exitOK
	}
	doc := stacksPlanJSON{
		FormatVersion: "1.0", Digest: o.shared.Digest, Environment: o.shared.Environment, Kind: o.shared.Kind, Stacks: []stackPlanJSON{},
	}
	for _, t := range o.shared.Moves {
		doc.Moves = append(doc.Moves, stackMoveJSON{
			fmt.Sprintf("stack.%s.%s", t.From.Stack, t.Object), fmt.Sprintf("stack.%s.%s", t.To.Stack, t.As),
		})
	}
	for _, s := range o.shared.Stacks {
		var b bytes.Buffer
		l := o.plans[s.Name]
		if err := jsonplan.WritePlan(&b, l.plan, l.config, o.member(s.Name).jsonOptions(ctx)); err != nil {
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

// modeOf is the mode of the plans of stacks.
func modeOf(kind string) plans.Mode {
	switch kind {
	case "destroy":
		return plans.Destroy
	case "refresh":
		return plans.RefreshOnly
	}
	return plans.Normal
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
