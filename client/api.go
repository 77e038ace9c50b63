// Code generated from the API's description; DO NOT EDIT.
// To make it anew: go test ./internal/server/clientgen -write

package client

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strconv"
	"time"
)

var _ = strconv.Itoa

// Alive is a shape of the API.
type Alive struct {
	Time time.Time `json:"time"`
}

// Approval is a shape of the API.
type Approval struct {
	// Who has approved already.
	By []string `json:"by,omitempty"`
	// How many people must approve.
	Count   int64  `json:"count,omitempty"`
	Message string `json:"message,omitempty"`
	// Digest of the plan that is to be approved; none where the step is about no plan.
	Plan string `json:"plan,omitempty"`
	// Who decides must hold one of them.
	Roles []string `json:"roles,omitempty"`
	Run   Run      `json:"run"`
	Step  string   `json:"step"`
}

// Ask is a shape of the API.
type Ask struct {
	// Who has approved already.
	By []string `json:"by,omitempty"`
	// How many people must approve.
	Count int64 `json:"count,omitempty"`
	// The event that it waits for; none where it is an approval.
	Event   string `json:"event,omitempty"`
	Message string `json:"message,omitempty"`
	// Digest of the plan that is to be approved; none where it is about no plan.
	Plan string `json:"plan,omitempty"`
	// Who decides must hold one of them.
	Roles []string `json:"roles,omitempty"`
	// The step, with the key of its item where it has several.
	Step string `json:"step"`
}

// ChangeRequest is a shape of the API.
type ChangeRequest struct {
	// Have people approve the plan before it is carried out.
	Approve bool `json:"approve,omitempty"`
	// With kind plan: plan to destroy everything.
	Destroy bool `json:"destroy,omitempty"`
	// All but these resources and what depends on them; addresses as for targets.
	Excludes []string `json:"excludes,omitempty"`
	// Only plan, or plan and apply, or plan to destroy and do it, or bring back what a run changed.
	Kind string `json:"kind"`
	// Soft-mandatory policies and budgets that it may go against, where who asks may override them.
	Overrides []Override `json:"overrides,omitempty"`
	// Digest of a plan that was made before: exactly this is applied.
	Plan string `json:"plan,omitempty"`
	// Whether to read the real objects; true unless given.
	Refresh *bool `json:"refresh,omitempty"`
	// Only see whether real objects still are as recorded, and record the differences.
	RefreshOnly bool `json:"refresh_only,omitempty"`
	// Replace these resource instances although an update or nothing would do; addresses as for targets.
	Replaces []string `json:"replaces,omitempty"`
	// With kind rollback: the run that is to be undone; with kind plan, what would undo it is planned only.
	Run string `json:"run,omitempty"`
	// The code that it is about: hosts of code are told how it goes (docs/notify.md).
	Source *Source `json:"source,omitempty"`
	// Only these resources and what they need. Of several stacks each address begins with its own: stack.NAME.
	Targets []string `json:"targets,omitempty"`
	// Values for variables of the project, or of the root module of a plain directory; later ones win.
	Variables []VariableValue `json:"variables,omitempty"`
}

// Configuration is a shape of the API.
type Configuration struct {
	// Until when it is kept.
	Expires time.Time `json:"expires"`
	// Names it: the SHA-256 of what was sent.
	ID string `json:"id"`
}

// DecisionRequest is a shape of the API.
type DecisionRequest struct {
	// Kept with the decision.
	Comment  string `json:"comment,omitempty"`
	Decision string `json:"decision"`
	// Digest of the plan that is meant: needed to approve a step that is about one.
	Plan string `json:"plan,omitempty"`
	// The step; may be left out where only one waits.
	Step string `json:"step,omitempty"`
}

// Delivery is a shape of the API.
type Delivery struct {
	Attempts int64      `json:"attempts"`
	Ended    *time.Time `json:"ended,omitempty"`
	// Id of the event; by it the recipient knows it again.
	Event string `json:"event"`
	// Grows with the order of the events.
	ID int64 `json:"id"`
	// When it is sent again.
	Next *time.Time `json:"next,omitempty"`
	// Name of the notify block.
	Notify string `json:"notify"`
	// Why the last attempt failed.
	Problem string    `json:"problem,omitempty"`
	Queued  time.Time `json:"queued"`
	// Of the event, in the feed.
	Sequence int64 `json:"sequence"`
	// What is dead is sent no more, unless it is asked for.
	Status string `json:"status"`
	// Type of the event.
	Type string `json:"type"`
}

// Drift is a shape of the API.
type Drift struct {
	// What is not as it was left.
	Changes []DriftChange `json:"changes"`
	// How many objects were not as they were left.
	Drifted     int64  `json:"drifted"`
	Environment string `json:"environment"`
	// When the last look failed.
	Failed *time.Time `json:"failed,omitempty"`
	// How many fields change again and again and are left alone.
	Flapping int64 `json:"flapping"`
	// What changes again and again and is left alone.
	Flaps []FlappingField `json:"flaps"`
	// When the last look ended that saw everything.
	Looked *time.Time `json:"looked,omitempty"`
	// Whether somebody asked for a look that has not ended.
	Looking bool `json:"looking"`
	// When the next look is due.
	Next *time.Time `json:"next,omitempty"`
	// How many objects there were.
	Objects int64 `json:"objects"`
	// Whether the project says that it is looked at again and again.
	Observed bool `json:"observed"`
	// Why the last look failed.
	Problem string `json:"problem,omitempty"`
	// How often a provider was asked.
	Reads int64 `json:"reads"`
	// The last run that put things back, or is to.
	Repair *DriftRepair `json:"repair,omitempty"`
	// Whether what drifts is put back.
	Repairs bool `json:"repairs"`
	// Empty for a plain directory.
	Stack string `json:"stack"`
	// How long the last look took that saw everything, in milliseconds.
	TookMs int64 `json:"took_ms,omitempty"`
}

