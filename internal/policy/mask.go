package policy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// secrets collects values that must not be shown.
type secrets struct{ values map[string]bool }

func newSecrets() *secrets { return &secrets{map[string]bool{}} }

// add collects what of a value is marked sensitive, in a tree of marks.
func (s *secrets) add(v, marks any) {
	switch m := marks.(type) {
	case bool:
		if m {
			s.all(v)
		}
	case map[string]any:
		object, _ := v.(map[string]any)
		for name, mark := range m {
			s.add(object[name], mark)
		}
	case []any:
		list, _ := v.([]any)
		for i, mark := range m {
			if i < len(list) {
				s.add(list[i], mark)
			}
		}
	}
}

// state collects from the values of a state, as prior_state and planned_values
// have them.
func (s *secrets) state(v any) {
	doc, _ := v.(map[string]any)
	outputs, _ := doc["outputs"].(map[string]any)
	for _, o := range outputs {
		output, _ := o.(map[string]any)
		s.add(output["value"], output["sensitive"])
	}
	s.module(doc["root_module"])
}

func (s *secrets) module(v any) {
	m, _ := v.(map[string]any)
	resources, _ := m["resources"].([]any)
	for _, r := range resources {
		resource, _ := r.(map[string]any)
		s.add(resource["values"], resource["sensitive_values"])
	}
	children, _ := m["child_modules"].([]any)
	for _, child := range children {
		s.module(child)
	}
}

func (s *secrets) all(v any) {
	switch v := v.(type) {
	case string:
		if v != "" {
			s.values[v] = true
		}
	case json.Number:
		s.values[v.String()] = true
	case map[string]any:
		for _, e := range v {
			s.all(e)
		}
	case []any:
		for _, e := range v {
			s.all(e)
		}
	}
}

// list returns the values, the longest first.
func (s *secrets) list() []string {
	out := sorted(s.values)
	longestFirst(out)
	return out
}

// longestFirst is the order in which values are hidden: one may contain another.
func longestFirst(values []string) {
	slices.SortStableFunc(values, func(a, b string) int { return len(b) - len(a) })
}

const hiddenText = "(sensitive value)"

// mask hides sensitive values in what a rule says. A short one is hidden where it
// stands as a word of its own: as a part of other words it gives nothing away.
func (d *Document) mask(text string) string {
	for _, secret := range d.secrets {
		for _, form := range []string{secret, quoted(secret)} {
			if !strings.Contains(text, form) {
				continue
			}
			if len(form) > 3 {
				text = strings.ReplaceAll(text, form, hiddenText)
				continue
			}
			word := regexp.MustCompile(`(^|[^\pL\pN])` + regexp.QuoteMeta(form) + `($|[^\pL\pN])`)
			text = word.ReplaceAllString(text, "${1}"+hiddenText+"${2}")
		}
	}
	return text
}

// quoted is a string as it stands inside a JSON document.
func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return strings.Trim(string(raw), `"`)
}
