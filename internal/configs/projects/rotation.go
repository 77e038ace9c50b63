package projects

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs"
)

// Rotation is a rotation block: how a secret gets a new value. It lowers to a
// workflow and, with a schedule, a trigger; both are called [RotationName].
type Rotation struct {
	Generate *Generate // nil where Create makes the value
	// What follows has an action, maybe with retry and timeout.
	Create  *Step // what it prints is the new value
	Verify  *Step // nil for none, as the others
	Revoke  *Step // takes back the old value
	Discard *Step // takes back a new value that did not come to be used
	// Grace is how long the old value is kept after the new one became current.
	Grace     time.Duration
	Trigger   *Trigger // nil without a schedule
	DeclRange hcl.Range
}

// Generate says what a value is drawn from.
type Generate struct {
	Length     int    // in characters
	Characters string // each of them as likely as the others
}

// RotationName is the name of the workflow that rotates a secret, and of the
// trigger that starts it.
func RotationName(secret string) string { return "rotate-" + secret }

// RotationVersion is the variable of the workflow that says which version to go
// back to; null for a new one.
const RotationVersion = "rotate_to_version"

// Consumer is a stack that is given a secret.
type Consumer struct {
	Stack string
	// Through are the consumers whose outputs it is given; none where it refers to
	// the secret itself.
	Through []string
	// After are the consumers that come before it, directly or through other
	// stacks.
	After []string
}

