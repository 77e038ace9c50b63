package runstest

import "testing"

func TestEventStore(t *testing.T) { CheckEventStore(t, NewStore()) }
