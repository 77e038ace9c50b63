package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Request asks for a provider in a version that all constraints allow.
type Request struct {
	Provider    addrs.Provider
	Constraints []string
}

// Options say where to install, and how freely.
type Options struct {
	Upgrade  bool   // choose anew, whatever the lock file says
	Readonly bool   // fail instead of changing the lock file
	DataDir  string // .terraform
	LockFile string
	// Progress is told what was done, for people; nil for nobody.
	Progress func(Event)
}

// EventKind says what an [Event] reports.
type EventKind string

// The kinds of events.
const (
	Reused     EventKind = "reused"     // the locked version is here already
	Linked     EventKind = "linked"     // from a folder on this machine
	Downloaded EventKind = "downloaded" // or unpacked
	Overridden EventKind = "overridden" // by a developer's own build
)

// Event is something an installation did.
type Event struct {
	Kind     EventKind
	Provider addrs.Provider
	Version  string
	Detail   string
}

// String says it to people.
func (e Event) String() string {
	name := e.Provider.ForDisplay()
	switch e.Kind {
	case Reused:
		return fmt.Sprintf("Using previously-installed %s v%s", name, e.Version)
	case Overridden:
		return fmt.Sprintf("Using %s from %s, as dev_overrides says", name, e.Detail)
	}
	return fmt.Sprintf("Installed %s v%s (%s)", name, e.Version, e.Detail)
}

// Installer installs providers as the user's configuration says.
type Installer struct {
	Config *Config
	HTTP   *http.Client // nil: a client with reasonable limits
}

// Install brings all providers asked for and updates the lock file. Problems of
// one provider do not keep others from being installed.
func (in *Installer) Install(ctx context.Context, requests []Request, opts Options) diag.List {
	if opts.Progress == nil {
		opts.Progress = func(Event) {}
	}
	locks, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return diags
	}
	wanted := map[addrs.Provider]bool{}
	for _, r := range requests {
		wanted[r.Provider.Canonical()] = true
		if folder := in.Config.DevOverrides[r.Provider.Canonical()]; folder != "" {
			opts.Progress(Event{Overridden, r.Provider, "", folder})
			continue
		}
		job := job{in: in, opts: opts, provider: r.Provider, constraints: r.Constraints, lock: locks.Lock(r.Provider)}
		lock, d := job.run(ctx)
		diags = append(diags, d...)
		if lock != nil {
			locks.Set(lock)
		}
	}
	for _, lock := range locks.Providers() {
		if !wanted[lock.Provider.Canonical()] {
			delete(locks.byProvider, lock.Provider.Canonical()) // no longer needed
		}
	}
	if diags.HasErrors() {
		return diags
	}
	if opts.Readonly {
		if before, err := os.ReadFile(opts.LockFile); err != nil || string(before) != string(locks.Encode()) && !sameLocks(opts.LockFile, locks) {
			return append(diags, diag.Errorf("Provider dependency changes detected",
				"The dependency lock file does not fit the providers needed, and -lockfile=readonly forbids to change it. Run \"tutti init\" without that option and commit the changed file.")...)
		}
		return diags
	}
	if _, err := locks.Write(opts.LockFile); err != nil {
		diags = append(diags, diag.FromError(err)...)
	}
	return diags
}

// sameLocks reports whether a lock file has the same versions and at least the
// same hashes.
func sameLocks(path string, want *Locks) bool {
	have, diags := ReadLockFile(path)
	if diags.HasErrors() || len(have.byProvider) != len(want.byProvider) {
		return false
	}
	for p, lock := range want.byProvider {
		old := have.byProvider[p]
		if old == nil || old.Version != lock.Version {
			return false
		}
		for _, hash := range lock.Hashes {
			if !slices.Contains(old.Hashes, hash) {
				return false
			}
		}
	}
	return true
}

// job installs one provider.
type job struct {
	in          *Installer
	opts        Options
	provider    addrs.Provider
	constraints []string
	lock        *Lock // nil where there is none yet
}

func (j *job) fail(summary, detail string, args ...any) (*Lock, diag.List) {
	return nil, diag.Errorf(summary, detail, args...)
}

