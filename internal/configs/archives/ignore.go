package archives

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// IgnoreFile is the file at the root of a project that names what is not packed, in
// the way of Git: a pattern a line, with *, ? and **; a slash at the end for
// directories only, one elsewhere for a path from the root; ! to take back.
const IgnoreFile = ".tuttiignore"

// always is never packed: stores, states, what was installed, and what belongs to
// Git. They are no configuration, and states have secrets in them.
var always = []string{".git", ".terraform/", ".tutti/", "*.tfstate", "*.tfstate.*", "crash.log"}

// ignored are patterns, of which the last that matches decides. Those that are
// always ignored come last, so that nothing takes them back.
type ignored []pattern

type pattern struct {
	expression  *regexp.Regexp
	directories bool // only
	taken       bool // not ignored after all
}

// readIgnored reads what a directory says is to be ignored.
func readIgnored(dir string) (ignored, error) {
	data, err := os.ReadFile(filepath.Join(dir, IgnoreFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out ignored
	for i, line := range append(strings.Split(string(data), "\n"), always...) {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p, err := parsePattern(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", IgnoreFile, i+1, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePattern(line string) (p pattern, err error) {
	line, p.taken = strings.CutPrefix(line, "!")
	line, p.directories = strings.CutSuffix(line, "/")
	expression := "^(?:.*/)?"
	if strings.Contains(line, "/") {
		expression = "^"
	}
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return p, errors.New("the pattern matches nothing")
	}
	for len(line) > 0 {
		switch {
		case strings.HasPrefix(line, "**/"):
			expression, line = expression+"(?:.*/)?", line[3:]
		case strings.HasPrefix(line, "**"):
			expression, line = expression+".*", line[2:]
		case line[0] == '*':
			expression, line = expression+"[^/]*", line[1:]
		case line[0] == '?':
			expression, line = expression+"[^/]", line[1:]
		case line[0] == '\\' && len(line) > 1:
			expression, line = expression+regexp.QuoteMeta(line[1:2]), line[2:]
		default:
			expression, line = expression+regexp.QuoteMeta(line[:1]), line[1:]
		}
	}
	p.expression, err = regexp.Compile(expression + "$")
	return p, err
}

// matches reports whether a file or directory is ignored, by its path from the root.
// What lies in an ignored directory is not asked for.
func (list ignored) matches(name string, directory bool) bool {
	for i := len(list) - 1; i >= 0; i-- {
		if p := list[i]; (directory || !p.directories) && p.expression.MatchString(name) {
			return !p.taken
		}
	}
	return false
}
