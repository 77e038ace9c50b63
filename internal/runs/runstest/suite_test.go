package runstest_test

import (
	"testing"

	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
)

func TestStacks(t *testing.T) {
	runstest.TestStacks(t, func(*testing.T) runs.Store { return runstest.NewStore() })
}
