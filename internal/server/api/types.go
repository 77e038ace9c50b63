package api

import (
	"encoding/json"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// Run is a run as clients see it.
type Run struct {
	ID          string     `json:"id" doc:"Names the run." example:"7f3k2m"`
	Kind        string     `json:"kind" doc:"What it is a run of: workflow, apply, destroy, refresh, import, rollback."`
	Status      string     `json:"status" enum:"pending,running,interrupted,succeeded,failed,cancelled" doc:"Where it stands. It only moves forward."`
	Waits       string     `json:"waits,omitempty" enum:"approval,signal" doc:"What it, or a branch of it, wants of somebody outside before it can go on; none once it has ended."`
	Workflow    string     `json:"workflow,omitempty" doc:"Name of the workflow."`
	Stack       string     `json:"stack,omitempty" doc:"The stack that it changes; none for runs of workflows."`
	Environment string     `json:"environment" doc:"Where it works."`
	Actor       string     `json:"actor" doc:"Who started it, or on whose behalf."`
	Plan        string     `json:"plan,omitempty" doc:"Digest of the plan that it carries out."`
	Steps       int        `json:"steps" doc:"How many operations it has; 0 as long as it is not known."`
	Done        int        `json:"done" doc:"Of them, ended."`
	Failed      int        `json:"failed" doc:"Of them, failed."`
	Summary     string     `json:"summary" doc:"What it does, in a line."`
	Problem     string     `json:"problem,omitempty" doc:"Why it failed, in a line."`
	Parent      string     `json:"parent,omitempty" doc:"The run that this one is a step of."`
	Cancelling  bool       `json:"cancelling,omitempty" doc:"Whether somebody has asked for its end."`
	Created     time.Time  `json:"created"`
	Started     *time.Time `json:"started,omitempty"`
	Ended       *time.Time `json:"ended,omitempty"`
	Pruned      *time.Time `json:"pruned,omitempty" doc:"When its journal, logs and plan were removed because it was old."`
	Overrides   []Override `json:"overrides,omitempty" doc:"Rules that were against it."`
	Source      *Source    `json:"source,omitempty" doc:"The code that it is about."`
}

// RunCounts is how many runs stand how.
type RunCounts struct {
	Pending     int `json:"pending"`
	Running     int `json:"running" doc:"Those that wait are among them."`
	Waiting     int `json:"waiting" doc:"Of those that run, how many wait for an approval or a signal."`
	Interrupted int `json:"interrupted"`
	Failed      int `json:"failed" doc:"How many failed in the time that was asked for."`
}

// Source is a state of code at a host of code, which is told how a run goes.
type Source struct {
	Repository  string `json:"repository,omitempty" maxLength:"500" doc:"Path of the repository; may be left out where the notify block names it." example:"org/shop"`
	Commit      string `json:"commit" pattern:"^[0-9a-f]{7,64}$" doc:"The commit, in full."`
	PullRequest int    `json:"pull_request,omitempty" minimum:"0" doc:"Number of the request to merge."`
}

// kept is the source as runs keep it.
func (s *Source) kept() *runs.Source {
	if s == nil {
		return nil
	}
	return &runs.Source{Repository: s.Repository, Commit: s.Commit, PullRequest: s.PullRequest}
}

// Override says why a rule was not followed.
type Override struct {
	Rule   string `json:"rule" minLength:"1" maxLength:"200" doc:"Name of the policy or budget."`
	Reason string `json:"reason" minLength:"1" maxLength:"4000" doc:"Recorded with the run."`
}

// runOf describes a run for clients.
func runOf(r runs.Run) Run {
	out := Run{
		ID: r.ID, Kind: r.Kind, Workflow: r.Workflow, Status: string(r.Status), Waits: string(r.Waits), Stack: r.Key.Stack, Environment: r.Key.Environment, Actor: r.Actor,
		Steps: r.Steps, Done: r.Done, Failed: r.Failed, Summary: r.Summary, Problem: r.Problem, Parent: r.Parent,
		Cancelling: r.Cancelling > 0 && !r.Status.Ended(), Created: r.Created, Started: timeOf(r.Started), Ended: timeOf(r.Ended), Pruned: timeOf(r.Pruned),
	}
	if !r.Machine() {
		out.Plan = r.PlanHash
	}
	if s := r.Source; s != nil {
		out.Source = &Source{s.Repository, s.Commit, s.PullRequest}
	}
	for _, o := range r.Overrides {
		out.Overrides = append(out.Overrides, Override(o))
	}
	return out
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Step is a step of a run.
type Step struct {
	Name   string     `json:"name"`
	Action string     `json:"action" doc:"What it does: exec, http, plan, apply, approval, …; of a plan's run, create, update, …"`
	Phase  string     `json:"phase,omitempty" enum:"on_failure,finally" doc:"Where it stands in the workflow; none for the main part."`
	Needs  []string   `json:"needs" nullable:"false" doc:"Steps that come first."`
	Status string     `json:"status" enum:"waiting,running,succeeded,failed,caught,skipped,halted,cancelled"`
	Items  int        `json:"items,omitempty" doc:"Of a step with for_each."`
	Done   int        `json:"done,omitempty" doc:"Of them, ended."`
	Undone bool       `json:"undone,omitempty" doc:"Whether what it did was undone."`
	Waits  string     `json:"waits,omitempty" doc:"What it waits for."`
	Asks   []Ask      `json:"asks,omitempty" doc:"What it wants of people, for each of its items that does."`
	Error  *StepError `json:"error,omitempty"`
	Begun  *time.Time `json:"begun,omitempty"`
	Ended  *time.Time `json:"ended,omitempty"`
	Run    string     `json:"run,omitempty" doc:"The run of its own that the step is."`
}

// Ask is what a step wants of somebody outside.
type Ask struct {
	Step    string   `json:"step" doc:"The step, with the key of its item where it has several."`
	Event   string   `json:"event,omitempty" doc:"The event that it waits for; none where it is an approval."`
	Message string   `json:"message,omitempty"`
	Plan    string   `json:"plan,omitempty" doc:"Digest of the plan that is to be approved; none where it is about no plan."`
	Roles   []string `json:"roles,omitempty" doc:"Who decides must hold one of them."`
	Count   int      `json:"count,omitempty" doc:"How many people must approve."`
	By      []string `json:"by,omitempty" doc:"Who has approved already."`
}

// StepError is why a step failed.
type StepError struct {
	Name  string `json:"name"`
	Cause string `json:"cause"`
}

func stepOf(s flow.StepState) Step {
	out := Step{
		Name: s.Name, Action: s.Action, Phase: s.Phase, Needs: s.Needs, Status: string(s.Status),
		Items: s.Items, Done: s.Done, Undone: s.Undone, Waits: s.Waits, Begun: timeOf(s.Begun), Ended: timeOf(s.Ended),
	}
	if out.Needs == nil {
		out.Needs = []string{}
	}
	if out.Status == "" {
		out.Status = string(flow.Waiting)
	}
	if s.Error != nil {
		out.Error = &StepError{s.Error.Name, s.Error.Cause}
	}
	return out
}

// Approval is a step that waits for people.
type Approval struct {
	Run     Run    `json:"run"`
	Step    string `json:"step"`
	Message string `json:"message,omitempty"`
	Plan    string `json:"plan,omitempty" doc:"Digest of the plan that is to be approved; none where the step is about no plan."`

	Roles []string `json:"roles,omitempty" doc:"Who decides must hold one of them."`
	Count int      `json:"count,omitempty" doc:"How many people must approve."`
	By    []string `json:"by,omitempty" doc:"Who has approved already."`
}

// Entry is an entry of a journal. Data is left out where it is sensitive.
type Entry struct {
	Sequence int64           `json:"sequence"`
	Time     time.Time       `json:"time"`
	Kind     string          `json:"kind"`
	Step     int             `json:"step" doc:"Number of the step; -1 for entries about the run."`
	Data     json.RawMessage `json:"data,omitempty"`
}

func entryOf(e workflow.Entry) Entry {
	out := Entry{Sequence: e.Sequence, Time: e.Time, Kind: string(e.Kind), Step: e.Step, Data: e.Data}
	if e.Sensitive {
		data := runs.ReadStepData(e)
		out.Data = nil
		if data.Step != "" {
			out.Data, _ = json.Marshal(runs.StepData{Step: data.Step, Error: data.Error}) // two strings
		}
	}
	return out
}

// Log is a piece of what a step wrote.
type Log struct {
	ID     int64     `json:"id" doc:"Where it stands in the order of all that was written."`
	Step   string    `json:"step"`
	Stream string    `json:"stream" enum:"stdout,stderr"`
	Time   time.Time `json:"time"`
	Text   string    `json:"text"`
}

func logOf(c runs.LogChunk) Log {
	return Log{ID: c.ID, Step: c.Name, Stream: c.Stream, Time: c.Time, Text: string(c.Data)}
}

// Event is something that happened, in the shape of CloudEvents 1.0, with its
// place in the feed.
type Event struct {
	Sequence int64           `json:"sequence" doc:"Where it stands in the feed: a cursor."`
	ID       string          `json:"id"`
	Source   string          `json:"source"`
	Type     string          `json:"type"`
	Subject  string          `json:"subject,omitempty"`
	Actor    string          `json:"actor,omitempty"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data,omitempty"`

	// The chain: see docs/audit.md.
	PreviousHash string `json:"previous_hash,omitempty" doc:"In lists: the hash of the event before."`
	Hash         string `json:"hash,omitempty" doc:"In lists: its own hash."`
}

func eventOf(l *events.Link) Event {
	out := Event{
		Sequence: l.Sequence, ID: l.ID, Source: l.Source, Type: l.Type, Subject: l.Subject, Actor: l.Actor, Time: l.Time, Data: l.Data,
	}
	if len(l.Data) > 0 && !json.Valid(l.Data) {
		out.Data = events.DocumentOf(l).Data // somebody has altered it
	}
	return out
}

// Workflow is a workflow that the project declares.
type Workflow struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	Machine     bool               `json:"state_machine,omitempty" doc:"Whether it is one in the Amazon States Language."`
	Variables   []WorkflowVariable `json:"variables" nullable:"false"`
	Steps       []Step             `json:"steps" nullable:"false"`
	LastRuns    []Run              `json:"last_runs,omitempty"`
}

// WorkflowVariable is something that a run of a workflow takes.
type WorkflowVariable struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Sensitive   bool   `json:"sensitive,omitempty"`
}

