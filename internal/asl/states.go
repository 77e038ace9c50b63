package asl

import (
	"strings"
	"time"
)

// filterPath applies InputPath or OutputPath; null makes an empty object.
func (t *thread) filterPath(field string, s *scope) (any, error) {
	v, ok := t.state.fields.Get(field)
	if !ok {
		return s.input, nil
	}
	if v == nil {
		return NewObject(), nil
	}
	source, _ := v.(string)
	if !strings.HasPrefix(source, "$") {
		return s.expression(source, field)
	}
	p, err := t.m.parsed.path(source)
	if err != nil {
		return nil, err
	}
	out, err := s.follow(p)
	if err != nil {
		return nil, runtimeError("Invalid path '%s' : %s", source, err)
	}
	return out, nil
}

// effective is the input of the state's work in the JSONPath language: after
// InputPath and Parameters.
func (t *thread) effective() (any, error) {
	in, err := t.filterPath("InputPath", t.scope(t.input))
	if err != nil {
		return nil, err
	}
	t.trial.inspect("afterInputPath", in)
	if template, ok := t.state.fields.Get("Parameters"); ok {
		if in, err = t.scope(in).template(template); err != nil {
			return nil, err
		}
	}
	t.trial.inspect("afterParameters", in)
	return in, nil
}

// inputScope is where the fields of a state are evaluated that has no work: in
// the JSONPath language, after InputPath.
func (t *thread) inputScope() (*scope, error) {
	s := t.scope(t.input)
	if t.state.jsonata {
		return s, nil
	}
	in, err := t.filterPath("InputPath", s)
	return t.scope(in), err
}

// field returns a field's value, evaluated if it is in JSONata.
func (t *thread) field(s *scope, name string) (any, error) {
	v := t.state.fields.at(name)
	if t.state.jsonata {
		return s.query(v, name)
	}
	return v, nil
}

// putResult puts a result where a ResultPath says.
func (t *thread) putResult(at any, given bool, result any) (any, error) {
	if !given {
		return result, nil
	}
	if at == nil {
		return t.input, nil
	}
	source, _ := at.(string)
	p, err := t.m.parsed.path(source)
	if err != nil {
		return nil, err
	}
	out, err := p.put(t.input, result)
	if err != nil {
		return nil, failed("States.ResultPathMatchFailure", err.Error())
	}
	return out, nil
}

// exit finishes a state in its language with what it made.
func (t *thread) exit(result any) error {
	fields := t.state.fields
	if t.state.jsonata {
		s := t.scope(t.input)
		s.result, s.hasResult = result, true
		return t.passOn(fields, s, t.next())
	}
	assigned, err := t.assign(fields, t.scope(result))
	if err != nil {
		return err
	}
	at, given := fields.Get("ResultPath")
	out, err := t.putResult(at, given, result)
	if err != nil {
		return err
	}
	t.trial.inspect("afterResultPath", out)
	if out, err = t.filterPath("OutputPath", t.scope(out)); err != nil {
		return err
	}
	return t.leave(out, assigned, t.next())
}

// passOn finishes a state, or a choice of it, with what its scope holds.
func (t *thread) passOn(fields *Object, s *scope, next string) error {
	assigned, err := t.assign(fields, s)
	if err != nil {
		return err
	}
	output := s.input
	if s.hasResult {
		output = s.result
	}
	if !t.state.jsonata {
		output, err = t.filterPath("OutputPath", s)
	} else if template, ok := fields.Get("Output"); ok {
		output, err = s.query(template, "Output")
	}
	if err != nil {
		return err
	}
	return t.leave(output, assigned, next)
}

func (t *thread) assign(fields *Object, s *scope) (*Object, error) {
	template, ok := fields.Get("Assign")
	if !ok {
		return nil, nil
	}
	var v any
	var err error
	if t.state.jsonata {
		v, err = s.query(template, "Assign")
	} else {
		v, err = s.template(template)
	}
	if err != nil {
		return nil, err
	}
	o, _ := v.(*Object)
	return o, nil
}

func (t *thread) pass() error {
	result, has := t.state.fields.Get("Result")
	if t.state.jsonata {
		if !has {
			return t.passOn(t.state.fields, t.scope(t.input), t.next())
		}
		return t.exit(result)
	}
	value, err := t.effective()
	if err != nil {
		return err
	}
	if has {
		value = result
	}
	t.trial.inspect("afterResultSelector", value)
	return t.exit(value)
}

// succeed is the whole of a Succeed state, and the end of a Wait: the input
// goes on.
func (t *thread) succeed() error {
	s, err := t.inputScope()
	if err != nil {
		return err
	}
	return t.passOn(t.state.fields, s, t.next())
}

func (t *thread) fail() error {
	e := &stateError{}
	s := t.scope(t.input)
	for _, field := range []string{"Error", "Cause"} {
		var value any
		var err error
		has := true
		switch {
		case t.state.has(field + "Path"):
			source, _ := t.state.text(field + "Path")
			value, err = s.expression(source, field+"Path")
		case t.state.has(field):
			value, err = t.field(s, field)
		default:
			has = false
		}
		if err != nil {
			return err
		}
		if !has {
			continue
		}
		words, ok := value.(string)
		if !ok {
			if t.state.jsonata {
				return wrongType(t.state.fields.at(field), field, "string", value)
			}
			return runtimeError("The %sPath parameter does not reference a string: %s", field, text(value))
		}
		if field == "Error" {
			e.name = words
		} else {
			e.cause, e.hasCause = words, true
		}
	}
	t.stopped = true
	t.failed(e)
	return nil
}

