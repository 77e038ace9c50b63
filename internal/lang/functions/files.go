package functions

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/tutti-dev/tutti/internal/files"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions are those that look at files. They may only be given files
// that are part of the configuration: what they return is taken for constant.
func fileFunctions(baseDir string) map[string]function.Function {
	files := fileRoot(baseDir)
	all := map[string]function.Function{
		"abspath": stringFunc(func(args []string) (string, error) {
			abs, err := filepath.Abs(files.join(args[0]))
			return filepath.ToSlash(abs), err
		}, "path"),
		"file": pathFunc(cty.String, func(p givenPath) (cty.Value, error) {
			text, err := files.readText(p)
			return cty.StringVal(text), err
		}),
		"filebase64": pathFunc(cty.String, func(p givenPath) (cty.Value, error) {
			raw, err := files.read(p)
			return cty.StringVal(base64.StdEncoding.EncodeToString(raw)), err
		}),
		"fileexists": pathFunc(cty.Bool, files.exists),
		"fileset":    fileSetFunc(files),
	}
	for name, d := range digests() {
		// base64sha256 of a file is called filebase64sha256, and so on.
		all["file"+name] = pathFunc(cty.String, func(p givenPath) (cty.Value, error) {
			return files.digest(p, d)
		})
	}
	return all
}

// givenPath is a path as the configuration gave it, and as messages may show
// it.
type givenPath struct {
	text  string
	shown string
	marks cty.ValueMarks
}

// hide returns err, or a message without the path where that is secret: the
// errors of the operating system all contain it.
func (p givenPath) hide(err error) error {
	var pathErr *fs.PathError
	if hidden(p.marks) && errors.As(err, &pathErr) {
		return fmt.Errorf("%s %s: %w", pathErr.Op, p.shown, pathErr.Err)
	}
	return err
}

// pathFunc is a function of one path.
func pathFunc(ty cty.Type, impl func(givenPath) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params:       []function.Parameter{{Name: "path", Type: cty.String, AllowMarked: true}},
		Type:         function.StaticReturnType(ty),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p := asPath(args[0])
			out, err := impl(p)
			if err != nil {
				return cty.NilVal, err
			}
			return out.WithMarks(p.marks), nil
		},
	})
}

func asPath(v cty.Value) givenPath {
	bare, all := v.Unmark()
	return givenPath{text: bare.AsString(), shown: redacted(bare.AsString(), all), marks: all}
}

// fileRoot is the directory that relative paths start from.
type fileRoot string

func (r fileRoot) join(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Clean(filepath.Join(string(r), path))
}

// resolve turns a path of the configuration into one the system can open.
func (r fileRoot) resolve(p givenPath) (string, error) {
	path, err := expandHome(p.text)
	if err != nil {
		return "", fmt.Errorf("failed to expand ~: %w", err)
	}
	return r.join(path), nil
}

// read returns a file's content. Its errors blame the first argument.
func (r fileRoot) read(p givenPath) ([]byte, error) {
	path, err := r.resolve(p)
	if err != nil {
		return nil, function.NewArgError(0, err)
	}
	if isStore(path) {
		return nil, function.NewArgErrorf(0, "%s is the store of Tutti, which nothing else may open", p.shown)
	}
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, function.NewArgErrorf(0, "no file exists at %s; this function works only with files that are distributed as part of the configuration source code, so if this file will be created by a resource in this configuration you must instead obtain this result from an attribute of that resource", p.shown)
	case err != nil:
		return nil, function.NewArgErrorf(0, "failed to read file: %w", p.hide(err))
	}
	return raw, nil
}

// isStore reports whether a file is one that a store keeps its data in.
func isStore(path string) bool {
	return strings.HasPrefix(filepath.Base(path), "store.db") && files.InStore(filepath.Base(filepath.Dir(path)))
}

func (r fileRoot) readText(p givenPath) (string, error) {
	raw, err := r.read(p)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("contents of %s are not valid UTF-8; use the filebase64 function to obtain the Base64 encoded contents or the other file functions (e.g. filemd5, filesha256) to obtain file hashing results instead", p.shown)
	}
	return string(raw), nil
}

func (r fileRoot) digest(p givenPath, d digest) (cty.Value, error) {
	path, err := r.resolve(p)
	if err != nil {
		return cty.NilVal, err
	}
	if isStore(path) {
		return cty.NilVal, fmt.Errorf("%s is the store of Tutti, which nothing else may open", p.shown)
	}
	f, err := os.Open(path)
	if err != nil {
		return cty.NilVal, p.hide(err)
	}
	defer f.Close()
	text, err := d.sum(f)
	if err != nil {
		return cty.NilVal, p.hide(err)
	}
	return cty.StringVal(text), nil
}

func (r fileRoot) exists(p givenPath) (cty.Value, error) {
	path, err := r.resolve(p)
	if err != nil {
		return cty.NilVal, err
	}
	shown := redacted(filepath.Clean(p.text), p.marks)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cty.False, nil
	case err != nil:
		return cty.NilVal, fmt.Errorf("failed to stat %s", shown)
	case info.IsDir():
		return cty.NilVal, fmt.Errorf("%s is a directory, not a file", shown)
	case !info.Mode().IsRegular():
		return cty.NilVal, fmt.Errorf("%s is not a regular file, but %q", shown, info.Mode().String())
	}
	return cty.True, nil
}

func fileSetFunc(files fileRoot) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "path", Type: cty.String, AllowMarked: true},
			{Name: "pattern", Type: cty.String, AllowMarked: true},
		},
		Type:         function.StaticReturnType(cty.Set(cty.String)),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			dir := asPath(args[0])
			pattern, patternMarks := args[1].Unmark()
			// Unlike the other file functions this one never read ~ as a home
			// directory.
			path := files.join(dir.text)
			names, err := glob(path, pattern.AsString())
			if err != nil {
				full := filepath.Join(path, pattern.AsString())
				return cty.NilVal, fmt.Errorf("failed to glob pattern %s: %w", redacted(full, dir.marks, patternMarks), err)
			}
			if len(names) == 0 {
				return cty.SetValEmpty(cty.String).WithMarks(dir.marks, patternMarks), nil
			}
			vals := make([]cty.Value, len(names))
			for i, name := range names {
				vals[i] = cty.StringVal(name)
			}
			return cty.SetVal(vals).WithMarks(dir.marks, patternMarks), nil
		},
	})
}

// errBadPattern is what a malformed pattern is called in messages.
var errBadPattern = errors.New("syntax error in pattern")

// glob lists the regular files under dir that match pattern, relative to dir
// and with forward slashes. Patterns may climb out of dir with "..".
func glob(dir, pattern string) ([]string, error) {
	if !doublestar.ValidatePattern(pattern) {
		return nil, errBadPattern
	}
	// The directory is not a pattern, whatever characters are in its name.
	matches, err := doublestar.FilepathGlob(filepath.Join(escapeMeta(dir), pattern))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(matches))
	for _, match := range matches {
		info, err := os.Stat(match)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a dangling link
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		name, err := filepath.Rel(dir, match)
		if err != nil {
			return nil, err
		}
		if name = filepath.ToSlash(name); !files.InStore(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// escapeMeta makes a path stand for itself in a pattern. Systems that use the
// backslash in paths have no escape.
func escapeMeta(path string) string {
	if os.PathSeparator == '\\' || !strings.ContainsAny(path, `*?[]{}\`) {
		return path
	}
	var b strings.Builder
	for _, r := range path {
		if strings.ContainsRune(`*?[]{}\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
