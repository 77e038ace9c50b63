package configs

import (
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// TestFile is a file of tests (.tftest.hcl or .tftest.json), as Terraform's
// "terraform test" reads it.
type TestFile struct {
	Name      string
	Variables map[string]hcl.Expression
	// Providers are provider blocks that stand for those of the root module.
	Providers map[addrs.LocalProviderConfig]*ProviderConfig
	Mocks     []*MockProvider
	Overrides []*Override
	Runs      []*TestRun
	// Files has the source text of the file, and of files with mocks, for quoting.
	Files map[string][]byte
}

// MockProvider is a mock_provider block: a provider that makes nothing.
type MockProvider struct {
	Local     addrs.LocalProviderConfig
	Resources map[string]*Mock // by type
	Data      map[string]*Mock // by type
	Overrides []*Override
	DeclRange hcl.Range
}

// Mock says what a mocked type has for values that a provider computes.
type Mock struct {
	Defaults hcl.Expression // nil where there are none
	// DuringPlan makes the values known when planning already.
	DuringPlan bool
}

// Override is an override_resource, override_data or override_module block.
type Override struct {
	Kind       string // resource, data, module
	Target     addrs.Target
	Values     hcl.Expression // values, or outputs of a module; nil where none are given
	DuringPlan bool
	DeclRange  hcl.Range
}

// TestRun is a run block.
type TestRun struct {
	Name      string
	PlanOnly  bool   // command = plan
	Mode      string // normal or refresh-only
	NoRefresh bool
	Replace   []hcl.Traversal
	Targets   []addrs.Target
	Variables map[string]hcl.Expression
	// Module is the local source of another module to run; empty for the one
	// under test.
	Module      string
	ModuleRange hcl.Range
	Providers   map[addrs.LocalProviderConfig]Passed // nil where not given
	Asserts     []*CheckRule
	Expected    []hcl.Traversal // expect_failures
	Overrides   []*Override
	StateKey    string
	DeclRange   hcl.Range
}

// TestFileNames lists the test files of a module: beside its configuration, and
// in its folder of tests.
func TestFileNames(dir, tests string) ([]string, error) {
	var out []string
	for _, folder := range []string{dir, filepath.Join(dir, tests)} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			if os.IsNotExist(err) {
				continue
			}
			return nil, err
		}
		for _, entry := range entries {
			name := entry.Name()
			if !entry.IsDir() && (strings.HasSuffix(name, ".tftest.hcl") || strings.HasSuffix(name, ".tftest.json")) {
				out = append(out, filepath.Join(folder, name))
			}
		}
		if filepath.Clean(folder) == filepath.Clean(filepath.Join(dir, tests)) {
			break
		}
	}
	sort.Strings(out)
	return out, nil
}

var testFileSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "test"},
	{Type: "variables"},
	{Type: "provider", LabelNames: []string{"name"}},
	{Type: "mock_provider", LabelNames: []string{"name"}},
	{Type: "override_resource"}, {Type: "override_data"}, {Type: "override_module"},
	{Type: "run", LabelNames: []string{"name"}},
}}

// LoadTestFile reads a file of tests.
func LoadTestFile(name string) (*TestFile, diag.List) {
	s := source{files: map[string][]byte{}}
	parsed, diags := s.parse(name)
	if parsed == nil {
		return nil, diags
	}
	d := newDecoder(filepath.Dir(name))
	d.add(diags)
	content, hclDiags := parsed.Body.Content(testFileSchema)
	d.addHCL(hclDiags)
	f := &TestFile{Name: name, Variables: map[string]hcl.Expression{}, Files: s.files}
	names := map[string]hcl.Range{}
	for _, block := range content.Blocks {
		switch block.Type {
		case "variables":
			d.expressions(block, f.Variables)
		case "provider":
			d.provider(block)
		case "mock_provider":
			d.mockProvider(block, f, s)
		case "run":
			run := d.testRun(block)
			if first, twice := names[run.Name]; twice {
				d.errorAt(block.DefRange, "Duplicate run block", "There is a run block %q already at %s.", run.Name, position(first))
				continue
			}
			names[run.Name] = block.DefRange
			f.Runs = append(f.Runs, run)
		case "test":
			// Whether runs may go on side by side: they are run one after another.
		default:
			f.Overrides = append(f.Overrides, d.override(block)...)
		}
	}
	f.Providers = d.module.ProviderConfigs
	return f, d.diags
}

