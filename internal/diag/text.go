package diag

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// CountOf says how many there are of something in a text: "one object", "3 objects".
func CountOf(n int, noun string) string {
	if n == 1 {
		return "one " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Sentence is a text as the beginning of a sentence, which it may have been the end of.
func Sentence(text string) string { return upperFirst(text) }

// FirstLine is the first line of a text, for where there is room for one.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// Nearest is the name most like word, if it is close enough to be what was meant.
func Nearest(word string, names []string) string {
	best, bestDistance := "", 1+max(1, len(word)/2)
	for _, name := range names {
		d := levenshtein.Distance(strings.ToLower(word), name, nil)
		if strings.HasPrefix(name, word) {
			d = min(d, 1)
		}
		if d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// DidYouMean asks whether the name most like another was meant, in a sentence that comes
// after one; empty where none is alike.
func DidYouMean(name string, names []string) string {
	if other := Nearest(name, names); other != "" {
		return fmt.Sprintf(" Did you mean %q?", other)
	}
	return ""
}

// InFile says in every diagnostic of a list which file it is about.
func InFile(name string, list List) List {
	for i := range list {
		list[i].Detail = name + ": " + list[i].Detail
	}
	return list
}
