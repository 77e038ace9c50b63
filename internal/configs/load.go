package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
)

// ModuleResolver says where the files of a called module are. It is asked for
// every call whose source is not a local path.
type ModuleResolver func(path addrs.Module, call *ModuleCall) (dir, version string, diags diag.List)

// LoadOptions are what [Load] needs besides the directory.
type LoadOptions struct {
	// Resolve finds modules that are not local; nil where none is installed.
	Resolve ModuleResolver
	// Snapshot, where not nil, is read instead of the disk: source text by file
	// name, as in Config.Files.
	Snapshot map[string][]byte
	// TerraformVersion is what required_version is checked against.
	TerraformVersion string
	// Base is a directory that stands in front of every other where files are
	// read, and of their names in source ranges and Config.Files. The
	// configuration itself knows nothing of it: path.module is as if the program
	// ran there. A snapshot has its files without it.
	Base string
}

// Load reads the root module in dir and every module it calls. What could be
// read of a broken configuration is returned together with the problems; the
// result is nil only where not even the root directory could be read.
func Load(dir string, opts LoadOptions) (*Config, diag.List) {
	l := &loader{
		source: source{snapshot: opts.Snapshot, base: opts.Base, files: map[string][]byte{}},
		opts:   opts,
		config: &Config{Modules: map[addrs.Module]*Module{}},
	}
	l.config.Files = l.source.files
	l.config.Root = l.module(dir, addrs.Module(""), nil, nil)
	if l.config.Root == nil {
		return nil, l.diags
	}
	l.diags = append(l.diags, validateTree(l.config, opts.TerraformVersion)...)
	return l.config, l.diags
}

// LoadModule reads one module without those it calls. The source text of its
// files is added to files, where not nil.
func LoadModule(dir string, files map[string][]byte) (*Module, diag.List) {
	if files == nil {
		files = map[string][]byte{}
	}
	s := source{files: files}
	return s.parseModule(dir)
}

