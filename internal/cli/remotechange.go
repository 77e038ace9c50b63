package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/client"
	"github.com/tutti-dev/tutti/internal/cli/views"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/archives"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/server/work"
	"github.com/tutti-dev/tutti/internal/states"
)

// remoteChange is a change of the project's stacks on the server: it is planned there
// by one run, shown here, and carried out there by another one that is given the
// digest of the plan.
type remoteChange struct {
	app         *App
	environment string
	asJSON      bool
	silent      bool // shows nothing
	cancel      bool // on interrupt
	overrides   []client.Override
	rollback    string // the run that is undone; empty for none
	stream      *views.Stream

	written []string // by its steps, where nothing is shown
	plan    *client.PlanDocument
	parts   []remotePart
	changes bool
}

// remotePart is what the plan does to one stack.
type remotePart struct {
	stack    string
	plan     *plans.Plan
	decision *policy.Decision // nil where no policy is asked
	problem  string           // why it could not be judged; empty where it could
}

func (a *App) newRemoteChange(asJSON, cancel bool) (*remoteChange, diag.List) {
	a.jsonOut, a.prose = asJSON, true
	c := &remoteChange{app: a, asJSON: asJSON, cancel: cancel}
	if asJSON {
		c.stream = views.NewStream(a.Out, time.Now)
		c.stream.Version(project.TerraformVersion, project.ProgramVersion())
	}
	var diags diag.List
	c.environment, diags = a.environmentThere(a.Environment)
	return c, diags
}

// requestThere is what the options ask for. Files with values of variables are sent.
func requestThere(o *operations.PlanOptions, app *App) (client.ProjectChangeRequest, diag.List) {
	out := client.ProjectChangeRequest{
		Kind: "plan", Destroy: o.Destroy, Refresh: &o.Refresh, RefreshOnly: o.RefreshOnly, Stacks: app.Stacks,
		Targets: o.Targets, Excludes: o.Excludes, Replaces: o.Replaces,
	}
	plain := *o
	for _, list := range []*[]string{&plain.Targets, &plain.Excludes, &plain.Replaces} {
		*list = slices.Clone(*list)
		for i, s := range *list {
			_, (*list)[i], _ = operations.StackAddress(s)
		}
	}
	_, diags := plain.Request() // for what is wrong with it
	for _, v := range o.Given {
		if !v.File {
			name, text, _ := strings.Cut(v.Text, "=")
			value, _ := json.Marshal(text) // a text
			out.Variables = append(out.Variables, client.VariableValue{Name: name, Value: value})
			continue
		}
		src, d := configs.ReadValuesFile(v.Text)
		if diags = append(diags, d...); d.HasErrors() {
			continue
		}
		app.Quote(map[string][]byte{v.Text: src})
		_, d = configs.ReadValues(v.Text, src)
		diags = append(diags, d...)
		out.Variables = append(out.Variables, client.VariableValue{File: v.Text, Content: string(src)})
	}
	return out, diags
}

// carry has a run of a change carried out on the server and shows what its steps
// write.
func (c *remoteChange) carry(ctx context.Context, begin func(context.Context) (*client.Run, error)) (remoteEnd, diag.List) {
	run, err := persist(ctx, begin)
	if err != nil {
		return remoteEnd{}, c.app.remote.diagnose(err)
	}
	printer := &logPrinter{app: c.app, write: func(step, line string) {
		stack, several := strings.CutPrefix(step, work.ApplyStep(""))
		switch {
		case c.silent:
			c.written = append(c.written, line)
		case c.asJSON && several:
			c.stream.ForStack(stack).Log(line)
		case c.asJSON:
			c.stream.Log(line)
		case several && line != "":
			fmt.Fprintf(c.app.Out, "%s: %s\n", stack, line)
		default:
			fmt.Fprintln(c.app.Out, line)
		}
	}}
	if !c.asJSON && !c.silent {
		fmt.Fprintf(c.app.Err, "Run %s\n", run.ID)
	}
	end, diags := c.app.followThere(ctx, run, c.cancel, client.StreamRunHearer{Log: func(l client.Log) error {
		printer.print(logFromThere(l))
		return nil
	}})
	printer.end()
	if !diags.HasErrors() && !end.detached && end.run.Status != runs.Succeeded {
		for _, line := range c.written { // what it says of why it failed
			c.app.Tell(line + "\n")
		}
		diags = runFailed(end)
	}
	return end, diags
}

