// Command rules holds the examples of the library of rules against what Trivy says of the
// same plan JSON, and prints a table in Markdown: a rule a line, how many of its
// failing examples Trivy finds fault with too, and by which checks. It is a module of
// its own, so that what Trivy needs never touches what Tutti needs.
//
// Which check goes with which rule is guessed: a failing example counts as caught
// where Trivy blames it for something that it blames no passing example of the
// rule for. The examples are single objects with few attributes; checks that need
// several of them (a bucket and its ACL) say nothing here. The table shows where
// the two differ, not which is the better.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/aquasecurity/trivy/pkg/iac/rego"
	"github.com/aquasecurity/trivy/pkg/iac/scanners/terraformplan/tfjson"
	"github.com/aquasecurity/trivy/pkg/log"
)

// example is one plan that was written by the tests of the library.
type example struct {
	Rule string          `json:"rule"`
	Fail bool            `json:"fail"`
	Plan json.RawMessage `json:"plan"`
}

func main() {
	dir := flag.String("examples", "", "directory with the examples, as written by go test ./internal/policy/library -run TestExamples -write=DIR")
	flag.Parse()
	log.SetDefault(log.New(slog.DiscardHandler))
	if err := run(context.Background(), *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// line is what came of the failing examples of a rule.
type line struct {
	fail, caught int
	checks       map[string]bool
}

func run(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there are no examples in %q: %v", dir, err)
	}
	scanner := tfjson.New(rego.WithEmbeddedPolicies(true), rego.WithEmbeddedLibraries(true))
	found := map[string][]map[string]bool{} // by rule: what each failing example is blamed for
	good := map[string]map[string]bool{}    // what a passing one is blamed for too
	lines := map[string]*line{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var e example
		if err := json.Unmarshal(src, &e); err != nil {
			return err
		}
		if lines[e.Rule] == nil {
			lines[e.Rule], good[e.Rule] = &line{checks: map[string]bool{}}, map[string]bool{}
		}
		results, err := scanner.Scan(ctx, bytes.NewReader(e.Plan))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		blamed := map[string]bool{}
		for _, r := range results.GetFailed() {
			blamed[r.Rule().ID] = true
		}
		if !e.Fail {
			for id := range blamed {
				good[e.Rule][id] = true
			}
			continue
		}
		lines[e.Rule].fail++
		found[e.Rule] = append(found[e.Rule], blamed)
	}
	rules := make([]string, 0, len(lines))
	for rule, l := range lines {
		rules = append(rules, rule)
		for _, blamed := range found[rule] {
			own := false
			for id := range blamed {
				if !good[rule][id] {
					own, l.checks[id] = true, true
				}
			}
			if own {
				l.caught++
			}
		}
	}
	sort.Strings(rules)
	fmt.Print("| rule | failing examples | also caught by Trivy | its checks |\n|---|---|---|---|\n")
	all, caught := 0, 0
	for _, rule := range rules {
		l := lines[rule]
		ids := make([]string, 0, len(l.checks))
		for id := range l.checks {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		fmt.Printf("| `%s` | %d | %d | %s |\n", rule, l.fail, l.caught, strings.Join(ids, ", "))
		all, caught = all+l.fail, caught+l.caught
	}
	fmt.Printf("\n%d of %d failing examples are caught by both.\n", caught, all)
	return nil
}
