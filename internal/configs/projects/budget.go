package projects

import (
	"math/big"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Enforcement says what becomes of an apply that a rule is against.
type Enforcement string

// The levels of enforcement, as the field names them.
const (
	Advisory      Enforcement = "advisory"       // it is said
	SoftMandatory Enforcement = "soft-mandatory" // it is refused unless somebody says why not
	Mandatory     Enforcement = "mandatory"      // it is refused
)

// Budget is a budget block: what stacks may cost a month.
type Budget struct {
	Name   string
	Stacks []Reference // empty for all
	// Environments the budget is for, each by itself; empty for all.
	Environments []string
	Monthly      *big.Rat
	Currency     string
	Enforcement  Enforcement
	DeclRange    hcl.Range
	MonthlyRange hcl.Range
}

// About reports whether the budget is for a stack in an environment. The stack
// of a project without stacks has no name.
func (b *Budget) About(stack, environment string) bool {
	if len(b.Environments) > 0 && !slices.Contains(b.Environments, environment) {
		return false
	}
	return len(b.Stacks) == 0 || slices.ContainsFunc(b.Stacks, func(r Reference) bool { return r.Name == stack })
}

// Cost is the cost block: where prices and usage come from.
type Cost struct {
	Prices    []string // file names and patterns, relative to the project
	Usage     []string
	DeclRange hcl.Range
}

var currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)

func (d *decoder) budget(block *hcl.Block) *Budget {
	content := d.content(block, []string{"monthly"}, []string{"stacks", "environments", "currency", "enforcement"})
	b := &Budget{
		Name: block.Labels[0], DeclRange: block.DefRange, MonthlyRange: block.DefRange,
		Monthly: new(big.Rat), Currency: "USD", Enforcement: Mandatory,
	}
	b.Stacks = d.references(content.Attributes["stacks"], "stack")
	if attr := content.Attributes["stacks"]; attr != nil && len(b.Stacks) == 0 {
		d.errorAt(attr.Expr.Range(), "Budget of no stacks", "A budget must name stacks, or leave the argument out: it is then for all.")
	}
	d.constant(content, "environments", &b.Environments)
	if attr := content.Attributes["monthly"]; attr != nil {
		b.MonthlyRange = attr.Expr.Range()
		d.monthly(b, attr)
	}
	if d.constant(content, "currency", &b.Currency) && !currencyPattern.MatchString(b.Currency) {
		d.errorAt(content.Attributes["currency"].Expr.Range(), "Invalid currency", "%q is not a currency: write its three letters, such as \"USD\".", b.Currency)
	}
	var level string
	if d.constant(content, "enforcement", &level) {
		b.Enforcement = Enforcement(level)
		if !slices.Contains([]Enforcement{Advisory, SoftMandatory, Mandatory}, b.Enforcement) {
			d.errorAt(content.Attributes["enforcement"].Expr.Range(), "Invalid enforcement", "%q is none of the levels of enforcement: \"advisory\", \"soft-mandatory\", \"mandatory\".", level)
		}
	}
	return b
}

// monthly reads the amount exactly as it is written.
func (d *decoder) monthly(b *Budget, attr *hcl.Attribute) {
	v, diags := attr.Expr.Value(nil)
	if d.addHCL(diags); diags.HasErrors() {
		return
	}
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.Number || v.AsBigFloat().IsInf() || v.AsBigFloat().Sign() < 0 {
		d.errorAt(attr.Expr.Range(), "Invalid budget", "The argument \"monthly\" must be an amount: a number that is not negative.")
		return
	}
	f := v.AsBigFloat()
	if e := f.MantExp(nil); e > 200 || e < -200 && f.Sign() != 0 {
		d.errorAt(attr.Expr.Range(), "Invalid budget", "The argument \"monthly\" is not an amount that anybody has.")
		return
	}
	b.Monthly.SetString(f.Text('f', -1))
}

func (d *decoder) checkEnvironments(b *Budget) {
	for _, name := range b.Environments {
		if len(d.project.Environments) > 0 && d.project.Environments[name] == nil {
			d.errorAt(b.DeclRange, "Reference to undeclared environment", "The budget %q is for the environment %q, which this project does not declare.", b.Name, name)
		}
	}
}

func (d *decoder) cost(block *hcl.Block) {
	content := d.content(block, nil, []string{"prices", "usage"})
	if first := d.project.Cost; first != nil {
		d.errorAt(block.DefRange, "Duplicate cost", "There is a cost block at %s:%d already.", first.DeclRange.Filename, first.DeclRange.Start.Line)
		return
	}
	c := &Cost{DeclRange: block.DefRange}
	d.constant(content, "prices", &c.Prices)
	d.constant(content, "usage", &c.Usage)
	for _, name := range slices.Concat(c.Prices, c.Usage) {
		if _, err := filepath.Match(name, ""); err != nil {
			d.errorAt(block.DefRange, "Invalid pattern", "%q is not the name of a file or a pattern of such: %s.", name, err)
		}
	}
	d.project.Cost = c
}
