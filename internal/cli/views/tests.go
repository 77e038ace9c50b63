package views

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/tests"
)

// testMessage is what messages about tests have besides.
type testMessage struct {
	File     string              `json:"@testfile,omitempty"`
	Run      string              `json:"@testrun,omitempty"`
	Abstract map[string][]string `json:"test_abstract,omitempty"`
	TestFile *streamTest         `json:"test_file,omitempty"`
	TestRun  *streamTest         `json:"test_run,omitempty"`
	Summary  *TestSummary        `json:"test_summary,omitempty"`
}

// streamTest tells how a file or a run goes.
type streamTest struct {
	Path     string       `json:"path"`
	Run      string       `json:"run,omitempty"`
	Progress string       `json:"progress"` // starting, teardown, complete
	Status   tests.Status `json:"status,omitempty"`
	Trace    *streamTrace `json:"trace,omitempty"`
}

// streamTrace is the path that the run of a workflow took; times are seconds of
// the virtual clock.
type streamTrace struct {
	Steps []streamStep `json:"steps"`
	End   string       `json:"end"`
}

type streamStep struct {
	At      float64 `json:"at"`
	Step    string  `json:"step"`
	Action  string  `json:"action"`
	Attempt int     `json:"attempt"`
	Took    float64 `json:"took"`
	Outcome string  `json:"outcome,omitempty"`
}

func streamTraceOf(t *tests.Trace) *streamTrace {
	if t == nil {
		return nil
	}
	out := &streamTrace{Steps: []streamStep{}, End: t.End}
	for _, l := range t.Lines {
		out.Steps = append(out.Steps, streamStep{l.At.Seconds(), l.Step, l.Action, l.Attempt, l.Took.Seconds(), l.Outcome})
	}
	return out
}

// TestSummary counts how runs ended.
type TestSummary struct {
	Status  tests.Status `json:"status"`
	Passed  int          `json:"passed"`
	Failed  int          `json:"failed"`
	Errored int          `json:"errored"`
	Skipped int          `json:"skipped"`
}

// Summarize counts.
func Summarize(results []*tests.FileResult) TestSummary {
	out := TestSummary{Status: tests.Pass}
	for _, f := range results {
		if f.Status == tests.Error || out.Status == tests.Pass && f.Status == tests.Fail {
			out.Status = f.Status
		}
		for _, r := range f.Runs {
			switch r.Status {
			case tests.Pass:
				out.Passed++
			case tests.Fail:
				out.Failed++
			case tests.Error:
				out.Errored++
			default:
				out.Skipped++
			}
		}
	}
	return out
}

// Text says it in a line.
func (s TestSummary) Text() string {
	word := "Success!"
	if s.Status != tests.Pass {
		word = "Failure!"
	}
	text := fmt.Sprintf("%s %d passed, %d failed", word, s.Passed, s.Failed+s.Errored)
	if s.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", s.Skipped)
	}
	return text + "."
}

// shownStatus is the word for people: for them, an error is a failure as well.
func shownStatus(s tests.Status) string {
	if s == tests.Error {
		return string(tests.Fail)
	}
	return string(s)
}

// TestReport tells people how tests go.
type TestReport struct {
	T *Terminal // for what is told
	// Problems shows diagnostics.
	Problems func(diags diag.List, sources map[string][]byte)
	// Details, where not nil, shows the plan of a run.
	Details func(r *tests.RunResult)
	// Word is what one test is called: run where it is empty.
	Word string
	// Traces shows the paths of all tests of workflows, not only of those that did
	// not pass.
	Traces bool
}

// TestReport and TestStream implement tests.Watcher.
var (
	_ tests.Watcher = (*TestReport)(nil)
	_ tests.Watcher = (*TestStream)(nil)
)

func (v *TestReport) status(s tests.Status) string {
	color := green
	switch s {
	case tests.Fail, tests.Error:
		color = red
	case tests.Skip:
		color = dim
	}
	return v.T.paint(color, shownStatus(s))
}

