package cost

import (
	"encoding/json"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// TestDocument holds what rules are told to what is known: nothing unknown is
// ever a number.
func TestDocument(t *testing.T) {
	rows, diags := ParseRows("own.csv", []byte(`provider,type,region,component,match,quantity,unit,price,currency
,disk,*,storage,currency=CHF,gb,month,2,CHF
,disk,*,storage,,gb,month,1.5,USD
`))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	disk := func(name, action string, before, after cty.Value) Instance {
		return Instance{Address: name, Type: "disk", Action: action, Before: before, After: after}
	}
	of := func(gb int64) cty.Value { return cty.ObjectVal(map[string]cty.Value{"gb": cty.NumberIntVal(gb)}) }
	swiss := cty.ObjectVal(map[string]cty.Value{"gb": cty.NumberIntVal(1), "currency": cty.StringVal("CHF")})
	late := cty.ObjectVal(map[string]cty.Value{"gb": cty.UnknownVal(cty.Number)})
	odd := cty.ObjectVal(map[string]cty.Value{"id": cty.StringVal("x")})
	for _, c := range []struct {
		name           string
		list           []Instance
		monthly, marks string
		currency       any
	}{
		{"nothing", nil, `{"after":0,"at_least":0,"before":0,"difference":0}`, `{}`, "USD"},
		{"all known", []Instance{disk("a", "update", of(2), of(3)), disk("b", "no-op", of(1), of(1))},
			`{"after":6,"at_least":6,"before":4.5,"difference":1.5}`, `{}`, "USD"},
		{"known later", []Instance{disk("a", "create", cty.NilVal, late), disk("b", "create", cty.NilVal, of(1))},
			`{"at_least":1.5,"before":0}`, `{"after":true,"at_least":true,"difference":true}`, "USD"},
		{"unknown and left alone", []Instance{disk("a", "no-op", odd, odd), disk("b", "create", cty.NilVal, of(1))},
			`{"at_least":1.5,"difference":1.5}`, `{"after":true,"at_least":true,"before":true}`, "USD"},
		{"only unknown", []Instance{disk("a", "create", cty.NilVal, late)}, `{"at_least":0,"before":0}`, `{"after":true,"at_least":true,"difference":true}`, nil},
		{"two currencies", []Instance{disk("a", "create", cty.NilVal, of(1)), disk("b", "create", cty.NilVal, swiss)},
			`{}`, `{"after":true,"at_least":true,"before":true,"difference":true}`, nil},
	} {
		known, unknown := NewBook(rows, nil).Estimate(c.list, nil).Document()
		if got := text(t, known["monthly"]); got != c.monthly {
			t.Errorf("%s: %s, want %s", c.name, got, c.monthly)
		}
		if got := text(t, unknown["monthly"]); got != c.marks {
			t.Errorf("%s: unknown %s, want %s", c.name, got, c.marks)
		}
		if known["currency"] != c.currency || (unknown["currency"] == true) != (c.currency == nil) {
			t.Errorf("%s: currency %v, unknown %v", c.name, known["currency"], unknown["currency"])
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
