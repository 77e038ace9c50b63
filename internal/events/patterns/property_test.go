package patterns_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/tutti-dev/tutti/internal/events/patterns"
	"pgregory.net/rapid"
)

var (
	names = rapid.SampledFrom([]string{"a", "b", "c", "d"})
	texts = rapid.SampledFrom([]string{"", "a", "A", "ab", "aB", "aab", "abab", "b", "ba", "bab", "k", "K", "K", "ß", "ẞ", "é\"\\", "*", "a*b",
		"10.0.0.1", "10.1.2.3", "::ffff:10.0.0.1", "2001:db8::1", "2001:db8:1::1", "fe80::1%eth0"})
	numbers = rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "10e-1", "0.1", "1e-1", "0.10000000000000000000000000000000000001", "-1", "-1.5", "2", "3", "300", "3e2", "12345678901234567890123", "12345678901234567890124", "1e40", "0.0001"})
)

func one[T any](t *rapid.T, list ...T) T { return rapid.SampledFrom(list).Draw(t, "one") }

func drawNumber(t *rapid.T) any { return json.Number(numbers.Draw(t, "number")) }

func drawScalar(t *rapid.T) any {
	switch rapid.IntRange(0, 6).Draw(t, "scalar") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2, 3:
		return drawNumber(t)
	}
	return texts.Draw(t, "text")
}

func drawEvent(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	switch {
	case depth == 0 || kind < 4 && depth < 4:
		if depth < 4 {
			return drawScalar(t)
		}
		fallthrough
	case kind < 8 || depth == 4:
		out := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			out[names.Draw(t, "name")] = drawEvent(t, depth-1)
		}
		return out
	}
	out := []any{}
	for range rapid.IntRange(0, 4).Draw(t, "elements") {
		out = append(out, drawEvent(t, depth-1))
	}
	return out
}

func drawPattern(t *rapid.T, depth int) map[string]any {
	out := map[string]any{}
	for range rapid.IntRange(1, 3).Draw(t, "fields") {
		name := names.Draw(t, "name")
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case kind == 0 && depth > 0:
			var list []any
			for range rapid.IntRange(2, 3).Draw(t, "or") {
				list = append(list, drawPattern(t, depth-1))
			}
			out["$or"] = list
		case kind < 5 && depth > 0:
			out[name] = drawPattern(t, depth-1)
		default:
			var list []any
			for range rapid.IntRange(1, 3).Draw(t, "values") {
				list = append(list, drawTest(t))
			}
			out[name] = list
		}
	}
	return out
}

var wildcards = []any{"*", "a*", "*b", "a*b", "*a*", "a*b*", `\*`, `*\\`, "b*b", "*ab*ab", "a"}

func drawTest(t *rapid.T) any {
	switch rapid.IntRange(0, 12).Draw(t, "test") {
	case 0:
		return map[string]any{"prefix": texts.Draw(t, "prefix")}
	case 1:
		return map[string]any{"suffix": texts.Draw(t, "suffix")}
	case 2:
		return map[string]any{one(t, "prefix", "suffix"): map[string]any{"equals-ignore-case": texts.Draw(t, "text")}}
	case 3:
		return map[string]any{"equals-ignore-case": texts.Draw(t, "text")}
	case 4:
		return map[string]any{"wildcard": one(t, wildcards...)}
	case 5:
		return map[string]any{"exists": rapid.Bool().Draw(t, "exists")}
	case 6:
		return map[string]any{"cidr": one(t, "10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/32", "::/0", "10.1.99.99/16")}
	case 7:
		return map[string]any{"numeric": []any{one(t, "=", "<", "<=", ">", ">="), drawNumber(t)}}
	case 8:
		low, high := drawNumber(t), drawNumber(t)
		if rational(low).Cmp(rational(high)) >= 0 {
			return low
		}
		return map[string]any{"numeric": []any{one(t, ">", ">="), low, one(t, "<", "<="), high}}
	case 9:
		return map[string]any{"anything-but": one(t, any(texts.Draw(t, "text")), drawNumber(t), any([]any{texts.Draw(t, "x"), texts.Draw(t, "y")}), any([]any{drawNumber(t), drawNumber(t)}))}
	case 10:
		operator := one(t, "prefix", "suffix", "equals-ignore-case", "wildcard")
		list := []any{"a", "B", "10.", "ab"}
		if operator == "wildcard" {
			list = wildcards
		}
		return map[string]any{"anything-but": map[string]any{operator: one(t, one(t, list...), any([]any{one(t, list...), one(t, list...)}))}}
	}
	return drawScalar(t)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestAgainstNaive: the compiled patterns say the same as the naive reading of each,
// whatever else is compiled with them and whatever was matched before.
func TestAgainstNaive(t *testing.T) {
	met, checks := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		var list []*patterns.Pattern
		var plain []map[string]any
		for range rapid.IntRange(1, 12).Draw(rt, "patterns") {
			drawn := drawPattern(rt, 2)
			source := encode(t, drawn)
			p, diags := patterns.ParseJSON("p.json", source)
			if diags.HasErrors() {
				rt.Fatalf("%s: %s", source, diags.Err())
			}
			list = append(list, p)
			plain = append(plain, decode(source).(map[string]any))
		}
		m := patterns.Compile(list)
		for range rapid.IntRange(1, 6).Draw(rt, "events") {
			event := encode(t, drawEvent(rt, 4))
			var want []int
			for i, p := range plain {
				checks++
				if naive(p, decode(event)) {
					want = append(want, i)
				}
			}
			met += len(want)
			got, err := m.Match(event)
			if err != nil {
				rt.Fatalf("%s: %s", event, err)
			}
			if !slices.Equal(got, want) {
				for i, p := range plain {
					if slices.Contains(got, i) != slices.Contains(want, i) {
						rt.Errorf("pattern %s", encode(t, p))
					}
				}
				rt.Fatalf("event %s: got %v, want %v", event, got, want)
			}
		}
	})
	if met*100 < checks {
		t.Errorf("only %d of %d matched: the test says little", met, checks)
	}
}