// DriftAttribute is a shape of the API.
type DriftAttribute struct {
	// How it was found; none of sensitive ones.
	After json.RawMessage `json:"after,omitempty"`
	// How it was left; none of sensitive ones.
	Before    json.RawMessage `json:"before,omitempty"`
	Path      string          `json:"path"`
	Sensitive bool            `json:"sensitive,omitempty"`
}

// DriftChange is a shape of the API.
type DriftChange struct {
	// Whether it is another than it was left, or gone.
	Action     string           `json:"action"`
	Address    string           `json:"address"`
	Attributes []DriftAttribute `json:"attributes"`
	// Whether something of it changes again and again: it is then not put back.
	Flapping bool `json:"flapping"`
	// When it was first found.
	Since time.Time `json:"since"`
	// How often something of it was found changed anew.
	Times int64 `json:"times"`
}

// DriftRepair is a shape of the API.
type DriftRepair struct {
	// When it was decided.
	At time.Time `json:"at"`
	// Why there is no such run.
	Problem string `json:"problem,omitempty"`
	// Name of the run.
	Run string `json:"run"`
	// What it puts back.
	Targets []string `json:"targets"`
}

// DriftSummary is a shape of the API.
type DriftSummary struct {
	// How many objects were not as they were left.
	Drifted int64 `json:"drifted"`
	// How many fields change again and again and are left alone.
	Flapping int64 `json:"flapping"`
	// When the last look ended that saw everything.
	Looked *time.Time `json:"looked,omitempty"`
	// Why the last look failed.
	Problem string `json:"problem,omitempty"`
}

// End is a shape of the API.
type End struct {
	Time time.Time `json:"time"`
}

// Entry is a shape of the API.
type Entry struct {
	Data     json.RawMessage `json:"data,omitempty"`
	Kind     string          `json:"kind"`
	Sequence int64           `json:"sequence"`
	// Number of the step; -1 for entries about the run.
	Step int64     `json:"step"`
	Time time.Time `json:"time"`
}

// Event is a shape of the API.
type Event struct {
	Actor string          `json:"actor,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	// In lists: its own hash.
	Hash string `json:"hash,omitempty"`
	ID   string `json:"id"`
	// In lists: the hash of the event before.
	PreviousHash string `json:"previous_hash,omitempty"`
	// Where it stands in the feed: a cursor.
	Sequence int64     `json:"sequence"`
	Source   string    `json:"source"`
	Subject  string    `json:"subject,omitempty"`
	Time     time.Time `json:"time"`
	Type     string    `json:"type"`
}

// EventAccepted is a shape of the API.
type EventAccepted struct {
	// Whether it was accepted before: sequence is that of the first.
	Duplicate bool  `json:"duplicate,omitempty"`
	Sequence  int64 `json:"sequence"`
}

// EventDetails is a shape of the API.
type EventDetails struct {
	// When it came from outside; none for events of Tutti's own.
	Accepted *time.Time `json:"accepted,omitempty"`
	// Further attributes of the CloudEvent.
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Event      Event           `json:"event"`
	// What triggers did about it.
	Fired []Fired `json:"fired"`
	// The run that it is from or about.
	Run string `json:"run,omitempty"`
}

// Fired is a shape of the API.
type Fired struct {
	At time.Time `json:"at"`
	// Whether it was made up for: see docs/schedules.md.
	Backfill bool `json:"backfill,omitempty"`
	// Number of the event; none for a schedule.
	Event int64 `json:"event,omitempty"`
	// Why there is no run.
	Problem string `json:"problem,omitempty"`
	Run     string `json:"run,omitempty"`
	// That of the run, or: due, queued, skipped, failed, dead, retried.
	Status  string `json:"status"`
	Trigger string `json:"trigger"`
}

// FlappingField is a shape of the API.
type FlappingField struct {
	Address string `json:"address"`
	// What that means and what to do.
	Because string `json:"because"`
	// None where it is about whether there is the object.
	Path string `json:"path,omitempty"`
	// Since when it is left alone.
	Since time.Time `json:"since"`
	// How often it was found changed.
	Times int64 `json:"times"`
}

// Item is a shape of the API.
type Item struct {
	// How often it was tried.
	Attempts int64      `json:"attempts,omitempty"`
	Begun    *time.Time `json:"begun,omitempty"`
	Ended    *time.Time `json:"ended,omitempty"`
	Error    *StepError `json:"error,omitempty"`
	// The step with the key of the item, as its logs and what it asks name it.
	Name string `json:"name"`
	// Its place among all items of the step, from 0.
	Number int64 `json:"number"`
	// The run of its own that the item is.
	Run    string `json:"run,omitempty"`
	Status string `json:"status"`
	// Whether what it did was undone.
	Undone bool `json:"undone,omitempty"`
	// What it waits for.
	Waits string `json:"waits,omitempty"`
}

// ItemList is a shape of the API.
type ItemList struct {
	// How many there are, by status.
	Counts map[string]int64 `json:"counts"`
	Items  []Item           `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
	// How many there are that stand as was asked for.
	Total int64 `json:"total"`
}

