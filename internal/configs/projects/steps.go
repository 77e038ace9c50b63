package projects

import (
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

var stepBlock = hcl.BlockHeaderSchema{Type: "step", LabelNames: []string{"name"}}

func (d *decoder) workflow(block *hcl.Block) *Workflow {
	content := d.content(block, nil, []string{"description", "definition", "parallelism", "priority"},
		stepBlock, hcl.BlockHeaderSchema{Type: "variable", LabelNames: []string{"name"}}, hcl.BlockHeaderSchema{Type: "locals"},
		hcl.BlockHeaderSchema{Type: "output", LabelNames: []string{"name"}},
		hcl.BlockHeaderSchema{Type: "on_failure"}, hcl.BlockHeaderSchema{Type: "finally"}, hcl.BlockHeaderSchema{Type: "bindings"})
	w := &Workflow{Name: block.Labels[0], DeclRange: block.DefRange}
	d.constant(content, "description", &w.Description)
	d.constant(content, "priority", &w.Priority)
	if d.constant(content, "parallelism", &w.Parallelism) && w.Parallelism < 1 {
		d.errorAt(content.Attributes["parallelism"].Expr.Range(), "Invalid parallelism", "The parallelism must be 1 or more.")
	}
	if d.constant(content, "definition", &w.Definition) {
		w.DefinitionRange = content.Attributes["definition"].Expr.Range()
	}
	var diags diag.List
	w.Declarations, diags = configs.DecodeDeclarations(content.Blocks)
	d.add(diags)
	names := map[string]hcl.Range{}
	for _, b := range content.Blocks {
		switch b.Type {
		case "step":
			w.Steps = append(w.Steps, d.steps(hcl.Blocks{b}, names)...)
		case "on_failure":
			w.OnFailure = append(w.OnFailure, d.steps(d.content(b, nil, nil, stepBlock).Blocks, names)...)
		case "finally":
			w.Finally = append(w.Finally, d.steps(d.content(b, nil, nil, stepBlock).Blocks, names)...)
		case "bindings":
			d.bindings(b, w)
		}
	}
	switch {
	case w.Definition == "" && len(w.Steps) == 0:
		d.errorAt(block.DefRange, "Workflow without steps", "A workflow needs at least one step, or a definition in the Amazon States Language (definition = \"./NAME.asl.json\").")
	case w.Definition != "" && len(names) > 0:
		d.errorAt(w.DefinitionRange, "Definition and steps", "A workflow has either steps or a definition in the Amazon States Language, not both.")
	case w.Definition == "" && len(w.Bindings) > 0:
		d.errorAt(block.DefRange, "Bindings without a definition", "Bindings belong to a definition in the Amazon States Language; steps say themselves what they do.")
	}
	return w
}

func (d *decoder) steps(blocks hcl.Blocks, names map[string]hcl.Range) []*Step {
	var out []*Step
	for _, b := range blocks {
		name := b.Labels[0]
		d.checkName(name, b.LabelRanges[0])
		if first, twice := names[name]; twice {
			d.errorAt(b.DefRange, "Duplicate step", "The step %q is declared twice in this workflow: first at %s:%d.", name, first.Filename, first.Start.Line)
			continue
		}
		names[name] = b.DefRange
		out = append(out, d.step(b))
	}
	return out
}

var stepArguments = []string{"when", "for_each", "needs", "concurrency", "tolerated_failures", "timeout", "heartbeat", "pool", "priority"}

func (d *decoder) step(block *hcl.Block) *Step {
	blocks := []hcl.BlockHeaderSchema{{Type: "retry"}, {Type: "catch"}, {Type: "undo"}, {Type: "cache"}}
	for kind, schema := range Actions {
		if !schema.Own || d.own {
			blocks = append(blocks, hcl.BlockHeaderSchema{Type: kind})
		}
	}
	blocks = append(blocks, hcl.BlockHeaderSchema{Type: "release"}, hcl.BlockHeaderSchema{Type: "scale"})
	content := d.content(block, nil, stepArguments, blocks...)
	s := &Step{Name: block.Labels[0], DeclRange: block.DefRange}
	if attr := content.Attributes["when"]; attr != nil {
		s.When = attr.Expr
	}
	if attr := content.Attributes["for_each"]; attr != nil {
		s.ForEach = attr.Expr
	}
	s.Needs = d.references(content.Attributes["needs"], "step")
	if d.constant(content, "concurrency", &s.Concurrency) && s.Concurrency < 1 {
		d.errorAt(content.Attributes["concurrency"].Expr.Range(), "Invalid concurrency", "The concurrency must be 1 or more.")
	}
	d.tolerated(s, content)
	s.Timeout, s.Heartbeat = d.duration(content, "timeout"), d.duration(content, "heartbeat")
	if attr := content.Attributes["pool"]; attr != nil {
		if r, ok := d.reference(attr.Expr, "pool"); ok {
			s.Pool = &r
		}
	}
	var priority int
	if d.constant(content, "priority", &priority) {
		s.Priority = &priority
	}
	for _, name := range []string{"concurrency", "tolerated_failures"} {
		if attr := content.Attributes[name]; attr != nil && s.ForEach == nil {
			d.errorAt(attr.NameRange, "Argument without for_each", "The argument %q is about the items of a step with for_each.", name)
		}
	}
	for _, b := range content.Blocks {
		switch b.Type {
		case "retry":
			if s.Retry != nil {
				d.errorAt(b.DefRange, "Duplicate retry block", "A step has one retry block at most.")
			}
			s.Retry = d.retry(b)
		case "catch":
			s.Catch = append(s.Catch, d.catch(b))
		case "undo":
			s.Undo = d.undo(b)
		case "cache":
			s.Cache = d.cache(b)
		case "release", "scale":
			d.errorAt(b.DefRange, "Action has no effect yet", "This version of Tutti cannot carry out the action %q.", b.Type)
		default:
			if s.Action != nil {
				d.errorAt(b.DefRange, "Several actions in one step", "The step %q has an action %s already. Make a step of each.", s.Name, s.Action.Kind)
				continue
			}
			s.Action = d.action(b)
		}
	}
	if s.Action == nil {
		d.errorAt(block.DefRange, "Step without an action", "The step %q needs a block that says what to do: %s.", s.Name, strings.Join(actionNames(), ", "))
	}
	return s
}

func actionNames() []string {
	var out []string
	for kind, schema := range Actions {
		if !schema.Own {
			out = append(out, kind)
		}
	}
	sort.Strings(out)
	return out
}

// tolerated reads a number or a percentage.
func (d *decoder) tolerated(s *Step, content *hcl.BodyContent) {
	var given string
	if !d.constant(content, "tolerated_failures", &given) {
		return
	}
	if percent, ok := strings.CutSuffix(given, "%"); ok {
		n, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		if err == nil && n >= 0 && n <= 100 {
			s.ToleratedPercent = n
			return
		}
	} else if n, err := strconv.Atoi(given); err == nil && n >= 0 {
		s.Tolerated = n
		return
	}
	d.errorAt(content.Attributes["tolerated_failures"].Expr.Range(), "Invalid number of tolerated failures", "%q is neither a number of items nor a percentage such as \"10%%\".", given)
}

func (d *decoder) action(block *hcl.Block) *Action {
	schema := Actions[block.Type]
	var need, may []string
	for name, a := range schema.Arguments {
		if a.Required {
			need = append(need, name)
		} else {
			may = append(may, name)
		}
	}
	content := d.content(block, need, may)
	a := &Action{Kind: block.Type, DeclRange: block.DefRange, Arguments: map[string]hcl.Expression{}, References: map[string]Reference{}}
	for name, attr := range content.Attributes {
		kind := schema.Arguments[name].Reference
		if kind == "" {
			a.Arguments[name] = attr.Expr
			continue
		}
		if r, ok := d.reference(attr.Expr, kind); ok {
			a.References[name] = r
		}
	}
	d.checkAction(a)
	return a
}

// checkAction finds arguments that do not go together.
func (d *decoder) checkAction(a *Action) {
	given := func(names ...string) (n int) {
		for _, name := range names {
			if a.Arguments[name] != nil {
				n++
			}
		}
		return n
	}
	switch a.Kind {
	case "wait":
		if given("duration", "until", "event") != 1 {
			d.errorAt(a.DeclRange, "Invalid wait", "A wait needs exactly one of duration, until and event.")
		}
		if given("match") > 0 && given("event") == 0 {
			d.errorAt(a.Arguments["match"].Range(), "Invalid wait", "match says which events are meant: it needs event.")
		}
	case "plan":
		_, one := a.References["stack"]
		if one && given("stacks") > 0 {
			d.errorAt(a.Arguments["stacks"].Range(), "Invalid plan", "stack plans one stack, stacks several together: give one of them, or neither for all stacks of the project.")
		}
		if one && given("configuration") > 0 {
			d.errorAt(a.Arguments["configuration"].Range(), "Invalid plan", "A configuration that was sent to the server has stacks of its own: name some of them with stacks, or none for all.")
		}
		if one && given("directory") > 0 {
			d.errorAt(a.Arguments["directory"].Range(), "Invalid plan", "The project in another directory has stacks of its own: name some of them with stacks, or none for all.")
		}
		if given("configuration", "directory") > 1 {
			d.errorAt(a.Arguments["directory"].Range(), "Invalid plan", "Give either a configuration that was sent to the server or a directory.")
		}
		if !one && given("inputs") > 0 {
			d.errorAt(a.Arguments["inputs"].Range(), "Invalid plan", "inputs are those of one stack: say which with stack = stack.NAME.")
		}
	case "apply":
		if given("plan") > 0 && given("inputs", "targets") > 0 {
			d.errorAt(a.DeclRange, "Invalid apply", "A plan has its inputs and targets already: give either plan or inputs and targets.")
		}
	}
}

// undo reads the one action of an undo block.
func (d *decoder) undo(block *hcl.Block) *Action {
	var blocks []hcl.BlockHeaderSchema
	for kind, schema := range Actions {
		if kind != "wait" && kind != "approval" && !schema.Own { // nothing is carried out
			blocks = append(blocks, hcl.BlockHeaderSchema{Type: kind})
		}
	}
	content := d.content(block, nil, nil, blocks...)
	if len(content.Blocks) != 1 {
		d.errorAt(block.DefRange, "Invalid undo block", "An undo block needs exactly one action.")
		return nil
	}
	return d.action(content.Blocks[0])
}

func (d *decoder) retry(block *hcl.Block) *Retry {
	content := d.content(block, nil, []string{"attempts", "backoff", "max_backoff", "factor", "jitter", "on"})
	r := &Retry{Attempts: 3, Factor: 2}
	if d.constant(content, "attempts", &r.Attempts) && r.Attempts < 1 {
		d.errorAt(content.Attributes["attempts"].Expr.Range(), "Invalid number of attempts", "There must be at least one attempt.")
	}
	r.Backoff, r.MaxBackoff = d.duration(content, "backoff"), d.duration(content, "max_backoff")
	if d.constant(content, "factor", &r.Factor) && r.Factor < 1 {
		d.errorAt(content.Attributes["factor"].Expr.Range(), "Invalid factor", "The factor by which the delay grows must be 1 or more.")
	}
	d.constant(content, "jitter", &r.Jitter)
	d.constant(content, "on", &r.On)
	return r
}

func (d *decoder) catch(block *hcl.Block) *Catch {
	content := d.content(block, nil, []string{"errors", "outputs"})
	c := &Catch{DeclRange: block.DefRange}
	d.constant(content, "errors", &c.Errors)
	if attr := content.Attributes["outputs"]; attr != nil {
		c.Outputs = attr.Expr
	}
	return c
}

func (d *decoder) cache(block *hcl.Block) *Cache {
	content := d.content(block, []string{"key"}, []string{"ttl"})
	c := &Cache{DeclRange: block.DefRange, TTL: d.duration(content, "ttl")}
	if attr := content.Attributes["key"]; attr != nil {
		c.Key = attr.Expr
	}
	return c
}

// bindings reads what the resources of a state machine mean: a block for each,
// labelled with the ARN, holding one action.
func (d *decoder) bindings(block *hcl.Block, w *Workflow) {
	content := d.content(block, nil, nil, hcl.BlockHeaderSchema{Type: "resource", LabelNames: []string{"arn"}})
	kinds := []string{"exec", "http", "workflow", "invoke"}
	for _, b := range content.Blocks {
		var blocks []hcl.BlockHeaderSchema
		for _, kind := range kinds {
			blocks = append(blocks, hcl.BlockHeaderSchema{Type: kind})
		}
		inner := d.content(b, nil, nil, blocks...)
		if len(inner.Blocks) != 1 {
			d.errorAt(b.DefRange, "Invalid binding", "A binding needs exactly one action: %s.", strings.Join(kinds, ", "))
			continue
		}
		w.Bindings = append(w.Bindings, &Binding{Resource: b.Labels[0], Action: d.action(inner.Blocks[0]), DeclRange: b.DefRange})
	}
}