// FileStarted implements tests.Watcher.
func (v *TestReport) FileStarted(f *configs.TestFile) {
	v.T.printf("%s... in progress\n", f.Name)
}

// RunStarted implements tests.Watcher.
func (v *TestReport) RunStarted(*configs.TestFile, *configs.TestRun) {}

// RunEnded implements tests.Watcher.
func (v *TestReport) RunEnded(f *configs.TestFile, r *tests.RunResult) {
	word := v.Word
	if word == "" {
		word = "run"
	}
	v.T.printf("  %s %q... %s\n", word, r.Run.Name, v.status(r.Status))
	if v.Details != nil && r.Plan != nil {
		v.Details(r)
	}
	if r.Trace != nil && (v.Traces || r.Status != tests.Pass) {
		v.T.printf("%s", traceText(r.Trace, v.Traces))
	}
	v.Problems(r.Diags, f.Files)
}

// shownLines bounds a path that nobody asked for: both of its ends say more than
// thousands of items between them.
const shownLines = 40

// traceText is a path as a table.
func traceText(t *tests.Trace, all bool) string {
	lines, left := t.Lines, 0
	if !all && len(lines) > shownLines {
		left = len(lines) - shownLines
		lines = append(append([]tests.TraceLine{}, lines[:shownLines/2]...), lines[len(lines)-shownLines/2:]...)
	}
	at, step, action := 0, 0, 0
	for _, l := range lines {
		at, step, action = max(at, len(tests.Lapse(l.At))), max(step, len(l.Step)), max(action, len(l.Action))
	}
	var b strings.Builder
	for i, l := range lines {
		if left > 0 && i == shownLines/2 {
			fmt.Fprintf(&b, "    ... %d more ...\n", left)
		}
		text := ""
		if l.Attempt > 1 {
			text = fmt.Sprintf("attempt %d", l.Attempt)
		}
		if l.Took > 0 {
			text = strings.TrimPrefix(text+", took "+tests.Lapse(l.Took), ", ")
		}
		if l.Outcome != "" {
			text = strings.TrimPrefix(text+", "+l.Outcome, ", ")
		}
		text = fmt.Sprintf("    %*s  %-*s  %-*s  %s", at, tests.Lapse(l.At), step, l.Step, action, l.Action, strings.ReplaceAll(text, "\n", " "))
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	b.WriteString("    " + strings.ReplaceAll(t.End, "\n", "\n    ") + "\n")
	return b.String()
}

// TearingDown implements tests.Watcher.
func (v *TestReport) TearingDown(f *configs.TestFile) {
	v.T.printf("%s... tearing down\n", f.Name)
}

// FileEnded implements tests.Watcher.
func (v *TestReport) FileEnded(f *configs.TestFile, r *tests.FileResult) {
	v.T.printf("%s... %s\n", f.Name, v.status(r.Status))
	v.Problems(append(r.Diags, leftBehind(r)...), f.Files)
}

// leftBehind names what could not be destroyed.
func leftBehind(r *tests.FileResult) diag.List {
	if len(r.Left) == 0 {
		return nil
	}
	var names []string
	for _, obj := range r.Left {
		names = append(names, "  - "+obj.String())
	}
	return diag.Errorf("Objects are left behind", "Cleaning up after %s did not destroy these objects, and nothing remembers them any more: destroy them by hand.\n%s", r.File.Name, strings.Join(names, "\n"))
}

// TestStream tells programs how tests go.
type TestStream struct {
	Stream *Stream
	Word   string // what one test is called: run block where it is empty
}

// Found says what is about to be run.
func (v *TestStream) Found(files []*configs.TestFile) {
	abstract, runs := map[string][]string{}, 0
	for _, f := range files {
		abstract[f.Name] = []string{}
		for _, r := range f.Runs {
			abstract[f.Name] = append(abstract[f.Name], r.Name)
			runs++
		}
	}
	word := v.Word
	if word == "" {
		word = "run block"
	}
	v.Stream.write(message{
		Message: fmt.Sprintf("Found %s and %s", countWord(len(files), "file"), countWord(runs, word)), Type: "test_abstract",
		testMessage: testMessage{Abstract: abstract},
	})
}

func countWord(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}

func (v *TestStream) file(name, text, progress string, status tests.Status) {
	v.Stream.write(message{Message: name + "... " + text, Type: "test_file", testMessage: testMessage{
		File: name, TestFile: &streamTest{Path: name, Progress: progress, Status: status},
	}})
}

func (v *TestStream) run(file, run, text, progress string, status tests.Status, trace *tests.Trace) {
	v.Stream.write(message{Message: fmt.Sprintf("  %q... %s", run, text), Type: "test_run", testMessage: testMessage{
		File: file, Run: run, TestRun: &streamTest{Path: file, Run: run, Progress: progress, Status: status, Trace: streamTraceOf(trace)},
	}})
}

// FileStarted implements tests.Watcher.
func (v *TestStream) FileStarted(f *configs.TestFile) { v.file(f.Name, "in progress", "starting", "") }

// RunStarted implements tests.Watcher.
func (v *TestStream) RunStarted(f *configs.TestFile, run *configs.TestRun) {
	v.run(f.Name, run.Name, "in progress", "starting", "", nil)
}

// RunEnded implements tests.Watcher.
func (v *TestStream) RunEnded(f *configs.TestFile, r *tests.RunResult) {
	v.run(f.Name, r.Run.Name, shownStatus(r.Status), "complete", r.Status, r.Trace)
	for _, d := range r.Diags {
		v.Stream.Diagnostic(d, f.Files)
	}
}

// TearingDown implements tests.Watcher.
func (v *TestStream) TearingDown(f *configs.TestFile) {
	v.file(f.Name, "tearing down", "teardown", "")
}

// FileEnded implements tests.Watcher.
func (v *TestStream) FileEnded(f *configs.TestFile, r *tests.FileResult) {
	for _, d := range append(r.Diags, leftBehind(r)...) {
		v.Stream.Diagnostic(d, f.Files)
	}
	v.file(f.Name, shownStatus(r.Status), "complete", r.Status)
}

// Summary says how it ended.
func (v *TestStream) Summary(s TestSummary) {
	v.Stream.write(message{Message: s.Text(), Type: "test_summary", testMessage: testMessage{Summary: &s}})
}

// The shape of JUnit's XML, as continuous integration reads it.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Class     string        `xml:"classname,attr"`
		Time      float64       `xml:"time,attr"`
		Timestamp string        `xml:"timestamp,attr,omitempty"`
		Skipped   *junitMessage `xml:"skipped,omitempty"`
		Failure   *junitMessage `xml:"failure,omitempty"`
		Error     *junitMessage `xml:"error,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes results as JUnit's XML.
func WriteJUnit(out io.Writer, results []*tests.FileResult) error {
	var doc junitSuites
	for _, f := range results {
		suite := junitSuite{Name: f.File.Name, Tests: len(f.Runs)}
		for _, r := range f.Runs {
			c := junitCase{Name: r.Run.Name, Class: f.File.Name, Time: r.Elapsed.Seconds(), Timestamp: r.Began.UTC().Format(time.RFC3339)}
			said := &junitMessage{Message: "The run did not pass", Text: plainText(r.Diags, f.File.Files)}
			if r.Trace != nil {
				said.Text += "\n\n" + traceText(r.Trace, false)
			}
			switch r.Status {
			case tests.Skip:
				suite.Skipped++
				c.Skipped = &junitMessage{}
			case tests.Fail:
				suite.Failures++
				c.Failure = said
			case tests.Error:
				suite.Errors++
				c.Error = said
			}
			suite.Cases = append(suite.Cases, c)
		}
		doc.Suites = append(doc.Suites, suite)
	}
	return writeXML(out, doc)
}

// plainText is diagnostics without colour.
func plainText(diags diag.List, sources map[string][]byte) string {
	var b strings.Builder
	(&Terminal{Out: &b, Width: 78}).Diagnostics(diags, sources)
	return strings.TrimSpace(b.String())
}
