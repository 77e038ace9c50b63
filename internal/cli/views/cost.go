package views

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/policy/cost"
)

// shownCosts is how many resources the section below a plan names.
const shownCosts = 5

// Cost prints the section below a plan about what it comes to: the totals, the
// changes that matter most, what is not known, and how it stands to budgets.
func (t *Terminal) Cost(e *cost.Estimate, verdicts []cost.Verdict) {
	t.printf("\n%s\n", wrap(t.paint(bold, "Monthly cost:")+" "+CostText(e), t.Width))
	difference := func(total cost.Total) cost.Amount { return total.Difference }
	list := slices.DeleteFunc(e.Largest(len(e.Items), difference), (*cost.Item).Lost)
	for i, item := range list {
		if i == shownCosts {
			t.printf("  and %d more\n", len(list)-shownCosts)
			break
		}
		total := largestTotal(item)
		t.costLine(t.costMark(total.Difference), printable(item.Name()), cost.Difference(total.Difference, total.Currency))
	}
	t.unknownCosts(e)
	for _, v := range verdicts {
		t.verdict(v)
	}
}

// costLine prints a name and, at the right, an amount; below each other where
// they do not fit.
func (t *Terminal) costLine(mark, name, amount string) {
	width := min(t.Width, 80)
	if gap := width - 4 - columns(name) - columns(amount); gap > 0 {
		t.printf("  %s %s%s%s\n", mark, name, strings.Repeat(" ", gap), amount)
		return
	}
	t.printf("  %s %s\n%s%s\n", mark, name, strings.Repeat(" ", max(0, width-columns(amount))), amount)
}

func (t *Terminal) costMark(difference cost.Amount) string {
	switch difference.Sign() {
	case 1:
		return t.paint(red, "+")
	case -1:
		return t.paint(green, "-")
	}
	return " "
}

// unknownCosts names resources of which something is not known, those that change
// first.
func (t *Terminal) unknownCosts(e *cost.Estimate) {
	shown := 0
	for _, changing := range []bool{true, false} {
		for _, item := range e.Items {
			reasons := item.Unknown()
			if len(reasons) == 0 || item.Changes() != changing {
				continue
			}
			if shown == shownCosts {
				t.printf("  and %d more that are unknown\n", e.Unknown-shownCosts)
				return
			}
			shown++
			t.printf("%s\n", hang("  "+t.paint(yellow, "?")+" "+printable(item.Name())+": "+printable(strings.Join(reasons, "; ")), 6, t.Width))
		}
	}
}

// hang wraps text that begins indented, with the following lines indented more.
func hang(text string, indent, limit int) string {
	trimmed := strings.TrimLeft(text, " ")
	first := len(text) - len(trimmed)
	lines := strings.Split(wrap(trimmed, limit-indent), "\n")
	for i := range lines {
		if i == 0 {
			lines[i] = strings.Repeat(" ", first) + lines[i]
			continue
		}
		lines[i] = strings.Repeat(" ", indent) + lines[i]
	}
	return strings.Join(lines, "\n")
}

// verdict prints how an estimate stands to a budget.
func (t *Terminal) verdict(v cost.Verdict) {
	standing := ""
	switch {
	case v.Standing == cost.Over && v.Override != "":
		standing = t.paint(yellow, "exceeded, overridden")
	case v.Denied:
		standing = t.paint(red, "exceeded")
	case v.Standing == cost.Over:
		standing = t.paint(yellow, "exceeded")
	case v.Standing == cost.Open:
		standing = t.paint(yellow, "may be exceeded by what is unknown")
	default:
		standing = t.paint(green, "kept")
	}
	t.printf("%s\n", wrap(fmt.Sprintf("%s %s of %s a month: %s", t.paint(bold, "Budget "+v.Budget+":"),
		cost.Money(v.After, v.Currency), cost.Money(v.Monthly, v.Currency), standing), t.Width))
}

// CostText is an estimate in a line: "$1,234.50 → $1,300.00 (+$65.50); 3 resources
// unknown".
func CostText(e *cost.Estimate) string {
	var parts []string
	for _, total := range e.Totals {
		if total.Before.Sign() == 0 && total.After.Sign() == 0 {
			continue
		}
		text := cost.Money(total.After, total.Currency)
		if slices.ContainsFunc(e.Items, (*cost.Item).Lost) {
			parts = append(parts, cost.Money(total.Before, total.Currency)+" → at least "+text)
			continue
		}
		if total.Difference.Sign() != 0 {
			text = fmt.Sprintf("%s → %s (%s)", cost.Money(total.Before, total.Currency), text, cost.Difference(total.Difference, total.Currency))
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, ", ")
	switch {
	case text == "" && e.Unknown > 0:
		return fmt.Sprintf("not known of %d %s", e.Unknown, plural(e.Unknown, "resource"))
	case text == "":
		return "nothing"
	case e.Unknown > 0:
		text += fmt.Sprintf("; %d %s unknown", e.Unknown, plural(e.Unknown, "resource"))
	}
	return text
}

// largestTotal is the total of an item that differs most.
func largestTotal(item *cost.Item) cost.Total {
	var out cost.Total
	for i, t := range item.Totals {
		if i == 0 || t.Difference.Abs().Compare(out.Difference.Abs()) > 0 {
			out = t
		}
	}
	return out
}

// streamCost is the content of the message cost_estimate.
type streamCost struct {
	Totals    []cost.Total   `json:"totals"`
	Unknown   int            `json:"unknown"`
	Free      int            `json:"free"`
	Resources []*cost.Item   `json:"resources"` // those that change, or of which something is unknown
	Budgets   []cost.Verdict `json:"budgets,omitempty"`
}

// Cost writes what a plan comes to.
func (s *Stream) Cost(e *cost.Estimate, verdicts []cost.Verdict) {
	out := &streamCost{Totals: e.Totals, Unknown: e.Unknown, Free: e.Free, Resources: []*cost.Item{}, Budgets: verdicts}
	for _, item := range e.Items {
		if item.Changes() && !item.Free || len(item.Unknown()) > 0 {
			out.Resources = append(out.Resources, item)
		}
	}
	s.write(message{Message: "Monthly cost: " + CostText(e), Type: "cost_estimate", Cost: out})
}