// runFailed says why a run on the server did not succeed.
func runFailed(end remoteEnd) diag.List {
	if end.run.Status == runs.Cancelled {
		return diag.Errorf("Run was cancelled", "Run %s on the server was cancelled.", end.run.ID)
	}
	result := resultThere(end, nil)
	where, why := "", end.run.Problem
	if result.Step != "" {
		where = " in step " + result.Step
	}
	if result.Error != nil {
		why = result.Error.Name
		if result.Error.Cause != "" {
			why += ": " + result.Error.Cause
		}
	}
	return diag.Errorf("Run failed", "Run %s on the server failed%s. %s", end.run.ID, where, why)
}

// asked begins the run of a change that somebody asks for.
func (c *remoteChange) asked(request client.ProjectChangeRequest) func(context.Context) (*client.Run, error) {
	if !c.silent {
		request.Source = c.app.sourceThere()
	}
	return func(ctx context.Context) (*client.Run, error) {
		return c.app.remote.ChangeStacks(ctx, c.environment, request)
	}
}

// make plans on the server and shows the plan.
func (c *remoteChange) make(ctx context.Context, begin func(context.Context) (*client.Run, error)) (remoteEnd, diag.List) {
	c.plan = nil
	end, diags := c.carry(ctx, begin)
	if diags.HasErrors() || end.detached {
		return end, diags
	}
	there := c.app.remote
	outputs, err := persist(ctx, func(ctx context.Context) (*client.PageOutput, error) { return there.ListRunOutputs(ctx, end.run.ID) })
	if err != nil {
		return end, there.diagnose(err)
	}
	digest := ""
	for _, o := range outputs.Items {
		switch o.Name {
		case "plan":
			err = json.Unmarshal(o.Value, &digest)
		case "changes":
			err = json.Unmarshal(o.Value, &c.changes)
		}
		if err != nil {
			return end, diag.Errorf("Cannot read the plan", "What run %s returned cannot be read: %s.", end.run.ID, err)
		}
	}
	if diags := c.read(ctx, digest, end.run.ID); diags.HasErrors() {
		return end, diags
	}
	if !c.silent {
		c.show()
	}
	return end, c.denied()
}

// read reads a plan that the server keeps, as it is judged for a run; "" for none.
func (c *remoteChange) read(ctx context.Context, digest, run string) diag.List {
	doc, err := persist(ctx, func(ctx context.Context) (*client.PlanDocument, error) {
		return c.app.remote.GetPlan(ctx, digest, client.GetPlanQuery{Run: run})
	})
	if client.IsNotFound(err) {
		return diag.Errorf("No such plan", "The server keeps no plan with the digest %s.", digest)
	}
	if err != nil {
		return c.app.remote.diagnose(err)
	}
	c.plan = doc
	c.parts, err = partsFromThere(doc)
	if err != nil {
		return diag.Errorf("Cannot read the plan", "The plan %s cannot be read: %s.", digest, err)
	}
	return nil
}

// show shows what the log of the run does not: for programs, the plan and what policy
// says.
func (c *remoteChange) show() {
	several := len(c.parts) > 1
	var total plans.Counts
	for _, part := range c.parts {
		if c.asJSON {
			stream := c.ofStack(part.stack)
			stream.Plan(part.plan)
			if part.decision != nil {
				stream.Decision(part.decision)
			}
		}
		n := part.plan.Count()
		total.Add, total.Change, total.Destroy = total.Add+n.Add, total.Change+n.Change, total.Destroy+n.Destroy
		total.Import, total.Forget, total.Move = total.Import+n.Import, total.Forget+n.Forget, total.Move+n.Move
	}
	if c.asJSON && several {
		c.stream.Total(total, "plan")
	}
}

