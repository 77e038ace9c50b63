package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/tutti-dev/tutti/internal/addrs"
)

// source is a place to get packages from.
type source interface {
	// versions lists the versions there are for a platform; errNotHere where the
	// place does not know the provider.
	versions(ctx context.Context, p addrs.Provider, platform string) ([]available, error)
	// fetch brings a package as a folder or a zip file.
	fetch(ctx context.Context, p addrs.Provider, v available, platform string) (fetched, error)
	String() string
}

// available is a version somebody offers.
type available struct {
	version *version.Version
	text    string // written out in full
	place   string // where the package is, as the source needs it
}

func newAvailable(text, place string) (available, bool) {
	v, err := version.NewSemver(text)
	if err != nil {
		return available{}, false
	}
	return available{v, v.String(), place}, true
}

// fetched is a package. Exactly one of folder and archive is set.
type fetched struct {
	folder  string // unpacked, to be linked
	archive string // a zip file
	remove  bool   // the zip file is temporary
	// expected are hashes one of which the package must have; vouched those that
	// somebody signed, for every platform: they go into the lock file.
	expected []string
	vouched  []string
	// verified says how far the package was checked, in a word or two.
	verified string
}

// close removes what was temporary.
func (f fetched) close() {
	if f.remove {
		_ = os.Remove(f.archive)
	}
}

// unauthenticated is what can be said of a package that nobody signed.
const unauthenticated = "unauthenticated"

// errNotHere says that a source does not know a provider.
var errNotHere = errors.New("not here")

// hosts lists the hosts under which a provider may lie, its own first.
func hosts(p addrs.Provider) []string {
	switch p.Hostname {
	case addrs.TerraformRegistryHost:
		return []string{p.Hostname, addrs.OpenTofuRegistryHost}
	case addrs.OpenTofuRegistryHost:
		return []string{p.Hostname, addrs.TerraformRegistryHost}
	}
	return []string{p.Hostname}
}

// folderSource is a mirror on disk, packed or unpacked.
type folderSource struct{ dir string }

func (s folderSource) String() string { return s.dir }

// versions looks under the provider's own host first, then under the other of
// the two public ones.
func (s folderSource) versions(_ context.Context, p addrs.Provider, platform string) ([]available, error) {
	known := false
	for _, host := range hosts(p) {
		dir := filepath.Join(s.dir, host, p.Namespace, p.Type)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		var out []available
		for _, e := range entries {
			v, ok := s.entry(dir, e.Name(), p, platform)
			known = known || ok
			if ok && v.place != "" {
				out = append(out, v)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	if known {
		return nil, nil
	}
	if _, err := os.Stat(s.dir); err != nil {
		return nil, fmt.Errorf("cannot read the mirror: %w", err)
	}
	return nil, errNotHere
}

// entry understands one name in a provider's folder: a version with packages, or
// a packed package. Its place is empty where it is not for the platform.
func (s folderSource) entry(dir, name string, p addrs.Provider, platform string) (available, bool) {
	if rest, ok := strings.CutPrefix(name, "terraform-provider-"+p.Type+"_"); ok {
		text, target, _ := strings.Cut(rest, "_")
		target, ok := strings.CutSuffix(target, ".zip")
		if !ok {
			return available{}, false
		}
		place := ""
		if target == platform {
			place = filepath.Join(dir, name)
		}
		return newAvailable(text, place)
	}
	folder := filepath.Join(dir, name, platform)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		folder = ""
		if !isDir(filepath.Join(dir, name)) {
			return available{}, false
		}
	}
	return newAvailable(name, folder)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (s folderSource) fetch(_ context.Context, _ addrs.Provider, v available, _ string) (fetched, error) {
	place, err := filepath.Abs(v.place)
	if strings.HasSuffix(v.place, ".zip") {
		return fetched{archive: place, verified: unauthenticated}, err
	}
	return fetched{folder: place, verified: unauthenticated}, err
}

// providersIn lists the providers for which a mirror on disk has packages.
func providersIn(dir string) []addrs.Provider {
	matches, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	var out []addrs.Provider
	for _, match := range matches {
		rel, err := filepath.Rel(dir, match)
		if err != nil || !isDir(match) {
			continue
		}
		if p, err := addrs.ParseProvider(filepath.ToSlash(rel)); err == nil {
			out = append(out, p)
		}
	}
	return out
}
