package projects

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/tutti-dev/tutti/internal/addrs"
)

// Observe is an observe block: which stacks are looked at again and again, to see
// whether the real objects still are as they were left. Of several blocks, one is
// about a stack in an environment at most.
type Observe struct {
	Every        time.Duration
	Stacks       []Reference // empty for all
	Environments []string    // empty for all
	// Rates are the budgets of providers; one without has [DefaultReadRate].
	Rates map[addrs.Provider]Rate
	// Repair says that what has drifted is put back, and Approve that people
	// approve it first.
	Repair, Approve bool
	// Flapping is how often a field may be found changed within Within before it
	// is left alone.
	Flapping int
	Within   time.Duration
	// As is the service that looks and repairs: KIND:NAME.
	As        string
	DeclRange hcl.Range
}

// Rate is how many things may be done in a time.
type Rate struct {
	Count int
	Per   time.Duration
}

// String writes a rate as it is read: 10/1m.
func (r Rate) String() string {
	per := r.Per.String()
	for _, zero := range []string{"0s", "0m"} { // 1h0m0s
		if trimmed := strings.TrimSuffix(per, zero); trimmed != per && strings.ContainsAny(trimmed[max(len(trimmed)-1, 0):], "hm") {
			per = trimmed
		}
	}
	return strconv.Itoa(r.Count) + "/" + per
}

// What an observe block that does not say has.
const (
	defaultFlapping = 3
	defaultWithin   = 24 * time.Hour
	defaultObserver = "service:observer"
	// shortestLook bounds how often a stack may be looked at: what is found is kept
	// and told each time.
	shortestLook = time.Second
)

// DefaultReadRate is the budget of a provider that no observe block names.
var DefaultReadRate = Rate{Count: 10, Per: time.Second}

// About reports whether the block is for a stack in an environment. The stack of
// a project without stacks has no name.
func (o *Observe) About(stack, environment string) bool {
	if len(o.Environments) > 0 && !slices.Contains(o.Environments, environment) {
		return false
	}
	return len(o.Stacks) == 0 || slices.ContainsFunc(o.Stacks, func(r Reference) bool { return r.Name == stack })
}

// Observed is the block that is about a stack in an environment; nil for none.
func (p *Project) Observed(stack, environment string) *Observe {
	for _, o := range p.Observes {
		if o.About(stack, environment) {
			return o
		}
	}
	return nil
}

func (d *decoder) observe(block *hcl.Block) {
	content := d.content(block, []string{"every"}, []string{"stacks", "environments", "rate", "repair", "approve", "flapping", "within", "as"})
	o := &Observe{
		DeclRange: block.DefRange, Flapping: defaultFlapping, Within: defaultWithin, As: defaultObserver, Rates: map[addrs.Provider]Rate{},
	}
	before := len(d.diags)
	o.Every = d.duration(content, "every")
	if attr := content.Attributes["every"]; attr != nil && len(d.diags) == before && o.Every < shortestLook {
		d.errorAt(attr.Expr.Range(), "Invalid duration", "A stack can be looked at once a second at most.")
	}
	o.Stacks = d.references(content.Attributes["stacks"], "stack")
	if attr := content.Attributes["stacks"]; attr != nil && len(o.Stacks) == 0 {
		d.errorAt(attr.Expr.Range(), "Nothing to observe", "Name stacks, or leave the argument out: it is then about all.")
	}
	d.constant(content, "environments", &o.Environments)
	if attr := content.Attributes["environments"]; attr != nil && len(o.Environments) == 0 {
		d.errorAt(attr.Expr.Range(), "Nothing to observe", "Name environments, or leave the argument out: it is then about all.")
	}
	d.readRates(o, content.Attributes["rate"])
	d.constant(content, "repair", &o.Repair)
	if d.constant(content, "approve", &o.Approve) && o.Approve && !o.Repair {
		d.errorAt(content.Attributes["approve"].NameRange, "Nothing to approve", "What is approved are repairs: give repair = true as well, or remove this argument.")
	}
	if d.constant(content, "flapping", &o.Flapping) && o.Flapping < 2 {
		d.errorAt(content.Attributes["flapping"].Expr.Range(), "Invalid count", "A field flaps when it was found changed again: flapping must be 2 or more.")
	}
	if content.Attributes["within"] != nil {
		o.Within = d.duration(content, "within")
	}
	if d.constant(content, "as", &o.As) && (ParseSubject(o.As) != nil || !strings.HasPrefix(o.As, "service:")) {
		d.errorAt(content.Attributes["as"].Expr.Range(), "Invalid identity", "The observer acts as a service, never as a person: %s is none. Write for example as = %q.", shorten(o.As), defaultObserver)
	}
	d.project.Observes = append(d.project.Observes, o)
}

