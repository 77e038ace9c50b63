package views

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-dev/tutti/internal/plans"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/plans/plantest"
)

const equivalence = "../../../testdata/equivalence"

// equivalenceCases calls test with the recorded outputs of each case and the
// schemas of its providers.
func equivalenceCases(t *testing.T, test func(t *testing.T, dir string, schemas jsonplan.Schemas)) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(equivalence, "outputs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) {
			schemas := plantest.Schemas(t, filepath.Join(equivalence, "tests", entry.Name()))
			test(t, filepath.Join(equivalence, "outputs", entry.Name()), schemas)
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// objectLines keeps what a plan says about objects and outputs, and the line
// that sums it up: the rest is prose in our own words.
func objectLines(text string) string {
	var out []string
	inside := false
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "  # ") {
			inside = true
		}
		if strings.HasPrefix(line, "Plan: ") {
			line = strings.TrimSuffix(line, " 1 to move.")
			out = append(out, line)
		} else if inside {
			out = append(out, line)
		}
		if line == "    }" || line == "" {
			inside = inside && line == ""
		}
	}
	return strings.Join(out, "\n")
}

// TestEquivalentPlans compares the rendering of recorded plans with what the
// program they were recorded with printed.
func TestEquivalentPlans(t *testing.T) {
	equivalenceCases(t, func(t *testing.T, dir string, schemas jsonplan.Schemas) {
		p := plantest.Plan(t, plantest.ReadJSON(t, filepath.Join(dir, "plan.json")), schemas)
		if filepath.Base(dir) == "drift_refresh_only" {
			p.Mode = plans.RefreshOnly // the JSON form of plans does not say
		}
		var out bytes.Buffer
		(&Terminal{Out: &out, Width: 78}).Plan(p, SchemaSource(schemas))
		if got, want := objectLines(out.String()), objectLines(read(t, filepath.Join(dir, "plan"))); got != want {
			t.Errorf("difference:\n%s", difference(got, want))
		}
	})
}

// difference shows which lines differ.
func difference(got, want string) string {
	var b strings.Builder
	for _, e := range lineEdits(want, got) {
		if e.symbol != symbolNone {
			b.WriteString(e.symbol + e.text + "\n")
		}
	}
	return b.String()
}

// TestEquivalentStates compares the rendering of recorded states.
func TestEquivalentStates(t *testing.T) {
	equivalenceCases(t, func(t *testing.T, dir string, schemas jsonplan.Schemas) {
		want, err := os.ReadFile(filepath.Join(dir, "state"))
		if err != nil {
			t.Skip("no state was recorded")
		}
		s := plantest.State(t, plantest.ReadJSON(t, filepath.Join(dir, "state.json")), schemas)
		var out bytes.Buffer
		for _, inst := range s.Sorted() {
			Instance(&out, inst, jsonplan.SchemaFor(schemas(inst.Provider.Provider), inst.Object.Instance.Resource))
			out.WriteByte('\n')
		}
		if out.Len() == 0 {
			t.Skip("nothing to show")
		}
		got, _, _ := strings.Cut(out.String(), "\nOutputs:")
		if text, _, _ := strings.Cut(string(want), "\nOutputs:"); strings.TrimSpace(text) != strings.TrimSpace(got) {
			t.Errorf("difference:\n%s", difference(got, text))
		}
	})
}
