package windows

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// state is all that a window knows. It is plain data, and its JSON form is complete.
type state struct {
	Now  time.Time            `json:"now"`
	Keys map[string]*keyState `json:"keys,omitempty"`
	// Seen is what came and is remembered, the oldest first.
	Seen []seenID `json:"seen,omitempty"`
	// Caused are the times of events that runs led to.
	Caused []time.Time `json:"caused,omitempty"`
}

type seenID struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// keyState is what is known of one key.
type keyState struct {
	Touched time.Time `json:"touched"`
	// Entries are of Count the events that count; of Absent the one that is waited
	// after; of All the latest of each part, and of Sequence for each part the chain
	// that ends with it and began last. A place without events is empty.
	Entries []entry `json:"entries,omitempty"`
	// Fired are the times of firings, as long as the throttle wants to know.
	Fired      []time.Time `json:"fired,omitempty"`
	Suppressed int         `json:"suppressed,omitempty"`

	scheduled time.Time // of the deadline that was queued last
}

// entry is an event, or a chain of them.
type entry struct {
	At    time.Time `json:"at"` // of the first event
	IDs   []string  `json:"ids,omitempty"`
	Depth int       `json:"depth,omitempty"`
}

func (e *entry) empty() bool { return e.At.IsZero() }

// Window is a rule at work.
type Window struct {
	rule  Rule
	state state
	seen  map[string]bool
	queue queue
}

// New makes a window that knows nothing yet, or goes on from what one knew: a state
// that [Window.Save] wrote for the same rule.
func New(rule Rule, saved []byte) (*Window, error) {
	if err := rule.Check(); err != nil {
		return nil, err
	}
	w := &Window{rule: rule, seen: map[string]bool{}}
	if len(saved) > 0 {
		if err := json.Unmarshal(saved, &w.state); err != nil {
			return nil, fmt.Errorf("cannot read the state of a window: %w", err)
		}
	}
	if w.state.Keys == nil {
		w.state.Keys = map[string]*keyState{}
	}
	for _, s := range w.state.Seen {
		w.seen[s.ID] = true
	}
	names := make([]string, 0, len(w.state.Keys))
	for key, k := range w.state.Keys {
		if k == nil || (rule.Kind == All || rule.Kind == Sequence) && len(k.Entries) > rule.Parts {
			return nil, fmt.Errorf("cannot read the state of a window: the key %q is not of this rule", key)
		}
		names = append(names, key)
	}
	slices.Sort(names)
	for _, key := range names {
		w.schedule(key, w.state.Keys[key])
	}
	return w, nil
}

// Save writes what the window knows.
func (w *Window) Save() ([]byte, error) { return json.Marshal(&w.state) }

// Empty reports whether the window knows nothing that matters: a new one would do.
func (w *Window) Empty() bool {
	return len(w.state.Keys) == 0 && len(w.state.Seen) == 0 && len(w.state.Caused) == 0
}

// Skew is how far clocks may be apart, or be put right, without it meaning anything.
const Skew = 5 * time.Minute

// Take takes an event in. Time does not go back: an earlier now counts as the latest
// there was. Where it is earlier by more than [Skew] the clock was ahead, and is right
// now: all that the window knows is then as long ago as it was.
func (w *Window) Take(e Event, now time.Time) Result {
	var r Result
	now = w.advance(now, &r)
	if refusal := w.admit(&e, now); refusal != "" {
		r.Refusals = append(r.Refusals, refusal)
	} else {
		k := w.key(e.Key, now)
		w.count(&e, k, now, &r)
		w.schedule(e.Key, k)
	}
	r.Next = w.Next()
	return r
}

// Advance says that time has passed.
func (w *Window) Advance(now time.Time) Result {
	var r Result
	w.advance(now, &r)
	r.Next = w.Next()
	return r
}

