package runstest

import "testing"

func TestScheduleStore(t *testing.T) { CheckScheduleStore(t, &ScheduleStore{}) }
