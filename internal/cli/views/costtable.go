package views

import (
	"fmt"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/policy/cost"
)

// The widths of the columns of the table: 80 altogether.
const (
	costName   = 41
	costAmount = 13
)

// CostTable prints what every resource costs, by component.
func (t *Terminal) CostTable(e *cost.Estimate, verdicts []cost.Verdict) {
	t.printf("%s\n", t.paint(bold, costRow("Resource", "Before", "After", "Difference")))
	priced := 0
	for _, item := range e.Items {
		if !item.Free {
			priced++
			t.costItem(item)
		}
	}
	if priced == 0 {
		t.printf("Nothing here has a price.\n")
	}
	t.printf("\n")
	for _, total := range e.Totals {
		t.printf("%s\n", t.paint(bold, totalRow("Total "+total.Currency+" a month", total)))
	}
	if e.Unknown > 0 {
		t.printf("%d %s not known in full: the total is at least that.\n", e.Unknown, isAre(e.Unknown, "resource"))
	}
	if e.Free > 0 {
		t.printf("%d %s free.\n", e.Free, isAre(e.Free, "resource"))
	}
	t.assumptions(e)
	for _, v := range verdicts {
		t.verdict(v)
	}
}

func isAre(n int, noun string) string {
	if n == 1 {
		return noun + " is"
	}
	return noun + "s are"
}

func totalRow(name string, total cost.Total) string {
	difference := ""
	if total.Difference.Sign() != 0 {
		difference = cost.Difference(total.Difference, total.Currency)
	}
	return costRow(name, cost.Money(total.Before, total.Currency), cost.Money(total.After, total.Currency), difference)
}

// costRow is a line of the table. A name that is too long has a line of its own.
func costRow(name string, amounts ...string) string {
	var b strings.Builder
	b.WriteString(name)
	width := columns(name)
	if width >= costName {
		b.WriteByte('\n')
		width = 0
	}
	b.WriteString(strings.Repeat(" ", costName-width))
	for _, amount := range amounts {
		b.WriteString(strings.Repeat(" ", max(1, costAmount-columns(amount))))
		b.WriteString(amount)
	}
	return strings.TrimRight(b.String(), " ")
}

// costItem prints a resource, and its components below it.
func (t *Terminal) costItem(item *cost.Item) {
	name := printable(item.Name())
	switch len(item.Totals) {
	case 0:
		t.printf("%s\n", name)
	default:
		for i, total := range item.Totals {
			if i > 0 {
				name = ""
			}
			t.printf("%s\n", totalRow(name, total))
		}
	}
	before, after := partsOf(item.Before), partsOf(item.After)
	names := make([]string, 0, len(before)+len(after))
	seen := map[string]bool{}
	for _, side := range []*cost.Side{item.After, item.Before} {
		if side == nil {
			continue
		}
		for _, part := range side.Components {
			if !seen[part.Name] {
				seen[part.Name] = true
				names = append(names, part.Name)
			}
		}
	}
	for _, name := range names {
		t.costPart(name, before[name], after[name])
	}
	if len(names) == 0 {
		for _, reason := range item.Unknown() {
			t.printf("%s\n", hang("  "+t.paint(yellow, "?")+" "+printable(reason), 4, t.Width))
		}
	}
}

func partsOf(side *cost.Side) map[string]*cost.Part {
	if side == nil {
		return nil
	}
	out := make(map[string]*cost.Part, len(side.Components))
	for i := range side.Components {
		out[side.Components[i].Name] = &side.Components[i]
	}
	return out
}

// costPart prints a component: how much of what, and what it comes to.
func (t *Terminal) costPart(name string, before, after *cost.Part) {
	amount := func(p *cost.Part) string {
		switch {
		case p == nil:
			return ""
		case p.Unknown != "":
			return "?"
		}
		return cost.Money(p.Monthly, p.Currency)
	}
	main := after
	if main == nil {
		main = before
	}
	text := "  " + printable(name)
	if main.Unknown == "" {
		text += fmt.Sprintf(" (%s × %s/%s)", short(main.Quantity), cost.Exact(main.Price, main.Currency), main.Unit)
		if len(main.Assumptions) > 0 {
			text += " ~"
		}
	}
	t.printf("%s\n", costRow(text, amount(before), amount(after)))
	if main.Unknown != "" {
		t.printf("%s\n", hang("    "+t.paint(yellow, "?")+" "+printable(main.Unknown), 6, t.Width))
	}
}

// short is a quantity as people want to see it: without digits that say nothing.
func short(n cost.Amount) string {
	text := strings.TrimSuffix(n.Cents(), ".00")
	if text == "0" && n.Sign() != 0 {
		return "< 0.01"
	}
	return text
}

// assumptions prints what was assumed, and of how many resources.
func (t *Terminal) assumptions(e *cost.Estimate) {
	counts := map[string]int{}
	for _, item := range e.Items {
		seen := map[string]bool{}
		for _, side := range []*cost.Side{item.Before, item.After} {
			if side == nil {
				continue
			}
			for _, part := range side.Components {
				for _, text := range part.Assumptions {
					if !seen[text] {
						seen[text] = true
						counts[text]++
					}
				}
			}
		}
	}
	texts := make([]string, 0, len(counts))
	for text := range counts {
		texts = append(texts, text)
	}
	sort.Strings(texts)
	for i, text := range texts {
		if i == 0 {
			t.printf("Assumed (~):\n")
		}
		t.printf("%s\n", hang(fmt.Sprintf("  - %s (%d %s)", printable(text), counts[text], plural(counts[text], "resource")), 4, t.Width))
	}
}
