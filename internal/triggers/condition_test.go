package triggers

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/zclconf/go-cty/cty"
)

// TestCondition: what conditions see, and what is told about those that are wrong.
func TestCondition(t *testing.T) {
	p := &projects.Project{Dir: t.TempDir(), Environments: map[string]*projects.Environment{"prod": {Name: "prod", Labels: map[string]string{"tier": "gold"}}}}
	p.Variables = map[string]*configs.Variable{
		"team":  {Name: "team", Type: cty.String, ConstraintType: cty.String},
		"token": {Name: "token", Type: cty.String, ConstraintType: cty.String, Sensitive: true},
	}
	event, err := EventValue([]byte(`{"id":"1","type":"git.push","time":"2026-03-01T12:00:00Z","data":{"size":3,"labels":["a","b"],"user":{"name":"ann"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	o := Occasion{Event: event, Environment: "prod", Variables: map[string]cty.Value{"team": cty.StringVal("ann"), "token": cty.StringVal("x")}}
	for _, c := range []struct{ expression, want string }{
		{`event.data.size > 2 && event.data.user.name == var.team`, "true"},
		{`contains(event.data.labels, "c")`, "false"},
		{`environment.labels.tier == "gold" && startswith(event.type, "git.")`, "true"},
		{`"false"`, "false"},
		{`try(event.data.missing, 0) > 0`, "false"},
		{`event.data.missing > 0`, "Unsupported attribute"},
		{`event.data.size`, "A condition must be true or false"},
		{`null`, "must be true or false"},
		{`[]`, "must be true or false"},
		{`var.token == "x"`, "must not depend on a sensitive value"},
		{`var.none`, "declares no variable"},
		{`step.x`, `nothing called "step"`},
		{`timestamp() == event.time`, "follows from the event alone"},
	} {
		expr, found := hclsyntax.ParseExpression([]byte(c.expression), "p.tutti.hcl", hcl.InitialPos)
		if found.HasErrors() {
			t.Fatal(found)
		}
		got := ""
		condition, diags := NewCondition(p, expr)
		if !diags.HasErrors() {
			var holds bool
			if holds, diags = condition.Holds(o); !diags.HasErrors() {
				got = map[bool]string{true: "true", false: "false"}[holds]
			}
		}
		if diags.HasErrors() {
			got = diags[0].Error()
			if diags[0].Subject == nil {
				t.Errorf("%s: no place", c.expression)
			}
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s; want %s", c.expression, got, c.want)
		}
	}
	for expression, want := range map[string]string{
		`event.data.user.name`:                       `"ann"`,
		`[event.type, event.data.size]`:              `["git.push",3]`,
		`{ t = var.team, e = environment.name }`:     `{"e":"prod","t":"ann"}`,
		`uuid()`:                                     "A key follows from the event alone",
		`var.token`:                                  "its key must not depend on a sensitive value",
		`event.data.none`:                            "Unsupported attribute",
		`try(event.data.none, event.data.labels[0])`: `"a"`,
	} {
		expr, found := hclsyntax.ParseExpression([]byte(expression), "p.tutti.hcl", hcl.InitialPos)
		if found.HasErrors() {
			t.Fatal(found)
		}
		got := ""
		key, diags := NewKey(p, expr)
		if !diags.HasErrors() {
			got, diags = key.Of(o)
		}
		if diags.HasErrors() {
			got = diags[0].Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", expression, got, want)
		}
	}
	for _, wrong := range []string{`[]`, `{`, `1`, `null`} {
		if _, err := EventValue([]byte(wrong)); err == nil {
			t.Errorf("%s is an event", wrong)
		}
	}
}
