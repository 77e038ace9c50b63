package projects

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
)

// TestSuffix is how the names of files with tests of workflows end.
const TestSuffix = ".tuttitest.hcl"

// TestFile is a file of tests of workflows.
type TestFile struct {
	Name  string
	Tests []*Test
	// Mocks and Stacks are for all tests of the file, after their own.
	Mocks  []*TestMock
	Stacks []*TestStack
	Files  map[string][]byte // its source text, for quoting
}

// Test is a test block: a run of a workflow in which nothing is real, and what
// is expected of it.
type Test struct {
	Name        string
	Workflow    Reference
	Environment string // empty for none
	Actor       string // who starts the run
	Variables   map[string]hcl.Expression
	Input       hcl.Expression // of a state machine; nil for {}
	Start       time.Time      // what the clock says then
	// Required says that nothing is made up: what has effects needs a mock.
	Required bool
	Mocks    []*TestMock
	Stacks   []*TestStack
	Acts     []*TestAct
	Asserts  []*configs.CheckRule

	EnvironmentRange hcl.Range
	DeclRange        hcl.Range
}

// TestMock is a mock block: what becomes of a step, or a state, instead of what
// it does.
type TestMock struct {
	Step      string         // NAME, NAME["key"], NAME.undo, CHILD.NAME
	Outputs   hcl.Expression // nil where they are made up
	Error     *TestError     // nil for success
	Duration  time.Duration
	Silent    bool // nothing is heard of it meanwhile
	Times     int  // attempts it is for; 0 for all
	StepRange hcl.Range
	DeclRange hcl.Range
}

// TestError is an error block of a mock.
type TestError struct{ Name, Cause string }

// TestStack is a stack block: what a stack gives to expressions.
type TestStack struct {
	Name      string
	Outputs   hcl.Expression
	NameRange hcl.Range
}

// TestAct is what somebody outside does meanwhile: a signal, approve, reject or
// cancel block.
type TestAct struct {
	Kind  string
	Event string // of a signal
	// Step is the step decided about, empty for whichever waits; of a signal the
	// step whose run hears it, empty for the run itself.
	Step string
	By   string
	// Data goes with a signal; nil for none.
	Data    hcl.Expression
	Comment string
	// At is when: a time after the start, or an instant. Where neither is given,
	// decisions are made After the step begins to wait, whenever it does.
	At        *time.Duration
	Instant   time.Time
	After     time.Duration
	StepRange hcl.Range
	DeclRange hcl.Range
}

// When is the instant of an act; false where it follows the step.
func (a *TestAct) When(start time.Time) (time.Time, bool) {
	switch {
	case a.At != nil:
		return start.Add(*a.At), true
	case !a.Instant.IsZero():
		return a.Instant, true
	}
	return start, a.Kind == "signal"
}

// TestFileNames lists the files with tests of workflows of a project: beside
// its own files, and in a folder of it.
func TestFileNames(dir, folder string) ([]string, error) {
	var out []string
	for i, from := range []string{dir, filepath.Join(dir, folder)} {
		if i > 0 && filepath.Clean(from) == filepath.Clean(dir) {
			break
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			if i > 0 && os.IsNotExist(err) {
				continue
			}
			return nil, err
		}
		for _, e := range entries {
			if !e.IsDir() && strings.HasSuffix(e.Name(), TestSuffix) && !strings.HasPrefix(e.Name(), ".") {
				out = append(out, filepath.Join(from, e.Name()))
			}
		}
	}
	sort.Strings(out)
	return out, nil
}

// LoadTestFile reads a file of tests.
func LoadTestFile(name string) (*TestFile, diag.List) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, diag.Errorf("Cannot read file", "%s.", files.Reason(err))
	}
	return ParseTestFile(name, src)
}

// testArguments are those of a test that may be given for a whole file as well.
var testArguments = []string{"workflow", "environment", "actor", "variables", "input", "start", "mocks"}

