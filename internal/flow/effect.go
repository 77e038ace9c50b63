package flow

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/zclconf/go-cty/cty"
)

// Effect is what a step, as the journal counts them, does outside the machine.
type Effect struct {
	Key     string // NAME, NAME["key"], NAME.undo
	Action  string // what the step does; StackOutputs for reading them
	Attempt int    // from 1

	Arguments cty.Value // of the action, marks and all
	// Marked says that there may be marks in them; there are none otherwise.
	Marked bool
	// Secrets are the sensitive texts that went into the arguments: they must not
	// be shown, wherever they come up.
	Secrets    []string
	References map[string]projects.Reference
	// Run is, for what undoes a step, the run of its own that the step was.
	Run string
	// Repeatable says that it may simply be done again after a crash.
	Repeatable         bool
	Timeout, Heartbeat time.Duration
	// Cache, where not nil, is the key under which a success may be known.
	Cache    *cty.Value
	CacheTTL time.Duration
	// Problem says that its arguments cannot be evaluated: it fails with that.
	Problem *Error
	// Needs are the secrets of the project that its arguments refer to. They are
	// unknown in Arguments until [Effect.WithSecrets] was told their values.
	Needs []string
	// Versions are those of the secret that the workflow rotates, as its action sees
	// it.
	Versions Versions
	// Keeps is that of the action.
	Keeps   bool
	resolve func(map[string]cty.Value) Effect
}

// Versions are the versions of a secret that is being rotated; 0 for none.
type Versions struct{ New, Old int }

// About is what has to be known of a step before it may begin.
type About struct {
	Key      string
	Ended    bool      // nobody waits for it any more
	Until    time.Time // the instant a timer ends; zero for others
	Signal   bool      // it ends by a signal, not by itself
	Approval bool      // people decide about it
	Wait     bool      // it is what a wait or approval step does, no delay or limit of a step
	Pool     string    // name; empty for none
	Priority int
}

// About is [Machine.Effect] without what costs time.
func (m *Machine) About(step int) About {
	p := m.effects.at(step)
	def := &m.d.nodes[p.node]
	switch {
	case p.ended:
		return About{Ended: true}
	case p.until != 0:
		return About{Until: time.Unix(0, p.until).UTC(), Wait: p.kind == waitEffect}
	case p.kind == eventEffect || p.kind == approvalEffect:
		return About{Key: m.keyOf(p.target), Signal: true, Wait: true, Approval: p.kind == approvalEffect}
	case p.kind != taskEffect || def.step.Pool == nil:
		return About{}
	}
	out := About{Key: m.keyOf(p.target), Pool: def.step.Pool.Name, Priority: m.d.Workflow.Priority}
	if def.step.Priority != nil {
		out.Priority = *def.step.Priority
	}
	return out
}

// StackOutputs is the action of reading what a stack gives to expressions; the
// stack is in References.
const StackOutputs = "stack_outputs"

// Effect says what a step does. The step must have been started by a command,
// not have ended, and not be one that only waits.
func (m *Machine) Effect(step int) Effect {
	p := m.effects.at(step)
	def := &m.d.nodes[p.node]
	if p.kind == readEffect {
		name := def.stacks[p.stack]
		return Effect{
			Key: def.step.Name, Action: StackOutputs, Attempt: 1, Repeatable: true,
			References: map[string]projects.Reference{"stack": {Kind: "stack", Name: name}},
		}
	}
	out := Effect{Key: m.keyOf(p.target), Attempt: int(p.attempt), Repeatable: true}
	action := def.step.Action
	if p.kind == undoEffect {
		action, out.Key = def.step.Undo, out.Key+".undo"
	} else {
		out.Timeout, out.Heartbeat = def.step.Timeout, def.step.Heartbeat
	}
	out.Action, out.References = action.Kind, action.References
	ctx := m.taskScope(p)
	seed := fmt.Sprintf("%s %s %d", m.start.Run, out.Key, p.attempt)
	m.scope.fix(seed, time.Unix(0, p.at))
	if out.Arguments, out.Problem = Arguments(action, ctx); out.Problem != nil {
		return out
	}
	out.Repeatable = repeatable(action.Kind, out.Arguments)
	out.Marked = m.nodes[p.node].marked || p.kind == undoEffect || out.Arguments.HasMarkDeep(sensitive)
	if out.Marked {
		out.Secrets = m.secrets(action, ctx, out.Arguments)
	}
	it := &m.nodes[p.node].items.list[p.item]
	if p.kind == undoEffect && it.result != nil {
		out.Run = it.result.run
	}
	if c := def.step.Cache; c != nil && p.kind == taskEffect {
		key, err := evaluate(c.Key, ctx)
		if err != nil {
			out.Problem = err
			return out
		}
		out.Cache, out.CacheTTL = &key, c.TTL
	}
	if out.Keeps = action.Keeps; action.Versions != nil {
		v, err := evaluate(action.Versions, ctx)
		if err != nil {
			out.Problem = err
			return out
		}
		out.Versions = Versions{New: versionIn(v, "version"), Old: versionIn(v, "old")}
	}
	if out.Needs = m.d.secretsOf(action); len(out.Needs) > 0 {
		out.resolve = m.later(out, action, ctx, seed, time.Unix(0, p.at), out.Marked)
	}
	return out
}

