package patterns

import "slices"

// The ends of a text, as an automaton sees them: bytes that no valid UTF-8 has.
const (
	textBegins = 0xFE
	textEnds   = 0xFF
)

// automaton finds in one pass over a text which of many tests it fits (Aho and
// Corasick). Of each test it looks for one piece: what the text begins or ends with,
// or the longest of those in between.
type automaton struct {
	states []state
	first  [256]int32 // from the first state
	always []int32    // of tests without any piece: every text fits
}

type state struct {
	edges []edge // by byte
	fail  int32  // the state of the longest end of what was read that is a beginning of another piece
	more  int32  // the next one on that way that has found something; 0 for none
	found []found
}

type edge struct {
	on byte
	to int32
}

// found is a test of which the piece was read.
type found struct {
	test  *textTest // to be tried on the whole text; nil where the piece says it all
	needs []int32
}

// piecedTest is a test with what is met where it fits.
type piecedTest struct {
	*textTest
	needs []int32
}

func newAutomaton(tests []piecedTest) *automaton {
	if len(tests) == 0 {
		return nil
	}
	a := &automaton{states: make([]state, 1)}
	for _, t := range tests {
		piece, whole := longestPiece(t.parts)
		if piece == "" {
			a.always = append(a.always, t.needs...)
			continue
		}
		at := int32(0)
		for i := range len(piece) {
			at = a.grow(at, piece[i])
		}
		f := found{test: t.textTest, needs: t.needs}
		if whole {
			f.test = nil
		}
		a.states[at].found = append(a.states[at].found, f)
	}
	for _, e := range a.states[0].edges {
		a.first[e.on] = e.to
	}
	a.link()
	return a
}

// longestPiece is what a text that fits has in it, with its ends where it is there;
// whole reports whether nothing else is asked of the text.
func longestPiece(parts []string) (piece string, whole bool) {
	count := 0
	for i, part := range parts {
		if part == "" {
			continue
		}
		count++
		if i == 0 {
			part = string([]byte{textBegins}) + part
		}
		if i == len(parts)-1 {
			part += string([]byte{textEnds})
		}
		if len(part) > len(piece) {
			piece = part
		}
	}
	return piece, count == 1
}

// grow follows an edge, and makes it where there is none.
func (a *automaton) grow(from int32, on byte) int32 {
	edges := a.states[from].edges
	i, ok := slices.BinarySearchFunc(edges, on, func(e edge, on byte) int { return int(e.on) - int(on) })
	if ok {
		return edges[i].to
	}
	to := int32(len(a.states))
	a.states = append(a.states, state{})
	a.states[from].edges = slices.Insert(edges, i, edge{on, to})
	return to
}

// link says of each state where to go on where none of its edges fits.
func (a *automaton) link() {
	queue := []int32{}
	for _, e := range a.states[0].edges {
		queue = append(queue, e.to)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, e := range a.states[at].edges {
			fail := a.next(a.states[at].fail, e.on)
			a.states[e.to].fail = fail
			if a.states[e.to].more = fail; len(a.states[fail].found) == 0 {
				a.states[e.to].more = a.states[fail].more
			}
			queue = append(queue, e.to)
		}
	}
}

func (a *automaton) next(at int32, on byte) int32 {
	for at != 0 {
		for _, e := range a.states[at].edges {
			if e.on == on {
				return e.to
			}
			if e.on > on {
				break
			}
		}
		at = a.states[at].fail
	}
	return a.first[on]
}

// find calls met for what is met by a text, for some more than once.
func (a *automaton) find(text []byte, met func(needs []int32)) {
	met(a.always)
	at := a.arrive(a.next(0, textBegins), text, met)
	for _, c := range text {
		at = a.arrive(a.next(at, c), text, met)
	}
	a.arrive(a.next(at, textEnds), text, met)
}

func (a *automaton) arrive(at int32, text []byte, met func(needs []int32)) int32 {
	look := at
	if len(a.states[look].found) == 0 {
		look = a.states[look].more
	}
	for ; look != 0; look = a.states[look].more {
		for _, f := range a.states[look].found {
			if f.test == nil || f.test.fitsText(text) {
				met(f.needs)
			}
		}
	}
	return at
}