const (
	defaultGrace      = time.Hour
	defaultLength     = 32
	longestGenerated  = 4096
	fewestBits        = 64
	defaultCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// rotation decodes the block. What it lowers to is made when all is decoded.
func (d *decoder) rotation(s *Secret, block *hcl.Block) *Rotation {
	r := &Rotation{DeclRange: block.DefRange, Grace: defaultGrace}
	schedule := []string{"schedule", "timezone", "missed", "overlap", "environment", "as"}
	content := d.content(block, nil, append(schedule, "grace"),
		hcl.BlockHeaderSchema{Type: "generate"}, hcl.BlockHeaderSchema{Type: "create"}, hcl.BlockHeaderSchema{Type: "verify"},
		hcl.BlockHeaderSchema{Type: "revoke"}, hcl.BlockHeaderSchema{Type: "discard"})
	if s.Source != SecretStore {
		d.errorAt(block.DefRange, "Secret cannot be rotated here", "Tutti can give a new value to secrets that are in its own store: store { }. This one comes from %s: change it there.", s.Source)
	}
	if content.Attributes["grace"] != nil {
		r.Grace = d.duration(content, "grace")
	}
	seen := map[string]bool{}
	for _, b := range content.Blocks {
		if seen[b.Type] {
			d.errorAt(b.DefRange, "Duplicate "+b.Type+" block", "A rotation has one %s block at most.", b.Type)
			continue
		}
		seen[b.Type] = true
		switch b.Type {
		case "generate":
			r.Generate = d.generate(b)
		case "create":
			r.Create = d.rotationAction(b, "exec", "script")
		case "verify":
			r.Verify = d.rotationAction(b, "exec", "script", "http")
		case "revoke":
			r.Revoke = d.rotationAction(b, "exec", "script", "http")
		case "discard":
			r.Discard = d.rotationAction(b, "exec", "script", "http")
		}
	}
	if seen["generate"] == seen["create"] {
		d.errorAt(block.DefRange, "Rotation without one new value", "A rotation says where the new value comes from: either generate { } or create { exec { … } }.")
	}
	if content.Attributes["schedule"] == nil {
		for _, name := range schedule[1:] {
			if attr := content.Attributes[name]; attr != nil {
				d.errorAt(attr.NameRange, "Argument without a schedule", "The argument %q is about the schedule of the rotation, and there is none.", name)
			}
		}
		return r
	}
	name := RotationName(s.Name)
	t := &Trigger{Name: name, Workflow: Reference{"workflow", name, block.DefRange}, DeclRange: block.DefRange, Ranges: map[string]hcl.Range{"run": block.DefRange}}
	d.scheduled(t, content)
	r.Trigger = t
	return r
}

func (d *decoder) generate(block *hcl.Block) *Generate {
	content := d.content(block, nil, []string{"length", "characters"})
	g := &Generate{Length: defaultLength, Characters: defaultCharacters}
	d.constant(content, "length", &g.Length)
	d.constant(content, "characters", &g.Characters)
	different := map[rune]bool{}
	for _, c := range g.Characters {
		different[c] = true
	}
	switch bits := float64(g.Length) * math.Log2(float64(max(1, len(different)))); {
	case g.Length < 1 || g.Length > longestGenerated:
		d.errorAt(block.DefRange, "Invalid length", "The length of a value is between 1 and %d characters.", longestGenerated)
	case strings.ContainsFunc(g.Characters, func(c rune) bool { return !unicode.IsPrint(c) }):
		d.errorAt(content.Attributes["characters"].Expr.Range(), "Invalid characters", "Values are made of characters that can be printed.")
	case len(different) != len([]rune(g.Characters)):
		d.errorAt(content.Attributes["characters"].Expr.Range(), "Duplicate characters", "Each character is given once: all of them are as likely.")
	case bits < fewestBits:
		d.errorAt(block.DefRange, "Value is easy to guess", "%d characters out of %d come to %d bits; at least %d are needed. Make it longer, or draw from more characters.", g.Length, len(different), int(bits), fewestBits)
	}
	return g
}

// rotationAction reads the one action of a block, of one of the kinds given, with
// what surrounds it.
func (d *decoder) rotationAction(block *hcl.Block, kinds ...string) *Step {
	blocks := []hcl.BlockHeaderSchema{{Type: "retry"}}
	for _, kind := range kinds {
		blocks = append(blocks, hcl.BlockHeaderSchema{Type: kind})
	}
	content := d.content(block, nil, []string{"timeout"}, blocks...)
	s := &Step{Timeout: d.duration(content, "timeout")}
	actions := 0
	for _, b := range content.Blocks {
		switch {
		case b.Type != "retry":
			s.Action = d.action(b)
			actions++
		case s.Retry != nil:
			d.errorAt(b.DefRange, "Duplicate retry block", "There is one retry block at most.")
		default:
			s.Retry = d.retry(b)
		}
	}
	if actions != 1 {
		d.errorAt(block.DefRange, "Invalid "+block.Type+" block", "The block needs exactly one action: %s.", strings.Join(kinds, " or "))
	}
	return s
}

// rotations makes the workflows and triggers of all rotations.
func (d *decoder) rotations() {
	for _, name := range sortedNames(d.project.Secrets) {
		s := d.project.Secrets[name]
		if s.Rotation == nil {
			continue
		}
		workflow := RotationName(name)
		for _, taken := range []struct {
			kind string
			at   *hcl.Range
		}{{"workflow", rangeOf(d.project.Workflows[workflow])}, {"trigger", triggerRange(d.project.Triggers[workflow])}} {
			if taken.at != nil {
				d.errorAt(*taken.at, "Name is taken", "The rotation of the secret %q is a workflow and a trigger called %q. Give this %s another name.", name, workflow, taken.kind)
				return
			}
		}
		if d.diags.HasErrors() {
			continue // half a rotation makes no workflow
		}
		d.project.Workflows[workflow] = d.lower(s)
		if t := s.Rotation.Trigger; t != nil {
			d.project.Triggers[workflow] = t
		}
	}
}

func rangeOf(w *Workflow) *hcl.Range {
	if w == nil {
		return nil
	}
	return &w.DeclRange
}

func triggerRange(t *Trigger) *hcl.Range {
	if t == nil {
		return nil
	}
	return &t.DeclRange
}

// lower writes the workflow of a rotation in the language of workflows and puts
// the actions of its blocks in.
func (d *decoder) lower(s *Secret) *Workflow {
	r := s.Rotation
	source := rotationSource(s, d.project.Consumers(s.Name))
	file, diags := hclsyntax.ParseConfig([]byte(source), r.DeclRange.Filename, r.DeclRange.Start)
	d.addHCL(diags)
	content, diags := file.Body.Content(projectSchema)
	d.addHCL(diags)
	d.own = true
	w := d.workflow(content.Blocks[0])
	d.own = false
	w.Rotates, w.DeclRange = s.Name, r.DeclRange
	// The step pending knows both versions; those of finally ask the store anew.
	pending, settled := d.expression("step.pending.outputs", r.DeclRange), d.expression("step.settle.outputs", r.DeclRange)
	given := map[string]*Step{"create": r.Create, "verify": r.Verify, "revoke": r.Revoke, "discard": r.Discard}
	for _, list := range [][]*Step{w.Steps, w.Finally} {
		for _, step := range list {
			step.DeclRange = r.DeclRange
			if g := given[step.Name]; g != nil {
				step.Action, step.Retry, step.Timeout = g.Action, g.Retry, g.Timeout
			}
			switch {
			case step.Name == "create":
				step.Action.Keeps = r.Create != nil
			case step.Name == "verify", strings.HasPrefix(step.Name, "apply-"):
				step.Action.Versions = pending
			case step.Name == "revoke", step.Name == "discard":
				step.Action.Versions = settled
			}
		}
	}
	return w
}

func (d *decoder) expression(text string, at hcl.Range) hcl.Expression {
	expr, diags := hclsyntax.ParseExpression([]byte(text), at.Filename, at.Start)
	d.addHCL(diags)
	return expr
}

// rotationSource is the workflow of a rotation. Up to the step promote nobody but
// the consumers sees the new value. What comes in finally does not go by how
// steps ended, which a crash may hide, but by which version the store says is
// current: either everybody gets the old one back and the new one is dropped, or
// the old one is taken back when it has been kept long enough.
func rotationSource(s *Secret, consumers []Consumer) string {
	r := s.Rotation
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	names := func(prefix string, stacks []string, more ...string) string {
		for _, stack := range stacks {
			more = append(more, "step."+prefix+stack)
		}
		return "[" + strings.Join(more, ", ") + "]"
	}
	var all []string
	for _, c := range consumers {
		all = append(all, c.Stack)
	}

	line("workflow %q {", RotationName(s.Name))
	line("  description = %q", "Rotates the secret "+s.Name)
	line("  variable %q {\n    type    = number\n    default = null\n  }", RotationVersion)
	line("  step \"create\" {\n    when = var.%s == null\n    rotation {\n      change = \"generate\"", RotationVersion)
	if r.Generate != nil {
		line("      length     = %d\n      characters = %s", r.Generate.Length, quoteHCL(r.Generate.Characters))
	}
	line("    }\n  }")
	line("  step \"pending\" {\n    needs = [step.create]\n    rotation {\n      change  = \"take\"\n      version = var.%s\n    }\n  }", RotationVersion)
	for _, c := range consumers {
		line("  step \"apply-%s\" {\n    needs = %s\n    apply {\n      stack = stack.%[1]s\n    }\n  }", c.Stack, names("apply-", c.After, "step.pending"))
	}
	last := names("apply-", all, "step.pending")
	if r.Verify != nil {
		line("  step \"verify\" {\n    needs = %s\n    rotation {\n      change = \"verify\"\n    }\n  }", last)
		last = "[step.verify]"
	}
	line("  step \"promote\" {\n    needs = %s\n    rotation {\n      change  = \"promote\"\n      version = step.pending.outputs.version\n      old     = step.pending.outputs.old\n    }\n  }", last)

	line("  finally {")
	line("    step \"settle\" {\n      rotation {\n        change  = \"settle\"\n        version = try(step.pending.outputs.version, null)\n        old     = try(step.pending.outputs.old, null)\n      }\n    }")
	const failed = "!step.settle.outputs.promoted && step.settle.outputs.version != null"
	const replaced = "step.settle.outputs.promoted && step.settle.outputs.old != null"
	for _, c := range consumers {
		when := failed + " && step.settle.outputs.old != null && contains([\"succeeded\", \"failed\", \"cancelled\"], step.apply-" + c.Stack + ".status)"
		for _, before := range c.After {
			when += " && step.restore-" + before + ".status != \"\""
		}
		line("    step \"restore-%s\" {\n      when = %s\n      apply {\n        stack = stack.%[1]s\n      }\n    }", c.Stack, when)
	}
	restored := names("restore-", all, "step.settle")
	ends := names("restore-", all)
	if r.Discard != nil {
		line("    step \"discard\" {\n      needs = %s\n      when  = %s && step.settle.outputs.made\n      rotation {\n        change = \"discard\"\n      }\n    }", restored, failed)
		restored = names("restore-", all, "step.settle", "step.discard")
	}
	line("    step \"drop\" {\n      needs = %s\n      when  = %s\n      rotation {\n        change  = \"drop\"\n        version = step.settle.outputs.version\n      }\n    }", restored, failed)
	line("    step \"grace\" {\n      when = %s\n      wait {\n        duration = %q\n      }\n    }", replaced, r.Grace.String())
	line("    step \"retire\" {\n      needs = [step.grace]\n      when  = %s\n      rotation {\n        change  = \"retire\"\n        version = step.settle.outputs.old\n      }\n    }", replaced)
	const retired = "try(step.retire.outputs.retired, false)"
	revoked := "[step.retire]"
	if r.Revoke != nil {
		line("    step \"revoke\" {\n      when = %s\n      rotation {\n        change = \"revoke\"\n      }\n    }", retired)
		revoked = "[step.retire, step.revoke]"
	}
	line("    step \"forget\" {\n      needs = %s\n      when  = %s\n      rotation {\n        change  = \"forget\"\n        version = step.settle.outputs.old\n      }\n    }", revoked, retired)
	// Comes last, however those before it ended.
	asked := []string{"step.settle.status != \"\"", "step.drop.status != \"\"", "step.forget.status != \"\""}
	for _, name := range strings.Fields(strings.Trim(strings.ReplaceAll(ends, ",", " "), "[]")) {
		asked = append(asked, name+".status != \"\"")
	}
	var stacks []string
	for _, stack := range all {
		stacks = append(stacks, fmt.Sprintf("%s = { applied = step.apply-%s.status, restored = step.restore-%[2]s.status }", strconv.Quote(stack), stack))
	}
	line("    step \"report\" {\n      when = %s\n      rotation {\n        change  = \"report\"\n        version = try(step.settle.outputs.version, null)\n        old     = try(step.settle.outputs.old, null)\n        stacks  = { %s }\n      }\n    }", strings.Join(asked, " && "), strings.Join(stacks, ", "))
	line("  }\n}")
	return b.String()
}

// quoteHCL writes a text as a literal that has no templates in it.
func quoteHCL(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(text))
}

