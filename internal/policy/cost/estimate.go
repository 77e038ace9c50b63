package cost

import (
	"encoding/json"
	"sort"
	"strconv"
)

// Estimate is what resources cost a month, before and after.
type Estimate struct {
	Items  []*Item `json:"resources"`
	Totals []Total `json:"totals"` // by currency
	// Unknown counts the instances of which something is not known.
	Unknown int `json:"unknown"`
	// Free counts the instances that cost nothing.
	Free int `json:"free"`
}

// Total is the sum of what is known in one currency.
type Total struct {
	Currency   string `json:"currency"`
	Before     Amount `json:"before"`
	After      Amount `json:"after"`
	Difference Amount `json:"difference"`
}

// Item is one resource instance. Read from JSON it says what it said when it was
// written, but for what [Item.Later] and [Item.Listed] know.
type Item struct {
	Stack   string  `json:"stack,omitempty"`
	Address string  `json:"address"`
	Type    string  `json:"type"`
	Action  string  `json:"action"`
	Region  string  `json:"region,omitempty"`
	Free    bool    `json:"free,omitempty"`
	Totals  []Total `json:"totals"`
	Before  *Side   `json:"before,omitempty"` // nil where there is no object
	After   *Side   `json:"after,omitempty"`

	instance *Instance
	listed   bool // the book has prices of the type
}

// Name is the address with the stack it is in.
func (i *Item) Name() string { return (&Instance{Stack: i.Stack, Address: i.Address}).Name() }

// Changes reports whether something happens to the instance.
func (i *Item) Changes() bool { return (&Instance{Action: i.Action}).Changes() }

// Listed reports whether the book has prices of its type.
func (i *Item) Listed() bool { return i.listed }

// Unknown is why something of the instance is not known, as it is after the
// plan; empty where all is.
func (i *Item) Unknown() []string {
	side := i.After
	if side == nil {
		side = i.Before
	}
	if side == nil {
		return nil
	}
	return side.Unknown
}

// Lost reports whether something that had a known cost changes into what is not
// known: its difference then means nothing.
func (i *Item) Lost() bool {
	if !i.Changes() || i.Before == nil || i.After == nil || len(i.After.Unknown) == 0 {
		return false
	}
	for _, t := range i.Totals {
		if t.Before.Sign() > 0 {
			return true
		}
	}
	return false
}

// Side is an instance before or after.
type Side struct {
	Components []Part   `json:"components"`
	Unknown    []string `json:"unknown,omitempty"` // reasons
}

// Part is one component of what an instance costs.
type Part struct {
	Name     string `json:"name"`
	Quantity Amount `json:"quantity"`
	Unit     string `json:"unit"`
	Price    Amount `json:"price"`
	Currency string `json:"currency"`
	Monthly  Amount `json:"monthly"`
	// Unknown is why the cost is not known; Quantity and Monthly mean nothing then.
	Unknown     string   `json:"unknown,omitempty"`
	Assumptions []string `json:"assumptions,omitempty"`
	Date        string   `json:"date,omitempty"`
	Source      string   `json:"source,omitempty"`
	Notes       string   `json:"notes,omitempty"`
}

// MarshalJSON writes null for what is not known.
func (p Part) MarshalJSON() ([]byte, error) {
	type plain Part
	out := struct {
		plain
		Quantity *Amount `json:"quantity"`
		Monthly  *Amount `json:"monthly"`
		Price    *Amount `json:"price"`
	}{plain: plain(p)}
	if p.Unknown == "" {
		out.Quantity, out.Monthly = &p.Quantity, &p.Monthly
	}
	if p.Currency != "" {
		out.Price = &p.Price
	}
	return json.Marshal(out)
}

// Estimate prices instances. Usage may be nil.
func (b *Book) Estimate(list []Instance, usage *Usage) *Estimate {
	e := &Estimate{}
	for i := range list {
		e.add(b.item(&list[i], usage))
	}
	e.sum()
	return e
}

// Join returns several estimates as one.
func Join(list ...*Estimate) *Estimate {
	out := &Estimate{}
	for _, e := range list {
		for _, item := range e.Items {
			out.add(item)
		}
	}
	out.sum()
	return out
}

func (e *Estimate) add(item *Item) {
	e.Items = append(e.Items, item)
	if item.Free {
		e.Free++
	}
	if len(item.Unknown()) > 0 {
		e.Unknown++
	}
}

func (e *Estimate) sum() {
	var sums sums
	for _, item := range e.Items {
		for _, t := range item.Totals {
			sums.add(t.Currency, t.Before, t.After)
		}
	}
	e.Totals = sums.totals()
}

// In returns the total in a currency.
func (e *Estimate) In(currency string) Total {
	for _, t := range e.Totals {
		if t.Currency == currency {
			return t
		}
	}
	return Total{Currency: currency}
}

// Touched reports whether the plan does something to a resource that has a
// price.
func (e *Estimate) Touched() bool {
	for _, item := range e.Items {
		if item.Changes() && !item.Free && (item.listed || len(item.Totals) > 0) {
			return true
		}
	}
	return false
}

