package asl

import (
	"math"
	"strings"
	"time"
)

// retry starts the state again if a retrier takes the error.
func (t *thread) retry(e *stateError) bool {
	list, _ := t.state.fields.at("Retry").([]any)
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
		if retrier.at("JitterStrategy") == "FULL" {
			delay *= t.m.random.Float64()
		}
		if t.trial != nil {
			t.trial.retried(i, delay)
			return true
		}
		t.attempts[i]++
		t.retries++
		until := t.m.now.Add(time.Duration(min(delay, maxSeconds) * float64(time.Second)))
		t.m.effect(t, Effect{Kind: Timer, Until: until}, func(Outcome, bool) { t.perform() })
		return true
	}
	return false
}

func numberField(o *Object, name string, otherwise float64) float64 {
	if f, ok := float(o.at(name)); ok {
		return f
	}
	return otherwise
}

// takes reports whether a retrier or catcher is for an error.
func takes(o *Object, e *stateError) bool {
	names, _ := o.at("ErrorEquals").([]any)
	for _, n := range names {
		switch n {
		case e.name:
			return true
		case TimedOut:
			// A missing heartbeat is a timeout with a name of its own.
			if e.name == HeartbeatMissed {
				return true
			}
		case "States.ALL":
			// What cannot be helped is never caught by everything.
			return e.name != "States.DataLimitExceeded" && e.name != "States.Runtime"
		case "States.TaskFailed":
			if e.name != TimedOut && !strings.HasPrefix(e.name, "States.Runtime") {
				return true
			}
		}
	}
	return false
}

// catch goes on with the state a catcher names.
func (t *thread) catch(e *stateError) (bool, error) {
	list, _ := t.state.fields.at("Catch").([]any)
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
		if e.hasCause {
			output.Set("Cause", e.cause)
		}
		next, _ := catcher.at("Next").(string)
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
			return true, t.leave(out, assigned, next)
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
		return true, t.leave(out, assigned, next)
	}
	return false, nil
}
