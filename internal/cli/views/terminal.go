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

// defaultWidth is the width where nothing says another.
const defaultWidth = 80

// Detect finds out what a writer can show. Colour and redrawing need a terminal;
// noColor, NO_COLOR and TERM=dumb switch colour off.
func Detect(w io.Writer, noColor bool) *Terminal {
	t := &Terminal{Out: w, Width: defaultWidth}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns >= 20 {
		t.Width = columns
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width >= 20 {
		t.Width = width
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

// Rule prints a line from side to side.
func (t *Terminal) Rule() {
	t.printf("\n%s\n", t.paint(dim, strings.Repeat("─", t.Width)))
}

// wrap breaks paragraphs at words so that lines fit. Lines that are indented
// are examples, and stay as they are.
func wrap(text string, width int) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if strings.HasPrefix(line, " ") || utf8.RuneCountInString(line) <= width {
			b.WriteString(line)
			continue
		}
		column := 0
		for _, word := range strings.Fields(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case column == 0:
			case column+1+n > width:
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

// printable drops control characters, which could make a terminal show what is
// not there. Line ends and tabs stay.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}
