// Package modules installs the modules that a configuration calls: from module
// registries, Git repositories and archives, below the data directory. What was
// installed is recorded in a manifest of the form that other tools read, and
// later commands find the modules through it without any network.
package modules

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// Services is what the user's settings say about hosts.
type Services struct {
	// Tokens are credentials by host name.
	Tokens map[string]string
	// Overrides replace what hosts say about themselves: the address of a service
	// (such as "modules.v1") by host name.
	Overrides map[string]map[string]string
}

// Options say where to install, and how freely.
type Options struct {
	// Upgrade asks for the newest versions allowed, and fetches everything again.
	Upgrade bool
	// DataDir is the data directory: .terraform, where empty.
	DataDir string
	// Progress is told what is being done; nil for nobody.
	Progress func(Progress)
	// Files receives the source text of the files read, for quoting them in
	// diagnostics; may be nil.
	Files map[string][]byte
}

// Progress is one thing an installation does.
type Progress struct {
	// Module is the path of the module concerned.
	Module addrs.Module
	// Source is set when a download begins: where from, without passwords.
	Source string
	// Version is the version being downloaded, from a registry.
	Version string
	// Dir is set when the module is in its place.
	Dir string
}

// String says it to people.
func (p Progress) String() string {
	switch {
	case p.Source == "":
		return fmt.Sprintf("%s in %s", string(p.Module), p.Dir)
	case p.Version != "":
		return fmt.Sprintf("Downloading %s %s for %s...", p.Source, p.Version, string(p.Module))
	}
	return fmt.Sprintf("Downloading %s for %s...", p.Source, string(p.Module))
}

// Installer installs modules. The zero value works, with the process's
// environment and no credentials.
type Installer struct {
	Services Services
	HTTP     *http.Client // nil: a client with reasonable limits
	// Environ is the environment of the git program; nil for that of this
	// process.
	Environ []string
}

// Install brings every module that the root module in rootDir calls, directly or
// through others, and writes the manifest. Problems with one module do not keep
// others from being installed; where there are some, the manifest still lists
// what was installed.
func (in *Installer) Install(ctx context.Context, rootDir string, opts Options) diag.List {
	if opts.DataDir == "" {
		opts.DataDir = filepath.Join(rootDir, ".terraform")
	}
	if opts.Progress == nil {
		opts.Progress = func(Progress) {}
	}
	if opts.Files == nil {
		opts.Files = map[string][]byte{}
	}
	before, err := ReadManifest(opts.DataDir)
	if err != nil {
		// Whatever it listed is fetched anew.
		before = Manifest{}
	}
	w := &walk{
		in: in, ctx: ctx, opts: opts, rootDir: rootDir, before: before,
		after:    Manifest{addrs.RootModule: {Dir: "."}},
		packages: map[string]fetched{},
		registry: newRegistry(in),
	}
	root, diags := configs.LoadModule(rootDir, opts.Files)
	if root == nil || diags.HasErrors() {
		return diags
	}
	w.calls(root, caller{dir: rootDir, above: []string{rootDir}})
	diags = append(diags, w.diags...)
	if _, err := os.Stat(ManifestFile(opts.DataDir)); err != nil && len(w.after) == 1 {
		return diags // nothing to record
	}
	if err := w.after.write(opts.DataDir); err != nil {
		diags = append(diags, diag.FromError(err)...)
	}
	return diags
}

// walk is one installation.
type walk struct {
	in      *Installer
	ctx     context.Context
	opts    Options
	rootDir string
	before  Manifest
	after   Manifest
	diags   diag.List

	// packages holds where each package fetched in this walk lies, so that one
	// called twice is downloaded once.
	packages map[string]fetched
	registry *registry
}

// caller is a module whose calls are being installed.
type caller struct {
	path addrs.Module
	dir  string // as this process reaches it
	// pkg is the root of the package that the module is in; empty for modules
	// that belong to the root module's own files.
	pkg   string
	above []string // the directories of the module and its callers
}

