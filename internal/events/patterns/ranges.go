package patterns

import "slices"

// ranges are ranges of numbers in a tree: which of them a number is in takes time
// for these and the depth of the tree.
type ranges struct {
	list []rangeEntry // by lower bound; the middle of each part is its root
}

type rangeEntry struct {
	*numberTest
	needs   []int32
	highest bound // the highest upper bound in the part of which this is the root
}

func newRanges(list []rangeEntry) *ranges {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b rangeEntry) int { return compareLow(a.low, b.low) })
	raise(list)
	return &ranges{list}
}

// raise computes the highest upper bound of a part and of those in it.
func raise(part []rangeEntry) bound {
	middle := len(part) / 2
	root := &part[middle]
	root.highest = root.high
	for _, side := range [][]rangeEntry{part[:middle], part[middle+1:]} {
		if len(side) > 0 {
			if highest := raise(side); compareHigh(highest, root.highest) > 0 {
				root.highest = highest
			}
		}
	}
	return root.highest
}

// compareLow orders lower bounds: those that let more in come first.
func compareLow(a, b bound) int {
	switch {
	case a.number == nil || b.number == nil:
		return present(a) - present(b)
	case a.number.compare(*b.number) != 0:
		return a.number.compare(*b.number)
	}
	return open(a) - open(b)
}

// compareHigh orders upper bounds: those that let more in come last.
func compareHigh(a, b bound) int {
	switch {
	case a.number == nil || b.number == nil:
		return present(b) - present(a)
	case a.number.compare(*b.number) != 0:
		return a.number.compare(*b.number)
	}
	return open(b) - open(a)
}

func present(b bound) int {
	if b.number == nil {
		return 0
	}
	return 1
}

func open(b bound) int {
	if b.open {
		return 1
	}
	return 0
}

// find calls met for every range that a number is in.
func (r *ranges) find(d decimal, met func(needs []int32)) { find(r.list, d, met) }

func find(part []rangeEntry, d decimal, met func(needs []int32)) {
	for len(part) > 0 {
		middle := len(part) / 2
		root := &part[middle]
		if !root.highest.below(d) {
			return
		}
		find(part[:middle], d, met)
		if !root.low.above(d) {
			return // and so do all that follow begin behind the number
		}
		if root.high.below(d) {
			met(root.needs)
		}
		part = part[middle+1:]
	}
}
