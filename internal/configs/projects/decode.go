package projects

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

var projectSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "environment", LabelNames: []string{"name"}},
	{Type: "stack", LabelNames: []string{"name"}},
	{Type: "workflow", LabelNames: []string{"name"}},
	{Type: "pool", LabelNames: []string{"name"}},
	{Type: "trigger", LabelNames: []string{"name"}},
	{Type: "source", LabelNames: []string{"name"}},
	{Type: "notify", LabelNames: []string{"name"}},
	{Type: "webhook", LabelNames: []string{"name"}},
	{Type: "moved"},
	{Type: "policy", LabelNames: []string{"name"}},
	{Type: "role", LabelNames: []string{"name"}},
	{Type: "grant"},
	{Type: "identity", LabelNames: []string{"name"}},
	{Type: "secret", LabelNames: []string{"name"}},
	{Type: "budget", LabelNames: []string{"name"}},
	{Type: "cost"},
	{Type: "observe"},
	// Known words that nothing stands behind yet.
	{Type: "scaler", LabelNames: []string{"name"}},
	{Type: "service", LabelNames: []string{"name"}},
}}

// decoder turns blocks into a Project.
type decoder struct {
	project *Project
	diags   diag.List
	// own says that what is decoded was written by the program itself.
	own bool
}

func (d *decoder) add(list diag.List)           { d.diags = append(d.diags, list...) }
func (d *decoder) addHCL(diags hcl.Diagnostics) { d.add(diag.FromHCL(diags)) }

func (d *decoder) errorAt(rng hcl.Range, summary, detail string, args ...any) {
	d.add(diag.ErrorAt(rng, summary, detail, args...))
}

func (d *decoder) block(block *hcl.Block) {
	for i, label := range block.Labels {
		d.checkName(label, block.LabelRanges[i])
	}
	switch block.Type {
	case "environment":
		declare(d, d.project.Environments, block, func(e *Environment) hcl.Range { return e.DeclRange }, d.environment)
	case "stack":
		declare(d, d.project.Stacks, block, func(s *Stack) hcl.Range { return s.DeclRange }, d.stack)
	case "workflow":
		declare(d, d.project.Workflows, block, func(w *Workflow) hcl.Range { return w.DeclRange }, d.workflow)
	case "pool":
		declare(d, d.project.Pools, block, func(p *Pool) hcl.Range { return p.DeclRange }, d.pool)
	case "trigger":
		declare(d, d.project.Triggers, block, func(t *Trigger) hcl.Range { return t.DeclRange }, d.trigger)
	case "notify":
		declare(d, d.project.Notifies, block, func(n *Notify) hcl.Range { return n.DeclRange }, d.notify)
	case "webhook":
		declare(d, d.project.Webhooks, block, func(w *Webhook) hcl.Range { return w.DeclRange }, d.webhook)
	case "source":
		declare(d, d.project.Sources, block, func(s *Source) hcl.Range { return s.DeclRange }, d.source)
	case "policy":
		declare(d, d.project.Policies, block, func(p *Policy) hcl.Range { return p.DeclRange }, d.policy)
	case "secret":
		declare(d, d.project.Secrets, block, func(s *Secret) hcl.Range { return s.DeclRange }, d.secret)
	case "moved":
		d.moved(block)
	case "role":
		declare(d, d.project.Roles, block, func(r *Role) hcl.Range { return r.DeclRange }, d.role)
	case "grant":
		d.grant(block)
	case "identity":
		declare(d, d.project.Identities, block, func(i *Identity) hcl.Range { return i.DeclRange }, d.identity)
	case "budget":
		declare(d, d.project.Budgets, block, func(b *Budget) hcl.Range { return b.DeclRange }, d.budget)
	case "cost":
		d.cost(block)
	case "observe":
		d.observe(block)
	default:
		d.errorAt(block.DefRange, "Block has no effect yet", "This version of Tutti does not carry out %s blocks. Remove it: what it promises would not be kept.", block.Type)
	}
}

// declare decodes a named block unless the name is taken.
func declare[T any](d *decoder, into map[string]*T, block *hcl.Block, rangeOf func(*T) hcl.Range, decode func(*hcl.Block) *T) {
	name := block.Labels[0]
	if first := into[name]; first != nil {
		at := rangeOf(first)
		d.errorAt(block.DefRange, "Duplicate "+block.Type, "The %s %q is declared twice in this project: first at %s:%d.", block.Type, name, at.Filename, at.Start.Line)
		return
	}
	into[name] = decode(block)
}

