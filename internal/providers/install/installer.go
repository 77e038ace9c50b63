package install

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Request asks for a provider in a version that all constraints allow.
type Request struct {
	Provider    addrs.Provider
	Constraints []string
	// Range is where the configuration asks for it; nil where only the state does.
	Range *hcl.Range
}

// Options say where to install, and how freely.
type Options struct {
	Upgrade  bool   // choose anew, whatever the lock file says
	Readonly bool   // fail instead of changing the lock file
	DataDir  string // .terraform
	LockFile string
	// Attached are providers that somebody else runs: there is nothing to install,
	// and what the lock file says of them stays.
	Attached map[addrs.Provider]bool
	// Progress is told what is done, for people; nil for nobody.
	Progress func(Event)
}

func (o Options) tell(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}

// Installer installs providers as the user's configuration says. It must not be
// copied; its methods may be called concurrently, but installations into one
// data folder must not run at the same time.
type Installer struct {
	Config *Config
	HTTP   *http.Client // nil: a client with reasonable limits

	once     sync.Once
	services *discovery
}

// Install brings all providers asked for and updates the lock file, which is
// left alone where something failed. Problems of one provider do not keep others
// from being installed. Built-in providers need nothing.
func (in *Installer) Install(ctx context.Context, requests []Request, opts Options) diag.List {
	locks, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return diags
	}
	wanted := map[addrs.Provider]bool{}
	var local []string // providers with checksums of this machine only
	for _, r := range requests {
		if r.Provider.IsBuiltIn() {
			continue
		}
		wanted[r.Provider.Canonical()] = true
		if opts.Attached[r.Provider.Canonical()] {
			opts.tell(Event{Kind: Attached, Provider: r.Provider})
			continue
		}
		if folder := in.Config.DevOverrides[r.Provider.Canonical()]; folder != "" {
			opts.tell(Event{Overridden, r.Provider, "", folder})
			continue
		}
		job, d := in.newJob(r, locks, opts)
		if !d.HasErrors() {
			d = job.run(ctx)
		}
		for i := range d {
			if d[i].Subject == nil {
				d[i].Subject = r.Range
			}
		}
		diags = append(diags, d...)
		if d.HasErrors() {
			continue
		}
		locks.Set(job.result)
		if job.local {
			local = append(local, job.provider.ForDisplay())
		}
	}
	for _, lock := range locks.Providers() {
		if !wanted[lock.Provider.Canonical()] {
			locks.Remove(lock.Provider) // no longer needed
		}
	}
	if diags.HasErrors() {
		return diags
	}
	return append(diags, saveLocks(locks, local, opts)...)
}

// saveLocks writes the lock file, or says why it must not.
func saveLocks(locks *Locks, local []string, opts Options) diag.List {
	before, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return diags
	}
	if opts.Readonly {
		switch {
		case !before.sameVersions(locks):
			return diag.Errorf("Provider dependency changes detected",
				"The dependency lock file does not fit the providers needed, and it must not be changed. To record these requirements, run \"tutti init\" without -lockfile=readonly and commit the changed file.")
		case !before.equal(locks):
			return diag.Warningf("Provider lock file not updated",
				"Checksums or constraints changed, but were not saved, because -lockfile=readonly forbids it. To record them, run \"tutti init\" without that option.")
		}
		return nil
	}
	if before.equal(locks) {
		return nil // also spares the comments of a file another tool wrote
	}
	_, err := locks.Write(opts.LockFile)
	if err != nil {
		return diag.FromError(err)
	}
	opts.tell(Event{Kind: LockWritten, Detail: opts.LockFile})
	if len(local) > 0 {
		return diag.Warningf("Incomplete lock file information for providers",
			"For these providers nobody vouches for packages of other platforms, so the lock file has checksums for %s only:\n  - %s\n\nWhere the project is used on other platforms as well, add their checksums:\n  tutti providers lock -platform=OS_ARCH", Platform(), strings.Join(local, "\n  - "))
	}
	return nil
}

// job installs one provider.
type job struct {
	in          *Installer
	opts        Options
	provider    addrs.Provider // under the host that the lock file has
	constraints constraints
	lock        *Lock // nil where there is none yet
	pinned      bool  // the lock decides the version

	result *Lock
	local  bool // a new lock whose checksums were all worked out here
}

func (in *Installer) newJob(r Request, locks *Locks, opts Options) (*job, diag.List) {
	j := &job{in: in, opts: opts, provider: r.Provider, lock: locks.Lock(r.Provider)}
	var err error
	if j.constraints, err = parseConstraints(r.Constraints); err != nil {
		return nil, diag.Errorf("Invalid version constraint", "The version constraint on provider %s cannot be read: %s.", r.Provider.ForDisplay(), err)
	}
	if j.lock != nil {
		// Whose builds the lock file knows is whose builds are to be used.
		j.provider = j.lock.Provider
		j.pinned = !opts.Upgrade
	}
	return j, nil
}

