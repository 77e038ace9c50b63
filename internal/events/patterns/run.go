package patterns

import (
	"slices"
	"unicode/utf8"
)

// run is the work on one event.
type run struct {
	scanner
	m      *Matcher
	places []place
	met    [][]int32 // by need: the places of the values that meet it
	driven []int32   // the needs that values met
	states []checkState
	looked []int32 // the needs that were looked at
	kept   [][]keptValue
	filled []int32 // the fields with values that were kept
	seen   []int32 // by field: the object that had its name last
	object int32
	here   int32 // the place of the value that is being looked up
	meet   func(needs []int32)
	way    []int32 // the requirements on the way to a branch
	inside []uint64
	above  []uint64
	fits   []bool
	found  []int
	text   []byte // of strings with escapes that are kept
	buffer []byte
}

// place is an element of an array, an object or another array; the first one is the
// event itself. What is in two elements of one array does not go together.
type place struct {
	parent int32
	array  *field
}

type checkState byte

const (
	notLooked checkState = iota
	isMet
	isAbsent // met because nothing is there
	isNotMet
)

type keptValue struct {
	value
	place int32
}

func newRun(m *Matcher) *run {
	r := &run{m: m, met: make([][]int32, len(m.needs)), states: make([]checkState, len(m.needs)), kept: make([][]keptValue, m.fields), seen: make([]int32, m.fields), fits: make([]bool, m.count)}
	r.meet = r.record
	return r
}

// Match returns which patterns an event fits, by their numbers in ascending order.
// The event is a JSON object; the error is [ErrNotEvent].
func (m *Matcher) Match(event []byte) ([]int, error) {
	if !utf8.Valid(event) {
		return nil, ErrNotEvent
	}
	r := m.runs.Get().(*run)
	defer r.release()
	r.places = append(r.places, place{})
	r.data, r.at = event, 0
	r.space()
	if r.peek() != '{' || !r.value(m.root, 0, 0) {
		return nil, ErrNotEvent
	}
	r.space()
	if r.at != len(event) {
		return nil, ErrNotEvent
	}
	r.follow(m.start)
	slices.Sort(r.found)
	return slices.Clone(r.found), nil
}

// release empties the run for the next event.
func (r *run) release() {
	for _, n := range r.driven {
		r.met[n] = r.met[n][:0]
	}
	for _, n := range r.looked {
		r.met[n], r.states[n] = r.met[n][:0], notLooked
	}
	for _, f := range r.filled {
		r.kept[f] = r.kept[f][:0]
	}
	for _, p := range r.found {
		r.fits[p] = false
	}
	clear(r.seen)
	r.object = 0
	r.driven, r.looked, r.filled, r.found, r.places, r.text = r.driven[:0], r.looked[:0], r.filled[:0], r.found[:0], r.places[:0], r.text[:0]
	r.data = nil
	r.m.runs.Put(r)
}

// value reads the next value, which is that of a field, or of none that matters. It
// returns false where it is malformed.
func (r *run) value(f *field, at int32, depth int) bool {
	if depth > maxNesting {
		return false
	}
	switch c := r.peek(); c {
	case '{':
		return r.objectValue(f, at, depth)
	case '[':
		return r.arrayValue(f, at, depth)
	case '"':
		raw, escaped, ok := r.str()
		if ok && f != nil && (f.values != nil || f.kept) {
			if escaped {
				start := len(r.text)
				r.text = appendUnescaped(r.text, raw)
				raw = r.text[start:len(r.text):len(r.text)]
			}
			r.leaf(f, at, value{kindString, raw})
		}
		return ok
	case 't', 'f', 'n':
		kind := r.literal(c)
		if kind < 0 {
			return false
		}
		r.leaf(f, at, value{kind: kind})
		return true
	default:
		text, ok := r.number()
		if ok {
			r.leaf(f, at, value{kindNumber, text})
		}
		return ok
	}
}

func (r *run) objectValue(f *field, at int32, depth int) bool {
	r.object++
	object := r.object
	return r.members('}', func() bool {
		if r.peek() != '"' {
			return false
		}
		name, escaped, ok := r.str()
		if !ok {
			return false
		}
		r.space()
		if r.peek() != ':' {
			return false
		}
		r.at++
		r.space()
		var child *field
		if f != nil && f.children != nil {
			if escaped {
				r.buffer = appendUnescaped(r.buffer[:0], name)
				name = r.buffer
			}
			if child = f.children[string(name)]; child != nil {
				if r.seen[child.number] == object {
					return false
				}
				r.seen[child.number] = object
			}
		}
		return r.value(child, at, depth+1)
	})
}