func (d *decoder) checkName(name string, rng hcl.Range) {
	if !hclsyntax.ValidIdentifier(name) {
		d.errorAt(rng, "Invalid name", "%q is not a valid name: it must start with a letter or underscore, and have only letters, digits, underscores and dashes.", name)
	}
}

// attributes reads a body that has the given arguments and blocks and nothing
// else; the first names are required.
func (d *decoder) content(block *hcl.Block, required []string, optional []string, blocks ...hcl.BlockHeaderSchema) *hcl.BodyContent {
	schema := &hcl.BodySchema{Blocks: blocks}
	for _, name := range required {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name, Required: true})
	}
	for _, name := range optional {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
	}
	content, diags := block.Body.Content(schema)
	d.addHCL(diags)
	return content
}

// constant decodes a literal argument into a Go value, where it is there.
func (d *decoder) constant(content *hcl.BodyContent, name string, into any) bool {
	attr := content.Attributes[name]
	if attr == nil {
		return false
	}
	diags := gohcl.DecodeExpression(attr.Expr, nil, into)
	d.addHCL(diags)
	return !diags.HasErrors()
}

// duration decodes a literal length of time such as "90s" or "24h"; days and
// weeks are understood as well.
func (d *decoder) duration(content *hcl.BodyContent, name string) time.Duration {
	var given string
	if !d.constant(content, name, &given) {
		return 0
	}
	length, err := ParseDuration(given)
	if err != nil {
		d.errorAt(content.Attributes[name].Expr.Range(), "Invalid duration", "The argument %q: %s.", name, err)
	}
	return length
}

// ParseDuration reads a length of time: that of [time.ParseDuration], and whole
// days ("3d") and weeks ("2w"). It is never negative.
func ParseDuration(given string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a length of time: write for example \"90s\", \"5m\", \"24h\", \"7d\"", given)
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(given, unit); ok {
			count, err := strconv.Atoi(n)
			if err != nil || count < 0 || count > 100_000 {
				return 0, wrong
			}
			return time.Duration(count) * length, nil
		}
	}
	length, err := time.ParseDuration(given)
	if err != nil || length < 0 {
		return 0, wrong
	}
	return length, nil
}

// reference reads a bare KIND.NAME.
func (d *decoder) reference(expr hcl.Expression, kind string) (Reference, bool) {
	t, diags := hcl.AbsTraversalForExpr(expr)
	if !diags.HasErrors() && len(t) == 2 && t.RootName() == kind {
		if name, ok := t[1].(hcl.TraverseAttr); ok {
			return Reference{Kind: kind, Name: name.Name, Range: expr.Range()}, true
		}
	}
	d.errorAt(expr.Range(), "Invalid reference", "A reference to a %s is needed here: write %s.NAME.", kind, kind)
	return Reference{Kind: kind, Range: expr.Range()}, false
}

// references reads a list of bare references.
func (d *decoder) references(attr *hcl.Attribute, kind string) []Reference {
	if attr == nil {
		return nil
	}
	exprs, diags := hcl.ExprList(attr.Expr)
	d.addHCL(diags)
	var out []Reference
	for _, expr := range exprs {
		if r, ok := d.reference(expr, kind); ok {
			out = append(out, r)
		}
	}
	return out
}

// entries reads an object constructor as expressions by name, so that each can
// be looked at on its own.
func (d *decoder) entries(attr *hcl.Attribute) map[string]hcl.Expression {
	if attr == nil {
		return nil
	}
	pairs, diags := hcl.ExprMap(attr.Expr)
	if diags.HasErrors() {
		d.errorAt(attr.Expr.Range(), "Invalid "+attr.Name, "The argument %q must be an object written out: { NAME = VALUE, ... }.", attr.Name)
		return nil
	}
	out := map[string]hcl.Expression{}
	for _, pair := range pairs {
		name := hcl.ExprAsKeyword(pair.Key)
		if name == "" {
			key, diags := pair.Key.Value(nil)
			if diags.HasErrors() || !key.Type().IsPrimitiveType() || key.IsNull() || !key.IsKnown() || gohcl.DecodeExpression(pair.Key, nil, &name).HasErrors() {
				d.errorAt(pair.Key.Range(), "Invalid name", "Names in %q must be constant.", attr.Name)
				continue
			}
		}
		if out[name] != nil {
			d.errorAt(pair.Key.Range(), "Duplicate name", "%q is given twice.", name)
		}
		out[name] = pair.Value
	}
	return out
}