// Consumers are the stacks that are given a secret, each after those whose
// outputs it is given: those that refer to it, and those that refer to outputs of
// these, which may have the value in them.
func (p *Project) Consumers(secret string) []Consumer {
	needs := map[string][]string{}
	direct := map[string]bool{}
	for name, s := range p.Stacks {
		set := map[string]bool{}
		for _, expr := range s.Inputs {
			for _, t := range p.traversals(expr, nil) {
				switch second := secondName(t); {
				case (t.RootName() == "secret" || t.RootName() == "secret_version") && second == secret:
					direct[name] = true
				case t.RootName() == "stack" && p.Stacks[second] != nil:
					set[second] = true
				}
			}
		}
		needs[name] = sortedNames(set)
	}
	// given reports whether a stack gets the secret, maybe through others.
	var given func(name string, seen map[string]bool) bool
	given = func(name string, seen map[string]bool) bool {
		if direct[name] {
			return true
		}
		seen[name] = true
		return slices.ContainsFunc(needs[name], func(need string) bool { return !seen[need] && given(need, seen) })
	}
	// before lists all stacks that come before one.
	var before func(name string, into map[string]bool)
	before = func(name string, into map[string]bool) {
		next := slices.Clone(needs[name])
		for _, r := range p.Stacks[name].Needs {
			next = append(next, r.Name)
		}
		for _, need := range next {
			if p.Stacks[need] != nil && !into[need] {
				into[need] = true
				before(need, into)
			}
		}
	}
	var out []Consumer
	for _, name := range sortedNames(p.Stacks) {
		if !given(name, map[string]bool{}) {
			continue
		}
		c := Consumer{Stack: name}
		earlier := map[string]bool{}
		before(name, earlier)
		for _, other := range sortedNames(earlier) {
			if other != name && given(other, map[string]bool{}) {
				c.After = append(c.After, other)
			}
		}
		if !direct[name] {
			for _, need := range needs[name] {
				if need != name && given(need, map[string]bool{}) {
					c.Through = append(c.Through, need)
				}
			}
		}
		out = append(out, c)
	}
	// Whoever comes before another has fewer before it; a circle is an error that
	// is reported elsewhere.
	sort.SliceStable(out, func(i, j int) bool { return len(out[i].After) < len(out[j].After) })
	return out
}

// traversals are the references of an expression, those of locals included.
func (p *Project) traversals(expr hcl.Expression, seen map[*configs.Local]bool) []hcl.Traversal {
	out := expr.Variables()
	for _, t := range out[:len(out):len(out)] {
		l := p.Locals[secondName(t)]
		if t.RootName() != "local" || l == nil || seen[l] {
			continue
		}
		if seen == nil {
			seen = map[*configs.Local]bool{}
		}
		seen[l] = true
		out = append(out, p.traversals(l.Expr, seen)...)
	}
	return out
}

// secondName is the name behind the root of a traversal; empty where there is
// none.
func secondName(t hcl.Traversal) string {
	if len(t) < 2 {
		return ""
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if step.Key.Type().FriendlyName() == "string" {
			return step.Key.AsString()
		}
	}
	return ""
}

func sortedNames[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