// Stack is a stack in one environment.
type Stack struct {
	Name        string   `json:"name" doc:"Empty for a plain directory."`
	Environment string   `json:"environment"`
	Source      string   `json:"source"`
	Needs       []string `json:"needs" nullable:"false"`
	Serial      int64    `json:"serial" doc:"How often its state was written; 0 where there is none."`
	Objects     int      `json:"objects"`
	LastRun     *Run     `json:"last_run,omitempty"`
	Observed    bool     `json:"observed" doc:"Whether the project says that it is looked at again and again."`
	// Drift is what was found by looking at it.
	Drift *DriftSummary `json:"drift,omitempty" doc:"What was found by looking at it; none where nobody has looked."`
}

// Object is an object of a state. Its values are not here: see its provider.
type Object struct {
	Address   string   `json:"address"`
	Type      string   `json:"type"`
	Provider  string   `json:"provider"`
	Mode      string   `json:"mode" enum:"managed,data"`
	Deposed   string   `json:"deposed,omitempty"`
	Tainted   bool     `json:"tainted,omitempty"`
	DependsOn []string `json:"depends_on" nullable:"false"`
}

// Revision is a change of an object. Its values are not here.
type Revision struct {
	Address string    `json:"address"`
	Deposed string    `json:"deposed,omitempty"`
	Run     string    `json:"run,omitempty" doc:"The run that changed it; none where somebody changed the state by hand."`
	Cause   string    `json:"cause" doc:"create, update, delete, import, move, taint, push, …"`
	At      time.Time `json:"at"`
}

