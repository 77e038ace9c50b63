package jsonplan_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tutti-dev/tutti/internal/plans/jsonplan"
	"github.com/tutti-dev/tutti/internal/plans/plantest"
)

const equivalence = "../../../testdata/equivalence"

func TestEquivalenceCases(t *testing.T) {
	for _, name := range names(t, equivalence+"/outputs") {
		t.Run(name, func(t *testing.T) {
			golden := plantest.ReadJSON(t, filepath.Join(equivalence, "outputs", name, "plan.json"))
			schemas := plantest.Schemas(t, filepath.Join(equivalence, "tests", name))
			checkPlan(t, golden, schemas)
			state := plantest.ReadJSON(t, filepath.Join(equivalence, "outputs", name, "state.json"))
			checkState(t, state, schemas)
		})
	}
}

func TestRecordedPlans(t *testing.T) {
	for _, name := range names(t, "testdata") {
		t.Run(name, func(t *testing.T) {
			checkPlan(t, plantest.ReadJSON(t, filepath.Join("testdata", name, "plan.json")), plantest.Schemas(t, ""))
			if path := filepath.Join("testdata", name, "state.json"); exists(path) {
				checkState(t, plantest.ReadJSON(t, path), plantest.Schemas(t, ""))
			}
		})
	}
}

// checkPlan makes a plan out of its recorded JSON, and JSON out of that plan.
func checkPlan(t *testing.T, golden map[string]any, schemas jsonplan.Schemas) {
	t.Helper()
	p := plantest.Plan(t, golden, schemas)
	data, err := jsonplan.Plan(p, nil, jsonplan.Options{Schemas: schemas, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	got := plantest.ParseJSON(t, data)
	for _, doc := range []map[string]any{golden, got} {
		for _, key := range []string{"configuration", "terraform_version", "applyable", "complete"} {
			delete(doc, key)
		}
		if prior, ok := doc["prior_state"].(map[string]any); ok {
			delete(prior, "terraform_version")
		}
	}
	if diff := cmp.Diff(golden, got); diff != "" {
		t.Errorf("plan (-recorded +made):\n%s", diff)
	}
}

func checkState(t *testing.T, golden map[string]any, schemas jsonplan.Schemas) {
	t.Helper()
	s := plantest.State(t, golden, schemas)
	checks := plantest.Plan(t, map[string]any{"checks": golden["checks"]}, schemas).Checks
	data, err := jsonplan.State(s, checks, jsonplan.Options{Schemas: schemas})
	if err != nil {
		t.Fatal(err)
	}
	delete(golden, "terraform_version")
	if diff := cmp.Diff(golden, plantest.ParseJSON(t, data)); diff != "" {
		t.Errorf("state (-recorded +made):\n%s", diff)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
