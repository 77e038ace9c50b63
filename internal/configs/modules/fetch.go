package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// fetcher brings one package.
type fetcher struct {
	in   *Installer
	work string // a temporary directory beside the target
	hops int    // how many pages pointed elsewhere
}

// fetch brings a package into a directory that does not exist yet. The result is
// the directory inside it that an answer on the way named.
func (f *fetcher) fetch(ctx context.Context, s source, into string) (prefix string, err error) {
	switch s.Kind {
	case gitSource:
		return "", f.git(ctx, s.Address, into)
	case httpSource:
		return f.http(ctx, s.Address, into)
	case fileSource:
		return "", f.file(s.Address, into)
	}
	return "", fmt.Errorf("%q cannot be downloaded", s.Package)
}

// file takes an archive, or a directory: a link to it, so that changes count at
// once.
func (f *fetcher) file(address *url.URL, into string) error {
	name := filepath.FromSlash(address.Path)
	info, err := os.Stat(name)
	if err != nil {
		return withoutPath(err)
	}
	query := address.Query()
	if info.IsDir() {
		if err := os.Symlink(name, into); err != nil {
			return copyTree(name, into) // e.g. where links need rights of their own
		}
		return nil
	}
	format := archiveFormat(address.Path, query)
	if format == "" {
		return fmt.Errorf("it is neither a directory nor an archive of a known form (%s)", knownFormats)
	}
	if err := checkFile(name, query.Get("checksum")); err != nil {
		return err
	}
	return unpack(name, format, into)
}

// withoutPath drops the file name from an error: the sentence around it has it.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// copyTree copies a package, without the repository it came from.
func copyTree(from, into string) error {
	if resolved, err := filepath.EvalSymlinks(from); err == nil {
		from = resolved
	}
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(into, rel)
		switch {
		case entry.IsDir() && entry.Name() == ".git" && rel != ".":
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !entry.Type().IsRegular():
			return nil
		}
		return copyFile(name, target)
	})
}

func copyFile(from, into string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(into, data, info.Mode().Perm())
}

// redacted is the address of a package as people may see it: without password
// and keys.
func redacted(s source) string {
	if s.Address == nil {
		return s.display()
	}
	address := *s.Address
	query := address.Query()
	for name := range query {
		if secretParameter(name) {
			query.Set(name, "redacted")
		}
	}
	if encoded := query.Encode(); len(query) > 0 && encoded != address.Query().Encode() {
		address.RawQuery = encoded
	}
	text := strings.ReplaceAll(address.Redacted(), ":xxxxx@", ":redacted@")
	if s.Kind == gitSource {
		return "git::" + text
	}
	return text
}

// secretParameter reports whether a part of a query gives access to something:
// keys, tokens, and the signatures of signed addresses.
func secretParameter(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"sshkey", "token", "secret", "password", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "sig"
}