func (c *remoteChange) ofStack(name string) *views.Stream {
	if len(c.parts) == 1 {
		return c.stream
	}
	return c.stream.ForStack(name)
}

func (c *remoteChange) denied() diag.List {
	diags := c.notJudged()
	for _, part := range c.parts {
		if part.decision != nil {
			diags = append(diags, gate.Denied(part.decision, "This plan must not be carried out.")...)
		}
	}
	return diags
}

// overBudget is what budgets say to the plan that was read: errors where it must not be
// carried out.
func (c *remoteChange) overBudget() diag.List {
	var out diag.List
	if c.plan == nil || c.plan.Budgets == nil {
		return nil
	}
	for i, m := range c.plan.Budgets.Messages {
		if m.Location != "" {
			m.Detail += "\n(On the server: " + m.Location + ")"
		}
		d := diag.Errorf(m.Summary, "%s", m.Detail)
		if m.Severity == diag.Warning.String() {
			d[0].Severity = diag.Warning
		}
		d[0].Rank = len(c.plan.Budgets.Messages) - i // as they are told
		out = append(out, d...)
	}
	return out
}

// notJudged says which stacks' plans could not be judged, and why.
func (c *remoteChange) notJudged() diag.List {
	var diags diag.List
	for _, part := range c.parts {
		diags = append(diags, notJudged(part.stack, part.problem)...)
	}
	return diags
}

// notJudged says that a server could not judge a plan; nothing where there is no problem.
func notJudged(stack, problem string) diag.List {
	if problem == "" {
		return nil
	}
	about := "this plan"
	if stack != "" {
		about = "the plan of stack " + strconv.Quote(stack)
	}
	return diag.Errorf("Plan not judged", "The server cannot tell what policies and budgets say of %s, and does not carry it out as long as it cannot.\n\n%s", about, problem)
}

// apply carries out the plan that was read. Where again is not nil, it is called when
// the plan of a stack is out of date and nothing was done.
func (c *remoteChange) apply(ctx context.Context, again func(because string) int) int {
	mode := operations.ModeOf(c.plan.Kind)
	kind := "apply"
	if mode == plans.Destroy {
		kind = "destroy"
	}
	end, diags := c.carry(ctx, c.asked(client.ProjectChangeRequest{Kind: kind, Plan: c.plan.Digest, Overrides: c.overrides}))
	if c.rollback != "" {
		kind = operations.RollbackKind // as people are told
	}
	if end.run.ID == "" || end.detached {
		return c.app.fail(diags)
	}
	if why := resultThere(end, nil).Error; again != nil && len(c.parts) == 1 && why != nil && why.Name == runs.StaleError {
		return again(why.Cause)
	}
	c.app.Show(diags)
	ctx = context.WithoutCancel(ctx) // the interrupt that ended the run was not meant for telling how
	done, changed, err := c.totals(ctx, end.run.ID)
	if err != nil {
		return c.app.fail(c.app.remote.diagnose(err))
	}
	if c.asJSON {
		if end.run.Status == runs.Succeeded {
			c.stream.Applied(mode, done)
		}
	} else {
		c.app.terminals().out.Applied(mode, done, kind, string(end.run.Status), end.run.ID)
	}
	if mode != plans.Destroy {
		if diags := c.outputs(ctx, changed); diags.HasErrors() {
			return c.app.fail(diags)
		}
	}
	if diags.HasErrors() || end.run.Status != runs.Succeeded {
		return exitFailed
	}
	return exitOK
}

