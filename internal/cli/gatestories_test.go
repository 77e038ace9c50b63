package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestGateStories holds the stories of the gate against the table in
// docs/testing.md, which says what each is about, and what they show against the
// width of a terminal.
func TestGateStories(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("`(gate_[a-z_]+)`").FindAllStringSubmatch(string(doc), -1) {
		told[m[1]] = true
	}
	files, err := filepath.Glob(filepath.Join("testdata", "script", "gate_*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if !told[name] {
			t.Errorf("docs/testing.md does not tell what %s is about", name)
		}
		delete(told, name)
		story, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(story.Comment), "env COLUMNS=") {
			continue
		}
		for _, f := range story.Files {
			if filepath.Ext(f.Name) != ".txt" {
				continue
			}
			for line := range strings.Lines(string(f.Data)) {
				// Lines of source are quoted as they are.
				if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 && !regexp.MustCompile(`^ *\d+: `).MatchString(line) {
					t.Errorf("%s: %s is wider than 80 columns: %s", name, f.Name, line)
				}
			}
		}
	}
	for name := range told {
		t.Errorf("docs/testing.md tells of a story %s that is not there", name)
	}
}