// IsLocalSource reports whether a module source is a path inside the package
// that the caller stands in.
func IsLocalSource(source string) bool {
	return strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || source == "." || source == ".." ||
		strings.HasPrefix(source, `.\`) || strings.HasPrefix(source, `..\`)
}

type loader struct {
	source source
	opts   LoadOptions
	config *Config
	diags  diag.List
}

// module reads a module and its children.
func (l *loader) module(dir string, path addrs.Module, parent *Module, call *ModuleCall) *Module {
	m, diags := l.source.parseModule(dir)
	l.diags = append(l.diags, diags...)
	if m == nil {
		return nil
	}
	m.Path, m.Parent, m.Call = path, parent, call
	if call != nil {
		m.SourceAddr = call.SourceAddr
	}
	l.config.Modules[path] = m
	names := make([]string, 0, len(m.ModuleCalls))
	for name := range m.ModuleCalls {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if child := l.child(m, m.ModuleCalls[name]); child != nil {
			m.Children[name] = child
		}
	}
	return m
}

func (l *loader) child(m *Module, call *ModuleCall) *Module {
	path := m.Path.Child(call.Name)
	if call.SourceAddr == "" {
		return nil // reported while parsing
	}
	if IsLocalSource(call.SourceAddr) {
		dir := localDir(m.SourceDir, call.SourceAddr)
		for up := m; up != nil; up = up.Parent {
			if filepath.Clean(up.SourceDir) == filepath.Clean(dir) {
				l.diags = append(l.diags, diag.ErrorAt(call.SourceRange, "Module calls itself",
					"The module in %s calls itself through module %q. A module must not contain itself.", dir, call.Name)...)
				return nil
			}
		}
		if !l.source.isDir(dir) {
			l.diags = append(l.diags, diag.ErrorAt(call.SourceRange, "Unreadable module directory",
				"The directory %s, the source of module %q, does not exist.", l.source.place(dir), call.Name)...)
			return nil
		}
		return l.module(dir, path, m, call)
	}
	if l.opts.Resolve == nil {
		l.diags = append(l.diags, moduleNotInstalled(call)...)
		return nil
	}
	dir, version, diags := l.opts.Resolve(path, call)
	l.diags = append(l.diags, diags...)
	if diags.HasErrors() {
		return nil
	}
	child := l.module(dir, path, m, call)
	if child != nil {
		child.Version = version
	}
	return child
}

func moduleNotInstalled(call *ModuleCall) diag.List {
	return diag.ErrorAt(call.SourceRange, "Module not installed",
		"The source of module %q is not on this machine yet. Run \"tutti init\" to install all modules required by this configuration.", call.Name)
}

// localDir joins a local source to the caller's directory, keeping the short
// form people know from their own files.
func localDir(from, source string) string {
	return filepath.Join(from, filepath.FromSlash(source))
}

// source reads files from the disk or from a snapshot and keeps their text.
type source struct {
	snapshot map[string][]byte
	base     string
	files    map[string][]byte
}

// place is where a name lies on disk, and what it is called before people.
func (s source) place(name string) string {
	if s.base == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.base, name)
}

func (s source) isDir(dir string) bool {
	if s.snapshot == nil {
		info, err := os.Stat(s.place(dir))
		return err == nil && info.IsDir()
	}
	for name := range s.snapshot {
		if filepath.Dir(name) == filepath.Clean(dir) {
			return true
		}
	}
	return false
}

// list returns the names of the files in a directory, sorted.
func (s source) list(dir string) ([]string, error) {
	var names []string
	if s.snapshot != nil {
		for name := range s.snapshot {
			if filepath.Dir(name) == filepath.Clean(dir) {
				names = append(names, filepath.Base(name))
			}
		}
		sort.Strings(names)
		return names, nil
	}
	entries, err := os.ReadDir(s.place(dir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (s source) read(name string) ([]byte, error) {
	if s.snapshot != nil {
		src, ok := s.snapshot[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return src, nil
	}
	return os.ReadFile(s.place(name))
}

// parse reads one configuration file. The result is nil where it cannot be read.
func (s source) parse(name string) (*hcl.File, diag.List) {
	src, err := s.read(name)
	name = s.place(name)
	if err != nil {
		return nil, diag.Errorf("Cannot read file", "The configuration file %s cannot be read: %s.", name, unwrapPath(err))
	}
	s.files[name] = src
	var file *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		file, diags = hcljson.Parse(src, name)
	} else {
		file, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	if file == nil || file.Body == nil {
		file = &hcl.File{Body: hcl.EmptyBody(), Bytes: src}
	}
	return file, diag.FromHCL(diags)
}

// unwrapPath drops the file name that the caller already says.
func unwrapPath(err error) error {
	if pathErr, ok := err.(*os.PathError); ok { //nolint:errorlint // only the outermost
		return pathErr.Err
	}
	return err
}

// parseModule reads all files of one directory.
func (s source) parseModule(dir string) (*Module, diag.List) {
	names, err := s.list(dir)
	if err != nil {
		return nil, diag.Errorf("Cannot read module directory", "The directory %s cannot be read: %s.", s.place(dir), unwrapPath(err))
	}
	primary, overrides := configFiles(names)
	var diags diag.List
	d := newDecoder(dir)
	for i, list := range [][]string{primary, overrides} {
		for _, name := range list {
			file, found := s.parse(filepath.Join(dir, name))
			diags = append(diags, found...)
			if file != nil {
				d.collect(file.Body, i == 1)
			}
		}
	}
	d.decode()
	return d.module, append(diags, d.diags...)
}

// configFiles selects the configuration files of a directory, in the order they
// are read: by name, overrides apart. A .tofu file hides the .tf file of the
// same name.
func configFiles(names []string) (primary, overrides []string) {
	have := make(map[string]bool, len(names))
	for _, name := range names {
		have[name] = true
	}
	for _, name := range names {
		base, ext := splitExtension(name)
		if ext == "" || ignoredFile(name) {
			continue
		}
		if tofu := strings.Replace(ext, ".tf", ".tofu", 1); tofu != ext && have[base+tofu] {
			continue
		}
		if base == "override" || strings.HasSuffix(base, "_override") {
			overrides = append(overrides, name)
		} else {
			primary = append(primary, name)
		}
	}
	return primary, overrides
}

func splitExtension(name string) (base, ext string) {
	for _, ext := range []string{".tf", ".tf.json", ".tofu", ".tofu.json"} {
		if base, ok := strings.CutSuffix(name, ext); ok {
			return base, ext
		}
	}
	return name, ""
}

// ignoredFile reports whether a name looks like an editor's backup.
func ignoredFile(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		(strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"))
}

// HasConfig reports whether a directory has configuration files.
func HasConfig(dir string) (bool, error) {
	names, err := source{}.list(dir)
	if err != nil {
		return false, fmt.Errorf("cannot read directory %s: %w", dir, unwrapPath(err))
	}
	primary, overrides := configFiles(names)
	return len(primary)+len(overrides) > 0, nil
}
