package cost

import (
	"math/big"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/zclconf/go-cty/cty"
)

// TestJudge holds every standing of an estimate to a budget of 100.
func TestJudge(t *testing.T) {
	rows, diags := ParseRows("own.csv", []byte(`type,component,match,quantity,unit,price,currency
thing,compute,currency=null,units,month,1,USD
thing,compute,currency=EUR,units,month,1,EUR
`))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	book := NewBook(rows, nil)
	of := func(n int64) cty.Value { return cty.ObjectVal(map[string]cty.Value{"units": cty.NumberIntVal(n)}) }
	euros := cty.ObjectVal(map[string]cty.Value{"units": cty.NumberIntVal(5), "currency": cty.StringVal("EUR")})
	open := cty.ObjectVal(map[string]cty.Value{"units": cty.UnknownVal(cty.Number)})
	thing := func(name, action string, before, after cty.Value) Instance {
		return Instance{Address: "thing." + name, Type: "thing", Action: action, Before: before, After: after}
	}
	none := cty.NilVal
	for _, c := range []struct {
		name        string
		list        []Instance
		enforcement projects.Enforcement
		override    string
		standing    Standing
		denied      bool
		says        string // of the diagnostics; empty for none
	}{
		{"within", []Instance{thing("a", "create", none, of(100))}, projects.Mandatory, "", Within, false, ""},
		{"over", []Instance{thing("a", "create", none, of(101))}, projects.Mandatory, "", Over, true, "thing.a: +$101.00"},
		{"advised", []Instance{thing("a", "create", none, of(101))}, projects.Advisory, "", Over, false, "$1.00 more"},
		{"soft", []Instance{thing("a", "create", none, of(101))}, projects.SoftMandatory, "", Over, true, "-override='b=REASON'"},
		{"overridden", []Instance{thing("a", "create", none, of(101))}, projects.SoftMandatory, "for once", Over, false, "for once"},
		{"not to be overridden", []Instance{thing("a", "create", none, of(101))}, projects.Mandatory, "for once", Over, true, "cannot be overridden"},
		{"needlessly overridden", []Instance{thing("a", "create", none, of(1))}, projects.SoftMandatory, "for once", Within, false, "no effect"},
		{"on the way back", []Instance{thing("a", "update", of(300), of(200))}, projects.Mandatory, "", Over, false, "does not add"},
		{"as it was", []Instance{thing("a", "no-op", of(300), of(300))}, projects.Mandatory, "", Over, false, "The largest costs"},
		{"perhaps not on the way back", []Instance{thing("a", "update", of(300), of(200)), thing("b", "update", of(1), open)}, projects.Mandatory, "", Over, true, "thing.b (compute: units is known after apply)"},
		{"open", []Instance{thing("a", "create", none, open)}, projects.Mandatory, "", Open, false, "thing.a (compute: units is known after apply)"},
		{"abroad", []Instance{thing("a", "create", none, euros)}, projects.Mandatory, "", Open, false, "what is priced in EUR"},
		{"gone", []Instance{thing("a", "delete", open, none), thing("b", "delete", of(300), none)}, projects.Mandatory, "", Within, false, ""},
	} {
		b := &projects.Budget{Name: "b", Monthly: big.NewRat(100, 1), Currency: "USD", Enforcement: c.enforcement}
		v := Judge(b, book.Estimate(c.list, nil), c.override)
		if v.Standing != c.standing || v.Denied != c.denied || v.Diagnostics.HasErrors() != c.denied {
			t.Errorf("%s: %s, denied %t", c.name, v.Standing, v.Denied)
		}
		if text := said(v.Diagnostics); c.says == "" && text != "" || !strings.Contains(text, c.says) {
			t.Errorf("%s: does not say %q:\n%s", c.name, c.says, text)
		}
		if want := c.override != "" && c.standing == Over && !c.denied; want != (v.Override != "") {
			t.Errorf("%s: the override is recorded as %q", c.name, v.Override)
		}
	}
}

func said(list diag.List) string {
	text := ""
	for _, d := range list {
		text += d.Summary + ": " + d.Detail + "\n"
	}
	return text
}
