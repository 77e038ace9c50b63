package modules

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/configs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
)

// Manifest lists the modules installed for one root module, by their path. It
// is the file modules.json that editors and other tools read as well.
type Manifest map[addrs.Module]Record

// Record is one installed module.
type Record struct {
	// Source is the normal form of the source address.
	Source string
	// Version is the version chosen; only modules from registries have one.
	Version string
	// Dir is the module's directory, relative to the root module.
	Dir string
}

// manifestFile is the form of the manifest on disk.
type manifestFile struct {
	Modules []manifestEntry `json:"Modules"`
}

type manifestEntry struct {
	Key     string `json:"Key"`
	Source  string `json:"Source"`
	Version string `json:"Version,omitempty"`
	Dir     string `json:"Dir"`
}

// ManifestFile returns the name of the manifest in a data directory.
func ManifestFile(dataDir string) string {
	return filepath.Join(dataDir, "modules", "modules.json")
}

// ReadManifest reads the manifest in a data directory. Where there is none the
// result is empty: nothing is installed.
func ReadManifest(dataDir string) (Manifest, error) {
	data, err := os.ReadFile(ManifestFile(dataDir))
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the list of installed modules: %w", err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%w\nThe file %s is damaged. Remove it and run \"tutti init\" again.", err, ManifestFile(dataDir))
	}
	return m, nil
}

// ParseManifest reads the text of a manifest. No text is an empty manifest.
func ParseManifest(data []byte) (Manifest, error) {
	m := Manifest{}
	if len(data) == 0 {
		return m, nil
	}
	var file manifestFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("cannot read the list of installed modules: %w", err)
	}
	for _, e := range file.Modules {
		m[addrs.Module(e.Key)] = Record{Source: e.Source, Version: e.Version, Dir: filepath.FromSlash(e.Dir)}
	}
	return m, nil
}

// Encode returns the text of the manifest, ordered by path.
func (m Manifest) Encode() ([]byte, error) {
	var file manifestFile
	for key, r := range m {
		file.Modules = append(file.Modules, manifestEntry{Key: string(key), Source: r.Source, Version: r.Version, Dir: path.Clean(filepath.ToSlash(r.Dir))})
	}
	sort.Slice(file.Modules, func(i, j int) bool { return file.Modules[i].Key < file.Modules[j].Key })
	data, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("cannot write the list of installed modules: %w", err)
	}
	return data, nil
}

// write replaces the manifest in a data directory as one step.
func (m Manifest) write(dataDir string) error {
	data, err := m.Encode()
	if err != nil {
		return err
	}
	name := ManifestFile(dataDir)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("cannot write the list of installed modules: %w", err)
	}
	if err := files.Replace(name, data, 0o644); err != nil {
		return fmt.Errorf("cannot write the list of installed modules: %w", err)
	}
	return nil
}

// Resolve returns a resolver that finds installed modules. rootDir is the
// directory of the root module, to which the directories in the manifest are
// relative.
func (m Manifest) Resolve(rootDir string) configs.ModuleResolver {
	return func(path addrs.Module, call *configs.ModuleCall) (string, string, diag.List) {
		record, ok := m[path]
		if !ok {
			return "", "", diag.ErrorAt(call.SourceRange, "Module not installed",
				"The source of module %q is not on this machine yet. Run \"tutti init\" to install all modules required by this configuration.", call.Name)
		}
		source, diags := sourceOf(call)
		if diags.HasErrors() {
			return "", "", diags
		}
		if !source.sameAs(record.Source) {
			return "", "", diag.ErrorAt(call.SourceRange, "Module source has changed",
				"The source address of module %q was changed since it was installed. Run \"tutti init\" to install all modules required by this configuration.", call.Name)
		}
		if source.Kind == registrySource {
			if allowed, diags := constraintsOf(call); diags.HasErrors() || !allowed.allowText(record.Version) {
				return "", "", append(diags, diag.ErrorAt(constraintRange(call), "Module version requirements have changed",
					"The version requirements of module %q were changed since it was installed, and the installed version (%s) is no longer acceptable. Run \"tutti init\" to install all modules required by this configuration.", call.Name, record.Version)...)
			}
		}
		dir := record.Dir
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(rootDir, dir)
		}
		return dir, record.Version, nil
	}
}

// constraintRange is where a call says which versions it accepts.
func constraintRange(call *configs.ModuleCall) hcl.Range {
	if len(call.Constraints) > 0 {
		return call.Constraints[0].Range
	}
	return call.SourceRange
}
