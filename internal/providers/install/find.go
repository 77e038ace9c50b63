package install

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tutti-dev/tutti/internal/addrs"
	"github.com/tutti-dev/tutti/internal/diag"
	"github.com/tutti-dev/tutti/internal/files"
)

// Installed is a provider ready to be run.
type Installed struct {
	Provider   addrs.Provider
	Version    string // empty for one being developed
	Executable string
	// Digest changes when the program does: it is what caches go by.
	Digest string
	// Development says that the program is a developer's own build, named by
	// dev_overrides. Nothing vouches for it, and no version is known.
	Development bool
}

// Find locates the program of a provider that was installed before, and makes
// sure that it is what the lock file knows. Of opts it uses DataDir and
// LockFile. What is missing or changed is an error that tells to run init.
//
// A package is read in full only when its program changed since the last time:
// the check is remembered in the data folder by size and time of change.
func (in *Installer) Find(p addrs.Provider, opts Options) (Installed, diag.List) {
	if folder := in.Config.DevOverrides[p.Canonical()]; folder != "" {
		program, err := executable(folder, p)
		if err != nil {
			return Installed{}, diag.Errorf("Cannot use provider under development", "dev_overrides names a folder for %s, but %s.", p.ForDisplay(), err)
		}
		s, err := stampOf(program)
		if err != nil {
			return Installed{}, diag.Errorf("Cannot use provider under development", "%s.", err)
		}
		return Installed{Provider: p, Executable: program, Development: true, Digest: digest(fmt.Sprintf("%s\n%d\n%d", s.Program, s.Size, s.Modified))}, nil
	}
	locks, diags := ReadLockFile(opts.LockFile)
	if diags.HasErrors() {
		return Installed{}, diags
	}
	lock := locks.Lock(p)
	if lock == nil {
		return Installed{}, append(diags, diag.Errorf("Inconsistent dependency lock file",
			"The provider %s is required by this configuration, but the lock file selects no version of it. To make the selections, run:\n  tutti init", p)...)
	}
	for _, host := range hosts(lock.Provider) {
		under := lock.Provider
		under.Hostname = host
		dir := packageDir(opts.DataDir, under, lock.Version)
		program, err := executable(dir, p)
		if err != nil {
			continue
		}
		hash, why := checkPackage(opts.DataDir, dir, program, lock)
		if why != "" {
			return Installed{}, append(diags, notInstalled(p, why)...)
		}
		return Installed{Provider: p, Version: lock.Version, Executable: program, Digest: digest(hash)}, diags
	}
	return Installed{}, append(diags, notInstalled(p, fmt.Sprintf("there is no package for version %s in %s", lock.Version, filepath.Join(opts.DataDir, "providers")))...)
}

func notInstalled(p addrs.Provider, why string) diag.List {
	return diag.Errorf("Required plugins are not installed", "The installed providers are not what the dependency lock file selects:\n  - %s: %s\n\nTo install the providers that this configuration requires, run:\n  tutti init", p, why)
}

// OverrideWarning says which providers are developers' own builds: results with
// them may be other than with releases. It is empty where there are none.
func (c *Config) OverrideWarning() diag.List {
	if len(c.DevOverrides) == 0 {
		return nil
	}
	var lines []string
	for p, folder := range c.DevOverrides {
		lines = append(lines, "  - "+p.ForDisplay()+" in "+folder)
	}
	slices.Sort(lines)
	return diag.Warningf("Provider development overrides are in effect",
		"The CLI configuration names these folders for providers under development:\n%s\n\nWhat they do may differ from any release, and applying changes with them may leave a state that releases cannot read.", strings.Join(lines, "\n"))
}

// digest makes a name for files from what identifies a program: the hash of its
// package, which is the same in every project, or its path, size and time.
func digest(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:])
}

// stampsFile remembers in the data folder which packages were read and found
// right, so that running a provider does not read hundreds of megabytes.
const stampsFile = "tutti-packages.json"

// stamp is what identifies a program without reading it, and the hash of the
// package it was found in.
type stamp struct {
	Program  string `json:"program"` // its real path
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds since 1970
	Hash     string `json:"hash,omitempty"`
}

func stampOf(program string) (stamp, error) {
	resolved, err := filepath.EvalSymlinks(program)
	if err != nil {
		return stamp{}, err
	}
	if resolved, err = filepath.Abs(resolved); err != nil {
		return stamp{}, err
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return stamp{}, err
	}
	return stamp{Program: resolved, Size: info.Size(), Modified: info.ModTime().UnixNano()}, nil
}

func readStamps(dataDir string) map[string]stamp {
	out := map[string]stamp{}
	// What cannot be read is worked out anew.
	if data, err := os.ReadFile(filepath.Join(dataDir, stampsFile)); err == nil {
		_ = json.Unmarshal(data, &out)
	}
	if out == nil {
		out = map[string]stamp{}
	}
	return out
}

// remember notes the hash of the package in dir. Failing to is no harm.
func remember(dataDir, dir, program, hash string) {
	s, err := stampOf(program)
	if err != nil {
		return
	}
	s.Hash = hash
	stamps := readStamps(dataDir)
	for known := range stamps {
		if !exists(known) {
			delete(stamps, known)
		}
	}
	stamps[dir] = s
	if data, err := json.MarshalIndent(stamps, "", "  "); err == nil {
		_ = files.Replace(filepath.Join(dataDir, stampsFile), append(data, '\n'), 0o644)
	}
}

// packageHash is the h1: hash of the package in dir, from memory where its
// program is the one remembered.
func packageHash(dataDir, dir, program string) (string, error) {
	now, err := stampOf(program)
	if err != nil {
		return "", err
	}
	known := readStamps(dataDir)[dir]
	now.Hash = known.Hash
	if known == now && known.Hash != "" {
		return known.Hash, nil
	}
	hash, err := folderHash(dir)
	if err != nil {
		return "", err
	}
	remember(dataDir, dir, program, hash)
	return hash, nil
}

// checkPackage returns the hash of an installed package, or what is wrong with
// it.
func checkPackage(dataDir, dir, program string, lock *Lock) (hash, why string) {
	hash, err := packageHash(dataDir, dir, program)
	if err != nil {
		return "", fmt.Sprintf("the package for version %s cannot be read: %s", lock.Version, err)
	}
	if !slices.Contains(lock.Hashes, hash) {
		return "", fmt.Sprintf("the package for version %s in %s does not match any of the checksums recorded in the dependency lock file", lock.Version, filepath.Join(dataDir, "providers"))
	}
	return hash, ""
}

// executable finds a provider's program in a package folder.
func executable(dir string, p addrs.Provider) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	prefix := "terraform-provider-" + p.Type
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && (rest == "" || rest[0] == '_' || rest[0] == '.') && !e.IsDir() {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", fmt.Errorf("%s contains no program whose name begins with %s", dir, prefix)
}
