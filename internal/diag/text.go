package diag

import (
	"fmt"
	"strings"
)

// CountOf says how many there are of something in a text: "one object", "3 objects".
func CountOf(n int, noun string) string {
	if n == 1 {
		return "one " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// FirstLine is the first line of a text, for where there is room for one.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// InFile says in every diagnostic of a list which file it is about.
func InFile(name string, list List) List {
	for i := range list {
		list[i].Detail = name + ": " + list[i].Detail
	}
	return list
}
