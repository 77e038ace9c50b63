package secrets

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// placeholder stands in the open text where a sensitive value was.
const placeholder = `{"$sealed":true}`

// Hide takes the values at the paths out of an object's JSON text. The open
// text has a placeholder object for each; what was there is sealed together,
// bound to this open text. [Keyring.Reveal] restores the text byte for byte.
//
// Without paths the attributes come back as they are, and nothing is sealed.
// Where a path cannot be followed in JSON alone (into a set, into a value whose
// type is stored beside it, to something that is not there), the nearest value
// around it is hidden instead: never less than asked for.
//
// The error says that the attributes are not valid JSON, or is as for
// [Keyring.Seal]; it quotes nothing.
func (k *Keyring) Hide(attributes json.RawMessage, paths []cty.Path) (open json.RawMessage, sealed []byte, err error) {
	if len(paths) == 0 || len(attributes) == 0 {
		return attributes, nil, nil
	}
	if !json.Valid(attributes) {
		return nil, nil, errors.New("cannot hide sensitive values: the attributes are not valid JSON")
	}
	finder := &spanFinder{text: attributes}
	start, end := finder.bounds(0)
	finder.value(start, end, paths, 0)
	slices.SortFunc(finder.spans, func(a, b span) int { return a.start - b.start })

	table := binary.AppendUvarint(nil, uint64(len(finder.spans)))
	var hidden []byte
	from := 0
	for _, s := range finder.spans {
		open = append(open, attributes[from:s.start]...)
		table = binary.AppendUvarint(table, uint64(len(open)))
		table = binary.AppendUvarint(table, uint64(s.end-s.start))
		hidden = append(hidden, attributes[s.start:s.end]...)
		open = append(open, placeholder...)
		from = s.end
	}
	open = append(open, attributes[from:]...)
	sealed, err = k.seal(append(table, hidden...), open)
	if err != nil {
		return nil, nil, err
	}
	return open, sealed, nil
}

// Reveal undoes [Keyring.Hide]. Where nothing is sealed it returns the open
// text as it is. The error is as for [Keyring.Open]; open text that was changed
// counts as damage.
func (k *Keyring) Reveal(open json.RawMessage, sealed []byte) (json.RawMessage, error) {
	if len(sealed) == 0 {
		return open, nil
	}
	plain, err := k.open(sealed, open)
	if err != nil {
		return nil, err
	}
	// What follows was authenticated; the checks are against other versions of
	// this program.
	bad := fmt.Errorf("cannot restore sensitive values: %w", ErrDamaged)
	next := func() (int, bool) {
		n, size := binary.Uvarint(plain)
		if size <= 0 || n > 1<<40 {
			return 0, false
		}
		plain = plain[size:]
		return int(n), true
	}
	count, ok := next()
	if !ok || count > len(plain) {
		return nil, bad
	}
	places := make([][2]int, count) // offset in open, length of what was there
	for i := range places {
		at, ok1 := next()
		length, ok2 := next()
		if !ok1 || !ok2 {
			return nil, bad
		}
		places[i] = [2]int{at, length}
	}
	out := make(json.RawMessage, 0, len(open)+len(plain))
	from := 0
	for _, place := range places {
		at, length := place[0], place[1]
		if at < from || at+len(placeholder) > len(open) || length > len(plain) {
			return nil, bad
		}
		out = append(append(out, open[from:at]...), plain[:length]...)
		plain = plain[length:]
		from = at + len(placeholder)
	}
	if len(plain) != 0 {
		return nil, bad
	}
	return append(out, open[from:]...), nil
}

// span is a value's place in a text.
type span struct{ start, end int }

// spanFinder finds the places of values in valid JSON text.
type spanFinder struct {
	text  []byte
	spans []span
}

// value collects the places of what the paths lead to, of which the first
// depth steps are done, inside the value from start to end.
func (f *spanFinder) value(start, end int, paths []cty.Path, depth int) {
	whole := false
	for _, path := range paths {
		whole = whole || len(path) == depth
	}
	var next map[span][]cty.Path
	if !whole {
		switch f.text[start] {
		case '{':
			next = f.members(start, paths, depth)
		case '[':
			next = f.elements(start, paths, depth)
		}
	}
	if next == nil { // the value itself, or a path ends before it should
		f.spans = append(f.spans, span{start, end})
		return
	}
	for inner, through := range next {
		f.value(inner.start, inner.end, through, depth+1)
	}
}

