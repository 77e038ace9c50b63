package project

import (
	"strings"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// MaxNamed is how many objects an event about a state names.
const MaxNamed = 100

// stateEventData is what the feed is told of a change of a state by hand.
type stateEventData struct {
	Objects []string `json:"objects,omitempty"` // the first hundred
	Count   int      `json:"count"`
}

// StateEvents says who changed what in a state by hand; the cause is that of the
// history: move, taint, push, ….
func StateEvents(actor string, key states.Key, cause string, changes []states.Change) []events.Event {
	data := stateEventData{Count: len(changes)}
	for _, c := range changes[:min(len(changes), MaxNamed)] {
		data.Objects = append(data.Objects, c.Object.String())
	}
	kind := "state." + strings.ReplaceAll(cause, " ", "_")
	return []events.Event{runs.AuditEvent(key, kind, PlaceOf(key), actor, data)}
}

// PlaceOf is a state as permissions write it: ENVIRONMENT/STACK.
func PlaceOf(key states.Key) string {
	return strings.TrimSuffix(key.Environment+"/"+key.Stack, "/")
}
