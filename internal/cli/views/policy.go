package views

import (
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/policy"
)

// mostAlike is how many findings of one rule are shown when they differ in
// nothing but the object.
const mostAlike = 10

// Decision shows what policy says about a plan.
func (t *Terminal) Decision(d *policy.Decision) { t.decision("", d) }

// StackDecision shows what policy says about the plan of one stack among several.
func (t *Terminal) StackDecision(stack string, d *policy.Decision) { t.decision(stack, d) }

// decision shows a decision; stack is empty where there is one plan only.
func (t *Terminal) decision(stack string, d *policy.Decision) {
	title := "Policy: "
	if stack != "" {
		title = "Policy, stack " + stack + ": "
	}
	t.printf("\n%s\n", t.paint(bold, title+DecisionText(d)))
	shown := map[string]int{}
	for _, f := range d.Findings {
		key := string(f.Status) + f.Policy + f.Rule
		if shown[key]++; shown[key] <= mostAlike {
			t.finding(stack, d, f)
		}
	}
	for _, f := range d.Findings {
		key := string(f.Status) + f.Policy + f.Rule
		if more := shown[key] - mostAlike; more > 0 {
			t.printf("\n  … and %d more of rule %s\n", more, f.Rule)
		}
		delete(shown, key)
	}
	for _, o := range d.Overrides {
		t.printf("\n%s\n", wrap(fmt.Sprintf("Policy %s is overridden by %s: %s", o.Policy, printable(o.Actor), oneLine(o.Reason)), t.Width))
	}
}

// DecisionText says in a line how a plan was judged.
func DecisionText(d *policy.Decision) string {
	passed, rules := 0, 0
	for _, p := range d.Policies {
		passed, rules = passed+p.Passed, rules+p.Rules
	}
	var parts []string
	overridden := 0
	for _, f := range d.Findings {
		if f.Overridden {
			overridden++
		}
	}
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(text, n))
		}
	}
	add(d.Count(policy.Deny)-overridden, "%d denied")
	add(overridden, "%d overridden")
	add(d.Count(policy.Unknown), "%d to be judged at apply")
	add(d.Count(policy.Warn), "%d to be warned of")
	if len(parts) == 0 {
		return fmt.Sprintf("passed (%d %s).", rules, plural(rules, "rule"))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; %d of %d rules pass.", passed, rules)
}

// finding shows one finding: sign, message, and below it where it comes from.
func (t *Terminal) finding(stack string, d *policy.Decision, f policy.Finding) {
	sign, message := t.paint(red, "✗"), f.Message
	switch {
	case f.Overridden:
		sign = t.paint(yellow, "-")
	case f.Status == policy.Warn:
		sign = t.paint(yellow, "!")
	case f.Status == policy.Unknown:
		sign = t.paint(cyan, "?")
		if message == "" {
			message = unknownText(f)
		} else {
			message = "Perhaps: " + message
		}
	}
	t.printf("\n  %s %s\n", sign, indented(message, t.Width, 4))
	where := d.Subject(f)
	if stack != "" && where == f.Resource && where != "" {
		where = "stack." + stack + "." + where
	}
	if f.Attribute != "" {
		where += " (" + f.Attribute + ")"
	}
	if f.Source != nil {
		where = strings.TrimSpace(where + fmt.Sprintf(" at %s:%d", f.Source.File, f.Source.Line))
	}
	line := func(name, text string) {
		if text != "" {
			t.printf("      %-9s %s\n", name, indented(text, t.Width, 16))
		}
	}
	line("severity", f.Severity)
	line("resource", where)
	line("fix", f.Fix)
	rule := fmt.Sprintf("%s (%s), rule %s", f.Policy, f.Level, f.Rule)
	if f.RuleAt != nil {
		rule += fmt.Sprintf(" at %s:%d", f.RuleAt.File, f.RuleAt.Line)
	}
	line("policy", rule)
}

// unknownText says what a rule that may yet say something waits for. A cost may
// be unknown for good: somebody has to give a price or an expected usage.
func unknownText(f policy.Finding) string {
	if strings.HasSuffix(f.Attribute, "monthly.at_least") {
		return fmt.Sprintf("%s: %s may still grow", f.Resource, f.Attribute)
	}
	if f.Resource == policy.CostObject || strings.HasPrefix(f.Attribute, "cost.") {
		return fmt.Sprintf("%s: %s is not known", f.Resource, f.Attribute)
	}
	return fmt.Sprintf("%s: %s is known only after apply", f.Resource, f.Attribute)
}

// indented wraps text that begins somewhere in a line.
func indented(text string, width, by int) string {
	text = wrap(oneLine(strings.TrimSpace(text)), max(20, width-by))
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", by))
}

// Decision writes what policy says about a plan.
func (s *Stream) Decision(d *policy.Decision) {
	level := "info"
	if d.Blocked() {
		level = "error"
	}
	s.write(message{Level: level, Message: "Policy: " + DecisionText(d), Type: "policy_decision", Decision: d})
}