func (r *run) arrayValue(f *field, at int32, depth int) bool {
	return r.members(']', func() bool {
		inside := at
		if c := r.peek(); f != nil && (c == '{' || c == '[') {
			inside = int32(len(r.places))
			r.places = append(r.places, place{at, f})
		}
		return r.value(f, inside, depth+1)
	})
}

// leaf takes in the value of a field.
func (r *run) leaf(f *field, at int32, v value) {
	if f == nil {
		return
	}
	if f.kept {
		if len(r.kept[f.number]) == 0 {
			r.filled = append(r.filled, f.number)
		}
		r.kept[f.number] = append(r.kept[f.number], keptValue{v, at})
	}
	if f.values != nil {
		r.here = at
		f.values.find(v, &r.buffer, r.meet)
	}
}

// record notes that the value at hand meets requirements.
func (r *run) record(needs []int32) {
	for _, n := range needs {
		places := r.met[n]
		if len(places) == 0 {
			r.driven = append(r.driven, n)
		} else if places[len(places)-1] == r.here {
			continue
		}
		r.met[n] = append(places, r.here)
	}
}

// follow goes down all branches of which the requirements are met.
func (r *run) follow(b *branch) {
	if len(b.ends) > 0 && r.together() {
		for _, p := range b.ends {
			if !r.fits[p] {
				r.fits[p] = true
				r.found = append(r.found, int(p))
			}
		}
	}
	for _, s := range b.few {
		if len(r.met[s.need]) > 0 {
			r.step(s)
		}
	}
	if len(b.driven) > 0 {
		for _, n := range r.driven {
			if to := b.driven[n]; to != nil {
				r.step(step{n, to})
			}
		}
	}
	for _, s := range b.checked {
		if r.check(s.need) != isNotMet {
			r.step(s)
		}
	}
}

func (r *run) step(s step) {
	r.way = append(r.way, s.need)
	r.follow(s.to)
	r.way = r.way[:len(r.way)-1]
}

// check looks at a requirement that values do not lead to.
func (r *run) check(n int32) checkState {
	if r.states[n] != notLooked {
		return r.states[n]
	}
	r.looked = append(r.looked, n)
	need := &r.m.needs[n]
	values := r.kept[need.field.number]
	state := isNotMet
	if len(values) == 0 && need.absent {
		state = isAbsent
	}
	for _, v := range values {
		for _, t := range need.tests {
			if t.fits(v.value) {
				state = isMet
				if p := r.met[n]; len(p) == 0 || p[len(p)-1] != v.place {
					r.met[n] = append(p, v.place)
				}
				break
			}
		}
	}
	r.states[n] = state
	return state
}

// together reports whether the requirements on the way, each of which is met, are
// met by values that go together: no two of which are in different elements of one
// array.
//
// It looks at elements from the inside out. An element counts where it has, with
// what is above it, all that the requirements want of its array; then what it has,
// the element around it has, too.
func (r *run) together() bool {
	if len(r.places) == 1 || len(r.way) == 1 || r.outside() {
		return true
	}
	count := len(r.places)
	r.inside = slices.Grow(r.inside[:0], count)[:count]
	r.above = slices.Grow(r.above[:0], count)[:count]
	clear(r.inside)
	r.above[0] = 0
	for i, n := range r.way {
		if r.states[n] == isAbsent {
			r.above[0] |= 1 << i
			continue
		}
		for _, p := range r.met[n] {
			r.inside[p] |= 1 << i
		}
	}
	all := uint64(1)<<len(r.way) - 1
	if (r.inside[0]|r.above[0])&all == all {
		return true
	}
	for p := 1; p < count; p++ {
		parent := r.places[p].parent
		r.above[p] = r.above[parent] | r.inside[parent]
	}
	var array *field
	var wanted uint64
	for p := count - 1; p > 0; p-- {
		if r.inside[p] == 0 {
			continue
		}
		if r.places[p].array != array {
			array, wanted = r.places[p].array, 0
			for i, n := range r.way {
				if r.m.needs[n].field.within(array) {
					wanted |= 1 << i
				}
			}
		}
		if (r.inside[p]|r.above[p])&wanted == wanted {
			r.inside[r.places[p].parent] |= r.inside[p]
		}
	}
	return (r.inside[0]|r.above[0])&all == all
}

// outside reports whether every requirement on the way is met outside of arrays:
// that goes together with everything.
func (r *run) outside() bool {
	for _, n := range r.way {
		if r.states[n] != isAbsent && r.met[n][0] != 0 {
			return false
		}
	}
	return true
}
