// Package projects reads the files of a project, *.tutti.hcl: environments,
// stacks, workflows, what starts them and what limits them. Like package
// configs it knows the shape of the language and evaluates nothing that depends
// on variables or on what happens.
package projects

import (
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/tutti-dev/tutti/internal/events/windows"
	"github.com/zclconf/go-cty/cty"
)

// Suffix is how the names of project files end.
const Suffix = ".tutti.hcl"

// Project is everything the files of a directory declare.
type Project struct {
	Dir string
	configs.Declarations

	Environments map[string]*Environment
	Stacks       map[string]*Stack
	Workflows    map[string]*Workflow
	Pools        map[string]*Pool
	Triggers     map[string]*Trigger
	Notifies     map[string]*Notify
	Webhooks     map[string]*Webhook
	Sources      map[string]*Source
	Policies     map[string]*Policy
	Secrets      map[string]*Secret
	Budgets      map[string]*Budget
	Cost         *Cost // nil where nothing is said
	Moves        []*Move
	Observes     []*Observe
	Roles        map[string]*Role
	Grants       []*Grant
	Identities   map[string]*Identity
	// Guarded says that the files say something about who may do what, or cannot
	// be read well enough to know that they do not.
	Guarded bool

	// Files holds the source text of every file read, by name: for quoting lines
	// in diagnostics, and as the snapshot a run is pinned to.
	Files map[string][]byte
}

// Environment is an environment block: named inputs, labels and guards.
type Environment struct {
	Name      string
	Labels    map[string]string
	Variables map[string]hcl.Expression // constants; by project variable
	DeclRange hcl.Range
}

// Stack is a stack block: one root module with one state per environment.
type Stack struct {
	Name        string
	Source      string                    // directory, relative to the project
	Inputs      map[string]hcl.Expression // by variable of the root module
	InputsRange hcl.Range                 // of the inputs argument; empty where there is none
	Needs       []Reference               // stacks that come first without giving anything
	DeclRange   hcl.Range
}

// Policy is a policy block: rules that every change has to pass.
type Policy struct {
	Name        string
	Source      string // directory of Rego files, relative to the project
	Enforcement string // advisory, soft-mandatory or mandatory; mandatory unless given
	Stacks      []Reference
	// When are the labels that the environment must have for the policy to apply;
	// empty for every environment.
	When map[string]string
	// Decisions are the rules and packages that are asked for; empty for every rule
	// named deny, violation or warn.
	Decisions []string
	Data      []string // more data documents: files and directories, relative to the project
	DeclRange hcl.Range
	// SourceRange is where the source is named, for diagnostics.
	SourceRange hcl.Range
}

// Chooses reports whether the policy is for environments with these labels.
func (p *Policy) Chooses(labels map[string]string) bool {
	for name, want := range p.When {
		if have, ok := labels[name]; !ok || have != want {
			return false
		}
	}
	return true
}

// Applies reports whether the policy is about a stack in an environment with
// these labels. A directory that is no stack has the name "".
func (p *Policy) Applies(stack string, labels map[string]string) bool {
	if !p.Chooses(labels) {
		return false
	}
	for _, s := range p.Stacks {
		if s.Name == stack {
			return true
		}
	}
	return len(p.Stacks) == 0
}

// Move says that an object of one stack now belongs to another.
type Move struct {
	FromStack, ToStack string
	From, To           addrs.ResourceInstance
	DeclRange          hcl.Range
}

// Pool is a named limit across runs: how many steps may be at work at once, and
// how many may begin within a time.
type Pool struct {
	Name      string
	Limit     int           // at once; 0 for no limit
	Rate      int           // begun within Per; 0 for no limit
	Per       time.Duration //
	DeclRange hcl.Range
}

// Trigger is a trigger block: what starts a workflow from outside.
type Trigger struct {
	Name     string
	Schedule string // cron expression; empty where an event triggers
	Timezone string
	Missed   string // skip, latest or all(N); latest unless given
	Overlap  string // skip, queue or replace; skip unless given
	// On is the pattern of events that start the workflow; nil for a schedule, or
	// where it is wrong.
	On *patterns.Pattern
	// When is what has to hold of such an event besides; nil for nothing.
	When hcl.Expression
	// Window says how many of the events make the trigger fire. The parts of its
	// pattern are On and those of Parts, in order.
	Window windows.Rule
	Parts  []*patterns.Pattern
	// Key tells events apart that have nothing to do with each other, and Once those
	// that say something new; nil where they do not matter.
	Key, Once hcl.Expression
	Workflow  Reference
	Inputs    map[string]hcl.Expression
	// Environment the runs work in; empty for the default one.
	Environment string
	// As is the service that the runs act as; empty for the trigger itself.
	As        string
	DeclRange hcl.Range
	Ranges    map[string]hcl.Range // of the arguments, for diagnostics
}

