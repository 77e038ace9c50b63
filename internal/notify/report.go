package notify

import (
	"context"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/cost"
	"github.com/tutti-dev/tutti/internal/runs"
)

// PlannedStack is what a run planned for one stack, and what was said about it.
type PlannedStack struct {
	Stack    string // empty for a plain directory
	Plan     *plans.Plan
	Decision *policy.Decision // nil where there are no policies
	Cost     *cost.Estimate   // nil where nothing has a price
	Problem  string           // why it could not be judged; empty where it could
}

// report is what a host of code is told about a run.
type report struct {
	run    runs.Run
	source runs.Source
	// status is how the run stands by the event that is told: it may have gone on
	// since.
	status runs.Status
	url    string // where people look at the run
	stacks []PlannedStack
	lost   bool // what it planned cannot be read
	waits  bool // for somebody to decide about what it planned
}

// standing is how a run stands after an event; those of other types say nothing
// about that.
var standing = map[string]runs.Status{
	"run.started": runs.Running, "run.resumed": runs.Running, approvalNeeded: runs.Running,
	"run.succeeded": runs.Succeeded, "run.failed": runs.Failed, "run.cancelled": runs.Cancelled,
}

// approvalNeeded is the event that a run waits for people to decide.
const approvalNeeded = "approval.needed"

// reportOf begins the report of an event; false where it is not about a run of code at
// this host.
func (b *block) reportOf(ctx context.Context, e *events.Event) (*report, bool, error) {
	status, ok := standing[e.Type]
	if !ok {
		return nil, false, nil
	}
	run, ok, err := b.runOf(ctx, e)
	if err != nil || !ok || run.Source == nil || !validCommit(run.Source.Commit) {
		return nil, false, err
	}
	r := &report{run: run, source: *run.Source, status: status, url: b.runURL(run.ID), waits: e.Type == approvalNeeded}
	if b.Repository == "" && r.source.Host != string(b.Kind) {
		return nil, false, nil // a claim, which is not enough to write anywhere
	}
	if b.Repository != "" {
		if r.source.Repository != "" && r.source.Repository != b.Repository {
			return nil, false, nil // another one
		}
		r.source.Repository = b.Repository
	}
	return r, projects.ValidRepository(r.source.Repository), nil
}

// validCommit reports whether text can be the hash of a commit, and not a part of an
// address.
func validCommit(text string) bool {
	return len(text) >= 7 && len(text) <= 64 && strings.Trim(text, "0123456789abcdef") == ""
}
