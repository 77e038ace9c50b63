package install

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
)

// constraint is one comparison of a version constraint, such as ">= 1.2".
type constraint struct {
	operator string // "" for an exact version
	boundary *version.Version
	parts    int // how many numbers were written: it matters for ~>
	check    version.Constraints
}

// operatorOrder sorts comparisons with the same version.
var operatorOrder = [...]string{">", ">=", "", "~>", "<=", "<", "!="}

// constraints is what all of a provider's users together demand.
type constraints []constraint

// parseConstraints reads constraint texts, each of which may hold several
// comparisons separated by commas.
func parseConstraints(texts []string) (constraints, error) {
	var out constraints
	for _, text := range texts {
		for _, part := range strings.Split(text, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			c, err := parseConstraint(part)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

func parseConstraint(text string) (constraint, error) {
	var c constraint
	rest := text
	for _, operator := range []string{"~>", ">=", "<=", "!=", ">", "<", "="} {
		if after, ok := strings.CutPrefix(text, operator); ok {
			c.operator, rest = operator, strings.TrimSpace(after)
			break
		}
	}
	if c.operator == "=" {
		c.operator = ""
	}
	boundary, err := version.NewVersion(rest)
	if err != nil || strings.HasPrefix(rest, "v") {
		return c, fmt.Errorf("%q is not a version constraint; write for example \"~> 1.2\" or \">= 1.2.0, < 2.0.0\"", text)
	}
	c.boundary = boundary
	core, _, _ := strings.Cut(rest, "-")
	core, _, _ = strings.Cut(core, "+")
	c.parts = strings.Count(core, ".") + 1
	c.check, err = version.NewConstraint(strings.TrimSpace(c.operator + " " + rest))
	if err != nil {
		return c, fmt.Errorf("%q is not a version constraint: %w", text, err)
	}
	return c, nil
}

// allow reports whether a version meets all comparisons. A prerelease must be
// asked for exactly.
func (cs constraints) allow(v *version.Version) bool {
	asked := v.Prerelease() == ""
	for _, c := range cs {
		if v.Prerelease() != "" {
			if c.operator == "" && c.boundary.Equal(v) {
				asked = true
				continue
			}
			if !c.check.Check(v.Core()) {
				return false
			}
			continue
		}
		if !c.check.Check(v) {
			return false
		}
	}
	return asked
}

// String is the form of lock files: comparisons by version, each once, versions
// written out.
func (cs constraints) String() string {
	list := slices.Clone(cs)
	sort.SliceStable(list, func(i, j int) bool {
		if order := list[i].boundary.Compare(list[j].boundary); order != 0 {
			return order < 0
		}
		if order := slices.Index(operatorOrder[:], list[i].operator) - slices.Index(operatorOrder[:], list[j].operator); order != 0 {
			return order < 0
		}
		return list[i].parts > list[j].parts
	})
	texts := make([]string, 0, len(list))
	for _, c := range list {
		texts = append(texts, c.String())
	}
	return strings.Join(slices.Compact(texts), ", ")
}

func (c constraint) String() string {
	segments := c.boundary.Segments()
	if c.operator == "~>" && c.parts <= 2 {
		segments = segments[:2]
	}
	numbers := make([]string, len(segments))
	for i, n := range segments {
		numbers[i] = strconv.Itoa(n)
	}
	text := strings.Join(numbers, ".")
	if pre := c.boundary.Prerelease(); pre != "" {
		text += "-" + pre
	}
	if meta := c.boundary.Metadata(); meta != "" {
		text += "+" + meta
	}
	return strings.TrimSpace(c.operator + " " + text)
}

// newest returns the newest version that the constraints allow, or nil.
func (cs constraints) newest(list []available) *available {
	var best *available
	for i := range list {
		if cs.allow(list[i].version) && (best == nil || best.version.LessThan(list[i].version)) {
			best = &list[i]
		}
	}
	return best
}
