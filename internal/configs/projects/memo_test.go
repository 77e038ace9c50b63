package projects

import (
	"fmt"
	"sync"
	"testing"
)

// TestParsedOnce asks again for files that were parsed, for others, and from many sides.
func TestParsedOnce(t *testing.T) {
	source := func(name string) map[string][]byte {
		return map[string][]byte{"dir/a" + Suffix: []byte(fmt.Sprintf("environment %q {}\n", name))}
	}
	files := source("one")
	first, diags := Parse("dir", files)
	if diags.HasErrors() || first.Environments["one"] == nil {
		t.Fatal(diags.Err())
	}
	again, _ := Parse("dir", source("one"))
	if first.Environments["one"] != again.Environments["one"] {
		t.Error("parsed twice")
	}
	again.Files["more"] = nil
	if third, _ := Parse("dir", source("one")); len(third.Files) != 1 || len(first.Files) != 1 {
		t.Error("files are shared")
	}
	if other, _ := Parse("elsewhere", source("one")); other.Environments["one"] == first.Environments["one"] || other.Dir != "elsewhere" {
		t.Error("directories are mixed up")
	}
	if other, _ := Parse("dir", source("two")); other.Environments["two"] == nil || len(other.Environments) != 1 {
		t.Error("what the files say now is not seen")
	}
	// What is wrong is told each time.
	for range 2 {
		if _, diags := Parse("dir", source("")); !diags.HasErrors() {
			t.Error("a name that is empty is accepted")
		}
	}
	var all sync.WaitGroup
	for i := range 4 * memoSize {
		all.Go(func() {
			name := fmt.Sprint("e", i%(2*memoSize))
			if p, diags := Parse("dir", source(name)); diags.HasErrors() || p.Environments[name] == nil {
				t.Errorf("environment %s: %v", name, diags.Err())
			}
		})
	}
	all.Wait()
	if n := len(parsed.known); n > memoSize || n != len(parsed.oldest) {
		t.Errorf("%d projects are remembered, %d in order", n, len(parsed.oldest))
	}
}