// calls installs what a module calls.
func (w *walk) calls(m *configs.Module, from caller) {
	names := make([]string, 0, len(m.ModuleCalls))
	for name := range m.ModuleCalls {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			w.diags = append(w.diags, diag.Errorf("Installation interrupted", "Modules were not installed completely: %s.", err)...)
			return
		}
		call := m.ModuleCalls[name]
		if call.SourceAddr == "" {
			continue // reported while reading
		}
		diags := w.call(call, from)
		w.diags = append(w.diags, diags...)
		if diags.HasErrors() {
			w.keep(from.path.Child(name))
		}
	}
}

// call installs one module and those that it calls. The result is what is wrong
// with the module itself.
func (w *walk) call(call *configs.ModuleCall, from caller) diag.List {
	path := from.path.Child(call.Name)
	s, diags := sourceOf(call)
	if diags.HasErrors() {
		return diags
	}
	found, more := w.place(s, call, path, from)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	for _, dir := range from.above {
		if filepath.Clean(dir) == filepath.Clean(found.dir) && s.Kind == localSource {
			return append(diags, diag.ErrorAt(call.SourceRange, "Module calls itself",
				"The module in %s calls itself through module %q. A module must not contain itself.", dir, call.Name)...)
		}
	}
	if len(from.above) > maxDepth {
		return append(diags, diag.ErrorAt(call.SourceRange, "Modules nested too deeply",
			"Module %q is more than %d modules deep. It seems to contain itself.", path, maxDepth)...)
	}
	m, more := configs.LoadModule(found.dir, w.opts.Files)
	diags = append(diags, more...)
	if m == nil || diags.HasErrors() {
		return diags
	}
	w.after[path] = Record{Source: s.String(), Version: found.version, Dir: w.relative(found.dir)}
	w.opts.Progress(Progress{Module: path, Dir: w.relative(found.dir)})
	w.calls(m, caller{path: path, dir: found.dir, pkg: found.pkg, above: append(from.above[:len(from.above):len(from.above)], found.dir)})
	return diags
}

// keep leaves in the manifest what was installed before for a module that could
// not be installed now.
func (w *walk) keep(path addrs.Module) {
	for other, record := range w.before {
		if _, ok := w.after[other]; ok || !path.Contains(other) {
			continue
		}
		if info, err := os.Stat(w.absolute(record.Dir)); err == nil && info.IsDir() {
			w.after[other] = record
		}
	}
}

// maxDepth bounds nesting: a module from a repository that calls itself would
// otherwise be fetched without end.
const maxDepth = 64

// placed is where a called module is.
type placed struct {
	dir, version string
	pkg          string // as in caller
}

// place finds or makes the directory of a called module.
func (w *walk) place(s source, call *configs.ModuleCall, path addrs.Module, from caller) (placed, diag.List) {
	if s.Kind == localSource {
		return placeLocal(call, from)
	}
	allowed, diags := constraintsOf(call)
	if diags.HasErrors() {
		return placed{}, diags
	}
	target := filepath.Join(w.opts.DataDir, "modules", string(path))
	if record, ok := w.reusable(s, path, allowed); ok {
		return placed{w.absolute(record.Dir), record.Version, target}, diags
	}
	subdir, version := s.Subdir, ""
	if s.Kind == registrySource {
		found, where, err := w.registry.find(w.ctx, s, allowed)
		if err != nil {
			return placed{}, append(diags, diag.ErrorAt(call.SourceRange, "Cannot find module in registry",
				"Module %q, %s: %s.", call.Name, s.display(), err)...)
		}
		version = found
		w.opts.Progress(Progress{Module: path, Source: s.display(), Version: version})
		// Where the package is inside what the registry points at comes first.
		s, subdir = where, joinSubdirs(where.Subdir, s.Subdir)
	} else {
		w.opts.Progress(Progress{Module: path, Source: redacted(s)})
	}
	prefix, err := w.fetch(s, target)
	if err != nil {
		return placed{}, append(diags, diag.ErrorAt(call.SourceRange, "Failed to download module",
			"Could not download the source of module %q from %s: %s.", call.Name, redacted(s), err)...)
	}
	dir, err := insidePackage(target, joinSubdirs(prefix, subdir))
	if err != nil {
		return placed{}, append(diags, diag.ErrorAt(call.SourceRange, "Unreadable module subdirectory",
			"The package of module %q was downloaded from %s, but %s.", call.Name, redacted(s), err)...)
	}
	return placed{dir, version, target}, diags
}

