package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/runs/runstest"
	"github.com/tutti-dev/tutti/internal/server/api"
	"github.com/tutti-dev/tutti/internal/states"
)

// sparing is a store that does not give all its runs at once.
type sparing struct{ *runstest.Store }

func (s sparing) Runs(ctx context.Context, q runs.RunQuery) ([]runs.Run, error) {
	if q.Limit == 0 || q.Limit > 1000 {
		return nil, errors.New("that many runs do not fit into memory")
	}
	return s.Store.Runs(ctx, q)
}

// oneStack lets everybody look at the stack "shop" only.
type oneStack struct{ seeing }

func (oneStack) Sight(context.Context, access.Identity) (api.Sight, error) {
	shop := func(_, resource string) bool { return resource == "shop" }
	return api.Sight{Place: shop, Somewhere: func(resource string) bool { return shop("", resource) }}, nil
}

func (oneStack) Resources(_ context.Context, run runs.Run) ([]string, error) {
	return []string{run.Key.Stack}, nil
}

// TestCountsOfWhoReadsSome: whoever may read some runs only is told how many of them
// failed, however many there are.
func TestCountsOfWhoReadsSome(t *testing.T) {
	store := sparing{runstest.NewStore()}
	for i := range 1203 {
		run := runs.Run{ID: fmt.Sprintf("r%04d", i), Kind: "apply", Status: runs.Failed, Created: time.Unix(int64(i/7), 0), Ended: time.Unix(5000, 0)}
		if i%3 == 0 {
			run.Key = states.Key{Stack: "shop"}
		}
		if err := store.Enqueue(t.Context(), runs.NewRun{Run: run}); err != nil {
			t.Fatal(err)
		}
	}
	url := served(t, &api.API{Store: store, Events: store, Work: oneStack{}})
	resp, body := ask(t, http.MethodGet, url+"/api/v1/run-counts?since=0001-01-01T00:00:01Z", "")
	var counts api.RunCounts
	if err := json.Unmarshal(body, &counts); err != nil || resp.StatusCode != http.StatusOK || counts.Failed != 401 {
		t.Errorf("%d: %s", resp.StatusCode, body)
	}
}