// listingFailed is the error for a provider whose version cannot be chosen.
func (j *job) listingFailed(why string) diag.List {
	return diag.Errorf("Failed to query available provider packages", "Could not retrieve the list of available versions for provider %s: %s", j.provider.ForDisplay(), why)
}

// whoDemands tells how to find out where constraints come from.
const whoDemands = "\n\nTo see which modules need this provider, and in which versions, run:\n  tutti providers"

// lockFits reports whether the locked version is one that may be used.
func (j *job) lockFits() bool {
	locked, ok := newAvailable(j.lock.Version, "")
	return ok && (len(j.constraints) == 0 || j.constraints.allow(locked.version))
}

func (j *job) lockMismatch() diag.List {
	return j.listingFailed(fmt.Sprintf("locked provider %s %s does not match configured version constraint %s; must use tutti init -upgrade to allow selection of new versions%s", j.provider, j.lock.Version, j.constraints, whoDemands))
}

func (j *job) run(ctx context.Context) diag.List {
	version := ""
	if j.pinned {
		j.opts.tell(Event{Pinned, j.provider, j.lock.Version, ""})
		if !j.lockFits() {
			return j.lockMismatch()
		}
		version = j.lock.Version
		if j.reuse(version) {
			return nil
		}
	} else {
		j.opts.tell(Event{Finding, j.provider, "", j.constraints.String()})
	}
	from, v, err := j.choose(ctx, version, Platform())
	if err != nil {
		return j.listingFailed(err.Error())
	}
	if !j.pinned && j.reuse(v.text) {
		return nil
	}
	if err := j.install(ctx, from, v); err != nil {
		return diag.Errorf("Failed to install provider", "Error while installing %s v%s: %s", j.provider.ForDisplay(), v.text, err)
	}
	return nil
}

// settle notes the lock of the version installed.
func (j *job) settle(version string, hashes []string, vouched bool) {
	j.result = &Lock{Provider: j.provider, Version: version, Constraints: j.constraints.String(), Hashes: union(hashes, nil)}
	if known := j.known(version); known != nil {
		j.result.Hashes = union(known, hashes)
		return
	}
	j.local = !vouched
}

// known are the checksums of a version that the lock file has; nil for none.
func (j *job) known(version string) []string {
	if j.lock == nil || j.lock.Version != version {
		return nil
	}
	return comparable(j.lock.Hashes)
}

// reuse takes the package that is installed already, if the lock file knows it.
func (j *job) reuse(version string) bool {
	known := j.known(version)
	if known == nil {
		return false
	}
	dir := packageDir(j.opts.DataDir, j.provider, version)
	program, err := executable(dir, j.provider)
	if err != nil {
		return false
	}
	hash, err := folderHash(dir)
	if err != nil || !slices.Contains(known, hash) {
		return false
	}
	remember(j.opts.DataDir, dir, program, hash)
	j.settle(version, []string{hash}, true)
	j.opts.tell(Event{Reused, j.provider, version, ""})
	return true
}

// choose finds the newest version that fits, or the pinned one, and the first
// source that has it.
func (j *job) choose(ctx context.Context, pinned, platform string) (source, available, error) {
	sources, err := j.in.sources(j.provider)
	if err != nil {
		return nil, available{}, err
	}
	var found source
	var best available
	known := false
	for _, s := range sources {
		list, err := s.versions(ctx, j.provider, platform)
		if errors.Is(err, errNotHere) {
			continue
		}
		if err != nil {
			return nil, best, err
		}
		known = true
		if pinned != "" {
			list = slices.DeleteFunc(list, func(v available) bool { return v.text != pinned })
		}
		v := j.constraints.newest(list)
		if pinned != "" && len(list) > 0 {
			v = &list[0]
		}
		if v != nil && (found == nil || v.version.GreaterThan(best.version)) {
			found, best = s, *v
		}
	}
	switch {
	case found != nil:
		return found, best, nil
	case !known:
		hint := ""
		if j.provider == addrs.DefaultProvider(j.provider.Type) {
			hint = "\n\nA provider whose source no required_providers block gives is taken to be one of hashicorp's. If it is somebody else's, write its source there, in every module that uses it."
		}
		return nil, best, fmt.Errorf("provider %s was not found in any of the search locations\n\n  - %s%s", j.provider, strings.Join(names(sources), "\n  - "), hint)
	case pinned != "":
		return nil, best, fmt.Errorf("the locked version %s is not available for %s; run tutti init -upgrade to choose another", pinned, platform)
	case len(j.constraints) == 0:
		return nil, best, fmt.Errorf("there are no releases for %s", platform)
	}
	return nil, best, fmt.Errorf("no available releases match the given constraints %s%s", j.constraints, whoDemands)
}