// Output is an output value of a stack or of a run; a sensitive one has no value here.
type Output struct {
	Name      string          `json:"name"`
	Sensitive bool            `json:"sensitive,omitempty"`
	Type      json.RawMessage `json:"type,omitempty" doc:"Its type, as Terraform's JSON formats write it."`
	Value     json.RawMessage `json:"value,omitempty"`
}

// PlanDocument is a plan for whoever reviews it.
type PlanDocument struct {
	Digest      string         `json:"digest"`
	Environment string         `json:"environment"`
	Kind        string         `json:"kind" enum:"apply,destroy,refresh,rollback"`
	Stacks      []PlannedStack `json:"stacks" nullable:"false"`
}

// PlannedStack is what a plan does to one stack.
type PlannedStack struct {
	Stack    string          `json:"stack" doc:"Empty for a plain directory."`
	Add      int             `json:"add"`
	Change   int             `json:"change"`
	Destroy  int             `json:"destroy"`
	Plan     json.RawMessage `json:"plan" doc:"The plan in Terraform's JSON format, sensitive values masked."`
	Decision json.RawMessage `json:"decision,omitempty" doc:"What policy says."`
	Cost     json.RawMessage `json:"cost,omitempty" doc:"What it costs in a month."`
	Problem  string          `json:"problem,omitempty" doc:"Why it could not be judged: there are policies or budgets for it, and as long as they cannot be asked it is not carried out."`

	Needs map[string][]string `json:"needs" doc:"What the resources that change need directly, all by addresses without keys."`
}