// Actor is who the runs of the trigger are by.
func (t *Trigger) Actor() string {
	if t.As != "" {
		return t.As
	}
	return "trigger:" + t.Name
}

// Reference names something a project declares: workflow.NAME, stack.NAME,
// step.NAME, pool.NAME, role.NAME, secret.NAME.
type Reference struct {
	Kind  string
	Name  string
	Range hcl.Range
}

// Workflow is a workflow block.
type Workflow struct {
	Name        string
	Description string
	configs.Declarations
	Steps       []*Step // in order of declaration
	OnFailure   []*Step
	Finally     []*Step
	Parallelism int // steps at work at once; 0 for the default
	Priority    int

	// Definition is a state machine in the Amazon States Language: its file,
	// relative to the project, or its text. The workflow then has no steps of its
	// own.
	Definition      string
	DefinitionRange hcl.Range
	Bindings        []*Binding
	// Rotates is the secret whose rotation the workflow is; empty for others.
	Rotates   string
	DeclRange hcl.Range
}

// Inline reports whether the definition is the text of a state machine, and not
// the name of its file.
func (w *Workflow) Inline() bool { return strings.HasPrefix(strings.TrimSpace(w.Definition), "{") }

// Binding says what a resource of a state machine means here.
type Binding struct {
	Resource  string  // ARN; * stands for anything
	Action    *Action // its expressions see the task's arguments as "input"
	DeclRange hcl.Range
}

// Step is a step block: one action with what surrounds it.
type Step struct {
	Name   string
	Action *Action

	When    hcl.Expression // nil for always
	ForEach hcl.Expression // nil for one
	Needs   []Reference

	Concurrency int // items at once; 0 for as many as the run allows
	// Tolerated failures of items: a number, or a percentage of them.
	Tolerated        int
	ToleratedPercent float64

	Retry     *Retry
	Timeout   time.Duration // of one attempt; 0 for none
	Heartbeat time.Duration // longest silence of an attempt; 0 for any
	Catch     []*Catch
	Undo      *Action // nil for none
	Pool      *Reference
	Priority  *int // nil for the workflow's
	Cache     *Cache
	DeclRange hcl.Range
}

// Action is the block that says what a step does. Arguments are as
// [ActionSchema] says; those it calls references are in References instead.
type Action struct {
	Kind       string
	Arguments  map[string]hcl.Expression
	References map[string]Reference
	DeclRange  hcl.Range

	// Versions gives, in the workflow of a rotation, the versions of its secret that
	// the action sees, as an object with version and old; nil for the current one.
	Versions hcl.Expression
	// Keeps says that what the action prints is the new value of the secret that
	// the workflow rotates: it is kept as that, and is written nowhere else.
	Keeps bool
}

// Retry says how often and when a failed attempt is made again.
type Retry struct {
	Attempts   int // all together, the first included
	Backoff    time.Duration
	MaxBackoff time.Duration // 0 for no bound
	Factor     float64
	Jitter     bool     // full: anything between nothing and the delay
	On         []string // errors; empty for all but those that must not be repeated blindly
}

// Catch ends a failed step as caught: what depends on it goes on.
type Catch struct {
	Errors    []string       // empty for all
	Outputs   hcl.Expression // of the step, then; nil for null
	DeclRange hcl.Range
}

// Cache lets a step take the outputs of an earlier success with the same key.
type Cache struct {
	Key       hcl.Expression
	TTL       time.Duration // 0 for ever
	DeclRange hcl.Range
}

// ActionSchema says which arguments an action block takes and what comes out.
type ActionSchema struct {
	Arguments map[string]Argument
	// Outputs is the type of the step's outputs; dynamic where it depends.
	Outputs cty.Type
	// Idempotent actions may simply be done again after a crash, others where
	// their argument idempotent says so.
	Idempotent bool
	// Own actions are in workflows that Tutti writes itself, and in no files.
	Own bool
}

// Argument is one argument of an action.
type Argument struct {
	Type      cty.Type
	Required  bool
	Reference string // the kind of thing named, for arguments that are references
}

var (
	text     = Argument{Type: cty.String}
	flag     = Argument{Type: cty.Bool}
	number   = Argument{Type: cty.Number}
	texts    = Argument{Type: cty.List(cty.String)}
	mapping  = Argument{Type: cty.Map(cty.String)}
	anything = Argument{Type: cty.DynamicPseudoType}
)

func required(a Argument) Argument {
	a.Required = true
	return a
}

func reference(kind string) Argument { return Argument{Reference: kind} }

func with(base map[string]Argument, more map[string]Argument) map[string]Argument {
	out := map[string]Argument{}
	for name, a := range base {
		out[name] = a
	}
	for name, a := range more {
		out[name] = a
	}
	return out
}