// totals are what the runs of a change have done, and the stacks that were applied
// to their ends.
func (c *remoteChange) totals(ctx context.Context, run string) (done views.Totals, applied map[string]bool, err error) {
	applied = map[string]bool{}
	children, err := c.app.childrenThere(ctx, run)
	if err != nil {
		return done, nil, err
	}
	for _, child := range children {
		applied[child.Stack] = child.Status == string(runs.Succeeded)
		steps, err := persist(ctx, func(ctx context.Context) (*client.PageStep, error) { return c.app.remote.ListSteps(ctx, child.ID) })
		if err != nil {
			return done, nil, err
		}
		for _, s := range steps.Items {
			if s.Status != "succeeded" {
				continue
			}
			switch s.Action {
			case "create":
				done.Added++
			case "update":
				done.Changed++
			case "delete":
				done.Destroyed++
			case "forget":
				done.Forgotten++
			}
		}
	}
	for _, part := range c.parts {
		if applied[part.stack] {
			done.Imported += part.plan.Count().Import
		}
	}
	return done, applied, nil
}

// outputs shows what stacks have after they were applied.
func (c *remoteChange) outputs(ctx context.Context, applied map[string]bool) diag.List {
	for _, part := range c.parts {
		if !applied[part.stack] {
			continue
		}
		st, err := c.app.outputsThere(ctx, c.environment, part.stack)
		if err != nil {
			return c.app.remote.diagnose(err)
		}
		if c.asJSON {
			c.ofStack(part.stack).Outputs(st.Outputs)
			continue
		}
		list, diags := namedValues(st.Outputs)
		switch {
		case diags.HasErrors():
			return diags
		case len(c.parts) == 1:
			c.app.terminals().out.Outputs(list)
		default:
			c.app.terminals().out.StackOutputs(part.stack, list)
		}
	}
	return nil
}

// runThere plans on the server.
func (o *planCommandOptions) runThere(ctx context.Context, app *App) int {
	c, diags := app.newRemoteChange(o.json, o.cancel)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	request, diags := requestThere(&o.PlanOptions, app)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	if o.upload {
		if diags := app.upload(ctx, &request); diags.HasErrors() {
			return app.fail(diags)
		}
	}
	end, diags := c.make(ctx, c.asked(request))
	warned := c.overBudget()
	for i := range warned {
		warned[i].Severity = diag.Warning
	}
	app.Show(warned)
	if diags.HasErrors() || end.detached {
		return app.fail(diags)
	}
	if !o.json && c.changes && !inAutomation() {
		out := app.terminals().out
		out.Rule()
		if o.upload {
			out.Paragraph("Note: this is what the files here would change. The server keeps no plan of it that could be applied.")
		} else {
			out.Paragraph("The server keeps this plan. To perform exactly these actions, run the following command to apply:\n    " + app.applies(c.plan.Digest))
		}
	}
	if o.detailedExit && c.changes {
		return exitChanges
	}
	return exitOK
}

// judgeThere has the server plan and judge, or judge a plan that it keeps.
func (o *policyCheckOptions) judgeThere(ctx context.Context, app *App) (*policy.Decision, diag.List) {
	c, diags := app.newRemoteChange(false, false)
	if diags.HasErrors() {
		return nil, diags
	}
	c.silent, app.prose = true, false
	request, diags := requestThere(&o.PlanOptions, app)
	switch {
	case diags.HasErrors():
	case o.planJSON != "":
		return nil, diag.Errorf("Works on files here", "A file is judged here, by the policies of the files here: unset %s for -plan-json.", addressVariable)
	case o.plan != "" && o.upload:
		return nil, diag.Errorf("Options that exclude each other", "Give either -plan or -upload.")
	case o.plan != "" && !digestForm.MatchString(o.plan):
		return nil, diag.Errorf("Not the digest of a plan", "Against a server, -plan takes the digest of a plan that the server keeps; %q is none.", o.plan)
	case o.plan != "":
		diags = c.read(ctx, o.plan, "")
	default:
		if o.upload {
			diags = app.upload(ctx, &request)
		}
		if !diags.HasErrors() {
			var end remoteEnd
			if end, diags = c.make(ctx, c.asked(request)); end.detached {
				diags = diag.Errorf("Interrupted", "The plan was not waited for.")
			}
		}
	}
	if c.plan == nil {
		return nil, diags // those about a decision are told by the report
	}
	if diags := c.notJudged(); diags.HasErrors() {
		return nil, diags
	}
	var all []*policy.Decision
	for _, part := range c.parts {
		if part.decision != nil {
			all = append(all, part.decision)
		}
	}
	return policy.Join(all...), nil
}

