package asl

import (
	"encoding/json"
	"math"
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
	p, err := cachedPath(source)
	if err != nil {
		return nil, runtimeError("%s", err)
	}
	out, err := s.follow(p)
	if err != nil {
		return nil, runtimeError("Invalid path '%s' : %s", source, err)
	}
	return out, nil
}

// effective is the input of the state's work in the JSONPath language: after
// InputPath and Parameters.
func (t *thread) effective() (in, out any, err error) {
	in, err = t.filterPath("InputPath", t.scope(t.input))
	if err != nil {
		return nil, nil, err
	}
	t.trial.inspect("afterInputPath", in)
	if out, err = t.parameters(in); err == nil {
		t.trial.inspect("afterParameters", out)
	}
	return in, out, err
}

func (t *thread) parameters(in any) (any, error) {
	template, ok := t.state.fields.Get("Parameters")
	if !ok {
		return in, nil
	}
	return t.scope(in).template(template)
}

// combined puts the result where ResultPath says.
func (t *thread) combined(result any) (any, error) {
	v, ok := t.state.fields.Get("ResultPath")
	return t.putResult(v, ok, result)
}

func (t *thread) putResult(at any, given bool, result any) (any, error) {
	if !given {
		return result, nil
	}
	if at == nil {
		return t.input, nil
	}
	source, _ := at.(string)
	p, err := cachedPath(source)
	if err != nil {
		return nil, runtimeError("%s", err)
	}
	out, err := p.put(t.input, result)
	if err != nil {
		return nil, &stateError{name: "States.ResultPathMatchFailure", cause: err.Error()}
	}
	return out, nil
}

// exit finishes a state in its language. result is what the state made.
func (t *thread) exit(result any, hasResult bool, next string, previous int64) error {
	fields := t.state.fields
	if t.state.jsonata {
		return t.exitQuery(fields, result, hasResult, next, previous)
	}
	assigned, err := t.assign(fields, t.scope(result))
	if err != nil {
		return err
	}
	out, err := t.combined(result)
	if err != nil {
		return err
	}
	t.trial.inspect("afterResultPath", out)
	if out, err = t.filterPath("OutputPath", t.scope(out)); err != nil {
		return err
	}
	return t.leave(out, assigned, next, previous)
}

// exitQuery evaluates Output and Assign of a state, rule or catcher.
func (t *thread) exitQuery(fields *Object, result any, hasResult bool, next string, previous int64) error {
	s := t.scope(t.input)
	s.result, s.hasResult = result, hasResult
	return t.exitScope(fields, s, next, previous)
}

func (t *thread) exitScope(fields *Object, s *scope, next string, previous int64) error {
	assigned, err := t.assign(fields, s)
	if err != nil {
		return err
	}
	output := s.input
	if s.hasResult {
		output = s.result
	}
	if template, ok := fields.Get("Output"); ok {
		if output, err = s.query(template, "Output"); err != nil {
			return err
		}
	}
	return t.leave(output, assigned, next, previous)
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
	if t.state.jsonata {
		result, has := t.state.fields.Get("Result")
		return t.exit(result, has, t.next(), t.last)
	}
	_, value, err := t.effective()
	if err != nil {
		return err
	}
	if result, ok := t.state.fields.Get("Result"); ok {
		value = result
	}
	t.trial.inspect("afterResultSelector", value)
	return t.exit(value, true, t.next(), t.last)
}

func (t *thread) succeed() error {
	if t.state.jsonata {
		return t.exitQuery(t.state.fields, nil, false, "", t.last)
	}
	in, err := t.filterPath("InputPath", t.scope(t.input))
	if err != nil {
		return err
	}
	out, err := t.filterPath("OutputPath", t.scope(in))
	if err != nil {
		return err
	}
	return t.leave(out, nil, "", t.last)
}

func (t *thread) fail() error {
	e := &stateError{named: true}
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
			value = t.state.fields.values[field]
			if t.state.jsonata {
				value, err = s.query(value, field)
			}
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
				return wrongType(t.state.fields.values[field], field, "string", value)
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
	rules, _ := t.state.fields.values["Choices"].([]any)
	fallback, hasFallback := t.state.text("Default")
	if t.state.jsonata {
		return t.chooseQuery(rules, fallback, hasFallback)
	}
	in, err := t.filterPath("InputPath", t.scope(t.input))
	if err != nil {
		return err
	}
	s := t.scope(in)
	fields, next, found := t.state.fields, fallback, hasFallback
	for _, r := range rules {
		rule, _ := r.(*Object)
		ok, err := s.chooses(rule)
		if err != nil {
			return err
		}
		if ok {
			fields, found = rule, true
			next, _ = rule.values["Next"].(string)
			break
		}
	}
	if !found {
		return noChoice()
	}
	assigned, err := t.assign(fields, s)
	if err != nil {
		return err
	}
	out, err := t.filterPath("OutputPath", s)
	if err != nil {
		return err
	}
	return t.leave(out, assigned, next, t.last)
}