// Largest returns the instances whose known costs differ most by key, at most n
// of them, those of no difference left out.
func (e *Estimate) Largest(n int, key func(Total) Amount) []*Item {
	type ranked struct {
		item *Item
		size Amount
	}
	var list []ranked
	for _, item := range e.Items {
		size := Amount{}
		for _, t := range item.Totals {
			if s := key(t).Abs(); s.Compare(size) > 0 {
				size = s
			}
		}
		if size.Sign() > 0 {
			list = append(list, ranked{item, size})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].size.Compare(list[j].size) > 0 })
	out := make([]*Item, 0, min(n, len(list)))
	for _, r := range list[:min(n, len(list))] {
		out = append(out, r.item)
	}
	return out
}

// item prices one instance.
func (b *Book) item(inst *Instance, usage *Usage) *Item {
	item := &Item{Stack: inst.Stack, Address: inst.Address, Type: inst.Type, Action: inst.Action, instance: inst}
	p := b.types[inst.Type]
	item.listed = p != nil && len(p.components) > 0
	given := usage.of(inst)
	side := func(o *object) *Side {
		if b.isFree(inst, o) {
			item.Free = true
			return &Side{Components: []Part{}}
		}
		item.Free = false
		if !item.listed {
			return &Side{Components: []Part{}, Unknown: []string{"type " + inst.Type + " is not in the price book"}}
		}
		region := regionOf(o, inst)
		item.Region = region
		return p.side(inst, o, region)
	}
	if exists(inst.Before) {
		item.Before = side(&object{value: inst.Before, usage: given, hidden: inst.Hidden})
	}
	switch {
	case exists(inst.After) && inst.Action == "no-op" && item.Before != nil:
		item.After = item.Before
	case exists(inst.After):
		item.After = side(&object{value: inst.After, usage: given, hidden: inst.Hidden})
	}
	var sums sums
	if item.Before != nil {
		for _, part := range item.Before.Components {
			if part.Unknown == "" {
				sums.add(part.Currency, part.Monthly, Amount{})
			}
		}
	}
	if item.After != nil {
		for _, part := range item.After.Components {
			if part.Unknown == "" {
				sums.add(part.Currency, Amount{}, part.Monthly)
			}
		}
	}
	item.Totals = sums.totals()
	return item
}

// side prices an object.
func (p *priced) side(inst *Instance, o *object, region string) *Side {
	s := &Side{Components: []Part{}}
	for _, c := range p.components {
		objects, names := []*object{o}, []string{c.name}
		if c.each != "" {
			var reason string
			objects, reason = o.elements(c.each)
			if reason != "" && c.optional && len(s.Components) > 0 {
				// Providers complete such blocks with what they find, which for a new
				// object is nothing besides what the configuration says.
				first := &s.Components[0]
				first.Assumptions = append(first.Assumptions, c.each+" taken as none")
				continue
			}
			if reason != "" {
				s.add(Part{Name: c.name, Unknown: reason})
				continue
			}
			names = names[:0]
			for i := range objects {
				names = append(names, c.each+"["+strconv.Itoa(i)+"] "+c.name)
			}
		}
		for i, part := range objects {
			if one, ok := c.price(inst, part, region); ok {
				one.Name = names[i]
				s.add(one)
			}
		}
	}
	return s
}

func (s *Side) add(part Part) {
	s.Components = append(s.Components, part)
	if part.Unknown == "" {
		return
	}
	reason := part.Unknown
	if part.Name != "total" {
		reason = part.Name + ": " + reason
	}
	s.Unknown = append(s.Unknown, reason)
}

// price is what a component of an object costs; false where it has no such one.
func (c *component) price(inst *Instance, o *object, region string) (Part, bool) {
	row, reason := c.choose(inst, o, region)
	if row == nil {
		if reason == "" && c.optional {
			return Part{}, false
		}
		if reason == "" {
			reason = c.noPrice(o, region)
		}
		o.take()
		return Part{Unknown: reason}, true
	}
	part := Part{
		Unit: row.Unit, Price: row.Price, Currency: row.Currency, Date: row.Date, Source: row.Source, Notes: row.Notes,
	}
	n, reason := row.quantity.of(o)
	part.Assumptions = o.take()
	if reason != "" {
		part.Unknown = reason
		return part, true
	}
	if n.Sign() == 0 && c.optional {
		return Part{}, false
	}
	part.Quantity = n
	part.Monthly = n.Times(row.Price)
	u := units[row.Unit]
	if u.hourly {
		hours, ok := o.usage["hours"]
		if !ok {
			hours = Whole(hoursPerMonth)
		}
		part.Monthly = part.Monthly.Times(hours)
	}
	if u.per > 1 {
		part.Monthly = part.Monthly.By(Whole(u.per))
	}
	return part, true
}

// sums adds up by currency.
type sums []Total

func (s *sums) add(currency string, before, after Amount) {
	for i := range *s {
		if t := &(*s)[i]; t.Currency == currency {
			t.Before, t.After = t.Before.Plus(before), t.After.Plus(after)
			return
		}
	}
	*s = append(*s, Total{Currency: currency, Before: before, After: after})
}

func (s sums) totals() []Total {
	out := make([]Total, 0, len(s))
	for _, t := range s {
		t.Difference = t.After.Minus(t.Before)
		out = append(out, t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Currency < out[j].Currency })
	return out
}
