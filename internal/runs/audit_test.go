package runs_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/runs"
	"github.com/tutti-dev/tutti/internal/states"
	"github.com/tutti-dev/tutti/internal/workflow"
)

// TestWhatPeopleSayIsInTheFeed: decisions, signals and cancels are events that
// say who, and nothing that may be secret.
func TestWhatPeopleSayIsInTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "ask" {
				approval {}
			}
			step "wait" {
				wait { event = "built" }
			}
		}`)
		hard := make(chan struct{})
		close(hard)
		o := b.options()
		o.Hard = hard
		o.Run.Actor = "ann"
		run, _, _ := b.runner.StartWorkflow(t.Context(), b.d, o)
		if run.Status != runs.Interrupted {
			t.Fatal(run.Status)
		}
		comment, _ := json.Marshal(workflow.Decision{Comment: "hunter2", Digest: "aaa", Roles: []string{"manager"}})
		for _, s := range []workflow.Signal{
			{Kind: workflow.SignalApprove, Name: "ask", By: "bob", Data: comment},
			{Kind: workflow.SignalReject, Name: "ask", By: "bob", Data: json.RawMessage(`"hunter2"`)},
			{Kind: workflow.SignalEvent, Name: "built", By: "service:ci", Data: json.RawMessage(`"hunter2"`)},
			{Kind: workflow.SignalSucceed, Name: "token-hunter2", By: "bob", Data: json.RawMessage(`"hunter2"`)},
			{Kind: workflow.SignalTake, Name: "token-hunter2", By: "user:root"},
			{Kind: workflow.SignalBeat, Name: "token-hunter2", By: "bob"},
		} {
			if diags := b.runner.Signal(t.Context(), run.ID, s); diags.HasErrors() {
				t.Fatal(words(diags))
			}
		}
		b.runner.Actor = "cem"
		if _, diags := b.runner.Cancel(t.Context(), run.ID); diags.HasErrors() {
			t.Fatal(words(diags))
		}
		var got []string
		var chain events.Chain
		if _, err := b.store.Feed(t.Context(), 0, func(l *events.Link) error {
			got = append(got, strings.TrimSpace(l.Type+" "+l.Actor+" "+string(l.Data)))
			return chain.Follow(l)
		}); err != nil {
			t.Error(err)
		}
		want := []string{
			got[0], // run.started, with the digest of the workflow
			`approval.needed user:ann {"step":"ask"}`,
			`approval.approved user:bob {"step":"ask","digest":"aaa","roles":["manager"]}`,
			`approval.rejected user:bob {"step":"ask"}`,
			`signal.received service:ci {"kind":"event","name":"built"}`,
			`signal.received user:bob {"kind":"succeed"}`,
			`signal.received  {"kind":"take"}`,
			`run.cancel_requested user:cem {"abandoned":true}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || !strings.HasPrefix(got[0], "run.started user:ann ") {
			t.Errorf("the feed is\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestWorkflowsCannotPretend: a workflow emits no events that Tutti writes.
func TestWorkflowsCannotPretend(t *testing.T) {
	for _, kind := range []string{"approval.approved", "run.succeeded", "Approval.approved", " approval.approved", "state", "token.created"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, `workflow "w" {
				step "emit" {
					emit { type = "`+kind+`" }
				}
			}`)
			run, m, _ := b.runner.StartWorkflow(t.Context(), b.d, b.options())
			if run.Status != runs.Failed || !strings.HasPrefix(m.Result().Error.Cause, `An event of a workflow must not have the type "`+kind+`"`) {
				t.Errorf("%s: %v", run.Status, m.Result().Error)
			}
		})
	}
}

// TestRunsHaveNoMoreRights: a step that whom the run is by may not do fails.
func TestRunsHaveNoMoreRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `workflow "w" {
			step "child" {
				workflow { run = workflow.other }
			}
		}
		workflow "other" {
			step "a" {
				wait { duration = "1s" }
			}
		}`)
		o := b.options()
		o.Run.Actor = "ann"
		o.Authorize = func(by runs.Run, verb access.Verb, _, resource string) error {
			if by.Actor == "ann" && verb == access.Run && resource == "other" {
				return errors.New("no role allows it")
			}
			return nil
		}
		run, m, _ := b.runner.StartWorkflow(t.Context(), b.d, o)
		if err := m.Result().Error; run.Status != runs.Failed || err == nil || err.Error() != "Tutti.Forbidden: no role allows it" {
			t.Errorf("%s: %v", run.Status, err)
		}
	})
}

// TestSourcesOfEvents: the source of an event is a URI reference without an empty
// segment, from which its state is known again, also where a former version wrote it.
func TestSourcesOfEvents(t *testing.T) {
	for source, key := range map[string]states.Key{
		"/state/shop/prod":                     {Stack: "shop", Environment: "prod"},
		"/state/-/prod":                        {Environment: "prod"},
		"/state/file:..%2Fa%20b.tfstate/prod":  {Stack: "file:../a b.tfstate", Environment: "prod"},
		"/state/file:terraform.tfstate/my%20e": {Stack: "file:terraform.tfstate", Environment: "my e"},
	} {
		e := runs.AuditEvent(key, "state.move", "a", "ann", nil)
		if e.Source != source {
			t.Errorf("%+v: source %q, want %q", key, e.Source, source)
		}
		if got, ok := runs.StateOf(&e); !ok || got != key {
			t.Errorf("%q is read as %+v, %v", e.Source, got, ok)
		}
	}
	for source, want := range map[string]states.Key{
		"/state//prod":               {Environment: "prod"},
		"/state/file:../a b.tf/prod": {Stack: "file:../a b.tf", Environment: "prod"},
	} {
		if got, ok := runs.StateOf(&events.Event{Source: source}); !ok || got != want {
			t.Errorf("%q of a former version is read as %+v, %v", source, got, ok)
		}
	}
	about := runs.AuditEvent(states.Key{}, "token.created", "a", "ann", nil)
	for _, source := range []string{about.Source, "/state//", "/state/prod", "/hooks/x", ""} {
		if got, ok := runs.StateOf(&events.Event{Source: source}); ok {
			t.Errorf("%q is read as %+v", source, got)
		}
	}
	if about.Source != "/project" {
		t.Errorf("what is about no state has the source %q", about.Source)
	}
}
