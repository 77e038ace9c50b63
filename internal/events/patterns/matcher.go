package patterns

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
)

// ErrNotEvent says that something is not an event: not one JSON object in valid
// UTF-8, nested deeper than a thousand levels, or with a name given twice in an
// object where patterns look.
var ErrNotEvent = errors.New("an event must be one JSON object, with every name once")

// Matcher finds the patterns that events fit. It does not change, and can be used by
// several at once.
type Matcher struct {
	root   *field
	fields int // how many there are
	needs  []need
	start  *branch
	count  int // patterns
	runs   sync.Pool
}

// field is a place in events that patterns name, or that is on the way to one.
type field struct {
	number   int32
	parent   *field
	children map[string]*field
	values   *index // nil where no requirement is found by values
	kept     bool   // a requirement wants to look at the values later
}

// within reports whether a field is another one, or below it.
func (f *field) within(other *field) bool {
	for ; f != nil; f = f.parent {
		if f == other {
			return true
		}
	}
	return false
}

// need is a requirement of one or more patterns.
type need struct {
	requirement
	field  *field
	driven bool
}

// branch is where patterns part that have requirements in common.
type branch struct {
	driven  map[int32]*branch
	few     []step // the same, where they are few
	checked []step
	ends    []int32 // the patterns of which all requirements are met here
}

type step struct {
	need int32
	to   *branch
}

// few is up to how many steps are tried one by one.
const few = 8

// Compile makes the matcher of patterns. They are known by their place in the list.
func Compile(list []*Pattern) *Matcher {
	b := builder{m: &Matcher{root: &field{}, fields: 1, start: &branch{}, count: len(list)}, known: map[string]int32{}, path: map[*field]map[string]int32{}}
	var ways [][]int32
	var owners []int32
	for i, p := range list {
		for _, way := range p.ways {
			ways = append(ways, b.way(way))
			owners = append(owners, int32(i))
		}
	}
	for i, way := range ways {
		// What few patterns want comes first: it leaves the fewest to look at.
		slices.SortFunc(way, func(x, y int32) int {
			return cmp.Or(b.rank(x)-b.rank(y), b.used[x]-b.used[y], int(x-y))
		})
		b.add(slices.Compact(way), owners[i])
	}
	b.finish(b.m.start)
	b.indexes()
	m := b.m
	m.runs.New = func() any { return newRun(m) }
	return m
}

// Len is how many patterns there are.
func (m *Matcher) Len() int { return m.count }

type builder struct {
	m     *Matcher
	known map[string]int32 // needs, by field and tests
	used  []int            // by how many ways
	path  map[*field]map[string]int32
}

func (b *builder) rank(need int32) int {
	if b.m.needs[need].driven {
		return 0
	}
	return 1
}

func (b *builder) way(list []requirement) []int32 {
	out := make([]int32, 0, len(list))
	for _, r := range list {
		f := b.field(r.path)
		key := binary.AppendUvarint(nil, uint64(f.number))
		if r.absent {
			key = append(key, " absent"...)
		}
		for _, t := range r.tests {
			text := t.key()
			key = binary.AppendUvarint(key, uint64(len(text)))
			key = append(key, text...)
		}
		number, ok := b.known[string(key)]
		if !ok {
			number = int32(len(b.m.needs))
			b.known[string(key)] = number
			b.m.needs = append(b.m.needs, need{r, f, r.driven()})
			b.used = append(b.used, 0)
		}
		b.used[number]++
		out = append(out, number)
	}
	return out
}

func (b *builder) field(path []string) *field {
	f := b.m.root
	for _, name := range path {
		child := f.children[name]
		if child == nil {
			child = &field{number: int32(b.m.fields), parent: f}
			b.m.fields++
			if f.children == nil {
				f.children = map[string]*field{}
			}
			f.children[name] = child
		}
		f = child
	}
	return f
}

func (b *builder) add(way []int32, owner int32) {
	at := b.m.start
	for _, number := range way {
		if b.m.needs[number].driven {
			if at.driven == nil {
				at.driven = map[int32]*branch{}
			}
			if at.driven[number] == nil {
				at.driven[number] = &branch{}
			}
			at = at.driven[number]
			continue
		}
		i := slices.IndexFunc(at.checked, func(s step) bool { return s.need == number })
		if i < 0 {
			i = len(at.checked)
			at.checked = append(at.checked, step{number, &branch{}})
		}
		at = at.checked[i].to
	}
	at.ends = append(at.ends, owner)
}

// finish lists the steps of branches that have few.
func (b *builder) finish(at *branch) {
	for number, to := range at.driven {
		if len(at.driven) <= few {
			at.few = append(at.few, step{number, to})
		}
		b.finish(to)
	}
	if len(at.few) > 0 {
		at.driven = nil
	}
	for _, s := range at.checked {
		b.finish(s.to)
	}
}

// indexes makes the indexes of all fields.
func (b *builder) indexes() {
	tests := map[*field]map[string]test{}
	needs := map[*field]map[string][]int32{}
	for number, n := range b.m.needs {
		if !n.driven {
			n.field.kept = true
			continue
		}
		if tests[n.field] == nil {
			tests[n.field], needs[n.field] = map[string]test{}, map[string][]int32{}
		}
		for _, t := range n.tests {
			key := t.key()
			tests[n.field][key] = t
			needs[n.field][key] = append(needs[n.field][key], int32(number))
		}
	}
	for f := range tests {
		f.values = newIndex(tests[f], needs[f])
	}
}
