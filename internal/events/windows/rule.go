package windows

import (
	"fmt"
	"time"
)

// Kind says what makes a window fire.
type Kind string

// The kinds of windows.
const (
	// Each fires for every event.
	Each Kind = "each"
	// Count fires when the last of so many events came within the time. Events count
	// for one firing.
	Count Kind = "count"
	// Absent fires when an event of part 0 came and none of part 1 within the time
	// from then. More of part 0 in the meantime change nothing. An event of both
	// parts is the end of one wait and the beginning of the next, as heartbeats are.
	Absent Kind = "absent"
	// All fires when each part had an event within the time, in any order. Of several
	// events of a part the latest stands for it.
	All Kind = "all"
	// Sequence fires when each part had an event, in the order of the parts, and all
	// of them within the time. Other events in between do not matter.
	Sequence Kind = "sequence"
)

// Limits of a rule, and of what a state holds.
const (
	MaxCount = 10_000
	MaxParts = 64
	// DefaultKeys is how many keys a window follows unless its rule says otherwise.
	DefaultKeys = 10_000
	// maxSeen is how many ids of events are remembered at most.
	maxSeen = 100_000
)

// Rate is so many within a time that slides; none without a limit.
type Rate struct {
	Limit int           `json:"limit,omitempty"`
	Per   time.Duration `json:"per,omitempty"`
}

// Rule says when a window fires. The zero value of what a kind does not use.
type Rule struct {
	Kind   Kind
	Count  int           // of Count: how many events
	Parts  int           // of All and Sequence: how many parts there are
	Within time.Duration // of all kinds but Each
	// Keys is how many keys are followed at once; [DefaultKeys] for 0. A new one
	// takes the place of the one that waited longest without an event.
	Keys int
	// Dedup is how long it is remembered that an event came: another one that says
	// the same thing is refused. 0 for not at all.
	Dedup time.Duration
	// Throttle is how often one key fires.
	Throttle Rate
	// Depth is how many runs may have led to an event, each by an event of the one
	// before, for it to be taken; 0 for any number.
	Depth int
	// Caused is how many events that runs led to are taken, of all keys.
	Caused Rate
}

// Check says what is wrong with a rule.
func (r *Rule) Check() error {
	switch r.Kind {
	case Each:
	case Count:
		if r.Count < 1 || r.Count > MaxCount {
			return fmt.Errorf("the count must be from 1 to %d", MaxCount)
		}
	case Absent:
	case All, Sequence:
		if r.Parts < 2 || r.Parts > MaxParts {
			return fmt.Errorf("there must be from 2 to %d parts", MaxParts)
		}
	default:
		return fmt.Errorf("there is no kind %q of windows; there are each, count, absent, all and sequence", r.Kind)
	}
	if r.Kind != Each && r.Within <= 0 {
		return fmt.Errorf("a window of the kind %s needs a time", r.Kind)
	}
	if r.Dedup < 0 || r.Within < 0 || r.Keys < 0 || r.Depth < 0 {
		return fmt.Errorf("times and limits must not be negative")
	}
	for _, rate := range []Rate{r.Throttle, r.Caused} {
		if rate.Limit < 0 || rate.Limit > MaxCount || (rate.Limit > 0) != (rate.Per > 0) {
			return fmt.Errorf("a rate is from 1 to %d times in a time", MaxCount)
		}
	}
	return nil
}

// parts is how many parts events may have.
func (r *Rule) parts() int {
	switch r.Kind {
	case All, Sequence:
		return r.Parts
	case Absent:
		return 2
	}
	return 1
}

// Event is what a window has to know of an event that fits its trigger.
type Event struct {
	// ID tells events apart: the source and the id of a CloudEvent. An event without
	// one is never taken for another.
	ID string
	// Once is what the event has in common with those that say the same thing again;
	// empty for its ID. See Dedup of [Rule].
	Once string
	// Key is what events that belong together have in common; see [Key].
	Key string
	// Parts are the parts of the window that the event fits; unless there is only
	// one, which it does. Others are refused.
	Parts []int
	// Depth is how many runs led to the event, each by an event of the one before; 0
	// for what came from outside.
	Depth int
}

// Firing is one time that a window fired.
type Firing struct {
	Key string    `json:"key"`
	At  time.Time `json:"at"`
	// Events are the ids of the events that it fired for, in the order they came; of
	// Absent, the one that was waited for in vain after.
	Events []string `json:"events"`
	// Depth is the greatest of those events.
	Depth int `json:"depth,omitempty"`
	// Suppressed is how many firings of the key the throttle kept back since the
	// last one.
	Suppressed int `json:"suppressed,omitempty"`
}

// Refusal is why an event was not taken, or a firing was kept back.
type Refusal string

// The refusals.
const (
	Duplicate Refusal = "duplicate" // the event was here before
	TooDeep   Refusal = "too deep"  // more runs led to it than the rule allows
	TooMany   Refusal = "too many"  // more events that runs led to than the rule allows
	Throttled Refusal = "throttled" // it would fire more often than the rule allows
	NoPart    Refusal = "no part"   // it fits no part of the window
)

// Result is what came of an event, or of time.
type Result struct {
	Firings  []Firing
	Refusals []Refusal
	// Next is when the window has to look again, if no event comes before; zero for
	// not at all.
	Next time.Time
}
