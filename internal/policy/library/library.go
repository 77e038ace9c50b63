// Package library holds the rules that come with Tutti: Rego on Terraform plan
// JSON, in rules/, a directory for each provider and one for what holds for all.
// A policy uses them by the source "tutti:library" or, for one directory,
// "tutti:library/aws". What the rules may be told is in rules/settings/data.yaml;
// "tutti:library?settings=FILE" replaces members of it.
//
// Every rule has annotations (# METADATA) with its id, title, severity and what to
// do, and a passing and a failing example in testdata; docs/policy-rules.md lists
// them. No rule takes what is not known yet for something that is not there: see
// rules/lib/lib.rego.
package library

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

//go:embed rules
var rules embed.FS

// Prefix is how sources of policies name the library.
const Prefix = "tutti:library"

// shared is what every part needs.
var shared = []string{"lib", "settings"}

// Source is a source of a policy that names the library.
type Source struct {
	Part     string // a directory of rules; "": all
	Settings string // a file of the project; "": none
}

// ParseSource reads "tutti:library[/PART][?settings=FILE]"; ok is false for what
// does not name the library.
func ParseSource(source string) (s Source, ok bool, err error) {
	rest, ok := strings.CutPrefix(source, Prefix)
	if !ok {
		return Source{}, false, nil
	}
	rest, query, asked := strings.Cut(rest, "?")
	if asked {
		s.Settings, asked = strings.CutPrefix(query, "settings=")
		if !asked || s.Settings == "" {
			return Source{}, true, fmt.Errorf("%q must end with ?settings=FILE, or have no question mark", source)
		}
	}
	if rest == "" {
		return s, true, nil
	}
	s.Part = strings.TrimPrefix(rest, "/")
	if !strings.HasPrefix(rest, "/") || !slices.Contains(Parts(), s.Part) {
		return Source{}, true, fmt.Errorf("there is no %q: the parts of the library are %s", source, strings.Join(Parts(), ", "))
	}
	return s, true, nil
}

// Parts are the directories of rules that can be used alone.
func Parts() []string {
	entries, err := rules.ReadDir("rules")
	if err != nil {
		panic("library: " + err.Error()) // it is embedded
	}
	var out []string
	for _, e := range entries {
		if !slices.Contains(shared, e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out
}

// Files are those of a part (all, where it is ""), as a policy is prepared from
// them. settings, in YAML or JSON, replaces members of the settings of the library.
func Files(part string, settings []byte) map[string][]byte {
	files := map[string][]byte{}
	err := fs.WalkDir(rules, "rules", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(name, "rules/")
		dir := path.Dir(rel)
		if part == "" || dir == part || slices.Contains(shared, dir) {
			files[rel], err = rules.ReadFile(name)
		}
		return err
	})
	if err != nil {
		panic("library: " + err.Error()) // it is embedded
	}
	if len(settings) > 0 {
		files["library/data.yaml"] = settings
	}
	return files
}

// Rule is what is written about a rule.
type Rule struct {
	ID          string // PROVIDER.THEME.NAME
	Name        string // as findings have it: PACKAGE.RULE
	Title       string
	Description string
	Severity    string // low, medium, high, critical
	Compliance  string
	Remediation string
}

// Provider is the directory that the rule is in.
func (r *Rule) Provider() string {
	provider, _, _ := strings.Cut(r.ID, ".")
	return provider
}

// Rules lists the rules, by id.
func Rules() ([]Rule, error) {
	var out []Rule
	for name, src := range Files("", nil) {
		if path.Ext(name) != ".rego" {
			continue
		}
		m, err := ast.ParseModuleWithOpts(name, string(src), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, err
		}
		pkg := strings.TrimPrefix(m.Package.Path.String(), "data.")
		for _, r := range m.Rules {
			rule := string(r.Head.Name)
			if rule == "" {
				rule = strings.Trim(r.Head.Ref()[0].Value.String(), `"`)
			}
			if !strings.HasPrefix(rule, "deny_") && !strings.HasPrefix(rule, "warn_") {
				continue
			}
			one := Rule{Name: pkg + "." + rule}
			for _, a := range r.Annotations {
				text := func(name string) string { s, _ := a.Custom[name].(string); return s }
				one.ID, one.Title, one.Description = text("id"), a.Title, a.Description
				one.Severity, one.Compliance, one.Remediation = text("severity"), text("compliance"), text("remediation")
			}
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name)) })
	return out, nil
}