func (d *decoder) environment(block *hcl.Block) *Environment {
	content := d.content(block, nil, []string{"labels", "variables"})
	e := &Environment{Name: block.Labels[0], DeclRange: block.DefRange, Labels: map[string]string{}}
	d.constant(content, "labels", &e.Labels)
	e.Variables = d.entries(content.Attributes["variables"])
	return e
}

func (d *decoder) stack(block *hcl.Block) *Stack {
	content := d.content(block, []string{"source"}, []string{"inputs", "needs"})
	s := &Stack{Name: block.Labels[0], DeclRange: block.DefRange}
	if d.constant(content, "source", &s.Source) && !configs.IsLocalSource(s.Source) {
		d.errorAt(content.Attributes["source"].Expr.Range(), "Invalid source of a stack", "A stack is a directory of this project: the source must begin with \"./\" or \"../\", or be \"tutti:library\", the rules that come with Tutti.")
	}
	if attr := content.Attributes["inputs"]; attr != nil {
		s.Inputs, s.InputsRange = d.entries(attr), attr.Range
	}
	s.Needs = d.references(content.Attributes["needs"], "stack")
	return s
}

// enforcements are the levels of a policy.
var enforcements = []string{"advisory", "soft-mandatory", "mandatory"}

func (d *decoder) policy(block *hcl.Block) *Policy {
	content := d.content(block, []string{"source"}, []string{"enforcement", "stacks", "when", "decision", "data"})
	p := &Policy{Name: block.Labels[0], Enforcement: "mandatory", DeclRange: block.DefRange, SourceRange: block.DefRange}
	if attr := content.Attributes["source"]; attr != nil {
		p.SourceRange = attr.Expr.Range()
		if d.constant(content, "source", &p.Source) && !configs.IsLocalSource(p.Source) && !strings.HasPrefix(p.Source, "tutti:library") {
			d.errorAt(p.SourceRange, "Invalid source of a policy", "A policy is a directory of this project: the source must begin with \"./\" or \"../\", or be \"tutti:library\", the rules that come with Tutti.")
		}
	}
	if d.constant(content, "enforcement", &p.Enforcement) && !slices.Contains(enforcements, p.Enforcement) {
		d.errorAt(content.Attributes["enforcement"].Expr.Range(), "Invalid enforcement", "%q is not a level: write \"advisory\", \"soft-mandatory\" or \"mandatory\".", p.Enforcement)
	}
	p.Stacks = d.references(content.Attributes["stacks"], "stack")
	d.constant(content, "when", &p.When)
	if attr := content.Attributes["decision"]; attr != nil {
		var one string
		if diags := gohcl.DecodeExpression(attr.Expr, nil, &one); !diags.HasErrors() {
			p.Decisions = []string{one}
		} else {
			d.constant(content, "decision", &p.Decisions)
		}
		if slices.Contains(p.Decisions, "") || len(p.Decisions) == 0 {
			d.errorAt(attr.Expr.Range(), "Invalid decision", "Name a rule or a package, for example \"terraform/analysis/authz\", or several in a list; leave the argument out to be judged by all rules named deny, violation or warn.")
		}
	}
	d.constant(content, "data", &p.Data)
	for _, dir := range p.Data {
		if !configs.IsLocalSource(dir) {
			d.errorAt(content.Attributes["data"].Expr.Range(), "Invalid data of a policy", "Data are files or directories of this project: %q must begin with \"./\" or \"../\".", dir)
		}
	}
	return p
}

func (d *decoder) pool(block *hcl.Block) *Pool {
	content := d.content(block, nil, []string{"limit", "rate"})
	p := &Pool{Name: block.Labels[0], DeclRange: block.DefRange}
	if d.constant(content, "limit", &p.Limit) && p.Limit < 1 {
		d.errorAt(content.Attributes["limit"].Expr.Range(), "Invalid limit", "The limit of a pool must be 1 or more.")
	}
	p.Rate, p.Per = d.rate(content, "rate")
	if len(content.Attributes) == 0 {
		d.errorAt(block.DefRange, "Pool without a limit", "A pool needs a limit (how many at once) or a rate (how many per time, \"10/1m\").")
	}
	return p
}

