package asl

import (
	"fmt"
)

// Definition is a state machine that can run.
type Definition struct {
	level   *level
	timeout any // TimeoutSeconds, or nil
}

// level is a set of states with a start: a machine, a branch or what runs for
// every item of a Map.
type level struct {
	startAt string
	states  map[string]*state
}

// state is a state with its fields as they stand in the definition.
type state struct {
	name     string
	kind     string // Type
	jsonata  bool
	fields   *Object
	branches []*level // of Parallel; of Map the one for its items
	resource Resource // of Task
}

// Parse reads a definition. It takes what can run and leaves judging the rest
// to validation.
func Parse(data []byte) (*Definition, error) {
	v, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("the definition is not JSON: %w", err)
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, fmt.Errorf("the definition must be a JSON object")
	}
	l, err := parseLevel(o, o.at("QueryLanguage") == "JSONata", "/")
	if err != nil {
		return nil, err
	}
	return &Definition{level: l, timeout: o.at("TimeoutSeconds")}, nil
}

func parseLevel(o *Object, jsonata bool, at string) (*level, error) {
	if o == nil {
		return nil, fmt.Errorf("states are missing at %s", at)
	}
	l := &level{states: map[string]*state{}}
	l.startAt, _ = o.at("StartAt").(string)
	states, _ := o.at("States").(*Object)
	for _, name := range states.Keys() {
		fields, ok := states.at(name).(*Object)
		if !ok {
			return nil, fmt.Errorf("the state %q must be an object", name)
		}
		s, err := parseState(name, fields, jsonata, at+"States/"+name+"/")
		if err != nil {
			return nil, err
		}
		l.states[name] = s
	}
	if l.states[l.startAt] == nil {
		return nil, fmt.Errorf("StartAt at %s names %q, which is no state there", at, l.startAt)
	}
	return l, nil
}

func parseState(name string, fields *Object, jsonata bool, at string) (*state, error) {
	s := &state{name: name, fields: fields, jsonata: jsonata}
	s.kind, _ = fields.at("Type").(string)
	if language, ok := fields.Get("QueryLanguage"); ok {
		s.jsonata = language == "JSONata"
	}
	var inner []any
	switch s.kind {
	case "Parallel":
		inner, _ = fields.at("Branches").([]any)
	case "Map":
		processor, ok := fields.Get("ItemProcessor")
		if !ok {
			processor = fields.at("Iterator")
		}
		inner = []any{processor}
	case "Task":
		resource, _ := s.text("Resource")
		var err error
		if s.resource, err = ParseResource(resource); err != nil {
			return nil, fmt.Errorf("the state %q: %w", name, err)
		}
	case "Pass", "Choice", "Wait", "Succeed", "Fail":
	default:
		return nil, fmt.Errorf("the state %q is of the unknown type %q", name, s.kind)
	}
	for i, b := range inner {
		o, _ := b.(*Object)
		// Branches inherit the language of the machine, not of their state.
		l, err := parseLevel(o, jsonata, fmt.Sprintf("%s%d/", at, i))
		if err != nil {
			return nil, err
		}
		s.branches = append(s.branches, l)
	}
	return s, nil
}

func (s *state) text(field string) (string, bool) {
	v, ok := s.fields.at(field).(string)
	return v, ok
}

func (s *state) has(field string) bool { return s.fields.Has(field) }

// distributed reports whether a Map runs its items as executions of their own.
func (s *state) distributed() bool {
	processor, ok := s.fields.at("ItemProcessor").(*Object)
	if !ok {
		processor, _ = s.fields.at("Iterator").(*Object)
	}
	config, _ := processor.Get("ProcessorConfig")
	o, _ := config.(*Object)
	mode, _ := o.Get("Mode")
	return mode == "DISTRIBUTED"
}

// States are the types of all states by name, those inside of others included.
func (d *Definition) States() map[string]string {
	out := map[string]string{}
	d.level.names(out)
	return out
}

func (l *level) names(into map[string]string) {
	for name, s := range l.states {
		into[name] = s.kind
		for _, inner := range s.branches {
			inner.names(into)
		}
	}
}