// advance does what is due, and forgets what is over.
func (w *Window) advance(now time.Time, r *Result) time.Time {
	now = now.Round(0) // what is written down has no monotonic clock
	switch {
	case w.Ahead(now):
		w.shift(now.Sub(w.state.Now))
	case now.Before(w.state.Now):
		now = w.state.Now
	}
	w.state.Now = now
	for len(w.queue) > 0 && !w.queue[0].at.After(now) {
		due := w.queue.pop()
		k := w.state.Keys[due.key]
		if k == nil || !w.due(k).Equal(due.at) {
			continue // it has changed since
		}
		k.scheduled = time.Time{}
		// It is as if somebody had looked when it was due.
		if w.rule.Kind == Absent && len(k.Entries) > 0 && over(k.Entries[0].At, w.rule.Within, due.at) {
			waited := k.Entries[0]
			k.Entries = nil
			w.fire(due.key, k, waited, due.at, r)
		}
		w.trim(k, due.at)
		if len(k.Entries) == 0 && len(k.Fired) == 0 && k.Suppressed == 0 {
			delete(w.state.Keys, due.key)
			continue
		}
		w.schedule(due.key, k)
	}
	old := 0
	for old < len(w.state.Seen) && (over(w.state.Seen[old].At, w.rule.Dedup, now) || len(w.state.Seen)-old > maxSeen) {
		delete(w.seen, w.state.Seen[old].ID)
		old++
	}
	w.state.Seen = w.state.Seen[old:]
	w.state.Caused = within(w.state.Caused, w.rule.Caused.Per, now)
	return now
}

// Ahead reports whether what the window knows is from a clock that was ahead: it has to
// be told what time it is, whatever [Window.Next] says.
func (w *Window) Ahead(now time.Time) bool { return w.state.Now.Sub(now) > Skew }

// shift moves all times.
func (w *Window) shift(by time.Duration) {
	move := func(list []time.Time) {
		for i := range list {
			list[i] = list[i].Add(by)
		}
	}
	w.queue = nil
	for _, key := range slices.Sorted(maps.Keys(w.state.Keys)) {
		k := w.state.Keys[key]
		k.Touched, k.scheduled = k.Touched.Add(by), time.Time{}
		move(k.Fired)
		for i := range k.Entries {
			if !k.Entries[i].empty() {
				k.Entries[i].At = k.Entries[i].At.Add(by)
			}
		}
		w.schedule(key, k)
	}
	for i := range w.state.Seen {
		w.state.Seen[i].At = w.state.Seen[i].At.Add(by)
	}
	move(w.state.Caused)
}

// over reports whether a while from an instant is over.
func over(from time.Time, while time.Duration, now time.Time) bool {
	return !now.Before(from.Add(while))
}

// within leaves those of ascending times that are not over.
func within(times []time.Time, while time.Duration, now time.Time) []time.Time {
	i := 0
	for i < len(times) && over(times[i], while, now) {
		i++
	}
	return times[i:]
}

// admit says why an event is not taken; nothing for one that is.
func (w *Window) admit(e *Event, now time.Time) Refusal {
	if w.rule.parts() == 1 {
		e.Parts = []int{0}
	}
	once := e.Once
	if once == "" {
		once = e.ID
	}
	e.Parts = slices.DeleteFunc(slices.Clone(e.Parts), func(p int) bool { return p < 0 || p >= w.rule.parts() })
	switch {
	case len(e.Parts) == 0:
		return NoPart
	case once != "" && w.seen[once]:
		return Duplicate
	}
	if w.rule.Dedup > 0 && once != "" {
		w.seen[once] = true
		w.state.Seen = append(w.state.Seen, seenID{once, now})
	}
	switch {
	case w.rule.Depth > 0 && e.Depth > w.rule.Depth:
		return TooDeep
	case e.Depth > 0 && w.rule.Caused.Limit > 0 && len(w.state.Caused) >= w.rule.Caused.Limit:
		return TooMany
	}
	if e.Depth > 0 && w.rule.Caused.Limit > 0 {
		w.state.Caused = append(w.state.Caused, now)
	}
	return ""
}

// key is what is known of a key, with room made for it.
func (w *Window) key(key string, now time.Time) *keyState {
	k := w.state.Keys[key]
	if k == nil {
		most := w.rule.Keys
		if most == 0 {
			most = DefaultKeys
		}
		if len(w.state.Keys) >= most {
			w.forget()
		}
		k = &keyState{}
		w.state.Keys[key] = k
	}
	k.Touched = now
	w.trim(k, now)
	return k
}

// forget drops the key that had no event for the longest time. It looks at all of
// them: this is for what should not happen.
func (w *Window) forget() {
	oldest := ""
	for key, k := range w.state.Keys {
		if o := w.state.Keys[oldest]; o == nil || k.Touched.Before(o.Touched) || k.Touched.Equal(o.Touched) && key < oldest {
			oldest = key
		}
	}
	delete(w.state.Keys, oldest)
}

// trim forgets of a key what is over. What Absent waits after is not trimmed: it
// fires.
func (w *Window) trim(k *keyState, now time.Time) {
	k.Fired = within(k.Fired, w.rule.Throttle.Per, now)
	switch w.rule.Kind {
	case Count:
		k.Entries = slices.DeleteFunc(k.Entries, func(e entry) bool { return over(e.At, w.rule.Within, now) })
	case All, Sequence:
		left := false
		for i := range k.Entries {
			if over(k.Entries[i].At, w.rule.Within, now) {
				k.Entries[i] = entry{}
			}
			left = left || !k.Entries[i].empty()
		}
		if !left {
			k.Entries = nil
		}
	}
}

