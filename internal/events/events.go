// Package events holds the shape of everything that happened: CloudEvents 1.0,
// as far as a store, a feed and a trigger need it.
package events

import (
	"encoding/json"
	"time"
)

// Event is one fact, after the fact. Type is a dotted name such as
// "run.started" or "resource.created"; Subject the address or run concerned.
// Data never holds sensitive values in clear.
type Event struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`
	// Actor is who did it, or on whose behalf it happened: "user:ann",
	// "trigger:nightly". An extension attribute of CloudEvents.
	Actor string          `json:"actor,omitempty"`
	Time  time.Time       `json:"time"`
	Data  json.RawMessage `json:"data,omitempty"`
}