// members sorts the paths by the member of the object at start that they lead
// through; nil where one leads nowhere.
func (f *spanFinder) members(start int, paths []cty.Path, depth int) map[span][]cty.Path {
	byName := map[string]span{}
	for at := f.skipSpace(start + 1); f.text[at] != '}'; {
		keyStart, keyEnd := f.bounds(at)
		var name string
		if json.Unmarshal(f.text[keyStart:keyEnd], &name) != nil {
			return nil
		}
		if _, twice := byName[name]; twice {
			return nil // readers disagree which one counts
		}
		valueStart, valueEnd := f.bounds(f.skipSpace(keyEnd) + 1)
		byName[name] = span{valueStart, valueEnd}
		at = f.skipSeparator(valueEnd)
	}
	_, hasValue := byName["value"]
	_, hasType := byName["type"]
	if depth > 0 && len(byName) == 2 && hasValue && hasType {
		return nil // a value stored with its type: paths do not tell of this level
	}
	next := map[span][]cty.Path{}
	for _, path := range paths {
		var name string
		switch step := path[depth].(type) {
		case cty.GetAttrStep:
			name = step.Name
		case cty.IndexStep:
			key, _ := step.Key.Unmark()
			if key.IsNull() || !key.IsKnown() || key.Type() != cty.String {
				return nil
			}
			name = key.AsString()
		default:
			return nil
		}
		inner, found := byName[name]
		if !found {
			return nil
		}
		next[inner] = append(next[inner], path)
	}
	return next
}

// elements is like members for an array.
func (f *spanFinder) elements(start int, paths []cty.Path, depth int) map[span][]cty.Path {
	var all []span
	for at := f.skipSpace(start + 1); f.text[at] != ']'; {
		valueStart, valueEnd := f.bounds(at)
		all = append(all, span{valueStart, valueEnd})
		at = f.skipSeparator(valueEnd)
	}
	next := map[span][]cty.Path{}
	for _, path := range paths {
		step, ok := path[depth].(cty.IndexStep)
		if !ok {
			return nil
		}
		key, _ := step.Key.Unmark()
		if key.IsNull() || !key.IsKnown() || key.Type() != cty.Number {
			return nil // an element of a set
		}
		index, accuracy := key.AsBigFloat().Int64()
		if accuracy != big.Exact || index < 0 || index >= int64(len(all)) {
			return nil
		}
		inner := all[index]
		if first := f.text[inner.start]; first == '-' || (first >= '0' && first <= '9') {
			return nil // might be a set of numbers, whose elements are their own keys
		}
		next[inner] = append(next[inner], path)
	}
	return next
}

func (f *spanFinder) skipSpace(at int) int {
	for at < len(f.text) && (f.text[at] == ' ' || f.text[at] == '\t' || f.text[at] == '\n' || f.text[at] == '\r') {
		at++
	}
	return at
}

// skipSeparator goes from behind a value to the next one or the closing bracket.
func (f *spanFinder) skipSeparator(at int) int {
	if at = f.skipSpace(at); f.text[at] == ',' {
		at = f.skipSpace(at + 1)
	}
	return at
}

// bounds returns where the value at or after a place begins and ends.
func (f *spanFinder) bounds(at int) (start, end int) {
	start = f.skipSpace(at)
	depth := 0
	for at = start; at < len(f.text); at++ {
		switch f.text[at] {
		case '"':
			for at++; f.text[at] != '"'; at++ {
				if f.text[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
			continue
		default: // a number or a word
			for at+1 < len(f.text) && !isDelimiter(f.text[at+1]) {
				at++
			}
		}
		if depth == 0 {
			return start, at + 1
		}
	}
	return start, len(f.text)
}

func isDelimiter(c byte) bool {
	switch c {
	case ',', ':', ']', '}', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}
