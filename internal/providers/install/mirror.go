package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
)

// ForMirrors returns a configuration that gets providers only from these folders:
// what an option such as -plugin-dir asks for. Development overrides stay.
func (c *Config) ForMirrors(folders ...string) *Config {
	out := *c
	out.Methods, out.Explicit = nil, true
	for _, folder := range folders {
		out.Methods = append(out.Methods, Method{Kind: FilesystemMirror, Location: folder})
	}
	return &out
}

// ForNetworkMirror returns a configuration that gets providers only from a
// network mirror. An address that is not https is an error.
func (c *Config) ForNetworkMirror(address string) (*Config, error) {
	if !strings.HasPrefix(address, "https://") {
		return nil, errors.New("the address of a network mirror must begin with https://")
	}
	out := *c
	out.Methods, out.Explicit = []Method{{Kind: NetworkMirror, Location: address}}, true
	return &out, nil
}

// ForRegistries returns a configuration that gets providers only from their own
// registries, whose checksums hold for everybody.
func (c *Config) ForRegistries() *Config {
	out := *c
	out.Methods, out.Explicit = []Method{{Kind: Direct}}, true
	return &out
}

// platformsOrOwn checks the spelling of platforms, and gives this machine's
// where there are none.
func platformsOrOwn(platforms []string) ([]string, error) {
	if len(platforms) == 0 {
		return []string{Platform()}, nil
	}
	for _, platform := range platforms {
		goos, goarch, ok := strings.Cut(platform, "_")
		if !ok || goos == "" || goarch == "" || strings.ContainsAny(platform, "/\\.") {
			return nil, fmt.Errorf("%q is not a platform; they are written like linux_amd64", platform)
		}
	}
	return platforms, nil
}

// Lock adds the checksums of packages for other platforms to the lock file, in
// the locked versions where there are some, else in the newest that fit. Nothing
// is installed. Of opts it uses LockFile and Progress.
func (in *Installer) Lock(ctx context.Context, requests []Request, platforms []string, opts Options) diag.List {
	platforms, err := platformsOrOwn(platforms)
	if err != nil {
		return diag.Errorf("Invalid platform", "%s.", err)
	}
	locks, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return diags
	}
	for _, r := range requests {
		if r.Provider.IsBuiltIn() {
			continue
		}
		for _, platform := range platforms {
			j, d := in.newJob(r, locks, opts)
			if !d.HasErrors() {
				d = j.lockFor(ctx, platform)
			}
			diags = append(diags, d...)
			if d.HasErrors() {
				break
			}
			locks.Set(j.result)
		}
	}
	if diags.HasErrors() {
		return diags
	}
	if before, d := ReadLockFile(opts.LockFile); !d.HasErrors() && before.equal(locks) {
		return diags
	}
	if _, err := locks.Write(opts.LockFile); err != nil {
		return append(diags, diag.FromError(err)...)
	}
	opts.tell(Event{Kind: LockWritten, Detail: opts.LockFile})
	return diags
}

// lockFor learns the checksums of one package.
func (j *job) lockFor(ctx context.Context, platform string) diag.List {
	pkg, v, diags := j.fetch(ctx, platform)
	if diags.HasErrors() {
		return diags
	}
	defer pkg.close()
	// What the lock file knows may be of other platforms. To add to it is what
	// was asked for.
	have, err := verify(j.provider, v.text, pkg, nil)
	if err != nil {
		return diag.Errorf("Could not retrieve providers for locking", "Provider %s %s for %s: %s.", j.provider.ForDisplay(), v.text, platform, err)
	}
	j.settle(v.text, append(pkg.vouched, have[0]), len(pkg.vouched) > 0)
	j.opts.tell(Event{Locked, j.provider, v.text, platform})
	return nil
}

// fetch brings the package of one platform, in the version that the job is
// about.
func (j *job) fetch(ctx context.Context, platform string) (fetched, available, diag.List) {
	pinned := ""
	if j.pinned {
		pinned = j.lock.Version
		if !j.lockFits() {
			return fetched{}, available{}, j.lockMismatch()
		}
	}
	from, v, err := j.choose(ctx, pinned, platform)
	if err != nil {
		return fetched{}, v, j.listingFailed(err.Error())
	}
	pkg, err := from.fetch(ctx, j.provider, v, platform)
	if err != nil {
		return fetched{}, v, diag.Errorf("Provider not available", "Provider %s %s for %s cannot be brought: %s.", j.provider.ForDisplay(), v.text, platform, err)
	}
	return pkg, v, nil
}

