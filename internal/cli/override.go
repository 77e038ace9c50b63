package cli

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/runs"
)

// An override lets something be carried out that a soft-mandatory budget or
// policy is against. All that is overridden passes through here: who may, of
// what, and why.

// The kinds of rules that can be overridden, as they begin names of rules.
const (
	budgetRule = "budget."
	policyRule = "policy."
)

// registerOverride registers -override.
func registerOverride(f *flagSet, into *[]string) {
	f.list(into, "override", "NAME=REASON", "Go on although this soft-mandatory budget is exceeded or this soft-mandatory policy denies it. Needs the permission \"override\"; the reason is recorded. May be given several times.")
}

// overridesAsked reads what the options -override say. A rule is named as it was
// written: with its kind, or without.
func (a *App) overridesAsked() ([]runs.Override, diag.List) {
	var out []runs.Override
	var diags diag.List
	for _, text := range a.overrides {
		name, reason, _ := strings.Cut(text, "=")
		o := runs.Override{Rule: strings.TrimSpace(name), Reason: strings.TrimSpace(reason)}
		if o.Reason == "" {
			diags = append(diags, diag.Errorf("Override without a reason", "Option -override: %q must have the form NAME=REASON. The reason is recorded with the run.", text)...)
			continue
		}
		out = append(out, o)
	}
	return out, diags
}

// overridesFor are the overrides that a run of a workflow takes along: whoever
// drives it, its steps may go against these rules where its actor may override
// them.
func (a *App) overridesFor(declared *projects.Project) ([]runs.Override, diag.List) {
	asked, diags := a.overridesAsked()
	budgets, policies, d := overriding(asked, declared)
	if diags = append(diags, d...); diags.HasErrors() {
		return nil, diags
	}
	var out []runs.Override
	for _, name := range sortedKeys(budgets) {
		out = append(out, runs.Override{Rule: budgetRule + name, Reason: budgets[name]})
	}
	for _, name := range sortedKeys(policies) {
		out = append(out, runs.Override{Rule: policyRule + name, Reason: policies[name]})
	}
	return out, nil
}

// asked is what is to be overridden here: what the run says that this is done
// for, or else the options of the command.
func (o *operation) asked() ([]runs.Override, diag.List) {
	if o.overrides != nil {
		return o.overrides, nil
	}
	return o.app.overridesAsked()
}

// overriding finds the rules that are to be overridden among those a project
// declares: reasons by the name of the budget, and of the policy. A name that
// both have means both, unless it says which: budget.NAME, policy.NAME.
func overriding(asked []runs.Override, declared *projects.Project) (budgets, policies map[string]string, diags diag.List) {
	budgets, policies = map[string]string{}, map[string]string{}
	if declared == nil {
		declared = &projects.Project{}
	}
	for _, o := range asked {
		budget, policyName := strings.TrimPrefix(o.Rule, budgetRule), strings.TrimPrefix(o.Rule, policyRule)
		found := false
		if declared.Budgets[budget] != nil {
			found, budgets[budget] = true, o.Reason
		}
		if p := declared.Policies[policyName]; p != nil {
			if found, policies[policyName] = true, o.Reason; p.Enforcement != string(policy.SoftMandatory) {
				diags = append(diags, diag.Errorf("Policy cannot be overridden", "Option -override: The policy %q is %s: only soft-mandatory policies can be overridden.", policyName, p.Enforcement)...)
			}
		}
		if !found {
			diags = append(diags, diag.Errorf("No such budget or policy", "Option -override: there is no budget %q in this project, and no policy.", o.Rule)...)
		}
	}
	return budgets, policies, diags
}

// checkOverrides says what is wrong with the options -override before anything is
// planned, once for all stacks that it is about: whether each names a rule that can be
// overridden, with a reason, and whether who asks may do so where the rule holds. What
// is wrong with the files is told when they are needed.
func checkOverrides(list ...*operation) diag.List {
	if len(list) == 0 || len(list[0].app.overrides) == 0 {
		return nil
	}
	asked, diags := list[0].app.overridesAsked()
	g := list[0].app.policies(list[0].policyRoot())
	if g.diags.HasErrors() {
		return diags
	}
	budgets, policies, d := overriding(asked, g.declared)
	if diags = append(diags, d...); diags.HasErrors() {
		return diags
	}
	for _, o := range list {
		if !holdThere(g.declared, budgets, policies, o.stack, o.environment) {
			continue
		}
		if diags = append(diags, o.mayOverride(o.resource())...); diags.HasErrors() {
			return diags
		}
	}
	return diags
}