// TestTexts: many tests of one text, whose pieces are in each other.
func TestTexts(t *testing.T) {
	letters := rapid.StringOfN(rapid.SampledFrom([]rune("abAé")), 0, 5, -1)
	rapid.Check(t, func(rt *rapid.T) {
		var list []*patterns.Pattern
		var plain []map[string]any
		for range rapid.IntRange(1, 40).Draw(rt, "patterns") {
			operator := one(rt, "prefix", "suffix", "wildcard", "equals-ignore-case")
			argument := any(letters.Draw(rt, "text"))
			switch {
			case operator == "wildcard":
				argument = one(rt, "", "*") + argument.(string) + one(rt, "", "*") + one(rt, "a", "b", "ab", "ba")
			case operator != "equals-ignore-case" && rapid.Bool().Draw(rt, "any case"):
				argument = map[string]any{"equals-ignore-case": argument}
			}
			source := encode(t, map[string]any{"a": []any{map[string]any{operator: argument}}})
			p, diags := patterns.ParseJSON("p.json", source)
			if diags.HasErrors() {
				continue // "**"
			}
			list = append(list, p)
			plain = append(plain, decode(source).(map[string]any))
		}
		m := patterns.Compile(list)
		for range 5 {
			event := encode(t, map[string]any{"a": rapid.StringOfN(rapid.SampledFrom([]rune("abAé")), 0, 10, -1).Draw(rt, "event")})
			var want []int
			for i, p := range plain {
				if naive(p, decode(event)) {
					want = append(want, i)
				}
			}
			if got, err := m.Match(event); err != nil || !slices.Equal(got, want) {
				rt.Fatalf("%s: %v, %v, want %v of %v", event, got, err, want, plain)
			}
		}
	})
}

// FuzzMatch: what is taken for an event is what encoding/json takes for an object,
// and a match agrees with the naive reading.
func FuzzMatch(f *testing.F) {
	pattern := []byte(`{"a":[1,"x",{"prefix":"ab"}],"b":{"c":[{"exists":true}],"d":[{"exists":false},null]}}`)
	for _, seed := range []string{`{}`, `{"a":1}`, `{"a":"ab\u0063","b":[{"c":[]},{"c":{}},{"c":1e0}]}`, `{"a":1,"a":2}`, `[{"a":1}]`, `{"a":"\ud800\udc00"}`, `{"b":{"c":-0.0E+1,"d":null},"a":1.0}`, `{"a":01}`, "{\"a\":\"\x01\"}"} {
		f.Add([]byte(seed))
	}
	p, diags := patterns.ParseJSON("p.json", pattern)
	if diags.HasErrors() {
		f.Fatal(diags.Err())
	}
	m := patterns.Compile([]*patterns.Pattern{p})
	f.Fuzz(func(t *testing.T, event []byte) {
		got, err := m.Match(event)
		var object map[string]any
		valid := json.Unmarshal(event, &object) == nil && object != nil
		if err != nil {
			if !errors.Is(err, patterns.ErrNotEvent) {
				t.Fatal(err)
			}
			return // names given twice, and much that encoding/json lets pass
		}
		if !valid || !utf8.Valid(event) {
			t.Fatalf("%q is taken for an event", event)
		}
		if want := naive(decode(pattern).(map[string]any), decode(event)); want != (len(got) == 1) {
			t.Fatalf("%s: %v, want %v", event, got, want)
		}
	})
}

// FuzzPatterns reads patterns in both syntaxes: what is read can be compiled and
// matched.
func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1]}`, `{"a":[{"prefix":{"equals-ignore-case":"x"}}]}`, `{"$or":[{"a":[1]},{"b":[2]}],"c":{"d":[{"anything-but":[1,2]}]}}`,
		`{"a":[{"numeric":[">",0,"<=",1e3]}]}`, `{"a":[{"cidr":"10.0.0.0/8"},{"wildcard":"a*\\*"}]}`, `{"a":1e99999999}`, `{"${x}":["${y}"]}`,
		`{ a = ["x", { suffix = "y" }], "$or" = [{ b = null }, { c = [true] }] }`, `{ for k in [1] : k => k }`, `{a:[[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		for _, p := range readBoth(source) {
			if p == nil {
				continue
			}
			if _, err := patterns.Compile([]*patterns.Pattern{p, p}).Match([]byte(`{"a":1,"b":["x",{"c":null}]}`)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
