package observer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/access"
	"github.com/tutti-dev/tutti/internal/events/windows"
)

// Record is what is known of a stack in one environment. It holds no sensitive
// values.
type Record struct {
	// Looked is when the last look ended that saw everything, Took how long it
	// took, Objects how many objects there were and Reads how often a provider was
	// asked.
	Looked  time.Time     `json:"looked,omitzero"`
	Took    time.Duration `json:"took,omitempty"`
	Objects int           `json:"objects,omitempty"`
	Reads   int64         `json:"reads,omitempty"`
	// Next is when the next look is due; zero for none, or at once where nobody has
	// ever looked.
	Next time.Time `json:"next,omitzero"`
	// Problem is why the last look failed, Failed when, and Failures how many have
	// since the last that did not.
	Problem  string    `json:"problem,omitempty"`
	Failed   time.Time `json:"failed,omitzero"`
	Failures int       `json:"failures,omitempty"`
	// Asked is who wants a look now; nil for nobody.
	Asked *Asked `json:"asked,omitempty"`

	Files  string            `json:"files,omitempty"` // digest of the configuration that was looked with
	Drift  []Drift           `json:"drift,omitempty"` // what differs, by address
	Fields map[string]*Field `json:"fields,omitempty"`
	Repair *Repair           `json:"repair,omitempty"` // the last one; nil for none
}

// ahead reports whether the clock was ahead when somebody looked last: it says nothing
// about when to look again.
func (r Record) ahead(now time.Time) bool {
	return r.Looked.Sub(now) > windows.Skew || r.Failed.Sub(now) > windows.Skew
}

// Asked is who asked for a look.
type Asked struct {
	By        string            `json:"by"`
	Authority *access.Authority `json:"authority,omitempty"`
	At        time.Time         `json:"at"`
}

// Drift is a change that was there at the last look.
type Drift struct {
	Change
	Since time.Time `json:"since"` // when it was first found
}

// Field is the history of something that was found changed: an attribute of an
// object or, with an empty path, whether there is the object.
type Field struct {
	Address string      `json:"address"`
	Path    string      `json:"path,omitempty"`
	Found   []time.Time `json:"found"` // when it was found changed anew, oldest first
	// Repairs is how often repairs put it back.
	Repairs int `json:"repairs,omitempty"`
	// Flaps is since when it is left alone; zero for never.
	Flaps   time.Time `json:"flaps,omitzero"`
	Because string    `json:"because,omitempty"` // why, for people
}

// Repair is a run that puts things back.
type Repair struct {
	Run     string    `json:"run"`
	At      time.Time `json:"at"` // when it was decided
	Targets []string  `json:"targets"`
	Of      string    `json:"of"` // print of the drift that it is about
	// Problem is why there is no such run; empty where there is.
	Problem string `json:"problem,omitempty"`
	// Seen says that somebody has looked since the run ended.
	Seen bool `json:"seen,omitempty"`
}

// Look is what came of looking at a stack.
type Look struct {
	Began, Ended time.Time
	Objects      int
	Reads        int64
	Files        string
	Changes      []Change // by address
	// Problem is why not everything could be seen: nothing else counts then.
	Problem string
}

// Settings are those of the block that a look is made for.
type Settings struct {
	Every    time.Duration // 0: nobody looks unless asked
	Flapping int
	Within   time.Duration
	Repair   bool
	// Run is what a repair is called if there is to be one. Open says that the last
	// one has not ended.
	Run  string
	Open bool
	// Jitter is a number in [-1, 1]: where in its stretch of time the next look is.
	Jitter float64
}

// The kinds of notices: types of events.
const (
	Found    = "drift.found"
	Resolved = "drift.resolved"
	Flapping = "drift.flapping"
)

// Notice is something to tell about a stack: data of an event.
type Notice struct {
	Kind    string   `json:"-"`
	Changes []Change `json:"changes"`
	// Left is how many changes there are besides.
	Left int `json:"left,omitempty"`
	// Since is when the oldest of the changes was first found.
	Since time.Time `json:"since"`
	// Times is how often the one was found that was found most often, within the
	// time that counts for flapping.
	Times int `json:"times"`
	// Because explains what flaps.
	Because string `json:"because,omitempty"`
	// Repair is the run that is to put it back or, of what is resolved, has.
	Repair string `json:"repair,omitempty"`
}

