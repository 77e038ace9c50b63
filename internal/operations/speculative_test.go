package operations

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/events"
	"github.com/tutti-dev/tutti/internal/gate"
	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/project"
	"github.com/tutti-dev/tutti/internal/runs"
)

// told is a store that keeps what it is told of.
type told []events.Event

func (*told) Cached(context.Context, string, time.Time) (json.RawMessage, bool, error) {
	return nil, false, nil
}

func (*told) Cache(context.Context, string, json.RawMessage, bool, time.Time) error { return nil }

func (s *told) Record(_ context.Context, list ...events.Event) error {
	*s = append(*s, list...)
	return nil
}

// seen opens a project in a directory of its own, with a plan that changes nothing.
func seen(t *testing.T, rules string, feed *told) (*Operation, *gate.Plan) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"p.tutti.hcl": "policy \"calm\" {\n  source      = \"./rules\"\n  enforcement = \"soft-mandatory\"\n}\n" +
			"role \"root\" { allow = [\"*:*\"] }\ngrant {\n  role = role.root\n  to   = [\"user:root\"]\n}\n",
		"rules/calm.rego": "package calm\n\n" + rules,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &project.Session{Terminal: project.Muted{}, Refusals: project.NewRefusals(feed)}
	return New(&project.Directory{Session: s, Environment: "default"}, Silent{}), &gate.Plan{Plan: &plans.Plan{}, Encoded: []byte("a plan")}
}

// TestPartOverriddenByNobody: who looks at a plan of a run whose actor may not override
// what it overrides has done nothing, and neither has the actor: the feed is not told.
func TestPartOverriddenByNobody(t *testing.T) {
	var feed told
	o, l := seen(t, "deny contains \"no\"\n", &feed)
	o.As("user:ann", nil, []runs.Override{{Rule: "policy.calm", Reason: "ticket 12"}})
	part, err := o.Part(t.Context(), l, gate.Request{Kind: "apply"})
	if err != nil {
		t.Fatal(err)
	}
	if len(feed) > 0 {
		t.Errorf("looking tells of %+v", feed)
	}
	if part.Decision != nil || !strings.Contains(part.Problem, "Not allowed: user:ann may not do this (override environment \"default\")") {
		t.Errorf("decided: %s, problem %q", part.Decision, part.Problem)
	}
	if _, diags := o.HoldToPolicy(t.Context(), l, gate.Request{Kind: "apply"}); !diags.HasErrors() || len(feed) != 1 || feed[0].Type != "access.denied" {
		t.Errorf("doing it tells of %+v: %v", feed, diags.Err())
	}
}

// TestPartNotJudged: a plan that policies cannot be asked about is not one that no policy
// is for.
func TestPartNotJudged(t *testing.T) {
	for rules, want := range map[string]string{
		"deny contains \"no\"\n":              "",
		"deny contains nothing.like.that\n":   "cannot be compiled",
		"deny contains x if { x := 1 / 0 }\n": "",
	} {
		var feed told
		o, l := seen(t, rules, &feed)
		part, err := o.Part(t.Context(), l, gate.Request{Kind: "apply"})
		if err != nil {
			t.Fatal(err)
		}
		if (part.Decision == nil) == (part.Problem == "") || (want == "") != (part.Problem == "") || !strings.Contains(part.Problem, want) {
			t.Errorf("%s: decision %s, problem %q", rules, part.Decision, part.Problem)
		}
	}
}
