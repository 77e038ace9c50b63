package workflowtests

import (
	"time"

	"github.com/zclconf/go-cty/cty"
)

// record is what was seen of a test: everything that was carried out, in order,
// and the events that were emitted.
type record struct {
	lines  []line
	events []event
}

// line is one thing that was carried out.
type line struct {
	key     string // of the step or the state, with those of the steps around it
	action  string
	attempt int
	at      time.Time
	ended   time.Time // zero while it goes on
	call    bool      // it has effects, or would have
	args    cty.Value // of a call, marks and all
	outputs cty.Value // of a task of a state machine
	text    string    // how it ended, where that is worth telling
}

// event is one that a step emitted.
type event struct {
	kind, subject, step string
	data                cty.Value
	at                  time.Time
}

// add returns the number of a new line.
func (s *record) add(l line) int {
	s.lines = append(s.lines, l)
	return len(s.lines) - 1
}

// end says how something ended. A negative number is of nothing.
func (s *record) end(n int, at time.Time, text string) {
	if n >= 0 {
		s.lines[n].ended, s.lines[n].text = at, text
	}
}
