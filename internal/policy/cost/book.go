package cost

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
)

// Row is one price.
type Row struct {
	Provider string `json:"provider"` // last part of its source, or all of it
	Type     string `json:"type"`     // of the resource; may end in * where it is free
	Region   string `json:"region"`   // * for all
	// Component is what the price is of: compute, storage. A component whose name
	// ends in ? is one that not every resource of the type has.
	Component string `json:"component"`
	// Each names blocks that each have such a component; match and quantity are
	// then about the block.
	Each     string `json:"each"`
	Match    string `json:"match"`
	Quantity string `json:"quantity"`
	Unit     string `json:"unit"`
	Price    Amount `json:"price"`
	Currency string `json:"currency"`
	Date     string `json:"date"`   // of the price: 2025, 2025-06 or 2025-06-30
	Source   string `json:"source"` // where it comes from
	Notes    string `json:"notes"`  // what it leaves out or assumes

	match    []matcher
	quantity quantity
	own      bool // the user's
	where    string
}

// Book is prices. The zero Book is empty.
type Book struct {
	Rows  []*Row
	types map[string]*priced
	free  []*Row // with a type that ends in *
}

// priced is what a book knows of a resource type.
type priced struct {
	components []*component // in order of their first row
	free       []*Row
}

type component struct {
	name, each string
	optional   bool
	rows       []*Row   // the user's first
	shelves    []*shelf // the same rows, in the order of the first of each
	paths      []string
}

// shelf is rows for the same region of the same provider. Where all of them ask
// first for the same attribute, they are found by its value: there are hundreds
// for machine types.
type shelf struct {
	provider, region string
	own              bool
	rows             []*Row
	key              string // path of that attribute; empty for none
	byValue          map[string][]*Row
}

