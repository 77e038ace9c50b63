package cost

import "sort"

// unit says what one of something is: how many the price is for, and whether it
// is paid for each hour.
type unit struct {
	hourly bool
	per    int64 // the price is for so many
	usage  bool  // comes of use, not of being there
}

// hoursPerMonth is how long a month is unless usage says otherwise: a twelfth of
// 365 days, as the clouds' own calculators have it.
const hoursPerMonth = 730

// freeUnit marks rows of types that cost nothing.
const freeUnit = "free"

// units is the table of everything a price may be for. All but hourly ones are
// for a month.
var units = map[string]unit{
	"hour":             {hourly: true, per: 1},
	"vCPU-hour":        {hourly: true, per: 1},
	"GB-hour":          {hourly: true, per: 1},
	"month":            {per: 1},
	"GB-month":         {per: 1},
	"TB-month":         {per: 1},
	"IOPS-month":       {per: 1},
	"MBps-month":       {per: 1},
	"GB":               {per: 1, usage: true},
	"unit-hour":        {per: 1, usage: true}, // hours of something, as many as usage says
	"GB-second":        {per: 1, usage: true},
	"request":          {per: 1, usage: true},
	"thousand":         {per: 1_000, usage: true},
	"ten thousand":     {per: 10_000, usage: true},
	"million":          {per: 1_000_000, usage: true},
	"million requests": {per: 1_000_000, usage: true},
	freeUnit:           {per: 1},
}

func unitNames() []string {
	names := make([]string, 0, len(units))
	for name := range units {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
