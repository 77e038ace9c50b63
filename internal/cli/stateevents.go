package cli

import (
	"strings"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// maxNamed is how many objects an event about a state names.
const maxNamed = 100

// stateEventData is what the feed is told of a change of a state by hand.
type stateEventData struct {
	Objects []string `json:"objects,omitempty"` // the first hundred
	Count   int      `json:"count"`
}

// stateEvents says who changed what in a state by hand; the cause is that of the
// history: move, taint, push, ….
func stateEvents(actor string, key states.Key, cause string, changes []states.Change) []events.Event {
	data := stateEventData{Count: len(changes)}
	for _, c := range changes[:min(len(changes), maxNamed)] {
		data.Objects = append(data.Objects, c.Object.String())
	}
	kind := "state." + strings.ReplaceAll(cause, " ", "_")
	return []events.Event{runs.AuditEvent(key, kind, place(key), actor, data)}
}

// place is a state as permissions write it: ENVIRONMENT/STACK.
func place(key states.Key) string {
	return strings.TrimSuffix(key.Environment+"/"+key.Stack, "/")
}

// transferEvents says who moved what between states, once for each state that
// objects leave.
func transferEvents(actor string, moves []states.Transfer) []events.Event {
	type moved struct {
		Object string `json:"object"`
		To     string `json:"to"`
		As     string `json:"as"`
	}
	var order []states.Key
	by := map[states.Key][]moved{}
	for _, m := range moves {
		if by[m.From] == nil {
			order = append(order, m.From)
		}
		by[m.From] = append(by[m.From], moved{m.Object.String(), m.To.String(), m.As.String()})
	}
	var out []events.Event
	for _, key := range order {
		out = append(out, runs.AuditEvent(key, "state.transfer", place(key), actor, map[string]any{"count": len(by[key]), "objects": by[key][:min(len(by[key]), maxNamed)]}))
	}
	return out
}
