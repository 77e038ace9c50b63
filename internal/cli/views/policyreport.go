package views

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/tutti-dev/tutti/internal/policy"
)

// PolicyReports writes a decision, by the name of the format.
var PolicyReports = map[string]func(*Terminal, *policy.Decision) error{
	"text": func(t *Terminal, d *policy.Decision) error { t.Decision(d); return nil },
	"json": func(t *Terminal, d *policy.Decision) error { return indentedJSON(t.Out, d) },
	"sarif": func(t *Terminal, d *policy.Decision) error {
		return indentedJSON(t.Out, sarifOf(d))
	},
	"junit": func(t *Terminal, d *policy.Decision) error { return policyJUnit(t.Out, d) },
}

func indentedJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// The shape of SARIF 2.1.0, as far as it is used here.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID         string            `json:"id"`
		Short      *sarifText        `json:"shortDescription,omitempty"`
		Properties map[string]string `json:"properties,omitempty"`
	}
	sarifResult struct {
		Rule      string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`

		Properties map[string]string `json:"properties,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

func sarifOf(d *policy.Decision) sarifLog {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "tutti", Rules: []sarifRule{}}}, Results: []sarifResult{}}
	rules := map[string]map[string]string{} // properties
	for _, f := range d.Findings {
		id := f.Policy + "/" + f.Rule
		if rules[id] == nil {
			rules[id] = map[string]string{"enforcement": string(f.Level)}
			rule := sarifRule{ID: id, Properties: rules[id]}
			if f.Title != "" {
				rule.Short = &sarifText{f.Title}
			}
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		// A rule is as severe as the worst it says.
		if score := securitySeverity[f.Severity]; score > rules[id]["security-severity"] {
			rules[id]["security-severity"] = score
		}
		r := sarifResult{Rule: id, Level: "warning", Message: sarifText{findingText(f)}}
		switch {
		case f.Blocks():
			r.Level = "error"
		case f.Status == policy.Unknown, f.Severity == "low", f.Severity == "info":
			r.Level = "note"
		}
		if f.Severity != "" {
			r.Properties = map[string]string{"severity": f.Severity}
		}
		if f.Fix != "" {
			r.Message.Text += "\nHow to fix it: " + f.Fix
		}
		var at sarifLocation
		// What is about no object of the configuration is of the rule: GitHub takes no
		// result without a place.
		if place := cmp.Or(f.Source, f.RuleAt); place != nil {
			uri := url.URL{Path: filepath.ToSlash(place.File)}
			at.Physical = &sarifPhysical{Artifact: sarifArtifact{uri.String()}, Region: sarifRegion{max(1, place.Line)}}
		}
		if subject := d.Subject(f); subject != "" {
			at.Logical = []sarifLogical{{subject}}
		}
		r.Locations = []sarifLocation{at}
		run.Results = append(run.Results, r)
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

// securitySeverity is what GitHub sorts findings by: a number as of CVSS, of which
// it makes words again: critical over 9, high from 7, medium from 4. None is above
// 9.9, so that they compare as texts.
var securitySeverity = map[string]string{"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0", "info": "0.0"}

// findingText is what a finding says in one line or more, without colour.
func findingText(f policy.Finding) string {
	if f.Status != policy.Unknown {
		return f.Message
	}
	if f.Message == "" {
		return unknownText(f)
	}
	return "To be judged at apply: " + f.Message
}

func policyJUnit(out io.Writer, d *policy.Decision) error {
	var doc junitSuites
	for _, p := range d.Policies {
		suite := junitSuite{Name: p.Policy}
		for _, f := range d.Findings {
			if f.Policy != p.Policy {
				continue
			}
			c := junitCase{Name: strings.TrimSpace(f.Rule + " " + d.Subject(f)), Class: p.Policy}
			switch {
			case f.Blocks():
				suite.Failures++
				c.Failure = &junitMessage{Message: f.Message, Text: placeText(d, f)}
			default:
				suite.Skipped++
				c.Skipped = &junitMessage{Message: findingText(f), Text: placeText(d, f)}
			}
			suite.Cases = append(suite.Cases, c)
		}
		if p.Passed > 0 {
			suite.Cases = append(suite.Cases, junitCase{Name: fmt.Sprintf("%d rules without findings", p.Passed), Class: p.Policy})
		}
		suite.Tests = len(suite.Cases)
		doc.Suites = append(doc.Suites, suite)
	}
	return writeXML(out, doc)
}

func placeText(d *policy.Decision, f policy.Finding) string {
	text := d.Subject(f)
	if f.Source != nil {
		text += fmt.Sprintf(" at %s:%d", f.Source.File, f.Source.Line)
	}
	if f.Severity != "" {
		text += "\nSeverity: " + f.Severity
	}
	if f.Fix != "" {
		text += "\nHow to fix it: " + f.Fix
	}
	return text
}

func writeXML(out io.Writer, doc any) error {
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(out, "\n")
	return err
}

// PolicyTests is what came of the tests in one directory.
type PolicyTests struct {
	Dir      string              `json:"directory"`
	Tests    []policy.TestResult `json:"tests"`
	Coverage *policy.Coverage    `json:"coverage"`
}

// Failed reports whether a test did not pass.
func (p PolicyTests) Failed() bool {
	for _, t := range p.Tests {
		if t.Status == "fail" || t.Status == "error" {
			return true
		}
	}
	return false
}

// PolicyTests shows results of tests; all says to show those that pass too.
func (t *Terminal) PolicyTests(list []PolicyTests, all bool) {
	for _, dir := range list {
		count := map[string]int{}
		for _, r := range dir.Tests {
			count[r.Status]++
			if r.Status == "pass" && !all {
				continue
			}
			t.printf("%-5s %s.%s\n", r.Status, r.Package, r.Name)
			if r.Problem != "" {
				at := ""
				if r.At != nil {
					at = fmt.Sprintf(" (%s:%d)", r.At.File, r.At.Line)
				}
				t.printf("      %s\n", indented(r.Problem+at, t.Width, 6))
			}
			if r.Output != "" {
				t.printf("      %s\n", strings.ReplaceAll(strings.TrimSpace(r.Output), "\n", "\n      "))
			}
		}
		t.printf("%s: %d passed, %d failed, %d skipped", dir.Dir, count["pass"], count["fail"]+count["error"], count["skip"])
		if dir.Coverage != nil && dir.Coverage.Lines > 0 {
			t.printf("; %.0f%% of %d lines covered", dir.Coverage.Percent, dir.Coverage.Lines)
		}
		t.printf(".\n")
		if all && dir.Coverage != nil {
			for _, name := range sortedKeys(dir.Coverage.Missed) {
				t.printf("  %s: not reached from line %s\n", name, strings.Trim(fmt.Sprint(dir.Coverage.Missed[name]), "[]"))
			}
		}
	}
}

// PolicyTestsJUnit writes results of tests as JUnit's XML.
func PolicyTestsJUnit(out io.Writer, list []PolicyTests) error {
	var doc junitSuites
	for _, dir := range list {
		suite := junitSuite{Name: dir.Dir, Tests: len(dir.Tests)}
		for _, r := range dir.Tests {
			c := junitCase{Name: r.Name, Class: r.Package, Time: r.Duration.Seconds()}
			said := &junitMessage{Message: r.Problem, Text: r.Output}
			switch r.Status {
			case "skip":
				suite.Skipped++
				c.Skipped = &junitMessage{}
			case "fail":
				suite.Failures++
				c.Failure = said
			case "error":
				suite.Errors++
				c.Error = said
			}
			suite.Cases = append(suite.Cases, c)
		}
		doc.Suites = append(doc.Suites, suite)
	}
	return writeXML(out, doc)
}