var (
	datePattern     = regexp.MustCompile(`^\d{4}(-\d{2}(-\d{2})?)?$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
)

// check completes a row that was read and says what is wrong with it.
func (r *Row) check() error {
	u, ok := units[r.Unit]
	switch {
	case r.Type == "" || !validPath(strings.TrimSuffix(r.Type, "*")):
		return fmt.Errorf("%q is not a resource type", r.Type)
	case strings.HasSuffix(r.Type, "*") && r.Unit != freeUnit:
		return fmt.Errorf("type %q: only types that are free may end in *", r.Type)
	case !ok:
		return fmt.Errorf("%q is not a unit; units are %s", r.Unit, strings.Join(unitNames(), ", "))
	case r.Price.Sign() < 0:
		return fmt.Errorf("the price %s is negative", r.Price)
	case r.Unit == freeUnit && r.Price.Sign() != 0:
		return fmt.Errorf("the unit is %q, but the price is %s", freeUnit, r.Price)
	case r.Unit != freeUnit && !currencyPattern.MatchString(r.Currency):
		return fmt.Errorf("%q is not a currency: write its three letters, such as USD", r.Currency)
	case r.Date != "" && !datePattern.MatchString(r.Date):
		return fmt.Errorf("%q is not a date: write 2025, 2025-06 or 2025-06-30", r.Date)
	case r.Each != "" && !validPath(r.Each):
		return fmt.Errorf("%q is not the name of blocks", r.Each)
	}
	var err error
	if r.match, err = parseMatch(r.Match); err != nil {
		return err
	}
	if r.quantity, err = parseQuantity(r.Quantity); err != nil {
		return err
	}
	if u.usage && !r.quantity.usesUsage() {
		return fmt.Errorf("the unit %q is of use, so the quantity must name some usage: usage.NAME", r.Unit)
	}
	if r.Region == "" {
		r.Region = "*"
	}
	if r.Component == "" {
		r.Component = "total"
	}
	r.Region = normalRegion(r.Region)
	return nil
}

func (q quantity) usesUsage() bool {
	for _, f := range q {
		if f.usage != "" {
			return true
		}
	}
	return false
}

// NewBook makes a book of rows. Rows of the user, in the order given, come
// before ours.
func NewBook(own, ours []*Row) *Book {
	b := &Book{types: map[string]*priced{}}
	add := func(r *Row) {
		b.Rows = append(b.Rows, r)
		if strings.HasSuffix(r.Type, "*") {
			b.free = append(b.free, r)
			return
		}
		p := b.types[r.Type]
		if p == nil {
			p = &priced{}
			b.types[r.Type] = p
		}
		if r.Unit == freeUnit {
			p.free = append(p.free, r)
			return
		}
		p.add(r)
	}
	for _, r := range own {
		r.own = true
		add(r)
	}
	for _, r := range ours {
		add(r)
	}
	return b
}

// Lists reports whether the book has prices of a resource type.
func (b *Book) Lists(typ string) bool {
	p := b.types[typ]
	return p != nil && len(p.components) > 0
}

func (p *priced) add(r *Row) {
	name, optional := strings.CutSuffix(r.Component, "?")
	var c *component
	for _, have := range p.components {
		if have.name == name && have.each == r.Each {
			c = have
		}
	}
	if c == nil {
		c = &component{name: name, each: r.Each}
		p.components = append(p.components, c)
	}
	c.optional = c.optional || optional
	c.rows = append(c.rows, r)
	c.shelve(r)
	for _, m := range r.match {
		if i, found := slices.BinarySearch(c.paths, m.path); !found {
			c.paths = slices.Insert(c.paths, i, m.path)
		}
	}
}

// shelve puts a row on its shelf.
func (c *component) shelve(r *Row) {
	var s *shelf
	for _, have := range c.shelves {
		if have.provider == r.Provider && have.region == r.Region && have.own == r.own {
			s = have
		}
	}
	key, values := r.literal()
	if s == nil {
		s = &shelf{provider: r.Provider, region: r.Region, own: r.own, key: key, byValue: map[string][]*Row{}}
		c.shelves = append(c.shelves, s)
	}
	s.rows = append(s.rows, r)
	if key != s.key {
		s.key = "" // not all alike: they are looked through
	}
	for _, v := range values {
		s.byValue[v] = append(s.byValue[v], r)
	}
}

// literal is the attribute that a row asks for first, and the values it wants,
// where these are only plain texts.
func (r *Row) literal() (path string, values []string) {
	if len(r.match) == 0 || r.match[0].op != "=" {
		return "", nil
	}
	for _, v := range r.match[0].values {
		if v == "null" || v == "?" || strings.Contains(v, "*") {
			return "", nil
		}
	}
	return r.match[0].path, r.match[0].values
}

// candidates lists the rows that may match an object.
func (s *shelf) candidates(o *object) []*Row {
	if s.key == "" {
		return s.rows
	}
	v := o.get(s.key)
	switch {
	case !v.IsKnown():
		return s.rows
	case v.IsNull():
		return nil
	}
	text, _ := textOf(v)
	return s.byValue[text]
}

// own reports whether the user has prices of the type.
func (p *priced) own() bool {
	for _, c := range p.components {
		if c.rows[0].own {
			return true
		}
	}
	return false
}

// isFree reports whether an object costs nothing. A price of the user's wins over
// our saying so.
func (b *Book) isFree(inst *Instance, o *object) bool {
	p := b.types[inst.Type]
	var candidates []*Row
	if p != nil {
		candidates = p.free
	}
	for _, r := range b.free {
		if strings.HasPrefix(inst.Type, strings.TrimSuffix(r.Type, "*")) {
			candidates = append(candidates[:len(candidates):len(candidates)], r)
		}
	}
	for _, r := range candidates {
		if !isProvider(r.Provider, inst.Provider) {
			continue
		}
		if p != nil && !r.own && (p.own() || len(p.components) > 0 && strings.HasSuffix(r.Type, "*")) {
			continue // a price says more than a whole family being free
		}
		if t := allOf(r.match, o); t == yes || t == assumed {
			return true
		}
	}
	return false
}

// isProvider reports whether a row's provider, the last part of a source or all
// of it, is that of an instance.
func isProvider(wanted, source string) bool {
	if wanted == "" || wanted == "*" || source == "" || wanted == source {
		return true
	}
	if rest, ok := strings.CutPrefix(source, addrs.OpenTofuRegistryHost); ok {
		source = addrs.DefaultRegistryHost + rest
	}
	head, ok := strings.CutSuffix(source, wanted)
	return ok && (head == "" || head[len(head)-1] == '/')
}

// reference are the regions whose list prices stand for others that the book
// does not have: the cheapest and largest of each cloud.
var reference = map[string]string{"aws": "us-east-1", "azurerm": "eastus", "google": "us-central1"}

// choose finds the row that prices a component of an object; nil where there is
// none. Where that depends on something unknown, the reason says on what.
func (c *component) choose(inst *Instance, o *object, region string) (row *Row, reason string) {
	// The user's rows for the very region, for all, then ours likewise; at last
	// those of the reference region.
	for pass := range passes {
		doubt := false
		for _, shelf := range c.shelves {
			if shelf.pass(region) != pass || !isProvider(shelf.provider, inst.Provider) {
				continue
			}
			for _, r := range shelf.candidates(o) {
				switch allOf(r.match, o) {
				case unknown:
					doubt = true
				case yes:
					if doubt {
						return nil, c.doubt(o)
					}
					return c.chosen(o, r, region), ""
				case assumed:
					for _, m := range r.match {
						if m.of(o) == assumed {
							o.assume(m.path + " taken as " + m.values[0])
						}
					}
					return c.chosen(o, r, region), ""
				}
			}
		}
		if doubt {
			return nil, c.doubt(o)
		}
	}
	return nil, ""
}

// passes is how many groups of rows there are, by how much they are believed.
const passes = 5

// pass says in which pass the rows of a shelf are looked at; -1 for none.
func (s *shelf) pass(region string) int {
	var pass int
	switch {
	case region != "" && s.region == region:
		pass = 0
	case s.region == "*":
		pass = 1
	case !s.own && s.region == reference[s.provider]:
		return 4
	default:
		return -1
	}
	if !s.own {
		pass += 2
	}
	return pass
}

func (c *component) chosen(o *object, r *Row, region string) *Row {
	if r.Region != "*" && r.Region != region {
		if region == "" {
			o.assume("region not known: priced as in " + r.Region)
		} else {
			o.assume("no price for " + region + ": priced as in " + r.Region)
		}
	}
	return r
}

// doubt names what a choice depends on.
func (c *component) doubt(o *object) string {
	for _, path := range c.paths {
		if !o.get(path).IsKnown() {
			return path + " is known after apply"
		}
	}
	return "not known before apply"
}

// noPrice says what the book has no price for.
func (c *component) noPrice(o *object, region string) string {
	text := "no price"
	for i, path := range c.paths {
		if i == 0 {
			text += " for "
		} else {
			text += ", "
		}
		text += o.quote(path)
	}
	if region != "" {
		text += " in " + region
	}
	return text
}
