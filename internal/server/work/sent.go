package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/configs/archives"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/operations"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs/actions"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/sqlite"
)

// errNotSpeculative says that a server does not plan what clients send.
var errNotSpeculative = fmt.Errorf("%w: this server plans no configurations that clients send: it was not started with -speculative-plans", api.ErrForbidden)

// Keep implements [api.Work].
func (w *Work) Keep(ctx context.Context, who access.Identity, archive []byte) (string, time.Time, error) {
	if !w.speculative {
		return "", time.Time{}, errNotSpeculative
	}
	if err := w.mayPlanSomething(ctx, who); err != nil {
		return "", time.Time{}, err
	}
	dir, err := actions.TakeScratch()
	if err != nil {
		return "", time.Time{}, err
	}
	defer actions.GiveBackScratch(dir)
	if err := archives.Unpack(archive, dir); err != nil { // so that whoever sent it is told
		return "", time.Time{}, diag.Errorf("Invalid configuration", "What was sent cannot be unpacked: %s.", err).Err()
	}
	sum := sha256.Sum256(archive)
	id, expires := hex.EncodeToString(sum[:]), time.Now().Add(operations.SentFor).UTC()
	data, err := json.Marshal(archive)
	if err != nil {
		return "", time.Time{}, err
	}
	return id, expires, w.runner.Store.Cache(ctx, operations.SentPrefix+id, data, true, expires)
}

// mayPlanSomething refuses who may plan nothing of the project anywhere.
func (w *Work) mayPlanSomething(ctx context.Context, who access.Identity) error {
	list, err := w.Stacks(ctx)
	if err != nil {
		return err
	}
	if environment, err := w.Environment(ctx); err == nil && environment != "" {
		list = append(list, api.StackState{Environment: environment})
	}
	err = fmt.Errorf("%w: %s may plan nothing here", api.ErrForbidden, who.Subject)
	for _, s := range list {
		if w.Authorize(ctx, who, access.Plan, s.Environment, s.Stack) == nil {
			return nil
		}
	}
	return err
}

// maySpeculate refuses to plan a configuration that is not there, or not wanted, or
// for somebody who may plan nothing.
func (w *Work) maySpeculate(ctx context.Context, who access.Identity, id string) error {
	if !w.speculative {
		return errNotSpeculative
	}
	if err := w.mayPlanSomething(ctx, who); err != nil {
		return err
	}
	if _, known, err := w.runner.Store.Cached(ctx, operations.SentPrefix+id, time.Now()); err != nil || !known {
		return fmt.Errorf("%w: no configuration %s is kept: send it (again)", api.ErrNotFound, id)
	}
	return nil
}

// speculated finds what was planned of a configuration.
func speculated(ctx context.Context, store *sqlite.Store, digest string) (*api.Plan, bool) {
	data, known, err := store.Cached(ctx, operations.SpeculatedPrefix+digest, time.Now())
	if err != nil || !known {
		return nil, false
	}
	out := &api.Plan{}
	if json.Unmarshal(data, out) != nil {
		return nil, false
	}
	for i := range out.Parts {
		if readPart(&out.Parts[i], operations.ModeOf(out.Kind)) != nil {
			return nil, false
		}
	}
	return out, true
}

// readPart reads what a part of a plan was made of from its documents, as far as they
// say it.
func readPart(part *api.PlanPart, mode plans.Mode) (err error) {
	if part.Plan, err = PlanFromDocument(part.Document, mode); err != nil {
		return err
	}
	if len(part.Decision) > 0 {
		part.Judged = &policy.Decision{}
		if err := json.Unmarshal(part.Decision, part.Judged); err != nil {
			return err
		}
	}
	if len(part.Cost) > 0 {
		part.Priced = &cost.Estimate{}
		return json.Unmarshal(part.Cost, part.Priced)
	}
	return nil
}