func (t *thread) choose() error {
	rules, _ := t.state.fields.at("Choices").([]any)
	fallback, hasFallback := t.state.text("Default")
	if t.state.jsonata {
		return t.chooseQuery(rules, fallback, hasFallback)
	}
	s, err := t.inputScope()
	if err != nil {
		return err
	}
	for _, r := range rules {
		rule, _ := r.(*Object)
		chosen, err := s.chooses(rule)
		if err != nil {
			return err
		}
		if chosen {
			next, _ := rule.at("Next").(string)
			return t.passOn(rule, s, next)
		}
	}
	if !hasFallback {
		return noChoice()
	}
	return t.passOn(t.state.fields, s, fallback)
}

func noChoice() error {
	return failed("States.NoChoiceMatched", "No choice rule matched and the state has no Default.")
}

func (t *thread) chooseQuery(rules []any, fallback string, hasFallback bool) error {
	s := t.scope(t.input)
	for i, r := range rules {
		rule, _ := r.(*Object)
		condition, _ := rule.Get("Condition")
		field := "Choices[" + string(number(int64(i))) + "]/Condition"
		v, err := s.query(condition, field)
		if err != nil {
			return err
		}
		chosen, ok := v.(bool)
		if !ok {
			return wrongType(condition, field, "boolean", v)
		}
		if chosen {
			next, _ := rule.at("Next").(string)
			return t.passOn(rule, s, next)
		}
	}
	if !hasFallback {
		return noChoice()
	}
	return t.passOn(t.state.fields, s, fallback)
}

func (t *thread) wait() error {
	until, err := t.waitUntil()
	if err != nil {
		return err
	}
	if !until.After(t.m.now) {
		return t.succeed()
	}
	t.m.effect(t, Effect{Kind: Timer, Until: until}, func(Outcome, bool) { t.check(t.succeed()) })
	return nil
}

func (t *thread) waitUntil() (time.Time, error) {
	s, err := t.inputScope()
	if err != nil {
		return time.Time{}, err
	}
	switch {
	case t.state.has("SecondsPath"):
		source, _ := t.state.text("SecondsPath")
		v, err := t.reference(s, source, "SecondsPath")
		if err != nil {
			return time.Time{}, err
		}
		n, ok := integer(v)
		if !ok || n < 0 {
			return time.Time{}, runtimeError("The SecondsPath parameter does not reference a positive integer: %s == %s", source, text(v))
		}
		return t.m.now.Add(seconds(n)), nil
	case t.state.has("TimestampPath"):
		source, _ := t.state.text("TimestampPath")
		v, err := t.reference(s, source, "TimestampPath")
		if err != nil {
			return time.Time{}, err
		}
		words, _ := v.(string)
		at, ok := timestamp(words)
		if !ok {
			return time.Time{}, runtimeError("The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: %s == %s", source, plain(v))
		}
		return at, nil
	case t.state.has("Timestamp"):
		v, err := t.field(s, "Timestamp")
		if err != nil {
			return time.Time{}, err
		}
		words, _ := v.(string)
		at, ok := timestamp(words)
		if !ok {
			if source, is := expressionOf(t.state.fields.at("Timestamp")); is {
				return time.Time{}, queryError("Timestamp", "The JSONata expression '%s' specified for the field 'Timestamp' returned a value that is not a valid ISO-8601 extended offset date-time format string: %s", source, text(v))
			}
			return time.Time{}, runtimeError("The Timestamp parameter is not a valid ISO-8601 extended offset date-time format string: %s", plain(v))
		}
		return at, nil
	}
	v, err := t.field(s, "Seconds")
	if err != nil {
		return time.Time{}, err
	}
	n, ok := integer(v)
	if !ok || n < 0 {
		if t.state.jsonata {
			return time.Time{}, wrongType(t.state.fields.at("Seconds"), "Seconds", "positive integer", v)
		}
		return time.Time{}, runtimeError("The Seconds parameter is not a positive integer: %s", text(v))
	}
	return t.m.now.Add(seconds(n)), nil
}

func (t *thread) reference(s *scope, source, field string) (any, error) {
	p, err := t.m.parsed.path(source)
	if err != nil {
		return nil, err
	}
	v, err := s.follow(p)
	if err != nil {
		return nil, runtimeError("The %s parameter does not reference an input value: %s", field, source)
	}
	return v, nil
}

// plain writes a value as a message quotes it: strings without quotes.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return text(v)
}

// maxSeconds is the longest the service waits: a year and some.
const maxSeconds = 99999999

func seconds(n int64) time.Duration { return time.Duration(min(n, maxSeconds)) * time.Second }

// limit is a duration given in seconds, as a number, a path or an expression.
func (t *thread) limit(field string) (time.Duration, error) {
	v, ok, err := t.numberOf(field, t.input)
	if err != nil || !ok {
		return 0, err
	}
	n, ok := integer(v)
	if !ok || n <= 0 {
		if template := t.state.fields.at(field); dynamic(template, t.state.jsonata) {
			return 0, wrongType(template, field, "positive integer", v)
		}
		return 0, runtimeError("%s must be a positive number of seconds, not %s", field, text(v))
	}
	return seconds(n), nil
}

// finish takes the result of a Task, Parallel or Map.
func (t *thread) finish(result any) error {
	if !t.state.jsonata {
		if template, ok := t.state.fields.Get("ResultSelector"); ok {
			var err error
			if result, err = t.scope(result).template(template); err != nil {
				return err
			}
		}
		t.trial.inspect("afterResultSelector", result)
	}
	return t.exit(result)
}
