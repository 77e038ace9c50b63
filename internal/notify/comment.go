package notify

import (
	"fmt"
	"html"
	"strings"
	"unicode"

	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
)

// counts are the totals of a report.
type counts struct {
	add, change, destroy int
	denied, warned, open int // findings of policies
	unjudged             int // plans that could not be judged
	blocked              bool
}

func (r *report) count() (n counts) {
	for _, s := range r.stacks {
		c := s.Plan.Count()
		n.add, n.change, n.destroy = n.add+c.Add, n.change+c.Change, n.destroy+c.Destroy
		if s.Decision != nil {
			n.denied += s.Decision.Count(policy.Deny)
			n.warned += s.Decision.Count(policy.Warn)
			n.open += s.Decision.Count(policy.Unknown)
			n.blocked = n.blocked || s.Decision.Blocked()
		}
		if s.Problem != "" {
			n.unjudged++
			n.blocked = true
		}
	}
	return n
}

// complete reports whether there is something to say beyond that the run goes on.
func (r *report) complete() bool { return r.status.Ended() || r.waits }

// failed reports whether the run failed, or planned what policy lets nobody carry out,
// or cannot be asked about.
func (r *report) failed() bool {
	return r.status == runs.Failed || r.status == runs.Cancelled || r.count().blocked
}

// summary says in a line what came of the run.
func (r *report) summary() string {
	n := r.count()
	var parts []string
	switch r.status {
	case runs.Running:
		if !r.waits {
			return "under way"
		}
		parts = append(parts, "waits for an approval")
	case runs.Failed:
		parts = append(parts, "failed")
	case runs.Cancelled:
		parts = append(parts, "cancelled")
	}
	if len(r.stacks) > 0 {
		parts = append(parts, fmt.Sprintf("%d to add, %d to change, %d to destroy", n.add, n.change, n.destroy))
	}
	if text := n.policyText(); text != "" {
		parts = append(parts, "policy: "+text)
	}
	if text := r.costText(); text != "" {
		parts = append(parts, text+" a month")
	}
	if len(parts) == 0 {
		return "succeeded"
	}
	return strings.Join(parts, "; ")
}

func (n counts) policyText() string {
	var parts []string
	if n.unjudged > 0 {
		parts = append(parts, "not judged")
	}
	for _, one := range []struct {
		count int
		word  string
	}{{n.denied, "denied"}, {n.warned, "warned of"}, {n.open, "not known yet"}} {
		if one.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.count, one.word))
		}
	}
	return strings.Join(parts, ", ")
}

