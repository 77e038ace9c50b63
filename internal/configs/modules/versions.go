package modules

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// constraints are the comparisons a version must meet, all of them.
type constraints []constraint

type constraint struct {
	check version.Constraints
	exact *version.Version // for a comparison with "=" or none
}

// constraintsOf reads the version argument of a module block.
func constraintsOf(call *configs.ModuleCall) (constraints, diag.List) {
	var out constraints
	var diags diag.List
	for _, written := range call.Constraints {
		for _, part := range strings.Split(written.Constraint, ",") {
			part = strings.TrimSpace(part)
			check, err := version.NewConstraint(part)
			if err != nil {
				diags = append(diags, diag.ErrorAt(written.Range, "Invalid version constraint",
					"%q is not a version constraint. Write for example \"~> 1.2\" or \">= 1.2.0, < 2.0.0\".", written.Constraint)...)
				break
			}
			c := constraint{check: check}
			if strings.Trim(part[:min(1, len(part))], "<>~!") != "" {
				c.exact, _ = version.NewVersion(strings.TrimSpace(strings.TrimPrefix(part, "=")))
			}
			out = append(out, c)
		}
	}
	return out, diags
}

// allow reports whether a version meets all comparisons. A prerelease must be
// asked for exactly.
func (cs constraints) allow(v *version.Version) bool {
	asked := v.Prerelease() == ""
	for _, c := range cs {
		switch {
		case c.exact != nil && c.exact.Equal(v):
			asked = true
		case !c.check.Check(v.Core()), v.Prerelease() == "" && !c.check.Check(v):
			return false
		}
	}
	return asked
}

func (cs constraints) allowText(text string) bool {
	v, err := version.NewVersion(text)
	return err == nil && cs.allow(v)
}

// newest picks the newest version allowed. The error completes the sentence
// "Module x: …".
func (cs constraints) newest(texts []string) (chosen string, err error) {
	var best, newest *version.Version
	for _, text := range texts {
		v, err := version.NewVersion(text)
		if err != nil {
			continue // not a version that anything can ask for
		}
		if newest == nil || v.GreaterThan(newest) {
			newest = v
		}
		if cs.allow(v) && (best == nil || v.GreaterThan(best)) {
			best, chosen = v, text
		}
	}
	switch {
	case best != nil:
		return chosen, nil
	case newest == nil:
		return "", fmt.Errorf("the registry has no versions of it")
	}
	return "", fmt.Errorf("no available version meets the version constraint; the newest available is %s", newest)
}
