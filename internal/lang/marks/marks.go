// Package marks names the marks that values carry from where they are born to
// the last printer: sensitive values must not be shown, ephemeral values must
// not be stored. Everything that evaluates, plans, stores or prints values
// agrees on the marks here.
package marks

import (
	"github.com/zclconf/go-cty/cty"
)

// valueMark is its own type so that no other package's mark, whatever its
// text, can compare equal to one of ours.
type valueMark string

// The marks of the language.
const (
	// Sensitive values are hidden by every printer and encrypted at rest.
	Sensitive = valueMark("sensitive")
	// Ephemeral values may not reach state, plan or any other store.
	Ephemeral = valueMark("ephemeral")
)

// GoString names the mark in debugging output of values.
func (m valueMark) GoString() string {
	if m == Sensitive {
		return "marks.Sensitive"
	}
	return "marks.Ephemeral"
}

// Has reports whether v itself carries the mark. Marks on values nested inside
// v do not count; see [Contains].
func Has(v cty.Value, mark any) bool {
	return v.HasMark(mark)
}

// Contains reports whether v or any value nested inside it carries the mark.
func Contains(v cty.Value, mark any) bool {
	return v.HasMarkDeep(mark)
}

// Without returns v without the given mark on v itself. Other marks, and marks
// on nested values, stay.
func Without(v cty.Value, mark any) cty.Value {
	if !v.HasMark(mark) {
		return v
	}
	bare, all := v.Unmark()
	delete(all, mark)
	return bare.WithMarks(all)
}
