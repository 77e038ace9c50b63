package policy

import (
	"context"
	"path"
	"path/filepath"
	"sort"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/tutti-dev/tutti/internal/diag"
)

// TestResult is what came of one test_ rule.
type TestResult struct {
	Package  string        `json:"package"`
	Name     string        `json:"name"`
	Status   string        `json:"status"` // pass, fail, error or skip
	Problem  string        `json:"problem,omitempty"`
	Output   string        `json:"output,omitempty"` // of print()
	At       *Place        `json:"at,omitempty"`
	Duration time.Duration `json:"duration_ns"`
}

// Coverage says which lines of the rules the tests reached.
type Coverage struct {
	Covered int                `json:"covered_lines"`
	Lines   int                `json:"lines"`
	Percent float64            `json:"percent"`
	Files   map[string]float64 `json:"files"`
	Missed  map[string][]int   `json:"missed,omitempty"` // by file; first lines of gaps
}

// Test runs the unit tests of the Rego files in a directory: rules named test_*,
// as OPA runs them. filter, where not empty, is a pattern of PACKAGE.NAME.
func Test(ctx context.Context, dir, filter string, files map[string][]byte) ([]TestResult, *Coverage, diag.List) {
	modules, data := map[string]*ast.Module{}, map[string]any{}
	var diags diag.List
	for _, file := range sorted(files) {
		full := path.Join(filepath.ToSlash(dir), file)
		if !isRego(file) {
			if err := addData(data, path.Dir(file), files[file], func(string) bool { return true }); err != nil {
				diags = append(diags, diag.Errorf("Data of a policy cannot be read", "%s: %s.", full, err)...)
			}
			continue
		}
		m, d := parse(full, string(files[file]))
		diags = append(diags, d...)
		if m != nil {
			modules[full] = m
		}
	}
	if diags.HasErrors() {
		return nil, nil, diags
	}
	store := inmem.NewFromObject(data)
	tracer := cover.New()
	compiler := ast.NewCompiler().WithCapabilities(capabilities()).WithEnablePrintStatements(true)
	runner := tester.NewRunner().SetCompiler(compiler).SetStore(store).SetModules(modules).CapturePrintOutput(true).
		SetCoverageQueryTracer(tracer).Filter(filter)
	var out []TestResult
	err := storage.Txn(ctx, store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		results, err := runner.RunTests(ctx, txn)
		if err != nil {
			return err
		}
		for r := range results {
			out = append(out, testResult(r))
		}
		return nil
	})
	if err != nil {
		return nil, nil, fromOPA(err, "Tests of the policy cannot be run")
	}
	sort.SliceStable(out, func(i, j int) bool {
		return out[i].Package+"."+out[i].Name < out[j].Package+"."+out[j].Name
	})
	return out, coverage(tracer.Report(modules)), diags
}

func testResult(r *tester.Result) TestResult {
	out := TestResult{Package: r.Package, Name: r.Name, Status: "pass", Output: string(r.Output), At: place(r.Location), Duration: r.Duration}
	switch {
	case r.Skip:
		out.Status = "skip"
	case r.Error != nil:
		out.Status, out.Problem = "error", r.Error.Error()
	case r.Fail:
		out.Status, out.Problem = "fail", "The test is not true."
		if r.FailedAt != nil && r.FailedAt.Location != nil {
			out.Problem = "This does not hold: " + string(r.FailedAt.Location.Text)
			out.At = place(r.FailedAt.Location)
		}
	}
	return out
}

// coverage sums up a report, without the files that hold tests only.
func coverage(r cover.Report) *Coverage {
	out := &Coverage{Files: map[string]float64{}, Missed: map[string][]int{}}
	for name, file := range r.Files {
		if ok, _ := path.Match("*_test.rego", path.Base(name)); ok {
			continue
		}
		out.Covered += file.CoveredLines
		out.Lines += file.CoveredLines + file.NotCoveredLines
		out.Files[name] = file.Coverage
		for _, gap := range file.NotCovered {
			out.Missed[name] = append(out.Missed[name], gap.Start.Row)
		}
	}
	if out.Lines > 0 {
		out.Percent = 100 * float64(out.Covered) / float64(out.Lines)
	}
	return out
}