// Log is a shape of the API.
type Log struct {
	// Where it stands in the order of all that was written.
	ID     int64     `json:"id"`
	Step   string    `json:"step"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
	Time   time.Time `json:"time"`
}

// MachineResult is a shape of the API.
type MachineResult struct {
	Cause string `json:"cause,omitempty"`
	Error string `json:"error,omitempty"`
	// Where it was asked for: the events of the execution in the form of the Step Functions API, values decoded. They are told to whom the run is by.
	History json.RawMessage `json:"history,omitempty"`
	// What it returned, where it succeeded.
	Output json.RawMessage `json:"output,omitempty"`
	Status string          `json:"status"`
	// Whether there is an output that is not told: nobody knows what is in it, so it is told to whom the run is by.
	Withheld bool `json:"withheld,omitempty"`
}

// Object is a shape of the API.
type Object struct {
	Address   string   `json:"address"`
	DependsOn []string `json:"depends_on"`
	Deposed   string   `json:"deposed,omitempty"`
	Mode      string   `json:"mode"`
	Provider  string   `json:"provider"`
	Tainted   bool     `json:"tainted,omitempty"`
	Type      string   `json:"type"`
}

// ObserveRequest is a shape of the API.
type ObserveRequest struct {
	// Forget what changed again and again: it is put back again. Who asks for this must be allowed to apply.
	Reset bool `json:"reset,omitempty"`
}

// Output is a shape of the API.
type Output struct {
	Name      string `json:"name"`
	Sensitive bool   `json:"sensitive,omitempty"`
	// Its type, as Terraform's JSON formats write it.
	Type  json.RawMessage `json:"type,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Override is a shape of the API.
type Override struct {
	// Recorded with the run.
	Reason string `json:"reason"`
	// Name of the policy or budget.
	Rule string `json:"rule"`
}

// PageApproval is a shape of the API.
type PageApproval struct {
	Items []Approval `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageDelivery is a shape of the API.
type PageDelivery struct {
	Items []Delivery `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageEntry is a shape of the API.
type PageEntry struct {
	Items []Entry `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageEvent is a shape of the API.
type PageEvent struct {
	Items []Event `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageEventAccepted is a shape of the API.
type PageEventAccepted struct {
	Items []EventAccepted `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageFired is a shape of the API.
type PageFired struct {
	Items []Fired `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageLog is a shape of the API.
type PageLog struct {
	Items []Log `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageObject is a shape of the API.
type PageObject struct {
	Items []Object `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageOutput is a shape of the API.
type PageOutput struct {
	Items []Output `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageRevision is a shape of the API.
type PageRevision struct {
	Items []Revision `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageRun is a shape of the API.
type PageRun struct {
	Items []Run `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageStack is a shape of the API.
type PageStack struct {
	Items []Stack `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageStep is a shape of the API.
type PageStep struct {
	Items []Step `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageTrigger is a shape of the API.
type PageTrigger struct {
	Items []Trigger `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PageWorkflow is a shape of the API.
type PageWorkflow struct {
	Items []Workflow `json:"items"`
	// The cursor of the next page; none at the end.
	Next string `json:"next,omitempty"`
}

// PlanDocument is a shape of the API.
type PlanDocument struct {
	Digest      string         `json:"digest"`
	Environment string         `json:"environment"`
	Kind        string         `json:"kind"`
	Stacks      []PlannedStack `json:"stacks"`
}

// PlannedStack is a shape of the API.
type PlannedStack struct {
	Add    int64 `json:"add"`
	Change int64 `json:"change"`
	// What it costs in a month.
	Cost json.RawMessage `json:"cost,omitempty"`
	// What policy says.
	Decision json.RawMessage `json:"decision,omitempty"`
	Destroy  int64           `json:"destroy"`
	// What the resources that change need directly, all by addresses without keys.
	Needs map[string][]string `json:"needs"`
	// The plan in Terraform's JSON format, sensitive values masked.
	Plan json.RawMessage `json:"plan"`
	// Why it could not be judged: there are policies or budgets for it, and as long as they cannot be asked it is not carried out.
	Problem string `json:"problem,omitempty"`
	// Empty for a plain directory.
	Stack string `json:"stack"`
}

// ProjectChangeRequest is a shape of the API.
type ProjectChangeRequest struct {
	// Have people approve the plan before it is carried out.
	Approve bool `json:"approve,omitempty"`
	// With kind plan: plan this configuration, which was sent, instead of the project.
	Configuration string `json:"configuration,omitempty"`
	// With kind plan: plan to destroy everything.
	Destroy bool `json:"destroy,omitempty"`
	// All but these resources and what depends on them; addresses as for targets.
	Excludes []string `json:"excludes,omitempty"`
	// Only plan, or plan and apply, or plan to destroy and do it, or bring back what a run changed.
	Kind string `json:"kind"`
	// Soft-mandatory policies and budgets that it may go against, where who asks may override them.
	Overrides []Override `json:"overrides,omitempty"`
	// Digest of a plan that was made before: exactly this is applied.
	Plan string `json:"plan,omitempty"`
	// Whether to read the real objects; true unless given.
	Refresh *bool `json:"refresh,omitempty"`
	// Only see whether real objects still are as recorded, and record the differences.
	RefreshOnly bool `json:"refresh_only,omitempty"`
	// Replace these resource instances although an update or nothing would do; addresses as for targets.
	Replaces []string `json:"replaces,omitempty"`
	// With kind rollback: the run that is to be undone; with kind plan, what would undo it is planned only.
	Run string `json:"run,omitempty"`
	// The code that it is about: hosts of code are told how it goes (docs/notify.md).
	Source *Source `json:"source,omitempty"`
	// Only these stacks; all of the project, or those of the plan, unless given.
	Stacks []string `json:"stacks,omitempty"`
	// Only these resources and what they need. Of several stacks each address begins with its own: stack.NAME.
	Targets []string `json:"targets,omitempty"`
	// Values for variables of the project, or of the root module of a plain directory; later ones win.
	Variables []VariableValue `json:"variables,omitempty"`
}

// ReplayRequest is a shape of the API.
type ReplayRequest struct {
	// Only this one; all that it is for unless given.
	Trigger string `json:"trigger,omitempty"`
}

// RetryRequest is a shape of the API.
type RetryRequest struct {
	// Do this step and all that depend on it again, whatever came of them; what did not succeed, unless given.
	From string `json:"from,omitempty"`
}

// Revision is a shape of the API.
type Revision struct {
	Address string    `json:"address"`
	At      time.Time `json:"at"`
	// create, update, delete, import, move, taint, push, …
	Cause   string `json:"cause"`
	Deposed string `json:"deposed,omitempty"`
	// The run that changed it; none where somebody changed the state by hand.
	Run string `json:"run,omitempty"`
}

// Run is a shape of the API.
type Run struct {
	// Who started it, or on whose behalf.
	Actor string `json:"actor"`
	// Whether somebody has asked for its end.
	Cancelling bool      `json:"cancelling,omitempty"`
	Created    time.Time `json:"created"`
	// Of them, ended.
	Done  int64      `json:"done"`
	Ended *time.Time `json:"ended,omitempty"`
	// Where it works.
	Environment string `json:"environment"`
	// Of them, failed.
	Failed int64 `json:"failed"`
	// Names the run.
	ID string `json:"id"`
	// What it is a run of: workflow, apply, destroy, refresh, import, rollback.
	Kind string `json:"kind"`
	// Rules that were against it.
	Overrides []Override `json:"overrides,omitempty"`
	// The run that this one is a step of.
	Parent string `json:"parent,omitempty"`
	// Digest of the plan that it carries out.
	Plan string `json:"plan,omitempty"`
	// Why it failed, in a line.
	Problem string `json:"problem,omitempty"`
	// When its journal, logs and plan were removed because it was old.
	Pruned *time.Time `json:"pruned,omitempty"`
	// The code that it is about.
	Source *Source `json:"source,omitempty"`
	// The stack that it changes; none for runs of workflows.
	Stack   string     `json:"stack,omitempty"`
	Started *time.Time `json:"started,omitempty"`
	// Where it stands. It only moves forward.
	Status string `json:"status"`
	// How many operations it has; 0 as long as it is not known.
	Steps int64 `json:"steps"`
	// What it does, in a line.
	Summary string `json:"summary"`
	// What it, or a branch of it, wants of somebody outside before it can go on; none once it has ended.
	Waits string `json:"waits,omitempty"`
	// Name of the workflow.
	Workflow string `json:"workflow,omitempty"`
}

// RunCounts is a shape of the API.
type RunCounts struct {
	// How many failed in the time that was asked for.
	Failed      int64 `json:"failed"`
	Interrupted int64 `json:"interrupted"`
	Pending     int64 `json:"pending"`
	// Those that wait are among them.
	Running int64 `json:"running"`
	// Of those that run, how many wait for an approval or a signal.
	Waiting int64 `json:"waiting"`
}

// RunNews is a shape of the API.
type RunNews struct {
	Run   Run    `json:"run"`
	Steps []Step `json:"steps"`
}

// Session is a shape of the API.
type Session struct {
	// The environment that is selected; none where one has to be named.
	Environment string   `json:"environment,omitempty"`
	Groups      []string `json:"groups"`
	// Whether the project declares roles.
	Guarded bool `json:"guarded"`
	// Name of the project's directory.
	Project string   `json:"project"`
	Roles   []string `json:"roles"`
	// The last event of the feed.
	Sequence int64 `json:"sequence"`
	// Whom the client acts as.
	Subject string `json:"subject"`
	Version string `json:"version"`
}

// SignalRequest is a shape of the API.
type SignalRequest struct {
	// What comes with it.
	Data json.RawMessage `json:"data,omitempty"`
	// Name of the event.
	Event string `json:"event"`
}

// Source is a shape of the API.
type Source struct {
	// The commit, in full.
	Commit string `json:"commit"`
	// Number of the request to merge.
	PullRequest int64 `json:"pull_request,omitempty"`
	// Path of the repository; may be left out where the notify block names it.
	Repository string `json:"repository,omitempty"`
}

// Stack is a shape of the API.
type Stack struct {
	// What was found by looking at it; none where nobody has looked.
	Drift       *DriftSummary `json:"drift,omitempty"`
	Environment string        `json:"environment"`
	LastRun     *Run          `json:"last_run,omitempty"`
	// Empty for a plain directory.
	Name    string   `json:"name"`
	Needs   []string `json:"needs"`
	Objects int64    `json:"objects"`
	// Whether the project says that it is looked at again and again.
	Observed bool `json:"observed"`
	// How often its state was written; 0 where there is none.
	Serial int64  `json:"serial"`
	Source string `json:"source"`
}

// StartRequest is a shape of the API.
type StartRequest struct {
	// Where it is to work; the one selected unless given.
	Environment string `json:"environment,omitempty"`
	// The input of a state machine, instead of inputs; {} unless given.
	Input json.RawMessage `json:"input,omitempty"`
	// Values of its variables.
	Inputs map[string]json.RawMessage `json:"inputs,omitempty"`
	// Soft-mandatory policies and budgets that it may go against, where who asks may override them.
	Overrides []Override `json:"overrides,omitempty"`
	// The code that it is about: hosts of code are told how it goes (docs/notify.md).
	Source *Source `json:"source,omitempty"`
	// Name of the workflow.
	Workflow string `json:"workflow"`
}

// Step is a shape of the API.
type Step struct {
	// What it does: exec, http, plan, apply, approval, …; of a plan's run, create, update, …
	Action string `json:"action"`
	// What it wants of people, for each of its items that does.
	Asks  []Ask      `json:"asks,omitempty"`
	Begun *time.Time `json:"begun,omitempty"`
	// Of them, ended.
	Done  int64      `json:"done,omitempty"`
	Ended *time.Time `json:"ended,omitempty"`
	Error *StepError `json:"error,omitempty"`
	// Of a step with for_each.
	Items int64  `json:"items,omitempty"`
	Name  string `json:"name"`
	// Steps that come first.
	Needs []string `json:"needs"`
	// Where it stands in the workflow; none for the main part.
	Phase string `json:"phase,omitempty"`
	// The run of its own that the step is.
	Run    string `json:"run,omitempty"`
	Status string `json:"status"`
	// Whether what it did was undone.
	Undone bool `json:"undone,omitempty"`
	// What it waits for.
	Waits string `json:"waits,omitempty"`
}

// StepError is a shape of the API.
type StepError struct {
	Cause string `json:"cause"`
	Name  string `json:"name"`
}

// Trigger is a shape of the API.
type Trigger struct {
	// Where its runs work; none where the server's default holds.
	Environment string `json:"environment,omitempty"`
	Kind        string `json:"kind"`
	// What became of its last times, newest first.
	Last []Fired `json:"last,omitempty"`
	// What becomes of instants of its schedule that nobody saw to.
	Missed string `json:"missed,omitempty"`
	Name   string `json:"name"`
	// The next instants of its schedule.
	Next []time.Time `json:"next,omitempty"`
	// The pattern of its events, as it is written.
	On string `json:"on,omitempty"`
	// What becomes of an instant while the run of another goes on.
	Overlap string `json:"overlap,omitempty"`
	// Cron expression.
	Schedule string `json:"schedule,omitempty"`
	Timezone string `json:"timezone,omitempty"`
	// What has to hold of them besides, as it is written.
	When string `json:"when,omitempty"`
	// How many of them in which time, as it is written.
	Window   string `json:"window,omitempty"`
	Workflow string `json:"workflow"`
}

// VariableValue is a shape of the API.
type VariableValue struct {
	// What is in the file.
	Content string `json:"content,omitempty"`
	// Instead of name and value: what a .tfvars file is called, or a .tfvars.json file.
	File string `json:"file,omitempty"`
	// Name of the variable.
	Name string `json:"name,omitempty"`
	// Its value. A text is read as the option -var reads it.
	Value json.RawMessage `json:"value,omitempty"`
}

// Verification is a shape of the API.
type Verification struct {
	// The first event that is not as it was written.
	Event int64 `json:"event,omitempty"`
	// How many events were verified.
	Events int64 `json:"events"`
	// The hash of the last of them. Kept elsewhere and given later, it shows whether the whole feed was written anew.
	Head string `json:"head"`
	// What is wrong.
	Problem string `json:"problem,omitempty"`
	// Whether the chain holds.
	Valid bool `json:"valid"`
}

// Workflow is a shape of the API.
type Workflow struct {
	Description string `json:"description,omitempty"`
	LastRuns    []Run  `json:"last_runs,omitempty"`
	Name        string `json:"name"`
	// Whether it is one in the Amazon States Language.
	StateMachine bool               `json:"state_machine,omitempty"`
	Steps        []Step             `json:"steps"`
	Variables    []WorkflowVariable `json:"variables"`
}

// WorkflowVariable is a shape of the API.
type WorkflowVariable struct {
	Description string `json:"description,omitempty"`
	Name        string `json:"name"`
	Required    bool   `json:"required,omitempty"`
	Sensitive   bool   `json:"sensitive,omitempty"`
	Type        string `json:"type"`
}

// ListApprovals: List the steps that wait for an approval.
func (c *Client) ListApprovals(ctx context.Context) (*PageApproval, error) {
	out := new(PageApproval)
	return out, c.do(ctx, "GET", "/api/v1/approvals", nil, nil, out)
}

// ExportAuditQuery are the parameters of [Client.ExportAudit]; what is zero is not sent.
type ExportAuditQuery struct {
	// Only events behind this one.
	After int64
}

func (q ExportAuditQuery) values() url.Values {
	v := url.Values{}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(int64(q.After), 10))
	}
	return v
}

// ExportAudit: Read all events as CloudEvents, one JSON document a line. The caller closes what it reads from.
func (c *Client) ExportAudit(ctx context.Context, query ExportAuditQuery) (io.ReadCloser, error) {
	return c.read(ctx, "/api/v1/audit/export", query.values())
}

// VerifyAuditQuery are the parameters of [Client.VerifyAudit]; what is zero is not sent.
type VerifyAuditQuery struct {
	// A hash that was noted earlier, which must still be in the chain.
	Head string
}

func (q VerifyAuditQuery) values() url.Values {
	v := url.Values{}
	if q.Head != "" {
		v.Set("head", q.Head)
	}
	return v
}

// VerifyAudit: Verify that no event was altered, removed or put in.
func (c *Client) VerifyAudit(ctx context.Context, query VerifyAuditQuery) (*Verification, error) {
	out := new(Verification)
	return out, c.do(ctx, "GET", "/api/v1/audit/verify", query.values(), nil, out)
}

// KeepConfiguration: Send the files of a project to be planned instead of the server's own.
func (c *Client) KeepConfiguration(ctx context.Context, body []byte) (*Configuration, error) {
	out := new(Configuration)
	return out, c.do(ctx, "POST", "/api/v1/configurations", nil, archive(body), out)
}

// ListDeadLettersQuery are the parameters of [Client.ListDeadLetters]; what is zero is not sent.
type ListDeadLettersQuery struct {
	// Only those of this trigger.
	Trigger string
	// Where the page before ended.
	Cursor int64
	Limit  int64
}

func (q ListDeadLettersQuery) values() url.Values {
	v := url.Values{}
	if q.Trigger != "" {
		v.Set("trigger", q.Trigger)
	}
	if q.Cursor != 0 {
		v.Set("cursor", strconv.FormatInt(int64(q.Cursor), 10))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListDeadLetters: List the events that triggers could do nothing about, newest first.
func (c *Client) ListDeadLetters(ctx context.Context, query ListDeadLettersQuery) (*PageFired, error) {
	out := new(PageFired)
	return out, c.do(ctx, "GET", "/api/v1/dead-letters", query.values(), nil, out)
}

// RetryDeadLetter: Have a trigger try an event again.
func (c *Client) RetryDeadLetter(ctx context.Context, trigger string, event string) (*Fired, error) {
	out := new(Fired)
	return out, c.do(ctx, "POST", "/api/v1/dead-letters/"+url.PathEscape(trigger)+"/"+url.PathEscape(event)+"/retry", nil, nil, out)
}

// ListDeliveriesQuery are the parameters of [Client.ListDeliveries]; what is zero is not sent.
type ListDeliveriesQuery struct {
	// Only those of this notify block.
	Notify string
	// Only those that stand so.
	Status string
	// What the page before gave as next.
	Cursor string
	Limit  int64
}

func (q ListDeliveriesQuery) values() url.Values {
	v := url.Values{}
	if q.Notify != "" {
		v.Set("notify", q.Notify)
	}
	if q.Status != "" {
		v.Set("status", q.Status)
	}
	if q.Cursor != "" {
		v.Set("cursor", q.Cursor)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListDeliveries: List what was told to others, or is to be, newest first.
func (c *Client) ListDeliveries(ctx context.Context, query ListDeliveriesQuery) (*PageDelivery, error) {
	out := new(PageDelivery)
	return out, c.do(ctx, "GET", "/api/v1/deliveries", query.values(), nil, out)
}

// RetryDelivery: Send a dead delivery again.
func (c *Client) RetryDelivery(ctx context.Context, delivery string) (*Delivery, error) {
	out := new(Delivery)
	return out, c.do(ctx, "POST", "/api/v1/deliveries/"+url.PathEscape(delivery)+"/retry", nil, nil, out)
}

// ChangeStacks: Plan a change of several stacks together and, where asked for, carry it out.
func (c *Client) ChangeStacks(ctx context.Context, environment string, body ProjectChangeRequest) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/environments/"+url.PathEscape(environment)+"/changes", nil, body, out)
}

// ChangeStack: Plan a change of a stack and, where asked for, carry it out.
func (c *Client) ChangeStack(ctx context.Context, environment string, stack string, body ChangeRequest) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/environments/"+url.PathEscape(environment)+"/stacks/"+url.PathEscape(stack)+"/changes", nil, body, out)
}

// GetDrift: Say what of a stack is not as it was left.
func (c *Client) GetDrift(ctx context.Context, environment string, stack string) (*Drift, error) {
	out := new(Drift)
	return out, c.do(ctx, "GET", "/api/v1/environments/"+url.PathEscape(environment)+"/stacks/"+url.PathEscape(stack)+"/drift", nil, nil, out)
}

// ListObjects: List the objects of a stack.
func (c *Client) ListObjects(ctx context.Context, environment string, stack string) (*PageObject, error) {
	out := new(PageObject)
	return out, c.do(ctx, "GET", "/api/v1/environments/"+url.PathEscape(environment)+"/stacks/"+url.PathEscape(stack)+"/objects", nil, nil, out)
}

// ObserveStack: Look now whether a stack is as it was left.
func (c *Client) ObserveStack(ctx context.Context, environment string, stack string, body ObserveRequest) (*Drift, error) {
	out := new(Drift)
	return out, c.do(ctx, "POST", "/api/v1/environments/"+url.PathEscape(environment)+"/stacks/"+url.PathEscape(stack)+"/observe", nil, body, out)
}

// ListOutputs: List the outputs of a stack.
func (c *Client) ListOutputs(ctx context.Context, environment string, stack string) (*PageOutput, error) {
	out := new(PageOutput)
	return out, c.do(ctx, "GET", "/api/v1/environments/"+url.PathEscape(environment)+"/stacks/"+url.PathEscape(stack)+"/outputs", nil, nil, out)
}

// ListRevisionsQuery are the parameters of [Client.ListRevisions]; what is zero is not sent.
type ListRevisionsQuery struct {
	// What the page before gave as next.
	Cursor int64
	Limit  int64
}

func (q ListRevisionsQuery) values() url.Values {
	v := url.Values{}
	if q.Cursor != 0 {
		v.Set("cursor", strconv.FormatInt(int64(q.Cursor), 10))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListRevisions: List what changed the objects of a stack, newest first.
func (c *Client) ListRevisions(ctx context.Context, environment string, stack string, query ListRevisionsQuery) (*PageRevision, error) {
	out := new(PageRevision)
	return out, c.do(ctx, "GET", "/api/v1/environments/"+url.PathEscape(environment)+"/stacks/"+url.PathEscape(stack)+"/revisions", query.values(), nil, out)
}

// ListEventsQuery are the parameters of [Client.ListEvents]; what is zero is not sent.
type ListEventsQuery struct {
	// Only events behind this one.
	After int64
	// Only events before this one.
	Before int64
	// Begin so many events before the end, instead of at after.
	Last int64
	// The newest first: next is then what to give as before.
	Newest bool
	// Only events that happened then or later.
	Since time.Time
	// Only events of this type; ending in * those that begin so.
	Type string
	// Only events about this.
	Subject string
	Limit   int64
}

func (q ListEventsQuery) values() url.Values {
	v := url.Values{}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(int64(q.After), 10))
	}
	if q.Before != 0 {
		v.Set("before", strconv.FormatInt(int64(q.Before), 10))
	}
	if q.Last != 0 {
		v.Set("last", strconv.FormatInt(int64(q.Last), 10))
	}
	if q.Newest {
		v.Set("newest", "true")
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Type != "" {
		v.Set("type", q.Type)
	}
	if q.Subject != "" {
		v.Set("subject", q.Subject)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListEvents: List what happened, oldest first unless asked otherwise.
func (c *Client) ListEvents(ctx context.Context, query ListEventsQuery) (*PageEvent, error) {
	out := new(PageEvent)
	return out, c.do(ctx, "GET", "/api/v1/events", query.values(), nil, out)
}

// AcceptEvents: Tell of an event: a CloudEvent, or a list of them.
func (c *Client) AcceptEvents(ctx context.Context, body json.RawMessage) (*PageEventAccepted, error) {
	out := new(PageEventAccepted)
	return out, c.do(ctx, "POST", "/api/v1/events", nil, body, out)
}

// StreamEventsQuery are the parameters of [Client.StreamEvents]; what is zero is not sent.
type StreamEventsQuery struct {
	// Only events behind this one; -1 only what happens from now on.
	After int64
}

func (q StreamEventsQuery) values() url.Values {
	v := url.Values{}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(int64(q.After), 10))
	}
	return v
}

// StreamEventsHearer hears the messages of [Client.StreamEvents]; nil for those that do not matter.
type StreamEventsHearer struct {
	Alive func(Alive) error
	Event func(Event) error
}

// StreamEvents: Hear what happens, from a cursor on. It returns when the stream has ended.
func (c *Client) StreamEvents(ctx context.Context, query StreamEventsQuery, hear StreamEventsHearer) error {
	return c.stream(ctx, "/api/v1/events/stream", query.values(), func(event string, data []byte) error {
		switch event {
		case "alive":
			if hear.Alive != nil {
				var v Alive
				if err := json.Unmarshal(data, &v); err != nil {
					return err
				}
				return hear.Alive(v)
			}
		case "event":
			if hear.Event != nil {
				var v Event
				if err := json.Unmarshal(data, &v); err != nil {
					return err
				}
				return hear.Event(v)
			}
		}
		return nil
	})
}

// GetEvent: Look at an event, and at what triggers did about it.
func (c *Client) GetEvent(ctx context.Context, sequence string) (*EventDetails, error) {
	out := new(EventDetails)
	return out, c.do(ctx, "GET", "/api/v1/events/"+url.PathEscape(sequence), nil, nil, out)
}

// ReplayEvent: Give an event to triggers anew.
func (c *Client) ReplayEvent(ctx context.Context, sequence string, body ReplayRequest) (*EventAccepted, error) {
	out := new(EventAccepted)
	return out, c.do(ctx, "POST", "/api/v1/events/"+url.PathEscape(sequence)+"/replay", nil, body, out)
}

// GetPlanQuery are the parameters of [Client.GetPlan]; what is zero is not sent.
type GetPlanQuery struct {
	// A run that waits for its approval: it is judged for whom that is by, with the overrides it was given.
	Run string
}

func (q GetPlanQuery) values() url.Values {
	v := url.Values{}
	if q.Run != "" {
		v.Set("run", q.Run)
	}
	return v
}

// GetPlan: Read a plan with what policy says and what it costs.
func (c *Client) GetPlan(ctx context.Context, plan string, query GetPlanQuery) (*PlanDocument, error) {
	out := new(PlanDocument)
	return out, c.do(ctx, "GET", "/api/v1/plans/"+url.PathEscape(plan), query.values(), nil, out)
}

// CountRunsQuery are the parameters of [Client.CountRuns]; what is zero is not sent.
type CountRunsQuery struct {
	// Only runs that are no steps of others.
	Top bool
	// From when on failures count; a day unless given.
	Since time.Time
}

func (q CountRunsQuery) values() url.Values {
	v := url.Values{}
	if q.Top {
		v.Set("top", "true")
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	return v
}

// CountRuns: Count the runs that have not ended, and those that failed lately.
func (c *Client) CountRuns(ctx context.Context, query CountRunsQuery) (*RunCounts, error) {
	out := new(RunCounts)
	return out, c.do(ctx, "GET", "/api/v1/run-counts", query.values(), nil, out)
}

// ListRunsQuery are the parameters of [Client.ListRuns]; what is zero is not sent.
type ListRunsQuery struct {
	// Only runs that change this stack.
	Stack string
	// Only runs in this environment.
	Environment string
	// Only runs that stand so; waiting are those that run and wait for an approval or a signal.
	Status string
	// Only runs of this kind.
	Kind string
	// Only the steps of this run that are runs of their own.
	Parent string
	// Only runs that are no steps of others.
	Top bool
	// What the page before gave as next.
	Cursor string
	Limit  int64
}

func (q ListRunsQuery) values() url.Values {
	v := url.Values{}
	if q.Stack != "" {
		v.Set("stack", q.Stack)
	}
	if q.Environment != "" {
		v.Set("environment", q.Environment)
	}
	if q.Status != "" {
		v.Set("status", q.Status)
	}
	if q.Kind != "" {
		v.Set("kind", q.Kind)
	}
	if q.Parent != "" {
		v.Set("parent", q.Parent)
	}
	if q.Top {
		v.Set("top", "true")
	}
	if q.Cursor != "" {
		v.Set("cursor", q.Cursor)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListRuns: List runs, newest first.
func (c *Client) ListRuns(ctx context.Context, query ListRunsQuery) (*PageRun, error) {
	out := new(PageRun)
	return out, c.do(ctx, "GET", "/api/v1/runs", query.values(), nil, out)
}

// StartRun: Run a workflow.
func (c *Client) StartRun(ctx context.Context, body StartRequest) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/runs", nil, body, out)
}

// GetRun: Look at a run.
func (c *Client) GetRun(ctx context.Context, run string) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run), nil, nil, out)
}

// CancelRun: Cancel a run; asked a second time, cut it off.
func (c *Client) CancelRun(ctx context.Context, run string) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/runs/"+url.PathEscape(run)+"/cancel", nil, nil, out)
}

// DecideStep: Approve or reject a step that waits for it.
func (c *Client) DecideStep(ctx context.Context, run string, body DecisionRequest) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/runs/"+url.PathEscape(run)+"/decisions", nil, body, out)
}

// ListJournalQuery are the parameters of [Client.ListJournal]; what is zero is not sent.
type ListJournalQuery struct {
	// Only entries behind this one.
	After int64
	Limit int64
}

func (q ListJournalQuery) values() url.Values {
	v := url.Values{}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(int64(q.After), 10))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListJournal: Read the journal of a run.
func (c *Client) ListJournal(ctx context.Context, run string, query ListJournalQuery) (*PageEntry, error) {
	out := new(PageEntry)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run)+"/journal", query.values(), nil, out)
}

// ListLogsQuery are the parameters of [Client.ListLogs]; what is zero is not sent.
type ListLogsQuery struct {
	// Only of this step.
	Step string
	// Only pieces behind this one.
	After int64
	Limit int64
}

func (q ListLogsQuery) values() url.Values {
	v := url.Values{}
	if q.Step != "" {
		v.Set("step", q.Step)
	}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(int64(q.After), 10))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListLogs: Read what the steps of a run wrote.
func (c *Client) ListLogs(ctx context.Context, run string, query ListLogsQuery) (*PageLog, error) {
	out := new(PageLog)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run)+"/logs", query.values(), nil, out)
}

// ListRunOutputs: List what a run of a workflow returned.
func (c *Client) ListRunOutputs(ctx context.Context, run string) (*PageOutput, error) {
	out := new(PageOutput)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run)+"/outputs", nil, nil, out)
}

