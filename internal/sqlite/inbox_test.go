package sqlite

import (
	"testing"

	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

func TestEventStore(t *testing.T) {
	t.Parallel()
	runstest.CheckEventStore(t, open(t, t.TempDir()))
}
