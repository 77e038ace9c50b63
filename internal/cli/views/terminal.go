// Package views renders what people and tools read: diagnostics, plans, states,
// outputs and progress, as text for terminals and logs or as JSON. It decides
// nothing: what it shows comes in as data, text goes out.
//
// Text keeps to the width of the terminal (80 columns where there is none),
// except for source lines and values, which are shown as they are. Colour is for
// terminals only. Text that comes from outside is stripped of control
// characters before it is shown.
package views

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// Terminal is where text goes.
type Terminal struct {
	Out   io.Writer
	Color bool
	Width int  // columns
	Live  bool // lines may be redrawn
	// CompactWarnings shows warnings as one line each where there are no errors.
	CompactWarnings bool
	Now             func() time.Time // nil: time.Now
}

// defaultWidth is the width where nothing says another: Terraform's.
const defaultWidth = 78

// Detect finds out what a writer can show. Colour and redrawing need a terminal;
// noColor, NO_COLOR and TERM=dumb switch colour off.
func Detect(w io.Writer, noColor bool) *Terminal {
	t := &Terminal{Out: w, Width: defaultWidth}
	if size, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && size >= 20 {
		t.Width = size
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t
	}
	if size, _, err := term.GetSize(int(f.Fd())); err == nil && size >= 20 {
		t.Width = size
	}
	plain := noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	t.Color, t.Live = !plain, os.Getenv("TERM") != "dumb" && os.Getenv("TF_IN_AUTOMATION") == "" && os.Getenv("CI") == ""
	return t
}

func (t *Terminal) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// style is a colour or weight.
type style string

const (
	bold      style = "1"
	underline style = "4"
	dim       style = "2"
	red       style = "31"
	green     style = "32"
	yellow    style = "33"
	cyan      style = "36"
)

// paint sets text in a style, on terminals with colour.
func (t *Terminal) paint(s style, text string) string {
	if !t.Color || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (t *Terminal) printf(format string, args ...any) { fmt.Fprintf(t.Out, format, args...) }

// Paragraph prints text wrapped to the width, with an empty line before it.
func (t *Terminal) Paragraph(text string) { t.printf("\n%s\n", wrap(text, t.Width)) }

// Indented prints text, every line of it behind so many spaces.
func (t *Terminal) Indented(text string, by int) {
	margin := strings.Repeat(" ", by)
	for line := range strings.Lines(wrap(printable(text), max(20, t.Width-by))) {
		t.printf("%s%s\n", margin, strings.TrimRight(line, "\n"))
	}
}

// Rule prints a line from side to side.
func (t *Terminal) Rule() {
	t.printf("\n%s\n", t.paint(dim, strings.Repeat("─", t.Width)))
}

// wrap breaks paragraphs at words so that lines fit. Lines that are indented
// are examples, and stay as they are.
func wrap(text string, limit int) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if strings.HasPrefix(line, " ") || columns(line) <= limit {
			b.WriteString(line)
			continue
		}
		column := 0
		for _, word := range strings.Fields(line) {
			n := columns(word)
			switch {
			case column == 0:
			case column+1+n > limit:
				b.WriteByte('\n')
				column = 0
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
	}
	return b.String()
}

// columns counts the columns that text takes on a terminal. Escape sequences,
// which are ours, take none.
func columns(text string) int {
	n := 0
	for i := 0; i < len(text); {
		if text[i] == 0x1b {
			i += max(1, escapeSequence(text[i:]))
			continue
		}
		if text[i] < utf8.RuneSelf {
			n, i = n+1, i+1
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		n, i = n+runeColumns(r), i+size
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens text that is wider than a number of columns.
func cut(text string, limit int) string {
	if columns(text) <= limit {
		return text
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n >= limit {
			return text[:i] + "…"
		}
	}
	return text
}

// printable drops what could make a terminal show what is not there: escape
// sequences as a whole, control characters, and marks that turn the direction
// of writing. Line ends and tabs stay.
func printable(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	if !strings.ContainsFunc(text, dangerous) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		if n := escapeSequence(text[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if !dangerous(r) {
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// dangerous reports whether a character must not reach a terminal.
func dangerous(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x7f:
		return r < ' '
	}
	return unicode.IsControl(r) || turnsDirection(r)
}

// turnsDirection reports whether a character changes the order in which others
// are shown.
func turnsDirection(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// escapeSequence returns the length of the terminal's escape sequence at the
// beginning of text, or 0.
func escapeSequence(text string) int {
	if len(text) < 2 || text[0] != 0x1b {
		return 0
	}
	switch text[1] {
	case '[': // parameters, then one final byte
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return i + 1
			}
			if text[i] < 0x20 || text[i] > 0x3f {
				return i
			}
		}
		return len(text)
	case ']', 'P', '^', '_', 'X': // text up to a bell or a string terminator
		for i := 2; i < len(text); i++ {
			switch {
			case text[i] == '\a':
				return i + 1
			case text[i] == 0x1b && i+1 < len(text) && text[i+1] == '\\':
				return i + 2
			case text[i] == '\n':
				return i
			}
		}
		return len(text)
	}
	// Anything else: intermediate bytes, then one final byte.
	for i := 1; i < len(text); i++ {
		if text[i] < 0x20 || text[i] > 0x7e {
			return i
		}
		if text[i] > 0x2f {
			return i + 1
		}
	}
	return len(text)
}
