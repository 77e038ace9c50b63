package secrets

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func TestHide(t *testing.T) {
	attr, index := cty.GetAttrPath, func(p cty.Path, v cty.Value) cty.Path { return p.Index(v) }
	for name, test := range map[string]struct {
		text  string
		paths []cty.Path
		want  string // @ stands for the placeholder
	}{
		"attribute": {`{"a":1e3,"p":"s\"}","n":1.50}`, []cty.Path{attr("p")}, `{"a":1e3,"p":@,"n":1.50}`},
		"several":   {`{ "a" : 1 , "b":{"c":[true,null]} , "d":-0.0 }`, []cty.Path{attr("d"), attr("b").GetAttr("c")}, `{ "a" : 1 , "b":{"c":@} , "d":@ }`},
		"overlap":   {`{"a":{"b":"x","c":"y"}}`, []cty.Path{attr("a").GetAttr("b"), attr("a")}, `{"a":@}`},
		"twice":     {`{"a":"x"}`, []cty.Path{attr("a"), attr("a")}, `{"a":@}`},
		"map":       {`{"m":{"k é\n":"x","z":"y"}}`, []cty.Path{index(attr("m"), cty.StringVal("k é\n"))}, `{"m":{"k é\n":@,"z":"y"}}`},
		"escaped":   {`{"m":{"\u0061":"x","z":"y"}}`, []cty.Path{index(attr("m"), cty.StringVal("a"))}, `{"m":{"\u0061":@,"z":"y"}}`},
		"list":      {`{"l":[{"p":"x"},{"p":"y"}]}`, []cty.Path{index(attr("l"), cty.NumberIntVal(1)).GetAttr("p")}, `{"l":[{"p":"x"},{"p":@}]}`},
		"null":      {`{"a":null}`, []cty.Path{attr("a").GetAttr("b")}, `{"a":@}`},
		"whole":     {` {"a":1} `, []cty.Path{{}}, ` @ `},

		"missing attribute": {`{"o":{"a":1},"b":2}`, []cty.Path{attr("o").GetAttr("x")}, `{"o":@,"b":2}`},
		"missing at root":   {`{"o":1}`, []cty.Path{attr("x")}, `@`},
		"dynamic":           {`{"i":{"value":{"s":"x"},"type":["object",{"s":"string"}]},"b":1}`, []cty.Path{attr("i").GetAttr("s")}, `{"i":@,"b":1}`},
		"dynamic with type": {`{"i":{"value":{"type":"x"},"type":["object",{"type":"string"}]}}`, []cty.Path{attr("i").GetAttr("type")}, `{"i":@}`},
		"set of strings":    {`{"s":["x","y"]}`, []cty.Path{index(attr("s"), cty.StringVal("x"))}, `{"s":@}`},
		"set of numbers":    {`{"s":[5,1]}`, []cty.Path{index(attr("s"), cty.NumberIntVal(1))}, `{"s":@}`},
		"set of objects":    {`{"s":[{"a":1}]}`, []cty.Path{index(attr("s"), cty.EmptyObjectVal).GetAttr("a")}, `{"s":@}`},
		"key twice":         {`{"o":{"a":1,"a":2}}`, []cty.Path{attr("o").GetAttr("a")}, `{"o":@}`},
		"unknown index":     {`{"l":["x"]}`, []cty.Path{index(attr("l"), cty.UnknownVal(cty.Number))}, `{"l":@}`},
		"one of two lost":   {`{"o":{"a":1}}`, []cty.Path{attr("o").GetAttr("a"), attr("o").GetAttr("b")}, `{"o":@}`},
		"empty list":        {`{"l":[],"m":{}}`, []cty.Path{index(attr("l"), cty.NumberIntVal(0)), index(attr("m"), cty.StringVal("k"))}, `{"l":@,"m":@}`},
	} {
		t.Run(name, func(t *testing.T) {
			k := ringOf(t, EnvKey, keyText(1))
			open, sealed, err := k.Hide([]byte(test.text), test.paths)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(test.want, "@", placeholder); string(open) != want {
				t.Errorf("open text is %s\nwant %s", open, want)
			}
			back, err := k.Reveal(open, sealed)
			if err != nil || string(back) != test.text {
				t.Errorf("restored %s, %v", back, err)
			}
			if _, err := k.Reveal(append(open, ' '), sealed); !errors.Is(err, ErrDamaged) {
				t.Errorf("changed text was accepted: %v", err)
			}
		})
	}
}

func TestHideNothing(t *testing.T) {
	k := ringOf(t)
	open, sealed, err := k.Hide([]byte(`{"a":1}`), nil)
	if string(open) != `{"a":1}` || sealed != nil || err != nil {
		t.Fatal(open, sealed, err)
	}
	if back, err := k.Reveal(open, nil); string(back) != `{"a":1}` || err != nil {
		t.Fatal(back, err)
	}
	if _, _, err := k.Hide([]byte(`{"secret":`), []cty.Path{cty.GetAttrPath("a")}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatal(err)
	}
}

// FuzzHide holds that whatever is hidden comes back byte for byte, and that the
// open text is valid JSON without it.
func FuzzHide(f *testing.F) {
	f.Add([]byte(`{"a":{"b":["x",{"c":1.50}]}}`), "a", "b", 1)
	f.Add([]byte(` { "a" : [ -1e5 , "\"]" ] } `), "a", "", 0)
	k := NewKeyring(Options{LookupEnv: environment(EnvKey, keyText(1))})
	f.Fuzz(func(t *testing.T, text []byte, first, second string, index int) {
		paths := []cty.Path{
			cty.GetAttrPath(first).GetAttr(second),
			cty.GetAttrPath(first).IndexString(second).IndexInt(index),
			cty.GetAttrPath(second).IndexInt(index),
		}
		open, sealed, err := k.Hide(text, paths[index&1:])
		if err != nil {
			if json.Valid(text) {
				t.Fatal(err)
			}
			return
		}
		if len(text) > 0 && !json.Valid(open) {
			t.Fatalf("open text is not JSON: %s", open)
		}
		back, err := k.Reveal(open, sealed)
		if err != nil || string(back) != string(text) {
			t.Fatalf("restored %q, %v; want %q", back, err, text)
		}
	})
}
