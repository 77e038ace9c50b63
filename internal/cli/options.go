package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/project"
)

func registerVariables(f *flagSet, o *project.VariableOptions) {
	registerValues(f, o)
	o.Input = inputAllowed()
	f.toggle(&o.Input, "input", "Whether to ask for variables without a value; -input=false makes that an error.")
}

// registerValues is registerVariables without the option that allows questions.
func registerValues(f *flagSet, o *project.VariableOptions) {
	f.each("var", "NAME=VALUE", "Set an input variable of the root module. May be given several times.", func(s string) error {
		if !strings.Contains(s, "=") {
			return fmt.Errorf("%q must have the form NAME=VALUE", s)
		}
		o.Given = append(o.Given, configs.GivenVariable{Text: s})
		return nil
	})
	f.each("var-file", "FILE", "Read values of input variables from a file, besides terraform.tfvars and *.auto.tfvars. May be given several times.", func(s string) error {
		o.Given = append(o.Given, configs.GivenVariable{File: true, Text: s})
		return nil
	})
}

// inputAllowed is what TF_INPUT says; true unless set to a false word.
func inputAllowed() bool {
	switch strings.ToLower(os.Getenv("TF_INPUT")) {
	case "0", "false", "no", "off":
		return false
	}
	return true
}

// inAutomation is what TF_IN_AUTOMATION says: hints about the next command to
// type are left out.
func inAutomation() bool { return os.Getenv("TF_IN_AUTOMATION") != "" }

func registerPlan(f *flagSet, o *operations.PlanOptions) {
	o.Refresh, o.Parallelism = true, operations.DefaultParallelism
	f.heading("What is planned")
	f.toggle(&o.Destroy, "destroy", "Plan to destroy everything that is managed here.")
	f.toggle(&o.RefreshOnly, "refresh-only", "Only see whether real objects still are as recorded, and propose to record the differences.")
	f.toggle(&o.Refresh, "refresh", "Whether to read every object before planning; -refresh=false trusts what is recorded.")
	f.list(&o.Replaces, "replace", "ADDRESS", "Replace this resource instance although an update or nothing would do. May be given several times.")
	f.list(&o.Targets, "target", "ADDRESS", "Only this module, resource or instance, and what it depends on. For exceptional use. May be given several times.")
	f.list(&o.Excludes, "exclude", "ADDRESS", "All but this module, resource or instance, and what depends on it. May be given several times.")
	registerVariables(f, &o.VariableOptions)
	f.text(&o.GenerateConfigOut, "generate-config-out", "FILE", "Write configuration for import blocks that have none to a new file.")
	f.heading("Other options")
	f.number(&o.Parallelism, "parallelism", "N", "Bound on concurrent operations; 10 unless given.")
}

// stateOptions are the flags about where state is and how it is claimed. State
// lives in the store of the project; -state names a tfstate file used instead
// of it for reading, and kept up to date after writing.
type stateOptions struct {
	lock        bool
	lockTimeout time.Duration
	state       string
	stateOut    string
	backup      string
	gate        gateOptions // of commands that change states by hand
}

// ofOneStack refuses options that name the state file of one directory, where
// several stacks are worked on.
func (o *stateOptions) ofOneStack() diag.List {
	if o.state == "" && o.stateOut == "" {
		return nil
	}
	return diag.Errorf("Which stack?", "Options -state and -state-out name the state file of one stack: choose it with -stack=NAME.")
}

// registerLock registers what every command that writes state has.
func (o *stateOptions) registerLock(f *flagSet) {
	o.lock = true
	f.toggle(&o.lock, "lock", "Whether to claim what is changed. Claims are per resource and cost nothing; -lock=false is accepted but has no effect.")
	f.duration(&o.lockTimeout, "lock-timeout", "DURATION", "How long to wait for resources that another run is changing, for example 30s.")
}

// registerRead registers what commands that only read state have.
func (o *stateOptions) registerRead(f *flagSet) {
	f.text(&o.state, "state", "FILE", "Work on this tfstate file instead of the state of the environment.")
}

// registerChange registers what commands that change state have.
func (o *stateOptions) registerChange(f *flagSet) {
	o.registerLock(f)
	o.registerRead(f)
	f.text(&o.stateOut, "state-out", "FILE", "Write the tfstate file here instead of to the one of -state.")
	f.text(&o.backup, "backup", "FILE", "Where to keep the previous tfstate file with -state; - for nowhere.")
	f.accept("ignore-remote-version")
	f.acceptText("backup-out")
}

// outputOptions are the flags about how a command shows things.
type outputOptions struct {
	json            bool
	compactWarnings bool
}

func (o *outputOptions) registerJSON(f *flagSet, text string) { f.toggle(&o.json, "json", text) }
