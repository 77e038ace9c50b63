package marks

import (
	"fmt"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func TestHasLooksAtTheValueItself(t *testing.T) {
	nested := cty.ListVal([]cty.Value{cty.StringVal("a").Mark(Sensitive)})
	if Has(nested, Sensitive) {
		t.Error("Has saw a nested mark")
	}
	if !Contains(nested, Sensitive) {
		t.Error("Contains missed a nested mark")
	}
	if Contains(nested, Ephemeral) {
		t.Error("Contains saw a mark that is not there")
	}
	if !Has(nested.Mark(Ephemeral), Ephemeral) {
		t.Error("Has missed a mark of the value itself")
	}
}

func TestMarksEqualOnlyThemselves(t *testing.T) {
	if cty.True.Mark("sensitive").HasMark(Sensitive) {
		t.Error("a plain string mark must not count as Sensitive")
	}
	if got := fmt.Sprintf("%#v %#v", Sensitive, Ephemeral); got != "marks.Sensitive marks.Ephemeral" {
		t.Errorf("debugging names: %s", got)
	}
}

func TestWithout(t *testing.T) {
	v := cty.StringVal("a").Mark(Sensitive).Mark(Ephemeral)
	got := Without(v, Sensitive)
	if Has(got, Sensitive) || !Has(got, Ephemeral) {
		t.Errorf("Without(%#v, Sensitive) = %#v", v, got)
	}
	if !Has(v, Sensitive) {
		t.Error("Without changed its argument")
	}
	plain := cty.StringVal("a")
	if !Without(plain, Sensitive).RawEquals(plain) {
		t.Error("Without changed an unmarked value")
	}
}