// upload sends the files of the project here to the server, to be planned there. In
// the directory of a stack, that stack is the one selected.
func (a *App) upload(ctx context.Context, request *client.ProjectChangeRequest) diag.List {
	dir := "."
	if !projects.Exists(dir) {
		if p, here, _ := project.Above(); len(here) > 0 { // what is wrong with it, the server says
			dir = p.Dir
			if len(request.Stacks) == 0 {
				request.Stacks = here
			}
		}
	}
	data, err := archives.Pack(dir)
	if err != nil {
		return diag.Errorf("Cannot pack the files", "%s.", err)
	}
	kept, err := persist(ctx, func(ctx context.Context) (*client.Configuration, error) { return a.remote.KeepConfiguration(ctx, data) })
	if err != nil {
		return a.remote.diagnose(err)
	}
	request.Configuration = kept.ID
	return nil
}

// overridesThere are the overrides that the options ask for, as a server takes them.
func (a *App) overridesThere() ([]client.Override, diag.List) {
	asked, diags := gate.OverridesAsked(a.Session)
	var out []client.Override
	for _, o := range asked {
		out = append(out, client.Override{Rule: o.Rule, Reason: o.Reason})
	}
	return out, diags
}

// digestForm is how the digest of a plan looks.
var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// runThere plans on the server, asks here, and has the plan carried out there.
func (o *applyOptions) runThere(ctx context.Context, app *App, args []string) int {
	if len(args) == 0 {
		if diags := o.askable(); diags.HasErrors() {
			app.jsonOut = o.json
			return app.fail(diags)
		}
	}
	c, diags := app.newRemoteChange(o.json, o.cancel)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	app.Overrides = o.overrides
	if c.overrides, diags = app.overridesThere(); diags.HasErrors() {
		return app.fail(diags)
	}
	if len(args) == 1 {
		switch {
		case !digestForm.MatchString(args[0]):
			return app.failf("Not the digest of a plan", "Against a server, \"tutti apply\" takes the digest of a plan that the server keeps, as \"tutti plan\" tells it; %q is none. Plans in files are applied where they were made.", args[0])
		case len(o.Targets)+len(o.Excludes)+len(o.Replaces)+len(o.Given)+len(app.Stacks) > 0 || o.Destroy || o.RefreshOnly:
			return app.failf("Options cannot change a saved plan", "A plan is carried out exactly as it is: options such as -stack, -target, -var or -destroy belong to \"tutti plan\".")
		}
		if diags := c.read(ctx, args[0], ""); diags.HasErrors() {
			return app.fail(diags)
		}
		if app.Environment == "" {
			c.environment = c.plan.Environment
		}
		return c.apply(ctx, nil)
	}
	request, diags := requestThere(&o.PlanOptions, app)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	request.Overrides = c.overrides
	return o.planAndApplyThere(ctx, c, request, maxPlans)
}

// planAndApplyThere plans, asks and carries out. As here, a plan that is out of date by
// then, because another run was faster, is made again.
func (o *applyOptions) planAndApplyThere(ctx context.Context, c *remoteChange, request client.ProjectChangeRequest, attempts int) int {
	request.For = o.PlanOptions.Kind()
	end, diags := c.make(ctx, c.asked(request))
	if !c.mayGoOn(end, diags) {
		return exitFailed
	}
	if c.changes && !o.approved(ctx, c.app, o.Mode()) {
		return exitFailed
	}
	var again func(string) int
	if attempts > 1 {
		again = func(because string) int {
			c.app.Tell("Planning again: " + because + ".\n")
			return o.planAndApplyThere(ctx, c, request, attempts-1)
		}
	}
	return c.apply(ctx, again)
}

