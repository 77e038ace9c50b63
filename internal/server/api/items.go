package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/flow"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// items registers what is about the items of steps with for_each.
func (a *API) items(h huma.API) {
	huma.Register(h, operation("list-items", http.MethodGet, "/runs/{run}/steps/{step}/items", "List the items of a step with for_each, in their order", tagRuns), a.listItems)
}

// Item is an item of a step with for_each.
type Item struct {
	Number   int        `json:"number" doc:"Its place among all items of the step, from 0."`
	Name     string     `json:"name" doc:"The step with the key of the item, as its logs and what it asks name it." example:"ship[\"eu\"]"`
	Status   string     `json:"status" enum:"waiting,running,succeeded,failed,caught,skipped,cancelled"`
	Attempts int        `json:"attempts,omitempty" doc:"How often it was tried."`
	Waits    string     `json:"waits,omitempty" doc:"What it waits for."`
	Error    *StepError `json:"error,omitempty"`
	Undone   bool       `json:"undone,omitempty" doc:"Whether what it did was undone."`
	Begun    *time.Time `json:"begun,omitempty"`
	Ended    *time.Time `json:"ended,omitempty"`
	Run      string     `json:"run,omitempty" doc:"The run of its own that the item is."`
}

// ItemList is a part of the items of a step.
type ItemList struct {
	Items  []Item         `json:"items" nullable:"false"`
	Next   string         `json:"next,omitempty" doc:"The cursor of the next page; none at the end."`
	Total  int            `json:"total" doc:"How many there are that stand as was asked for."`
	Counts map[string]int `json:"counts" doc:"How many there are, by status."`
}

// tried is how an item was tried.
type tried struct {
	begun, ended *time.Time
	attempts     int
}

// noteAttempt keeps what is told of the items of one step, before the machine takes
// an entry.
func (f *follower) noteAttempt(e workflow.Entry) {
	key, attempt, wanted := f.machine.Attempt(e.Step)
	if key == "" {
		return
	}
	t := f.tried[key]
	if t == nil {
		// Steps that may be repeated leave no entry when they begin.
		t = &tried{begun: &wanted}
		f.tried[key] = t
	}
	t.attempts = attempt
	switch e.Kind {
	case workflow.StepStarted:
		if attempt == 1 {
			t.begun = &e.Time
		}
	case workflow.StepWithdrawn:
	default:
		t.ended = &e.Time
	}
}

func (a *API) listItems(ctx context.Context, in *struct {
	RunPath
	Step   string `path:"step" doc:"Name of the step."`
	Status string `query:"status" enum:"waiting,running,succeeded,failed,caught,skipped,cancelled" doc:"Only items that stand so."`
	Cursor string `query:"cursor" pattern:"^[0-9]*$" doc:"What the page before gave as next, or how many to leave out."`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
},
) (*body[ItemList], error) {
	skip, err := 0, error(nil)
	if in.Cursor != "" {
		if skip, err = strconv.Atoi(in.Cursor); err != nil {
			return nil, huma.Error422UnprocessableEntity("the cursor is none")
		}
	}
	run, err := a.Store.Run(ctx, in.Run)
	if err != nil {
		return nil, problem(err)
	}
	f, err := a.newFollower(ctx, run)
	if err != nil {
		return nil, problem(err)
	}
	var list []flow.ItemState
	known := false
	if f.machine != nil {
		f.tried = map[string]*tried{}
		if err := f.read(ctx); err != nil {
			return nil, problem(err)
		}
		list, known = f.machine.Items(in.Step)
	}
	if !known {
		return nil, problem(fmt.Errorf("%w: the run has no step %q", ErrNotFound, in.Step))
	}
	out := ItemList{Items: []Item{}, Counts: map[string]int{}}
	for i := range list {
		it := &list[i]
		out.Counts[string(it.Status)]++
		if in.Status != "" && in.Status != string(it.Status) {
			continue
		}
		if out.Total++; out.Total > skip && len(out.Items) < in.Limit {
			out.Items = append(out.Items, itemOf(i, it, f.tried[it.Key]))
		}
	}
	if reached := skip + len(out.Items); reached < out.Total && len(out.Items) > 0 {
		out.Next = strconv.Itoa(reached)
	}
	return answer(out), nil
}

func itemOf(number int, it *flow.ItemState, t *tried) Item {
	out := Item{Number: number, Name: it.Key, Status: string(it.Status), Attempts: it.Attempt, Waits: it.Waits, Undone: it.Undone, Run: it.Run}
	if it.Error != nil {
		out.Error = &StepError{it.Error.Name, it.Error.Cause}
	}
	if t != nil {
		out.Attempts, out.Begun = max(out.Attempts, t.attempts), t.begun
		if it.Status != flow.Running {
			out.Ended = t.ended
		}
	}
	return out
}