const (
	// mostTold is how many changes an event names.
	mostTold = 100
	// mostFound is how many instants of a field are kept, unless more count.
	mostFound = 50
	// jitter is the part of the time between looks that is left to chance.
	jitter = 0.1
	// firstRetry and longestRetry bound the time after a look that failed, the
	// latter in times between looks.
	firstRetry   = time.Minute
	longestRetry = 8
	// repairAgain is after how long the same drift is repaired again although the
	// last repair did not help.
	repairAgain = 24 * time.Hour
)

// After is what is known with one more look, and what is to be told of it.
func (r Record) After(l Look, s Settings) (Record, []Notice) {
	out := r
	if out.Asked != nil && !l.Began.Before(out.Asked.At) {
		out.Asked = nil
	}
	if out.ahead(l.Ended) {
		out.Looked = l.Ended // at the latest
	}
	if l.Problem != "" {
		out.Problem, out.Failed, out.Failures = l.Problem, l.Ended, r.Failures+1
		out.Next = s.retry(l.Ended, out.Failures)
		return out, nil
	}
	out.Problem, out.Failed, out.Failures = "", time.Time{}, 0
	out.Looked, out.Took, out.Objects, out.Reads = l.Ended, l.Ended.Sub(l.Began), l.Objects, l.Reads
	out.Next = s.next(l.Ended)
	out.Fields = copyFields(r.Fields)
	if l.Files != r.Files {
		// What the files say now may be what ends it.
		out = out.Reset()
		out.Files = l.Files
	}
	d := &differing{record: &out, look: l, settings: s}
	notices := d.notices(r.Drift)
	d.credit(notices)
	if s.Repair {
		d.repair(notices)
	}
	if out.Repair != nil && out.Repair.Run != s.Run && !s.Open {
		seen := *out.Repair
		seen.Seen = true
		out.Repair = &seen
	}
	return out, notices
}

// refused is what is known where the run of the repair that was just decided cannot be
// made. What is told of the look then names no run.
func (r Record) refused(notices []Notice, problem string) Record {
	refused := *r.Repair
	refused.Problem, refused.Seen = problem, true // nothing comes of it that could be seen
	for i := range notices {
		if notices[i].Kind == Found && notices[i].Repair == refused.Run {
			notices[i].Repair = ""
		}
	}
	r.Repair = &refused
	r.Fields = copyFields(r.Fields)
	r.repairs(refused.Targets, -1)
	return r
}

// repairs counts how often repairs put something back.
func (r Record) repairs(targets []string, more int) {
	for _, one := range r.Drift {
		if slices.Contains(targets, one.Target) {
			r.each(one.Change, func(f *Field) { f.Repairs += more })
		}
	}
}

// Reset forgets what was found before: what flapped is repaired again.
func (r Record) Reset() Record {
	r.Fields = nil
	if r.Repair != nil && r.Repair.Seen {
		r.Repair = nil
	}
	return r
}

func (s Settings) next(now time.Time) time.Time {
	if s.Every == 0 {
		return time.Time{}
	}
	return now.Add(s.Every + time.Duration(jitter*s.Jitter*float64(s.Every)))
}

func (s Settings) retry(now time.Time, failures int) time.Time {
	if s.Every == 0 {
		return time.Time{}
	}
	wait, longest := min(firstRetry, s.Every), longestRetry*s.Every
	for range failures - 1 {
		if wait *= 2; wait >= longest {
			wait = longest
			break
		}
	}
	return now.Add(wait + time.Duration(jitter*s.Jitter*float64(wait)))
}

func copyFields(fields map[string]*Field) map[string]*Field {
	out := make(map[string]*Field, len(fields))
	for key, f := range fields {
		one := *f
		one.Found = slices.Clone(f.Found)
		out[key] = &one
	}
	return out
}

// differing works out what a look changes.
type differing struct {
	record   *Record
	look     Look
	settings Settings
}

// fieldOf is the history of something that was found changed.
func (d *differing) fieldOf(address, path string) *Field {
	key := keyOf(address, path)
	f := d.record.Fields[key]
	if f == nil {
		f = &Field{Address: address, Path: path}
		if d.record.Fields == nil {
			d.record.Fields = map[string]*Field{}
		}
		d.record.Fields[key] = f
	}
	return f
}

// parts are the fields of a change with what tells their values apart.
func (c Change) parts() (paths, values []string) {
	if c.Action == Deleted {
		return []string{""}, []string{Deleted}
	}
	for _, a := range c.Attributes {
		value := a.Print
		if value == "" {
			value = string(a.After)
		}
		paths, values = append(paths, a.Path), append(values, value)
	}
	return paths, values
}

