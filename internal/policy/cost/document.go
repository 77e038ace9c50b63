package cost

import "encoding/json"

// document is an estimate as rules of policies read it, and beside it the marks of
// what is not known, in the same shape, as plan JSON has after_unknown beside
// after.
type document struct {
	known, unknown map[string]any
}

// Document returns the estimate as input.tutti.cost, and what of it is not known
// as input.tutti.cost_unknown (docs/policy.md). Members that are not known are not
// there. Amounts are numbers, per month. Sums are those of one currency; where
// there are several, only the totals have any.
func (e *Estimate) Document() (known, unknown map[string]any) {
	var open sides
	out := document{map[string]any{}, map[string]any{}}
	var resources, marks []any
	reasons := []string{}
	for _, item := range e.Items {
		s := item.sides()
		open = open.or(s)
		d := document{map[string]any{"address": item.Address, "type": item.Type, "action": item.Action}, map[string]any{}}
		d.sums(item.Totals, s)
		unknown := item.Unknown()
		d.known["unknown"] = append([]string{}, unknown...)
		for _, reason := range unknown {
			reasons = append(reasons, item.Name()+": "+reason)
		}
		resources, marks = append(resources, d.known), append(marks, d.unknown)
	}
	out.sums(e.Totals, open)
	out.known["resources"], out.unknown["resources"] = append([]any{}, resources...), append([]any{}, marks...)
	out.known["unknown"] = reasons
	return out.known, out.unknown
}

// sides says what is not known: before, after, and between.
type sides struct{ before, after, difference bool }

func (s sides) or(t sides) sides {
	return sides{s.before || t.before, s.after || t.after, s.difference || t.difference}
}

func (i *Item) sides() sides {
	s := sides{before: i.Before != nil && len(i.Before.Unknown) > 0, after: i.After != nil && len(i.After.Unknown) > 0}
	// What nothing happens to makes no difference, known or not.
	s.difference = i.Changes() && (s.before || s.after)
	return s
}

// sums fills in the sums of a list of totals by currency.
func (d *document) sums(totals []Total, open sides) {
	list, marks := []any{}, []any{}
	for _, t := range totals {
		sum, unknown := sum(t, open)
		sum["currency"] = t.Currency
		list, marks = append(list, sum), append(marks, unknown)
	}
	d.known["totals"], d.unknown["totals"] = list, marks
	if open.before || open.after {
		d.unknown["totals"] = true // others may come
	}
	switch len(totals) {
	case 0, 1:
		t := Total{Currency: defaultCurrency}
		if len(totals) == 1 {
			t = totals[0]
		}
		d.known["currency"] = t.Currency
		d.known["monthly"], d.unknown["monthly"] = sum(t, open)
		if len(totals) == 0 && open != (sides{}) {
			delete(d.known, "currency")
			d.unknown["currency"] = true
		}
	default:
		d.known["monthly"] = map[string]any{}
		d.unknown["currency"], d.unknown["monthly"] = true, map[string]any{"before": true, "after": true, "difference": true, "at_least": true}
	}
}

// defaultCurrency is that of nothing at all.
const defaultCurrency = "USD"

// sum is what one currency comes to. at_least is the known part of what comes
// after: a lower bound, which is marked where it may grow.
func sum(t Total, open sides) (known, unknown map[string]any) {
	known, unknown = map[string]any{"at_least": t.After.number()}, map[string]any{}
	if open.after {
		unknown["at_least"] = true
	}
	put := func(name string, a Amount, open bool) {
		if open {
			unknown[name] = true
			return
		}
		known[name] = a.number()
	}
	put("before", t.Before, open.before)
	put("after", t.After, open.after)
	put("difference", t.Difference, open.difference)
	return known, unknown
}

func (a Amount) number() json.Number { return json.Number(a.String()) }

// Later reports whether the cost of an instance depends on something that is
// known only after apply.
func (i *Item) Later() bool {
	return i.instance != nil && i.After != nil && len(i.After.Unknown) > 0 && !i.instance.After.IsWhollyKnown()
}
