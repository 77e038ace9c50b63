package projects

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/tutti-dev/tutti/internal/events/windows"
)

// How much of what runs led to a trigger takes unless its loop block says otherwise:
// enough for all that is meant, and an end to what goes round in circles.
const (
	DefaultLoopDepth = 5
	DefaultLoopRate  = 1000 // a minute
)

// eventOnly are the arguments and blocks that only mean something for events.
var eventOnly = []string{"when", "key", "throttle", "window", "dedup", "loop"}

func (d *decoder) trigger(block *hcl.Block) *Trigger {
	content := d.content(block, []string{"run"}, []string{"schedule", "timezone", "missed", "overlap", "on", "when", "key", "throttle", "inputs", "environment", "as"},
		hcl.BlockHeaderSchema{Type: "window"}, hcl.BlockHeaderSchema{Type: "dedup"}, hcl.BlockHeaderSchema{Type: "loop"})
	t := &Trigger{Name: block.Labels[0], DeclRange: block.DefRange, Ranges: map[string]hcl.Range{}}
	d.scheduled(t, content)
	blocks := map[string]*hcl.Block{}
	for _, b := range content.Blocks {
		if blocks[b.Type] != nil {
			d.errorAt(b.DefRange, "Duplicate "+b.Type+" block", "A trigger has one %s block at most.", b.Type)
		}
		blocks[b.Type], t.Ranges[b.Type] = b, b.DefRange
		if body, ok := b.Body.(*hclsyntax.Body); ok {
			t.Ranges[b.Type] = body.Range()
		}
	}
	if attr := content.Attributes["run"]; attr != nil {
		t.Workflow, _ = d.reference(attr.Expr, "workflow")
	}
	t.Inputs = d.entries(content.Attributes["inputs"])
	on, schedule := content.Attributes["on"], content.Attributes["schedule"]
	switch {
	case on != nil && schedule != nil:
		d.errorAt(on.NameRange, "Trigger with two causes", "A trigger has a schedule, or a pattern of events: write two triggers.")
	case on != nil:
		d.onEvents(t, on, content, blocks)
		return t
	case schedule == nil:
		d.errorAt(block.DefRange, "Trigger without a cause", "A trigger needs a schedule, such as schedule = \"0 3 * * *\", or a pattern of events, such as on = { type = \"com.github.push\" }.")
	}
	for _, name := range eventOnly {
		if rng, given := t.Ranges[name]; given {
			d.errorAt(rng, "Not about a schedule", "%q is about events: it needs a pattern of them, for example on = { type = \"com.github.push\" }.", name)
		}
	}
	return t
}

// onEvents decodes what a trigger for events says.
func (d *decoder) onEvents(t *Trigger, on *hcl.Attribute, content *hcl.BodyContent, blocks map[string]*hcl.Block) {
	t.On = d.pattern(on.Expr)
	for _, name := range []string{"timezone", "missed", "overlap"} {
		if rng, given := t.Ranges[name]; given {
			d.errorAt(rng, "Not about events", "%q is about schedules: a trigger for events has none.", name)
		}
	}
	for name, into := range map[string]*hcl.Expression{"when": &t.When, "key": &t.Key} {
		if attr := content.Attributes[name]; attr != nil {
			*into = attr.Expr
		}
	}
	r := &t.Window
	r.Kind, r.Depth, r.Caused = windows.Each, DefaultLoopDepth, windows.Rate{Limit: DefaultLoopRate, Per: time.Minute}
	r.Throttle.Limit, r.Throttle.Per = d.rate(content, "throttle")
	if b := blocks["window"]; b != nil {
		d.window(t, b)
	}
	if b := blocks["dedup"]; b != nil {
		c := d.content(b, []string{"within"}, []string{"key"})
		r.Dedup = d.duration(c, "within")
		if attr := c.Attributes["key"]; attr != nil {
			t.Once = attr.Expr
		}
	}
	if b := blocks["loop"]; b != nil {
		c := d.content(b, nil, []string{"depth", "rate"})
		if d.constant(c, "depth", &r.Depth) && r.Depth < 1 {
			d.errorAt(c.Attributes["depth"].Expr.Range(), "Invalid depth", "The depth is how many runs may have led to an event: 1 or more.")
		}
		if limit, per := d.rate(c, "rate"); limit > 0 {
			r.Caused = windows.Rate{Limit: limit, Per: per}
		}
	}
	if err := r.Check(); err != nil && !d.diags.HasErrors() {
		d.errorAt(t.DeclRange, "Invalid window", "The trigger %q: %s.", t.Name, err)
	}
}

