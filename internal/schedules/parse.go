package schedules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Parse reads an expression of five fields, minute, hour, day of month, month
// and day of week, as Kubernetes does:
//
//   - Each field is a list of values, ranges (9-17) and steps (*/15, 9-17/2, 5/15
//     for 5-59/15). Months and weekdays may be called by the first three letters of
//     their names. Sunday is 0 and 7. "?" is "*".
//   - Where both day of month and day of week are restricted, either is enough.
//     A field is not where it has a bare *; "*/2" restricts it. (Vixie cron takes
//     that for a * and wants both.)
//   - @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, and
//     "@every 90s": whole seconds, as a duration of Go.
//   - "CRON_TZ=Europe/Berlin" or "TZ=…" in front names the time zone.
//
// zone is the name of the time zone in the IANA database; UTC where it is empty.
// Errors are for those who wrote the expression: they say which field and value
// is wrong and what is allowed.
func Parse(expression, zone string) (Schedule, error) {
	s, err := parse(expression, zone)
	if err != nil {
		return Schedule{}, fmt.Errorf("cannot read the schedule %q: %w", expression, err)
	}
	return s, nil
}

func parse(expression, zone string) (Schedule, error) {
	words := strings.Fields(expression)
	if len(words) > 0 {
		if prefix, name, ok := strings.Cut(words[0], "="); ok {
			var err error
			if zone, err = prefixed(prefix, name, zone); err != nil {
				return Schedule{}, err
			}
			words = words[1:]
		}
	}
	location, err := load(zone)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{text: strings.Join(words, " "), location: location}
	if len(words) > 0 && strings.HasPrefix(words[0], "@") {
		if strings.EqualFold(words[0], "@every") {
			s.every, err = parseEvery(words[1:])
			return s, err
		}
		if words, err = expand(words); err != nil {
			return Schedule{}, err
		}
	}
	s.fields, err = parseFields(words)
	return s, err
}

// prefixed returns the time zone that an expression begins with.
func prefixed(prefix, name, zone string) (string, error) {
	switch {
	case prefix != "CRON_TZ" && prefix != "TZ":
		return "", fmt.Errorf("%q is not known in front of the fields; only CRON_TZ= and TZ= are", prefix+"=")
	case name == "":
		return "", fmt.Errorf("%s= must be followed by the name of a time zone, as in %s=Europe/Berlin, and by the five fields", prefix, prefix)
	case zone != "" && zone != name:
		return "", fmt.Errorf("it names the time zone %s, and %s is given besides: remove one of them", name, zone)
	}
	return name, nil
}

func load(zone string) (*time.Location, error) {
	if zone == "" {
		zone = "UTC"
	}
	if zone == "Local" {
		return nil, errors.New(`the time zone "Local" means something else on every machine; write a name such as Europe/Berlin`)
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		// The cause names files that are of no help.
		return nil, fmt.Errorf("there is no time zone %q; a name of the IANA database is needed, such as UTC or Europe/Berlin", zone)
	}
	return location, nil
}

var macros = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly":   "0 * * * *",
}

// expand replaces a macro by what it stands for.
func expand(words []string) ([]string, error) {
	name := strings.ToLower(words[0])
	if name == "@reboot" {
		return nil, errors.New("@reboot is not a time; allowed are instants that do not depend on when a process starts")
	}
	meaning := macros[name]
	if meaning == "" {
		return nil, fmt.Errorf("%s is not known; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and @every with an interval", words[0])
	}
	if len(words) > 1 {
		return nil, fmt.Errorf("nothing may follow %s, but %q does", words[0], strings.Join(words[1:], " "))
	}
	return strings.Fields(meaning), nil
}

func parseEvery(words []string) (int64, error) {
	const allowed = "an interval of whole seconds, such as 90s, 15m or 1h30m"
	if len(words) != 1 {
		return 0, fmt.Errorf("@every must be followed by %s", allowed)
	}
	interval, err := time.ParseDuration(words[0])
	if err != nil {
		return 0, fmt.Errorf("the interval %q of @every cannot be read; allowed is %s", words[0], allowed)
	}
	if interval < time.Second || interval%time.Second != 0 {
		return 0, fmt.Errorf("the interval %q of @every is not allowed; allowed is %s", words[0], allowed)
	}
	return int64(interval / time.Second), nil
}

// kind is one of the five fields.
type kind struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

var (
	minutes  = kind{"minute", 0, 59, nil}
	hours    = kind{"hour", 0, 23, nil}
	days     = kind{"day of month", 1, 31, nil}
	months   = kind{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}}
	weekdays = kind{"day of week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}
)

