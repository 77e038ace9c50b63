package gate

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/tutti-dev/tutti/internal/configs/projects"
	"github.com/tutti-dev/tutti/internal/policy"
	"github.com/tutti-dev/tutti/internal/policy/library"
)

// policySource is where the files of a policy come from: a directory, or the
// library that comes with Tutti.
type policySource struct {
	name      string // of a policy that has no other
	dir       string // as diagnostics call it
	read      func() (map[string][]byte, error)
	decisions []string // what is asked for; all rules, where it is empty
	data      []string // more files and directories
}

// with adds what a policy block says about its source.
func (s policySource) with(root string, p *projects.Policy) policySource {
	s.decisions = p.Decisions
	for _, name := range p.Data {
		s.data = append(s.data, filepath.Join(root, filepath.FromSlash(name)))
	}
	return s
}

// policySourceOf tells what a source means in a directory: "DIR", or
// "DIR?decision=RULE&data=DIR" for what a policy block has arguments for; or one of
// the library. What is wrong with it is said when it is read.
func policySourceOf(root, source string) policySource {
	from, ok, err := library.ParseSource(source)
	if !ok {
		in := func(name string) string {
			if name = filepath.FromSlash(name); filepath.IsAbs(name) {
				return name
			}
			return filepath.Join(root, name)
		}
		name, query, _ := strings.Cut(source, "?")
		more, err := url.ParseQuery(query)
		for name := range more {
			if name != "decision" && name != "data" && err == nil {
				err = fmt.Errorf("%q may end with ?decision=RULE or ?data=DIR: %s is neither", source, name)
			}
		}
		out := policySource{name: filepath.Base(in(name)), dir: in(name), decisions: more["decision"]}
		for _, name := range more["data"] {
			out.data = append(out.data, in(name))
		}
		read, from := policy.ReadDir, out.dir
		if info, err := os.Stat(from); err == nil && !info.IsDir() {
			read, out.dir = policy.ReadData, filepath.Dir(from) // one file
		}
		out.read = func() (map[string][]byte, error) {
			if err != nil {
				return nil, err
			}
			return read(from)
		}
		return out
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(source, "tutti:"), "?")
	return policySource{name: name, dir: library.Prefix, read: func() (map[string][]byte, error) {
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

// AbsolutePolicySource makes a source independent of the working directory.
func AbsolutePolicySource(source string) string {
	from, ok, err := library.ParseSource(source)
	if !ok {
		name, query, asked := strings.Cut(source, "?")
		if name, err = filepath.Abs(name); err == nil && asked {
			more, _ := url.ParseQuery(query)
			for i, dir := range more["data"] {
				more["data"][i], _ = filepath.Abs(dir)
			}
			name += "?" + more.Encode()
		}
		return name
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
