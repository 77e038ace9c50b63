package patterns

import (
	"net/netip"
	"slices"
)

// index leads from the values of one field to the numbers of the requirements that
// they meet.
type index struct {
	texts, foldedTexts   map[string][]int32
	pieces, foldedPieces *automaton
	kinds                [kindNull + 1][]int32
	numbers              map[string][]int32 // by key
	ranges               *ranges
	nets                 map[netip.Prefix][]int32
	lengths              [2][]int // of the prefixes of nets, for IPv4 and IPv6
}

// newIndex makes the index of tests, each with the requirements that it meets.
func newIndex(tests map[string]test, needs map[string][]int32) *index {
	x := &index{texts: map[string][]int32{}, foldedTexts: map[string][]int32{}, numbers: map[string][]int32{}, nets: map[netip.Prefix][]int32{}}
	var pieces, foldedPieces []piecedTest
	var inRanges []rangeEntry
	for key, t := range tests {
		switch t := t.(type) {
		case *textTest:
			switch {
			case len(t.parts) > 1 && t.folded:
				foldedPieces = append(foldedPieces, piecedTest{t, needs[key]})
			case len(t.parts) > 1:
				pieces = append(pieces, piecedTest{t, needs[key]})
			case t.folded:
				x.foldedTexts[t.parts[0]] = needs[key]
			default:
				x.texts[t.parts[0]] = needs[key]
			}
		case kindTest:
			x.kinds[t] = needs[key]
		case *numberTest:
			if t.equal() {
				x.numbers[string(t.low.number.appendKey(nil))] = needs[key]
			} else {
				inRanges = append(inRanges, rangeEntry{numberTest: t, needs: needs[key]})
			}
		case netTest:
			prefix := netip.Prefix(t)
			x.nets[prefix] = needs[key]
			family := familyOf(prefix.Addr())
			if !slices.Contains(x.lengths[family], prefix.Bits()) {
				x.lengths[family] = append(x.lengths[family], prefix.Bits())
			}
		}
	}
	x.pieces, x.foldedPieces, x.ranges = newAutomaton(pieces), newAutomaton(foldedPieces), newRanges(inRanges)
	return x
}

func familyOf(addr netip.Addr) int {
	if addr.Is4() {
		return 0
	}
	return 1
}

// find calls met for what a value meets, for some more than once. The buffer is for
// its use.
func (x *index) find(v value, buffer *[]byte, met func(needs []int32)) {
	switch v.kind {
	case kindString:
		met(x.texts[string(v.text)])
		if x.pieces != nil {
			x.pieces.find(v.text, met)
		}
		if len(x.foldedTexts) > 0 || x.foldedPieces != nil {
			*buffer = appendFolded((*buffer)[:0], v.text)
			met(x.foldedTexts[string(*buffer)])
			if x.foldedPieces != nil {
				x.foldedPieces.find(*buffer, met)
			}
		}
		if len(x.nets) > 0 {
			x.findNets(v, met)
		}
	case kindNumber:
		if len(x.numbers) == 0 && x.ranges == nil {
			return
		}
		var d decimal
		d, *buffer = parseDecimal(v.text, (*buffer)[:0])
		if x.ranges != nil {
			x.ranges.find(d, met)
		}
		*buffer = d.appendKey(*buffer)
		met(x.numbers[string((*buffer)[len(d.digits):])])
	default:
		met(x.kinds[v.kind])
	}
}

func (x *index) findNets(v value, met func(needs []int32)) {
	addr, ok := parseAddress(v)
	if !ok || addr.Zone() != "" {
		return
	}
	for _, length := range x.lengths[familyOf(addr)] {
		if prefix, err := addr.Prefix(length); err == nil {
			met(x.nets[prefix])
		}
	}
}
