package runs

import (
	"testing"
	"time"
)

// TestTimersOfEndedStepsAreForgotten keeps the memory of a run from growing with
// what has been.
func TestTimersOfEndedStepsAreForgotten(t *testing.T) {
	x := &execution{tasks: map[int]*Task{}, waits: map[int]bool{}}
	for step := range 100_000 {
		delete(x.tasks, step-10)
		x.tasks[step] = &Task{step: step}
		x.addTimer(timer{until: time.Unix(int64(step), 0), step: step, task: x.tasks[step]})
	}
	if len(x.timers) > 2000 {
		t.Errorf("%d timers are kept for %d steps", len(x.timers), len(x.tasks))
	}
	for i := 1; i < len(x.timers); i++ {
		if x.timers.Less(i, (i-1)/2) {
			t.Fatal("the timers are out of order")
		}
	}
}