func parseFields(words []string) (fields, error) {
	const needed = "five are needed: minute, hour, day of month, month, day of week"
	switch {
	case len(words) == 0:
		return fields{}, fmt.Errorf("it has no fields; %s", needed)
	case len(words) == 1:
		return fields{}, fmt.Errorf("it has one field; %s", needed)
	case len(words) == 6 || len(words) == 7:
		return fields{}, fmt.Errorf("it has %d fields; %s. There is none for seconds or years: leave them out, or use @every", len(words), needed)
	case len(words) != 5:
		return fields{}, fmt.Errorf("it has %d fields; %s", len(words), needed)
	}
	var f fields
	var values [5]field
	for i, k := range []kind{minutes, hours, days, months, weekdays} {
		var err error
		if values[i], err = k.parse(words[i]); err != nil {
			return fields{}, err
		}
	}
	f.minutes, f.hours, f.days, f.months = values[0].bits, values[1].bits, values[2].bits, values[3].bits
	// Sunday is one day with two numbers.
	f.weekdays = (values[4].bits | values[4].bits>>7) & (1<<7 - 1)
	f.either = !values[2].whole && !values[4].whole
	f.passing = values[1].star
	return f, nil
}

// field is what a field allows.
type field struct {
	bits  uint64
	star  bool // has a *, with or without a step
	whole bool // has a bare *
}

func (k kind) parse(text string) (field, error) {
	var f field
	for part := range strings.SplitSeq(text, ",") {
		p, err := k.parsePart(part)
		if err != nil {
			if part != text {
				return field{}, fmt.Errorf("%w (in %q)", err, text)
			}
			return field{}, err
		}
		f.bits |= p.bits
		f.star = f.star || p.star
		f.whole = f.whole || p.whole
	}
	return f, nil
}

// parsePart reads one element of a list.
func (k kind) parsePart(text string) (field, error) {
	if text == "" {
		return field{}, fmt.Errorf("the %s has an empty element; %s", k.name, k.allowed())
	}
	span, stepText, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		var ok bool
		if step, ok = number(stepText); !ok || step == 0 {
			return field{}, fmt.Errorf("the %s %q has the step %q; a step is a number from 1 on", k.name, text, stepText)
		}
	}
	var f field
	from, to := k.min, k.max
	if span == "*" || span == "?" {
		f.star, f.whole = true, step == 1
		if k.name == weekdays.name {
			to-- // a step must not meet Sunday twice
		}
	} else {
		var err error
		if from, to, err = k.parseSpan(text, span, stepped); err != nil {
			return field{}, err
		}
	}
	for v := from; v <= to; v += step {
		f.bits |= 1 << v
	}
	return f, nil
}

// parseSpan reads a value or range.
func (k kind) parseSpan(text, span string, stepped bool) (from, to int, err error) {
	first, second, ranged := strings.Cut(span, "-")
	if from, err = k.value(text, first); err != nil {
		return 0, 0, err
	}
	switch {
	case ranged:
		if to, err = k.value(text, second); err != nil {
			return 0, 0, err
		}
		if k.name == weekdays.name && to == 0 && from > 0 {
			to = 7 // fri-sun
		}
	case stepped: // 5/15: from there to the end
		if to = k.max; k.name == weekdays.name && from < 7 {
			to-- // without Sunday's second number
		}
	default:
		to = from
	}
	if from > to {
		return 0, 0, fmt.Errorf("the %s %q runs backwards; write it as two ranges: %s-%d,%d-%s", k.name, text, first, k.max, k.min, second)
	}
	return from, to, nil
}

func (k kind) value(text, value string) (int, error) {
	for i, name := range k.names {
		if strings.EqualFold(value, name) {
			return k.min + i, nil
		}
	}
	n, ok := number(value)
	if ok && n >= k.min && n <= k.max {
		return n, nil
	}
	in := ""
	if value != text {
		in = fmt.Sprintf(" in %q", text)
	}
	switch {
	case ok:
		return 0, fmt.Errorf("the %s %q%s is out of range; %s", k.name, value, in, k.allowed())
	case strings.ContainsAny(value, "LWH#"):
		return 0, fmt.Errorf("the %s %q%s is not known: L, W, H and # are not supported; %s", k.name, value, in, k.allowed())
	default:
		return 0, fmt.Errorf("the %s %q%s is not known; %s", k.name, value, in, k.allowed())
	}
}

func (k kind) allowed() string {
	out := fmt.Sprintf("allowed are %d to %d", k.min, k.max)
	if k.names != nil {
		out += fmt.Sprintf(", %s to %s", k.names[0], k.names[len(k.names)-1])
	}
	return out + ", *, ranges, steps and lists of these"
}

// number reads digits and nothing else.
func number(text string) (int, bool) {
	if text == "" || len(text) > 6 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
