package cost

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func defaults(t testing.TB) *Book {
	t.Helper()
	rows, diags := Defaults()
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return NewBook(nil, rows)
}

// TestDefaults holds every price of ours against what users are told of them.
func TestDefaults(t *testing.T) {
	rows, diags := Defaults()
	for _, d := range diags {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	if len(rows) < 1000 {
		t.Errorf("only %d rows", len(rows))
	}
	unitOf, seen := map[string]string{}, map[string]string{}
	for _, r := range rows {
		if r.Date == "" || r.Source == "" {
			t.Errorf("%s: no date or no source", r.where)
		}
		if r.Unit == freeUnit {
			continue
		}
		if r.Price.Sign() <= 0 || r.Currency != "USD" || !strings.Contains(r.Source, "verify") {
			t.Errorf("%s: price %s %s, source %q", r.where, r.Price, r.Currency, r.Source)
		}
		if r.Region != "*" && r.Region != reference[r.Provider] {
			t.Errorf("%s: the region %s is not that of reference", r.where, r.Region)
		}
		key := strings.Join([]string{r.Type, strings.TrimSuffix(r.Component, "?"), r.Each}, " ")
		if have := unitOf[key]; have != "" && have != r.Unit {
			t.Errorf("%s: %s is priced by %s and by %s", r.where, key, have, r.Unit)
		}
		unitOf[key] = r.Unit
		key += " " + r.Region + " " + r.Match
		if have := seen[key]; have != "" {
			t.Errorf("%s: the same as %s", r.where, have)
		}
		seen[key] = r.where
	}
}

// describe writes an estimate as a table with everything in it.
func describe(e *Estimate) []byte {
	var b bytes.Buffer
	for _, item := range e.Items {
		fmt.Fprintf(&b, "%s (%s)", item.Name(), item.Action)
		if item.Free {
			b.WriteString(": free")
		}
		for _, total := range item.Totals {
			fmt.Fprintf(&b, ": %s -> %s (%s)", Money(total.Before, total.Currency), Money(total.After, total.Currency), Difference(total.Difference, total.Currency))
		}
		b.WriteString("\n")
		for _, side := range []struct {
			name string
			side *Side
		}{{"before", item.Before}, {"after", item.After}} {
			if side.side == nil || item.Free || side.name == "before" && item.Before == item.After {
				continue
			}
			for _, p := range side.side.Components {
				if p.Unknown != "" {
					fmt.Fprintf(&b, "  %s %s: ? %s\n", side.name, p.Name, p.Unknown)
					continue
				}
				fmt.Fprintf(&b, "  %s %s: %s %s at %s = %s\n", side.name, p.Name, p.Quantity, p.Unit, Exact(p.Price, p.Currency), Exact(p.Monthly, p.Currency))
				for _, text := range p.Assumptions {
					fmt.Fprintf(&b, "    ~ %s\n", text)
				}
			}
			if len(side.side.Components) == 0 {
				fmt.Fprintf(&b, "  %s ? %s\n", side.name, strings.Join(side.side.Unknown, "; "))
			}
		}
	}
	for _, total := range e.Totals {
		fmt.Fprintf(&b, "total: %s -> %s (%s)\n", Exact(total.Before, total.Currency), Exact(total.After, total.Currency), Exact(total.Difference, total.Currency))
	}
	fmt.Fprintf(&b, "%d unknown, %d free\n", e.Unknown, e.Free)
	return b.Bytes()
}

// TestClouds prices resources of three clouds with the prices of ours.
func TestClouds(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("testdata", "clouds.json"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := FromPlanJSON(src)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "usage.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	usage, diags := ParseUsage("usage.hcl", text)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	got := describe(defaults(t).Estimate(list, usage))
	golden := filepath.Join("testdata", "clouds.txt")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and look at the difference. Got:\n%s", golden, got)
	}
	// Read from JSON it says the same.
	data, err := json.Marshal(defaults(t).Estimate(list, usage))
	if err != nil {
		t.Fatal(err)
	}
	back := &Estimate{}
	if err := json.Unmarshal(data, back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(Join(back)); err != nil || !bytes.Equal(again, data) {
		t.Errorf("it comes back as %s, %v", again, err)
	}
	for i, item := range defaults(t).Estimate(list, usage).Items {
		if read := back.Items[i]; read.Name() != item.Name() || read.Changes() != item.Changes() || !slices.Equal(read.Unknown(), item.Unknown()) || read.Lost() != item.Lost() || read.Later() {
			t.Errorf("%s comes back as %+v", item.Name(), read)
		}
	}
	if bytes.Contains(got, []byte("x1.secret")) {
		t.Error("a sensitive value is in the estimate")
	}
}

// TestUserFirst holds the order of who is believed.
func TestUserFirst(t *testing.T) {
	ours, diags := Defaults("aws")
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	own, diags := ParseRows("own.csv", []byte(`provider,type,region,component,match,unit,price,currency
aws,aws_instance,us-east-1,compute,instance_type=t3.micro,hour,1,EUR
aws,aws_instance,*,compute,instance_type=t3.small,hour,2,EUR
aws,aws_vpc,*,total,,month,5,EUR
aws,aws_eip,*,,,free,0,
hashicorp/aws,aws_quantum_computer,*,total,qubits<=8,month,100,EUR
other/aws,aws_quantum_computer,*,total,,month,1,EUR
`))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	b := NewBook(own, ours)
	price := func(typ string, attrs map[string]cty.Value) string {
		inst := Instance{Address: typ + ".a", Type: typ, Provider: "registry.terraform.io/hashicorp/aws", Region: "us-east-1", Action: "create", After: cty.ObjectVal(attrs)}
		item := b.Estimate([]Instance{inst}, nil).Items[0]
		switch {
		case item.Free:
			return "free"
		case len(item.After.Components) == 0 || item.After.Components[0].Unknown != "":
			return "unknown"
		}
		return Exact(item.After.Components[0].Monthly, item.After.Components[0].Currency)
	}
	for _, c := range []struct {
		typ, name, value, want string
	}{
		{"aws_instance", "instance_type", "t3.micro", "€730"},
		{"aws_instance", "instance_type", "t3.small", "€1460"},
		{"aws_instance", "instance_type", "t3.large", "$60.736"},
		{"aws_vpc", "cidr_block", "10.0.0.0/8", "€5"},
		{"aws_subnet", "cidr_block", "10.0.0.0/8", "free"},
		{"aws_eip", "domain", "vpc", "free"},
		{"aws_quantum_computer", "qubits", "8", "€100"},
		{"aws_quantum_computer", "qubits", "9", "unknown"},
	} {
		if got := price(c.typ, map[string]cty.Value{c.name: cty.StringVal(c.value)}); got != c.want {
			t.Errorf("%s with %s = %s: %s, want %s", c.typ, c.name, c.value, got, c.want)
		}
	}
}

func TestMoney(t *testing.T) {
	for text, want := range map[string]string{
		"0": "$0.00", "0.005": "$0.01", "-0.004": "$0.00", "-0.005": "-$0.01", "999.994": "$999.99", "999.995": "$1,000.00",
		"1234567.5": "$1,234,567.50", "-1234.5": "-$1,234.50",
	} {
		a, err := ParseAmount(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Money(a, "USD"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if a.String() != text {
			t.Errorf("%s is written as %s", text, a)
		}
	}
	for _, text := range []string{"", "-", ".", "1.", ".5", "1e3", "0x1", "1/3", "+1", " 1", "1,000", strings.Repeat("9", 61)} {
		if a, err := ParseAmount(text); err == nil {
			t.Errorf("%q is read as %s", text, a)
		}
	}
}