// process are the arguments of everything that starts a process here.
var process = map[string]Argument{
	"dir": text, "environment": mapping, "stdin": text, "idempotent": flag, "artifacts": texts,
}

// processOutputs is what a process leaves behind. result is the JSON value it
// wrote to the file named by TUTTI_RESULT, null where it wrote none.
var processOutputs = cty.Object(map[string]cty.Type{
	"exit_code": cty.Number, "stdout": cty.String, "stderr": cty.String, "result": cty.DynamicPseudoType,
})

// Actions is the table of everything a step can do.
var Actions = map[string]ActionSchema{
	"exec": {
		Arguments: with(process, map[string]Argument{"command": required(texts)}),
		Outputs:   processOutputs,
	},
	"script": {
		Arguments: with(process, map[string]Argument{"source": required(text), "interpreter": text, "arguments": texts}),
		Outputs:   processOutputs,
	},
	"ansible": {
		Arguments: with(process, map[string]Argument{
			"playbook": required(text), "inventory": anything, "variables": anything, "limit": text, "tags": texts, "check": flag,
		}),
		Outputs: cty.Object(map[string]cty.Type{
			"hosts": cty.Map(cty.Object(map[string]cty.Type{
				"ok": cty.Number, "changed": cty.Number, "failures": cty.Number, "unreachable": cty.Number, "skipped": cty.Number,
			})), "changed": cty.Bool,
		}),
		Idempotent: true,
	},
	"http": {
		Arguments: map[string]Argument{
			"url": required(text), "method": text, "headers": mapping, "body": anything, "expect_status": anything, "idempotent": flag,
		},
		Outputs: cty.Object(map[string]cty.Type{
			"status": cty.Number, "headers": cty.Map(cty.String), "body": cty.String, "json": cty.DynamicPseudoType,
		}),
	},
	"plan": {
		Arguments: map[string]Argument{
			"stack": reference("stack"), "stacks": texts, "configuration": text, "directory": text, "inputs": anything, "given": text, "rollback": text,
			"destroy": flag, "refresh": flag, "refresh_only": flag, "targets": texts, "excludes": texts, "replaces": texts,
		},
		Outputs: cty.Object(map[string]cty.Type{
			"digest": cty.String, "add": cty.Number, "change": cty.Number, "destroy": cty.Number, "changes": cty.Bool,
			"stacks": cty.List(cty.String), // that the plan is for, in the order they are applied
		}),
		Idempotent: true,
	},
	"apply": {
		Arguments:  map[string]Argument{"stack": required(reference("stack")), "inputs": anything, "plan": text, "targets": texts},
		Outputs:    cty.DynamicPseudoType, // the outputs of the stack
		Idempotent: true,                  // a run of its own, which is resumed
	},
	"destroy": {
		Arguments:  map[string]Argument{"stack": required(reference("stack")), "inputs": anything, "targets": texts},
		Outputs:    cty.EmptyObject,
		Idempotent: true,
	},
	"rollback": {
		Arguments:  map[string]Argument{"run": text},
		Outputs:    cty.EmptyObject,
		Idempotent: true,
	},
	"approval": {
		Arguments: map[string]Argument{"message": text, "plan": text, "roles": texts, "count": number, "expires": text, "forbid_self": flag},
		Outputs: cty.Object(map[string]cty.Type{
			"by": cty.List(cty.String), "comment": cty.String, "plan": cty.String,
		}),
		Idempotent: true,
	},
	"wait": {
		Arguments:  map[string]Argument{"duration": text, "until": text, "event": text, "match": anything},
		Outputs:    cty.Object(map[string]cty.Type{"data": cty.DynamicPseudoType}),
		Idempotent: true,
	},
	"workflow": {
		Arguments:  map[string]Argument{"run": required(reference("workflow")), "inputs": anything},
		Outputs:    cty.DynamicPseudoType, // the outputs of the workflow
		Idempotent: true,
	},
	"emit": {
		Arguments:  map[string]Argument{"type": required(text), "subject": text, "data": anything},
		Outputs:    cty.EmptyObject,
		Idempotent: true,
	},
	"rotation": {
		Arguments: map[string]Argument{"change": required(text), "version": number, "old": number, "length": number, "characters": text, "stacks": anything},
		Outputs: cty.Object(map[string]cty.Type{
			"version": cty.Number, "old": cty.Number, "promoted": cty.Bool, "made": cty.Bool, "retired": cty.Bool, "text": cty.String,
		}),
		Idempotent: true,
		Own:        true,
	},
	"invoke": {
		Arguments: map[string]Argument{"stack": required(reference("stack")), "action": required(text), "config": anything, "idempotent": flag},
		Outputs:   cty.EmptyObject,
	},
}