// rate decodes how many per time, such as "10/1m"; 0 where nothing is said.
func (d *decoder) rate(content *hcl.BodyContent, name string) (count int, per time.Duration) {
	var given string
	if !d.constant(content, name, &given) {
		return 0, 0
	}
	r, ok := parseRate(given)
	if !ok {
		d.errorAt(content.Attributes[name].Expr.Range(), "Invalid rate", "%q is not a rate: write how many per time, for example \"10/1m\".", given)
		return 0, 0
	}
	return r.Count, r.Per
}

// scheduled decodes the arguments of whatever happens by schedule.
func (d *decoder) scheduled(t *Trigger, content *hcl.BodyContent) {
	for name, attr := range content.Attributes {
		t.Ranges[name] = attr.Expr.Range()
	}
	d.constant(content, "schedule", &t.Schedule)
	d.constant(content, "timezone", &t.Timezone)
	d.constant(content, "missed", &t.Missed)
	d.constant(content, "overlap", &t.Overlap)
	d.constant(content, "environment", &t.Environment)
	if d.constant(content, "as", &t.As) && (ParseSubject(t.As) != nil || !strings.HasPrefix(t.As, "service:")) {
		d.errorAt(t.Ranges["as"], "Invalid identity", "A trigger acts as a service, never as a person: %s is none. Write for example as = \"service:%s\".", shorten(t.As), t.Name)
	}
}

func (d *decoder) moved(block *hcl.Block) {
	content := d.content(block, []string{"from", "to"}, nil)
	m := &Move{DeclRange: block.DefRange}
	ok := true
	for name, into := range map[string]struct {
		stack *string
		addr  *addrs.ResourceInstance
	}{"from": {&m.FromStack, &m.From}, "to": {&m.ToStack, &m.To}} {
		attr := content.Attributes[name]
		if attr == nil {
			ok = false
			continue
		}
		stack, addr, err := stackObject(attr.Expr)
		if err != nil {
			d.errorAt(attr.Expr.Range(), "Invalid address", "%s", err)
			ok = false
			continue
		}
		*into.stack, *into.addr = stack, addr
	}
	if !ok {
		return
	}
	if m.FromStack == m.ToStack {
		d.errorAt(block.DefRange, "Move inside a stack", "Both ends of this move are in the stack %q. Write the moved block in the stack's own configuration.", m.FromStack)
		return
	}
	d.project.Moves = append(d.project.Moves, m)
}

// stackObject reads stack.NAME.ADDRESS.
func stackObject(expr hcl.Expression) (string, addrs.ResourceInstance, error) {
	wrong := fmt.Errorf("an object of a stack is needed here: write stack.NAME.ADDRESS, for example stack.network.aws_vpc.main")
	t, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() || len(t) < 4 || t.RootName() != "stack" {
		return "", addrs.ResourceInstance{}, wrong
	}
	name, ok := t[1].(hcl.TraverseAttr)
	first, ok2 := t[2].(hcl.TraverseAttr)
	if !ok || !ok2 {
		return "", addrs.ResourceInstance{}, wrong
	}
	rest := append(hcl.Traversal{hcl.TraverseRoot{Name: first.Name, SrcRange: first.SrcRange}}, t[3:]...)
	addr, err := addrs.ParseResourceInstance(string(writeTraversal(rest)))
	if err != nil {
		return "", addrs.ResourceInstance{}, fmt.Errorf("%w (%w)", wrong, err)
	}
	return name.Name, addr, nil
}

func writeTraversal(t hcl.Traversal) []byte {
	var b []byte
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			b = append(b, step.Name...)
		case hcl.TraverseAttr:
			b = append(append(b, '.'), step.Name...)
		case hcl.TraverseIndex:
			if step.Key.Type().FriendlyName() == "string" {
				b = strconv.AppendQuote(append(b, '['), step.Key.AsString())
			} else {
				b = append(append(b, '['), step.Key.AsBigFloat().Text('f', -1)...)
			}
			b = append(b, ']')
		}
	}
	return b
}