func noChoice() error {
	return &stateError{name: "States.NoChoiceMatched", named: true, hasCause: true,
		cause: "No choice rule matched and the state has no Default."}
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
			next, _ := rule.values["Next"].(string)
			return t.exitScope(rule, s, next, t.last)
		}
	}
	if !hasFallback {
		return noChoice()
	}
	return t.exitScope(t.state.fields, s, fallback, t.last)
}

func (t *thread) wait() error {
	until, err := t.waitUntil()
	if err != nil {
		return err
	}
	end := func(Outcome, bool) { t.check(t.waited()) }
	if !until.After(t.m.now) {
		return t.waited()
	}
	t.m.effect(t, Effect{Until: until}, end)
	return nil
}

func (t *thread) waited() error {
	if t.state.jsonata {
		return t.exitQuery(t.state.fields, nil, false, t.next(), t.last)
	}
	in, err := t.filterPath("InputPath", t.scope(t.input))
	if err != nil {
		return err
	}
	s := t.scope(in)
	assigned, err := t.assign(t.state.fields, s)
	if err != nil {
		return err
	}
	out, err := t.filterPath("OutputPath", s)
	if err != nil {
		return err
	}
	return t.leave(out, assigned, t.next(), t.last)
}

func (t *thread) waitUntil() (time.Time, error) {
	s := t.scope(t.input)
	if !t.state.jsonata {
		in, err := t.filterPath("InputPath", s)
		if err != nil {
			return time.Time{}, err
		}
		s = t.scope(in)
	}
	value := func(field string) (any, error) {
		v := t.state.fields.values[field]
		if t.state.jsonata {
			return s.query(v, field)
		}
		return v, nil
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
		v, err := value("Timestamp")
		if err != nil {
			return time.Time{}, err
		}
		words, _ := v.(string)
		at, ok := timestamp(words)
		if !ok {
			if source, is := expressionOf(t.state.fields.values["Timestamp"]); is {
				return time.Time{}, &stateError{name: "States.QueryEvaluationError", evaluation: true, location: "Timestamp",
					cause: "The JSONata expression '" + source + "' specified for the field 'Timestamp' returned a value that is not a valid ISO-8601 extended offset date-time format string: " + text(v)}
			}
			return time.Time{}, runtimeError("The Timestamp parameter is not a valid ISO-8601 extended offset date-time format string: %s", plain(v))
		}
		return at, nil
	}
	v, err := value("Seconds")
	if err != nil {
		return time.Time{}, err
	}
	n, ok := integer(v)
	if !ok || n < 0 {
		if t.state.jsonata {
			return time.Time{}, wrongType(t.state.fields.values["Seconds"], "Seconds", "positive integer", v)
		}
		return time.Time{}, runtimeError("The Seconds parameter is not a positive integer: %s", text(v))
	}
	return t.m.now.Add(seconds(n)), nil
}