// expressions collects the arguments of a block.
func (d *decoder) expressions(block *hcl.Block, into map[string]hcl.Expression) {
	attrs, diags := block.Body.JustAttributes()
	d.addHCL(diags)
	for name, attr := range attrs {
		into[name] = attr.Expr
	}
}

var testRunSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "command"}, {Name: "providers"}, {Name: "expect_failures"}, {Name: "state_key"}, {Name: "parallel"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "plan_options"}, {Type: "variables"}, {Type: "module"}, {Type: "assert"},
		{Type: "override_resource"}, {Type: "override_data"}, {Type: "override_module"},
	},
}

func (d *decoder) testRun(block *hcl.Block) *TestRun {
	run := &TestRun{Name: block.Labels[0], Mode: "normal", Variables: map[string]hcl.Expression{}, DeclRange: block.DefRange}
	content, diags := block.Body.Content(testRunSchema)
	d.addHCL(diags)
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "command":
			switch word := d.keyword(attr); word {
			case "plan":
				run.PlanOnly = true
			case "apply":
			default:
				d.errorAt(attr.Expr.Range(), "Invalid command", "A run does plan or apply, not %q.", word)
			}
		case "providers":
			run.Providers = d.passedProviders(attr)
		case "expect_failures":
			run.Expected = d.traversals(attr)
		case "state_key":
			run.StateKey, _ = d.constString(attr)
		}
	}
	for _, b := range content.Blocks {
		switch b.Type {
		case "plan_options":
			d.planOptions(b, run)
		case "variables":
			d.expressions(b, run.Variables)
		case "module":
			d.testModule(b, run)
		case "assert":
			if rule := d.checkRule(b); rule != nil {
				run.Asserts = append(run.Asserts, rule)
			}
		default:
			run.Overrides = append(run.Overrides, d.override(b)...)
		}
	}
	return run
}

var testModuleSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "source", Required: true}, {Name: "version"}}}

func (d *decoder) testModule(block *hcl.Block, run *TestRun) {
	content, diags := block.Body.Content(testModuleSchema)
	d.addHCL(diags)
	attr := content.Attributes["source"]
	if attr == nil {
		return
	}
	text, ok := d.constString(attr)
	if !ok {
		return
	}
	if !IsLocalSource(text) {
		d.errorAt(attr.Expr.Range(), "Unsupported module source", "A run can have modules from local paths only: one that starts with ./ or ../, seen from the module under test.")
		return
	}
	run.Module, run.ModuleRange = text, attr.Expr.Range()
}

var planOptionsSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "mode"}, {Name: "refresh"}, {Name: "replace"}, {Name: "target"}}}

func (d *decoder) planOptions(block *hcl.Block, run *TestRun) {
	content, diags := block.Body.Content(planOptionsSchema)
	d.addHCL(diags)
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "mode":
			run.Mode = d.keyword(attr)
			if run.Mode != "normal" && run.Mode != "refresh-only" {
				d.errorAt(attr.Expr.Range(), "Invalid mode", "The mode of a plan is normal or refresh-only, not %q.", run.Mode)
			}
		case "refresh":
			run.NoRefresh = !d.constBool(attr)
		case "replace":
			run.Replace = d.traversals(attr)
		case "target":
			for _, t := range d.traversals(attr) {
				if target, problem := traversalTarget(t); problem != "" {
					d.errorAt(t.SourceRange(), "Invalid target", "%s", problem)
				} else {
					run.Targets = append(run.Targets, target)
				}
			}
		}
	}
}

var overrideSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "target", Required: true}, {Name: "values"}, {Name: "outputs"}, {Name: "override_during"}}}

func (d *decoder) override(block *hcl.Block) []*Override {
	content, diags := block.Body.Content(overrideSchema)
	d.addHCL(diags)
	o := &Override{Kind: strings.TrimPrefix(block.Type, "override_"), DeclRange: block.DefRange}
	for _, attr := range content.Attributes {
		switch attr.Name {
		case "target":
			target, ok := d.target(attr.Expr)
			if !ok {
				return nil
			}
			o.Target = target
		case "values", "outputs":
			o.Values = attr.Expr
		case "override_during":
			o.DuringPlan = d.keyword(attr) == "plan"
		}
	}
	return []*Override{o}
}

var (
	mockProviderSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "alias"}, {Name: "source"}, {Name: "override_during"}},
		Blocks:     mockBlocks,
	}
	mockFileSchema = &hcl.BodySchema{Blocks: mockBlocks}
	mockBlocks     = []hcl.BlockHeaderSchema{
		{Type: "mock_resource", LabelNames: []string{"type"}}, {Type: "mock_data", LabelNames: []string{"type"}},
		{Type: "override_resource"}, {Type: "override_data"}, {Type: "override_module"},
	}
	mockSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "defaults"}, {Name: "override_during"}}}
)

func (d *decoder) mockProvider(block *hcl.Block, f *TestFile, s source) {
	content, diags := block.Body.Content(mockProviderSchema)
	d.addHCL(diags)
	m := &MockProvider{
		Local:     addrs.LocalProviderConfig{LocalName: block.Labels[0]},
		Resources: map[string]*Mock{}, Data: map[string]*Mock{}, DeclRange: block.DefRange,
	}
	during := false
	if attr := content.Attributes["override_during"]; attr != nil {
		during = d.keyword(attr) == "plan"
	}
	if attr := content.Attributes["alias"]; attr != nil {
		m.Local.Alias, _ = d.constString(attr)
	}
	if attr := content.Attributes["source"]; attr != nil {
		if dir, ok := d.constString(attr); ok {
			d.mockFiles(dir, attr.Expr.Range(), m, during, s)
		}
	}
	d.mocks(content.Blocks, m, during)
	f.Mocks = append(f.Mocks, m)
}

// mockFiles reads the mocks of a folder (.tfmock.hcl).
func (d *decoder) mockFiles(dir string, rng hcl.Range, m *MockProvider, during bool, s source) {
	names, err := filepath.Glob(filepath.Join(dir, "*.tfmock.*"))
	if err != nil || len(names) == 0 {
		d.errorAt(rng, "No mocks found", "The folder %s, seen from the module under test, has no files that end in .tfmock.hcl or .tfmock.json.", dir)
		return
	}
	for _, name := range names {
		parsed, diags := s.parse(name)
		d.add(diags)
		if parsed == nil {
			continue
		}
		content, hclDiags := parsed.Body.Content(mockFileSchema)
		d.addHCL(hclDiags)
		d.mocks(content.Blocks, m, during)
	}
}

func (d *decoder) mocks(blocks hcl.Blocks, m *MockProvider, during bool) {
	for _, b := range blocks {
		into := m.Resources
		switch b.Type {
		case "mock_data":
			into = m.Data
		case "mock_resource":
		default:
			m.Overrides = append(m.Overrides, d.override(b)...)
			continue
		}
		content, diags := b.Body.Content(mockSchema)
		d.addHCL(diags)
		mock := &Mock{DuringPlan: during}
		if attr := content.Attributes["defaults"]; attr != nil {
			mock.Defaults = attr.Expr
		}
		if attr := content.Attributes["override_during"]; attr != nil {
			mock.DuringPlan = d.keyword(attr) == "plan"
		}
		into[b.Labels[0]] = mock
	}
}
