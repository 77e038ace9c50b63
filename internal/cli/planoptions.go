package cli

import (
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
)

// defaultParallelism bounds concurrent provider calls unless -parallelism says
// otherwise.
const defaultParallelism = 10

// planOptions are the flags that shape a plan.
type planOptions struct {
	project.VariableOptions
	targets, excludes, replaces []string
	refresh                     bool
	refreshOnly                 bool
	destroy                     bool
	parallelism                 int
	generateConfigOut           string
}

// mode is what kind of plan is asked for, where the options make sense.
func (o *planOptions) mode() plans.Mode {
	switch {
	case o.destroy:
		return plans.Destroy
	case o.refreshOnly:
		return plans.RefreshOnly
	}
	return plans.Normal
}

// kind is the kind of run that carries out such a plan.
func (o *planOptions) kind() string {
	switch o.mode() {
	case plans.Destroy:
		return "destroy"
	case plans.RefreshOnly:
		return "refresh"
	}
	return "apply"
}

// planRequest is planOptions understood.
type planRequest struct {
	mode     plans.Mode
	targets  []addrs.Target
	excludes []addrs.Target
	replaces []addrs.ResourceInstance
}

func (o *planOptions) request() (planRequest, diag.List) {
	var diags diag.List
	req := planRequest{mode: plans.Normal}
	switch {
	case o.destroy && o.refreshOnly:
		diags = append(diags, diag.Errorf("Options that exclude each other", "Options -destroy and -refresh-only ask for different kinds of plans: give only one.")...)
	case o.destroy:
		req.mode = plans.Destroy
	case o.refreshOnly:
		req.mode = plans.RefreshOnly
	}
	if o.refreshOnly && !o.refresh {
		diags = append(diags, diag.Errorf("Options that exclude each other", "Option -refresh-only does nothing but refresh, so -refresh=false cannot be given with it.")...)
	}
	if req.mode != plans.Normal && len(o.replaces) > 0 {
		diags = append(diags, diag.Errorf("Options that exclude each other", "Option -replace needs a normal plan: it cannot be given with -destroy or -refresh-only.")...)
	}
	if len(o.targets) > 0 && len(o.excludes) > 0 {
		diags = append(diags, diag.Errorf("Options that exclude each other", "Options -target and -exclude cannot be given together.")...)
	}
	req.targets = parseTargets("-target", o.targets, &diags)
	req.excludes = parseTargets("-exclude", o.excludes, &diags)
	for _, s := range o.replaces {
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
	if o.parallelism < 1 {
		diags = append(diags, diag.Errorf("Invalid parallelism", "Option -parallelism must be at least 1, not %d.", o.parallelism)...)
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
