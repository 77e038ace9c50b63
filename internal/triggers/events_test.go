package triggers

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/events/patterns"
	"github.com/tutti-dev/tutti/internal/events/windows"
	"github.com/tutti-dev/tutti/internal/triggers/webhooks"
)

// TestFromRequestToFiring: a signed request becomes an event, which fits a pattern and
// a condition, and has a key; the third of a service within ten minutes fires.
func TestFromRequestToFiring(t *testing.T) {
	parse := func(text string) hcl.Expression {
		expr, found := hclsyntax.ParseExpression([]byte(text), "p.tutti.hcl", hcl.InitialPos)
		if found.HasErrors() {
			t.Fatal(found)
		}
		return expr
	}
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of ours"))
	endpoint, err := webhooks.New(webhooks.Config{Kind: webhooks.Standard, Source: "/hooks/monitor", Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	pattern, diags := patterns.Read(parse(`{ type = [{ prefix = "check." }], data = { status = [{ anything-but = "ok" }] } }`), nil)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	matcher := patterns.Compile([]*patterns.Pattern{pattern})
	p := &projects.Project{Dir: t.TempDir()}
	when, diags := NewCondition(p, parse(`event.data.seconds > 1`))
	key, found := NewKey(p, parse(`event.data.service`))
	if diags = append(diags, found...); diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	window, err := windows.New(windows.Rule{Kind: windows.Count, Count: 3, Within: 10 * time.Minute, Dedup: time.Hour}, nil)
	if err != nil {
		t.Fatal(err)
	}

	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	send := func(id, body string) string {
		now = now.Add(time.Minute)
		header, err := webhooks.Sign([]string{secret}, id, now, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		header.Set("Content-Type", "application/json")
		d, rejection := endpoint.Receive(webhooks.Request{Method: http.MethodPost, Header: header, Body: []byte(body)}, now)
		if rejection != nil {
			t.Fatal(rejection)
		}
		event, err := d.Events[0].JSON()
		if err != nil {
			t.Fatal(err)
		}
		fits, err := matcher.Match(event)
		if err != nil {
			t.Fatal(err)
		}
		if len(fits) == 0 {
			return "does not fit"
		}
		value, err := EventValue(event)
		if err != nil {
			t.Fatal(err)
		}
		o := Occasion{Event: value}
		holds, diags := when.Holds(o)
		name, found := key.Of(o)
		if diags = append(diags, found...); diags.HasErrors() {
			return diags[0].Summary
		}
		if !holds {
			return "does not hold"
		}
		r := window.Take(windows.Event{ID: d.Events[0].Source + " " + d.Events[0].ID, Key: name}, now)
		switch {
		case len(r.Refusals) > 0:
			return string(r.Refusals[0])
		case len(r.Firings) > 0:
			return fmt.Sprint("fires for ", r.Firings[0].Key, " ", len(r.Firings[0].Events))
		}
		return "waits"
	}
	for i, step := range []struct{ id, body, want string }{
		{"1", `{"type":"check.done","status":"slow","service":"shop","seconds":2}`, "waits"},
		{"2", `{"type":"check.done","status":"ok","service":"shop","seconds":2}`, "does not fit"},
		{"3", `{"type":"check.done","status":"slow","service":"shop","seconds":0.5}`, "does not hold"},
		{"4", `{"type":"check.done","status":"slow","service":"till","seconds":2}`, "waits"},
		{"5", `{"type":"check.done","status":"down","service":"shop","seconds":30}`, "waits"},
		{"5", `{"type":"check.done","status":"down","service":"shop","seconds":30}`, "duplicate"},
		{"6", `{"type":"check.done","status":"down"}`, "Unsupported attribute"},
		{"7", `{"type":"check.done","status":"down","service":"shop","seconds":30}`, `fires for "shop" 3`},
		{"8", `{"type":"check.done","status":"down","service":"shop","seconds":30}`, "waits"},
	} {
		if got := send(step.id, step.body); got != step.want {
			t.Errorf("%d: %s, want %s", i, got, step.want)
		}
	}
}
