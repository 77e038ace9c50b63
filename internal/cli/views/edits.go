package views

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// edit is one step from one list to another.
type edit struct {
	symbol        string
	before, after cty.Value
	index         int // in the new list; for what is gone, where it would be
}

// maxCompared bounds the work of finding the shortest list of edits; longer
// lists are compared position by position.
const maxCompared = 2000

func elements(v cty.Value) []cty.Value {
	out := make([]cty.Value, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		out = append(out, e)
	}
	return out
}

// listEdits finds what to do with the elements of one list to get another. An
// element that is replaced by another of the same shape is an update.
func listEdits(before, after []cty.Value) []edit {
	names := identities{buckets: map[int][]identified{}}
	a, b := names.of(before), names.of(after)
	var out []edit
	for _, s := range shortest(len(before), len(after), func(i, j int) bool { return a[i] == b[j] }) {
		switch {
		case s.i >= 0 && s.j >= 0:
			out = append(out, edit{symbolNone, before[s.i], after[s.j], s.j})
		case s.i >= 0:
			out = append(out, edit{symbolDelete, before[s.i], cty.NilVal, s.at})
		default:
			out = append(out, edit{symbolCreate, cty.NilVal, after[s.j], s.j})
		}
	}
	return pairUpdates(out)
}

// identities numbers values so that equal ones have the same number: comparing
// every element of a long list with every other would take too long.
type identities struct {
	buckets map[int][]identified
	count   int
}

type identified struct {
	value cty.Value
	id    int
}

func (n *identities) of(values []cty.Value) []int {
	out := make([]int, len(values))
	for i, v := range values {
		unmarked, _ := v.UnmarkDeep()
		hash := unmarked.Hash()
		found := false
		for _, known := range n.buckets[hash] {
			if known.value.RawEquals(v) {
				out[i], found = known.id, true
				break
			}
		}
		if !found {
			n.count++
			out[i] = n.count
			n.buckets[hash] = append(n.buckets[hash], identified{v, n.count})
		}
	}
	return out
}

// tupleEdits compares the elements of tuples of the same length, which belong to
// their place.
func tupleEdits(before, after []cty.Value) []edit {
	out := make([]edit, len(before))
	for i := range before {
		out[i] = edit{symbolUpdate, before[i], after[i], i}
		if before[i].RawEquals(after[i]) {
			out[i].symbol = symbolNone
		}
	}
	return out
}

// pairUpdates joins what is gone and what is new at the same place where both
// have parts that can be compared.
func pairUpdates(in []edit) []edit {
	var out []edit
	for i := 0; i < len(in); i++ {
		gone := i
		for i < len(in) && in[i].symbol == symbolDelete {
			i++
		}
		added := i
		for i < len(in) && in[i].symbol == symbolCreate {
			i++
		}
		pairs := min(added-gone, i-added)
		for n := range pairs {
			a, b := in[gone+n], in[added+n]
			if comparable(a.before, b.after) {
				out = append(out, edit{symbolUpdate, a.before, b.after, b.index})
			} else {
				out = append(out, a, b)
			}
		}
		out = append(out, in[gone+pairs:added]...)
		out = append(out, in[added+pairs:i]...)
		if i < len(in) {
			out = append(out, in[i])
		}
	}
	return out
}

func comparable(a, b cty.Value) bool {
	a, _ = a.Unmark()
	b, _ = b.Unmark()
	if a.IsNull() || b.IsNull() || !a.IsKnown() || !b.IsKnown() {
		return false
	}
	return a.Type().IsObjectType() && b.Type().IsObjectType()
}

// setEdits compares sets: their elements have no place.
func setEdits(before, after cty.Value) []edit {
	var out []edit
	for _, e := range elements(before) {
		if contains(after, e) {
			out = append(out, edit{symbol: symbolNone, before: e, after: e})
		} else {
			out = append(out, edit{symbol: symbolDelete, before: e})
		}
	}
	for _, e := range elements(after) {
		if !contains(before, e) {
			out = append(out, edit{symbol: symbolCreate, after: e})
		}
	}
	return out
}

func contains(set, element cty.Value) bool {
	if !element.IsWhollyKnown() || !set.IsWhollyKnown() {
		for _, e := range elements(set) {
			if e.RawEquals(element) {
				return true
			}
		}
		return false
	}
	if !set.Type().ElementType().Equals(element.Type()) {
		return false
	}
	return set.HasElement(element).True()
}

// lineEdit is one line of a text that changes.
type lineEdit struct {
	symbol, text string
}

// textLines splits a text for showing it; control characters are dropped.
func textLines(s string) []string {
	return strings.Split(strings.TrimSuffix(printable(s), "\n"), "\n")
}

func lineEdits(before, after string) []lineEdit {
	a, b := textLines(before), textLines(after)
	var out []lineEdit
	for _, s := range shortest(len(a), len(b), func(i, j int) bool { return a[i] == b[j] }) {
		switch {
		case s.i >= 0 && s.j >= 0:
			out = append(out, lineEdit{symbolNone, b[s.j]})
		case s.i >= 0:
			out = append(out, lineEdit{symbolDelete, a[s.i]})
		default:
			out = append(out, lineEdit{symbolCreate, b[s.j]})
		}
	}
	return out
}

// step says that an element of the old list is in the new one (i and j), gone
// (only i, at its place in the new list) or new (only j).
type step struct{ i, j, at int }

// shortest aligns two lists by their longest common subsequence.
func shortest(n, m int, same func(i, j int) bool) []step {
	start := 0
	for start < n && start < m && same(start, start) {
		start++
	}
	end := 0
	for end < n-start && end < m-start && same(n-1-end, m-1-end) {
		end++
	}
	var out []step
	for i := range start {
		out = append(out, step{i, i, i})
	}
	rows, columns := n-start-end, m-start-end
	if rows*columns > maxCompared*maxCompared {
		for i := range rows {
			out = append(out, step{start + i, -1, start})
		}
		for j := range columns {
			out = append(out, step{-1, start + j, start + j})
		}
	} else {
		out = append(out, middle(start, rows, columns, same)...)
	}
	for k := range end {
		out = append(out, step{n - end + k, m - end + k, m - end + k})
	}
	return out
}

// middle aligns the part between common ends.
func middle(start, rows, columns int, same func(i, j int) bool) []step {
	length := make([][]int32, rows+1)
	for i := range length {
		length[i] = make([]int32, columns+1)
	}
	for i := rows - 1; i >= 0; i-- {
		for j := columns - 1; j >= 0; j-- {
			if same(start+i, start+j) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out []step
	i, j := 0, 0
	for i < rows || j < columns {
		switch {
		case i < rows && j < columns && same(start+i, start+j):
			out = append(out, step{start + i, start + j, start + j})
			i, j = i+1, j+1
		case i < rows && (j == columns || length[i+1][j] >= length[i][j+1]):
			out = append(out, step{start + i, -1, start + j})
			i++
		default:
			out = append(out, step{-1, start + j, start + j})
			j++
		}
	}
	return out
}