// GetRunResultQuery are the parameters of [Client.GetRunResult]; what is zero is not sent.
type GetRunResultQuery struct {
	// With what happened.
	History bool
}

func (q GetRunResultQuery) values() url.Values {
	v := url.Values{}
	if q.History {
		v.Set("history", "true")
	}
	return v
}

// GetRunResult: Say how a run of a state machine ended, and what it returned.
func (c *Client) GetRunResult(ctx context.Context, run string, query GetRunResultQuery) (*MachineResult, error) {
	out := new(MachineResult)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run)+"/result", query.values(), nil, out)
}

// ResumeRun: Go on with a run that nobody works on.
func (c *Client) ResumeRun(ctx context.Context, run string) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/runs/"+url.PathEscape(run)+"/resume", nil, nil, out)
}

// RetryRun: Run a workflow again from a step on, taking over what had succeeded.
func (c *Client) RetryRun(ctx context.Context, run string, body RetryRequest) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/runs/"+url.PathEscape(run)+"/retry", nil, body, out)
}

// SignalRun: Tell a run that something happened.
func (c *Client) SignalRun(ctx context.Context, run string, body SignalRequest) (*Run, error) {
	out := new(Run)
	return out, c.do(ctx, "POST", "/api/v1/runs/"+url.PathEscape(run)+"/signals", nil, body, out)
}

