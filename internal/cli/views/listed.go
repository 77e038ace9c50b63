package views

import "strings"

// listWidth is how wide lists are, on any terminal and in files alike.
const listWidth = 80

// Listed is an entry of a list that keeps to 80 columns: what begins it, then its parts
// with the separator between them. Parts that have no room any more stand on further lines,
// indented by so many columns; empty ones are left out. Only what is longer than a line by
// itself goes beyond it.
func Listed(head string, indent int, separator string, parts ...string) string {
	var b strings.Builder
	line, begun := head, head != ""
	for _, part := range parts {
		if part == "" {
			continue
		}
		switch {
		case !begun:
			line += part
		case columns(line)+columns(separator)+columns(part) <= listWidth:
			line += separator + part
		default:
			b.WriteString(strings.TrimRight(line+strings.TrimRight(separator, " "), " ") + "\n")
			line = strings.Repeat(" ", indent) + part
		}
		begun = true
	}
	b.WriteString(strings.TrimRight(line, " "))
	return b.String()
}

// Said is a text for people in lines of 80 columns, those after the first one indented by
// so many.
func Said(text string, indent int) string { return hang(text, indent, listWidth) }
