package operations

import (
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
)

// DefaultParallelism bounds concurrent provider calls unless -parallelism says
// otherwise.
const DefaultParallelism = 10

// PlanOptions are the flags that shape a plan.
type PlanOptions struct {
	project.VariableOptions
	Targets, Excludes, Replaces []string
	Refresh                     bool
	RefreshOnly                 bool
	Destroy                     bool
	Parallelism                 int
	GenerateConfigOut           string
}

// Mode is what kind of plan is asked for, where the options make sense.
func (o *PlanOptions) Mode() plans.Mode {
	switch {
	case o.Destroy:
		return plans.Destroy
	case o.RefreshOnly:
		return plans.RefreshOnly
	}
	return plans.Normal
}

// Kind is the kind of run that carries out such a plan.
func (o *PlanOptions) Kind() string { return KindOf(o.Mode()) }

// KindOf is the kind of run that carries out a plan made in a mode.
func KindOf(mode plans.Mode) string {
	switch mode {
	case plans.Destroy:
		return "destroy"
	case plans.RefreshOnly:
		return "refresh"
	}
	return "apply"
}

// PlanRequest is [PlanOptions] understood.
type PlanRequest struct {
	mode     plans.Mode
	targets  []addrs.Target
	excludes []addrs.Target
	replaces []addrs.ResourceInstance
}

// Request understands the options, or says which make no sense.
func (o *PlanOptions) Request() (PlanRequest, diag.List) {
	var diags diag.List
	req := PlanRequest{mode: plans.Normal}
	switch {
	case o.Destroy && o.RefreshOnly:
		diags = append(diags, diag.Errorf("Options that exclude each other", "Options -destroy and -refresh-only ask for different kinds of plans: give only one.")...)
	case o.Destroy:
		req.mode = plans.Destroy
	case o.RefreshOnly:
		req.mode = plans.RefreshOnly
	}
	if o.RefreshOnly && !o.Refresh {
		diags = append(diags, diag.Errorf("Options that exclude each other", "Option -refresh-only does nothing but refresh, so -refresh=false cannot be given with it.")...)
	}
	if req.mode != plans.Normal && len(o.Replaces) > 0 {
		diags = append(diags, diag.Errorf("Options that exclude each other", "Option -replace needs a normal plan: it cannot be given with -destroy or -refresh-only.")...)
	}
	if len(o.Targets) > 0 && len(o.Excludes) > 0 {
		diags = append(diags, diag.Errorf("Options that exclude each other", "Options -target and -exclude cannot be given together.")...)
	}
	req.targets = parseTargets("-target", o.Targets, &diags)
	req.excludes = parseTargets("-exclude", o.Excludes, &diags)
	for _, s := range o.Replaces {
		inst, err := addrs.ParseResourceInstance(s)
		switch {
		case err != nil:
			diags = append(diags, diag.Errorf("Invalid address", "Option -replace: %s.", err)...)
		case inst.Resource.Mode != addrs.Managed:
			diags = append(diags, diag.Errorf("Invalid address", "Option -replace: %s is not a managed resource, and only those can be replaced.", inst)...)
		default:
			req.replaces = append(req.replaces, inst)
		}
	}
	if o.Parallelism < 1 {
		diags = append(diags, diag.Errorf("Invalid parallelism", "Option -parallelism must be at least 1, not %d.", o.Parallelism)...)
	}
	return req, diags
}

func parseTargets(option string, list []string, diags *diag.List) []addrs.Target {
	var out []addrs.Target
	for _, s := range list {
		t, err := addrs.ParseTarget(s)
		if err != nil {
			*diags = append(*diags, diag.Errorf("Invalid address", "Option %s: %s.", option, err)...)
			continue
		}
		out = append(out, t)
	}
	return out
}

// ModeOf is the mode of the plans of stacks.
func ModeOf(kind string) plans.Mode {
	switch kind {
	case "destroy":
		return plans.Destroy
	case "refresh":
		return plans.RefreshOnly
	}
	return plans.Normal
}
