package gate

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/project"
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

// OverridesAsked reads what the options -override say. A rule is named as it was
// written: with its kind, or without.
func OverridesAsked(s *project.Session) ([]runs.Override, diag.List) {
	var out []runs.Override
	var diags diag.List
	for _, text := range s.Overrides {
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

// OverridesFor are the overrides that a run of a workflow takes along: whoever
// drives it, its steps may go against these rules where its actor may override
// them.
func OverridesFor(s *project.Session, declared *projects.Project) ([]runs.Override, diag.List) {
	asked, diags := OverridesAsked(s)
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
func (c *Case) asked() ([]runs.Override, diag.List) {
	if c.overrides != nil {
		return c.overrides, nil
	}
	return OverridesAsked(c.Session)
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

// CheckOverrides says what is wrong with the options -override before anything is
// planned, once for all stacks that it is about: whether each names a rule that can be
// overridden, with a reason, and whether who asks may do so where the rule holds. What
// is wrong with the files is told when they are needed.
func CheckOverrides(list ...*Case) diag.List {
	if len(list) == 0 || len(list[0].Session.Overrides) == 0 {
		return nil
	}
	asked, diags := OverridesAsked(list[0].Session)
	g := PoliciesIn(list[0].Session, list[0].PolicyRoot())
	if g.diags.HasErrors() {
		return diags
	}
	_, _, d := overriding(asked, g.Declared)
	if diags = append(diags, d...); diags.HasErrors() {
		return diags
	}
	for _, c := range list {
		if !HoldThere(g.Declared, asked, c.Stack, c.Environment) {
			continue
		}
		if diags = append(diags, c.mayOverride(c.resource())...); diags.HasErrors() {
			return diags
		}
	}
	return diags
}

// HoldThere reports whether one of the rules that are overridden is for a stack.
func HoldThere(declared *projects.Project, asked []runs.Override, stack, environment string) bool {
	if len(asked) == 0 || declared == nil {
		return false
	}
	budgets, policies, _ := overriding(asked, declared)
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
func (c *Case) budgetsOverridden(declared *projects.Project, stacks []string) (map[string]string, diag.List) {
	asked, diags := c.asked()
	budgets, _, d := overriding(asked, declared)
	if diags = append(diags, d...); len(budgets) > 0 {
		diags = append(diags, c.mayOverride(stacks...)...)
	}
	return budgets, diags
}

// overridePolicies lets pass in a decision what is overridden. An override of a
// policy that is about other stacks only has no effect here; without a decision
// it is only checked what the options say.
func (c *Case) overridePolicies(d *policy.Decision) diag.List {
	asked, diags := c.asked()
	_, policies, found := overriding(asked, PoliciesIn(c.Session, c.PolicyRoot()).Declared)
	if diags = append(diags, found...); d == nil || diags.HasErrors() {
		return diags
	}
	for _, name := range sortedKeys(policies) {
		if !d.Override(policy.Override{Policy: name, Actor: c.Subject(), Reason: policies[name]}) {
			continue
		}
		if diags = c.mayOverride(c.resource()); diags.HasErrors() {
			return diags
		}
	}
	return diags
}

// mayOverride refuses overrides to whom the roles do not allow them.
func (c *Case) mayOverride(stacks ...string) diag.List {
	var diags diag.List
	for _, stack := range stacks {
		who, _ := c.Who()
		if c.looks {
			diags = append(diags, c.Session.MightBe(who, access.Override, c.Environment, stack)...)
		} else {
			diags = append(diags, c.Session.MayBe(who, access.Override, c.Environment, stack, "")...)
		}
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

// OverrideEvents tell which policies were overridden: those that deny something,
// or may yet.
func OverrideEvents(d *policy.Decision) []events.Event {
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
			out = append(out, events.Event{Type: "policy.overridden", Subject: policyRule + o.Policy, Data: EventData(told)})
		}
	}
	return out
}

// RuleOverrides are the overrides of a decision as a run keeps them.
func RuleOverrides(d *policy.Decision) []runs.Override {
	var out []runs.Override
	for _, o := range d.Overrides {
		out = append(out, runs.Override{Rule: policyRule + o.Policy, Reason: o.Reason})
	}
	return out
}

// JoinOverrides joins lists of overrides; each rule is there once.
func JoinOverrides(list []runs.Override, more ...runs.Override) []runs.Override {
	for _, o := range more {
		if !slices.Contains(list, o) {
			list = append(list, o)
		}
	}
	return list
}

// EventData is the data of an event of a type of ours.
func EventData(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic("gate: an event cannot be encoded: " + err.Error()) // text and numbers only
	}
	return data
}