// versionIn reads a version from the outputs of a step of a rotation.
func versionIn(v cty.Value, name string) int {
	v, _ = v.UnmarkDeep()
	if v.IsNull() || !v.IsKnown() || !v.Type().IsObjectType() || !v.Type().HasAttribute(name) {
		return 0
	}
	if v = v.GetAttr(name); v.IsNull() || !v.IsKnown() || v.Type() != cty.Number {
		return 0
	}
	n, _ := v.AsBigFloat().Int64()
	return int(n)
}

// secrets lists the sensitive texts that the arguments of an action are made
// of: those of the values they refer to, and their own.
func (m *Machine) secrets(a *projects.Action, ctx *hcl.EvalContext, args cty.Value) []string {
	set := map[string]bool{}
	collectSecrets(args, set)
	for _, expr := range a.Arguments {
		for _, t := range m.d.variables(expr, nil) {
			if v, diags := t.TraverseAbs(ctx); !diags.HasErrors() {
				collectSecrets(v, set)
			}
		}
	}
	return sortedKeys(set)
}

// collectSecrets adds the texts in a value that are marked sensitive.
func collectSecrets(v cty.Value, into map[string]bool) {
	if !v.HasMarkDeep(sensitive) {
		return
	}
	bare, paths := v.UnmarkDeepWithPaths()
	for _, p := range paths {
		if _, is := p.Marks[sensitive]; !is {
			continue
		}
		inner, err := p.Path.Apply(bare)
		if err != nil { // inside a set
			inner = bare
		}
		_ = cty.Walk(inner, func(_ cty.Path, leaf cty.Value) (bool, error) {
			if leaf.IsNull() || !leaf.IsKnown() {
				return false, nil
			}
			switch leaf.Type() {
			case cty.String:
				into[leaf.AsString()] = true
			case cty.Number:
				into[leaf.AsBigFloat().Text('f', -1)] = true
			}
			return true, nil
		})
	}
	delete(into, "")
}

// taskScope is where the arguments of a task are evaluated; what undoes a step
// sees it as self.
func (m *Machine) taskScope(p *effect) *hcl.EvalContext {
	if p.kind != undoEffect {
		return m.itemScope(p.target)
	}
	s := &m.nodes[p.node]
	s.scope = m.scope.of(m, p.node, time.Unix(0, p.at))
	ctx := m.itemScope(p.target).NewChild()
	s.scope = nil
	it := &s.items.list[p.item]
	ctx.Variables = map[string]cty.Value{"self": cty.ObjectVal(map[string]cty.Value{"outputs": it.outputs(), "run": it.run()})}
	return ctx
}

// repeatable reports whether an action may simply be done again.
func repeatable(kind string, args cty.Value) bool {
	if projects.Actions[kind].Idempotent {
		return true
	}
	has := func(name string) (cty.Value, bool) {
		if !args.Type().HasAttribute(name) {
			return cty.NilVal, false
		}
		v, _ := args.GetAttr(name).Unmark()
		return v, !v.IsNull()
	}
	if v, ok := has("idempotent"); ok && v.IsKnown() && v.True() {
		return true
	}
	if kind != "http" {
		return false
	}
	method, given := has("method")
	return !given || method.IsKnown() && (method.AsString() == "GET" || method.AsString() == "HEAD")
}

// Key names the step an effect belongs to that has not ended.
func (m *Machine) Key(step int) string {
	p := m.effects.at(step)
	switch {
	case p.ended:
		return ""
	case p.kind == readEffect:
		return m.d.nodes[p.node].step.Name
	case p.kind == undoEffect:
		return m.keyOf(p.target) + ".undo"
	}
	return m.keyOf(p.target)
}

// unreached is how a node counts that never began in a run that has ended.
func (m *Machine) unreached(n int32) Status {
	if m.cancelled && m.d.nodes[n].phase == phaseMain {
		return Cancelled
	}
	return Skipped
}

