package asl

// Event is an entry of an execution's history, in the form of the Step
// Functions API except that values are values and not JSON text.
type Event struct {
	ID         int64  `json:"id"`
	Previous   int64  `json:"previousEventId"`
	Type       string `json:"type"`
	DetailsKey string `json:"detailsKey,omitempty"`
	Details    any    `json:"details,omitempty"`
}

// history is what one execution tells. Executions of items of a distributed Map
// have their own.
type history struct {
	events []Event
	last   int64 // id of the last event
	forgot bool  // events are numbered and not kept
}

func (h *history) forget() { h.events, h.forgot = nil, true }

// tell adds an event and returns its id. An empty key means no details.
func (h *history) tell(previous int64, kind, key string, details *Object) int64 {
	h.last++
	if h.forgot {
		return h.last
	}
	e := Event{ID: h.last, Previous: previous, Type: kind, DetailsKey: key}
	if key != "" {
		e.Details = details
	}
	h.events = append(h.events, e)
	return h.last
}

func withValue(o *Object, name string, v any) *Object {
	return o.Set(name, v).Set(name+"Details", NewObject().Set("truncated", false))
}

func failure(e *stateError) *Object {
	o := NewObject()
	if e.hasCause {
		o.Set("cause", e.cause)
	}
	if e.name != "" {
		o.Set("error", e.name)
	}
	return o
}
