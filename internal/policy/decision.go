package policy

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Level is how binding a policy is.
type Level string

// The levels. What an advisory policy denies is a warning. A soft-mandatory
// policy stops a run unless somebody overrides it, which is recorded.
const (
	Advisory      Level = "advisory"
	SoftMandatory Level = "soft-mandatory"
	Mandatory     Level = "mandatory"
)

// Levels lists the levels, the weakest first.
var Levels = []Level{Advisory, SoftMandatory, Mandatory}

// Status is what came of a rule.
type Status string

// The statuses. Unknown is for rules that look at something that is known only
// after (a part of) the plan has been applied.
const (
	Pass    Status = "pass"
	Warn    Status = "warn"
	Unknown Status = "unknown"
	Deny    Status = "deny"
)

// Finding is one thing that a rule says, about one object where it names one.
type Finding struct {
	Policy    string `json:"policy"`
	Rule      string `json:"rule"` // PACKAGE.RULE
	Level     Level  `json:"enforcement"`
	Status    Status `json:"status"`
	Message   string `json:"message,omitempty"`
	Resource  string `json:"resource,omitempty"`
	Attribute string `json:"attribute,omitempty"`
	Fix       string `json:"fix,omitempty"`
	Title     string `json:"title,omitempty"` // of the rule, in its annotations
	// Severity is what the rule says of it, in lower case; see [Severities].
	Severity string `json:"severity,omitempty"`
	Source   *Place `json:"source,omitempty"` // of the resource
	RuleAt   *Place `json:"rule_source,omitempty"`
	Stack    string `json:"stack,omitempty"`
	// Overridden says that somebody let it pass although it is denied.
	Overridden bool `json:"overridden,omitempty"`
	// Awaits are the objects whose unknown attributes the rule looked at.
	Awaits []string `json:"awaits,omitempty"`
}

// Severities are those that are known, the worst first. A rule may say others,
// which are shown as they are.
var Severities = []string{"critical", "high", "medium", "low", "info"}

// Key tells findings apart, also from one judgement to the next.
func (f *Finding) Key() string {
	return strings.Join([]string{f.Policy, f.Rule, f.Resource, f.Message}, "\x00")
}

// Blocks reports whether the finding keeps the plan from being carried out.
func (f *Finding) Blocks() bool {
	return f.Status == Deny && f.Level != Advisory && !f.Overridden
}

// Place is a line of a file.
type Place struct {
	File  string     `json:"file"`
	Line  int        `json:"line"`
	Range *hcl.Range `json:"-"` // where the whole range is known
}

// Judged says how a policy came out.
type Judged struct {
	Policy string `json:"policy"`
	Level  Level  `json:"enforcement"`
	Status Status `json:"status"`
	Rules  int    `json:"rules"`
	Passed int    `json:"passed"`
}

// Override records that a denied policy was let pass.
type Override struct {
	Policy string `json:"policy"`
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// Decision is what policy says about one plan, by its digest.
type Decision struct {
	Plan      string     `json:"plan,omitempty"`
	Stack     string     `json:"stack,omitempty"`
	Status    Status     `json:"status"`
	Policies  []Judged   `json:"policies"`
	Findings  []Finding  `json:"findings,omitempty"`
	Overrides []Override `json:"overrides,omitempty"`
	// Cost sums up the estimate that the policies were told; nil where none asked.
	Cost json.RawMessage `json:"cost,omitempty"`
	// Stacks are the decisions that were joined; see [Join].
	Stacks []StackDecision `json:"stacks,omitempty"`
}

// StackDecision sums up what policy says about the plan of one stack.
type StackDecision struct {
	Stack  string          `json:"stack"`
	Plan   string          `json:"plan,omitempty"`
	Status Status          `json:"status"`
	Cost   json.RawMessage `json:"cost,omitempty"`
}

// Join makes one decision of those about several stacks; nil of none. Rules are
// counted once for each stack that they are for.
func Join(list ...*Decision) *Decision {
	if len(list) == 0 {
		return nil
	}
	out := &Decision{Status: Pass}
	at := map[string]int{}
	for _, d := range list {
		out.Stacks = append(out.Stacks, StackDecision{Stack: d.Stack, Plan: d.Plan, Status: d.Status, Cost: d.Cost})
		out.Status = worst(out.Status, d.Status)
		out.Findings = append(out.Findings, d.Findings...)
		out.Overrides = append(out.Overrides, d.Overrides...)
		for _, p := range d.Policies {
			i, have := at[p.Policy]
			if !have {
				at[p.Policy] = len(out.Policies)
				out.Policies = append(out.Policies, p)
				continue
			}
			sum := &out.Policies[i]
			sum.Status = worst(sum.Status, p.Status)
			sum.Rules, sum.Passed = sum.Rules+p.Rules, sum.Passed+p.Passed
		}
	}
	slices.SortStableFunc(out.Policies, func(a, b Judged) int { return strings.Compare(a.Policy, b.Policy) })
	slices.SortStableFunc(out.Findings, func(a, b Finding) int { return rank(a) - rank(b) })
	return out
}

// Subject names what a finding is about: the resource and, in a decision about
// several stacks, its stack.
func (d *Decision) Subject(f Finding) string {
	switch {
	case len(d.Stacks) == 0 || f.Stack == "":
		return f.Resource
	case f.Resource == "":
		return "stack." + f.Stack
	}
	return "stack." + f.Stack + "." + f.Resource
}

// Blocked reports whether the plan must not be carried out.
func (d *Decision) Blocked() bool {
	return d != nil && slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Blocks() })
}

// Open reports whether something is left to be judged when the plan is applied.
func (d *Decision) Open() bool {
	return d != nil && slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Status == Unknown })
}

// Count returns how many findings have a status.
func (d *Decision) Count(s Status) (n int) {
	for _, f := range d.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// Override lets what a soft-mandatory policy denies, or may yet deny, pass. It
// returns false where it does neither, or its level does not allow it.
func (d *Decision) Override(o Override) bool {
	found := false
	overridable := func(f *Finding) bool { return f.Policy == o.Policy && f.Level == SoftMandatory }
	for i := range d.Findings {
		f := &d.Findings[i]
		found = found || overridable(f) && (f.Status == Deny || f.Status == Unknown)
	}
	if !found {
		return false
	}
	if !slices.Contains(d.Overrides, o) {
		d.Overrides = append(d.Overrides, o)
	}
	for i := range d.Findings {
		if f := &d.Findings[i]; overridable(f) && f.Status == Deny {
			f.Overridden = true
		}
	}
	return true
}

// Encode returns the decision as it is kept.
func (d *Decision) Encode() json.RawMessage {
	if d == nil {
		return nil
	}
	data, err := json.Marshal(d)
	if err != nil {
		panic("policy: a decision cannot be encoded: " + err.Error()) // text and numbers only
	}
	return data
}

// worst is the status that decides.
func worst(a, b Status) Status {
	order := []Status{"", Pass, Warn, Unknown, Deny}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}
