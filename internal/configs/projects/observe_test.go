package projects

import (
	"strings"
	"testing"
	"time"

	"github.com/tutti-dev/tutti/internal/addrs"
)

const observed = `
environment "prod" {}
environment "lab" {}
stack "network" { source = "./network" }
stack "shop" { source = "./shop" }
`

func TestObserveIsRead(t *testing.T) {
	p, diags := Parse(".", map[string][]byte{"o.tutti.hcl": []byte(observed + `
observe {
  every        = "15m"
  environments = ["prod"]
  rate         = { "hashicorp/aws" = "600/h", "registry.opentofu.org/hashicorp/google" = "5/s" }
}
observe {
  every        = "1h"
  stacks       = [stack.shop]
  environments = ["lab"]
  repair       = true
  approve      = true
  flapping     = 5
  within       = "7d"
  as           = "service:janitor"
}`)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	first, second := p.Observes[0], p.Observes[1]
	if first.Every != 15*time.Minute || first.Repair || first.Flapping != 3 || first.Within != 24*time.Hour || first.As != "service:observer" {
		t.Errorf("the first block is %+v", first)
	}
	if r := first.Rates[addrs.DefaultProvider("aws")]; r != (Rate{600, time.Hour}) || r.String() != "600/1h" {
		t.Errorf("the rate is %v", r)
	}
	if r := first.Rates[addrs.DefaultProvider("google")]; r.Count != 5 || r.String() != "5/1s" {
		t.Errorf("the rate of a provider at the other registry is %v", r)
	}
	if !second.Repair || !second.Approve || second.Flapping != 5 || second.Within != 7*24*time.Hour || second.As != "service:janitor" {
		t.Errorf("the second block is %+v", second)
	}
	for _, row := range []struct {
		stack, environment string
		want               *Observe
	}{{"network", "prod", first}, {"shop", "prod", first}, {"shop", "lab", second}, {"network", "lab", nil}} {
		if got := p.Observed(row.stack, row.environment); got != row.want {
			t.Errorf("%s in %s is observed as %+v", row.stack, row.environment, got)
		}
	}
}

func TestBadObserveIsExplained(t *testing.T) {
	for _, row := range []struct{ inside, want string }{
		{``, `"every" is required`},
		{`every = "soon"`, `"soon" is not a length of time`},
		{`every = "0s"`, "once a second at most"},
		{`every = "1ms"`, "once a second at most"},
		{"every = \"1m\"\nstacks = []", "Name stacks, or leave"},
		{"every = \"1m\"\nstacks = [stack.none]", `There is no stack "none"`},
		{"every = \"1m\"\nenvironments = [\"moon\"]", `environment "moon", which this project does not declare`},
		{"every = \"1m\"\nrate = { \"a/b/c/d\" = \"1/s\" }", "one to three parts"},
		{"every = \"1m\"\nrate = { aws = \"fast\" }", `"fast" is not a rate`},
		{"every = \"1m\"\nrate = { aws = \"0/s\" }", `"0/s" is not a rate`},
		{"every = \"1m\"\napprove = true", "give repair = true"},
		{"every = \"1m\"\nflapping = 1", "must be 2 or more"},
		{"every = \"1m\"\nas = \"user:ann\"", "never as a person"},
		{"every = \"1m\"\n}\nobserve {\n every = \"2m\"\n environments = [\"lab\"]", `is about the same stacks in environment "lab" already`},
		{"every = \"1m\"\nenvironments = [\"lab\"]\nrate = { aws = \"1/s\" }\n}\nobserve {\n every = \"2m\"\n environments = [\"prod\"]\n rate = { aws = \"2/s\" }", "rate for the provider hashicorp/aws already"},
	} {
		_, diags := Parse(".", map[string][]byte{"o.tutti.hcl": []byte(observed + "observe {\n" + row.inside + "\n}\n")})
		if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), row.want) {
			t.Errorf("%s\nis met with %v\ninstead of %s", row.inside, diags.Err(), row.want)
		}
	}
}
