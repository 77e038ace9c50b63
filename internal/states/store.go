package states

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/events"
)

// Store keeps states. Every method is one transaction; all may be called
// concurrently and by several processes. The events that methods are told are
// written with what they change, or not at all.
type Store interface {
	// State returns a snapshot; an empty state with a lineage where nothing was
	// stored yet.
	State(ctx context.Context, key Key) (*State, error)
	// Environments lists the environments of a stack, sorted, "default" included.
	Environments(ctx context.Context, stack string) ([]string, error)
	// CreateEnvironment makes an empty environment; ErrExists where there is one.
	CreateEnvironment(ctx context.Context, key Key, told ...events.Event) error
	// DeleteEnvironment removes an environment with all its rows, but not its
	// history.
	DeleteEnvironment(ctx context.Context, key Key, told ...events.Event) error
	// Write applies changes outside a run, as state commands do. It fails with a
	// [*StaleError] where rows are not what the write expects, and with a
	// [*ClaimError] where a run holds one of them.
	Write(ctx context.Context, key Key, w Write) error
	// History returns the revisions of one object, newest first; of all objects
	// of the state where object is nil.
	History(ctx context.Context, key Key, object *addrs.Object) ([]Revision, error)
}

// Write is a set of changes to one state.
type Write struct {
	Cause   string // why, for the history: move, taint, push, …
	Changes []Change
	// Outputs are set or, where nil, deleted.
	Outputs map[string]*Output
	// CheckResults replaces what is stored, where not nil.
	CheckResults json.RawMessage
	// Lineage and Serial replace what is stored, where Lineage is not empty.
	Lineage          string
	Serial           uint64
	TerraformVersion string
	// Lock is the id of the lock that the writer holds; empty for none.
	Lock string
	// Events are written with the changes.
	Events []events.Event
}

// ErrExists says that something to be created is there already.
var ErrExists = errors.New("it exists already")

// StaleError names objects that are not as a plan or command saw them.
type StaleError struct {
	Objects []addrs.Object
}

// Error lists the first few objects.
func (e *StaleError) Error() string {
	return "the state has changed since: " + listObjects(e.Objects)
}

// ClaimError names objects that another run is changing.
type ClaimError struct {
	Run     string // one of the runs concerned
	Objects []addrs.Object
}

// Error lists the first few objects.
func (e *ClaimError) Error() string {
	if len(e.Objects) == 0 {
		return "run " + e.Run + " is changing objects of the state"
	}
	return "run " + e.Run + " is changing " + listObjects(e.Objects)
}

func listObjects(objects []addrs.Object) string {
	const shown = 10
	text := ""
	for i, o := range objects {
		if i == shown {
			return text + ", …"
		}
		if i > 0 {
			text += ", "
		}
		text += o.String()
	}
	return text
}