// notices takes the changes of a look in and returns what is new about them.
func (d *differing) notices(before []Drift) []Notice {
	was := map[string]Drift{}
	for _, one := range before {
		was[one.Address] = one
	}
	var found, flapping, resolved telling
	d.record.Drift = nil
	present := map[*Field]bool{}
	for _, c := range d.look.Changes {
		since := d.look.Ended
		prior, known := was[c.Address]
		delete(was, c.Address)
		if known {
			since = prior.Since
		}
		d.record.Drift = append(d.record.Drift, Drift{c, since})
		isNew, flaps, begins := false, true, false
		for _, f := range d.take(c, prior, present) {
			switch {
			case f.begins:
				begins = true
				flapping.because = append(flapping.because, f.Because)
			case f.isNew && f.Flaps.IsZero():
				isNew = true
			}
			flaps = flaps && !f.Flaps.IsZero()
		}
		switch times, _ := d.record.Times(c); {
		case begins:
			flapping.add(c, d.since(c), times)
		case isNew && !flaps:
			found.add(c, since, times)
		}
	}
	for _, address := range sortedKeys(was) {
		one := was[address]
		if !d.flapsWholly(one.Change) {
			times, _ := d.record.Times(one.Change)
			resolved.add(one.Change, one.Since, times)
		}
	}
	d.forget(present)
	var out []Notice
	for _, t := range []struct {
		kind string
		telling
	}{{Found, found}, {Flapping, flapping}, {Resolved, resolved}} {
		if len(t.changes) > 0 {
			out = append(out, t.notice(t.kind))
		}
	}
	return out
}

// taken is a field of a change that was found.
type taken struct {
	*Field
	isNew  bool // it was not there before, or another value
	begins bool // it flaps from now on
}

// take counts the fields of a change.
func (d *differing) take(c Change, prior Drift, present map[*Field]bool) []taken {
	before := map[string]string{}
	paths, values := prior.parts()
	for i, path := range paths {
		before[path] = values[i]
	}
	var out []taken
	paths, values = c.parts()
	for i, path := range paths {
		f := d.fieldOf(c.Address, path)
		present[f] = true
		value, known := before[path]
		one := taken{Field: f, isNew: !known || value != values[i] || prior.Action != c.Action}
		if one.isNew || len(f.Found) == 0 { // its history was forgotten
			f.Found = append(f.Found, d.look.Ended)
			f.Found = f.Found[max(0, len(f.Found)-max(mostFound, d.settings.Flapping)):]
		}
		d.expire(f)
		if f.Flaps.IsZero() && len(f.Found) >= d.settings.Flapping && d.settings.Flapping > 0 {
			f.Flaps, one.begins = d.look.Ended, true
			f.Because = f.explain(c)
		}
		out = append(out, one)
	}
	return out
}

// expire drops what lies too far back to count.
func (d *differing) expire(f *Field) {
	from := d.look.Ended.Add(-d.settings.Within)
	for len(f.Found) > 1 && f.Found[0].Before(from) {
		f.Found = f.Found[1:]
	}
}

// forget drops fields that are as they should be and were for so long that they
// do not count any more.
func (d *differing) forget(present map[*Field]bool) {
	from := d.look.Ended.Add(-d.settings.Within)
	for key, f := range d.record.Fields {
		if !present[f] && f.Flaps.IsZero() && f.Found[len(f.Found)-1].Before(from) {
			delete(d.record.Fields, key)
		}
	}
}

// each calls do with the histories of a change's fields.
func (r Record) each(c Change, do func(*Field)) {
	paths, _ := c.parts()
	for _, path := range paths {
		if f := r.Fields[keyOf(c.Address, path)]; f != nil {
			do(f)
		}
	}
}

func keyOf(address, path string) string { return address + "\x00" + path }

// Times is how often the field of a change was found changed that was found so most
// often, and whether any of them is left alone.
func (r Record) Times(c Change) (times int, flaps bool) {
	r.each(c, func(f *Field) { times, flaps = max(times, len(f.Found)), flaps || !f.Flaps.IsZero() })
	return max(times, 1), flaps
}

// since is when what flaps was first found.
func (d *differing) since(c Change) time.Time {
	since := d.look.Ended
	d.record.each(c, func(f *Field) {
		if !f.Flaps.IsZero() && f.Found[0].Before(since) {
			since = f.Found[0]
		}
	})
	return since
}