// StepState is how a step of the definition stands, for people.
type StepState struct {
	Name   string
	Action string
	Phase  string // "", "on_failure" or "finally"
	Needs  []string
	Status Status
	Items  int // of a for_each; 0 for others
	Done   int // of them, ended
	Error  *Error
	Undone bool // all that succeeded of it, or some of it; tried and failed does not count
	// Begun and Ended are when it began, whatever of it was to wait for room in a pool,
	// and when the last of it ended; zero where that is not so.
	Begun, Ended time.Time
	// Waits says what a running step waits for: "for approval" (with how many there are
	// where several are needed), "for event", or
	// "until" an instant.
	Waits string
}

// Steps tells how all steps stand, in order of declaration.
func (m *Machine) Steps() []StepState {
	out := make([]StepState, len(m.nodes))
	for i := range m.nodes {
		s, def := &m.nodes[i], &m.d.nodes[i]
		one := StepState{Name: def.step.Name, Action: def.step.Action.Kind, Status: s.status, Error: s.err, Begun: s.begun, Ended: s.ended}
		switch def.phase {
		case phaseFailure:
			one.Phase = "on_failure"
		case phaseFinally:
			one.Phase = "finally"
		}
		for _, need := range def.needs {
			one.Needs = append(one.Needs, m.d.nodes[need].step.Name)
		}
		if s.items.kind != single {
			one.Items = len(s.items.list)
			one.Done = s.items.next - s.items.running
		}
		for k, it := range s.items.list {
			one.Undone = one.Undone || it.undone && !slices.Contains(m.result.NotUndone, m.keyOf(target{node: int32(i), item: int32(k)}))
		}
		if one.Status == Waiting && m.phase == phaseDone {
			one.Status = m.unreached(int32(i))
		}
		out[i] = one
	}
	m.effects.open(func(step int, p *effect) {
		if waits := m.waitsFor(step, p); waits != "" {
			out[p.node].Waits = waits
		}
	})
	return out
}

// waitsFor says what an effect waits for, as [StepState] has it.
func (m *Machine) waitsFor(step int, p *effect) string {
	switch p.kind {
	case approvalEffect:
		if want, err := m.asked(p.target); err == nil && want.count > 1 {
			return fmt.Sprintf("for approval (%d of %d)", len(m.approvals[int32(step)].by), want.count)
		}
		return "for approval"
	case eventEffect:
		return "for event"
	case waitEffect, backoffEffect:
		return "until " + time.Unix(0, p.until).UTC().Format(time.RFC3339)
	}
	return ""
}

// ItemState is how an item of a step with for_each stands, for people.
type ItemState struct {
	Key     string // NAME["key"] or NAME[index], as logs and signals name it
	Status  Status // Waiting before it has begun
	Attempt int    // the one under way; 0 where none is
	Error   *Error
	Undone  bool
	Run     string // the run of its own that it was
	Waits   string // as that of [StepState]
}

// Items tells how the items of a step stand, in their order; none where it has no
// for_each or has not begun. It reports whether there is such a step.
func (m *Machine) Items(step string) ([]ItemState, bool) {
	n, ok := m.d.byName[step]
	if !ok {
		return nil, false
	}
	s := &m.nodes[n]
	if s.items.kind == single {
		return nil, true
	}
	out := make([]ItemState, len(s.items.list))
	for i := range s.items.list {
		it, t := &s.items.list[i], target{int32(n), int32(i)}
		one := ItemState{Key: m.keyOf(t), Status: it.status()}
		if it.undone {
			one.Undone = !slices.Contains(m.result.NotUndone, one.Key)
		}
		if it.result != nil {
			one.Error, one.Run = it.result.err, it.result.run
		}
		switch over := s.status != Waiting && s.status != Running; {
		case one.Status == "" && !over:
			one.Status = Waiting
		case one.Status == "":
			one.Status = m.unreached(int32(n))
		case one.Status == Running && over:
			one.Status = Cancelled
		}
		out[i] = one
	}
	m.effects.open(func(step int, p *effect) {
		if p.node == int32(n) && p.kind != readEffect && p.kind != deadlineEffect && p.kind != undoEffect {
			out[p.item].Attempt, out[p.item].Waits = int(p.attempt), m.waitsFor(step, p)
		}
	})
	return out, true
}

// Attempt says what an effect that has not ended is an attempt at, which one of
// them, and since when it is wanted; an empty key where it is none.
func (m *Machine) Attempt(step int) (key string, attempt int, wanted time.Time) {
	p := m.effects.at(step)
	switch p.kind {
	case taskEffect, waitEffect, eventEffect, approvalEffect:
		if !p.ended {
			return m.keyOf(p.target), int(p.attempt), time.Unix(0, p.at).UTC()
		}
	}
	return "", 0, time.Time{}
}
