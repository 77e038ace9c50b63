package views

import (
	"bytes"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

func TestDetectWithoutTerminal(t *testing.T) {
	t.Setenv("COLUMNS", "")
	got := Detect(&bytes.Buffer{}, false)
	if got.Color || got.Live || got.Width != defaultWidth {
		t.Errorf("a buffer is no terminal: %+v", got)
	}
	t.Setenv("COLUMNS", "100")
	if got := Detect(&bytes.Buffer{}, false); got.Width != 100 {
		t.Errorf("COLUMNS is not heeded: %d", got.Width)
	}
	t.Setenv("COLUMNS", "2")
	if got := Detect(&bytes.Buffer{}, false); got.Width != defaultWidth {
		t.Errorf("a width of 2 is of no use: %d", got.Width)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"tab\tand\nline":              "tab\tand\nline",
		"a\x1b[1;31mred\x1b[0m":       "ared",
		"a\x1b]0;title\x07b":          "ab",
		"a\x1b]8;;http://x\x1b\\link": "alink",
		"a\x1b(Bb\x1b7c":              "abc",
		"a\rb\x00c\x7fd":              "abcd",
		"a\u009bb":                    "ab",
		"a\u202eb\u2066c":             "abc",
		"bad \xff byte":               "bad \ufffd byte",
		"ends in \x1b":                "ends in ",
		"unfinished \x1b[1":           "unfinished ",
		"ümläut 漢字 \ufffd":            "ümläut 漢字 \ufffd",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"one two three four", "one two\nthree four"},
		{"    indented lines stay as they are", "    indented lines stay as they are"},
		{"averyveryverylongword and", "averyveryverylongword\nand"},
		{"漢字漢字 漢字", "漢字漢字\n漢字"},
		{"a\n\nb", "a\n\nb"},
		{"\x1b[1mone two\x1b[0m", "\x1b[1mone two\x1b[0m"},
	} {
		if got := wrap(c.in, 10); got != c.want {
			t.Errorf("wrap(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"short", "short"}, {"exactly ten", "exactly t…"}, {"漢字漢字漢字", "漢字漢字…"},
	} {
		if got := cut(c.in, 10); got != c.want || columns(got) > 10 {
			t.Errorf("cut(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestConsoleValue(t *testing.T) {
	for want, v := range map[string]cty.Value{
		"<<EOT\na\nb\nEOT":    cty.StringVal("a\nb"),
		"tostring(null)":      cty.NullVal(cty.String),
		"(known after apply)": cty.UnknownVal(cty.String),
		"{}":                  cty.EmptyObjectVal,
		"tomap({})":           cty.MapValEmpty(cty.String),
		"1.5":                 cty.NumberFloatVal(1.5),
	} {
		if got := ConsoleValue(v); got != want {
			t.Errorf("%#v: got %q, want %q", v, got, want)
		}
	}
}
