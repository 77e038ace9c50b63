package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/tutti-dev/tutti/internal/events"
)

const tagAudit = "Audit"

// audit registers what is about the chain of events.
func (a *API) audit(h huma.API) {
	huma.Register(h, operation("verify-audit", http.MethodGet, "/audit/verify", "Verify that no event was altered, removed or put in", tagAudit), a.verifyAudit)
	export := operation("export-audit", http.MethodGet, "/audit/export", "Read all events as CloudEvents, one JSON document a line", tagAudit)
	export.Responses = map[string]*huma.Response{"200": {
		Description: "CloudEvents 1.0 with their places in the chain, oldest first.",
		Content:     map[string]*huma.MediaType{"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	huma.Register(h, export, a.exportAudit)
}

// Verification is what came of following the chain of events.
type Verification struct {
	Valid   bool   `json:"valid" doc:"Whether the chain holds."`
	Events  int64  `json:"events" doc:"How many events were verified."`
	Head    string `json:"head" doc:"The hash of the last of them. Kept elsewhere and given later, it shows whether the whole feed was written anew."`
	Event   *int64 `json:"event,omitempty" doc:"The first event that is not as it was written."`
	Problem string `json:"problem,omitempty" doc:"What is wrong."`
}

func (a *API) verifyAudit(ctx context.Context, in *struct {
	Head string `query:"head" doc:"A hash that was noted earlier, which must still be in the chain."`
},
) (*body[Verification], error) {
	v, err := events.Verify(func(each func(*events.Link) error) (int64, error) { return a.Store.Feed(ctx, 0, each) }, in.Head)
	switch {
	case errors.Is(err, events.ErrHash):
		return nil, huma.Error422UnprocessableEntity(err.Error())
	case err != nil:
		return nil, problem(err)
	}
	out := Verification{Valid: v.Problem == "", Events: v.Events, Head: v.Head.String(), Problem: v.Problem}
	if v.Broken > 0 {
		out.Event = &v.Broken
	}
	return answer(out), nil
}

func (a *API) exportAudit(ctx context.Context, in *struct {
	After int64 `query:"after" minimum:"0" doc:"Only events behind this one."`
},
) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "application/x-ndjson")
		h.SetHeader("Content-Disposition", `attachment; filename="events.ndjson"`)
		out := json.NewEncoder(h.BodyWriter())
		// An error cuts the answer off: the client sees that it is not whole.
		_, err := a.Store.Feed(ctx, in.After, func(l *events.Link) error { return out.Encode(events.DocumentOf(l)) })
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