// ListSteps: List the steps of a run.
func (c *Client) ListSteps(ctx context.Context, run string) (*PageStep, error) {
	out := new(PageStep)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run)+"/steps", nil, nil, out)
}

// ListItemsQuery are the parameters of [Client.ListItems]; what is zero is not sent.
type ListItemsQuery struct {
	// Only items that stand so.
	Status string
	// What the page before gave as next, or how many to leave out.
	Cursor string
	Limit  int64
}

func (q ListItemsQuery) values() url.Values {
	v := url.Values{}
	if q.Status != "" {
		v.Set("status", q.Status)
	}
	if q.Cursor != "" {
		v.Set("cursor", q.Cursor)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.FormatInt(int64(q.Limit), 10))
	}
	return v
}

// ListItems: List the items of a step with for_each, in their order.
func (c *Client) ListItems(ctx context.Context, run string, step string, query ListItemsQuery) (*ItemList, error) {
	out := new(ItemList)
	return out, c.do(ctx, "GET", "/api/v1/runs/"+url.PathEscape(run)+"/steps/"+url.PathEscape(step)+"/items", query.values(), nil, out)
}

// StreamRunQuery are the parameters of [Client.StreamRun]; what is zero is not sent.
type StreamRunQuery struct {
	// Only pieces of log behind this one.
	After int64
}

