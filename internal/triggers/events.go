package triggers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/zclconf/go-cty/cty"
)

// EventTrigger is a trigger of a project that is for events, ready to be asked.
type EventTrigger struct {
	Name      string
	Declared  *projects.Trigger
	Project   *projects.Project
	condition *Condition // nil: it always holds
	key, once *Key       // nil: all events have the same, or each its own
}

// EventTriggers are all those of a project. They do not change.
type EventTriggers struct {
	list    []*EventTrigger // by name
	matcher *patterns.Matcher
	owners  []part // of the patterns
}

// part is a part of the window of a trigger: which trigger, and which of its parts.
type part struct{ trigger, part int }

// ReadEvents makes the project's triggers that are for events. Those that are wrong
// are left out and told about.
func ReadEvents(p *projects.Project) (*EventTriggers, diag.List) {
	set := &EventTriggers{}
	var diags diag.List
	var all []*patterns.Pattern
	for _, name := range sortedKeys(p.Triggers) {
		declared := p.Triggers[name]
		parts := append([]*patterns.Pattern{declared.On}, declared.Parts...)
		if slices.Contains(parts, nil) {
			continue // it has a schedule, or is wrong and reported where it was read
		}
		t, found := newEventTrigger(p, declared)
		if diags = append(diags, found...); found.HasErrors() {
			continue
		}
		for i, pattern := range parts {
			all = append(all, pattern)
			set.owners = append(set.owners, part{len(set.list), i})
		}
		set.list = append(set.list, t)
	}
	set.matcher = patterns.Compile(all)
	return set, diags
}

func newEventTrigger(p *projects.Project, declared *projects.Trigger) (*EventTrigger, diag.List) {
	t := &EventTrigger{Name: declared.Name, Declared: declared, Project: p}
	var diags, found diag.List
	if declared.When != nil {
		t.condition, found = NewCondition(p, declared.When)
		diags = append(diags, found...)
	}
	if declared.Key != nil {
		t.key, found = NewKey(p, declared.Key)
		diags = append(diags, found...)
	}
	if declared.Once != nil {
		t.once, found = NewKey(p, declared.Once)
		diags = append(diags, found...)
	}
	return t, diags
}

// List are the triggers, by name.
func (s *EventTriggers) List() []*EventTrigger { return s.list }

// Follow makes the triggers known to a store, in place of those before: they are for
// what is accepted from then on. It returns what [runs.EventStore] does, in the order
// of the list.
func (s *EventTriggers) Follow(ctx context.Context, store runs.EventStore) (runs.Position, []runs.WindowState, error) {
	states := make([]runs.WindowState, len(s.list))
	for i, t := range s.list {
		states[i] = runs.WindowState{Trigger: t.Name, Rule: t.rule()}
	}
	return store.Follow(ctx, states)
}

// Find is the trigger of a name; nil where there is none.
func (s *EventTriggers) Find(name string) *EventTrigger {
	i, found := slices.BinarySearchFunc(s.list, name, func(t *EventTrigger, name string) int { return strings.Compare(t.Name, name) })
	if !found {
		return nil
	}
	return s.list[i]
}

// match says which parts of which triggers an event is for, by the places of the
// triggers in the list.
func (s *EventTriggers) match(event []byte) (map[int][]int, error) {
	fits, err := s.matcher.Match(event)
	if err != nil || len(fits) == 0 {
		return nil, err
	}
	out := map[int][]int{}
	for _, i := range fits {
		o := s.owners[i]
		out[o.trigger] = append(out[o.trigger], o.part)
	}
	return out, nil
}

// rule tells what the trigger's window goes by: what it knows means something to no
// other.
func (t *EventTrigger) rule() string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(t.Declared.Window) // plain data
	for _, name := range []string{"on", "key", "window", "dedup"} {
		rng := t.Declared.Ranges[name]
		src := t.Project.Files[rng.Filename]
		if rng.End.Byte > len(src) {
			src = nil
		}
		h.Write([]byte(name + "\x00"))
		if src != nil {
			h.Write(src[rng.Start.Byte:rng.End.Byte])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// firingRun is the id of the run that a trigger starts for an event.
func firingRun(trigger string, event int64) string {
	return idOf(trigger, "e"+strconv.FormatInt(event, 10))
}

// references reports what an input of the trigger cannot refer to.
func (t *EventTrigger) references(expr hcl.Expression) diag.List {
	return references(t.Project, expr, func(string, hcl.Range) diag.List { return nil }, "events", "window")
}

// inputs are the values of the run of a firing. Expressions see the last event as
// event, all of them as events, and what the window says as window.
func (t *EventTrigger) inputs(f runs.Firing, list []runs.Fed, environment string, vars map[string]cty.Value) (map[string]cty.Value, diag.List) {
	values := make([]cty.Value, len(list))
	for i := range list {
		document, err := list[i].JSON()
		if err == nil {
			values[i], err = EventValue(document)
		}
		if err != nil {
			return nil, diag.ErrorAt(t.Declared.DeclRange, "Invalid event", "Event %d cannot be read: %s.", list[i].Sequence, err)
		}
	}
	key := cty.NullVal(cty.DynamicPseudoType)
	if f.Key != "" {
		var err error
		if key, err = jsonValue(f.Key); err != nil {
			return nil, diag.ErrorAt(t.Declared.DeclRange, "Invalid key", "The key of the events cannot be read: %s.", err)
		}
	}
	about := map[string]cty.Value{
		"event": values[len(values)-1], "events": cty.TupleVal(values),
		"window": cty.ObjectVal(map[string]cty.Value{"key": key, "suppressed": cty.NumberIntVal(int64(f.Suppressed)), "events": cty.NumberIntVal(int64(len(list)))}),
	}
	return inputs(t.Project, t.Declared, t.references, environment, vars, about)
}
