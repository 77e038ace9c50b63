package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// drift registers what is about the observer.
func (a *API) drift(h huma.API) {
	huma.Register(h, operation("get-drift", http.MethodGet, "/environments/{environment}/stacks/{stack}/drift", "Say what of a stack is not as it was left", tagStacks), a.getDrift)
	observe := operation("observe-stack", http.MethodPost, "/environments/{environment}/stacks/{stack}/observe", "Look now whether a stack is as it was left", tagStacks)
	observe.DefaultStatus = http.StatusAccepted
	huma.Register(h, observe, a.observeStack)
}

// DriftSummary is in a line what is known of a stack by looking at it.
type DriftSummary struct {
	Looked   *time.Time `json:"looked,omitempty" doc:"When the last look ended that saw everything."`
	Drifted  int        `json:"drifted" doc:"How many objects were not as they were left."`
	Flapping int        `json:"flapping" doc:"How many fields change again and again and are left alone."`
	Problem  string     `json:"problem,omitempty" doc:"Why the last look failed."`
}

// Drift is what is known of a stack by looking at it.
type Drift struct {
	Stack       string `json:"stack" doc:"Empty for a plain directory."`
	Environment string `json:"environment"`
	Observed    bool   `json:"observed" doc:"Whether the project says that it is looked at again and again."`
	Repairs     bool   `json:"repairs" doc:"Whether what drifts is put back."`
	DriftSummary
	Looking bool            `json:"looking" doc:"Whether somebody asked for a look that has not ended."`
	Next    *time.Time      `json:"next,omitempty" doc:"When the next look is due."`
	Failed  *time.Time      `json:"failed,omitempty" doc:"When the last look failed."`
	TookMS  int64           `json:"took_ms,omitempty" doc:"How long the last look took that saw everything, in milliseconds."`
	Objects int             `json:"objects" doc:"How many objects there were."`
	Reads   int64           `json:"reads" doc:"How often a provider was asked."`
	Changes []DriftChange   `json:"changes" nullable:"false" doc:"What is not as it was left."`
	Flaps   []FlappingField `json:"flaps" nullable:"false" doc:"What changes again and again and is left alone."`
	Repair  *DriftRepair    `json:"repair,omitempty" doc:"The last run that put things back, or is to."`
}

// DriftChange is what was found different about one object.
type DriftChange struct {
	Address    string           `json:"address"`
	Action     string           `json:"action" enum:"update,delete" doc:"Whether it is another than it was left, or gone."`
	Attributes []DriftAttribute `json:"attributes" nullable:"false"`
	Since      time.Time        `json:"since" doc:"When it was first found."`
	Times      int              `json:"times" doc:"How often something of it was found changed anew."`
	Flapping   bool             `json:"flapping" doc:"Whether something of it changes again and again: it is then not put back."`
}

// DriftAttribute is a value inside of an object that differs.
type DriftAttribute struct {
	Path      string          `json:"path"`
	Before    json.RawMessage `json:"before,omitempty" doc:"How it was left; none of sensitive ones."`
	After     json.RawMessage `json:"after,omitempty" doc:"How it was found; none of sensitive ones."`
	Sensitive bool            `json:"sensitive,omitempty"`
}

// FlappingField is something that changes again and again.
type FlappingField struct {
	Address string    `json:"address"`
	Path    string    `json:"path,omitempty" doc:"None where it is about whether there is the object."`
	Since   time.Time `json:"since" doc:"Since when it is left alone."`
	Times   int       `json:"times" doc:"How often it was found changed."`
	Because string    `json:"because" doc:"What that means and what to do."`
}

// DriftRepair is a run that puts things back.
type DriftRepair struct {
	Run     string    `json:"run" doc:"Name of the run."`
	At      time.Time `json:"at" doc:"When it was decided."`
	Targets []string  `json:"targets" nullable:"false" doc:"What it puts back."`
	Problem string    `json:"problem,omitempty" doc:"Why there is no such run."`
}

// ObserveRequest asks for a look.
type ObserveRequest struct {
	Reset bool `json:"reset,omitempty" doc:"Forget what changed again and again: it is put back again. Who asks for this must be allowed to apply."`
}

func (a *API) getDrift(ctx context.Context, in *StackPath) (*body[Drift], error) {
	d, err := a.Work.Drift(ctx, in.key())
	if err != nil {
		return nil, problem(err)
	}
	return answer(*d), nil
}

func (a *API) observeStack(ctx context.Context, in *struct {
	StackPath
	Body *ObserveRequest
},
) (*body[Drift], error) {
	if err := a.Work.Observe(ctx, IdentityOf(ctx), in.key(), given(in.Body).Reset); err != nil {
		return nil, problem(err)
	}
	return a.getDrift(ctx, &in.StackPath)
}
