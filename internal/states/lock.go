package states

import (
	"context"
	"fmt"
	"time"
)

// Lock is what another tool holds while it works on a whole state, as Terraform's
// backends know it. The names of its members are Terraform's.
type Lock struct {
	ID        string
	Operation string
	Info      string
	Who       string
	Version   string
	Created   time.Time
	Path      string
}

// Locker lets tools that know no claims lock a whole state: no run begins that
// changes it, and nobody else writes to it.
type Locker interface {
	// Lock takes the lock; it fails with a [*LockError] where somebody has it, and
	// with a [*ClaimError] where a run is changing objects of the state.
	Lock(ctx context.Context, key Key, lock Lock) error
	// Unlock gives the lock of that id back, or whatever lock there is where id is
	// empty. It fails with a [*LockError] where another one is there; where there is
	// none, nothing happens.
	Unlock(ctx context.Context, key Key, id string) error
	// Locked is the lock of a state; nil for none.
	Locked(ctx context.Context, key Key) (*Lock, error)
}

// LockError says that somebody holds the lock of a state.
type LockError struct{ Lock Lock }

// Error says who, since when, and how to take it from them.
func (e *LockError) Error() string {
	return fmt.Sprintf("the state is locked: %s by %s since %s (lock %s)", e.Lock.Operation, e.Lock.Who, e.Lock.Created.UTC().Format(time.RFC3339), e.Lock.ID)
}
