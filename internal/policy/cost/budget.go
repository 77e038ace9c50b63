package cost

import (
	"fmt"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Standing is how an estimate stands to a budget.
type Standing string

// The standings.
const (
	Within Standing = "within"
	Over   Standing = "over"
	// Open is within by what is known, and not known to stay so.
	Open Standing = "unknown"
)

// Verdict is what a budget says to a plan.
type Verdict struct {
	Budget      string               `json:"budget"`
	Enforcement projects.Enforcement `json:"enforcement"`
	Standing    Standing             `json:"standing"`
	Currency    string               `json:"currency"`
	Monthly     Amount               `json:"monthly"`
	Before      Amount               `json:"before"`
	After       Amount               `json:"after"`
	Unknown     int                  `json:"unknown"` // instances with something unknown
	Denied      bool                 `json:"denied"`  // the plan must not be applied
	// Override is the reason given for applying the plan all the same.
	Override string `json:"override,omitempty"`

	// Diagnostics say it to people: errors where the plan is refused.
	Diagnostics diag.List `json:"-"`
}

// causes is how many causes a diagnostic names.
const causes = 3

// Judge holds an estimate of everything a budget is for against it. override is
// the reason given for applying the plan although it is over; empty for none.
//
// A plan that is over but does not cost more than what is there is not refused:
// otherwise nobody could apply a way back.
func Judge(b *projects.Budget, e *Estimate, override string) Verdict {
	t, open := e.In(b.Currency), len(e.open())
	v := Verdict{
		Budget: b.Name, Enforcement: b.Enforcement, Standing: Within, Currency: b.Currency, Monthly: Exactly(b.Monthly),
		Before: t.Before, After: t.After, Unknown: open,
	}
	others := e.others(b.Currency)
	switch {
	case v.After.Compare(v.Monthly) > 0:
		v.Standing = Over
		v.over(b, e, override)
	case open > 0 || len(others) > 0:
		if v.Standing = Open; b.Enforcement == projects.SoftMandatory {
			v.Override = override // it may be needed yet
		}
		v.Diagnostics = append(v.Diagnostics, diag.WarningAt(b.MonthlyRange, "Budget may be exceeded",
			"The known part of budget %q comes to %s of %s a month. Not known besides: %s.", b.Name,
			Money(v.After, b.Currency), Money(v.Monthly, b.Currency), e.unknownText(others))...)
	}
	if override != "" && v.Override == "" && v.Standing != Over {
		v.Diagnostics = append(v.Diagnostics, diag.Warningf("Override has no effect", "The budget %q is not exceeded: nothing needs to be overridden.", b.Name)...)
	}
	for i := range v.Diagnostics {
		v.Diagnostics[i].Rank = v.rank()
	}
	return v
}

// rank is how grave what is said of a budget is: each is about another one, and what
// nothing helps against comes first.
func (v *Verdict) rank() int {
	switch {
	case v.Denied && v.Enforcement == projects.Mandatory:
		return 3
	case v.Denied:
		return 2
	}
	return 1
}

// others are the currencies of costs besides one.
func (e *Estimate) others(currency string) []string {
	var out []string
	for _, t := range e.Totals {
		if t.Currency != currency && t.After.Sign() != 0 {
			out = append(out, t.Currency)
		}
	}
	return out
}

// over fills in what follows from the budget being exceeded.
func (v *Verdict) over(b *projects.Budget, e *Estimate, override string) {
	detail := fmt.Sprintf("With this plan, what budget %q is for comes to %s a month: %s more than the %s allowed (before: %s).",
		b.Name, Money(v.After, b.Currency), Money(v.After.Minus(v.Monthly), b.Currency), Money(v.Monthly, b.Currency), Money(v.Before, b.Currency))
	detail += e.causesText(b.Currency)
	if v.Unknown > 0 {
		detail += "\nNot known besides: " + e.unknownText(e.others(b.Currency)) + "."
	}
	summary := "Budget exceeded"
	refuse := func(how string) {
		v.Denied = true
		v.Diagnostics = append(v.Diagnostics, diag.ErrorAt(b.MonthlyRange, summary, "%s", detail+"\n"+how)...)
	}
	warn := func(how string) {
		v.Diagnostics = append(v.Diagnostics, diag.WarningAt(b.MonthlyRange, summary, "%s", detail+how)...)
	}
	grows := v.After.Compare(v.Before) > 0 || e.mayGrow()
	switch {
	case b.Enforcement == projects.Advisory:
		warn("")
	case !grows:
		warn("\nThe plan is not refused, because it does not add to that.")
	case b.Enforcement == projects.Mandatory && override != "":
		refuse("The budget is mandatory: it cannot be overridden. Change the plan, or the budget.")
	case b.Enforcement == projects.Mandatory:
		refuse("The budget is mandatory: the plan is not applied.")
	case override == "":
		refuse("The plan is not applied, unless somebody says why it should be: -override='" + b.Name + "=REASON'.")
	default:
		v.Override = override
		warn("\nThe plan is applied all the same: " + override)
	}
}

// mayGrow reports whether something is changed into what is not known, so that
// nobody can say that the plan does not add to what there is.
func (e *Estimate) mayGrow() bool {
	for _, item := range e.Items {
		if item.Changes() && item.listed && item.After != nil && len(item.After.Unknown) > 0 {
			return true
		}
	}
	return false
}

// causesText names what costs most: what this plan adds, or else what there is.
func (e *Estimate) causesText(currency string) string {
	in := func(item *Item) Total {
		for _, t := range item.Totals {
			if t.Currency == currency {
				return t
			}
		}
		return Total{}
	}
	text, title := "", "\nThe largest additions:"
	key := func(t Total) Amount {
		if t.Currency != currency || t.Difference.Sign() < 0 {
			return Amount{}
		}
		return t.Difference
	}
	list := e.Largest(causes, key)
	added := len(list) > 0
	if !added {
		title = "\nThe largest costs:"
		list = e.Largest(causes, func(t Total) Amount {
			if t.Currency != currency {
				return Amount{}
			}
			return t.After
		})
	}
	for _, item := range list {
		t := in(item)
		amount := Money(t.After, currency)
		if added {
			amount = Difference(t.Difference, currency)
		}
		text += "\n  - " + item.Name() + ": " + amount
	}
	if text == "" {
		return ""
	}
	return title + text
}

// open are the items that are there after the plan with something unknown.
func (e *Estimate) open() []*Item {
	var out []*Item
	for _, item := range e.Items {
		if item.After != nil && len(item.After.Unknown) > 0 {
			out = append(out, item)
		}
	}
	return out
}

// unknownText names what is not known.
func (e *Estimate) unknownText(others []string) string {
	var parts []string
	open := e.open()
	for i, item := range open {
		if i == causes {
			parts = append(parts, fmt.Sprintf("%d more", len(open)-causes))
			break
		}
		parts = append(parts, item.Name()+" ("+item.After.Unknown[0]+")")
	}
	for _, currency := range others {
		parts = append(parts, "what is priced in "+currency)
	}
	return strings.Join(parts, ", ")
}
