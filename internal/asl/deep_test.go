package asl

import (
	"strings"
	"testing"
)

// TestDeep nests what recurses as deep as a definition of a megabyte can.
func TestDeep(t *testing.T) {
	const n, m = 1 << 20, maxExpression - 2
	for _, source := range []string{
		"(", "[", "{'a':", "-", "$f(", "a.(", "function($x){", "a[", "a?", "|",
	} {
		if _, err := compile(strings.Repeat(source, m/len(source))); err == nil {
			t.Errorf("%s is taken", source)
		}
	}
	for _, source := range []string{"$[?(", "$[?(@[?(", "$[?(!", "$.a[?(@.b == $[?("} {
		if _, err := parsePath(strings.Repeat(source, n/len(source))); err == nil {
			t.Errorf("%s is taken", source)
		}
	}
	for _, source := range []string{strings.Repeat("!", n) + "@.a", strings.Repeat("(", n) + "@.a" + strings.Repeat(")", n)} {
		if _, err := parsePath("$[?(" + source + ")]"); err == nil || len(err.Error()) > 1000 {
			t.Error("a deep condition is taken")
		}
	}
	for _, source := range []string{
		strings.Repeat("1+", m/2) + "1", "$exists(" + strings.Repeat("a.", m/16) + "a)", "$count(" + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + ")", "$count([" + strings.Repeat("1,", m/2-9) + "1])",
	} {
		if r := query(t, source, `{}`); r.Status != "SUCCEEDED" {
			t.Errorf("%.20s: %s %.100s", source, r.Error, r.Cause)
		}
	}
	if _, err := Decode([]byte(strings.Repeat("[", n))); err == nil {
		t.Error("a deep value is taken")
	}
	if _, err := parseCall(strings.Repeat("States.Array(", n/13)); err == nil {
		t.Error("a deep call is taken")
	}
}
