package patterns

// Pattern is a pattern that has been read: ways to fit it, each of which is enough.
type Pattern struct {
	ways [][]requirement
}

// requirement is what a pattern wants of one field: one of its values has to fit one
// of the tests.
type requirement struct {
	path   []string
	tests  []test
	absent bool // an event without the field meets it, too
}

// driven reports whether values lead to the requirement by the index of its field.
// The others are met by most values, or by none at all, and are looked at where a
// pattern needs nothing else any more.
func (r *requirement) driven() bool {
	if r.absent {
		return false
	}
	for _, t := range r.tests {
		switch t.(type) {
		case presentTest, *butTest:
			return false
		}
	}
	return true
}
