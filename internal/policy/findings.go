package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// errPanicked says that OPA failed, as it may on a watched document.
var errPanicked = errors.New("the evaluation broke down")

// unknowns judges by what a rule said of a document, and by what it asked for that is
// unknown: of what it said, what rests on that is not certain; and what it did not say
// it may yet say of these objects.
func (j *judging) unknowns(ctx context.Context, plain []said, asked []attribute) {
	if len(asked) == 0 {
		for _, m := range plain {
			j.add(m, false, nil)
		}
		return
	}
	if len(plain) == 0 {
		j.uncertain(nil, nil, asked)
		return
	}
	bounded := slices.ContainsFunc(asked, attribute.isBound)
	only := !slices.ContainsFunc(asked, func(a attribute) bool { return !a.isBound() })
	var lasting map[string]bool
	if bounded {
		var more bool
		if lasting, more = j.lasting(ctx, plain); only {
			if len(lasting) == len(plain) && !more {
				asked = nil // nothing can change
			}
			j.uncertain(plain, lasting, asked)
			return
		}
	}
	if !j.r.followed {
		j.uncertain(plain, nil, asked)
		return
	}
	w, in := j.worker.watched()
	follow := &derivations{rule: j.r, certain: map[string]bool{}}
	w.note = func(id int) {
		if id < 0 || !w.names[id].isBound() { // those are asked for above
			follow.noted(id)
		}
	}
	if again, err := j.watch(ctx, j.r.query, j.says, w, in, follow); err != nil || !same(plain, again) {
		follow.certain = nil
	}
	if bounded {
		maps.DeleteFunc(follow.certain, func(term string, _ bool) bool { return !lasting[term] })
	}
	j.uncertain(plain, follow.certain, asked)
}

// askedFor returns what unknown attributes a query asks for that came to plain.
func (j *judging) askedFor(ctx context.Context, query string, says saying, plain []said) []attribute {
	w, in := j.worker.watched()
	again, err := j.watch(ctx, query, says, w, in, nil)
	if err != nil || !same(plain, again) {
		// It is not known what was asked for: it may have been anything.
		for id := range w.names {
			w.seen[id] = true
		}
	}
	return w.touched()
}

// watch evaluates a query on a watched document.
func (j *judging) watch(ctx context.Context, query string, says saying, w *watcher, in input, follow *derivations) ([]said, error) {
	in = in.shaped(j.p, j.d)
	of := j.program(true, in)
	var more []rego.EvalOption
	var anew ast.Ref
	if follow != nil {
		anew = ast.MustParseRef(query)
		more = append(more, rego.EvalQueryTracer(follow), rego.EvalRuleIndexing(true))
	}
	more = append(more, rego.EvalVirtualCache(j.worker.remembering(of, anew)))
	out, err := j.eval(ctx, of, query, says, in, more...)
	if err != nil {
		j.worker.forget(of)
	}
	return out, err
}

func same(a, b []said) bool {
	return slices.EqualFunc(a, b, func(x, y said) bool { return x.term == y.term })
}

// uncertain adds what the rule said and what it may yet say.
func (j *judging) uncertain(messages []said, certain map[string]bool, asked []attribute) {
	for _, m := range messages {
		if certain[m.term] {
			j.add(m, false, nil)
		}
	}
	var awaits []string
	first := map[string]string{}
	for _, a := range asked {
		path, have := first[a.address]
		if !have {
			awaits = append(awaits, a.address)
		}
		if !have || a.path < path {
			first[a.address] = a.path
		}
	}
	told := map[string]bool{}
	for _, m := range messages {
		if certain[m.term] {
			continue
		}
		j.add(m, true, awaits)
		f := &j.findings[len(j.findings)-1]
		told[f.Resource] = true
		if path, ok := first[f.Resource]; ok && f.Attribute == "" {
			f.Attribute = path
			f.Source = cmp.Or(j.locate(f.Resource, path), f.Source)
		}
	}
	for _, address := range awaits {
		if told[address] {
			continue
		}
		f := j.finding(Unknown)
		f.Resource, f.Attribute, f.Awaits = address, first[address], []string{address}
		f.Source, f.Severity = j.locate(address, f.Attribute), j.r.notes.severity
		j.findings = append(j.findings, f)
	}
}