func (j *job) run(ctx context.Context) (*Lock, diag.List) {
	constraint, err := version.NewConstraint(joined(j.constraints))
	if err != nil {
		return j.fail("Invalid version constraint", "The constraints on provider %s cannot be read together: %s.", j.provider.ForDisplay(), err)
	}
	pinned := j.lock != nil && !j.opts.Upgrade
	if pinned {
		locked, err := version.NewVersion(j.lock.Version)
		if err != nil || !allows(constraint, locked) {
			return j.fail("Failed to query available provider packages",
				"Could not retrieve the list of available versions for provider %s: locked provider %[1]s %s does not match configured version constraint %s; must use \"tutti init -upgrade\" to allow selection of new versions.", j.provider.ForDisplay(), j.lock.Version, normalConstraints(j.constraints))
		}
		if lock, ok := j.reuse(j.lock.Version); ok {
			return lock, nil
		}
	}
	sources, err := j.in.sources(j.provider)
	if err != nil {
		return j.fail("Cannot install provider", "%s.", err)
	}
	from, v, err := j.choose(ctx, sources, constraint, pinned)
	if err != nil {
		return j.fail("Failed to query available provider packages", "Could not retrieve the list of available versions for provider %s: %s.", j.provider.ForDisplay(), err)
	}
	if !pinned {
		if lock, ok := j.reuse(v.text); ok {
			return lock, nil
		}
	}
	lock, detail, err := j.install(ctx, from, v)
	if err != nil {
		return j.fail("Failed to install provider", "Error while installing %s v%s: %s.", j.provider.ForDisplay(), v.text, err)
	}
	kind := Downloaded
	if detail == "unpacked mirror" {
		kind = Linked
	}
	j.opts.Progress(Event{kind, j.provider, v.text, detail})
	return lock, nil
}

func joined(constraints []string) string {
	if text := normalConstraints(constraints); text != "" {
		return text
	}
	return ">= 0.0.0-0"
}

// allows reports whether a version fits. Pre-releases fit only where a
// constraint names them exactly.
func allows(c version.Constraints, v *version.Version) bool {
	if v.Prerelease() == "" {
		return c.String() == ">= 0.0.0-0" || c.Check(v)
	}
	return c.String() == v.String() || c.String() == "= "+v.String()
}

// reuse takes the package that is installed already, if it is what the lock
// file knows.
func (j *job) reuse(text string) (*Lock, bool) {
	dir := packageDir(j.opts.DataDir, j.provider, text)
	if _, err := executable(dir, j.provider); err != nil {
		return nil, false
	}
	hash, err := folderHash(dir)
	if err != nil {
		return nil, false
	}
	lock := &Lock{Provider: j.provider, Version: text, Constraints: normalConstraints(j.constraints), Hashes: []string{hash}}
	if j.lock != nil && j.lock.Version == text {
		if len(j.lock.Hashes) > 0 && !slices.Contains(j.lock.Hashes, hash) {
			return nil, false
		}
		lock.Provider, lock.Hashes = j.lock.Provider, union(j.lock.Hashes, lock.Hashes)
	}
	j.opts.Progress(Event{Reused, j.provider, text, ""})
	return lock, true
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	sort.Strings(out)
	return slices.Compact(out)
}

// choose finds the newest version that fits, or the locked one.
func (j *job) choose(ctx context.Context, sources []source, constraint version.Constraints, pinned bool) (source, available, error) {
	var found source
	var best available
	known := false
	var problems []string
	for _, s := range sources {
		list, err := s.versions(ctx, j.provider)
		if errors.Is(err, errNotHere) {
			continue
		}
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		known = true
		for _, v := range list {
			if pinned && v.version.String() != j.lock.Version && v.text != j.lock.Version {
				continue
			}
			if allows(constraint, v.version) && (found == nil || v.version.GreaterThan(best.version)) {
				found, best = s, v
			}
		}
	}
	switch {
	case found != nil:
		return found, best, nil
	case len(problems) > 0:
		return nil, best, errors.New(strings.Join(problems, "; "))
	case !known:
		var places []string
		for _, s := range sources {
			places = append(places, s.String())
		}
		return nil, best, fmt.Errorf("provider %s was not found in any of the search locations:\n\n  - %s", j.provider.ForDisplay(), strings.Join(places, "\n  - "))
	case pinned:
		return nil, best, fmt.Errorf("the locked version %s is not available for %s", j.lock.Version, Platform())
	}
	return nil, best, fmt.Errorf("no available releases match the given constraints %s", normalConstraints(j.constraints))
}

// packageDir is where a package lies in the data folder.
func packageDir(dataDir string, p addrs.Provider, version string) string {
	return filepath.Join(dataDir, "providers", p.Hostname, p.Namespace, p.Type, version, Platform())
}

