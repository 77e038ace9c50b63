package schedules

import "fmt"

// Overlap says what happens at an instant while the schedule's run of an earlier
// one has not ended.
type Overlap string

// The policies for overlapping runs.
const (
	// OverlapSkip starts nothing: the instant is recorded as skipped.
	OverlapSkip Overlap = "skip"
	// OverlapQueue waits: the instant's run starts when those before it have
	// ended, in order.
	OverlapQueue Overlap = "queue"
	// OverlapReplace cancels the run that has not ended, and starts the new one
	// when that is done.
	OverlapReplace Overlap = "replace"
)

// ParseOverlap reads a policy.
func ParseOverlap(text string) (Overlap, error) {
	switch o := Overlap(text); o {
	case OverlapSkip, OverlapQueue, OverlapReplace:
		return o, nil
	}
	return "", fmt.Errorf("the policy %q for overlapping runs is not known; allowed are skip, queue and replace", text)
}