func (j *judging) finding(s Status) Finding {
	return Finding{Policy: j.p.Name, Rule: j.r.String(), Level: j.p.Level, Status: s, Title: j.r.notes.title, RuleAt: j.r.at, Stack: j.o.Stack}
}

func (j *judging) locate(address, attribute string) *Place {
	if j.o.Locate == nil || address == "" {
		return nil
	}
	return j.o.Locate(address, attribute)
}

// fixNames are where messages and annotations say how to mend what is wrong.
var fixNames = []string{"fix", "remediation", "how_to_fix", "fix_hint", "recommendation"}

// add adds a finding for something that the rule says: text, or an object with
// the text as msg and more about it.
func (j *judging) add(m said, unknown bool, awaits []string) {
	f := j.finding(Deny)
	origin := j.origin(m.term)
	f.Title, f.RuleAt = origin.notes.title, origin.at
	switch {
	case unknown:
		f.Status, f.Awaits = Unknown, awaits
	case j.r.warns || j.p.Level == Advisory:
		f.Status = Warn
	}
	switch v := m.value.(type) {
	case string:
		f.Message = v
	case map[string]any:
		f.Message = firstText(v, "msg", "message", "reason", "description", "title")
		meta, _ := v["metadata"].(map[string]any)
		details, _ := v["details"].(map[string]any)
		for _, from := range []map[string]any{v, details, meta} {
			f.Resource = orElse(f.Resource, firstText(from, "resource", "address", "resource_address"))
			f.Attribute = orElse(f.Attribute, firstText(from, "attribute", "path", "key"))
			f.Severity = orElse(f.Severity, strings.ToLower(firstText(from, "severity")))
			f.Fix = orElse(f.Fix, firstText(from, fixNames...))
		}
		if f.Message == "" {
			f.Message = orElse(origin.notes.title, m.term)
		}
	case []any:
		f.Message = joined(v)
	case bool:
		f.Message = orElse(orElse(origin.notes.title, origin.notes.description), "The rule "+j.r.String()+" is not satisfied")
	default:
		f.Message = fmt.Sprint(v)
	}
	if !j.d.names[f.Resource] {
		if found := j.d.mentioned(f.Message); found != "" {
			f.Resource = found
		}
	}
	for _, text := range []*string{&f.Message, &f.Fix, &f.Attribute, &f.Severity} {
		*text = shortened(j.d.mask(*text))
	}
	if !j.d.names[f.Resource] {
		f.Resource = shortened(j.d.mask(f.Resource))
	}
	f.Severity, f.Fix = orElse(f.Severity, origin.notes.severity), orElse(f.Fix, origin.notes.fix)
	if f.Source = j.locate(f.Resource, f.Attribute); f.Source == nil {
		f.Source = given(m.value)
	}
	j.findings = append(j.findings, f)
}

// joined is a message that is a list or a set of texts.
func joined(list []any) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = fmt.Sprint(v)
	}
	return strings.Join(parts, ", ")
}

// given is the place that a message names itself, as conftest has it.
func given(message any) *Place {
	v, _ := message.(map[string]any)
	at, _ := v["_loc"].(map[string]any)
	file, _ := at["file"].(string)
	line, err := strconv.Atoi(fmt.Sprint(at["line"]))
	if file == "" || err != nil {
		return nil
	}
	return &Place{File: file, Line: line}
}

// shortened is a text that can be shown.
func shortened(text string) string {
	if len(text) > mostMessage {
		text = text[:mostMessage] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func firstText(m map[string]any, names ...string) string {
	for _, name := range names {
		switch v := m[name].(type) {
		case string:
			return v
		case map[string]any:
			if address, ok := v["address"].(string); ok {
				return address
			}
		}
	}
	return ""
}

// mentioned finds the address of an object in a text: the longest there is.
func (d *Document) mentioned(text string) string {
	best := ""
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n,;'`()<>", r) }) {
		word = strings.Trim(strings.TrimRight(word, ":.!?"), `"`)
		if d.names[word] && len(word) > len(best) {
			best = word
		}
	}
	if best != "" {
		return best
	}
	// Keys of instances may have spaces and quotes.
	if strings.Contains(text, `["`) {
		for name := range d.names {
			if len(name) > len(best) && name != "" && strings.Contains(text, name) {
				best = name
			}
		}
	}
	return best
}
