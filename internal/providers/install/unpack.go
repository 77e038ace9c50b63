package install

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-dev/tutti/internal/files"
)

// unpack extracts a package. Names that lead out of the folder are refused.
func unpack(archive, dir string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("cannot read package: %w", err)
	}
	defer r.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range r.File {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("the package has a file with the dangerous name %q", f.Name)
		}
		target := filepath.Join(dir, filepath.FromSlash(f.Name))
		if f.FileInfo().IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := unpackFile(f, target); err != nil {
			return fmt.Errorf("cannot unpack %s: %w", f.Name, err)
		}
	}
	return nil
}

func unpackFile(f *zip.File, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	mode := os.FileMode(0o644)
	if f.Mode()&0o111 != 0 || strings.HasPrefix(filepath.Base(target), "terraform-provider-") {
		mode = 0o755
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) //nolint:gosec // a provider is as large as it is, and was checked
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

// unpackInto extracts beside the target and renames, so that nobody sees half a
// package. Where others put the same one there, before or at the same time, theirs stays:
// somebody may be starting it.
func unpackInto(archive, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	sweep(filepath.Dir(dir))
	tmp, err := os.MkdirTemp(filepath.Dir(dir), unpacking+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	inside := filepath.Join(tmp, "package")
	if err := unpack(archive, inside); err != nil {
		return err
	}
	return putInPlace(inside, dir, filepath.Join(tmp, "former"), func() bool {
		there, err := folderHash(dir)
		if err != nil {
			return false
		}
		hash, err := folderHash(inside)
		return err == nil && there == hash
	})
}

const (
	// unpacking begins the names of folders in which packages are made ready.
	unpacking = ".unpack-"
	// unpackingTakes is longer than that takes.
	unpackingTakes = 24 * time.Hour
)

// sweep removes what processes that were killed have left in a folder.
func sweep(dir string) {
	list, _ := filepath.Glob(filepath.Join(dir, unpacking+"*"))
	for _, path := range list {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > unpackingTakes {
			_ = os.RemoveAll(path)
		}
	}
}

// link makes a package folder stand for another.
func link(target, dir string) error {
	target, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), unpacking+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	made := filepath.Join(tmp, "link")
	if err := os.Symlink(target, made); err != nil {
		return err
	}
	return putInPlace(made, dir, filepath.Join(tmp, "former"), func() bool {
		leadsTo, err := os.Readlink(dir)
		return err == nil && leadsTo == target
	})
}

// putInPlace gives something the name dir, unless what has that name is the same. What
// else has it is moved away first: a rename replaces neither a folder that is not empty
// nor one by a link, or a link by one. Of several who do so at a time, all but the first
// find theirs there.
func putInPlace(made, dir, former string, same func() bool) error {
	return files.LockedFolder(filepath.Dir(dir), func() error {
		if same() {
			return nil
		}
		if err := os.Rename(dir, former); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		err := os.Rename(made, dir)
		if err != nil && same() {
			return nil // somebody has put it there whom no lock kept waiting
		}
		return err
	})
}

// pack makes a temporary zip file of a package folder, the same for the same
// content.
func pack(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	out, err := os.CreateTemp("", "tutti-provider-*.zip")
	if err != nil {
		return "", err
	}
	w := zip.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return packFile(w, dir, path)
	})
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(out.Name())
		return "", fmt.Errorf("cannot pack %s: %w", dir, err)
	}
	return out.Name(), nil
}

func packFile(w *zip.Writer, dir, path string) error {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	header := &zip.FileHeader{Name: filepath.ToSlash(rel), Method: zip.Deflate}
	header.SetMode(info.Mode().Perm())
	entry, err := w.CreateHeader(header)
	if err == nil {
		_, err = io.Copy(entry, in)
	}
	return err
}