// count lets an event count, and fires where that was the last that was needed.
func (w *Window) count(e *Event, k *keyState, now time.Time, r *Result) {
	one := entry{At: now, IDs: []string{e.ID}, Depth: e.Depth}
	switch w.rule.Kind {
	case Each:
		w.fire(e.Key, k, one, now, r)
	case Count:
		if k.Entries = append(k.Entries, one); len(k.Entries) >= w.rule.Count {
			all := join(k.Entries)
			k.Entries = nil
			w.fire(e.Key, k, all, now, r)
		}
	case Absent:
		if slices.Contains(e.Parts, 1) {
			k.Entries = nil
		}
		if slices.Contains(e.Parts, 0) && len(k.Entries) == 0 {
			k.Entries = []entry{one}
		}
	case All:
		w.places(k)
		for _, p := range e.Parts {
			k.Entries[p] = one
		}
		if !slices.ContainsFunc(k.Entries, func(e entry) bool { return e.empty() }) {
			all := k.Entries
			slices.SortStableFunc(all, func(a, b entry) int { return a.At.Compare(b.At) })
			// One event may stand for several parts.
			all = slices.CompactFunc(all, func(a, b entry) bool { return a.IDs[0] != "" && a.IDs[0] == b.IDs[0] })
			k.Entries = nil
			w.fire(e.Key, k, join(all), now, r)
		}
	case Sequence:
		w.places(k)
		// The last parts first: an event is one link of a chain, not two.
		slices.Sort(e.Parts)
		for _, p := range slices.Backward(e.Parts) {
			if p == 0 {
				k.Entries[0] = one
			} else if before := k.Entries[p-1]; !before.empty() {
				k.Entries[p] = join([]entry{before, one})
			}
		}
		if last := k.Entries[w.rule.Parts-1]; !last.empty() {
			k.Entries = nil
			w.fire(e.Key, k, last, now, r)
		}
	}
}

// places makes a place for each part.
func (w *Window) places(k *keyState) {
	for len(k.Entries) < w.rule.Parts {
		k.Entries = append(k.Entries, entry{})
	}
}

// join makes one of several entries in the order of time.
func join(list []entry) entry {
	out := entry{At: list[0].At}
	for _, e := range list {
		out.IDs = append(out.IDs, e.IDs...)
		out.Depth = max(out.Depth, e.Depth)
	}
	return out
}

// fire fires, unless the throttle is against it.
func (w *Window) fire(key string, k *keyState, e entry, at time.Time, r *Result) {
	if w.rule.Throttle.Limit > 0 {
		k.Fired = within(k.Fired, w.rule.Throttle.Per, at)
		if len(k.Fired) >= w.rule.Throttle.Limit {
			k.Suppressed++
			r.Refusals = append(r.Refusals, Throttled)
			return
		}
		k.Fired = append(k.Fired, at)
	}
	r.Firings = append(r.Firings, Firing{Key: key, At: at, Events: e.IDs, Depth: e.Depth, Suppressed: k.Suppressed})
	k.Suppressed = 0
}

// due is when a key has to be looked at: when Absent fires, or something is over.
func (w *Window) due(k *keyState) time.Time {
	var at time.Time
	earlier := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for i := range k.Entries {
		if !k.Entries[i].empty() {
			earlier(k.Entries[i].At.Add(w.rule.Within))
		}
	}
	if len(k.Fired) > 0 {
		earlier(k.Fired[0].Add(w.rule.Throttle.Per))
	}
	return at
}

// schedule has a key looked at when it is due.
func (w *Window) schedule(key string, k *keyState) {
	at := w.due(k)
	if at.IsZero() {
		if k.Suppressed == 0 {
			delete(w.state.Keys, key)
		}
		return
	}
	if !k.scheduled.Equal(at) {
		k.scheduled = at
		w.queue.push(deadline{at, key})
	}
}

// Next is when the window has to look again, if no event comes before; zero for not at
// all.
func (w *Window) Next() time.Time {
	for len(w.queue) > 0 {
		k := w.state.Keys[w.queue[0].key]
		if k != nil && w.due(k).Equal(w.queue[0].at) {
			return w.queue[0].at
		}
		w.queue.pop()
	}
	return time.Time{}
}