func (q StreamRunQuery) values() url.Values {
	v := url.Values{}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(int64(q.After), 10))
	}
	return v
}

// StreamRunHearer hears the messages of [Client.StreamRun]; nil for those that do not matter.
type StreamRunHearer struct {
	Alive func(Alive) error
	End   func(End) error
	Log   func(Log) error
	Run   func(RunNews) error
}

// StreamRun: Hear how a run goes on, and what its steps write. It returns when the stream has ended.
func (c *Client) StreamRun(ctx context.Context, run string, query StreamRunQuery, hear StreamRunHearer) error {
	return c.stream(ctx, "/api/v1/runs/"+url.PathEscape(run)+"/stream", query.values(), func(event string, data []byte) error {
		switch event {
		case "alive":
			if hear.Alive != nil {
				var v Alive
				if err := json.Unmarshal(data, &v); err != nil {
					return err
				}
				return hear.Alive(v)
			}
		case "end":
			if hear.End != nil {
				var v End
				if err := json.Unmarshal(data, &v); err != nil {
					return err
				}
				return hear.End(v)
			}
		case "log":
			if hear.Log != nil {
				var v Log
				if err := json.Unmarshal(data, &v); err != nil {
					return err
				}
				return hear.Log(v)
			}
		case "run":
			if hear.Run != nil {
				var v RunNews
				if err := json.Unmarshal(data, &v); err != nil {
					return err
				}
				return hear.Run(v)
			}
		}
		return nil
	})
}