// holdThere reports whether one of the rules that are overridden is for a stack.
func holdThere(declared *projects.Project, budgets, policies map[string]string, stack, environment string) bool {
	labels := map[string]string{}
	if e := declared.Environments[environment]; e != nil {
		labels = e.Labels
	}
	for name := range budgets {
		if declared.Budgets[name].About(stack, environment) {
			return true
		}
	}
	for name := range policies {
		if declared.Policies[name].Applies(stack, labels) {
			return true
		}
	}
	return false
}

// budgetsOverridden are the budgets that are overridden for some stacks: reasons
// by name.
func (o *operation) budgetsOverridden(declared *projects.Project, stacks []string) (map[string]string, diag.List) {
	asked, diags := o.asked()
	budgets, _, d := overriding(asked, declared)
	if diags = append(diags, d...); len(budgets) > 0 {
		diags = append(diags, o.mayOverride(stacks...)...)
	}
	return budgets, diags
}

// overridePolicies lets pass in a decision what is overridden. An override of a
// policy that is about other stacks only has no effect here; without a decision
// it is only checked what the options say.
func (o *operation) overridePolicies(d *policy.Decision) diag.List {
	asked, diags := o.asked()
	_, policies, found := overriding(asked, o.app.policies(o.policyRoot()).declared)
	if diags = append(diags, found...); d == nil || diags.HasErrors() {
		return diags
	}
	for _, name := range sortedKeys(policies) {
		if !d.Override(policy.Override{Policy: name, Actor: o.subject(), Reason: policies[name]}) {
			continue
		}
		if diags = o.mayOverride(o.resource()); diags.HasErrors() {
			return diags
		}
	}
	return diags
}

// mayOverride refuses overrides to whom the roles do not allow them.
func (o *operation) mayOverride(stacks ...string) diag.List {
	var diags diag.List
	for _, stack := range stacks {
		who, _ := o.who()
		diags = append(diags, o.app.mayBe(who, access.Override, o.environment, stack, "")...)
	}
	return diags
}

// policyOverrideEvent is the data of the event policy.overridden.
type policyOverrideEvent struct {
	policy.Override
	Plan string `json:"plan,omitempty"` // digest
	// Denied are the findings that would have stopped it; Open those that may yet.
	Denied int `json:"denied"`
	Open   int `json:"open,omitempty"`
}

// overrideEvents tell which policies were overridden: those that deny something,
// or may yet.
func overrideEvents(d *policy.Decision) []events.Event {
	var out []events.Event
	for _, o := range d.Overrides {
		told := policyOverrideEvent{Override: o, Plan: d.Plan}
		for _, f := range d.Findings {
			switch {
			case f.Policy != o.Policy:
			case f.Overridden:
				told.Denied++
			case f.Status == policy.Unknown:
				told.Open++
			}
		}
		if told.Denied+told.Open > 0 {
			out = append(out, events.Event{Type: "policy.overridden", Subject: policyRule + o.Policy, Data: eventData(told)})
		}
	}
	return out
}

// ruleOverrides are the overrides of a decision as a run keeps them.
func ruleOverrides(d *policy.Decision) []runs.Override {
	var out []runs.Override
	for _, o := range d.Overrides {
		out = append(out, runs.Override{Rule: policyRule + o.Policy, Reason: o.Reason})
	}
	return out
}

// joinOverrides joins lists of overrides; each rule is there once.
func joinOverrides(list []runs.Override, more ...runs.Override) []runs.Override {
	for _, o := range more {
		if !slices.Contains(list, o) {
			list = append(list, o)
		}
	}
	return list
}

// eventData is the data of an event of a type of ours.
func eventData(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic("cli: an event cannot be encoded: " + err.Error()) // text and numbers only
	}
	return data
}
