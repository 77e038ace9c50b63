package runs

import (
	"context"
	"strings"

	"github.com/tutti-dev/tutti/internal/telemetry"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// beginRun tells whoever listens that this process drives a run.
func beginRun(ctx context.Context, run Run) (context.Context, telemetry.Span) {
	return telemetry.BeginRun(ctx, run.ID, run.Kind, run.Key.Stack, run.Key.Environment)
}

func endRun(span telemetry.Span, run Run) {
	span.End(string(run.Status), run.Status != Succeeded)
}

// outcomeOf is a word for the end of a step: succeeded, failed, lost.
func outcomeOf(kind workflow.Kind) string {
	return strings.TrimPrefix(string(kind), "step_")
}
