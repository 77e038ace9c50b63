package cost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// priceSomething uses what was read: it must not panic, however strange it is.
func priceSomething(rows []*Row, u *Usage) {
	b := NewBook(rows, nil)
	for _, r := range rows {
		for _, v := range []cty.Value{
			cty.EmptyObjectVal, cty.DynamicVal, cty.NullVal(cty.DynamicPseudoType), cty.StringVal("x"),
			cty.ObjectVal(map[string]cty.Value{"a": cty.ListVal([]cty.Value{cty.NumberIntVal(3)}), "size": cty.NumberFloatVal(1e30), "region": cty.StringVal("x")}),
		} {
			b.Estimate([]Instance{{Address: "a.b[0]", Type: r.Type, Action: "create", After: v}}, u)
		}
	}
}

func FuzzParseRows(f *testing.F) {
	f.Add("a.csv", []byte("type,component,match,quantity,unit,price,currency,each,region\nt,c?,a=b|*|?;size<=3,usage.x*2/3>1<9:4~5,GB,0.1,USD,a,*\n"))
	f.Add("a.csv", []byte("type,unit,price\nt_*,free,0\n# comment\n\"t\",hour,1\n"))
	f.Add("a.json", []byte(`{"prices":[{"type":"t","unit":"hour","price":0.1,"currency":"USD","quantity":"#a"}]}`))
	f.Add("a.json", []byte(`[{"type":"t","unit":"hour","price":"0.1","currency":"EUR"}]`))
	f.Fuzz(func(t *testing.T, name string, src []byte) {
		rows, diags := ParseRows(name, src)
		for _, r := range rows {
			if r.Price.Sign() < 0 || r.Type == "" {
				t.Errorf("a row without sense was read: %+v", r)
			}
		}
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("a diagnostic says nothing: %+v", d)
			}
		}
		if len(rows) < 50 {
			priceSomething(rows, nil)
		}
	})
}

func FuzzParseUsage(f *testing.F) {
	f.Add("u.hcl", []byte("usage \"a.*\" {\n  x = 1.5\n}\n"))
	f.Add("u.json", []byte(`{"usage":{"a.b":{"x":1e3}}}`))
	rows, _ := ParseRows("a.csv", []byte("type,quantity,unit,price,currency\na,usage.x,GB,1,USD\n"))
	f.Fuzz(func(t *testing.T, name string, src []byte) {
		u, _ := ParseUsage(name, src)
		priceSomething(rows, u)
	})
}

func FuzzFromPlanJSON(f *testing.F) {
	src, err := os.ReadFile(filepath.Join("testdata", "clouds.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(src)
	f.Add([]byte(`{"format_version":"1.2","resource_changes":[{"address":"a","mode":"managed","type":"aws_instance","change":{"after":[],"after_unknown":{"x":[true]}}}]}`))
	rows, diags := Defaults()
	if diags.HasErrors() {
		f.Fatal(diags.Err())
	}
	b := NewBook(nil, rows)
	f.Fuzz(func(t *testing.T, src []byte) {
		list, err := FromPlanJSON(src)
		if err != nil {
			return
		}
		e := b.Estimate(list, nil)
		for _, total := range e.Totals {
			if total.Difference.Compare(total.After.Minus(total.Before)) != 0 {
				t.Errorf("the difference %s is not after less before", total.Difference)
			}
		}
	})
}