func (d *differing) flapsWholly(c Change) bool {
	paths, _ := c.parts()
	count := 0
	d.record.each(c, func(f *Field) {
		if !f.Flaps.IsZero() {
			count++
		}
	})
	return count == len(paths)
}

// credit names the run that put back what is there no more.
func (d *differing) credit(notices []Notice) {
	last := d.record.Repair
	for i := range notices {
		n := &notices[i]
		if n.Kind == Resolved && last != nil && slices.ContainsFunc(n.Changes, func(c Change) bool { return slices.Contains(last.Targets, c.Target) }) {
			n.Repair = last.Run
		}
	}
}

// repair decides whether what drifted is put back: all that the files have and
// that does not flap, once.
func (d *differing) repair(notices []Notice) {
	var targets []string
	var about []Change
	for _, one := range d.record.Drift {
		if _, flaps := d.record.Times(one.Change); one.Target != "" && !flaps {
			targets, about = append(targets, one.Target), append(about, one.Change)
		}
	}
	last := d.record.Repair
	print := printOf(about)
	switch {
	case len(targets) == 0 || d.settings.Open:
		return
	case last != nil && last.Problem == "" && last.Of == print && d.look.Ended.Sub(last.At) < repairAgain && d.allKnown(about, last.At):
		return // it did not help
	}
	d.record.Repair = &Repair{Run: d.settings.Run, At: d.look.Ended, Targets: targets, Of: print}
	d.record.repairs(targets, 1)
	for i := range notices {
		if notices[i].Kind == Found {
			notices[i].Repair = d.settings.Run
		}
	}
}

// allKnown reports whether nothing of the changes was found anew since.
func (d *differing) allKnown(list []Change, since time.Time) bool {
	for _, c := range list {
		anew := false
		d.record.each(c, func(f *Field) { anew = anew || f.Found[len(f.Found)-1].After(since) })
		if anew {
			return false
		}
	}
	return true
}

// printOf tells lists of changes apart.
func printOf(list []Change) string {
	var b bytes.Buffer
	for _, c := range list {
		paths, values := c.parts()
		fmt.Fprintf(&b, "%q %s %q %q\n", c.Address, c.Action, paths, values)
	}
	return digest(b.Bytes())
}

// telling gathers what one notice is about.
type telling struct {
	changes []Change
	since   time.Time
	times   int
	because []string
}

func (t *telling) add(c Change, since time.Time, times int) {
	t.changes = append(t.changes, c)
	if t.since.IsZero() || since.Before(t.since) {
		t.since = since
	}
	t.times = max(t.times, times)
}

func (t *telling) notice(kind string) Notice {
	shown := t.changes[:min(len(t.changes), mostTold)]
	because := t.because[:min(len(t.because), mostTold)]
	return Notice{Kind: kind, Changes: shown, Left: len(t.changes) - len(shown), Since: t.since, Times: t.times, Because: strings.Join(because, "\n")}
}

// explain says why a field is left alone from now on.
func (f *Field) explain(c Change) string {
	how := fmt.Sprintf("%d times since %s", len(f.Found), f.Found[0].UTC().Format(time.RFC3339))
	repaired := "Nothing of Tutti put it back in between."
	if f.Repairs > 0 {
		repaired = fmt.Sprintf("Repairs put it back %s.", count(f.Repairs, "time"))
	}
	if f.Path == "" {
		return fmt.Sprintf("%s was found deleted %s. %s Something else deletes it: find out what, and stop it, or take the resource out of the files.", f.Address, how, repaired)
	}
	found := ""
	for _, a := range c.Attributes {
		if a.Path == f.Path && !a.Sensitive {
			found = fmt.Sprintf(", last as %s", a.After)
		}
	}
	return fmt.Sprintf("%s of %s was found changed %s%s. %s Something else sets it: another configuration, a controller, or a person. Find out what, and stop it, or leave it the field: lifecycle { ignore_changes = [%s] }.", f.Path, f.Address, how, found, repaired, topOf(f.Path))
}

func count(n int, what string) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// topOf is the attribute that a path begins with.
func topOf(path string) string {
	if i := strings.IndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return path
}

// Read reads a record as the store has it; nil is one of which nothing is known.
func Read(document json.RawMessage) (Record, error) {
	var r Record
	if document == nil {
		return r, nil
	}
	err := json.Unmarshal(document, &r)
	return r, err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func sortedKeys[T any](m map[string]T) []string {
	return slices.Sorted(maps.Keys(m))
}
