package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
)

// started makes a run that exists in a world's store.
func (w *world) started(run runs.Run) runs.Run {
	w.t.Helper()
	if run.Created.IsZero() {
		run.Created = time.Unix(1, 0)
	}
	if run.Status == "" {
		run.Status = runs.Succeeded
	}
	lease, err := w.store.Start(w.t.Context(), run, nil, runs.Claim{}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	lease.Release()
	return run
}

func TestCDEvents(t *testing.T) {
	w := newWorld(t)
	w.n.PublicURL = "https://tutti.example.com/"
	w.started(runs.Run{ID: "r1", Kind: "apply", Key: states.Key{Stack: "shop", Environment: "prod"}})
	at := time.Unix(1700000000, 0).UTC()
	for _, c := range []struct {
		event events.Event
		want  string
	}{
		{
			events.Event{ID: "e1", Source: "/state/shop/prod", Type: "run.failed", Subject: "r1", Time: at, Data: json.RawMessage(`{"problem":"no quota"}`)},
			`{"specversion":"1.0","id":"e1","source":"/state/shop/prod","type":"dev.cdevents.pipelinerun.finished.0.2.0","subject":"r1","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":{"context":{"version":"0.4.1","id":"e1","source":"/state/shop/prod","type":"dev.cdevents.pipelinerun.finished.0.2.0","timestamp":"2023-11-14T22:13:20Z"},"subject":{"id":"r1","source":"/state/shop/prod","type":"pipelineRun","content":{"pipelineName":"apply shop","url":"https://tutti.example.com/runs/r1","outcome":"failure","errors":"no quota"}},"customData":{"problem":"no quota"},"customDataContentType":"application/json"}}`,
		},
		{
			events.Event{ID: "e2", Source: "/s", Type: "run.cancelled", Subject: "gone", Time: at},
			`{"specversion":"1.0","id":"e2","source":"/s","type":"dev.cdevents.pipelinerun.finished.0.2.0","subject":"gone","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":{"context":{"version":"0.4.1","id":"e2","source":"/s","type":"dev.cdevents.pipelinerun.finished.0.2.0","timestamp":"2023-11-14T22:13:20Z"},"subject":{"id":"gone","source":"/s","type":"pipelineRun","content":{"pipelineName":"gone","url":"https://tutti.example.com/runs/gone","outcome":"error","errors":"it was cancelled"}}}}`,
		},
		{
			events.Event{ID: "e3", Source: "/s", Type: "environment.deleted", Subject: "old", Time: at},
			`{"specversion":"1.0","id":"e3","source":"/s","type":"dev.cdevents.environment.deleted.0.2.0","subject":"old","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","data":{"context":{"version":"0.4.1","id":"e3","source":"/s","type":"dev.cdevents.environment.deleted.0.2.0","timestamp":"2023-11-14T22:13:20Z"},"subject":{"id":"old","source":"/s","type":"environment","content":{"name":"old"}}}}`,
		},
	} {
		got, err := json.Marshal(w.n.cdEvent(t.Context(), &c.event))
		if err != nil || string(got) != c.want {
			t.Errorf("%s\n%v\nwant\n%s", got, err, c.want)
		}
	}
}

func TestSlack(t *testing.T) {
	w := newWorld(t)
	w.n.PublicURL = "https://tutti.example.com"
	w.started(runs.Run{ID: "r1", Kind: runs.WorkflowKind, Blob: "definition/x", Summary: "workflow <!channel> @here [x](http://evil)", Key: states.Key{Environment: "prod"}})
	m := w.n.slackMessage(t.Context(), &events.Event{Type: "run.failed", Subject: "r1", Actor: "user:ann", Time: time.Unix(5, 0), Data: json.RawMessage(`{"problem":"x` + "```" + ` <https://evil|click> @channel ` + strings.Repeat("ü", 1000) + `"}`)})
	if want := "Run r1 (workflow &lt;!channel&gt; @\u200bhere (x)(http:/\u200b/evil) in prod) has failed"; m.Text != want {
		t.Errorf("%s\nwant\n%s", m.Text, want)
	}
	a := m.Attachments[0]
	if a.Title != m.Text || a.TitleLink != "https://tutti.example.com/runs/r1" || a.Color != dangerColor || a.Footer != "user:ann" || a.Time != 5 {
		t.Errorf("%+v", a)
	}
	if !strings.HasPrefix(a.Text, "```\nx''' &lt;https://evil|click&gt; @\u200bchannel üü") || !strings.HasSuffix(a.Text, "ü…\n```") || len(a.Text) > 1100 {
		t.Errorf("%s", a.Text)
	}
	m = w.n.slackMessage(t.Context(), &events.Event{Type: "drift.found", Subject: "shop"})
	if m.Text != "drift.found shop" || m.Attachments[0].Color != warningColor || m.Attachments[0].TitleLink != "" || m.Attachments[0].Text != "" {
		t.Errorf("%+v", m)
	}
}