// Session is who asks, and what is asked.
type Session struct {
	Subject string   `json:"subject" doc:"Whom the client acts as."`
	Groups  []string `json:"groups" nullable:"false"`
	Roles   []string `json:"roles" nullable:"false"`
	Guarded bool     `json:"guarded" doc:"Whether the project declares roles."`

	Environment string `json:"environment,omitempty" doc:"The environment that is selected; none where one has to be named."`

	Version  string `json:"version"`
	Project  string `json:"project" doc:"Name of the project's directory."`
	Sequence int64  `json:"sequence" doc:"The last event of the feed."`
}

// StartRequest asks for a run of a workflow.
type StartRequest struct {
	Workflow    string                     `json:"workflow" minLength:"1" doc:"Name of the workflow."`
	Environment string                     `json:"environment,omitempty" doc:"Where it is to work; the one selected unless given."`
	Inputs      map[string]json.RawMessage `json:"inputs,omitempty" doc:"Values of its variables."`
	Input       json.RawMessage            `json:"input,omitempty" doc:"The input of a state machine, instead of inputs; {} unless given."`
	Overrides   []Override                 `json:"overrides,omitempty" doc:"Soft-mandatory policies and budgets that it may go against, where who asks may override them."`
	Source      *Source                    `json:"source,omitempty" doc:"The code that it is about: hosts of code are told how it goes (docs/notify.md)."`
}

// MachineResult is how a run of a state machine stands or ended.
type MachineResult struct {
	Status   string          `json:"status" enum:"RUNNING,SUCCEEDED,FAILED,TIMED_OUT,ABORTED"`
	Output   json.RawMessage `json:"output,omitempty" doc:"What it returned, where it succeeded."`
	Error    string          `json:"error,omitempty"`
	Cause    string          `json:"cause,omitempty"`
	History  json.RawMessage `json:"history,omitempty" doc:"Where it was asked for: the events of the execution in the form of the Step Functions API, values decoded. They are told to whom the run is by."`
	Withheld bool            `json:"withheld,omitempty" doc:"Whether there is an output that is not told: nobody knows what is in it, so it is told to whom the run is by."`
}

