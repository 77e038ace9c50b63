// Package actions carries out what steps of workflows do on their own: commands,
// scripts, requests, playbooks. It knows neither runs nor journals: a [Call]
// holds all there is to know.
package actions

import (
	"context"
	"fmt"
	"io"

	"github.com/tutti-dev/tutti/internal/egress"
	"github.com/zclconf/go-cty/cty"
)

// Call is one attempt at an action.
type Call struct {
	// Arguments are of the types that projects.Actions says, wholly known and
	// without marks; those that were not given are null.
	Arguments cty.Value
	// Secrets are texts that must not appear in logs or errors.
	Secrets []string
	// Key is the idempotency key: the same whenever the step is done again.
	Key string
	// Dir is where relative paths start.
	Dir string
	// Logs takes what the action writes, by stream ("stdout", "stderr"), as it is
	// written. Secrets are hidden before.
	Logs func(stream string) io.Writer
	// Beat tells that the action is alive. Writing to Logs does so as well.
	Beat func()
	// Asked is closed when the run is being cancelled: the action should end as
	// soon as it decently can. The context ends later, when it must.
	Asked <-chan struct{}
	// Artifact keeps a file.
	Artifact func(path string, data []byte) error
	// Egress keeps requests out of networks that are not public; nil lets them go
	// anywhere.
	Egress *egress.Guard
}

// Action does something and returns its outputs. An error that is not an
// [*Error] is given the name Tutti.Failed.
type Action func(ctx context.Context, c Call) (cty.Value, error)

// Error is a failure with the name that retry and catch blocks know it by.
type Error struct{ Name, Cause string }

func (e *Error) Error() string { return e.Name + ": " + e.Cause }

// Errorf is an error of a name.
func Errorf(name, format string, args ...any) error {
	return &Error{Name: name, Cause: fmt.Sprintf(format, args...)}
}
