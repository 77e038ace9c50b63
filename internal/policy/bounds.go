package policy

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// An estimate of which a part is not known still has a lower bound, at_least: it has a
// value, and that may grow. A rule that denies because it is too high already is right
// whatever comes; one that says nothing yet, or denies because it is low, is not. So
// it is watched like what is not known at all, and what a rule says for it is certain
// where the rule says it of the bound as it is and of one that is beyond all prices.

// beyond is more than anything costs. Rules may write whole numbers otherwise than
// others: there is one of each kind.
var beyond = []float64{1e15, 1e15 + 0.5}

// isBound reports whether an attribute is a lower bound.
func (a attribute) isBound() bool {
	return a.address == CostObject && a.path == "monthly.at_least" || a.path == "cost.monthly.at_least"
}

// raised is the document with all lower bounds that may grow beyond all prices, and
// what they are now.
func (d *Document) raised(plain input) (out input, bounds []float64) {
	about, _ := d.plan["tutti"].(map[string]any)
	estimate, _ := about["cost"].(map[string]any)
	object, ok := plain.term.Value.(ast.Object)
	if estimate == nil || !ok {
		return plain, nil
	}
	raise := func(of map[string]any, marks any) map[string]any {
		monthly, _ := of["monthly"].(map[string]any)
		mark, _ := marks.(map[string]any)
		mark, _ = mark["monthly"].(map[string]any)
		now, isNumber := monthly["at_least"].(json.Number)
		if !isNumber || mark["at_least"] != true {
			return of
		}
		value, err := now.Float64()
		if err != nil {
			return of
		}
		bounds = append(bounds, value)
		most := beyond[0]
		if value != math.Trunc(value) {
			most = beyond[1]
		}
		of, monthly = maps.Clone(of), maps.Clone(monthly)
		monthly["at_least"] = json.Number(strconv.FormatFloat(most, 'f', -1, 64))
		of["monthly"] = monthly
		return of
	}
	unknown := d.costUnknown()
	estimate = maps.Clone(raise(estimate, unknown))
	marks, _ := unknown["resources"].([]any)
	if list, ok := estimate["resources"].([]any); ok {
		resources := make([]any, len(list))
		for i, r := range list {
			resources[i] = r
			if one, ok := r.(map[string]any); ok && i < len(marks) {
				resources[i] = raise(one, marks[i])
			}
		}
		estimate["resources"] = resources
	}
	about = maps.Clone(about)
	about["cost"] = estimate
	value, err := ast.InterfaceToValue(about)
	if err != nil {
		return plain, nil
	}
	items := make([][2]*ast.Term, 0, object.Len())
	object.Foreach(func(k, v *ast.Term) {
		if text(k) == "tutti" {
			v = ast.NewTerm(value)
		}
		items = append(items, ast.Item(k, v))
	})
	return input{ast.ObjectTerm(items...), plain.index}, bounds
}

// lasting are the messages that a rule gives also where all lower bounds are beyond all
// prices, and whether it gives others there. Texts that have the bound in them are
// taken for the same.
func (j *judging) lasting(ctx context.Context, plain []said) (certain map[string]bool, more bool) {
	raised, bounds := j.d.raised(j.worker.plain)
	in := raised.shaped(j.p, j.d)
	then, err := j.eval(ctx, j.program(false, in), j.r.query, j.says, in, rego.EvalVirtualCache(topdown.NewVirtualCache()))
	if err != nil {
		return nil, true
	}
	said := map[string]bool{}
	for _, m := range then {
		said[blotted(m.term, beyond)] = true
	}
	certain = map[string]bool{}
	for _, m := range plain {
		if text := blotted(m.term, bounds); said[text] || said[m.term] {
			certain[m.term] = true
			delete(said, text)
			delete(said, m.term)
		}
	}
	return certain, len(said) > 0
}

var number = regexp.MustCompile(`[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?`)

// blotted is a text without numbers that are one of some values, as they are written
// with any number of decimals.
func blotted(text string, values []float64) string {
	return number.ReplaceAllStringFunc(text, func(token string) string {
		_, decimals, _ := strings.Cut(token, ".")
		for _, value := range values {
			if f, err := strconv.ParseFloat(token, 64); err == nil && f == value || token == strconv.FormatFloat(value, 'f', len(decimals), 64) {
				return "#"
			}
		}
		return token
	})
}
