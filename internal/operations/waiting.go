package operations

import (
	"context"
	"errors"
	"time"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// waitingStore lets a run wait for objects that another run is changing, or for a
// state that another tool has locked, as
// -lock-timeout asks for.
type waitingStore struct {
	runs.Store
	patience time.Duration
	tell     func(string)
	stale    *states.StaleError // why the run could not start, where that is why
}

// retryClaim is how often it is looked whether the other run has ended.
const retryClaim = 250 * time.Millisecond

// Start implements runs.Store.
func (s *waitingStore) Start(ctx context.Context, run runs.Run, plan []byte, claim runs.Claim, adjust []states.Change) (runs.Lease, error) {
	deadline := time.Now().Add(s.patience)
	for told := false; ; told = true {
		lease, err := s.Store.Start(ctx, run, plan, claim, adjust)
		if errors.As(err, &s.stale) {
			return lease, err
		}
		var claimed *states.ClaimError
		var locked *states.LockError
		if !errors.As(err, &claimed) && !errors.As(err, &locked) || !time.Now().Before(deadline) || ctx.Err() != nil {
			return lease, err
		}
		if !told {
			s.tell("Waiting: " + err.Error() + ".\n")
		}
		timer := time.NewTimer(retryClaim)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