// ParseTestFile reads a file of tests from its source text. What could be read
// of a broken one is returned together with the problems.
func ParseTestFile(name string, src []byte) (*TestFile, diag.List) {
	out := &TestFile{Name: name, Files: map[string][]byte{name: src}}
	file, parsed := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	d := &decoder{}
	d.addHCL(parsed)
	if file == nil || file.Body == nil {
		return out, d.diags
	}
	whole := &hcl.Block{Body: file.Body, DefRange: file.Body.MissingItemRange()}
	content := d.content(whole, nil, testArguments,
		hcl.BlockHeaderSchema{Type: "test", LabelNames: []string{"name"}},
		hcl.BlockHeaderSchema{Type: "mock", LabelNames: []string{"step"}}, hcl.BlockHeaderSchema{Type: "stack", LabelNames: []string{"name"}})
	common := &Test{Variables: map[string]hcl.Expression{}, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Actor: "tester"}
	d.testArguments(content, common)
	names := map[string]hcl.Range{}
	for _, b := range content.Blocks {
		switch b.Type {
		case "mock":
			out.Mocks = append(out.Mocks, d.mock(b))
		case "stack":
			out.Stacks = append(out.Stacks, d.testStack(b))
		case "test":
			t := d.test(b, common)
			if first, twice := names[t.Name]; twice {
				d.errorAt(b.DefRange, "Duplicate test", "There is a test %q already at %s:%d.", t.Name, first.Filename, first.Start.Line)
				continue
			}
			names[t.Name] = b.DefRange
			out.Tests = append(out.Tests, t)
		}
	}
	return out, d.diags
}

// testArguments reads arguments into a test that has those of the file already.
func (d *decoder) testArguments(content *hcl.BodyContent, t *Test) {
	if attr := content.Attributes["workflow"]; attr != nil {
		t.Workflow, _ = d.reference(attr.Expr, "workflow")
	}
	if d.constant(content, "environment", &t.Environment) {
		t.EnvironmentRange = content.Attributes["environment"].Expr.Range()
	}
	d.constant(content, "actor", &t.Actor)
	for name, expr := range d.entries(content.Attributes["variables"]) {
		t.Variables[name] = expr
	}
	if attr := content.Attributes["input"]; attr != nil {
		t.Input = attr.Expr
	}
	var text string
	if d.constant(content, "start", &text) {
		start, err := time.Parse(time.RFC3339, text)
		if err != nil {
			d.errorAt(content.Attributes["start"].Expr.Range(), "Invalid instant", "%q is not an instant such as 2026-01-02T15:04:05Z.", text)
		} else {
			t.Start = start.UTC()
		}
	}
	text = ""
	if d.constant(content, "mocks", &text) {
		t.Required = text == "required"
		if text != "required" && text != "optional" {
			d.errorAt(content.Attributes["mocks"].Expr.Range(), "Invalid argument", "mocks is \"required\" or \"optional\": whether steps without a mock are an error, or succeed with outputs that are made up.")
		}
	}
}

func (d *decoder) test(block *hcl.Block, common *Test) *Test {
	content := d.content(block, nil, testArguments,
		hcl.BlockHeaderSchema{Type: "mock", LabelNames: []string{"step"}}, hcl.BlockHeaderSchema{Type: "stack", LabelNames: []string{"name"}},
		hcl.BlockHeaderSchema{Type: "signal"}, hcl.BlockHeaderSchema{Type: "approve"}, hcl.BlockHeaderSchema{Type: "reject"},
		hcl.BlockHeaderSchema{Type: "cancel"}, hcl.BlockHeaderSchema{Type: "assert"})
	t := *common
	t.Name, t.DeclRange, t.Variables = block.Labels[0], block.DefRange, map[string]hcl.Expression{}
	for name, expr := range common.Variables {
		t.Variables[name] = expr
	}
	d.testArguments(content, &t)
	if t.Workflow.Name == "" && content.Attributes["workflow"] == nil {
		d.errorAt(block.DefRange, "Test without a workflow", "A test says which workflow it is about: workflow = workflow.NAME, in the test or at the top of the file.")
	}
	for _, b := range content.Blocks {
		switch b.Type {
		case "mock":
			t.Mocks = append(t.Mocks, d.mock(b))
		case "stack":
			t.Stacks = append(t.Stacks, d.testStack(b))
		case "assert":
			if rule := d.assertion(b); rule != nil {
				t.Asserts = append(t.Asserts, rule)
			}
		default:
			t.Acts = append(t.Acts, d.act(b))
		}
	}
	return &t
}