// pattern reads a pattern; nil where it is wrong, which is told.
func (d *decoder) pattern(expr hcl.Expression) *patterns.Pattern {
	p, diags := patterns.Read(expr, nil)
	d.add(diags)
	return p
}

// window decodes how many events in which time make a trigger fire. The pattern of the
// trigger is the first part.
func (d *decoder) window(t *Trigger, block *hcl.Block) {
	c := d.content(block, []string{"within"}, []string{"count", "absent", "with", "then", "keys"})
	r := &t.Window
	r.Within = d.duration(c, "within")
	d.constant(c, "keys", &r.Keys)
	kinds := 0
	for name, kind := range map[string]windows.Kind{"count": windows.Count, "absent": windows.Absent, "with": windows.All, "then": windows.Sequence} {
		attr := c.Attributes[name]
		if attr == nil {
			continue
		}
		kinds++
		r.Kind = kind
		switch kind {
		case windows.Count:
			d.constant(c, name, &r.Count)
		case windows.Absent:
			t.Parts = append(t.Parts, d.pattern(attr.Expr))
		default:
			list, diags := hcl.ExprList(attr.Expr)
			if diags.HasErrors() {
				d.errorAt(attr.Expr.Range(), "Invalid window", "%q is a list of patterns.", name)
				return
			}
			for _, expr := range list {
				t.Parts = append(t.Parts, d.pattern(expr))
			}
			r.Parts = len(t.Parts) + 1
		}
	}
	if kinds != 1 {
		d.errorAt(block.DefRange, "Window of no kind", "A window says one thing: count = N (so many events), absent = PATTERN (one that does not come after), with = [PATTERN, ...] (all of them), or then = [PATTERN, ...] (one after the other).")
	}
}

// Webhook is a webhook block: requests of others that become events.
type Webhook struct {
	Name string
	Kind string // whose requests they are
	// Source is that of events whose requests name none.
	Source string
	// Secrets are what senders may know: one is enough.
	Secrets []Reference
	// Open lets everybody in.
	Open bool
	// MaxBytes is how long a body may be, and Tolerance how old a signature; 0 for
	// the default.
	MaxBytes  int
	Tolerance time.Duration
	// Rate is how many requests are taken in a time; 0 for the default.
	Rate windows.Rate
	// Environment is the one that the secrets are of; empty for the default one.
	Environment string
	DeclRange   hcl.Range
	Ranges      map[string]hcl.Range // of the arguments, for diagnostics
}

// HookPath is where the requests of a webhook go.
func (w *Webhook) HookPath() string { return HooksPrefix + w.Name }

// HooksPrefix begins the paths of webhooks.
const HooksPrefix = "/hooks/"

func (d *decoder) webhook(block *hcl.Block) *Webhook {
	content := d.content(block, []string{"kind"}, []string{"secret", "secrets", "open", "source", "max_bytes", "tolerance", "rate", "environment"})
	w := &Webhook{Name: block.Labels[0], DeclRange: block.DefRange, Ranges: map[string]hcl.Range{}}
	for name, attr := range content.Attributes {
		w.Ranges[name] = attr.Expr.Range()
	}
	d.given(content, "kind", &w.Kind)
	if w.Source = w.HookPath(); content.Attributes["source"] != nil {
		d.given(content, "source", &w.Source)
	}
	d.constant(content, "open", &w.Open)
	d.constant(content, "max_bytes", &w.MaxBytes)
	d.constant(content, "environment", &w.Environment)
	w.Tolerance = d.duration(content, "tolerance")
	w.Rate.Limit, w.Rate.Per = d.rate(content, "rate")
	if attr := content.Attributes["secret"]; attr != nil {
		if r, ok := d.reference(attr.Expr, "secret"); ok {
			w.Secrets = append(w.Secrets, r)
		}
	}
	w.Secrets = append(w.Secrets, d.references(content.Attributes["secrets"], "secret")...)
	given := content.Attributes["secret"] != nil || content.Attributes["secrets"] != nil
	switch {
	case w.Open && given:
		d.errorAt(w.Ranges["open"], "Webhook both open and secret", "A webhook either has a secret that its senders know, or is open to everybody.")
	case !w.Open && !given:
		d.errorAt(block.DefRange, "Webhook without a secret", "Name the secret that senders sign with or send: secret = secret.NAME. Only open = true lets everybody in without one.")
	}
	return w
}