// placeLocal finds a module in the package of its caller.
func placeLocal(call *configs.ModuleCall, from caller) (placed, diag.List) {
	dir := filepath.Join(from.dir, filepath.FromSlash(call.SourceAddr))
	if from.pkg != "" {
		if inside, err := filepath.Rel(from.pkg, dir); err != nil || !filepath.IsLocal(inside) {
			return placed{}, diag.ErrorAt(call.SourceRange, "Local module path leads out of its package",
				"The source of module %q, %s, leads out of the package that the calling module was downloaded in. A module can call only what comes in the same package; give the full address of others.", call.Name, call.SourceAddr)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return placed{}, diag.ErrorAt(call.SourceRange, "Unreadable module directory",
			"The directory %s, the source of module %q, does not exist.", dir, call.Name)
	}
	return placed{dir: dir, pkg: from.pkg}, nil
}

func joinSubdirs(outer, inner string) string {
	return strings.Trim(outer+"/"+inner, "/")
}

// reusable finds what is installed already.
func (w *walk) reusable(s source, path addrs.Module, allowed constraints) (Record, bool) {
	record, ok := w.before[path]
	if !ok || w.opts.Upgrade || !s.sameAs(record.Source) {
		return record, false
	}
	if s.Kind == registrySource && !allowed.allowText(record.Version) {
		return record, false
	}
	info, err := os.Stat(w.absolute(record.Dir))
	return record, err == nil && info.IsDir()
}

// fetched is a package that is on this machine now.
type fetched struct {
	dir    string
	prefix string // where the address led inside the package
}

// fetch brings a package into a directory, replacing what is there only once the
// new one is complete. The result is the directory inside the package that the
// address turned out to mean.
func (w *walk) fetch(s source, target string) (string, error) {
	parent := filepath.Dir(target)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(parent, ".fetch-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	inside := filepath.Join(work, "package")
	prefix := ""
	if first, ok := w.packages[s.Package]; ok && s.Kind != fileSource {
		prefix, err = first.prefix, copyTree(first.dir, inside)
	} else {
		f := fetcher{in: w.in, work: work}
		prefix, err = f.fetch(w.ctx, s, inside)
	}
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(target); err != nil {
		return "", err
	}
	if err := os.Rename(inside, target); err != nil {
		return "", err
	}
	w.packages[s.Package] = fetched{target, prefix}
	return prefix, nil
}

// insidePackage finds a module's directory in a package. Registries that point
// at archives of code hosts write "*" for the one folder in them, whose name
// nobody knows beforehand.
func insidePackage(target, subdir string) (string, error) {
	dir := filepath.Join(target, filepath.FromSlash(subdir))
	if strings.ContainsAny(subdir, "*?[") {
		matches, err := filepath.Glob(dir)
		if err != nil || len(matches) == 0 {
			return "", fmt.Errorf("it has no directory %q", subdir)
		}
		if len(matches) > 1 {
			return "", fmt.Errorf("several directories in it match %q", subdir)
		}
		dir = matches[0]
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return "", fmt.Errorf("it has no directory %q", subdir)
	}
	// A link in a package must not make a module of something outside.
	realDir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	realTarget, err := filepath.EvalSymlinks(target)
	if err != nil {
		return "", err
	}
	if inside, err := filepath.Rel(realTarget, realDir); err != nil || !filepath.IsLocal(inside) {
		return "", fmt.Errorf("its directory %q is a link that leads out of it", subdir)
	}
	return dir, nil
}

// relative is a directory as the manifest has it.
func (w *walk) relative(dir string) string {
	if filepath.IsAbs(dir) == filepath.IsAbs(w.rootDir) {
		if rel, err := filepath.Rel(w.rootDir, dir); err == nil {
			return rel
		}
	}
	return dir
}

func (w *walk) absolute(dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(w.rootDir, dir)
}