// Mirror copies packages into a folder that can serve as a mirror, on disk or in
// the network: packed packages with the documents of the network mirror
// protocol. Versions are those of the lock file, or the newest that fit. Of opts
// it uses LockFile, Upgrade (which leaves the lock file out of account) and
// Progress.
func (in *Installer) Mirror(ctx context.Context, dir string, requests []Request, platforms []string, opts Options) diag.List {
	platforms, err := platformsOrOwn(platforms)
	if err != nil {
		return diag.Errorf("Invalid platform", "%s.", err)
	}
	locks, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return diags
	}
	for _, r := range requests {
		if r.Provider.IsBuiltIn() {
			continue
		}
		for _, platform := range platforms {
			j, d := in.newJob(r, locks, opts)
			if !d.HasErrors() {
				d = j.mirrorFor(ctx, dir, platform)
			}
			diags = append(diags, d...)
		}
		if !diags.HasErrors() {
			if err := writeMirrorIndex(dir, r.Provider); err != nil {
				diags = append(diags, diag.Errorf("Cannot write mirror", "%s.", err)...)
			}
		}
	}
	return diags
}

// mirrorFor copies one package into a mirror.
func (j *job) mirrorFor(ctx context.Context, dir, platform string) diag.List {
	pkg, v, diags := j.fetch(ctx, platform)
	if diags.HasErrors() {
		return diags
	}
	defer pkg.close()
	fail := func(err error) diag.List {
		return diag.Errorf("Cannot mirror provider", "Provider %s %s for %s: %s.", j.provider.ForDisplay(), v.text, platform, err)
	}
	known := j.known(v.text)
	packedKnown := slices.ContainsFunc(known, func(hash string) bool { return strings.HasPrefix(hash, "zh:") })
	if platform != Platform() && (pkg.folder != "" || !packedKnown) {
		known = nil // an h1: hash does not say of which platform it is
	}
	if _, err := verify(j.provider, v.text, pkg, known); err != nil {
		return fail(err)
	}
	archive := pkg.archive
	if pkg.folder != "" {
		packed, err := pack(pkg.folder)
		if err != nil {
			return fail(err)
		}
		defer os.Remove(packed)
		archive = packed
	}
	target := filepath.Join(dir, j.provider.Hostname, j.provider.Namespace, j.provider.Type,
		"terraform-provider-"+j.provider.Type+"_"+v.text+"_"+platform+".zip")
	if err := copyFile(archive, target); err != nil {
		return fail(err)
	}
	j.opts.tell(Event{Mirrored, j.provider, v.text, platform})
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".mirror-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(0o644)
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// mirrorArchive is what the network mirror protocol says of one package.
type mirrorArchive struct {
	URL    string   `json:"url"`
	Hashes []string `json:"hashes"`
}

// writeMirrorIndex writes the documents of the network mirror protocol for all
// the packed packages of a provider.
func writeMirrorIndex(dir string, p addrs.Provider) error {
	for _, host := range hosts(p) {
		folder := filepath.Join(dir, host, p.Namespace, p.Type)
		names, err := filepath.Glob(filepath.Join(folder, "terraform-provider-"+p.Type+"_*.zip"))
		if err != nil || len(names) == 0 {
			continue
		}
		versions := map[string]struct{}{}
		archives := map[string]map[string]mirrorArchive{}
		for _, name := range names {
			rest := strings.TrimPrefix(filepath.Base(name), "terraform-provider-"+p.Type+"_")
			version, platform, _ := strings.Cut(strings.TrimSuffix(rest, ".zip"), "_")
			hash, err := archiveHash(name)
			if err != nil {
				return err
			}
			if archives[version] == nil {
				archives[version] = map[string]mirrorArchive{}
			}
			versions[version] = struct{}{}
			archives[version][platform] = mirrorArchive{URL: filepath.Base(name), Hashes: []string{hash}}
		}
		for version, list := range archives {
			if err := writeJSON(filepath.Join(folder, version+".json"), map[string]any{"archives": list}); err != nil {
				return err
			}
		}
		// The index comes last: what it lists is there.
		if err := writeJSON(filepath.Join(folder, "index.json"), map[string]any{"versions": versions}); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(path string, doc any) error {
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return files.Replace(path, append(data, '\n'), 0o644)
}
