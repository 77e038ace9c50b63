package schedules

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Most is how many instants are run at once after a time in which nobody was
// there, whatever a policy says: the newest are.
const Most = 1000

// Missed says what becomes of instants that passed while nobody was there to
// start a run. The zero Missed drops them, as "skip" does.
type Missed struct {
	policy missedPolicy
	max    int // of missedAll
}

type missedPolicy byte

const (
	missedSkip missedPolicy = iota
	missedLatest
	missedAll
)

// ParseMissed reads a policy: skip, latest, all, or all(N) with N from 1 to [Most].
func ParseMissed(text string) (Missed, error) {
	switch text {
	case "skip":
		return Missed{}, nil
	case "latest":
		return Missed{policy: missedLatest}, nil
	case "all":
		return Missed{missedAll, Most}, nil
	}
	if rest, ok := strings.CutPrefix(text, "all("); ok {
		digits, closed := strings.CutSuffix(rest, ")")
		if n, ok := number(digits); closed && ok && n >= 1 && n <= Most {
			return Missed{missedAll, n}, nil
		}
		return Missed{}, fmt.Errorf("cannot read the policy %q for missed runs: allowed are all and all(N) with N from 1 to %d", text, Most)
	}
	return Missed{}, fmt.Errorf("the policy %q for missed runs is not known; allowed are skip, latest, all and all(N)", text)
}

// String returns the policy as [ParseMissed] reads it.
func (m Missed) String() string {
	switch {
	case m.policy == missedSkip:
		return "skip"
	case m.policy == missedLatest:
		return "latest"
	case m.max == Most:
		return "all"
	default:
		return "all(" + strconv.Itoa(m.max) + ")"
	}
}

// Due returns which instants of a schedule, after last and not after now, are to
// be run now, in order. last is the last instant that was seen to; for a schedule
// that never ran, when it was made.
//
// An instant is on time until now is later than it by more than grace, and late
// from then on.
//
//   - skip runs those on time.
//   - latest runs those on time; where there are none, the newest late one.
//   - all(N) runs the newest N, on time or late.
//
// Never more than [Most] are returned, the newest. What is not returned is done
// with: the next call begins at now. Due takes milliseconds, however long ago last
// is.
func (m Missed) Due(s Schedule, last, now time.Time, grace time.Duration) []time.Time {
	if m.policy == missedAll {
		return s.newest(last, now, m.max)
	}
	late := now.Add(-max(grace, 0) - 1) // the newest that would be late
	if late.Before(last) {
		late = last
	}
	due := s.newest(late, now, Most)
	if len(due) == 0 && m.policy == missedLatest {
		due = s.newest(last, late, 1)
	}
	return due
}

// newest returns the last n instants after one and not after another. It looks
// ever further back, so that it walks over a few times what it returns, not over
// all that there is.
func (s Schedule) newest(after, until time.Time, n int) []time.Time {
	const farthest = 200 * 366 * 24 * time.Hour
	for span := time.Duration(n) * time.Minute; ; span *= 2 {
		from, whole := until.Add(-span), false
		if span > farthest || !from.After(after) {
			from, whole = after, true
		}
		list := s.lastBetween(from, until, n)
		if whole || len(list) == n {
			return list
		}
	}
}

// lastBetween walks from one instant to another and keeps the last n.
func (s Schedule) lastBetween(after, until time.Time, n int) []time.Time {
	var list []time.Time
	for {
		at, ok := s.Next(after)
		if !ok || at.After(until) {
			return list[max(0, len(list)-n):]
		}
		if len(list) == 2*n { // forget the older half
			list = append(list[:0], list[n:]...)
		}
		list = append(list, at)
		after = at
	}
}