// ChangeRequest asks for a change of a stack.
type ChangeRequest struct {
	Kind        string          `json:"kind" enum:"plan,apply,destroy,rollback" doc:"Only plan, or plan and apply, or plan to destroy and do it, or bring back what a run changed."`
	Run         string          `json:"run,omitempty" doc:"With kind rollback: the run that is to be undone; with kind plan, what would undo it is planned only."`
	Plan        string          `json:"plan,omitempty" pattern:"^[0-9a-f]{64}$" doc:"Digest of a plan that was made before: exactly this is applied."`
	Destroy     bool            `json:"destroy,omitempty" doc:"With kind plan: plan to destroy everything."`
	Refresh     *bool           `json:"refresh,omitempty" doc:"Whether to read the real objects; true unless given."`
	Targets     []string        `json:"targets,omitempty" doc:"Only these resources and what they need. Of several stacks each address begins with its own: stack.NAME."`
	RefreshOnly bool            `json:"refresh_only,omitempty" doc:"Only see whether real objects still are as recorded, and record the differences."`
	Excludes    []string        `json:"excludes,omitempty" doc:"All but these resources and what depends on them; addresses as for targets."`
	Replaces    []string        `json:"replaces,omitempty" doc:"Replace these resource instances although an update or nothing would do; addresses as for targets."`
	Variables   []VariableValue `json:"variables,omitempty" maxItems:"1000" doc:"Values for variables of the project, or of the root module of a plain directory; later ones win."`
	Approve     bool            `json:"approve,omitempty" doc:"Have people approve the plan before it is carried out."`
	Source      *Source         `json:"source,omitempty" doc:"The code that it is about: hosts of code are told how it goes (docs/notify.md)."`

	Overrides []Override `json:"overrides,omitempty" doc:"Soft-mandatory policies and budgets that it may go against, where who asks may override them."`
}

// VariableValue is a value for a variable, or a file of such.
type VariableValue struct {
	Name    string          `json:"name,omitempty" doc:"Name of the variable."`
	Value   json.RawMessage `json:"value,omitempty" doc:"Its value. A text is read as the option -var reads it."`
	File    string          `json:"file,omitempty" maxLength:"1000" doc:"Instead of name and value: what a .tfvars file is called, or a .tfvars.json file."`
	Content string          `json:"content,omitempty" doc:"What is in the file."`
}

// Configuration is what is kept of files that somebody sent.
type Configuration struct {
	ID      string    `json:"id" doc:"Names it: the SHA-256 of what was sent."`
	Expires time.Time `json:"expires" doc:"Until when it is kept."`
}

// ProjectChangeRequest asks for a change of several stacks, planned together.
type ProjectChangeRequest struct {
	ChangeRequest
	Stacks []string `json:"stacks,omitempty" doc:"Only these stacks; all of the project, or those of the plan, unless given."`

	Configuration string `json:"configuration,omitempty" pattern:"^[0-9a-f]{64}$" doc:"With kind plan: plan this configuration, which was sent, instead of the project."`
}

// RetryRequest asks for a run to be done again.
type RetryRequest struct {
	From string `json:"from,omitempty" doc:"Do this step and all that depend on it again, whatever came of them; what did not succeed, unless given."`
}

// SignalRequest tells a run that something happened.
type SignalRequest struct {
	Event string          `json:"event" minLength:"1" doc:"Name of the event."`
	Data  json.RawMessage `json:"data,omitempty" doc:"What comes with it."`
}

// DecisionRequest approves or rejects a step.
type DecisionRequest struct {
	Step     string `json:"step,omitempty" doc:"The step; may be left out where only one waits."`
	Decision string `json:"decision" enum:"approve,reject"`
	Plan     string `json:"plan,omitempty" doc:"Digest of the plan that is meant: needed to approve a step that is about one."`
	Comment  string `json:"comment,omitempty" maxLength:"4000" doc:"Kept with the decision."`
}