func (t *thread) reference(s *scope, source, field string) (any, error) {
	p, err := cachedPath(source)
	if err != nil {
		return nil, runtimeError("%s", err)
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

func (t *thread) task() error {
	var args any
	var err error
	if t.state.jsonata {
		s := t.scope(t.input)
		args = t.input
		if template, ok := t.state.fields.Get("Arguments"); ok {
			args, err = s.query(template, "Arguments")
		}
		if err == nil {
			t.trial.inspect("afterArguments", args)
		}
	} else {
		_, args, err = t.effective()
	}
	if err != nil {
		return err
	}
	e := Effect{Input: json.RawMessage(text(args))}
	e.Resource, _ = t.state.text("Resource")
	if e.Timeout, err = t.limit("TimeoutSeconds"); err != nil {
		return err
	}
	if e.Heartbeat, err = t.limit("HeartbeatSeconds"); err != nil {
		return err
	}
	t.m.effect(t, e, func(out Outcome, ok bool) {
		if !ok {
			t.fails(&stateError{name: out.Error, cause: out.Cause, named: true, hasCause: true})
			return
		}
		result, err := Decode(out.Output)
		if err != nil {
			t.fails(runtimeError("The task returned a result that is not JSON: %s", err))
			return
		}
		t.trial.inspect("result", result)
		t.check(t.finish(result, t.last))
	})
	return nil
}

// limit is a duration given in seconds, as a number, a path or an expression.
func (t *thread) limit(field string) (time.Duration, error) {
	var v any
	var err error
	s := t.scope(t.input)
	switch {
	case t.state.has(field + "Path"):
		source, _ := t.state.text(field + "Path")
		v, err = t.reference(s, source, field+"Path")
	case t.state.has(field):
		v = t.state.fields.values[field]
		if t.state.jsonata {
			v, err = s.query(v, field)
		}
	default:
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, ok := integer(v)
	if !ok || n <= 0 {
		return 0, runtimeError("%s must be a positive number of seconds, not %s", field, text(v))
	}
	return seconds(n), nil
}

// finish takes the result of a Task, Parallel or Map.
func (t *thread) finish(result any, previous int64) error {
	if t.state.jsonata {
		return t.exit(result, true, t.next(), previous)
	}
	if template, ok := t.state.fields.Get("ResultSelector"); ok {
		var err error
		if result, err = t.scope(result).template(template); err != nil {
			return err
		}
	}
	t.trial.inspect("afterResultSelector", result)
	return t.exit(result, true, t.next(), previous)
}

// retry starts the state again if a retrier takes the error.
func (t *thread) retry(e *stateError) bool {
	list, _ := t.state.fields.values["Retry"].([]any)
	for i, r := range list {
		retrier, _ := r.(*Object)
		if !takes(retrier, e) {
			continue
		}
		attempts := numberField(retrier, "MaxAttempts", 3)
		if t.attempts == nil {
			t.attempts = map[int]int{}
		}
		if float64(t.attempts[i]) >= attempts {
			return false
		}
		delay := numberField(retrier, "IntervalSeconds", 1) * math.Pow(numberField(retrier, "BackoffRate", 2), float64(t.attempts[i]))
		if retrier.Has("MaxDelaySeconds") {
			delay = min(delay, numberField(retrier, "MaxDelaySeconds", 0))
		}
		if retrier.values["JitterStrategy"] == "FULL" {
			delay *= t.m.random().Float64()
		}
		if t.trial != nil {
			t.trial.retried(i, delay)
			return true
		}
		t.attempts[i]++
		t.retries++
		until := t.m.now.Add(time.Duration(min(delay, maxSeconds) * float64(time.Second)))
		t.m.effect(t, Effect{Until: until}, func(Outcome, bool) { t.perform() })
		return true
	}
	return false
}

func numberField(o *Object, name string, otherwise float64) float64 {
	n, ok := o.values[name].(json.Number)
	if !ok {
		return otherwise
	}
	f, err := n.Float64()
	if err != nil {
		return otherwise
	}
	return f
}

// takes reports whether a retrier or catcher is for an error.
func takes(o *Object, e *stateError) bool {
	names, _ := o.values["ErrorEquals"].([]any)
	for _, n := range names {
		switch n {
		case e.name:
			return true
		case "States.ALL":
			// What cannot be helped is never caught by everything.
			return e.name != "States.DataLimitExceeded" && e.name != "States.Runtime"
		case "States.TaskFailed":
			if e.name != "States.Timeout" && !strings.HasPrefix(e.name, "States.Runtime") {
				return true
			}
		}
	}
	return false
}

// catch goes on with the state a catcher names.
func (t *thread) catch(e *stateError) (bool, error) {
	list, _ := t.state.fields.values["Catch"].([]any)
	for i, c := range list {
		catcher, _ := c.(*Object)
		if !takes(catcher, e) {
			continue
		}
		t.trial.caught(i)
		output := NewObject()
		if e.name != "" {
			output.Set("Error", e.name)
		}
		if e.hasCause || !e.named {
			output.Set("Cause", e.cause)
		}
		next, _ := catcher.values["Next"].(string)
		if t.state.jsonata {
			s := t.scope(t.input)
			s.failure = output
			assigned, err := t.assign(catcher, s)
			if err != nil {
				return false, err
			}
			var out any = output
			if template, ok := catcher.Get("Output"); ok {
				if out, err = s.query(template, "Output"); err != nil {
					return false, err
				}
			}
			return true, t.leave(out, assigned, next, t.last)
		}
		at, given := catcher.Get("ResultPath")
		out, err := t.putResult(at, given, output)
		if err != nil {
			return false, err
		}
		assigned, err := t.assign(catcher, t.scope(output))
		if err != nil {
			return false, err
		}
		return true, t.leave(out, assigned, next, t.last)
	}
	return false, nil
}
