package runstest

import (
	"testing"

	"github.com/tutti-dev/tutti/internal/runs"
)

func TestMemoryStore(t *testing.T) {
	TestStore(t, func(testing.TB) runs.Store { return NewStore() })
}