// mayGoOn shows what came of planning and what budgets say to the plan. It reports
// whether it may be carried out.
func (c *remoteChange) mayGoOn(end remoteEnd, diags diag.List) bool {
	c.app.Show(diags)
	if end.detached || c.plan == nil {
		return false
	}
	over := c.overBudget()
	c.app.Show(over)
	return !diags.HasErrors() && !over.HasErrors() && (c.plan.Budgets == nil || !c.plan.Budgets.Denied)
}

// rollbackThere plans on the server to undo what a run did there, asks here, and has the
// plan carried out there.
func (o *applyOptions) rollbackThere(ctx context.Context, app *App, id string) int {
	run, err := persist(ctx, func(ctx context.Context) (*client.Run, error) { return app.remote.GetRun(ctx, id) })
	if err != nil {
		return app.aboutRun(id, err)
	}
	children, err := app.childrenThere(ctx, id)
	if err != nil {
		return app.aboutRun(id, err)
	}
	if run.Kind == runs.WorkflowKind || len(children) > 0 {
		var steps []runs.Run
		for i := range children {
			steps = append(steps, runFromThere(&children[i]))
		}
		return app.fail(ofSeveralStacks(id, steps))
	}
	app.Environment, app.Overrides = run.Environment, o.overrides
	c, diags := app.newRemoteChange(o.json, o.cancel)
	if diags.HasErrors() {
		return app.fail(diags)
	}
	c.rollback = id
	if c.overrides, diags = app.overridesThere(); diags.HasErrors() {
		return app.fail(diags)
	}
	request := client.ChangeRequest{Kind: "plan", For: operations.RollbackKind, Run: id, Refresh: &o.Refresh, Source: app.sourceThere(), Overrides: c.overrides}
	end, diags := c.make(ctx, func(ctx context.Context) (*client.Run, error) {
		return app.remote.ChangeStack(ctx, run.Environment, pathOf(run.Stack), request)
	})
	if !c.mayGoOn(end, diags) {
		return exitFailed
	}
	if !c.changes {
		return exitOK
	}
	if !o.approved(ctx, app, plans.Normal) {
		return exitFailed
	}
	return c.apply(ctx, nil)
}

// partsFromThere are the plans of a document, with what is shown of changes by name.
func partsFromThere(doc *client.PlanDocument) ([]remotePart, error) {
	var out []remotePart
	for _, s := range doc.Stacks {
		part := remotePart{stack: s.Stack, problem: s.Problem}
		var err error
		if part.plan, err = work.PlanFromDocument(s.Plan, operations.ModeOf(doc.Kind)); err != nil {
			return nil, err
		}
		if len(s.Decision) > 0 {
			part.decision = &policy.Decision{}
			if err := json.Unmarshal(s.Decision, part.decision); err != nil {
				return nil, err
			}
		}
		out = append(out, part)
	}
	return out, nil
}

func logFromThere(l client.Log) runs.LogChunk {
	return runs.LogChunk{ID: l.ID, Name: l.Step, Stream: l.Stream, Time: l.Time, Data: []byte(l.Text)}
}

// outputsThere are the outputs of a stack, as the state here would have them.
func (a *App) outputsThere(ctx context.Context, environment, stack string) (*states.State, error) {
	list, err := persist(ctx, func(ctx context.Context) (*client.PageOutput, error) {
		return a.remote.ListOutputs(ctx, environment, pathOf(stack))
	})
	if err != nil {
		return nil, err
	}
	st := &states.State{Outputs: map[string]*states.Output{}}
	for _, o := range list.Items {
		st.Outputs[o.Name] = &states.Output{Sensitive: o.Sensitive, Type: o.Type, Value: o.Value}
		if o.Sensitive {
			st.Outputs[o.Name].Type, st.Outputs[o.Name].Value = json.RawMessage(`"dynamic"`), json.RawMessage(`null`)
		}
	}
	return st, nil
}