// GetSession: Say who asks, and what is asked.
func (c *Client) GetSession(ctx context.Context) (*Session, error) {
	out := new(Session)
	return out, c.do(ctx, "GET", "/api/v1/session", nil, nil, out)
}

// ListStacks: List the project's stacks.
func (c *Client) ListStacks(ctx context.Context) (*PageStack, error) {
	out := new(PageStack)
	return out, c.do(ctx, "GET", "/api/v1/stacks", nil, nil, out)
}

// ListTriggersQuery are the parameters of [Client.ListTriggers]; what is zero is not sent.
type ListTriggersQuery struct {
	// How many of the last times of each are told.
	Last int64
}

func (q ListTriggersQuery) values() url.Values {
	v := url.Values{}
	if q.Last != 0 {
		v.Set("last", strconv.FormatInt(int64(q.Last), 10))
	}
	return v
}

// ListTriggers: List what starts workflows by itself.
func (c *Client) ListTriggers(ctx context.Context, query ListTriggersQuery) (*PageTrigger, error) {
	out := new(PageTrigger)
	return out, c.do(ctx, "GET", "/api/v1/triggers", query.values(), nil, out)
}

// ListWorkflows: List the project's workflows.
func (c *Client) ListWorkflows(ctx context.Context) (*PageWorkflow, error) {
	out := new(PageWorkflow)
	return out, c.do(ctx, "GET", "/api/v1/workflows", nil, nil, out)
}

// GetWorkflow: Look at a workflow.
func (c *Client) GetWorkflow(ctx context.Context, workflow string) (*Workflow, error) {
	out := new(Workflow)
	return out, c.do(ctx, "GET", "/api/v1/workflows/"+url.PathEscape(workflow), nil, nil, out)
}
