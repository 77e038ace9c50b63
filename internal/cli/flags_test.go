package cli

import (
	"slices"
	"testing"
)

// TestAnyID: the id of an object may look like a flag, as long as it is none.
func TestAnyID(t *testing.T) {
	for _, c := range []struct {
		args, want []string
		lock       bool
	}{
		{[]string{"a.b", "-]sE}K"}, []string{"a.b", "-]sE}K"}, false},
		{[]string{"-lock", "a.b", "--x=y"}, []string{"a.b", "--x=y"}, true},
		{[]string{"a.b", "-lock", "id"}, []string{"a.b", "id"}, true},
		{[]string{"a.b", "--", "-lock"}, []string{"a.b", "-lock"}, false},
		{[]string{"a.b", "id", "-lock"}, []string{"a.b", "id"}, true},
	} {
		var lock bool
		f := newFlagSet("import")
		f.anyID = true
		f.toggle(&lock, "lock", "x")
		got, err := f.parse(c.args)
		if err != nil || !slices.Equal(got, c.want) || lock != c.lock {
			t.Errorf("%q: %q, lock %t, %v", c.args, got, lock, err)
		}
	}
	f := newFlagSet("other")
	if _, err := f.parse([]string{"a", "-x"}); err == nil {
		t.Error("a flag that is none is taken as an argument")
	}
}