func (d *decoder) assertion(block *hcl.Block) *configs.CheckRule {
	content := d.content(block, []string{"condition", "error_message"}, nil)
	condition, message := content.Attributes["condition"], content.Attributes["error_message"]
	if condition == nil || message == nil {
		return nil
	}
	return &configs.CheckRule{Condition: condition.Expr, ErrorMessage: message.Expr, DeclRange: block.DefRange}
}

func (d *decoder) mock(block *hcl.Block) *TestMock {
	content := d.content(block, nil, []string{"outputs", "duration", "silent", "times"}, hcl.BlockHeaderSchema{Type: "error"})
	m := &TestMock{Step: block.Labels[0], StepRange: block.LabelRanges[0], DeclRange: block.DefRange}
	m.Duration = d.duration(content, "duration")
	d.constant(content, "silent", &m.Silent)
	if d.constant(content, "times", &m.Times) && m.Times < 1 {
		d.errorAt(content.Attributes["times"].Expr.Range(), "Invalid number of attempts", "A mock is for one attempt at least; for all of them where it does not say times.")
	}
	if attr := content.Attributes["outputs"]; attr != nil {
		m.Outputs = attr.Expr
	}
	for _, b := range content.Blocks {
		if m.Error != nil {
			d.errorAt(b.DefRange, "Duplicate error block", "A mock fails with one error at most.")
			continue
		}
		m.Error = &TestError{}
		inner := d.content(b, []string{"name"}, []string{"cause"})
		d.constant(inner, "name", &m.Error.Name)
		d.constant(inner, "cause", &m.Error.Cause)
		if m.Outputs != nil {
			d.errorAt(m.Outputs.Range(), "Outputs and an error", "A step that fails has no outputs. Write two mocks, the first with times, for one that fails and succeeds later.")
		}
	}
	return m
}

func (d *decoder) testStack(block *hcl.Block) *TestStack {
	content := d.content(block, []string{"outputs"}, nil)
	s := &TestStack{Name: block.Labels[0], NameRange: block.LabelRanges[0]}
	if attr := content.Attributes["outputs"]; attr != nil {
		s.Outputs = attr.Expr
	}
	return s
}

// act reads a signal, approve, reject or cancel block.
func (d *decoder) act(block *hcl.Block) *TestAct {
	a := &TestAct{Kind: block.Type, DeclRange: block.DefRange, By: "tester"}
	var content *hcl.BodyContent
	switch block.Type {
	case "signal":
		content = d.content(block, []string{"event"}, []string{"at", "step", "by", "data"})
	case "cancel":
		content = d.content(block, []string{"at"}, nil)
	default:
		a.By = "approver"
		content = d.content(block, nil, []string{"at", "after", "step", "by", "comment"})
	}
	d.constant(content, "event", &a.Event)
	if d.constant(content, "step", &a.Step) {
		a.StepRange = content.Attributes["step"].Expr.Range()
	}
	d.constant(content, "by", &a.By)
	d.constant(content, "comment", &a.Comment)
	a.After = d.duration(content, "after")
	if attr := content.Attributes["data"]; attr != nil {
		a.Data = attr.Expr
	}
	var at string
	if !d.constant(content, "at", &at) {
		return a
	}
	rng := content.Attributes["at"].Expr.Range()
	if content.Attributes["after"] != nil {
		d.errorAt(rng, "Both at and after", "Give at, a time after the start, or after, a time after the step begins to wait.")
	}
	if instant, err := time.Parse(time.RFC3339, at); err == nil {
		a.Instant = instant.UTC()
		return a
	}
	length, err := ParseDuration(at)
	if err != nil {
		d.errorAt(rng, "Invalid time", "The argument \"at\" is a time after the start such as \"10m\", or an instant such as 2026-01-02T15:04:05Z: %s.", err)
	}
	a.At = &length
	return a
}