// install brings one package and checks it against the lock file.
func (j *job) install(ctx context.Context, from source, v available) (*Lock, string, error) {
	pkg, err := from.fetch(ctx, j.provider, v)
	if err != nil {
		return nil, "", err
	}
	if pkg.remove {
		defer os.Remove(pkg.archive)
	}
	dir := packageDir(j.opts.DataDir, j.provider, v.text)
	detail := pkg.verified
	hashes := slices.Clone(pkg.hashes)
	if pkg.folder != "" {
		detail = "unpacked mirror"
		if err := link(pkg.folder, dir); err != nil {
			return nil, "", err
		}
	} else {
		hash, err := zipHash(pkg.archive)
		if err != nil {
			return nil, "", err
		}
		hashes = append(hashes, hash)
		if err := j.unpack(pkg.archive, dir, v); err != nil {
			return nil, "", err
		}
	}
	if _, err := executable(dir, j.provider); err != nil {
		return nil, "", err
	}
	hash, err := folderHash(dir)
	if err != nil {
		return nil, "", err
	}
	hashes = append(hashes, hash)
	lock := &Lock{Provider: j.provider, Version: v.text, Constraints: normalConstraints(j.constraints), Hashes: union(hashes, nil)}
	if j.lock != nil && j.lock.Version == v.text {
		if len(j.lock.Hashes) > 0 && !overlap(j.lock.Hashes, hashes) {
			_ = os.RemoveAll(dir)
			return nil, "", fmt.Errorf("the local package for %s %s doesn't match any of the checksums previously recorded in the dependency lock file. If the change is expected, remove its entry from the file, or run \"tutti init -upgrade\"", j.provider.ForDisplay(), v.text)
		}
		lock.Provider, lock.Hashes = j.lock.Provider, union(j.lock.Hashes, lock.Hashes)
	}
	return lock, detail, nil
}

func overlap(a, b []string) bool {
	for _, x := range a {
		if slices.Contains(b, x) {
			return true
		}
	}
	return false
}

// unpack extracts a package, into the shared cache where there is one.
func (j *job) unpack(archive, dir string, v available) error {
	if cache := j.in.Config.PluginCacheDir; cache != "" {
		cached := filepath.Join(cache, j.provider.Hostname, j.provider.Namespace, j.provider.Type, v.text, Platform())
		if _, err := executable(cached, j.provider); err != nil {
			if err := unpackInto(archive, cached); err != nil {
				return err
			}
		}
		absolute, err := filepath.Abs(cached)
		if err != nil {
			return err
		}
		return link(absolute, dir)
	}
	return unpackInto(archive, dir)
}

// unpackInto extracts beside the target and renames, so that nobody sees half a
// package.
func unpackInto(archive, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	inside := filepath.Join(tmp, "package")
	if err := unpack(archive, inside); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(inside, dir)
}

// link makes a package folder stand for another.
func link(target, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Symlink(target, dir)
}

// sources are the places where a provider may be got.
func (in *Installer) sources(p addrs.Provider) ([]source, error) {
	c := client{http: in.HTTP, tokens: in.Config.Tokens}
	if c.http == nil {
		c.http = &http.Client{Timeout: 10 * time.Minute}
	}
	var out []source
	for _, m := range in.Config.Methods {
		if !m.Covers(p) {
			continue
		}
		switch m.Kind {
		case FilesystemMirror:
			out = append(out, folderSource{m.Location})
		case NetworkMirror:
			out = append(out, mirrorSource{c, m.Location})
		case Direct:
			out = append(out, registrySource{c, in.Config.Services})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the provider_installation block of the CLI configuration leaves no way to install %s", p.ForDisplay())
	}
	return out, nil
}

// Installed is a provider ready to be run.
type Installed struct {
	Provider   addrs.Provider
	Version    string // empty for one being developed
	Executable string
	// Digest changes when the program does: it is what caches go by.
	Digest string
}

// Find locates the program of a provider that was installed before.
func (in *Installer) Find(p addrs.Provider, opts Options) (Installed, diag.List) {
	if folder := in.Config.DevOverrides[p.Canonical()]; folder != "" {
		program, err := executable(folder, p)
		if err != nil {
			return Installed{}, diag.Errorf("Cannot use provider under development", "dev_overrides names a folder for %s, but %s.", p.ForDisplay(), err)
		}
		return finish(Installed{Provider: p, Executable: program})
	}
	locks, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return Installed{}, diags
	}
	lock := locks.Lock(p)
	if lock == nil {
		return Installed{}, append(diags, notInstalled(p, "it is not in the dependency lock file")...)
	}
	for _, host := range hosts(p) {
		under := p
		under.Hostname = host
		program, err := executable(packageDir(opts.DataDir, under, lock.Version), p)
		if err == nil {
			return finish(Installed{Provider: p, Version: lock.Version, Executable: program})
		}
	}
	return Installed{}, append(diags, notInstalled(p, "version "+lock.Version+" is not on this machine")...)
}

func notInstalled(p addrs.Provider, why string) diag.List {
	return diag.Errorf("Required provider is not installed", "The provider %s is needed, but %s. Run \"tutti init\" to install everything this configuration requires.", p.ForDisplay(), why)
}

// finish computes the digest from what a change of the program cannot leave as
// it was: path, size and time. Reading it in full would cost more than it is
// worth on every command.
func finish(i Installed) (Installed, diag.List) {
	resolved, err := filepath.EvalSymlinks(i.Executable)
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(resolved); err == nil {
			sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d", filepath.Base(resolved), info.Size(), info.ModTime().UnixNano()))
			i.Digest = hex.EncodeToString(sum[:])
		}
	}
	if err != nil {
		return i, diag.Errorf("Cannot use provider", "%s.", err)
	}
	return i, nil
}
