package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/library"
)

// policySource is where the files of a policy come from: a directory, or the
// library that comes with Tutti.
type policySource struct {
	name string // of a policy that has no other
	dir  string // as diagnostics call it
	read func() (map[string][]byte, error)
}

// policySourceOf tells what a source means in a directory. What is wrong with it
// is said when it is read.
func policySourceOf(root, source string) policySource {
	from, ok, err := library.ParseSource(source)
	if !ok {
		dir := filepath.FromSlash(source)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(root, dir)
		}
		return policySource{filepath.Base(dir), dir, func() (map[string][]byte, error) { return policy.ReadDir(dir) }}
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(source, "tutti:"), "?")
	return policySource{name, library.Prefix, func() (map[string][]byte, error) {
		if err != nil || from.Settings == "" {
			return library.Files(from.Part, nil), err
		}
		file := filepath.FromSlash(from.Settings)
		if !filepath.IsAbs(file) {
			file = filepath.Join(root, file)
		}
		settings, err := os.ReadFile(file)
		return library.Files(from.Part, settings), err
	}}
}

// absolutePolicySource makes a source independent of the working directory.
func absolutePolicySource(source string) string {
	from, ok, err := library.ParseSource(source)
	if !ok {
		source, _ = filepath.Abs(source)
		return source
	}
	if err != nil || from.Settings == "" {
		return source
	}
	file, err := filepath.Abs(from.Settings)
	if err != nil {
		return source
	}
	return strings.TrimSuffix(source, from.Settings) + filepath.ToSlash(file)
}