// costText is the difference that all stacks make; empty where nothing has a price.
func (r *report) costText() string {
	var list []*cost.Estimate
	for _, s := range r.stacks {
		if s.Cost != nil {
			list = append(list, s.Cost)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return differences(cost.Join(list...))
}

// differences are those of an estimate by currency, with how many resources are not
// known.
func differences(e *cost.Estimate) string {
	var parts []string
	for _, total := range e.Totals {
		if total.Difference.Sign() != 0 {
			parts = append(parts, cost.Difference(total.Difference, total.Currency))
		}
	}
	if len(parts) == 0 && len(e.Totals) > 0 {
		parts = append(parts, "no difference")
	}
	unknown := 0
	for _, item := range e.Items {
		if item.Changes() && len(item.Unknown()) > 0 {
			unknown++
		}
	}
	if unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d unknown", unknown))
	}
	return strings.Join(parts, ", ")
}

// code is text of somebody else's on one line as it is: nothing in it is a format, a
// link, a mention, or the end of a cell. What could not stand there is replaced by
// what looks like it, and what cannot be seen is shown.
func code(text string, most int) string {
	var b strings.Builder
	for _, c := range cut(strings.Join(strings.Fields(text), " "), most) {
		switch {
		case c == '`':
			b.WriteByte('\'')
		case c == '|':
			b.WriteRune('¦')
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c), unicode.Is(unicode.Zl, c), unicode.Is(unicode.Zp, c), c == unicode.ReplacementChar:
			fmt.Fprintf(&b, "U+%04X", c)
		default:
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "–"
	}
	return "`" + b.String() + "`"
}

const (
	maxName    = 300  // of an address and the like
	maxMessage = 1000 // of what a rule or an error says
)

// limits are how much of a plan a comment has.
type limits struct{ changes, findings, unknowns int }

// comment is the report in Markdown, as long as it may be at most: what does not fit
// is counted.
func (r *report) comment(marker string, most int) string {
	l := limits{changes: 500, findings: 100, unknowns: 50}
	for {
		text := r.markdown(marker, l)
		if len(text) <= most || l == (limits{}) {
			return cut(text, most-len("…"))
		}
		l = limits{l.changes / 2, l.findings / 2, l.unknowns / 2}
	}
}

func (r *report) markdown(marker string, l limits) string {
	var b strings.Builder
	n := r.count()
	b.WriteString(marker + "\n")
	sign := "✅"
	switch {
	case r.failed():
		sign = "❌"
	case r.waits:
		sign = "⏳"
	}
	heading := map[runs.Status]string{runs.Succeeded: "Succeeded", runs.Failed: "Failed", runs.Cancelled: "Cancelled"}[r.status]
	if len(r.stacks) > 0 {
		heading = fmt.Sprintf("%d to add, %d to change, %d to destroy", n.add, n.change, n.destroy)
		if r.status.Ended() && r.status != runs.Succeeded {
			heading = string(r.status) + ": " + heading
		}
	}
	if r.waits {
		heading = strings.TrimSuffix("waits for an approval: "+heading, ": ")
	}
	fmt.Fprintf(&b, "### %s Tutti: %s\n\n", sign, heading)
	run := "Run " + code(r.run.ID, maxName)
	if r.url != "" {
		run = fmt.Sprintf("[Run %s](<%s>)", code(r.run.ID, maxName), r.url)
	}
	fmt.Fprintf(&b, "%s: %s", run, code(titleOf(r.run), maxName))
	if r.run.Key.Environment != "" {
		fmt.Fprintf(&b, " in %s", code(r.run.Key.Environment, maxName))
	}
	fmt.Fprintf(&b, ", of commit %s.\n", code(cut(r.source.Commit, 12), maxName))
	if r.run.Problem != "" && r.status.Ended() && r.status != runs.Succeeded {
		fmt.Fprintf(&b, "\n%s\n", code(r.run.Problem, maxMessage))
	}
	if r.lost {
		b.WriteString("\nWhat it planned cannot be shown.\n")
	}
	r.stackTable(&b)
	r.changes(&b, l.changes)
	r.problems(&b)
	r.findings(&b, l.findings)
	r.unknownCosts(&b, l.unknowns)
	return b.String()
}

func (r *report) stackTable(b *strings.Builder) {
	if len(r.stacks) == 0 {
		return
	}
	b.WriteString("\n| Stack | Add | Change | Destroy | Policy | Cost a month |\n|---|---:|---:|---:|---|---:|\n")
	for _, s := range r.stacks {
		c := s.Plan.Count()
		one := report{stacks: []PlannedStack{s}}
		judged := one.count().policyText()
		switch {
		case judged != "":
		case s.Decision != nil:
			judged = "passed"
		default:
			judged = "–"
		}
		price := one.costText()
		if price == "" {
			price = "–"
		}
		fmt.Fprintf(b, "| %s | %d | %d | %d | %s | %s |\n", code(s.Stack, maxName), c.Add, c.Change, c.Destroy, judged, price)
	}
}

// actionWords are the actions that are listed. What is only read, or stays as it is,
// is not.
var actionWords = map[plans.Action]string{
	plans.Create: "create", plans.Update: "update", plans.Delete: "destroy", plans.DeleteThenCreate: "replace", plans.CreateThenDelete: "replace",
	plans.Forget: "forget", plans.ForgetThenCreate: "replace, keeping the old one",
}

func (r *report) changes(b *strings.Builder, most int) {
	for _, s := range r.stacks {
		var rows []string
		for _, c := range s.Plan.Changes {
			word, listed := actionWords[c.Action]
			switch {
			case c.Importing != nil && listed:
				word = "import and " + word
			case c.Importing != nil:
				word, listed = "import", true
			case c.Moved() && !listed:
				word, listed = "move", true
			}
			if listed {
				rows = append(rows, fmt.Sprintf("| %s | %s |\n", word, code(c.Object.String(), maxName)))
			}
		}
		if len(rows) == 0 {
			continue
		}
		name := "Changes"
		if s.Stack != "" {
			name += " of " + html.EscapeString(s.Stack)
		}
		shown := rows[:min(len(rows), most)]
		most -= len(shown)
		fmt.Fprintf(b, "\n<details><summary>%s (%d)</summary>\n\n| Action | Object |\n|---|---|\n%s", name, len(rows), strings.Join(shown, ""))
		if left := len(rows) - len(shown); left > 0 {
			fmt.Fprintf(b, "\n%d more are left out here.\n", left)
		}
		b.WriteString("\n</details>\n")
	}
}

// problems say why plans could not be judged.
func (r *report) problems(b *strings.Builder) {
	for _, s := range r.stacks {
		switch {
		case s.Problem == "":
		case s.Stack == "":
			fmt.Fprintf(b, "\nIt could not be judged: %s\n", code(s.Problem, maxMessage))
		default:
			fmt.Fprintf(b, "\nThe plan of %s could not be judged: %s\n", code(s.Stack, maxName), code(s.Problem, maxMessage))
		}
	}
}

// findings are what policies say, what keeps the plan from being carried out first.
func (r *report) findings(b *strings.Builder, most int) {
	var list []policy.Finding
	for _, status := range []policy.Status{policy.Deny, policy.Unknown, policy.Warn} {
		for _, s := range r.stacks {
			if s.Decision == nil {
				continue
			}
			for _, f := range s.Decision.Findings {
				if f.Status == status {
					f.Stack = s.Stack
					list = append(list, f)
				}
			}
		}
	}
	if len(list) == 0 {
		return
	}
	b.WriteString("\n#### Policy\n\n")
	for _, f := range list[:min(len(list), most)] {
		finding(b, f, len(r.stacks) > 1)
	}
	if left := len(list) - most; left > 0 {
		fmt.Fprintf(b, "- %d more are left out here.\n", left)
	}
}

func finding(b *strings.Builder, f policy.Finding, several bool) {
	word := map[policy.Status]string{policy.Deny: "Denied", policy.Unknown: "Not known yet", policy.Warn: "Warning"}[f.Status]
	if f.Overridden {
		word += ", overridden"
	}
	message := f.Message
	if message == "" {
		message = f.Title
	}
	fmt.Fprintf(b, "- **%s** by %s (%s)", word, code(f.Policy, maxName), f.Level)
	if f.Severity != "" {
		fmt.Fprintf(b, ", severity %s", code(f.Severity, maxName))
	}
	if message != "" {
		fmt.Fprintf(b, ": %s", code(message, maxMessage))
	}
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "\n  - %s: %s", name, text)
		}
	}
	object := f.Resource
	if several && f.Stack != "" {
		object = strings.TrimSuffix("stack."+f.Stack+"."+f.Resource, ".")
	}
	if object != "" {
		object = code(object, maxName)
		if f.Attribute != "" {
			object += ", " + code(f.Attribute, maxName)
		}
		if f.Source != nil {
			object += fmt.Sprintf(" at %s", code(fmt.Sprintf("%s:%d", f.Source.File, f.Source.Line), maxName))
		}
		line("object", object)
	}
	if f.Fix != "" {
		line("fix", code(f.Fix, maxMessage))
	}
	rule := code(f.Rule, maxName)
	if f.RuleAt != nil {
		rule += fmt.Sprintf(" at %s", code(fmt.Sprintf("%s:%d", f.RuleAt.File, f.RuleAt.Line), maxName))
	}
	line("rule", rule)
	b.WriteByte('\n')
}

// unknownCosts names what changes and has no known price.
func (r *report) unknownCosts(b *strings.Builder, most int) {
	var list []string
	for _, s := range r.stacks {
		if s.Cost == nil {
			continue
		}
		for _, item := range s.Cost.Items {
			if reasons := item.Unknown(); item.Changes() && len(reasons) > 0 {
				list = append(list, fmt.Sprintf("- %s: %s\n", code(item.Name(), maxName), code(strings.Join(reasons, "; "), maxMessage)))
			}
		}
	}
	if len(list) == 0 {
		return
	}
	b.WriteString("\n#### Cost that is not known\n\n" + strings.Join(list[:min(len(list), most)], ""))
	if left := len(list) - most; left > 0 {
		fmt.Fprintf(b, "- %d more are left out here.\n", left)
	}
}