// readRates reads { "hashicorp/aws" = "10/s" }.
func (d *decoder) readRates(o *Observe, attr *hcl.Attribute) {
	for source, expr := range d.entries(attr) {
		provider, err := addrs.ParseProvider(source)
		if err != nil {
			d.errorAt(expr.Range(), "Invalid provider", "%q: %s.", source, err)
			continue
		}
		var text string
		if diags := gohcl.DecodeExpression(expr, nil, &text); diags.HasErrors() {
			d.addHCL(diags)
			continue
		}
		rate, ok := parseRate(text)
		if !ok {
			d.errorAt(expr.Range(), "Invalid rate", "%q is not a rate: write how many reads per time, for example \"10/s\" or \"600/h\".", text)
			continue
		}
		for _, other := range append(d.project.Observes, o) {
			if _, given := other.Rates[provider.Canonical()]; given {
				d.errorAt(expr.Range(), "Duplicate rate", "There is a rate for the provider %s already, at %s:%d. A provider has one budget, whatever stacks are looked at.", provider.ForDisplay(), other.DeclRange.Filename, other.DeclRange.Start.Line)
			}
		}
		o.Rates[provider.Canonical()] = rate
	}
}

// parseRate reads "10/s", "10/1m".
func parseRate(text string) (Rate, bool) {
	count, per, _ := strings.Cut(text, "/")
	per = strings.TrimSpace(per)
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per // 10/m is 10/1m
	}
	n, err := strconv.Atoi(strings.TrimSpace(count))
	length, perErr := ParseDuration(per)
	return Rate{Count: n, Per: length}, err == nil && perErr == nil && n >= 1 && length > 0
}

// checkObserves reports blocks that are about the same stack in the same
// environment, and environments that there are not.
func (d *decoder) checkObserves() {
	p := d.project
	for i, o := range p.Observes {
		for _, name := range o.Environments {
			if len(p.Environments) > 0 && p.Environments[name] == nil {
				d.errorAt(o.DeclRange, "Reference to undeclared environment", "The block is about the environment %q, which this project does not declare.", name)
			}
		}
		for _, first := range p.Observes[:i] {
			if stack, environment, both := first.overlap(o); both {
				what := "the same stacks"
				if stack != "" {
					what = "stack " + strconv.Quote(stack)
				}
				if environment != "" {
					what += " in environment " + strconv.Quote(environment)
				}
				d.errorAt(o.DeclRange, "Observed twice", "The block at %s:%d is about %s already. Name in each block the stacks or environments that it is about.", first.DeclRange.Filename, first.DeclRange.Start.Line, what)
				break
			}
		}
	}
}

// overlap names a stack and an environment that two blocks are both about; empty
// for any.
func (o *Observe) overlap(other *Observe) (stack, environment string, both bool) {
	names := func(list []Reference) (out []string) {
		for _, r := range list {
			out = append(out, r.Name)
		}
		return out
	}
	stack, sameStack := common(names(o.Stacks), names(other.Stacks))
	environment, sameEnvironment := common(o.Environments, other.Environments)
	return stack, environment, sameStack && sameEnvironment
}

// common finds something that is in both lists, of which an empty one has
// everything.
func common(a, b []string) (string, bool) {
	switch {
	case len(a) == 0 && len(b) == 0:
		return "", true
	case len(a) == 0:
		return b[0], true
	case len(b) == 0:
		return a[0], true
	}
	for _, one := range a {
		if slices.Contains(b, one) {
			return one, true
		}
	}
	return "", false
}