func names(sources []source) []string {
	out := make([]string, len(sources))
	for i, s := range sources {
		out[i] = s.String()
	}
	return out
}

// packageDir is where a package lies in a data folder, cache or mirror, given
// the folder of its providers.
func packageDir(dataDir string, p addrs.Provider, version string) string {
	return packageIn(filepath.Join(dataDir, "providers"), p, version, Platform())
}

func packageIn(dir string, p addrs.Provider, version, platform string) string {
	return filepath.Join(dir, p.Hostname, p.Namespace, p.Type, version, platform)
}

// install brings one package, checks it against the lock file and puts it where
// it is run from.
func (j *job) install(ctx context.Context, from source, v available) error {
	dir := packageDir(j.opts.DataDir, j.provider, v.text)
	if _, onDisk := from.(folderSource); !onDisk && j.fromCache(dir, v.text) {
		return nil
	}
	j.opts.tell(Event{Fetching, j.provider, v.text, ""})
	pkg, err := from.fetch(ctx, j.provider, v, Platform())
	if err != nil {
		return err
	}
	defer pkg.close()
	have, err := verify(j.provider, v.text, pkg, j.known(v.text))
	if err != nil {
		return err
	}
	switch cache := j.in.Config.PluginCacheDir; {
	case pkg.folder != "":
		err = link(pkg.folder, dir)
	case cache != "" && pkg.remove:
		cached := packageIn(cache, j.provider, v.text, Platform())
		if err = unpackInto(pkg.archive, cached); err == nil {
			err = link(cached, dir)
		}
	default:
		err = unpackInto(pkg.archive, dir)
	}
	if err != nil {
		return err
	}
	program, err := executable(dir, j.provider)
	if err != nil {
		return err
	}
	remember(j.opts.DataDir, dir, program, have[0])
	j.settle(v.text, append(pkg.vouched, have[0]), len(pkg.vouched) > 0)
	j.opts.tell(Event{Completed, j.provider, v.text, pkg.verified})
	return nil
}

// verify checks a package against what its source expects and what the lock file
// knows, and returns its hashes.
func verify(p addrs.Provider, version string, pkg fetched, known []string) ([]string, error) {
	have, err := hashesOf(pkg)
	if err != nil {
		return nil, fmt.Errorf("cannot read the package: %w", err)
	}
	if expected := comparable(pkg.expected); len(expected) > 0 && !overlap(expected, have) {
		return nil, fmt.Errorf("the package for %s %s does not have the checksum that its source gives for it", p, version)
	}
	if len(known) > 0 && !overlap(known, have) {
		return nil, fmt.Errorf("the package for %s %s doesn't match any of the checksums previously recorded in the dependency lock file (which may be because it has checksums for other platforms only: \"tutti providers lock -platform=%s\" adds those of this one). If you know the package to be right, remove the provider's block from the lock file and run \"tutti init\" again", p, version, Platform())
	}
	return have, nil
}

// fromCache uses a package in the user's shared cache, where the lock file knows
// it, or where the user gave up that safety.
func (j *job) fromCache(dir, version string) bool {
	if j.in.Config.PluginCacheDir == "" {
		return false
	}
	cached := packageIn(j.in.Config.PluginCacheDir, j.provider, version, Platform())
	if _, err := executable(cached, j.provider); err != nil {
		return false
	}
	hash, err := folderHash(cached)
	if err != nil {
		return false
	}
	known := j.known(version)
	if !slices.Contains(known, hash) && (len(known) > 0 || !j.in.Config.PluginCacheMayBreakLock) {
		return false
	}
	if err := link(cached, dir); err != nil {
		return false
	}
	program, err := executable(dir, j.provider)
	if err != nil {
		return false
	}
	remember(j.opts.DataDir, dir, program, hash)
	j.settle(version, []string{hash}, false)
	j.opts.tell(Event{Cached, j.provider, version, ""})
	return true
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// sources are the places where a provider may be got.
func (in *Installer) sources(p addrs.Provider) ([]source, error) {
	c := in.client()
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
			out = append(out, registrySource{c, in.discovery(), p.Hostname})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the provider_installation block of the CLI configuration leaves no way to install %s", p.ForDisplay())
	}
	return out, nil
}

func (in *Installer) client() client {
	c := client{http: in.HTTP, token: in.Config.Token, pause: firstPause}
	if c.http == nil {
		c.http = defaultClient()
	}
	return c
}
